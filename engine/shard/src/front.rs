//! Everything between a request frame and the log: connections, the order of answers, and who waits for what.
//!
//! Routes only: a frame to its handler, an event to the requests that wait for it, an answer to its connection. The
//! order of answers is in [`crate::connection`], waiting in [`crate::purgatory`], each API in its file under
//! [`crate::api`], which [`dispatch`] leads to; reading for fetches is in [`reading`], and what concerns other shards in [`shares`].
//!
//! Invariants:
//! - A request is taken up in the order of its connection, answered once, and forgotten when its connection closes.
//! - Produce requests are taken up only while the log has room, those that wait for it in the order of their arrival;
//!   nobody else waits for room.
//! - A fetch reads records when its answer is the next to leave its connection, and only while the memory for reads
//!   lasts. What cannot be sent yet is not read yet.
//! - One call does a bounded amount of work; what is left over makes [`Front::next_deadline_us`] the present.

mod dispatch;
mod reading;
mod shares;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;
use corelog_replication::metadata::TopicImage;
use corelog_wire::api_key::ApiKey;
use corelog_wire::ids::TopicId;

use crate::api::alter_client_quotas::UndecidedQuotas;
use crate::api::config_changes::UndecidedConfigs;
use crate::api::init_producer_id::ProducerIds;
use crate::api::metadata::TopicCreation;
use crate::api::produce::Unfinished;
use crate::api::{Call, Outcome, Parked, Wait};
use crate::config::BrokerConfig;
use crate::connection::{Connection, RequestId};
use crate::coordinator::Coordinator;
use crate::coordinator::numbers::GroupNumbers;
use crate::fetch_session::FetchSessions;
use crate::io::{Action, ConnectionId, FileId, LogLevel, Now};
use crate::limits;
use crate::log::{Fetched, Logs, Progress};
use crate::mesh::Seat;
use crate::metadata::Metadata;
use crate::metrics::{FrontFigures, Requests};
use crate::purgatory::{AwaitedRead, Purgatory};
use crate::quota::{Kind as QuotaKind, Quotas};
use crate::telemetry::Telemetry;
use shares::LentFrames;

/// Whose answers may be large: one at a time for clients that do not read.
const LARGE_ANSWERS: [ApiKey; 8] = [
    ApiKey::Metadata,
    ApiKey::DescribeConfigs,
    ApiKey::OffsetFetch,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::DescribeProducers,
    ApiKey::ListConfigResources,
    ApiKey::DescribeClientQuotas,
];

/// What the front works with, lent to it for one call.
pub struct Context<'a> {
    /// The time of the event.
    pub now: Now,
    /// The shard's place in its node.
    pub seat: Seat,
    /// The partitions of this shard.
    pub logs: &'a mut Logs,
    /// The cluster's metadata.
    pub metadata: &'a mut Metadata,
    /// What clients use of their quotas.
    pub(crate) quotas: &'a mut Quotas,
    /// The broker's configuration.
    pub config: &'a BrokerConfig,
    /// What the host has to do.
    pub actions: &'a mut Vec<Action>,
}

impl Context<'_> {
    fn log(&mut self, level: LogLevel, message: String) {
        self.actions.push(Action::Log { level, message });
    }
}

/// Who this broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id, as clients see it.
    pub cluster_id: String,
    /// This node's id.
    pub node_id: i32,
}

/// What handlers share and keep from one request to the next.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) sessions: FetchSessions,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) creation: TopicCreation,
    pub(crate) undecided_configs: UndecidedConfigs,
    pub(crate) undecided_quotas: UndecidedQuotas,
}

/// Who waits for room in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Producer {
    /// A connection of this shard.
    Connection(ConnectionId),
    /// A request of another shard.
    Share(RequestId),
}

