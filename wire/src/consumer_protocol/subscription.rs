//! A subscription: what a consumer wants to read, and what it has.
//!
//! - 1: the partitions it has, for cooperative rebalancing (KIP-429).
//! - 2: the generation in which it got them (KIP-792).
//! - 3: its rack (KIP-881).

use alloc::vec::Vec;

use crate::array::Array;
use crate::decoder::DecodeError;
use crate::encoder::EncodeError;
use crate::versioned;

impl<'a> ConsumerProtocolSubscription<'a> {
    /// Reads the metadata of a member in JoinGroup.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        versioned::read_known_part(bytes)
    }

    /// Writes it in this version.
    pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        versioned::write(version, version, self)
    }
}

/// The topics of a subscription of any version: of all that follows them only what is in version 0 is looked at, as
/// Kafka's coordinator does it.
pub fn subscribed_topics(subscription: &[u8]) -> Result<Array<'_, &str>, DecodeError> {
    versioned::read_first_version(subscription).map(|read: ConsumerProtocolSubscription<'_>| read.topics)
}

message! {
    versions 0-3, flexible none;

    /// What a consumer tells the leader of its group.
    pub struct ConsumerProtocolSubscription<'a> {
        /// The topics that it wants to read.
        topics: Array<'a, &'a str> [0+],
        /// What its assignor wants the leader's to know, or null.
        user_data: Option<&'a [u8]> [0+, nullable 0+],
        /// The partitions that it has.
        owned_partitions: Array<'a, TopicPartition<'a>> [1+, ignorable],
        /// The generation in which it got them, or -1.
        generation_id: i32 [2+, default -1, ignorable],
        /// Its rack, or null.
        rack_id: Option<&'a str> [3+, nullable 3+, ignorable],
    }

    /// Partitions of a topic.
    pub struct TopicPartition<'a> {
        /// The topic's name.
        topic: &'a str [1+],
        /// The partitions.
        partitions: Array<'a, i32> [1+],
    }
}
