//! Where a shard's identifiers for the host come from.
//!
//! Invariant: neither an [`OpId`] nor a [`FileId`] is given out twice in the life of a shard.

use crate::io::{FileId, OpId};
use crate::mesh::ShardIndex;

/// How far apart the ids of two shards begin: no shard ever gives out so many.
const PER_SHARD: u64 = 1 << 48;

/// The one source of a shard's [`OpId`]s and [`FileId`]s.
#[derive(Debug, Default)]
pub struct Ids {
    ops: u64,
    files: u64,
}

impl Ids {
    /// A source that has given out nothing.
    pub const fn new() -> Self {
        Self { ops: 0, files: 0 }
    }

    /// A source for a shard of several, whose ids no other shard gives out.
    pub const fn of_shard(shard: ShardIndex) -> Self {
        let first = shard.0 as u64 * PER_SHARD;
        Self { ops: first, files: first }
    }

    /// An operation id that was never given out before.
    pub fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    /// A file id that was never given out before.
    pub fn file(&mut self) -> FileId {
        self.files += 1;
        FileId(self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_given_out_twice() {
        let mut ids = Ids::new();
        assert_ne!(ids.op(), ids.op());
        assert_ne!(ids.file(), ids.file());
        assert_eq!(Ids::of_shard(ShardIndex(3)).file().shard(), ShardIndex(3));
    }
}
