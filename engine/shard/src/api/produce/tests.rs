//! Every version, every way to be refused, and when the answer leaves.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::api::produce::PartitionProduceData;
use corelog_wire::api_key::ApiKey;
use corelog_wire::compression::Compression;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

use super::*;
use crate::front::testing::{Host, batch, decode};
use crate::io::ConnectionId;

/// What became of a partition, with all that the version says about it.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    error: ErrorCode,
    base_offset: i64,
    log_append_time_ms: i64,
    log_start_offset: i64,
    message: Option<String>,
    record_errors: Vec<(i32, String)>,
    leader: (i32, i32),
}

struct Request<'a> {
    version: i16,
    acks: i16,
    timeout_ms: i32,
    topic: &'a str,
    topic_id: TopicId,
    index: i32,
    records: Option<&'a [u8]>,
    transactional_id: Option<&'a str>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            version: 12,
            acks: -1,
            timeout_ms: 30_000,
            topic: "t",
            topic_id: TopicId::ZERO,
            index: 0,
            records: None,
            transactional_id: None,
        }
    }
}

fn send(host: &mut Host, id: ConnectionId, request: &Request<'_>) {
    let partitions = [PartitionProduceData { index: request.index, records: request.records }];
    let topics =
        [TopicProduceData { name: request.topic, topic_id: request.topic_id, partition_data: (&partitions).into() }];
    let message = ProduceRequest {
        transactional_id: request.transactional_id,
        acks: request.acks,
        timeout_ms: request.timeout_ms,
        topic_data: (&topics).into(),
    };
    host.send(id, request.version, &message);
}

fn answer(version: i16, reply: &[u8]) -> Answer {
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, version, reply);
    assert_eq!(response.throttle_time_ms, 0);
    assert_eq!(response.responses.len(), 1);
    let topic = response.responses.first().unwrap();
    let partition = topic.partition_responses.first().unwrap();
    let record_errors = partition.record_errors.iter();
    Answer {
        error: partition.error_code,
        base_offset: partition.base_offset,
        log_append_time_ms: partition.log_append_time_ms,
        log_start_offset: partition.log_start_offset,
        message: partition.error_message.map(ToString::to_string),
        record_errors: record_errors
            .map(|error| (error.batch_index, error.batch_index_error_message.unwrap_or_default().to_string()))
            .collect(),
        leader: (partition.current_leader.leader_id, partition.current_leader.leader_epoch),
    }
}

/// Sends a request and commits; the answer.
fn produce(host: &mut Host, id: ConnectionId, request: &Request<'_>) -> Answer {
    send(host, id, request);
    host.commit();
    let reply = host.reply(id);
    answer(request.version, &reply)
}

#[test]
fn every_version_appends() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 2, &[]);
    let id = host.open(1);
    let records = batch(&["a", "b"]);
    for (count, version) in (3..=13).enumerate() {
        let request = Request { version, topic_id, index: 1, records: Some(&records), ..Default::default() };
        let answer = produce(&mut host, id, &request);
        assert_eq!(answer.error, ErrorCode::NONE, "version {version}");
        assert_eq!(answer.base_offset, 2 * count as i64);
        assert_eq!(answer.log_append_time_ms, -1);
        assert_eq!(answer.log_start_offset, if version >= 5 { 0 } else { -1 });
        assert_eq!((answer.message, answer.leader), (None, (-1, -1)));
    }
    let partition = host.partition(topic_id, 1);
    assert_eq!(host.logs().log_end_offset(partition), 22);
}

#[test]
fn the_answer_names_what_the_request_named() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let records = batch(&["a"]);
    for (version, name, expected_id) in [(12, "t", TopicId::ZERO), (13, "", topic_id)] {
        send(&mut host, id, &Request { version, topic_id, records: Some(&records), ..Default::default() });
        host.commit();
        let reply = host.reply(id);
        let response: ProduceResponse<'_> = decode(ApiKey::Produce, version, &reply);
        let topic = response.responses.first().unwrap();
        assert_eq!((topic.name, topic.topic_id), (name, expected_id));
    }
}

