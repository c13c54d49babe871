//! The superblock: who a data directory belongs to and how it is laid out.

use super::{DumpError, Report};
use crate::size;
use corelog_shard::superblock::{BLOCK_MIN, inspect};
use corelog_wire::ids::{DirectoryId, TopicId};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Shows one of the two copies.
pub(super) fn dump(file: &File, len: u64, report: &mut Report<'_>) -> Result<(), DumpError> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(BLOCK_MIN).min(BLOCK_MIN)];
    file.read_exact_at(&mut bytes, 0).map_err(DumpError::Unreadable)?;
    let c = match inspect(&bytes) {
        Ok(contents) => contents,
        Err(what) => {
            let what = what.strip_prefix("CORRUPT: ").unwrap_or(&what);
            return report.fault(0, format_args!("{what}; the other copy counts"));
        }
    };
    report.line(format_args!(
        "  node {}, cluster {}, directory {}",
        c.node_id,
        TopicId(c.cluster_id),
        DirectoryId(c.directory_id)
    ))?;
    report.line(format_args!(
        "  generation {}, incarnation {}, the last stop was {}",
        c.generation,
        c.incarnation,
        if c.clean { "clean" } else { "not clean, or it runs" }
    ))?;
    report.line(format_args!(
        "  {} shards (layout generation {}), blocks of {} bytes, journal files of {}, metadata log files of {}",
        c.shards,
        c.layout_generation,
        c.block,
        size::show(c.journal_file_len),
        size::show(c.metadata_file_len)
    ))?;
    report.line(format_args!(
        "  at least {} journal files of each shard and {} of the metadata log",
        c.journal_files, c.metadata_files
    ))
}
