//! Where logs begin: retention, DeleteRecords, and the segments that go.
//!
//! Invariant: a log start is durable in the journal before it is in force, and in force before a segment goes, so that it
//! never falls back.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::logs::Logs;
use super::{AckPoint, Durability, PartitionId};
use crate::io::{Action, Now};
use crate::journal::{EntryKind, NewEntry};

impl Logs {
    /// Moves the log starts of partitions that hold more, or older records, than they are to keep.
    pub(super) fn retain(&mut self, now: Now) {
        if now.monotonic_us < self.retention_due_us {
            return;
        }
        self.retention_due_us = now.monotonic_us + self.limits.retention_check_ms * 1_000;
        let expired_ms = now.wall_ms.saturating_sub_unsigned(self.limits.producer_expiration_ms);
        for index in 0..self.partitions.len() {
            let Some(partition) = self.partitions[index].as_deref_mut() else { continue };
            partition.producers.expire(expired_ms);
            partition.flushed_producers.expire(expired_ms);
            // Without room in the journal the next check does it.
            let target = partition.retention_target(now.wall_ms).filter(|_| self.journal.has_reserve(0));
            if let Some(target) = target {
                let id = partition.id;
                self.begin_log_start(id, target);
            }
        }
    }

    /// As [`Self::begin_log_start`], if the journal has room for that.
    pub fn try_begin_log_start(&mut self, id: PartitionId, offset: i64) -> Option<AckPoint> {
        self.journal.has_reserve(0).then(|| self.begin_log_start(id, offset))
    }

    /// Writes a new log start into the journal; once it is durable the log begins there and segments go.
    pub fn begin_log_start(&mut self, id: PartitionId, offset: i64) -> AckPoint {
        let partition = self.partitions[id.0 as usize].as_deref_mut().expect("the caller found it");
        assert!(offset <= partition.high_watermark, "only what was visible is deleted");
        if offset <= partition.log_start {
            return AckPoint::NOW;
        }
        if let Some((pending, ack)) = partition.log_start_pending
            && offset <= pending
        {
            return ack;
        }
        let entry = NewEntry {
            kind: EntryKind::LogStart,
            level: Durability::Fsync,
            topic_id: partition.topic_id.0,
            partition: partition.index,
            leader_epoch: partition.leader_epoch,
            base_offset: offset,
            last_offset: offset,
            segment_base_offset: partition.active().base_offset,
            payload_crc: 0,
        };
        let placed = self.journal.append(entry, &[]);
        self.log_starts.push_back((placed.sequence, id, offset));
        let ack = AckPoint { sequence: placed.sequence, level: Durability::Fsync };
        partition.log_start_pending = Some((offset, ack));
        ack
    }

    /// Log starts that have become durable are in force.
    pub(super) fn apply_log_starts(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut later = VecDeque::new();
        while let Some((sequence, id, offset)) = self.log_starts.pop_front() {
            if sequence > self.reached.durable {
                later.push_back((sequence, id, offset));
                continue;
            }
            let Some(partition) = self.partitions[id.0 as usize].as_deref_mut() else { continue };
            partition.log_start = partition.log_start.max(offset);
            if partition.log_start_pending.is_some_and(|(pending, _)| pending == offset) {
                partition.log_start_pending = None;
            }
            if partition.busy {
                self.write_back.trim_later(id);
            } else {
                self.trim(now, id, actions);
            }
        }
        self.log_starts = later;
    }

    /// Drops the segments below the log start, in memory and on disk. Not while a write-back of the partition runs.
    pub(super) fn trim(&mut self, now: Now, id: PartitionId, actions: &mut Vec<Action>) {
        let Some(partition) = self.partitions[id.0 as usize].as_deref_mut() else { return };
        let (dirty, memory, log_start) = (partition.dirty_bytes(), partition.tail.memory(), partition.log_start);
        let gone = partition.advance_log_start(log_start, now.wall_ms);
        self.dirty_bytes = self.dirty_bytes - dirty + partition.dirty_bytes();
        self.tail_memory = self.tail_memory - memory + partition.tail.memory();
        if !gone.is_empty() && partition.has_folder {
            self.write_back.remove_segments(partition, &gone, &mut self.ids, actions);
        }
        for segment in &gone {
            self.reads.segment_removed(id, segment.base_offset);
        }
    }

    /// After a start: segments below the log start, whose removal was cut off, go in the first turn.
    pub(crate) fn trim_after_start(&mut self) {
        for p in
            self.partitions.iter().flatten().filter(|p| p.segments[0].next_offset <= p.log_start && p.log_start > 0)
        {
            self.write_back.trim_later(p.id);
        }
    }
}
