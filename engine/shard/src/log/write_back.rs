//! Takes dirty bytes from memory to the segments, and frees journal files: the disk jobs of `Logs`.
//!
//! A *pass* runs when the journal is half full or much is dirty: every partition with entries in the files to be freed
//! is written back in whole blocks, what does not fill a block is carried to the journal's head (or its segment is
//! sealed), then a checkpoint is written and synced, then the files are released. The order and its reasons are in the
//! crate's README, "Who must be durable before whom".
//!
//! Fault model: a full disk delays a job and keeps everything; any other error ends the process, since what the device
//! then holds is unknown.

use super::checkpoint::{self, Checkpoint, PartitionCheckpoint};
use super::index_files;
use super::index_repair;
use super::logs::{Logs, list_user};
use super::partition::{Partition, WriteBackPlan};
use super::segment::{self, Segment};
use super::write_back_steps::{note_index, note_written_back, settle_steps, write_back_steps};
use super::{Durability, PartitionId};
use crate::copies::Copy;
use crate::ids::Ids;
use crate::io::{Action, EDQUOT, ENOSPC, IoError, LogLevel, Now, OpId, Step, WRITE_PIECE_BYTES, is_full};
use crate::journal::{EntryKind, NewEntry};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Jobs of partitions in flight at once. None is begun while those in flight give the device [`WRITE_PIECE_BYTES`] at a
/// time: a synced journal write stands behind whatever the device has taken.
const JOBS_MAX: usize = 8;
/// The same at a stop, when nobody waits for the journal any more: small files cost waiting, which goes on side by side.
const STOP_JOBS_MAX: usize = 32;
/// Below this a tail is carried rather than written, while the carried share of a pass lasts.
const WORTH_WRITING_BYTES: u64 = 256 << 10;
/// Index entries that are gathered before the index files of an active segment are written: so many of each kind, 24
/// bytes together, a partition holds in memory besides those of its dirty bytes.
const INDEX_ENTRIES_GATHERED: usize = 256;
/// Segment files get their space ahead: twice what they have, and at most this at a time.
const ALLOCATION_BYTES: u64 = 64 << 20;
/// With less than this left for producers, no file gets space ahead of its need.
const ALLOCATION_ROOM_BYTES: u64 = 16 * ALLOCATION_BYTES;
/// After a full disk, the next try comes so much later.
const RETRY_US: u64 = 1_000_000;
/// Errors after which a job is tried again: no space, quota, too many open files, out of memory.
const RETRIED: [i32; 5] = [ENOSPC, EDQUOT, 23, 24, 12];

#[derive(Debug)]
enum Job {
    WriteBack { id: PartitionId, plan: WriteBackPlan, indexed: (usize, usize) },
    LoadIndex { id: PartitionId, segment: i64 },
    RewriteIndex { id: PartitionId, segment: i64 },
    Settle { id: PartitionId },
    Checkpoint { first_ordinal: u64 },
    Clean { id: PartitionId, bytes: u64 },
    RemoveSegments,
    RemoveFolder { folder: String },
    Close,
}

/// Where a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// None runs.
    Idle,
    /// Partitions are written back and carried; files below `target` will be free.
    Flushing { target: u64, carried_bytes: u64, carried_sequence: u64 },
    /// Everything is written; what was carried is awaited, then removals.
    Carrying { target: u64, carried_sequence: u64 },
    /// The checkpoint is being written.
    Checkpointing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Running,
    Draining,
    LastPass,
    Settling,
    Closing,
    Done,
}

/// The state of all disk jobs but reads.
#[derive(Debug)]
pub struct WriteBack {
    folder: String,
    incarnation: u64,
    generation: u64,
    jobs: BTreeMap<OpId, (Job, Vec<crate::io::FileId>)>,
    partition_jobs: usize,
    removals: usize,
    pass: Pass,
    queue: VecDeque<PartitionId>,
    to_settle: VecDeque<PartitionId>,
    trims: Vec<PartitionId>,
    dead: BTreeMap<PartitionId, (String, String)>,
    removing: BTreeSet<String>,
    dirty_trigger: u64,
    /// The pass writes everything back: somebody waits for room, and little is dirty.
    all: bool,
    /// The cleaner waits for a checkpoint.
    checkpoint_wanted: bool,
    /// The files below it were to be freed by the last pass.
    last_target: u64,
    retry_at_us: Option<u64>,
    /// The last write-back found no space.
    out_of_space: bool,
    stop: Stop,
    first_ordinal: u64,
}

