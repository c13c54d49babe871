//! Who may delete what, that answers wait for the journal, and what is gone then.

use alloc::vec;

use corelog_wire::api::delete_records::DeleteRecordsTopic;
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::ids::TopicId;

use super::*;
use crate::front::testing::{Host, SMALL_SEGMENTS, batch, decode, filler};
use crate::io::ConnectionId;
use alloc::string::ToString;
use corelog_wire::api::delete_records::DeleteRecordsPartition;

const FETCH: i16 = 12;

fn produce(host: &mut Host, id: ConnectionId, values: &[&str]) {
    let records = batch(values);
    let partitions = [PartitionProduceData { index: 0, records: Some(&records) }];
    let topics = [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
    host.send(id, 9, &ProduceRequest { acks: 1, topic_data: (&topics).into(), ..Default::default() });
}

/// "t" has ten records, three of them in its first batch.
fn host() -> (Host, ConnectionId) {
    let mut host = Host::new();
    host.create_topic("t", 1, &[("retention.ms", "-1")]);
    let id = host.open(1);
    for values in [&["a", "b", "c"][..], &["d"], &["e", "f", "g", "h", "i", "j"]] {
        produce(&mut host, id, values);
        host.commit();
        host.reply(id);
    }
    (host, id)
}

fn send(host: &mut Host, id: ConnectionId, version: i16, wanted: &[(&str, i32, i64)]) {
    let partitions: Vec<_> = wanted
        .iter()
        .map(|(_, index, offset)| [DeleteRecordsPartition { partition_index: *index, offset: *offset }])
        .collect();
    let topics: Vec<_> = wanted
        .iter()
        .zip(&partitions)
        .map(|((name, ..), partitions)| DeleteRecordsTopic { name, partitions: partitions.into() })
        .collect();
    host.send(id, version, &DeleteRecordsRequest { topics: (&topics).into(), timeout_ms: 5_000 });
}

/// Error and low watermark of each partition.
fn answers(host: &mut Host, id: ConnectionId, version: i16) -> Vec<(ErrorCode, i64)> {
    let reply = host.reply(id);
    let response: DeleteRecordsResponse<'_> = decode(ApiKey::DeleteRecords, version, &reply);
    let partitions = response.topics.iter().flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
    partitions.map(|partition| (partition.error_code, partition.low_watermark)).collect()
}

fn delete(host: &mut Host, id: ConnectionId, offset: i64) -> (ErrorCode, i64) {
    send(host, id, 2, &[("t", 0, offset)]);
    host.commit();
    answers(host, id, 2)[0]
}

/// The error of a fetch, and where the log begins.
fn fetch(host: &mut Host, id: ConnectionId, offset: i64) -> (ErrorCode, i64) {
    let partitions =
        [FetchPartition { partition: 0, fetch_offset: offset, partition_max_bytes: 1_000, ..Default::default() }];
    let topics = [FetchTopic { topic: "t", partitions: (&partitions).into(), ..Default::default() }];
    let request = FetchRequest {
        replica_id: -1,
        max_bytes: 1_000,
        session_epoch: -1,
        topics: (&topics).into(),
        ..Default::default()
    };
    host.send(id, FETCH, &request);
    host.commit();
    let reply = host.reply(id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, &reply);
    let partition = response.responses.first().unwrap().partitions.first().unwrap();
    (partition.error_code, partition.log_start_offset)
}

#[test]
fn every_version_deletes_once_it_is_durable() {
    let (mut host, id) = host();
    for (version, offset) in [(0, 1), (1, 2), (2, 4)] {
        send(&mut host, id, version, &[("t", 0, offset)]);
        assert_eq!(host.try_reply(id), None, "nothing is acknowledged before it is durable");
        let other = host.open(2);
        assert_eq!(fetch(&mut host, other, 9).0, ErrorCode::NONE);
        host.disconnect(other);
        host.commit();
        assert_eq!(answers(&mut host, id, version), [(ErrorCode::NONE, offset)]);
    }
    assert_eq!(fetch(&mut host, id, 3).0, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(fetch(&mut host, id, 4), (ErrorCode::NONE, 4));
    host.restart();
    let id = host.open(1);
    assert_eq!(fetch(&mut host, id, 3).0, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(fetch(&mut host, id, 4), (ErrorCode::NONE, 4));
}

#[test]
fn up_to_the_high_watermark_and_never_back() {
    let (mut host, id) = host();
    assert_eq!(delete(&mut host, id, 5), (ErrorCode::NONE, 5));
    // Below the log start there is nothing to do.
    for offset in [0, 4, 5] {
        assert_eq!(delete(&mut host, id, offset), (ErrorCode::NONE, 5), "offset {offset}");
    }
    produce(&mut host, id, &["not durable"]);
    let other = host.open(2);
    send(&mut host, other, 2, &[("t", 0, 11)]);
    assert_eq!(answers(&mut host, other, 2), [(ErrorCode::OFFSET_OUT_OF_RANGE, -1)]);
    send(&mut host, other, 2, &[("t", 0, -1)]);
    host.commit();
    assert_eq!(answers(&mut host, other, 2), [(ErrorCode::NONE, 10)]);
    host.reply(id);
    assert_eq!(delete(&mut host, id, -1), (ErrorCode::NONE, 11));
    assert_eq!(fetch(&mut host, id, 10).0, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(fetch(&mut host, id, 11), (ErrorCode::NONE, 11));
}

#[test]
fn partitions_fail_on_their_own() {
    let (mut host, id) = host();
    host.create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    host.create_topic("both", 1, &[("cleanup.policy", "compact,delete")]);
    host.create_topic("__consumer_offsets", 1, &[]);
    let away = host.create_topic("away", 1, &[]);
    host.lose_partition(away, 0);
    let wanted = [
        ("t", 0, 11),
        ("t", 0, -2),
        ("t", 0, i64::MIN),
        ("t", 0, i64::MAX),
        ("t", 1, 0),
        ("t", -1, 0),
        ("missing", 0, 0),
        ("compacted", 0, 0),
        ("both", 0, 0),
        ("__consumer_offsets", 0, 0),
        ("away", 0, 0),
        ("t", 0, 3),
    ];
    send(&mut host, id, 1, &wanted);
    host.commit();
    let expected = vec![
        (ErrorCode::OFFSET_OUT_OF_RANGE, -1),
        (ErrorCode::OFFSET_OUT_OF_RANGE, -1),
        (ErrorCode::OFFSET_OUT_OF_RANGE, -1),
        (ErrorCode::OFFSET_OUT_OF_RANGE, -1),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1),
        (ErrorCode::POLICY_VIOLATION, -1),
        (ErrorCode::NONE, 0),
        (ErrorCode::INVALID_TOPIC_EXCEPTION, -1),
        (ErrorCode::NOT_LEADER_OR_FOLLOWER, -1),
        (ErrorCode::NONE, 3),
    ];
    assert_eq!(answers(&mut host, id, 1), expected);
}

#[test]
fn who_asks_for_the_same_waits_for_the_same() {
    let (mut host, id) = host();
    let other = host.open(2);
    send(&mut host, id, 2, &[("t", 0, 6)]);
    send(&mut host, other, 2, &[("t", 0, 5)]);
    assert_eq!((host.try_reply(id), host.try_reply(other)), (None, None));
    host.commit();
    assert_eq!(answers(&mut host, id, 2), [(ErrorCode::NONE, 6)]);
    assert_eq!(answers(&mut host, other, 2), [(ErrorCode::NONE, 6)]);
}

#[test]
fn a_request_times_out_and_a_topic_goes() {
    let (mut host, id) = host();
    send(&mut host, id, 2, &[("t", 0, 6), ("t", 0, 0)]);
    host.advance_ms(5_000);
    assert_eq!(answers(&mut host, id, 2), [(ErrorCode::REQUEST_TIMED_OUT, -1), (ErrorCode::NONE, 0)]);
    host.commit();
    assert_eq!(fetch(&mut host, id, 6), (ErrorCode::NONE, 6), "it happens nevertheless");
    send(&mut host, id, 2, &[("t", 0, 7)]);
    host.lose_partition(TopicId([1; 16]), 0);
    host.commit();
    assert_eq!(answers(&mut host, id, 2), [(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1)]);
    assert!(host.front().is_idle());
}

#[test]
fn segments_below_go() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[SMALL_SEGMENTS, ("retention.ms", "-1")]);
    let id = host.open(1);
    for _ in 0..4 {
        produce(&mut host, id, &[&filler()]);
        host.commit();
        host.reply(id);
    }
    host.restart();
    let id = host.open(1);
    let logs = |host: &Host| {
        let logs = host.paths().filter(|path| path.starts_with("topics/t-0/") && path.ends_with(".log"));
        logs.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(logs(&host).len(), 4);
    assert_eq!(delete(&mut host, id, 2), (ErrorCode::NONE, 2));
    host.commit();
    let left = logs(&host);
    assert_eq!(left.first().unwrap(), "topics/t-0/00000000000000000002.log");
    assert_eq!(left.len(), 2);
}
