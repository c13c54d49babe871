//! One core's decisions: routes events to the front, the logs and the metadata, and lets each finish its turn.
//!
//! Owns nothing but the parts and the order between them. The rules are in the parts; between shards they are in
//! [`peers`].
//!
//! Invariants: metadata is applied to the logs of every shard before whoever proposed it is answered; commits are cut at
//! the end of a turn, after everything that the turn brought was appended; a stop answers clients first, on all shards, then
//! writes back, then closes the journals, and only then says so in the superblock.

mod peers;

use crate::config::{BrokerConfig, ConnectionBounds, TopicConfig, is_inert, is_inert_for_groups};
pub use crate::coordinator::numbers::{CommittedOffset, GroupNumbers};
use crate::front::{Context, Front};
use crate::io::{Action, Event, IoError, LogLevel, Now, OpId};
use crate::log::{Logs, Volume};
use crate::mesh::Seat;
use crate::metadata::{Applied, Metadata};
use crate::quota::Quotas;
use crate::superblock::Superblock;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::IpAddr;
use corelog_replication::controller::{CONNECTION_CREATION_RATE, Rejection};
use corelog_replication::ids::{BrokerId, PartitionIndex};
use corelog_replication::metadata::{
    ApplyError, ConfigResource, MetadataChange, MetadataDelta, MetadataImage, MetadataRecord, QuotaName, TopicImage,
};
use corelog_replication::quorum::{ProposalId, ProposeError};

use peers::Peers;

/// How often one turn goes round while its parts give each other work. What is left then comes in the next turn.
const ROUNDS_MAX: usize = 8;

/// How long a stop waits for answers that clients still wait for.
const STOP_ANSWERS_US: u64 = 5_000_000;

/// How long a stop tries to write back where there is no space.
const STOP_WITHOUT_SPACE_US: u64 = 5_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Running,
    Answering {
        until_us: u64,
    },
    /// This shard has answered; other shards may still ask it for their share.
    OthersAnswering,
    WritingBack {
        since_us: u64,
    },
    /// The first shard waits for the others.
    OthersWritingBack,
    ClosingMetadata,
    MarkingClean {
        op: OpId,
    },
    Done,
}

/// See the module's description.
pub struct Shard {
    seat: Seat,
    config: BrokerConfig,
    node: BrokerId,
    logs: Logs,
    metadata: Metadata,
    front: Front,
    peers: Peers,
    quotas: Quotas,
    /// The first shard's.
    superblock: Option<Superblock>,
    stop: Stop,
    has_more: bool,
    /// The host does not know the bounds for connections that are in force.
    bounds_changed: bool,
}

impl Shard {
    /// Puts the recovered parts together.
    pub(crate) fn new(
        seat: Seat,
        config: BrokerConfig,
        logs: Logs,
        metadata: Metadata,
        mut front: Front,
        superblock: Option<Superblock>,
    ) -> Self {
        assert_eq!(superblock.is_some(), seat.is_first(), "the first shard keeps the superblock");
        let node = BrokerId(config.node_id);
        let peers = Peers::new(seat, metadata.image().offset().0);
        let quotas = Quotas::new(metadata.image(), &config, seat.shards);
        for (resource, configs) in metadata.image().resource_configs() {
            if let ConfigResource::ClientMetrics(name) = resource {
                front.set_subscription(name, configs);
            }
        }
        Self {
            seat,
            config,
            node,
            logs,
            metadata,
            front,
            peers,
            quotas,
            superblock,
            stop: Stop::Running,
            has_more: false,
            bounds_changed: true,
        }
    }

    /// Its place among the shards of the node.
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// The logs, for tests and tools.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Connections and requests, to see what was counted of them.
    pub(crate) fn front(&self) -> &Front {
        &self.front
    }

