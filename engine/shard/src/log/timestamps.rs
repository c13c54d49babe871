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
        let found = record_batch::find_offset_by_timestamp(&view, at_ms, DECOMPRESSED_BYTES_MAX)?;
        if let Some((offset, timestamp_ms)) = found.filter(|(offset, _)| *offset >= p.log_start) {
            return Ok(Some(FoundOffset { offset, timestamp_ms, leader_epoch: batch.leader_epoch }));
        }
    }
    Ok(None)
}

/// The first visible record with the largest timestamp (KIP-734).
pub(super) fn largest_timestamp(p: &Partition) -> Option<FoundOffset> {
    let from_segments = (p.segments.iter())
        .filter(|s| s.offset_of_max_timestamp >= p.log_start && s.next_offset <= p.high_watermark)
        .map(|s| (s.max_timestamp_ms, s.offset_of_max_timestamp));
    let from_tail = (p.tail.batches().iter())
        .filter(|b| b.last_offset < p.high_watermark && b.offset_of_max_timestamp >= p.log_start)
        .map(|b| (b.max_timestamp_ms, b.offset_of_max_timestamp));
    let of_flushed = Some((p.flushed.max_timestamp_ms, p.flushed.offset_of_max_timestamp))
        .filter(|(_, offset)| *offset >= p.log_start);
    let all = from_segments.chain(of_flushed).chain(from_tail).filter(|(timestamp, _)| *timestamp >= 0);
    let (timestamp_ms, offset) = all.max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)))?;
    let leader_epoch = p.epochs.epoch_at(offset).unwrap_or(p.leader_epoch);
    Some(FoundOffset { offset, timestamp_ms, leader_epoch })
}
