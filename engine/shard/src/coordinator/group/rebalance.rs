//! The phases of a rebalance: waiting for the members to join, choosing a leader and an assignor, waiting for the
//! assignment, and storing it.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

use super::effects::PersistTicket;
use super::members::{Member, millis_to_us};
use super::requests::Short;
use super::{Effect, Group, GroupState, MemberId, StoredGroup, StoredMember, SyncAnswer};
use crate::io::{LogLevel, Now};

/// The wait for members to join.
#[derive(Debug)]
pub(super) struct JoinPhase {
    /// When it ends, whoever has joined.
    pub(super) ends_us: u64,
    /// The group was Empty: it waits a while for more members, even if all that there are have joined.
    pub(super) initial: Option<InitialDelay>,
}

/// What remains of the wait for the members of a new group (KIP-134).
#[derive(Debug)]
pub(super) struct InitialDelay {
    delay_us: u64,
    remaining_us: u64,
    /// Whether a member joined since the wait began or was prolonged.
    pub(super) has_grown: bool,
}

impl<T> Group<T> {
    /// An Empty group has its first member: it waits for more.
    pub(super) fn begin_first_rebalance(&mut self, now: Now, delay_ms: i32, out: &mut Vec<Effect<T>>) {
        let delay_us = millis_to_us(delay_ms);
        self.enter(now, GroupState::PreparingRebalance);
        self.join_phase = Some(JoinPhase {
            ends_us: now.monotonic_us.saturating_add(delay_us),
            initial: Some(InitialDelay {
                delay_us,
                remaining_us: self.members.rebalance_timeout_us().saturating_sub(delay_us),
                has_grown: false,
            }),
        });
        self.log(LogLevel::Info, format_args!("has a first member and waits {delay_ms} ms for more"), out);
    }

    /// Something changed: a rebalance begins, or perhaps the one that runs has all members now.
    pub(super) fn rebalance_or_complete(&mut self, now: Now, reason: fmt::Arguments<'_>, out: &mut Vec<Effect<T>>) {
        match self.state {
            GroupState::CompletingRebalance | GroupState::Stable => self.prepare_rebalance(now, reason, out),
            GroupState::PreparingRebalance => self.maybe_complete_join(now, out),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    /// All members have to join again.
    pub(super) fn prepare_rebalance(&mut self, now: Now, reason: fmt::Arguments<'_>, out: &mut Vec<Effect<T>>) {
        if self.state == GroupState::CompletingRebalance {
            self.take_back_assignment(now, ErrorCode::REBALANCE_IN_PROGRESS, out);
        }
        self.members.take_owing_sync();
        self.sync_ends_us = None;
        self.forget_persists();
        self.enter(now, GroupState::PreparingRebalance);
        self.log(LogLevel::Info, format_args!("rebalances after generation {}: {reason}", self.generation), out);
        let ends_us = now.monotonic_us.saturating_add(self.members.rebalance_timeout_us());
        self.join_phase = Some(JoinPhase { ends_us, initial: None });
        self.maybe_complete_join(now, out);
    }

    /// Ends the wait for members if none is missing. A new group waits on for members that nobody knows of.
    pub(super) fn maybe_complete_join(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        if self.join_phase.as_ref().is_some_and(|phase| phase.initial.is_none()) && self.members.have_all_joined() {
            self.complete_join(now, out);
        }
    }

    /// The wait for members has come to its end.
    pub(super) fn join_timed_out(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        let phase = self.join_phase.as_mut().expect("the caller saw it end");
        if let Some(initial) = &mut phase.initial
            && core::mem::take(&mut initial.has_grown)
            && initial.remaining_us > 0
        {
            let delay_us = initial.delay_us.min(initial.remaining_us);
            initial.remaining_us -= delay_us;
            phase.ends_us = now.monotonic_us.saturating_add(delay_us);
            return;
        }
        self.complete_join(now, out);
    }

    /// The next generation begins with those who have joined.
    fn complete_join(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        assert_eq!(self.state, GroupState::PreparingRebalance);
        self.remove_absent(out);
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Static members that are away: their sessions decide.
            let ends_us = now.monotonic_us.saturating_add(self.members.rebalance_timeout_us());
            self.join_phase = Some(JoinPhase { ends_us, initial: None });
            self.log(LogLevel::Warn, format_args!("cannot rebalance: no member has joined"), out);
            return;
        }
        self.join_phase = None;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol_name = self.members.select_protocol();
        self.subscribed_topics = self.read_subscriptions();
        if self.members.is_empty() {
            self.enter(now, GroupState::Empty);
            self.log(LogLevel::Info, format_args!("is empty in generation {}", self.generation), out);
            self.persist(out);
        } else {
            self.begin_generation(now, out);
        }
    }

    /// Removes the members that have not joined, but not static ones, which may be restarting.
    fn remove_absent(&mut self, out: &mut Vec<Effect<T>>) {
        if self.members.joining_len() == self.members.len() {
            return;
        }
        let is_absent = |member: &Member<T>| !member.is_joining() && member.instance_id.is_none();
        let absent = self.members.iter().filter(|(_, member)| is_absent(member)).map(|(id, _)| MemberId::clone(id));
        let absent: Vec<_> = absent.collect();
        for id in &absent {
            self.remove_member(id, out);
        }
        if let [first, rest @ ..] = &absent[..] {
            let more = rest.len();
            self.log(LogLevel::Info, format_args!("goes on without {} and {more} more: no join", Short(first)), out);
        }
    }

    /// Whether there is a leader that has joined; one that has not is replaced.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &MemberId| self.members.get(id).is_some_and(Member::is_joining);
        if !self.leader.as_ref().is_some_and(has_joined) {
            let Some((id, _)) = self.members.iter().find(|(_, member)| member.is_joining()) else {
                return false;
            };
            self.leader = Some(MemberId::clone(id));
        }
        true
    }

