//! The steps on the index files of a segment, which are small and go through the page cache.
//!
//! Appended to while the segment is written back, and neither synced nor believed further than it counts; cut to length
//! and synced when it is sealed.

use super::Flushed;
use super::index::{OFFSET_ENTRY_BYTES, SegmentIndex, TIME_ENTRY_BYTES, encode_offsets, encode_times};
use super::partition::WriteBackPlan;
use super::segment::{self, Segment};
use crate::ids::Ids;
use crate::io::{OpenMode, Step};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// How many of the offset and time entries in memory describe what a plan makes durable.
pub(super) fn entries_below(segment: &Segment, plan: &WriteBackPlan) -> (usize, usize) {
    let (offsets, times) = (segment.index.offsets_from(0), segment.index.times_from(0));
    if plan.seal.is_some() {
        return (offsets.len(), times.len());
    }
    let Flushed { offset, offset_position, .. } = plan.after;
    let relative = u32::try_from(offset - segment.base_offset).unwrap_or(u32::MAX);
    (
        offsets.partition_point(|e| u64::from(e.position) < offset_position),
        times.partition_point(|e| e.relative_offset < relative),
    )
}

/// Reads both index files of a segment; the completion carries them in this order.
pub(super) fn reads(folder: &str, s: &Segment, ids: &mut Ids) -> Vec<Step> {
    const FILE_BYTES_MAX: usize = 10 << 20;
    let mut steps = Vec::with_capacity(6);
    // An entry stands for at least one batch of at least 61 bytes.
    let most = (s.len / 61 + 1) as usize;
    let (offsets, times) = if s.index_loaded { s.index_written } else { (most, most) };
    for (extension, entries, entry_bytes) in
        [("index", offsets, OFFSET_ENTRY_BYTES), ("timeindex", times, TIME_ENTRY_BYTES)]
    {
        let file = ids.file();
        let len = (entries.max(1) * entry_bytes).min(FILE_BYTES_MAX);
        steps.push(Step::Open {
            file,
            path: segment::file(folder, s.base_offset, extension),
            mode: OpenMode::READ_BUFFERED,
        });
        steps.push(Step::Read { file, offset: 0, len });
        steps.push(Step::Close { file });
    }
    steps
}

/// Index entries on their way to the files of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewEntries<'a> {
    /// Where they are.
    pub(super) index: &'a SegmentIndex,
    /// How many of the first offset and time entries there.
    pub(super) count: (usize, usize),
    /// How many stand in the files before them.
    pub(super) behind: (usize, usize),
}

/// Appends to both index files of a segment. With `last` the files end there, and are synced.
pub(super) fn writes(
    folder: &str,
    base_offset: i64,
    new: NewEntries<'_>,
    last: bool,
    ids: &mut Ids,
    steps: &mut Vec<Step>,
) {
    writes_to(|extension| segment::file(folder, base_offset, extension), new, last, ids, steps);
}

/// The same for files of other names: `name` is given the extension.
pub(super) fn writes_to(
    name: impl Fn(&str) -> String,
    new: NewEntries<'_>,
    last: bool,
    ids: &mut Ids,
    steps: &mut Vec<Step>,
) {
    let offsets = encode_offsets(&new.index.offsets_from(0)[..new.count.0]);
    let times = encode_times(&new.index.times_from(0)[..new.count.1]);
    let files =
        [("index", new.behind.0 * OFFSET_ENTRY_BYTES, offsets), ("timeindex", new.behind.1 * TIME_ENTRY_BYTES, times)];
    for (extension, at, content) in files {
        let file = ids.file();
        let end = (at + content.len()) as u64;
        steps.push(Step::Open { file, path: name(extension), mode: OpenMode::BUFFERED });
        if !content.is_empty() {
            steps.push(Step::Write { file, offset: at as u64, data: vec![Bytes::from(content)], durable: false });
        }
        if last {
            steps.push(Step::SetLen { file, len: end });
            steps.push(Step::Sync { file });
        }
        steps.push(Step::Close { file });
    }
}
