//! The metadata log of this node: `replication`'s quorum and image over a journal and snapshots of its own.
//!
//! Owns the order in which metadata becomes durable: what the quorum wants persisted goes into the journal, its
//! durability is reported back, only then entries commit and are applied. A snapshot of the image lets the journal's
//! files be used again.
//!
//! Fault model: that of the journal and of `copies`. Every entry is written at level fsync.

use crate::copies::{Copy, Kind};
use crate::ids::Ids;
use crate::io::{Action, FileId, IoError, LogLevel, Now, OpId, Step, is_full};
use crate::journal::{Durability, EntryKind, Journal, JournalError, NewEntry};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_replication::ids::{BrokerId, MetadataOffset};
use corelog_replication::metadata::encoding::{self, EncodeError};
use corelog_replication::metadata::{ApplyError, MetadataDelta, MetadataImage, MetadataRecord, snapshot};
use corelog_replication::quorum::{
    Committed, HardState, LogEntry, ProposalId, ProposeError, Quorum, ReadyNumber, Recovered, SnapshotMeta,
};

/// The snapshot file's magic and format version.
pub const SNAPSHOT: Kind = Kind { magic: *b"CLMS", version: 1, oldest: 1, name: "snapshot" };

/// The folder of the metadata log.
pub const FOLDER: &str = "metadata";

/// An entry of the metadata log that was applied to the image.
#[derive(Debug)]
pub struct Applied {
    /// What changed, or why the entry was refused (then nothing changed).
    pub delta: Result<MetadataDelta, ApplyError>,
    /// The entry.
    pub entry: Committed,
}

/// What the disk held, collected entry by entry.
#[derive(Debug, Default)]
pub struct RecoveredLog {
    hard_state: Option<HardState>,
    entries: Vec<LogEntry>,
}

impl RecoveredLog {
    /// Takes an entry of the metadata journal, in the journal's order.
    ///
    /// # Errors
    /// In words, when its content is not what this program writes.
    pub fn take(&mut self, kind: EntryKind, payload: &[u8]) -> Result<(), String> {
        match kind {
            EntryKind::RaftHardState => {
                self.hard_state = Some(HardState::from_bytes(payload).map_err(|e| e.to_string())?);
            }
            EntryKind::RaftEntries => {
                let entry = LogEntry::from_bytes(payload).map_err(|e| e.to_string())?;
                // An entry replaces the one at its offset and everything behind.
                let keep = self.entries.partition_point(|e| e.offset < entry.offset);
                self.entries.truncate(keep);
                self.entries.push(entry);
            }
            other => return Err(format!("an entry of kind {other:?} does not belong into the metadata log")),
        }
        Ok(())
    }

    /// Gives up, with the operator's consent, what cannot be used behind a loss: entries behind a hole, and what the hard
    /// state says of them. Says what that was, if anything.
    fn give_up_what_is_lost(&mut self, snapshot: Option<SnapshotMeta>) -> Option<String> {
        let behind = snapshot.map_or(MetadataOffset(0), |s| s.offset);
        let first = self.entries.first().map_or(behind, |e| e.offset).min(behind.next());
        let whole = (first.0..).zip(&self.entries).take_while(|(offset, entry)| entry.offset.0 == *offset).count();
        let given_up = self.entries.split_off(whole).len();
        let last = self.entries.last().map_or(behind, |e| e.offset.max(behind));
        let term = self.entries.last().map_or(0, |e| e.term).max(snapshot.map_or(0, |s| s.term));
        let before = self.hard_state;
        self.hard_state = match before {
            Some(known) => {
                Some(HardState { term: known.term.max(term), committed: known.committed.min(last), ..known })
            }
            None if term > 0 => Some(HardState { term, vote: 0, committed: last }),
            None => None,
        };
        (given_up > 0 || self.hard_state != before)
            .then(|| format!("the metadata log goes on behind {last}; {given_up} entries behind a hole are given up"))
    }
}

/// A snapshot on its way to the disk.
#[derive(Debug)]
struct SnapshotInFlight {
    stage: SnapshotStage,
    copy: Copy,
    meta: SnapshotMeta,
    first_ordinal: u64,
}

