//! Where the shards of a data directory have their files.
//!
//! Invariants: the superblock alone says which layout counts. A folder of any other generation holds nothing that anybody
//! needs: it is of a change that was cut off, or of the layout before.

use super::{Run, StartError, refuse, words};
use crate::io::Step;
use crate::mesh::{SHARDS_MAX, Seat, ShardIndex};
use crate::superblock::Contents;
use alloc::format;
use alloc::string::String;

/// The number of shards, and how often it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) generation: u64,
    pub(super) shards: u32,
}

impl Layout {
    /// The layout that a superblock names.
    pub(super) fn of(contents: &Contents) -> Result<Self, StartError> {
        let shards = contents.shards;
        if !(1..=SHARDS_MAX).contains(&shards) {
            return Err(refuse(format!(
                "the superblock names {shards} shards, this program knows 1 to {SHARDS_MAX}: use the program that wrote it"
            )));
        }
        Ok(Self { generation: contents.layout_generation, shards })
    }

    /// The seats of its shards.
    pub(super) fn seats(self) -> impl Iterator<Item = Seat> {
        Seat::all(self.shards)
    }

    /// The folder of a shard, relative to the data directory.
    pub(super) fn folder(self, shard: ShardIndex) -> String {
        match self.generation {
            0 => format!("shard-{}", shard.0),
            generation => format!("shard-{}.{generation}", shard.0),
        }
    }

    /// Whether a folder in the data directory is a shard's of another layout.
    fn is_foreign(self, name: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(rest) = name.strip_prefix("shard-") else { return false };
        let (shard, generation) = rest.split_once('.').unwrap_or((rest, "0"));
        digits(shard) && digits(generation) && !self.seats().any(|seat| self.folder(seat.me) == name)
    }
}

impl Run<'_> {
    /// Removes the folders of every other layout. The superblock that names `layout` must be on stable storage in both
    /// copies, and the data directory locked.
    pub(super) fn remove_other_layouts(&mut self, layout: Layout) -> Result<(), StartError> {
        let entries = self.disk.list("").map_err(|e| refuse(words(&e)))?;
        let mut removed = false;
        for entry in entries.into_iter().filter(|entry| entry.is_dir && layout.is_foreign(&entry.name)) {
            self.disk.run(Step::RemoveDir { path: entry.name }).map_err(|e| refuse(words(&e)))?;
            removed = true;
        }
        if removed {
            self.disk.run(Step::SyncDir { path: String::new() }).map_err(|e| refuse(words(&e)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_other_layouts_are_foreign() {
        let first = Layout { generation: 0, shards: 2 };
        let third = Layout { generation: 2, shards: 3 };
        assert_eq!(
            (first.folder(ShardIndex(1)).as_str(), third.folder(ShardIndex(2)).as_str()),
            ("shard-1", "shard-2.2")
        );
        for (name, of_first, of_third) in [
            ("shard-0", false, true),
            ("shard-1", false, true),
            ("shard-2", true, true),
            ("shard-0.1", true, true),
            ("shard-2.2", true, false),
            ("shard-3.2", true, true),
            ("shard-02.2", true, true),
            ("shard-", false, false),
            ("shard-x", false, false),
            ("shard-0.old", false, false),
            ("shard-0.2.1", false, false),
            ("metadata", false, false),
            ("topics", false, false),
        ] {
            assert_eq!((first.is_foreign(name), third.is_foreign(name)), (of_first, of_third), "{name}");
        }
    }
}
