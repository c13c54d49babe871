//! Every special timestamp in every version, searches against a scan over everything, epochs and lookups from disk.

use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::api::list_offsets::ListOffsetsTopic;
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::compression::Compression;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};
use proptest::collection;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::front::testing::{Host, SMALL_SEGMENTS, batch_at, decode, filler};
use crate::io::ConnectionId;

const T0: i64 = 1_700_000_000_000;

/// "t" has records at T0, T0 + 1, T0 + 2 in one batch and at T0 + 1 in another.
fn host() -> (Host, ConnectionId) {
    let mut host = Host::new();
    host.create_topic("t", 1, &[SMALL_SEGMENTS]);
    let id = host.open(1);
    for records in [batch_at(T0, &["a", "b", "c"]), batch_at(T0 + 1, &["d"])] {
        produce(&mut host, id, &records);
        host.commit();
        host.reply(id);
    }
    (host, id)
}

fn produce(host: &mut Host, id: ConnectionId, records: &[u8]) {
    let partitions = [PartitionProduceData { index: 0, records: Some(records) }];
    let topics = [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
    host.send(id, 9, &ProduceRequest { acks: 1, topic_data: (&topics).into(), ..Default::default() });
}

fn send(host: &mut Host, id: ConnectionId, version: i16, wanted: &[(&str, ListOffsetsPartition)]) {
    let partitions: Vec<[ListOffsetsPartition; 1]> = wanted.iter().map(|(_, partition)| [*partition]).collect();
    let topics: Vec<_> = wanted
        .iter()
        .zip(&partitions)
        .map(|((name, _), partitions)| ListOffsetsTopic { name, partitions: partitions.into() })
        .collect();
    host.send(id, version, &ListOffsetsRequest { replica_id: -1, topics: (&topics).into(), ..Default::default() });
}

fn at(timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp }
}

/// Error, timestamp, offset, leader epoch of each partition.
fn answers(host: &mut Host, id: ConnectionId, version: i16) -> Vec<(ErrorCode, i64, i64, i32)> {
    let reply = host.reply(id);
    let response: ListOffsetsResponse<'_> = decode(ApiKey::ListOffsets, version, &reply);
    let partitions = response.topics.iter().flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
    partitions.map(|found| (found.error_code, found.timestamp, found.offset, found.leader_epoch)).collect()
}

fn ask(host: &mut Host, id: ConnectionId, version: i16, timestamp: i64) -> (ErrorCode, i64, i64, i32) {
    send(host, id, version, &[("t", at(timestamp))]);
    answers(host, id, version)[0]
}

#[test]
fn special_timestamps_in_every_version() {
    let (mut host, id) = host();
    for version in 1..=11 {
        let epoch = if version >= 4 { 0 } else { -1 };
        let since = |first: i16, answer: (i64, i64, i32)| match version >= first {
            true => (ErrorCode::NONE, answer.0, answer.1, answer.2),
            false => (ErrorCode::UNSUPPORTED_VERSION, -1, -1, -1),
        };
        for (timestamp, expected) in [
            (-1, since(1, (-1, 4, epoch))),
            (-2, since(1, (-1, 0, epoch))),
            (-3, since(7, (T0 + 2, 2, epoch))),
            (-4, since(8, (-1, 0, epoch))),
            (-5, since(9, (-1, -1, -1))),
            (-6, since(11, (-1, -1, -1))),
            (-7, since(i16::MAX, (-1, -1, -1))),
            (i64::MIN, since(i16::MAX, (-1, -1, -1))),
            (0, since(1, (T0, 0, epoch))),
            (T0 + 1, since(1, (T0 + 1, 1, epoch))),
            (T0 + 2, since(1, (T0 + 2, 2, epoch))),
            (T0 + 3, since(1, (-1, -1, -1))),
            (i64::MAX, since(1, (-1, -1, -1))),
        ] {
            assert_eq!(ask(&mut host, id, version, timestamp), expected, "version {version} timestamp {timestamp}");
        }
    }
}

#[test]
fn the_ends_of_an_empty_partition() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    for (timestamp, expected) in [(-1, (-1, 0, 0)), (-2, (-1, 0, 0)), (-3, (-1, -1, -1)), (5, (-1, -1, -1))] {
        let (error, found, offset, epoch) = ask(&mut host, id, 7, timestamp);
        assert_eq!((error, (found, offset, epoch)), (ErrorCode::NONE, expected), "timestamp {timestamp}");
    }
}

#[test]
fn latest_is_the_high_watermark() {
    let (mut host, id) = host();
    produce(&mut host, id, &batch_at(T0, &["not durable"]));
    let other = host.open(2);
    assert_eq!(ask(&mut host, other, 7, -1).2, 4);
}

