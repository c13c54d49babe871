//! AlterReplicaLogDirs: a replica moves to another log directory (KIP-113). There is one directory, so nothing ever moves: a
//! replica that is to be there is there already, and any other directory is refused.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use corelog_replication::ids::PartitionIndex;
use corelog_wire::api::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use corelog_wire::error_code::ErrorCode;

use super::sharing::{Place, place};
use super::{Call, Outcome};
use crate::front::Context;

/// Answers at once. A partition that is named for several directories has one result, that of the last.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<AlterReplicaLogDirsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let topics = || request.dirs.iter().flat_map(|dir| dir.topics.iter().map(move |topic| (dir.path, topic)));
    if let Err(reason) = call.check_entries(topics().map(|(_, topic)| 1 + topic.partitions.len()).sum()) {
        return Outcome::Close(reason);
    }
    let mut found: BTreeMap<&str, BTreeMap<i32, ErrorCode>> = BTreeMap::new();
    for (path, topic) in topics() {
        let partitions = found.entry(topic.name).or_default();
        for index in topic.partitions {
            let outcome = check_path(cx, path).and_then(|()| check_replica(cx, topic.name, index));
            partitions.insert(index, outcome.err().unwrap_or(ErrorCode::NONE));
        }
    }
    let rows: Vec<(&str, Vec<_>)> = found
        .into_iter()
        .map(|(name, partitions)| {
            let row = |(partition_index, error_code)| AlterReplicaLogDirPartitionResult { partition_index, error_code };
            (name, partitions.into_iter().map(row).collect())
        })
        .collect();
    let results: Vec<_> = rows
        .iter()
        .map(|(topic_name, partitions)| AlterReplicaLogDirTopicResult { topic_name, partitions: partitions.into() })
        .collect();
    call.to.answer(&AlterReplicaLogDirsResponse { results: (&results).into(), ..Default::default() })
}

fn check_path(cx: &Context<'_>, path: &str) -> Result<(), ErrorCode> {
    let same = |path: &str| path.trim_end_matches('/') == cx.config.data_dir.trim_end_matches('/');
    if same(path) { Ok(()) } else { Err(ErrorCode::LOG_DIR_NOT_FOUND) }
}

fn check_replica(cx: &Context<'_>, topic: &str, index: i32) -> Result<(), ErrorCode> {
    let topic = cx.metadata.image().topic_by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let assignment = topic.partition(PartitionIndex(index)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    match place(cx, topic, assignment) {
        Place::Nowhere => Err(ErrorCode::REPLICA_NOT_AVAILABLE),
        Place::Here(_) | Place::There(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use corelog_wire::api::alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    use corelog_wire::api_key::ApiKey;

    use super::*;
    use crate::front::testing::{Host, decode, on_shard};

    const DIRECTORY: &str = "/data/corelog";

    #[test]
    fn every_version_leaves_replicas_where_they_are() {
        for shards in [1, 3] {
            let mut host = Host::with_shards(shards, |config| config.data_dir = DIRECTORY.to_string());
            host.create_topic("t", 3, &[]);
            let id = host.open(on_shard(shards as u16 - 1, 1));
            for version in 1..=2 {
                let here = [AlterReplicaLogDirTopic { name: "t", partitions: (&[0, 2, 3]).into() }];
                let unknown = [AlterReplicaLogDirTopic { name: "x", partitions: (&[0]).into() }];
                let there = [AlterReplicaLogDirTopic { name: "t", partitions: (&[1]).into() }];
                let dirs = [
                    AlterReplicaLogDir { path: DIRECTORY, topics: (&here).into() },
                    AlterReplicaLogDir { path: "/elsewhere", topics: (&there).into() },
                    AlterReplicaLogDir { path: DIRECTORY, topics: (&unknown).into() },
                ];
                let reply = host.ask(id, version, &AlterReplicaLogDirsRequest { dirs: (&dirs).into() });
                let response: AlterReplicaLogDirsResponse<'_> = decode(ApiKey::AlterReplicaLogDirs, version, &reply);
                let results: Vec<_> = response
                    .results
                    .iter()
                    .flat_map(|topic| topic.partitions.iter().map(move |it| (topic.topic_name, it)))
                    .map(|(topic, it)| (topic, it.partition_index, it.error_code))
                    .collect();
                let expected = [
                    ("t", 0, ErrorCode::NONE),
                    ("t", 1, ErrorCode::LOG_DIR_NOT_FOUND),
                    ("t", 2, ErrorCode::NONE),
                    ("t", 3, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                    ("x", 0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                ];
                assert_eq!(results, expected);
            }
        }
    }

    #[test]
    fn a_replica_of_another_broker_is_not_available() {
        let mut host = Host::with(|config| config.data_dir = DIRECTORY.to_string());
        let topic = host.create_topic("t", 1, &[]);
        host.config().node_id += 1;
        host.lose_partition(topic, 0);
        let id = host.open(1);
        let topics = [AlterReplicaLogDirTopic { name: "t", partitions: (&[0]).into() }];
        let dirs = [AlterReplicaLogDir { path: DIRECTORY, topics: (&topics).into() }];
        let reply = host.ask(id, 2, &AlterReplicaLogDirsRequest { dirs: (&dirs).into() });
        let response: AlterReplicaLogDirsResponse<'_> = decode(ApiKey::AlterReplicaLogDirs, 2, &reply);
        let topic = response.results.iter().next().unwrap();
        assert_eq!(topic.partitions.iter().next().unwrap().error_code, ErrorCode::REPLICA_NOT_AVAILABLE);
    }
}
