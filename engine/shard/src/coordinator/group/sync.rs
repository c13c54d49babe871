//! SyncGroup: the leader brings the assignment of a generation, and every member fetches its part.

use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

use super::requests::Syncing;
use super::{Effect, Group, GroupState, SyncAnswer};
use crate::io::LogLevel;

impl<T> Group<T> {
    /// SyncGroup. The answer comes as an [`Effect::Sync`], now or later.
    pub(crate) fn sync(&mut self, syncing: Syncing<'_>, waiter: T, out: &mut Vec<Effect<T>>) {
        if let Err(error) = self.check_sync(&syncing) {
            out.push(Effect::Sync { waiter, answer: SyncAnswer::refused(error) });
            return;
        }
        let id = syncing.member_id;
        self.members.set_owes_sync(id, false);
        if self.members.have_all_synced() {
            self.sync_ends_us = None;
        }
        if self.state == GroupState::Stable {
            out.push(Effect::Sync { waiter, answer: self.synced(id) });
            return;
        }
        assert_eq!(self.state, GroupState::CompletingRebalance);
        if let Some(waiter) = self.members.wait_to_sync(id, waiter) {
            // The member has asked again, most likely on another connection.
            out.push(Effect::Sync { waiter, answer: SyncAnswer::refused(ErrorCode::REBALANCE_IN_PROGRESS) });
        }
        // A leader that asks again waits for what it said first.
        if self.is_leader(id) && self.assigning.is_none() {
            self.assign(&syncing.assignments, out);
        }
    }

    fn check_sync(&self, syncing: &Syncing<'_>) -> Result<(), ErrorCode> {
        match self.state {
            GroupState::Dead => return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
            GroupState::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            _ => self.members.validate(syncing.member_id, syncing.instance_id)?,
        }
        if syncing.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |theirs: Option<&str>, ours: Option<&str>| theirs.is_some() && ours.is_some() && theirs != ours;
        if differs(syncing.protocol_type, self.protocol_type()) || differs(syncing.protocol_name, self.protocol_name())
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.state {
            GroupState::PreparingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            _ => Ok(()),
        }
    }

    /// Takes the leader's assignment and has it stored. Whom it does not name gets nothing.
    fn assign(&mut self, assignments: &[(&str, &[u8])], out: &mut Vec<Effect<T>>) {
        for (_, member) in self.members.iter_mut() {
            member.next_assignment = Some(Bytes::new());
        }
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(id) {
                member.next_assignment = Some(Bytes::copy_from_slice(assignment));
            }
        }
        let (size, static_size) = (self.members.len(), self.members.static_len());
        let what = format_args!("has an assignment for {size} members, {static_size} of them static");
        self.log(LogLevel::Info, what, out);
        self.assigning = Some(self.persist(out));
    }

    /// The answer for a member of a Stable generation.
    pub(super) fn synced(&self, id: &str) -> SyncAnswer {
        SyncAnswer {
            error: ErrorCode::NONE,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self.members.get(id).expect("only members have assignments").assignment.clone(),
        }
    }
}
