//! The members of a group: who they are, who of them waits for what, and when each was heard of last.
//!
//! Invariants:
//! - Counts of waiting members and of supporters of each protocol agree with the members, whatever is done to them.
//! - The timers name each member at most once, never later than its session ends. A sign of life only moves the end; the
//!   timer finds out when it fires, so that a heartbeat costs a look-up.
//! - Some protocol is supported by every member: who joins otherwise is turned away before.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

use super::{MemberId, subscription};

/// A member of a group.
#[derive(Debug)]
pub(super) struct Member<T> {
    /// Who it is across restarts, if it is static. Never changes.
    pub(super) instance_id: Option<Arc<str>>,
    /// What its last JoinGroup said of it. Changed only by [`Members::update`].
    pub(super) profile: Profile,
    /// What the leader of the generation gave it; empty before.
    pub(super) assignment: Bytes,
    /// What the leader gave it, while that is being stored.
    pub(super) next_assignment: Option<Bytes>,
    /// Whether it waits for its first generation, without knowing its id, or at least without sending heartbeats.
    pub(super) is_new: bool,
    /// Whether it was read from the log and has not been heard of since.
    pub(super) is_unheard: bool,
    joining: Option<T>,
    syncing: Option<T>,
    owes_sync: bool,
    /// When it is given up; none while it waits for an answer, which then sets it.
    session_ends_us: Option<u64>,
    timer_us: Option<u64>,
}

/// What a member says of itself when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    /// The client id.
    pub(super) client_id: Arc<str>,
    /// The client's address.
    pub(super) client_host: Arc<str>,
    /// After so long without a sign of life it is removed.
    pub(super) session_timeout_ms: i32,
    /// How long a rebalance waits for it.
    pub(super) rebalance_timeout_ms: i32,
    /// Its assignors by preference, each once, at least one.
    pub(super) protocols: Vec<Protocol>,
}

/// An assignor that a member supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    /// The assignor's name.
    pub(super) name: Arc<str>,
    /// What the member tells the leader.
    pub(super) metadata: Bytes,
}

/// Whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// A client that was told an id did not join with it.
    Pending(MemberId),
    /// A member was not heard of.
    Member(MemberId),
}

/// The members of a group, and the ids that were given to clients who have not joined with them yet.
#[derive(Debug)]
pub(super) struct Members<T> {
    by_id: BTreeMap<MemberId, Member<T>>,
    static_ids: BTreeMap<Arc<str>, MemberId>,
    /// Until when each is kept.
    pending: BTreeMap<MemberId, u64>,
    pending_timers: BTreeSet<(u64, MemberId)>,
    supporters: BTreeMap<Arc<str>, usize>,
    joining: usize,
    owing_sync: usize,
    timers: BTreeSet<(u64, MemberId)>,
    /// How many members were looked at one after the other.
    #[cfg(test)]
    pub(super) visits: core::cell::Cell<usize>,
}

impl<T> Member<T> {
    /// A member that waits for nothing and has no session yet.
    pub(super) fn new(instance_id: Option<Arc<str>>, profile: Profile, assignment: Bytes) -> Self {
        Self {
            instance_id,
            profile,
            assignment,
            next_assignment: None,
            is_new: false,
            is_unheard: false,
            joining: None,
            syncing: None,
            owes_sync: false,
            session_ends_us: None,
            timer_us: None,
        }
    }

    /// Whether it waits for the next generation.
    pub(super) fn is_joining(&self) -> bool {
        self.joining.is_some()
    }

    /// Whether it waits for its assignment.
    pub(super) fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    /// What it said of itself for an assignor; empty if it does not support it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.profile.protocols.iter().find(|supported| *supported.name == *protocol);
        found.map(|supported| supported.metadata.clone()).unwrap_or_default()
    }
}

