//! Kafka's wire protocol: bytes to messages and back, record batches, codecs.
//!
//! Invariants: no clock, no thread, no random source, no standard library (but in `compression`). Bytes from outside are
//! checked before anything is allocated for them; what is wrong with them is a `Result`.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod buffer;
