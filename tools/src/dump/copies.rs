//! Files kept in two copies: checkpoints of a shard and snapshots of the metadata.

use super::{DumpError, Options, Report};
use bytes::Bytes;
use corelog_shard::copies::{CONTENT_BYTES_MAX, Copy, HEADER_BYTES, Kind};
use corelog_shard::log::checkpoint::{self, Checkpoint};
use corelog_wire::ids::TopicId;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The newest checkpoint in a shard's folder that is whole.
pub(super) fn newest_checkpoint(folder: &Path) -> Option<Checkpoint> {
    Checkpoint::from_copy(&newest(&checkpoint::KIND, folder)?).ok()
}

/// The first use of a journal file that recovery needs, as the checkpoint or snapshot beside the journal says.
pub(super) fn first_ordinal_needed(folder: &Path) -> Option<u64> {
    let kinds = [checkpoint::KIND, corelog_shard::metadata::SNAPSHOT];
    kinds.iter().find_map(|kind| newest(kind, folder)).map(|copy| copy.first_ordinal)
}

/// The newer of two copies that is whole.
fn newest(kind: &Kind, folder: &Path) -> Option<Copy> {
    let read = |generation| {
        let file = File::open(Path::new(&kind.path(folder.to_str()?, generation))).ok()?;
        kind.decode(&bytes(&file, file.metadata().ok()?.len()).ok()?).ok()?
    };
    [read(0), read(1)].into_iter().flatten().max_by_key(|copy| copy.generation)
}

fn bytes(file: &File, len: u64) -> std::io::Result<Bytes> {
    let len = len.min(CONTENT_BYTES_MAX + HEADER_BYTES as u64);
    let mut bytes = vec![0; usize::try_from(len).expect("at most what a copy can have")];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Bytes::from(bytes))
}

/// Shows the header of a copy; the copy, when it is whole.
fn header(kind: &Kind, file: &File, len: u64, report: &mut Report<'_>) -> Result<Option<Copy>, DumpError> {
    let bytes = bytes(file, len).map_err(DumpError::Unreadable)?;
    match kind.decode(&bytes) {
        Ok(Some(copy)) => {
            report.line(format_args!(
                "  generation {}, written by incarnation {}, {} bytes; the journal is needed from ordinal {} on",
                copy.generation,
                copy.incarnation,
                copy.content.len(),
                copy.first_ordinal
            ))?;
            Ok(Some(copy))
        }
        Ok(None) => {
            report.line(format_args!("  empty: never written"))?;
            Ok(None)
        }
        Err(what) => {
            report.fault(0, format_args!("{what}; the other copy counts"))?;
            Ok(None)
        }
    }
}

/// Shows a checkpoint.
pub(super) fn dump_checkpoint(
    file: &File,
    len: u64,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    let Some(copy) = header(&checkpoint::KIND, file, len, report)? else { return Ok(()) };
    let content = match Checkpoint::from_copy(&copy) {
        Ok(content) => content,
        Err(what) => return report.fault(HEADER_BYTES as u64, format_args!("{what}")),
    };
    for p in content.partitions.iter().filter(|_| !options.summary) {
        report.line(format_args!(
            "  {}-{} (topic id {}): log start {}, flushed to offset {} (byte {} of segment {}, batch at byte {})",
            p.topic,
            p.index,
            TopicId(p.topic_id),
            p.log_start,
            p.flushed_offset,
            p.flushed_position,
            p.flushed_segment,
            p.flushed_offset_position
        ))?;
        for s in &p.sealed {
            report.line(format_args!(
                "    {} segment {}: {} bytes, offsets to {}, largest timestamp {}",
                if s.cleaned > 0 { "cleaned" } else { "sealed" },
                s.base_offset,
                s.len,
                s.next_offset - 1,
                s.max_timestamp_ms
            ))?;
        }
        if p.first_dirty > 0 {
            report.line(format_args!("    clean up to offset {}, {} replacements", p.first_dirty, p.cleanings))?;
        }
        for (epoch, offset) in &p.epochs {
            report.line(format_args!("    leader epoch {epoch} from offset {offset}"))?;
        }
        for producer in &p.producers {
            let last = producer.batches.last().map_or(-1, |batch| batch.1);
            report.line(format_args!("    producer {} epoch {}: last sequence {last}", producer.id, producer.epoch))?;
        }
    }
    report.line(format_args!(
        "  {} partitions, metadata applied up to offset {}",
        content.partitions.len(),
        content.metadata_offset
    ))
}

/// Shows a snapshot of the metadata.
pub(super) fn dump_snapshot(file: &File, len: u64, options: Options, report: &mut Report<'_>) -> Result<(), DumpError> {
    let Some(copy) = header(&corelog_shard::metadata::SNAPSHOT, file, len, report)? else { return Ok(()) };
    let image = match corelog_replication::metadata::snapshot::from_bytes(&copy.content) {
        Ok(image) => image,
        Err(error) => return report.fault(HEADER_BYTES as u64, format_args!("{error}")),
    };
    for topic in image.topics().filter(|_| !options.summary) {
        let (name, id, partitions) = (topic.name(), topic.id(), topic.partitions().len());
        report.line(format_args!("  topic {name} (id {id}): {partitions} partitions"))?;
        for (key, value) in topic.configs() {
            report.line(format_args!("    {key}={value}"))?;
        }
    }
    report.line(format_args!(
        "  {} topics, {} partitions; metadata up to offset {}, term {}; next producer id {}",
        image.topics().len(),
        image.partition_count(),
        image.offset().0,
        image.term(),
        image.next_producer_id().0
    ))
}
