//! All partitions of a shard over one journal: appending, acknowledging, reading, retention.
//!
//! Routes; the rules live in `partition`, `log_starts`, `write_back`, `reads` and in the journal.
//!
//! Invariants: an entry is in the tail cache and in a journal commit from the same call on, so that what recovery finds
//! is what memory held; nothing is visible or answered before the journal says its commit reached the level.

use super::cleaner::Cleaner;
use super::index_repair::IndexRepair;
use super::partition::{NewBatch, Partition, Place};
use super::producer_state::{ProducerBatch, Verdict};
use super::reads::Reads;
use super::tail::ChunkPool;
use super::write_back::WriteBack;
use super::{AckPoint, Durability, FoundOffset, PartitionId, Progress, Reached, ReadId};
use crate::config::{CleanerConfig, TopicConfig};
use crate::ids::Ids;
use crate::io::{Action, FileId, IoError, LogLevel, Now, OpId};
use crate::journal::{EntryKind, Journal, NewEntry};
use crate::limits;
use crate::metrics::{Commits, LogCounts, LogFigures};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{self, HeaderPatch, RecordBatch, Validated};

/// Where a batch's header has its CRC.
const CRC_FIELD: Range<usize> = 17..21;

/// The sizes that `Logs` keeps within.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Memory of the tail cache, clean and dirty, in bytes.
    pub tail_bytes: usize,
    /// Memory for reads from disk in flight, in bytes.
    pub read_bytes: usize,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: u64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: u64,
    /// How compacted topics are cleaned.
    pub cleaner: CleanerConfig,
    /// Memory for the keys of one cleaning, in bytes.
    pub cleaner_bytes: u64,
    /// Randomness that nobody outside knows.
    pub seed: u64,
    /// Bytes of the file system that stay free for checkpoints and deletion.
    pub reserve_bytes: u64,
}

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// All its bytes.
    pub total_bytes: u64,
    /// Those that this process may still use.
    pub free_bytes: u64,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record; for a duplicate, the one it got at first.
    pub base_offset: i64,
    /// The broker's timestamp in milliseconds for `LogAppendTime` topics, otherwise -1.
    pub log_append_time_ms: i64,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// When the answer may leave.
    pub ack: AckPoint,
}

/// Why a batch was not appended. Nothing of it is stored.
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
    /// Whole batches; none at the high watermark.
    Records {
        /// The bytes.
        segments: Vec<Bytes>,
        /// Their sum.
        bytes: usize,
    },
    /// Below the log start or above the high watermark.
    OutOfRange,
    /// On disk: [`Progress::reads`] brings it.
    Pending(ReadId),
    /// It cannot be read now.
    Failed(ErrorCode),
}

/// Which record a timestamp lookup wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampTarget {
    /// The first record at or after this time, in milliseconds.
    At(i64),
    /// The first record with the largest timestamp of the partition (KIP-734).
    Max,
}

/// What a timestamp lookup found.
#[derive(Debug)]
pub enum Lookup {
    /// The record, or none.
    Done(Option<FoundOffset>),
    /// On disk: [`Progress::lookups`] brings it.
    Pending(ReadId),
    /// It cannot be looked up now.
    Failed(ErrorCode),
}

/// Whether the operator was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    NotYet,
    Yes,
}

/// See the module's description.
pub struct Logs {
    pub(super) block: usize,
    pub(super) ids: Ids,
    pub(super) journal: Journal,
    pub(super) limits: LogLimits,
    pub(super) metadata_offset: u64,
    pub(super) partitions: Vec<Option<Box<Partition>>>,
    by_key: BTreeMap<(TopicId, i32), PartitionId>,
    awaiting_durable: VecDeque<(u64, PartitionId)>,
    awaiting_written: VecDeque<(u64, PartitionId)>,
    pub(super) log_starts: VecDeque<(u64, PartitionId, i64)>,
    /// Which partitions have entries in which use of a journal file, oldest first.
    pub(super) users: VecDeque<(u64, Vec<PartitionId>)>,
    /// One entry for every chunk that takes no more: what is not in it is never evicted.
    pub(super) closed_chunks: VecDeque<PartitionId>,
    chunk_pool: ChunkPool,
    pub(super) tail_memory: usize,
    pub(super) dirty_bytes: u64,
    /// Bytes that producers may still write until free space is measured again.
    pub(super) disk_room: u64,
    volume: Option<Volume>,
    /// Somebody waits until less is dirty.
    pub(super) room_wanted: bool,
    /// A batch was refused for want of space.
    disk_full: Option<Told>,
    pub(super) retention_due_us: u64,
    /// When what is not flushed has to be, because of `flush.ms`.
    flush_due_us: Option<u64>,
    /// In this turn.
    reencoded_bytes: usize,
    pub(super) write_back: WriteBack,
    pub(super) reads: Reads,
    pub(super) repair: IndexRepair,
    pub(super) cleaner: Cleaner,
    pub(super) progress: Progress,
    pub(super) reached: Reached,
    counts: LogCounts,
    commits: Commits,
}