#[test]
fn partitions_succeed_and_fail_on_their_own() {
    let mut host = Host::new();
    host.create_topic("a", 2, &[]);
    host.create_topic("b", 1, &[]);
    let id = host.open(1);
    let records = batch(&["x"]);
    let records = Some(&records[..]);
    let of_a = [
        PartitionProduceData { index: 0, records },
        PartitionProduceData { index: 7, records },
        PartitionProduceData { index: 1, records },
        PartitionProduceData { index: 0, records },
    ];
    let other = [PartitionProduceData { index: 0, records }];
    let topics = [
        TopicProduceData { name: "a", partition_data: (&of_a).into(), ..Default::default() },
        TopicProduceData { name: "missing", partition_data: (&other).into(), ..Default::default() },
        TopicProduceData { name: "b", partition_data: (&other).into(), ..Default::default() },
    ];
    host.send(id, 9, &ProduceRequest { acks: 1, topic_data: (&topics).into(), ..Default::default() });
    host.commit();
    let reply = host.reply(id);
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, 9, &reply);
    let rows: Vec<_> = response
        .responses
        .iter()
        .flat_map(|topic| {
            let row = move |partition: PartitionProduceResponse<'_>| {
                (topic.name, partition.index, partition.error_code, partition.base_offset)
            };
            topic.partition_responses.iter().map(row).collect::<Vec<_>>()
        })
        .collect();
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(
        rows,
        [
            ("a", 0, ErrorCode::NONE, 0),
            ("a", 7, unknown, -1),
            ("a", 1, ErrorCode::NONE, 0),
            ("a", 0, ErrorCode::NONE, 1),
            ("missing", 0, unknown, -1),
            ("b", 0, ErrorCode::NONE, 0),
        ]
    );
}

