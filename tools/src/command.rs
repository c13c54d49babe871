//! The commands, one module each.

pub(crate) mod check;
pub(crate) mod consume;
pub(crate) mod dump;
pub(crate) mod produce;
pub(crate) mod start;
