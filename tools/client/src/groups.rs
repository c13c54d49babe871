//! Operations on groups, from outside of them: the requests, as calls, and what their answers say, owned.
//!
//! Each pair of functions is pure. [`of_coordinator`] alone makes calls: it finds the broker that coordinates a group, and
//! asks again where it was not, or not yet, the one.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelog_wire::api::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use corelog_wire::api::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use corelog_wire::api::list_groups::{ListGroupsRequest, ListGroupsResponse};
use corelog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use corelog_wire::api::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use corelog_wire::api::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use corelog_wire::api_key::ApiKey;
use corelog_wire::array::Array;
use corelog_wire::decoder::DecodeError;
use corelog_wire::encoder::EncodeError;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;
use corelog_wire::header::RequestHeader;
use corelog_wire::ids::TopicId;

use crate::admin::{Outcome, Refused};
use crate::call::{Call, CallError, Target};
use crate::connection::Answer;
use crate::driver::Driver;
use crate::group_member::subscription::{Partitions, decode_assignment};
use crate::group_member::{Found, find_coordinator, read_coordinator};
use crate::limits::RETRY_BACKOFF;

/// The last version of OffsetCommit and OffsetFetch that names topics; later ones have their ids instead.
const BY_NAME_MAX: i16 = 9;

/// The first version of OffsetFetch that asks for several groups.
const MANY_GROUPS: i16 = 8;

/// The first version of OffsetFetch that can wait for transactions.
const STABLE_FROM: i16 = 7;

/// The first versions of ListGroups that filter by state and by type.
const STATES_FROM: i16 = 4;

/// A group, as its coordinator names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedGroup {
    /// Its id.
    pub id: String,
    /// What kind of protocol its members speak: `consumer` for consumers, `connect` for workers of Kafka Connect; empty if
    /// nobody ever joined it.
    pub protocol_type: String,
    /// How it is; empty if the broker is too old to say.
    pub state: String,
    /// `Classic` or `Consumer`, say; empty if the broker is too old to say.
    pub kind: String,
}

/// Names the groups that a broker coordinates: all of them, or those in one of these states.
pub fn list_groups(broker: i32, states: Vec<String>) -> Call {
    let call = Call::new(ApiKey::ListGroups, move |header| {
        let states: Vec<&str> = states.iter().map(String::as_str).collect();
        let filters = header.request_api_version >= STATES_FROM;
        let states_filter = if filters { (&states).into() } else { Array::EMPTY };
        encode_request(header, &ListGroupsRequest { states_filter, ..Default::default() })
    });
    call.to(Target::Broker(broker))
}

/// What [`list_groups`] found. A broker that is too old to filter names all.
///
/// # Errors
/// It is no such answer.
pub fn groups_listed(answer: &Answer) -> Result<(ErrorCode, Vec<ListedGroup>), DecodeError> {
    let response: ListGroupsResponse<'_> = answer.decode()?;
    let group = |group: corelog_wire::api::list_groups::ListedGroup<'_>| ListedGroup {
        id: group.group_id.to_owned(),
        protocol_type: group.protocol_type.to_owned(),
        state: group.group_state.to_owned(),
        kind: group.group_type.to_owned(),
    };
    Ok((response.error_code, response.groups.iter().map(group).collect()))
}

/// A member of a group, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub id: String,
    /// Its own name, if it is static.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is, as the broker sees it.
    pub host: String,
    /// What it reads; none while that is not known, or if it is no consumer.
    pub assigned: Option<Partitions>,
}

/// A group, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// Why it is not described, or none.
    pub error: ErrorCode,
    /// The same in words, if the broker has any.
    pub message: Option<String>,
    /// How it is: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable` or `Dead`.
    pub state: String,
    /// What kind of protocol its members speak.
    pub protocol_type: String,
    /// The assignor that they use, once they have agreed.
    pub protocol: String,
    /// Its members, by id.
    pub members: Vec<MemberDescription>,
}

/// Describes a group, to be asked of its coordinator.
pub fn describe_group(coordinator: i32, group: Arc<str>) -> Call {
    let call = Call::new(ApiKey::DescribeGroups, move |header| {
        encode_request(header, &DescribeGroupsRequest { groups: (&[&*group]).into(), ..Default::default() })
    });
    call.to(Target::Broker(coordinator))
}

