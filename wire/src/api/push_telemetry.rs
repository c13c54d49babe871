//! PushTelemetry: metrics of a client (KIP-714).

use crate::error_code::ErrorCode;
use crate::ids::ClientInstanceId;

request!(PushTelemetry: PushTelemetryRequest<'a> => PushTelemetryResponse);

message! {
    versions 0, flexible 0+;

    /// Metrics of a client.
    pub struct PushTelemetryRequest<'a> {
        /// The client's id.
        client_instance_id: ClientInstanceId [0+],
        /// The set of subscriptions that this answers.
        subscription_id: i32 [0+],
        /// Whether the client is about to close, so that this is its last push.
        terminating: bool [0+],
        /// The codec of the metrics, in the numbers of record batches.
        compression_type: i8 [0+],
        /// `MetricsData` of OpenTelemetry 1 in protobuf, compressed.
        metrics: &'a [u8] [0+],
    }
}

message! {
    versions 0, flexible 0+;

    /// What became of the metrics.
    pub struct PushTelemetryResponse {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why the metrics were not taken, or none.
        error_code: ErrorCode [0+],
    }
}
