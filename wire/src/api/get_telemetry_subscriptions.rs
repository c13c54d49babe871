//! GetTelemetrySubscriptions: which metrics a client is to push (KIP-714).

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::ClientInstanceId;

request!(GetTelemetrySubscriptions: GetTelemetrySubscriptionsRequest => GetTelemetrySubscriptionsResponse<'r>);

message! {
    versions 0, flexible 0+;

    /// A client that asks what to push.
    pub struct GetTelemetrySubscriptionsRequest {
        /// The client's id; zero if it has none yet.
        client_instance_id: ClientInstanceId [0+],
    }
}

message! {
    versions 0, flexible 0+;

    /// What the client is to push.
    pub struct GetTelemetrySubscriptionsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why there is no subscription, or none.
        error_code: ErrorCode [0+],
        /// The client's id from now on, if it had none; zero otherwise.
        client_instance_id: ClientInstanceId [0+],
        /// Identifies this set of subscriptions.
        subscription_id: i32 [0+],
        /// The codecs that may be used, in the numbers of record batches, the preferred one first.
        accepted_compression_types: Array<'a, i8> [0+],
        /// The time between two pushes, in milliseconds.
        push_interval_ms: i32 [0+],
        /// The most bytes of a push.
        telemetry_max_bytes: i32 [0+],
        /// Whether counters are pushed as differences.
        delta_temporality: bool [0+],
        /// Prefixes of the names of the metrics that are wanted: none for no metrics, an empty one for all of them.
        requested_metrics: Array<'a, &'a str> [0+],
    }
}
