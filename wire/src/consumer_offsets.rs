//! The records of the topic `__consumer_offsets`, which keep what the coordinators of groups know.
//!
//! A key begins with two bytes that say what it is of; a value with two bytes that are its version. A record without a
//! value deletes what has its key. Records of the consumer protocol (KIP-848) and of share and streams groups have other
//! keys; we read of them only that they are others.
//!
//! Invariant: as with every message, any bytes end in a message or an error, without an allocation.

use alloc::vec::Vec;

use crate::array::Array;
use crate::decoder::{DecodeError, DecodeErrorKind, Decoder};
use crate::encoder::EncodeError;
use crate::ids::TopicId;
use crate::message::Message;
use crate::versioned;

/// The version of [`OffsetCommitValue`] that Kafka 4.4 writes.
pub const OFFSET_COMMIT_VALUE_VERSION: i16 = 4;
/// The version of [`OffsetCommitValue`] that Kafka 4.4 writes for an offset with a retention time of its own, the only
/// one that has room for it.
pub const OFFSET_COMMIT_VALUE_VERSION_WITH_EXPIRY: i16 = 1;
/// The version of [`GroupMetadataValue`] that Kafka 4.4 writes.
pub const GROUP_METADATA_VALUE_VERSION: i16 = 3;

// In front of keys.
const LEGACY_OFFSET_COMMIT: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Key<'a> {
    /// How far a group has read; the value is an [`OffsetCommitValue`].
    OffsetCommit(OffsetCommitKey<'a>),
    /// A group; the value is a [`GroupMetadataValue`].
    GroupMetadata(GroupMetadataKey<'a>),
    /// Something else, whose keys begin with this number.
    Other(i16),
}

impl<'a> Key<'a> {
    /// Reads a record's key.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let key = match decoder.int16()? {
            LEGACY_OFFSET_COMMIT | OFFSET_COMMIT => Self::OffsetCommit(Message::decode(&mut decoder, 0)?),
            GROUP_METADATA => Self::GroupMetadata(Message::decode(&mut decoder, 0)?),
            negative @ ..0 => return Err(DecodeErrorKind::UnsupportedVersion(negative).into()),
            other => return Ok(Self::Other(other)),
        };
        decoder.finish()?;
        Ok(key)
    }
}

impl OffsetCommitKey<'_> {
    /// Writes the key of a record.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        versioned::write(OFFSET_COMMIT, 0, self)
    }
}

impl GroupMetadataKey<'_> {
    /// Writes the key of a record.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        versioned::write(GROUP_METADATA, 0, self)
    }
}

impl<'a> OffsetCommitValue<'a> {
    /// Reads the value of a record with an [`OffsetCommitKey`].
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        versioned::read(bytes)
    }

    /// Writes the value in this version. Fields that it lacks are left out.
    pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        versioned::write(version, version, self)
    }
}

impl<'a> GroupMetadataValue<'a> {
    /// Reads the value of a record with a [`GroupMetadataKey`].
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        versioned::read(bytes)
    }

    /// Writes the value in this version. Fields that it lacks are left out.
    pub fn to_bytes(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        versioned::write(version, version, self)
    }
}

message! {
    versions 0-0, flexible none;

    /// Whose offset, and in what.
    pub struct OffsetCommitKey<'a> {
        /// The group.
        group: &'a str [0],
        /// The topic's name.
        topic: &'a str [0],
        /// The partition.
        partition: i32 [0],
    }
}

message! {
    versions 0-4, flexible 4+;

    /// How far a group has read in a partition.
    pub struct OffsetCommitValue<'a> {
        /// The offset of the next record to read.
        offset: i64 [0+],
        /// The leader epoch of the last record read, or -1.
        leader_epoch: i32 [3+, default -1, ignorable],
        /// What the client wanted kept with the offset; empty if it was null.
        metadata: &'a str [0+],
        /// When it was committed, in ms since 1970.
        commit_timestamp: i64 [0+],
        /// When it is to be forgotten, in ms since 1970; -1 where the broker's settings say that.
        expire_timestamp: i64 [1, default -1, ignorable],
        /// The id of the topic, or zero.
        topic_id: TopicId [4+, tag 0, ignorable],
    }
}

message! {
    versions 0-0, flexible none;

    /// Which group.
    pub struct GroupMetadataKey<'a> {
        /// The group.
        group: &'a str [0],
    }
}