impl WriteBack {
    /// `folder` is the shard's; `generation` that of the newest checkpoint on disk.
    pub fn new(
        folder: String,
        incarnation: u64,
        generation: u64,
        first_ordinal: u64,
        limits: &super::LogLimits,
    ) -> Self {
        Self {
            folder,
            incarnation,
            generation,
            jobs: BTreeMap::new(),
            partition_jobs: 0,
            removals: 0,
            pass: Pass::Idle,
            queue: VecDeque::new(),
            to_settle: VecDeque::new(),
            trims: Vec::new(),
            dead: BTreeMap::new(),
            removing: BTreeSet::new(),
            dirty_trigger: limits.tail_bytes as u64 / 4,
            all: false,
            checkpoint_wanted: false,
            last_target: 0,
            retry_at_us: None,
            out_of_space: false,
            stop: Stop::Running,
            first_ordinal,
        }
    }

    pub(super) fn owns(&self, op: OpId) -> bool {
        self.jobs.contains_key(&op)
    }

    pub(super) fn is_out_of_space(&self) -> bool {
        self.out_of_space
    }

    pub(super) fn jobs_in_flight(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        self.retry_at_us
    }

    /// The next checkpoint is made soon.
    pub(super) fn want_checkpoint(&mut self) {
        self.checkpoint_wanted = true;
    }

    /// Whether a checkpoint will be made without anything else being written back before.
    pub(super) fn is_before_checkpoint(&self) -> bool {
        matches!(self.pass, Pass::Carrying { .. })
    }

    pub(super) fn trim_later(&mut self, id: PartitionId) {
        self.trims.push(id);
    }

    /// Whether another partition may have a job.
    fn may_begin_job(&self) -> bool {
        match self.stop {
            Stop::Running => self.partition_jobs < JOBS_MAX && self.bytes_at_device() < WRITE_PIECE_BYTES,
            _ => self.partition_jobs < STOP_JOBS_MAX,
        }
    }

    /// What the jobs in flight have the device write at the same time, at most.
    fn bytes_at_device(&self) -> u64 {
        let bytes = |(job, _): &(Job, Vec<crate::io::FileId>)| match job {
            Job::WriteBack { plan, .. } => (plan.to - plan.from).min(WRITE_PIECE_BYTES),
            Job::Clean { bytes, .. } => *bytes,
            _ => 0,
        };
        self.jobs.values().map(bytes).sum()
    }

    fn submit(&mut self, job: Job, steps: Vec<Step>, ids: &mut Ids, actions: &mut Vec<Action>) {
        let op = ids.op();
        let opened = steps.iter().filter_map(|s| if let Step::Open { file, .. } = s { Some(*file) } else { None });
        self.jobs.insert(op, (job, opened.collect()));
        actions.push(Action::Io { op, steps });
    }

    /// Removes the files of segments that lie below the log start.
    pub(super) fn remove_segments(
        &mut self,
        p: &Partition,
        gone: &[Segment],
        ids: &mut Ids,
        actions: &mut Vec<Action>,
    ) {
        let folder = segment::folder(&p.topic, p.index);
        let mut steps = Vec::with_capacity(gone.len() * 4 + 1);
        for s in gone {
            for extension in ["log", "index", "timeindex", "snapshot"] {
                steps.push(Step::RemoveFile { path: segment::file(&folder, s.base_offset, extension) });
            }
        }
        steps.push(Step::SyncDir { path: folder });
        self.removals += 1;
        self.submit(Job::RemoveSegments, steps, ids, actions);
    }

    /// Removes the folder of a partition whose topic was deleted: at once, or when the job on it has ended.
    pub(super) fn remove_folder(&mut self, p: &Partition, ids: &mut Ids, actions: &mut Vec<Action>) {
        let folder = segment::folder(&p.topic, p.index);
        let doomed = doomed_folder(&folder, p.topic_id.0);
        if p.busy {
            self.dead.insert(p.id, (folder.clone(), doomed));
            self.removing.insert(folder);
        } else if p.has_folder {
            self.begin_removal(folder, doomed, ids, actions);
        }
    }

