//! LeaveGroup: takes members out of their group.

use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::api::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use corelog_wire::error_code::ErrorCode;

use super::groups::{check_name, locate, not_here};
use super::{Call, Outcome};
use crate::coordinator::Coordinator;
use crate::coordinator::group::Leaving;
use crate::front::Context;

/// The first version in which several members leave at once.
const FIRST_WITH_MEMBERS: i16 = 3;

/// Answers at once.
pub(crate) fn handle(coordinator: &mut Coordinator, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<LeaveGroupRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.members.len()) {
        return Outcome::Close(reason);
    }
    let refuse = |error_code| call.to.answer(&LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() });
    if let Err(error) = check_name(request.group_id) {
        return refuse(error);
    }
    let index = match locate(coordinator, cx, call, request.group_id) {
        Ok(index) => index,
        Err(reason) => return not_here(reason, refuse),
    };
    let has_members = call.to.version >= FIRST_WITH_MEMBERS;
    let leaving: Vec<Leaving<'_>> = match has_members {
        true => request
            .members
            .iter()
            .map(|it| Leaving { member_id: it.member_id, instance_id: it.group_instance_id, reason: it.reason })
            .collect(),
        false => vec![Leaving { member_id: request.member_id, instance_id: None, reason: None }],
    };
    match coordinator.leave(cx, index, request.group_id, &leaving) {
        Err(error) => refuse(error),
        Ok(errors) if !has_members => refuse(errors.first().copied().unwrap_or(ErrorCode::NONE)),
        Ok(errors) => {
            let members: Vec<_> = leaving
                .iter()
                .zip(errors)
                .map(|(it, error_code)| MemberResponse {
                    member_id: it.member_id,
                    group_instance_id: it.instance_id,
                    error_code,
                })
                .collect();
            call.to.answer(&LeaveGroupResponse { members: (&members).into(), ..LeaveGroupResponse::default() })
        }
    }
}
