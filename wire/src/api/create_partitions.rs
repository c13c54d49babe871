//! CreatePartitions: gives topics more partitions (KIP-195).
//!
//! - 2: flexible.
//! - 3: THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(CreatePartitions: CreatePartitionsRequest<'a> => CreatePartitionsResponse<'r>);

message! {
    versions 0-3, flexible 2+;

    /// Which topics are to have how many partitions.
    pub struct CreatePartitionsRequest<'a> {
        /// The topics.
        topics: Array<'a, CreatePartitionsTopic<'a>> [0+],
        /// How long that may take, in milliseconds.
        timeout_ms: i32 [0+],
        /// Whether only to check if the partitions could be created.
        validate_only: bool [0+],
    }

    /// A topic that is to have more partitions.
    pub struct CreatePartitionsTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// How many partitions it is to have, those that are there included.
        count: i32 [0+],
        /// Where the new partitions are to be, in their order; null to leave it to the cluster.
        assignments: Option<Array<'a, CreatePartitionsAssignment<'a>>> [0+, nullable 0+],
    }

    /// Where a new partition is to be.
    pub struct CreatePartitionsAssignment<'a> {
        /// The brokers, the preferred leader first.
        broker_ids: Array<'a, i32> [0+],
    }
}

message! {
    versions 0-3, flexible 2+;

    /// What became of the topics.
    pub struct CreatePartitionsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The topics.
        results: Array<'a, CreatePartitionsTopicResult<'a>> [0+],
    }

    /// What became of a topic.
    pub struct CreatePartitionsTopicResult<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// Why it has no more partitions, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
    }
}
