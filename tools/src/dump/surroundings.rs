//! What stands around a segment in its data directory: up to where its bytes have to be right.
//!
//! The shard's checkpoint says it exactly (a byte of a segment counts only below the flushed position). For a file that
//! was copied away, the other segments beside it say something: all but the last were sealed.

use super::copies::newest_checkpoint;
use corelog_shard::journal::format::{ENTRY_HEADER_LEN, EntryHeader, EntryKind};
use corelog_shard::journal::inspect::{Part, inspect};
use corelog_shard::log::checkpoint::PartitionCheckpoint;
use corelog_shard::log::cleaner::Replacement;
use corelog_shard::superblock::BLOCK_MIN;
use std::path::Path;

/// Up to where a segment's bytes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The checkpoint says that the segment is complete, with this length.
    Sealed { len: u64, cleaned: bool },
    /// The checkpoint says that it is being written back: whole batches up to `batches_end`, and the beginning of
    /// another up to `position`.
    Flushed { batches_end: u64, position: u64 },
    /// The checkpoint does not know it yet, or no longer: nothing in it counts.
    Unknown,
    /// There is no checkpoint, but a later segment stands beside it: it has to be right to the end.
    Earlier { len: u64 },
    /// There is no checkpoint, and it is the last one there.
    Last,
}

impl Extent {
    /// Whether a batch that begins at `position` has to be right.
    pub(super) fn relies_on(&self, position: u64) -> bool {
        match *self {
            Self::Sealed { len, .. } | Self::Earlier { len } => position < len,
            Self::Flushed { batches_end, .. } => position < batches_end,
            Self::Unknown | Self::Last => false,
        }
    }

    /// What is wrong with the length of the file, if anything.
    pub(super) fn fault_of_len(&self, len: u64) -> Option<String> {
        match *self {
            Self::Sealed { len: wanted, .. } if wanted != len => {
                Some(format!("the checkpoint says that this segment has {wanted} bytes, the file has {len}"))
            }
            Self::Flushed { position, .. } if position > len => {
                Some(format!("the checkpoint relies on the bytes below {position}, the file has {len}"))
            }
            _ => None,
        }
    }

    /// Whether batches may be missing between others, as compaction leaves it.
    pub(super) fn may_have_gaps(&self) -> bool {
        !matches!(self, Self::Sealed { cleaned: false, .. } | Self::Flushed { .. })
    }

    /// For people.
    pub(super) fn explain(&self) -> String {
        match self {
            Self::Sealed { len, cleaned } => {
                let what = if *cleaned { "a cleaned segment" } else { "a sealed segment" };
                format!("{what}: the checkpoint says that all {len} bytes count")
            }
            Self::Flushed { position, .. } => {
                format!("being written back: the checkpoint relies on the bytes below {position}")
            }
            Self::Unknown => {
                "the checkpoint relies on nothing in it: the journal still has its records, or it is left over"
                    .to_owned()
            }
            Self::Earlier { .. } => {
                "no checkpoint tells, but a later segment stands beside it: it has to be whole".to_owned()
            }
            Self::Last => "no checkpoint tells how far it counts".to_owned(),
        }
    }
}

/// What is to be expected of the segment at `path`, which has `len` bytes.
pub(super) fn extent_of(path: &Path, len: u64, base: Option<i64>) -> Extent {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Some((folder, base)) = path.parent().zip(base) else { return Extent::Last };
    by_checkpoint(folder, base, len).unwrap_or_else(|| match is_last(folder, base) {
        true => Extent::Last,
        false => Extent::Earlier { len },
    })
}

fn by_checkpoint(folder: &Path, base: i64, len: u64) -> Option<Extent> {
    let name = folder.file_name()?.to_str()?;
    let topics = folder.parent().filter(|topics| topics.file_name().is_some_and(|name| name == "topics"))?;
    let mut known = None;
    for entry in topics.parent()?.read_dir().ok()?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with("shard-") {
            continue;
        }
        let Some(checkpoint) = newest_checkpoint(&entry.path()) else { continue };
        known = known.or(Some(Extent::Unknown));
        let mut partitions = checkpoint.partitions.iter();
        let Some(partition) = partitions.find(|p| format!("{}-{}", p.topic, p.index) == name) else { continue };
        if partition.flushed_segment == base {
            return Some(Extent::Flushed {
                batches_end: partition.flushed_offset_position,
                position: partition.flushed_position,
            });
        }
        if let Some(sealed) = partition.sealed.iter().find(|segment| segment.base_offset == base) {
            let newer = if sealed.len == len { None } else { newest_replacement(&entry.path(), partition, base) };
            let counts = newer.as_ref().map_or(sealed, |newer| &newer.segment);
            return Some(Extent::Sealed { len: counts.len, cleaned: counts.cleaned > 0 });
        }
    }
    known
}

/// The last segment at `base` that took the place of others after the checkpoint was made, as the journal has it.
fn newest_replacement(shard: &Path, partition: &PartitionCheckpoint, base: i64) -> Option<Replacement> {
    let ours = |entry: &EntryHeader| {
        entry.kind == EntryKind::Replaced
            && (entry.topic_id, entry.partition, entry.base_offset) == (partition.topic_id, partition.index, base)
    };
    let mut newest: Option<Replacement> = None;
    for file in shard.read_dir().ok()?.flatten().filter(|f| f.file_name().to_string_lossy().starts_with("journal-")) {
        let Ok(bytes) = std::fs::read(file.path()) else { continue };
        for part in inspect(&bytes, BLOCK_MIN) {
            let Part::Entry(offset, entry) = part else { continue };
            let payload =
                bytes.get(offset as usize + ENTRY_HEADER_LEN..).and_then(|b| b.get(..entry.payload_len as usize));
            let read = payload.filter(|_| ours(&entry)).and_then(|payload| Replacement::decode(payload).ok());
            let is_newer = |r: &Replacement| r.number > newest.as_ref().map_or(partition.cleanings, |n| n.number);
            newest = read.filter(is_newer).or(newest);
        }
    }
    newest
}

fn is_last(folder: &Path, base: i64) -> bool {
    let Ok(entries) = folder.read_dir() else { return true };
    !entries.flatten().any(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|extension| extension == "log") && base_offset(&path).is_some_and(|at| at > base)
    })
}

/// The base offset in a segment file's name.
pub(super) fn base_offset(path: &Path) -> Option<i64> {
    let name = path.file_stem()?.to_str()?;
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}
