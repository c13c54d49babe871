//! UnregisterBroker: takes a broker that is gone out of the cluster's metadata (KIP-631).

use crate::error_code::ErrorCode;

request!(UnregisterBroker: UnregisterBrokerRequest => UnregisterBrokerResponse<'r>);

message! {
    versions 0, flexible 0+;

    /// The broker to take out.
    pub struct UnregisterBrokerRequest {
        /// The broker.
        broker_id: i32 [0+],
    }
}

message! {
    versions 0, flexible 0+;

    /// What became of it.
    pub struct UnregisterBrokerResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why it is still there, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
    }
}
