//! Changes on their way into the log: collected in batches, appended, and durable in the end.
//!
//! What a turn brings for one partition goes into one batch, as far as it fits; a change set is never split. Batches that
//! the log has no room for wait, within a bound.
//!
//! Invariants: change sets reach the log in the order in which they were made, and become durable in that order; each of
//! them is applied or refused exactly once.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use corelog_wire::compression::Compression;
use corelog_wire::encoder::EncodeError;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::{
    self, BatchBuilder, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, RecordBatch, Validated,
};

use super::group::{PersistTicket, StoredGroup};
use super::offsets::Committed;
use super::records::{self, NewRecord};
use crate::connection::RequestId;
use crate::front::Context;
use crate::limits;
use crate::log::{AckPoint, PartitionId};

/// What one record changes.
#[derive(Debug)]
pub(super) enum Change {
    /// An offset was committed, or is gone.
    Offset { group: Arc<str>, topic: Arc<str>, partition: i32, committed: Option<Committed> },
    /// A group came into being.
    Created { group: Arc<str> },
    /// What a group wanted to have stored.
    Stored { group: Arc<str>, ticket: PersistTicket },
    /// A group is gone, with its offsets.
    Gone { group: Arc<str> },
}

impl Change {
    pub(super) fn group(&self) -> &Arc<str> {
        match self {
            Self::Offset { group, .. }
            | Self::Created { group }
            | Self::Stored { group, .. }
            | Self::Gone { group } => group,
        }
    }
}

/// Changes that happen together or not at all.
#[derive(Debug, Default)]
pub(super) struct ChangeSet {
    records: Vec<NewRecord>,
    pub(super) changes: Vec<Change>,
    bytes: usize,
}

impl ChangeSet {
    /// How much of a batch it takes, at most.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// A commit of an offset, or its end.
    pub(super) fn offset(
        &mut self,
        group: &Arc<str>,
        topic: Arc<str>,
        partition: i32,
        committed: Option<Committed>,
    ) -> Result<(), EncodeError> {
        let record = records::offset(group, &topic, partition, committed.as_ref())?;
        self.push(record, Change::Offset { group: Arc::clone(group), topic, partition, committed });
        Ok(())
    }

    /// A group without members comes into being.
    pub(super) fn created(&mut self, group: &Arc<str>, now_ms: i64) -> Result<(), EncodeError> {
        let stored = StoredGroup {
            protocol_type: None,
            generation: 0,
            protocol_name: None,
            leader: None,
            current_state_timestamp_ms: Some(now_ms),
            members: Vec::new(),
        };
        self.push(records::group(group, Some(&stored))?, Change::Created { group: Arc::clone(group) });
        Ok(())
    }

    /// A group as it wants to be stored.
    pub(super) fn stored(
        &mut self,
        group: &Arc<str>,
        ticket: PersistTicket,
        stored: &StoredGroup,
    ) -> Result<(), EncodeError> {
        self.push(records::group(group, Some(stored))?, Change::Stored { group: Arc::clone(group), ticket });
        Ok(())
    }

    /// The end of a group.
    pub(super) fn gone(&mut self, group: &Arc<str>) -> Result<(), EncodeError> {
        self.push(records::group(group, None)?, Change::Gone { group: Arc::clone(group) });
        Ok(())
    }

    fn push(&mut self, record: NewRecord, change: Change) {
        self.bytes += record.size_max();
        self.records.push(record);
        self.changes.push(change);
    }
}

/// Who is told when a change set is durable, or that it will not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// The request.
    pub(crate) request: RequestId,
    /// Which of its entries.
    pub(crate) entry: usize,
}

/// Records for one partition that go into the log together.
#[derive(Debug)]
struct Batch {
    builder: BatchBuilder,
    changes: Vec<Change>,
    waiters: Vec<Waiter>,
}

/// Changes whose fate is known, or will be.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) partition: i32,
    pub(super) changes: Vec<Change>,
    pub(super) waiters: Vec<Waiter>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Not in the log yet, by partition, oldest first.
    unwritten: BTreeMap<i32, VecDeque<Batch>>,
    unwritten_bytes: usize,
    /// In the log and not durable, oldest first.
    in_flight: VecDeque<(AckPoint, Write)>,
}