#[test]
fn partitions_fail_on_their_own() {
    let (mut host, id) = host();
    let epoch = |current_leader_epoch| ListOffsetsPartition { current_leader_epoch, ..at(-1) };
    let elsewhere = ListOffsetsPartition { partition_index: 1, ..at(-1) };
    for (wanted, expected) in [
        (("missing", at(-1)), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (("t", elsewhere), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (("t", epoch(0)), ErrorCode::NONE),
        (("t", epoch(1)), ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        send(&mut host, id, 11, &[wanted, ("other", at(-2))]);
        let errors: Vec<_> = answers(&mut host, id, 11).iter().map(|answer| answer.0).collect();
        assert_eq!(errors, [expected, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
    }
    let partition = host.partition(TopicId([1; 16]), 0);
    host.logs().set_leader_epoch(partition, 2);
    send(&mut host, id, 11, &[("t", epoch(1))]);
    assert_eq!(answers(&mut host, id, 11)[0].0, ErrorCode::FENCED_LEADER_EPOCH);
}

#[test]
fn partitions_that_are_named_twice_are_refused() {
    let (mut host, id) = host();
    send(&mut host, id, 6, &[("t", at(-1)), ("t", at(-2))]);
    let refused = (ErrorCode::INVALID_REQUEST, -1, -1, -1);
    assert_eq!(answers(&mut host, id, 6), [refused, refused]);
}

#[test]
fn lookups_from_disk_are_waited_for() {
    let (mut host, id) = host();
    produce(&mut host, id, &batch_at(T0, &[&filler()]));
    host.commit();
    host.restart();
    let id = host.open(1);
    send(&mut host, id, 7, &[("t", at(T0 + 1)), ("missing", at(-1))]);
    assert_eq!(host.try_reply(id), None);
    host.commit();
    let expected = [(ErrorCode::NONE, T0 + 1, 1, 0), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1, -1, -1)];
    assert_eq!(answers(&mut host, id, 7), expected);
    send(&mut host, id, 7, &[("t", at(T0 + 1))]);
    host.fail_reads();
    assert_eq!(answers(&mut host, id, 7), vec![(ErrorCode::KAFKA_STORAGE_ERROR, -1, -1, -1)]);
    assert!(host.front().is_idle());
}

/// A record as a scan over the whole log sees it: offset and timestamp.
type Scanned = (i64, i64);

/// What a scan finds: the first visible record at or after a time, or, for -3, the first of those with the latest.
fn scan(log: &[Scanned], log_start: i64, timestamp: i64) -> Option<Scanned> {
    let mut visible = log.iter().copied().filter(|(offset, _)| *offset >= log_start);
    match timestamp {
        MAX_TIMESTAMP => {
            let latest = visible.clone().map(|(_, timestamp)| timestamp).max()?;
            visible.find(|(_, timestamp)| *timestamp == latest)
        }
        _ => visible.find(|(_, found)| *found >= timestamp),
    }
}

/// What happens to a partition.
#[derive(Clone, Debug)]
enum Step {
    /// A batch whose records have these times, after [`T0`], with a codec and a value as long as that.
    Batch(Vec<i64>, Option<Compression>, usize),
    /// Time passes: records of topics with `LogAppendTime` get another one.
    Pass(u64),
    /// The log begins behind so many per cent of it.
    DeleteRecords(u8),
    /// A clean stop and a start: what is in whole segments is on disk only.
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let codec = select(vec![
        None,
        Some(Compression::Gzip),
        Some(Compression::Snappy),
        Some(Compression::Lz4),
        Some(Compression::Zstd),
    ]);
    prop_oneof![
        12 => (collection::vec(0..60_i64, 1..6), codec, select(vec![1_usize, 40, 900]))
            .prop_map(|(times, codec, length)| Step::Batch(times, codec, length)),
        2 => (1..20_u64).prop_map(Step::Pass),
        1 => (0..100_u8).prop_map(Step::DeleteRecords),
        2 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn lookups_find_what_a_scan_finds(steps in collection::vec(any_step(), 1..40), append_time: bool) {
        let kind = if append_time { "LogAppendTime" } else { "CreateTime" };
        let mut host = Host::new();
        let interval = ("index.interval.bytes", "100");
        let configs = [SMALL_SEGMENTS, ("retention.ms", "-1"), ("message.timestamp.type", kind), interval];
        let topic_id = host.create_topic("t", 1, &configs);
        let mut id = host.open(1);
        let (mut log, mut log_start): (Vec<Scanned>, i64) = (vec![], 0);
        for step in steps {
            match step {
                Step::Batch(times, codec, length) => {
                    let mut builder = BatchBuilder::new();
                    if let Some(codec) = codec {
                        builder = builder.compression(codec, None);
                    }
                    // Hardly compressible, so that segments fill up.
                    let value: Vec<u8> = (0..length).map(|at| ((at * at * 31 + at) >> 3) as u8).collect();
                    for time in &times {
                        builder.append(&NewRecord { timestamp: T0 + time, value: Some(&value), ..Default::default() });
                        let time = if append_time { host.now.wall_ms } else { T0 + time };
                        log.push((log.len() as i64, time));
                    }
                    produce(&mut host, id, &builder.build());
                    host.commit();
                    host.reply(id);
                }
                Step::Pass(ms) => host.advance_ms(ms),
                Step::DeleteRecords(percent) => {
                    log_start = log_start.max(log.len() as i64 * i64::from(percent) / 100);
                    let partition = host.partition(topic_id, 0);
                    host.logs().begin_log_start(partition, log_start);
                    host.turn();
                    host.commit();
                }
                Step::Restart => {
                    host.restart();
                    id = host.open(1);
                }
            }
            let now = host.now.wall_ms;
            let times = (T0 - 1..T0 + 62).step_by(7).chain([now - 1, now, now + 1, 0, MAX_TIMESTAMP]);
            for timestamp in times {
                send(&mut host, id, 11, &[("t", at(timestamp))]);
                host.commit();
                let answer = answers(&mut host, id, 11)[0];
                let expected = match scan(&log, log_start, timestamp) {
                    Some((offset, found)) => (ErrorCode::NONE, found, offset, 0),
                    None => (ErrorCode::NONE, -1, -1, -1),
                };
                prop_assert_eq!(answer, expected, "at {} in {:?} from {}", timestamp, &log, log_start);
            }
            prop_assert_eq!(ask(&mut host, id, 11, EARLIEST_TIMESTAMP).2, log_start);
            prop_assert_eq!(ask(&mut host, id, 11, EARLIEST_LOCAL_TIMESTAMP).2, log_start);
            prop_assert_eq!(ask(&mut host, id, 11, LATEST_TIMESTAMP).2, log.len() as i64);
        }
        prop_assert!(host.front().is_idle());
    }
}
