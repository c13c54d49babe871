//! The cooperative sticky assignment: even, and with as few partitions moved as can be.
//!
//! Invariants:
//! - Members that want a topic differ by one partition at most, as far as their topics allow: no partition could go from its
//!   reader to one that has two less.
//! - A partition that another member still holds is assigned to nobody: its holder gives it up, and the next rebalance
//!   assigns it (KIP-429).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Member, PartitionCounts};
use crate::group_member::subscription::Partitions;

/// A topic and one of its partitions.
type Place = (Arc<str>, i32);

/// Members with the same topics, by how many partitions they have; the second number is the member's rank.
type ByLoad = BTreeSet<(usize, usize)>;

/// How many partitions each member has. Members are named by rank.
struct Balance {
    loads: Vec<usize>,
    class_of: Vec<usize>,
    classes: Vec<ByLoad>,
    /// The classes that want a topic.
    classes_of: BTreeMap<Arc<str>, Vec<usize>>,
}

impl Balance {
    fn new(wanted: &[BTreeSet<&Arc<str>>]) -> Self {
        let mut numbers: BTreeMap<&BTreeSet<&Arc<str>>, usize> = BTreeMap::new();
        let mut balance = Self {
            loads: vec![0; wanted.len()],
            class_of: Vec::new(),
            classes: Vec::new(),
            classes_of: BTreeMap::new(),
        };
        for (rank, topics) in wanted.iter().enumerate() {
            let class = *numbers.entry(topics).or_insert_with(|| {
                for topic in topics {
                    balance.classes_of.entry((*topic).clone()).or_default().push(balance.classes.len());
                }
                balance.classes.push(ByLoad::new());
                balance.classes.len() - 1
            });
            balance.class_of.push(class);
            balance.classes[class].insert((0, rank));
        }
        balance
    }

    /// The member that has least of those that want a topic.
    fn least(&self, topic: &Arc<str>) -> Option<usize> {
        let classes = self.classes_of.get(topic)?;
        classes.iter().filter_map(|class| self.classes[*class].first()).min().map(|(_, rank)| *rank)
    }

    fn set(&mut self, rank: usize, load: usize) {
        let class = &mut self.classes[self.class_of[rank]];
        assert!(class.remove(&(self.loads[rank], rank)), "every member stands in its class with its load");
        class.insert((load, rank));
        self.loads[rank] = load;
    }

    fn add(&mut self, rank: usize) {
        self.set(rank, self.loads[rank] + 1);
    }

    fn remove(&mut self, rank: usize) {
        self.set(rank, self.loads[rank] - 1);
    }
}

/// What each member is to read until the next rebalance; `order` says whose turn it is among equals.
pub(super) fn assign(members: &[Member], order: &[usize], counts: &PartitionCounts) -> Vec<Partitions> {
    let ranked: Vec<&Member> = order.iter().map(|index| &members[*index]).collect();
    let there = |topic: &&Arc<str>| counts.contains_key(*topic);
    let wanted: Vec<BTreeSet<&Arc<str>>> =
        ranked.iter().map(|member| member.subscription.topics.iter().filter(there).collect()).collect();
    let readers = balanced(&ranked, &wanted, counts);
    let mut held_by: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
    for (rank, member) in ranked.iter().enumerate() {
        member.subscription.owned.iter().for_each(|place| held_by.entry(place).or_default().push(rank));
    }
    let mut assigned = vec![Partitions::new(); members.len()];
    for (place, rank) in readers {
        if held_by.get(&place).is_none_or(|holders| holders.contains(&rank)) {
            assigned[order[rank]].insert(place);
        }
    }
    assigned
}

/// The reader of every partition, once all have moved.
fn balanced(ranked: &[&Member], wanted: &[BTreeSet<&Arc<str>>], counts: &PartitionCounts) -> BTreeMap<Place, usize> {
    let mut balance = Balance::new(wanted);
    let mut readers = holders(ranked, wanted, counts);
    readers.values().for_each(|rank| balance.add(*rank));
    // Topics that few can read first, while there is a choice among those who can read more.
    let mut topics: Vec<(&Arc<str>, i32)> = counts.iter().map(|(topic, count)| (topic, *count)).collect();
    let eligible = |topic: &Arc<str>| wanted.iter().filter(|topics| topics.contains(topic)).count();
    topics.sort_by_cached_key(|(topic, _)| eligible(topic));
    for (topic, count) in topics {
        for partition in 0..count {
            let place = (topic.clone(), partition);
            if !readers.contains_key(&place)
                && let Some(rank) = balance.least(topic)
            {
                balance.add(rank);
                readers.insert(place, rank);
            }
        }
    }
    // Every move makes the sum of the squares of the loads smaller, so this ends.
    loop {
        let mut has_moved = false;
        for ((topic, _), reader) in readers.iter_mut().rev() {
            let least = balance.least(topic).expect("a partition with a reader is wanted");
            if balance.loads[*reader] >= balance.loads[least] + 2 {
                balance.remove(*reader);
                balance.add(least);
                (*reader, has_moved) = (least, true);
            }
        }
        if !has_moved {
            return readers;
        }
    }
}

/// Who has which partitions and may keep them: of several that claim one, who got it last; nobody, if that cannot be told.
fn holders(ranked: &[&Member], wanted: &[BTreeSet<&Arc<str>>], counts: &PartitionCounts) -> BTreeMap<Place, usize> {
    let mut claims: BTreeMap<Place, (Option<i32>, Option<usize>)> = BTreeMap::new();
    for (rank, member) in ranked.iter().enumerate() {
        let generation = member.subscription.generation;
        for place in &member.subscription.owned {
            if !wanted[rank].contains(&place.0) || place.1 >= counts[&place.0] {
                continue;
            }
            let claim = claims.entry(place.clone()).or_insert((generation, Some(rank)));
            if generation > claim.0 {
                *claim = (generation, Some(rank));
            } else if generation == claim.0 && claim.1 != Some(rank) {
                claim.1 = None;
            }
        }
    }
    claims.into_iter().filter_map(|(place, (_, rank))| Some((place, rank?))).collect()
}