    fn begin_removal(&mut self, folder: String, doomed: String, ids: &mut Ids, actions: &mut Vec<Action>) {
        let topics = String::from(TOPICS);
        let steps = vec![
            Step::Rename { from: folder.clone(), to: doomed.clone() },
            Step::SyncDir { path: topics.clone() },
            Step::RemoveDir { path: doomed },
            Step::SyncDir { path: topics },
        ];
        self.removing.insert(folder.clone());
        self.removals += 1;
        self.submit(Job::RemoveFolder { folder }, steps, ids, actions);
    }
}

/// The folder that holds the partitions' folders.
pub const TOPICS: &str = "topics";

/// The name under which a deleted partition's folder waits for its removal.
pub fn doomed_folder(folder: &str, topic_id: [u8; 16]) -> String {
    let mut out = format!("{folder}.");
    for byte in topic_id {
        out.push_str(&format!("{byte:02x}"));
    }
    out.push_str("-delete");
    out
}

impl Logs {
    /// Starts what is due. Part of every end of turn.
    pub(super) fn write_back_turn(&mut self, now: Now, actions: &mut Vec<Action>) {
        let trims = core::mem::take(&mut self.write_back.trims);
        for id in trims {
            match self.partitions[id.0 as usize].as_deref() {
                Some(p) if p.busy => self.write_back.trims.push(id),
                Some(_) => self.trim(now, id, actions),
                None => {}
            }
        }
        if self.write_back.retry_at_us.is_some_and(|at| at > now.monotonic_us) {
            return;
        }
        self.write_back.retry_at_us = None;
        // A step that needs no disk leads to the next one at once: nothing else would bring another turn.
        loop {
            let before = (self.write_back.pass, self.write_back.stop);
            self.pass_turn(actions);
            self.stop_turn(now, actions);
            if before == (self.write_back.pass, self.write_back.stop) {
                break;
            }
        }
    }

    fn pass_turn(&mut self, actions: &mut Vec<Action>) {
        if self.write_back.pass == Pass::Idle && self.pass_is_due() {
            self.begin_pass(actions);
        }
        if let Pass::Flushing { .. } = self.write_back.pass {
            self.flush_queue(actions);
        }
        if let Pass::Carrying { target, carried_sequence } = self.write_back.pass
            && carried_sequence <= self.journal.durable_sequence()
            && self.write_back.removals == 0
            && !self.cleaner.is_replacing()
        {
            self.begin_checkpoint(target, actions);
        }
    }

    fn pass_is_due(&self) -> bool {
        match self.write_back.stop {
            Stop::Running => {
                let used = self.journal.files_in_use();
                let half_full = used >= 2 && used * 2 > self.journal.geometry().files_max;
                let frees = self.journal.newest_ordinal().is_some_and(|newest| newest > self.write_back.last_target);
                let short = used >= 2 && self.journal.is_short();
                ((half_full || short) && frees)
                    || self.dirty_bytes > self.write_back.dirty_trigger
                    || self.room_wanted && self.dirty_bytes > 0
                    || self.write_back.checkpoint_wanted
            }
            _ => false,
        }
    }

    fn begin_pass(&mut self, actions: &mut Vec<Action>) {
        let target = self.journal.newest_ordinal().unwrap_or(0);
        self.write_back.last_target = target;
        self.write_back.checkpoint_wanted = false;
        // Otherwise the large pieces make room, or being pressed does.
        let little = self.dirty_bytes <= self.limits.tail_bytes as u64 / 2;
        self.write_back.all = core::mem::take(&mut self.room_wanted) && little;
        // Also what is not carried has to be durable before its file goes: a log start is in no segment.
        let carried_sequence = self.journal.request_sync(&mut self.ids, actions);
        let mut seen = BTreeSet::new();
        let queue = &mut self.write_back.queue;
        queue.clear();
        queue.extend(self.users.iter().flat_map(|(_, ids)| ids).copied().filter(|id| seen.insert(*id)));
        self.write_back.pass = Pass::Flushing { target, carried_bytes: 0, carried_sequence };
    }

