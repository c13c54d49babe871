//! Reads of what is no longer in memory: fetches and timestamp lookups on segment files.
//!
//! A job goes through at most three stages: the segment's index files (cached), a search for the first batch from the
//! position that the index names, and the batches wanted (`search`). Every batch is verified (CRC, offset, leader epoch)
//! before it is handed out, so what rotted on disk is an error and never data.
//!
//! A fetch that is to leave the batches of a sealed segment in place looks at headers only; see `in_place`. It ends with
//! an open file and a range of it, or goes on as any other.
//!
//! Invariants: memory of reads in flight stays within the limit (further jobs wait in line); a read never goes past the
//! flushed offset, since what is behind it is in memory; while segments are replaced by cleaned ones no read is begun, and what
//! was read of the old ones is not looked at, but read again; an index is only believed after the batch at its position
//! fits, otherwise the segment is searched from its beginning; a file that a job has opened is closed by its chain, by
//! whatever ends the job, or belongs to who gets the range.

mod remembered;
mod search;

use self::search::{Next, advance};
use super::in_place::{self, Look};
use super::index::{SegmentIndex, TimeEntry};
use super::index_files;
use super::logs::{Lookup, Read, TimestampTarget};
use super::partition::Partition;
use super::segment::{self, Segment};
use super::timestamps::{find_in_tail, hidden_segment, largest_timestamp, later};
use super::{Fetched, FoundOffset, PartitionId, Progress, ReadId, SegmentRange};
use crate::ids::Ids;
use crate::io::{Action, ENOENT, FileId, FileRange, IoError, LogLevel, OpId, OpenMode, Step};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

/// The most bytes that one read asks the disk for, unless a single batch is larger.
const READ_BYTES_MAX: u64 = 1 << 20;
/// The fewest: small requests in a row find the next batches in the same read.
const READ_BYTES_MIN: u64 = 64 << 10;

