//! A member of a consumer group (the classic protocol): joins, is told what to read, reads on from what the group has
//! committed, commits, and makes room for others.
//!
//! ```text
//!            +--------------------- rebalance, forgotten, coordinator lost ---------------------+
//!            v                                                                                  |
//! GivingUp -> Joining -> (the leader: Assigning ->) Syncing -> Stable -> GivingUp -> Joining ...
//!                                                              Leaving -> Out
//! ```
//!
//! Invariants:
//! - At least once: what is committed was said to be [dealt with](GroupMember::consumed); what was only read is read again
//!   by whoever has the partition next. A commit never goes back behind one of the same owner.
//! - A partition is read only between the SyncGroup that gave it and the moment it is given up; whatever was read of it and
//!   not taken by then is dropped. Before it is given up, what was dealt with is committed, if that can be done in time.
//! - One request of each kind is under way. JoinGroup and SyncGroup may wait for long; the coordinator has a connection of its
//!   own, on which nothing is sent behind them.
//! - Nothing is tried again without a pause, whatever the broker answers; what makes no sense ends the membership with an
//!   error.

pub mod assignor;
mod coordinator;
mod joining;
mod offsets;
pub mod subscription;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;

use crate::address::Address;
use crate::cluster::Cluster;
use crate::connection::{Answer, ConnectionError, SendError};
use crate::consumer::{Consumer, Position};
use crate::limits::{COMMIT_BEFORE_REBALANCE_MAX, RETRY_BACKOFF, TOPIC_NAME_BYTES_MAX};
use assignor::{Assignor, Member, PartitionCounts};
pub(crate) use coordinator::{Found, find_coordinator, read_coordinator};
use coordinator::{Verdict, verdict};
use subscription::Partitions;

/// How a member behaves.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The group.
    pub group_id: String,
    /// A name that stays over restarts, of a static member (KIP-345): it does not leave when it closes, and when it comes
    /// back within the session timeout it has its partitions again, without a rebalance.
    pub instance_id: Option<String>,
    /// The topics to read.
    pub topics: Vec<String>,
    /// The assignment strategies that it can do with, the one it likes best first. If all of them are cooperative, it keeps
    /// its partitions through rebalances.
    pub assignors: Vec<Assignor>,
    /// After how long without a heartbeat the group goes on without it.
    pub session_timeout: Duration,
    /// How long the others wait for it in a rebalance.
    pub rebalance_timeout: Duration,
    /// How often it says that it is alive.
    pub heartbeat_interval: Duration,
    /// How often it commits what was dealt with; also before partitions are given up and before it leaves. Without it, it
    /// commits only when it is [told to](crate::client::Client::commit_group).
    pub commit_interval: Option<Duration>,
    /// Where to begin with a partition that the group has committed nothing of, or whose log no longer has what was
    /// committed; not an offset.
    pub reset: Position,
}

impl GroupConfig {
    /// The defaults of Kafka's own consumer, but that it begins at the beginning, and knows every assignor, so that it can
    /// join any group.
    pub fn new(group_id: &str, topics: Vec<String>) -> Self {
        Self {
            group_id: group_id.to_owned(),
            instance_id: None,
            topics,
            assignors: Assignor::ALL.to_vec(),
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            heartbeat_interval: Duration::from_secs(3),
            commit_interval: Some(Duration::from_secs(5)),
            reset: Position::Beginning,
        }
    }
}

/// Why a member is none any more, or could not commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// The coordinator refused.
    Refused(ApiKey, ErrorCode),
    /// The coordinator cannot be asked that.
    Unsendable(SendError),
    /// What a broker or the group's leader said makes no sense.
    Nonsense(String),
    /// The coordinator did not answer in time.
    TimedOut,
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(api, error) => write!(f, "the coordinator answers {api} with {error}"),
            Self::Unsendable(error) => error.fmt(f),
            Self::Nonsense(reason) => f.write_str(reason),
            Self::TimedOut => f.write_str("the coordinator did not answer in time"),
        }
    }
}

