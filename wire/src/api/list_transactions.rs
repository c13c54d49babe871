//! ListTransactions: the transactional producers that a broker coordinates (KIP-664).
//!
//! - 1: by how long they have been open (KIP-994).
//! - 2: by a pattern of the transactional id (KIP-1152).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(ListTransactions: ListTransactionsRequest<'a> => ListTransactionsResponse<'r>);

message! {
    versions 0-2, flexible 0+;

    /// Which transactional ids to list.
    pub struct ListTransactionsRequest<'a> {
        /// The states to list; all if it is empty.
        state_filters: Array<'a, &'a str> [0+],
        /// The producer ids to list; all if it is empty.
        producer_id_filters: Array<'a, i64> [0+],
        /// Only transactions that have been open for longer, in milliseconds; all if it is negative.
        duration_filter: i64 [1+, default -1],
        /// A regular expression for the transactional ids to list; null or empty for all.
        transactional_id_pattern: Option<&'a str> [2+, nullable 2+],
    }
}

message! {
    versions 0-2, flexible 0+;

    /// The transactional ids.
    pub struct ListTransactionsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why nothing is listed, or none.
        error_code: ErrorCode [0+],
        /// The states of the request that do not exist.
        unknown_state_filters: Array<'a, &'a str> [0+],
        /// The transactional ids.
        transaction_states: Array<'a, TransactionState<'a>> [0+],
    }

    /// A transactional id.
    pub struct TransactionState<'a> {
        /// The transactional id.
        transactional_id: &'a str [0+],
        /// The producer's id.
        producer_id: i64 [0+],
        /// The state's name.
        transaction_state: &'a str [0+],
    }
}
