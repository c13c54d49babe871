//! A Kafka client: what to send and what answers mean, without sockets and without a clock; and one driver that has both.
//!
//! Invariants of this crate:
//! - Everything but [`driver`] is synchronous and pure: events and the time go in, actions come out.
//! - Whatever was taken ends: a record with a delivery, a call with an answer or an error, each within its time.
//! - A broker that answers nonsense costs its connection, never a panic and never memory without bound.
//!
//! `README.md` beside this crate says how to use it and how to go on with it.

pub mod address;
pub mod admin;
pub mod call;
pub mod client;
pub mod cluster;
pub mod connection;
pub mod consumer;
pub mod driver;
pub mod group_member;
pub mod groups;
pub mod limits;
pub mod metadata;
pub mod offsets;
pub mod partitioner;
pub mod producer;

/// The messages and record batches that the client speaks, for who sends frames of their own.
pub use corelog_wire as wire;