    fn flush_queue(&mut self, actions: &mut Vec<Action>) {
        let Pass::Flushing { target, mut carried_bytes, mut carried_sequence } = self.write_back.pass else { return };
        let mut later = VecDeque::new();
        while self.write_back.may_begin_job() {
            // Many small tails together can fill the dirty budget: then each of them is worth a write.
            let pressed = self.write_back.all || self.dirty_bytes > self.limits.tail_bytes as u64 / 2;
            let Some(id) = self.write_back.queue.pop_front() else { break };
            let durable = self.journal.durable_sequence();
            let Some(p) = self.partitions[id.0 as usize].as_deref_mut() else { continue };
            if p.busy || self.write_back.removing.contains(&segment::folder(&p.topic, p.index)) {
                later.push_back(id);
                continue;
            }
            let needed = p.oldest_needed_ordinal().is_some_and(|ordinal| ordinal < target);
            let plan = p.plan_write_back(durable, self.block as u64);
            let tail = p.unflushed().filter(|b| b.ordinal < target);
            let (tail_count, tail_bytes) = tail.fold((0, 0), |(n, bytes), b| (n + 1, bytes + u64::from(b.size)));
            match plan {
                Some(plan) if plan.seal.is_some() || plan.to - plan.from >= WORTH_WRITING_BYTES => {
                    self.begin_write_back(id, plan, actions);
                }
                _ if !(needed || pressed && p.unflushed().next().is_some()) => {}
                _ if !pressed
                    && carried_bytes + tail_bytes <= self.journal.geometry().file_len / 4
                    && self.journal.has_reserve_for(tail_count, tail_bytes as usize) =>
                {
                    carried_bytes += tail_bytes;
                    carried_sequence = carried_sequence.max(self.carry(id, target));
                }
                Some(plan) => self.begin_write_back(id, plan, actions),
                None if p.unflushed().any(|b| b.sequence > durable) => {
                    // Below level fsync nobody else may ever ask for it.
                    self.journal.request_sync(&mut self.ids, actions);
                    later.push_back(id);
                }
                None => {
                    // What is left does not fill a block, and carrying has had its share or does not help: seal it.
                    p.roll(0);
                    self.closed_chunks.push_back(id);
                    self.write_back.queue.push_front(id);
                }
            }
        }
        self.write_back.queue.append(&mut later);
        let done = self.write_back.queue.is_empty() && self.write_back.partition_jobs == 0;
        self.write_back.pass = match done {
            true => Pass::Carrying { target, carried_sequence },
            false => Pass::Flushing { target, carried_bytes, carried_sequence },
        };
    }

    /// Appends again, at the journal's head, what recovery needs of a partition from files below `target`.
    fn carry(&mut self, id: PartitionId, target: u64) -> u64 {
        let p = self.partitions[id.0 as usize].as_deref_mut().expect("the caller found it");
        self.tail_memory -= p.tail.shrink();
        let carried: Vec<_> = p.unflushed().filter(|b| b.ordinal < target).copied().collect();
        let mut sequence = 0;
        for batch in carried {
            let entry = NewEntry {
                kind: EntryKind::CarriedRecords,
                level: Durability::Fsync,
                topic_id: p.topic_id.0,
                partition: p.index,
                leader_epoch: batch.leader_epoch,
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                segment_base_offset: batch.segment,
                payload_crc: batch.crc,
            };
            let placed = self.journal.append(entry, &p.tail.pieces(&batch));
            sequence = placed.sequence;
            p.tail.relocate(batch.base_offset, placed.ordinal);
            list_user(&mut self.users, placed.ordinal, id);
        }
        sequence
    }

    fn begin_write_back(&mut self, id: PartitionId, plan: WriteBackPlan, actions: &mut Vec<Action>) {
        let (ids, block) = (&mut self.ids, self.block);
        let p = self.partitions[id.0 as usize].as_deref_mut().expect("the caller found it");
        p.busy = true;
        self.write_back.partition_jobs += 1;
        let folder = segment::folder(&p.topic, p.index);
        let current = &p.segments[p.segment_of(plan.segment)];
        let durable = index_files::entries_below(current, &plan);
        let write_index = plan.seal.is_some() || durable.0 >= INDEX_ENTRIES_GATHERED;
        if write_index && !current.index_loaded {
            let steps = index_files::reads(&folder, current, ids);
            let job = Job::LoadIndex { id, segment: plan.segment };
            return self.write_back.submit(job, steps, ids, actions);
        }
        let large = plan.to - plan.from >= WORTH_WRITING_BYTES && plan.seal.is_none();
        let ahead = allocation(plan.to);
        let mut allocate = None;
        if large && ahead > allocation(plan.from) && self.disk_room >= ALLOCATION_ROOM_BYTES {
            let most = p.config.segment_bytes.next_multiple_of(block as u64).max(plan.to);
            allocate = Some(ahead.min(most));
        }
        let indexed = write_index.then_some(durable);
        let steps = write_back_steps(p, &plan, indexed, allocate, ids);
        self.write_back.submit(Job::WriteBack { id, plan, indexed: indexed.unwrap_or_default() }, steps, ids, actions);
    }

