//! DescribeQuorum: leader and voters of the quorum that keeps the metadata (KIP-595).
//!
//! - 1: when replicas fetched and were caught up (KIP-836).
//! - 2: directory ids, endpoints, and errors in words (KIP-853).

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::DirectoryId;

request!(DescribeQuorum: DescribeQuorumRequest<'a> => DescribeQuorumResponse<'r>);

message! {
    versions 0-2, flexible 0+;

    /// Which quorums to describe.
    pub struct DescribeQuorumRequest<'a> {
        /// The topics.
        topics: Array<'a, TopicData<'a>> [0+],
    }

    /// Partitions of one topic.
    pub struct TopicData<'a> {
        /// The topic's name.
        topic_name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, PartitionData> [0+],
    }

    /// A partition.
    pub struct PartitionData {
        /// The partition.
        partition_index: i32 [0+],
    }
}

message! {
    versions 0-2, flexible 0+;

    /// The quorums.
    pub struct DescribeQuorumResponse<'a> {
        /// Why nothing is described, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [2+, nullable 2+, default Some(""), ignorable],
        /// The topics.
        topics: Array<'a, TopicResult<'a>> [0+],
        /// The nodes of the quorum.
        nodes: Array<'a, Node<'a>> [2+],
    }

    /// The quorums of one topic.
    pub struct TopicResult<'a> {
        /// The topic's name.
        topic_name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, PartitionResult<'a>> [0+],
    }

    /// The quorum of a partition.
    pub struct PartitionResult<'a> {
        /// The partition.
        partition_index: i32 [0+],
        /// What is wrong with the partition, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [2+, nullable 2+, default Some(""), ignorable],
        /// The leader; -1 if there is none.
        leader_id: i32 [0+],
        /// The highest leader epoch that is known.
        leader_epoch: i32 [0+],
        /// The end of what is committed.
        high_watermark: i64 [0+],
        /// The voters.
        current_voters: Array<'a, ReplicaState> [0+],
        /// Those that follow without a vote.
        observers: Array<'a, ReplicaState> [0+],
    }

    /// A replica of the log.
    pub struct ReplicaState {
        /// The node.
        replica_id: i32 [0+],
        /// The directory in which its log is.
        replica_directory_id: DirectoryId [2+],
        /// The end of its log; -1 if that is not known.
        log_end_offset: i64 [0+],
        /// When it last fetched from the leader, in milliseconds since 1970; -1 if that is not known.
        last_fetch_timestamp: i64 [1+, default -1, ignorable],
        /// When it was last caught up with the leader, in milliseconds since 1970; -1 if that is not known.
        last_caught_up_timestamp: i64 [1+, default -1, ignorable],
    }

    /// A node of the quorum.
    pub struct Node<'a> {
        /// The node.
        node_id: i32 [2+],
        /// Its endpoints.
        listeners: Array<'a, Listener<'a>> [2+],
    }

    /// An endpoint of a node.
    pub struct Listener<'a> {
        /// The listener's name.
        name: &'a str [2+],
        /// The host.
        host: &'a str [2+],
        /// The port.
        port: u16 [2+],
    }
}
