//! Compaction: of every key in a compacted topic the newest record stays (`cleanup.policy=compact`).
//!
//! One partition at a time, the dirtiest first, in the background. A cleaning notes the newest offset of each key in the
//! dirty part of the log ([`keys`]), then copies the log from its beginning, segment by segment, without what is superseded
//! ([`filter`]), and puts each cleaned segment in the place of those that it was made of ([`replacement`]). The rules are
//! Kafka's (`LogCleaner`, `LogCleanerManager`); which segments it may touch is in [`choice`].
//!
//! Invariants: only segments are read and replaced that are sealed in both copies of the checkpoint and wholly visible;
//! offsets never change, and every offset stays within the span of a segment; memory is bounded by that for the keys, one
//! chunk, one batch and what is to be written; a turn handles [`WORK_BYTES_PER_TURN`] or one batch; files are written while
//! nobody else works on the folder; what the journal announced is brought to its end, everything else may be given up at
//! any time and leaves the log as it was.
//!
//! Fault model: what cannot be read, or not written, ends the cleaning and nothing else; see [`replacement`] for the rest.

pub(crate) mod choice;
mod cleaning;
mod filter;
mod job;
mod keys;
mod output;
pub(crate) mod replacement;
mod source;
mod switch;
mod throttle;
mod transactions;

pub use cleaning::Cleaning;
pub use replacement::Replacement;

use super::PartitionId;
use super::logs::Logs;
use crate::config::{CleanerConfig, Ratio};
use crate::io::{Action, LogLevel, Now, OpId};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use job::{Job, Stage, Turn};
use keys::Keys;
use source::Source;
use throttle::Throttle;
use transactions::Transactions;

/// Bytes of records, unfolded, that a turn looks at; a single batch may be longer.
const WORK_BYTES_PER_TURN: usize = 64 << 10;
/// What is read or written at a time.
const CHUNK_BYTES_MIN: u64 = 4 << 10;
const CHUNK_BYTES_MAX: u64 = 512 << 10;
/// Partitions that a turn looks at in search of a dirty one.
const PARTITIONS_PER_TURN: usize = 1_000;
/// When something is not possible just now, it is tried again after so long.
const RETRY_US: u64 = 100_000;
/// Dirty segments of which no checkpoint knows are brought into both copies of it, once in `log.cleaner.backoff.ms`, with
/// so much time for each.
const CHECKPOINTS_MAX: u32 = 2;
const CHECKPOINT_US: u64 = 1_000_000;

/// What the cleaner of a shard has done, and found when it last looked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CleanerStats {
    /// Cleanings that came to their end.
    pub cleanings: u64,
    /// Bytes read of segments, those for the keys among them.
    pub bytes_read: u64,
    /// Bytes written to cleaned segments.
    pub bytes_written: u64,
    /// Partitions that were to be cleaned.
    pub cleanable_partitions: u64,
    /// Partitions that cannot be cleaned, because of damage say.
    pub uncleanable_partitions: u64,
    /// The share of the dirtiest partition that was dirty, from 0 to 1.
    pub max_dirty_ratio: f64,
    /// When a cleaning last came to its end, in milliseconds since 1970; 0 for never.
    pub last_cleaned_ms: i64,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Cleaner {
    config: CleanerConfig,
    /// The memory that there is for keys.
    keys_bytes_max: u64,
    secret: (u64, u64),
    /// When it looks for something to clean.
    due_us: u64,
    look: Option<Look>,
    job: Option<Box<Job>>,
    throttle: Throttle,
    /// No names are given before.
    retry_us: u64,
    /// Another turn is wanted, at this time.
    again_us: Option<u64>,
    checkpoints_left: u32,
    checkpoints_reset_us: u64,
    stats: CleanerStats,
}

