//! Simulated surroundings: what the pure crates run against when a test decides what goes wrong.
//!
//! Everything here is driven by a seed; the same seed and the same calls give the same run.

mod content;
pub mod disk;
mod namespace;
pub mod node;
pub mod random;
