//! The committed offsets of one group: those that are durable, and nothing else.
//!
//! Invariant: what stands here was read from the log or its commit is durable, so that everything here may be told to
//! clients.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use corelog_wire::ids::TopicId;

/// What was committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The offset of the next record that the group wants.
    pub(crate) offset: i64,
    /// The leader epoch of the record before, or -1.
    pub(crate) leader_epoch: i32,
    /// Whatever the client wanted to be kept with it.
    pub(crate) metadata: Box<str>,
    /// When it was committed, in milliseconds since 1970.
    pub(crate) commit_ms: i64,
    /// When it expires, whatever the broker's settings say; -1 where the client did not say so.
    pub(crate) expire_ms: i64,
    /// The topic's id at that time; zero where it is not known.
    pub(crate) topic_id: TopicId,
}

impl Committed {
    /// Whether it was committed for a topic of that id, as far as is known.
    pub(crate) fn is_of(&self, topic: TopicId) -> bool {
        self.topic_id.is_zero() || topic.is_zero() || self.topic_id == topic
    }

    /// The memory that it takes, about.
    pub(crate) fn memory(&self) -> usize {
        core::mem::size_of::<(i32, Self)>() + self.metadata.len()
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Committed>>,
    count: usize,
    memory: usize,
}

impl Offsets {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The memory that they take, about.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What was committed for a partition.
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.topics.get(topic)?.get(&partition)
    }

    /// The name of a topic as it is kept here, if anything is committed for it.
    pub(crate) fn topic_name(&self, topic: &str) -> Option<&Arc<str>> {
        self.topics.get_key_value(topic).map(|(name, _)| name)
    }

    /// A commit is durable. Gives what was there before.
    pub(crate) fn set(&mut self, topic: &Arc<str>, partition: i32, committed: Committed) -> Option<Committed> {
        let of_topic = match self.topics.get_mut(&**topic) {
            Some(of_topic) => of_topic,
            None => self.topics.entry(Arc::clone(topic)).or_default(),
        };
        self.memory += committed.memory();
        let before = of_topic.insert(partition, committed);
        self.memory -= before.as_ref().map_or(0, Committed::memory);
        self.count += usize::from(before.is_none());
        before
    }

    /// The end of an offset is durable. Gives what was there before.
    pub(crate) fn remove(&mut self, topic: &str, partition: i32) -> Option<Committed> {
        let of_topic = self.topics.get_mut(topic)?;
        let before = of_topic.remove(&partition)?;
        if of_topic.is_empty() {
            self.topics.remove(topic);
        }
        self.count -= 1;
        self.memory -= before.memory();
        Some(before)
    }

    /// By topic, in the order of names and partitions.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<i32, Committed>)> {
        self.topics.iter()
    }

    /// All of them, in the order of topics and partitions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i32, &Committed)> {
        self.topics.iter().flat_map(|(topic, of)| of.iter().map(move |(partition, it)| (topic, *partition, it)))
    }

    /// Those of one topic.
    pub(crate) fn of_topic(&self, topic: &str) -> Option<(&Arc<str>, &BTreeMap<i32, Committed>)> {
        self.topics.get_key_value(topic)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn at(offset: i64) -> Committed {
        Committed {
            offset,
            leader_epoch: -1,
            metadata: "".into(),
            commit_ms: 1,
            expire_ms: -1,
            topic_id: TopicId::ZERO,
        }
    }

    #[test]
    fn offsets_are_counted_and_topics_without_any_are_forgotten() {
        let mut offsets = Offsets::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!(offsets.set(&a, 1, at(5)), None);
        assert_eq!(offsets.set(&a, 1, at(6)), Some(at(5)));
        assert_eq!(offsets.set(&a, 0, at(7)), None);
        assert_eq!(offsets.set(&b, 3, at(8)), None);
        assert_eq!(offsets.len(), 3);
        let all: Vec<_> = offsets.iter().map(|(topic, index, it)| (&**topic, index, it.offset)).collect();
        assert_eq!(all, [("a", 0, 7), ("a", 1, 6), ("b", 3, 8)]);
        assert_eq!(offsets.remove("a", 9), None);
        assert_eq!(offsets.remove("b", 3), Some(at(8)));
        assert!(offsets.topic_name("b").is_none());
        assert_eq!((offsets.len(), offsets.is_empty()), (2, false));
        assert_eq!(offsets.memory(), 2 * at(0).memory());
    }
}
