//! Several shards in one data directory: who has which files, and that each is judged for itself.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod several;
mod world;
