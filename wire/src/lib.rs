//! Kafka's wire protocol: bytes to messages and back, and nothing else.
//!
//! Invariants of this crate:
//! - Bytes from outside never panic, never loop beyond their own length and never cause an allocation: decoding borrows
//!   from the frame.
//! - Whatever decodes can be encoded again, in the same version, to bytes that mean the same.
//! - Record bytes are never copied into a frame that is sent: they are spliced in as reference-counted segments.
//!
//! `README.md` beside this crate says how to add an API.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

#[macro_use]
mod schema;

pub mod api;
pub mod api_key;
pub mod array;
pub mod buffer;
pub mod compression;
pub mod consumer_offsets;
pub mod consumer_protocol;
pub mod decoder;
pub mod encoder;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod ids;
pub mod limits;
pub mod message;
pub mod primitives;
pub mod record_batch;
mod versioned;