    pub(super) fn write_back_completed(
        &mut self,
        now: Now,
        op: OpId,
        result: Result<Vec<Bytes>, IoError>,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let (job, opened) = self.write_back.jobs.remove(&op).expect("the caller asked whether it is ours");
        match (job, result) {
            (Job::Close, _) => {}
            (Job::LoadIndex { id, segment }, result) => {
                let missing = result.is_err();
                if missing {
                    self.close_files(opened, actions);
                }
                self.index_loaded(id, segment, result.unwrap_or_default());
                self.partition_job_ended(id, actions);
            }
            (Job::RewriteIndex { id, segment }, result) => {
                if result.is_err() {
                    self.close_files(opened, actions);
                }
                self.index_rewritten(id, segment, result.err().as_ref(), actions);
                self.partition_job_ended(id, actions);
            }
            (Job::Clean { id, .. }, result) => {
                if result.is_err() {
                    self.close_files(opened, actions);
                }
                self.partition_job_ended(id, actions);
                let error = result.err();
                let is_retried = error.as_ref().is_some_and(|error| RETRIED.contains(&error.errno));
                self.cleaning_written(now, id, error.as_ref(), is_retried, actions)?;
            }
            (Job::RemoveSegments, result) => {
                self.write_back.removals -= 1;
                result.err().into_iter().for_each(|e| Self::log(actions, LogLevel::Warn, removal_failed(&e)));
            }
            (Job::RemoveFolder { folder }, result) => {
                self.write_back.removals -= 1;
                self.write_back.removing.remove(&folder);
                result.err().into_iter().for_each(|e| Self::log(actions, LogLevel::Warn, removal_failed(&e)));
            }
            (job, Err(error)) => self.job_failed(now, job, opened, &error, actions)?,
            (Job::WriteBack { id, plan, indexed }, Ok(_)) => {
                self.write_back.out_of_space = false;
                self.written_back(id, &plan, indexed);
                self.partition_job_ended(id, actions);
            }
            (Job::Settle { id }, Ok(_)) => {
                if let Some(p) = self.partitions[id.0 as usize].as_deref_mut() {
                    p.has_folder = true;
                }
                self.partition_job_ended(id, actions);
            }
            (Job::Checkpoint { first_ordinal }, Ok(_)) => {
                self.write_back.out_of_space = false;
                self.checkpoint_written(first_ordinal);
            }
        }
        Ok(())
    }

    fn job_failed(
        &mut self,
        now: Now,
        job: Job,
        opened: Vec<crate::io::FileId>,
        error: &IoError,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        if !RETRIED.contains(&error.errno) {
            return Err(format!(
                "{} failed with error {}; the disk must be checked before the next start",
                error.what, error.errno
            ));
        }
        let words = format!("{} failed with error {} (is the disk full?); trying again", error.what, error.errno);
        Self::log(actions, LogLevel::Error, words);
        self.close_files(opened, actions);
        self.write_back.out_of_space |= is_full(error);
        self.write_back.retry_at_us = Some(now.monotonic_us + RETRY_US);
        match job {
            Job::WriteBack { id, .. } => {
                self.write_back.queue.push_front(id);
                self.partition_job_ended(id, actions);
            }
            Job::Settle { id } => {
                self.write_back.to_settle.push_front(id);
                self.partition_job_ended(id, actions);
            }
            Job::Checkpoint { first_ordinal } => {
                self.write_back.pass = Pass::Carrying { target: first_ordinal, carried_sequence: 0 };
            }
            _ => {}
        }
        Ok(())
    }

    /// Closes what a chain that failed may have left open.
    pub(super) fn close_files(&mut self, opened: Vec<crate::io::FileId>, actions: &mut Vec<Action>) {
        if !opened.is_empty() {
            let steps = opened.into_iter().map(|file| Step::Close { file }).collect();
            self.write_back.submit(Job::Close, steps, &mut self.ids, actions);
        }
    }