    /// Answers everybody who has joined and waits for the leader's assignment.
    fn begin_generation(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        self.enter(now, GroupState::CompletingRebalance);
        let (generation, size) = (self.generation, self.members.len());
        self.log(LogLevel::Info, format_args!("begins generation {generation} with {size} members"), out);
        for (id, waiter) in self.members.take_all_joining() {
            out.push(Effect::Join { waiter, answer: self.joined(&id) });
            self.members.renew_session(now.monotonic_us, &id);
            self.members.set_owes_sync(&id, true);
            self.members.get_mut(&id).expect("it has joined").is_new = false;
        }
        self.sync_ends_us = Some(now.monotonic_us.saturating_add(self.members.rebalance_timeout_us()));
    }

    /// Members that have joined but not asked for their assignment are given up.
    pub(super) fn sync_timed_out(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        self.sync_ends_us = None;
        let late = self.members.take_owing_sync();
        for id in &late {
            self.remove_member(id, out);
        }
        if let [first, rest @ ..] = &late[..] {
            let more = rest.len();
            self.prepare_rebalance(now, format_args!("no sync from {} and {more} more", Short(first)), out);
        }
    }

    /// The leader's assignment is stored: everybody gets its part.
    fn assignment_stored(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        for (_, member) in self.members.iter_mut() {
            member.assignment = member.next_assignment.take().expect("the leader's answer gave every member something");
        }
        self.enter(now, GroupState::Stable);
        for (id, waiter) in self.members.take_all_syncing() {
            out.push(Effect::Sync { waiter, answer: self.synced(&id) });
            self.members.renew_session(now.monotonic_us, &id);
        }
    }

    /// There will be no assignment in this generation.
    fn take_back_assignment(&mut self, now: Now, error: ErrorCode, out: &mut Vec<Effect<T>>) {
        for (_, member) in self.members.iter_mut() {
            member.assignment = Bytes::new();
            member.next_assignment = None;
        }
        for (id, waiter) in self.members.take_all_syncing() {
            out.push(Effect::Sync { waiter, answer: SyncAnswer::refused(error) });
            self.members.renew_session(now.monotonic_us, &id);
        }
    }

    /// An [`Effect::Persist`] is durable, or refused with the log's error.
    pub(crate) fn persisted(
        &mut self,
        now: Now,
        ticket: PersistTicket,
        result: Result<(), ErrorCode>,
        out: &mut Vec<Effect<T>>,
    ) {
        let result = result.map_err(as_answer);
        if let Err(error) = result {
            self.log(LogLevel::Warn, format_args!("could not be stored: {error}"), out);
        }
        if self.assigning == Some(ticket) {
            self.assigning = None;
            match result {
                Ok(()) => self.assignment_stored(now, out),
                Err(error) => {
                    self.take_back_assignment(now, error, out);
                    self.prepare_rebalance(now, format_args!("its assignment could not be stored"), out);
                }
            }
        } else if self.replacing == Some(ticket) {
            self.replacing = None;
            match result {
                Ok(()) => self.replacements_stored(now, out),
                Err(error) => self.replacements_refused(now, error, out),
            }
            self.persist_replacements(out);
        }
        // Anything else has been overtaken by a rebalance, whose end is stored in its turn.
    }

    /// Whatever is being stored, nobody waits for it any more.
    pub(super) fn forget_persists(&mut self) {
        self.assigning = None;
        self.replacing = None;
        self.replacements = Vec::new();
        self.next_replacements = Vec::new();
    }

    /// Has the group stored as it is, or as it is going to be with the leader's assignment.
    pub(super) fn persist(&mut self, out: &mut Vec<Effect<T>>) -> PersistTicket {
        self.last_ticket.0 += 1;
        out.push(Effect::Persist { ticket: self.last_ticket, stored: self.stored() });
        self.last_ticket
    }

    fn stored(&self) -> StoredGroup {
        let protocol = self.protocol_name().unwrap_or_default();
        let stored = |(id, member): (&MemberId, &Member<T>)| StoredMember {
            member_id: MemberId::clone(id),
            instance_id: member.instance_id.clone(),
            client_id: member.profile.client_id.clone(),
            client_host: member.profile.client_host.clone(),
            rebalance_timeout_ms: member.profile.rebalance_timeout_ms,
            session_timeout_ms: member.profile.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: member.next_assignment.as_ref().unwrap_or(&member.assignment).clone(),
        };
        StoredGroup {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            current_state_timestamp_ms: self.state_since_ms,
            members: self.members.iter().map(stored).collect(),
        }
    }

    pub(super) fn log(&self, level: LogLevel, what: fmt::Arguments<'_>, out: &mut Vec<Effect<T>>) {
        out.push(Effect::Log(level, format!("group {} {what}", Short(&self.id))));
    }
}

/// What members are told when the log refuses.
fn as_answer(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::REQUEST_TIMED_OUT => {
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        }
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE | ErrorCode::INVALID_FETCH_SIZE => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        other => other,
    }
}
