//! Results per topic, that they wait for what was proposed, and that the new partitions take records at once.

use alloc::vec;

use corelog_wire::api::create_partitions::CreatePartitionsAssignment;
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;

use super::*;
use crate::front::testing::{Host, NODE_ID, batch, decode};
use crate::io::ConnectionId;

const NEWEST: i16 = 3;
const PRODUCE: i16 = 9;

fn to(name: &str, count: i32) -> CreatePartitionsTopic<'_> {
    CreatePartitionsTopic { name, count, assignments: None }
}

fn send(host: &mut Host, id: ConnectionId, version: i16, topics: &[CreatePartitionsTopic<'_>], validate_only: bool) {
    let request = CreatePartitionsRequest { topics: topics.into(), timeout_ms: 5_000, validate_only };
    host.send(id, version, &request);
}

/// Name and error of each result.
fn results(host: &mut Host, id: ConnectionId, version: i16) -> Vec<(String, ErrorCode)> {
    let reply = host.reply(id);
    let response: CreatePartitionsResponse<'_> = decode(ApiKey::CreatePartitions, version, &reply);
    let row = |topic: CreatePartitionsTopicResult<'_>| {
        assert_eq!(topic.error_message.is_some(), !topic.error_code.is_none(), "{topic:?}");
        (topic.name.to_string(), topic.error_code)
    };
    response.results.iter().map(row).collect()
}

fn row(name: &str, error: ErrorCode) -> (String, ErrorCode) {
    (name.to_string(), error)
}

fn count(host: &mut Host, name: &str) -> usize {
    host.image().topic_by_name(name).map_or(0, |topic| topic.partitions().len())
}

/// Error and offset of a record for a partition.
fn produce(host: &mut Host, id: ConnectionId, index: i32) -> (ErrorCode, i64) {
    let records = batch(&["value"]);
    let partitions = [PartitionProduceData { index, records: Some(&records) }];
    let topics = [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: (&topics).into(), ..Default::default() };
    host.send(id, PRODUCE, &request);
    host.commit();
    let reply = host.reply(id);
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, &reply);
    let partition = response.responses.first().unwrap().partition_responses.first().unwrap();
    (partition.error_code, partition.base_offset)
}

#[test]
fn every_version_adds() {
    let mut host = Host::new();
    let id = host.open(1);
    for version in 0..=NEWEST {
        let (t, u) = (host.create_topic("t", 2, &[]), host.create_topic("u", 1, &[]));
        send(&mut host, id, version, &[to("t", 5), to("u", 1), to("no", 4)], false);
        assert_eq!(host.try_reply(id), None, "nothing is acknowledged before it is durable");
        assert_eq!(count(&mut host, "t"), 2);
        assert_eq!(host.apply_metadata(), 1);
        let expected = [
            row("t", ErrorCode::NONE),
            row("u", ErrorCode::INVALID_PARTITIONS),
            row("no", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ];
        assert_eq!(results(&mut host, id, version), expected, "version {version}");
        assert_eq!((count(&mut host, "t"), count(&mut host, "u")), (5, 1));
        assert!((0..5).all(|index| host.logs().find(t, index).is_some()) && host.logs().find(t, 5).is_none());
        assert!(host.logs().find(u, 1).is_none());
        host.delete_topic("t");
        host.delete_topic("u");
    }
    assert!(host.front().is_idle());
}

#[test]
fn new_partitions_take_records_and_outlive_a_restart() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 1, &[("retention.ms", "-1"), ("max.message.bytes", "5000")]);
    let id = host.open(1);
    assert_eq!(produce(&mut host, id, 0), (ErrorCode::NONE, 0));
    assert_eq!(produce(&mut host, id, 1).0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    send(&mut host, id, NEWEST, &[to("t", 3)], false);
    host.apply_metadata();
    assert_eq!(results(&mut host, id, NEWEST), [row("t", ErrorCode::NONE)]);
    for index in 0..3 {
        assert_eq!(produce(&mut host, id, index), (ErrorCode::NONE, i64::from(index == 0)));
        let found = host.logs().find(topic_id, index).unwrap();
        assert_eq!(host.logs().partition(found).config.max_message_bytes, 5_000, "they have the topic's own settings");
    }
    host.restart();
    let id = host.open(1);
    assert_eq!(count(&mut host, "t"), 3);
    assert_eq!([0, 1, 2].map(|index| produce(&mut host, id, index)), [2, 1, 1].map(|end| (ErrorCode::NONE, end)));
}

