//! Pure decisions about copies: the metadata quorum, the image that replaying its log gives, the controller.
//!
//! Nothing here reads a clock, a file or a random source: whoever calls passes seeds and identifiers in, persists what
//! [`quorum::Quorum::poll_ready`] hands out and says when that is on stable storage. The invariants stand in the
//! crate's README.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod controller;
pub mod ids;
pub mod limits;
pub mod metadata;
pub mod placement;
pub mod quorum;
