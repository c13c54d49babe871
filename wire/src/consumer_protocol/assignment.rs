//! An assignment: what a consumer is to read. Its versions are those of the subscription and differ in nothing.

use alloc::vec::Vec;

use crate::array::Array;
use crate::decoder::DecodeError;
use crate::encoder::EncodeError;
use crate::versioned;

impl<'a> ConsumerProtocolAssignment<'a> {
    /// Reads a member's part in SyncGroup. A leader that gives a member nothing can leave it without any bytes, which is
    /// for the caller to tell: they are no assignment.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        versioned::read_known_part(bytes)
    }

    /// Writes it in this version.
    pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        versioned::write(version, version, self)
    }
}

message! {
    versions 0-3, flexible none;

    /// What the leader of a group gives a consumer.
    pub struct ConsumerProtocolAssignment<'a> {
        /// The partitions that it is to read.
        assigned_partitions: Array<'a, TopicPartition<'a>> [0+],
        /// What the leader's assignor wants it to know, or null.
        user_data: Option<&'a [u8]> [0+, nullable 0+],
    }

    /// Partitions of a topic.
    pub struct TopicPartition<'a> {
        /// The topic's name.
        topic: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, i32> [0+],
    }
}