/// Which write of a snapshot is awaited.
#[derive(Debug)]
enum SnapshotStage {
    /// The hard state, in a file that the snapshot does not give up: without it a start could not use the snapshot.
    HardState { sequence: u64 },
    /// The snapshot itself.
    Writing { op: OpId, file: Option<FileId> },
    /// None: there was no space for it. The same copy is tried again, since the other one is the one that counts; as soon
    /// as the time is known, then.
    Waiting { until_us: Option<u64> },
}

/// The metadata as a shard has it: with the log, or as the shard with the log tells it.
pub enum Metadata {
    /// The first shard's.
    Log(Box<MetadataLog>),
    /// What another shard has applied.
    Follower(Box<MetadataImage>),
}

impl Metadata {
    /// Goes on from what the disk held: see [`MetadataLog::recover`].
    ///
    /// # Errors
    /// In words, when the log contradicts itself or the snapshot.
    #[expect(clippy::too_many_arguments, reason = "everything that was recovered comes together here")]
    pub fn recover(
        node: BrokerId,
        seed: u64,
        copy: Option<Copy>,
        log: RecoveredLog,
        journal: Journal,
        incarnation: u64,
        block: usize,
        loss: Option<&mut Vec<String>>,
    ) -> Result<Self, String> {
        let log = MetadataLog::recover(node, seed, copy, log, journal, incarnation, block, loss)?;
        Ok(Self::Log(Box::new(log)))
    }

    /// For a shard that begins with this image and is told what follows.
    pub fn follower(image: MetadataImage) -> Self {
        Self::Follower(Box::new(image))
    }

    /// The metadata as it was committed and applied.
    pub fn image(&self) -> &MetadataImage {
        match self {
            Self::Log(log) => &log.image,
            Self::Follower(image) => image,
        }
    }

    /// Applies what the shard with the log tells. In order, without holes.
    pub(crate) fn follow(&mut self, entry: &Committed) -> Result<MetadataDelta, ApplyError> {
        let Self::Follower(image) = self else { panic!("whoever has the log follows nobody") };
        image.apply(entry.offset, entry.term, &entry.records)
    }

    /// The last offset that the log has given out; on other shards than the first, the last that was applied.
    pub(crate) fn log_end(&self) -> MetadataOffset {
        self.log().map_or(self.image().offset(), |log| log.quorum.last())
    }

    /// The log, which only the first shard has.
    fn log(&self) -> Option<&MetadataLog> {
        match self {
            Self::Log(log) => Some(log),
            Self::Follower(_) => None,
        }
    }

    fn log_mut(&mut self) -> Option<&mut MetadataLog> {
        match self {
            Self::Log(log) => Some(log),
            Self::Follower(_) => None,
        }
    }

    /// How many files its journal has at least; none where there is no log.
    pub fn journal_files(&self) -> u32 {
        self.log().map_or(0, |log| log.journal.files())
    }

    /// Whether everything that was ever committed is in the image.
    pub fn is_caught_up(&self) -> bool {
        self.log().is_none_or(|log| log.quorum.caught_up())
    }

    /// Proposes records, which apply together or not at all; [`Self::take_applied`] tells. Only where the log is.
    ///
    /// # Errors
    /// Why nothing of it will happen; overloaded, too, while the journal has no room for it.
    pub fn propose(&mut self, records: &[MetadataRecord]) -> Result<ProposalId, ProposeError> {
        self.log_mut().expect("requests that change metadata are handled where the log is").propose(records)
    }

    /// What was applied since the last call, in order.
    pub fn take_applied(&mut self) -> Vec<Applied> {
        self.log_mut().map(|log| core::mem::take(&mut log.applied)).unwrap_or_default()
    }

    /// Whether [`Self::take_applied`] has something.
    pub fn has_applied(&self) -> bool {
        self.log().is_some_and(|log| !log.applied.is_empty())
    }

    /// Whether something was proposed that [`Self::turn`] has not taken up yet.
    pub fn has_proposed(&self) -> bool {
        self.log().is_some_and(|log| log.proposed.count > 0)
    }

