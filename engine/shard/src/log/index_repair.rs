//! Index files of sealed segments that are lost or damaged are written anew from the segment, in the background.
//!
//! Whoever reads such files says so ([`IndexRepair::suspect`]); until they are there again, reads search the segment.
//!
//! Invariants: one segment at a time, one read of it in flight, a turn looks at what that brought: [`CHUNK_BYTES`] or one
//! batch; every batch is verified before it is entered; a segment is tried once in the life of a process; the files are
//! written while no other job touches the folder. Nothing depends on the outcome, so no error here ends the process.

use super::PartitionId;
use super::index::SegmentIndex;
use super::index_files::{self, NewEntries};
use super::logs::Logs;
use super::partition::Partition;
use super::segment::{self, AppendedToSegment, Segment};
use crate::ids::Ids;
use crate::io::{Action, FileId, IoError, LogLevel, OpId, OpenMode, Step};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::record_batch::{MalformedBatch, RecordBatch};

/// What is read of a segment at a time, unless a batch is larger.
const CHUNK_BYTES: u64 = 1 << 20;
/// Segments that wait. More are not remembered: whoever reads them next finds them damaged again.
const WAITING_MAX: usize = 1_024;
/// So much of a segment may always be without an entry.
const GAP_BYTES_MIN: u64 = 4 << 20;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct IndexRepair {
    waiting: BTreeSet<(PartitionId, i64)>,
    job: Option<Job>,
}

#[derive(Debug)]
struct Job {
    id: PartitionId,
    /// Of which files: see [`super::cleaner::Cleaning`].
    switches: u64,
    /// What of the segment has been gone through, with its index.
    rebuilt: Segment,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// So many bytes from the end of `rebuilt` on are being read.
    Reading { op: OpId, file: FileId, len: u64 },
    /// The index waits until its files can be written.
    Complete,
}

/// What a piece of a segment leads to.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// So many bytes more.
    Read(u64),
    Complete,
    Damaged(String),
}

impl IndexRepair {
    /// The index files of a segment do not say what they should.
    fn suspect(&mut self, id: PartitionId, base_offset: i64) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert((id, base_offset));
        }
    }

    pub(super) fn owns(&self, op: OpId) -> bool {
        self.job.as_ref().is_some_and(|job| matches!(job.stage, Stage::Reading { op: reading, .. } if reading == op))
    }
}

/// Whether what was read from the index files of a sealed segment is not all of it: the largest timestamp has to be
/// there, and no long stretch may be without an entry.
pub(super) fn is_damaged(p: &Partition, base_offset: i64, index: &SegmentIndex) -> bool {
    let Some(segment) = sealed(p, base_offset) else { return false };
    let newest = index.times_from(0).last().map(|t| t.timestamp_ms);
    // Timestamp 0 is what Kafka leaves at the end of an index that it has not closed.
    let times_end_early = segment.max_timestamp_ms > 0 && newest != Some(segment.max_timestamp_ms);
    let widest = p.config.index_interval_bytes.saturating_add(p.config.max_message_bytes as u64);
    times_end_early || index.largest_gap(segment.len) > widest.saturating_mul(2).max(GAP_BYTES_MIN)
}

fn sealed(p: &Partition, base_offset: i64) -> Option<&Segment> {
    let segment = &p.segments[p.segment_of(base_offset)];
    (segment.base_offset == base_offset && base_offset < p.flushed.segment).then_some(segment)
}

impl Logs {
    /// Goes on with what is damaged. Part of every end of turn.
    pub(super) fn repair_turn(&mut self, actions: &mut Vec<Action>) {
        for (id, base_offset) in self.reads.take_suspects() {
            self.repair.suspect(id, base_offset);
        }
        if self.is_stopping() {
            return;
        }
        if let Some(job) = self.repair.job.take_if(|job| matches!(job.stage, Stage::Complete)) {
            let is_there = self.sealed_segment(job.id, job.rebuilt.base_offset).is_some();
            // A cleaned one has an index of its own.
            let is_same = is_there && self.partition(job.id).cleaning.switches == job.switches;
            if is_same && !self.write_index(job.id, &job.rebuilt, actions) {
                self.repair.job = Some(job);
            }
        }
        while self.repair.job.is_none() {
            let Some((id, base_offset)) = self.repair.waiting.pop_first() else { break };
            let Some(segment) = self.sealed_segment(id, base_offset).filter(|s| !s.index_repaired) else { continue };
            segment.index_repaired = true;
            self.read_for_repair(id, Segment::new(base_offset, 0), CHUNK_BYTES, actions);
        }
    }

    fn sealed_segment(&mut self, id: PartitionId, base_offset: i64) -> Option<&mut Segment> {
        let p = self.partitions.get_mut(id.0 as usize)?.as_deref_mut()?;
        sealed(p, base_offset)?;
        let at = p.segment_of(base_offset);
        p.segments.get_mut(at)
    }

