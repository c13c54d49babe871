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
mod keys;
mod output;
pub(crate) mod replacement;
mod source;
mod throttle;
mod transactions;

pub use cleaning::Cleaning;
pub use replacement::Replacement;

use super::logs::{Logs, list_user};
use super::partition::Partition;
use super::segment;
use super::timestamps::DECOMPRESSED_BYTES_MAX;
use super::{Durability, PartitionId};
use crate::config::{CleanerConfig, Ratio};
use crate::io::{Action, IoError, LogLevel, Now, OpId, OpenMode, Step, is_full};
use crate::journal::{EntryKind, NewEntry};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::compression::Compression;
use corelog_wire::record_batch::{RecordBatch, Reencoding};
use filter::{Circumstances, Newest, Outcome};
use keys::Keys;
use output::Output;
use source::{Next, Source};
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

/// A cleaning.
#[derive(Debug)]
struct Job {
    id: PartitionId,
    now_ms: i64,
    delete_retention_ms: i64,
    first_dirty: i64,
    /// Behind the last segment that may be cleaned.
    bound: i64,
    keys: Keys,
    transactions: Transactions,
    source: Source,
    /// The segments of which one is made each, the one at the front now.
    groups: VecDeque<Vec<i64>>,
    stage: Stage,
    bytes_read: u64,
    bytes_written: u64,
}

#[derive(Debug)]
enum Stage {
    /// The newest offset of each key is noted.
    Mapping,
    /// Segments are copied.
    Copying { output: Output, at: usize, encoding: Option<Encoding> },
    /// Bytes are on their way to the cleaned segment. With `last` they are its end.
    Writing { output: Output, at: usize, last: bool },
    /// The cleaned segment is durable under its own name.
    Written(Output),
    /// The journal is to say so. The folder is the cleaner's.
    Announced { sequence: u64, replacement: Replacement, gone: Vec<i64> },
    /// The files get their names.
    Switching { sequence: u64, replacement: Replacement, gone: Vec<i64> },
}

/// A changed batch on its way into its codec.
struct Encoding {
    plain: Vec<u8>,
    work: Reencoding,
    newest: Newest,
}

impl core::fmt::Debug for Encoding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", self.plain.len())
    }
}

/// What a step led to.
enum Turn {
    /// It goes on when something has ended, or in the next turn.
    Wait,
    /// At once.
    On,
    /// The whole log is clean up to what fitted.
    Complete,
    /// It is given up, for a while.
    GivenUp,
    /// It is given up for good.
    Impossible(String),
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

    fn clean_step(&mut self, now: Now, job: &mut Job, budget: &mut isize, actions: &mut Vec<Action>) -> Turn {
        match &job.stage {
            Stage::Announced { .. } => return self.switch_segments(now, job, actions),
            Stage::Switching { .. } | Stage::Writing { .. } => return Turn::Wait,
            _ if job.source.reading.is_some() => return Turn::Wait,
            _ => {}
        }
        let stopping = self.is_stopping();
        let may_go_on = |p: &&Partition| p.config.cleanup_policy.compact && !stopping;
        let enabled = self.cleaner.config.is_enabled;
        let p = self.partitions[job.id.0 as usize].as_deref().filter(may_go_on).filter(|_| enabled);
        let Some(p) = p else { return Turn::GivenUp };
        if let Some(at_us) = self.cleaner.throttle.wait_until_us(now.monotonic_us) {
            self.cleaner.again(at_us);
            return Turn::Wait;
        }
        if *budget <= 0 {
            self.cleaner.again(0);
            return Turn::Wait;
        }
        match &mut job.stage {
            Stage::Written(_) => return self.announce(now, job, actions),
            Stage::Copying { output, encoding, .. } => {
                if let Some(mut work) = encoding.take() {
                    let (batch, _) = RecordBatch::split_from(&work.plain).expect("it was made here");
                    let done = work.work.step(&batch, (*budget).unsigned_abs());
                    *budget -= done as isize;
                    if done > 0 {
                        *encoding = Some(work);
                    } else {
                        output.append(&work.work.finish(&batch), work.newest);
                    }
                    return Turn::On;
                }
                if output.pending() as u64 >= self.cleaner.chunk_bytes() {
                    return self.write_cleaned(now, job, false, actions);
                }
            }
            _ => {}
        }
        let Some(segment) = p.segments.iter().find(|s| s.base_offset == job.source.segment) else {
            // Retention was faster.
            return Turn::GivenUp;
        };
        match job.source.next(p, segment, self.cleaner.chunk_bytes()) {
            Next::Read(len) => self.read_to_clean(now, job, len, actions),
            Next::Damaged(what) => Turn::Impossible(what),
            Next::End => self.segment_ended(now, job, actions),
            Next::Batch(size) => {
                let data = job.source.data.slice(..size);
                let (batch, _) = RecordBatch::split_from(&data).expect("it was just looked at");
                let taken = match job.stage {
                    Stage::Mapping => map_batch(job, &batch),
                    _ => copy_batch(p, job, &batch),
                };
                match taken {
                    Ok((bytes, is_full)) => {
                        *budget -= bytes as isize;
                        job.source.pass(&batch);
                        if is_full { self.begin_copying(job) } else { Turn::On }
                    }
                    Err(what) => Turn::Impossible(format!("the batch at offset {}: {what}", batch.base_offset())),
                }
            }
        }
    }

