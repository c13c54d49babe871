//! What reads remember from one to the next: the indexes of sealed segments, and where sequential readers go on. All of it
//! is bounded, and can be found again.

use super::{Job, Reads, Stage, on_disk_len};
use crate::log::PartitionId;
use crate::log::index::SegmentIndex;
use crate::log::index_repair::is_damaged;
use crate::log::partition::Partition;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;

/// Places remembered where sequential readers go on.
const CURSORS_MAX: usize = 4_096;
/// Memory for the indexes of sealed segments, in bytes.
const INDEX_CACHE_BYTES: usize = 32 << 20;

impl Reads {
    pub(in crate::log) fn remember_index(&mut self, p: &Partition, base_offset: i64, files: &[Bytes]) {
        let valid_len = on_disk_len(p, base_offset);
        let empty = Bytes::new();
        let (offsets, times) = (files.first().unwrap_or(&empty), files.get(1).unwrap_or(&empty));
        let index = SegmentIndex::decode(offsets, times, valid_len);
        if is_damaged(p, base_offset, &index) {
            self.suspects.push((p.id, base_offset));
        }
        self.forget_index(p.id, base_offset);
        self.index_bytes += index.memory();
        self.indexes.insert((p.id, base_offset), index);
        self.index_order.push_back((p.id, base_offset));
        if self.index_order.len() > 2 * self.indexes.len() + 64 {
            // What was forgotten is still in line.
            let mut seen = BTreeSet::new();
            self.index_order.retain(|key| self.indexes.contains_key(key) && seen.insert(*key));
        }
        while self.index_bytes > INDEX_CACHE_BYTES && self.index_order.len() > 1 {
            let Some((partition, segment)) = self.index_order.pop_front() else { break };
            self.forget_index(partition, segment);
        }
    }

    pub(in crate::log) fn forget_index(&mut self, partition: PartitionId, segment: i64) {
        if let Some(index) = self.indexes.remove(&(partition, segment)) {
            self.index_bytes -= index.memory();
        }
    }

    /// Takes the segments whose index files were found lost or damaged.
    pub(in crate::log) fn take_suspects(&mut self) -> Vec<(PartitionId, i64)> {
        core::mem::take(&mut self.suspects)
    }

    /// The index files of a segment have other entries now.
    pub(in crate::log) fn index_written(&mut self, partition: PartitionId, segment: i64) {
        self.forget_index(partition, segment);
        let reading = |j: &Job| j.partition == partition && j.segment == segment && j.stage == Stage::Index;
        self.outdated.extend(self.jobs.iter().filter(|(_, j)| reading(j)).map(|(op, _)| *op));
    }

    pub(in crate::log) fn take_cursor(&mut self, partition: PartitionId, from: i64) -> Option<(i64, u64)> {
        self.cursors.remove(&(partition, from))
    }

    pub(in crate::log) fn remember_cursor(&mut self, key: (PartitionId, i64), place: (i64, u64)) {
        if self.cursors.insert(key, place).is_none() {
            self.cursor_order.push_back(key);
        }
        while self.cursor_order.len() > CURSORS_MAX {
            if let Some(oldest) = self.cursor_order.pop_front() {
                self.cursors.remove(&oldest);
            }
        }
    }

    /// A segment is gone, or its index is not to be believed.
    pub(in crate::log) fn forget_segment(&mut self, partition: PartitionId, segment: i64) {
        self.forget_index(partition, segment);
        self.cursors.retain(|(p, _), (s, _)| *p != partition || *s != segment);
    }
}
