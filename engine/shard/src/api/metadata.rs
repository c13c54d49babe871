//! Metadata: brokers, topics and who leads their partitions; creates topics that a client asks for by name.
//!
//! A topic that has to be created is answered when it can be used: its creation is durable and this shard has applied
//! it. Kafka would answer with an error first and let the client come back.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use corelog_replication::controller::{self, NewTopic, Rejection, TopicDefaults, TopicResult};
use corelog_replication::ids::BrokerId;
use corelog_replication::metadata::{MetadataImage, PartitionAssignment, TopicImage, topic_name};
use corelog_replication::quorum::ProposalId;
use corelog_wire::api::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic, OPERATIONS_NOT_ASKED_FOR,
};
use corelog_wire::array::Array;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::create_topics::check_config;
use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::config::BrokerConfig;
use crate::coordinator::OFFSETS_TOPIC;
use crate::front::{Context, Shared, draw_topic_id};
use crate::mesh::FIRST;

/// The first version in which a topic may be named by its id; two earlier ones have the field and never used it.
const FIRST_WITH_IDS: i16 = 12;
/// Without an authorizer everybody may do everything: read, write, create, delete, alter, describe, describe configs,
/// alter configs. One bit per operation, by Kafka's numbers.
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// Create, alter, describe, cluster action, describe configs, alter configs, idempotent write.
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// Topics that coordinators write; clients hear that they are not ordinary ones.
const INTERNAL_TOPICS: [&str; 3] = [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"];

/// Whether a topic is one of Kafka's own.
pub(crate) fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// A request some of whose topics are being created.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    wanted: Wanted,
    /// Why topics could not be created.
    refused: BTreeMap<String, ErrorCode>,
    with_topic_operations: bool,
    with_cluster_operations: bool,
    waiting: usize,
}

#[derive(Debug)]
enum Wanted {
    All,
    Names(Vec<String>),
    Ids(Vec<TopicId>),
    /// Topics named in a way that the request's version does not allow, as they stand there.
    Malformed(Vec<(String, TopicId)>),
}

/// Topics that are being created because somebody asked for their metadata.
#[derive(Debug)]
pub(crate) struct TopicCreation {
    pub(super) random: u64,
    under_way: BTreeMap<String, ProposalId>,
    names: BTreeMap<ProposalId, String>,
}

/// Answers at once, unless topics have to be created.
pub(crate) fn handle(shared: &mut Shared, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<MetadataRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.topics.map_or(0, |topics| topics.len())) {
        return Outcome::Close(reason);
    }
    let version = call.to.version;
    let wanted = match request.topics {
        None => Wanted::All,
        Some(topics) if version == 0 && topics.is_empty() => Wanted::All,
        Some(topics) => named(version, topics),
    };
    let mut pending = Pending {
        to: call.to,
        wanted,
        refused: BTreeMap::new(),
        with_topic_operations: request.include_topic_authorized_operations,
        with_cluster_operations: request.include_cluster_authorized_operations,
        waiting: 0,
    };
    let mut proposals = Vec::new();
    if request.allow_auto_topic_creation && cx.config.auto_create_topics {
        if !cx.seat.is_first() && pending.misses_any(cx) {
            return Outcome::Elsewhere(FIRST);
        }
        proposals = pending.create_missing(shared, cx);
    }
    if proposals.is_empty() {
        return pending.answer(shared, cx);
    }
    pending.waiting = proposals.len();
    let weight = call.body.remaining() * 2;
    Outcome::Wait(Parked::Metadata(pending), Wait { proposals, weight, ..Wait::default() })
}

