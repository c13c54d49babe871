//! CreateTopics: which topics of a request come into being, and as what (KIP-4, KIP-464 for the defaults).
//!
//! Every topic succeeds or fails on its own, but for one bound on the whole request. The order of the checks is Kafka's:
//! duplicates, names, existence, configs, then partitions and replicas.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::Rejection;
use super::assignment::{check_replicas, check_room, first_broker, new_partitions};
use crate::ids::{BrokerId, TopicId};
use crate::limits;
use crate::metadata::{ApplyError, MetadataImage, MetadataRecord, encoding, topic_name};
use crate::placement;

/// Kafka keeps its own metadata under this name; no client may have a topic called so.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Kafka's stand-in for "the default".
const USE_DEFAULT: i32 = -1;

/// A topic that a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Partitions, or -1 for the default. Must be -1 with `assignments`.
    pub num_partitions: i32,
    /// Replicas of each partition, or -1 for the default. Must be -1 with `assignments`.
    pub replication_factor: i16,
    /// Where the client wants the replicas; empty if the controller shall place them.
    pub assignments: Vec<NewAssignment>,
    /// The topic's own configs.
    pub configs: Vec<(&'a str, Option<&'a str>)>,
}

/// Where a client wants the replicas of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAssignment {
    /// The partition.
    pub partition_index: i32,
    /// The brokers, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// What holds where a request says -1, and how much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    /// Kafka's `num.partitions`; above 0.
    pub num_partitions: i32,
    /// Kafka's `default.replication.factor`; above 0.
    pub replication_factor: i16,
    /// Partitions that all topics together may have.
    pub partitions_max: usize,
}

/// What became of one topic of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResult {
    /// The topic's name as the request has it.
    pub name: String,
    /// The topic, or why there is none.
    pub outcome: Result<CreatedTopic, Rejection>,
}

/// A topic that may be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub topic_id: TopicId,
    /// How many partitions it has.
    pub num_partitions: i32,
    /// How many replicas the first of them has.
    pub replication_factor: i16,
    /// To be proposed as a batch of its own, so that topics stay independent; it fits into an entry. Empty if the
    /// request only wanted to know.
    pub records: Vec<MetadataRecord>,
}

/// Decides on a CreateTopics request. There is one result per name, in the order in which the names come first.
///
/// `draw_id` gives random ids; `check_config` refuses a key that is unknown or a value that is not one for its key, with
/// a message for the client.
///
/// # Panics
/// If the defaults are not positive, or `draw_id` keeps giving ids that are reserved or taken.
pub fn create_topics(
    image: &MetadataImage,
    topics: &[NewTopic<'_>],
    defaults: &TopicDefaults,
    draw_id: &mut dyn FnMut() -> TopicId,
    check_config: &dyn Fn(&str, &str) -> Result<(), String>,
    validate_only: bool,
) -> Vec<TopicResult> {
    assert!(defaults.num_partitions > 0 && defaults.replication_factor > 0, "defaults are usable");
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in topics {
        *times.entry(topic.name).or_insert(0) += 1;
    }
    let too_many = asked_partitions(topics, defaults) > limits::PARTITIONS_PER_REQUEST_MAX;
    let brokers: Vec<BrokerId> = image.brokers().keys().copied().collect();
    let mut request = Request {
        image,
        defaults,
        brokers,
        check_config,
        names: BTreeSet::new(),
        ids: BTreeSet::new(),
        partitions: image.partition_count(),
    };

    let mut results = Vec::with_capacity(times.len());
    for topic in topics {
        let outcome = match times.remove(topic.name) {
            None => continue,
            Some(1) if too_many => Err(Rejection::new(
                ErrorCode::POLICY_VIOLATION,
                format!("a request creates {} partitions at most", limits::PARTITIONS_PER_REQUEST_MAX),
            )),
            Some(1) => request.create(topic, draw_id, validate_only),
            Some(_) => Err(Rejection::new(ErrorCode::INVALID_REQUEST, "the request names this topic more than once")),
        };
        results.push(TopicResult { name: topic.name.to_string(), outcome });
    }
    results
}

/// How many partitions a request asks for, as far as its numbers are sensible.
fn asked_partitions(topics: &[NewTopic<'_>], defaults: &TopicDefaults) -> usize {
    let of_topic = |topic: &NewTopic<'_>| {
        if !topic.assignments.is_empty() {
            return topic.assignments.len();
        }
        let count = if topic.num_partitions == USE_DEFAULT { defaults.num_partitions } else { topic.num_partitions };
        usize::try_from(count).unwrap_or(0)
    };
    topics.iter().fold(0, |sum: usize, topic| sum.saturating_add(of_topic(topic)))
}

/// One request on its way: the image, and what the topics before this one have taken.
struct Request<'a> {
    image: &'a MetadataImage,
    defaults: &'a TopicDefaults,
    brokers: Vec<BrokerId>,
    check_config: &'a dyn Fn(&str, &str) -> Result<(), String>,
    /// Names that look like one of those that this request creates.
    names: BTreeSet<String>,
    ids: BTreeSet<TopicId>,
    /// In the image and in the topics created so far.
    partitions: usize,
}

