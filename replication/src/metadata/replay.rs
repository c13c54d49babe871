//! How entries of the log change the image, when they are refused, and what they changed.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::num::TryFromIntError;

use super::delta::{MetadataChange, MetadataDelta};
use super::image::{BrokerImage, MetadataImage, check_broker, check_key, check_quota};
use super::record::{MetadataRecord, PartitionAssignment};
use super::resource::{ConfigResource, QuotaEntity, QuotaLimit};
use super::topic::TopicImage;
use crate::ids::{BrokerId, MetadataOffset, PartitionIndex, ProducerId, TopicId};

/// Why an entry is refused. The image is as it was, but for its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// A topic of this name exists.
    TopicExists(String),
    /// A topic exists whose name is the same but for `.` and `_`: the topic's name, and that one's.
    TopicLooksAlike(String, String),
    /// A topic with this id exists.
    TopicIdExists(TopicId),
    /// No topic has this id.
    UnknownTopicId(TopicId),
    /// The topic has a partition with this index, or lacks those before it.
    PartitionsTaken(TopicId, PartitionIndex),
    /// No such broker has registered.
    UnknownBroker(BrokerId),
    /// A later run of the broker has registered.
    StaleIncarnation(BrokerId),
    /// The block does not begin at the next producer id, or is empty.
    ProducerIdsTaken,
    /// An epoch has reached its end.
    EpochExhausted(TopicId, PartitionIndex),
    /// The record contradicts itself.
    Malformed(&'static str),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TopicExists(name) => write!(f, "topic '{name}' exists"),
            Self::TopicLooksAlike(name, other) => {
                write!(f, "metrics could not tell '{name}' from topic '{other}': '.' and '_' count as the same")
            }
            Self::TopicIdExists(id) => write!(f, "a topic with id {id:?} exists"),
            Self::UnknownTopicId(id) => write!(f, "no topic has id {id:?}"),
            Self::PartitionsTaken(id, index) => write!(f, "partition {index} is not the next one of topic {id:?}"),
            Self::UnknownBroker(id) => write!(f, "broker {id} has not registered"),
            Self::StaleIncarnation(id) => write!(f, "a later run of broker {id} has registered"),
            Self::ProducerIdsTaken => f.write_str("the producer ids are taken"),
            Self::EpochExhausted(id, index) => write!(f, "partition {index} of topic {id:?} has no epochs left"),
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for ApplyError {}

impl From<TryFromIntError> for ApplyError {
    fn from(_: TryFromIntError) -> Self {
        Self::Malformed("a number is out of range")
    }
}

/// What the touched parts were before the entry, each noted when it is touched first: enough to take the entry back and
/// enough to say what it changed.
#[derive(Default)]
struct Before {
    topics: BTreeMap<TopicId, Option<Arc<TopicImage>>>,
    broker_configs: BTreeMap<String, Option<String>>,
    own_broker_configs: BTreeMap<(BrokerId, String), Option<String>>,
    brokers: BTreeMap<BrokerId, Option<BrokerImage>>,
    features: BTreeMap<String, Option<i16>>,
    resource_configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    quotas: BTreeMap<QuotaEntity, BTreeMap<String, QuotaLimit>>,
    next_producer_id: Option<ProducerId>,
}

impl MetadataImage {
    /// Applies the entry at `offset`, the one behind the image's, in time that depends on what it changes and not on
    /// what there is (but for [`MetadataRecord::RaiseLeaderEpochs`], which looks at every partition).
    ///
    /// # Errors
    /// The first record that cannot be applied refuses the whole entry. The image then has moved to `offset` and is
    /// otherwise as it was; whoever proposed the entry has failed, everybody else goes on.
    ///
    /// # Panics
    /// If `offset` is not the next one or `term` falls: entries were lost or reordered on the way here.
    pub fn apply(
        &mut self,
        offset: MetadataOffset,
        term: u64,
        records: &[MetadataRecord],
    ) -> Result<MetadataDelta, ApplyError> {
        assert_eq!(offset, self.offset.next(), "metadata entries apply in order, without holes");
        assert!(term >= self.term, "terms never fall along the log");
        self.offset = offset;
        self.term = term;

        let mut before = Before::default();
        for record in records {
            if let Err(error) = self.apply_record(record, &mut before) {
                self.take_back(before);
                return Err(error);
            }
        }
        Ok(MetadataDelta { offset, changes: self.changes_since(before) })
    }

    fn apply_record(&mut self, record: &MetadataRecord, before: &mut Before) -> Result<(), ApplyError> {
        match record {
            MetadataRecord::Topic { name, topic_id, partitions } => {
                self.create_topic(name, *topic_id, partitions, before)
            }
            MetadataRecord::MorePartitions { topic_id, partitions } => {
                self.topic_mut(*topic_id, before)?.add_partitions(partitions)?;
                self.add_to_partition_count(partitions.len());
                Ok(())
            }
            MetadataRecord::RemoveTopic { topic_id } => self.delete_topic(*topic_id, before),
            MetadataRecord::TopicConfig { topic_id, key, value } => {
                check_key(key)?;
                let topic = self.topic_mut(*topic_id, before)?;
                set_or_remove(&mut topic.configs, key.as_str(), value.clone());
                Ok(())
            }
            MetadataRecord::BrokerConfig { key, value } => {
                check_key(key)?;
                let old = set_or_remove(&mut self.broker_configs, key.as_str(), value.clone());
                before.broker_configs.entry(key.clone()).or_insert(old);
                Ok(())
            }
            MetadataRecord::OwnBrokerConfig { broker_id, key, value } => {
                check_key(key)?;
                let place = (*broker_id, key.clone());
                let old = set_or_remove(&mut self.own_broker_configs, &place, value.clone());
                before.own_broker_configs.entry(place).or_insert(old);
                Ok(())
            }
            MetadataRecord::ProducerIdBlock { broker_id, first_producer_id, next_producer_id } => {
                self.give_producer_ids(*broker_id, *first_producer_id, *next_producer_id, before)
            }
            MetadataRecord::RegisterBroker { broker_id, incarnation, host, port, directory_id } => {
                let broker = BrokerImage {
                    id: *broker_id,
                    incarnation: *incarnation,
                    host: host.clone(),
                    port: *port,
                    directory_id: *directory_id,
                };
                self.register_broker(broker, before)
            }
            MetadataRecord::RaiseLeaderEpochs { broker_id } => self.raise_leader_epochs(*broker_id, before),
            MetadataRecord::FeatureLevel { name, level } => {
                check_key(name)?;
                if *level < 0 {
                    return Err(ApplyError::Malformed("a feature level is negative"));
                }
                let old = set_or_remove(&mut self.features, name.as_str(), (*level != 0).then_some(*level));
                before.features.entry(name.clone()).or_insert(old);
                Ok(())
            }
            MetadataRecord::ResourceConfig { resource, key, value } => {
                check_key(resource.name())?;
                check_key(key)?;
                let old = set_of(&mut self.resource_configs, resource, key, value.clone());
                before.resource_configs.entry(resource.clone()).or_insert(old);
                Ok(())
            }
            MetadataRecord::ClientQuota { entity, key, value } => {
                check_key(key)?;
                check_quota(entity, *value)?;
                let old = set_of(&mut self.quotas, entity, key, *value);
                before.quotas.entry(entity.clone()).or_insert(old);
                Ok(())
            }
        }
    }

    fn create_topic(
        &mut self,
        name: &str,
        id: TopicId,
        partitions: &[PartitionAssignment],
        before: &mut Before,
    ) -> Result<(), ApplyError> {
        if self.names.contains_key(name) {
            return Err(ApplyError::TopicExists(name.to_string()));
        }
        // The controller looks at the image before it proposes; here two meet that were proposed together.
        if let Some(other) = self.look_alike_of(name) {
            return Err(ApplyError::TopicLooksAlike(name.to_string(), other.to_string()));
        }
        // An id that the same entry has freed is not free: it would hide that this is another topic.
        if self.topics.contains_key(&id) || before.topics.contains_key(&id) {
            return Err(ApplyError::TopicIdExists(id));
        }
        let topic = TopicImage::new(name, id, partitions.to_vec(), BTreeMap::new())?;
        before.topics.entry(id).or_insert(None);
        self.insert_topic(Arc::new(topic));
        Ok(())
    }

    fn delete_topic(&mut self, id: TopicId, before: &mut Before) -> Result<(), ApplyError> {
        let topic = self.remove_topic(id).ok_or(ApplyError::UnknownTopicId(id))?;
        before.topics.entry(id).or_insert(Some(topic));
        Ok(())
    }

    fn give_producer_ids(
        &mut self,
        owner: BrokerId,
        first: ProducerId,
        next: ProducerId,
        before: &mut Before,
    ) -> Result<(), ApplyError> {
        if !self.brokers.contains_key(&owner) {
            return Err(ApplyError::UnknownBroker(owner));
        }
        if first != self.next_producer_id || next <= first {
            return Err(ApplyError::ProducerIdsTaken);
        }
        before.next_producer_id.get_or_insert(self.next_producer_id);
        self.next_producer_id = next;
        Ok(())
    }

    fn register_broker(&mut self, broker: BrokerImage, before: &mut Before) -> Result<(), ApplyError> {
        let id = broker.id;
        check_broker(&broker)?;
        let known = self.brokers.get(&id);
        if known.is_some_and(|known| known.incarnation > broker.incarnation) {
            return Err(ApplyError::StaleIncarnation(id));
        }
        let old = self.brokers.insert(id, broker);
        before.brokers.entry(id).or_insert(old);
        Ok(())
    }

    fn raise_leader_epochs(&mut self, leader: BrokerId, before: &mut Before) -> Result<(), ApplyError> {
        let leads = |topic: &TopicImage| topic.partitions.iter().any(|partition| partition.leader == leader);
        let led: Vec<TopicId> = self.topics.values().filter(|topic| leads(topic)).map(|topic| topic.id).collect();
        for id in led {
            let topic = self.topic_mut(id, before)?;
            for partition in Arc::make_mut(&mut topic.partitions) {
                if partition.leader != leader {
                    continue;
                }
                let exhausted = ApplyError::EpochExhausted(id, partition.index);
                let (Some(leader_epoch), Some(partition_epoch)) =
                    (partition.leader_epoch.next(), partition.partition_epoch.next())
                else {
                    return Err(exhausted);
                };
                partition.leader_epoch = leader_epoch;
                partition.partition_epoch = partition_epoch;
            }
        }
        Ok(())
    }

    /// A topic to change in place; what it was is noted first.
    fn topic_mut(&mut self, id: TopicId, before: &mut Before) -> Result<&mut TopicImage, ApplyError> {
        let topic = self.topics.get_mut(&id).ok_or(ApplyError::UnknownTopicId(id))?;
        before.topics.entry(id).or_insert_with(|| Some(Arc::clone(topic)));
        Ok(Arc::make_mut(topic))
    }

    fn take_back(&mut self, before: Before) {
        // All that the entry made goes before anything that it removed comes back: a name may have changed hands.
        for id in before.topics.keys() {
            self.remove_topic(*id);
        }
        for topic in before.topics.into_values().flatten() {
            self.insert_topic(topic);
        }
        for (key, old) in before.broker_configs {
            set_or_remove(&mut self.broker_configs, key.as_str(), old);
        }
        for (place, old) in before.own_broker_configs {
            set_or_remove(&mut self.own_broker_configs, &place, old);
        }
        for (id, old) in before.brokers {
            match old {
                Some(broker) => self.brokers.insert(id, broker),
                None => self.brokers.remove(&id),
            };
        }
        for (name, old) in before.features {
            set_or_remove(&mut self.features, name.as_str(), old);
        }
        for (resource, old) in before.resource_configs {
            set_or_remove(&mut self.resource_configs, &resource, (!old.is_empty()).then_some(old));
        }
        for (entity, old) in before.quotas {
            set_or_remove(&mut self.quotas, &entity, (!old.is_empty()).then_some(old));
        }
        if let Some(old) = before.next_producer_id {
            self.next_producer_id = old;
        }
    }

    fn changes_since(&self, before: Before) -> Vec<MetadataChange> {
        let mut gone = Vec::new();
        let mut changes = Vec::new();
        for (id, old) in before.topics {
            match (old, self.topics.get(&id)) {
                (None, None) => {}
                (None, Some(new)) => changes.push(MetadataChange::TopicCreated(Arc::clone(new))),
                (Some(old), None) => gone.push(MetadataChange::TopicDeleted(old)),
                (Some(old), Some(new)) => push_topic_changes(&old, new, &mut changes),
            }
        }
        for (key, old) in before.broker_configs {
            let value = self.broker_configs.get(&key).cloned();
            if value != old {
                changes.push(MetadataChange::BrokerConfigChanged { key, value });
            }
        }
        for ((broker_id, key), old) in before.own_broker_configs {
            let place = (broker_id, key);
            let value = self.own_broker_configs.get(&place).cloned();
            if value != old {
                changes.push(MetadataChange::OwnBrokerConfigChanged { broker_id, key: place.1, value });
            }
        }
        for (id, old) in before.brokers {
            let new = self.brokers.get(&id).expect("a broker that registered is there");
            if old.as_ref() != Some(new) {
                changes.push(MetadataChange::BrokerRegistered(new.clone()));
            }
        }
        for (name, old) in before.features {
            let level = self.features.get(&name).copied();
            if level != old {
                changes.push(MetadataChange::FeatureLevelChanged { name, level: level.unwrap_or(0) });
            }
        }
        for (resource, old) in before.resource_configs {
            let configs = self.resource_configs.get(&resource).cloned().unwrap_or_default();
            if configs != old {
                changes.push(MetadataChange::ResourceConfigChanged { resource, configs });
            }
        }
        for (entity, old) in before.quotas {
            let limits = self.quotas.get(&entity).cloned().unwrap_or_default();
            if limits != old {
                changes.push(MetadataChange::ClientQuotaChanged { entity, limits });
            }
        }
        if before.next_producer_id.is_some() {
            changes.push(MetadataChange::NextProducerIdRaised(self.next_producer_id));
        }
        gone.append(&mut changes);
        gone
    }
}

/// What became of a topic that is there before and after an entry.
fn push_topic_changes(old: &Arc<TopicImage>, new: &Arc<TopicImage>, changes: &mut Vec<MetadataChange>) {
    let keys: BTreeSet<&String> = old.configs.keys().chain(new.configs.keys()).collect();
    let keys: Vec<String> =
        keys.into_iter().filter(|key| old.configs.get(*key) != new.configs.get(*key)).cloned().collect();
    if !keys.is_empty() {
        changes.push(MetadataChange::TopicConfigChanged { topic: Arc::clone(new), keys });
    }
    if new.partitions.len() > old.partitions.len() {
        let first = new.partitions[old.partitions.len()].index;
        changes.push(MetadataChange::PartitionsAdded { topic: Arc::clone(new), first });
    }
    if !Arc::ptr_eq(&old.partitions, &new.partitions) {
        let pairs = old.partitions.iter().zip(new.partitions.iter());
        let partitions: Vec<PartitionIndex> = pairs
            .filter(|(old, new)| old.leader_epoch != new.leader_epoch)
            .map(|(_, partition)| partition.index)
            .collect();
        if !partitions.is_empty() {
            changes.push(MetadataChange::LeaderEpochsRaised { topic: Arc::clone(new), partitions });
        }
    }
}

/// Sets or removes one value of many; says what all were. Without any, the key is gone.
fn set_of<K: Ord + Clone, V: Clone>(
    map: &mut BTreeMap<K, BTreeMap<String, V>>,
    of: &K,
    key: &str,
    value: Option<V>,
) -> BTreeMap<String, V> {
    let values = map.entry(of.clone()).or_default();
    let old = values.clone();
    set_or_remove(values, key, value);
    if values.is_empty() {
        map.remove(of);
    }
    old
}

fn set_or_remove<K: Ord + Borrow<Q>, Q: Ord + ToOwned<Owned = K> + ?Sized, V>(
    map: &mut BTreeMap<K, V>,
    key: &Q,
    value: Option<V>,
) -> Option<V> {
    match value {
        Some(value) => map.insert(key.to_owned(), value),
        None => map.remove(key),
    }
}
