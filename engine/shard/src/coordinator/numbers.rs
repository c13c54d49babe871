//! What whoever watches the broker wants to know of groups.

use super::Coordinator;
use super::partition::Entry;

/// A group in numbers.
#[derive(Clone, Copy, Debug)]
pub struct GroupNumbers<'a> {
    group: &'a str,
    entry: &'a Entry,
}

/// How far a group has read in a partition, as is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedOffset<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record that the group wants.
    pub offset: i64,
}

impl<'a> GroupNumbers<'a> {
    /// The group's id.
    pub fn group(&self) -> &'a str {
        self.group
    }

    /// Kafka's name of its state.
    pub fn state(&self) -> &'static str {
        self.entry.group.state().name()
    }

    /// How many members it has.
    pub fn members(&self) -> usize {
        self.entry.group.size()
    }

    /// What it has committed, in the order of topics and partitions.
    pub fn offsets(&self) -> impl Iterator<Item = CommittedOffset<'a>> {
        let numbers = |(topic, partition, it): (&'a alloc::sync::Arc<str>, i32, &super::offsets::Committed)| {
            CommittedOffset { topic, partition, offset: it.offset }
        };
        self.entry.offsets.iter().map(numbers)
    }
}

impl Coordinator {
    /// The groups that this shard coordinates, of the partitions that are loaded.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = GroupNumbers<'_>> {
        let loaded = self.partitions.values().filter(|partition| partition.is_loaded);
        let groups = loaded.flat_map(|partition| partition.groups()).filter(|(_, entry)| entry.is_stored);
        groups.map(|(group, entry)| GroupNumbers { group, entry })
    }
}