    /// Writes the index files of a sealed segment as one whole; false when the folder is not free.
    pub(super) fn write_index(&mut self, id: PartitionId, rebuilt: &Segment, actions: &mut Vec<Action>) -> bool {
        let p = self.partitions[id.0 as usize].as_deref_mut().expect("the caller found it");
        if p.busy || self.write_back.partition_jobs >= JOBS_MAX {
            return false;
        }
        p.busy = true;
        self.write_back.partition_jobs += 1;
        let folder = segment::folder(&p.topic, p.index);
        let steps = index_repair::rewrite_steps(&folder, rebuilt, &mut self.ids);
        let job = Job::RewriteIndex { id, segment: rebuilt.base_offset };
        self.write_back.submit(job, steps, &mut self.ids, actions);
        true
    }

    /// Whether the cleaner may write in the folder of a partition, which exists.
    pub(super) fn is_folder_free(&self, id: PartitionId) -> bool {
        !self.partition(id).busy && self.write_back.may_begin_job()
    }

    /// Nobody else writes in the folder of a partition until [`Self::partition_job_ended`].
    pub(super) fn take_folder(&mut self, id: PartitionId) {
        let p = self.partition_mut(id);
        assert!(!p.busy, "the folder is free");
        p.busy = true;
        self.write_back.partition_jobs += 1;
    }

    /// Runs steps of the cleaner in a folder that it has taken; their end gives it up. They write so many bytes.
    pub(super) fn submit_cleaning(&mut self, id: PartitionId, bytes: u64, steps: Vec<Step>, actions: &mut Vec<Action>) {
        self.write_back.submit(Job::Clean { id, bytes }, steps, &mut self.ids, actions);
    }

    pub(super) fn partition_job_ended(&mut self, id: PartitionId, actions: &mut Vec<Action>) {
        self.write_back.partition_jobs -= 1;
        match self.partitions[id.0 as usize].as_deref_mut() {
            Some(p) => p.busy = false,
            None => {
                if let Some((folder, doomed)) = self.write_back.dead.remove(&id) {
                    self.write_back.begin_removal(folder, doomed, &mut self.ids, actions);
                }
            }
        }
    }

    fn written_back(&mut self, id: PartitionId, plan: &WriteBackPlan, indexed: (usize, usize)) {
        let Some(p) = self.partitions[id.0 as usize].as_deref_mut() else { return };
        let dirty = p.dirty_bytes();
        note_written_back(p, plan, indexed);
        if indexed != (0, 0) || plan.seal.is_some() {
            self.reads.index_written(id, plan.segment);
        }
        self.dirty_bytes = self.dirty_bytes - dirty + p.dirty_bytes();
        if let Pass::Flushing { target, .. } = self.write_back.pass {
            let old = p.oldest_needed_ordinal().is_some_and(|ordinal| ordinal < target);
            let stopping = self.write_back.stop != Stop::Running;
            if old || stopping || self.dirty_bytes > self.limits.tail_bytes as u64 / 8 {
                self.write_back.queue.push_back(id);
            }
        }
    }

    fn index_loaded(&mut self, id: PartitionId, base_offset: i64, files: Vec<Bytes>) {
        let Some(p) = self.partitions[id.0 as usize].as_deref_mut() else { return };
        note_index(p, base_offset, &files);
        self.write_back.queue.push_front(id);
    }

    fn begin_checkpoint(&mut self, target: u64, actions: &mut Vec<Action>) {
        // What is not durable yet in the journal is not in a checkpoint either: the flushed offset only covers durable bytes.
        let first_ordinal = self.first_needed_ordinal().min(target);
        let generation = self.write_back.generation + 1;
        for p in self.partitions.iter_mut().flatten() {
            p.cleaning.checkpoint_begun(p.flushed.segment);
        }
        let partitions = self.iter().filter_map(PartitionCheckpoint::of).collect();
        let content = Checkpoint { metadata_offset: self.metadata_offset, partitions }.to_bytes();
        let (version, incarnation) = (checkpoint::KIND.version, self.write_back.incarnation);
        let copy = Copy { version, generation, first_ordinal, incarnation, content };
        let steps = checkpoint::KIND.write(&self.write_back.folder, &copy, self.block, &mut self.ids);
        self.write_back.pass = Pass::Checkpointing;
        self.write_back.submit(Job::Checkpoint { first_ordinal }, steps, &mut self.ids, actions);
    }

    fn first_needed_ordinal(&self) -> u64 {
        let needed = self.iter().filter_map(Partition::oldest_needed_ordinal).min();
        needed.unwrap_or(u64::MAX).min(self.journal.newest_ordinal().unwrap_or(0))
    }