/// What [`describe_group`] found; none if the answer does not name the group.
///
/// # Errors
/// It is no such answer.
pub fn group_described(answer: &Answer) -> Result<Option<GroupDescription>, DecodeError> {
    let response: DescribeGroupsResponse<'_> = answer.decode()?;
    let Some(group) = response.groups.first() else { return Ok(None) };
    let is_of_consumers = group.protocol_type == "consumer";
    let member = |member: corelog_wire::api::describe_groups::DescribedGroupMember<'_>| MemberDescription {
        id: member.member_id.to_owned(),
        instance_id: member.group_instance_id.map(str::to_owned),
        client_id: member.client_id.to_owned(),
        host: member.client_host.trim_start_matches('/').to_owned(),
        // Bytes that are no assignment are those of another protocol.
        assigned: decode_assignment(member.member_assignment).ok().filter(|_| is_of_consumers),
    };
    let mut members: Vec<_> = group.members.iter().map(member).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Some(GroupDescription {
        id: group.group_id.to_owned(),
        error: group.error_code,
        message: group.error_message.map(str::to_owned),
        state: group.group_state.to_owned(),
        protocol_type: group.protocol_type.to_owned(),
        protocol: group.protocol_data.to_owned(),
        members,
    }))
}

/// Deletes a group that has no members, to be asked of its coordinator.
pub fn delete_group(coordinator: i32, group: Arc<str>) -> Call {
    let call = Call::new(ApiKey::DeleteGroups, move |header| {
        encode_request(header, &DeleteGroupsRequest { groups_names: (&[&*group]).into() })
    });
    call.to(Target::Broker(coordinator)).changing()
}

/// What became of [`delete_group`].
///
/// # Errors
/// It is no such answer.
pub fn groups_deleted(answer: &Answer) -> Result<Vec<Outcome>, DecodeError> {
    let response: DeleteGroupsResponse<'_> = answer.decode()?;
    let outcome = |one: corelog_wire::api::delete_groups::DeletableGroupResult<'_>| Outcome {
        name: one.group_id.to_owned(),
        result: Refused::read(one.error_code, one.error_message),
    };
    Ok(response.results.iter().map(outcome).collect())
}

/// How a topic is named in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicName {
    /// By its name.
    Name(String),
    /// By its id.
    Id(TopicId),
}

/// What a group has committed of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: i32,
    /// The next offset to read; -1 if nothing was committed.
    pub offset: i64,
    /// The leader epoch of the record in front of it, or -1.
    pub leader_epoch: i32,
    /// What was committed with it.
    pub metadata: String,
    /// Why it is not known, or none.
    pub error: ErrorCode,
}

/// What a group has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedOffsets {
    /// Why nothing is known, or none.
    pub error: ErrorCode,
    /// Partition by partition.
    pub partitions: Vec<CommittedOffset>,
}

/// Some partitions of a topic.
#[derive(Clone, Debug)]
pub(crate) struct NamedPartitions {
    /// The topic's name.
    pub(crate) name: Arc<str>,
    /// The topic's id; zero if it is not known.
    pub(crate) id: TopicId,
    /// The partitions.
    pub(crate) partitions: Vec<i32>,
}

/// Writes OffsetFetch for some partitions, or for all that the group has committed something of.
pub(crate) fn encode_offset_fetch(
    header: &RequestHeader<'_>,
    group_id: &str,
    topics: Option<&[NamedPartitions]>,
    waits_for_transactions: bool,
) -> Result<Vec<Bytes>, EncodeError> {
    let require_stable = waits_for_transactions && header.request_api_version >= STABLE_FROM;
    if header.request_api_version < MANY_GROUPS {
        let topics: Option<Vec<_>> = topics.map(|topics| topics.iter().map(NamedPartitions::of_one_group).collect());
        let topics = topics.as_ref().map(Array::from);
        return encode_request(header, &OffsetFetchRequest { group_id, topics, require_stable, ..Default::default() });
    }
    let topics: Option<Vec<_>> = topics.map(|topics| topics.iter().map(NamedPartitions::of_many_groups).collect());
    let topics = topics.as_ref().map(Array::from);
    let groups = [OffsetFetchRequestGroup { group_id, topics, ..Default::default() }];
    let request = OffsetFetchRequest { groups: (&groups).into(), require_stable, ..Default::default() };
    encode_request(header, &OffsetFetchRequest { topics: Some(Array::EMPTY), ..request })
}