/// A search for the dirtiest partition.
#[derive(Debug, Default)]
struct Look {
    next: usize,
    best: Option<(Ratio, PartitionId)>,
    dirtiest: Ratio,
    cleanable: u64,
    uncleanable: u64,
    /// Something is dirty that no checkpoint knows as sealed.
    is_unsettled: bool,
}
impl Cleaner {
    /// Rests. The memory for keys is at most `keys_bytes_max`; `seed` is known to nobody outside.
    pub(super) fn new(config: CleanerConfig, keys_bytes_max: u64, seed: u64) -> Self {
        let secret = (seed.rotate_left(32) ^ 0x7365_676d_656e_7473, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self {
            config,
            keys_bytes_max,
            secret,
            due_us: 0,
            look: None,
            job: None,
            throttle: Throttle::default(),
            retry_us: 0,
            again_us: None,
            checkpoints_left: CHECKPOINTS_MAX,
            checkpoints_reset_us: 0,
            stats: CleanerStats::default(),
        }
    }

    pub(super) fn owns(&self, op: OpId) -> bool {
        let reading = self.job.as_ref().and_then(|job| job.source.reading);
        reading.is_some_and(|(reading, _)| reading == op)
    }

    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        let due = (self.config.is_enabled && self.job.is_none()).then_some(self.due_us);
        [self.again_us, due].into_iter().flatten().min()
    }

    /// Whether segments are being replaced: no checkpoint may be made meanwhile.
    pub(super) fn is_replacing(&self) -> bool {
        let stage = self.job.as_ref().map(|job| &job.stage);
        matches!(stage, Some(Stage::Announced { .. } | Stage::Switching { .. }))
    }

    fn chunk_bytes(&self) -> u64 {
        (self.config.buffer_bytes / 2).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
    }

    fn again(&mut self, at_us: u64) {
        self.again_us = Some(self.again_us.map_or(at_us, |again| again.min(at_us)));
    }
}

impl Logs {
    /// How compacted topics are cleaned from now on.
    pub fn set_cleaner(&mut self, config: CleanerConfig) {
        self.cleaner.config = config;
    }

    /// What the cleaner has done so far.
    pub fn cleaner_stats(&self) -> CleanerStats {
        self.cleaner.stats
    }

    /// Goes on with cleaning. Part of every end of turn.
    pub(super) fn clean_turn(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.cleaner.again_us = None;
        if let Some(job) = self.cleaner.job.take() {
            return self.go_on_cleaning(now, job, actions);
        }
        if !self.cleaner.config.is_enabled || self.is_stopping() {
            self.cleaner.look = None;
            return;
        }
        if self.cleaner.look.is_none() && now.monotonic_us >= self.cleaner.due_us {
            self.cleaner.look = Some(Look::default());
        }
        if let Some(look) = self.cleaner.look.take() {
            self.look_for_dirt(now, look, actions);
        }
    }

    fn look_for_dirt(&mut self, now: Now, mut look: Look, actions: &mut Vec<Action>) {
        let end = (look.next + PARTITIONS_PER_TURN).min(self.partitions.len());
        for partition in self.partitions[look.next..end].iter().flatten() {
            if !partition.config.cleanup_policy.compact {
                continue;
            }
            if partition.cleaning.is_uncleanable {
                look.uncleanable += 1;
                continue;
            }
            let settled = Some(partition.cleaning.settled());
            let Some(all) = choice::dirt(partition, None, now.wall_ms) else { continue };
            look.dirtiest = look.dirtiest.max(all.ratio);
            if !all.is_due {
                continue;
            }
            look.cleanable += 1;
            let ready = choice::dirt(partition, settled, now.wall_ms);
            look.is_unsettled |= ready.is_none_or(|ready| ready.bound < all.bound);
            if let Some(ready) = ready.filter(|ready| ready.is_due)
                && look.best.is_none_or(|(ratio, _)| ratio < ready.ratio)
            {
                look.best = Some((ready.ratio, partition.id));
            }
        }
        look.next = end;
        if end < self.partitions.len() {
            self.cleaner.look = Some(look);
            return self.cleaner.again(0);
        }
        let cleaner = &mut self.cleaner;
        cleaner.stats.cleanable_partitions = look.cleanable;
        cleaner.stats.uncleanable_partitions = look.uncleanable;
        cleaner.stats.max_dirty_ratio = look.dirtiest.share();
        let backoff_us = cleaner.config.backoff_ms.saturating_mul(1_000).max(RETRY_US);
        cleaner.due_us = now.monotonic_us.saturating_add(backoff_us);
        if now.monotonic_us >= cleaner.checkpoints_reset_us {
            cleaner.checkpoints_left = CHECKPOINTS_MAX;
            cleaner.checkpoints_reset_us = cleaner.due_us;
        }
        if look.is_unsettled && cleaner.checkpoints_left > 0 {
            cleaner.checkpoints_left -= 1;
            cleaner.due_us = cleaner.due_us.min(now.monotonic_us + CHECKPOINT_US);
            self.write_back.want_checkpoint();
            // This turn's part of it is over.
            self.cleaner.again(0);
        }
        if let Some((_, id)) = look.best {
            self.begin_cleaning(now, id, actions);
        }
    }