    fn read_to_clean(&mut self, now: Now, job: &mut Job, len: u64, actions: &mut Vec<Action>) -> Turn {
        let p = self.partitions[job.id.0 as usize].as_deref().expect("the caller found it");
        let (block, position) = (self.block as u64, job.source.position);
        let offset = position - position % block;
        let end = (position + len).next_multiple_of(block);
        let path = segment::file(&segment::folder(&p.topic, p.index), job.source.segment, "log");
        let (op, file) = (self.ids.op(), self.ids.file());
        let steps = vec![
            Step::Open { file, path, mode: OpenMode::READ },
            Step::Read { file, offset, len: (end - offset) as usize },
            Step::Close { file },
        ];
        job.source.begin_read(len, op, file);
        job.bytes_read += len;
        self.cleaner.stats.bytes_read += len;
        self.cleaner.throttle.note(len, self.cleaner.config.bytes_per_second, now.monotonic_us);
        actions.push(Action::Io { op, steps });
        Turn::Wait
    }

    /// A read of the cleaner has ended.
    pub(super) fn clean_read_completed(
        &mut self,
        now: Now,
        result: Result<Vec<Bytes>, IoError>,
        actions: &mut Vec<Action>,
    ) {
        let mut job = self.cleaner.job.take().expect("the caller asked whether it is its read");
        let (_, file) = job.source.reading.take().expect("the same");
        match result {
            Ok(read) => {
                job.source.fill(&read.into_iter().next().unwrap_or_default(), self.block as u64);
                self.cleaner.job = Some(job);
            }
            Err(error) => {
                self.close_files(vec![file], actions);
                let p = self.partitions[job.id.0 as usize].as_deref();
                let is_there = p.is_some_and(|p| p.segments.iter().any(|s| s.base_offset == job.source.segment));
                let end = match is_there {
                    true => Turn::Impossible(format!("{} failed with error {}", error.what, error.errno)),
                    false => Turn::GivenUp,
                };
                self.end_cleaning(now, *job, end, actions);
            }
        }
    }

    /// The source has come to the end of a segment.
    fn segment_ended(&mut self, now: Now, job: &mut Job, actions: &mut Vec<Action>) -> Turn {
        let p = self.partitions[job.id.0 as usize].as_deref().expect("the caller found it");
        match &mut job.stage {
            Stage::Mapping => {
                let at = p.segment_of(job.source.segment);
                job.keys.complete_to(p.segments[at].next_offset - 1);
                match p.segments.get(at + 1).filter(|next| next.next_offset <= job.bound) {
                    Some(next) => job.source = Source::new(next.base_offset),
                    None => return self.begin_copying(job),
                }
                Turn::On
            }
            Stage::Copying { at, .. } => {
                *at += 1;
                match job.groups.front().and_then(|group| group.get(*at)) {
                    Some(&next) => job.source = Source::new(next),
                    None => return self.write_cleaned(now, job, true, actions),
                }
                Turn::On
            }
            _ => unreachable!("nothing is read in any other stage"),
        }
    }

