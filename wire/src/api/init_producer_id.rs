//! InitProducerId: gives a producer its id and epoch.
//!
//! - 2: flexible.
//! - 3: a producer can ask for the next epoch of the id it has (KIP-360).
//! - 4: PRODUCER_FENCED may be answered (KIP-588).
//! - 5: TRANSACTION_ABORTABLE may be answered (KIP-890).

use crate::error_code::ErrorCode;

request!(InitProducerId: InitProducerIdRequest<'a> => InitProducerIdResponse);

message! {
    versions 0-5, flexible 2+;

    /// Who wants a producer id.
    pub struct InitProducerIdRequest<'a> {
        /// The transactional id, or null for a producer that is idempotent only.
        transactional_id: Option<&'a str> [0+, nullable 0+],
        /// After how long an idle transaction is aborted, in milliseconds.
        transaction_timeout_ms: i32 [0+],
        /// The id the producer has, or -1.
        producer_id: i64 [3+, default -1],
        /// The epoch the producer has, or -1.
        producer_epoch: i16 [3+, default -1],
    }
}

message! {
    versions 0-5, flexible 2+;

    /// The producer id.
    pub struct InitProducerIdResponse {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+, ignorable],
        /// Why there is no id, or none.
        error_code: ErrorCode [0+],
        /// The id, or -1.
        producer_id: i64 [0+, default -1],
        /// The epoch.
        producer_epoch: i16 [0+],
    }
}
