//! Produce: appends record batches to partitions.
//!
//! - 3: transactional id; records of format 2. Versions 0 to 2 are advertised but not served.
//! - 5: log start offset in the response.
//! - 7: zstd allowed (KIP-110).
//! - 8: which records were bad, and why (KIP-467).
//! - 9: flexible.
//! - 10: the current leader and its address where the broker is not it (KIP-951).
//! - 11: TRANSACTION_ABORTABLE may be answered (KIP-890).
//! - 12: adds partitions to the transaction implicitly (KIP-890).
//! - 13: topic ids instead of names (KIP-516).

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::TopicId;

request!(Produce: ProduceRequest<'a> => ProduceResponse<'r>);

message! {
    versions 3-13, flexible 9+;

    /// Record batches for partitions.
    pub struct ProduceRequest<'a> {
        /// The transaction the records belong to, or null.
        transactional_id: Option<&'a str> [3+, nullable 3+],
        /// Who must have the records before the answer: 0 nobody (there is no answer), 1 the leader, -1 the whole ISR.
        acks: i16 [0+],
        /// How long the ISR may take, in milliseconds.
        timeout_ms: i32 [0+],
        /// The topics.
        topic_data: Array<'a, TopicProduceData<'a>> [0+],
    }

    /// Record batches for partitions of one topic.
    pub struct TopicProduceData<'a> {
        /// The topic's name.
        name: &'a str [0-12, ignorable],
        /// The topic's id.
        topic_id: TopicId [13+, ignorable],
        /// The partitions.
        partition_data: Array<'a, PartitionProduceData<'a>> [0+],
    }

    /// Record batches for one partition.
    pub struct PartitionProduceData<'a> {
        /// The partition.
        index: i32 [0+],
        /// The batches, as a part of the frame.
        records: Option<&'a [u8]> [0+, nullable 0+],
    }
}

message! {
    versions 3-13, flexible 9+;

    /// What became of the batches.
    pub struct ProduceResponse<'a> {
        /// The topics.
        responses: Array<'a, TopicProduceResponse<'a>> [0+],
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// Where the leaders named in the partitions are.
        node_endpoints: Array<'a, NodeEndpoint<'a>> [10+, tag 0],
    }

    /// What became of the batches for one topic.
    pub struct TopicProduceResponse<'a> {
        /// The topic's name.
        name: &'a str [0-12, ignorable],
        /// The topic's id.
        topic_id: TopicId [13+, ignorable],
        /// The partitions.
        partition_responses: Array<'a, PartitionProduceResponse<'a>> [0+],
    }

    /// What became of the batches for one partition.
    pub struct PartitionProduceResponse<'a> {
        /// The partition.
        index: i32 [0+],
        /// Why nothing was appended, or none.
        error_code: ErrorCode [0+],
        /// The offset of the first record; -1 with an error.
        base_offset: i64 [0+],
        /// When the broker appended the records, where the topic's timestamps are those; otherwise -1.
        log_append_time_ms: i64 [2+, default -1, ignorable],
        /// The partition's log start offset.
        log_start_offset: i64 [5+, default -1, ignorable],
        /// The records for whose sake the batch was refused.
        record_errors: Array<'a, BatchIndexAndErrorMessage<'a>> [8+, ignorable],
        /// What is wrong with them in common, or null.
        error_message: Option<&'a str> [8+, nullable 8+, ignorable],
        /// The leader, where this broker is not it.
        current_leader: LeaderIdAndEpoch [10+, tag 0],
    }

    /// A record for whose sake a batch was refused.
    pub struct BatchIndexAndErrorMessage<'a> {
        /// The record's place in the batch.
        batch_index: i32 [8+],
        /// What is wrong with it, or null.
        batch_index_error_message: Option<&'a str> [8+, nullable 8+],
    }

    /// Who leads a partition.
    pub struct LeaderIdAndEpoch {
        /// The leader's broker id, or -1.
        leader_id: i32 [10+, default -1],
        /// Its leader epoch, or -1.
        leader_epoch: i32 [10+, default -1],
    }

    /// Where a broker is.
    pub struct NodeEndpoint<'a> {
        /// The broker's id.
        node_id: i32 [10+],
        /// Its host name.
        host: &'a str [10+],
        /// Its port.
        port: i32 [10+],
        /// Its rack, or null.
        rack: Option<&'a str> [10+, nullable 10+],
    }
}
