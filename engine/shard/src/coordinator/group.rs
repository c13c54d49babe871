//! One classic consumer group: its members, its state, its rebalances (KIP-62, 345, 394, 559, 800, 814).
//!
//! Pure: it knows neither a log nor connections. `T` stands for whoever waits for an answer.
//!
//! Invariants:
//! - Who waits is answered exactly once, and at the latest by a timer: a JoinGroup waits while the group is
//!   PreparingRebalance, which ends by itself, or for its static member to be stored; a SyncGroup waits while it is
//!   CompletingRebalance, which the leader or the sync timeout ends.
//! - A generation begins with every JoinGroup answered, one of the answered being the leader, and its assignment
//!   reaches nobody before it is stored.
//! - An assignment is given to members of its own generation only: whatever begins a rebalance takes back an
//!   assignment that is not stored yet.
//! - There are members unless the group is Empty, Dead, or about to become Empty.
//! - A request costs O(log n) of the members; the end of a phase of a rebalance O(n), times the assignors of a member.

mod departures;
mod effects;
mod join;
mod members;
mod rebalance;
mod requests;
mod stored;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

use join::Replacement;
use members::{Member, Members, Profile, Protocol};
use rebalance::JoinPhase;

pub(crate) use effects::{Effect, JoinAnswer, JoinedMember, PersistTicket, SyncAnswer};
pub(crate) use requests::{GroupSettings, Joining, Leaving, MemberSuffix, Syncing};
pub(crate) use stored::{StoredGroup, StoredMember};

use crate::io::Now;

/// The id of a member, given to it by the group.
pub(crate) type MemberId = Arc<str>;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum GroupState {
    /// It has no members, but may have offsets.
    Empty,
    /// It waits for its members to join the next generation.
    PreparingRebalance,
    /// It waits for the leader's assignment.
    CompletingRebalance,
    /// Every member can fetch its assignment.
    Stable,
    /// It is gone.
    Dead,
}

impl GroupState {
    /// Kafka's name, as DescribeGroups and ListGroups give it. Filters compare it without regard to case.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// From when on the retention of a group's offsets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetExpiry {
    /// Since this time (milliseconds since the Unix epoch), when the group became empty.
    SinceEmpty(i64),
    /// Since each offset's commit, for topics to which the group is not subscribed.
    SinceCommit,
    /// None expires now.
    Never,
}

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug)]
pub(crate) struct Described<'a> {
    /// Its state.
    pub(crate) state: GroupState,
    /// The kind of group.
    pub(crate) protocol_type: Option<&'a str>,
    /// The assignor chosen, while it is Stable.
    pub(crate) protocol_name: Option<&'a str>,
    /// The members, by their ids.
    pub(crate) members: Vec<DescribedMember<'a>>,
}

/// A member as DescribeGroups shows it.
#[derive(Clone, Debug)]
pub(crate) struct DescribedMember<'a> {
    /// The member's id.
    pub(crate) member_id: &'a str,
    /// Its instance id, if it is static.
    pub(crate) instance_id: Option<&'a str>,
    /// The client id with which it joined.
    pub(crate) client_id: &'a str,
    /// The address from which it joined.
    pub(crate) client_host: &'a str,
    /// Its metadata for the assignor chosen; empty unless the group is Stable.
    pub(crate) metadata: Bytes,
    /// Its assignment.
    pub(crate) assignment: Bytes,
}

/// The kind of groups of consumers, whose metadata names topics.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// A classic group.
#[derive(Debug)]
pub(crate) struct Group<T> {
    id: String,
    state: GroupState,
    /// Unknown if it was stored by a Kafka before 2.1.
    state_since_ms: Option<i64>,
    generation: i32,
    protocol_type: Option<Arc<str>>,
    protocol_name: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: Members<T>,
    subscribed_topics: Option<BTreeSet<String>>,
    /// While it is PreparingRebalance.
    join_phase: Option<JoinPhase>,
    /// When members that have not asked for their assignment are given up.
    sync_ends_us: Option<u64>,
    last_ticket: PersistTicket,
    /// The assignment of this generation is being stored.
    assigning: Option<PersistTicket>,
    /// Static members with new ids are being stored, and those that are stored next.
    replacing: Option<PersistTicket>,
    replacements: Vec<Replacement>,
    next_replacements: Vec<Replacement>,
}

