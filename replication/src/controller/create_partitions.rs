//! CreatePartitions: which topics of a request get more partitions, and where (KIP-195).
//!
//! Every topic succeeds or fails on its own. The order of the checks is Kafka's: named twice, unknown, no increase, as
//! many assignments as new partitions, then each assignment.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::Rejection;
use super::assignment::{check_replicas, check_room, first_broker, new_partitions};
use crate::ids::BrokerId;
use crate::limits;
use crate::metadata::{MetadataImage, MetadataRecord, TopicImage, encoding};
use crate::placement;

/// A topic that is to have more partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MorePartitions<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions it is to have, those that are there included.
    pub count: i32,
    /// The brokers of each new partition, the preferred leader first; none if the controller shall place them.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// What becomes of one topic of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionsResult {
    /// The topic's name as the request has it.
    pub name: String,
    /// To be proposed as a batch of its own, so that topics stay independent; it fits into an entry. Or why the topic
    /// stays as it is.
    pub outcome: Result<Vec<MetadataRecord>, Rejection>,
}

/// Decides on a CreatePartitions request. There is one result per name, in the order in which the names come first.
/// `partitions_max` is how many partitions all topics together may have.
///
/// A topic fails with INVALID_REQUEST when it is named twice, UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS when it has
/// as many or more, INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR when there are too few brokers, and
/// POLICY_VIOLATION above a bound.
#[must_use]
pub fn create_partitions(
    image: &MetadataImage,
    topics: &[MorePartitions<'_>],
    partitions_max: usize,
) -> Vec<PartitionsResult> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in topics {
        *times.entry(topic.name).or_insert(0) += 1;
    }
    let brokers = image.brokers().keys().copied().collect();
    let mut request = Request { image, brokers, partitions_max, added: 0 };
    let mut results = Vec::with_capacity(times.len());
    for topic in topics {
        let outcome = match times.remove(topic.name) {
            None => continue,
            Some(1) => request.add(topic),
            Some(_) => Err(Rejection::new(ErrorCode::INVALID_REQUEST, "the request names this topic more than once")),
        };
        results.push(PartitionsResult { name: topic.name.to_string(), outcome });
    }
    results
}

/// One request on its way.
struct Request<'a> {
    image: &'a MetadataImage,
    brokers: Vec<BrokerId>,
    partitions_max: usize,
    /// New partitions of the topics before.
    added: usize,
}

impl Request<'_> {
    fn add(&mut self, wanted: &MorePartitions<'_>) -> Result<Vec<MetadataRecord>, Rejection> {
        let topic = self.image.topic_by_name(wanted.name).ok_or_else(|| {
            let message = format!("there is no topic '{}'", wanted.name);
            Rejection::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        })?;
        let present = topic.partitions().len();
        let more = match usize::try_from(wanted.count).ok().and_then(|count| count.checked_sub(present)) {
            Some(more @ 1..) => more,
            _ => {
                let message =
                    format!("topic '{}' has {present} partitions; {} would be no increase", wanted.name, wanted.count);
                return Err(Rejection::new(ErrorCode::INVALID_PARTITIONS, message));
            }
        };
        if let Some(assignments) = wanted.assignments.as_ref().filter(|assignments| assignments.len() != more) {
            let message = format!("{} assignments are given for {more} new partitions", assignments.len());
            return Err(Rejection::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        }
        self.check_bounds(present, more)?;
        let replicas = match &wanted.assignments {
            Some(assignments) => self.take_assignments(topic, assignments)?,
            None => self.place(topic, more)?,
        };
        let first = i32::try_from(present).expect("a topic's partitions are bounded");
        let partitions = new_partitions(first, replicas);
        let records = vec![MetadataRecord::MorePartitions { topic_id: topic.id(), partitions }];
        encoding::encode(&records)?;
        self.added += more;
        Ok(records)
    }

    fn check_bounds(&self, present: usize, more: usize) -> Result<(), Rejection> {
        let refuse = |message| Err(Rejection::new(ErrorCode::POLICY_VIOLATION, message));
        if self.added.saturating_add(more) > limits::PARTITIONS_PER_REQUEST_MAX {
            return refuse(format!("a request creates {} partitions at most", limits::PARTITIONS_PER_REQUEST_MAX));
        }
        if present.saturating_add(more) > limits::PARTITIONS_PER_TOPIC_MAX {
            return refuse(format!("a topic has {} partitions at most", limits::PARTITIONS_PER_TOPIC_MAX));
        }
        check_room(self.image.partition_count() + self.added, more, self.partitions_max)
    }

    fn take_assignments(&self, topic: &TopicImage, assignments: &[Vec<i32>]) -> Result<Vec<Vec<BrokerId>>, Rejection> {
        let refuse = |message: String| Rejection::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        let factor = replication_factor(topic);
        let mut all = Vec::with_capacity(assignments.len());
        for (index, broker_ids) in (topic.partitions().len()..).zip(assignments) {
            let index = i32::try_from(index).expect("a topic's partitions are bounded");
            let replicas = check_replicas(&self.brokers, index, broker_ids).map_err(refuse)?;
            if replicas.len() != factor {
                let message = format!(
                    "partition {index} is assigned to {} brokers, where the topic's partitions have {factor} replicas",
                    replicas.len()
                );
                return Err(refuse(message));
            }
            all.push(replicas);
        }
        Ok(all)
    }

    /// Goes on where the placement of the topic's present partitions ends.
    fn place(&self, topic: &TopicImage, more: usize) -> Result<Vec<Vec<BrokerId>>, Rejection> {
        let factor = replication_factor(topic);
        if factor > self.brokers.len() {
            let message = format!("{factor} replicas cannot be placed on {} brokers", self.brokers.len());
            return Err(Rejection::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
        }
        let start = first_broker(topic.id()) % self.brokers.len() as u64 + topic.partitions().len() as u64;
        Ok(placement::place(&self.brokers, start, more, factor))
    }
}

/// How many replicas the topic's first partition has, and so every new one.
fn replication_factor(topic: &TopicImage) -> usize {
    topic.partitions()[0].replicas.len()
}
