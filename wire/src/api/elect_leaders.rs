//! ElectLeaders: elects leaders of partitions (KIP-183, KIP-460).
//!
//! - 1: kinds of election, and an error of the whole response.
//! - 2: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

/// An election that makes the preferred replica the leader.
pub const PREFERRED_ELECTION: i8 = 0;
/// An election that takes any living replica where no replica in sync lives.
pub const UNCLEAN_ELECTION: i8 = 1;

request!(ElectLeaders: ElectLeadersRequest<'a> => ElectLeadersResponse<'r>);

message! {
    versions 0-2, flexible 2+;

    /// Which leaders to elect.
    pub struct ElectLeadersRequest<'a> {
        /// The kind of election: [`PREFERRED_ELECTION`] or [`UNCLEAN_ELECTION`].
        election_type: i8 [1+],
        /// The topics; null for all partitions of all topics.
        topic_partitions: Option<Array<'a, TopicPartitions<'a>>> [0+, nullable 0+],
        /// How long that may take, in milliseconds.
        timeout_ms: i32 [0+],
    }

    /// Partitions of one topic.
    pub struct TopicPartitions<'a> {
        /// The topic's name.
        topic: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, i32> [0+],
    }
}

message! {
    versions 0-2, flexible 2+;

    /// What came of the elections.
    pub struct ElectLeadersResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why nothing was done at all, or none.
        error_code: ErrorCode [1+],
        /// The topics.
        replica_election_results: Array<'a, ReplicaElectionResult<'a>> [0+],
    }

    /// The elections of one topic.
    pub struct ReplicaElectionResult<'a> {
        /// The topic's name.
        topic: &'a str [0+],
        /// The partitions.
        partition_result: Array<'a, PartitionResult<'a>> [0+],
    }

    /// An election.
    pub struct PartitionResult<'a> {
        /// The partition.
        partition_id: i32 [0+],
        /// Why there is no new leader, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
    }
}
