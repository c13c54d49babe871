//! AlterPartitionReassignments: moves partitions to other replicas, or calls that off (KIP-455).
//!
//! - 1: the number of replicas may be kept (KIP-860).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(AlterPartitionReassignments: AlterPartitionReassignmentsRequest<'a> => AlterPartitionReassignmentsResponse<'r>);

message! {
    versions 0-1, flexible 0+;

    /// Which partitions to move where.
    pub struct AlterPartitionReassignmentsRequest<'a> {
        /// How long that may take, in milliseconds.
        timeout_ms: i32 [0+],
        /// Whether a partition may have another number of replicas afterwards.
        allow_replication_factor_change: bool [1+, default true],
        /// The topics.
        topics: Array<'a, ReassignableTopic<'a>> [0+],
    }

    /// Partitions of one topic to move.
    pub struct ReassignableTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, ReassignablePartition<'a>> [0+],
    }

    /// A partition to move.
    pub struct ReassignablePartition<'a> {
        /// The partition.
        partition_index: i32 [0+],
        /// The brokers that are to have it; null calls off a move that is under way.
        replicas: Option<Array<'a, i32>> [0+, nullable 0+],
    }
}

message! {
    versions 0-1, flexible 0+;

    /// What became of the partitions.
    pub struct AlterPartitionReassignmentsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Whether a partition may have another number of replicas afterwards.
        allow_replication_factor_change: bool [1+, default true, ignorable],
        /// Why nothing was done at all, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// The topics.
        responses: Array<'a, ReassignableTopicResponse<'a>> [0+],
    }

    /// What became of one topic.
    pub struct ReassignableTopicResponse<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, ReassignablePartitionResponse<'a>> [0+],
    }

    /// What became of a partition.
    pub struct ReassignablePartitionResponse<'a> {
        /// The partition.
        partition_index: i32 [0+],
        /// Why it does not move, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
    }
}
