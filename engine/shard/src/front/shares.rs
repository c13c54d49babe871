//! Requests that several shards work on: what a home asks of others, and what others ask of this shard.
//!
//! A request of another shard goes through the same handlers as one of this shard's own; it has no connection here, so what
//! comes of it goes to its home at once. Produce requests wait for room in the same queue as this shard's connections.

use bytes::Bytes;

use super::{Context, Front, Producer};
use crate::api::fetch::shares::{Ask, take};
use crate::api::sharing::ShareAnswer;
use crate::api::{Call, NOBODY, Outcome, Parked};
use crate::connection::RequestId;
use crate::io::{Action, ConnectionId};
use crate::limits;
use crate::mesh::{Answer, Asked, Body, Message, ShardIndex};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use corelog_wire::api_key::ApiKey;

/// The frames of this shard's connections that other shards have and have not answered, with their bytes.
///
/// A connection holds little of what it has asked others for, and there are thousands; so all of it together is bounded.
#[derive(Debug, Default)]
pub(super) struct LentFrames {
    frames: BTreeMap<(RequestId, ShardIndex), usize>,
    bytes: usize,
}

impl LentFrames {
    /// Asks another shard to do its share of a request, or all of it.
    pub(super) fn lend(
        &mut self,
        cx: &mut Context<'_>,
        owner: ShardIndex,
        request: RequestId,
        peer: IpAddr,
        frame: &Bytes,
    ) {
        // Members may wait for their group for minutes, and nobody keeps their frames meanwhile.
        let is_kept = !super::has_key(frame, ApiKey::JoinGroup) && !super::has_key(frame, ApiKey::SyncGroup);
        let bytes = if is_kept { frame.len() } else { 0 };
        let before = self.frames.insert((request, owner), bytes);
        assert!(before.is_none(), "a shard is asked once");
        self.bytes += bytes;
        ask(cx, owner, request, Asked::Frame { frame: frame.clone(), peer });
    }

    /// A shard has answered.
    fn answered(&mut self, owner: ShardIndex, request: RequestId) {
        self.bytes -= self.frames.remove(&(request, owner)).unwrap_or(0);
    }

    /// Whether no further produce request is to be taken up.
    pub(super) fn are_too_many(&self, cx: &Context<'_>) -> bool {
        let share = cx.config.memory.frames / limits::LENT_FRAMES_SHARE / u64::from(cx.seat.shards);
        self.bytes >= usize::try_from(share).unwrap_or(usize::MAX).max(limits::LENT_FRAMES_BYTES_MIN)
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }
}

/// Asks another shard to work on a request of this one.
fn ask(cx: &mut Context<'_>, owner: ShardIndex, request: RequestId, what: Asked) {
    let metadata_offset = cx.metadata.image().offset().0;
    send(cx, owner, Body::Asked { request, metadata_offset, what });
}

/// Asks other shards for records.
pub(super) fn ask_for_records(cx: &mut Context<'_>, request: RequestId, asks: Vec<(ShardIndex, Ask)>) {
    for (owner, ask_for) in asks {
        match ask_for {
            Ask::Share(share) => ask(cx, owner, request, Asked::Fetch(share)),
            Ask::Due => send(cx, owner, Body::FetchIsDue(request)),
        }
    }
}

/// Nobody waits for a share any more.
pub(super) fn forget(cx: &mut Context<'_>, owner: ShardIndex, request: RequestId) {
    send(cx, owner, Body::Forget(request));
}

/// Tells the home of a fetch how many bytes there are for it here.
pub(super) fn tell(cx: &mut Context<'_>, request: RequestId, bytes: u64) {
    send(cx, request.connection.shard(), Body::Available { request, bytes });
}

fn send(cx: &mut Context<'_>, to: ShardIndex, body: Body) {
    cx.actions.push(Action::Send { to, message: Message(body) });
}

impl Front {
    /// Another shard asks for this one's share of a request, or for all of it.
    pub(crate) fn asked(&mut self, cx: &mut Context<'_>, request: RequestId, what: Asked) {
        match what {
            Asked::Fetch(share) => {
                let outcome = take(cx, share);
                self.settle_share(cx, request, &Bytes::new(), outcome);
            }
            Asked::Frame { frame, peer } if super::has_key(&frame, ApiKey::Produce) => {
                if self.wait_for_room.is_empty() && cx.logs.can_accept(0) {
                    self.handle(cx, request, peer, &frame);
                } else {
                    self.shares_without_room.insert(request, (None, frame));
                    self.wait_for_room.push_back(Producer::Share(request));
                }
            }
            Asked::Frame { frame, peer } => self.handle(cx, request, peer, &frame),
        }
    }

    /// There may be room for the produce request of another shard that stands at the head.
    pub(super) fn go_on_with_share(&mut self, cx: &mut Context<'_>, request: RequestId) {
        let (unfinished, frame) = self.shares_without_room.remove(&request).expect("the caller has seen it");
        assert_eq!(self.wait_for_room.pop_front(), Some(Producer::Share(request)), "it was its turn");
        match unfinished {
            None => self.handle(cx, request, NOBODY, &frame),
            Some(unfinished) => {
                let mut call = Call::decode_header(&frame).expect("it was decoded before");
                call.is_share = true;
                let outcome = unfinished.go_on(cx, &call);
                self.settle_share(cx, request, &frame, outcome);
            }
        }
    }

