//! ListPartitionReassignments: the partitions that are being moved to other replicas (KIP-455).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(ListPartitionReassignments: ListPartitionReassignmentsRequest<'a> => ListPartitionReassignmentsResponse<'r>);

message! {
    versions 0, flexible 0+;

    /// Which moves to list.
    pub struct ListPartitionReassignmentsRequest<'a> {
        /// How long that may take, in milliseconds.
        timeout_ms: i32 [0+],
        /// The topics; null for all of them.
        topics: Option<Array<'a, ListPartitionReassignmentsTopics<'a>>> [0+, nullable 0+],
    }

    /// Partitions of one topic.
    pub struct ListPartitionReassignmentsTopics<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partition_indexes: Array<'a, i32> [0+],
    }
}

message! {
    versions 0, flexible 0+;

    /// The moves that are under way.
    pub struct ListPartitionReassignmentsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why nothing is listed, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// The topics.
        topics: Array<'a, OngoingTopicReassignment<'a>> [0+],
    }

    /// The moves of one topic.
    pub struct OngoingTopicReassignment<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, OngoingPartitionReassignment<'a>> [0+],
    }

    /// A move.
    pub struct OngoingPartitionReassignment<'a> {
        /// The partition.
        partition_index: i32 [0+],
        /// The brokers that have it now.
        replicas: Array<'a, i32> [0+],
        /// The brokers that are to have it and do not yet.
        adding_replicas: Array<'a, i32> [0+],
        /// The brokers that have it and are not to any more.
        removing_replicas: Array<'a, i32> [0+],
    }
}
