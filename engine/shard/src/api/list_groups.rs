//! ListGroups: the groups of all shards, by state and type where that is asked for.

use alloc::vec::Vec;

use corelog_wire::api::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use corelog_wire::error_code::ErrorCode;

use super::sharing::ShareAnswer;
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::coordinator::Coordinator;
use crate::coordinator::requests::Listed;
use crate::front::Context;
use crate::mesh::ShardIndex;

/// The only type of groups that there is here.
const TYPE: &str = "classic";

/// A request while other shards have not told of their groups.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    awaits: Vec<ShardIndex>,
    found: Result<Vec<Listed>, ErrorCode>,
}

/// Answers at once where there are no other shards.
pub(crate) fn handle(coordinator: &mut Coordinator, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<ListGroupsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.states_filter.len() + request.types_filter.len()) {
        return Outcome::Close(reason);
    }
    let has = |filter: &corelog_wire::array::Array<'_, &str>, name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
    };
    let has_type =
        request.types_filter.is_empty() || request.types_filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(TYPE));
    let found = coordinator.list(cx).map(|mut groups| {
        groups.retain(|listed| has_type && has(&request.states_filter, listed.state.name()));
        groups
    });
    if call.is_share {
        return Outcome::Share(ShareAnswer::ListGroups(found));
    }
    let pending = Pending { to: call.to, awaits: cx.seat.others().collect(), found };
    if pending.awaits.is_empty() {
        return pending.answer();
    }
    let wait = Wait { shares: pending.awaits.clone(), weight: call.body.remaining() * 2, ..Wait::default() };
    Outcome::Wait(Parked::ListGroups(pending), wait)
}

impl Pending {
    /// Another shard has told of its groups. Returns whether the answer is complete.
    pub(crate) fn joined(&mut self, from: ShardIndex, found: Result<Vec<Listed>, ErrorCode>) -> bool {
        self.awaits.retain(|shard| *shard != from);
        match (&mut self.found, found) {
            (Ok(groups), Ok(more)) => groups.extend(more),
            (found @ Ok(_), Err(error)) => *found = Err(error),
            (Err(_), _) => {}
        }
        self.awaits.is_empty()
    }

    /// Answers.
    pub(crate) fn answer(self) -> Outcome {
        let groups = match &self.found {
            Ok(groups) => groups,
            Err(error_code) => {
                return self
                    .to
                    .answer(&ListGroupsResponse { error_code: *error_code, ..ListGroupsResponse::default() });
            }
        };
        let rows: Vec<_> = groups
            .iter()
            .map(|it| ListedGroup {
                group_id: &it.group,
                protocol_type: &it.protocol_type,
                group_state: it.state.name(),
                group_type: TYPE,
            })
            .collect();
        self.to.answer(&ListGroupsResponse { groups: (&rows).into(), ..ListGroupsResponse::default() })
    }
}
