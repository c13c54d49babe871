//! Segments of a partition (`.log`): Kafka's record batches, one behind the other from byte 0.
//!
//! Every batch is checked: its length, its CRC, that its offsets follow those before it, that leader epochs do not go
//! back. How far the file has to be right depends on what stands around it (see `surroundings`): a sealed segment to its
//! last byte; the segment that is being written back up to the checkpoint's flushed position, because what follows
//! stands in the journal.

use super::surroundings::{Extent, base_offset, extent_of};
use super::{DumpError, Options, Report};
use corelog_wire::record_batch::{HEADER_LEN, MalformedBatch, NO_PRODUCER_ID, RecordBatch, TimestampType};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The most bytes that the records of one batch are decompressed to.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;
/// The smallest unit in which segments are written back.
const BLOCK_BYTES_MIN: u64 = 512;
/// The piece in which the rest of a file is looked at.
const PIECE_BYTES: usize = 1 << 20;

/// Reads a batch's bytes, or says why there is none at `position`.
pub(super) fn read_batch(
    file: &File,
    len: u64,
    position: u64,
    buffer: &mut Vec<u8>,
) -> Result<Result<(), MalformedBatch>, DumpError> {
    let left = usize::try_from(len - position).unwrap_or(usize::MAX);
    buffer.resize(left.min(HEADER_LEN), 0);
    file.read_exact_at(buffer, position).map_err(DumpError::Unreadable)?;
    let size = match RecordBatch::split_from(buffer) {
        Ok(_) => return Ok(Ok(())),
        Err(MalformedBatch::Incomplete(size)) if size <= left && size > buffer.len() => size,
        Err(error) => return Ok(Err(error)),
    };
    buffer.resize(size, 0);
    file.read_exact_at(buffer, position).map_err(DumpError::Unreadable)?;
    Ok(RecordBatch::split_from(buffer).map(|_| ()))
}

struct Walk {
    position: u64,
    next_offset: Option<i64>,
    first_offset: Option<i64>,
    leader_epoch: i32,
    /// Batches may be missing between others.
    may_have_gaps: bool,
    batches: u64,
    records: u64,
}

/// Shows a segment.
pub(super) fn dump(
    path: &Path,
    file: &File,
    len: u64,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    let extent = extent_of(path, len, base_offset(path));
    report.line(format_args!("  {}", extent.explain()))?;
    let next_offset = base_offset(path);
    if next_offset.is_none() {
        report.line(format_args!("  the name says no base offset, so the first one is taken as it comes"))?;
    }
    let may_have_gaps = extent.may_have_gaps();
    let mut walk =
        Walk { position: 0, next_offset, first_offset: None, leader_epoch: -1, may_have_gaps, batches: 0, records: 0 };
    let mut buffer = Vec::new();
    while walk.position < len {
        if let Err(error) = read_batch(file, len, walk.position, &mut buffer)? {
            let size = if let MalformedBatch::Incomplete(size) = error { size } else { HEADER_LEN };
            end(file, len, walk.position, size as u64, &extent, &error.to_string(), report)?;
            break;
        }
        let (batch, _) = RecordBatch::split_from(&buffer).expect("the batch was just read");
        let size = batch.size() as u64;
        match fault(&batch, &walk) {
            None => {
                show(&batch, walk.position, options, report)?;
                show_records(&batch, walk.position, options, report)?;
            }
            Some(fault) if extent.relies_on(walk.position) => {
                show(&batch, walk.position, options, report)?;
                report.fault(walk.position, format_args!("{fault}"))?;
            }
            Some(fault) => {
                end(file, len, walk.position, size, &extent, &fault, report)?;
                break;
            }
        }
        walk.first_offset = walk.first_offset.or(Some(batch.base_offset()));
        walk.next_offset = Some(batch.next_offset());
        walk.leader_epoch = batch.partition_leader_epoch();
        walk.batches += 1;
        walk.records += u64::try_from(batch.record_count()).unwrap_or(0);
        walk.position += size;
    }
    if let Some(fault) = extent.fault_of_len(len) {
        report.fault(len, format_args!("{fault}"))?;
    }
    match (walk.first_offset, walk.next_offset) {
        (Some(first), Some(next)) => report.line(format_args!(
            "  {} batches, {} records, offsets {first} to {}, {} of {len} bytes",
            walk.batches,
            walk.records,
            next - 1,
            walk.position
        )),
        _ => report.line(format_args!("  no batches, {len} bytes")),
    }
}