    /// The metadata, for tests and tools.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The groups that this shard coordinates, for whoever watches the broker. There may be very many of them, with very
    /// many offsets.
    pub fn groups(&self) -> impl Iterator<Item = GroupNumbers<'_>> {
        self.front.groups()
    }

    /// Proposes metadata behind the front's back, for tests and tools; the next end of turn takes it on.
    ///
    /// # Errors
    /// Why nothing of it will happen.
    pub fn propose(&mut self, records: &[MetadataRecord]) -> Result<ProposalId, ProposeError> {
        self.metadata.propose(records)
    }

    /// The parts, for tests of how they work together.
    #[cfg(test)]
    pub(crate) fn parts(&mut self) -> (&mut Front, &mut Logs, &mut Metadata, &mut BrokerConfig) {
        (&mut self.front, &mut self.logs, &mut self.metadata, &mut self.config)
    }

    /// Takes in one event. Bounded work, never blocks.
    pub fn handle(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Completed { op, result } => self.completed(now, op, result, actions),
            Event::FreeSpace { bytes, total_bytes } => {
                let ours = bytes / u64::from(self.seat.shards);
                self.logs.set_free_bytes(Volume { total_bytes, free_bytes: bytes }, ours, actions);
            }
            Event::Tick => {}
            Event::Message { from, message } => self.message(now, from, message, actions),
            Event::Stop => {
                if self.stop == Stop::Running {
                    self.stop = Stop::Answering { until_us: now.monotonic_us + STOP_ANSWERS_US };
                    self.with_front(now, actions, Front::stop);
                }
            }
            Event::ConnectionOpened { connection, peer } => {
                self.with_front(now, actions, |front, cx| front.connection_opened(cx, connection, peer));
            }
            Event::ConnectionClosed { connection } => {
                self.with_front(now, actions, |front, cx| front.connection_closed(cx, connection));
            }
            Event::ReplyFailed { connection, file } => {
                self.with_front(now, actions, |front, cx| front.reply_failed(cx, connection, file));
            }
            Event::Drained { connection } => {
                self.with_front(now, actions, |front, cx| front.drained(cx, connection));
            }
            Event::Frame { connection, frame } => {
                self.with_front(now, actions, |front, cx| front.frame(cx, connection, frame));
            }
        }
    }

    /// Finishes the turn: after every drained batch of events, and when the deadline has passed.
    pub fn end_of_turn(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.has_more = true;
        for _ in 0..ROUNDS_MAX {
            self.metadata.turn(now, self.logs.ids_mut(), actions);
            for applied in self.metadata.take_applied() {
                self.apply(now, applied, actions);
            }
            self.logs.note_reached(now, actions);
            self.with_front(now, actions, Front::expire);
            let progress = self.logs.take_progress();
            if !progress.is_empty() {
                self.with_front(now, actions, |front, cx| front.progress(cx, &progress));
            }
            self.with_front(now, actions, Front::end_of_turn);
            self.logs.end_of_turn(now, actions);
            if !self.logs.has_progress() && !self.metadata.has_applied() && !self.metadata.has_proposed() {
                self.has_more = false;
                break;
            }
        }
        if let Some(used) = self.quotas.take_untold(now.monotonic_us) {
            self.peers.tell_used(&used, actions);
        }
        self.has_more |= self.logs.end_reencoding();
        if core::mem::take(&mut self.bounds_changed) && self.seat.is_first() {
            let ip_rates = ip_rates(self.metadata.image());
            actions.push(Action::LimitConnections(ConnectionBounds { ip_rates, ..self.config.connections.clone() }));
        }
        self.stop_turn(now, actions);
    }

    /// Whether the host has to say how long [`Self::handle`] and [`Self::end_of_turn`] took.
    pub fn measures_time(&self) -> bool {
        self.quotas.measures_time()
    }

    /// The call before took so long: it counts for those whose requests were taken up in it.
    pub fn time_passed(&mut self, now: Now, took_us: u64) {
        self.quotas.time_passed(took_us, now.monotonic_us);
    }

    /// When the host must call [`Self::end_of_turn`] even if nothing happens, in microseconds of the monotonic clock.
    pub fn next_deadline_us(&self) -> Option<u64> {
        if self.has_more {
            return Some(0);
        }
        let stop = if let Stop::Answering { until_us } = self.stop { Some(until_us) } else { None };
        let parts = [
            self.front.next_deadline_us(),
            self.quotas.next_deadline_us(),
            self.logs.next_deadline_us(),
            self.metadata.next_deadline_us(),
            stop,
        ];
        parts.into_iter().flatten().min()
    }

    fn with_front(&mut self, now: Now, actions: &mut Vec<Action>, call: impl FnOnce(&mut Front, &mut Context<'_>)) {
        let (seat, config) = (self.seat, &self.config);
        let (logs, metadata, quotas) = (&mut self.logs, &mut self.metadata, &mut self.quotas);
        let mut cx = Context { now, seat, logs, metadata, quotas, config, actions };
        call(&mut self.front, &mut cx);
    }

    fn completed(&mut self, now: Now, op: OpId, result: Result<Vec<Bytes>, IoError>, actions: &mut Vec<Action>) {
        if self.stop == (Stop::MarkingClean { op }) {
            if let Err(error) = &result {
                let message = format!("the clean stop could not be noted: {} (errno {})", error.what, error.errno);
                actions.push(Action::Log { level: LogLevel::Error, message });
            }
            self.stop = Stop::Done;
            actions.push(Action::Stopped);
            return;
        }
        match self.metadata.completed(op, &result, self.logs.ids_mut(), actions) {
            Ok(true) => return,
            Ok(false) => {}
            Err(message) => return actions.push(Action::Fatal { message }),
        }
        match self.logs.completed(now, op, result, actions) {
            Ok(ours) => assert!(ours, "every operation belongs to a part of the shard"),
            Err(message) => actions.push(Action::Fatal { message }),
        }
    }

    /// What the metadata log has committed: for this shard, and for the others.
    fn apply(&mut self, now: Now, applied: Applied, actions: &mut Vec<Action>) {
        let Applied { delta, entry } = applied;
        let outcome = self.apply_delta_or_error(delta, actions);
        if self.seat.shards == 1 {
            if let Some(proposal) = entry.proposal {
                self.with_front(now, actions, |front, cx| front.proposal_applied(cx, proposal, outcome));
            }
            return;
        }
        self.peers.tell(entry, outcome, actions);
    }

    fn apply_delta_or_error(
        &mut self,
        delta: Result<MetadataDelta, ApplyError>,
        actions: &mut Vec<Action>,
    ) -> Result<(), Rejection> {
        let outcome = match &delta {
            Ok(delta) => {
                self.apply_delta(delta, actions);
                Ok(())
            }
            Err(error) => Err(Rejection::from(error)),
        };
        self.logs.set_metadata_offset(self.metadata.image().offset().0);
        outcome
    }

    fn apply_delta(&mut self, delta: &MetadataDelta, actions: &mut Vec<Action>) {
        let mut broker_changed = false;
        for change in &delta.changes {
            match change {
                MetadataChange::TopicDeleted(topic) => {
                    for partition in topic.partitions() {
                        if let Some(id) = self.logs.find(topic.id(), partition.index.0) {
                            self.logs.remove(id, actions);
                        }
                    }
                    self.front.topic_deleted(topic);
                }
                MetadataChange::TopicCreated(topic) => {
                    let config = topic_config(&self.config, topic, actions);
                    create_partitions(&mut self.logs, self.seat, topic, PartitionIndex(0), self.node, &config);
                }
                MetadataChange::PartitionsAdded { topic, first } => {
                    let config = topic_config(&self.config, topic, actions);
                    create_partitions(&mut self.logs, self.seat, topic, *first, self.node, &config);
                }
                MetadataChange::TopicConfigChanged { topic, .. } => {
                    let config = topic_config(&self.config, topic, actions);
                    for partition in topic.partitions() {
                        if let Some(id) = self.logs.find(topic.id(), partition.index.0) {
                            self.logs.reconfigure(id, config.clone());
                        }
                    }
                }
                MetadataChange::LeaderEpochsRaised { topic, partitions } => {
                    for index in partitions {
                        let epoch = topic.partition(*index).map(|p| p.leader_epoch.0);
                        if let (Some(id), Some(epoch)) = (self.logs.find(topic.id(), index.0), epoch) {
                            self.logs.set_leader_epoch(id, epoch);
                        }
                    }
                }
                MetadataChange::BrokerConfigChanged { key, value } => {
                    broker_changed = true;
                    warn_of_inert(key, value.is_some() && self.seat.is_first(), actions);
                }
                MetadataChange::OwnBrokerConfigChanged { broker_id, key, value } => {
                    let is_ours = *broker_id == self.node;
                    broker_changed |= is_ours;
                    warn_of_inert(key, value.is_some() && is_ours && self.seat.is_first(), actions);
                }
                // Nothing in a shard depends on these.
                MetadataChange::BrokerRegistered(_)
                | MetadataChange::NextProducerIdRaised(_)
                | MetadataChange::FeatureLevelChanged { .. } => {}
                MetadataChange::ResourceConfigChanged { resource, configs } => match resource {
                    ConfigResource::ClientMetrics(name) => self.front.set_subscription(name, configs),
                    ConfigResource::Group(name) => {
                        warn_of_inert_for_group(name, configs, self.seat.is_first(), actions)
                    }
                },
                MetadataChange::ClientQuotaChanged { entity, limits } => {
                    self.quotas.set(entity, limits);
                    self.bounds_changed |= entity.ip.is_some();
                }
            }
        }
        if broker_changed {
            self.reconfigure(actions);
        }
    }

    /// Acts on the settings of this broker as the metadata has them now.
    fn reconfigure(&mut self, actions: &mut Vec<Action>) {
        self.bounds_changed = true;
        // What does not fit is reported once for all shards.
        let mut ignored = Vec::new();
        let actions = if self.seat.is_first() { actions } else { &mut ignored };
        for message in set_dynamic(&mut self.config, self.metadata.image(), self.node) {
            actions.push(Action::Log { level: LogLevel::Warn, message });
        }
        self.logs.set_producer_expiration(self.config.producer_id_expiration_ms);
        self.logs.set_cleaner(self.config.cleaner);
        for topic in self.metadata.image().topics() {
            let config = topic_config(&self.config, topic, actions);
            for partition in topic.partitions() {
                if let Some(id) = self.logs.find(topic.id(), partition.index.0) {
                    self.logs.reconfigure(id, config.clone());
                }
            }
        }
    }

    fn stop_turn(&mut self, now: Now, actions: &mut Vec<Action>) {
        if let Stop::Answering { until_us } = self.stop
            && (self.front.is_idle() || now.monotonic_us >= until_us)
        {
            self.stop = Stop::OthersAnswering;
            self.peers.tell_idle(actions);
        }
        if self.stop == Stop::OthersAnswering && self.peers.may_write_back(actions) {
            self.logs.begin_stop();
            self.stop = Stop::WritingBack { since_us: now.monotonic_us };
            self.logs.end_of_turn(now, actions);
        }
        if let Stop::WritingBack { since_us } = self.stop {
            if self.logs.is_stopped() {
                self.stop = Stop::OthersWritingBack;
            } else if self.logs.is_out_of_space() && now.monotonic_us >= since_us + STOP_WITHOUT_SPACE_US {
                self.stop = Stop::Done;
                let message = String::from(
                    "stopped without writing everything back, since the disk is full: the journal holds what the segments \
                     lack, and the next start goes on from there; make space for it",
                );
                actions.push(Action::Fatal { message });
            }
        }
        if self.stop == Stop::OthersWritingBack {
            if !self.seat.is_first() {
                self.peers.tell_written_back(actions);
                self.stop = Stop::Done;
                actions.push(Action::Stopped);
            } else if self.peers.have_written_back() {
                self.stop = Stop::ClosingMetadata;
            }
        }
        if self.stop == Stop::ClosingMetadata && self.metadata.close(now, self.logs.ids_mut(), actions) {
            let ids = self.logs.ids_mut();
            let op = ids.op();
            let superblock = self.superblock.as_mut().expect("the first shard keeps it");
            let steps = superblock.mark_clean(ids);
            actions.push(Action::Io { op, steps });
            self.stop = Stop::MarkingClean { op };
        }
    }
}

