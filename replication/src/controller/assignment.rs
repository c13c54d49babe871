//! Where the replicas of new partitions lie: what a client may ask for, and what the records then say.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::Rejection;
use crate::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId};
use crate::limits;
use crate::metadata::PartitionAssignment;

/// The brokers that a client names for a partition, if they can hold it. `brokers` are those that there are, sorted.
///
/// # Errors
/// Why they cannot, for the client.
pub(super) fn check_replicas(
    brokers: &[BrokerId],
    partition: i32,
    broker_ids: &[i32],
) -> Result<Vec<BrokerId>, String> {
    if broker_ids.is_empty() || broker_ids.len() > limits::REPLICAS_PER_PARTITION_MAX {
        return Err(format!("partition {partition} has no replica, or too many"));
    }
    let mut replicas = Vec::with_capacity(broker_ids.len());
    for id in broker_ids.iter().copied().map(BrokerId) {
        if replicas.contains(&id) {
            return Err(format!("partition {partition} has two replicas on broker {id}"));
        }
        if brokers.binary_search(&id).is_err() {
            return Err(format!("partition {partition} is assigned to broker {id}, which there is not"));
        }
        replicas.push(id);
    }
    Ok(replicas)
}

/// Whether so many partitions may come to those that there are.
pub(super) fn check_room(present: usize, more: usize, max: usize) -> Result<(), Rejection> {
    if present.saturating_add(more) > max {
        let message = format!("there are {present} partitions, of {max} at most");
        return Err(Rejection::new(ErrorCode::POLICY_VIOLATION, message));
    }
    Ok(())
}

/// At which broker a topic's placement starts: its id is random, so topics start at random ones.
pub(super) fn first_broker(topic_id: TopicId) -> u64 {
    (u128::from_le_bytes(topic_id.0) >> 64) as u64
}

/// New partitions from `first` on, each led by the first of its replicas.
pub(super) fn new_partitions(first: i32, replicas: Vec<Vec<BrokerId>>) -> Vec<PartitionAssignment> {
    let assign = |(index, replicas): (i32, Vec<BrokerId>)| PartitionAssignment {
        index: PartitionIndex(index),
        leader: replicas[0],
        replicas,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
    };
    (first..).zip(replicas).map(assign).collect()
}