impl NamedPartitions {
    fn of_one_group(&self) -> OffsetFetchRequestTopic<'_> {
        OffsetFetchRequestTopic { name: &self.name, partition_indexes: (&self.partitions).into() }
    }

    fn of_many_groups(&self) -> OffsetFetchRequestTopics<'_> {
        let partition_indexes = (&self.partitions).into();
        OffsetFetchRequestTopics { name: &self.name, topic_id: self.id, partition_indexes }
    }
}

/// What OffsetFetch says of its one group.
pub(crate) fn read_offset_fetch(answer: &Answer) -> Result<CommittedOffsets, DecodeError> {
    let response: OffsetFetchResponse<'_> = answer.decode()?;
    if answer.version < MANY_GROUPS {
        let lines = response.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(move |line| CommittedOffset {
                topic: TopicName::Name(topic.name.to_owned()),
                partition: line.partition_index,
                offset: line.committed_offset,
                leader_epoch: line.committed_leader_epoch,
                metadata: line.metadata.unwrap_or_default().to_owned(),
                error: line.error_code,
            })
        });
        return Ok(CommittedOffsets { error: response.error_code, partitions: lines.collect() });
    }
    let Some(group) = response.groups.first() else { return Ok(CommittedOffsets::default()) };
    let lines = group.topics.iter().flat_map(|topic| {
        let name = match answer.version > BY_NAME_MAX {
            true => TopicName::Id(topic.topic_id),
            false => TopicName::Name(topic.name.to_owned()),
        };
        topic.partitions.iter().map(move |line| CommittedOffset {
            topic: name.clone(),
            partition: line.partition_index,
            offset: line.committed_offset,
            leader_epoch: line.committed_leader_epoch,
            metadata: line.metadata.unwrap_or_default().to_owned(),
            error: line.error_code,
        })
    });
    Ok(CommittedOffsets { error: group.error_code, partitions: lines.collect() })
}

/// Asks a group's coordinator for all that it has committed.
pub fn committed_offsets(coordinator: i32, group: Arc<str>) -> Call {
    let encode = move |header: &RequestHeader<'_>| encode_offset_fetch(header, &group, None, false);
    let mut call = Call::new(ApiKey::OffsetFetch, encode).to(Target::Broker(coordinator));
    call.version_max = BY_NAME_MAX;
    call
}

/// What [`committed_offsets`] found, by name.
///
/// # Errors
/// It is no such answer.
pub fn offsets_fetched(answer: &Answer) -> Result<CommittedOffsets, DecodeError> {
    read_offset_fetch(answer)
}

/// A topic, and partitions of it with what is to be done.
pub type OfTopic<T> = (Arc<str>, Vec<T>);

/// A partition, and whether something was done to it.
pub type OfPartition = (String, i32, Result<(), ErrorCode>);

/// Commits offsets for a group that has no members, to be asked of its coordinator.
pub fn commit_offsets(coordinator: i32, group: Arc<str>, offsets: Vec<OfTopic<(i32, i64)>>) -> Call {
    let call = Call::new(ApiKey::OffsetCommit, move |header| {
        let line = |(partition_index, committed_offset): &(i32, i64)| OffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: *committed_offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(""),
        };
        let lines: Vec<Vec<_>> = offsets.iter().map(|(_, lines)| lines.iter().map(line).collect()).collect();
        let topics: Vec<_> = offsets
            .iter()
            .zip(&lines)
            .map(|((name, _), lines)| OffsetCommitRequestTopic { name, partitions: lines.into(), ..Default::default() })
            .collect();
        encode_request(
            header,
            &OffsetCommitRequest { group_id: &group, topics: (&topics).into(), ..Default::default() },
        )
    });
    let mut call = call.to(Target::Broker(coordinator)).changing();
    call.version_max = BY_NAME_MAX;
    call
}

