//! ElectLeaders: leaders of partitions are elected by hand (KIP-183, KIP-460). On one node every partition is led by its one
//! replica, so no election is ever needed.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use corelog_replication::ids::PartitionIndex;
use corelog_replication::metadata::PartitionAssignment;
use corelog_wire::api::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PREFERRED_ELECTION, PartitionResult, ReplicaElectionResult,
    UNCLEAN_ELECTION,
};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::front::Context;

/// Why there is no new leader, in a code and in words.
type Refusal = (ErrorCode, String);

/// Answers at once.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<ElectLeadersRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let topics = || request.topic_partitions.into_iter().flatten();
    if let Err(reason) = call.check_entries(topics().map(|topic| 1 + topic.partitions.len()).sum()) {
        return Outcome::Close(reason);
    }
    let is_known = matches!(request.election_type, PREFERRED_ELECTION | UNCLEAN_ELECTION);
    let unknown = || (ErrorCode::INVALID_REQUEST, format!("there is no election of type {}", request.election_type));
    let found: Vec<(&str, Vec<(i32, Refusal)>)> = match request.topic_partitions {
        Some(topics) => {
            let elect = |topic: &str, index| match is_known {
                true => elect(cx, request.election_type, topic, index),
                false => unknown(),
            };
            let rows = topics.iter().map(|topic| {
                (topic.topic, topic.partitions.iter().map(|index| (index, elect(topic.topic, index))).collect())
            });
            rows.collect()
        }
        // Of all partitions only those are told that do not have the leader that is wanted.
        None if is_known => cx
            .metadata
            .image()
            .topics()
            .map(|topic| {
                let wrong = topic.partitions().iter().filter(|it| !has_leader(request.election_type, it));
                let row =
                    |it: &PartitionAssignment| (it.index.0, elect(cx, request.election_type, topic.name(), it.index.0));
                (topic.name(), wrong.map(row).collect())
            })
            .collect(),
        None => Vec::new(),
    };
    let rows: Vec<(&str, Vec<PartitionResult<'_>>)> = found
        .iter()
        .map(|(topic, partitions)| {
            let rows = partitions.iter().map(|(partition_id, (error_code, message))| PartitionResult {
                partition_id: *partition_id,
                error_code: *error_code,
                error_message: Some(message),
            });
            (*topic, rows.collect())
        })
        .collect();
    let results: Vec<_> = rows
        .iter()
        .map(|(topic, partitions)| ReplicaElectionResult { topic, partition_result: partitions.into() })
        .collect();
    call.to.answer(&ElectLeadersResponse {
        // The first version has no place for it.
        error_code: if is_known || call.to.version == 0 { ErrorCode::NONE } else { ErrorCode::INVALID_REQUEST },
        replica_election_results: (&results).into(),
        ..Default::default()
    })
}

fn has_leader(election_type: i8, partition: &PartitionAssignment) -> bool {
    // A partition always has a leader here.
    election_type == UNCLEAN_ELECTION || partition.replicas.first() == Some(&partition.leader)
}

fn elect(cx: &Context<'_>, election_type: i8, topic: &str, index: i32) -> Refusal {
    let unknown = |what: String| (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, what);
    let Some(found) = cx.metadata.image().topic_by_name(topic) else {
        return unknown(format!("there is no topic '{topic}'"));
    };
    match found.partition(PartitionIndex(index)) {
        None => unknown(format!("topic '{topic}' has no partition {index}")),
        Some(partition) if has_leader(election_type, partition) => {
            (ErrorCode::ELECTION_NOT_NEEDED, String::from("the partition has the leader that it is to have"))
        }
        Some(_) => {
            (ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE, String::from("the preferred replica is of another broker"))
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use corelog_wire::api::elect_leaders::TopicPartitions;
    use corelog_wire::api_key::ApiKey;

    use super::*;
    use crate::front::testing::{Host, decode, on_shard};

    type Found = Vec<(String, Vec<(i32, ErrorCode)>)>;

    fn ask(
        host: &mut Host,
        version: i16,
        election_type: i8,
        topics: Option<&[TopicPartitions<'_>]>,
    ) -> (ErrorCode, Found) {
        let id = host.open(on_shard(2, 1));
        let request =
            ElectLeadersRequest { election_type, topic_partitions: topics.map(Into::into), timeout_ms: 1_000 };
        let reply = host.ask(id, version, &request);
        let response: ElectLeadersResponse<'_> = decode(ApiKey::ElectLeaders, version, &reply);
        host.disconnect(id);
        let row = |topic: ReplicaElectionResult<'_>| {
            let results = topic.partition_result.iter().map(|it| (it.partition_id, it.error_code));
            (String::from(topic.topic), results.collect())
        };
        (response.error_code, response.replica_election_results.iter().map(row).collect())
    }

    #[test]
    fn every_version_finds_the_leaders_right() {
        let mut host = Host::with_shards(3, |_| {});
        host.create_topic("t", 2, &[]);
        for version in 0..=2 {
            for election_type in [PREFERRED_ELECTION, UNCLEAN_ELECTION] {
                if version == 0 && election_type != PREFERRED_ELECTION {
                    continue;
                }
                let topics = [
                    TopicPartitions { topic: "t", partitions: (&[1, 2]).into() },
                    TopicPartitions { topic: "x", partitions: (&[0]).into() },
                ];
                let (error, found) = ask(&mut host, version, election_type, Some(&topics));
                let expected = vec![
                    (
                        String::from("t"),
                        vec![(1, ErrorCode::ELECTION_NOT_NEEDED), (2, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)],
                    ),
                    (String::from("x"), vec![(0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]),
                ];
                assert_eq!((error, found), (ErrorCode::NONE, expected));
                let all = ask(&mut host, version, election_type, None);
                assert_eq!(all, (ErrorCode::NONE, vec![(String::from("t"), vec![])]), "what is right is left out");
            }
        }
    }

    #[test]
    fn an_unknown_election_is_refused() {
        let mut host = Host::with_shards(3, |_| {});
        host.create_topic("t", 1, &[]);
        let topics = [TopicPartitions { topic: "t", partitions: (&[0]).into() }];
        for version in 1..=2 {
            let (error, found) = ask(&mut host, version, 2, Some(&topics));
            assert_eq!(error, ErrorCode::INVALID_REQUEST);
            assert_eq!(found, vec![(String::from("t"), vec![(0, ErrorCode::INVALID_REQUEST)])]);
            assert_eq!(ask(&mut host, version, -1, None), (ErrorCode::INVALID_REQUEST, vec![]));
        }
    }
}