    /// Every key that fits is noted.
    fn begin_copying(&mut self, job: &mut Job) -> Turn {
        let p = self.partitions[job.id.0 as usize].as_deref().expect("the caller found it");
        job.groups = choice::groups(p, job.keys.latest());
        job.transactions = Transactions::new(Vec::new());
        self.begin_group(job)
    }

    fn begin_group(&mut self, job: &mut Job) -> Turn {
        let Some(group) = job.groups.front() else { return Turn::Complete };
        let p = self.partitions[job.id.0 as usize].as_deref().expect("the caller found it");
        let find = |base: i64| p.segments.iter().find(|s| s.base_offset == base);
        let Some(segments) = group.iter().map(|base| find(*base)).collect::<Option<Vec<_>>>() else {
            return Turn::GivenUp;
        };
        let (bytes, last) =
            (segments.iter().map(|s| s.len).sum::<u64>(), segments.last().expect("a group is not empty"));
        if self.disk_room < bytes || self.write_back.is_out_of_space() {
            return Turn::GivenUp;
        }
        let output = Output::new(p, p.cleaning.cleanings + 1, group[0], last.created_ms);
        job.source = Source::new(group[0]);
        job.stage = Stage::Copying { output, at: 0, encoding: None };
        Turn::On
    }

    /// Takes what was gathered to the cleaned segment, or its end.
    fn write_cleaned(&mut self, now: Now, job: &mut Job, last: bool, actions: &mut Vec<Action>) -> Turn {
        if !self.is_folder_free(job.id) {
            self.cleaner.again(now.monotonic_us + RETRY_US);
            return Turn::Wait;
        }
        let Stage::Copying { mut output, at, .. } = core::mem::replace(&mut job.stage, Stage::Mapping) else {
            unreachable!("only what is copied is written")
        };
        let p = self.partitions[job.id.0 as usize].as_deref().expect("the caller found it");
        let bytes = output.pending() as u64;
        let steps = match last {
            false => output.write_steps(p, self.block, &mut self.ids),
            true => {
                let group = job.groups.front().expect("its segments are copied");
                let end = p.segments[p.segment_of(*group.last().expect("a group is not empty"))].next_offset;
                output.finish_steps(p, end, self.block, &mut self.ids)
            }
        };
        job.bytes_written += bytes;
        self.cleaner.stats.bytes_written += bytes;
        self.cleaner.throttle.note(bytes, self.cleaner.config.bytes_per_second, now.monotonic_us);
        self.take_folder(job.id);
        self.submit_cleaning(job.id, bytes, steps, actions);
        job.stage = Stage::Writing { output, at, last };
        Turn::Wait
    }

    /// The cleaned segment is durable: the journal is told, unless nothing would change.
    fn announce(&mut self, now: Now, job: &mut Job, actions: &mut Vec<Action>) -> Turn {
        let Stage::Written(output) = &job.stage else { unreachable!("the caller saw it") };
        let group = job.groups.front().expect("its segments were copied");
        let p = self.partition(job.id);
        let bases: Vec<i64> = p.segments.iter().map(|s| s.base_offset).collect();
        let Some(at) = bases.iter().position(|base| *base == group[0]) else { return Turn::GivenUp };
        if !bases[at..].starts_with(group) {
            return Turn::GivenUp;
        }
        let is_free = self.is_folder_free(job.id);
        if !output.is_changed && group.len() == 1 {
            if !is_free {
                self.cleaner.again(now.monotonic_us + RETRY_US);
                return Turn::Wait;
            }
            let steps = replacement::removal_steps(p, output.segment.base_offset, output.number);
            self.take_folder(job.id);
            self.submit_cleaning(job.id, 0, steps, actions);
            job.groups.pop_front();
            return self.begin_group(job);
        }
        let is_last = job.groups.len() == 1;
        let first_dirty = if is_last { job.keys.latest() + 1 } else { p.cleaning.first_dirty };
        let replacement = Replacement::new(output.number, &output.segment, first_dirty);
        let payload = replacement.encode();
        if !is_free || !self.journal.has_reserve(payload.len()) || self.write_back.is_before_checkpoint() {
            self.cleaner.again(now.monotonic_us + RETRY_US);
            return Turn::Wait;
        }
        let entry = NewEntry {
            kind: EntryKind::Replaced,
            level: Durability::Fsync,
            topic_id: p.topic_id.0,
            partition: p.index,
            leader_epoch: p.leader_epoch,
            base_offset: replacement.segment.base_offset,
            last_offset: replacement.number as i64,
            segment_base_offset: replacement.segment.base_offset,
            payload_crc: crc32c::crc32c(&payload),
        };
        let gone = group.clone();
        let placed = self.journal.append(entry, &[&payload]);
        list_user(&mut self.users, placed.ordinal, job.id);
        self.take_folder(job.id);
        job.stage = Stage::Announced { sequence: placed.sequence, replacement, gone };
        Turn::Wait
    }

