//! OffsetDelete: forgets how far a group has read in partitions that none of its members subscribes to (KIP-496).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(OffsetDelete: OffsetDeleteRequest<'a> => OffsetDeleteResponse<'r>);

message! {
    versions 0-0, flexible none;

    /// Offsets to forget.
    pub struct OffsetDeleteRequest<'a> {
        /// The group.
        group_id: &'a str [0+],
        /// The topics.
        topics: Array<'a, OffsetDeleteRequestTopic<'a>> [0+],
    }

    /// Partitions of one topic.
    pub struct OffsetDeleteRequestTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, OffsetDeleteRequestPartition> [0+],
    }

    /// One partition.
    pub struct OffsetDeleteRequestPartition {
        /// The partition.
        partition_index: i32 [0+],
    }
}

message! {
    versions 0-0, flexible none;

    /// What became of the offsets.
    pub struct OffsetDeleteResponse<'a> {
        /// Why nothing was forgotten, or none.
        error_code: ErrorCode [0+],
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+, ignorable],
        /// The topics.
        topics: Array<'a, OffsetDeleteResponseTopic<'a>> [0+],
    }

    /// What became of the offsets in one topic.
    pub struct OffsetDeleteResponseTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, OffsetDeleteResponsePartition> [0+],
    }

    /// What became of the offset in one partition.
    pub struct OffsetDeleteResponsePartition {
        /// The partition.
        partition_index: i32 [0+],
        /// Why the offset was not forgotten, or none.
        error_code: ErrorCode [0+],
    }
}
