//! Which brokers get the replicas of a new topic.
//!
//! Replica j of partition i lies on broker (start + i + j) mod n of the brokers in the order of their ids: leaders and
//! replicas are spread evenly, and no partition has two replicas on one broker. Topics start at different brokers.

use alloc::vec::Vec;

use crate::ids::BrokerId;

/// Places `partitions` partitions with `replication_factor` replicas each; the first of a partition's brokers is its
/// preferred leader. `start` is any number that differs from topic to topic.
///
/// # Panics
/// If the replication factor is 0 or above the number of brokers.
#[must_use]
pub fn place(brokers: &[BrokerId], start: u64, partitions: usize, replication_factor: usize) -> Vec<Vec<BrokerId>> {
    assert!(replication_factor > 0, "a partition has a replica");
    assert!(replication_factor <= brokers.len(), "each replica lies on a broker of its own");
    let first = usize::try_from(start % brokers.len() as u64).expect("it is below a length");
    let broker_at = |step: usize| brokers[(first + step) % brokers.len()];
    (0..partitions)
        .map(|partition| (0..replication_factor).map(|replica| broker_at(partition + replica)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec;

    use super::*;

    #[test]
    fn goes_round_from_the_start() {
        let brokers = [BrokerId(1), BrokerId(4), BrokerId(7)];
        let placed = place(&brokers, 5, 3, 2);
        assert_eq!(
            placed,
            vec![vec![BrokerId(7), BrokerId(1)], vec![BrokerId(1), BrokerId(4)], vec![BrokerId(4), BrokerId(7)]]
        );
    }

    #[test]
    fn spreads_leaders_and_replicas_evenly() {
        let brokers: Vec<BrokerId> = (0..5).map(BrokerId).collect();
        let placed = place(&brokers, u64::MAX, 50, 3);
        let mut leaders = BTreeMap::new();
        let mut replicas = BTreeMap::new();
        for partition in &placed {
            *leaders.entry(partition[0]).or_insert(0) += 1;
            for (at, broker) in partition.iter().enumerate() {
                assert!(!partition[..at].contains(broker));
                *replicas.entry(*broker).or_insert(0) += 1;
            }
        }
        assert!(leaders.values().all(|count| *count == 10));
        assert!(replicas.values().all(|count| *count == 30));
    }
}