    /// Does what a handler decided about a request of another shard.
    pub(super) fn settle_share(&mut self, cx: &mut Context<'_>, id: RequestId, frame: &Bytes, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Answer(frame) => Answer::Whole(frame),
            Outcome::Share(answer) => Answer::Share(answer),
            Outcome::Close(reason) => Answer::Close(reason),
            Outcome::Silent | Outcome::Elsewhere(_) => unreachable!("whoever asks knows better whom to ask"),
            Outcome::NoRoom(unfinished) => {
                self.wait_for_room.push_front(Producer::Share(id));
                self.shares_without_room.insert(id, (Some(unfinished), frame.clone()));
                return;
            }
            Outcome::Wait(parked, wait) => {
                let is_fetch = matches!(parked, Parked::Fetch(_));
                self.park(id, parked, wait);
                if is_fetch {
                    self.begin_share(cx, id);
                }
                return;
            }
        };
        send(cx, id.connection.shard(), Body::Answered { request: id, answer });
    }

    /// A share of a fetch was taken up: it may be due, or have something to tell.
    fn begin_share(&mut self, cx: &mut Context<'_>, id: RequestId) {
        let Some(Parked::Fetch(pending)) = self.purgatory.get_mut(id) else { unreachable!("it was just parked") };
        if pending.is_due() || self.is_stopping {
            self.fetch_is_due(cx, id);
        } else if let Some(bytes) = pending.news_for_home() {
            tell(cx, id, bytes);
        }
    }

    /// Reads for a share that is due; what it brings goes to its home.
    pub(super) fn read_share(&mut self, cx: &mut Context<'_>, id: RequestId) {
        if let Some(outcome) = self.read(cx, id) {
            self.settle_share(cx, id, &Bytes::new(), outcome);
        }
    }

    /// The home of a fetch waits no longer.
    pub(crate) fn share_is_due(&mut self, cx: &mut Context<'_>, request: RequestId) {
        if let Some(Parked::Fetch(pending)) = self.purgatory.get_mut(request)
            && !pending.is_reading()
        {
            self.fetch_is_due(cx, request);
        }
    }

    /// Nobody waits for the share of a fetch any more.
    pub(crate) fn forget_share(&mut self, cx: &mut Context<'_>, request: RequestId) {
        self.wait_for_memory.retain(|waiting| *waiting != request);
        if let Some(Parked::Fetch(pending)) = self.purgatory.take(request) {
            self.read_bytes -= pending.held_bytes();
            self.serve_who_waits_for_memory(cx);
        }
    }

    /// Another shard has worked on a request of this one.
    pub(crate) fn answered(&mut self, cx: &mut Context<'_>, from: ShardIndex, request: RequestId, answer: Answer) {
        self.lent_frames.answered(from, request);
        let Some(parked) = self.purgatory.get_mut(request) else { return };
        let is_complete = match (parked, answer) {
            (_, Answer::Close(reason)) => {
                self.purgatory.take(request);
                return self.settle_and_flush(cx, request, Outcome::Close(reason));
            }
            (Parked::Elsewhere, Answer::Whole(whole)) => {
                self.purgatory.take(request);
                return self.settle_and_flush(cx, request, Outcome::Answer(whole));
            }
            (Parked::Produce(pending), Answer::Share(ShareAnswer::Produce(results))) => pending.joined(from, results),
            (Parked::ListOffsets(pending), Answer::Share(ShareAnswer::ListOffsets(results))) => {
                pending.joined(from, results)
            }
            (Parked::DeleteRecords(pending), Answer::Share(ShareAnswer::DeleteRecords(results))) => {
                pending.joined(from, results)
            }
            (Parked::OffsetForLeaderEpoch(pending), Answer::Share(ShareAnswer::OffsetForLeaderEpoch(results))) => {
                pending.joined(from, results)
            }
            (Parked::DescribeLogDirs(pending), Answer::Share(ShareAnswer::DescribeLogDirs(found))) => {
                pending.joined(from, found)
            }
            (Parked::OffsetFetch(pending), Answer::Share(ShareAnswer::OffsetFetch(groups))) => {
                pending.joined(from, groups)
            }
            (Parked::DescribeGroups(pending), Answer::Share(ShareAnswer::DescribeGroups(groups))) => {
                pending.joined(from, groups)
            }
            (Parked::ListGroups(pending), Answer::Share(ShareAnswer::ListGroups(groups))) => {
                pending.joined(from, groups)
            }
            (Parked::DeleteGroups(pending), Answer::Share(ShareAnswer::DeleteGroups(groups))) => {
                pending.joined(from, groups)
            }
            (Parked::DescribeProducers(pending), Answer::Share(ShareAnswer::DescribeProducers(results))) => {
                pending.joined(from, results)
            }
            (Parked::Fetch(pending), Answer::Share(ShareAnswer::Fetch(results))) => {
                self.read_bytes += pending.joined(from, results);
                if pending.has_read_all() {
                    self.answer_fetch(cx, request);
                } else if !pending.is_reading() {
                    self.fetch_is_due(cx, request);
                }
                return;
            }
            (parked, answer) => unreachable!("{answer:?} is no answer for {parked:?}"),
        };
        if is_complete {
            self.answer_complete(cx, request);
        }
    }

    /// The first connection that waited for others to answer, when they have answered enough.
    pub(super) fn next_with_frames_back(&mut self, cx: &Context<'_>) -> Option<ConnectionId> {
        while !self.lent_frames.are_too_many(cx) {
            let id = self.wait_for_others.pop_front()?;
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.dequeue();
                return Some(id);
            }
        }
        None
    }

    /// Another shard has so many bytes for a fetch that waits.
    pub(crate) fn available(&mut self, cx: &mut Context<'_>, from: ShardIndex, request: RequestId, bytes: u64) {
        if let Some(Parked::Fetch(pending)) = self.purgatory.get_mut(request)
            && pending.available_at(from, bytes)
            && !pending.is_reading()
        {
            self.fetch_is_due(cx, request);
        }
    }
}

#[cfg(test)]
mod tests;
