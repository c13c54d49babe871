//! Pure decisions of one core: the journal, the log, the partitions, and one handler per Kafka API.
//!
//! Nothing here performs I/O, reads a clock, draws a random number or starts a thread. The host (`corelog-engine`, or a
//! simulator) feeds [`io::Event`]s with the time, and executes the [`io::Action`]s that come back. The crate's README
//! states the on-disk formats and the order in which things become durable.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod api;
pub mod config;
mod connection;
mod coordinator;
pub mod copies;
mod fetch_session;
pub mod front;
pub mod ids;
pub mod io;
pub mod journal;
pub mod limits;
pub mod log;
pub mod mesh;
pub mod metadata;
pub mod metrics;
mod pattern;
mod purgatory;
mod quota;
pub mod shard;
pub mod start;
pub mod superblock;
mod telemetry;
