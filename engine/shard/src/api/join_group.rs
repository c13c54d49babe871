//! JoinGroup: the answer leaves when the group's next generation is complete, or at once with an error.

use alloc::format;
use alloc::vec::Vec;

use corelog_wire::api::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use corelog_wire::error_code::ErrorCode;

use super::groups::{check_name, locate, not_here};
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::connection::RequestId;
use crate::coordinator::Coordinator;
use crate::coordinator::group::{JoinAnswer, Joining};
use crate::front::Context;

/// The first version in which dynamic members are told their id before they join (KIP-394).
const FIRST_WITH_KNOWN_IDS: i16 = 4;
/// The first version whose answer may have no protocol.
const FIRST_WITHOUT_PROTOCOL: i16 = 7;
/// The first version in which a leader may be told that there is nothing to assign (KIP-814).
const FIRST_WITH_SKIPPED_ASSIGNMENT: i16 = 9;

/// A member that waits for its group.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
}

/// Joins.
pub(crate) fn handle(
    coordinator: &mut Coordinator,
    cx: &mut Context<'_>,
    waiter: RequestId,
    call: &Call<'_>,
) -> Outcome {
    let request = match call.decode::<JoinGroupRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.protocols.len()) {
        return Outcome::Close(reason);
    }
    let pending = Pending { to: call.to };
    let refuse = |error| pending.refuse(error, request.member_id);
    if let Err(error) = check_name(request.group_id) {
        return refuse(error);
    }
    let bounds = cx.config.groups.session_timeout_ms_min..=cx.config.groups.session_timeout_ms_max;
    if !bounds.contains(&request.session_timeout_ms) {
        return refuse(ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    let index = match locate(coordinator, cx, call, request.group_id) {
        Ok(index) => index,
        Err(reason) => return not_here(reason, refuse),
    };
    let version = call.to.version;
    let client_host = format!("/{}", call.peer);
    let joining = Joining {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        client_id: call.client_id.unwrap_or_default(),
        client_host: &client_host,
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => request.session_timeout_ms,
            own => own,
        },
        protocol_type: request.protocol_type,
        protocols: request.protocols.iter().map(|protocol| (protocol.name, protocol.metadata)).collect(),
        requires_known_member_id: version >= FIRST_WITH_KNOWN_IDS && request.group_instance_id.is_none(),
        supports_skip_assignment: version >= FIRST_WITH_SKIPPED_ASSIGNMENT,
        reason: request.reason,
        new_member_id: coordinator.draw_member_id(),
    };
    match coordinator.join(cx, index, request.group_id, joining, waiter) {
        Ok(()) => Outcome::Wait(Parked::JoinGroup(pending), Wait::default()),
        Err(error) => refuse(error),
    }
}

impl Pending {
    fn refuse(&self, error_code: ErrorCode, member_id: &str) -> Outcome {
        self.to.answer(&JoinGroupResponse {
            error_code,
            member_id,
            protocol_name: self.name(None),
            ..JoinGroupResponse::default()
        })
    }

    fn name<'a>(&self, name: Option<&'a str>) -> Option<&'a str> {
        name.or((self.to.version < FIRST_WITHOUT_PROTOCOL).then_some(""))
    }

    /// The group has decided.
    pub(crate) fn answer(self, answer: &JoinAnswer) -> Outcome {
        let members: Vec<_> = answer
            .members
            .iter()
            .map(|member| JoinGroupResponseMember {
                member_id: &member.member_id,
                group_instance_id: member.instance_id.as_deref(),
                metadata: &member.metadata,
            })
            .collect();
        self.to.answer(&JoinGroupResponse {
            error_code: answer.error,
            generation_id: answer.generation,
            protocol_type: answer.protocol_type.as_deref(),
            protocol_name: self.name(answer.protocol_name.as_deref()),
            leader: &answer.leader,
            // Earlier versions have no room for it, and it is never set for them.
            skip_assignment: answer.skip_assignment,
            member_id: &answer.member_id,
            members: (&members).into(),
            ..JoinGroupResponse::default()
        })
    }
}
