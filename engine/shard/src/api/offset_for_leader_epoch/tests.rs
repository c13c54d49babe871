//! Ends of known, unknown, past and coming epochs, in every version, and who is refused.

use corelog_wire::api::offset_for_leader_epoch::OffsetForLeaderTopic;
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::ids::TopicId;

use super::*;
use crate::front::testing::{Host, batch, decode};
use crate::io::ConnectionId;
use crate::log::PartitionId;

fn produce(host: &mut Host, id: ConnectionId, values: &[&str]) {
    let records = batch(values);
    let partitions = [PartitionProduceData { index: 0, records: Some(&records) }];
    let topics = [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
    host.send(id, 9, &ProduceRequest { acks: 1, topic_data: (&topics).into(), ..Default::default() });
}

fn produce_durably(host: &mut Host, id: ConnectionId, values: &[&str]) {
    produce(host, id, values);
    host.commit();
    host.reply(id);
}

/// "t" has two records of epoch 0, three of epoch 2, one of epoch 5.
fn host() -> (Host, ConnectionId, PartitionId) {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let partition = host.partition(TopicId([1; 16]), 0);
    for (epoch, values) in [(0, &["a", "b"][..]), (2, &["c", "d", "e"]), (5, &["f"])] {
        host.logs().set_leader_epoch(partition, epoch);
        produce_durably(&mut host, id, values);
    }
    (host, id, partition)
}

fn epoch(leader_epoch: i32) -> OffsetForLeaderPartition {
    OffsetForLeaderPartition { partition: 0, current_leader_epoch: -1, leader_epoch }
}

fn ask_for(
    host: &mut Host,
    id: ConnectionId,
    version: i16,
    topic: &str,
    wanted: OffsetForLeaderPartition,
) -> (ErrorCode, i32, i64) {
    let partitions = [wanted];
    let topics = [OffsetForLeaderTopic { topic, partitions: (&partitions).into() }];
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: (&topics).into() };
    let reply = host.ask(id, version, &request);
    let response: OffsetForLeaderEpochResponse<'_> = decode(ApiKey::OffsetForLeaderEpoch, version, &reply);
    let answered = response.topics.first().unwrap();
    let end = answered.partitions.first().unwrap();
    assert_eq!((answered.topic, end.partition), (topic, wanted.partition));
    (end.error_code, end.leader_epoch, end.end_offset)
}

fn ask(host: &mut Host, id: ConnectionId, leader_epoch: i32) -> (i32, i64) {
    let (error, leader_epoch, end) = ask_for(host, id, 4, "t", epoch(leader_epoch));
    assert_eq!(error, ErrorCode::NONE);
    (leader_epoch, end)
}

#[test]
fn every_version_finds_ends() {
    let (mut host, id, _) = host();
    for version in 2..=4 {
        for (wanted, expected) in [
            // Not an epoch.
            (-1, (-1, -1)),
            // Without records of its own: the one before it.
            (0, (0, 2)),
            (1, (0, 2)),
            (2, (2, 5)),
            (3, (2, 5)),
            (4, (2, 5)),
            // The current one.
            (5, (5, 6)),
            // Yet to come.
            (6, (-1, -1)),
            (i32::MAX, (-1, -1)),
        ] {
            let (error, leader_epoch, end) = ask_for(&mut host, id, version, "t", epoch(wanted));
            assert_eq!(
                (error, leader_epoch, end),
                (ErrorCode::NONE, expected.0, expected.1),
                "version {version}, epoch {wanted}"
            );
        }
    }
}

#[test]
fn an_epoch_counts_from_its_leader_on_and_not_from_its_first_record() {
    let (mut host, id, partition) = host();
    host.logs().set_leader_epoch(partition, 8);
    for (wanted, expected) in [(5, (5, 6)), (7, (5, 6)), (8, (8, 6)), (9, (-1, -1))] {
        assert_eq!(ask(&mut host, id, wanted), expected, "epoch {wanted}");
    }
}

#[test]
fn a_log_without_records_has_its_leaders_epoch() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    assert_eq!(ask(&mut host, id, 0), (0, 0));
    assert_eq!(ask(&mut host, id, 1), (-1, -1));
    let partition = host.partition(TopicId([1; 16]), 0);
    host.logs().set_leader_epoch(partition, 3);
    assert_eq!(ask(&mut host, id, 3), (3, 0));
    assert_eq!(ask(&mut host, id, 2), (2, 0));
}

#[test]
fn epochs_below_the_log_start_end_there() {
    let (mut host, id, partition) = host();
    host.logs().begin_log_start(partition, 4);
    host.turn();
    host.commit();
    let check = |host: &mut Host, id: ConnectionId| {
        for (wanted, expected) in [(0, (0, 4)), (1, (1, 4)), (2, (2, 5)), (5, (5, 6))] {
            assert_eq!(ask(host, id, wanted), expected, "epoch {wanted}");
        }
    };
    check(&mut host, id);
    host.restart();
    let id = host.open(1);
    let partition = host.partition(TopicId([1; 16]), 0);
    // The metadata of this test know nothing of the epochs.
    host.logs().set_leader_epoch(partition, 5);
    check(&mut host, id);
}

#[test]
fn no_end_is_above_what_consumers_see() {
    let (mut host, id, _) = host();
    produce(&mut host, id, &["not durable"]);
    let other = host.open(2);
    assert_eq!(ask(&mut host, other, 5), (5, 6));
    host.commit();
    assert_eq!(ask(&mut host, other, 5), (5, 7));
}

#[test]
fn partitions_fail_on_their_own() {
    let (mut host, id, _) = host();
    let believed = |current_leader_epoch| OffsetForLeaderPartition { current_leader_epoch, ..epoch(2) };
    let elsewhere = OffsetForLeaderPartition { partition: 1, ..epoch(2) };
    for (topic, wanted, expected) in [
        ("missing", epoch(2), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("t", elsewhere, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("t", OffsetForLeaderPartition { partition: -1, ..epoch(2) }, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("t", believed(4), ErrorCode::FENCED_LEADER_EPOCH),
        ("t", believed(6), ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        assert_eq!(ask_for(&mut host, id, 3, topic, wanted), (expected, -1, -1), "{topic} {wanted:?}");
    }
    assert_eq!(ask_for(&mut host, id, 3, "t", believed(5)), (ErrorCode::NONE, 2, 5));
    host.lose_partition(TopicId([1; 16]), 0);
    assert_eq!(ask_for(&mut host, id, 3, "t", epoch(2)), (ErrorCode::NOT_LEADER_OR_FOLLOWER, -1, -1));
}
