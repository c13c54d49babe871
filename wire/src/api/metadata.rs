//! Metadata: describes brokers, topics and partitions.
//!
//! - 1: null asks for all topics, an empty list for none (in version 0 an empty list asks for all).
//! - 2: cluster id.
//! - 4: whether missing topics may be created.
//! - 5: offline replicas.
//! - 7: leader epoch (KIP-320).
//! - 8: authorized operations (KIP-430).
//! - 9: flexible.
//! - 10: topic ids in the response (KIP-516).
//! - 11: authorized operations of the cluster moved to DescribeCluster (KIP-700).
//! - 12: topics can be asked for by id.
//! - 13: an error of the whole response (KIP-1102).

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::TopicId;

/// What an authorized-operations field is where it was not asked for.
pub const OPERATIONS_NOT_ASKED_FOR: i32 = i32::MIN;

request!(Metadata: MetadataRequest<'a> => MetadataResponse<'r>);

message! {
    versions 0-13, flexible 9+;

    /// Which topics to describe.
    pub struct MetadataRequest<'a> {
        /// The topics; null for all of them.
        topics: Option<Array<'a, MetadataRequestTopic<'a>>> [0+, nullable 1+],
        /// Whether the broker may create the topics that are missing, if it is configured to.
        allow_auto_topic_creation: bool [4+, default true],
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool [8-10],
        /// Whether to say what the client may do with the topics.
        include_topic_authorized_operations: bool [8+],
    }

    /// A topic to describe.
    pub struct MetadataRequestTopic<'a> {
        /// The topic's id, or zero to go by name.
        topic_id: TopicId [10+, ignorable],
        /// The topic's name, or null to go by id.
        name: Option<&'a str> [0+, nullable 10+],
    }
}

message! {
    versions 0-13, flexible 9+;

    /// Brokers, topics and partitions.
    pub struct MetadataResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [3+, ignorable],
        /// The brokers that are alive.
        brokers: Array<'a, MetadataResponseBroker<'a>> [0+],
        /// The cluster's id, or null.
        cluster_id: Option<&'a str> [2+, nullable 2+, ignorable],
        /// The controller's broker id, or -1.
        controller_id: i32 [1+, default -1, ignorable],
        /// The topics.
        topics: Array<'a, MetadataResponseTopic<'a>> [0+],
        /// What the client may do with the cluster, a bit per operation; [`OPERATIONS_NOT_ASKED_FOR`] otherwise.
        cluster_authorized_operations: i32 [8-10, default OPERATIONS_NOT_ASKED_FOR],
        /// Why nothing is described, or none.
        error_code: ErrorCode [13+, ignorable],
    }

    /// A broker.
    pub struct MetadataResponseBroker<'a> {
        /// The broker's id.
        node_id: i32 [0+],
        /// Its host name.
        host: &'a str [0+],
        /// Its port.
        port: i32 [0+],
        /// Its rack, or null.
        rack: Option<&'a str> [1+, nullable 1+, ignorable],
    }

    /// A topic.
    pub struct MetadataResponseTopic<'a> {
        /// Why the topic is not described, or none.
        error_code: ErrorCode [0+],
        /// The topic's name; null for an id that is not known.
        name: Option<&'a str> [0+, nullable 12+],
        /// The topic's id; zero for a name that is not known.
        topic_id: TopicId [10+, ignorable],
        /// Whether the topic is Kafka's own.
        is_internal: bool [1+, ignorable],
        /// The partitions.
        partitions: Array<'a, MetadataResponsePartition<'a>> [0+],
        /// What the client may do with the topic, a bit per operation; [`OPERATIONS_NOT_ASKED_FOR`] otherwise.
        topic_authorized_operations: i32 [8+, default OPERATIONS_NOT_ASKED_FOR],
    }

    /// A partition.
    pub struct MetadataResponsePartition<'a> {
        /// What is wrong with the partition, or none.
        error_code: ErrorCode [0+],
        /// The partition.
        partition_index: i32 [0+],
        /// The leader's broker id, or -1.
        leader_id: i32 [0+],
        /// The leader epoch, or -1.
        leader_epoch: i32 [7+, default -1, ignorable],
        /// The brokers that have a replica.
        replica_nodes: Array<'a, i32> [0+],
        /// Those of them in sync with the leader.
        isr_nodes: Array<'a, i32> [0+],
        /// Those of them that are not there.
        offline_replicas: Array<'a, i32> [5+, ignorable],
    }
}