    fn checkpoint_written(&mut self, first_ordinal: u64) {
        self.write_back.generation += 1;
        self.partitions.iter_mut().flatten().for_each(|p| p.cleaning.checkpoint_written());
        self.write_back.first_ordinal = first_ordinal;
        self.journal.saved(self.write_back.generation);
        self.journal.release(first_ordinal);
        while self.users.front().is_some_and(|(ordinal, _)| *ordinal < first_ordinal) {
            self.users.pop_front();
        }
        let limit = self.limits.tail_bytes as u64;
        self.write_back.dirty_trigger = (limit / 4).max(self.dirty_bytes + limit / 16);
        self.write_back.pass = Pass::Idle;
    }

    /// Begins the end: write back, checkpoint, settle the segment files for readers, close the journal.
    pub fn begin_stop(&mut self) {
        if self.write_back.stop == Stop::Running {
            self.write_back.stop = Stop::Draining;
        }
    }

    /// Whether an end was begun.
    pub(super) fn is_stopping(&self) -> bool {
        self.write_back.stop != Stop::Running
    }

    /// Whether everything is written back and the journal is closed.
    pub fn is_stopped(&self) -> bool {
        self.write_back.stop == Stop::Done
    }

    fn stop_turn(&mut self, now: Now, actions: &mut Vec<Action>) {
        match self.write_back.stop {
            Stop::Running | Stop::Done => {}
            Stop::Draining => {
                self.journal.request_sync(&mut self.ids, actions);
                if self.write_back.pass == Pass::Idle && self.journal.is_idle() {
                    self.begin_pass(actions);
                    self.write_back.stop = Stop::LastPass;
                }
            }
            Stop::LastPass => {
                if self.write_back.pass == Pass::Idle {
                    let unsettled = self.iter().filter(|p| p.log_end > p.log_start || p.has_folder).map(|p| p.id);
                    self.write_back.to_settle = unsettled.collect();
                    self.write_back.stop = Stop::Settling;
                }
            }
            Stop::Settling => self.settle(actions),
            Stop::Closing => {
                if self.journal.close(now.monotonic_us, self.metadata_offset, &mut self.ids, actions) {
                    self.write_back.stop = Stop::Done;
                }
            }
        }
    }

    /// At a clean stop: writes the last block of every active segment and cuts the files to length, so that other
    /// programs can read them. The journal keeps the authority over these bytes.
    fn settle(&mut self, actions: &mut Vec<Action>) {
        while self.write_back.may_begin_job() {
            let Some(id) = self.write_back.to_settle.pop_front() else { break };
            let ids = &mut self.ids;
            let Some(p) = self.partitions[id.0 as usize].as_deref_mut() else { continue };
            let folder = segment::folder(&p.topic, p.index);
            if p.busy || self.write_back.removing.contains(&folder) {
                self.write_back.to_settle.push_back(id);
                break;
            }
            p.busy = true;
            self.write_back.partition_jobs += 1;
            let active = p.active();
            if !active.index_loaded {
                let job = Job::LoadIndex { id, segment: active.base_offset };
                let steps = index_files::reads(&folder, active, ids);
                self.write_back.to_settle.push_back(id);
                self.write_back.submit(job, steps, ids, actions);
                continue;
            }
            let steps = settle_steps(p, &folder, self.block, ids);
            self.write_back.submit(Job::Settle { id }, steps, ids, actions);
        }
        let removals = self.write_back.removals;
        if self.write_back.to_settle.is_empty() && self.write_back.partition_jobs == 0 && removals == 0 {
            self.write_back.stop = Stop::Closing;
        }
    }
}

/// The space that a segment file of `len` bytes gets: many small partitions must not take many times what they hold.
fn allocation(len: u64) -> u64 {
    if len < ALLOCATION_BYTES && len > 0 { len.next_power_of_two() } else { len.next_multiple_of(ALLOCATION_BYTES) }
}

fn removal_failed(error: &IoError) -> String {
    format!("{} failed with error {}: files of deleted data remain", error.what, error.errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_twice_its_bytes_and_then_a_step_ahead() {
        for (len, given) in [
            (0, 0),
            (1, 1),
            (300 << 10, 512 << 10),
            (33 << 20, 64 << 20),
            (ALLOCATION_BYTES, ALLOCATION_BYTES),
            (ALLOCATION_BYTES + 1, 2 * ALLOCATION_BYTES),
        ] {
            assert_eq!(allocation(len), given, "{len}");
        }
    }
}
