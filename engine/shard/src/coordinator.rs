//! The group coordinator of one shard.

#[cfg_attr(not(test), expect(dead_code))]
pub(crate) mod group;
