//! Clients: who may connect, how their bytes become frames, and what happens to those who do not keep up.
//!
//! Nothing here is unsafe and nothing here decides about Kafka: a frame is a length and that many bytes.

pub(crate) mod admission;
pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod door;
pub(crate) mod intake;
pub mod listener;
pub mod quota;
