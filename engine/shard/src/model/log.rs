//! Temporary: partitions as plain vectors, with the signatures of the real `log`, until that is there.

#[path = "../log/leader_epochs.rs"]
pub mod leader_epochs;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{self, HeaderPatch, RecordBatch, Validated};

use self::leader_epochs::LeaderEpochs;
pub use crate::config::Durability;
use crate::config::TopicConfig;
use crate::io::{Action, Now};

/// A partition's number within its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckPoint {
    /// The commit.
    pub sequence: u64,
    /// How far it must have come.
    pub level: Durability,
}

impl AckPoint {
    /// Reached from the beginning.
    pub const NOW: Self = Self { sequence: 0, level: Durability::Memory };
}

/// A read or lookup that waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp_ms: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: i32,
}

/// What happened in the logs since it was last taken.
#[derive(Debug, Default)]
pub struct Progress {
    /// An [`AckPoint`] may be reached that was not.
    pub acks: bool,
    /// Partitions whose high watermark moved.
    pub advanced: Vec<PartitionId>,
    /// Reads that ended.
    pub reads: Vec<(ReadId, Result<Vec<Bytes>, ErrorCode>)>,
    /// Lookups that ended.
    pub lookups: Vec<(ReadId, Result<Option<FoundOffset>, ErrorCode>)>,
    /// Partitions that were removed.
    pub gone: Vec<PartitionId>,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// The broker's timestamp, or -1.
    pub log_append_time_ms: i64,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// When the answer may leave.
    pub ack: AckPoint,
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRefused {
    /// Kafka's error.
    pub error: ErrorCode,
    /// What is wrong, for people.
    pub message: String,
}

/// What a read found.
#[derive(Debug)]
pub enum Read {
    /// Whole batches.
    Records {
        /// The bytes.
        segments: Vec<Bytes>,
        /// Their sum.
        bytes: usize,
    },
    /// Outside of the log.
    OutOfRange,
    /// On disk.
    Pending(ReadId),
    /// It cannot be read now.
    Failed(ErrorCode),
}

/// Which record a timestamp lookup wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampTarget {
    /// The first record at or after this time.
    At(i64),
    /// The first record with the largest timestamp.
    Max,
}

/// What a timestamp lookup found.
#[derive(Debug)]
pub enum Lookup {
    /// The record, or none.
    Done(Option<FoundOffset>),
    /// On disk.
    Pending(ReadId),
    /// It cannot be looked up now.
    Failed(ErrorCode),
}

/// One partition.
#[derive(Debug)]
pub struct Partition {
    /// The topic's configuration.
    pub config: TopicConfig,
    /// The epoch in which this node leads it.
    pub leader_epoch: i32,
    /// First offset.
    pub log_start: i64,
    /// Next offset.
    pub log_end: i64,
    /// Visible below.
    pub high_watermark: i64,
    /// Leader epochs.
    pub epochs: LeaderEpochs,
    batches: Vec<(i64, i64, u64, Bytes)>,
}

/// All partitions.
#[derive(Debug)]
pub struct Logs {
    partitions: Vec<Option<Partition>>,
    by_key: BTreeMap<(TopicId, i32), PartitionId>,
    sequence: u64,
    durable: u64,
    /// Bytes that can be accepted.
    pub room: usize,
    /// Whether reads and lookups wait for [`Self::finish_reads`].
    pub on_disk: bool,
    next_read: u64,
    reads: Vec<(ReadId, Option<Vec<Bytes>>, Option<FoundOffset>)>,
    progress: Progress,
}

impl Logs {
    /// No partitions.
    pub fn model() -> Self {
        Self {
            partitions: vec![],
            by_key: BTreeMap::new(),
            sequence: 1,
            durable: 0,
            room: usize::MAX,
            on_disk: false,
            next_read: 0,
            reads: vec![],
            progress: Progress::default(),
        }
    }

    /// The partition of a topic.
    pub fn find(&self, topic: TopicId, partition: i32) -> Option<PartitionId> {
        self.by_key.get(&(topic, partition)).copied()
    }

    /// Adds an empty partition.
    pub fn create(
        &mut self,
        topic_id: TopicId,
        _topic: &str,
        index: i32,
        epoch: i32,
        config: TopicConfig,
    ) -> PartitionId {
        let id = PartitionId(self.partitions.len() as u32);
        self.by_key.insert((topic_id, index), id);
        self.partitions.push(Some(Partition {
            config,
            leader_epoch: epoch,
            log_start: 0,
            log_end: 0,
            high_watermark: 0,
            epochs: LeaderEpochs::default(),
            batches: vec![],
        }));
        id
    }

    /// A partition that exists.
    pub fn partition(&self, id: PartitionId) -> &Partition {
        self.partitions[id.0 as usize].as_ref().expect("ids of removed partitions are not used")
    }

    /// For tests: to change it.
    pub fn partition_mut(&mut self, id: PartitionId) -> &mut Partition {
        self.partitions[id.0 as usize].as_mut().expect("ids of removed partitions are not used")
    }

    /// Removes a partition.
    pub fn remove(&mut self, id: PartitionId, _: &mut Vec<Action>) {
        self.partitions[id.0 as usize] = None;
        self.by_key.retain(|_, known| *known != id);
        self.progress.gone.push(id);
    }

    /// Whether `bytes` more of produce can be taken now.
    pub fn can_accept(&self, bytes: usize) -> bool {
        bytes <= self.room
    }

