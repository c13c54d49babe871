//! JoinGroup: who is let in, as whom, and whether that begins a rebalance.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

use super::members::{Member, Profile, Protocol, millis_to_us};
use super::requests::{GroupSettings, Joining, Short};
use super::{Effect, Group, GroupState, JoinAnswer, JoinedMember, MemberId, SyncAnswer};
use crate::io::Now;
use crate::limits;

/// How long a new member waits for its first generation at most. It cannot send heartbeats and may be gone; if it is
/// not, it asks again. Kafka's value.
const NEW_MEMBER_WAIT_US: u64 = 5 * 60 * 1_000_000;

/// A static member that came back with another id while the group was Stable.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) old_id: MemberId,
    pub(super) new_id: MemberId,
    /// What the member said of itself before.
    pub(super) old_profile: Profile,
    pub(super) supports_skip_assignment: bool,
}

/// What becomes of a JoinGroup request.
enum Verdict {
    /// It is answered at once.
    Answer(JoinAnswer),
    /// A member is added.
    Add(MemberId),
    /// A static member came back: the first id is replaced by the second.
    Replace(MemberId, MemberId),
    /// The member takes part in the next generation.
    Rejoin(MemberId),
}

impl<T> Group<T> {
    /// JoinGroup. The answer comes as an [`Effect::Join`], now or later. The group id's own validity, and whether there
    /// is such a group at all, are the caller's to check (a member with an id that no group knows is answered
    /// `UNKNOWN_MEMBER_ID`).
    pub(crate) fn join(
        &mut self,
        now: Now,
        settings: &GroupSettings,
        mut joining: Joining<'_>,
        waiter: T,
        out: &mut Vec<Effect<T>>,
    ) {
        let mut names = BTreeSet::new();
        joining.protocols.retain(|(name, _)| names.insert(*name));
        match self.admit(now, settings, &joining, out) {
            Verdict::Answer(answer) => out.push(Effect::Join { waiter, answer }),
            Verdict::Add(id) => self.add(now, settings, &id, &joining, waiter, out),
            Verdict::Replace(old_id, new_id) => self.replace_static(now, &old_id, &new_id, &joining, waiter, out),
            Verdict::Rejoin(id) => self.rejoin(now, &id, &joining, waiter, out),
        }
    }

