//! One partition: where its log begins and ends, what of it is visible, written back, and in memory.
//!
//! Decides about this partition alone and performs nothing: `Logs` owns the journal, the disk jobs and the budgets.
//!
//! Invariants: log start <= high watermark <= log end; the flushed offset never passes what the journal made durable;
//! the spans of segments are contiguous, the last one takes appends, those below the flushed segment are sealed; the producer state
//! `flushed_producers` is exactly that of the flushed offset.

use super::cleaner::Cleaning;
use super::leader_epochs::LeaderEpochs;
use super::producer_state::{ProducerBatch, ProducerState};
use super::segment::{AppendedToSegment, Segment};
use super::tail::{Batch, ChunkPool, Tail};
use super::{AckPoint, Flushed, PartitionId, Reached};
use crate::config::{Durability, TopicConfig};
use crate::metrics::PartitionCounts;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::ids::TopicId;

/// The most bytes one write-back of a partition takes, so that jobs of many partitions share the disk.
pub const WRITE_BACK_BYTES_MAX: u64 = 8 << 20;

/// See the module's description.
#[derive(Debug)]
pub struct Partition {
    /// Its number within the shard.
    pub id: PartitionId,
    /// Its topic.
    pub topic_id: TopicId,
    /// The topic's name, which names its folder.
    pub topic: String,
    /// Its index within the topic.
    pub index: i32,
    /// The topic's configuration.
    pub config: TopicConfig,
    /// The epoch in which this node leads it.
    pub leader_epoch: i32,
    /// First offset that clients may read. What is below is deleted or about to be.
    pub log_start: i64,
    /// Offset of the next record.
    pub log_end: i64,
    /// Offsets below it are visible to consumers.
    pub high_watermark: i64,
    /// All segments, oldest first; never empty.
    pub segments: VecDeque<Segment>,
    /// Up to where the segments hold the log.
    pub flushed: Flushed,
    /// What is in memory.
    pub tail: Tail,
    /// Leader epochs with records.
    pub epochs: LeaderEpochs,
    /// Idempotent producers at the log end.
    pub producers: ProducerState,
    /// Idempotent producers at the flushed offset.
    pub flushed_producers: ProducerState,
    /// Whether its folder exists, durably.
    pub has_folder: bool,
    /// Whether a write-back or a removal of its files is in flight.
    pub busy: bool,
    /// The newest journal file use in which it is listed as having entries.
    pub listed_ordinal: u64,
    /// Records since one was last flushed before its acknowledgement.
    pub unflushed_records: u64,
    /// How far it is cleaned, where it is compacted.
    pub cleaning: Cleaning,
    /// The last log start that is in the journal and not durable yet, and when it will be.
    pub log_start_pending: Option<(i64, AckPoint)>,
    /// What was counted.
    pub counts: PartitionCounts,
}

/// A batch about to be appended, as validation described it.
#[derive(Clone, Copy, Debug)]
pub struct NewBatch {
    /// Bytes.
    pub size: u32,
    /// Records less one.
    pub last_offset_delta: i32,
    /// Largest timestamp in milliseconds, or -1.
    pub max_timestamp_ms: i64,
    /// Which record has it.
    pub max_timestamp_delta: i32,
    /// Its CRC field.
    pub crc: u32,
    /// The producer, when idempotent.
    pub producer: Option<ProducerBatch>,
}

/// What a write-back takes to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBackPlan {
    /// Base offset of the segment.
    pub segment: i64,
    /// First byte, a multiple of the block size.
    pub from: u64,
    /// End, a multiple of the block size (behind the data when the segment is sealed).
    pub to: u64,
    /// The segment's final length when this write-back seals it.
    pub seal: Option<u64>,
    /// What holds once it is durable.
    pub after: Flushed,
}

impl Partition {
    /// A partition without records.
    pub fn new(
        id: PartitionId,
        topic_id: TopicId,
        topic: String,
        index: i32,
        block: usize,
        config: TopicConfig,
    ) -> Self {
        let mut segments = VecDeque::with_capacity(1);
        segments.push_back(Segment::new(0, 0));
        Self {
            id,
            topic_id,
            topic,
            index,
            config,
            leader_epoch: 0,
            log_start: 0,
            log_end: 0,
            high_watermark: 0,
            segments,
            flushed: Flushed::begin(0),
            tail: Tail::new(block),
            epochs: LeaderEpochs::default(),
            producers: ProducerState::default(),
            flushed_producers: ProducerState::default(),
            has_folder: false,
            busy: false,
            listed_ordinal: 0,
            unflushed_records: 0,
            cleaning: Cleaning::default(),
            log_start_pending: None,
            counts: PartitionCounts::default(),
        }
    }

