//! The log of every partition of a shard: appending, reading, writing back, recycling, retention.

pub mod checkpoint;
mod checkpoint_v1;
pub mod cleaner;
pub(crate) mod flush;
mod in_place;
pub mod index;
mod index_files;
mod index_repair;
pub mod leader_epochs;
mod log_starts;
pub mod logs;
pub mod partition;
pub mod producer_snapshot;
pub mod producer_state;
pub mod reads;
pub mod segment;
pub mod tail;
mod timestamps;
pub mod write_back;
mod write_back_steps;

pub use crate::config::Durability;
pub use cleaner::CleanerStats;
pub use logs::{AppendRefused, Appended, LogLimits, Logs, Lookup, Read, TimestampTarget, Volume};

use crate::io::FileRange;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

/// A partition's number within its shard: dense, never used twice while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// What an answer waits for: a journal commit, at a durability level.
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

/// How far the journal has come. All commits up to a sequence, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Written.
    pub written: u64,
    /// On stable storage.
    pub durable: u64,
}

impl Reached {
    /// Whether an answer that waits for `ack` may leave.
    pub fn is_reached(self, ack: AckPoint) -> bool {
        match ack.level {
            Durability::Memory => true,
            Durability::Write => ack.sequence <= self.written,
            Durability::Fsync => ack.sequence <= self.durable,
        }
    }
}

/// Up to where the segments of a partition hold its log, durably. Recovery begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Base offset of the segment that is being written back; those before it are sealed.
    pub segment: i64,
    /// Everything below is in the segment's file. A multiple of the block size.
    pub position: u64,
    /// Base offset of the batch that holds the byte at `position`, or of the first one behind it.
    pub offset: i64,
    /// Where that batch begins.
    pub offset_position: u64,
    /// Largest timestamp of the segment's first batch, or -1 while none is below `offset`.
    pub first_timestamp_ms: i64,
    /// Largest timestamp of the segment's batches below `offset`, or -1.
    pub max_timestamp_ms: i64,
    /// Which record has it, or -1.
    pub offset_of_max_timestamp: i64,
}

impl Flushed {
    /// Nothing of the segment at `base_offset` is written.
    pub fn begin(base_offset: i64) -> Self {
        Self {
            segment: base_offset,
            position: 0,
            offset: base_offset,
            offset_position: 0,
            first_timestamp_ms: -1,
            max_timestamp_ms: -1,
            offset_of_max_timestamp: -1,
        }
    }

    /// Moves the flushed offset behind a batch of the segment.
    fn pass(&mut self, batch: &tail::Batch) {
        if self.offset_position == 0 {
            self.first_timestamp_ms = batch.max_timestamp_ms;
        }
        if batch.max_timestamp_ms > self.max_timestamp_ms {
            self.max_timestamp_ms = batch.max_timestamp_ms;
            self.offset_of_max_timestamp = batch.offset_of_max_timestamp;
        }
        self.offset = batch.last_offset + 1;
        self.offset_position = batch.end();
    }
}

/// A read or lookup that waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// What a read brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Whole batches.
    Memory(Vec<Bytes>),
    /// Where they stand. The open file belongs to whoever takes this: to a reply, or to [`Logs::close_file`].
    InPlace(SegmentRange),
}

/// Whole batches of a sealed segment that were left where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRange {
    /// The bytes.
    pub range: FileRange,
    /// Whose they are.
    pub partition: PartitionId,
    /// The base offset of their segment.
    pub segment: i64,
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds.
    pub timestamp_ms: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: i32,
}

/// What happened in the logs since it was last taken.
#[derive(Debug, Default)]
pub struct Progress {
    /// The journal moved: an [`AckPoint`] may be reached that was not.
    pub acks: bool,
    /// Partitions whose high watermark moved; one may be named twice.
    pub advanced: Vec<PartitionId>,
    /// Reads that ended, with what they brought.
    pub reads: Vec<(ReadId, Result<Fetched, ErrorCode>)>,
    /// Lookups that ended.
    pub lookups: Vec<(ReadId, Result<Option<FoundOffset>, ErrorCode>)>,
    /// Partitions that were removed.
    pub gone: Vec<PartitionId>,
}

impl Progress {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        let nothing_read = self.reads.is_empty() && self.lookups.is_empty();
        !self.acks && self.advanced.is_empty() && nothing_read && self.gone.is_empty()
    }
}