/// See the module's description.
#[derive(Debug)]
pub struct Front {
    shared: Shared,
    coordinator: Coordinator,
    telemetry: Telemetry,
    connections: BTreeMap<ConnectionId, Connection>,
    purgatory: Purgatory<Parked>,
    /// When to look whether a connection has been idle for too long. One entry per connection, moved when it is due.
    idle_checks: BTreeSet<(u64, ConnectionId)>,
    /// Connections whose backlog may go on.
    ready: VecDeque<ConnectionId>,
    /// Connections whose next request is a produce request that the log has no room for, and such requests of other shards.
    wait_for_room: VecDeque<Producer>,
    /// Connections whose next answer may be large, while too much is being sent.
    wait_for_sending: VecDeque<ConnectionId>,
    /// Connections whose next request is a produce request, while other shards have too many frames of this one.
    wait_for_others: VecDeque<ConnectionId>,
    /// Frames that other shards have.
    lent_frames: LentFrames,
    /// Of those that wait for room, the requests that have been taken up already, with their frames.
    unfinished: BTreeMap<ConnectionId, (RequestId, Unfinished, Bytes)>,
    /// When connections are listened to again that are held back.
    held_back: BTreeSet<(u64, ConnectionId)>,
    /// Of other shards, those that wait for room, with what was begun.
    shares_without_room: BTreeMap<RequestId, (Option<Unfinished>, Bytes)>,
    /// Fetches whose turn it is, but for which there is no memory.
    wait_for_memory: VecDeque<RequestId>,
    /// Bytes that fetches have asked the disk for, and those of large answers that are not sent yet.
    read_bytes: usize,
    /// Connections to which batches are sent from where they stand in their files.
    lending: usize,
    requests: Requests,
    is_stopping: bool,
}

impl Front {
    /// A front without connections. The seed decides about session ids and topic ids.
    pub fn new(config: &BrokerConfig, seed: u64, identity: Identity) -> Self {
        Self {
            shared: Shared {
                identity,
                sessions: FetchSessions::new(config.fetch_sessions_max, seed),
                producer_ids: ProducerIds::default(),
                creation: TopicCreation::new(seed),
                undecided_configs: UndecidedConfigs::default(),
                undecided_quotas: UndecidedQuotas::default(),
            },
            coordinator: Coordinator::new(seed),
            telemetry: Telemetry::new(seed),
            connections: BTreeMap::new(),
            purgatory: Purgatory::new(),
            idle_checks: BTreeSet::new(),
            ready: VecDeque::new(),
            wait_for_room: VecDeque::new(),
            wait_for_sending: VecDeque::new(),
            wait_for_others: VecDeque::new(),
            lent_frames: LentFrames::default(),
            unfinished: BTreeMap::new(),
            held_back: BTreeSet::new(),
            shares_without_room: BTreeMap::new(),
            wait_for_memory: VecDeque::new(),
            read_bytes: 0,
            lending: 0,
            requests: Requests::default(),
            is_stopping: false,
        }
    }

    /// A subscription to metrics of clients has these settings from now on.
    pub(crate) fn set_subscription(&mut self, name: &str, configs: &BTreeMap<String, String>) {
        self.telemetry.set(name, configs);
    }

    /// A client connected.
    pub fn connection_opened(&mut self, cx: &mut Context<'_>, id: ConnectionId, peer: SocketAddr) {
        let now_us = cx.now.monotonic_us;
        let before = self.connections.insert(id, Connection::new(peer, now_us));
        assert!(before.is_none(), "the host uses a connection's id once");
        if let Some(idle_us) = idle_us(cx.config) {
            self.idle_checks.insert((now_us.saturating_add(idle_us), id));
        }
        if self.is_stopping {
            self.close(cx, id);
        }
    }

    /// A connection is gone, with everything it asked for.
    pub fn connection_closed(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        self.forget_requests(cx, id);
        let Some(mut connection) = self.connections.remove(&id) else { return };
        self.read_bytes -= connection.sent();
        self.held_back.remove(&(connection.held_back_until_us(), id));
        connection.instance().into_iter().for_each(|instance| self.telemetry.forget(instance));
        self.lending -= usize::from(connection.is_lending());
        if connection.is_queued() {
            self.ready.retain(|queued| *queued != id);
            self.wait_for_room.retain(|queued| *queued != Producer::Connection(id));
            self.wait_for_sending.retain(|queued| *queued != id);
            self.wait_for_others.retain(|queued| *queued != id);
        }
        self.serve_who_waits_for_memory(cx);
    }

