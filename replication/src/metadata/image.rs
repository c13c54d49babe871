//! The metadata that replaying the log gives.
//!
//! Invariants:
//! - Names and ids lead to the same topics; a topic's partitions are numbered from 0 without holes; a leader is one of
//!   its partition's replicas.
//! - An entry applies as a whole or not at all. A refused entry leaves nothing but its offset, and it is refused
//!   everywhere, since refusing depends on nothing but the image and the records.
//! - Epochs, producer ids and the offset never fall.
//!
//! Topics are shared by reference count with the deltas that speak of them; a change copies the topic that it touches
//! and nothing else.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::record::PartitionAssignment;
use super::replay::ApplyError;
use super::resource::{ConfigResource, QuotaEntity, QuotaLimit};
use super::topic::TopicImage;
use super::topic_name;
use crate::ids::{BrokerId, DirectoryId, Incarnation, MetadataOffset, PartitionIndex, ProducerId, TopicId};

/// A broker as it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// The broker.
    pub id: BrokerId,
    /// Its latest run.
    pub incarnation: Incarnation,
    /// Where clients reach it.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Its data directory.
    pub directory_id: DirectoryId,
}

/// All metadata at one offset of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataImage {
    pub(super) offset: MetadataOffset,
    pub(super) term: u64,
    pub(super) topics: BTreeMap<TopicId, Arc<TopicImage>>,
    pub(super) names: BTreeMap<Arc<str>, TopicId>,
    /// Topics whose names hold a '.' or a '_', by the name with every '.' made a '_': metrics would mix them up.
    look_alikes: BTreeMap<String, BTreeSet<Arc<str>>>,
    partition_count: usize,
    pub(super) broker_configs: BTreeMap<String, String>,
    /// The configs of single brokers.
    pub(super) own_broker_configs: BTreeMap<(BrokerId, String), String>,
    pub(super) brokers: BTreeMap<BrokerId, BrokerImage>,
    pub(super) next_producer_id: ProducerId,
    pub(super) features: BTreeMap<String, i16>,
    /// The configs of groups and of subscriptions to metrics. None is empty.
    pub(super) resource_configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    /// The limits of clients. None is empty.
    pub(super) quotas: BTreeMap<QuotaEntity, BTreeMap<String, QuotaLimit>>,
}

/// What a snapshot says, not yet known to be an image.
pub(super) struct SnapshotParts {
    pub(super) offset: MetadataOffset,
    pub(super) term: u64,
    pub(super) topics: Vec<Arc<TopicImage>>,
    pub(super) broker_configs: Vec<(String, String)>,
    pub(super) own_broker_configs: Vec<(BrokerId, String, String)>,
    pub(super) brokers: Vec<BrokerImage>,
    pub(super) next_producer_id: ProducerId,
    pub(super) features: Vec<(String, i16)>,
    pub(super) resource_configs: Vec<(ConfigResource, String, String)>,
    pub(super) quotas: Vec<(QuotaEntity, String, QuotaLimit)>,
}

impl MetadataImage {
    /// The offset of the last entry applied; 0 before the first.
    #[must_use]
    pub fn offset(&self) -> MetadataOffset {
        self.offset
    }

