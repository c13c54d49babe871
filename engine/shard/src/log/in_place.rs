//! Fetches that bring no bytes: where in a sealed segment the wanted batches begin and end.
//!
//! Invariants: only segments are left in place that nothing will be written to any more and that consumers may see
//! wholly; what is named begins with the batch that was asked for and holds at least that one; whatever in the file does
//! not look as it should is left to the verified reads, which say what is wrong with it.
//!
//! The beginning comes from the index and the headers of a few batches. The end comes from the index alone: where it is
//! wrong, the last batch is cut, which consumers are used to.

use super::index::SegmentIndex;
use super::partition::Partition;
use corelog_wire::record_batch::{BatchSpan, HEADER_LEN};

/// What the first look at a segment reads: an index entry stands for about 4 KiB of it.
pub(super) const FIRST_LOOK_BYTES: u64 = 8 << 10;
/// What every further one does.
pub(super) const NEXT_LOOK_BYTES: u64 = 64 << 10;
/// After so many looks the index is not good enough.
pub(super) const LOOKS_MAX: u32 = 16;
/// A segment of this size without an index has lost it.
const INDEXED_BYTES_MIN: u64 = 64 << 10;

/// What a look at headers found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The batch that holds the wanted offset: where it begins, and its size.
    Found { position: u64, size: usize },
    /// The header of the next batch stands here, behind what was read.
    GoOn { position: u64, expected: i64 },
    /// Something does not fit, or the batch is not there.
    Odd,
}

/// Whether the segment at `base_offset` can be left in place.
pub(super) fn is_possible(p: &Partition, base_offset: i64) -> bool {
    let segment = &p.segments[p.segment_of(base_offset)];
    let is_sealed = segment.base_offset == base_offset && base_offset < p.flushed.segment;
    is_sealed && segment.len > 0 && segment.next_offset <= p.high_watermark
}

/// Whether an index is missing that should be there.
pub(super) fn is_index_lost(p: &Partition, base_offset: i64, index: &SegmentIndex) -> bool {
    index.offsets_from(0).is_empty() && p.segments[p.segment_of(base_offset)].len > INDEXED_BYTES_MIN
}

/// Looks for the batch that holds `from` in bytes that were read at `position` of the segment at `base_offset`.
/// `expected` is the offset that the batch there begins with or lies behind, where that is known.
pub(super) fn look(
    p: &Partition,
    base_offset: i64,
    from: i64,
    mut position: u64,
    mut expected: Option<i64>,
    mut bytes: &[u8],
) -> Look {
    let segment = &p.segments[p.segment_of(base_offset)];
    let begin = position;
    loop {
        let left = segment.len.saturating_sub(position);
        if left < HEADER_LEN as u64 {
            return Look::Odd;
        }
        let span = match BatchSpan::read(bytes) {
            Ok(span) => span,
            Err(_) if bytes.len() < HEADER_LEN && position > begin => {
                return Look::GoOn { position, expected: expected.expect("a batch was passed") };
            }
            Err(_) => return Look::Odd,
        };
        let in_order = span.base_offset >= expected.unwrap_or(segment.base_offset)
            && span.base_offset <= span.last_offset
            && span.last_offset < segment.next_offset;
        let epoch_fits = span.base_offset < p.log_start
            || p.epochs.epoch_at(span.base_offset).is_none_or(|epoch| epoch == span.leader_epoch);
        if !in_order || !epoch_fits || span.size as u64 > left {
            return Look::Odd;
        }
        if span.last_offset >= from {
            // Behind a gap the first batch may lie above what was asked for; behind an index entry it may not.
            let is_first = position == begin && expected.is_none() && position > 0;
            return match is_first && span.base_offset > from {
                true => Look::Odd,
                false => Look::Found { position, size: span.size },
            };
        }
        position += span.size as u64;
        expected = Some(span.last_offset + 1);
        bytes = bytes.get(span.size..).unwrap_or_default();
    }
}

/// How many bytes are sent from a batch on that begins at `position` and has `size` bytes: at most `max_bytes` where
/// that leaves the first batch whole.
pub(super) fn len_to_send(
    p: &Partition,
    base_offset: i64,
    index: Option<&SegmentIndex>,
    position: u64,
    size: usize,
    max_bytes: usize,
) -> usize {
    let end_of_segment = p.segments[p.segment_of(base_offset)].len;
    let limit = position + max_bytes as u64;
    let end = match limit >= end_of_segment {
        true => end_of_segment,
        false => index.and_then(|index| index.last_position_until(limit)).map_or(0, u64::from),
    };
    let len = end.saturating_sub(position).max(size as u64);
    usize::try_from(len).expect("a segment is shorter than the address space")
}

#[cfg(test)]
mod tests;