impl<T> Group<T> {
    /// An empty group of generation 0.
    pub(crate) fn new(now: Now, id: String) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_since_ms: Some(now.wall_ms),
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: Members::new(),
            subscribed_topics: None,
            join_phase: None,
            sync_ends_us: None,
            last_ticket: PersistTicket(0),
            assigning: None,
            replacing: None,
            replacements: Vec::new(),
            next_replacements: Vec::new(),
        }
    }

    /// A group as it was stored last. Its members get a fresh session; a group that has more members than are allowed
    /// now begins to rebalance, so that they can commit before some are turned away. Ask for
    /// [`Self::next_deadline_us`] afterwards.
    pub(crate) fn restore(now: Now, settings: &GroupSettings, id: String, stored: StoredGroup) -> Self {
        let mut group = Self::new(now, id);
        group.state_since_ms = stored.current_state_timestamp_ms;
        group.generation = stored.generation;
        group.protocol_type = stored.protocol_type.filter(|protocol_type| !protocol_type.is_empty());
        group.protocol_name = stored.protocol_name;
        let protocol: Arc<str> = group.protocol_name.clone().unwrap_or_default();
        for member in stored.members {
            group.restore_member(now, &protocol, member);
        }
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
            group.protocol_name = Some(protocol);
            group.leader = stored.leader.filter(|id| group.members.get(id).is_some()).or(group.members.first_id());
        }
        group.subscribed_topics = group.read_subscriptions();
        if group.members.len() > settings.max_size {
            group.prepare_rebalance(now, format_args!("it has more members than are allowed"), &mut Vec::new());
        }
        group
    }

    /// Of records that contradict each other, the later one holds.
    fn restore_member(&mut self, now: Now, protocol: &Arc<str>, stored: StoredMember) {
        let same_instance = stored.instance_id.as_deref().and_then(|instance_id| self.members.static_id(instance_id));
        for id in [Some(stored.member_id.clone()), same_instance.cloned()].into_iter().flatten() {
            self.members.remove(&id);
        }
        let profile = Profile {
            client_id: stored.client_id,
            client_host: stored.client_host,
            session_timeout_ms: stored.session_timeout_ms,
            rebalance_timeout_ms: match stored.rebalance_timeout_ms {
                -1 => stored.session_timeout_ms,
                rebalance_timeout_ms => rebalance_timeout_ms,
            },
            protocols: [Protocol { name: Arc::clone(protocol), metadata: stored.subscription }].into(),
        };
        self.members.insert(&stored.member_id, Member::new(stored.instance_id, profile, stored.assignment));
        self.members.renew_session(now.monotonic_us, &stored.member_id);
        self.members.get_mut(&stored.member_id).expect("just added").is_unheard = true;
    }

    /// DeleteGroups: the group is Dead, or why not. The caller writes the tombstone and forgets it.
    pub(crate) fn delete(&mut self) -> Result<(), ErrorCode> {
        match self.state {
            GroupState::Empty => {
                self.die();
                Ok(())
            }
            GroupState::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    /// The coordinator moves or the broker stops: the group is Dead, whoever waits is answered with the error.
    pub(crate) fn shut_down(&mut self, error: ErrorCode, out: &mut Vec<Effect<T>>) {
        for (id, waiter) in self.members.take_all_joining() {
            out.push(Effect::Join { waiter, answer: JoinAnswer::refused(error, &id) });
        }
        for (_, waiter) in self.members.take_all_syncing() {
            out.push(Effect::Sync { waiter, answer: SyncAnswer::refused(error) });
        }
        self.die();
    }

    /// When [`Self::expire`] has to be called next, on the monotonic clock. It may be earlier than anything happens,
    /// and moves only with calls that take `&mut self`.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        let join_ends_us = self.join_phase.as_ref().map(|phase| phase.ends_us);
        [join_ends_us, self.sync_ends_us, self.members.next_timer_us()].into_iter().flatten().min()
    }

    /// Its state.
    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    /// The kind of group; none as long as nobody has joined.
    pub(crate) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The assignor of the generation.
    pub(crate) fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    /// How many members it has; those that were told an id but have not joined with it are none.
    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// Whether it is Empty and nobody is about to join: without offsets there is nothing to keep of it.
    pub(crate) fn is_empty_and_idle(&self) -> bool {
        self.state == GroupState::Empty && self.members.pending_len() == 0
    }

    /// Everything, for DescribeGroups.
    pub(crate) fn describe(&self) -> Described<'_> {
        let protocol_name = self.protocol_name.as_deref().filter(|_| self.state == GroupState::Stable);
        let members = self.members.iter().map(|(id, member)| DescribedMember {
            member_id: id,
            instance_id: member.instance_id.as_deref(),
            client_id: &member.profile.client_id,
            client_host: &member.profile.client_host,
            metadata: protocol_name.map(|name| member.metadata(name)).unwrap_or_default(),
            assignment: member.assignment.clone(),
        });
        Described {
            state: self.state,
            protocol_type: self.protocol_type.as_deref(),
            protocol_name,
            members: members.collect(),
        }
    }

    /// Whether OffsetDelete is possible at all; in a group of consumers, not for topics to which it
    /// [`Self::is_subscribed_to`] (`GROUP_SUBSCRIBED_TO_TOPIC`).
    pub(crate) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            GroupState::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            GroupState::Empty => Ok(()),
            _ if self.is_of_consumers() => Ok(()),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    /// Whether offsets of the topic are in use. A group of consumers whose subscriptions cannot be read uses all.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// From when on the retention of its offsets counts.
    pub(crate) fn offset_expiry(&self) -> OffsetExpiry {
        match (self.state, self.state_since_ms) {
            _ if self.protocol_type.is_none() => OffsetExpiry::SinceCommit,
            (GroupState::Empty, Some(since_ms)) => OffsetExpiry::SinceEmpty(since_ms),
            (GroupState::Empty, None) => OffsetExpiry::SinceCommit,
            (GroupState::Stable, _) if self.subscribed_topics.is_some() => OffsetExpiry::SinceCommit,
            _ => OffsetExpiry::Never,
        }
    }

    fn is_of_consumers(&self) -> bool {
        self.protocol_type() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// The topics of a generation that begins, or of a group that was stored.
    fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        match self.protocol_name() {
            _ if !self.is_of_consumers() => None,
            _ if self.members.is_empty() => Some(BTreeSet::new()),
            Some(protocol) => self.members.subscribed_topics(protocol),
            None => None,
        }
    }

    fn enter(&mut self, now: Now, state: GroupState) {
        use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
        let is_allowed = match state {
            PreparingRebalance => matches!(self.state, Empty | CompletingRebalance | Stable),
            Empty | CompletingRebalance => self.state == PreparingRebalance,
            Stable => self.state == CompletingRebalance,
            Dead => true,
        };
        assert!(is_allowed, "a group goes from no {:?} to {state:?}", self.state);
        self.state = state;
        self.state_since_ms = Some(now.wall_ms);
    }

    fn die(&mut self) {
        self.state = GroupState::Dead;
        self.members = Members::new();
        self.leader = None;
        self.join_phase = None;
        self.sync_ends_us = None;
        self.forget_persists();
    }
}
