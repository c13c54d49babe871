//! DescribeGroups: the state of groups, and their members.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::api::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use corelog_wire::api::metadata::OPERATIONS_NOT_ASKED_FOR;
use corelog_wire::error_code::ErrorCode;

use super::groups::PerGroup;
use super::sharing::ShareAnswer;
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::coordinator::Coordinator;
use crate::coordinator::group::{Described, DescribedMember, GroupState};
use crate::front::Context;
use crate::limits;
use crate::mesh::ShardIndex;

/// The first version in which clients know that a group may not exist (KIP-1043).
const FIRST_WITH_GROUP_ID_NOT_FOUND: i16 = 6;
/// Without an authorizer everybody may do everything: read, delete, describe, describe configs, alter configs. One bit per
/// operation, by Kafka's numbers.
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;

/// A request while other shards have not told of their groups.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    with_operations: bool,
    groups: PerGroup<Found>,
}

/// What is told of a group.
#[derive(Debug)]
pub(crate) struct Found {
    group: String,
    error: ErrorCode,
    message: Option<String>,
    state: &'static str,
    protocol_type: String,
    protocol_name: String,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    client_host: String,
    metadata: Bytes,
    assignment: Bytes,
}

/// Answers at once, unless other shards have some of the groups.
pub(crate) fn handle(coordinator: &mut Coordinator, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DescribeGroupsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.groups.len()) {
        return Outcome::Close(reason);
    }
    let mut left = limits::DESCRIBED_MEMBERS_MAX;
    let mut pending = Pending {
        to: call.to,
        with_operations: request.include_authorized_operations,
        groups: PerGroup::new(call.is_share, request.groups.len()),
    };
    for group in request.groups {
        let found = coordinator.locate(cx, group);
        pending.groups.push(found, |place| {
            let found = match place {
                Err(error) => Found::refused(group, error),
                Ok(index) => match coordinator.describe(index, group) {
                    None => Found::unknown(group, call.to.version),
                    Some(described) if described.members.len() > left => {
                        Found::refused(group, ErrorCode::UNKNOWN_SERVER_ERROR)
                    }
                    Some(described) => Found::of(group, &described),
                },
            };
            left -= found.members.len();
            found
        });
    }
    let shares = match call.is_share {
        true => Vec::new(),
        false => pending.groups.awaits().to_vec(),
    };
    if shares.is_empty() {
        return pending.answer();
    }
    let wait = Wait { shares, weight: call.body.remaining() * 2, ..Wait::default() };
    Outcome::Wait(Parked::DescribeGroups(pending), wait)
}

impl Found {
    fn refused(group: &str, error: ErrorCode) -> Self {
        Self {
            group: group.to_string(),
            error,
            message: None,
            state: "",
            protocol_type: String::new(),
            protocol_name: String::new(),
            members: Vec::new(),
        }
    }

    fn unknown(group: &str, version: i16) -> Self {
        let dead = Self { state: GroupState::Dead.name(), ..Self::refused(group, ErrorCode::NONE) };
        match version >= FIRST_WITH_GROUP_ID_NOT_FOUND {
            true => {
                let message = Some(format!("Group {group} not found."));
                Self { error: ErrorCode::GROUP_ID_NOT_FOUND, message, ..dead }
            }
            false => dead,
        }
    }

    fn of(group: &str, described: &Described<'_>) -> Self {
        Self {
            state: described.state.name(),
            protocol_type: described.protocol_type.unwrap_or_default().to_string(),
            protocol_name: described.protocol_name.unwrap_or_default().to_string(),
            members: described.members.iter().map(Member::of).collect(),
            ..Self::refused(group, ErrorCode::NONE)
        }
    }

    fn response<'r>(&'r self, members: &'r Vec<DescribedGroupMember<'r>>, with_operations: bool) -> DescribedGroup<'r> {
        DescribedGroup {
            error_code: self.error,
            error_message: self.message.as_deref(),
            group_id: &self.group,
            group_state: self.state,
            protocol_type: &self.protocol_type,
            protocol_data: &self.protocol_name,
            members: members.into(),
            authorized_operations: match with_operations && self.error.is_none() {
                true => GROUP_OPERATIONS,
                false => OPERATIONS_NOT_ASKED_FOR,
            },
        }
    }
}

impl Member {
    fn of(member: &DescribedMember<'_>) -> Self {
        Self {
            member_id: member.member_id.to_string(),
            instance_id: member.instance_id.map(ToString::to_string),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            metadata: member.metadata.clone(),
            assignment: member.assignment.clone(),
        }
    }

    fn response(&self) -> DescribedGroupMember<'_> {
        DescribedGroupMember {
            member_id: &self.member_id,
            group_instance_id: self.instance_id.as_deref(),
            client_id: &self.client_id,
            client_host: &self.client_host,
            member_metadata: &self.metadata,
            member_assignment: &self.assignment,
        }
    }
}

impl Pending {
    /// Another shard has told of its groups. Returns whether the answer is complete.
    pub(crate) fn joined(&mut self, from: ShardIndex, groups: Vec<(usize, Found)>) -> bool {
        self.groups.joined(from, groups)
    }

    /// Answers the client, or the shard whose request it is.
    pub(crate) fn answer(self) -> Outcome {
        let groups = match self.groups.finish() {
            Ok(groups) => groups,
            Err(ours) => return Outcome::Share(ShareAnswer::DescribeGroups(ours)),
        };
        let members: Vec<Vec<_>> = groups.iter().map(|it| it.members.iter().map(Member::response).collect()).collect();
        let described = groups.iter().zip(&members);
        let groups: Vec<_> = described.map(|(it, members)| it.response(members, self.with_operations)).collect();
        self.to.answer(&DescribeGroupsResponse { groups: (&groups).into(), ..DescribeGroupsResponse::default() })
    }
}
