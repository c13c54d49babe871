//! PushTelemetry: metrics of a client (KIP-714). The rules are [`crate::telemetry`]'s; what is taken goes to the log.

use corelog_wire::api::push_telemetry::{PushTelemetryRequest, PushTelemetryResponse};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::front::Context;
use crate::io::{Action, LogLevel};
use crate::telemetry::{Push, Source, Telemetry};

/// Answers at once.
pub(crate) fn handle(telemetry: &mut Telemetry, cx: &mut Context<'_>, source: &Source<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<PushTelemetryRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let push = Push {
        id: request.client_instance_id,
        subscription_id: request.subscription_id,
        is_terminating: request.terminating,
        codec: request.compression_type,
        metrics: request.metrics,
    };
    let now_ms = cx.now.monotonic_us / 1_000;
    let error_code = match telemetry.push(&push, source, cx.config.telemetry_bytes_max, now_ms) {
        Ok(said) => {
            cx.actions.extend(said.map(|message| Action::Log { level: LogLevel::Info, message }));
            ErrorCode::NONE
        }
        Err(error_code) => error_code,
    };
    call.to.answer(&PushTelemetryResponse { error_code, ..Default::default() })
}
