//! The groups of one shard: whose partitions of `__consumer_offsets` it has, who waits, and what is written to them.
//!
//! A group belongs to one partition of that topic ([`routing`]), and is coordinated by the shard that owns it. What changes
//! is appended to the partition as Kafka's records ([`records`], [`writes`]); a start reads them again ([`loading`]). The
//! membership of a group is in [`group`], its offsets in [`offsets`]; [`requests`] is what the handlers call, [`sweep`]
//! removes what is outdated.
//!
//! Invariants:
//! - Nobody hears of a change before it is durable: offsets appear, groups come and go when their records are.
//! - A request that waits is answered once: by the group, by the write that it waits for, when its partition is gone, or
//!   when the broker stops.
//! - The state is bounded by [`crate::limits`], and one call does a bounded amount of work; what is left over makes
//!   [`Coordinator::next_deadline_us`] the present.

pub(crate) mod group;
mod loading;
pub(crate) mod numbers;
pub(crate) mod offsets;
mod partition;
mod records;
pub(crate) mod requests;
mod routing;
mod sweep;
mod writes;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use corelog_replication::ids::BrokerId;
use corelog_replication::metadata::TopicImage;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use self::group::{Effect, Group, GroupSettings, JoinAnswer, SyncAnswer};
use self::loading::Loads;
use self::partition::{Entry, Partition};
use self::sweep::Sweeps;
pub(crate) use self::writes::Waiter;
use self::writes::{Change, ChangeSet, Write, Writes};
use crate::config::BrokerConfig;
use crate::connection::RequestId;
use crate::front::Context;
use crate::io::Action;
use crate::limits;

/// The topic that coordinators keep groups and offsets in.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// An answer that somebody waits for.
#[derive(Debug)]
pub(crate) enum Reply {
    /// To a member that joins.
    Join(RequestId, JoinAnswer),
    /// To a member that wants its assignment.
    Sync(RequestId, SyncAnswer),
    /// What was to be written is durable, or not.
    Written(Waiter, Result<(), ErrorCode>),
}

