//! What the cluster looks like: brokers, topics, leaders; and when that has to be asked again.
//!
//! Invariants:
//! - Only topics that somebody [wants](Metadata::want) are asked for and kept.
//! - What is known stays until it is known better: an answer that says nothing about a leader takes away that leader,
//!   a failed request takes away nothing.
//! - One request at a time, and none sooner than [`RETRY_BACKOFF`] after the last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corelog_wire::api::metadata::{MetadataResponse, MetadataResponseTopic};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use crate::address::Address;
use crate::limits::{METADATA_AGE_MAX, RETRY_BACKOFF};

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The leader's broker id, if it has one.
    pub leader: Option<i32>,
    /// The leader's epoch, or -1.
    pub leader_epoch: i32,
}

/// A topic that somebody wants.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Its id; zero if it is not known, or if the brokers have none.
    pub id: TopicId,
    /// What the last answer said about it; none if there was no answer yet.
    pub error: Option<ErrorCode>,
    /// Its partitions by index; empty if it is not known.
    pub partitions: Vec<Partition>,
}

impl Topic {
    fn read(topic: &MetadataResponseTopic<'_>) -> Self {
        let mut partitions = Vec::new();
        for partition in topic.partitions {
            let Ok(index) = usize::try_from(partition.partition_index) else { continue };
            // A partition has a line of its own in the answer, so an index is below their number.
            if index >= topic.partitions.len() {
                continue;
            }
            if index >= partitions.len() {
                partitions.resize(index + 1, Partition { leader: None, leader_epoch: -1 });
            }
            let leader = (partition.leader_id >= 0).then_some(partition.leader_id);
            partitions[index] = Partition { leader, leader_epoch: partition.leader_epoch };
        }
        Self { id: topic.topic_id, error: Some(topic.error_code), partitions }
    }

    /// Whether there is nothing more to wait for.
    fn is_settled(&self) -> bool {
        match self.error {
            Some(ErrorCode::NONE) => self.partitions.iter().all(|partition| partition.leader.is_some()),
            Some(error) => !error.is_retriable(),
            None => false,
        }
    }
}

/// The cache.
#[derive(Debug)]
pub struct Metadata {
    brokers: BTreeMap<i32, Address>,
    cluster_id: Option<String>,
    controller_id: Option<i32>,
    topics: BTreeMap<Arc<str>, Topic>,
    answered_at: Option<Duration>,
    asked_at: Option<Duration>,
    is_stale: bool,
    is_under_way: bool,
}

impl Default for Metadata {
    fn default() -> Self {
        Self::new()
    }
}

impl Metadata {
    /// Nothing known, nothing wanted but the brokers.
    pub fn new() -> Self {
        Self {
            brokers: BTreeMap::new(),
            cluster_id: None,
            controller_id: None,
            topics: BTreeMap::new(),
            answered_at: None,
            asked_at: None,
            is_stale: true,
            is_under_way: false,
        }
    }

    /// Asks for a topic from now on.
    pub fn want(&mut self, topic: &str) -> Arc<str> {
        if let Some((name, _)) = self.topics.get_key_value(topic) {
            return name.clone();
        }
        let name: Arc<str> = topic.into();
        self.topics.insert(name.clone(), Topic::default());
        self.is_stale = true;
        name
    }

    /// A topic that is wanted.
    pub fn topic(&self, topic: &str) -> Option<&Topic> {
        self.topics.get(topic)
    }

    /// How many partitions a topic has, once that is known.
    pub fn partition_count(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(|topic| topic.partitions.len()).filter(|count| *count > 0)
    }

