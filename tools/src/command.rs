//! The commands, one module each.

pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod dump;
pub(crate) mod group;
pub(crate) mod produce;
pub(crate) mod start;
pub(crate) mod topic;
