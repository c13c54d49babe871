//! DescribeTopicPartitions: describes topics and partitions, a page at a time (KIP-966).

use crate::api::metadata::OPERATIONS_NOT_ASKED_FOR;
use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::TopicId;

request!(DescribeTopicPartitions: DescribeTopicPartitionsRequest<'a> => DescribeTopicPartitionsResponse<'r>);

message! {
    versions 0, flexible 0+;

    /// Which topics to describe.
    pub struct DescribeTopicPartitionsRequest<'a> {
        /// The topics; none for all of them.
        topics: Array<'a, TopicRequest<'a>> [0+],
        /// How many partitions the response may have.
        response_partition_limit: i32 [0+, default 2_000],
        /// Where to begin; null for the first topic.
        cursor: Option<Cursor<'a>> [0+, nullable 0+],
    }

    /// A topic to describe.
    pub struct TopicRequest<'a> {
        /// The topic's name.
        name: &'a str [0+],
    }

    /// A place among the partitions, which are ordered by topic name and index.
    pub struct Cursor<'a> {
        /// The topic's name.
        topic_name: &'a str [0+],
        /// The partition.
        partition_index: i32 [0+],
    }
}

message! {
    versions 0, flexible 0+;

    /// Topics and partitions.
    pub struct DescribeTopicPartitionsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+, ignorable],
        /// The topics.
        topics: Array<'a, DescribeTopicPartitionsResponseTopic<'a>> [0+],
        /// Where the next request is to begin; null if this is the end.
        next_cursor: Option<Cursor<'a>> [0+, nullable 0+],
    }

    /// A topic.
    pub struct DescribeTopicPartitionsResponseTopic<'a> {
        /// Why the topic is not described, or none.
        error_code: ErrorCode [0+],
        /// The topic's name, or null.
        name: Option<&'a str> [0+, nullable 0+],
        /// The topic's id; zero for a name that is not known.
        topic_id: TopicId [0+, ignorable],
        /// Whether the topic is Kafka's own.
        is_internal: bool [0+, ignorable],
        /// The partitions.
        partitions: Array<'a, DescribeTopicPartitionsResponsePartition<'a>> [0+],
        /// What the client may do with the topic, a bit per operation.
        topic_authorized_operations: i32 [0+, default OPERATIONS_NOT_ASKED_FOR],
    }

    /// A partition.
    pub struct DescribeTopicPartitionsResponsePartition<'a> {
        /// What is wrong with the partition, or none.
        error_code: ErrorCode [0+],
        /// The partition.
        partition_index: i32 [0+],
        /// The leader's broker id, or -1.
        leader_id: i32 [0+],
        /// The leader epoch, or -1.
        leader_epoch: i32 [0+, default -1, ignorable],
        /// The brokers that have a replica.
        replica_nodes: Array<'a, i32> [0+],
        /// Those of them in sync with the leader.
        isr_nodes: Array<'a, i32> [0+],
        /// Those of them outside the ISR that could lead without loss, or null.
        eligible_leader_replicas: Option<Array<'a, i32>> [0+, nullable 0+],
        /// Those that were among the former until they went down uncleanly, or null.
        last_known_elr: Option<Array<'a, i32>> [0+, nullable 0+],
        /// Those that are not there.
        offline_replicas: Array<'a, i32> [0+, ignorable],
    }
}
