//! DescribeProducers: the idempotent and transactional producers that partitions remember (KIP-664).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(DescribeProducers: DescribeProducersRequest<'a> => DescribeProducersResponse<'r>);

message! {
    versions 0, flexible 0+;

    /// The partitions whose producers to describe.
    pub struct DescribeProducersRequest<'a> {
        /// The topics.
        topics: Array<'a, TopicRequest<'a>> [0+],
    }

    /// Partitions of one topic.
    pub struct TopicRequest<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partition_indexes: Array<'a, i32> [0+],
    }
}

message! {
    versions 0, flexible 0+;

    /// The producers.
    pub struct DescribeProducersResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The topics.
        topics: Array<'a, TopicResponse<'a>> [0+],
    }

    /// Partitions of one topic.
    pub struct TopicResponse<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, PartitionResponse<'a>> [0+],
    }

    /// The producers of a partition.
    pub struct PartitionResponse<'a> {
        /// The partition.
        partition_index: i32 [0+],
        /// Why they are not described, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// The producers.
        active_producers: Array<'a, ProducerState> [0+],
    }

    /// A producer.
    pub struct ProducerState {
        /// Its id.
        producer_id: i64 [0+],
        /// Its epoch.
        producer_epoch: i32 [0+],
        /// The sequence number of its last record; -1 if there is none.
        last_sequence: i32 [0+],
        /// The timestamp of its last record, in milliseconds since 1970; -1 if there is none.
        last_timestamp: i64 [0+],
        /// The epoch of the coordinator that wrote its last transaction marker; -1 if there is none.
        coordinator_epoch: i32 [0+],
        /// Where its open transaction begins; -1 if none is open.
        current_txn_start_offset: i64 [0+],
    }
}
