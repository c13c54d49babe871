//! AlterPartitionReassignments: partitions move to other brokers (KIP-455). There is one broker: a partition that is to be on
//! it is there already, and nothing ever moves that could be called off.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::controller::Rejection;
use corelog_replication::ids::{BrokerId, PartitionIndex};
use corelog_wire::api::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::front::Context;

/// A partition, and why it is not moved.
type OfPartition = (i32, Result<(), Rejection>);

/// Answers at once.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<AlterPartitionReassignmentsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let partitions = || request.topics.iter().flat_map(|topic| topic.partitions.iter());
    let replicas = |partition: ReassignablePartition<'_>| 1 + partition.replicas.map_or(0, |replicas| replicas.len());
    if let Err(reason) = call.check_entries(request.topics.len() + partitions().map(replicas).sum::<usize>()) {
        return Outcome::Close(reason);
    }
    let may_grow = request.allow_replication_factor_change;
    let outcomes: Vec<(&str, Vec<OfPartition>)> = request
        .topics
        .iter()
        .map(|topic| {
            let outcome = |it: ReassignablePartition<'_>| (it.partition_index, reassign(cx, topic.name, &it, may_grow));
            (topic.name, topic.partitions.iter().map(outcome).collect())
        })
        .collect();
    let rows: Vec<(&str, Vec<ReassignablePartitionResponse<'_>>)> = outcomes
        .iter()
        .map(|(name, partitions)| {
            let rows = partitions.iter().map(|(partition_index, outcome)| {
                let refused = outcome.as_ref().err();
                ReassignablePartitionResponse {
                    partition_index: *partition_index,
                    error_code: refused.map_or(ErrorCode::NONE, |rejection| rejection.code),
                    error_message: refused.map(|rejection| rejection.message.as_str()),
                }
            });
            (*name, rows.collect())
        })
        .collect();
    let responses: Vec<_> = rows
        .iter()
        .map(|(name, partitions)| ReassignableTopicResponse { name, partitions: partitions.into() })
        .collect();
    call.to.answer(&AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: may_grow,
        error_message: None,
        responses: (&responses).into(),
        ..Default::default()
    })
}

fn reassign(
    cx: &Context<'_>,
    topic: &str,
    wanted: &ReassignablePartition<'_>,
    may_grow: bool,
) -> Result<(), Rejection> {
    let unknown = |message: String| Rejection { code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message };
    let image = cx.metadata.image();
    let found = image.topic_by_name(topic).ok_or_else(|| unknown(format!("there is no topic '{topic}'")))?;
    let index = PartitionIndex(wanted.partition_index);
    let partition =
        found.partition(index).ok_or_else(|| unknown(format!("topic '{topic}' has no partition {index}")))?;
    let Some(replicas) = wanted.replicas else {
        let message = "the partition is not being moved".to_string();
        return Err(Rejection { code: ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, message });
    };
    let invalid = |message: String| Err(Rejection { code: ErrorCode::INVALID_REPLICA_ASSIGNMENT, message });
    let mut replicas: Vec<BrokerId> = replicas.iter().map(BrokerId).collect();
    if replicas.is_empty() {
        return invalid("no broker is to have the partition".to_string());
    }
    if let Some(unknown) = replicas.iter().find(|id| !image.brokers().contains_key(id)) {
        return invalid(format!("there is no broker {unknown}"));
    }
    let count = replicas.len();
    replicas.sort_unstable();
    replicas.dedup();
    if replicas.len() < count {
        return invalid("a broker is named more than once".to_string());
    }
    if !may_grow && count != partition.replicas.len() {
        let message = format!("the partition has {} replicas and is to keep so many", partition.replicas.len());
        return Err(Rejection { code: ErrorCode::INVALID_REPLICATION_FACTOR, message });
    }
    let mut current = partition.replicas.clone();
    current.sort_unstable();
    match current == replicas {
        true => Ok(()),
        false => invalid("this broker is alone: partitions do not move".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use corelog_replication::ids::{DirectoryId, Incarnation};
    use corelog_replication::metadata::MetadataRecord;
    use corelog_wire::api::alter_partition_reassignments::ReassignableTopic;
    use corelog_wire::api_key::ApiKey;

    use super::*;
    use crate::front::testing::{Host, NODE_ID, decode};

    #[test]
    fn every_version_leaves_partitions_where_they_are() {
        let mut host = Host::new();
        host.create_topic("t", 1, &[]);
        host.propose(&[MetadataRecord::RegisterBroker {
            broker_id: BrokerId(NODE_ID + 1),
            incarnation: Incarnation(1),
            host: String::from("other.example"),
            port: 19_092,
            directory_id: DirectoryId([3; 16]),
        }]);
        host.apply_metadata();
        let id = host.open(1);
        let cases: [(&str, i32, Option<&[i32]>, ErrorCode); 9] = [
            ("t", 0, Some(&[NODE_ID]), ErrorCode::NONE),
            ("t", 0, None, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
            ("t", 0, Some(&[]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("t", 0, Some(&[77]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("t", 0, Some(&[-1]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("t", 0, Some(&[NODE_ID, NODE_ID]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("t", 0, Some(&[NODE_ID + 1]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("t", 1, Some(&[NODE_ID]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ("x", 0, None, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ];
        for version in 0..=1 {
            for (name, partition_index, replicas, expected) in cases {
                let partitions = [ReassignablePartition { partition_index, replicas: replicas.map(Into::into) }];
                let topics = [ReassignableTopic { name, partitions: (&partitions).into() }];
                let request = AlterPartitionReassignmentsRequest {
                    allow_replication_factor_change: true,
                    topics: (&topics).into(),
                    timeout_ms: 1_000,
                };
                let reply = host.ask(id, version, &request);
                let api = ApiKey::AlterPartitionReassignments;
                let response: AlterPartitionReassignmentsResponse<'_> = decode(api, version, &reply);
                assert_eq!((response.error_code, response.error_message), (ErrorCode::NONE, None));
                let topic = response.responses.iter().next().unwrap();
                let partition = topic.partitions.iter().next().unwrap();
                assert_eq!(
                    (topic.name, partition.partition_index, partition.error_code),
                    (name, partition_index, expected)
                );
                assert_eq!(partition.error_message.is_some(), !expected.is_none());
            }
        }
    }

    #[test]
    fn the_number_of_replicas_may_be_kept() {
        let mut host = Host::new();
        host.create_topic("t", 1, &[]);
        let id = host.open(1);
        let partitions = [ReassignablePartition { partition_index: 0, replicas: Some((&[NODE_ID]).into()) }];
        let topics = [ReassignableTopic { name: "t", partitions: (&partitions).into() }];
        let request = AlterPartitionReassignmentsRequest {
            allow_replication_factor_change: false,
            topics: (&topics).into(),
            timeout_ms: 1_000,
        };
        let reply = host.ask(id, 1, &request);
        let response: AlterPartitionReassignmentsResponse<'_> = decode(ApiKey::AlterPartitionReassignments, 1, &reply);
        assert!(!response.allow_replication_factor_change);
        let topic = response.responses.iter().next().unwrap();
        assert_eq!(topic.partitions.iter().next().unwrap().error_code, ErrorCode::NONE);
    }
}
