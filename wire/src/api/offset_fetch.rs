//! OffsetFetch: tells how far groups have read.
//!
//! - 2: all topics of a group, asked for by null; an error for the whole answer.
//! - 3: throttle time.
//! - 5: leader epochs (KIP-320).
//! - 6: flexible.
//! - 7: whether offsets of open transactions are to be waited for (KIP-447).
//! - 8: several groups at once (KIP-709).
//! - 9: the consumer protocol, too (KIP-848).
//! - 10: topic ids instead of names (KIP-848); UNKNOWN_TOPIC_ID may be answered.

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::TopicId;

request!(OffsetFetch: OffsetFetchRequest<'a> => OffsetFetchResponse<'r>);

message! {
    versions 1-10, flexible 6+;

    /// Whose offsets to tell.
    pub struct OffsetFetchRequest<'a> {
        /// The group.
        group_id: &'a str [0-7],
        /// The topics; null for all.
        topics: Option<Array<'a, OffsetFetchRequestTopic<'a>>> [0-7, nullable 2-7, default Some(Array::EMPTY)],
        /// The groups.
        groups: Array<'a, OffsetFetchRequestGroup<'a>> [8+],
        /// Whether partitions with offsets in open transactions are to have a retriable error instead.
        require_stable: bool [7+],
    }

    /// Partitions of one topic.
    pub struct OffsetFetchRequestTopic<'a> {
        /// The topic's name.
        name: &'a str [0-7],
        /// The partitions.
        partition_indexes: Array<'a, i32> [0-7],
    }

    /// One group.
    pub struct OffsetFetchRequestGroup<'a> {
        /// The group.
        group_id: &'a str [8+],
        /// The member that asks, or null.
        member_id: Option<&'a str> [9+, nullable 9+, ignorable],
        /// Its epoch, or -1.
        member_epoch: i32 [9+, default -1, ignorable],
        /// The topics; null for all.
        topics: Option<Array<'a, OffsetFetchRequestTopics<'a>>> [8+, nullable 8+],
    }

    /// Partitions of one topic of a group.
    pub struct OffsetFetchRequestTopics<'a> {
        /// The topic's name.
        name: &'a str [8-9, ignorable],
        /// The topic's id.
        topic_id: TopicId [10+, ignorable],
        /// The partitions.
        partition_indexes: Array<'a, i32> [8+],
    }
}

message! {
    versions 1-10, flexible 6+;

    /// The offsets.
    pub struct OffsetFetchResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [3+, ignorable],
        /// The topics.
        topics: Array<'a, OffsetFetchResponseTopic<'a>> [0-7],
        /// Why there are no offsets, or none.
        error_code: ErrorCode [2-7, ignorable],
        /// The groups.
        groups: Array<'a, OffsetFetchResponseGroup<'a>> [8+],
    }

    /// Offsets in one topic.
    pub struct OffsetFetchResponseTopic<'a> {
        /// The topic's name.
        name: &'a str [0-7],
        /// The partitions.
        partitions: Array<'a, OffsetFetchResponsePartition<'a>> [0-7],
    }

    /// The offset in one partition.
    pub struct OffsetFetchResponsePartition<'a> {
        /// The partition.
        partition_index: i32 [0-7],
        /// The offset of the next record to read; -1 where none is kept.
        committed_offset: i64 [0-7],
        /// The leader epoch of the last record read, or -1.
        committed_leader_epoch: i32 [5-7, default -1, ignorable],
        /// What the client wanted kept with the offset, or null.
        metadata: Option<&'a str> [0-7, nullable 0-7, default Some("")],
        /// Why there is no offset, or none.
        error_code: ErrorCode [0-7],
    }

    /// Offsets of one group.
    pub struct OffsetFetchResponseGroup<'a> {
        /// The group.
        group_id: &'a str [8+],
        /// The topics.
        topics: Array<'a, OffsetFetchResponseTopics<'a>> [8+],
        /// Why there are no offsets of this group, or none.
        error_code: ErrorCode [8+],
    }

    /// Offsets of a group in one topic.
    pub struct OffsetFetchResponseTopics<'a> {
        /// The topic's name.
        name: &'a str [8-9, ignorable],
        /// The topic's id.
        topic_id: TopicId [10+, ignorable],
        /// The partitions.
        partitions: Array<'a, OffsetFetchResponsePartitions<'a>> [8+],
    }

    /// The offset of a group in one partition.
    pub struct OffsetFetchResponsePartitions<'a> {
        /// The partition.
        partition_index: i32 [8+],
        /// The offset of the next record to read; -1 where none is kept.
        committed_offset: i64 [8+],
        /// The leader epoch of the last record read, or -1.
        committed_leader_epoch: i32 [8+, default -1, ignorable],
        /// What the client wanted kept with the offset, or null.
        metadata: Option<&'a str> [8+, nullable 8+],
        /// Why there is no offset, or none.
        error_code: ErrorCode [8+],
    }
}
