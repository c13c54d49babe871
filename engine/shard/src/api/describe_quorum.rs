//! DescribeQuorum: the quorum that keeps the metadata (KIP-595, KIP-836, KIP-853). This node is all of it. Handled where the
//! metadata log is.

use alloc::vec::Vec;

use corelog_replication::ids::BrokerId;
use corelog_wire::api::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, PartitionData, PartitionResult, ReplicaState,
    TopicData, TopicResult,
};
use corelog_wire::error_code::ErrorCode;

use super::{Call, Outcome};
use crate::front::Context;

/// The topic that stands for the metadata log, with one partition.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// What the one listener is called.
const LISTENER: &str = "PLAINTEXT";

/// What is wrong with a partition that no quorum keeps.
const NO_QUORUM: &str = "only partition 0 of __cluster_metadata is kept by a quorum";

/// Answers at once. Offsets are those of the metadata log, each the first behind what it is about.
pub(crate) fn handle(cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DescribeQuorumRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let named = request.topics.iter().map(|topic| 1 + topic.partitions.len()).sum();
    if let Err(reason) = call.check_entries(named) {
        return Outcome::Close(reason);
    }
    if !is_about_the_metadata(&request) {
        return refuse(call, &request);
    }
    let image = cx.metadata.image();
    let node = cx.config.node_id;
    let broker = image.brokers().get(&BrokerId(node));
    let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    let voters = [ReplicaState {
        replica_id: node,
        // Older versions have no place for it.
        replica_directory_id: broker
            .map(|broker| broker.directory_id)
            .filter(|_| call.to.version >= 2)
            .unwrap_or_default(),
        log_end_offset: offset(cx.metadata.log_end().next().0),
        last_fetch_timestamp: cx.now.wall_ms,
        last_caught_up_timestamp: cx.now.wall_ms,
    }];
    let partitions = [PartitionResult {
        partition_index: 0,
        error_code: ErrorCode::NONE,
        error_message: None,
        leader_id: node,
        leader_epoch: i32::try_from(image.term()).unwrap_or(i32::MAX),
        high_watermark: offset(image.offset().next().0),
        current_voters: (&voters).into(),
        ..Default::default()
    }];
    let topics = [TopicResult { topic_name: METADATA_TOPIC, partitions: (&partitions).into() }];
    let listeners: Vec<_> =
        broker.iter().map(|broker| Listener { name: LISTENER, host: &broker.host, port: broker.port }).collect();
    let nodes = [Node { node_id: node, listeners: (&listeners).into() }];
    call.to.answer(&DescribeQuorumResponse {
        error_code: ErrorCode::NONE,
        error_message: None,
        topics: (&topics).into(),
        // Only newer versions have a place for them.
        nodes: if call.to.version >= 2 { (&nodes).into() } else { Default::default() },
    })
}

fn is_about_the_metadata(request: &DescribeQuorumRequest<'_>) -> bool {
    let mut topics = request.topics.iter();
    let only = topics.next().filter(|_| topics.next().is_none());
    only.is_some_and(|topic| {
        topic.topic_name == METADATA_TOPIC && topic.partitions.iter().map(|it| it.partition_index).eq([0])
    })
}

fn refuse(call: &Call<'_>, request: &DescribeQuorumRequest<'_>) -> Outcome {
    let refused = |partition: PartitionData| PartitionResult {
        partition_index: partition.partition_index,
        error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        error_message: Some(NO_QUORUM),
        ..Default::default()
    };
    let row = |topic: TopicData<'_>| topic.partitions.iter().map(refused).collect::<Vec<_>>();
    let rows: Vec<Vec<PartitionResult<'_>>> = request.topics.iter().map(row).collect();
    let topics: Vec<_> = request
        .topics
        .iter()
        .zip(&rows)
        .map(|(topic, partitions)| TopicResult { topic_name: topic.topic_name, partitions: partitions.into() })
        .collect();
    call.to.answer(&DescribeQuorumResponse { error_message: None, topics: (&topics).into(), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use corelog_wire::api_key::ApiKey;
    use corelog_wire::ids::DirectoryId;

    use super::*;
    use crate::front::testing::{Host, NODE_ID, decode, on_shard};

    #[test]
    fn every_version_tells_of_one_voter() {
        for shards in [1, 3] {
            let mut host = Host::with_shards(shards, |_| {});
            host.create_topic("t", 1, &[]);
            let id = host.open(on_shard(shards as u16 - 1, 1));
            for version in 0..=2 {
                let partitions = [PartitionData { partition_index: 0 }];
                let topics = [TopicData { topic_name: METADATA_TOPIC, partitions: (&partitions).into() }];
                let reply = host.ask(id, version, &DescribeQuorumRequest { topics: (&topics).into() });
                let response: DescribeQuorumResponse<'_> = decode(ApiKey::DescribeQuorum, version, &reply);
                assert_eq!(response.error_code, ErrorCode::NONE);
                let topic = response.topics.iter().next().unwrap();
                let partition = topic.partitions.iter().next().unwrap();
                let end = host.image().offset().0 as i64 + 1;
                assert_eq!((topic.topic_name, partition.leader_id), (METADATA_TOPIC, NODE_ID));
                assert_eq!((partition.error_code, partition.high_watermark), (ErrorCode::NONE, end));
                assert!(partition.leader_epoch > 0 && partition.observers.is_empty());
                let voters: Vec<_> = partition.current_voters.iter().collect();
                assert_eq!((voters.len(), voters[0].replica_id, voters[0].log_end_offset), (1, NODE_ID, end));
                assert_eq!(voters[0].replica_directory_id == DirectoryId([8; 16]), version >= 2);
                assert_eq!(voters[0].last_caught_up_timestamp == host.now.wall_ms, version >= 1);
                let nodes: Vec<_> = response.nodes.iter().map(|node| (node.node_id, node.listeners.len())).collect();
                assert_eq!(nodes, if version >= 2 { &[(NODE_ID, 1)][..] } else { &[] });
            }
        }
    }

    #[test]
    fn nothing_else_is_kept_by_a_quorum() {
        let mut host = Host::new();
        let id = host.open(1);
        for (topic_name, index) in [("t", 0), (METADATA_TOPIC, 1)] {
            for version in 0..=2 {
                let partitions = [PartitionData { partition_index: index }];
                let topics = [TopicData { topic_name, partitions: (&partitions).into() }];
                let reply = host.ask(id, version, &DescribeQuorumRequest { topics: (&topics).into() });
                let response: DescribeQuorumResponse<'_> = decode(ApiKey::DescribeQuorum, version, &reply);
                let topic = response.topics.iter().next().unwrap();
                let partition = topic.partitions.iter().next().unwrap();
                assert_eq!((topic.topic_name, partition.partition_index), (topic_name, index));
                assert_eq!(partition.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            }
        }
    }
}
