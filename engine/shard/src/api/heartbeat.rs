//! Heartbeat: a member is alive, and hears whether its group rebalances.

use corelog_wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use corelog_wire::error_code::ErrorCode;

use super::groups::{check_name, locate, not_here};
use super::{Call, Outcome};
use crate::coordinator::Coordinator;
use crate::front::Context;

/// Answers at once.
pub(crate) fn handle(coordinator: &mut Coordinator, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<HeartbeatRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let answer = |error_code| call.to.answer(&HeartbeatResponse { error_code, ..HeartbeatResponse::default() });
    if let Err(error) = check_name(request.group_id) {
        return answer(error);
    }
    let index = match locate(coordinator, cx, call, request.group_id) {
        Ok(index) => index,
        Err(reason) => {
            // As in Kafka: whoever the group consists of will be known soon, and nobody has to join again for that.
            let loading = |error| error == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
            return not_here(reason, |error| answer(if loading(error) { ErrorCode::NONE } else { error }));
        }
    };
    let (member, instance) = (request.member_id, request.group_instance_id);
    answer(coordinator.heartbeat(cx, index, request.group_id, member, instance, request.generation_id))
}