message! {
    versions 0-4, flexible 4+;

    /// A group of the classic protocol, as of the end of its last rebalance.
    pub struct GroupMetadataValue<'a> {
        /// What kind of group it is, `consumer` for consumers; empty if it never had members.
        protocol_type: &'a str [0+],
        /// Its generation.
        generation: i32 [0+],
        /// The protocol that was chosen, or null without members.
        protocol: Option<&'a str> [0+, nullable 0+],
        /// The member that leads it, or null without members.
        leader: Option<&'a str> [0+, nullable 0+],
        /// Since when it is in its state, in ms since 1970, or -1.
        current_state_timestamp: i64 [2+, default -1, ignorable],
        /// Its members.
        members: Array<'a, MemberMetadata<'a>> [0+],
    }

    /// A member.
    pub struct MemberMetadata<'a> {
        /// Its id.
        member_id: &'a str [0+],
        /// The static member's own name, or null (KIP-345).
        group_instance_id: Option<&'a str> [3+, nullable 3+, ignorable],
        /// The client id of its last JoinGroup.
        client_id: &'a str [0+],
        /// Where the client is: `/` and its address.
        client_host: &'a str [0+],
        /// How long a rebalance waits for it, in milliseconds; -1 where its session timeout counts.
        rebalance_timeout: i32 [1+, default -1, ignorable],
        /// After how long without a heartbeat it counts as dead, in milliseconds.
        session_timeout: i32 [0+],
        /// What it sent with the protocol that was chosen.
        subscription: &'a [u8] [0+],
        /// Its part of the assignment.
        assignment: &'a [u8] [0+],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_as_kafka_has_them() {
        let key = OffsetCommitKey { group: "g", topic: "t", partition: 7 };
        let bytes = key.to_bytes().expect("the key is sound");
        assert_eq!(bytes, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 7]);
        assert_eq!(Key::from_bytes(&bytes), Ok(Key::OffsetCommit(key)));
        let legacy = [&[0, 0], &bytes[2..]].concat();
        assert_eq!(Key::from_bytes(&legacy), Ok(Key::OffsetCommit(key)));

        let key = GroupMetadataKey { group: "g" };
        let bytes = key.to_bytes().expect("the key is sound");
        assert_eq!(bytes, [0, 2, 0, 1, b'g']);
        assert_eq!(Key::from_bytes(&bytes), Ok(Key::GroupMetadata(key)));
    }

    #[test]
    fn keys_of_others_are_told_apart_from_nonsense() {
        assert_eq!(Key::from_bytes(&[0, 3, 0xff]), Ok(Key::Other(3)));
        let kind = |bytes| Key::from_bytes(bytes).map_err(|error| error.kind);
        assert_eq!(kind(&[0xff, 0xff]), Err(DecodeErrorKind::UnsupportedVersion(-1)));
        assert_eq!(kind(&[0, 2, 0, 1, b'g', 0]), Err(DecodeErrorKind::TrailingBytes(1)));
        assert!(Key::from_bytes(&[0]).is_err());
        assert!(Key::from_bytes(&[0, 2]).is_err());
    }

    #[test]
    fn an_offset_in_each_version_that_kafka_writes() {
        let value = OffsetCommitValue {
            offset: 5,
            leader_epoch: 2,
            metadata: "m",
            commit_timestamp: 9,
            topic_id: TopicId([7; 16]),
            ..OffsetCommitValue::default()
        };
        let bytes = value.to_bytes(OFFSET_COMMIT_VALUE_VERSION).expect("the value is sound");
        let expected = [0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 2, b'm', 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 16];
        assert_eq!(bytes, [&expected[..], &[7; 16]].concat());
        assert_eq!(OffsetCommitValue::from_bytes(&bytes), Ok(value));

        let value = OffsetCommitValue { expire_timestamp: 10, ..value };
        let bytes = value.to_bytes(OFFSET_COMMIT_VALUE_VERSION_WITH_EXPIRY).expect("the value is sound");
        let read = OffsetCommitValue { leader_epoch: -1, topic_id: TopicId::default(), ..value };
        assert_eq!(OffsetCommitValue::from_bytes(&bytes), Ok(read));
    }

    #[test]
    fn a_group_comes_back() {
        let members = [MemberMetadata {
            member_id: "c-1",
            client_id: "c",
            client_host: "/127.0.0.1",
            rebalance_timeout: 300_000,
            session_timeout: 45_000,
            subscription: &[0, 1],
            assignment: &[2],
            ..MemberMetadata::default()
        }];
        let value = GroupMetadataValue {
            protocol_type: "consumer",
            generation: 3,
            protocol: Some("range"),
            leader: Some("c-1"),
            current_state_timestamp: 77,
            members: (&members).into(),
        };
        let bytes = value.to_bytes(GROUP_METADATA_VALUE_VERSION).expect("the value is sound");
        assert_eq!(bytes[..4], [0, 3, 0, 8]);
        assert_eq!(GroupMetadataValue::from_bytes(&bytes), Ok(value));
    }

    #[test]
    fn a_value_of_an_unknown_version_or_with_something_behind_it_is_refused() {
        let mut bytes = OffsetCommitValue::default().to_bytes(3).expect("the value is sound");
        bytes.push(0);
        let refusal = |bytes: &[u8]| OffsetCommitValue::from_bytes(bytes).expect_err("it is refused").kind;
        assert_eq!(refusal(&bytes), DecodeErrorKind::TrailingBytes(1));
        bytes[1] = 5;
        assert_eq!(refusal(&bytes), DecodeErrorKind::UnsupportedVersion(5));
    }
}