impl Profile {
    /// Whether a JoinGroup brings the same assignors with the same metadata.
    pub(super) fn matches(&self, protocols: &[(&str, &[u8])]) -> bool {
        self.protocols.len() == protocols.len()
            && self
                .protocols
                .iter()
                .zip(protocols)
                .all(|(known, (name, metadata))| *known.name == **name && known.metadata == *metadata)
    }

    /// Whether it votes as another does, whatever the candidates are.
    pub(super) fn votes_as(&self, other: &Self) -> bool {
        self.protocols.len() == other.protocols.len()
            && self.protocols.iter().zip(&other.protocols).all(|(mine, other)| mine.name == other.name)
    }
}

impl<T> Members<T> {
    /// None.
    pub(super) fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            static_ids: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_timers: BTreeSet::new(),
            supporters: BTreeMap::new(),
            joining: 0,
            owing_sync: 0,
            timers: BTreeSet::new(),
            #[cfg(test)]
            visits: core::cell::Cell::new(0),
        }
    }

    /// How many there are, without those that are pending.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// A member.
    pub(super) fn get(&self, id: &str) -> Option<&Member<T>> {
        self.by_id.get(id)
    }

    /// A member.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member<T>> {
        self.by_id.get_mut(id)
    }

    /// A member's id, shared.
    pub(super) fn id(&self, id: &str) -> Option<MemberId> {
        self.by_id.get_key_value(id).map(|(id, _)| MemberId::clone(id))
    }

    /// The first by id.
    pub(super) fn first_id(&self) -> Option<MemberId> {
        self.by_id.keys().next().cloned()
    }

    /// All, by their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&MemberId, &Member<T>)> {
        #[cfg(test)]
        self.count_visits();
        self.by_id.iter()
    }

    /// All, by their ids.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&MemberId, &mut Member<T>)> {
        #[cfg(test)]
        self.count_visits();
        self.by_id.iter_mut()
    }

    /// The member that a static member's instance id stands for now.
    pub(super) fn static_id(&self, instance_id: &str) -> Option<&MemberId> {
        self.static_ids.get(instance_id)
    }

    /// How many are static.
    pub(super) fn static_len(&self) -> usize {
        self.static_ids.len()
    }

    /// Whether a request speaks for a member: its id is known, and belongs to the instance id if one is given.
    ///
    /// A static member hears of a new id when a generation begins, before the generation is stored. If the coordinator
    /// fails in between, the log has the old id: until that is heard of, it proves nobody a stranger, and whoever comes
    /// with another is to join anew instead of being fenced for good.
    pub(super) fn validate(&self, id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            let current = self.static_ids.get(instance_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if **current != *id {
                let is_unheard = self.by_id.get(current).is_some_and(|member| member.is_unheard);
                return Err(if is_unheard { ErrorCode::UNKNOWN_MEMBER_ID } else { ErrorCode::FENCED_INSTANCE_ID });
            }
        }
        if self.by_id.contains_key(id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Adds a member; a pending one with its id is pending no more.
    pub(super) fn insert(&mut self, id: &MemberId, member: Member<T>) {
        assert!(member.joining.is_none() && member.syncing.is_none() && member.timer_us.is_none());
        self.remove_pending(id);
        if let Some(instance_id) = &member.instance_id {
            let before = self.static_ids.insert(Arc::clone(instance_id), MemberId::clone(id));
            assert!(before.is_none(), "a static member is there once");
        }
        Self::support(&mut self.supporters, &member.profile);
        let before = self.by_id.insert(MemberId::clone(id), member);
        assert!(before.is_none(), "a member is added once");
    }

    /// Removes a member, and gives it back with those who wait: for a generation, and for an assignment.
    pub(super) fn remove(&mut self, id: &str) -> Option<(Member<T>, Option<T>, Option<T>)> {
        let joining = self.take_joining(id);
        let syncing = self.take_syncing(id);
        self.set_owes_sync(id, false);
        let (id, member) = self.by_id.remove_entry(id)?;
        if let Some(instance_id) = &member.instance_id {
            self.static_ids.remove(instance_id);
        }
        if let Some(timer_us) = member.timer_us {
            self.timers.remove(&(timer_us, id));
        }
        Self::withdraw(&mut self.supporters, &member.profile);
        Some((Member { timer_us: None, session_ends_us: None, ..member }, joining, syncing))
    }

    /// A member says something else of itself.
    pub(super) fn update(&mut self, id: &str, profile: Profile) {
        let member = self.by_id.get_mut(id).expect("only members are updated");
        Self::withdraw(&mut self.supporters, &member.profile);
        Self::support(&mut self.supporters, &profile);
        member.profile = profile;
    }

    /// Whether every member supports one of these. Without members, any will do.
    pub(super) fn all_support_one_of<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        names.any(|name| self.supporters.get(name).copied().unwrap_or(0) == self.by_id.len())
    }

    /// The assignor for which most members vote; of several the first by name.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let candidate = |name: &Arc<str>| self.supporters.get(name) == Some(&self.by_id.len());
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for (_, member) in self.iter() {
            let vote = member.profile.protocols.iter().map(|protocol| &protocol.name).find(|name| candidate(name));
            *votes.entry(vote.expect("some protocol is supported by every member")).or_default() += 1;
        }
        let best = votes.into_iter().min_by_key(|(_, count)| core::cmp::Reverse(*count));
        best.map(|(name, _)| Arc::clone(name))
    }

    /// The longest time that a rebalance waits for one of them, in microseconds, at least a millisecond.
    pub(super) fn rebalance_timeout_us(&self) -> u64 {
        let longest_ms = self.iter().map(|(_, member)| member.profile.rebalance_timeout_ms).max();
        millis_to_us(longest_ms.unwrap_or(0)).max(1_000)
    }

    /// The topics to which they are subscribed as their metadata for an assignor say, if all can be read.
    pub(super) fn subscribed_topics(&self, protocol: &str) -> Option<BTreeSet<String>> {
        let mut topics = BTreeSet::new();
        for (_, member) in self.iter() {
            subscription::add_topics(&member.metadata(protocol), &mut topics)?;
        }
        Some(topics)
    }

    /// Whether all wait for the next generation and nobody is about to join.
    pub(super) fn have_all_joined(&self) -> bool {
        self.joining == self.by_id.len() && self.pending.is_empty()
    }

    /// How many wait for the next generation.
    pub(super) fn joining_len(&self) -> usize {
        self.joining
    }

    /// The member waits for the next generation; gives back who did in its name before.
    pub(super) fn wait_to_join(&mut self, id: &str, waiter: T) -> Option<T> {
        let member = self.by_id.get_mut(id).expect("only members wait");
        member.is_unheard = false;
        let before = member.joining.replace(waiter);
        self.joining += usize::from(before.is_none());
        before
    }

    /// The member waits for the next generation no more.
    pub(super) fn take_joining(&mut self, id: &str) -> Option<T> {
        let waiter = self.by_id.get_mut(id)?.joining.take();
        self.joining -= usize::from(waiter.is_some());
        waiter
    }

    /// Nobody waits for the next generation any more.
    pub(super) fn take_all_joining(&mut self) -> Vec<(MemberId, T)> {
        self.joining = 0;
        let waiting =
            self.by_id.iter_mut().map(|(id, member)| member.joining.take().map(|waiter| (id.clone(), waiter)));
        waiting.flatten().collect()
    }

    /// The member waits for its assignment; gives back who did in its name before.
    pub(super) fn wait_to_sync(&mut self, id: &str, waiter: T) -> Option<T> {
        self.by_id.get_mut(id).expect("only members wait").syncing.replace(waiter)
    }

    /// The member waits for its assignment no more.
    pub(super) fn take_syncing(&mut self, id: &str) -> Option<T> {
        self.by_id.get_mut(id)?.syncing.take()
    }

    /// Nobody waits for an assignment any more.
    pub(super) fn take_all_syncing(&mut self) -> Vec<(MemberId, T)> {
        let waiting =
            self.by_id.iter_mut().map(|(id, member)| member.syncing.take().map(|waiter| (id.clone(), waiter)));
        waiting.flatten().collect()
    }

    /// Whether a member has to ask for its assignment of this generation yet.
    pub(super) fn set_owes_sync(&mut self, id: &str, owes: bool) {
        if let Some(member) = self.by_id.get_mut(id) {
            self.owing_sync -= usize::from(member.owes_sync);
            self.owing_sync += usize::from(owes);
            member.owes_sync = owes;
        }
    }

    /// Whether all have asked for their assignment of this generation.
    pub(super) fn have_all_synced(&self) -> bool {
        self.owing_sync == 0
    }

    /// Nobody has to ask for an assignment any more; gives back who had to.
    pub(super) fn take_owing_sync(&mut self) -> Vec<MemberId> {
        if self.owing_sync == 0 {
            return Vec::new();
        }
        self.owing_sync = 0;
        let owing = |(id, member): (&MemberId, &mut Member<T>)| {
            core::mem::take(&mut member.owes_sync).then(|| MemberId::clone(id))
        };
        self.iter_mut().filter_map(owing).collect()
    }

    /// A client was told an id, and has until then to join with it. Of too many, the one whose time is up first is given up.
    pub(super) fn add_pending(&mut self, id: &MemberId, until_us: u64, len_max: usize) {
        while self.pending.len() >= len_max {
            let (_, id) = self.pending_timers.pop_first().expect("each pending one has a timer");
            self.pending.remove(&id);
        }
        assert!(!self.by_id.contains_key(id), "a member is pending no more");
        self.pending.insert(MemberId::clone(id), until_us);
        self.pending_timers.insert((until_us, MemberId::clone(id)));
    }

    /// An id given to a client that has not joined with it yet, shared.
    pub(super) fn pending_id(&self, id: &str) -> Option<MemberId> {
        self.pending.get_key_value(id).map(|(id, _)| MemberId::clone(id))
    }

    /// How many ids were given to clients that have not joined with them yet.
    pub(super) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Nobody is expected under this id any more.
    pub(super) fn remove_pending(&mut self, id: &str) -> bool {
        let Some((id, until_us)) = self.pending.remove_entry(id) else {
            return false;
        };
        self.pending_timers.remove(&(until_us, id));
        true
    }

    /// The member was heard of: it has its session timeout from now on.
    pub(super) fn renew_session(&mut self, now_us: u64, id: &str) {
        let member = self.by_id.get(id).expect("only members have sessions");
        let ends_us = now_us.saturating_add(millis_to_us(member.profile.session_timeout_ms));
        self.end_session_at(ends_us, id);
        self.by_id.get_mut(id).expect("just found").is_unheard = false;
    }

    /// The member's session ends then.
    pub(super) fn end_session_at(&mut self, ends_us: u64, id: &str) {
        let (id, _) = self.by_id.get_key_value(id).expect("only members have sessions");
        let id = MemberId::clone(id);
        let member = self.by_id.get_mut(&id).expect("just found");
        member.session_ends_us = Some(ends_us);
        if member.timer_us.is_none_or(|timer_us| timer_us > ends_us) {
            if let Some(timer_us) = member.timer_us.replace(ends_us) {
                self.timers.remove(&(timer_us, MemberId::clone(&id)));
            }
            self.timers.insert((ends_us, id));
        }
    }

    /// When [`Self::next_expired`] may have something.
    pub(super) fn next_timer_us(&self) -> Option<u64> {
        let firsts = [self.timers.first(), self.pending_timers.first()];
        firsts.into_iter().flatten().map(|(at_us, _)| *at_us).min()
    }

    /// Somebody whose time has come. A pending one is pending no more; a member is still there, without a session.
    pub(super) fn next_expired(&mut self, now_us: u64) -> Option<Expired> {
        if self.pending_timers.first().is_some_and(|(at_us, _)| *at_us <= now_us) {
            let (_, id) = self.pending_timers.pop_first().expect("just seen");
            self.pending.remove(&id);
            return Some(Expired::Pending(id));
        }
        while self.timers.first().is_some_and(|(at_us, _)| *at_us <= now_us) {
            let (_, id) = self.timers.pop_first().expect("just seen");
            let member = self.by_id.get_mut(&id).expect("timers belong to members");
            member.timer_us = None;
            match member.session_ends_us {
                Some(ends_us) if ends_us > now_us => {
                    member.timer_us = Some(ends_us);
                    self.timers.insert((ends_us, id));
                }
                Some(_) => {
                    member.session_ends_us = None;
                    // Who waits for an answer cannot send heartbeats; the answer begins a new session.
                    if member.is_new || !(member.is_joining() || member.is_syncing()) {
                        return Some(Expired::Member(id));
                    }
                }
                None => {}
            }
        }
        None
    }

    #[cfg(test)]
    fn count_visits(&self) {
        self.visits.set(self.visits.get() + self.by_id.len());
    }

    fn support(supporters: &mut BTreeMap<Arc<str>, usize>, profile: &Profile) {
        for protocol in &profile.protocols {
            *supporters.entry(Arc::clone(&protocol.name)).or_default() += 1;
        }
    }

    fn withdraw(supporters: &mut BTreeMap<Arc<str>, usize>, profile: &Profile) {
        for protocol in &profile.protocols {
            let count = supporters.get_mut(&protocol.name).expect("each member's protocols are counted");
            *count -= 1;
            if *count == 0 {
                supporters.remove(&protocol.name);
            }
        }
    }
}