    /// The segment that takes appends.
    pub fn active(&self) -> &Segment {
        self.segments.back().expect("a partition has a segment")
    }

    /// Begins a new segment if the next batch does not belong into the active one (Kafka's `LogSegment.shouldRoll`).
    /// Returns whether the old one was left behind, complete.
    pub fn roll_if_due(&mut self, batch: &NewBatch, now_ms: i64) -> bool {
        let active = self.active();
        if active.len == 0 {
            return false;
        }
        let config = &self.config;
        let size = active.len + u64::from(batch.size) > config.segment_bytes;
        let span = self.log_end + i64::from(batch.last_offset_delta) - active.base_offset > i64::from(i32::MAX);
        let index_full =
            (active.index_entries() as u64 + 1) * super::index::OFFSET_ENTRY_BYTES as u64 > config.segment_index_bytes;
        let age_ms = if active.first_timestamp_ms >= 0 && batch.max_timestamp_ms >= 0 {
            batch.max_timestamp_ms.saturating_sub(active.first_timestamp_ms)
        } else {
            now_ms.saturating_sub(active.created_ms)
        };
        let due = size || span || index_full || age_ms > config.roll_ms();
        if due {
            self.roll(now_ms);
        }
        due
    }

    /// Ends the active segment and begins a new one at the log end.
    pub fn roll(&mut self, now_ms: i64) {
        let old = self.segments.back_mut().expect("a partition has a segment");
        assert!(old.len > 0, "an empty segment is not rolled");
        old.complete();
        let base = old.base_offset;
        self.tail.pad(base);
        self.segments.push_back(Segment::new(self.log_end, now_ms));
    }

    /// Goes on at `offset`, behind a gap that retention left or a loss to which the operator agreed.
    pub fn restart_at(&mut self, offset: i64, now_ms: i64) {
        assert!(offset > self.log_end, "a gap lies ahead");
        self.log_end = offset;
        if self.active().len > 0 {
            self.roll(now_ms);
            return;
        }
        let empty = self.segments.pop_back().expect("a partition has a segment");
        if self.flushed.segment == empty.base_offset {
            self.flushed = Flushed::begin(offset);
        }
        self.segments.push_back(Segment::new(offset, now_ms));
    }

    /// After a loss to which the operator agreed, what is below the flushed position may be of a batch that is gone: the
    /// segment ends before it, or begins anew.
    pub fn cut_lost(&mut self) {
        let active = self.active();
        if active.base_offset != self.flushed.segment || active.len >= self.flushed.position {
            return;
        }
        match active.len {
            0 => self.flushed = Flushed::begin(self.flushed.segment),
            _ => self.roll(0),
        }
    }

    /// The level at which so many records are to be acknowledged: the topic's, or fsync where `flush.messages` or
    /// `flush.ms` allows no less.
    pub fn level_of(&mut self, records: u64) -> Durability {
        let config = &self.config;
        self.unflushed_records = self.unflushed_records.saturating_add(records);
        if config.durability == Durability::Fsync
            || config.flush_ms == 0
            || self.unflushed_records >= config.flush_messages
        {
            self.unflushed_records = 0;
            return Durability::Fsync;
        }
        config.durability
    }

    /// Appends a batch at the log end. `place` says where in the journal it went. Returns how many chunks became full.
    pub fn append(
        &mut self,
        batch: &NewBatch,
        place: Place,
        pieces: &[&[u8]],
        now_ms: i64,
        pool: &mut ChunkPool,
    ) -> usize {
        let base_offset = self.log_end;
        let last_offset = base_offset + i64::from(batch.last_offset_delta);
        let offset_of_max_timestamp = base_offset + i64::from(batch.max_timestamp_delta);
        let interval = self.config.index_interval_bytes;
        let segment = self.segments.back_mut().expect("a partition has a segment");
        if segment.len == 0 {
            segment.created_ms = now_ms;
        }
        let tail_batch = Batch {
            base_offset,
            last_offset,
            segment: segment.base_offset,
            position: segment.len,
            size: batch.size,
            crc: batch.crc,
            leader_epoch: place.leader_epoch,
            ordinal: place.ordinal,
            sequence: place.ack.sequence,
            level: place.ack.level,
            max_timestamp_ms: batch.max_timestamp_ms,
            offset_of_max_timestamp,
            producer: batch.producer,
        };
        segment.append(
            AppendedToSegment {
                base_offset,
                last_offset,
                size: u64::from(batch.size),
                max_timestamp_ms: batch.max_timestamp_ms,
                offset_of_max_timestamp,
            },
            interval,
        );
        if let Some(producer) = batch.producer {
            self.producers.append(producer, base_offset, last_offset, batch.max_timestamp_ms, place.ack);
        }
        self.epochs.append(place.leader_epoch, base_offset);
        self.log_end = last_offset + 1;
        self.tail.append(tail_batch, pieces, pool)
    }