    /// Once the journal has said so, the files get their names.
    fn switch_segments(&mut self, now: Now, job: &mut Job, actions: &mut Vec<Action>) -> Turn {
        let Stage::Announced { sequence, replacement, gone } = &job.stage else { unreachable!("the caller saw it") };
        let Some(p) = self.partitions[job.id.0 as usize].as_deref_mut() else {
            // Its topic was deleted: the folder is free to go.
            self.partition_job_ended(job.id, actions);
            return Turn::GivenUp;
        };
        if *sequence > self.journal.durable_sequence() {
            return Turn::Wait;
        }
        if now.monotonic_us < self.cleaner.retry_us {
            let retry_us = self.cleaner.retry_us;
            self.cleaner.again(retry_us);
            return Turn::Wait;
        }
        p.cleaning.switching = true;
        p.cleaning.switches += 1;
        let steps = replacement.steps(p, gone);
        for base in gone {
            self.reads.segment_removed(job.id, *base);
        }
        self.submit_cleaning(job.id, 0, steps, actions);
        let (sequence, replacement, gone) = (*sequence, replacement.clone(), gone.clone());
        job.stage = Stage::Switching { sequence, replacement, gone };
        Turn::Wait
    }

    /// A chain on the files of a cleaning has ended, and with it the folder was given up.
    ///
    /// # Errors
    /// In words: what the journal has announced cannot be brought to its end.
    pub(super) fn cleaning_written(
        &mut self,
        now: Now,
        id: PartitionId,
        error: Option<&IoError>,
        is_retried: bool,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let Some(mut job) = self.cleaner.job.take_if(|job| job.id == id) else { return Ok(()) };
        let words = error.map(|error| format!("{} failed with error {}", error.what, error.errno));
        if let Stage::Switching { sequence, replacement, gone } = job.stage {
            return match words {
                None => {
                    self.segments_replaced(id, &replacement, actions);
                    job.groups.pop_front();
                    job.stage = Stage::Mapping;
                    self.go_on_with_next_group(now, job, actions);
                    Ok(())
                }
                Some(words) if is_retried => {
                    Self::log(actions, LogLevel::Error, format!("{words}; trying again"));
                    job.stage = Stage::Announced { sequence, replacement, gone };
                    if self.exists(id) {
                        self.take_folder(id);
                        self.cleaner.job = Some(job);
                        self.cleaner.retry_us = now.monotonic_us + RETRY_US;
                    }
                    Ok(())
                }
                Some(words) => Err(format!("{words}; the disk must be checked before the next start")),
            };
        }
        match (job.stage, words) {
            (Stage::Writing { output, at, last }, None) => {
                job.stage = match last {
                    true => Stage::Written(output),
                    false => Stage::Copying { output, at, encoding: None },
                };
                self.cleaner.job = Some(job);
            }
            (Stage::Writing { output, at, last }, Some(words)) => {
                job.stage = Stage::Writing { output, at, last };
                let end = match error.is_some_and(is_full) || is_retried {
                    true => {
                        Self::log(actions, LogLevel::Warn, format!("{words}: a cleaning is given up for now"));
                        Turn::GivenUp
                    }
                    false => Turn::Impossible(words),
                };
                self.end_cleaning(now, *job, end, actions);
            }
            // What was left of a group has been removed, or could not be: nobody waits for it.
            (stage, _) => {
                job.stage = stage;
                self.cleaner.job = Some(job);
            }
        }
        Ok(())
    }

