//! The sparse indexes beside a segment: `.index` (offset to position) and `.timeindex` (timestamp to offset).
//!
//! Nothing in Corelog depends on them; a fault here costs a reader time, no record. Each entry is checked against the
//! segment, when that is there.

use super::segment::read_batch;
use super::surroundings::base_offset;
use super::{DumpError, Options, Report};
use corelog_wire::record_batch::RecordBatch;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const OFFSET_ENTRY_BYTES: usize = 8;
const TIME_ENTRY_BYTES: usize = 12;
/// Kafka's indexes are at most 2 GiB; nothing larger is read.
const INDEX_BYTES_MAX: u64 = 2 << 30;

/// What the segment beside an index says of a batch.
#[derive(Clone, Copy, Debug)]
struct Batch {
    position: u64,
    base_offset: i64,
    last_offset: i64,
    max_timestamp: i64,
}

/// The batches of the segment beside an index, as far as they can be read; `None` when there is no segment.
fn batches(path: &Path) -> Result<Option<Vec<Batch>>, DumpError> {
    let Ok(file) = File::open(path.with_extension("log")) else { return Ok(None) };
    let len = file.metadata().map_err(DumpError::Unreadable)?.len();
    let mut position = 0;
    let mut found = Vec::new();
    let mut buffer = Vec::new();
    while position < len && read_batch(&file, len, position, &mut buffer)?.is_ok() {
        let (batch, _) = RecordBatch::split_from(&buffer).expect("the batch was just read");
        found.push(Batch {
            position,
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            max_timestamp: batch.max_timestamp(),
        });
        position += batch.size() as u64;
    }
    Ok(Some(found))
}

/// The entries of an index, without the zeros that Kafka keeps in reserve behind them.
fn entries(file: &File, len: u64, entry_bytes: usize, report: &mut Report<'_>) -> Result<Vec<u8>, DumpError> {
    if len > INDEX_BYTES_MAX {
        report.fault(INDEX_BYTES_MAX, format_args!("the file has {len} bytes, no index is that large"))?;
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; usize::try_from(len).expect("at most 2 GiB")];
    file.read_exact_at(&mut bytes, 0).map_err(DumpError::Unreadable)?;
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 1).next_multiple_of(entry_bytes));
    if used > bytes.len() {
        let whole = bytes.len() / entry_bytes * entry_bytes;
        report
            .fault(whole as u64, format_args!("the last entry has {} of {entry_bytes} bytes", bytes.len() - whole))?;
    } else if used < bytes.len() {
        report.line(format_args!("  from byte {used} on: {} reserved bytes, all zero", bytes.len() - used))?;
    }
    bytes.truncate(used / entry_bytes * entry_bytes);
    Ok(bytes)
}

/// Says what stands around an index; the base offset, and the batches of its segment.
fn context(path: &Path, report: &mut Report<'_>) -> Result<(i64, Option<Vec<Batch>>), DumpError> {
    let batches = batches(path)?;
    if batches.is_none() {
        report.line(format_args!("  the segment is not beside it, so the entries are only checked for their order"))?;
    }
    let base = base_offset(path);
    if base.is_none() {
        report.line(format_args!("  the name says no base offset, so offsets are shown relative to 0"))?;
    }
    Ok((base.unwrap_or(0), batches))
}

/// Shows a `.index`.
pub(super) fn dump_offsets(
    path: &Path,
    file: &File,
    len: u64,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    let (base, batches) = context(path, report)?;
    let bytes = entries(file, len, OFFSET_ENTRY_BYTES, report)?;
    let mut last: Option<(i64, u64)> = None;
    for (number, entry) in bytes.chunks_exact(OFFSET_ENTRY_BYTES).enumerate() {
        let at = (number * OFFSET_ENTRY_BYTES) as u64;
        let offset = base + i64::from(be_u32(entry, 0));
        let position = u64::from(be_u32(entry, 4));
        if !options.summary {
            report.line(format_args!("  offset {offset} at position {position}"))?;
        }
        if last.is_some_and(|(last_offset, last_position)| offset <= last_offset || position <= last_position) {
            report.fault(at, format_args!("offset {offset} at {position} does not follow the entry before"))?;
        } else if let Some(batches) = &batches {
            let found = batches.binary_search_by_key(&position, |batch| batch.position).map(|index| batches[index]);
            match found {
                Err(_) => report.fault(at, format_args!("no batch of the segment begins at position {position}"))?,
                Ok(batch) if !(batch.base_offset..=batch.last_offset).contains(&offset) => report.fault(
                    at,
                    format_args!(
                        "the batch at position {position} has offsets {} to {}, not {offset}",
                        batch.base_offset, batch.last_offset
                    ),
                )?,
                Ok(_) => {}
            }
        }
        last = Some((offset, position));
    }
    report.line(format_args!("  {} entries", bytes.len() / OFFSET_ENTRY_BYTES))
}

/// Shows a `.timeindex`.
pub(super) fn dump_times(
    path: &Path,
    file: &File,
    len: u64,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    let (base, batches) = context(path, report)?;
    let bytes = entries(file, len, TIME_ENTRY_BYTES, report)?;
    let mut last: Option<(i64, i64)> = None;
    for (number, entry) in bytes.chunks_exact(TIME_ENTRY_BYTES).enumerate() {
        let at = (number * TIME_ENTRY_BYTES) as u64;
        let timestamp = (i64::from(be_u32(entry, 0)) << 32) | i64::from(be_u32(entry, 4));
        let offset = base + i64::from(be_u32(entry, 8));
        if !options.summary {
            report.line(format_args!("  timestamp {timestamp} at offset {offset}"))?;
        }
        if last.is_some_and(|(last_timestamp, last_offset)| timestamp <= last_timestamp || offset < last_offset) {
            report.fault(at, format_args!("timestamp {timestamp} at {offset} does not follow the entry before"))?;
        } else if let Some(batches) = &batches {
            let index = batches.partition_point(|batch| batch.last_offset < offset);
            match batches.get(index).filter(|batch| batch.base_offset <= offset) {
                None => report.fault(at, format_args!("the segment has no offset {offset}"))?,
                Some(batch) if batch.max_timestamp != timestamp => report.fault(
                    at,
                    format_args!(
                        "the batch with offset {offset} has timestamp {}, not {timestamp}",
                        batch.max_timestamp
                    ),
                )?,
                Some(_) => {}
            }
        }
        last = Some((timestamp, offset));
    }
    report.line(format_args!("  {} entries", bytes.len() / TIME_ENTRY_BYTES))
}

fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