    /// The raft term of the last entry applied; 0 before the first.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The topic with this name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        let id = self.names.get(name)?;
        Some(self.topics.get(id).expect("a name leads to a topic"))
    }

    /// The topic with this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<TopicImage>> {
        self.names.values().map(|id| self.topics.get(id).expect("a name leads to a topic"))
    }

    /// One partition of the topic with this id.
    #[must_use]
    pub fn partition(&self, id: TopicId, index: PartitionIndex) -> Option<&PartitionAssignment> {
        self.topic_by_id(id)?.partition(index)
    }

    /// How many partitions there are in all topics.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Another topic whose name is the same but for `.` in the place of `_` or the other way round.
    #[must_use]
    pub fn look_alike_of(&self, name: &str) -> Option<&str> {
        let others = self.look_alikes.get(&topic_name::look_alike_key(name)?)?;
        others.iter().map(AsRef::as_ref).find(|other: &&str| *other != name)
    }

    /// The configs that were set for a topic; `None` if there is no such topic.
    #[must_use]
    pub fn topic_configs(&self, id: TopicId) -> Option<&BTreeMap<String, String>> {
        self.topic_by_id(id).map(|topic| topic.configs())
    }

    /// The broker configs that were set for the whole cluster.
    #[must_use]
    pub fn broker_configs(&self) -> &BTreeMap<String, String> {
        &self.broker_configs
    }

    /// The configs that were set for single brokers, by broker and key.
    #[must_use]
    pub fn own_broker_configs(&self) -> &BTreeMap<(BrokerId, String), String> {
        &self.own_broker_configs
    }

    /// The configs that were set for this broker alone.
    #[must_use]
    pub fn configs_of_broker(&self, id: BrokerId) -> BTreeMap<String, String> {
        let of_broker = self.own_broker_configs.iter().filter(|((broker, _), _)| *broker == id);
        of_broker.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    /// The brokers that have registered.
    #[must_use]
    pub fn brokers(&self) -> &BTreeMap<BrokerId, BrokerImage> {
        &self.brokers
    }

    /// The first producer id that nobody owns.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// The levels of the finalized features.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// The configs of groups and of subscriptions to metrics, by resource; only of those that have any.
    #[must_use]
    pub fn resource_configs(&self) -> &BTreeMap<ConfigResource, BTreeMap<String, String>> {
        &self.resource_configs
    }

    /// The limits of clients, by whom they limit; only of those that have any.
    #[must_use]
    pub fn quotas(&self) -> &BTreeMap<QuotaEntity, BTreeMap<String, QuotaLimit>> {
        &self.quotas
    }

    /// Builds an image out of what a snapshot says.
    pub(super) fn from_parts(parts: SnapshotParts) -> Result<Self, ApplyError> {
        let mut image = Self {
            offset: parts.offset,
            term: parts.term,
            broker_configs: parts.broker_configs.into_iter().collect(),
            own_broker_configs: (parts.own_broker_configs.into_iter())
                .map(|(broker, key, value)| ((broker, key), value))
                .collect(),
            next_producer_id: parts.next_producer_id,
            features: parts.features.into_iter().collect(),
            ..Self::default()
        };
        for topic in parts.topics {
            if image.names.contains_key(&topic.name) {
                return Err(ApplyError::TopicExists(topic.name.to_string()));
            }
            if image.topics.contains_key(&topic.id) {
                return Err(ApplyError::TopicIdExists(topic.id));
            }
            image.insert_topic(topic);
        }
        for (resource, key, value) in parts.resource_configs {
            check_key(resource.name())?;
            image.resource_configs.entry(resource).or_default().insert(key, value);
        }
        for (entity, key, limit) in parts.quotas {
            check_quota(&entity, Some(limit))?;
            image.quotas.entry(entity).or_default().insert(key, limit);
        }
        for broker in parts.brokers {
            check_broker(&broker)?;
            image.brokers.insert(broker.id, broker);
        }
        if image.next_producer_id.0 < 0 || image.features.values().any(|level| *level <= 0) {
            return Err(ApplyError::Malformed("a producer id or feature level is out of range"));
        }
        Ok(image)
    }

    pub(super) fn insert_topic(&mut self, topic: Arc<TopicImage>) {
        if let Some(key) = topic_name::look_alike_key(&topic.name) {
            self.look_alikes.entry(key).or_default().insert(Arc::clone(&topic.name));
        }
        self.partition_count += topic.partitions.len();
        let same_name = self.names.insert(Arc::clone(&topic.name), topic.id);
        let same_id = self.topics.insert(topic.id, topic);
        assert!(same_name.is_none() && same_id.is_none(), "name and id of a new topic are free");
    }

    /// A topic that is there has so many more.
    pub(super) fn add_to_partition_count(&mut self, more: usize) {
        self.partition_count += more;
    }

    pub(super) fn remove_topic(&mut self, id: TopicId) -> Option<Arc<TopicImage>> {
        let topic = self.topics.remove(&id)?;
        let named = self.names.remove(&topic.name);
        assert_eq!(named, Some(id), "name and id lead to the same topic");
        self.partition_count -= topic.partitions.len();
        if let Some(key) = topic_name::look_alike_key(&topic.name) {
            let alike = self.look_alikes.get_mut(&key).expect("every such name is listed");
            alike.remove(&topic.name);
            if alike.is_empty() {
                self.look_alikes.remove(&key);
            }
        }
        Some(topic)
    }
}

pub(super) fn check_key(key: &str) -> Result<(), ApplyError> {
    if key.is_empty() {
        return Err(ApplyError::Malformed("a name or key is empty"));
    }
    Ok(())
}

pub(super) fn check_quota(entity: &QuotaEntity, limit: Option<QuotaLimit>) -> Result<(), ApplyError> {
    if !entity.is_sound() || limit.is_some_and(|limit| !limit.is_sound()) {
        return Err(ApplyError::Malformed("a client quota limits nobody or nothing"));
    }
    Ok(())
}

pub(super) fn check_broker(broker: &BrokerImage) -> Result<(), ApplyError> {
    if broker.id.0 < 0 {
        return Err(ApplyError::Malformed("a broker id is negative"));
    }
    check_key(&broker.host)
}