#[test]
fn to_validate_changes_nothing() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    for version in 0..=NEWEST {
        send(&mut host, id, version, &[to("t", 2), to("no", 2)], true);
        let expected = [row("t", ErrorCode::NONE), row("no", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)];
        assert_eq!(results(&mut host, id, version), expected);
    }
    assert_eq!((host.apply_metadata(), count(&mut host, "t")), (0, 1));
}

#[test]
fn assignments_are_taken_and_checked() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    for (wanted, error) in [
        (vec![], ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (vec![vec![NODE_ID]], ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (vec![vec![NODE_ID], vec![]], ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (vec![vec![NODE_ID], vec![NODE_ID + 1]], ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (vec![vec![NODE_ID], vec![NODE_ID, NODE_ID]], ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (vec![vec![NODE_ID], vec![NODE_ID]], ErrorCode::NONE),
    ] {
        let assignments: Vec<_> =
            wanted.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.into() }).collect();
        let topic = CreatePartitionsTopic { assignments: Some((&assignments).into()), ..to("t", 3) };
        send(&mut host, id, NEWEST, &[topic], false);
        host.apply_metadata();
        assert_eq!(results(&mut host, id, NEWEST), [row("t", error)], "{wanted:?}");
    }
    assert_eq!(count(&mut host, "t"), 3);
}

#[test]
fn what_is_named_twice_stays_as_it_is() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    send(&mut host, id, NEWEST, &[to("t", 2), to("t", 3)], false);
    assert_eq!(results(&mut host, id, NEWEST), [row("t", ErrorCode::INVALID_REQUEST)]);
    assert_eq!((host.apply_metadata(), count(&mut host, "t")), (0, 1));
}

#[test]
fn of_two_that_add_the_same_one_is_first() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let ids = [host.open(1), host.open(2)];
    for id in ids {
        send(&mut host, id, NEWEST, &[to("t", 3)], false);
    }
    host.apply_metadata();
    assert_eq!(results(&mut host, ids[0], NEWEST), [row("t", ErrorCode::NONE)]);
    assert_eq!(results(&mut host, ids[1], NEWEST), [row("t", ErrorCode::INVALID_PARTITIONS)]);
    assert_eq!(count(&mut host, "t"), 3);
}

#[test]
fn a_topic_that_is_deleted_first_is_not_known() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 1, &[]);
    let id = host.open(1);
    host.propose(&[corelog_replication::metadata::MetadataRecord::RemoveTopic { topic_id }]);
    send(&mut host, id, NEWEST, &[to("t", 3)], false);
    host.apply_metadata();
    assert_eq!(results(&mut host, id, NEWEST), [row("t", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]);
}

#[test]
fn a_request_times_out() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    send(&mut host, id, NEWEST, &[to("t", 2), to("no", 2)], false);
    host.advance_ms(4_999);
    assert_eq!(host.try_reply(id), None);
    host.advance_ms(1);
    let expected = [row("t", ErrorCode::REQUEST_TIMED_OUT), row("no", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)];
    assert_eq!(results(&mut host, id, NEWEST), expected);
    host.apply_metadata();
    assert_eq!(count(&mut host, "t"), 2, "they come nevertheless");
    assert!(host.front().is_idle());
}

#[test]
fn the_broker_says_so_when_it_cannot() {
    let mut host = Host::with_large_metadata();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    for (version, error) in [(2, ErrorCode::REQUEST_TIMED_OUT), (3, ErrorCode::THROTTLING_QUOTA_EXCEEDED)] {
        host.overload_metadata();
        send(&mut host, id, version, &[to("t", 2)], false);
        assert_eq!(results(&mut host, id, version), [row("t", error)]);
    }
}

#[test]
fn more_than_a_request_may_create_is_refused() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    for count in [10_002, i32::MAX] {
        send(&mut host, id, NEWEST, &[to("t", count)], false);
        assert_eq!(results(&mut host, id, NEWEST), [row("t", ErrorCode::POLICY_VIOLATION)]);
    }
    for count in [0, -1, i32::MIN] {
        send(&mut host, id, NEWEST, &[to("t", count)], false);
        assert_eq!(results(&mut host, id, NEWEST), [row("t", ErrorCode::INVALID_PARTITIONS)]);
    }
}
