//! The segment that a cleaning writes, in the order of offsets, and its index.

use super::super::index_files::{self, NewEntries};
use super::super::partition::Partition;
use super::super::segment::{self, AppendedToSegment, Segment};
use super::filter::Newest;
use crate::ids::Ids;
use crate::io::{OpenMode, Step};
use alloc::vec;
use alloc::vec::Vec;
use corelog_wire::buffer::AlignedBuf;
use corelog_wire::record_batch::RecordBatch;

/// See the module's description.
pub(super) struct Output {
    /// The number of its cleaning.
    pub(super) number: u64,
    /// What it is so far.
    pub(super) segment: Segment,
    /// Whether it differs from the segment that it was made of.
    pub(super) is_changed: bool,
    /// The bytes from `written` on.
    pending: AlignedBuf,
    written: u64,
    /// The interval of the index and the size of its file.
    index_limits: (u64, u64),
}

impl core::fmt::Debug for Output {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "segment {} of cleaning {}, {} bytes", self.segment.base_offset, self.number, self.segment.len)
    }
}

impl Output {
    /// Nothing yet.
    pub(super) fn new(p: &Partition, number: u64, base_offset: i64, created_ms: i64) -> Self {
        Self {
            number,
            segment: Segment::new(base_offset, created_ms),
            is_changed: false,
            pending: AlignedBuf::with_capacity(0),
            written: 0,
            index_limits: (p.config.index_interval_bytes, p.config.segment_index_bytes),
        }
    }

    /// Appends a batch; `newest` is of its records.
    pub(super) fn append(&mut self, bytes: &[u8], newest: Newest) {
        let (batch, rest) = RecordBatch::split_from(bytes).expect("a batch was read, or made");
        assert!(rest.is_empty(), "one batch at a time");
        let full = (self.segment.index_entries() as u64 + 1) * super::super::index::OFFSET_ENTRY_BYTES as u64
            > self.index_limits.1;
        let appended = AppendedToSegment {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            size: bytes.len() as u64,
            max_timestamp_ms: newest.timestamp_ms,
            offset_of_max_timestamp: newest.offset,
        };
        self.segment.append(appended, if full { u64::MAX } else { self.index_limits.0 });
        if self.pending.remaining() < bytes.len() {
            let wanted = (self.pending.len() + bytes.len()).max(self.pending.capacity() * 2);
            let mut larger = AlignedBuf::with_capacity(wanted);
            larger.extend_from_slice(&self.pending);
            self.pending = larger;
        }
        self.pending.extend_from_slice(bytes);
    }

    /// Bytes that are not on their way to the disk.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The steps that write the whole blocks that there are.
    pub(super) fn write_steps(&mut self, p: &Partition, block: usize, ids: &mut Ids) -> Vec<Step> {
        let whole = self.pending.len() - self.pending.len() % block;
        let mut rest = AlignedBuf::with_capacity(self.pending.capacity());
        rest.extend_from_slice(&self.pending[whole..]);
        let mut data = core::mem::replace(&mut self.pending, rest);
        data.truncate(whole);
        let (file, mut steps) = self.open(p, ids);
        if whole > 0 {
            steps.push(Step::Write { file, offset: self.written, data: vec![data.freeze()], durable: false });
        }
        self.written += whole as u64;
        steps.push(Step::Close { file });
        steps
    }

    /// Everything was appended: it stands for the offsets below `next_offset`. The steps that write its end and its index,
    /// and make it durable.
    pub(super) fn finish_steps(&mut self, p: &Partition, next_offset: i64, block: usize, ids: &mut Ids) -> Vec<Step> {
        self.segment.next_offset = next_offset;
        self.segment.complete();
        let mut data = core::mem::replace(&mut self.pending, AlignedBuf::with_capacity(0));
        let len = data.len().next_multiple_of(block);
        let (file, mut steps) = self.open(p, ids);
        if len > 0 {
            if data.capacity() < len {
                let mut larger = AlignedBuf::with_capacity(len);
                larger.extend_from_slice(&data);
                data = larger;
            }
            data.pad_with_zeros_to(len);
            steps.push(Step::Write { file, offset: self.written, data: vec![data.freeze()], durable: false });
        }
        steps.push(Step::SetLen { file, len: self.segment.len });
        steps.push(Step::Sync { file });
        steps.push(Step::Close { file });
        let folder = segment::folder(&p.topic, p.index);
        let index = &self.segment.index;
        let count = (index.offsets_from(0).len(), index.times_from(0).len());
        let new = NewEntries { index, count, behind: (0, 0) };
        let name = |extension: &str| segment::cleaned_file(&folder, self.segment.base_offset, extension, self.number);
        index_files::writes_to(name, new, true, ids, &mut steps);
        steps.push(Step::SyncDir { path: folder });
        steps
    }

    /// Opens its file; what may have been left of an earlier try goes.
    fn open(&self, p: &Partition, ids: &mut Ids) -> (crate::io::FileId, Vec<Step>) {
        let (file, folder) = (ids.file(), segment::folder(&p.topic, p.index));
        let path = segment::cleaned_file(&folder, self.segment.base_offset, "log", self.number);
        let mut steps = vec![Step::Open { file, path, mode: OpenMode::WRITE }];
        if self.written == 0 {
            steps.push(Step::SetLen { file, len: 0 });
        }
        (file, steps)
    }
}
