//! Operations on topics, settings and the cluster: the requests, as calls, and what their answers say, owned.
//!
//! Each pair of functions is pure: one makes a [`Call`], the other reads the [`Answer`]. Who makes the calls does not matter.

use corelog_wire::api::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic};
use corelog_wire::api::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use corelog_wire::api::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use corelog_wire::api::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use corelog_wire::api::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use corelog_wire::api::describe_log_dirs::{
    DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult, VOLUME_BYTES_UNKNOWN,
};
use corelog_wire::api::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use corelog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use corelog_wire::api_key::ApiKey;
use corelog_wire::array::Array;
use corelog_wire::decoder::DecodeError;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;
use corelog_wire::ids::TopicId;

use crate::address::Address;
use crate::call::{Call, Target};
use crate::connection::Answer;

/// The first version of DeleteTopics that can name topics by id, and no longer names them as before.
const DELETE_BY_STATE: i16 = 6;

/// How long the cluster may take for a change, in milliseconds.
const CHANGE_TIMEOUT_MS: i32 = 30_000;

/// An error, and what the broker says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error.
    pub error: ErrorCode,
    /// The broker's words, if it has any.
    pub message: Option<String>,
}

impl Refused {
    pub(crate) fn read(error: ErrorCode, message: Option<&str>) -> Result<(), Self> {
        if error.is_none() { Ok(()) } else { Err(Self { error, message: message.map(str::to_owned) }) }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message.as_deref().map(|message| message.trim().trim_end_matches('.')) {
            Some(message) if !message.is_empty() => write!(f, "{message} ({})", self.error),
            _ => self.error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

/// What became of the part of a request that has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The topic or the resource.
    pub name: String,
    /// Whether it was done.
    pub result: Result<(), Refused>,
}

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; the brokers' default if it is not said.
    pub partitions: Option<i32>,
    /// How many replicas of each; the brokers' default if it is not said.
    pub replication_factor: Option<i16>,
    /// Its settings.
    pub configs: Vec<(String, String)>,
}

/// Creates topics, or only checks whether they could be created.
pub fn create_topics(topics: Vec<NewTopic>, validate_only: bool) -> Call {
    let call = Call::new(ApiKey::CreateTopics, move |header| {
        let configs: Vec<Vec<CreatableTopicConfig<'_>>> = topics
            .iter()
            .map(|topic| topic.configs.iter().map(|(name, value)| CreatableTopicConfig { name, value: Some(value) }))
            .map(Iterator::collect)
            .collect();
        let topics: Vec<_> = topics
            .iter()
            .zip(&configs)
            .map(|(topic, configs)| CreatableTopic {
                name: &topic.name,
                num_partitions: topic.partitions.unwrap_or(-1),
                replication_factor: topic.replication_factor.unwrap_or(-1),
                assignments: Array::EMPTY,
                configs: configs.into(),
            })
            .collect();
        encode_request(
            header,
            &CreateTopicsRequest { topics: (&topics).into(), timeout_ms: CHANGE_TIMEOUT_MS, validate_only },
        )
    });
    call.to(Target::Controller).changing()
}

/// A topic that was created, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its name.
    pub name: String,
    /// Whether it was created.
    pub result: Result<(), Refused>,
    /// Its id; zero if the broker does not say.
    pub id: TopicId,
    /// How many partitions it has, if the broker says.
    pub partitions: Option<i32>,
    /// How many replicas of each, if the broker says.
    pub replication_factor: Option<i16>,
}

/// What became of [`create_topics`].
///
/// # Errors
/// It is no such answer.
pub fn topics_created(answer: &Answer) -> Result<Vec<Created>, DecodeError> {
    let response: CreateTopicsResponse<'_> = answer.decode()?;
    let created = |topic: corelog_wire::api::create_topics::CreatableTopicResult<'_>| Created {
        name: topic.name.to_owned(),
        result: Refused::read(topic.error_code, topic.error_message),
        id: topic.topic_id,
        partitions: (topic.num_partitions > 0).then_some(topic.num_partitions),
        replication_factor: (topic.replication_factor > 0).then_some(topic.replication_factor),
    };
    Ok(response.topics.iter().map(created).collect())
}