impl std::error::Error for GroupError {}

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// A rebalance is over, and these partitions came to those that it has; perhaps none.
    Assigned(Vec<(Arc<str>, i32)>),
    /// It no longer has these: another member will.
    Revoked(Vec<(Arc<str>, i32)>),
    /// The same, and the group had gone on without it: another member may be reading them already, and what was dealt with
    /// since the last commit is read again.
    Lost(Vec<(Arc<str>, i32)>),
    /// The log of a partition does not have this offset any more; it is read from where
    /// [`reset`](GroupConfig::reset) says.
    OutOfRange(Arc<str>, i32, i64),
    /// What was dealt with could not be committed; it goes on reading.
    CommitFailed(GroupError),
    /// It has left the group, as it was asked to.
    Left,
    /// It cannot be a member any more.
    Failed(GroupError),
}

/// A partition that it has.
#[derive(Clone, Copy, Debug, Default)]
struct Owned {
    /// Whether it is known where to read on, and it is read.
    is_placed: bool,
    /// The next offset and its leader epoch, behind what was dealt with.
    consumed: Option<(i64, i32)>,
    /// The next offset, behind what was committed.
    committed: Option<i64>,
}

impl Owned {
    /// What is still to be committed.
    fn uncommitted(&self) -> Option<(i64, i32)> {
        self.consumed.filter(|(offset, _)| self.committed != Some(*offset))
    }
}

/// Where it stands with its group.
#[derive(Debug)]
enum Phase {
    /// Is about to join; what was dealt with is being committed, until then, and these partitions are given up.
    GivingUp { what: Partitions, until: Duration, has_committed: bool },
    /// JoinGroup is to be sent, or under way.
    Joining,
    /// It leads the group, and waits until it knows all the topics, but only so long.
    Assigning { members: Vec<Member>, until: Duration },
    /// SyncGroup is to be sent, with these assignments by member, or under way.
    Syncing { assignments: Vec<(String, Vec<u8>)> },
    /// In a generation of the group.
    Stable,
    /// Commits, and leaves; until then.
    Leaving { until: Duration, has_committed: bool },
    /// It is no member any more.
    Out,
}

/// The next offset of each of some partitions.
type NextOffsets = BTreeMap<(Arc<str>, i32), i64>;

/// The member.
#[derive(Debug)]
pub(crate) struct GroupMember {
    config: GroupConfig,
    topics: BTreeSet<Arc<str>>,
    coordinator: Option<Address>,
    /// Nothing is sent before this.
    not_before: Duration,
    phase: Phase,
    member_id: String,
    /// Of the last JoinGroup; -1 if there was none.
    generation: i32,
    /// The assignor of the generation.
    assignor: Assignor,
    /// The generation that gave it what it has.
    assigned_by: Option<i32>,
    owned: BTreeMap<(Arc<str>, i32), Owned>,
    /// What the leader made its assignment for; none if another member leads.
    led: Option<Led>,
    /// The requests under way: FindCoordinator; JoinGroup, SyncGroup or LeaveGroup; and those that go beside them.
    finding: Option<u64>,
    step: Option<u64>,
    heartbeat: Option<u64>,
    commit: Option<(u64, NextOffsets)>,
    fetch: Option<u64>,
    next_serial: u64,
    heartbeat_at: Duration,
    commit_at: Duration,
    is_commit_wanted: bool,
    /// Why it joins; brokers log it.
    reason: &'static str,
    events: VecDeque<GroupEvent>,
    news: u64,
}

/// The topics of all members, and how many partitions they had.
#[derive(Debug)]
struct Led {
    topics: BTreeSet<Arc<str>>,
    counts: PartitionCounts,
    seen_changes: u64,
}

