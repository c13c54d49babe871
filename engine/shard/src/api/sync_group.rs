//! SyncGroup: the answer leaves when the leader's assignment is durable.

use corelog_wire::api::sync_group::{SyncGroupRequest, SyncGroupResponse};
use corelog_wire::error_code::ErrorCode;

use super::groups::{check_name, locate, not_here};
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::connection::RequestId;
use crate::coordinator::Coordinator;
use crate::coordinator::group::{SyncAnswer, Syncing};
use crate::front::Context;

/// The first version that names the protocol's type and name, and has to (KIP-559).
const FIRST_WITH_PROTOCOL: i16 = 5;

/// A member that waits for its assignment.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
}

/// Brings the leader's assignment, or asks for one's own.
pub(crate) fn handle(
    coordinator: &mut Coordinator,
    cx: &mut Context<'_>,
    waiter: RequestId,
    call: &Call<'_>,
) -> Outcome {
    let request = match call.decode::<SyncGroupRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.assignments.len()) {
        return Outcome::Close(reason);
    }
    let pending = Pending { to: call.to };
    let refuse = |error_code| pending.to.answer(&SyncGroupResponse { error_code, ..SyncGroupResponse::default() });
    let lacks_protocol = request.protocol_type.is_none() || request.protocol_name.is_none();
    if call.to.version >= FIRST_WITH_PROTOCOL && lacks_protocol {
        return refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    if let Err(error) = check_name(request.group_id) {
        return refuse(error);
    }
    let index = match locate(coordinator, cx, call, request.group_id) {
        Ok(index) => index,
        Err(reason) => return not_here(reason, refuse),
    };
    let syncing = Syncing {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
        assignments: request.assignments.iter().map(|it| (it.member_id, it.assignment)).collect(),
    };
    match coordinator.sync(cx, index, request.group_id, syncing, waiter) {
        Ok(()) => Outcome::Wait(Parked::SyncGroup(pending), Wait::default()),
        Err(error) => refuse(error),
    }
}

impl Pending {
    /// The group has decided.
    pub(crate) fn answer(self, answer: &SyncAnswer) -> Outcome {
        self.to.answer(&SyncGroupResponse {
            error_code: answer.error,
            protocol_type: answer.protocol_type.as_deref(),
            protocol_name: answer.protocol_name.as_deref(),
            assignment: &answer.assignment,
            ..SyncGroupResponse::default()
        })
    }
}