    /// Moves everything one step on: part of every end of turn, and after every completion.
    pub fn turn(&mut self, now: Now, ids: &mut Ids, actions: &mut Vec<Action>) {
        if let Some(log) = self.log_mut() {
            log.turn(now, ids, actions);
        }
    }

    /// An operation that the shard started has ended. Returns whether it was one of the metadata log's.
    ///
    /// # Errors
    /// In words, when the process must not go on.
    pub fn completed(
        &mut self,
        op: OpId,
        result: &Result<Vec<Bytes>, IoError>,
        ids: &mut Ids,
        actions: &mut Vec<Action>,
    ) -> Result<bool, String> {
        self.log_mut().map_or(Ok(false), |log| log.completed(op, result, ids, actions))
    }

    /// Whether everything proposed is applied and the journal is at rest. A snapshot for which there is no space is not
    /// waited for: the journal keeps what would be in it.
    pub fn is_quiet(&self) -> bool {
        self.log().is_none_or(MetadataLog::is_quiet)
    }

    /// Closes the journal, so that the next start knows that nothing is missing. Call until it says true.
    pub fn close(&mut self, now: Now, ids: &mut Ids, actions: &mut Vec<Action>) -> bool {
        self.log_mut().is_none_or(|log| log.close(now, ids, actions))
    }

    /// When the metadata log wants a tick, in microseconds of the monotonic clock.
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.log().and_then(MetadataLog::next_deadline_us)
    }
}

/// The metadata log of the node, and what came of it.
pub struct MetadataLog {
    quorum: Quorum,
    image: MetadataImage,
    journal: Journal,
    block: usize,
    incarnation: u64,
    generation: u64,
    hard_state: Option<HardState>,
    persisting: VecDeque<(ReadyNumber, u64)>,
    snapshot: Option<SnapshotInFlight>,
    /// Closes the file of a snapshot that failed.
    closing: Option<OpId>,
    applied: Vec<Applied>,
    /// What was proposed and is not in the journal yet.
    proposed: Proposed,
}

/// Entries on their way to the journal.
#[derive(Clone, Copy, Debug, Default)]
struct Proposed {
    count: usize,
    bytes: usize,
    largest: usize,
}

/// When a snapshot for which there was no space is tried again.
const SNAPSHOT_AGAIN_AFTER_US: u64 = 1_000_000;

/// What an entry adds to the records in it, at most.
const ENTRY_OVERHEAD: usize = 64;

impl MetadataLog {
    /// Goes on from what the disk held. Drive it with [`Self::turn`] until it is [`Self::is_caught_up`]. With `loss`, what
    /// cannot be used is given up and named there.
    ///
    /// # Errors
    /// In words, when the log contradicts itself or the snapshot.
    #[expect(clippy::too_many_arguments, reason = "everything that was recovered comes together here")]
    fn recover(
        node: BrokerId,
        seed: u64,
        copy: Option<Copy>,
        mut log: RecoveredLog,
        mut journal: Journal,
        incarnation: u64,
        block: usize,
        loss: Option<&mut Vec<String>>,
    ) -> Result<Self, String> {
        let generation = copy.as_ref().map_or(0, |c| c.generation);
        journal.saved(generation);
        let image = match copy {
            Some(copy) => snapshot::from_bytes(&copy.content).map_err(|e| format!("the metadata snapshot: {e}"))?,
            None => MetadataImage::default(),
        };
        let meta = (generation > 0).then(|| SnapshotMeta { offset: image.offset(), term: image.term() });
        if let Some(loss) = loss {
            loss.extend(log.give_up_what_is_lost(meta));
        }
        let hard_state = log.hard_state;
        let recovered = Recovered { hard_state, entries: log.entries, snapshot: meta };
        let quorum = Quorum::new(node, seed, recovered).map_err(|e| e.to_string())?;
        Ok(Self {
            quorum,
            image,
            journal,
            block,
            incarnation,
            generation,
            hard_state,
            persisting: VecDeque::new(),
            snapshot: None,
            closing: None,
            applied: Vec::new(),
            proposed: Proposed::default(),
        })
    }

