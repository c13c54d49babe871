//! Every version, every way to be refused, and when the answer leaves.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use corelog_replication::ids::{BrokerId, LeaderEpoch, PartitionEpoch};
use corelog_replication::metadata::{MetadataRecord, PartitionAssignment};
use corelog_wire::api::api_versions::ApiVersionsRequest;
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::produce::PartitionProduceData;
use corelog_wire::api_key::ApiKey;
use corelog_wire::compression::{Compression, decompress};
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, TimestampType};

use super::*;
use crate::front::testing::{Host, NODE_ID, batch, decode};
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

/// A batch of an idempotent producer, with this many records of 100 bytes.
fn batch_of(compression: Compression, base_sequence: i32, records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(compression, None).producer(9, 2, base_sequence);
    for number in 0..records {
        let value = number.to_string().repeat(100);
        let value = &value.as_bytes()[..100];
        builder.append(&NewRecord {
            timestamp: 1_000 + number as i64,
            key: Some(b"k"),
            value: Some(value),
            headers: &[],
        });
    }
    builder.build()
}

/// What the log has of a partition, batch by batch.
fn stored(host: &mut Host, topic: &str) -> Vec<Vec<u8>> {
    let id = host.open(1_000);
    let partition =
        FetchPartition { partition: 0, fetch_offset: 0, partition_max_bytes: 1 << 20, ..Default::default() };
    let partitions = [partition];
    let topics = [FetchTopic { topic, partitions: (&partitions).into(), ..Default::default() }];
    let request = FetchRequest {
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: (&topics).into(),
        ..Default::default()
    };
    host.send(id, 11, &request);
    host.commit();
    let reply = host.reply(id);
    host.disconnect(id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, 11, &reply);
    let records = response.responses.first().unwrap().partitions.first().unwrap().records.unwrap();
    let mut rest = records.as_slice().unwrap();
    let mut batches = vec![];
    while let Ok((batch, behind)) = RecordBatch::split_from(rest) {
        batches.push(rest[..batch.size()].to_vec());
        rest = behind;
    }
    batches
}

#[test]
fn records_are_kept_in_the_codec_of_the_topic() {
    for (name, kept) in [
        ("producer", None),
        ("uncompressed", Some(Compression::None)),
        ("gzip", Some(Compression::Gzip)),
        ("snappy", Some(Compression::Snappy)),
        ("lz4", Some(Compression::Lz4)),
        ("zstd", Some(Compression::Zstd)),
    ] {
        let mut host = Host::new();
        host.create_topic("t", 1, &[("compression.type", name)]);
        let id = host.open(1);
        let sources: Vec<_> =
            (0..).step_by(50).zip(Compression::ALL).map(|(at, from)| batch_of(from, at, 50)).collect();
        for (count, source) in sources.iter().enumerate() {
            for _ in 0..2 {
                // Sent again it is known again.
                let answer = produce(&mut host, id, &Request { records: Some(source), ..Default::default() });
                assert_eq!((answer.error, answer.base_offset), (ErrorCode::NONE, 50 * count as i64), "{name}");
            }
        }
        let stored = stored(&mut host, "t");
        assert_eq!(stored.len(), sources.len());
        for (number, ((bytes, source), from)) in stored.iter().zip(&sources).zip(Compression::ALL).enumerate() {
            let (batch, _) = RecordBatch::split_from(bytes).unwrap();
            let (source, _) = RecordBatch::split_from(source).unwrap();
            assert!(batch.has_valid_crc());
            assert_eq!(batch.attributes().compression(), Some(kept.unwrap_or(from)), "{name} from {from}");
            assert_eq!(batch.base_offset(), 50 * number as i64);
            assert_eq!((batch.producer_id(), batch.producer_epoch()), (9, 2));
            assert_eq!((batch.base_sequence(), batch.record_count()), (50 * number as i32, 50));
            assert_eq!((batch.max_timestamp(), batch.last_offset_delta()), (1_049, 49));
            let plain = |batch: &RecordBatch<'_>| {
                decompress(batch.attributes().compression().unwrap(), batch.payload(), 1 << 20).unwrap()
            };
            assert_eq!(plain(&batch), plain(&source), "{name} from {from}");
        }
    }
}

#[test]
fn the_brokers_time_goes_with_the_topics_codec() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[("compression.type", "zstd"), ("message.timestamp.type", "LogAppendTime")]);
    let id = host.open(1);
    let source = batch_of(Compression::Gzip, 0, 50);
    let answer = produce(&mut host, id, &Request { records: Some(&source), ..Default::default() });
    assert_eq!((answer.error, answer.log_append_time_ms), (ErrorCode::NONE, host.now.wall_ms));
    let now_ms = host.now.wall_ms;
    let stored = stored(&mut host, "t");
    let (batch, _) = RecordBatch::split_from(&stored[0]).unwrap();
    assert!(batch.has_valid_crc());
    assert_eq!((batch.attributes().timestamp_type(), batch.max_timestamp()), (TimestampType::LogAppendTime, now_ms));
}