impl Logs {
    /// Logs without partitions, over a journal that was started.
    pub fn new(block: usize, ids: Ids, journal: Journal, limits: LogLimits, write_back: WriteBack) -> Self {
        let reached = Reached { written: journal.written_sequence(), durable: journal.durable_sequence() };
        Self {
            block,
            ids,
            journal,
            limits,
            metadata_offset: 0,
            partitions: Vec::new(),
            by_key: BTreeMap::new(),
            awaiting_durable: VecDeque::new(),
            awaiting_written: VecDeque::new(),
            log_starts: VecDeque::new(),
            users: VecDeque::new(),
            closed_chunks: VecDeque::new(),
            chunk_pool: ChunkPool::default(),
            tail_memory: 0,
            dirty_bytes: 0,
            disk_room: u64::MAX,
            volume: None,
            room_wanted: false,
            disk_full: None,
            retention_due_us: 0,
            flush_due_us: None,
            reencoded_bytes: 0,
            write_back,
            reads: Reads::new(limits.read_bytes),
            repair: IndexRepair::default(),
            cleaner: Cleaner::new(limits.cleaner, limits.cleaner_bytes, limits.seed),
            progress: Progress::default(),
            reached,
            counts: LogCounts::default(),
            commits: Commits::new(reached.written),
        }
    }

    /// The partition of a topic that this shard owns.
    pub fn find(&self, topic: TopicId, partition: i32) -> Option<PartitionId> {
        self.by_key.get(&(topic, partition)).copied()
    }

    /// Adds an empty partition.
    pub fn create(
        &mut self,
        topic_id: TopicId,
        topic: &str,
        index: i32,
        epoch: i32,
        config: TopicConfig,
    ) -> PartitionId {
        let id = PartitionId(u32::try_from(self.partitions.len()).expect("fewer than 2^32 partitions in a lifetime"));
        let mut partition = Partition::new(id, topic_id, topic.to_string(), index, self.block, config);
        partition.leader_epoch = epoch;
        let before = self.by_key.insert((topic_id, index), id);
        assert!(before.is_none(), "a partition is created once");
        self.partitions.push(Some(Box::new(partition)));
        id
    }

    /// A partition that exists.
    pub fn partition(&self, id: PartitionId) -> &Partition {
        self.partitions[id.0 as usize].as_deref().expect("ids of removed partitions are not used")
    }

    pub(crate) fn partition_mut(&mut self, id: PartitionId) -> &mut Partition {
        self.partitions[id.0 as usize].as_deref_mut().expect("ids of removed partitions are not used")
    }

    /// Whether the partition still exists.
    pub fn exists(&self, id: PartitionId) -> bool {
        self.partitions.get(id.0 as usize).is_some_and(|p| p.is_some())
    }

