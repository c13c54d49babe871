//! One cleaning, step by step: what is read, noted, filtered and written.

use super::super::PartitionId;
use super::super::logs::Logs;
use super::super::partition::Partition;
use super::super::segment;
use super::super::timestamps::DECOMPRESSED_BYTES_MAX;
use super::filter::{self, Circumstances, Newest, Outcome};
use super::keys::Keys;
use super::output::Output;
use super::replacement::Replacement;
use super::source::{Next, Source};
use super::transactions::Transactions;
use super::{RETRY_US, choice};
use crate::io::{Action, IoError, Now, OpenMode, Step};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::compression::Compression;
use corelog_wire::record_batch::{RecordBatch, Reencoding};

/// A cleaning.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: PartitionId,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
    pub(super) first_dirty: i64,
    /// Behind the last segment that may be cleaned.
    pub(super) bound: i64,
    pub(super) keys: Keys,
    pub(super) transactions: Transactions,
    pub(super) source: Source,
    /// The segments of which one is made each, the one at the front now.
    pub(super) groups: VecDeque<Vec<i64>>,
    pub(super) stage: Stage,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// The newest offset of each key is noted.
    Mapping,
    /// Segments are copied.
    Copying { output: Output, at: usize, encoding: Option<Box<Encoding>> },
    /// Bytes are on their way to the cleaned segment. With `last` they are its end.
    Writing { output: Output, at: usize, last: bool },
    /// The cleaned segment is durable under its own name.
    Written(Output),
    /// The journal is to say so. The folder is the cleaner's. So many of the steps that follow are done already.
    Announced { sequence: u64, replacement: Replacement, gone: Vec<i64>, done: usize },
    /// The files get their names.
    Switching { sequence: u64, replacement: Replacement, gone: Vec<i64>, done: usize },
}

/// A changed batch on its way into its codec.
pub(super) struct Encoding {
    pub(super) plain: Vec<u8>,
    pub(super) work: Reencoding,
    pub(super) newest: Newest,
}

impl core::fmt::Debug for Encoding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", self.plain.len())
    }
}

/// What a step led to.
pub(super) enum Turn {
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

impl Logs {
    pub(super) fn clean_step(
        &mut self,
        now: Now,
        job: &mut Job,
        budget: &mut isize,
        actions: &mut Vec<Action>,
    ) -> Turn {
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
    pub(in crate::log) fn clean_read_completed(
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

    pub(super) fn begin_group(&mut self, job: &mut Job) -> Turn {
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
                *encoding = Some(Box::new(Encoding { plain, work, newest }));
            }
        },
    }
    Ok((looked_at, false))
}
