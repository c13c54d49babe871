//! What a cleaning reads: sealed segments, batch by batch, from their files.
//!
//! Invariant: a batch that is handed out is whole, in its place and has the right checksum. Anything else ends the cleaning:
//! what is damaged is not copied.

use super::super::partition::Partition;
use super::super::segment::{self, Segment};
use crate::io::{FileId, OpId};
use alloc::format;
use alloc::string::String;
use bytes::Bytes;
use corelog_wire::record_batch::{MalformedBatch, RecordBatch};

/// A place in a segment, with what was read from there on.
#[derive(Debug)]
pub(super) struct Source {
    /// The base offset of the segment.
    pub(super) segment: i64,
    /// Where the next batch begins, in bytes.
    pub(super) position: u64,
    /// The bytes from there on, as far as they were read.
    pub(super) data: Bytes,
    /// The offset that the next batch begins with or lies behind.
    expected: i64,
    /// How much was asked for.
    asked: u64,
    /// The read in flight.
    pub(super) reading: Option<(OpId, FileId)>,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// A batch of this many bytes at the front of the data.
    Batch(usize),
    /// So many bytes have to be read.
    Read(u64),
    /// The segment is over.
    End,
    /// It cannot be read on: why.
    Damaged(String),
}

impl Source {
    /// The beginning of a segment.
    pub(super) fn new(base_offset: i64) -> Self {
        let (expected, data) = (base_offset, Bytes::new());
        Self { segment: base_offset, position: 0, data, expected, asked: 0, reading: None }
    }

    /// Looks at what is there; `chunk` is what is read at a time, unless a batch is longer.
    pub(super) fn next(&self, p: &Partition, segment: &Segment, chunk: u64) -> Next {
        if self.position == segment.len {
            return Next::End;
        }
        let left = segment.len - self.position;
        let damaged = |what: &str| {
            let path = segment::file(&segment::folder(&p.topic, p.index), segment.base_offset, "log");
            Next::Damaged(format!("{path} is damaged: the batch at byte {}: {what}", self.position))
        };
        let batch = match RecordBatch::split_from(&self.data) {
            Ok((batch, _)) => batch,
            Err(MalformedBatch::Incomplete(needed)) if needed as u64 <= left => {
                return match self.asked >= needed as u64 {
                    true => damaged("the file ends within it"),
                    false => Next::Read(chunk.max(needed as u64).min(left)),
                };
            }
            Err(error) => return damaged(&format!("{error}")),
        };
        let follows = batch.base_offset() >= self.expected
            && batch.last_offset_delta() >= 0
            && batch.next_offset() <= segment.next_offset;
        match follows && batch.has_valid_crc() {
            true => Next::Batch(batch.size()),
            false => damaged("it is not what was written there"),
        }
    }

    /// So many bytes from the position on are being read.
    pub(super) fn begin_read(&mut self, len: u64, op: OpId, file: FileId) {
        self.asked = len;
        self.reading = Some((op, file));
    }

    /// They have been read, in whole blocks.
    pub(super) fn fill(&mut self, read: &Bytes, block: u64) {
        let skipped = ((self.position % block) as usize).min(read.len());
        self.data = read.slice(skipped..read.len().min(skipped + self.asked as usize));
    }

    /// Goes on behind the batch at the front.
    pub(super) fn pass(&mut self, batch: &RecordBatch<'_>) {
        let size = batch.size();
        self.expected = batch.next_offset();
        self.position += size as u64;
        self.asked = self.asked.saturating_sub(size as u64);
        self.data = self.data.slice(size..);
    }
}
