//! The image against a naive model, replay from snapshots, and the two encodings.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use proptest::sample::select;

use super::encoding::{self, DecodeError, EncodeError};
use super::snapshot::{self, SnapshotError};
use super::*;
use crate::ids::{
    BrokerId, DirectoryId, Incarnation, LeaderEpoch, MetadataOffset, PartitionEpoch, PartitionIndex, ProducerId,
    TopicId,
};
use crate::limits;

/// The metadata as lists and flat maps, applied by copying everything.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    topics: Vec<ModelTopic>,
    broker_configs: BTreeMap<String, String>,
    own_broker_configs: BTreeMap<(BrokerId, String), String>,
    brokers: BTreeMap<BrokerId, BrokerImage>,
    next_producer_id: i64,
    features: BTreeMap<String, i16>,
    resource_configs: BTreeMap<(ConfigResource, String), String>,
    quotas: BTreeMap<(QuotaEntity, String), QuotaLimit>,
}

#[derive(Clone, Debug, PartialEq)]
struct ModelTopic {
    name: String,
    id: TopicId,
    partitions: Vec<PartitionAssignment>,
    configs: BTreeMap<String, String>,
}

impl Model {
    /// The model after the batch, or nothing if any record of it is refused.
    fn after(&self, records: &[MetadataRecord]) -> Option<Self> {
        let mut model = self.clone();
        let mut freed = Vec::new();
        for record in records {
            model.apply(record, &mut freed)?;
        }
        model.topics.sort_by(|a, b| a.name.cmp(&b.name));
        Some(model)
    }