/// The topics that a request names.
fn named(version: i16, topics: Array<'_, MetadataRequestTopic<'_>>) -> Wanted {
    let has_id = |topic: MetadataRequestTopic<'_>| !topic.topic_id.is_zero();
    let by_id = topics.iter().any(has_id);
    if by_id && version >= FIRST_WITH_IDS {
        // As in Kafka: once one topic is named by id, names are not looked at.
        let ids: BTreeSet<TopicId> = topics.iter().filter(|topic| has_id(*topic)).map(|topic| topic.topic_id).collect();
        return Wanted::Ids(ids.into_iter().collect());
    }
    if by_id || topics.iter().any(|topic| topic.name.is_none()) {
        let as_they_stand = topics.iter().map(|topic| (topic.name.unwrap_or_default().to_string(), topic.topic_id));
        return Wanted::Malformed(as_they_stand.collect());
    }
    let mut seen = BTreeSet::new();
    let names = topics.iter().filter_map(|topic| topic.name).filter(|name| seen.insert(*name));
    Wanted::Names(names.map(ToString::to_string).collect())
}

impl TopicCreation {
    /// Nothing is being created. The seed decides about topic ids.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, under_way: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// A proposal was decided; perhaps it was one of these.
    pub(crate) fn decided(&mut self, proposal: ProposalId) {
        if let Some(name) = self.names.remove(&proposal) {
            self.under_way.remove(&name);
        }
    }

    /// Creates the topic of the group coordinators, as they want it, unless that is under way already.
    ///
    /// # Errors
    /// Why it will not come into being.
    pub(super) fn create_offsets_topic(&mut self, cx: &mut Context<'_>) -> Result<ProposalId, Rejection> {
        if let Some(proposal) = self.under_way.get(OFFSETS_TOPIC) {
            return Ok(*proposal);
        }
        let groups = &cx.config.groups;
        let brokers = i16::try_from(cx.metadata.image().brokers().len()).unwrap_or(i16::MAX);
        let segment_bytes = groups.topic_segment_bytes.to_string();
        let topic = NewTopic {
            name: OFFSETS_TOPIC,
            num_partitions: groups.topic_partitions,
            replication_factor: groups.topic_replication_factor.min(brokers.max(1)),
            configs: vec![
                ("cleanup.policy", Some("compact")),
                ("compression.type", Some("producer")),
                ("segment.bytes", Some(&segment_bytes)),
            ],
            ..NewTopic::default()
        };
        let mut results = self.create_with(cx, &[topic]);
        results.pop().expect("one result for each topic").1
    }

    /// Creates topics with the broker's defaults. There is one result per name.
    fn create(&mut self, cx: &mut Context<'_>, names: &[&str]) -> Vec<(String, Result<ProposalId, Rejection>)> {
        let defaults = NewTopic { num_partitions: -1, replication_factor: -1, ..NewTopic::default() };
        let topics: Vec<_> = names.iter().map(|name| NewTopic { name, ..defaults.clone() }).collect();
        self.create_with(cx, &topics)
    }

    fn create_with(
        &mut self,
        cx: &mut Context<'_>,
        topics: &[NewTopic<'_>],
    ) -> Vec<(String, Result<ProposalId, Rejection>)> {
        let config = cx.config;
        let results = controller::create_topics(
            cx.metadata.image(),
            topics,
            &topic_defaults(config),
            &mut || draw_topic_id(&mut self.random),
            &|key, value| check_config(config, key, value),
            false,
        );
        let propose = |TopicResult { name, outcome }: TopicResult| {
            let proposal = outcome.and_then(|created| Ok(cx.metadata.propose(&created.records)?));
            if let Ok(proposal) = proposal {
                self.under_way.insert(name.clone(), proposal);
                self.names.insert(proposal, name.clone());
            }
            (name, proposal)
        };
        results.into_iter().map(propose).collect()
    }
}

/// What holds for a topic that says nothing itself.
pub(super) fn topic_defaults(config: &BrokerConfig) -> TopicDefaults {
    TopicDefaults {
        num_partitions: config.num_partitions,
        replication_factor: config.default_replication_factor,
        partitions_max: crate::limits::PARTITIONS_MAX,
    }
}

impl Pending {
    /// Whether topics may have to be created.
    fn misses_any(&self, cx: &Context<'_>) -> bool {
        let Wanted::Names(names) = &self.wanted else { return false };
        let may_be_created = |name: &String| name == OFFSETS_TOPIC || !is_internal(name);
        names.iter().any(|name| may_be_created(name) && cx.metadata.image().topic_by_name(name).is_none())
    }