/// What became of [`commit_offsets`].
///
/// # Errors
/// It is no such answer.
pub fn offsets_committed(answer: &Answer) -> Result<Vec<OfPartition>, DecodeError> {
    let response: OffsetCommitResponse<'_> = answer.decode()?;
    let lines = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |line| (topic.name.to_owned(), line.partition_index, done(line.error_code)))
    });
    Ok(lines.collect())
}

/// Forgets what a group has committed of partitions, to be asked of its coordinator.
pub fn delete_offsets(coordinator: i32, group: Arc<str>, partitions: Vec<OfTopic<i32>>) -> Call {
    let call = Call::new(ApiKey::OffsetDelete, move |header| {
        let line = |partition: &i32| OffsetDeleteRequestPartition { partition_index: *partition };
        let lines: Vec<Vec<_>> = partitions.iter().map(|(_, lines)| lines.iter().map(line).collect()).collect();
        let topics: Vec<_> = partitions
            .iter()
            .zip(&lines)
            .map(|((name, _), lines)| OffsetDeleteRequestTopic { name, partitions: lines.into() })
            .collect();
        encode_request(header, &OffsetDeleteRequest { group_id: &group, topics: (&topics).into() })
    });
    call.to(Target::Broker(coordinator)).changing()
}

/// What became of [`delete_offsets`]: of the whole, and of each partition.
///
/// # Errors
/// It is no such answer.
pub fn offsets_deleted(answer: &Answer) -> Result<(ErrorCode, Vec<OfPartition>), DecodeError> {
    let response: OffsetDeleteResponse<'_> = answer.decode()?;
    let lines = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |line| (topic.name.to_owned(), line.partition_index, done(line.error_code)))
    });
    Ok((response.error_code, lines.collect()))
}

fn done(error: ErrorCode) -> Result<(), ErrorCode> {
    if error.is_none() { Ok(()) } else { Err(error) }
}

/// Why a coordinator gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorError {
    /// Nobody says who coordinates the group; with the broker's words, if it has any.
    NotFound(ErrorCode, Option<String>),
    /// An answer makes no sense.
    Nonsense(ApiKey, String),
    /// It could not be asked.
    Call(CallError),
}

impl fmt::Display for CoordinatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(error, Some(message)) => write!(f, "no broker coordinates it: {message} ({error})"),
            Self::NotFound(error, None) => write!(f, "no broker coordinates it: {error}"),
            Self::Nonsense(api, reason) => write!(f, "the broker's answer to {api} makes no sense: {reason}"),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CoordinatorError {}

/// Asks the coordinator of a group. `error` says of an answer whether another broker is to be asked, or the same later.
///
/// # Errors
/// There is none that answers within `timeout`.
pub fn of_coordinator<T>(
    driver: &mut Driver,
    group: &Arc<str>,
    timeout: Duration,
    call: impl Fn(i32) -> Call,
    read: impl Fn(&Answer) -> Result<T, DecodeError>,
    error: impl Fn(&T) -> ErrorCode,
) -> Result<T, CoordinatorError> {
    let deadline = Instant::now() + timeout;
    loop {
        let key = group.clone();
        let finding = Call::new(ApiKey::FindCoordinator, move |header| find_coordinator(header, &key));
        let answer = driver.call(finding).map_err(CoordinatorError::Call)?;
        let found =
            read_coordinator(&answer).map_err(|reason| CoordinatorError::Nonsense(ApiKey::FindCoordinator, reason))?;
        match found {
            Found::At(id, _) => {
                let call = call(id);
                let api = call.api;
                let answer = driver.call(call).map_err(CoordinatorError::Call)?;
                let value = read(&answer).map_err(|error| CoordinatorError::Nonsense(api, error.to_string()))?;
                let is_elsewhere = matches!(
                    error(&value),
                    ErrorCode::NOT_COORDINATOR
                        | ErrorCode::COORDINATOR_NOT_AVAILABLE
                        | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
                );
                if !is_elsewhere || Instant::now() >= deadline {
                    return Ok(value);
                }
            }
            Found::Nowhere(error, message) if !error.is_retriable() || Instant::now() >= deadline => {
                return Err(CoordinatorError::NotFound(error, message));
            }
            Found::Nowhere(..) => {}
        }
        driver.until(RETRY_BACKOFF, |_| None::<()>);
    }
}