#[test]
fn refusals() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 1, &[("max.message.bytes", "200")]);
    host.create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    host.create_topic("__consumer_offsets", 1, &[]);
    let id = host.open(1);
    let good = batch(&["a"]);
    let mut corrupt = good.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let two = [good.clone(), good.clone()].concat();
    let large = batch(&["x".repeat(200).as_str()]);
    let mut old = good.clone();
    old[16] = 1;
    let mut transactional = BatchBuilder::new().producer(5, 0, 0).transactional(true);
    transactional.append(&NewRecord { timestamp: 1_700_000_000_000, key: None, value: None, headers: &[] });
    let transactional = transactional.build();
    let mut future = BatchBuilder::new();
    future.append(&NewRecord { timestamp: 1_700_000_000_000 + 3_600_001, key: None, value: None, headers: &[] });
    let future = future.build();
    let base = || Request { records: Some(&good), ..Default::default() };
    let unknown_id = TopicId([0xaa; 16]);
    let cases = [
        ("null records", Request { records: None, ..base() }, ErrorCode::INVALID_RECORD),
        ("no records", Request { records: Some(&[]), ..base() }, ErrorCode::INVALID_RECORD),
        ("bad CRC", Request { records: Some(&corrupt), ..base() }, ErrorCode::CORRUPT_MESSAGE),
        ("two batches", Request { records: Some(&two), ..base() }, ErrorCode::INVALID_RECORD),
        ("old format", Request { records: Some(&old), ..base() }, ErrorCode::INVALID_RECORD),
        ("too large", Request { records: Some(&large), ..base() }, ErrorCode::MESSAGE_TOO_LARGE),
        ("from the future", Request { records: Some(&future), ..base() }, ErrorCode::INVALID_TIMESTAMP),
        ("no key", Request { topic: "compacted", ..base() }, ErrorCode::INVALID_RECORD),
        ("acks 2", Request { acks: 2, ..base() }, ErrorCode::INVALID_REQUIRED_ACKS),
        ("acks -2", Request { acks: -2, ..base() }, ErrorCode::INVALID_REQUIRED_ACKS),
        ("transactional id", Request { transactional_id: Some("tx"), ..base() }, ErrorCode::INVALID_TXN_STATE),
        ("transactional", Request { records: Some(&transactional), ..base() }, ErrorCode::INVALID_TXN_STATE),
        ("internal", Request { topic: "__consumer_offsets", ..base() }, ErrorCode::INVALID_TOPIC_EXCEPTION),
        ("no topic", Request { topic: "missing", ..base() }, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("no partition", Request { index: 1, ..base() }, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("negative partition", Request { index: -1, ..base() }, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ("unknown id", Request { version: 13, topic_id: unknown_id, ..base() }, ErrorCode::UNKNOWN_TOPIC_ID),
        ("no id", Request { version: 13, ..base() }, ErrorCode::UNKNOWN_TOPIC_ID),
    ];
    for (what, request, expected) in cases {
        send(&mut host, id, &request);
        let reply = host.reply(id);
        let answer = answer(request.version, &reply);
        assert_eq!(answer.error, expected, "{what}: {answer:?}");
        assert_eq!(answer.base_offset, -1, "{what}");
        let explains = !matches!(answer.error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID);
        assert_eq!(answer.message.is_some(), explains, "{what}");
    }
    let partition = host.partition(topic_id, 0);
    assert_eq!(host.logs().log_end_offset(partition), 0, "nothing is stored");
}

#[test]
fn bad_records_are_named_from_version_8_on() {
    let mut host = Host::new();
    host.create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    let id = host.open(1);
    let mut builder = BatchBuilder::new();
    for key in [Some(&b"k"[..]), None, None] {
        builder.append(&NewRecord { timestamp: 1_700_000_000_000, key, value: None, headers: &[] });
    }
    let records = builder.build();
    for version in [7, 8, 12] {
        let request = Request { version, topic: "compacted", records: Some(&records), ..Default::default() };
        let answer = produce(&mut host, id, &request);
        assert_eq!(answer.error, ErrorCode::INVALID_RECORD);
        let named: Vec<i32> = answer.record_errors.iter().map(|(index, _)| *index).collect();
        assert_eq!(named, if version >= 8 { vec![1, 2] } else { vec![] });
    }
}

#[test]
fn the_answer_waits_for_the_commit_at_the_level_of_the_topic() {
    let mut host = Host::new();
    host.create_topic("fsync", 1, &[]);
    host.create_topic("memory", 1, &[("corelog.durability", "memory")]);
    let id = host.open(1);
    let records = batch(&["a"]);
    for acks in [1, -1] {
        send(&mut host, id, &Request { topic: "fsync", acks, records: Some(&records), ..Default::default() });
        assert_eq!(host.try_reply(id), None, "acks {acks}");
        host.commit();
        let reply = host.reply(id);
        assert_eq!(answer(12, &reply).error, ErrorCode::NONE);
        send(&mut host, id, &Request { topic: "memory", acks, records: Some(&records), ..Default::default() });
        let reply = host.reply(id);
        assert_eq!(answer(12, &reply).error, ErrorCode::NONE);
    }
}

#[test]
fn acks_0_has_no_answer_and_an_error_closes() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let records = batch(&["a"]);
    let request = Request { acks: 0, records: Some(&records), ..Default::default() };
    send(&mut host, id, &request);
    send(&mut host, id, &Request { acks: 1, ..request });
    host.commit();
    let reply = host.reply(id);
    assert_eq!(answer(12, &reply).base_offset, 1, "the only reply is the second request's");
    assert_eq!(host.try_reply(id), None);
    send(&mut host, id, &Request { acks: 0, topic: "missing", records: Some(&records), ..Default::default() });
    assert!(host.closed.contains(&id));
    assert!(host.messages.last().unwrap().1.contains("UNKNOWN_TOPIC_OR_PARTITION"));
    let partition = host.partition(topic_id, 0);
    assert_eq!(host.logs().log_end_offset(partition), 2);
}

#[test]
fn acks_all_times_out_and_acks_1_does_not() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let records = batch(&["a"]);
    send(&mut host, id, &Request { timeout_ms: 5_000, records: Some(&records), ..Default::default() });
    host.advance_ms(4_999);
    assert_eq!(host.try_reply(id), None);
    host.advance_ms(1);
    let reply = host.reply(id);
    assert_eq!(answer(12, &reply).error, ErrorCode::REQUEST_TIMED_OUT);
    // A client without patience is no worse off than with Kafka, which would not have waited.
    send(&mut host, id, &Request { timeout_ms: 0, records: Some(&records), ..Default::default() });
    host.advance_ms(limits::PRODUCE_WAIT_MS_MIN - 1);
    host.commit();
    let reply = host.reply(id);
    assert_eq!(answer(12, &reply).error, ErrorCode::NONE);
    send(&mut host, id, &Request { acks: 1, timeout_ms: 0, records: Some(&records), ..Default::default() });
    host.advance_ms(1_000_000 / 2);
    assert_eq!(host.try_reply(id), None);
    host.commit();
    let reply = host.reply(id);
    assert_eq!(answer(12, &reply).error, ErrorCode::NONE);
}