/// Deletes topics.
pub fn delete_topics(names: Vec<String>) -> Call {
    let call = Call::new(ApiKey::DeleteTopics, move |header| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let states: Vec<_> =
            names.iter().map(|name| DeleteTopicState { name: Some(name), ..Default::default() }).collect();
        let is_by_state = header.request_api_version >= DELETE_BY_STATE;
        let request = DeleteTopicsRequest {
            topics: if is_by_state { (&states).into() } else { Array::EMPTY },
            topic_names: if is_by_state { Array::EMPTY } else { (&names).into() },
            timeout_ms: CHANGE_TIMEOUT_MS,
        };
        encode_request(header, &request)
    });
    call.to(Target::Controller).changing()
}

/// What became of [`delete_topics`].
///
/// # Errors
/// It is no such answer.
pub fn topics_deleted(answer: &Answer) -> Result<Vec<Outcome>, DecodeError> {
    let response: DeleteTopicsResponse<'_> = answer.decode()?;
    let outcome = |topic: corelog_wire::api::delete_topics::DeletableTopicResult<'_>| Outcome {
        name: topic.name.unwrap_or_default().to_owned(),
        result: Refused::read(topic.error_code, topic.error_message),
    };
    Ok(response.responses.iter().map(outcome).collect())
}

/// Gives topics more partitions: how many each is to have, those that are there included.
pub fn create_partitions(topics: Vec<(String, i32)>, validate_only: bool) -> Call {
    let call = Call::new(ApiKey::CreatePartitions, move |header| {
        let topics: Vec<_> = topics
            .iter()
            .map(|(name, count)| CreatePartitionsTopic { name, count: *count, assignments: None })
            .collect();
        let request =
            CreatePartitionsRequest { topics: (&topics).into(), timeout_ms: CHANGE_TIMEOUT_MS, validate_only };
        encode_request(header, &request)
    });
    call.to(Target::Controller).changing()
}

/// What became of [`create_partitions`].
///
/// # Errors
/// It is no such answer.
pub fn partitions_created(answer: &Answer) -> Result<Vec<Outcome>, DecodeError> {
    let response: CreatePartitionsResponse<'_> = answer.decode()?;
    let outcome = |topic: corelog_wire::api::create_partitions::CreatePartitionsTopicResult<'_>| Outcome {
        name: topic.name.to_owned(),
        result: Refused::read(topic.error_code, topic.error_message),
    };
    Ok(response.results.iter().map(outcome).collect())
}

/// A partition, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its index.
    pub index: i32,
    /// What is wrong with it, or none.
    pub error: ErrorCode,
    /// The leader's broker id, if it has one.
    pub leader: Option<i32>,
    /// The leader's epoch, or -1.
    pub leader_epoch: i32,
    /// The brokers that have a replica, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them in sync with the leader.
    pub isr: Vec<i32>,
}

/// A topic, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// What is wrong with it, or none.
    pub error: ErrorCode,
    /// Its id; zero where brokers have none.
    pub id: TopicId,
    /// Whether it is Kafka's own.
    pub is_internal: bool,
    /// Its partitions by index.
    pub partitions: Vec<PartitionDescription>,
}

/// Describes these topics, or all of them.
pub fn describe_topics(names: Option<Vec<String>>) -> Call {
    Call::new(ApiKey::Metadata, move |header| {
        let topics: Option<Vec<_>> = names.as_ref().map(|names| {
            names.iter().map(|name| MetadataRequestTopic { name: Some(name), ..Default::default() }).collect()
        });
        let request = MetadataRequest {
            topics: topics.as_ref().map(Array::from),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        encode_request(header, &request)
    })
}

/// What [`describe_topics`] found, by name.
///
/// # Errors
/// It is no such answer.
pub fn topics_described(answer: &Answer) -> Result<Vec<TopicDescription>, DecodeError> {
    let response: MetadataResponse<'_> = answer.decode()?;
    let partition = |partition: corelog_wire::api::metadata::MetadataResponsePartition<'_>| PartitionDescription {
        index: partition.partition_index,
        error: partition.error_code,
        leader: (partition.leader_id >= 0).then_some(partition.leader_id),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes.iter().collect(),
        isr: partition.isr_nodes.iter().collect(),
    };
    let topic = |topic: corelog_wire::api::metadata::MetadataResponseTopic<'_>| {
        let mut partitions: Vec<_> = topic.partitions.iter().map(partition).collect();
        partitions.sort_by_key(|partition| partition.index);
        TopicDescription {
            name: topic.name.unwrap_or_default().to_owned(),
            error: topic.error_code,
            id: topic.topic_id,
            is_internal: topic.is_internal,
            partitions,
        }
    };
    let mut topics: Vec<_> = response.topics.iter().map(topic).collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// A broker, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its id.
    pub id: i32,
    /// Where clients reach it.
    pub address: Address,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// The cluster, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub id: String,
    /// The controller's broker id, if one is named.
    pub controller: Option<i32>,
    /// Its brokers by id.
    pub brokers: Vec<BrokerDescription>,
}

