//! The group coordinator of one shard.

#[expect(dead_code)]
pub(crate) mod group;
