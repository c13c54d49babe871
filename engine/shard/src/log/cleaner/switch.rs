//! The end of a cleaning: the journal is told that a cleaned segment takes the place of others, and it does.

use super::super::logs::{Logs, list_user};
use super::super::{Durability, PartitionId};
use super::RETRY_US;
use super::job::{Job, Stage, Turn};
use super::replacement::{self, Replacement};
use crate::io::{Action, IoError, LogLevel, Now, is_full};
use crate::journal::{EntryKind, NewEntry};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

impl Logs {
    /// The cleaned segment is durable: the journal is told, unless nothing would change.
    pub(super) fn announce(&mut self, now: Now, job: &mut Job, actions: &mut Vec<Action>) -> Turn {
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
        job.stage = Stage::Announced { sequence: placed.sequence, replacement, gone, done: 0 };
        Turn::Wait
    }

    /// Once the journal has said so, the files get their names.
    pub(super) fn switch_segments(&mut self, now: Now, job: &mut Job, actions: &mut Vec<Action>) -> Turn {
        let Stage::Announced { sequence, replacement, gone, done } = &job.stage else {
            unreachable!("the caller saw it")
        };
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
        let steps = replacement.steps(p, gone).split_off(*done);
        for base in gone {
            self.reads.segment_removed(job.id, *base);
        }
        self.submit_cleaning(job.id, 0, steps, actions);
        let (sequence, replacement, gone, done) = (*sequence, replacement.clone(), gone.clone(), *done);
        job.stage = Stage::Switching { sequence, replacement, gone, done };
        Turn::Wait
    }

    /// A chain on the files of a cleaning has ended, and with it the folder was given up.
    ///
    /// # Errors
    /// In words: what the journal has announced cannot be brought to its end.
    pub(in crate::log) fn cleaning_written(
        &mut self,
        now: Now,
        id: PartitionId,
        error: Option<&IoError>,
        is_retried: bool,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let Some(mut job) = self.cleaner.job.take_if(|job| job.id == id) else { return Ok(()) };
        let words = error.map(|error| format!("{} failed with error {}", error.what, error.errno));
        if let Stage::Switching { sequence, replacement, gone, done } = job.stage {
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
                    let done = done + error.map_or(0, |error| error.step);
                    job.stage = Stage::Announced { sequence, replacement, gone, done };
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