    /// Everything that was answered on this connection has left.
    pub fn drained(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.read_bytes -= connection.sent();
        self.lending -= usize::from(connection.end_lending());
        self.flush(cx, id);
        self.serve_who_waits_for_memory(cx);
    }

    /// An answer could not be sent to its end, because of this file.
    pub fn reply_failed(&mut self, cx: &mut Context<'_>, id: ConnectionId, file: FileId) {
        let Some(lent) = self.connections.get(&id).and_then(|connection| connection.lent(file)) else { return };
        cx.logs.distrust_segment(lent.partition, lent.segment);
    }

    /// A whole request frame arrived.
    pub fn frame(&mut self, cx: &mut Context<'_>, id: ConnectionId, frame: Bytes) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.is_closing()) else {
            return;
        };
        if self.is_stopping {
            return;
        }
        connection.touch(cx.now.monotonic_us);
        let has_backlog = connection.has_backlog();
        if !connection.keep(frame) {
            let message = format!("{} sent {} requests after the pause", connection.peer(), limits::BACKLOG_FRAMES_MAX);
            cx.log(LogLevel::Warn, message);
            self.close(cx, id);
            return;
        }
        if !has_backlog && self.take_up(cx, id) {
            self.flush(cx, id);
        } else {
            self.update_input(cx, id);
        }
    }

    /// Commits, reads and lookups came to an end, partitions have records or are gone.
    pub fn progress(&mut self, cx: &mut Context<'_>, progress: &Progress) {
        if progress.acks {
            // What was committed is there before anybody hears of it.
            self.coordinator.settle(cx);
            while let Some(id) = self.purgatory.next_acknowledged(|ack| cx.logs.reached(ack)) {
                let is_complete = match self.purgatory.get_mut(id) {
                    Some(Parked::Produce(pending)) => pending.acknowledged(),
                    Some(Parked::DeleteRecords(pending)) => pending.acknowledged(),
                    Some(other) => unreachable!("{other:?} waits for no commit"),
                    None => false,
                };
                if is_complete {
                    self.answer_complete(cx, id);
                }
            }
        }
        for partition in &progress.advanced {
            let watchers: Vec<_> = self.purgatory.watchers(*partition).collect();
            for (id, index) in watchers {
                let Some(Parked::Fetch(pending)) = self.purgatory.get_mut(id) else { continue };
                if pending.advanced(cx.logs, index) {
                    self.fetch_is_due(cx, id);
                } else if let Some(bytes) = pending.news_for_home() {
                    shares::tell(cx, id, bytes);
                }
            }
        }
        for partition in &progress.gone {
            let watchers: Vec<_> = self.purgatory.watchers(*partition).collect();
            for (id, _) in watchers {
                self.fetch_is_due(cx, id);
            }
        }
        for (read, result) in &progress.reads {
            if self.coordinator.read_ended(cx, *read, result) {
                continue;
            }
            let Some(AwaitedRead { id, index, bytes }) = self.purgatory.read_ended(*read) else { continue };
            let Some(Parked::Fetch(pending)) = self.purgatory.get_mut(id) else {
                // Nobody waits for it any more; until now it took memory.
                self.read_bytes -= bytes;
                if let Ok(Fetched::InPlace(found)) = result {
                    cx.logs.close_file(found.range.file, cx.actions);
                }
                continue;
            };
            if pending.read_ended(index, bytes, result) {
                self.answer_fetch(cx, id);
            }
        }
        for (read, result) in &progress.lookups {
            let Some(AwaitedRead { id, index, .. }) = self.purgatory.read_ended(*read) else { continue };
            let Some(Parked::ListOffsets(pending)) = self.purgatory.get_mut(id) else { continue };
            if pending.lookup_ended(index, result) {
                self.answer_complete(cx, id);
            }
        }
        self.serve_who_waits_for_memory(cx);
        self.reply_to_members(cx);
    }

    /// Deadlines may have passed, and work may be left over from before.
    pub fn expire(&mut self, cx: &mut Context<'_>) {
        while let Some(id) = self.purgatory.next_expired(cx.now.monotonic_us) {
            if let Some(Parked::Fetch(pending)) = self.purgatory.get_mut(id) {
                if !pending.is_reading() {
                    self.fetch_is_due(cx, id);
                } else if pending.give_up_shares() {
                    self.answer_fetch(cx, id);
                }
                continue;
            }
            let Some(parked) = self.purgatory.take(id) else { continue };
            let outcome = dispatch::expired(cx, parked);
            self.settle_and_flush(cx, id, outcome);
        }
        self.let_go(cx);
        self.close_idle(cx);
    }

    /// When [`Self::expire`] and [`Self::end_of_turn`] are to be called at the latest, on the monotonic clock. 0 if
    /// there is work left over.
    pub fn next_deadline_us(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        let idle = self.idle_checks.first().map(|(at_us, _)| *at_us);
        let held_back = self.held_back.first().map(|(until_us, _)| *until_us);
        let groups = self.coordinator.next_deadline_us();
        [self.purgatory.next_deadline_us(), idle, held_back, groups].into_iter().flatten().min()
    }

    /// All events of a turn are in: requests that had to wait for room or for their turn are taken up.
    pub fn end_of_turn(&mut self, cx: &mut Context<'_>) {
        for _ in 0..limits::REQUESTS_PER_TURN_MAX {
            // One request of each connection in turn.
            let next = match self.next_with_room(cx) {
                Some(Producer::Share(request)) => {
                    self.go_on_with_share(cx, request);
                    continue;
                }
                Some(Producer::Connection(id)) => Some(id),
                None => {
                    self.next_to_be_sent(cx).or_else(|| self.next_with_frames_back(cx)).or_else(|| self.next_ready())
                }
            };
            let Some(id) = next else { break };
            if self.unfinished.contains_key(&id) {
                self.go_on(cx, id);
                self.flush(cx, id);
            } else if self.take_up(cx, id) {
                self.flush(cx, id);
            } else {
                self.update_input(cx, id);
            }
        }
        self.coordinator.end_of_turn(cx);
        self.reply_to_members(cx);
        self.serve_who_waits_for_memory(cx);
    }

    /// Stops: long polls are answered with what there is, what is in flight is answered when it is done, nothing new is
    /// taken up. Connections are closed once they have their answers.
    pub fn stop(&mut self, cx: &mut Context<'_>) {
        self.is_stopping = true;
        self.coordinator.stop(cx);
        self.reply_to_members(cx);
        for id in self.purgatory.ids() {
            if matches!(self.purgatory.get_mut(id), Some(Parked::Fetch(_))) {
                self.fetch_is_due(cx, id);
            }
        }
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            self.connections.get_mut(&id).expect("it was listed").drop_backlog();
            self.flush(cx, id);
        }
    }

    /// A topic was deleted: what groups have committed for it goes.
    pub(crate) fn topic_deleted(&mut self, topic: &Arc<TopicImage>) {
        self.coordinator.topic_deleted(topic);
    }

    /// The groups that this shard coordinates.
    pub(crate) fn groups(&self) -> impl Iterator<Item = GroupNumbers<'_>> {
        self.coordinator.numbers()
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.purgatory.is_empty() && self.unfinished.is_empty() && self.shares_without_room.is_empty()
    }

    /// What was counted of the requests.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What goes on now.
    pub(crate) fn figures(&self) -> FrontFigures {
        FrontFigures {
            connections: self.connections.len() as u64,
            requests_waiting: self.purgatory.len() as u64,
            produce_waiting_for_room: self.wait_for_room.len() as u64,
            fetches_waiting_for_memory: self.wait_for_memory.len() as u64,
            connections_waiting_to_be_sent: self.wait_for_sending.len() as u64,
            read_bytes: self.read_bytes as u64,
            lent_bytes: self.lent_frames.bytes() as u64,
            lending_connections: self.lending as u64,
        }
    }

    /// Takes up the next frame of a connection's backlog, if it may be. False if it may not, or if there is none.
    fn take_up(&mut self, cx: &mut Context<'_>, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let Some(frame) = connection.next_frame() else { return false };
        let budget = usize::try_from(cx.config.memory.reads).unwrap_or(usize::MAX);
        if connection.is_sending() && self.read_bytes >= budget {
            // Its client has to take what it was answered before; then it is its turn again.
            return false;
        }
        let is_large = LARGE_ANSWERS.iter().any(|api| has_key(frame, *api));
        if is_large && self.read_bytes >= budget.saturating_mul(2) {
            // Its answer may be large. Clients that do not read are closed before long.
            if connection.enqueue() {
                self.wait_for_sending.push_back(id);
            }
            return false;
        }
        if has_key(frame, ApiKey::Produce) {
            if self.lent_frames.are_too_many(cx) {
                if connection.enqueue() {
                    self.wait_for_others.push_back(id);
                }
                return false;
            }
            // In the order of arrival: who comes while others wait for room waits behind them.
            let is_next = self.wait_for_room.front().is_none_or(|first| *first == Producer::Connection(id));
            if !is_next || !cx.logs.can_accept(0) {
                if connection.enqueue() {
                    self.wait_for_room.push_back(Producer::Connection(id));
                }
                return false;
            }
            if self.wait_for_room.front() == Some(&Producer::Connection(id)) {
                self.wait_for_room.pop_front();
                connection.dequeue();
            }
        }
        let frame = connection.take_frame().expect("it was there");
        let number = connection.begin();
        let peer = connection.peer().ip();
        self.handle(cx, RequestId { connection: id, number }, peer, &frame);
        true
    }

    fn answer_fetch(&mut self, cx: &mut Context<'_>, id: RequestId) {
        let outcome = self.finish_fetch(cx, id);
        self.settle_and_flush(cx, id, outcome);
    }

    /// Goes on with the request at the head of those that wait for room.
    fn go_on(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let (request, unfinished, frame) = self.unfinished.remove(&id).expect("the caller has seen it");
        let connection = self.connections.get_mut(&id).expect("unfinished requests go with their connection");
        assert_eq!(self.wait_for_room.pop_front(), Some(Producer::Connection(id)), "it was its turn");
        connection.dequeue();
        connection.block(false);
        let call = Call::decode_header(&frame).expect("it was decoded before");
        let outcome = unfinished.go_on(cx, &call);
        self.settle(cx, request, &frame, outcome);
    }

    /// Does what a handler decided, but for sending: that is [`Self::flush`]'s.
    fn settle(&mut self, cx: &mut Context<'_>, id: RequestId, frame: &Bytes, outcome: Outcome) {
        if !cx.seat.is_home_of(id.connection) {
            return self.settle_share(cx, id, frame, outcome);
        }
        let Some(connection) = self.connections.get_mut(&id.connection).filter(|connection| !connection.is_closing())
        else {
            return;
        };
        match outcome {
            Outcome::Answer(mut answer) => {
                answer.hold_back(cx.quotas.throttle_ms(connection.client(), QuotaKind::Request, cx.now.monotonic_us));
                let throttle_ms = answer.throttle_ms();
                connection.answer(id.number, answer.pieces);
                self.hold_back(cx, id.connection, throttle_ms);
            }
            Outcome::Silent => {
                // A produce request without an answer: its client is held back, and nobody tells it.
                let throttle_ms = cx.quotas.throttle_ms(connection.client(), QuotaKind::Produce, cx.now.monotonic_us);
                connection.answer(id.number, Vec::new());
                self.hold_back(cx, id.connection, throttle_ms);
            }
            Outcome::Close(reason) => {
                let message = format!("closing the connection from {}: {reason}", connection.peer());
                cx.log(LogLevel::Info, message);
                self.close(cx, id.connection);
            }
            Outcome::Share(_) => unreachable!("the request is this shard's own"),
            Outcome::Elsewhere(shard) => {
                connection.set_weight(id.number, frame.len());
                self.lent_frames.lend(cx, shard, id, connection.peer().ip(), frame);
                self.park(id, Parked::Elsewhere, Wait::default());
            }
            Outcome::Wait(mut parked, wait) => {
                connection.set_weight(id.number, wait.weight);
                for owner in &wait.shares {
                    self.lent_frames.lend(cx, *owner, id, connection.peer().ip(), frame);
                }
                if let Parked::Fetch(pending) = &mut parked
                    && !connection.is_next(id.number)
                {
                    pending.outdate();
                }
                self.park(id, parked, wait);
            }
            Outcome::NoRoom(unfinished) => {
                connection.set_weight(id.number, frame.len());
                connection.block(true);
                assert!(connection.enqueue(), "a request that was taken up stands in no queue");
                self.wait_for_room.push_front(Producer::Connection(id.connection));
                self.unfinished.insert(id.connection, (id, unfinished, frame.clone()));
            }
        }
    }

    /// Listens no more to a client for so long.
    fn hold_back(&mut self, cx: &Context<'_>, id: ConnectionId, throttle_ms: u32) {
        let until_us = cx.now.monotonic_us.saturating_add(u64::from(throttle_ms) * 1_000);
        let Some(connection) = self.connections.get_mut(&id).filter(|_| throttle_ms > 0) else { return };
        let before_us = connection.held_back_until_us();
        if until_us > before_us {
            self.held_back.remove(&(before_us, id));
            self.held_back.insert((until_us, id));
            connection.hold_back(until_us);
        }
    }

    /// Listens again to the clients whose time is over.
    fn let_go(&mut self, cx: &mut Context<'_>) {
        while let Some(&(until_us, id)) = self.held_back.first() {
            if until_us > cx.now.monotonic_us {
                break;
            }
            self.held_back.pop_first();
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.hold_back(0);
            self.flush(cx, id);
        }
    }

    fn settle_and_flush(&mut self, cx: &mut Context<'_>, id: RequestId, outcome: Outcome) {
        self.settle(cx, id, &Bytes::new(), outcome);
        self.flush(cx, id.connection);
    }

    fn park(&mut self, id: RequestId, parked: Parked, wait: Wait) {
        self.purgatory.park(id, parked, wait.deadline_us);
        if let Some(ack) = wait.ack {
            self.purgatory.wait_for_ack(id, ack);
        }
        for (partition, index) in wait.partitions {
            self.purgatory.watch(id, partition, index);
        }
        for (read, index) in wait.lookups {
            self.purgatory.wait_for_read(read, AwaitedRead { id, index, bytes: 0 });
        }
        for proposal in wait.proposals {
            self.purgatory.wait_for_proposal(id, proposal);
        }
    }

    /// The first whose produce request the log has room for now.
    fn next_with_room(&mut self, cx: &mut Context<'_>) -> Option<Producer> {
        while let Some(first) = self.wait_for_room.front().copied() {
            match first {
                Producer::Share(request) => {
                    if let Some((unfinished, _)) = self.shares_without_room.get(&request) {
                        let next_bytes = unfinished.as_ref().map_or(0, |unfinished| unfinished.next_bytes);
                        return cx.logs.can_accept(next_bytes).then_some(first);
                    }
                }
                Producer::Connection(id) => {
                    if let Some((_, unfinished, _)) = self.unfinished.get(&id) {
                        return cx.logs.can_accept(unfinished.next_bytes).then_some(first);
                    }
                    match self.connections.get_mut(&id) {
                        Some(connection) if connection.next_frame().is_some() => {
                            return cx.logs.can_accept(0).then_some(first);
                        }
                        Some(connection) => connection.dequeue(),
                        None => {}
                    }
                }
            }
            self.wait_for_room.pop_front();
        }
        None
    }

    /// The first connection whose large answer is not too much any more.
    fn next_to_be_sent(&mut self, cx: &Context<'_>) -> Option<ConnectionId> {
        let budget = usize::try_from(cx.config.memory.reads).unwrap_or(usize::MAX);
        while self.read_bytes < budget.saturating_mul(2) {
            let id = self.wait_for_sending.pop_front()?;
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.dequeue();
                return Some(id);
            }
        }
        None
    }

    /// The first connection whose backlog may go on.
    fn next_ready(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.dequeue();
                return Some(id);
            }
        }
        None
    }

    /// Sends the answers whose turn it is, reads for a fetch whose turn has come, and steers the input.
    fn flush(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        loop {
            let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.is_closing()) else {
                return;
            };
            while let Some(pieces) = connection.take_answer() {
                self.requests.answered(connection.answered(), cx.now.monotonic_us);
                connection.touch(cx.now.monotonic_us);
                if !pieces.is_empty() {
                    self.read_bytes += connection.sending(&pieces);
                    cx.actions.push(Action::Reply { connection: id, pieces });
                }
            }
            let Some(number) = connection.oldest() else { break };
            let oldest = RequestId { connection: id, number };
            let Some(outcome) = self.read(cx, oldest) else { break };
            self.settle(cx, oldest, &Bytes::new(), outcome);
        }
        let connection = self.connections.get_mut(&id).expect("the loop looked it up");
        if self.is_stopping && connection.is_idle() {
            self.close(cx, id);
            return;
        }
        if connection.next_frame().is_some() && connection.enqueue() {
            self.ready.push_back(id);
        }
        self.update_input(cx, id);
    }

    fn update_input(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.change_of_input() {
            Some(true) => cx.actions.push(Action::PauseInput(id)),
            Some(false) => cx.actions.push(Action::ResumeInput(id)),
            None => {}
        }
    }

    /// Closes a connection: what it asked for is forgotten, what was replied is still sent.
    fn close(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.is_closing()) else {
            return;
        };
        connection.start_closing();
        cx.actions.push(Action::Close(id));
        self.forget_requests(cx, id);
    }

    fn forget_requests(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        self.wait_for_memory.retain(|request| request.connection != id);
        self.unfinished.remove(&id);
        while let Some((request, parked)) = self.purgatory.take_any_of(id) {
            if let Parked::Fetch(pending) = parked {
                for owner in pending.awaited() {
                    shares::forget(cx, owner, request);
                }
                self.read_bytes -= pending.held_bytes();
                for found in pending.in_place() {
                    cx.logs.close_file(found.range.file, cx.actions);
                }
            }
        }
    }

    fn close_idle(&mut self, cx: &mut Context<'_>) {
        let now_us = cx.now.monotonic_us;
        let Some(idle_us) = idle_us(cx.config) else { return };
        while let Some(&(at_us, id)) = self.idle_checks.first() {
            if at_us > now_us {
                break;
            }
            self.idle_checks.pop_first();
            let Some(connection) = self.connections.get(&id).filter(|connection| !connection.is_closing()) else {
                continue;
            };
            let is_idle = connection.is_idle() && connection.held_back_until_us() == 0;
            let last_us = if is_idle { connection.last_active_us() } else { now_us };
            let due_us = last_us.saturating_add(idle_us);
            if due_us > now_us {
                self.idle_checks.insert((due_us, id));
                continue;
            }
            let message = format!("closing the connection from {}: idle for too long", connection.peer());
            cx.log(LogLevel::Debug, message);
            self.close(cx, id);
        }
    }

    /// Connections, parked requests, entries of queues, bytes being read: for tests of the bounds.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize, usize, usize) {
        let queues =
            self.ready.len() + self.wait_for_room.len() + self.wait_for_sending.len() + self.wait_for_memory.len();
        let queues = queues + self.wait_for_others.len() + self.lent_frames.len();
        let (parked, ..) = self.purgatory.size();
        (self.connections.len(), parked, queues, self.read_bytes)
    }
}

/// Draws from a seeded generator (SplitMix64): identifiers that hardly ever meet.
pub(crate) fn draw_topic_id(state: &mut u64) -> TopicId {
    let mut next = || {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let (high, low) = (next(), next());
    TopicId((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

/// Whether a frame is a request to this API, as far as its first two bytes say.
fn has_key(frame: &Bytes, api: ApiKey) -> bool {
    frame.first_chunk().is_some_and(|key| i16::from_be_bytes(*key) == api.key())
}

fn idle_us(config: &BrokerConfig) -> Option<u64> {
    Some(config.connections_idle_ms_max?.saturating_mul(1_000))
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