    fn apply(&mut self, record: &MetadataRecord, freed: &mut Vec<TopicId>) -> Option<()> {
        match record.clone() {
            MetadataRecord::Topic { name, topic_id, partitions } => {
                let alike = |other: &str| other.replace('.', "_") == name.replace('.', "_");
                let free = !self.topics.iter().any(|topic| alike(&topic.name) || topic.id == topic_id);
                let sound = !partitions.is_empty()
                    && (0..).zip(&partitions).all(|(index, partition)| {
                        partition.index.0 == index && partition.replicas.contains(&partition.leader)
                    });
                (free && sound && !freed.contains(&topic_id)).then_some(())?;
                self.topics.push(ModelTopic { name, id: topic_id, partitions, configs: BTreeMap::new() });
            }
            MetadataRecord::MorePartitions { topic_id, partitions } => {
                let topic = self.topics.iter_mut().find(|topic| topic.id == topic_id)?;
                let present = i32::try_from(topic.partitions.len()).expect("a few");
                let sound = !partitions.is_empty()
                    && (present..).zip(&partitions).all(|(index, partition)| {
                        partition.index.0 == index && partition.replicas.contains(&partition.leader)
                    });
                sound.then(|| topic.partitions.extend(partitions))?;
            }
            MetadataRecord::RemoveTopic { topic_id } => {
                let at = self.topics.iter().position(|topic| topic.id == topic_id)?;
                self.topics.remove(at);
                freed.push(topic_id);
            }
            MetadataRecord::TopicConfig { topic_id, key, value } => {
                let topic = self.topics.iter_mut().find(|topic| topic.id == topic_id)?;
                set(&mut topic.configs, key, value);
            }
            MetadataRecord::BrokerConfig { key, value } => set(&mut self.broker_configs, key, value),
            MetadataRecord::OwnBrokerConfig { broker_id, key, value } => {
                set(&mut self.own_broker_configs, (broker_id, key), value);
            }
            MetadataRecord::ProducerIdBlock { broker_id, first_producer_id, next_producer_id } => {
                let next = first_producer_id.0 == self.next_producer_id && next_producer_id > first_producer_id;
                (next && self.brokers.contains_key(&broker_id)).then_some(())?;
                self.next_producer_id = next_producer_id.0;
            }
            MetadataRecord::RegisterBroker { broker_id: id, incarnation, host, port, directory_id } => {
                if self.brokers.get(&id).is_some_and(|known| known.incarnation > incarnation) {
                    return None;
                }
                self.brokers.insert(id, BrokerImage { id, incarnation, host, port, directory_id });
            }
            MetadataRecord::RaiseLeaderEpochs { broker_id } => {
                for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    if partition.leader == broker_id {
                        partition.leader_epoch.0 = partition.leader_epoch.0.checked_add(1)?;
                        partition.partition_epoch.0 = partition.partition_epoch.0.checked_add(1)?;
                    }
                }
            }
            MetadataRecord::FeatureLevel { name, level } => {
                (level >= 0).then_some(())?;
                set(&mut self.features, name, (level > 0).then_some(level));
            }
            MetadataRecord::ResourceConfig { resource, key, value } => {
                (!resource.name().is_empty()).then_some(())?;
                set(&mut self.resource_configs, (resource, key), value);
            }
            MetadataRecord::ClientQuota { entity, key, value } => {
                let QuotaEntity { user, client_id, ip } = &entity;
                let alone = user.is_none() && client_id.is_none();
                (ip.is_some() == alone && value.is_none_or(|limit| limit.value() > 0.0)).then_some(())?;
                set(&mut self.quotas, (entity, key), value);
            }
        }
        Some(())
    }

    /// Follows what shards are told, and nothing else.
    fn follow(&mut self, delta: &MetadataDelta) {
        for change in &delta.changes {
            match change.clone() {
                MetadataChange::TopicDeleted(topic) => {
                    let at = self.topics.iter().position(|known| *known == model_topic(&topic));
                    self.topics.remove(at.expect("what is deleted was there, in this state"));
                }
                MetadataChange::TopicCreated(topic) => {
                    let free = !self.topics.iter().any(|known| known.name == topic.name() || known.id == topic.id());
                    assert!(free, "a created topic is new");
                    self.topics.push(model_topic(&topic));
                }
                MetadataChange::TopicConfigChanged { topic, keys } => {
                    let known = self.topic_mut(topic.id());
                    assert!(!keys.is_empty());
                    for key in keys {
                        let value = topic.configs().get(&key).cloned();
                        assert_ne!(known.configs.get(&key), value.as_ref(), "only what changed is told");
                        set(&mut known.configs, key, value);
                    }
                }
                MetadataChange::PartitionsAdded { topic, first } => {
                    let known = self.topic_mut(topic.id());
                    assert_eq!(known.partitions.len() as i32, first.0);
                    let added = &topic.partitions()[known.partitions.len()..];
                    assert!(!added.is_empty());
                    known.partitions.extend_from_slice(added);
                }
                MetadataChange::LeaderEpochsRaised { topic, partitions } => {
                    let known = self.topic_mut(topic.id());
                    assert!(!partitions.is_empty());
                    for index in partitions {
                        let raised = topic.partition(index).expect("a raised partition is there").clone();
                        let old = &mut known.partitions[index.0 as usize];
                        assert!(raised.leader_epoch > old.leader_epoch && raised.partition_epoch > old.partition_epoch);
                        *old = raised;
                    }
                }
                MetadataChange::BrokerConfigChanged { key, value } => set(&mut self.broker_configs, key, value),
                MetadataChange::OwnBrokerConfigChanged { broker_id, key, value } => {
                    set(&mut self.own_broker_configs, (broker_id, key), value);
                }
                MetadataChange::BrokerRegistered(broker) => {
                    self.brokers.insert(broker.id, broker);
                }
                MetadataChange::NextProducerIdRaised(next) => {
                    assert!(next.0 > self.next_producer_id);
                    self.next_producer_id = next.0;
                }
                MetadataChange::FeatureLevelChanged { name, level } => {
                    set(&mut self.features, name, (level > 0).then_some(level));
                }
                MetadataChange::ResourceConfigChanged { resource, configs } => {
                    self.resource_configs.retain(|(known, _), _| *known != resource);
                    let own = configs.into_iter().map(|(key, value)| ((resource.clone(), key), value));
                    self.resource_configs.extend(own);
                }
                MetadataChange::ClientQuotaChanged { entity, limits } => {
                    self.quotas.retain(|(known, _), _| *known != entity);
                    self.quotas.extend(limits.into_iter().map(|(key, limit)| ((entity.clone(), key), limit)));
                }
            }
        }
        self.topics.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn topic_mut(&mut self, id: TopicId) -> &mut ModelTopic {
        self.topics.iter_mut().find(|topic| topic.id == id).expect("a changed topic was there")
    }

    fn of(image: &MetadataImage) -> Self {
        Self {
            topics: image.topics().map(|topic| model_topic(topic)).collect(),
            broker_configs: image.broker_configs().clone(),
            own_broker_configs: image.own_broker_configs().clone(),
            brokers: image.brokers().clone(),
            next_producer_id: image.next_producer_id().0,
            features: image.features().clone(),
            resource_configs: flat(image.resource_configs()),
            quotas: flat(image.quotas()),
        }
    }
}