    /// Proposes records, which apply together or not at all; [`Self::take_applied`] tells.
    ///
    /// # Errors
    /// Why nothing of it will happen; overloaded, too, while the journal has no room for it.
    fn propose(&mut self, records: &[MetadataRecord]) -> Result<ProposalId, ProposeError> {
        let len = encoding::encode(records).map_err(ProposeError::Unencodable)?.len() + ENTRY_OVERHEAD;
        if len > self.journal.geometry().payload_max() {
            return Err(ProposeError::Unencodable(EncodeError::TooLarge));
        }
        let Proposed { count, bytes, largest } = self.proposed;
        let proposed = Proposed { count: count + 1, bytes: bytes + len, largest: largest.max(len) };
        if !self.journal.has_room_for(proposed.count, proposed.bytes, proposed.largest) {
            return Err(ProposeError::Overloaded);
        }
        let id = self.quorum.propose(records)?;
        self.proposed = proposed;
        Ok(id)
    }

    /// Moves everything one step on: part of every end of turn, and after every completion.
    fn turn(&mut self, now: Now, ids: &mut Ids, actions: &mut Vec<Action>) {
        loop {
            while let Some(ready) = self.quorum.poll_ready() {
                self.persist(ready.number, ready.hard_state, &ready.entries);
            }
            self.proposed = Proposed::default();
            self.journal.cut(now.monotonic_us, self.image.offset().0, ids, actions);
            let durable = self.journal.durable_sequence();
            while let Some((number, _)) = self.persisting.pop_front_if(|(_, sequence)| *sequence <= durable) {
                self.quorum.persisted(number);
            }
            let committed = self.quorum.take_committed();
            if committed.is_empty() {
                break;
            }
            for entry in committed {
                let delta = self.image.apply(entry.offset, entry.term, &entry.records);
                self.applied.push(Applied { delta, entry });
            }
        }
        self.snapshot_turn(now, ids, actions);
        // The hard state of a snapshot goes out at once: nothing else would bring another turn.
        self.journal.cut(now.monotonic_us, self.image.offset().0, ids, actions);
        self.journal.close_if_idle(now.monotonic_us, self.image.offset().0, ids, actions);
    }

    fn persist(&mut self, number: ReadyNumber, hard_state: Option<HardState>, entries: &[LogEntry]) {
        let mut sequence = 0;
        if let Some(hard_state) = hard_state {
            sequence = self.append(EntryKind::RaftHardState, &hard_state.to_bytes());
            self.hard_state = Some(hard_state);
        }
        for entry in entries {
            sequence = self.append(EntryKind::RaftEntries, &entry.to_bytes());
        }
        self.persisting.push_back((number, sequence));
    }

    fn append(&mut self, kind: EntryKind, payload: &[u8]) -> u64 {
        let entry = NewEntry {
            kind,
            level: Durability::Fsync,
            topic_id: [0; 16],
            partition: 0,
            leader_epoch: 0,
            base_offset: 0,
            last_offset: 0,
            segment_base_offset: 0,
            payload_crc: crc32c::crc32c(payload),
        };
        self.journal.append(entry, &[payload]).sequence
    }

    fn snapshot_turn(&mut self, now: Now, ids: &mut Ids, actions: &mut Vec<Action>) {
        if let Some(snapshot) = &mut self.snapshot {
            let is_next = match &mut snapshot.stage {
                SnapshotStage::HardState { sequence } => *sequence <= self.journal.durable_sequence(),
                SnapshotStage::Waiting { until_us } => {
                    now.monotonic_us >= *until_us.get_or_insert(now.monotonic_us + SNAPSHOT_AGAIN_AFTER_US)
                }
                SnapshotStage::Writing { .. } => false,
            };
            if is_next {
                let op = ids.op();
                let steps = SNAPSHOT.write(FOLDER, &snapshot.copy, self.block, ids);
                let file = steps.iter().find_map(|s| if let Step::Open { file, .. } = s { Some(*file) } else { None });
                actions.push(Action::Io { op, steps });
                snapshot.stage = SnapshotStage::Writing { op, file };
            }
            return;
        }
        let crowded =
            self.journal.files_in_use() >= 2 && self.journal.files_in_use() * 2 > self.journal.geometry().files_max;
        let quiet =
            self.persisting.is_empty() && self.quorum.caught_up() && self.image.offset() == self.quorum.applied();
        let due = quiet && (crowded || self.quorum.snapshot_due()) && self.journal.has_reserve(HardState::BYTES);
        let Some(hard_state) = self.hard_state.filter(|_| due) else { return };
        let first_ordinal = self.journal.newest_ordinal().unwrap_or(0);
        let meta = SnapshotMeta { offset: self.image.offset(), term: self.image.term() };
        // The hard state is needed besides the snapshot, in a file that stays.
        let committed = HardState { committed: meta.offset, ..hard_state };
        let sequence = self.append(EntryKind::RaftHardState, &committed.to_bytes());
        self.hard_state = Some(committed);
        self.generation += 1;
        let content = Bytes::from(snapshot::to_bytes(&self.image));
        let (version, generation, incarnation) = (SNAPSHOT.version, self.generation, self.incarnation);
        let copy = Copy { version, generation, first_ordinal, incarnation, content };
        self.snapshot =
            Some(SnapshotInFlight { stage: SnapshotStage::HardState { sequence }, copy, meta, first_ordinal });
    }