    fn read_for_repair(&mut self, id: PartitionId, rebuilt: Segment, len: u64, actions: &mut Vec<Action>) {
        let p = self.partitions[id.0 as usize].as_deref().expect("the caller found it");
        let block = self.block as u64;
        let target = sealed(p, rebuilt.base_offset).expect("the caller found it");
        let end = (rebuilt.len + len).min(target.len).next_multiple_of(block);
        let offset = rebuilt.len - rebuilt.len % block;
        let path = segment::file(&segment::folder(&p.topic, p.index), rebuilt.base_offset, "log");
        let (op, file) = (self.ids.op(), self.ids.file());
        let steps = vec![
            Step::Open { file, path, mode: OpenMode::READ },
            Step::Read { file, offset, len: (end - offset) as usize },
            Step::Close { file },
        ];
        let switches = p.cleaning.switches;
        self.repair.job = Some(Job { id, switches, rebuilt, stage: Stage::Reading { op, file, len } });
        actions.push(Action::Io { op, steps });
    }

    /// A read for a repair has ended.
    pub(super) fn repair_completed(&mut self, result: Result<Vec<Bytes>, IoError>, actions: &mut Vec<Action>) {
        let Some(Job { id, switches, mut rebuilt, stage: Stage::Reading { file, len, .. } }) = self.repair.job.take()
        else {
            unreachable!("the caller asked whether a read of it is in flight")
        };
        let failed = result.is_err();
        if failed {
            self.close_files(vec![file], actions);
        }
        let (block, stopping) = (self.block as u64, self.is_stopping());
        let p = self.partitions[id.0 as usize].as_deref();
        // Retention or a deletion may have taken it away.
        let Some((p, target)) = p.and_then(|p| Some((p, sealed(p, rebuilt.base_offset)?))) else { return };
        if stopping || p.cleaning.switches != switches {
            return;
        }
        let next = match result {
            Ok(read) => {
                let data = read.into_iter().next().unwrap_or_default();
                let skipped = (rebuilt.len % block).min(data.len() as u64) as usize;
                let limits = (p.config.index_interval_bytes, p.config.segment_index_bytes);
                take(&mut rebuilt, target, &data[skipped..], len, limits)
            }
            Err(error) => Next::Damaged(format!("{} failed with error {}", error.what, error.errno)),
        };
        match next {
            Next::Read(len) => self.read_for_repair(id, rebuilt, len, actions),
            Next::Complete => self.repair.job = Some(Job { id, switches, rebuilt, stage: Stage::Complete }),
            Next::Damaged(what) => {
                let path = segment::file(&segment::folder(&p.topic, p.index), rebuilt.base_offset, "log");
                let message = format!("the index files of {path} are damaged and cannot be written anew: {what}");
                Self::log(actions, LogLevel::Warn, message);
            }
        }
    }

    /// The index files of a segment have been written anew, or could not be.
    pub(super) fn index_rewritten(
        &mut self,
        id: PartitionId,
        base_offset: i64,
        error: Option<&IoError>,
        actions: &mut Vec<Action>,
    ) {
        let Some(p) = self.partitions[id.0 as usize].as_deref() else { return };
        let path = segment::file(&segment::folder(&p.topic, p.index), base_offset, "log");
        let (level, message) = match error {
            None => (LogLevel::Info, format!("the index files of {path} were lost or damaged; they are written anew")),
            Some(error) => {
                let what = format!("{} failed with error {}", error.what, error.errno);
                (LogLevel::Warn, format!("the index files of {path} are damaged and cannot be written anew: {what}"))
            }
        };
        Self::log(actions, level, message);
        self.reads.index_written(id, base_offset);
    }
}

/// The steps that put a rebuilt index in the place of what there is.
pub(super) fn rewrite_steps(folder: &str, rebuilt: &Segment, ids: &mut Ids) -> Vec<Step> {
    let index = &rebuilt.index;
    let count = (index.offsets_from(0).len(), index.times_from(0).len());
    let mut steps = Vec::new();
    let new = NewEntries { index, count, behind: (0, 0) };
    index_files::writes(folder, rebuilt.base_offset, new, true, ids, &mut steps);
    steps.push(Step::SyncDir { path: String::from(folder) });
    steps
}

