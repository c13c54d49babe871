//! Timestamp lookups that need no disk: in the tail, and of the newest record.

use super::FoundOffset;
use super::partition::Partition;
use super::tail::Batch;
use corelog_wire::record_batch::{self, RecordBatch};

/// How far a batch is unfolded in search of a timestamp.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// The first visible record of the tail at or after a time.
pub(super) fn find_in_tail(p: &Partition, at_ms: i64) -> Result<Option<FoundOffset>, record_batch::RecordsError> {
    let visible = |b: &&Batch| b.last_offset < p.high_watermark;
    for batch in p.tail.batches().iter().take_while(visible) {
        if batch.max_timestamp_ms < at_ms || batch.last_offset < p.log_start {
            continue;
        }
        let bytes = p.tail.copy(batch);
        let Ok((view, _)) = RecordBatch::split_from(&bytes) else { continue };
        let found = record_batch::find_offset_by_timestamp(&view, at_ms, p.log_start, DECOMPRESSED_BYTES_MAX)?;
        if let Some((offset, timestamp_ms)) = found {
            return Ok(Some(FoundOffset { offset, timestamp_ms, leader_epoch: batch.leader_epoch }));
        }
    }
    Ok(None)
}

/// The first visible record with the largest timestamp (KIP-734), as far as memory says: where the record with the
/// largest timestamp of the first segment is below the log start, [`hidden_segment`] may hold a better one.
pub(super) fn largest_timestamp(p: &Partition) -> Option<FoundOffset> {
    let from_segments = (p.segments.iter())
        .filter(|s| s.offset_of_max_timestamp >= p.log_start && s.next_offset <= p.high_watermark)
        .map(|s| (s.max_timestamp_ms, s.offset_of_max_timestamp));
    let from_tail = (p.tail.batches().iter())
        .filter(|b| b.last_offset < p.high_watermark && b.offset_of_max_timestamp >= p.log_start)
        .map(|b| (b.max_timestamp_ms, b.offset_of_max_timestamp));
    let of_cut = (p.tail.batches().get(p.tail.find(p.log_start)))
        .filter(|b| b.base_offset < p.log_start && b.offset_of_max_timestamp < p.log_start)
        .filter(|b| b.last_offset < p.high_watermark)
        .and_then(|batch| largest_in(&p.tail.copy(batch), p.log_start));
    let of_flushed = Some((p.flushed.max_timestamp_ms, p.flushed.offset_of_max_timestamp))
        .filter(|(_, offset)| *offset >= p.log_start);
    let all = from_segments.chain(of_flushed).chain(from_tail).chain(of_cut).filter(|(timestamp, _)| *timestamp >= 0);
    let (timestamp_ms, offset) = all.max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)))?;
    let leader_epoch = p.epochs.epoch_at(offset).unwrap_or(p.leader_epoch);
    Some(FoundOffset { offset, timestamp_ms, leader_epoch })
}

/// The largest timestamp in a batch from an offset on, and the first offset with it.
fn largest_in(bytes: &[u8], from: i64) -> Option<(i64, i64)> {
    let (batch, _) = RecordBatch::split_from(bytes).ok()?;
    let found = record_batch::find_max_timestamp(&batch, from, DECOMPRESSED_BYTES_MAX).ok()?;
    found.map(|(offset, timestamp_ms)| (timestamp_ms, offset))
}

/// The segment with the log start, by its base offset, if what it has on disk may hold a record that is not older than
/// what memory knows: its largest timestamp is that of a record below the log start.
pub(super) fn hidden_segment(p: &Partition, known: Option<FoundOffset>) -> Option<i64> {
    let segment = &p.segments[p.segment_of(p.log_start)];
    let in_memory = p.tail.first_offset().unwrap_or(p.log_end) <= p.log_start;
    let (max_ms, offset) = match segment.base_offset == p.flushed.segment {
        true => (p.flushed.max_timestamp_ms, p.flushed.offset_of_max_timestamp),
        false => (segment.max_timestamp_ms, segment.offset_of_max_timestamp),
    };
    let is_hidden = max_ms >= 0 && offset < p.log_start && known.is_none_or(|known| known.timestamp_ms <= max_ms);
    (segment.len > 0 && !in_memory && is_hidden).then_some(segment.base_offset)
}

/// The one with the larger timestamp, the first where both have the same.
pub(super) fn later(a: Option<FoundOffset>, b: Option<FoundOffset>) -> Option<FoundOffset> {
    let key = |found: &FoundOffset| (found.timestamp_ms, core::cmp::Reverse(found.offset));
    a.into_iter().chain(b).max_by_key(key)
}