    /// The leader of a partition and its epoch.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        let partition = self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)?;
        partition.leader.map(|leader| (leader, partition.leader_epoch))
    }

    /// The id of a topic, where there is one.
    pub fn topic_id(&self, topic: &str) -> Option<TopicId> {
        self.topics.get(topic).map(|topic| topic.id).filter(|id| !id.is_zero())
    }

    /// Where a broker is.
    pub fn broker(&self, id: i32) -> Option<&Address> {
        self.brokers.get(&id)
    }

    /// The brokers by id.
    pub fn brokers(&self) -> impl Iterator<Item = (i32, &Address)> {
        self.brokers.iter().map(|(id, address)| (*id, address))
    }

    /// The controller's broker id.
    pub fn controller(&self) -> Option<i32> {
        self.controller_id
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// Whether there was an answer yet.
    pub fn is_known(&self) -> bool {
        self.answered_at.is_some()
    }

    /// Says that something turned out to be wrong: it is asked again soon.
    pub fn mark_stale(&mut self) {
        self.is_stale = true;
    }

    /// When to ask next; none while a request is under way.
    pub fn due_at(&self) -> Option<Duration> {
        if self.is_under_way {
            return None;
        }
        let aged = self.answered_at.map_or(Duration::ZERO, |at| at + METADATA_AGE_MAX);
        let soon = self.asked_at.map_or(Duration::ZERO, |at| at + RETRY_BACKOFF);
        Some(if self.is_stale { soon } else { aged.max(soon) })
    }

    /// The topics to ask for.
    pub(crate) fn wanted(&self) -> Vec<Arc<str>> {
        self.topics.keys().cloned().collect()
    }

    /// A request was sent.
    pub(crate) fn asked(&mut self, now: Duration) {
        self.asked_at = Some(now);
        self.is_under_way = true;
        self.is_stale = false;
    }

    /// The request was lost.
    pub(crate) fn failed(&mut self) {
        self.is_under_way = false;
        self.is_stale = true;
    }

    /// Takes an answer.
    pub(crate) fn apply(&mut self, now: Duration, response: &MetadataResponse<'_>) {
        self.is_under_way = false;
        if !response.error_code.is_none() {
            self.is_stale = true;
            return;
        }
        self.answered_at = Some(now);
        self.cluster_id = response.cluster_id.map(str::to_owned).or(self.cluster_id.take());
        self.controller_id = (response.controller_id >= 0).then_some(response.controller_id);
        let port = |port: i32| u16::try_from(port).ok();
        let broker = |broker: corelog_wire::api::metadata::MetadataResponseBroker<'_>| {
            Some((broker.node_id, Address::new(broker.host, port(broker.port)?)))
        };
        self.brokers = response.brokers.iter().filter_map(broker).collect();
        for topic in response.topics {
            if let Some(known) = topic.name.and_then(|name| self.topics.get_mut(name)) {
                let partitions = std::mem::take(&mut known.partitions);
                *known = Topic::read(&topic);
                if known.error.is_some_and(|error| !error.is_none() && error.is_retriable()) && !partitions.is_empty() {
                    known.partitions = partitions;
                }
            }
        }
        self.is_stale |= self.topics.values().any(|topic| !topic.is_settled());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelog_wire::api::metadata::{MetadataResponseBroker, MetadataResponsePartition};

    const SECOND: Duration = Duration::from_secs(1);

    fn broker(node_id: i32, port: i32) -> MetadataResponseBroker<'static> {
        MetadataResponseBroker { node_id, host: "h", port, rack: None }
    }

    fn partition(partition_index: i32, leader_id: i32) -> MetadataResponsePartition<'static> {
        MetadataResponsePartition { partition_index, leader_id, leader_epoch: 5, ..Default::default() }
    }

    fn apply(
        metadata: &mut Metadata,
        now: Duration,
        error_code: ErrorCode,
        partitions: &[MetadataResponsePartition<'_>],
    ) {
        let brokers = [broker(1, 9092), broker(2, 9093)];
        let topics = [MetadataResponseTopic {
            error_code,
            name: Some("t"),
            topic_id: TopicId([7; 16]),
            partitions: partitions.into(),
            ..Default::default()
        }];
        let response = MetadataResponse {
            brokers: (&brokers).into(),
            cluster_id: Some("c"),
            controller_id: 2,
            topics: (&topics).into(),
            ..Default::default()
        };
        metadata.asked(now);
        metadata.apply(now, &response);
    }

    #[test]
    fn an_answer_is_kept_until_it_ages() {
        let mut metadata = Metadata::new();
        assert_eq!(metadata.due_at(), Some(Duration::ZERO));
        metadata.want("t");
        apply(&mut metadata, SECOND, ErrorCode::NONE, &[partition(1, 1), partition(0, 2)]);
        assert_eq!(metadata.partition_count("t"), Some(2));
        assert_eq!((metadata.leader("t", 0), metadata.leader("t", 1)), (Some((2, 5)), Some((1, 5))));
        assert_eq!((metadata.leader("t", 2), metadata.leader("t", -1), metadata.leader("u", 0)), (None, None, None));
        assert_eq!(metadata.broker(2), Some(&Address::new("h", 9093)));
        assert_eq!((metadata.controller(), metadata.cluster_id()), (Some(2), Some("c")));
        assert_eq!(metadata.topic_id("t"), Some(TopicId([7; 16])));
        assert_eq!(metadata.due_at(), Some(SECOND + METADATA_AGE_MAX));
        metadata.mark_stale();
        assert_eq!(metadata.due_at(), Some(SECOND + RETRY_BACKOFF));
    }

    #[test]
    fn what_is_not_settled_is_asked_again_soon() {
        let mut metadata = Metadata::new();
        metadata.want("t");
        apply(&mut metadata, SECOND, ErrorCode::LEADER_NOT_AVAILABLE, &[]);
        assert_eq!(metadata.due_at(), Some(SECOND + RETRY_BACKOFF));
        apply(&mut metadata, 2 * SECOND, ErrorCode::NONE, &[partition(0, -1)]);
        assert_eq!(metadata.leader("t", 0), None);
        assert_eq!(metadata.due_at(), Some(2 * SECOND + RETRY_BACKOFF));
        apply(&mut metadata, 3 * SECOND, ErrorCode::TOPIC_AUTHORIZATION_FAILED, &[]);
        assert_eq!(metadata.due_at(), Some(3 * SECOND + METADATA_AGE_MAX));
    }

    #[test]
    fn one_request_at_a_time_and_a_new_wish_during_it_is_not_lost() {
        let mut metadata = Metadata::new();
        metadata.asked(SECOND);
        assert_eq!(metadata.due_at(), None);
        metadata.want("t");
        metadata.failed();
        assert_eq!(metadata.due_at(), Some(SECOND + RETRY_BACKOFF));
        assert_eq!(metadata.wanted().len(), 1);
    }

    #[test]
    fn a_passing_error_takes_away_no_leader() {
        let mut metadata = Metadata::new();
        metadata.want("t");
        apply(&mut metadata, SECOND, ErrorCode::NONE, &[partition(0, 1)]);
        apply(&mut metadata, SECOND, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, &[]);
        assert_eq!(metadata.leader("t", 0), Some((1, 5)));
        assert_eq!(metadata.topic("t").unwrap().error, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }

    #[test]
    fn an_index_that_cannot_be_allocates_nothing() {
        let mut metadata = Metadata::new();
        metadata.want("t");
        apply(&mut metadata, SECOND, ErrorCode::NONE, &[partition(i32::MAX, 1), partition(-1, 1), partition(0, 1)]);
        assert_eq!(metadata.partition_count("t"), Some(1));
    }
}