    /// An operation that the shard started has ended. Returns whether it was one of the metadata log's.
    ///
    /// # Errors
    /// In words, when the process must not go on.
    fn completed(
        &mut self,
        op: OpId,
        result: &Result<Vec<Bytes>, IoError>,
        ids: &mut Ids,
        actions: &mut Vec<Action>,
    ) -> Result<bool, String> {
        let is_snapshot =
            |s: &mut SnapshotInFlight| matches!(s.stage, SnapshotStage::Writing { op: writing, .. } if writing == op);
        if self.closing.take_if(|closing| *closing == op).is_some() {
            return Ok(true);
        }
        if let Some(snapshot) = self.snapshot.take_if(is_snapshot) {
            return match result {
                Ok(_) => {
                    self.journal.saved(self.generation);
                    self.journal.release(snapshot.first_ordinal);
                    self.quorum.compact(snapshot.meta);
                    Ok(true)
                }
                Err(error) if is_full(error) => {
                    let message = format!(
                        "the metadata snapshot: {} failed with error {} (is the disk full?); trying again",
                        error.what, error.errno
                    );
                    actions.push(Action::Log { level: LogLevel::Error, message });
                    if let SnapshotStage::Writing { file: Some(file), .. } = snapshot.stage
                        && error.step > 0
                    {
                        let op = ids.op();
                        actions.push(Action::Io { op, steps: vec![Step::Close { file }] });
                        self.closing = Some(op);
                    }
                    let stage = SnapshotStage::Waiting { until_us: None };
                    self.snapshot = Some(SnapshotInFlight { stage, ..snapshot });
                    Ok(true)
                }
                Err(error) => Err(format!("the metadata snapshot: {} failed with error {}", error.what, error.errno)),
            };
        }
        self.journal.completed(op, result, ids, actions).map_err(|e: JournalError| e.to_string())
    }

    /// Whether everything proposed is applied and the journal is at rest. A snapshot for which there is no space is not
    /// waited for: the journal keeps what would be in it.
    fn is_quiet(&self) -> bool {
        let waits = self.snapshot.as_ref().is_none_or(|s| matches!(s.stage, SnapshotStage::Waiting { .. }));
        self.persisting.is_empty() && waits && self.closing.is_none() && self.journal.is_idle()
    }

    /// Closes the journal, so that the next start knows that nothing is missing. Call until it says true.
    fn close(&mut self, now: Now, ids: &mut Ids, actions: &mut Vec<Action>) -> bool {
        self.is_quiet() && self.journal.close(now.monotonic_us, self.image.offset().0, ids, actions)
    }

    /// When the metadata log wants a tick, in microseconds of the monotonic clock.
    fn next_deadline_us(&self) -> Option<u64> {
        let again = self.snapshot.as_ref().and_then(|snapshot| match snapshot.stage {
            SnapshotStage::Waiting { until_us } => Some(until_us.unwrap_or(0)),
            _ => None,
        });
        [self.journal.next_deadline_us(), again].into_iter().flatten().min()
    }
}