#[derive(Clone, Copy, Debug)]
enum Purpose {
    Fetch {
        from: i64,
        max_bytes: usize,
        whole_first: bool,
    },
    Time {
        at_ms: i64,
    },
    /// The largest timestamp in what one segment has on disk, from the log start on.
    Latest {
        from: i64,
        best: Option<FoundOffset>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Index,
    /// A look at headers, without the batches behind them.
    Headers {
        position: u64,
        len: u64,
        looks: u32,
    },
    Data {
        position: u64,
        len: u64,
        trusted: bool,
    },
}

#[derive(Debug)]
struct Job {
    id: ReadId,
    partition: PartitionId,
    purpose: Purpose,
    segment: i64,
    stage: Stage,
    expected: Option<i64>,
    /// What the time index says of a batch at or behind the position: its last offset, and its largest timestamp.
    claimed: Option<(i64, i64)>,
    reserved: usize,
    /// Which files of the partition it reads: see [`super::cleaner::Cleaning`].
    switches: u64,
    /// What the chain in flight opens.
    opened: Vec<FileId>,
    /// The batches are to be left where they are.
    in_place: bool,
    /// The segment, open for that.
    file: Option<FileId>,
}

/// An operation in flight for which nobody waits any more.
#[derive(Debug)]
struct Abandoned {
    reserved: usize,
    opened: Vec<FileId>,
    file: Option<FileId>,
}

/// The reads of a shard.
#[derive(Debug)]
pub struct Reads {
    limit_bytes: usize,
    reserved_bytes: usize,
    next_id: u64,
    jobs: BTreeMap<OpId, Job>,
    abandoned: BTreeMap<OpId, Abandoned>,
    waiting: VecDeque<Job>,
    /// Jobs that wait until segments are replaced.
    held: Vec<Job>,
    closing: Vec<OpId>,
    cursors: BTreeMap<(PartitionId, i64), (i64, u64)>,
    cursor_order: VecDeque<(PartitionId, i64)>,
    indexes: BTreeMap<(PartitionId, i64), SegmentIndex>,
    index_order: VecDeque<(PartitionId, i64)>,
    index_bytes: usize,
    /// Reads of index files in flight that do not bring what these hold by now.
    outdated: BTreeSet<OpId>,
    /// Segments whose index files were found lost or damaged.
    suspects: Vec<(PartitionId, i64)>,
    /// Segments that could not be sent from their place: they are verified from then on.
    distrusted: BTreeSet<(PartitionId, i64)>,
}

impl Reads {
    /// No reads; at most `limit_bytes` of memory for those to come.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            reserved_bytes: 0,
            next_id: 0,
            jobs: BTreeMap::new(),
            abandoned: BTreeMap::new(),
            waiting: VecDeque::new(),
            held: Vec::new(),
            closing: Vec::new(),
            cursors: BTreeMap::new(),
            cursor_order: VecDeque::new(),
            indexes: BTreeMap::new(),
            index_order: VecDeque::new(),
            index_bytes: 0,
            outdated: BTreeSet::new(),
            suspects: Vec::new(),
            distrusted: BTreeSet::new(),
        }
    }

    pub(super) fn owns(&self, op: OpId) -> bool {
        self.jobs.contains_key(&op) || self.abandoned.contains_key(&op) || self.closing.contains(&op)
    }

    /// Memory of reads in flight.
    pub(super) fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    /// Memory of indexes.
    pub(super) fn index_bytes(&self) -> usize {
        self.index_bytes
    }

    pub(super) fn partition_of(&self, op: OpId) -> Option<PartitionId> {
        self.jobs.get(&op).map(|job| job.partition)
    }

    /// Starts a fetch from the segment files. With `in_place` the batches of a sealed segment are left in it.
    #[expect(clippy::too_many_arguments, reason = "the request and the three sinks of every effect")]
    pub(super) fn fetch(
        &mut self,
        partition: &Partition,
        from: i64,
        max_bytes: usize,
        whole_first: bool,
        in_place: bool,
        block: usize,
        ids: &mut Ids,
        actions: &mut Vec<Action>,
    ) -> Read {
        let segment = segment_for(partition, from);
        let purpose = Purpose::Fetch { from, max_bytes, whole_first };
        let base_offset = segment.base_offset;
        let in_place = in_place
            && in_place::is_possible(partition, base_offset)
            && !self.distrusted.contains(&(partition.id, base_offset));
        let mut job = self.new_job(partition, purpose, base_offset, in_place);
        match self.take_cursor(partition.id, from) {
            Some((base, position)) if base == base_offset && !in_place => {
                job.expected = Some(from);
                job.stage = Stage::Data { position, len: wanted_len(&purpose, block), trusted: true };
            }
            _ => self.set_first_stage(partition, &mut job, block),
        }
        let id = job.id;
        self.submit(partition, job, block, ids, actions);
        Read::Pending(id)
    }

    /// Finds a record by timestamp, in memory if it is there.
    pub(super) fn lookup(
        &mut self,
        partition: &Partition,
        target: TimestampTarget,
        block: usize,
        ids: &mut Ids,
        actions: &mut Vec<Action>,
    ) -> Lookup {
        let at_ms = match target {
            TimestampTarget::Max => {
                let known = largest_timestamp(partition);
                let Some(segment) = hidden_segment(partition, known) else { return Lookup::Done(known) };
                let purpose = Purpose::Latest { from: partition.log_start, best: None };
                return self.begin_lookup(partition, purpose, segment, block, ids, actions);
            }
            TimestampTarget::At(at_ms) => at_ms,
        };
        let candidate = partition
            .segments
            .iter()
            .find(|s| s.len > 0 && s.max_timestamp_ms >= at_ms && s.next_offset > partition.log_start);
        let Some(segment) = candidate else { return Lookup::Done(None) };
        if partition.tail.first_offset().is_some_and(|first| first <= segment.base_offset.max(partition.log_start)) {
            return match find_in_tail(partition, at_ms) {
                Ok(found) => Lookup::Done(found),
                Err(_) => Lookup::Failed(ErrorCode::CORRUPT_MESSAGE),
            };
        }
        self.begin_lookup(partition, Purpose::Time { at_ms }, segment.base_offset, block, ids, actions)
    }

    fn begin_lookup(
        &mut self,
        partition: &Partition,
        purpose: Purpose,
        segment: i64,
        block: usize,
        ids: &mut Ids,
        actions: &mut Vec<Action>,
    ) -> Lookup {
        let mut job = self.new_job(partition, purpose, segment, false);
        self.set_first_stage(partition, &mut job, block);
        let id = job.id;
        self.submit(partition, job, block, ids, actions);
        Lookup::Pending(id)
    }

    fn new_job(&mut self, partition: &Partition, purpose: Purpose, segment: i64, in_place: bool) -> Job {
        self.next_id += 1;
        Job {
            id: ReadId(self.next_id),
            partition: partition.id,
            purpose,
            segment,
            stage: Stage::Index,
            expected: None,
            claimed: None,
            reserved: 0,
            switches: partition.cleaning.switches,
            opened: Vec::new(),
            in_place,
            file: None,
        }
    }

    fn set_first_stage(&self, p: &Partition, job: &mut Job, block: usize) {
        let Some((position, claimed)) = self.indexed_position(p, job.segment, &job.purpose) else {
            job.stage = Stage::Index;
            return;
        };
        job.claimed = claimed;
        // A sealed segment has its index in its files alone.
        let index = self.indexes.get(&(p.id, job.segment));
        job.in_place = job.in_place && index.is_some_and(|index| !in_place::is_index_lost(p, job.segment, index));
        job.stage = if job.in_place {
            Stage::Headers { position, len: in_place::FIRST_LOOK_BYTES, looks: 1 }
        } else {
            Stage::Data { position, len: wanted_len(&job.purpose, block), trusted: position == 0 }
        };
    }

    /// Where a search begins, and what is claimed of a batch there (see [`Job::claimed`]): as the entries in memory say
    /// that are not in the index files yet, or else those of the files. `None` when these have to be read first.
    fn indexed_position(
        &self,
        p: &Partition,
        base_offset: i64,
        purpose: &Purpose,
    ) -> Option<(u64, Option<(i64, i64)>)> {
        let segment = &p.segments[p.segment_of(base_offset)];
        let nothing = SegmentIndex::default();
        let in_files = !segment.index_loaded || segment.index_written != (0, 0);
        let files = if in_files { self.indexes.get(&(p.id, base_offset)) } else { Some(&nothing) };
        let (relative, claimed) = match *purpose {
            Purpose::Fetch { from, .. } | Purpose::Latest { from, .. } => {
                (u32::try_from(from.max(base_offset) - base_offset).unwrap_or(u32::MAX), None)
            }
            Purpose::Time { at_ms } => {
                let entry = match segment.index.entry_before_time(at_ms) {
                    Some(entry) => Some(entry),
                    None => files?.entry_before_time(at_ms),
                };
                let claim = |entry: TimeEntry| (base_offset + i64::from(entry.relative_offset), entry.timestamp_ms);
                (entry.map_or(0, |entry| entry.relative_offset), entry.map(claim))
            }
        };
        let position = match segment.index.position_before(relative) {
            Some(position) => position,
            None => files?.position_before(relative).unwrap_or(0),
        };
        Some((position.into(), claimed))
    }

    fn submit(&mut self, p: &Partition, mut job: Job, block: usize, ids: &mut Ids, actions: &mut Vec<Action>) {
        if p.cleaning.switching {
            return self.held.push(job);
        }
        let folder = segment::folder(&p.topic, p.index);
        let segment = &p.segments[p.segment_of(job.segment)];
        let mut kept = job.file;
        let steps = match job.stage {
            Stage::Index => index_files::reads(&folder, segment, ids),
            Stage::Headers { position, len, .. } => {
                let mut steps = Vec::with_capacity(2);
                let file = kept.unwrap_or_else(|| ids.file());
                if kept.is_none() {
                    let path = segment::file(&folder, job.segment, "log");
                    steps.push(Step::Open { file, path, mode: OpenMode::READ_BUFFERED });
                    kept = Some(file);
                }
                let len = len.min(segment.len.saturating_sub(position)) as usize;
                steps.push(Step::Read { file, offset: position, len });
                steps
            }
            Stage::Data { position, len, .. } => {
                let file = ids.file();
                let block = block as u64;
                let offset = position - position % block;
                let end = (position + len).min(on_disk_len(p, job.segment)).next_multiple_of(block);
                let path = segment::file(&folder, job.segment, "log");
                let mut steps = Vec::with_capacity(4);
                steps.extend(kept.take().map(|file| Step::Close { file }));
                steps.push(Step::Open { file, path, mode: OpenMode::READ });
                steps.push(Step::Read { file, offset, len: (end - offset) as usize });
                steps.push(Step::Close { file });
                steps
            }
        };
        job.reserved = steps.iter().map(|s| if let Step::Read { len, .. } = s { *len } else { 0 }).sum();
        if self.reserved_bytes > 0 && self.reserved_bytes + job.reserved > self.limit_bytes {
            return self.waiting.push_back(job);
        }
        self.reserved_bytes += job.reserved;
        job.file = kept;
        job.opened =
            steps.iter().filter_map(|s| if let Step::Open { file, .. } = s { Some(*file) } else { None }).collect();
        let op = ids.op();
        self.jobs.insert(op, job);
        actions.push(Action::Io { op, steps });
    }

    /// Jobs that waited for memory: to be called with each partition that may have one.
    pub(super) fn next_waiting(&self) -> Option<PartitionId> {
        let job = self.waiting.front()?;
        (self.reserved_bytes == 0 || self.reserved_bytes + job.reserved <= self.limit_bytes).then_some(job.partition)
    }

    /// Starts the job at the head of the line.
    pub(super) fn start_waiting(
        &mut self,
        p: &Partition,
        block: usize,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        match self.waiting.pop_front() {
            Some(job) if job.switches != p.cleaning.switches => self.begin_again(p, job, block, ids, progress, actions),
            Some(job) if is_gone(p, job.segment) => self.segment_gone(p, job, block, ids, progress, actions),
            Some(job) => self.submit(p, job, block, ids, actions),
            None => {}
        }
    }

    /// The segments of a partition were replaced: who waited for that goes on.
    pub(super) fn segments_replaced(
        &mut self,
        p: &Partition,
        block: usize,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        let held = core::mem::take(&mut self.held);
        let (ours, others) = held.into_iter().partition(|job| job.partition == p.id);
        self.held = others;
        let ours: Vec<Job> = ours;
        ours.into_iter().for_each(|job| self.begin_again(p, job, block, ids, progress, actions));
    }

    /// The segments are not those of which a job has read: it begins again with the one that has their place.
    fn begin_again(
        &mut self,
        p: &Partition,
        mut job: Job,
        block: usize,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        self.close(job.file.take().into_iter().collect(), ids, actions);
        (job.expected, job.claimed, job.switches) = (None, None, p.cleaning.switches);
        match job.purpose {
            Purpose::Fetch { from, .. } if from < p.log_start => {
                finish(&job, Err(ErrorCode::OFFSET_OUT_OF_RANGE), progress);
            }
            Purpose::Fetch { from, .. } => {
                job.segment = segment_for(p, from).base_offset;
                job.in_place = job.in_place && in_place::is_possible(p, job.segment);
                let from = from.max(job.segment);
                self.fetch_on(p, job, from, block, ids, progress, actions);
            }
            Purpose::Time { .. } | Purpose::Latest { .. } => {
                job.segment = p.segments[p.segment_of(job.segment.max(p.log_start))].base_offset;
                self.set_first_stage(p, &mut job, block);
                self.submit(p, job, block, ids, actions);
            }
        }
    }

    /// A fetch goes on with another segment, at `at`, which may be in memory.
    #[expect(clippy::too_many_arguments, reason = "the job and the four sinks of every effect")]
    fn fetch_on(
        &mut self,
        p: &Partition,
        mut job: Job,
        at: i64,
        block: usize,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        let Purpose::Fetch { max_bytes, whole_first, .. } = job.purpose else { unreachable!("the caller saw it") };
        if let Some((pieces, _)) = p.read_tail(at, max_bytes, whole_first) {
            return finish(&job, Ok(Found::Batches(pieces)), progress);
        }
        self.set_first_stage(p, &mut job, block);
        self.submit(p, job, block, ids, actions);
    }

    /// Retention took the segment away from under the job: what was asked for is below the log start now.
    fn segment_gone(
        &mut self,
        p: &Partition,
        mut job: Job,
        block: usize,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        self.close(job.file.take().into_iter().collect(), ids, actions);
        match job.purpose {
            Purpose::Fetch { .. } => finish(&job, Err(ErrorCode::OFFSET_OUT_OF_RANGE), progress),
            Purpose::Time { .. } | Purpose::Latest { .. } => self.next_segment(p, job, block, ids, progress, actions),
        }
    }

    /// An operation has ended for which nobody waits any more.
    pub(super) fn abandoned(&mut self, op: OpId, failed: bool, ids: &mut Ids, actions: &mut Vec<Action>) {
        if let Some(abandoned) = self.abandoned.remove(&op) {
            self.reserved_bytes -= abandoned.reserved;
            let mut open: Vec<FileId> = abandoned.file.into_iter().collect();
            if failed {
                open.extend(abandoned.opened);
            }
            self.close(open, ids, actions);
        }
        self.closing.retain(|closing| *closing != op);
    }

    /// An operation has ended: its job goes on or is done.
    #[expect(clippy::too_many_arguments, reason = "the completion and the four sinks of every effect")]
    pub(super) fn completed(
        &mut self,
        partition: &mut Partition,
        op: OpId,
        result: Result<Vec<Bytes>, IoError>,
        block: usize,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        let mut job = self.jobs.remove(&op).expect("the caller found its partition");
        self.reserved_bytes -= job.reserved;
        let is_outdated = job.switches != partition.cleaning.switches;
        if is_outdated || is_gone(partition, job.segment) {
            if result.is_err() {
                self.close(core::mem::take(&mut job.opened), ids, actions);
            }
            if is_outdated {
                self.outdated.remove(&op);
                return self.begin_again(partition, job, block, ids, progress, actions);
            }
            return self.segment_gone(partition, job, block, ids, progress, actions);
        }
        let files = match result {
            Ok(files) => files,
            Err(error) => {
                self.close(core::mem::take(&mut job.opened), ids, actions);
                if job.stage == Stage::Index {
                    if error.errno != ENOENT {
                        actions.push(Action::Log { level: LogLevel::Warn, message: could_not_read(&error) });
                    }
                    self.suspects.push((partition.id, job.segment));
                    Vec::new()
                } else {
                    self.close(job.file.take().into_iter().collect(), ids, actions);
                    actions.push(Action::Log { level: LogLevel::Error, message: could_not_read(&error) });
                    return finish(&job, Err(ErrorCode::KAFKA_STORAGE_ERROR), progress);
                }
            }
        };
        if job.stage == Stage::Index {
            // What has been written meanwhile is in neither place: the files are read again.
            if !self.outdated.remove(&op) {
                self.remember_index(partition, job.segment, &files);
            }
            self.set_first_stage(partition, &mut job, block);
            return self.submit(partition, job, block, ids, actions);
        }
        let data = files.into_iter().next().unwrap_or_default();
        if let Stage::Headers { position, looks, .. } = job.stage {
            return self.looked(partition, job, position, looks, &data, block, ids, progress, actions);
        }
        match advance(partition, &mut job, &data, block) {
            Next::At { position, len, expected } => {
                job.stage = Stage::Data { position, len, trusted: true };
                job.expected = expected;
                self.submit(partition, job, block, ids, actions);
            }
            Next::FromTheBeginning => {
                self.suspects.push((partition.id, job.segment));
                self.forget_segment(partition.id, job.segment);
                let len = wanted_len(&job.purpose, block);
                (job.expected, job.claimed) = (None, None);
                job.stage = Stage::Data { position: 0, len, trusted: true };
                self.submit(partition, job, block, ids, actions);
            }
            Next::Batches(bytes, end, next_offset) => {
                self.remember_cursor((partition.id, next_offset), (job.segment, end as u64));
                let pieces = if bytes.is_empty() { Vec::new() } else { vec![bytes] };
                finish(&job, Ok(Found::Batches(pieces)), progress);
            }
            Next::Found(found) => finish(&job, Ok(Found::Offset(Some(found))), progress),
            Next::Exhausted => self.next_segment(partition, job, block, ids, progress, actions),
            Next::Damaged(message) => {
                actions.push(Action::Log { level: LogLevel::Error, message });
                finish(&job, Err(ErrorCode::KAFKA_STORAGE_ERROR), progress);
            }
        }
    }

    /// A look at the headers of a segment has ended.
    #[expect(clippy::too_many_arguments, reason = "the completion and the four sinks of every effect")]
    fn looked(
        &mut self,
        p: &Partition,
        mut job: Job,
        position: u64,
        looks: u32,
        data: &[u8],
        block: usize,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        let Purpose::Fetch { from, max_bytes, whole_first } = job.purpose else {
            unreachable!("only what is fetched is left in place")
        };
        match in_place::look(p, job.segment, from, position, job.expected, data) {
            Look::Found { size, .. } if size > max_bytes && !whole_first => {
                self.close(job.file.take().into_iter().collect(), ids, actions);
                finish(&job, Ok(Found::Batches(Vec::new())), progress);
            }
            Look::Found { position, size } => {
                let index = self.indexes.get(&(p.id, job.segment));
                let len = in_place::len_to_send(p, job.segment, index, position, size, max_bytes);
                let file = job.file.take().expect("its headers were read");
                let range = FileRange { file, position, len };
                let found = SegmentRange { range, partition: p.id, segment: job.segment };
                progress.reads.push((job.id, Ok(Fetched::InPlace(found))));
            }
            Look::GoOn { position, expected } if looks < in_place::LOOKS_MAX => {
                job.stage = Stage::Headers { position, len: in_place::NEXT_LOOK_BYTES, looks: looks + 1 };
                job.expected = Some(expected);
                self.submit(p, job, block, ids, actions);
            }
            Look::GoOn { .. } | Look::Odd => {
                job.in_place = false;
                job.expected = None;
                self.set_first_stage(p, &mut job, block);
                self.submit(p, job, block, ids, actions);
            }
        }
    }

    /// A search came to the end of what its segment holds on disk.
    fn next_segment(
        &mut self,
        p: &Partition,
        mut job: Job,
        block: usize,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        let at_ms = match job.purpose {
            Purpose::Time { at_ms } => at_ms,
            Purpose::Fetch { from, .. } => {
                self.close(job.file.take().into_iter().collect(), ids, actions);
                // A segment that was cleaned may end before the offsets that it stands for. What is still written to does
                // not: the log moved on below the reader, who asks again and finds the rest in memory.
                let is_sealed = job.segment < p.flushed.segment;
                let behind = |s: &&Segment| is_sealed && s.base_offset > job.segment && s.len > 0;
                let Some(next) = p.segments.iter().find(behind).map(|s| s.base_offset) else {
                    return finish(&job, Ok(Found::Batches(Vec::new())), progress);
                };
                (job.segment, job.expected, job.claimed, job.in_place) = (next, None, None, false);
                return self.fetch_on(p, job, from.max(next), block, ids, progress, actions);
            }
            Purpose::Latest { best, .. } => {
                let best = best.filter(|found| found.offset >= p.log_start);
                return finish(&job, Ok(Found::Offset(later(best, largest_timestamp(p)))), progress);
            }
        };
        let in_memory_from = p.tail.first_offset().unwrap_or(p.log_end);
        let next = (p.segments.iter())
            .find(|s| s.base_offset > job.segment && s.max_timestamp_ms >= at_ms && s.base_offset < in_memory_from);
        if let Some(next) = next.filter(|s| s.base_offset <= p.flushed.segment) {
            job.segment = next.base_offset;
            job.expected = None;
            self.set_first_stage(p, &mut job, block);
            return self.submit(p, job, block, ids, actions);
        }
        let found = find_in_tail(p, at_ms).map(Found::Offset).map_err(|_| ErrorCode::CORRUPT_MESSAGE);
        finish(&job, found, progress);
    }

    fn close(&mut self, opened: Vec<FileId>, ids: &mut Ids, actions: &mut Vec<Action>) {
        if !opened.is_empty() {
            let op = ids.op();
            self.closing.push(op);
            actions.push(Action::Io { op, steps: opened.into_iter().map(|file| Step::Close { file }).collect() });
        }
    }

    /// The batches of a segment could not be sent from their place: from now on they are verified before they are sent.
    pub(super) fn distrust(&mut self, partition: PartitionId, segment: i64) {
        self.distrusted.insert((partition, segment));
    }

    /// A file that was opened for somebody is not needed.
    pub(super) fn close_file(&mut self, file: FileId, ids: &mut Ids, actions: &mut Vec<Action>) {
        self.close(vec![file], ids, actions);
    }

    /// A segment is removed.
    pub(super) fn segment_removed(&mut self, partition: PartitionId, segment: i64) {
        self.forget_segment(partition, segment);
        self.distrusted.remove(&(partition, segment));
    }

    /// A partition is gone: whoever reads it is told so.
    pub(super) fn forget_partition(
        &mut self,
        partition: PartitionId,
        ids: &mut Ids,
        progress: &mut Progress,
        actions: &mut Vec<Action>,
    ) {
        let ended: Vec<OpId> = self.jobs.iter().filter(|(_, j)| j.partition == partition).map(|(op, _)| *op).collect();
        for op in ended {
            self.outdated.remove(&op);
            if let Some(mut job) = self.jobs.remove(&op) {
                let (reserved, opened, file) = (job.reserved, core::mem::take(&mut job.opened), job.file.take());
                self.abandoned.insert(op, Abandoned { reserved, opened, file });
                finish(&job, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), progress);
            }
        }
        let (gone, kept) = core::mem::take(&mut self.waiting).into_iter().partition(|j| j.partition == partition);
        self.waiting = kept;
        let mut gone: VecDeque<Job> = gone;
        let (held, others) = core::mem::take(&mut self.held).into_iter().partition(|j| j.partition == partition);
        self.held = others;
        let held: Vec<Job> = held;
        gone.extend(held);
        self.close(gone.iter().filter_map(|job| job.file).collect(), ids, actions);
        gone.iter().for_each(|job| finish(job, Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), progress));
        self.distrusted.retain(|(p, _)| *p != partition);
        self.cursors.retain(|(p, _), _| *p != partition);
        let indexes: Vec<i64> = self.indexes.keys().filter(|(p, _)| *p == partition).map(|(_, s)| *s).collect();
        indexes.into_iter().for_each(|s| self.forget_index(partition, s));
    }

    /// Whether nothing is being read.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.waiting.is_empty() && self.held.is_empty()
    }
}

