//! What the handlers of the group APIs ask of the coordinator. Every call is for a group that [`Coordinator::locate`] has
//! found on this shard.

use alloc::sync::Arc;
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::group::{Described, Effect, GroupState, Joining, Leaving, MemberSuffix, Syncing};
use super::offsets::{Committed, Offsets};
use super::partition::{Entry, MEMBER_BYTES};
use super::routing::{Route, route};
use super::writes::{Change, ChangeSet};
use super::{Coordinator, Waiter, settings};
use crate::connection::RequestId;
use crate::front::{Context, draw_topic_id};
use crate::limits;
use crate::mesh::ShardIndex;

/// Why a group is not served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotHere {
    /// Another shard of this node has it.
    Elsewhere(ShardIndex),
    /// Nobody can be asked for now.
    Refused(ErrorCode),
}

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committer<'a> {
    /// The member, or empty.
    pub(crate) member_id: &'a str,
    /// The static member's own name.
    pub(crate) instance_id: Option<&'a str>,
    /// The generation, negative for a client outside of any.
    pub(crate) generation: i32,
    /// What is answered where the group does not exist.
    pub(crate) no_such_group: ErrorCode,
}

/// What became of something that may have to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// There is nothing to write.
    Nothing,
    /// [`super::Reply::Written`] tells when it is durable.
    Later,
}

/// A group of a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// Its id.
    pub(crate) group: Arc<str>,
    /// Its kind; empty where it never had members.
    pub(crate) protocol_type: Arc<str>,
    /// Its state.
    pub(crate) state: GroupState,
}

