//! The commands, one module each.

pub(crate) mod dump;
pub(crate) mod start;
