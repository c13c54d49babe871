//! One partition of `__consumer_offsets`: the groups that belong to it.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::ops::Bound;

use super::group::{Group, GroupSettings, StoredGroup};
use super::offsets::Offsets;
use crate::connection::RequestId;
use crate::io::Now;
use crate::log::PartitionId;

/// A group, with what the coordinator knows of it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its members. While the partition is loaded nobody has any.
    pub(super) group: Group<RequestId>,
    /// What is durable.
    pub(super) offsets: Offsets,
    /// How it was stored last, or is being stored.
    pub(super) stored: Option<StoredGroup>,
    /// Clients may hear that it exists: a record of it is durable.
    pub(super) is_stored: bool,
    /// Changes that are not durable.
    pub(super) pending: usize,
    /// Where it stands in the coordinator's timers.
    pub(super) timer_us: Option<u64>,
    /// Bytes that its members have sent along, about.
    pub(super) members_memory: usize,
}

impl Entry {
    pub(super) fn new(group: Group<RequestId>) -> Self {
        Self {
            group,
            offsets: Offsets::default(),
            stored: None,
            is_stored: false,
            pending: 0,
            timer_us: None,
            members_memory: 0,
        }
    }

    /// The group as it was stored last, if it was: otherwise there are only offsets.
    pub(super) fn remembered(&self, now: Now, settings: &GroupSettings, name: &str) -> Group<RequestId> {
        match &self.stored {
            Some(stored) => Group::restore(now, settings, name.to_string(), stored.clone()),
            None => Group::new(now, name.to_string()),
        }
    }

    /// The memory that it counts for, about.
    pub(super) fn memory(&self) -> usize {
        self.members_memory + self.offsets.memory()
    }
}

/// The memory that the members of a group take, about.
pub(super) fn memory_of(stored: &StoredGroup) -> usize {
    stored.members.iter().map(|member| MEMBER_BYTES + member.subscription.len() + member.assignment.len()).sum()
}

/// What a member takes besides what it sends, about.
pub(super) const MEMBER_BYTES: usize = 512;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Partition {
    /// Where its records are.
    pub(super) log: PartitionId,
    /// Everything is read: groups may be asked for.
    pub(super) is_loaded: bool,
    /// The first offset that is not read yet.
    pub(super) next_offset: i64,
    groups: BTreeMap<Arc<str>, Entry>,
}

impl Partition {
    /// To be loaded from there on.
    pub(super) fn new(log: PartitionId, log_start: i64) -> Self {
        Self { log, is_loaded: false, next_offset: log_start, groups: BTreeMap::new() }
    }

    pub(super) fn entry(&self, group: &str) -> Option<&Entry> {
        self.groups.get(group)
    }

    pub(super) fn entry_mut(&mut self, group: &str) -> Option<&mut Entry> {
        self.groups.get_mut(group)
    }

    /// A group's name as it is kept here.
    pub(super) fn name_of(&self, group: &str) -> Option<Arc<str>> {
        self.groups.get_key_value(group).map(|(name, _)| Arc::clone(name))
    }

    pub(super) fn insert(&mut self, name: Arc<str>, entry: Entry) {
        let before = self.groups.insert(name, entry);
        assert!(before.is_none(), "a group is made once");
    }

    pub(super) fn remove(&mut self, group: &str) -> Option<Entry> {
        self.groups.remove(group)
    }

    pub(super) fn take_groups(&mut self) -> BTreeMap<Arc<str>, Entry> {
        core::mem::take(&mut self.groups)
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.groups.values_mut()
    }

    /// In the order of their names.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.groups.iter()
    }

    /// The first group behind one of that name, or the first of all.
    pub(super) fn next_after(&self, name: Option<&str>) -> Option<Arc<str>> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.groups.range::<str, _>((from, Bound::Unbounded)).next().map(|(name, _)| Arc::clone(name))
    }
}