/// Describes the cluster.
pub fn describe_cluster() -> Call {
    Call::new(ApiKey::DescribeCluster, |header| encode_request(header, &DescribeClusterRequest::default()))
}

/// What [`describe_cluster`] found.
///
/// # Errors
/// It is no such answer.
pub fn cluster_described(answer: &Answer) -> Result<Result<ClusterDescription, Refused>, DecodeError> {
    let response: DescribeClusterResponse<'_> = answer.decode()?;
    if let Err(refused) = Refused::read(response.error_code, response.error_message) {
        return Ok(Err(refused));
    }
    let broker = |broker: corelog_wire::api::describe_cluster::DescribeClusterBroker<'_>| BrokerDescription {
        id: broker.broker_id,
        address: Address::new(broker.host, u16::try_from(broker.port).unwrap_or(0)),
        rack: broker.rack.map(str::to_owned),
    };
    let mut brokers: Vec<_> = response.brokers.iter().map(broker).collect();
    brokers.sort_by_key(|broker| broker.id);
    Ok(Ok(ClusterDescription {
        id: response.cluster_id.to_owned(),
        controller: (response.controller_id >= 0).then_some(response.controller_id),
        brokers,
    }))
}

/// A replica in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirReplica {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// How large its log is, in bytes.
    pub bytes: i64,
    /// By how many offsets it lies behind; -1 if that is not known.
    pub offset_lag: i64,
    /// Whether it is about to move here from another directory of its broker.
    pub is_future: bool,
}

/// A log directory, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Its path on the broker.
    pub path: String,
    /// What is wrong with it, or none.
    pub error: ErrorCode,
    /// The size of its volume in bytes, if the broker says.
    pub total_bytes: Option<i64>,
    /// The room on its volume in bytes, if the broker says.
    pub usable_bytes: Option<i64>,
    /// What lies in it, by topic and partition.
    pub replicas: Vec<LogDirReplica>,
}

/// Describes the log directories of a broker, and all that lies in them.
pub fn describe_log_dirs(broker: i32) -> Call {
    let call =
        Call::new(ApiKey::DescribeLogDirs, |header| encode_request(header, &DescribeLogDirsRequest { topics: None }));
    call.to(Target::Broker(broker))
}

/// What [`describe_log_dirs`] found.
///
/// # Errors
/// It is no such answer.
pub fn log_dirs_described(answer: &Answer) -> Result<Result<Vec<LogDir>, Refused>, DecodeError> {
    let response: DescribeLogDirsResponse<'_> = answer.decode()?;
    if let Err(refused) = Refused::read(response.error_code, None) {
        return Ok(Err(refused));
    }
    let known = |bytes: i64| (bytes != VOLUME_BYTES_UNKNOWN).then_some(bytes);
    let directory = |one: DescribeLogDirsResult<'_>| {
        let replicas = one.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(move |replica| LogDirReplica {
                topic: topic.name.to_owned(),
                partition: replica.partition_index,
                bytes: replica.partition_size,
                offset_lag: replica.offset_lag,
                is_future: replica.is_future_key,
            })
        });
        let mut replicas: Vec<_> = replicas.collect();
        replicas.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        LogDir {
            path: one.log_dir.to_owned(),
            error: one.error_code,
            total_bytes: known(one.total_bytes),
            usable_bytes: known(one.usable_bytes),
            replicas,
        }
    };
    Ok(Ok(response.results.iter().map(directory).collect()))
}

/// Something that has settings: a resource type of [`corelog_wire::api::describe_configs`], and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// What it is.
    pub kind: i8,
    /// Its name.
    pub name: String,
}

/// What was found of a resource or done to it, or why not.
pub type OfResource<T> = (Resource, Result<T, Refused>);