/// Puts in force what was set for brokers while they ran. Says what of it cannot be.
pub(crate) fn set_dynamic(config: &mut BrokerConfig, image: &MetadataImage, node: BrokerId) -> Vec<String> {
    let refused = config.set_dynamic(image.broker_configs(), &image.configs_of_broker(node));
    refused.iter().map(|error| format!("a setting of this broker is left out: {error}")).collect()
}

/// Says so when a setting was given to a running broker that nothing here acts on.
/// How many connections an address may open in a second, by the quotas of the metadata.
fn ip_rates(image: &MetadataImage) -> Vec<(Option<IpAddr>, u32)> {
    let of_address = image.quotas().iter().filter_map(|(entity, limits)| Some((entity.ip.as_ref()?, limits)));
    let rates = of_address.filter_map(|(ip, limits)| {
        let rate = limits.get(CONNECTION_CREATION_RATE)?.value() as u32;
        match ip {
            QuotaName::Default => Some((None, rate)),
            QuotaName::Named(ip) => Some((Some(ip.parse().ok()?), rate)),
        }
    });
    rates.collect()
}

/// Says which settings of a group change nothing.
fn warn_of_inert_for_group(name: &str, configs: &BTreeMap<String, String>, is_first: bool, actions: &mut Vec<Action>) {
    let inert: Vec<&str> = configs.keys().map(String::as_str).filter(|key| is_inert_for_groups(key)).collect();
    if is_first && !inert.is_empty() {
        let message = format!("group {name}: without effect in this version: {}", inert.join(", "));
        actions.push(Action::Log { level: LogLevel::Warn, message });
    }
}

