//! Does what the shard decided: one host per core, its executor and ring, sockets and files.
//!
//! See `README.md` beside the manifest for the invariants and how to work in it.

pub mod broker;
pub mod config;
pub mod host;
pub mod metrics;
pub mod net;
pub mod node;
pub mod runtime;
