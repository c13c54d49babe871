//! OffsetCommit: keeps how far a group has read.
//!
//! - 3: throttle time.
//! - 5: no retention time; how long offsets are kept is the broker's setting.
//! - 6: leader epochs (KIP-320).
//! - 7: static membership (KIP-345).
//! - 8: flexible.
//! - 9: the consumer protocol, too (KIP-848); GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH may be answered.
//! - 10: topic ids instead of names (KIP-848).

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::TopicId;

request!(OffsetCommit: OffsetCommitRequest<'a> => OffsetCommitResponse<'r>);

message! {
    versions 2-10, flexible 8+;

    /// Offsets to keep.
    pub struct OffsetCommitRequest<'a> {
        /// The group.
        group_id: &'a str [0+],
        /// The generation that the member is in, or its epoch; -1 from clients that are no members.
        generation_id_or_member_epoch: i32 [1+, default -1, ignorable],
        /// The member, or empty.
        member_id: &'a str [1+, ignorable],
        /// The static member's own name, or null (KIP-345).
        group_instance_id: Option<&'a str> [7+, nullable 7+],
        /// How long to keep the offsets, in milliseconds; -1 to leave it to the broker.
        retention_time_ms: i64 [2-4, default -1, ignorable],
        /// The topics.
        topics: Array<'a, OffsetCommitRequestTopic<'a>> [0+],
    }

    /// Offsets in one topic.
    pub struct OffsetCommitRequestTopic<'a> {
        /// The topic's name.
        name: &'a str [0-9, ignorable],
        /// The topic's id.
        topic_id: TopicId [10+, ignorable],
        /// The partitions.
        partitions: Array<'a, OffsetCommitRequestPartition<'a>> [0+],
    }

    /// The offset in one partition.
    pub struct OffsetCommitRequestPartition<'a> {
        /// The partition.
        partition_index: i32 [0+],
        /// The offset of the next record to read.
        committed_offset: i64 [0+],
        /// The leader epoch of the last record read, or -1.
        committed_leader_epoch: i32 [6+, default -1, ignorable],
        /// What the client wants kept with the offset, or null.
        committed_metadata: Option<&'a str> [0+, nullable 0+],
    }
}

message! {
    versions 2-10, flexible 8+;

    /// What became of the offsets.
    pub struct OffsetCommitResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [3+, ignorable],
        /// The topics.
        topics: Array<'a, OffsetCommitResponseTopic<'a>> [0+],
    }

    /// What became of the offsets in one topic.
    pub struct OffsetCommitResponseTopic<'a> {
        /// The topic's name.
        name: &'a str [0-9, ignorable],
        /// The topic's id.
        topic_id: TopicId [10+, ignorable],
        /// The partitions.
        partitions: Array<'a, OffsetCommitResponsePartition> [0+],
    }

    /// What became of the offset in one partition.
    pub struct OffsetCommitResponsePartition {
        /// The partition.
        partition_index: i32 [0+],
        /// Why the offset was not kept, or none.
        error_code: ErrorCode [0+],
    }
}