    /// Sets about creating the topics that do not exist.
    fn create_missing(&mut self, shared: &mut Shared, cx: &mut Context<'_>) -> Vec<ProposalId> {
        let Wanted::Names(names) = &self.wanted else { return Vec::new() };
        let mut proposals = Vec::new();
        let mut missing = Vec::new();
        for name in names {
            match shared.creation.under_way.get(name) {
                Some(proposal) => proposals.push(*proposal),
                None if cx.metadata.image().topic_by_name(name).is_some() => {}
                None if name == OFFSETS_TOPIC => match shared.creation.create_offsets_topic(cx) {
                    Ok(proposal) => proposals.push(proposal),
                    Err(rejection) => {
                        self.refused.insert(name.clone(), client_error(rejection.code));
                    }
                },
                // A coordinator's topic has to be made as the coordinator wants it; there is none for these yet.
                None if is_internal(name) => {}
                None => missing.push(name.as_str()),
            }
        }
        if missing.is_empty() {
            return proposals;
        }
        for (name, proposal) in shared.creation.create(cx, &missing) {
            match proposal {
                Ok(proposal) => proposals.push(proposal),
                Err(rejection) => {
                    self.refused.insert(name, client_error(rejection.code));
                }
            }
        }
        proposals
    }

    /// One of the creations is decided. Returns whether it was the last one.
    pub(crate) fn decided(&mut self) -> bool {
        self.waiting -= 1;
        self.waiting == 0
    }

    /// Answers from the image as it is now.
    pub(crate) fn answer(self, shared: &Shared, cx: &Context<'_>) -> Outcome {
        let image = cx.metadata.image();
        let found = self.found(image);
        let rows: Vec<Rows> = found.iter().map(|topic| Rows::of(image, topic)).collect();
        let partitions: Vec<Vec<MetadataResponsePartition<'_>>> = rows.iter().map(Rows::responses).collect();
        let topics: Vec<_> = found
            .iter()
            .zip(&partitions)
            .map(|(topic, partitions)| MetadataResponseTopic {
                error_code: topic.error(),
                name: topic.name(),
                topic_id: topic.id(),
                is_internal: topic.name().is_some_and(is_internal),
                partitions: partitions.into(),
                topic_authorized_operations: match self.with_topic_operations && topic.error().is_none() {
                    true => TOPIC_OPERATIONS,
                    false => OPERATIONS_NOT_ASKED_FOR,
                },
            })
            .collect();
        let brokers: Vec<_> = image
            .brokers()
            .values()
            .map(|broker| MetadataResponseBroker {
                node_id: broker.id.0,
                host: &broker.host,
                port: i32::from(broker.port),
                rack: cx.config.rack.as_deref().filter(|_| broker.id.0 == shared.identity.node_id),
            })
            .collect();
        self.to.answer(&MetadataResponse {
            brokers: (&brokers).into(),
            cluster_id: Some(&shared.identity.cluster_id),
            controller_id: shared.identity.node_id,
            topics: (&topics).into(),
            cluster_authorized_operations: match self.with_cluster_operations {
                true => CLUSTER_OPERATIONS,
                false => OPERATIONS_NOT_ASKED_FOR,
            },
            error_code: match self.wanted {
                Wanted::Malformed(_) => ErrorCode::INVALID_REQUEST,
                _ => ErrorCode::NONE,
            },
            ..MetadataResponse::default()
        })
    }

    fn found<'s>(&'s self, image: &'s MetadataImage) -> Vec<Found<'s>> {
        match &self.wanted {
            Wanted::All => image.topics().map(Found::Topic).collect(),
            Wanted::Names(names) => names.iter().map(|name| self.found_by_name(image, name)).collect(),
            Wanted::Ids(ids) => {
                ids.iter().map(|id| image.topic_by_id(*id).map_or(Found::NoId(*id), Found::Topic)).collect()
            }
            Wanted::Malformed(topics) => topics.iter().map(|(name, id)| Found::Malformed(name, *id)).collect(),
        }
    }