    /// Appends one validated batch.
    ///
    /// # Errors
    /// None but in tests that ask for it.
    pub fn append(
        &mut self,
        now: Now,
        id: PartitionId,
        batch: &RecordBatch<'_>,
        v: &Validated,
    ) -> Result<Appended, AppendRefused> {
        let sequence = self.sequence;
        let partition = self.partition_mut(id);
        let base_offset = partition.log_end;
        let patch = HeaderPatch { base_offset, leader_epoch: partition.leader_epoch, timestamp: v.timestamp_patch };
        let mut bytes = batch.as_bytes().to_vec();
        record_batch::patch_in_place(&mut bytes, &patch);
        partition.log_end = base_offset + i64::from(v.last_offset_delta) + 1;
        partition.epochs.append(partition.leader_epoch, base_offset);
        partition.batches.push((base_offset, partition.log_end - 1, sequence, Bytes::from(bytes)));
        let level = partition.config.durability;
        let appended = Appended {
            base_offset,
            log_append_time_ms: if partition.config.log_append_time { now.wall_ms } else { -1 },
            log_start_offset: partition.log_start,
            ack: AckPoint { sequence, level },
        };
        if level == Durability::Memory {
            partition.high_watermark = partition.log_end;
            self.progress.advanced.push(id);
        }
        Ok(appended)
    }

    /// Whether an answer that waits for `ack` may leave.
    pub fn reached(&self, ack: AckPoint) -> bool {
        ack.level == Durability::Memory || ack.sequence <= self.durable
    }

    /// For tests: everything appended so far is durable.
    pub fn commit(&mut self) {
        self.durable = self.sequence;
        self.sequence += 1;
        self.progress.acks = true;
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            if let Some(partition) = partition
                && partition.high_watermark != partition.log_end
            {
                partition.high_watermark = partition.log_end;
                self.progress.advanced.push(PartitionId(index as u32));
            }
        }
    }

    /// Takes what happened.
    pub fn take_progress(&mut self) -> Progress {
        core::mem::take(&mut self.progress)
    }

    /// Reads whole visible batches.
    pub fn read(
        &mut self,
        id: PartitionId,
        from: i64,
        max_bytes: usize,
        whole_first: bool,
        _actions: &mut Vec<Action>,
    ) -> Read {
        let partition = self.partition(id);
        if from < partition.log_start || from > partition.high_watermark {
            return Read::OutOfRange;
        }
        let mut segments = vec![];
        let mut bytes = 0;
        for (_, last, _, batch) in &partition.batches {
            let fits = bytes + batch.len() <= max_bytes || whole_first && segments.is_empty();
            if *last < from {
                continue;
            }
            if *last >= partition.high_watermark || !fits {
                break;
            }
            bytes += batch.len();
            segments.push(batch.clone());
        }
        if self.on_disk && bytes > 0 {
            let read = self.next_read();
            self.reads.push((read, Some(segments), None));
            return Read::Pending(read);
        }
        Read::Records { segments, bytes }
    }

    fn next_read(&mut self) -> ReadId {
        self.next_read += 1;
        ReadId(self.next_read)
    }

    /// For tests: the disk has answered everything, or failed to.
    pub fn finish_reads(&mut self, error: Option<ErrorCode>) {
        for (read, segments, found) in core::mem::take(&mut self.reads) {
            match (segments, error) {
                (Some(_), Some(error)) => self.progress.reads.push((read, Err(error))),
                (Some(segments), None) => self.progress.reads.push((read, Ok(segments))),
                (None, Some(error)) => self.progress.lookups.push((read, Err(error))),
                (None, None) => self.progress.lookups.push((read, Ok(found))),
            }
        }
    }

    /// Finds a record by its timestamp, below the high watermark.
    pub fn lookup_timestamp(&mut self, id: PartitionId, target: TimestampTarget, _: &mut Vec<Action>) -> Lookup {
        let partition = self.partition(id);
        let mut found: Option<FoundOffset> = None;
        for (_, last, _, bytes) in &partition.batches {
            if *last >= partition.high_watermark {
                break;
            }
            let (batch, _) = RecordBatch::split_from(bytes).expect("it was validated");
            let payload = batch.decompressed_payload(usize::MAX).expect("it was validated");
            for record in batch.records(&payload) {
                let record = record.expect("it was validated");
                let timestamp_ms = record.timestamp;
                let this =
                    FoundOffset { offset: record.offset, timestamp_ms, leader_epoch: batch.partition_leader_epoch() };
                let better = match target {
                    TimestampTarget::At(at) => found.is_none() && timestamp_ms >= at,
                    TimestampTarget::Max => found.is_none_or(|found| timestamp_ms > found.timestamp_ms),
                };
                if better {
                    found = Some(this);
                }
            }
        }
        if self.on_disk {
            let read = self.next_read();
            self.reads.push((read, None, found));
            return Lookup::Pending(read);
        }
        Lookup::Done(found)
    }

    /// Bytes between `from` and the high watermark.
    pub fn available_bytes(&self, id: PartitionId, from: i64) -> u64 {
        let partition = self.partition(id);
        let visible = |(_, last, ..): &&(i64, i64, u64, Bytes)| *last >= from && *last < partition.high_watermark;
        partition.batches.iter().filter(visible).map(|batch| batch.3.len() as u64).sum()
    }

    /// First offset of the log.
    pub fn log_start_offset(&self, id: PartitionId) -> i64 {
        self.partition(id).log_start
    }

    /// Offsets below it are visible.
    pub fn high_watermark(&self, id: PartitionId) -> i64 {
        self.partition(id).high_watermark
    }

    /// Offset of the next record.
    pub fn log_end_offset(&self, id: PartitionId) -> i64 {
        self.partition(id).log_end
    }

    /// The epoch in which this node leads the partition.
    pub fn leader_epoch(&self, id: PartitionId) -> i32 {
        self.partition(id).leader_epoch
    }
}
