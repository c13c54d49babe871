//! Signs of life and their absence: Heartbeat, commits, LeaveGroup, and sessions that end.

use alloc::string::String;
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::members::Expired;
use super::requests::{Leaving, Short};
use super::{Effect, Group, GroupState, JoinAnswer, SyncAnswer};
use crate::io::{LogLevel, Now};

impl<T> Group<T> {
    /// Heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        now: Now,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        if self.state == GroupState::Dead {
            return ErrorCode::COORDINATOR_NOT_AVAILABLE;
        }
        if let Err(error) = self.check_generation(member_id, instance_id, generation) {
            return error;
        }
        self.members.renew_session(now.monotonic_us, member_id);
        match self.state {
            GroupState::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            _ => ErrorCode::NONE,
        }
    }

    /// Whether a member, or a client outside the group, may commit offsets now (OffsetCommit; TxnOffsetCommit with
    /// `is_transactional`). OffsetCommit counts as a sign of life.
    pub(crate) fn check_commit(
        &mut self,
        now: Now,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), ErrorCode> {
        match self.state {
            GroupState::Dead => return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
            // An operator, or a consumer that assigns itself.
            GroupState::Empty if generation < 0 => return Ok(()),
            _ => {}
        }
        let is_anonymous = generation < 0 && member_id.is_empty() && instance_id.is_none();
        if is_anonymous {
            // Before TxnOffsetCommit named members, transactions committed without.
            return if is_transactional { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        }
        self.check_generation(member_id, instance_id, generation)?;
        match self.state {
            _ if is_transactional => {}
            GroupState::CompletingRebalance => return Err(ErrorCode::REBALANCE_IN_PROGRESS),
            _ => self.members.renew_session(now.monotonic_us, member_id),
        }
        Ok(())
    }

    fn check_generation(&self, member_id: &str, instance_id: Option<&str>, generation: i32) -> Result<(), ErrorCode> {
        self.members.validate(member_id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    /// LeaveGroup: a code for each member, or one for the whole request.
    pub(crate) fn leave(
        &mut self,
        now: Now,
        members: &[Leaving<'_>],
        out: &mut Vec<Effect<T>>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        let codes: Vec<_> = members.iter().map(|leaving| self.leave_one(leaving, out)).collect();
        if let Some((first, _)) = members.iter().zip(&codes).find(|(_, code)| code.is_none()) {
            let name: String = first.instance_id.unwrap_or(first.member_id).into();
            let reason = first.reason.unwrap_or("not given");
            let what = format_args!("member {} left, reason: {}", Short(&name), Short(reason));
            self.rebalance_or_complete(now, what, out);
        }
        Ok(codes)
    }

    fn leave_one(&mut self, leaving: &Leaving<'_>, out: &mut Vec<Effect<T>>) -> ErrorCode {
        if self.members.remove_pending(leaving.member_id) {
            return ErrorCode::NONE;
        }
        let id = match (leaving.member_id, leaving.instance_id) {
            ("", Some(instance_id)) => self.members.static_id(instance_id).cloned(),
            (id, instance_id) => match self.members.validate(id, instance_id) {
                Ok(()) => Some(id.into()),
                Err(error) => return error,
            },
        };
        match id {
            Some(id) if self.remove_member(&id, out) => ErrorCode::NONE,
            _ => ErrorCode::UNKNOWN_MEMBER_ID,
        }
    }

    /// Removes a member. Whoever waits in its name learns that it is none; if it lives, it joins anew.
    pub(super) fn remove_member(&mut self, id: &str, out: &mut Vec<Effect<T>>) -> bool {
        let Some((_, joining, syncing)) = self.members.remove(id) else {
            return false;
        };
        let error = ErrorCode::UNKNOWN_MEMBER_ID;
        out.extend(joining.map(|waiter| Effect::Join { waiter, answer: JoinAnswer::refused(error, "") }));
        out.extend(syncing.map(|waiter| Effect::Sync { waiter, answer: SyncAnswer::refused(error) }));
        if self.is_leader(id) {
            self.leader = self.members.first_id();
        }
        true
    }

    /// Lets everything happen whose time has come. Call it when [`Self::next_deadline_us`] has passed.
    pub(crate) fn expire(&mut self, now: Now, out: &mut Vec<Effect<T>>) {
        let is_over = |ends_us: Option<u64>| ends_us.is_some_and(|ends_us| ends_us <= now.monotonic_us);
        loop {
            if let Some(expired) = self.members.next_expired(now.monotonic_us) {
                self.give_up(now, &expired, out);
            } else if is_over(self.join_phase.as_ref().map(|phase| phase.ends_us)) {
                self.join_timed_out(now, out);
            } else if is_over(self.sync_ends_us) {
                self.sync_timed_out(now, out);
            } else {
                break;
            }
        }
    }

    fn give_up(&mut self, now: Now, expired: &Expired, out: &mut Vec<Effect<T>>) {
        match expired {
            // Only a rebalance waits for those who are about to join.
            Expired::Pending(_) => self.maybe_complete_join(now, out),
            Expired::Member(id) => {
                self.log(LogLevel::Info, format_args!("has not heard of member {} in time", Short(id)), out);
                self.remove_member(id, out);
                self.rebalance_or_complete(now, format_args!("member {} is gone", Short(id)), out);
            }
        }
    }
}