impl Reply {
    /// Who waits for it.
    pub(crate) fn request(&self) -> RequestId {
        match self {
            Self::Join(request, _) | Self::Sync(request, _) => *request,
            Self::Written(waiter, _) => waiter.request,
        }
    }
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Coordinator {
    /// The topic, as it was when the metadata was last looked at.
    topic: Option<TopicId>,
    /// How far the metadata had come then.
    seen: Option<u64>,
    /// The partitions that this shard has.
    partitions: BTreeMap<i32, Partition>,
    writes: Writes,
    loads: Loads,
    sweeps: Sweeps,
    /// When groups want to be called. At most one entry for each, which may be too early.
    deadlines: BTreeSet<(u64, i32, Arc<str>)>,
    replies: VecDeque<Reply>,
    /// Groups of all partitions, and the memory that their offsets and members take, about.
    groups: usize,
    memory: usize,
    random: u64,
    is_stopping: bool,
}

impl Coordinator {
    /// Without groups. The seed decides about the ids of members.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            topic: None,
            seen: None,
            partitions: BTreeMap::new(),
            writes: Writes::default(),
            loads: Loads::default(),
            sweeps: Sweeps::default(),
            deadlines: BTreeSet::new(),
            replies: VecDeque::new(),
            groups: 0,
            memory: 0,
            random: seed ^ 0x6772_6f75_7073,
            is_stopping: false,
        }
    }

    /// Takes in which partitions this shard has by now.
    pub(crate) fn refresh(&mut self, cx: &mut Context<'_>) {
        let image = cx.metadata.image();
        let offset = image.offset().0;
        if self.seen == Some(offset) {
            return;
        }
        self.seen = Some(offset);
        let topic = image.topic_by_name(OFFSETS_TOPIC).cloned();
        let id = topic.as_ref().map(|topic| topic.id());
        if id != self.topic {
            for index in self.partitions.keys().copied().collect::<Vec<_>>() {
                self.unload(cx, index);
            }
            self.topic = id;
        }
        let Some(topic) = topic else { return };
        for assignment in topic.partitions() {
            let index = assignment.index.0;
            let is_ours = assignment.leader == BrokerId(cx.config.node_id) && cx.seat.owns(topic.id(), index);
            if !is_ours || self.partitions.contains_key(&index) {
                continue;
            }
            let Some(log) = cx.logs.find(topic.id(), index) else {
                // The metadata is further than the logs are; it is looked at again.
                self.seen = None;
                continue;
            };
            self.partitions.insert(index, Partition::new(log, cx.logs.log_start_offset(log)));
            self.loads.begin(index);
        }
        // Partitions without records need no turn of their own.
        self.load(cx);
    }

    /// A topic was deleted: what is committed for it goes.
    pub(crate) fn topic_deleted(&mut self, topic: &Arc<TopicImage>) {
        self.sweeps.topic_deleted(topic.name().into(), topic.id());
    }

    /// Takes the partition out: whoever waits for its groups has to look elsewhere.
    fn unload(&mut self, cx: &mut Context<'_>, index: i32) {
        for write in self.writes.forget(index) {
            self.reply_to(&write.waiters, Err(ErrorCode::NOT_COORDINATOR));
        }
        let Some(mut partition) = self.partitions.remove(&index) else { return };
        self.loads.forget(index);
        let mut effects = Vec::new();
        for (_, mut entry) in partition.take_groups() {
            self.groups -= 1;
            self.memory -= entry.memory();
            entry.group.shut_down(ErrorCode::NOT_COORDINATOR, &mut effects);
        }
        self.deadlines.retain(|(_, of, _)| *of != index);
        for effect in effects {
            self.say(cx, effect);
        }
    }

    /// The broker stops: members are told to look elsewhere, nothing new is taken on. What was to be written still is.
    pub(crate) fn stop(&mut self, cx: &mut Context<'_>) {
        self.is_stopping = true;
        let mut effects = Vec::new();
        for partition in self.partitions.values_mut() {
            for entry in partition.entries_mut() {
                entry.group.shut_down(ErrorCode::COORDINATOR_NOT_AVAILABLE, &mut effects);
            }
        }
        self.deadlines.clear();
        for effect in effects {
            self.say(cx, effect);
        }
    }

    /// Timers, work left over, and what the turn has brought: it goes into the log now.
    pub(crate) fn end_of_turn(&mut self, cx: &mut Context<'_>) {
        self.refresh(cx);
        self.load(cx);
        self.expire(cx);
        self.sweep(cx);
        self.flush(cx);
        self.settle(cx);
    }

    /// When [`Self::end_of_turn`] is to be called at the latest, on the monotonic clock; 0 if there is work left over.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        let timer = self.deadlines.first().map(|(at_us, ..)| *at_us);
        [self.loads.next_deadline_us(), self.sweeps.next_deadline_us(), timer].into_iter().flatten().min()
    }

    /// The next answer that is ready.
    pub(crate) fn next_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    /// Applies what has become durable.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) {
        while let Some(write) = self.writes.next_durable(cx) {
            let Write { partition, changes, waiters } = write;
            for change in changes {
                self.apply(cx, partition, change);
            }
            self.reply_to(&waiters, Ok(()));
        }
    }

    fn apply(&mut self, cx: &mut Context<'_>, index: i32, change: Change) {
        let Some(partition) = self.partitions.get_mut(&index) else { return };
        let Some(entry) = partition.entry_mut(change.group()) else { return };
        entry.pending -= 1;
        entry.is_stored = true;
        match change {
            Change::Offset { topic, partition, committed, .. } => {
                let before = match committed {
                    Some(committed) => {
                        self.memory += committed.memory();
                        entry.offsets.set(&topic, partition, committed)
                    }
                    None => entry.offsets.remove(&topic, partition),
                };
                self.memory -= before.map_or(0, |it| it.memory());
            }
            Change::Created { .. } => {}
            Change::Stored { group, ticket } => {
                let mut effects = Vec::new();
                entry.group.persisted(cx.now, ticket, Ok(()), &mut effects);
                self.act(cx, index, &group, effects);
            }
            Change::Gone { group } => self.forget(index, &group),
        }
    }

    /// What could not be written is undone.
    fn refused(&mut self, cx: &mut Context<'_>, write: Write, error: ErrorCode) {
        let Write { partition: index, changes, waiters } = write;
        for change in changes {
            let Some(partition) = self.partitions.get_mut(&index) else { continue };
            let name = Arc::clone(change.group());
            let Some(entry) = partition.entry_mut(&name) else { continue };
            entry.pending -= 1;
            let mut effects = Vec::new();
            match change {
                Change::Stored { ticket, .. } => entry.group.persisted(cx.now, ticket, Err(error), &mut effects),
                // It had no members: it is as it was before.
                Change::Gone { .. } => entry.group = entry.remembered(cx.now, &settings(cx.config), &name),
                Change::Offset { .. } | Change::Created { .. } => {}
            }
            self.act(cx, index, &name, effects);
            self.forget_if_nothing(index, &name);
        }
        self.reply_to(&waiters, Err(error));
    }

    fn reply_to(&mut self, waiters: &[Waiter], result: Result<(), ErrorCode>) {
        self.replies.extend(waiters.iter().map(|waiter| Reply::Written(*waiter, result)));
    }

    /// Does what a group wants done, and looks when it wants to be called again.
    fn act(&mut self, cx: &mut Context<'_>, index: i32, name: &Arc<str>, effects: Vec<Effect<RequestId>>) {
        let mut rest = VecDeque::from(effects);
        while let Some(effect) = rest.pop_front() {
            match effect {
                Effect::Persist { ticket, stored } => {
                    let Some(entry) = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(name)) else {
                        continue;
                    };
                    self.memory -= entry.members_memory;
                    entry.members_memory = partition::memory_of(&stored);
                    self.memory += entry.members_memory;
                    let mut set = ChangeSet::default();
                    let written = set.stored(name, ticket, &stored).map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR);
                    entry.stored = Some(stored);
                    if let Err(error) = written.and_then(|()| self.write(cx, index, set, None)) {
                        let mut more = Vec::new();
                        let entry = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(name));
                        entry.expect("as above").group.persisted(cx.now, ticket, Err(error), &mut more);
                        rest.extend(more);
                    }
                }
                effect => self.say(cx, effect),
            }
        }
        self.set_timer(index, name);
    }

    /// An effect that is an answer, or a line for the log.
    fn say(&mut self, cx: &mut Context<'_>, effect: Effect<RequestId>) {
        match effect {
            Effect::Join { waiter, answer } => self.replies.push_back(Reply::Join(waiter, answer)),
            Effect::Sync { waiter, answer } => self.replies.push_back(Reply::Sync(waiter, answer)),
            Effect::Log(level, message) => cx.actions.push(Action::Log { level, message }),
            // Whoever would hear of it is gone.
            Effect::Persist { .. } => {}
        }
    }

    /// Has a change set written; it goes into the log with the end of the turn.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        set: ChangeSet,
        waiter: Option<Waiter>,
    ) -> Result<(), ErrorCode> {
        let partition = self.partitions.get_mut(&index).ok_or(ErrorCode::NOT_COORDINATOR)?;
        if !cx.logs.exists(partition.log) {
            return Err(ErrorCode::NOT_COORDINATOR);
        }
        let config = &cx.logs.partition(partition.log).config;
        let size_max = config.max_message_bytes.min(usize::try_from(config.segment_bytes).unwrap_or(usize::MAX));
        let groups: Vec<Arc<str>> = set.changes.iter().map(|change| Arc::clone(change.group())).collect();
        self.writes.add(index, set, waiter, cx.now.wall_ms, size_max)?;
        for group in groups {
            partition.entry_mut(&group).expect("changes are made of groups that are there").pending += 1;
        }
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        let partitions = &self.partitions;
        for (write, error) in self.writes.flush(cx, |index| partitions.get(&index).map(|it| it.log)) {
            self.refused(cx, write, error);
        }
    }

    /// Lets groups do what their time has come for.
    fn expire(&mut self, cx: &mut Context<'_>) {
        for _ in 0..limits::GROUP_TIMERS_PER_TURN {
            if self.deadlines.first().is_none_or(|(at_us, ..)| *at_us > cx.now.monotonic_us) {
                break;
            }
            let (_, index, name) = self.deadlines.pop_first().expect("it was looked at");
            let Some(entry) = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(&name)) else { continue };
            entry.timer_us = None;
            let mut effects = Vec::new();
            entry.group.expire(cx.now, &mut effects);
            self.act(cx, index, &name, effects);
        }
    }

    /// Notes when a group wants to be called. A time that has moved away is left as it is: the call comes too early once.
    fn set_timer(&mut self, index: i32, name: &Arc<str>) {
        let Some(entry) = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(name)) else { return };
        let Some(at_us) = entry.group.next_deadline_us() else { return };
        match entry.timer_us {
            Some(timer_us) if timer_us <= at_us => return,
            Some(timer_us) => {
                self.deadlines.remove(&(timer_us, index, Arc::clone(name)));
            }
            None => {}
        }
        entry.timer_us = Some(at_us);
        self.deadlines.insert((at_us, index, Arc::clone(name)));
    }

    /// Removes a group.
    fn forget(&mut self, index: i32, name: &Arc<str>) {
        let Some(entry) = self.partitions.get_mut(&index).and_then(|of| of.remove(name)) else { return };
        self.groups -= 1;
        self.memory -= entry.memory();
        if let Some(timer_us) = entry.timer_us {
            self.deadlines.remove(&(timer_us, index, Arc::clone(name)));
        }
    }

    /// Removes a group that never came into being.
    fn forget_if_nothing(&mut self, index: i32, name: &Arc<str>) {
        let Some(entry) = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(name)) else { return };
        if !entry.is_stored && entry.pending == 0 && entry.group.is_empty_and_idle() {
            self.forget(index, name);
        }
    }

    /// The group, which is made if it is not there.
    fn entry_or_new(&mut self, cx: &mut Context<'_>, index: i32, group: &str) -> Result<Arc<str>, ErrorCode> {
        let partition = self.partitions.get_mut(&index).ok_or(ErrorCode::NOT_COORDINATOR)?;
        if let Some(name) = partition.name_of(group) {
            return Ok(name);
        }
        if self.groups >= limits::GROUPS_PER_SHARD_MAX {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        self.groups += 1;
        let name: Arc<str> = group.into();
        partition.insert(Arc::clone(&name), Entry::new(Group::new(cx.now, group.into())));
        Ok(name)
    }

    /// Whether offsets and members take all the memory that they may.
    fn is_full(&self, cx: &Context<'_>) -> bool {
        let share = cx.config.memory.total / limits::GROUPS_MEMORY_SHARE / u64::from(cx.seat.shards);
        self.memory as u64 >= share
    }
}

/// What the broker's configuration says for groups.
fn settings(config: &BrokerConfig) -> GroupSettings {
    GroupSettings {
        min_session_timeout_ms: config.groups.session_timeout_ms_min,
        max_session_timeout_ms: config.groups.session_timeout_ms_max,
        initial_rebalance_delay_ms: config.groups.initial_rebalance_delay_ms,
        max_size: config.groups.members_max,
    }
}

#[cfg(test)]
mod tests;
