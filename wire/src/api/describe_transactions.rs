//! DescribeTransactions: the states of transactional producers (KIP-664).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(unserved DescribeTransactions: DescribeTransactionsRequest<'a> => DescribeTransactionsResponse<'r>);

message! {
    versions 0, flexible 0+;

    /// The transactional ids to describe.
    pub struct DescribeTransactionsRequest<'a> {
        /// The transactional ids.
        transactional_ids: Array<'a, &'a str> [0+],
    }
}

message! {
    versions 0, flexible 0+;

    /// The states.
    pub struct DescribeTransactionsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The states, one for each id.
        transaction_states: Array<'a, TransactionState<'a>> [0+],
    }

    /// The state of a transactional id.
    pub struct TransactionState<'a> {
        /// Why it is not described, or none.
        error_code: ErrorCode [0+],
        /// The transactional id.
        transactional_id: &'a str [0+],
        /// The state's name.
        transaction_state: &'a str [0+],
        /// How long a transaction may take, in milliseconds.
        transaction_timeout_ms: i32 [0+],
        /// When the open transaction began, in milliseconds since 1970; -1 if none is open.
        transaction_start_time_ms: i64 [0+],
        /// The producer's id.
        producer_id: i64 [0+],
        /// The producer's epoch.
        producer_epoch: i16 [0+],
        /// The partitions that the open transaction has written to.
        topics: Array<'a, TopicData<'a>> [0+],
    }

    /// Partitions of one topic.
    pub struct TopicData<'a> {
        /// The topic's name.
        topic: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, i32> [0+],
    }
}