    /// Moves the high watermark over every batch that reached its level. Returns whether it moved.
    pub fn advance_high_watermark(&mut self, reached: Reached) -> bool {
        let before = self.high_watermark;
        let batches = self.tail.batches();
        let first = self.tail.find(before);
        for batch in batches.range(first..) {
            if !reached.is_reached(AckPoint { sequence: batch.sequence, level: batch.level }) {
                break;
            }
            self.high_watermark = batch.last_offset + 1;
        }
        assert!(self.high_watermark <= self.log_end, "the high watermark does not pass the log end");
        self.high_watermark > before
    }

    /// Reads whole visible batches from memory, beginning with the one that holds `from`: at most `max_bytes`, but with
    /// `whole_first` the first one whatever its size. `None` when `from` is not in memory.
    pub fn read_tail(&self, from: i64, max_bytes: usize, whole_first: bool) -> Option<(Vec<Bytes>, usize)> {
        let in_memory = self.tail.first_offset().is_some_and(|first| first <= from);
        if !in_memory {
            return None;
        }
        let mut out = Vec::new();
        let mut total = 0_usize;
        let mut run: Option<(i64, u64, u64)> = None;
        let batches = self.tail.batches();
        for batch in batches.range(self.tail.find(from)..) {
            let size = batch.size as usize;
            let fits = total + size <= max_bytes || (total == 0 && whole_first);
            if batch.last_offset >= self.high_watermark || !fits {
                break;
            }
            total += size;
            run = match run {
                Some((segment, start, _)) if segment == batch.segment => Some((segment, start, batch.end())),
                other => {
                    if let Some((segment, start, end)) = other {
                        self.tail.slices(segment, start, end, &mut out);
                    }
                    Some((batch.segment, batch.position, batch.end()))
                }
            };
        }
        if let Some((segment, start, end)) = run {
            self.tail.slices(segment, start, end, &mut out);
        }
        Some((out, total))
    }

    /// Bytes between `from` and the high watermark: exact in memory, an upper estimate below (whole segments count).
    pub fn available_bytes(&self, from: i64) -> u64 {
        if from >= self.high_watermark {
            return 0;
        }
        let batches = self.tail.batches();
        let visible_end = match self.tail.find(self.high_watermark) {
            0 => None,
            n => batches.get(n - 1),
        };
        let in_memory = self.tail.first_offset().is_some_and(|first| first <= from);
        let start = if in_memory { batches.get(self.tail.find(from)).map(|b| (b.segment, b.position)) } else { None };
        match (start, visible_end) {
            (Some((segment, position)), Some(end)) if segment == end.segment => end.end() - position,
            _ => {
                let first = self.segment_of(start.map_or(from, |(segment, _)| segment));
                let skipped = start.map_or(0, |(_, position)| position);
                let total: u64 = self.segments.range(first..).map(|s| s.len).sum();
                total - skipped
            }
        }
    }

    /// The place in [`Self::segments`] of the segment that holds `offset` (or would).
    pub fn segment_of(&self, offset: i64) -> usize {
        self.segments.partition_point(|s| s.base_offset <= offset).saturating_sub(1)
    }

    /// Bytes that are in memory only (and in the journal).
    pub fn dirty_bytes(&self) -> u64 {
        let first = self.segment_of(self.flushed.segment);
        let total: u64 = self.segments.range(first..).map(|s| s.len).sum();
        total.saturating_sub(self.flushed.position)
    }

    /// The oldest journal file use that recovery needs for this partition.
    pub fn oldest_needed_ordinal(&self) -> Option<u64> {
        self.unflushed().map(|b| b.ordinal).min()
    }

    /// The batches that recovery still takes from the journal.
    pub fn unflushed(&self) -> impl Iterator<Item = &Batch> {
        self.tail.batches().range(self.tail.find(self.flushed.offset)..)
    }