/// Goes through what was read behind `rebuilt` of a segment; `asked` bytes were wanted. The limits are the interval of
/// the index and the size of its file.
fn take(rebuilt: &mut Segment, target: &Segment, data: &[u8], asked: u64, limits: (u64, u64)) -> Next {
    let mut left = data;
    let begin = rebuilt.len;
    while rebuilt.len < target.len {
        let batch = match RecordBatch::split_from(left) {
            Ok((batch, _)) => batch,
            Err(MalformedBatch::Incomplete(needed)) if rebuilt.len + needed as u64 <= target.len => {
                return match rebuilt.len == begin && asked >= needed as u64 {
                    true => Next::Damaged(format!("the segment ends within the batch at byte {begin}")),
                    false => Next::Read(CHUNK_BYTES.max(needed as u64)),
                };
            }
            Err(error) => return Next::Damaged(format!("the batch at byte {}: {error}", rebuilt.len)),
        };
        // Only cleaning leaves gaps.
        let is_next = batch.base_offset() == rebuilt.next_offset;
        let follows = (is_next || target.cleaned > 0 && batch.base_offset() > rebuilt.next_offset)
            && batch.last_offset_delta() >= 0
            && batch.next_offset() <= target.next_offset;
        if !follows || rebuilt.len + batch.size() as u64 > target.len || !batch.has_valid_crc() {
            return Next::Damaged(format!("the batch at byte {} is not what was written there", rebuilt.len));
        }
        let full = (rebuilt.index_entries() as u64 + 1) * super::index::OFFSET_ENTRY_BYTES as u64 > limits.1;
        let appended = AppendedToSegment {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            size: batch.size() as u64,
            // What was emptied has a timestamp of records that are gone.
            max_timestamp_ms: if batch.record_count() == 0 { -1 } else { batch.max_timestamp() },
            offset_of_max_timestamp: batch.last_offset(),
        };
        rebuilt.append(appended, if full { u64::MAX } else { limits.0 });
        left = &left[batch.size()..];
    }
    if target.cleaned == 0 && rebuilt.next_offset != target.next_offset {
        return Next::Damaged(format!("it ends at offset {}", rebuilt.next_offset));
    }
    rebuilt.complete();
    Next::Complete
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelog_wire::record_batch::{BatchBuilder, NewRecord};

    const LIMITS: (u64, u64) = (4_096, 1 << 20);

    /// A segment of so many batches of 1 to 3 records, as it was appended, and its bytes.
    fn segment(batches: usize) -> (Segment, Vec<u8>) {
        let mut segment = Segment::new(500, 0);
        let mut bytes = Vec::new();
        for number in 0..batches {
            let mut builder = BatchBuilder::new().base_offset(segment.next_offset);
            let timestamp = 1_000 + (number as i64 * 7) % 900;
            for _ in 0..=number % 3 {
                let value = vec![7; 100 + number % 900];
                builder.append(&NewRecord { timestamp, value: Some(&value), ..Default::default() });
            }
            let built = builder.build();
            let (batch, _) = RecordBatch::split_from(&built).unwrap();
            segment.append(
                AppendedToSegment {
                    base_offset: batch.base_offset(),
                    last_offset: batch.last_offset(),
                    size: built.len() as u64,
                    max_timestamp_ms: timestamp,
                    offset_of_max_timestamp: batch.base_offset(),
                },
                LIMITS.0,
            );
            bytes.extend_from_slice(&built);
        }
        segment.complete();
        (segment, bytes)
    }

    /// Goes through the bytes in reads of `most` bytes, and larger ones where a batch is larger. How many those were?
    fn rebuild(target: &Segment, bytes: &[u8], most: usize) -> (Segment, Next, usize) {
        let mut rebuilt = Segment::new(target.base_offset, 0);
        let (mut asked, mut reads) = (most as u64, 0);
        loop {
            let begin = rebuilt.len as usize;
            let end = bytes.len().min(begin + asked as usize);
            match take(&mut rebuilt, target, &bytes[begin..end], asked, LIMITS) {
                Next::Read(_) => asked = if rebuilt.len as usize == begin { asked * 2 } else { most as u64 },
                next => return (rebuilt, next, reads),
            }
            reads += 1;
        }
    }

    #[test]
    fn the_index_is_that_of_the_appended_batches_however_they_are_read() {
        let (target, bytes) = segment(400);
        assert!(target.index.offsets_from(0).len() > 50 && target.index.times_from(0).len() > 2);
        for most in [100, 1_000, 5_000, 1 << 20] {
            let (rebuilt, next, reads) = rebuild(&target, &bytes, most);
            assert_eq!((next, &rebuilt.index), (Next::Complete, &target.index), "{most} bytes a read");
            assert!(reads >= bytes.len() / most.max(5_000), "{reads} reads");
        }
    }

    #[test]
    fn what_is_not_the_segment_has_no_index() {
        let (target, bytes) = segment(20);
        let judge = |bytes: &[u8]| matches!(rebuild(&target, bytes, 1 << 20).1, Next::Damaged(_));
        assert!(!judge(&bytes));
        assert!(judge(&bytes[..bytes.len() - 1]), "the file is short");
        for at in [0, 8, 16, 17, 23, 70] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(judge(&bad), "byte {at}");
        }
        let mut other = target.clone();
        other.next_offset += 1;
        assert!(matches!(rebuild(&other, &bytes, 1 << 20).1, Next::Damaged(_)), "an offset is missing at its end");
    }
}
