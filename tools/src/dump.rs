//! Shows what is in a file of a data directory, and what is wrong with it.
//!
//! Owns the recognition of a file, by its name or by its first bytes; one module per kind of file reads it. Nothing is
//! ever written. What a file says is not believed: sizes are bounded by the file's own length.

mod copies;
mod index;
mod journal;
mod producers;
mod report;
mod segment;
mod superblock;
mod surroundings;
mod text;

pub(crate) use report::Report;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What to show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Every record, not only the batches.
    pub(crate) records: bool,
    /// Only the totals and what is wrong.
    pub(crate) summary: bool,
}

/// Why a file was not shown at all.
#[derive(Debug)]
pub(crate) enum DumpError {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// It is nothing that Corelog or Kafka writes.
    Unknown,
    /// The output cannot be written.
    Output(io::Error),
}

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    Segment,
    OffsetIndex,
    TimeIndex,
    ProducerSnapshot,
    EpochCheckpoint,
    PartitionMetadata,
    Superblock,
    Journal,
    Checkpoint,
    Snapshot,
}

/// Shows a file.
pub(crate) fn dump(path: &Path, options: Options, report: &mut Report<'_>) -> Result<(), DumpError> {
    let mut file = File::open(path).map_err(DumpError::Unreadable)?;
    let metadata = file.metadata().map_err(DumpError::Unreadable)?;
    if metadata.is_dir() {
        return Err(DumpError::Unreadable(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let len = metadata.len();
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start).map_err(DumpError::Unreadable)?;
    let kind = recognise(path, &start).ok_or(DumpError::Unknown)?;
    match kind {
        FileKind::Segment => segment::dump(path, &file, len, options, report),
        FileKind::OffsetIndex => index::dump_offsets(path, &file, len, options, report),
        FileKind::TimeIndex => index::dump_times(path, &file, len, options, report),
        FileKind::ProducerSnapshot => producers::dump(path, &file, len, options, report),
        FileKind::EpochCheckpoint => text::dump_epochs(&file, len, report),
        FileKind::PartitionMetadata => text::dump_metadata(&file, len, report),
        FileKind::Superblock => superblock::dump(&file, len, report),
        FileKind::Journal => journal::dump(path, &file, len, options, report),
        FileKind::Checkpoint => copies::dump_checkpoint(&file, len, options, report),
        FileKind::Snapshot => copies::dump_snapshot(&file, len, options, report),
    }
}

/// What a file is: by its first bytes where they tell, otherwise by its name.
fn recognise(path: &Path, start: &[u8]) -> Option<FileKind> {
    match start {
        b"CLSB" => return Some(FileKind::Superblock),
        b"CLJF" => return Some(FileKind::Journal),
        b"CLCP" => return Some(FileKind::Checkpoint),
        b"CLMS" => return Some(FileKind::Snapshot),
        _ => {}
    }
    let name = path.file_name()?.to_str()?;
    match (name, path.extension().and_then(|extension| extension.to_str())) {
        ("leader-epoch-checkpoint", _) => Some(FileKind::EpochCheckpoint),
        ("partition.metadata", _) => Some(FileKind::PartitionMetadata),
        ("superblock-a" | "superblock-b", _) => Some(FileKind::Superblock),
        ("checkpoint-a" | "checkpoint-b", _) => Some(FileKind::Checkpoint),
        ("snapshot-a" | "snapshot-b", _) => Some(FileKind::Snapshot),
        (_, Some("log")) => Some(FileKind::Segment),
        (_, Some("index")) => Some(FileKind::OffsetIndex),
        (_, Some("timeindex")) => Some(FileKind::TimeIndex),
        (_, Some("snapshot")) => Some(FileKind::ProducerSnapshot),
        _ if name.starts_with("journal-") => Some(FileKind::Journal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognised_by_their_first_bytes_and_otherwise_by_their_names() {
        let kind = |name: &str, start: &[u8]| recognise(Path::new(name), start);
        assert_eq!(kind("saved", b"CLJF"), Some(FileKind::Journal));
        assert_eq!(kind("shard-0/journal-0003", b"\0\0\0\0"), Some(FileKind::Journal));
        assert_eq!(kind("topics/a-0/00000000000000000000.log", b"\0\0\0\0"), Some(FileKind::Segment));
        assert_eq!(kind("00000000000000000000.timeindex", b""), Some(FileKind::TimeIndex));
        assert_eq!(kind("00000000000000000007.snapshot", b""), Some(FileKind::ProducerSnapshot));
        assert_eq!(kind("metadata/snapshot-a", b""), Some(FileKind::Snapshot));
        assert_eq!(kind("leader-epoch-checkpoint", b"0\n1\n"), Some(FileKind::EpochCheckpoint));
        assert_eq!(kind("notes.txt", b"note"), None);
    }
}
