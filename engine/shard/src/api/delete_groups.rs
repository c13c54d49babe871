//! DeleteGroups: groups without members go, with their offsets. The answer leaves when that is durable.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_wire::api::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use corelog_wire::error_code::ErrorCode;

use super::groups::PerGroup;
use super::sharing::ShareAnswer;
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us};
use crate::connection::RequestId;
use crate::coordinator::{Coordinator, Waiter};
use crate::front::Context;
use crate::mesh::ShardIndex;

/// A request whose tombstones are being written.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    groups: PerGroup<(String, ErrorCode)>,
    /// Entries whose tombstones are not durable.
    unwritten: Vec<usize>,
}

/// Has the tombstones written.
pub(crate) fn handle(
    coordinator: &mut Coordinator,
    cx: &mut Context<'_>,
    waiter: RequestId,
    call: &Call<'_>,
) -> Outcome {
    let request = match call.decode::<DeleteGroupsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.groups_names.len()) {
        return Outcome::Close(reason);
    }
    let mut pending = Pending {
        to: call.to,
        groups: PerGroup::new(call.is_share, request.groups_names.len()),
        unwritten: Vec::new(),
    };
    for group in request.groups_names {
        let entry = pending.groups.len();
        let found = coordinator.locate(cx, group);
        let mut is_later = false;
        pending.groups.push(found, |place| {
            let waiter = Waiter { request: waiter, entry };
            let result = place.and_then(|index| coordinator.delete_group(cx, index, group, waiter));
            is_later = result.is_ok();
            (group.to_string(), result.err().unwrap_or(ErrorCode::NONE))
        });
        if is_later {
            pending.unwritten.push(entry);
        }
    }
    let shares = match call.is_share {
        true => Vec::new(),
        false => pending.groups.awaits().to_vec(),
    };
    if shares.is_empty() && pending.unwritten.is_empty() {
        return pending.answer();
    }
    let wait = Wait {
        deadline_us: Some(deadline_us(cx.now.monotonic_us, cx.config.groups.commit_timeout_ms)),
        shares,
        weight: call.body.remaining() * 2,
        ..Wait::default()
    };
    Outcome::Wait(Parked::DeleteGroups(pending), wait)
}

impl Pending {
    fn is_complete(&self) -> bool {
        self.unwritten.is_empty() && self.groups.awaits().is_empty()
    }

    /// The tombstones of a group are durable, or will not be. Returns whether the answer is complete.
    pub(crate) fn written(&mut self, entry: usize, result: Result<(), ErrorCode>) -> bool {
        self.unwritten.retain(|it| *it != entry);
        if let Err(error) = result {
            self.groups.result_mut(entry).1 = error;
        }
        self.is_complete()
    }

    /// Another shard has told of its groups. Returns whether the answer is complete.
    pub(crate) fn joined(&mut self, from: ShardIndex, groups: Vec<(usize, (String, ErrorCode))>) -> bool {
        self.groups.joined(from, groups);
        self.is_complete()
    }

    /// It takes too long. The tombstones may become durable later.
    pub(crate) fn expired(mut self) -> Outcome {
        for entry in core::mem::take(&mut self.unwritten) {
            self.groups.result_mut(entry).1 = ErrorCode::COORDINATOR_NOT_AVAILABLE;
        }
        self.answer()
    }

    /// Answers the client, or the shard whose request it is.
    pub(crate) fn answer(self) -> Outcome {
        let groups = match self.groups.finish() {
            Ok(groups) => groups,
            Err(ours) => return Outcome::Share(ShareAnswer::DeleteGroups(ours)),
        };
        let results: Vec<_> = groups
            .iter()
            .map(|(group_id, error_code)| DeletableGroupResult {
                group_id,
                error_code: *error_code,
                error_message: None,
            })
            .collect();
        self.to.answer(&DeleteGroupsResponse { results: (&results).into(), ..DeleteGroupsResponse::default() })
    }
}
