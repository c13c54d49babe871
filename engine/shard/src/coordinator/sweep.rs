//! What is outdated goes: offsets past their time, groups without members and offsets, offsets of deleted topics.
//!
//! As in Kafka: the time of an offset runs since the group has no members, or since its commit where the group never had
//! any or no longer subscribes to the topic. A sweep goes over all groups of the shard, a bounded part of them in a call,
//! and writes tombstones; what cannot be written now is found again by the next one.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use corelog_wire::ids::TopicId;

use super::Coordinator;
use super::group::{GroupState, OffsetExpiry};
use super::offsets::Committed;
use super::partition::Entry;
use super::writes::ChangeSet;
use crate::front::Context;
use crate::limits;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    /// When outdated offsets are looked for next.
    due_us: Option<u64>,
    /// What is under way and what is to follow.
    queue: VecDeque<Sweep>,
    /// The first of them cannot go on before something else has happened.
    is_held_up: bool,
}

#[derive(Debug)]
struct Sweep {
    what: What,
    /// The last group that was looked at, with its partition.
    after: Option<(i32, Option<Arc<str>>)>,
}

#[derive(Debug)]
enum What {
    /// Offsets and groups past their time.
    Outdated,
    /// Offsets of these topics, committed before this time where they do not say for which topic of that name.
    DeletedTopics { topics: Vec<(Arc<str>, TopicId)>, before_ms: Option<i64> },
}

impl Sweeps {
    pub(super) fn topic_deleted(&mut self, name: Arc<str>, id: TopicId) {
        // Topics that are deleted together are looked for together.
        match self.queue.back_mut() {
            Some(Sweep { what: What::DeletedTopics { topics, before_ms: None }, .. }) => topics.push((name, id)),
            _ => {
                let what = What::DeletedTopics { topics: [(name, id)].into(), before_ms: None };
                self.queue.push_back(Sweep { what, after: None });
            }
        }
    }

    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        if self.queue.is_empty() || self.is_held_up { self.due_us } else { Some(0) }
    }
}

impl Coordinator {
    /// Goes on with what is to be swept.
    pub(super) fn sweep(&mut self, cx: &mut Context<'_>) {
        if self.is_stopping {
            self.sweeps = Sweeps::default();
            return;
        }
        if self.groups == 0 && self.loads.is_empty() {
            // Nothing can be outdated; the next group begins anew.
            self.sweeps = Sweeps::default();
            return;
        }
        let interval_us = cx.config.groups.offsets_check_interval_ms.saturating_mul(1_000);
        let due_us = *self.sweeps.due_us.get_or_insert(cx.now.monotonic_us.saturating_add(interval_us));
        if due_us <= cx.now.monotonic_us {
            self.sweeps.due_us = Some(cx.now.monotonic_us.saturating_add(interval_us));
            if !self.sweeps.queue.iter().any(|sweep| matches!(sweep.what, What::Outdated)) {
                self.sweeps.queue.push_back(Sweep { what: What::Outdated, after: None });
            }
        }
        let mut left = limits::GROUPS_SWEPT_PER_TURN;
        self.sweeps.is_held_up = false;
        while left > 0 && !self.writes.is_busy() {
            let Some(mut sweep) = self.sweeps.queue.pop_front() else { break };
            if let What::DeletedTopics { before_ms, .. } = &mut sweep.what {
                before_ms.get_or_insert(cx.now.wall_ms);
            }
            if self.sweep_on(cx, &mut sweep, &mut left) {
                continue;
            }
            self.sweeps.queue.push_front(sweep);
        }
        self.sweeps.is_held_up |= self.writes.is_busy();
    }

    /// Whether the sweep has come to its end.
    fn sweep_on(&mut self, cx: &mut Context<'_>, sweep: &mut Sweep, left: &mut usize) -> bool {
        while *left > 0 && !self.writes.is_busy() {
            *left -= 1;
            let (index, name) = match &sweep.after {
                None => (i32::MIN, None),
                Some((index, name)) => (*index, name.as_deref()),
            };
            let Some((&index, partition)) = self.partitions.range(index..).next() else { return true };
            let is_same = sweep.after.as_ref().is_some_and(|(at, _)| *at == index);
            if !partition.is_loaded {
                // Topics that are deleted meanwhile are looked for once it is.
                if matches!(sweep.what, What::DeletedTopics { .. }) {
                    *left = 0;
                    self.sweeps.is_held_up = true;
                    return false;
                }
                sweep.after = Some((index + 1, None));
                continue;
            }
            let Some(name) = partition.next_after(name.filter(|_| is_same)) else {
                sweep.after = Some((index + 1, None));
                continue;
            };
            self.sweep_group(cx, index, &name, &sweep.what, left);
            sweep.after = Some((index, Some(name)));
        }
        false
    }

