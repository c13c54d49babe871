//! What a shard has to do with the other shards of its node, apart from requests: metadata, and the order of a stop.
//!
//! Invariants:
//! - The first shard tells the others what the metadata log has committed, in its order, and answers whoever proposed it
//!   when all of them have applied it.
//! - What a home asks waits until its metadata is here too, and holds up what that home asks after it, nothing else.
//! - Nothing is written back for a stop before no shard has a request under way.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use corelog_replication::controller::Rejection;
use corelog_replication::quorum::{Committed, ProposalId};

use super::{Shard, Stop};
use crate::io::{Action, Now};
use crate::mesh::{Body, FIRST, Message, Seat, ShardIndex};
use crate::quota::Used;

/// See the module's description.
pub(super) struct Peers {
    seat: Seat,
    /// What they asked and for which the metadata is not here yet, by shard.
    held: Vec<VecDeque<Body>>,
    /// The first shard: how far each shard has applied the metadata.
    applied: Vec<u64>,
    /// The first shard: proposals that are decided, but not applied everywhere; with their offsets.
    deciding: VecDeque<(u64, ProposalId, Result<(), Rejection>)>,
    /// The first shard: how many others have no request under way; another one: whether all have none.
    idle: u32,
    written_back: u32,
}

impl Peers {
    pub(super) fn new(seat: Seat, metadata_offset: u64) -> Self {
        let shards = seat.shards as usize;
        Self {
            seat,
            held: (0..shards).map(|_| VecDeque::new()).collect(),
            applied: vec![metadata_offset; shards],
            deciding: VecDeque::new(),
            idle: 0,
            written_back: 0,
        }
    }

    /// The first shard tells the others what was committed.
    pub(super) fn tell(&mut self, entry: Committed, outcome: Result<(), Rejection>, actions: &mut Vec<Action>) {
        self.applied[usize::from(FIRST.0)] = entry.offset.0;
        if let Some(proposal) = entry.proposal {
            self.deciding.push_back((entry.offset.0, proposal, outcome));
        }
        let entry = Arc::new(entry);
        for to in self.seat.others() {
            actions.push(Action::Send { to, message: Message(Body::Metadata(Arc::clone(&entry))) });
        }
    }

    /// A proposal that every shard has applied.
    fn next_decided(&mut self) -> Option<(ProposalId, Result<(), Rejection>)> {
        let everywhere = *self.applied.iter().min().expect("a node has shards");
        let (_, proposal, outcome) = self.deciding.pop_front_if(|(offset, ..)| *offset <= everywhere)?;
        Some((proposal, outcome))
    }

    /// What clients have used on the connections of this shard.
    pub(super) fn tell_used(&self, used: &Used, actions: &mut Vec<Action>) {
        let tell = |to| Action::Send { to, message: Message(Body::Used(used.copy())) };
        actions.extend(self.seat.others().map(tell));
    }

    /// This shard has no request under way.
    pub(super) fn tell_idle(&self, actions: &mut Vec<Action>) {
        if !self.seat.is_first() {
            actions.push(Action::Send { to: FIRST, message: Message(Body::Idle) });
        }
    }

    /// Whether no shard has a request under way. The first shard tells the others so when it is asked for itself.
    pub(super) fn may_write_back(&self, actions: &mut Vec<Action>) -> bool {
        if !self.seat.is_first() {
            return self.idle > 0;
        }
        if self.idle + 1 < self.seat.shards {
            return false;
        }
        let tell = |to| Action::Send { to, message: Message(Body::WriteBack) };
        actions.extend(self.seat.others().map(tell));
        true
    }

    /// This shard has written everything back.
    pub(super) fn tell_written_back(&self, actions: &mut Vec<Action>) {
        actions.push(Action::Send { to: FIRST, message: Message(Body::WrittenBack) });
    }

    /// Whether all others have.
    pub(super) fn have_written_back(&self) -> bool {
        self.written_back + 1 == self.seat.shards
    }
}

impl Shard {
    /// Takes in what another shard says.
    pub(super) fn message(&mut self, now: Now, from: ShardIndex, message: Message, actions: &mut Vec<Action>) {
        match message.0 {
            Body::Metadata(entry) => {
                let delta = self.metadata.follow(&entry);
                // The first shard keeps what came of it; it is the same here.
                let _ = self.apply_delta_or_error(delta, actions);
                actions.push(Action::Send { to: FIRST, message: Message(Body::MetadataApplied(entry.offset.0)) });
                for peer in self.seat.others() {
                    self.take_held(now, peer, actions);
                }
            }
            Body::MetadataApplied(offset) => {
                self.peers.applied[usize::from(from.0)] = offset;
                while let Some((proposal, outcome)) = self.peers.next_decided() {
                    self.with_front(now, actions, |front, cx| front.proposal_applied(cx, proposal, outcome));
                }
            }
            Body::Idle | Body::WriteBack => self.peers.idle += 1,
            Body::Used(used) => self.quotas.told(&used, now.monotonic_us),
            Body::WrittenBack => self.peers.written_back += 1,
            Body::Answered { request, answer } => {
                self.with_front(now, actions, |front, cx| front.answered(cx, from, request, answer));
            }
            Body::Available { request, bytes } => {
                self.with_front(now, actions, |front, cx| front.available(cx, from, request, bytes));
            }
            body @ (Body::Asked { .. } | Body::FetchIsDue(_) | Body::Forget(_)) => {
                self.peers.held[usize::from(from.0)].push_back(body);
                self.take_held(now, from, actions);
            }
        }
    }

    /// Does what another shard has asked, as far as the metadata is here.
    fn take_held(&mut self, now: Now, from: ShardIndex, actions: &mut Vec<Action>) {
        let here = self.metadata.image().offset().0;
        let may_go = |body: &mut Body| !matches!(body, Body::Asked { metadata_offset, .. } if *metadata_offset > here);
        // Who still asks when everything is being written back has been given up before.
        let is_too_late = !matches!(self.stop, Stop::Running | Stop::Answering { .. } | Stop::OthersAnswering);
        while let Some(body) = self.peers.held[usize::from(from.0)].pop_front_if(may_go) {
            if is_too_late {
                continue;
            }
            self.with_front(now, actions, |front, cx| match body {
                Body::Asked { request, what, .. } => front.asked(cx, request, what),
                Body::FetchIsDue(request) => front.share_is_due(cx, request),
                Body::Forget(request) => front.forget_share(cx, request),
                _ => unreachable!("nothing else is held"),
            });
        }
    }
}