    fn found_by_name<'s>(&'s self, image: &'s MetadataImage, name: &'s str) -> Found<'s> {
        if let Some(error) = self.refused.get(name) {
            return Found::NoName(name, *error);
        }
        match image.topic_by_name(name) {
            Some(topic) => Found::Topic(topic),
            None => Found::NoName(name, why_unknown(name)),
        }
    }
}

/// What became of a topic that was asked for.
enum Found<'a> {
    Topic(&'a Arc<TopicImage>),
    NoName(&'a str, ErrorCode),
    NoId(TopicId),
    Malformed(&'a str, TopicId),
}

impl Found<'_> {
    fn error(&self) -> ErrorCode {
        match self {
            Self::Topic(_) => ErrorCode::NONE,
            Self::NoName(_, error) => *error,
            Self::NoId(_) => ErrorCode::UNKNOWN_TOPIC_ID,
            Self::Malformed(..) => ErrorCode::INVALID_REQUEST,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Topic(topic) => Some(topic.name()),
            Self::NoName(name, _) | Self::Malformed(name, _) => Some(name),
            Self::NoId(_) => None,
        }
    }

    fn id(&self) -> TopicId {
        match self {
            Self::Topic(topic) => topic.id(),
            Self::NoName(..) => TopicId::ZERO,
            Self::NoId(id) | Self::Malformed(_, id) => *id,
        }
    }
}

/// The partitions of one topic, with the arrays that their descriptions point into.
struct Rows {
    rows: Vec<Row>,
}

/// One partition.
pub(super) struct Row {
    error: ErrorCode,
    pub(super) index: i32,
    /// -1 where it is not there.
    pub(super) leader: i32,
    pub(super) leader_epoch: i32,
    pub(super) replicas: Vec<i32>,
    pub(super) in_sync: Vec<i32>,
    pub(super) offline: Vec<i32>,
}

impl Row {
    pub(super) fn of(image: &MetadataImage, partition: &PartitionAssignment) -> Self {
        let replicas: Vec<i32> = partition.replicas.iter().map(|broker| broker.0).collect();
        let is_online = |id: &&i32| image.brokers().contains_key(&BrokerId(**id));
        let has_leader = is_online(&&partition.leader.0);
        Self {
            error: if has_leader { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
            index: partition.index.0,
            leader: if has_leader { partition.leader.0 } else { -1 },
            leader_epoch: partition.leader_epoch.0,
            in_sync: replicas.iter().filter(is_online).copied().collect(),
            offline: replicas.iter().filter(|id| !is_online(id)).copied().collect(),
            replicas,
        }
    }
}

impl Rows {
    fn of(image: &MetadataImage, found: &Found<'_>) -> Self {
        let Found::Topic(topic) = found else { return Self { rows: vec![] } };
        Self { rows: topic.partitions().iter().map(|partition| Row::of(image, partition)).collect() }
    }

    fn responses(&self) -> Vec<MetadataResponsePartition<'_>> {
        self.rows
            .iter()
            .map(|row| MetadataResponsePartition {
                error_code: row.error,
                partition_index: row.index,
                leader_id: row.leader,
                leader_epoch: row.leader_epoch,
                replica_nodes: (&row.replicas).into(),
                isr_nodes: (&row.in_sync).into(),
                offline_replicas: (&row.offline).into(),
            })
            .collect()
    }
}

/// What is wrong with the name of a topic that is not there.
pub(super) fn why_unknown(name: &str) -> ErrorCode {
    match topic_name::validate(name) {
        Ok(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
    }
}

/// What a client hears that only asked: it comes back for everything but names that never become topics.
fn client_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::INVALID_TOPIC_EXCEPTION | ErrorCode::INVALID_REPLICATION_FACTOR => error,
        ErrorCode::INVALID_REQUEST => ErrorCode::INVALID_TOPIC_EXCEPTION,
        _ => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    }
}

#[cfg(test)]
mod tests;