    fn admit(
        &mut self,
        now: Now,
        settings: &GroupSettings,
        joining: &Joining<'_>,
        out: &mut Vec<Effect<T>>,
    ) -> Verdict {
        let refused = |error| Verdict::Answer(JoinAnswer::refused(error, joining.member_id));
        if !(settings.min_session_timeout_ms..=settings.max_session_timeout_ms).contains(&joining.session_timeout_ms) {
            return refused(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if self.state == GroupState::Dead {
            return refused(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        if !self.has_room_for(joining.member_id, settings.max_size) {
            self.turn_away(now, joining.member_id, out);
            return Verdict::Answer(JoinAnswer::refused(ErrorCode::GROUP_MAX_SIZE_REACHED, ""));
        }
        if !self.supports(joining) {
            return refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if joining.member_id.is_empty() { self.admit_new(now, joining) } else { self.admit_known(joining) }
    }

    /// Members are counted when a generation has begun, else those who wait for it: after the bound was lowered, the last
    /// to rejoin are turned away.
    fn has_room_for(&self, member_id: &str, size_max: usize) -> bool {
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                self.members.get(member_id).is_some_and(Member::is_joining) || self.members.joining_len() < size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.get(member_id).is_some() || self.members.len() < size_max
            }
        }
    }

    fn turn_away(&mut self, now: Now, member_id: &str, out: &mut Vec<Effect<T>>) {
        let was_pending = self.members.remove_pending(member_id);
        if self.remove_member(member_id, out) || was_pending {
            self.maybe_complete_join(now, out);
        }
    }

    fn supports(&self, joining: &Joining<'_>) -> bool {
        let mut names = joining.protocols.iter().map(|(name, _)| *name);
        match self.state {
            GroupState::Empty => !joining.protocol_type.is_empty() && names.next().is_some(),
            _ => self.protocol_type() == Some(joining.protocol_type) && self.members.all_support_one_of(names),
        }
    }

    fn admit_new(&mut self, now: Now, joining: &Joining<'_>) -> Verdict {
        let new_id = joining.new_member_id.after(joining.instance_id.unwrap_or(joining.client_id));
        match joining.instance_id.map(|instance_id| self.members.static_id(instance_id)) {
            Some(Some(old_id)) => Verdict::Replace(MemberId::clone(old_id), new_id),
            None if joining.requires_known_member_id => {
                let until_us = now.monotonic_us.saturating_add(millis_to_us(joining.session_timeout_ms));
                self.members.add_pending(&new_id, until_us, limits::GROUP_PENDING_MEMBERS_MAX);
                Verdict::Answer(JoinAnswer::refused(ErrorCode::MEMBER_ID_REQUIRED, &new_id))
            }
            _ => Verdict::Add(new_id),
        }
    }

    fn admit_known(&self, joining: &Joining<'_>) -> Verdict {
        // Ids are told to dynamic members only.
        if joining.instance_id.is_none()
            && let Some(id) = self.members.pending_id(joining.member_id)
        {
            return Verdict::Add(id);
        }
        if let Err(error) = self.members.validate(joining.member_id, joining.instance_id) {
            return Verdict::Answer(JoinAnswer::refused(error, joining.member_id));
        }
        let id = self.members.id(joining.member_id).expect("just validated");
        let says_the_same = || {
            let member = self.members.get(&id).expect("just validated");
            member.profile.matches(&joining.protocols)
        };
        match self.state {
            // It may have missed the answer: it gets it again.
            GroupState::CompletingRebalance if says_the_same() => Verdict::Answer(self.joined(&id)),
            // A leader that joins again wants a rebalance, because the topics have changed.
            GroupState::Stable if !self.is_leader(&id) && says_the_same() => Verdict::Answer(self.joined(&id)),
            _ => Verdict::Rejoin(id),
        }
    }

    fn add(
        &mut self,
        now: Now,
        settings: &GroupSettings,
        id: &MemberId,
        joining: &Joining<'_>,
        waiter: T,
        out: &mut Vec<Effect<T>>,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(joining.protocol_type.into());
        }
        let mut member = Member::new(joining.instance_id.map(Into::into), profile_of(joining), Bytes::new());
        member.is_new = true;
        self.members.insert(id, member);
        self.members.wait_to_join(id, waiter);
        self.members.end_session_at(now.monotonic_us.saturating_add(NEW_MEMBER_WAIT_US), id);
        self.leader.get_or_insert_with(|| MemberId::clone(id));
        if self.state == GroupState::Empty {
            self.begin_first_rebalance(now, settings.initial_rebalance_delay_ms, out);
            return;
        }
        if let Some(initial) = self.join_phase.as_mut().and_then(|phase| phase.initial.as_mut()) {
            initial.has_grown = true;
        }
        let reason = joining.reason.unwrap_or("not given");
        self.rebalance_or_complete(now, format_args!("member {} joins, reason: {}", Short(id), Short(reason)), out);
    }

    fn rejoin(&mut self, now: Now, id: &MemberId, joining: &Joining<'_>, waiter: T, out: &mut Vec<Effect<T>>) {
        let member = self.members.get(id).expect("only members rejoin");
        let client = (&member.profile.client_id, &member.profile.client_host);
        let profile = Profile { client_id: client.0.clone(), client_host: client.1.clone(), ..profile_of(joining) };
        self.members.update(id, profile);
        self.wait_to_join(id, waiter, out);
        let reason = joining.reason.unwrap_or("not given");
        self.rebalance_or_complete(now, format_args!("member {} rejoins, reason: {}", Short(id), Short(reason)), out);
    }

    fn wait_to_join(&mut self, id: &MemberId, waiter: T, out: &mut Vec<Effect<T>>) {
        if let Some(waiter) = self.members.wait_to_join(id, waiter) {
            // The member has asked again, most likely on another connection. Kafka leaves the first request without an
            // answer; with this one, whoever still listens asks once more.
            out.push(Effect::Join { waiter, answer: JoinAnswer::refused(ErrorCode::REBALANCE_IN_PROGRESS, id) });
        }
    }

    /// A static member came back without its id: from now on it has a new one, and whoever used the old one is fenced.
    fn replace_static(
        &mut self,
        now: Now,
        old_id: &MemberId,
        new_id: &MemberId,
        joining: &Joining<'_>,
        waiter: T,
        out: &mut Vec<Effect<T>>,
    ) {
        let was_leader = self.is_leader(old_id);
        let old_profile = self.rename(old_id, new_id, out);
        self.members.update(new_id, profile_of(joining));
        self.members.wait_to_join(new_id, waiter);
        self.members.renew_session(now.monotonic_us, new_id);
        match self.state {
            GroupState::Stable if self.keeps_protocol(&old_profile, new_id) => {
                assert!(!was_leader || self.is_leader(new_id), "the leader keeps its part");
                self.next_replacements.push(Replacement {
                    old_id: MemberId::clone(old_id),
                    new_id: MemberId::clone(new_id),
                    old_profile,
                    supports_skip_assignment: joining.supports_skip_assignment,
                });
                self.persist_replacements(out);
            }
            // In CompletingRebalance too: the leader may have been told the old id, and would assign nothing to the new one.
            _ => {
                let reason = format_args!("static member {} came back", Short(new_id));
                self.rebalance_or_complete(now, reason, out);
            }
        }
    }

    /// Gives a static member another id. Whoever waits under the old one is fenced.
    fn rename(&mut self, old_id: &MemberId, new_id: &MemberId, out: &mut Vec<Effect<T>>) -> Profile {
        let (old, joining, syncing) = self.members.remove(old_id).expect("only members are renamed");
        let error = ErrorCode::FENCED_INSTANCE_ID;
        out.extend(joining.map(|waiter| Effect::Join { waiter, answer: JoinAnswer::refused(error, old_id) }));
        out.extend(syncing.map(|waiter| Effect::Sync { waiter, answer: SyncAnswer::refused(error) }));
        let member = Member::new(old.instance_id, old.profile.clone(), old.assignment);
        self.members.insert(new_id, member);
        if self.is_leader(old_id) {
            self.leader = Some(MemberId::clone(new_id));
        }
        old.profile
    }

    /// Whether the members would choose the same assignor after one of them changed what it says of itself.
    fn keeps_protocol(&self, old_profile: &Profile, id: &str) -> bool {
        let profile = &self.members.get(id).expect("just renamed").profile;
        profile.votes_as(old_profile) || self.members.select_protocol() == self.protocol_name
    }

    /// Static members that came back are stored together, as many as came while others were being stored.
    pub(super) fn persist_replacements(&mut self, out: &mut Vec<Effect<T>>) {
        if self.replacing.is_none() && !self.next_replacements.is_empty() {
            self.replacements = core::mem::take(&mut self.next_replacements);
            self.replacing = Some(self.persist(out));
        }
    }

    /// Static members that came back are stored: they go on with their assignments, without a rebalance.
    pub(super) fn replacements_stored(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        for replacement in core::mem::take(&mut self.replacements) {
            let id = &replacement.new_id;
            // It may have come back once more.
            let Some(waiter) = self.members.take_joining(id) else {
                continue;
            };
            self.members.renew_session(now.monotonic_us, id);
            let mut answer = self.joined(id);
            if self.is_leader(id) {
                if replacement.supports_skip_assignment {
                    answer.skip_assignment = true;
                } else {
                    // It would assign anew if it knew.
                    answer.leader = replacement.old_id;
                    answer.members = Vec::new();
                }
            }
            out.push(Effect::Join { waiter, answer });
        }
    }

    /// Static members that came back cannot be stored: they keep their old ids.
    pub(super) fn replacements_refused(&mut self, now: Now, error: ErrorCode, out: &mut Vec<Effect<T>>) {
        for replacement in core::mem::take(&mut self.replacements) {
            let Some(waiter) = self.members.take_joining(&replacement.new_id) else {
                continue;
            };
            out.push(Effect::Join { waiter, answer: JoinAnswer::refused(error, "") });
            self.rename(&replacement.new_id, &replacement.old_id, out);
            self.members.update(&replacement.old_id, replacement.old_profile);
            self.members.renew_session(now.monotonic_us, &replacement.old_id);
        }
    }

    /// The answer for a member of this generation.
    pub(super) fn joined(&self, id: &MemberId) -> JoinAnswer {
        JoinAnswer {
            error: ErrorCode::NONE,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: MemberId::clone(id),
            members: if self.is_leader(id) { self.joined_members() } else { Vec::new() },
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol_name().expect("a generation with members has an assignor");
        let joined = |(id, member): (&MemberId, &Member<T>)| JoinedMember {
            member_id: MemberId::clone(id),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.iter().map(joined).collect()
    }
}

fn profile_of(joining: &Joining<'_>) -> Profile {
    let protocol = |(name, metadata): &(&str, &[u8])| Protocol {
        name: (*name).into(),
        metadata: Bytes::copy_from_slice(metadata),
    };
    Profile {
        client_id: joining.client_id.into(),
        client_host: joining.client_host.into(),
        session_timeout_ms: joining.session_timeout_ms,
        rebalance_timeout_ms: joining.rebalance_timeout_ms,
        protocols: joining.protocols.iter().map(protocol).collect(),
    }
}