/// A time of the protocol in microseconds; a negative one is none.
pub(super) fn millis_to_us(millis: i32) -> u64 {
    u64::try_from(millis).unwrap_or(0) * 1_000
}

#[cfg(test)]
impl<T> Members<T> {
    /// All, without counting it as work.
    pub(super) fn by_id_for_tests(&self) -> impl Iterator<Item = (&MemberId, &Member<T>)> {
        self.by_id.iter()
    }

    /// Checks the counts and timers against the members; gives how many answers are owed.
    pub(super) fn check(&self) -> usize {
        let mut supporters: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let (mut joining, mut syncing, mut owing_sync, mut timers) = (0, 0, 0, 0);
        for (id, member) in &self.by_id {
            Self::support(&mut supporters, &member.profile);
            joining += usize::from(member.joining.is_some());
            syncing += usize::from(member.syncing.is_some());
            owing_sync += usize::from(member.owes_sync);
            assert!(member.session_ends_us.is_some() || member.joining.is_some() || member.syncing.is_some());
            assert!(
                member.session_ends_us.is_none()
                    || member.timer_us.is_some_and(|at| Some(at) <= member.session_ends_us)
            );
            if let Some(timer_us) = member.timer_us {
                timers += 1;
                assert!(self.timers.contains(&(timer_us, MemberId::clone(id))));
            }
            if let Some(instance_id) = &member.instance_id {
                assert_eq!(self.static_ids.get(instance_id), Some(id));
            }
        }
        assert_eq!((self.joining, self.owing_sync, self.timers.len()), (joining, owing_sync, timers));
        assert_eq!(self.supporters, supporters);
        assert_eq!(self.static_ids.len(), self.by_id.values().filter(|member| member.instance_id.is_some()).count());
        assert_eq!(self.pending.len(), self.pending_timers.len());
        assert!(self.pending.keys().all(|id| !self.by_id.contains_key(id)));
        assert!(self.by_id.is_empty() || self.supporters.values().any(|count| *count == self.by_id.len()));
        joining + syncing
    }
}