    /// The partitions that exist.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().flatten().map(|p| &**p)
    }

    /// Partitions that exist, of so many places from this one on, and the place behind them if there are more.
    pub fn some(&self, from: usize, places: usize) -> (impl Iterator<Item = &Partition>, Option<usize>) {
        let end = from.saturating_add(places).min(self.partitions.len());
        let some = self.partitions.get(from..end).unwrap_or_default().iter().flatten().map(|p| &**p);
        (some, (end < self.partitions.len()).then_some(end))
    }

    /// Changes a topic's configuration; it counts from the next append on.
    pub fn reconfigure(&mut self, id: PartitionId, config: TopicConfig) {
        self.partition_mut(id).config = config;
    }

    /// How long the state of a producer that sends nothing is kept, in milliseconds.
    pub fn set_producer_expiration(&mut self, ms: u64) {
        self.limits.producer_expiration_ms = ms;
    }

    /// This node leads the partition in a new epoch.
    pub fn set_leader_epoch(&mut self, id: PartitionId, leader_epoch: i32) {
        let partition = self.partition_mut(id);
        assert!(partition.leader_epoch <= leader_epoch, "leader epochs grow");
        partition.leader_epoch = leader_epoch;
    }

    /// The metadata log has been applied up to here; every commit from now on says so.
    pub fn set_metadata_offset(&mut self, offset: u64) {
        assert!(offset >= self.metadata_offset, "metadata is applied in order");
        self.metadata_offset = offset;
    }

    /// What the host measured of the file system, of which these logs may take `bytes`: those of other shards lie on it
    /// too. What is dirty has no place in it yet. The journal grows only where as much again as it may take is left to
    /// producers.
    pub fn set_free_bytes(&mut self, volume: Volume, bytes: u64, actions: &mut Vec<Action>) {
        self.volume = Some(volume);
        // Whatever the file system says of itself: there may be a quota.
        let bytes = if self.write_back.is_out_of_space() || self.journal.is_stuck() { 0 } else { bytes };
        let room = bytes.saturating_sub(self.dirty_bytes).saturating_sub(self.limits.reserve_bytes);
        let growth = self.journal.growth_bytes();
        let may_grow = room / 2 >= growth;
        self.journal.set_may_grow(may_grow);
        self.disk_room = if may_grow { room - growth } else { room };
        if self.disk_full == Some(Told::Yes) && self.disk_room > 0 {
            self.disk_full = None;
            Self::log(actions, LogLevel::Warn, String::from("there is space again: produce requests are taken"));
        }
    }

    /// The file system that the partitions lie on, once the host has measured it.
    pub fn volume(&self) -> Option<Volume> {
        self.volume
    }

    /// Makes room for so many bytes of produce at most, in a test.
    #[cfg(test)]
    pub(crate) fn set_room(&mut self, bytes: usize) {
        self.limits.tail_bytes = (self.dirty_bytes as usize).saturating_add(bytes).saturating_mul(4).div_ceil(3);
    }

    /// How many files the journal has at least.
    pub fn journal_files(&self) -> u32 {
        self.journal.files()
    }

    /// Memory of the tail cache, clean and dirty, in bytes.
    pub fn tail_memory(&self) -> usize {
        self.tail_memory
    }

    /// What was counted beside the partitions.
    pub fn counts(&self) -> &LogCounts {
        &self.counts
    }

    /// The commits of the journal.
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Records for this partition were refused.
    pub(crate) fn note_refused(&mut self, topic: TopicId, partition: i32) {
        if let Some(id) = self.find(topic, partition) {
            let counts = &mut self.partition_mut(id).counts;
            counts.produce_requests += 1;
            counts.failed_produce_requests += 1;
        }
    }

    /// What the logs hold.
    pub fn figures(&self) -> LogFigures {
        let (journal, volume) = (&self.journal, self.volume);
        LogFigures {
            counts: self.counts,
            tail_bytes: self.tail_memory as u64,
            tail_bytes_max: self.limits.tail_bytes as u64,
            dirty_bytes: self.dirty_bytes,
            write_back_jobs: self.write_back.jobs_in_flight() as u64,
            read_bytes: self.reads.reserved_bytes() as u64,
            index_bytes: self.reads.index_bytes() as u64,
            journal_files_used: journal.files_in_use() as u64,
            journal_files_max: journal.geometry().files_max as u64,
            journal_used_bytes: journal.bytes_in_use(),
            journal_file_bytes: journal.geometry().file_len,
            journal_written_bytes: journal.submitted_bytes(),
            journal_unwritten_bytes: journal.unwritten_bytes() as u64,
            is_disk_full: self.disk_full.is_some(),
            volume_free_bytes: volume.map_or(0, |volume| volume.free_bytes),
            volume_bytes: volume.map_or(0, |volume| volume.total_bytes),
        }
    }

    /// Whether what was to be written back last found no space.
    pub fn is_out_of_space(&self) -> bool {
        self.write_back.is_out_of_space()
    }

    /// Whether `bytes` more of produce can be taken now, or have to be refused since the disk is full. If not, intake pauses
    /// until they can.
    pub fn can_accept(&mut self, bytes: usize) -> bool {
        if self.disk_room < bytes.max(1) as u64 {
            return true;
        }
        let fits = (self.dirty_bytes as usize).saturating_add(bytes) <= self.limits.tail_bytes / 4 * 3;
        // Nothing else may come that would ask for a write-back.
        self.room_wanted |= !fits;
        fits && self.journal.has_room(bytes) && self.may_reencode() > 0
    }

    /// How many bytes this turn may still bring into another codec.
    pub fn may_reencode(&self) -> usize {
        limits::REENCODED_BYTES_PER_TURN.saturating_sub(self.reencoded_bytes)
    }

    /// So many bytes were brought into another codec.
    pub fn note_reencoded(&mut self, bytes: usize) {
        self.reencoded_bytes += bytes;
    }

    /// The turn is over. Returns whether it has brought as much as it may into another codec: somebody may wait for the
    /// next one.
    pub fn end_reencoding(&mut self) -> bool {
        core::mem::take(&mut self.reencoded_bytes) >= limits::REENCODED_BYTES_PER_TURN
    }

    /// Appends one validated batch as the producer sent it.
    ///
    /// # Errors
    /// The producer's epoch or sequence does not fit, or the disk is full.
    pub fn append(
        &mut self,
        now: Now,
        id: PartitionId,
        batch: &RecordBatch<'_>,
        v: &Validated,
    ) -> Result<Appended, AppendRefused> {
        if self.disk_room < v.size as u64 {
            self.disk_full.get_or_insert(Told::NotYet);
            let message = "the data directory's file system is full".to_string();
            return Err(AppendRefused { error: ErrorCode::KAFKA_STORAGE_ERROR, message });
        }
        let producer = ProducerBatch::new(v.producer_id, v.producer_epoch, v.base_sequence, v.last_offset_delta);
        let partition = self.partition(id);
        if let Some(producer) = producer {
            match partition.producers.check(producer) {
                Ok(Verdict::New) => {}
                Ok(Verdict::Duplicate(original)) => {
                    return Ok(Appended {
                        base_offset: original.base_offset,
                        log_append_time_ms: append_time(partition, original.timestamp_ms),
                        log_start_offset: partition.log_start,
                        ack: original.ack,
                    });
                }
                Err(error) => return Err(Self::refused_producer(error, producer, partition)),
            }
        }
        Ok(self.append_checked(now, id, batch, v, producer))
    }

    fn refused_producer(error: ErrorCode, batch: ProducerBatch, partition: &Partition) -> AppendRefused {
        let message = format!(
            "producer {} epoch {} sent sequence {} to {}-{}, which does not follow what it wrote before",
            batch.producer_id, batch.producer_epoch, batch.base_sequence, partition.topic, partition.index
        );
        AppendRefused { error, message }
    }

    fn append_checked(
        &mut self,
        now: Now,
        id: PartitionId,
        batch: &RecordBatch<'_>,
        v: &Validated,
        producer: Option<ProducerBatch>,
    ) -> Appended {
        let partition = self.partitions[id.0 as usize].as_deref_mut().expect("the caller found it");
        let (base_offset, leader_epoch) = (partition.log_end, partition.leader_epoch);
        let patch = HeaderPatch { base_offset, leader_epoch, timestamp: v.timestamp_patch };
        let header = record_batch::patched_header(batch, &patch);
        let crc = u32::from_be_bytes(header[CRC_FIELD].try_into().expect("the field has four bytes"));
        let pieces: [&[u8]; 2] = [&header, batch.payload()];
        let new = NewBatch {
            size: u32::try_from(v.size).expect("a frame is shorter than 2^31"),
            last_offset_delta: v.last_offset_delta,
            max_timestamp_ms: v.max_timestamp,
            max_timestamp_delta: v.offset_delta_of_max_timestamp,
            crc,
            producer,
        };
        if partition.roll_if_due(&new, now.wall_ms) {
            self.closed_chunks.push_back(id);
        }
        let level = partition.level_of(v.record_count.unsigned_abs().into());
        if level != Durability::Fsync && partition.config.flush_ms < u64::MAX / 2_000 {
            let due_us = now.monotonic_us + partition.config.flush_ms * 1_000;
            self.flush_due_us = Some(self.flush_due_us.map_or(due_us, |due| due.min(due_us)));
        }
        let entry = NewEntry {
            kind: EntryKind::Records,
            level,
            topic_id: partition.topic_id.0,
            partition: partition.index,
            leader_epoch,
            base_offset,
            last_offset: base_offset + i64::from(v.last_offset_delta),
            segment_base_offset: partition.active().base_offset,
            payload_crc: crc,
        };
        let placed = self.journal.append(entry, &pieces);
        let ack = AckPoint { sequence: placed.sequence, level };
        let memory = partition.tail.memory();
        let place = Place { ordinal: placed.ordinal, ack, leader_epoch };
        for _ in 0..partition.append(&new, place, &pieces, now.wall_ms, &mut self.chunk_pool) {
            self.closed_chunks.push_back(id);
        }
        self.tail_memory += partition.tail.memory() - memory;
        self.dirty_bytes += v.size as u64;
        partition.counts.produce_requests += 1;
        partition.counts.bytes_in += v.size as u64;
        partition.counts.records_in += v.record_count.unsigned_abs() as u64;
        self.disk_room -= v.size as u64;
        if partition.listed_ordinal != placed.ordinal {
            partition.listed_ordinal = placed.ordinal;
            list_user(&mut self.users, placed.ordinal, id);
        }
        let appended = Appended {
            base_offset,
            log_append_time_ms: append_time(partition, now.wall_ms),
            log_start_offset: partition.log_start,
            ack,
        };
        match level {
            Durability::Fsync => push_once(&mut self.awaiting_durable, (placed.sequence, id)),
            Durability::Write => push_once(&mut self.awaiting_written, (placed.sequence, id)),
            Durability::Memory => self.advance(id),
        }
        appended
    }

    fn advance(&mut self, id: PartitionId) {
        let reached = self.reached;
        let Some(partition) = self.partitions[id.0 as usize].as_deref_mut() else { return };
        if partition.advance_high_watermark(reached) {
            self.progress.advanced.push(id);
        }
    }

    /// Whether an answer that waits for `ack` may leave.
    pub fn reached(&self, ack: AckPoint) -> bool {
        self.reached.is_reached(ack)
    }

    /// Reads whole visible batches from the one that holds `from`, at most `max_bytes`; with `whole_first` the first one
    /// whatever its size. With `in_place` those of a sealed segment may be left where they are.
    pub fn read(
        &mut self,
        id: PartitionId,
        from: i64,
        max_bytes: usize,
        whole_first: bool,
        in_place: bool,
        actions: &mut Vec<Action>,
    ) -> Read {
        let partition = self.partitions[id.0 as usize].as_deref_mut().expect("the caller found it");
        partition.counts.fetch_requests += 1;
        if from < partition.log_start || from > partition.high_watermark {
            partition.counts.failed_fetch_requests += 1;
            return Read::OutOfRange;
        }
        if from == partition.high_watermark {
            return Read::Records { segments: Vec::new(), bytes: 0 };
        }
        // Segments that were emptied are passed over.
        let at = super::reads::segment_for(partition, from).base_offset.max(from);
        if let Some((segments, bytes)) = partition.read_tail(at, max_bytes, whole_first) {
            partition.counts.bytes_out += bytes as u64;
            self.counts.tail_hits += 1;
            return Read::Records { segments, bytes };
        }
        self.counts.tail_misses += 1;
        self.reads.fetch(partition, from, max_bytes, whole_first, in_place, self.block, &mut self.ids, actions)
    }

    /// A file that came with [`super::Fetched::InPlace`] will not be sent.
    pub fn close_file(&mut self, file: FileId, actions: &mut Vec<Action>) {
        self.reads.close_file(file, &mut self.ids, actions);
    }

    /// The batches of a segment could not be sent from their place: the next reads verify them and say what is wrong.
    pub fn distrust_segment(&mut self, id: PartitionId, segment: i64) {
        if self.exists(id) {
            self.reads.distrust(id, segment);
        }
    }

    /// Finds a record by its timestamp, below the high watermark.
    pub fn lookup_timestamp(&mut self, id: PartitionId, target: TimestampTarget, actions: &mut Vec<Action>) -> Lookup {
        let partition = self.partitions[id.0 as usize].as_deref().expect("the caller found it");
        self.reads.lookup(partition, target, self.block, &mut self.ids, actions)
    }

    /// Bytes between `from` and the high watermark; an estimate below the tail.
    pub fn available_bytes(&self, id: PartitionId, from: i64) -> u64 {
        self.partition(id).available_bytes(from)
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

    /// Stops serving a partition whose topic was deleted, and removes its files when nothing is in flight on them.
    pub fn remove(&mut self, id: PartitionId, actions: &mut Vec<Action>) {
        let Some(mut partition) = self.partitions[id.0 as usize].take() else { return };
        self.by_key.remove(&(partition.topic_id, partition.index));
        self.counts.removed.add(&partition.counts);
        self.tail_memory -= partition.tail.memory();
        self.dirty_bytes -= partition.dirty_bytes();
        // Who waits for its records is told that it is gone, and must not look at it before.
        self.progress.advanced.retain(|advanced| *advanced != id);
        self.progress.gone.push(id);
        self.reads.forget_partition(id, &mut self.ids, &mut self.progress, actions);
        partition.tail.drop_before(i64::MAX);
        self.write_back.remove_folder(&partition, &mut self.ids, actions);
    }

    /// An operation that the shard started has ended. Returns whether it was one of the logs'.
    ///
    /// # Errors
    /// In words, when the process must not go on.
    pub fn completed(
        &mut self,
        now: Now,
        op: OpId,
        result: Result<Vec<Bytes>, IoError>,
        actions: &mut Vec<Action>,
    ) -> Result<bool, String> {
        if self.write_back.owns(op) {
            self.write_back_completed(now, op, result, actions)?;
            return Ok(true);
        }
        if self.reads.owns(op) {
            self.read_completed(op, result, actions);
            return Ok(true);
        }
        if self.repair.owns(op) {
            self.repair_completed(result, actions);
            return Ok(true);
        }
        if self.cleaner.owns(op) {
            self.clean_read_completed(now, result, actions);
            return Ok(true);
        }
        match self.journal.completed(op, &result, &mut self.ids, actions) {
            Ok(ours) => Ok(ours),
            Err(error) => Err(error.to_string()),
        }
    }

    fn read_completed(&mut self, op: OpId, result: Result<Vec<Bytes>, IoError>, actions: &mut Vec<Action>) {
        // The reads of a partition that is removed are abandoned with it.
        let Some(id) = self.reads.partition_of(op) else {
            return self.reads.abandoned(op, result.is_err(), &mut self.ids, actions);
        };
        let partition = self.partitions[id.0 as usize].as_deref_mut().expect("its reads are not abandoned");
        let before = self.progress.reads.len();
        self.reads.completed(partition, op, result, self.block, &mut self.ids, &mut self.progress, actions);
        for (_, result) in &self.progress.reads[before..] {
            self.counts.segment_bytes += partition.counts.fetched(result);
        }
    }

    /// The end of a turn: commits are cut, watermarks moved, disk jobs started.
    pub fn end_of_turn(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.disk_full == Some(Told::NotYet) {
            self.disk_full = Some(Told::Yes);
            let message = format!(
                "the data directory's file system is full but for a reserve of {} MiB: produce requests are refused until \
                 retention or you make space",
                self.limits.reserve_bytes >> 20
            );
            Self::log(actions, LogLevel::Error, message);
        }
        self.retain(now);
        self.write_back_turn(now, actions);
        self.clean_turn(now, actions);
        if self.flush_due_us.take_if(|due_us| *due_us <= now.monotonic_us).is_some() {
            self.journal.request_sync(&mut self.ids, actions);
        }
        self.journal.cut(now.monotonic_us, self.metadata_offset, &mut self.ids, actions);
        self.commits.submitted(self.journal.submitted_sequence(), now.monotonic_us);
        self.journal.close_if_idle(now.monotonic_us, self.metadata_offset, &mut self.ids, actions);
        self.note_reached(now, actions);
        self.evict();
        self.repair_turn(actions);
        while let Some(id) = self.reads.next_waiting() {
            let Some(partition) = self.partitions[id.0 as usize].as_deref() else { break };
            self.reads.start_waiting(partition, self.block, &mut self.ids, &mut self.progress, actions);
        }
    }

    /// Moves everything that waited for the journal.
    pub fn note_reached(&mut self, now: Now, actions: &mut Vec<Action>) {
        let reached = Reached { written: self.journal.written_sequence(), durable: self.journal.durable_sequence() };
        if reached == self.reached {
            return;
        }
        self.reached = reached;
        self.commits.durable(reached.durable, now.monotonic_us);
        self.progress.acks = true;
        while let Some((_, id)) = self.awaiting_durable.pop_front_if(|(sequence, _)| *sequence <= reached.durable) {
            self.advance(id);
        }
        while let Some((_, id)) = self.awaiting_written.pop_front_if(|(sequence, _)| *sequence <= reached.written) {
            self.advance(id);
        }
        self.apply_log_starts(now, actions);
    }

    /// Where this shard's identifiers come from.
    pub(crate) fn ids_mut(&mut self) -> &mut Ids {
        &mut self.ids
    }

    /// Whether [`Self::take_progress`] has something to tell.
    pub fn has_progress(&self) -> bool {
        !self.progress.is_empty()
    }

    /// Takes what happened since the last call.
    pub fn take_progress(&mut self) -> Progress {
        core::mem::take(&mut self.progress)
    }

    /// When the logs want a tick, in microseconds of the monotonic clock.
    pub fn next_deadline_us(&self) -> Option<u64> {
        let journal = self.journal.next_deadline_us();
        let (write_back, cleaner) = (self.write_back.next_deadline_us(), self.cleaner.next_deadline_us());
        let own = [Some(self.retention_due_us), journal, write_back, cleaner, self.flush_due_us];
        own.into_iter().flatten().min()
    }

    fn evict(&mut self) {
        let mut tries = self.closed_chunks.len();
        while self.tail_memory > self.limits.tail_bytes && tries > 0 {
            tries -= 1;
            let Some(id) = self.closed_chunks.pop_front() else { break };
            let Some(partition) = self.partitions[id.0 as usize].as_deref_mut() else { continue };
            let flushed = partition.flushed;
            match partition.tail.evict_oldest(&flushed, &mut self.chunk_pool) {
                Some(freed) => self.tail_memory -= freed,
                None => self.closed_chunks.push_back(id),
            }
        }
    }

    /// Says something to the operator.
    pub(super) fn log(actions: &mut Vec<Action>, level: LogLevel, message: String) {
        actions.push(Action::Log { level, message });
    }

    /// Takes part of a recovered partition into the account, after `replay` filled it.
    pub(crate) fn account_recovered(&mut self, id: PartitionId) {
        let partition = self.partitions[id.0 as usize].as_deref().expect("it was just recovered");
        self.tail_memory += partition.tail.memory();
        self.dirty_bytes += partition.dirty_bytes();
        let mut ordinals: Vec<u64> = partition.unflushed().map(|b| b.ordinal).collect();
        ordinals.dedup();
        if ordinals.is_empty() && partition.flushed.segment != partition.active().base_offset {
            // After a loss there may be a segment to be sealed without a batch that would bring it into a pass.
            ordinals.push(self.journal.oldest_ordinal().unwrap_or(0));
        }
        let chunks = partition.tail.chunk_count();
        for ordinal in ordinals {
            list_user(&mut self.users, ordinal, id);
        }
        self.closed_chunks.extend(core::iter::repeat_n(id, chunks));
    }
}

fn push_once(queue: &mut VecDeque<(u64, PartitionId)>, item: (u64, PartitionId)) {
    if queue.back() != Some(&item) {
        queue.push_back(item);
    }
}

/// Notes that a partition has an entry in a use of a journal file.
pub(super) fn list_user(users: &mut VecDeque<(u64, Vec<PartitionId>)>, ordinal: u64, id: PartitionId) {
    let at = users.partition_point(|(o, _)| *o < ordinal);
    match users.get_mut(at) {
        Some((o, ids)) if *o == ordinal => {
            if ids.last() != Some(&id) {
                ids.push(id);
            }
        }
        _ => users.insert(at, (ordinal, alloc::vec![id])),
    }
}

fn append_time(partition: &Partition, now_ms: i64) -> i64 {
    if partition.config.log_append_time { now_ms } else { -1 }
}