impl Request<'_> {
    fn create(
        &mut self,
        topic: &NewTopic<'_>,
        draw_id: &mut dyn FnMut() -> TopicId,
        validate_only: bool,
    ) -> Result<CreatedTopic, Rejection> {
        self.check_name(topic.name)?;
        // Of two values for one key the later one is meant.
        let configs = topic.configs.iter().copied().collect();
        self.check_configs(&configs)?;
        let topic_id = self.draw_topic_id(draw_id);
        let replicas =
            if topic.assignments.is_empty() { self.place(topic, topic_id)? } else { self.take_assignments(topic)? };
        let partitions = replicas.len();
        check_room(self.partitions, partitions, self.defaults.partitions_max)?;

        let num_partitions = i32::try_from(partitions).expect("it is below the bound of a request");
        let replication_factor = i16::try_from(replicas[0].len()).expect("it is below the bound of a partition");
        let records = records(topic.name, topic_id, replicas, &configs);
        encoding::encode(&records)?;

        self.partitions += partitions;
        self.ids.insert(topic_id);
        self.names.extend(topic_name::look_alike_key(topic.name));
        let records = if validate_only { Vec::new() } else { records };
        Ok(CreatedTopic { topic_id, num_partitions, replication_factor, records })
    }

    fn check_name(&self, name: &str) -> Result<(), Rejection> {
        if name == METADATA_TOPIC {
            return Err(Rejection::new(ErrorCode::INVALID_REQUEST, "this name is the cluster's own"));
        }
        topic_name::validate(name)?;
        if self.image.topic_by_name(name).is_some() {
            return Err(Rejection::new(ErrorCode::TOPIC_ALREADY_EXISTS, format!("topic '{name}' exists")));
        }
        let mixed_up = |other: &str| Rejection::from(&ApplyError::TopicLooksAlike(name.to_string(), other.to_string()));
        if let Some(other) = self.image.look_alike_of(name) {
            return Err(mixed_up(other));
        }
        match topic_name::look_alike_key(name) {
            Some(key) if self.names.contains(&key) => Err(mixed_up(&key)),
            _ => Ok(()),
        }
    }

    fn check_configs(&self, configs: &BTreeMap<&str, Option<&str>>) -> Result<(), Rejection> {
        for (key, value) in configs {
            let Some(value) = value else {
                return Err(Rejection::new(ErrorCode::INVALID_CONFIG, format!("config '{key}' has no value")));
            };
            (self.check_config)(key, value).map_err(|why| Rejection::new(ErrorCode::INVALID_CONFIG, why))?;
        }
        Ok(())
    }

    fn draw_topic_id(&self, draw_id: &mut dyn FnMut() -> TopicId) -> TopicId {
        for _ in 0..limits::TOPIC_ID_DRAWS_MAX {
            let id = draw_id();
            if !is_reserved(id) && self.image.topic_by_id(id).is_none() && !self.ids.contains(&id) {
                return id;
            }
        }
        panic!("the source of topic ids is not random");
    }

    fn place(&self, topic: &NewTopic<'_>, topic_id: TopicId) -> Result<Vec<Vec<BrokerId>>, Rejection> {
        let factor = match topic.replication_factor {
            -1 => self.defaults.replication_factor,
            factor => factor,
        };
        let factor = match usize::try_from(factor) {
            Ok(factor @ 1..) => factor,
            _ => {
                let message = "the replication factor is above 0, or -1 for the default";
                return Err(Rejection::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
            }
        };
        let count = match topic.num_partitions {
            USE_DEFAULT => self.defaults.num_partitions,
            count => count,
        };
        let count = match usize::try_from(count) {
            Ok(count @ 1..) => count,
            _ => {
                let message = "the number of partitions is above 0, or -1 for the default";
                return Err(Rejection::new(ErrorCode::INVALID_PARTITIONS, message));
            }
        };
        if factor > self.brokers.len() || factor > limits::REPLICAS_PER_PARTITION_MAX {
            let message = format!("{factor} replicas cannot be placed on {} brokers", self.brokers.len());
            return Err(Rejection::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
        }
        Ok(placement::place(&self.brokers, first_broker(topic_id), count, factor))
    }

    fn take_assignments(&self, topic: &NewTopic<'_>) -> Result<Vec<Vec<BrokerId>>, Rejection> {
        if topic.replication_factor != -1 || topic.num_partitions != USE_DEFAULT {
            let message = "with an assignment, the replication factor and the number of partitions must be -1";
            return Err(Rejection::new(ErrorCode::INVALID_REQUEST, message));
        }
        let refuse = |message: String| Rejection::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        let mut by_index = BTreeMap::new();
        for NewAssignment { partition_index, broker_ids } in &topic.assignments {
            let replicas = check_replicas(&self.brokers, *partition_index, broker_ids).map_err(refuse)?;
            if by_index.insert(*partition_index, replicas).is_some() {
                return Err(refuse(format!("partition {partition_index} is assigned more than once")));
            }
        }
        if !by_index.keys().copied().eq(0..topic.assignments.len() as i32) {
            return Err(refuse("the partitions are not numbered from 0 without holes".to_string()));
        }
        let replicas: Vec<Vec<BrokerId>> = by_index.into_values().collect();
        if replicas.iter().any(|others| others.len() != replicas[0].len()) {
            return Err(refuse("the partitions have different numbers of replicas".to_string()));
        }
        Ok(replicas)
    }
}

/// Kafka keeps two ids for itself (zero and one) and never gives out one whose text begins with a dash, which command
/// lines would take for an option.
fn is_reserved(id: TopicId) -> bool {
    u128::from_be_bytes(id.0) <= 1 || id.to_string().starts_with('-')
}

fn records(
    name: &str,
    topic_id: TopicId,
    replicas: Vec<Vec<BrokerId>>,
    configs: &BTreeMap<&str, Option<&str>>,
) -> Vec<MetadataRecord> {
    let mut records = Vec::with_capacity(1 + configs.len());
    let partitions = new_partitions(0, replicas);
    records.push(MetadataRecord::Topic { name: name.to_string(), topic_id, partitions });
    for (key, value) in configs {
        let (key, value) = (key.to_string(), value.map(ToString::to_string));
        records.push(MetadataRecord::TopicConfig { topic_id, key, value });
    }
    records
}
