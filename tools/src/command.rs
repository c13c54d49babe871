//! The commands, one module each.

pub(crate) mod check;
pub(crate) mod dump;
pub(crate) mod start;