/// What is wrong with a batch that is complete.
fn fault(batch: &RecordBatch<'_>, walk: &Walk) -> Option<String> {
    if !batch.has_valid_crc() {
        let (stored, computed) = (batch.crc(), batch.computed_crc());
        return Some(format!("the CRC is {stored:#010x}, the bytes give {computed:#010x}"));
    }
    // Only compaction leaves gaps.
    let follows =
        |expected: i64| expected == batch.base_offset() || walk.may_have_gaps && expected < batch.base_offset();
    if let Some(expected) = walk.next_offset.filter(|expected| !follows(*expected)) {
        return Some(format!("the batch begins at offset {}, {expected} would follow", batch.base_offset()));
    }
    if batch.last_offset_delta() < 0 {
        return Some(format!("the last offset delta is {}", batch.last_offset_delta()));
    }
    if batch.record_count() < 0 {
        return Some(format!("the record count is {}", batch.record_count()));
    }
    let epoch = batch.partition_leader_epoch();
    (epoch < walk.leader_epoch).then(|| format!("leader epoch {epoch} follows {}", walk.leader_epoch))
}

/// The walk cannot go on at `position`, where a batch of `size` bytes would be: is that the end of what counts, or a
/// fault?
fn end(
    file: &File,
    len: u64,
    position: u64,
    size: u64,
    extent: &Extent,
    why: &str,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    if extent.relies_on(position) {
        return report.fault(position, format_args!("{why}; nothing behind it can be read"));
    }
    let data_end = zeros_from(file, position, len)?;
    if data_end == position {
        return report.line(format_args!("  from byte {position} on: {} reserved bytes, all zero", len - position));
    }
    // The end of what was written so far lies in the middle of the batch, where a block ends.
    let cut = data_end < position + size && (data_end < len || len.is_multiple_of(BLOCK_BYTES_MIN));
    if cut || matches!(extent, Extent::Flushed { .. } | Extent::Unknown) {
        return report.line(format_args!(
            "  from byte {position} on nothing counts here ({why}); what follows stands in the journal"
        ));
    }
    report.fault(position, format_args!("{why}"))
}

/// The position from which the file holds nothing but zeros.
fn zeros_from(file: &File, from: u64, len: u64) -> Result<u64, DumpError> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut end = len;
    while end > from {
        let start = end.saturating_sub(PIECE_BYTES as u64).max(from);
        let piece = &mut piece[..usize::try_from(end - start).expect("at most a piece")];
        file.read_exact_at(piece, start).map_err(DumpError::Unreadable)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(from)
}

fn show(batch: &RecordBatch<'_>, position: u64, options: Options, report: &mut Report<'_>) -> Result<(), DumpError> {
    if options.summary {
        return Ok(());
    }
    let attributes = batch.attributes();
    let codec = attributes.compression().map_or("unknown codec", |compression| compression.name());
    let time = match attributes.timestamp_type() {
        TimestampType::CreateTime => "created",
        TimestampType::LogAppendTime => "appended",
    };
    let mut extra = String::new();
    if batch.producer_id() != NO_PRODUCER_ID {
        let (id, epoch) = (batch.producer_id(), batch.producer_epoch());
        extra =
            format!(", producer {id} epoch {epoch} sequences {} to {}", batch.base_sequence(), batch.last_sequence());
    }
    if attributes.is_transactional() {
        extra.push_str(", transactional");
    }
    if attributes.is_control() {
        extra.push_str(", control");
    }
    report.line(format_args!(
        "  {}..{} at {position}, {} bytes: {} records, {codec}, leader epoch {}, {time} {}..{}{extra}",
        batch.base_offset(),
        batch.last_offset(),
        batch.size(),
        batch.record_count(),
        batch.partition_leader_epoch(),
        batch.base_timestamp(),
        batch.max_timestamp(),
    ))
}

/// Shows the records of a batch that begins at `position` of the file.
pub(super) fn show_records(
    batch: &RecordBatch<'_>,
    position: u64,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    if !options.records {
        return Ok(());
    }
    let payload = match batch.decompressed_payload(DECOMPRESSED_BYTES_MAX) {
        Ok(payload) => payload,
        Err(error) => return report.fault(position, format_args!("{error}")),
    };
    for record in batch.records(&payload) {
        let record = match record {
            Ok(record) => record,
            Err(error) => return report.fault(position, format_args!("{error}")),
        };
        let mut headers = String::new();
        for (name, value) in record.headers {
            headers.push_str(&format!(" [{}={}]", name.escape_ascii(), quoted(value)));
        }
        report.line(format_args!(
            "    {} {} key {} value {}{headers}",
            record.offset,
            record.timestamp,
            quoted(record.key),
            quoted(record.value)
        ))?;
    }
    Ok(())
}

fn quoted(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("{text:?}"),
            Err(_) => format!("\"{}\"", bytes.escape_ascii()),
        },
    }
}