/// A setting, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value; none for a secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: i8,
    /// Its type.
    pub kind: i8,
    /// Whether it cannot be changed.
    pub is_read_only: bool,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// The places that the value could come from and that have one, the strongest first: name there, value, source.
    pub synonyms: Vec<(String, Option<String>, i8)>,
    /// What it means.
    pub documentation: Option<String>,
}

impl Setting {
    fn read(setting: DescribeConfigsResourceResult<'_>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let synonyms = setting.synonyms.iter();
        Self {
            name: setting.name.to_owned(),
            value: owned(setting.value),
            source: setting.config_source,
            kind: setting.config_type,
            is_read_only: setting.read_only,
            is_sensitive: setting.is_sensitive,
            synonyms: synonyms.map(|other| (other.name.to_owned(), owned(other.value), other.source)).collect(),
            documentation: owned(setting.documentation).filter(|text| !text.is_empty()),
        }
    }
}

/// Describes the settings of these resources: all of them, or those named.
pub fn describe_configs(resources: Vec<Resource>, keys: Option<Vec<String>>, documentation: bool) -> Call {
    Call::new(ApiKey::DescribeConfigs, move |header| {
        let keys: Option<Vec<&str>> = keys.as_ref().map(|keys| keys.iter().map(String::as_str).collect());
        let resources: Vec<_> = resources
            .iter()
            .map(|resource| DescribeConfigsResource {
                resource_type: resource.kind,
                resource_name: &resource.name,
                configuration_keys: keys.as_ref().map(Array::from),
            })
            .collect();
        let request = DescribeConfigsRequest {
            resources: (&resources).into(),
            include_synonyms: true,
            // Before version 3 nobody could ask for it.
            include_documentation: documentation && header.request_api_version >= 3,
        };
        encode_request(header, &request)
    })
}

/// What [`describe_configs`] found of each resource.
///
/// # Errors
/// It is no such answer.
pub fn configs_described(answer: &Answer) -> Result<Vec<OfResource<Vec<Setting>>>, DecodeError> {
    let response: DescribeConfigsResponse<'_> = answer.decode()?;
    let described = |one: corelog_wire::api::describe_configs::DescribeConfigsResult<'_>| {
        let resource = Resource { kind: one.resource_type, name: one.resource_name.to_owned() };
        let mut settings: Vec<_> = one.configs.iter().map(Setting::read).collect();
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        (resource, Refused::read(one.error_code, one.error_message).map(|()| settings))
    };
    Ok(response.results.iter().map(described).collect())
}

/// A change to a setting: an operation of [`corelog_wire::api::incremental_alter_configs`], and the value to do it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The setting.
    pub name: String,
    /// The operation.
    pub operation: i8,
    /// The value; none where the operation takes it away.
    pub value: Option<String>,
}

/// Changes settings of resources, each of them all or nothing; or only checks whether it could.
pub fn alter_configs(changes: Vec<(Resource, Vec<Change>)>, validate_only: bool) -> Call {
    let call = Call::new(ApiKey::IncrementalAlterConfigs, move |header| {
        let lines: Vec<Vec<AlterableConfig<'_>>> = changes
            .iter()
            .map(|(_, changes)| {
                changes
                    .iter()
                    .map(|change| AlterableConfig {
                        name: &change.name,
                        config_operation: change.operation,
                        value: change.value.as_deref(),
                    })
                    .collect()
            })
            .collect();
        let resources: Vec<_> = changes
            .iter()
            .zip(&lines)
            .map(|((resource, _), lines)| AlterConfigsResource {
                resource_type: resource.kind,
                resource_name: &resource.name,
                configs: lines.into(),
            })
            .collect();
        encode_request(header, &IncrementalAlterConfigsRequest { resources: (&resources).into(), validate_only })
    });
    call.changing()
}

/// What became of [`alter_configs`].
///
/// # Errors
/// It is no such answer.
pub fn configs_altered(answer: &Answer) -> Result<Vec<OfResource<()>>, DecodeError> {
    let response: IncrementalAlterConfigsResponse<'_> = answer.decode()?;
    let altered = |one: corelog_wire::api::incremental_alter_configs::AlterConfigsResourceResponse<'_>| {
        let resource = Resource { kind: one.resource_type, name: one.resource_name.to_owned() };
        (resource, Refused::read(one.error_code, one.error_message))
    };
    Ok(response.responses.iter().map(altered).collect())
}