    fn go_on_with_next_group(&mut self, now: Now, mut job: Box<Job>, actions: &mut Vec<Action>) {
        if self.partitions[job.id.0 as usize].is_none() {
            return;
        }
        match self.begin_group(&mut job) {
            Turn::On | Turn::Wait => self.cleaner.job = Some(job),
            end => self.end_cleaning(now, *job, end, actions),
        }
    }

    /// The files have their names: from now on the cleaned segment is the log.
    fn segments_replaced(&mut self, id: PartitionId, replacement: &Replacement, actions: &mut Vec<Action>) {
        let Some(p) = self.partitions[id.0 as usize].as_deref_mut() else { return };
        let memory = p.tail.memory();
        p.replace_segments(replacement).expect("the folder was kept from everybody else");
        // What is still in memory of the old segments does not stand where the new one has it.
        p.tail.drop_before(replacement.segment.next_offset);
        p.cleaning.switching = false;
        p.cleaning.switches += 1;
        self.tail_memory -= memory - p.tail.memory();
        self.reads.segments_replaced(p, self.block, &mut self.ids, &mut self.progress, actions);
    }
}

/// Notes the keys of a batch. Returns how much was looked at, and whether there is no more room.
fn map_batch(job: &mut Job, batch: &RecordBatch<'_>) -> Result<(usize, bool), String> {
    if batch.last_offset() < job.first_dirty && !batch.attributes().is_transactional() {
        return Ok((batch.size(), false));
    }
    let payload = batch.decompressed_payload(DECOMPRESSED_BYTES_MAX).map_err(|error| format!("{error}"))?;
    let is_void = job.transactions.pass(batch, &payload);
    if !batch.attributes().is_control() && !is_void {
        for record in batch.records(&payload) {
            let record = record.map_err(|error| format!("{error}"))?;
            if record.offset < job.first_dirty {
                continue;
            }
            if let Some(key) = record.key
                && !job.keys.put(key, record.offset)
            {
                return Ok((payload.len(), true));
            }
            job.keys.complete_to(record.offset);
        }
    }
    job.keys.complete_to(batch.last_offset());
    Ok((payload.len().max(batch.size()), false))
}

/// Copies what stays of a batch. Returns how much was looked at.
fn copy_batch(p: &Partition, job: &mut Job, batch: &RecordBatch<'_>) -> Result<(usize, bool), String> {
    let payload = batch.decompressed_payload(DECOMPRESSED_BYTES_MAX).map_err(|error| format!("{error}"))?;
    let known = Circumstances {
        now_ms: job.now_ms,
        delete_retention_ms: job.delete_retention_ms,
        is_void: job.transactions.pass(batch, &payload),
        is_needed: p.producers.is_last_batch(batch) || batch.next_offset() == job.bound,
    };
    let outcome = filter::filter(batch, &payload, &job.keys, known).map_err(|error| format!("{error}"))?;
    let looked_at = payload.len().max(batch.size());
    let Stage::Copying { output, encoding, .. } = &mut job.stage else { unreachable!("batches are copied in it") };
    output.is_changed |= !matches!(outcome, Outcome::Unchanged(_));
    match outcome {
        Outcome::Gone => {}
        Outcome::Unchanged(newest) => output.append(batch.as_bytes(), newest),
        Outcome::Emptied(header) => output.append(&header, Newest { timestamp_ms: -1, offset: -1 }),
        Outcome::Changed(plain, newest) => match batch.attributes().compression().unwrap_or(Compression::None) {
            Compression::None => output.append(&plain, newest),
            codec => {
                let (view, _) = RecordBatch::split_from(&plain).expect("it was made here");
                let work = Reencoding::new(&view, codec, None, usize::MAX).map_err(|error| format!("{error}"))?;
                *encoding = Some(Encoding { plain, work, newest });
            }
        },
    }
    Ok((looked_at, false))
}

#[cfg(test)]
mod tests;