enum Found {
    Batches(Vec<Bytes>),
    Offset(Option<FoundOffset>),
}

fn finish(job: &Job, found: Result<Found, ErrorCode>, progress: &mut Progress) {
    match (job.purpose, found) {
        (Purpose::Fetch { .. }, Ok(Found::Batches(pieces))) => {
            progress.reads.push((job.id, Ok(Fetched::Memory(pieces))))
        }
        (Purpose::Fetch { .. }, Err(error)) => progress.reads.push((job.id, Err(error))),
        (Purpose::Time { .. } | Purpose::Latest { .. }, Ok(Found::Offset(found))) => {
            progress.lookups.push((job.id, Ok(found)))
        }
        (Purpose::Time { .. } | Purpose::Latest { .. }, Err(error)) => progress.lookups.push((job.id, Err(error))),
        _ => unreachable!("a fetch finds batches and a lookup an offset"),
    }
}

fn could_not_read(error: &IoError) -> String {
    format!("{} failed with error {}", error.what, error.errno)
}

fn wanted_len(purpose: &Purpose, block: usize) -> u64 {
    let wanted = match *purpose {
        Purpose::Fetch { max_bytes, .. } => (max_bytes as u64).clamp(READ_BYTES_MIN, READ_BYTES_MAX),
        Purpose::Time { .. } => READ_BYTES_MIN,
        Purpose::Latest { .. } => READ_BYTES_MAX,
    };
    wanted + block as u64
}

/// The segment in which the batch that holds `from` is to be looked for, or the first one behind it: an offset behind the
/// span of a segment (a gap) is found in the next one, and one of a segment that was emptied, too.
pub(super) fn segment_for(p: &Partition, from: i64) -> &Segment {
    let at = p.segment_of(from);
    let found = p.segments.range(at..).find(|s| s.next_offset > from && s.len > 0);
    found.unwrap_or(&p.segments[at])
}

/// Whether the partition no longer has the segment that begins at `base_offset`.
fn is_gone(p: &Partition, base_offset: i64) -> bool {
    p.segments[p.segment_of(base_offset)].base_offset != base_offset
}

/// Bytes of whole batches that the file of a segment holds.
fn on_disk_len(p: &Partition, base_offset: i64) -> u64 {
    if base_offset == p.flushed.segment { p.flushed.offset_position } else { p.segments[p.segment_of(base_offset)].len }
}