#[test]
fn log_append_time_is_told() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let id = host.open(1);
    let records = batch(&["a"]);
    let answer = produce(&mut host, id, &Request { records: Some(&records), ..Default::default() });
    assert_eq!(answer.log_append_time_ms, host.now.wall_ms);
}

#[test]
fn compressed_records_are_bounded_by_the_topic() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[("max.decompressed.message.bytes", "100")]);
    let id = host.open(1);
    for (compression, value, expected) in [
        (Compression::Gzip, 90, ErrorCode::NONE),
        (Compression::Gzip, 100, ErrorCode::INVALID_RECORD),
        (Compression::None, 100, ErrorCode::NONE),
    ] {
        let mut builder = BatchBuilder::new();
        builder.append(&NewRecord { timestamp: -1, key: None, value: Some(&vec![b'x'; value]), headers: &[] });
        let records = builder.compression(compression, None).build();
        let answer = produce(&mut host, id, &Request { records: Some(&records), ..Default::default() });
        assert_eq!(answer.error, expected, "{compression:?} {value}");
        assert_eq!(answer.record_errors.len(), usize::from(!expected.is_none()));
    }
}

#[test]
fn a_partition_led_elsewhere_is_named_with_its_leader() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 1, &[]);
    host.lose_partition(topic_id, 0);
    let id = host.open(1);
    let records = batch(&["a"]);
    for (version, leader) in [(9, (-1, -1)), (10, (1, 0)), (13, (1, 0))] {
        let request = Request { version, topic_id, records: Some(&records), ..Default::default() };
        send(&mut host, id, &request);
        let reply = host.reply(id);
        let answer = answer(version, &reply);
        assert_eq!((answer.error, answer.leader), (ErrorCode::NOT_LEADER_OR_FOLLOWER, leader));
        let response: ProduceResponse<'_> = decode(ApiKey::Produce, version, &reply);
        let endpoints: Vec<_> = response.node_endpoints.iter().map(|node| (node.node_id, node.host)).collect();
        assert_eq!(endpoints, if version >= 10 { vec![(1, "broker.example")] } else { vec![] });
    }
}

#[test]
fn points_join_to_the_later_and_stricter() {
    let at = |sequence, level| AckPoint { sequence, level };
    let (fsync, write, memory) = (Durability::Fsync, Durability::Write, Durability::Memory);
    assert_eq!(join(AckPoint::NOW, at(5, write)), at(5, write));
    assert_eq!(join(at(5, write), at(9, memory)), at(5, write));
    assert_eq!(join(at(5, write), at(4, write)), at(5, write));
    assert_eq!(join(at(5, write), at(4, fsync)), at(5, fsync));
    assert_eq!(join(at(3, fsync), at(4, fsync)), at(4, fsync));
}