fn model_topic(topic: &TopicImage) -> ModelTopic {
    ModelTopic {
        name: topic.name().to_string(),
        id: topic.id(),
        partitions: topic.partitions().to_vec(),
        configs: topic.configs().clone(),
    }
}

fn flat<K: Ord + Clone, V: Clone>(map: &BTreeMap<K, BTreeMap<String, V>>) -> BTreeMap<(K, String), V> {
    assert!(map.values().all(|values| !values.is_empty()), "what has nothing is not there");
    let values = map.iter().flat_map(|(of, values)| values.iter().map(move |value| (of, value)));
    values.map(|(of, (key, value))| ((of.clone(), key.clone()), value.clone())).collect()
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn topic_id(number: u8) -> TopicId {
    let mut id = [7; 16];
    id[15] = number;
    TopicId(id)
}

fn partition(index: i32, leader: i32) -> PartitionAssignment {
    PartitionAssignment {
        index: PartitionIndex(index),
        replicas: vec![BrokerId(leader), BrokerId(leader + 1)],
        leader: BrokerId(leader),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
    }
}

fn topic(name: &str, number: u8, partitions: i32) -> MetadataRecord {
    let partitions = (0..partitions).map(|index| partition(index, index % 3)).collect();
    MetadataRecord::Topic { name: name.to_string(), topic_id: topic_id(number), partitions }
}

fn more(number: u8, first: i32, count: i32) -> MetadataRecord {
    let partitions = (first..first + count).map(|index| partition(index, index % 3)).collect();
    MetadataRecord::MorePartitions { topic_id: topic_id(number), partitions }
}

fn broker(id: i32, incarnation: u64) -> MetadataRecord {
    MetadataRecord::RegisterBroker {
        broker_id: BrokerId(id),
        incarnation: Incarnation(incarnation),
        host: "localhost".to_string(),
        port: 9092,
        directory_id: DirectoryId([3; 16]),
    }
}

fn apply(image: &mut MetadataImage, records: &[MetadataRecord]) -> Result<MetadataDelta, ApplyError> {
    image.apply(image.offset().next(), 1, records)
}

/// Records over so few names, ids and brokers that they often meet.
fn any_record() -> impl Strategy<Value = MetadataRecord> {
    let name = || select(vec!["a", "a.b", "a_b", "b"]);
    let key = || select(vec!["k", "l", "m"]).prop_map(str::to_string);
    let value = || prop::option::of(select(vec!["1", "2"]).prop_map(str::to_string));
    let id = || 0_u8..5;
    prop_oneof![
        6 => (name(), id(), 1..4_i32, 0..40_u8).prop_map(|(name, number, count, flaw)| {
            let mut record = topic(name, number, count);
            if let MetadataRecord::Topic { partitions, .. } = &mut record {
                match flaw {
                    0 => partitions.clear(),
                    1 => partitions[0].leader = BrokerId(9),
                    2 => partitions[0].index = PartitionIndex(1),
                    3 => partitions[0].leader_epoch = LeaderEpoch(i32::MAX),
                    _ => {}
                }
            }
            record
        }),
        4 => (id(), 0..6_i32, 0..3_i32, 0..20_u8).prop_map(|(number, first, count, flaw)| {
            let mut record = more(number, first, count);
            if let MetadataRecord::MorePartitions { partitions, .. } = &mut record
                && let Some(last) = partitions.last_mut()
            {
                match flaw {
                    0 => last.leader = BrokerId(9),
                    1 => last.index = PartitionIndex(0),
                    2 => last.leader_epoch = LeaderEpoch(i32::MAX),
                    _ => {}
                }
            }
            record
        }),
        3 => id().prop_map(|number| MetadataRecord::RemoveTopic { topic_id: topic_id(number) }),
        5 => (id(), key(), value())
            .prop_map(|(number, key, value)| MetadataRecord::TopicConfig { topic_id: topic_id(number), key, value }),
        1 => (key(), value()).prop_map(|(key, value)| MetadataRecord::BrokerConfig { key, value }),
        1 => (0..2_i32, key(), value())
            .prop_map(|(id, key, value)| MetadataRecord::OwnBrokerConfig { broker_id: BrokerId(id), key, value }),
        2 => (0..3_i32, 0..6_i64, 1..4_i64).prop_map(|(id, first, length)| MetadataRecord::ProducerIdBlock {
            broker_id: BrokerId(id),
            first_producer_id: ProducerId(first),
            next_producer_id: ProducerId(first + length),
        }),
        2 => (0..3_i32, 0..4_u64).prop_map(|(id, incarnation)| broker(id, incarnation)),
        2 => (0..3_i32).prop_map(|id| MetadataRecord::RaiseLeaderEpochs { broker_id: BrokerId(id) }),
        1 => (key(), -1..3_i16).prop_map(|(name, level)| MetadataRecord::FeatureLevel { name, level }),
        2 => (any_resource(), key(), value())
            .prop_map(|(resource, key, value)| MetadataRecord::ResourceConfig { resource, key, value }),
        2 => (any_entity(), key(), prop::option::of(select(vec![0.5, 1.0, 0.0]).prop_map(QuotaLimit::new)))
            .prop_map(|(entity, key, value)| MetadataRecord::ClientQuota { entity, key, value }),
    ]
}

fn any_resource() -> impl Strategy<Value = ConfigResource> {
    (any::<bool>(), select(vec!["g", "h", ""])).prop_map(|(is_group, name)| match is_group {
        true => ConfigResource::Group(name.to_string()),
        false => ConfigResource::ClientMetrics(name.to_string()),
    })
}

fn any_entity() -> impl Strategy<Value = QuotaEntity> {
    let part = || prop::option::of(prop_oneof![Just(QuotaName::Default), Just(QuotaName::Named("n".to_string()))]);
    (part(), part(), prop::option::weighted(0.2, Just(QuotaName::Named("::1".to_string()))))
        .prop_map(|(user, client_id, ip)| QuotaEntity { user, client_id, ip })
}

fn any_log() -> impl Strategy<Value = Vec<Vec<MetadataRecord>>> {
    prop::collection::vec(prop::collection::vec(any_record(), 0..5), 0..40)
}

proptest! {
    #[test]
    fn the_image_is_the_models_and_deltas_say_all(log in any_log()) {
        let mut image = MetadataImage::default();
        let mut model = Model::default();
        let mut follower = Model::default();
        for records in &log {
            let before = image.clone();
            match (apply(&mut image, records), model.after(records)) {
                (Ok(delta), Some(after)) => {
                    prop_assert_eq!(delta.offset, image.offset());
                    follower.follow(&delta);
                    model = after;
                }
                (Err(_), None) => {
                    prop_assert_eq!(image.offset(), before.offset().next());
                    let mut moved = before;
                    apply(&mut moved, &[]).expect("an empty entry applies");
                    prop_assert_eq!(&image, &moved, "a refused entry leaves nothing");
                }
                (got, want) => prop_assert!(false, "{records:?}: {got:?}, but the model says {want:?}"),
            }
            prop_assert_eq!(&Model::of(&image), &model);
            prop_assert_eq!(&follower, &model);
            prop_assert_eq!(image.partition_count(), model.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>());
            for topic in &model.topics {
                prop_assert_eq!(image.topic_by_name(&topic.name).map(|found| found.id()), Some(topic.id));
                prop_assert_eq!(image.topic_by_id(topic.id).map(|found| found.name()), Some(topic.name.as_str()));
            }
            prop_assert_eq!(image.look_alike_of("a.b").is_some(), image.topic_by_name("a_b").is_some());
        }
    }

    #[test]
    fn a_snapshot_anywhere_and_the_rest_of_the_log_give_the_same(log in any_log(), cut in any::<prop::sample::Index>()) {
        let mut whole = MetadataImage::default();
        let cut = cut.index(log.len() + 1);
        for records in &log[..cut] {
            let _ = apply(&mut whole, records);
        }
        let mut restored = snapshot::from_bytes(&snapshot::to_bytes(&whole)).expect("our own snapshot loads");
        prop_assert_eq!(&restored, &whole);
        for records in &log[cut..] {
            prop_assert_eq!(apply(&mut restored, records), apply(&mut whole, records));
        }
        prop_assert_eq!(&restored, &whole);
        prop_assert_eq!(snapshot::to_bytes(&restored), snapshot::to_bytes(&whole));
    }

    #[test]
    fn a_damaged_snapshot_never_panics(
        log in any_log(), at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut: bool
    ) {
        let mut image = MetadataImage::default();
        for records in &log {
            let _ = apply(&mut image, records);
        }
        let mut bytes = snapshot::to_bytes(&image);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(snapshot::from_bytes(&bytes).is_err());
        } else {
            bytes[at] ^= flip;
            // A flipped bit may make another sound image (the file's checksum is for that), never a broken one.
            if let Ok(other) = snapshot::from_bytes(&bytes) {
                prop_assert_eq!(other.topics().len(), other.topics().filter_map(|topic| other.topic_by_id(topic.id())).count());
            }
        }
    }

    #[test]
    fn records_survive_their_encoding(records in prop::collection::vec(any_record(), 0..20)) {
        let bytes = encoding::encode(&records).expect("small records can be encoded");
        prop_assert_eq!(encoding::decode(&bytes), Ok(records));
        for cut in 0..bytes.len() {
            prop_assert!(encoding::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = bytes;
        longer.push(0);
        prop_assert_eq!(encoding::decode(&longer), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn damaged_records_never_panic(
        records in prop::collection::vec(any_record(), 1..5), at in any::<prop::sample::Index>(), with: u8
    ) {
        let mut bytes = encoding::encode(&records).expect("small records can be encoded");
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(read) = encoding::decode(&bytes) {
            prop_assert_eq!(encoding::encode(&read), Ok(bytes), "what is read is what was written");
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut batch = vec![1, 1, 0, 0, 0];
        batch.extend_from_slice(&bytes);
        let _ = encoding::decode(&bytes);
        let _ = encoding::decode(&batch);
        let _ = snapshot::from_bytes(&bytes);
        let mut archive = vec![1];
        archive.resize(16, 0);
        archive.extend_from_slice(&bytes);
        let _ = snapshot::from_bytes(&archive);
    }
}

/// One record of every kind.
fn every_kind() -> Vec<MetadataRecord> {
    vec![
        broker(1, 5),
        topic("orders.eu", 1, 2),
        MetadataRecord::TopicConfig {
            topic_id: topic_id(1),
            key: "retention.ms".to_string(),
            value: Some("1000".to_string()),
        },
        MetadataRecord::TopicConfig { topic_id: topic_id(1), key: "segment.ms".to_string(), value: None },
        topic("gone", 2, 1),
        MetadataRecord::RemoveTopic { topic_id: topic_id(2) },
        MetadataRecord::BrokerConfig { key: "message.max.bytes".to_string(), value: Some("9".to_string()) },
        MetadataRecord::ProducerIdBlock {
            broker_id: BrokerId(1),
            first_producer_id: ProducerId(0),
            next_producer_id: ProducerId(1000),
        },
        MetadataRecord::RaiseLeaderEpochs { broker_id: BrokerId(1) },
        MetadataRecord::FeatureLevel { name: "group.version".to_string(), level: 1 },
    ]
}

const RELEASED_RECORDS: &[u8] = include_bytes!("../../fixtures/records-1");
const RELEASED_SNAPSHOT: &[u8] = include_bytes!("../../fixtures/snapshot-1");
const RELEASED_OWN_CONFIGS: &[u8] = include_bytes!("../../fixtures/records-own-configs");
const RELEASED_RESOURCES: &[u8] = include_bytes!("../../fixtures/records-resources");
const RELEASED_SNAPSHOT_3: &[u8] = include_bytes!("../../fixtures/snapshot-3");
const RELEASED_SNAPSHOT_2: &[u8] = include_bytes!("../../fixtures/snapshot-2");

#[test]
fn released_records_stay_readable() {
    assert_eq!(encoding::decode(RELEASED_RECORDS), Ok(every_kind()));
    assert_eq!(encoding::encode(&every_kind()).as_deref(), Ok(RELEASED_RECORDS));
}

#[test]
fn released_records_of_more_partitions_stay_readable() {
    let mut bytes = vec![1, 1, 0, 0, 0, 50, 0, 0, 0, 9, 1];
    bytes.extend_from_slice(&topic_id(1).0);
    bytes.extend_from_slice(&[1, 0, 0, 0]);
    for number in [2_i32, 2, 0, 0, 2, 2, 3] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    assert_eq!(encoding::decode(&bytes), Ok(vec![more(1, 2, 1)]));
    assert_eq!(encoding::encode(&[more(1, 2, 1)]), Ok(bytes));
}

#[test]
fn released_snapshots_stay_readable() {
    let mut image = MetadataImage::default();
    apply(&mut image, &every_kind()).expect("every kind applies");
    assert_eq!(snapshot::from_bytes(RELEASED_SNAPSHOT), Ok(image.clone()));
    assert_eq!(snapshot::to_bytes(&image), RELEASED_SNAPSHOT);
}

#[test]
fn configs_of_single_brokers_need_the_second_formats() {
    let config = |broker: i32, value: Option<&str>| MetadataRecord::OwnBrokerConfig {
        broker_id: BrokerId(broker),
        key: "k".to_string(),
        value: value.map(str::to_string),
    };
    let records = [config(1, Some("v")), config(2, Some("w")), config(3, None)];
    assert_eq!(encoding::decode(RELEASED_OWN_CONFIGS).as_deref(), Ok(&records[..]));
    assert_eq!(encoding::encode(&records).as_deref(), Ok(RELEASED_OWN_CONFIGS));
    let mut image = MetadataImage::default();
    apply(&mut image, &records).expect("they apply");
    assert_eq!(snapshot::from_bytes(RELEASED_SNAPSHOT_2), Ok(image.clone()));
    assert_eq!(snapshot::to_bytes(&image), RELEASED_SNAPSHOT_2);
    assert_eq!(image.configs_of_broker(BrokerId(2)), BTreeMap::from([("k".to_string(), "w".to_string())]));
    let bytes = snapshot::to_bytes(&image);
    assert_eq!((bytes[0], snapshot::from_bytes(&bytes)), (2, Ok(image.clone())));
    apply(&mut image, &[config(1, None), config(2, None)]).expect("they apply");
    assert_eq!(snapshot::to_bytes(&image)[0], 1);
}

/// Records of the kinds that came with groups, metrics of clients and quotas.
fn of_resources() -> Vec<MetadataRecord> {
    let text = |text: &str| text.to_string();
    let config = |resource, key: &str, value: Option<&str>| MetadataRecord::ResourceConfig {
        resource,
        key: text(key),
        value: value.map(text),
    };
    let quota = |entity, key: &str, value: Option<f64>| MetadataRecord::ClientQuota {
        entity,
        key: text(key),
        value: value.map(QuotaLimit::new),
    };
    let named = |name: &str| Some(QuotaName::Named(text(name)));
    vec![
        config(ConfigResource::Group(text("g")), "consumer.session.timeout.ms", Some("45000")),
        config(ConfigResource::ClientMetrics(text("m")), "interval.ms", Some("1000")),
        config(ConfigResource::ClientMetrics(text("n")), "match", None),
        quota(
            QuotaEntity { user: Some(QuotaName::Default), client_id: named("c"), ip: None },
            "producer_byte_rate",
            Some(1048576.0),
        ),
        quota(QuotaEntity { ip: named("::1"), ..Default::default() }, "connection_creation_rate", Some(2.5)),
        quota(QuotaEntity { client_id: named("d"), ..Default::default() }, "request_percentage", None),
    ]
}

#[test]
fn resources_and_quotas_need_the_third_snapshot() {
    let records = of_resources();
    assert_eq!(encoding::decode(RELEASED_RESOURCES).as_ref(), Ok(&records));
    assert_eq!(encoding::encode(&records).as_deref(), Ok(RELEASED_RESOURCES));
    let mut image = MetadataImage::default();
    apply(&mut image, &records).expect("they apply");
    assert_eq!((image.resource_configs().len(), image.quotas().len()), (2, 2));
    assert_eq!(snapshot::from_bytes(RELEASED_SNAPSHOT_3), Ok(image.clone()));
    assert_eq!(snapshot::to_bytes(&image), RELEASED_SNAPSHOT_3);
    let gone: Vec<_> = (records.into_iter())
        .map(|record| match record {
            MetadataRecord::ResourceConfig { resource, key, .. } => {
                MetadataRecord::ResourceConfig { resource, key, value: None }
            }
            MetadataRecord::ClientQuota { entity, key, .. } => MetadataRecord::ClientQuota { entity, key, value: None },
            other => other,
        })
        .collect();
    apply(&mut image, &gone).expect("they apply");
    assert_eq!(snapshot::to_bytes(&image)[0], 1);
}

#[test]
fn an_entity_has_parts_and_an_address_stands_alone() {
    let name = || Some(QuotaName::Named("n".to_string()));
    let sound = |user, client_id, ip| QuotaEntity { user, client_id, ip }.is_sound();
    assert!(sound(name(), None, None) && sound(None, name(), None) && sound(None, None, name()));
    assert!(sound(name(), Some(QuotaName::Default), None) && sound(None, None, Some(QuotaName::Default)));
    assert!(!sound(None, None, None) && !sound(name(), None, name()) && !sound(None, name(), name()));
    assert!(!sound(Some(QuotaName::Named(String::new())), None, None));
    let mut image = MetadataImage::default();
    for value in [0.0, -1.0, f64::NAN] {
        let entity = QuotaEntity { user: name(), ..Default::default() };
        let record = MetadataRecord::ClientQuota { entity, key: "k".to_string(), value: Some(QuotaLimit::new(value)) };
        assert!(matches!(apply(&mut image, &[record]), Err(ApplyError::Malformed(_))), "{value}");
    }
}

#[test]
fn unknown_formats_are_named() {
    assert_eq!(encoding::decode(&[2, 0, 0, 0, 0]), Err(DecodeError::UnknownFormat(2)));
    assert_eq!(encoding::decode(&[1, 1, 0, 0, 0, 2, 0, 0, 0, 99, 1]), Err(DecodeError::UnknownKind(99)));
    assert_eq!(encoding::decode(&[1, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1]), Err(DecodeError::UnknownKind(0)));
    let newer = encoding::decode(&[1, 1, 0, 0, 0, 2, 0, 0, 0, 2, 9]);
    assert_eq!(newer, Err(DecodeError::UnknownVersion { kind: 2, version: 9 }));
    assert_eq!(snapshot::from_bytes(&[2; 64]), Err(SnapshotError::UnknownFormat(0x0202_0202)));
    let newer = encoding::decode(&[1, 1, 0, 0, 0, 2, 0, 0, 0, 5, 2]);
    assert_eq!(newer, Err(DecodeError::UnknownVersion { kind: 5, version: 2 }));
    assert_eq!(snapshot::from_bytes(&[]), Err(SnapshotError::Damaged));
}

#[test]
fn counts_beyond_the_bytes_allocate_nothing() {
    assert_eq!(encoding::decode(&[1, 255, 255, 255, 255]), Err(DecodeError::Truncated));
    let mut topic = vec![1, 1, 0, 0, 0, 25, 0, 0, 0, 1, 1, 1, 0, b'a'];
    topic.extend_from_slice(&[7; 16]);
    topic.extend_from_slice(&[255; 4]);
    assert_eq!(encoding::decode(&topic), Err(DecodeError::Truncated));
}

#[test]
fn what_is_above_the_bounds_is_no_entry() {
    let config = |length: usize| MetadataRecord::BrokerConfig { key: "k".to_string(), value: Some("v".repeat(length)) };
    assert!(encoding::encode(&[config(limits::STRING_BYTES_MAX)]).is_ok());
    assert_eq!(encoding::encode(&[config(limits::STRING_BYTES_MAX + 1)]), Err(EncodeError::StringTooLong));
    assert_eq!(encoding::encode(&vec![config(limits::STRING_BYTES_MAX); 33]), Err(EncodeError::TooLarge));
    assert_eq!(encoding::encode(&vec![config(0); limits::RECORDS_PER_ENTRY_MAX + 1]), Err(EncodeError::TooManyRecords));
    assert_eq!(encoding::decode(&vec![1; limits::ENTRY_BYTES_MAX + 1]), Err(DecodeError::TooLarge));
}

#[test]
fn the_largest_topic_fits_into_an_entry() {
    let replicas: Vec<BrokerId> = (0..).take(limits::REPLICAS_PER_PARTITION_MAX).map(BrokerId).collect();
    let largest = (0..).take(limits::PARTITIONS_PER_REQUEST_MAX).map(|index| PartitionAssignment {
        index: PartitionIndex(index),
        replicas: replicas.clone(),
        leader: BrokerId(0),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
    });
    let name = "n".repeat(limits::TOPIC_NAME_BYTES_MAX);
    let record = MetadataRecord::Topic { name, topic_id: topic_id(1), partitions: largest.collect() };
    let bytes = encoding::encode(core::slice::from_ref(&record)).expect("the largest topic fits");
    assert_eq!(encoding::decode(&bytes), Ok(vec![record]));
}

#[test]
fn a_topic_is_created_with_the_configs_of_its_batch() {
    let mut image = MetadataImage::default();
    let config = MetadataRecord::TopicConfig {
        topic_id: topic_id(1),
        key: "cleanup.policy".to_string(),
        value: Some("compact".to_string()),
    };
    let delta = apply(&mut image, &[topic("a", 1, 1), config]).expect("the batch applies");
    let [MetadataChange::TopicCreated(created)] = delta.changes.as_slice() else {
        panic!("one change, not {:?}", delta.changes);
    };
    assert_eq!(created.configs()["cleanup.policy"], "compact");
    assert!(Arc::ptr_eq(created, image.topic_by_name("a").expect("it was created")), "delta and image share the topic");
}

#[test]
fn of_two_additions_made_from_one_image_one_is_refused() {
    let mut image = MetadataImage::default();
    apply(&mut image, &[topic("a", 1, 2)]).expect("a topic is created");
    let delta = apply(&mut image, &[more(1, 2, 3)]).expect("partitions are added");
    assert!(matches!(
        delta.changes.as_slice(),
        [MetadataChange::PartitionsAdded { topic, first: PartitionIndex(2) }] if topic.partitions().len() == 5
    ));
    let refused = ApplyError::PartitionsTaken(topic_id(1), PartitionIndex(2));
    assert_eq!(apply(&mut image, &[more(1, 2, 1)]), Err(refused));
    assert_eq!(apply(&mut image, &[more(3, 2, 1)]), Err(ApplyError::UnknownTopicId(topic_id(3))));
    assert_eq!(image.partition_count(), 5);
    assert!(apply(&mut image, &[more(1, 5, 1), more(1, 6, 1), more(3, 0, 1)]).is_err());
    assert_eq!(image.partition_count(), 5, "a refused entry leaves nothing");
}

#[test]
fn a_topic_has_its_most_partitions() {
    let mut image = MetadataImage::default();
    apply(&mut image, &[topic("a", 1, 1)]).expect("a topic is created");
    let most = i32::try_from(limits::PARTITIONS_PER_TOPIC_MAX).expect("it fits");
    apply(&mut image, &[more(1, 1, most - 1)]).expect("it may have so many");
    assert!(matches!(apply(&mut image, &[more(1, most, 1)]), Err(ApplyError::Malformed(_))));
    assert_eq!(snapshot::from_bytes(&snapshot::to_bytes(&image)), Ok(image));
}

#[test]
fn of_two_blocks_cut_from_one_image_one_is_refused() {
    let mut image = MetadataImage::default();
    apply(&mut image, &[broker(1, 1)]).expect("a broker registers");
    let block = |next: i64| MetadataRecord::ProducerIdBlock {
        broker_id: BrokerId(1),
        first_producer_id: ProducerId(0),
        next_producer_id: ProducerId(next),
    };
    assert!(apply(&mut image, &[block(1000)]).is_ok());
    assert_eq!(apply(&mut image, &[block(2000)]), Err(ApplyError::ProducerIdsTaken));
    assert_eq!(image.next_producer_id(), ProducerId(1000));
}

#[test]
fn a_name_that_changed_hands_is_given_back() {
    let mut image = MetadataImage::default();
    apply(&mut image, &[topic("a.b", 1, 2)]).expect("a topic is created");
    let before = image.clone();
    let swap = [
        MetadataRecord::RemoveTopic { topic_id: topic_id(1) },
        topic("a.b", 2, 3),
        MetadataRecord::RemoveTopic { topic_id: topic_id(9) },
    ];
    assert_eq!(apply(&mut image, &swap), Err(ApplyError::UnknownTopicId(topic_id(9))));
    assert_eq!(Model::of(&image), Model::of(&before));
    let delta = apply(&mut image, &swap[..2]).expect("without the last record it applies");
    assert!(matches!(
        delta.changes.as_slice(),
        [MetadataChange::TopicDeleted(old), MetadataChange::TopicCreated(new)]
            if old.id() == topic_id(1) && new.id() == topic_id(2)
    ));
}

#[test]
#[should_panic(expected = "without holes")]
fn a_hole_in_the_log_is_a_broken_invariant() {
    let _ = MetadataImage::default().apply(MetadataOffset(2), 1, &[]);
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let mut image = MetadataImage::default();
    apply(&mut image, &[topic("aaaaaaaaaaaaaaaa", 1, 1), topic("bbbbbbbbbbbbbbbb", 2, 1)]).expect("topics are created");
    let mut bytes = snapshot::to_bytes(&image);
    let at = bytes.windows(16).position(|window| window == b"bbbbbbbbbbbbbbbb").expect("the name is in there");
    bytes[at..at + 16].copy_from_slice(b"aaaaaaaaaaaaaaaa");
    let expected = SnapshotError::Inconsistent(ApplyError::TopicExists("aaaaaaaaaaaaaaaa".to_string()));
    assert_eq!(snapshot::from_bytes(&bytes), Err(expected));
}