impl GroupMember {
    /// A member to be. Panics if it could not do with any assignor, is to begin at an offset, whatever the partition, or is
    /// to read what is too long for the name of a topic.
    pub(crate) fn new(config: GroupConfig, cluster: &mut Cluster) -> Self {
        assert!(!config.assignors.is_empty(), "a member knows how to assign");
        assert!(!matches!(config.reset, Position::Offset(_)), "an offset is no place in all partitions");
        assert!(config.topics.iter().all(|topic| topic.len() <= TOPIC_NAME_BYTES_MAX), "topics have short names");
        let topics = config.topics.iter().map(|topic| cluster.metadata.want(topic)).collect();
        Self {
            assignor: config.assignors[0],
            config,
            topics,
            coordinator: None,
            not_before: Duration::ZERO,
            phase: Phase::Joining,
            member_id: String::new(),
            generation: -1,
            assigned_by: None,
            owned: BTreeMap::new(),
            led: None,
            finding: None,
            step: None,
            heartbeat: None,
            commit: None,
            fetch: None,
            next_serial: 0,
            heartbeat_at: Duration::ZERO,
            commit_at: Duration::ZERO,
            is_commit_wanted: false,
            reason: "",
            events: VecDeque::new(),
            news: 0,
        }
    }

    /// A partition was dealt with up to this offset. Says whether it is its own.
    pub(crate) fn consumed(&mut self, topic: &str, partition: i32, next: i64, leader_epoch: i32) -> bool {
        let owned = self.owned.get_mut(&(topic.into(), partition)).filter(|owned| owned.is_placed);
        let is_its_own = owned.is_some();
        if let Some(owned) = owned {
            owned.consumed = Some((next, leader_epoch));
        }
        is_its_own
    }

    /// Commits what was dealt with, soon.
    pub(crate) fn commit_soon(&mut self) {
        self.is_commit_wanted = true;
    }

    /// Whether everything that was dealt with is committed.
    pub(crate) fn is_committed(&self) -> bool {
        self.commit.is_none() && self.owned.values().all(|owned| owned.uncommitted().is_none())
    }

