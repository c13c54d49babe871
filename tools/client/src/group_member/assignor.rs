//! Who reads which partitions: what the leader of a group decides for all its members.
//!
//! The strategies are those of Kafka's own clients, under the same names, so that a group may have members of any kind.
//!
//! Invariants: a partition has one reader at most; it has one whenever some member wants its topic, except while it moves
//! from one member to another ([`Assignor::CooperativeSticky`]). The same members and topics give the same result.

mod sticky;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::subscription::{Partitions, Subscription};

/// A strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Consecutive partitions of each topic, topic by topic.
    Range,
    /// All partitions of all topics, in turn.
    RoundRobin,
    /// As even as can be with as few partitions moved as can be; what moves is given up first and assigned by the next
    /// rebalance (KIP-429).
    CooperativeSticky,
}

/// How many partitions each topic has; topics that are not there are absent.
pub type PartitionCounts = BTreeMap<Arc<str>, i32>;

/// A member, as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its own name, if it is static (KIP-345).
    pub instance_id: Option<String>,
    /// What it wants and has.
    pub subscription: Subscription,
}

impl Assignor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Range, Self::RoundRobin, Self::CooperativeSticky];

    /// Its name in JoinGroup.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether members may keep their partitions through a rebalance.
    pub fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// What each member is to read, in the order of the members.
    pub fn assign(self, members: &[Member], counts: &PartitionCounts) -> Vec<Partitions> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|a, b| in_order(&members[*a], &members[*b]));
        let assigned = match self {
            Self::Range => range(members, &order, counts),
            Self::RoundRobin => round_robin(members, &order, counts),
            Self::CooperativeSticky => sticky::assign(members, &order, counts),
        };
        assert_eq!(assigned.len(), members.len(), "every member has an assignment, be it empty");
        assigned
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Assignor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|assignor| assignor.name() == text);
        found.ok_or_else(|| "not range, roundrobin or cooperative-sticky".to_owned())
    }
}

/// Static members first, by their names: a member that comes back gets what it had.
fn in_order(a: &Member, b: &Member) -> Ordering {
    match (&a.instance_id, &b.instance_id) {
        (Some(one), Some(other)) => one.cmp(other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.id.cmp(&b.id),
    }
}

fn range(members: &[Member], order: &[usize], counts: &PartitionCounts) -> Vec<Partitions> {
    let mut assigned = vec![Partitions::new(); members.len()];
    for (topic, count) in counts {
        let readers: Vec<usize> =
            order.iter().copied().filter(|member| members[*member].subscription.topics.contains(topic)).collect();
        if readers.is_empty() {
            continue;
        }
        let share = *count as usize / readers.len();
        let extra = *count as usize % readers.len();
        let mut next = 0;
        for (place, reader) in readers.into_iter().enumerate() {
            let length = (share + usize::from(place < extra)) as i32;
            assigned[reader].extend((next..next + length).map(|partition| (topic.clone(), partition)));
            next += length;
        }
    }
    assigned
}

fn round_robin(members: &[Member], order: &[usize], counts: &PartitionCounts) -> Vec<Partitions> {
    let mut assigned = vec![Partitions::new(); members.len()];
    let mut turn = 0;
    for (topic, count) in counts {
        if !members.iter().any(|member| member.subscription.topics.contains(topic)) {
            continue;
        }
        for partition in 0..*count {
            while !members[order[turn % order.len()]].subscription.topics.contains(topic) {
                turn += 1;
            }
            assigned[order[turn % order.len()]].insert((topic.clone(), partition));
            turn += 1;
        }
    }
    assigned
}

#[cfg(test)]
mod tests;
