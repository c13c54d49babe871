//! What the handlers of the group APIs have in common.
//!
//! A request about one group goes to the shard that coordinates it as a whole. One about several groups is everybody's who
//! has one of them: each answers for its own, and the home joins them ([`PerGroup`]).

use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::coordinator::Coordinator;
use crate::coordinator::requests::NotHere;
use crate::front::Context;
use crate::mesh::ShardIndex;

/// The partition of a group for a request about this one; otherwise what becomes of the request.
pub(super) fn locate(
    coordinator: &mut Coordinator,
    cx: &mut Context<'_>,
    call: &Call<'_>,
    group: &str,
) -> Result<i32, NotHere> {
    match coordinator.locate(cx, group) {
        // The home knew other metadata than there is now: its client looks for the coordinator again.
        Err(NotHere::Elsewhere(_)) if call.is_share => Err(NotHere::Refused(ErrorCode::NOT_COORDINATOR)),
        found => found,
    }
}

/// What becomes of a request about one group that is not served here.
pub(super) fn not_here(not_here: NotHere, refuse: impl FnOnce(ErrorCode) -> Outcome) -> Outcome {
    match not_here {
        NotHere::Elsewhere(shard) => Outcome::Elsewhere(shard),
        NotHere::Refused(error) => refuse(error),
    }
}

/// Refuses the empty name, which a group with members cannot have.
pub(super) fn check_name(group: &str) -> Result<(), ErrorCode> {
    if group.is_empty() { Err(ErrorCode::INVALID_GROUP_ID) } else { Ok(()) }
}

/// The results of a request about several groups, in its order, while other shards have not told theirs.
#[derive(Debug)]
pub(super) struct PerGroup<R> {
    is_share: bool,
    results: Vec<R>,
    /// Whose each of them is.
    owners: Vec<Owner>,
    awaits: Vec<ShardIndex>,
}

/// Who has, or had, to say what became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// This shard.
    Here,
    There(ShardIndex),
}

impl<R> PerGroup<R> {
    pub(super) fn new(is_share: bool, groups: usize) -> Self {
        Self { is_share, results: Vec::with_capacity(groups), owners: Vec::with_capacity(groups), awaits: Vec::new() }
    }

    /// The next group. `result` is told where it is, or the error that it is answered if nobody says more.
    pub(super) fn push(&mut self, found: Result<i32, NotHere>, result: impl FnOnce(Result<i32, ErrorCode>) -> R) {
        let (owner, result) = match found {
            Ok(index) => (Owner::Here, result(Ok(index))),
            Err(NotHere::Elsewhere(shard)) => (Owner::There(shard), result(Err(ErrorCode::NOT_COORDINATOR))),
            // In a share, what is wrong with a group that should be here is told too.
            Err(NotHere::Refused(error)) => (Owner::Here, result(Err(error))),
        };
        if let Owner::There(shard) = owner
            && !self.is_share
            && !self.awaits.contains(&shard)
        {
            self.awaits.push(shard);
        }
        self.owners.push(owner);
        self.results.push(result);
    }

    /// How many there are so far.
    pub(super) fn len(&self) -> usize {
        self.results.len()
    }

    /// The shards whose results are missing.
    pub(super) fn awaits(&self) -> &[ShardIndex] {
        &self.awaits
    }

    /// A result, to be filled in.
    pub(super) fn result_mut(&mut self, entry: usize) -> &mut R {
        &mut self.results[entry]
    }

    /// Another shard has told its results. Returns whether it was the last one.
    pub(super) fn joined(&mut self, from: ShardIndex, results: Vec<(usize, R)>) -> bool {
        self.awaits.retain(|shard| *shard != from);
        for (entry, result) in results {
            // Where metadata changed on the way, another shard may speak for a group that is not its own.
            if self.owners.get(entry) == Some(&Owner::There(from)) {
                self.results[entry] = result;
            }
        }
        self.awaits.is_empty()
    }

    /// In a share: what its home has to know. Otherwise the results come back, in order.
    pub(super) fn finish(self) -> Result<Vec<R>, Vec<(usize, R)>> {
        if !self.is_share {
            return Ok(self.results);
        }
        let all = self.results.into_iter().enumerate().zip(self.owners);
        Err(all.filter(|(_, owner)| *owner == Owner::Here).map(|(result, _)| result).collect())
    }
}
