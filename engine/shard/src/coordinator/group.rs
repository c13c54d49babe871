//! One classic consumer group: its members, its state, its rebalances (KIP-62, 345, 394, 559, 800, 814).
//!
//! Pure: it knows neither a log nor connections. `T` stands for whoever waits for an answer.

mod effects;
mod requests;
mod stored;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

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

/// A classic group.
#[derive(Debug)]
pub(crate) struct Group<T> {
    id: String,
    waiting: Option<T>,
}

#[expect(clippy::needless_pass_by_value, clippy::unused_self, reason = "signatures ahead of the bodies")]
impl<T> Group<T> {
    /// An empty group of generation 0.
    pub(crate) fn new(now: Now, id: String) -> Self {
        let _ = now;
        Self { id, waiting: None }
    }

    /// A group as it was stored last. Its members get a fresh session; a group that has more members than are allowed
    /// now begins to rebalance. Ask for [`Self::next_deadline_us`] afterwards.
    pub(crate) fn restore(now: Now, settings: &GroupSettings, id: String, stored: StoredGroup) -> Self {
        let _ = (settings, stored);
        Self::new(now, id)
    }

    /// JoinGroup. The answer comes as an [`Effect::Join`], now or later. The group id's own validity, and whether there
    /// is such a group at all, are the caller's to check (a member with an id that no group knows is answered
    /// `UNKNOWN_MEMBER_ID`).
    pub(crate) fn join(
        &mut self,
        now: Now,
        settings: &GroupSettings,
        joining: Joining<'_>,
        waiter: T,
        out: &mut Vec<Effect<T>>,
    ) {
        let _ = (now, settings, joining, waiter, out);
    }

    /// SyncGroup. The answer comes as an [`Effect::Sync`], now or later.
    pub(crate) fn sync(&mut self, now: Now, syncing: Syncing<'_>, waiter: T, out: &mut Vec<Effect<T>>) {
        let _ = (now, syncing, waiter, out);
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        now: Now,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        let _ = (now, member_id, instance_id, generation);
        ErrorCode::UNKNOWN_MEMBER_ID
    }

    /// LeaveGroup: a code for each member, or one for the whole request.
    pub(crate) fn leave(
        &mut self,
        now: Now,
        members: &[Leaving<'_>],
        out: &mut Vec<Effect<T>>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let _ = (now, members, out);
        Ok(Vec::new())
    }

    /// Whether a member, or a client outside the group, may commit offsets now (OffsetCommit; TxnOffsetCommit with
    /// `is_transactional`). It counts as a sign of life.
    pub(crate) fn check_commit(
        &mut self,
        now: Now,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), ErrorCode> {
        let _ = (now, member_id, instance_id, generation, is_transactional);
        Ok(())
    }

    /// Whether OffsetDelete is possible at all; for a group of consumers, not for topics to which
    /// [`Self::is_subscribed_to`] (`GROUP_SUBSCRIBED_TO_TOPIC`).
    pub(crate) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// Lets everything happen whose time has come. Call it when [`Self::next_deadline_us`] has passed.
    pub(crate) fn expire(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        let _ = (now, out);
    }

    /// When [`Self::expire`] has to be called next, on the monotonic clock. It may be earlier than anything happens,
    /// and moves only with calls that take `&mut self`.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        None
    }

    /// An [`Effect::Persist`] is durable, or refused with the log's error.
    pub(crate) fn persisted(
        &mut self,
        now: Now,
        ticket: PersistTicket,
        result: Result<(), ErrorCode>,
        out: &mut Vec<Effect<T>>,
    ) {
        let _ = (now, ticket, result, out);
    }

    /// DeleteGroups: the group is Dead, or why not. The caller writes the tombstone and forgets it.
    pub(crate) fn delete(&mut self) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// The coordinator moves or the broker stops: the group is Dead, whoever waits is answered with the error.
    pub(crate) fn shut_down(&mut self, error: ErrorCode, out: &mut Vec<Effect<T>>) {
        let _ = (error, out);
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Its state.
    pub(crate) fn state(&self) -> GroupState {
        GroupState::Empty
    }

    /// The generation.
    pub(crate) fn generation(&self) -> i32 {
        0
    }

    /// The kind of group; none as long as nobody has joined.
    pub(crate) fn protocol_type(&self) -> Option<&str> {
        None
    }

    /// The assignor of the generation.
    pub(crate) fn protocol_name(&self) -> Option<&str> {
        None
    }

    /// How many members it has; those that were told an id but have not joined with it are none.
    pub(crate) fn size(&self) -> usize {
        0
    }

    /// Whether it is Empty and nobody is about to join: without offsets there is nothing to keep of it.
    pub(crate) fn is_empty_and_idle(&self) -> bool {
        true
    }

    /// Everything, for DescribeGroups.
    pub(crate) fn describe(&self) -> Described<'_> {
        Described { state: self.state(), protocol_type: None, protocol_name: None, members: Vec::new() }
    }

    /// The topics to which the members of the generation are subscribed, if the group is one of consumers and all their
    /// subscriptions can be read.
    pub(crate) fn subscribed_topics(&self) -> Option<&BTreeSet<String>> {
        None
    }

    /// Whether offsets of the topic are in use. A group of consumers whose subscriptions cannot be read uses all.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        let _ = topic;
        false
    }

    /// From when on the retention of its offsets counts.
    pub(crate) fn offset_expiry(&self) -> OffsetExpiry {
        OffsetExpiry::Never
    }
}
