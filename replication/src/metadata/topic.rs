//! One topic of the image.
//!
//! Invariant: it is sound from its making on. Partitions are numbered from 0 without holes, a leader is one of its
//! partition's replicas, no broker holds two replicas of one.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::record::PartitionAssignment;
use super::replay::ApplyError;
use super::topic_name;
use crate::ids::{PartitionIndex, TopicId};
use crate::limits;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    pub(super) name: Arc<str>,
    pub(super) id: TopicId,
    /// Shared with the states of this topic that have the same partitions.
    pub(super) partitions: Arc<Vec<PartitionAssignment>>,
    pub(super) configs: BTreeMap<String, String>,
}

impl TopicImage {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// Its partitions, in the order of their indexes; never none.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionAssignment] {
        &self.partitions
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionAssignment> {
        let position = usize::try_from(index.0).ok()?;
        self.partitions.get(position)
    }

    /// The configs that were set for this topic; what is not here has the default.
    #[must_use]
    pub fn configs(&self) -> &BTreeMap<String, String> {
        &self.configs
    }

    /// Builds a topic out of what a record or a snapshot says.
    pub(super) fn new(
        name: &str,
        id: TopicId,
        partitions: Vec<PartitionAssignment>,
        configs: BTreeMap<String, String>,
    ) -> Result<Self, ApplyError> {
        if id == TopicId::ZERO {
            return Err(ApplyError::Malformed("the topic id is zero"));
        }
        if topic_name::validate(name).is_err() {
            return Err(ApplyError::Malformed("the topic name is not one"));
        }
        check_partitions(0, &partitions)?;
        Ok(Self { name: Arc::from(name), id, partitions: Arc::new(partitions), configs })
    }

    /// Puts more partitions behind those that there are.
    pub(super) fn add_partitions(&mut self, partitions: &[PartitionAssignment]) -> Result<(), ApplyError> {
        let present = self.partitions.len();
        if partitions.first().is_some_and(|first| usize::try_from(first.index.0) != Ok(present)) {
            return Err(ApplyError::PartitionsTaken(self.id, partitions[0].index));
        }
        check_partitions(present, partitions)?;
        Arc::make_mut(&mut self.partitions).extend_from_slice(partitions);
        Ok(())
    }
}

/// Whether these can follow so many others.
fn check_partitions(present: usize, partitions: &[PartitionAssignment]) -> Result<(), ApplyError> {
    if partitions.is_empty() || present.saturating_add(partitions.len()) > limits::PARTITIONS_PER_TOPIC_MAX {
        return Err(ApplyError::Malformed("a topic has no partition, or too many"));
    }
    (present..).zip(partitions).try_for_each(|(position, partition)| check_partition(position, partition))
}

fn check_partition(position: usize, partition: &PartitionAssignment) -> Result<(), ApplyError> {
    if usize::try_from(partition.index.0)? != position {
        return Err(ApplyError::Malformed("the partitions are not numbered from 0 without holes"));
    }
    let replicas = &partition.replicas;
    if replicas.is_empty() || replicas.len() > limits::REPLICAS_PER_PARTITION_MAX {
        return Err(ApplyError::Malformed("a partition has no replica, or too many"));
    }
    for (at, replica) in replicas.iter().enumerate() {
        if replica.0 < 0 || replicas[..at].contains(replica) {
            return Err(ApplyError::Malformed("a replica is negative or named twice"));
        }
    }
    if !replicas.contains(&partition.leader) {
        return Err(ApplyError::Malformed("a leader is not among the replicas"));
    }
    if partition.leader_epoch.0 < 0 || partition.partition_epoch.0 < 0 {
        return Err(ApplyError::Malformed("an epoch is negative"));
    }
    Ok(())
}