    /// Whether it is in a generation of the group, and knows where to read each of its partitions.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Stable) && self.owned.values().all(|owned| owned.is_placed)
    }

    /// Whether it is no member any more, nor will be.
    pub(crate) fn is_out(&self) -> bool {
        matches!(self.phase, Phase::Out)
    }

    /// The partitions that it has.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &(Arc<str>, i32)> {
        self.owned.keys()
    }

    /// Whether it has a partition.
    pub(crate) fn has(&self, topic: &Arc<str>, partition: i32) -> bool {
        self.owned.contains_key(&(topic.clone(), partition))
    }

    /// Where to begin where there is nothing to go on from.
    pub(crate) fn reset(&self) -> Position {
        self.config.reset
    }

    /// The next thing that it was told.
    pub(crate) fn take_event(&mut self) -> Option<GroupEvent> {
        self.events.pop_front()
    }

    /// Grows with every event.
    pub(crate) fn news(&self) -> u64 {
        self.news
    }

    pub(crate) fn tell(&mut self, event: GroupEvent) {
        self.news += 1;
        self.events.push_back(event);
    }

    /// Commits and leaves, within `timeout`. Nothing is read any more.
    pub(crate) fn leave(&mut self, now: Duration, cluster: &mut Cluster, consumer: &mut Consumer, timeout: Duration) {
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Out) {
            return;
        }
        self.owned.keys().for_each(|(topic, partition)| consumer.unassign(topic, *partition));
        self.phase = Phase::Leaving { until: now + timeout, has_committed: self.config.commit_interval.is_none() };
        // What follows JoinGroup on its connection waits until all others have joined.
        if self.step.take().is_some()
            && let Some(coordinator) = &self.coordinator
        {
            cluster.hang_up(coordinator);
        }
    }

    /// Does what is to be done now.
    pub(crate) fn poll(&mut self, now: Duration, cluster: &mut Cluster, consumer: &mut Consumer) {
        loop {
            let phase = std::mem::discriminant(&self.phase);
            self.act(now, cluster, consumer);
            // A phase that has just begun may have something to do at once.
            if std::mem::discriminant(&self.phase) == phase {
                break;
            }
        }
    }

    fn act(&mut self, now: Duration, cluster: &mut Cluster, consumer: &mut Consumer) {
        match self.phase {
            Phase::Out => return,
            Phase::GivingUp { until, .. } if until <= now => return self.give_up(consumer),
            Phase::Leaving { until, has_committed } => {
                let is_static = self.config.instance_id.is_some() && (has_committed || self.is_committed());
                if until <= now || self.member_id.is_empty() || is_static {
                    return self.left(cluster);
                }
            }
            _ => {}
        }
        if !self.has_coordinator(now, cluster, consumer) || self.not_before > now {
            return;
        }
        self.fetch_offsets(now, cluster);
        self.commit_offsets(now, cluster);
        match &self.phase {
            Phase::GivingUp { what, has_committed, .. } => {
                if *has_committed || self.config.commit_interval.is_none() || self.is_committed_of(what) {
                    self.give_up(consumer);
                }
            }
            _ => self.advance(now, cluster, consumer),
        }
    }

    /// Whether what was dealt with of partitions that are about to go, or of all if none are, is committed.
    fn is_committed_of(&self, what: &Partitions) -> bool {
        let is_asked = |place: &(Arc<str>, i32)| what.is_empty() || what.contains(place);
        self.commit.is_none()
            && self.owned.iter().all(|(place, owned)| owned.uncommitted().is_none() || !is_asked(place))
    }

    /// Takes what became of a request.
    pub(crate) fn answered(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        consumer: &mut Consumer,
        serial: u64,
        result: &Result<Answer, ConnectionError>,
    ) {
        let is = |slot: Option<u64>| slot == Some(serial);
        if is(self.finding) {
            self.finding = None;
            return self.found(now, cluster, consumer, result);
        }
        // What is none of these was given up.
        let (is_step, is_heartbeat, is_fetch) = (is(self.step), is(self.heartbeat), is(self.fetch));
        let is_commit = is(self.commit.as_ref().map(|(serial, _)| *serial));
        if !(is_step || is_heartbeat || is_fetch || is_commit) {
            return;
        }
        let committing = if is_commit { self.commit.take() } else { None };
        for (is_it, slot) in
            [(is_step, &mut self.step), (is_heartbeat, &mut self.heartbeat), (is_fetch, &mut self.fetch)]
        {
            if is_it {
                *slot = None;
            }
        }
        let Ok(answer) = result else { return self.lose_coordinator(now, cluster) };
        let judged = if let Some((_, offsets)) = committing {
            self.committed(answer, &offsets)
        } else if is_heartbeat {
            Self::heartbeat_answered(answer)
        } else if is_fetch {
            self.offsets_fetched(cluster, consumer, answer)
        } else {
            match self.phase {
                Phase::Joining => self.joined(now, cluster, answer),
                Phase::Syncing { .. } => self.synced(now, answer),
                Phase::Leaving { .. } => self.farewell_answered(cluster, answer),
                _ => return,
            }
        };
        self.follow(now, cluster, consumer, answer.api, judged);
    }

    /// Does what an answer demands.
    fn follow(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        consumer: &mut Consumer,
        api: ApiKey,
        judged: Result<ErrorCode, GroupError>,
    ) {
        let error = match judged {
            Ok(error) => error,
            Err(error) => return self.fail(cluster, consumer, error),
        };
        match verdict(error) {
            Verdict::Fine => {}
            Verdict::Again => self.pause(now),
            Verdict::Elsewhere => self.lose_coordinator(now, cluster),
            Verdict::Rejoin => {
                self.pause(now);
                self.rejoin(now, "the group rebalances");
            }
            Verdict::Forgotten { keeps_id } => self.forgotten(now, cluster, consumer, keeps_id),
            Verdict::Fatal => self.fail(cluster, consumer, GroupError::Refused(api, error)),
        }
    }

    fn pause(&mut self, now: Duration) {
        self.not_before = now + RETRY_BACKOFF;
    }

    /// Begins a rebalance, unless one has begun.
    fn rejoin(&mut self, now: Duration, reason: &'static str) {
        match self.phase {
            Phase::Stable => {
                let is_cooperative = self.config.assignors.iter().all(|assignor| assignor.is_cooperative());
                let what = if is_cooperative { Partitions::new() } else { self.owned.keys().cloned().collect() };
                self.begin_giving_up(now, what);
            }
            Phase::Assigning { .. } | Phase::Syncing { .. } => self.phase = Phase::Joining,
            Phase::GivingUp { .. } | Phase::Joining | Phase::Leaving { .. } | Phase::Out => return,
        }
        self.reason = reason;
    }

    fn begin_giving_up(&mut self, now: Duration, what: Partitions) {
        self.phase = Phase::GivingUp { what, until: now + COMMIT_BEFORE_REBALANCE_MAX, has_committed: false };
    }

    /// Gives up what it was about to, and goes to join.
    fn give_up(&mut self, consumer: &mut Consumer) {
        let Phase::GivingUp { what, .. } = std::mem::replace(&mut self.phase, Phase::Joining) else {
            unreachable!("only what is about to be given up is")
        };
        for (topic, partition) in &what {
            consumer.unassign(topic, *partition);
        }
        self.owned.retain(|place, _| !what.contains(place));
        if !what.is_empty() {
            self.tell(GroupEvent::Revoked(what.into_iter().collect()));
        }
    }

    /// The group has gone on without it.
    fn forgotten(&mut self, now: Duration, cluster: &mut Cluster, consumer: &mut Consumer, keeps_id: bool) {
        if !keeps_id {
            self.member_id.clear();
        }
        self.generation = -1;
        self.lose_all(consumer);
        if let Phase::Leaving { .. } = self.phase {
            return self.left(cluster);
        }
        self.phase = Phase::Joining;
        self.reason = "the group has forgotten this member";
        self.pause(now);
    }

    fn lose_all(&mut self, consumer: &mut Consumer) {
        let lost: Vec<_> = std::mem::take(&mut self.owned).into_keys().collect();
        lost.iter().for_each(|(topic, partition)| consumer.unassign(topic, *partition));
        (self.assigned_by, self.led) = (None, None);
        (self.step, self.heartbeat, self.commit, self.fetch) = (None, None, None, None);
        if !lost.is_empty() {
            self.tell(GroupEvent::Lost(lost));
        }
    }

    /// It cannot be a member any more.
    fn fail(&mut self, cluster: &mut Cluster, consumer: &mut Consumer, error: GroupError) {
        if let Phase::Leaving { .. } = self.phase {
            return self.left(cluster);
        }
        self.lose_all(consumer);
        self.end(cluster);
        self.tell(GroupEvent::Failed(error));
    }

    /// It has left, or at least nobody will hear of it again.
    fn left(&mut self, cluster: &mut Cluster) {
        let is_over = matches!(self.phase, Phase::Leaving { has_committed: true, .. });
        if !is_over && !self.is_committed() {
            self.tell(GroupEvent::CommitFailed(GroupError::TimedOut));
        }
        self.owned.clear();
        self.end(cluster);
        self.tell(GroupEvent::Left);
    }

    fn end(&mut self, cluster: &mut Cluster) {
        self.phase = Phase::Out;
        if let Some(coordinator) = self.coordinator.take() {
            cluster.hang_up(&coordinator);
        }
    }

    /// When [`Self::poll`] has something to do.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        let of_phase = match &self.phase {
            Phase::Out => return None,
            Phase::GivingUp { until, .. } | Phase::Leaving { until, .. } | Phase::Assigning { until, .. } => {
                Some(*until)
            }
            Phase::Stable if self.heartbeat.is_none() => Some(self.heartbeat_at),
            Phase::Stable | Phase::Joining | Phase::Syncing { .. } => None,
        };
        let is_committing = matches!(self.phase, Phase::Stable) && self.config.commit_interval.is_some();
        let commit = (is_committing && !self.is_committed()).then_some(self.commit_at);
        let all = [Some(self.not_before), of_phase, commit];
        all.into_iter().flatten().filter(|at| *at > now).min()
    }
}