    /// What can be written back now: everything up to `durable_sequence` in whole blocks, or to its end if the segment
    /// is complete. `None` when that is nothing.
    pub fn plan_write_back(&self, durable_sequence: u64, block: u64) -> Option<WriteBackPlan> {
        let Flushed { segment, position: from, .. } = self.flushed;
        let complete = self.active().base_offset != segment;
        let limit = from + WRITE_BACK_BYTES_MAX;
        let mut data_end = from;
        let mut all_durable = true;
        for batch in self.unflushed().take_while(|b| b.segment == segment) {
            if batch.sequence > durable_sequence {
                all_durable = false;
                break;
            }
            data_end = data_end.max(batch.end().min(limit));
            if batch.end() > limit {
                all_durable = false;
                break;
            }
        }
        if complete && all_durable {
            let next = self.segments[self.segment_of(segment) + 1].base_offset;
            let len = self.segments[self.segment_of(segment)].len;
            // A segment whose last batch was lost, to which the operator agreed, is cut before what is written of it.
            assert!(data_end == len || len < from, "a sealed segment is written to its end");
            let (data_end, to) = (len, data_end.next_multiple_of(block).max(from));
            return Some(WriteBackPlan { segment, from, to, seal: Some(data_end), after: Flushed::begin(next) });
        }
        let to = data_end - data_end % block;
        if to <= from {
            return None;
        }
        let mut after = Flushed { position: to, ..self.flushed };
        for batch in self.unflushed().take_while(|b| b.segment == segment && b.end() <= to) {
            after.pass(batch);
        }
        Some(WriteBackPlan { segment, from, to, seal: None, after })
    }

    /// The plan is durable.
    pub fn written_back(&mut self, after: Flushed) {
        assert!(after.segment > self.flushed.segment || after.position > self.flushed.position, "flushing moves on");
        let first = self.tail.find(self.flushed.offset);
        for batch in self.tail.batches().range(first..) {
            if batch.base_offset >= after.offset {
                break;
            }
            if let Some(producer) = batch.producer {
                let ts = batch.max_timestamp_ms;
                self.flushed_producers.append(producer, batch.base_offset, batch.last_offset, ts, AckPoint::NOW);
            }
        }
        self.flushed = after;
    }

    /// What its segments take, written back or not, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Where retention wants the log to begin, if that is further on (Kafka's `deleteOldSegments`): `retention.bytes`,
    /// `retention.ms`. Only what consumers could see is deleted. May say the log end, which empties the partition.
    pub fn retention_target(&self, now_ms: i64) -> Option<i64> {
        if !self.config.cleanup_policy.delete {
            return None;
        }
        let mut target = self.log_start;
        let mut size = self.size_bytes();
        for segment in self.segments.iter().filter(|s| s.len > 0) {
            let over_size = u64::try_from(self.config.retention_bytes).is_ok_and(|most| size - segment.len >= most);
            let newest_ms = if segment.max_timestamp_ms >= 0 { segment.max_timestamp_ms } else { segment.created_ms };
            let age_ms = now_ms.saturating_sub(newest_ms);
            let over_age = self.config.retention_ms >= 0 && age_ms > self.config.retention_ms;
            if !(over_size || over_age) || segment.next_offset > self.high_watermark {
                break;
            }
            size -= segment.len;
            target = target.max(segment.next_offset);
        }
        (target > self.log_start).then_some(target)
    }

    /// The log begins at `offset` from now on. Returns the segments that are wholly below, which are forgotten; the
    /// caller removes their files. Must not be called while a write-back is in flight.
    pub fn advance_log_start(&mut self, offset: i64, now_ms: i64) -> Vec<Segment> {
        assert!(!self.busy, "segments do not go away under a write-back");
        assert!(offset <= self.high_watermark, "only what was visible is deleted");
        self.log_start = self.log_start.max(offset);
        let active = self.active();
        if active.len > 0 && active.next_offset <= offset {
            self.roll(now_ms);
        }
        let mut gone = Vec::new();
        while self.segments.len() > 1 && self.segments[0].next_offset <= offset {
            gone.extend(self.segments.pop_front());
        }
        let first = self.segments[0].base_offset;
        if self.flushed.segment < first {
            self.written_back(Flushed::begin(first));
        }
        self.tail.drop_before(first);
        self.epochs.drop_before(self.log_start);
        gone
    }
}

/// Where an appended batch went.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The use of a journal file.
    pub ordinal: u64,
    /// What its acknowledgement waits for.
    pub ack: AckPoint,
    /// The leader epoch stamped on it.
    pub leader_epoch: i32,
}
