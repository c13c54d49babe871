//! GetTelemetrySubscriptions: which metrics a client is to push (KIP-714). The rules are [`crate::telemetry`]'s.

use alloc::vec::Vec;

use corelog_wire::api::get_telemetry_subscriptions::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::ClientInstanceId;

use super::{Call, Outcome};
use crate::front::Context;
use crate::telemetry::{Source, Telemetry};

/// zstd, lz4, gzip, snappy and none, in the numbers of record batches.
const CODECS: [i8; 5] = [4, 3, 1, 2, 0];

/// Answers at once. Returns the id that the client has from now on, too.
pub(crate) fn handle(
    telemetry: &mut Telemetry,
    cx: &Context<'_>,
    source: &Source<'_>,
    call: &Call<'_>,
) -> (Outcome, Option<ClientInstanceId>) {
    let request = match call.decode::<GetTelemetrySubscriptionsRequest>() {
        Ok(request) => request,
        Err(reason) => return (Outcome::Close(reason), None),
    };
    let wanted = match telemetry.subscribe(request.client_instance_id, source, cx.now.monotonic_us / 1_000) {
        Ok(wanted) => wanted,
        Err(error_code) => {
            let refused = GetTelemetrySubscriptionsResponse { error_code, ..Default::default() };
            return (call.to.answer(&refused), None);
        }
    };
    let metrics: Vec<&str> = wanted.metrics.iter().map(|metric| metric.as_str()).collect();
    let response = GetTelemetrySubscriptionsResponse {
        error_code: ErrorCode::NONE,
        client_instance_id: wanted.id,
        subscription_id: wanted.subscription_id,
        accepted_compression_types: (&CODECS).into(),
        push_interval_ms: i32::try_from(wanted.interval_ms).unwrap_or(i32::MAX),
        telemetry_max_bytes: i32::try_from(cx.config.telemetry_bytes_max).unwrap_or(i32::MAX),
        delta_temporality: true,
        requested_metrics: (&metrics).into(),
        ..Default::default()
    };
    (call.to.answer(&response), Some(wanted.id))
}