impl Writes {
    /// Takes a change set on; `size_max` is the largest batch that the partition takes.
    ///
    /// # Errors
    /// It is too large, or too much waits already.
    pub(super) fn add(
        &mut self,
        partition: i32,
        set: ChangeSet,
        waiter: Option<Waiter>,
        now_ms: i64,
        size_max: usize,
    ) -> Result<(), ErrorCode> {
        if set.bytes + record_batch::HEADER_LEN > size_max {
            // What Kafka makes of a batch that its log refuses as too large.
            return Err(ErrorCode::UNKNOWN_SERVER_ERROR);
        }
        if self.unwritten_bytes + set.bytes > limits::UNWRITTEN_GROUP_BYTES_MAX {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        let batches = self.unwritten.entry(partition).or_default();
        let size_max = size_max.min(limits::GROUP_BATCH_BYTES);
        let fits = |batch: &mut Batch| batch.builder.uncompressed_size() + set.bytes <= size_max;
        if !batches.back_mut().is_some_and(fits) {
            batches.push_back(Batch { builder: BatchBuilder::new(), changes: Vec::new(), waiters: Vec::new() });
        }
        let batch = batches.back_mut().expect("there is one now");
        let before = batch.builder.uncompressed_size();
        for NewRecord { key, value } in &set.records {
            batch.builder.append(&record_batch::NewRecord {
                timestamp: now_ms,
                key: Some(key),
                value: value.as_deref(),
                headers: &[],
            });
        }
        self.unwritten_bytes += batch.builder.uncompressed_size() - before;
        batch.changes.extend(set.changes);
        batch.waiters.extend(waiter);
        Ok(())
    }

    /// Appends what the log has room for. Gives what the log has refused, with its error.
    pub(super) fn flush(
        &mut self,
        cx: &mut Context<'_>,
        log_of: impl Fn(i32) -> Option<PartitionId>,
    ) -> Vec<(Write, ErrorCode)> {
        let mut refused = Vec::new();
        while let Some(mut entry) = self.unwritten.first_entry() {
            let partition = *entry.key();
            let Some(batch) = entry.get_mut().front() else {
                entry.remove();
                continue;
            };
            let size = batch.builder.uncompressed_size();
            if !cx.logs.can_accept(size) {
                break;
            }
            let Batch { builder, changes, waiters } = entry.get_mut().pop_front().expect("it was looked at");
            self.unwritten_bytes -= size - record_batch::HEADER_LEN;
            let write = Write { partition, changes, waiters };
            let log = log_of(partition).filter(|log| cx.logs.exists(*log)).ok_or(ErrorCode::NOT_COORDINATOR);
            match log.and_then(|log| append(cx, log, builder)) {
                Ok(ack) => self.in_flight.push_back((ack, write)),
                Err(error) => refused.push((write, error)),
            }
        }
        refused
    }

    /// The oldest write, if it is durable by now.
    pub(super) fn next_durable(&mut self, cx: &Context<'_>) -> Option<Write> {
        let (ack, _) = self.in_flight.front()?;
        if !cx.logs.reached(*ack) {
            return None;
        }
        self.in_flight.pop_front().map(|(_, write)| write)
    }

    /// Forgets everything of a partition that is gone.
    pub(super) fn forget(&mut self, partition: i32) -> Vec<Write> {
        let mut forgotten = Vec::new();
        let (gone, kept) =
            core::mem::take(&mut self.in_flight).into_iter().partition(|(_, it)| it.partition == partition);
        self.in_flight = kept;
        let gone: VecDeque<(AckPoint, Write)> = gone;
        forgotten.extend(gone.into_iter().map(|(_, write)| write));
        for Batch { builder, changes, waiters } in self.unwritten.remove(&partition).unwrap_or_default() {
            self.unwritten_bytes -= builder.uncompressed_size() - record_batch::HEADER_LEN;
            forgotten.push(Write { partition, changes, waiters });
        }
        forgotten
    }

    /// The changes of a partition that are not durable, oldest first.
    pub(super) fn pending(&self, partition: i32) -> impl Iterator<Item = &Change> {
        let in_flight = self.in_flight.iter().filter(move |(_, write)| write.partition == partition);
        let unwritten = self.unwritten.get(&partition).into_iter().flatten();
        in_flight.flat_map(|(_, write)| &write.changes).chain(unwritten.flat_map(|batch| &batch.changes))
    }

    /// Tells `waiter` when everything of a partition that is on its way is durable. False if there is nothing.
    pub(super) fn wait_for_all(&mut self, partition: i32, waiter: Waiter) -> bool {
        if let Some(batch) = self.unwritten.get_mut(&partition).and_then(VecDeque::back_mut) {
            batch.waiters.push(waiter);
            return true;
        }
        let last = self.in_flight.iter_mut().rev().find(|(_, write)| write.partition == partition);
        last.map(|(_, write)| write.waiters.push(waiter)).is_some()
    }

    /// Whether as much waits for the log as is good for now: what has time waits with further changes.
    pub(super) fn is_busy(&self) -> bool {
        self.unwritten_bytes >= limits::UNWRITTEN_GROUP_BYTES_MAX / 4
    }
}

fn append(cx: &mut Context<'_>, log: PartitionId, builder: BatchBuilder) -> Result<AckPoint, ErrorCode> {
    let record_count = builder.record_count();
    let bytes = builder.build();
    let (batch, _) = RecordBatch::split_from(&bytes).expect("it was just written");
    let validated = Validated {
        size: batch.size(),
        crc: batch.crc(),
        record_count,
        last_offset_delta: batch.last_offset_delta(),
        max_timestamp: batch.max_timestamp(),
        offset_delta_of_max_timestamp: batch.last_offset_delta(),
        timestamp_patch: None,
        compression: Compression::None,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        base_sequence: NO_SEQUENCE,
        last_sequence: NO_SEQUENCE,
        is_transactional: false,
    };
    match cx.logs.append(cx.now, log, &batch, &validated) {
        Ok(appended) => Ok(appended.ack),
        Err(refused) => Err(client_error(refused.error)),
    }
}

/// What members and clients hear when the log refuses a record, as in Kafka.
fn client_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::REQUEST_TIMED_OUT => {
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        }
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}