#[test]
fn another_codec_is_made_turn_by_turn_while_others_are_served() {
    let mut host = Host::new();
    host.create_topic("slow", 1, &[("compression.type", "gzip")]);
    host.create_topic("fast", 1, &[]);
    let ids: Vec<_> = (1..=3).map(|number| host.open(number)).collect();
    let large = batch_of(Compression::None, 0, 3_000);
    let turns = large.len() / limits::REENCODED_BYTES_PER_TURN;
    assert!(turns >= 4);
    send(&mut host, ids[0], &Request { topic: "slow", records: Some(&large), ..Default::default() });
    let small = batch(&["a"]);
    send(&mut host, ids[1], &Request { topic: "fast", records: Some(&small), ..Default::default() });
    for _ in 2..turns {
        assert!(host.has_more(), "it goes on by itself");
        host.ask(ids[2], 4, &ApiVersionsRequest::default());
        assert_eq!((host.try_reply(ids[0]), host.try_reply(ids[1])), (None, None));
    }
    host.commit();
    for (id, topic) in [(ids[0], "slow"), (ids[1], "fast")] {
        let reply = host.reply(id);
        assert_eq!(answer(12, &reply).error, ErrorCode::NONE, "{topic}");
    }
    assert!(stored(&mut host, "slow")[0].len() < large.len() / 4);
    // Whoever leaves in the middle leaves nothing behind.
    send(&mut host, ids[0], &Request { topic: "slow", records: Some(&large), ..Default::default() });
    host.disconnect(ids[0]);
    host.commit();
    assert!(host.front().is_idle());
}

#[test]
fn what_is_too_large_in_the_topics_codec_is_refused() {
    let mut host = Host::with(|config| config.set("corelog.memory.bytes", "67108864").unwrap());
    host.create_topic("plain", 1, &[("compression.type", "uncompressed"), ("max.message.bytes", "5000")]);
    host.create_topic("gzip", 1, &[("compression.type", "gzip")]);
    let id = host.open(1);
    let records = batch_of(Compression::Zstd, 0, 100);
    assert!(records.len() < 5_000);
    let answer = produce(&mut host, id, &Request { topic: "plain", records: Some(&records), ..Default::default() });
    assert_eq!((answer.error, answer.base_offset), (ErrorCode::MESSAGE_TOO_LARGE, -1));
    assert!(answer.message.unwrap().contains("max.message.bytes"));
    let mut builder = BatchBuilder::new();
    builder.append(&NewRecord { timestamp: 0, key: None, value: Some(&vec![0; 9 << 20]), headers: &[] });
    let records = builder.compression(Compression::Zstd, None).build();
    let answer = produce(&mut host, id, &Request { topic: "gzip", records: Some(&records), ..Default::default() });
    assert_eq!(answer.error, ErrorCode::MESSAGE_TOO_LARGE, "an eighth of the memory");
}

#[test]
fn replicas_in_sync_are_asked_for_as_far_as_there_are_replicas() {
    let mut host = Host::new();
    host.create_topic("one", 1, &[("min.insync.replicas", "2")]);
    let topic_id = TopicId([5; 16]);
    let assignment = PartitionAssignment {
        index: PartitionIndex(0),
        replicas: vec![BrokerId(NODE_ID), BrokerId(NODE_ID + 1)],
        leader: BrokerId(NODE_ID),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
    };
    let (key, value) = ("min.insync.replicas".to_string(), Some("2".to_string()));
    host.propose(&[
        MetadataRecord::Topic { name: "two".to_string(), topic_id, partitions: vec![assignment] },
        MetadataRecord::TopicConfig { topic_id, key, value },
    ]);
    host.apply_metadata();
    let id = host.open(1);
    let records = batch(&["a"]);
    for (topic, acks, error) in
        [("one", -1, ErrorCode::NONE), ("two", -1, ErrorCode::NOT_ENOUGH_REPLICAS), ("two", 1, ErrorCode::NONE)]
    {
        let answer = produce(&mut host, id, &Request { topic, acks, records: Some(&records), ..Default::default() });
        assert_eq!(answer.error, error, "{topic} {acks}");
    }
}

#[test]
fn the_flush_settings_are_a_floor_under_the_level() {
    let mut host = Host::new();
    let memory = ("corelog.durability", "memory");
    host.create_topic("third", 1, &[memory, ("flush.messages", "3")]);
    host.create_topic("each", 1, &[memory, ("flush.ms", "0")]);
    host.create_topic("later", 1, &[memory, ("flush.ms", "50")]);
    let id = host.open(1);
    let records = batch(&["a"]);
    for (topic, waits) in
        [("third", [false, false, true, false, false, true]), ("each", [true; 6]), ("later", [false; 6])]
    {
        for (number, waits) in waits.into_iter().enumerate() {
            send(&mut host, id, &Request { topic, records: Some(&records), ..Default::default() });
            let at_once = host.try_reply(id);
            assert_eq!(at_once.is_none(), waits, "{topic} {number}");
            host.commit();
            let reply = at_once.unwrap_or_else(|| host.reply(id));
            assert_eq!(answer(12, &reply).error, ErrorCode::NONE);
        }
    }
    let is_flushed = |host: &mut Host| {
        let written = |sequence: &u64| host.logs().reached(AckPoint { sequence: *sequence, level: Durability::Write });
        let last = (1..).take_while(written).last().unwrap();
        host.logs().reached(AckPoint { sequence: last, level: Durability::Fsync })
    };
    assert!(!is_flushed(&mut host));
    host.advance_ms(49);
    host.commit();
    assert!(!is_flushed(&mut host), "an idle journal is closed later still");
    host.advance_ms(1);
    host.commit();
    assert!(is_flushed(&mut host));
}