    fn sweep_group(&mut self, cx: &mut Context<'_>, index: i32, name: &Arc<str>, what: &What, left: &mut usize) {
        let Some(entry) = self.partitions.get(&index).and_then(|of| of.entry(name)) else { return };
        if entry.group.state() == GroupState::Dead {
            return;
        }
        let outdated = match what {
            // Something was just committed, or the group was: it will be looked at next time.
            What::Outdated if entry.pending > 0 => return,
            What::Outdated => outdated(entry, cx.now.wall_ms, cx.config.groups.offsets_retention_ms),
            What::DeletedTopics { topics, before_ms } => {
                *left = left.saturating_sub(topics.len() / 16);
                let before_ms = before_ms.unwrap_or(i64::MAX);
                topics.iter().flat_map(|(name, id)| of_deleted_topic(entry, name, *id, before_ms)).collect()
            }
        };
        *left = left.saturating_sub(entry.offsets.len() / 16);
        let is_over = matches!(what, What::Outdated)
            && outdated.len() == entry.offsets.len()
            && entry.group.is_empty_and_idle()
            && entry.group.state() == GroupState::Empty;
        let mut set = ChangeSet::default();
        for (topic, partition) in outdated {
            if set.bytes() >= limits::GROUP_BATCH_BYTES / 2 {
                let full = core::mem::take(&mut set);
                if self.write(cx, index, full, None).is_err() {
                    return;
                }
            }
            if set.offset(name, topic, partition, None).is_err() {
                return;
            }
        }
        if is_over && set.gone(name).is_err() {
            return;
        }
        if set.is_empty() || self.write(cx, index, set, None).is_err() || !is_over {
            return;
        }
        // From here on nobody can join it or commit for it; it is there again should the tombstone be refused.
        let entry = self.partitions.get_mut(&index).and_then(|of| of.entry_mut(name));
        let deleted = entry.expect("it was looked at").group.delete();
        assert_eq!(deleted, Ok(()), "a group without members can be deleted");
    }
}

/// The offsets of a group that are past their time.
fn outdated(entry: &Entry, now_ms: i64, retention_ms: i64) -> Vec<(Arc<str>, i32)> {
    let since = match entry.group.offset_expiry() {
        OffsetExpiry::Never => return Vec::new(),
        OffsetExpiry::SinceEmpty(at_ms) => Some(at_ms),
        OffsetExpiry::SinceCommit => None,
    };
    let is_outdated = |it: &Committed| match it.expire_ms {
        expire_ms if expire_ms >= 0 => now_ms >= expire_ms,
        _ => now_ms.saturating_sub(since.unwrap_or(it.commit_ms)) >= retention_ms,
    };
    let topics = entry.offsets.topics().filter(|(topic, _)| !entry.group.is_subscribed_to(topic));
    let of_topic = topics.flat_map(|(topic, of)| of.iter().map(move |(index, it)| (topic, *index, it)));
    of_topic.filter(|(.., it)| is_outdated(it)).map(|(topic, index, _)| (Arc::clone(topic), index)).collect()
}

/// The offsets of a group for a topic that is gone.
fn of_deleted_topic(entry: &Entry, name: &str, id: TopicId, before_ms: i64) -> Vec<(Arc<str>, i32)> {
    let Some((topic, offsets)) = entry.offsets.of_topic(name) else { return Vec::new() };
    let is_gone = |it: &Committed| match it.topic_id.is_zero() {
        true => it.commit_ms <= before_ms,
        false => it.topic_id == id,
    };
    let gone = offsets.iter().filter(|(_, it)| is_gone(it));
    gone.map(|(index, _)| (Arc::clone(topic), *index)).collect()
}