fn warn_of_inert(key: &str, is_set: bool, actions: &mut Vec<Action>) {
    if is_set && is_inert(key) {
        let message = format!("{key} was set for this broker, and has no effect in this version of Corelog");
        actions.push(Action::Log { level: LogLevel::Warn, message });
    }
}

/// What is in force for a topic; what no longer fits is reported.
pub(crate) fn topic_config(config: &BrokerConfig, topic: &TopicImage, actions: &mut Vec<Action>) -> TopicConfig {
    let (in_force, ignored) = config.topic_defaults.with_stored(topic.configs());
    for error in ignored {
        let message = format!("topic {}: {error}; the broker's default is in force", topic.name());
        actions.push(Action::Log { level: LogLevel::Warn, message });
    }
    in_force
}

/// Adds the partitions of a topic that this node leads and this shard owns, from `first` on.
pub(crate) fn create_partitions(
    logs: &mut Logs,
    seat: Seat,
    topic: &TopicImage,
    first: PartitionIndex,
    node: BrokerId,
    config: &TopicConfig,
) {
    let is_ours = |index: PartitionIndex| index >= first && seat.owns(topic.id(), index.0);
    for partition in topic.partitions().iter().filter(|p| p.leader == node && is_ours(p.index)) {
        logs.create(topic.id(), topic.name(), partition.index.0, partition.leader_epoch.0, config.clone());
    }
}

/// Why a broker cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// What is wrong, where, and what to do.
    pub message: String,
    /// What kind of refusal it is.
    pub kind: StartErrorKind,
}

/// What a caller may do about a refused start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartErrorKind {
    /// The operator has to act.
    Refused,
    /// Another process has the data directory, or its last writes are under way: trying again for a while may help.
    Locked,
    /// Acknowledged data is damaged; accepting the loss lets the start go on.
    Damaged,
}