    fn begin_cleaning(&mut self, now: Now, id: PartitionId, actions: &mut Vec<Action>) {
        let p = self.partition(id);
        let Some(dirt) = choice::dirt(p, Some(p.cleaning.settled()), now.wall_ms) else { return };
        let config = self.cleaner.config;
        let bytes = config.keys_bytes.min(self.cleaner.keys_bytes_max);
        let offsets = (dirt.bound - dirt.first_dirty).unsigned_abs();
        let keys = Keys::new(offsets, bytes, config.load.parts(), dirt.first_dirty, self.cleaner.secret);
        let first = (p.segments.iter()).find(|s| s.next_offset > dirt.first_dirty).expect("something is dirty");
        let job = Job {
            id,
            now_ms: now.wall_ms,
            delete_retention_ms: p.config.delete_retention_ms,
            first_dirty: dirt.first_dirty,
            bound: dirt.bound,
            keys,
            // There are no transactions yet that could be aborted.
            transactions: Transactions::new(Vec::new()),
            source: Source::new(first.base_offset),
            groups: VecDeque::new(),
            stage: Stage::Mapping,
            bytes_read: 0,
            bytes_written: 0,
        };
        self.go_on_cleaning(now, Box::new(job), actions);
    }

    fn go_on_cleaning(&mut self, now: Now, mut job: Box<Job>, actions: &mut Vec<Action>) {
        let mut budget = WORK_BYTES_PER_TURN as isize;
        let end = loop {
            match self.clean_step(now, &mut job, &mut budget, actions) {
                Turn::On => {}
                Turn::Wait => {
                    self.cleaner.job = Some(job);
                    return;
                }
                end => break end,
            }
        };
        self.end_cleaning(now, *job, end, actions);
    }

    fn end_cleaning(&mut self, now: Now, job: Job, end: Turn, actions: &mut Vec<Action>) {
        if let Stage::Copying { output, .. } | Stage::Writing { output, .. } | Stage::Written(output) = &job.stage
            && let Some(p) = self.partitions[job.id.0 as usize].as_deref()
        {
            // Where the folder is not free, it stays until the next start, or the next cleaning of that number.
            let steps = replacement::removal_steps(p, output.segment.base_offset, output.number);
            if self.is_folder_free(job.id) {
                self.take_folder(job.id);
                self.submit_cleaning(job.id, 0, steps, actions);
            }
        }
        let Some(p) = self.partitions[job.id.0 as usize].as_deref_mut() else { return };
        match end {
            Turn::Complete => {
                p.cleaning.first_dirty = p.cleaning.first_dirty.max(job.keys.latest() + 1);
                let stats = &mut self.cleaner.stats;
                stats.cleanings += 1;
                stats.last_cleaned_ms = now.wall_ms;
                // As long as there is something to clean, there is no rest.
                self.cleaner.due_us = now.monotonic_us;
                let message = format!(
                    "cleaned {}-{} up to offset {}: {:?}, {} bytes read, {} written",
                    p.topic, p.index, p.cleaning.first_dirty, job.keys, job.bytes_read, job.bytes_written
                );
                Self::log(actions, LogLevel::Debug, message);
            }
            Turn::Impossible(what) => {
                p.cleaning.is_uncleanable = true;
                let message = format!("{}-{} cannot be cleaned before the next start: {what}", p.topic, p.index);
                Self::log(actions, LogLevel::Error, message);
            }
            _ => {}
        }
    }
}
