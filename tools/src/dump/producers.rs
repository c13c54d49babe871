//! Producer snapshots (`<offset>.snapshot`): what a partition knew of its idempotent producers at an offset, in Kafka's
//! format.
//!
//! Corelog writes them and never reads them; a fault here costs nobody anything until Kafka takes over the folder.

use super::surroundings::base_offset;
use super::{DumpError, Options, Report};
use corelog_shard::log::producer_snapshot::{MalformedSnapshot, decode};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The largest file that is read: 46 bytes a producer.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;
/// The bytes in front of the first producer, and of each.
const HEAD_BYTES: usize = 10;
const PRODUCER_BYTES: usize = 46;

/// Shows a snapshot.
pub(super) fn dump(
    path: &Path,
    file: &File,
    len: u64,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    if len > SNAPSHOT_BYTES_MAX {
        return report.fault(SNAPSHOT_BYTES_MAX, format_args!("the file has {len} bytes, no snapshot is that large"));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("at most 1 GiB")];
    file.read_exact_at(&mut bytes, 0).map_err(DumpError::Unreadable)?;
    let producers = match decode(&bytes) {
        Ok(producers) => producers,
        Err(error) => {
            let at = match error {
                MalformedSnapshot::Version(_) => 0,
                MalformedSnapshot::Crc { .. } => 2,
                MalformedSnapshot::Len { .. } | MalformedSnapshot::Short => len,
            };
            return report.fault(at, format_args!("{error}"));
        }
    };
    let base = base_offset(path);
    if base.is_none() {
        report
            .line(format_args!("  the name says no offset, so what the producers wrote last is not held against it"))?;
    }
    let mut before = None;
    for (number, p) in producers.iter().enumerate() {
        if !options.summary {
            report.line(format_args!(
                "  producer {} epoch {}, last sequence {}, last offset {} (delta {}), timestamp {}, coordinator epoch {}, \
                 transaction from {}",
                p.producer_id,
                p.producer_epoch,
                p.last_sequence,
                p.last_offset,
                p.offset_delta,
                p.timestamp_ms,
                p.coordinator_epoch,
                p.transaction_first_offset
            ))?;
        }
        let at = (HEAD_BYTES + number * PRODUCER_BYTES) as u64;
        if base.is_some_and(|base| p.last_offset >= base) {
            report.fault(
                at,
                format_args!("producer {} wrote offset {} behind the snapshot", p.producer_id, p.last_offset),
            )?;
        }
        if p.producer_id < 0 || before == Some(p.producer_id) {
            report.fault(at, format_args!("producer {} cannot be there", p.producer_id))?;
        }
        before = Some(p.producer_id);
    }
    report.line(format_args!("  {} producers", producers.len()))
}
