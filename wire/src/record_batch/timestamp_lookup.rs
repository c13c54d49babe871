//! Looking inside a batch for a record by its timestamp, as ListOffsets wants it. Compressed batches are read through a
//! window of fixed size.

use super::walk::{TimestampSummary, Walk, walk};
use super::{NO_TIMESTAMP, RecordBatch, RecordsError};

/// The offset and timestamp of the first record from offset `from` on whose timestamp is `timestamp` or later. Decompresses
/// at most `decompressed_bytes_max` bytes.
pub fn find_offset_by_timestamp(
    batch: &RecordBatch<'_>,
    timestamp: i64,
    from: i64,
    decompressed_bytes_max: usize,
) -> Result<Option<(i64, i64)>, RecordsError> {
    if batch.max_timestamp() < timestamp {
        return Ok(None);
    }
    let mut found = None;
    walk(batch, decompressed_bytes_max, |record| {
        let offset = batch.base_offset().wrapping_add(i64::from(record.offset_delta));
        if record.timestamp < timestamp || offset < from {
            return Ok(Walk::On);
        }
        found = Some((offset, record.timestamp));
        Ok(Walk::Stop)
    })?;
    Ok(found)
}

/// The offset and timestamp of the first record with the greatest timestamp of those from offset `from` on (KIP-734).
/// `None` where none of them has a timestamp. Decompresses at most `decompressed_bytes_max` bytes.
pub fn find_max_timestamp(
    batch: &RecordBatch<'_>,
    from: i64,
    decompressed_bytes_max: usize,
) -> Result<Option<(i64, i64)>, RecordsError> {
    let mut summary = TimestampSummary::EMPTY;
    walk(batch, decompressed_bytes_max, |record| {
        if batch.base_offset().wrapping_add(i64::from(record.offset_delta)) >= from {
            summary.add(record);
        }
        Ok(Walk::On)
    })?;
    let offset = batch.base_offset().wrapping_add(i64::from(summary.offset_delta_of_max));
    Ok((summary.max > NO_TIMESTAMP).then_some((offset, summary.max)))
}