impl Coordinator {
    /// The partition that a group belongs to, if this shard serves it now.
    pub(crate) fn locate(&mut self, cx: &mut Context<'_>, group: &str) -> Result<i32, NotHere> {
        self.refresh(cx);
        let index = match route(cx, group) {
            Route::Here(index) => index,
            // The shard that asks knew other metadata than there is now: its client asks again.
            Route::There(shard) => return Err(NotHere::Elsewhere(shard)),
            Route::Nowhere(error) => return Err(NotHere::Refused(error)),
        };
        match self.partitions.get(&index) {
            _ if self.is_stopping => Err(NotHere::Refused(ErrorCode::COORDINATOR_NOT_AVAILABLE)),
            None => Err(NotHere::Refused(ErrorCode::NOT_COORDINATOR)),
            Some(partition) if !partition.is_loaded => Err(NotHere::Refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)),
            Some(_) => Ok(index),
        }
    }

    fn entry(&self, index: i32, group: &str) -> Option<&Entry> {
        self.partitions.get(&index)?.entry(group)
    }

    fn named_entry(&mut self, index: i32, group: &str) -> Option<(Arc<str>, &mut Entry)> {
        let partition = self.partitions.get_mut(&index)?;
        let name = partition.name_of(group)?;
        let entry = partition.entry_mut(group)?;
        Some((name, entry))
    }

    /// Random bits for the id of a member that is new.
    pub(crate) fn draw_member_id(&mut self) -> MemberSuffix {
        MemberSuffix(draw_topic_id(&mut self.random).0)
    }

    /// JoinGroup: the answer comes as a reply.
    ///
    /// # Errors
    /// What is answered at once.
    pub(crate) fn join(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        group: &str,
        joining: Joining<'_>,
        waiter: RequestId,
    ) -> Result<(), ErrorCode> {
        let is_new = self.entry(index, group).is_none();
        if is_new && !joining.member_id.is_empty() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if joining.member_id.is_empty() && self.is_full(cx) {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        let name = self.entry_or_new(cx, index, group)?;
        let settings = settings(cx.config);
        let bytes = MEMBER_BYTES + joining.protocols.iter().map(|(name, data)| name.len() + data.len()).sum::<usize>();
        let entry = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(&name)).expect("it was just made");
        entry.members_memory += bytes;
        self.memory += bytes;
        let mut effects = Vec::new();
        entry.group.join(cx.now, &settings, joining, waiter, &mut effects);
        let is_stored = effects.iter().any(|effect| matches!(effect, Effect::Persist { .. }));
        self.act(cx, index, &name, effects);
        if is_new && !is_stored {
            // A group exists for others once that is in the log, as in Kafka. If it cannot be written, the next rebalance
            // of the group writes it.
            let mut set = ChangeSet::default();
            if set.created(&name, cx.now.wall_ms).is_ok() {
                let _ = self.write(cx, index, set, None);
            }
            self.forget_if_nothing(index, &name);
        }
        Ok(())
    }

    /// SyncGroup: the answer comes as a reply.
    ///
    /// # Errors
    /// What is answered at once.
    pub(crate) fn sync(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        group: &str,
        syncing: Syncing<'_>,
        waiter: RequestId,
    ) -> Result<(), ErrorCode> {
        let (name, entry) = self.named_entry(index, group).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let mut effects = Vec::new();
        entry.group.sync(syncing, waiter, &mut effects);
        self.act(cx, index, &name, effects);
        Ok(())
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        let Some((name, entry)) = self.named_entry(index, group) else { return ErrorCode::UNKNOWN_MEMBER_ID };
        let error = entry.group.heartbeat(cx.now, member_id, instance_id, generation);
        self.set_timer(index, &name);
        error
    }

    /// LeaveGroup: a code for each member.
    ///
    /// # Errors
    /// One for all.
    pub(crate) fn leave(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        group: &str,
        members: &[Leaving<'_>],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let Some((name, entry)) = self.named_entry(index, group) else {
            return Ok(alloc::vec![ErrorCode::UNKNOWN_MEMBER_ID; members.len()]);
        };
        let mut effects = Vec::new();
        let result = entry.group.leave(cx.now, members, &mut effects);
        self.act(cx, index, &name, effects);
        result
    }

    /// OffsetCommit. A client without a group makes one.
    ///
    /// # Errors
    /// What every partition is answered.
    pub(crate) fn commit(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        group: &str,
        by: Committer<'_>,
        offsets: Vec<(&str, i32, Committed)>,
        waiter: Waiter,
    ) -> Result<Written, ErrorCode> {
        if self.entry(index, group).is_none() && by.generation >= 0 {
            return Err(by.no_such_group);
        }
        let name = self.entry_or_new(cx, index, group)?;
        let result = self.commit_to(cx, index, &name, by, offsets, waiter);
        self.set_timer(index, &name);
        self.forget_if_nothing(index, &name);
        result
    }

    fn commit_to(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        name: &Arc<str>,
        by: Committer<'_>,
        offsets: Vec<(&str, i32, Committed)>,
        waiter: Waiter,
    ) -> Result<Written, ErrorCode> {
        let is_full = self.is_full(cx);
        let entry = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(name)).expect("the caller has it");
        entry.group.check_commit(cx.now, by.member_id, by.instance_id, by.generation, false)?;
        if offsets.is_empty() {
            return Ok(Written::Nothing);
        }
        let may_grow = !is_full && entry.offsets.len() + entry.pending + offsets.len() <= limits::OFFSETS_PER_GROUP_MAX;
        let is_known = |(topic, partition, _): &(&str, i32, Committed)| entry.offsets.get(topic, *partition).is_some();
        if !may_grow && !offsets.iter().all(is_known) {
            return Err(ErrorCode::INVALID_COMMIT_OFFSET_SIZE);
        }
        let mut set = ChangeSet::default();
        // The partitions of one topic follow each other: its name is made once.
        let mut last: Option<Arc<str>> = None;
        for (topic, partition, committed) in offsets {
            let topic = match &last {
                Some(last) if **last == *topic => Arc::clone(last),
                _ => entry.offsets.topic_name(topic).cloned().unwrap_or_else(|| topic.into()),
            };
            last = Some(Arc::clone(&topic));
            let written = set.offset(name, topic, partition, Some(committed));
            written.map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)?;
        }
        self.write(cx, index, set, Some(waiter))?;
        Ok(Written::Later)
    }

    /// The durable offsets of a group; none where it does not exist.
    pub(crate) fn offsets(&self, index: i32, group: &str) -> Option<&Offsets> {
        let entry = self.entry(index, group)?;
        (entry.group.state() != GroupState::Dead).then_some(&entry.offsets)
    }

    /// Whether commits to the partition of a group are on their way; then a reply tells when they are durable.
    pub(crate) fn wait_for_commits(&mut self, index: i32, waiter: Waiter) -> bool {
        self.writes.wait_for_all(index, waiter)
    }

    /// OffsetDelete: whether each of the partitions, by topic, may go, in their order; all that may go together.
    ///
    /// # Errors
    /// What the whole request is answered.
    pub(crate) fn delete_offsets(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        group: &str,
        partitions: &[(&str, i32)],
        waiter: Waiter,
    ) -> Result<(Vec<ErrorCode>, Written), ErrorCode> {
        let (name, entry) = self.named_entry(index, group).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        entry.group.check_offset_delete()?;
        let mut set = ChangeSet::default();
        let mut errors = Vec::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            if entry.group.is_subscribed_to(topic) {
                errors.push(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
                continue;
            }
            errors.push(ErrorCode::NONE);
            // Something that is not durable yet may be an offset of it.
            if entry.pending > 0 || entry.offsets.get(topic, *partition).is_some() {
                let topic = entry.offsets.topic_name(topic).cloned().unwrap_or_else(|| (*topic).into());
                let written = set.offset(&name, topic, *partition, None);
                written.map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)?;
            }
        }
        if set.is_empty() {
            return Ok((errors, Written::Nothing));
        }
        self.write(cx, index, set, Some(waiter))?;
        Ok((errors, Written::Later))
    }

    /// DeleteGroups, one of them: tombstones for its offsets and itself.
    ///
    /// # Errors
    /// Why it stays.
    pub(crate) fn delete_group(
        &mut self,
        cx: &mut Context<'_>,
        index: i32,
        group: &str,
        waiter: Waiter,
    ) -> Result<(), ErrorCode> {
        let (name, entry) = self.named_entry(index, group).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        match entry.group.state() {
            GroupState::Empty => {}
            GroupState::Dead => return Err(ErrorCode::GROUP_ID_NOT_FOUND),
            _ => return Err(ErrorCode::NON_EMPTY_GROUP),
        }
        let mut keys: Vec<(Arc<str>, i32)> =
            entry.offsets.iter().map(|(topic, partition, _)| (Arc::clone(topic), partition)).collect();
        if entry.pending > 0 {
            let of_group = self.writes.pending(index).filter_map(|change| match change {
                Change::Offset { group, topic, partition, committed: Some(_) } if *group == name => {
                    Some((Arc::clone(topic), *partition))
                }
                _ => None,
            });
            keys.extend(of_group);
            keys.sort_unstable();
            keys.dedup();
        }
        let failed = |_| ErrorCode::UNKNOWN_SERVER_ERROR;
        let mut set = ChangeSet::default();
        for (topic, partition) in keys {
            // A group may have more offsets than one batch has room for; the group itself goes with the last of them.
            if set.bytes() >= limits::GROUP_BATCH_BYTES / 2 {
                self.write(cx, index, core::mem::take(&mut set), None)?;
            }
            set.offset(&name, topic, partition, None).map_err(failed)?;
        }
        set.gone(&name).map_err(failed)?;
        self.write(cx, index, set, Some(waiter))?;
        let (_, entry) = self.named_entry(index, group).expect("it was found above");
        let deleted = entry.group.delete();
        assert_eq!(deleted, Ok(()), "its state was looked at");
        Ok(())
    }

    /// A group as DescribeGroups shows it; none where it does not exist.
    pub(crate) fn describe(&self, index: i32, group: &str) -> Option<Described<'_>> {
        let entry = self.entry(index, group).filter(|entry| entry.is_stored)?;
        Some(entry.group.describe())
    }

    /// All groups of this shard.
    ///
    /// # Errors
    /// Some are not loaded yet.
    pub(crate) fn list(&mut self, cx: &mut Context<'_>) -> Result<Vec<Listed>, ErrorCode> {
        self.refresh(cx);
        if self.is_stopping {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        if self.partitions.values().any(|partition| !partition.is_loaded) {
            return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        }
        let groups = self.partitions.values().flat_map(|partition| partition.groups());
        let listed = |(name, entry): (&Arc<str>, &Entry)| Listed {
            group: Arc::clone(name),
            protocol_type: entry.group.protocol_type().unwrap_or_default().into(),
            state: entry.group.state(),
        };
        Ok(groups.filter(|(_, entry)| entry.is_stored).map(listed).collect())
    }
}
