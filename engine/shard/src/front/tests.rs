//! Pipelining, back-pressure, deadlines and bad input, seen from a host.

use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::api::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::metadata::MetadataRequest;
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;

use super::testing::{CLUSTER_ID, Host, NODE_ID, SMALL_SEGMENTS, batch, decode, filler};
use crate::io::{ConnectionId, Event, LogLevel};
use crate::limits;

mod lending;
mod quotas;

const PRODUCE: i16 = 9;
const FETCH: i16 = 12;

fn produce(host: &mut Host, id: ConnectionId, topic: &str, values: &[&str]) -> i32 {
    let records = batch(values);
    let partitions = [PartitionProduceData { index: 0, records: Some(&records) }];
    let topics = [TopicProduceData { name: topic, partition_data: (&partitions).into(), ..Default::default() }];
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: (&topics).into(), ..Default::default() };
    host.send(id, PRODUCE, &request)
}

fn fetch(host: &mut Host, id: ConnectionId, topic: &str, offset: i64, min_bytes: i32, max_wait_ms: i32) -> i32 {
    let partitions =
        [FetchPartition { partition: 0, fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() }];
    let topics = [FetchTopic { topic, partitions: (&partitions).into(), ..Default::default() }];
    let request = FetchRequest {
        max_wait_ms,
        min_bytes,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: (&topics).into(),
        ..Default::default()
    };
    host.send(id, FETCH, &request)
}

fn correlation_id(reply: &[u8]) -> i32 {
    i32::from_be_bytes(*reply.first_chunk().unwrap())
}

/// Whether input flows and nothing is kept for anybody.
fn is_at_rest(host: &mut Host) -> bool {
    let (_, parked, queued, read_bytes) = host.front().size();
    parked == 0 && queued == 0 && read_bytes == 0 && host.paused.is_empty()
}

#[test]
fn answers_leave_in_the_order_of_the_requests() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let first = produce(&mut host, id, "t", &["a"]);
    let second = host.send(
        id,
        3,
        &ApiVersionsRequest { client_software_name: "test", client_software_version: "1", ..Default::default() },
    );
    let third = fetch(&mut host, id, "t", 0, 1, 60_000);
    let fourth = produce(&mut host, id, "t", &["b"]);
    assert_eq!(host.try_reply(id), None, "nothing is durable");
    assert!(host.front().next_deadline_us().is_some_and(|at_us| at_us > 0));
    host.commit();
    let order: Vec<i32> = core::iter::from_fn(|| host.try_reply(id)).map(|reply| correlation_id(&reply)).collect();
    assert_eq!(order, [first, second, third, fourth]);
    assert!(is_at_rest(&mut host));
    assert!(host.front().is_idle());
}

#[test]
fn a_fetch_behind_a_long_poll_holds_no_records() {
    let mut host = Host::new();
    host.create_topic("full", 1, &[SMALL_SEGMENTS]);
    host.create_topic("empty", 1, &[]);
    let id = host.open(1);
    produce(&mut host, id, "full", &["a"]);
    produce(&mut host, id, "full", &[&filler()]);
    host.commit();
    host.restart();
    let id = host.open(1);
    fetch(&mut host, id, "empty", 0, 1, 1_000);
    fetch(&mut host, id, "full", 0, 1, 1_000);
    assert_eq!(host.front().size(), (1, 2, 0, 0), "both wait, nothing is being read");
    host.advance_ms(1_000);
    let reply = host.reply(id);
    assert_eq!(
        decode::<FetchResponse<'_>>(ApiKey::Fetch, FETCH, &reply).responses.first().unwrap().partitions.len(),
        1
    );
    let (_, parked, _, read_bytes) = host.front().size();
    assert_eq!(parked, 1, "now it is the second one's turn");
    assert!(read_bytes > 0);
    host.commit();
    host.reply(id);
    assert!(is_at_rest(&mut host));
}

#[test]
fn ten_thousand_pipelined_requests_are_taken_up_as_answers_leave() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let mut sent = vec![];
    let mut answered = vec![];
    while answered.len() < 10_000 {
        // A host delivers what has arrived until it is told to stop, and perhaps a little more.
        while sent.len() < 10_000 && !host.paused.contains(&id) {
            sent.push(produce(&mut host, id, "t", &["x"]));
        }
        for _ in sent.len()..10_000.min(sent.len() + 3) {
            sent.push(produce(&mut host, id, "t", &["x"]));
        }
        let (_, parked, ..) = host.front().size();
        assert!(parked <= limits::PIPELINED_REQUESTS_MAX);
        assert!(parked == limits::PIPELINED_REQUESTS_MAX || sent.len() == 10_000);
        host.commit();
        let before = answered.len();
        while let Some(reply) = host.try_reply(id) {
            answered.push(correlation_id(&reply));
        }
        assert!(answered.len() > before, "every commit brings answers");
    }
    assert_eq!(answered, sent);
    assert!(is_at_rest(&mut host));
}

#[test]
fn a_flood_after_the_pause_closes_the_connection() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let mut frames = 0;
    while host.closed.is_empty() {
        fetch(&mut host, id, "t", 0, 1, 60_000);
        frames += 1;
        assert!(frames <= limits::PIPELINED_REQUESTS_MAX + limits::BACKLOG_FRAMES_MAX + 1);
    }
    assert_eq!(host.front().size(), (1, 0, 0, 0), "all is forgotten");
    assert!(host.messages.iter().any(|(level, text)| *level == LogLevel::Warn && text.contains("after the pause")));
    host.disconnect(id);
    assert_eq!(host.front().size(), (0, 0, 0, 0));
}

#[test]
fn produce_waits_for_room_and_nobody_else_does() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let (first, second, reader) = (host.open(1), host.open(2), host.open(3));
    host.logs().set_room(0);
    let one = produce(&mut host, first, "t", &["1"]);
    let two = produce(&mut host, second, "t", &["2"]);
    let three = produce(&mut host, first, "t", &["3"]);
    assert_eq!(host.paused, [first, second].into());
    assert_eq!(host.front().size().1, 0, "nothing is taken up");
    fetch(&mut host, reader, "t", 0, 0, 0);
    host.reply(reader);
    host.commit();
    assert_eq!(host.try_reply(first), None);

    // Room comes back: in the order of arrival.
    host.logs().set_room(1 << 30);
    host.turn();
    host.commit();
    let offset = |reply: &[u8]| {
        let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, reply);
        let partition = response.responses.first().unwrap().partition_responses.first().unwrap();
        assert_eq!(partition.error_code, ErrorCode::NONE);
        partition.base_offset
    };
    let replies = [host.reply(first), host.reply(second), host.reply(first)];
    assert_eq!(replies.each_ref().map(|reply| correlation_id(reply)), [one, two, three]);
    assert_eq!(replies.each_ref().map(|reply| offset(reply)), [0, 1, 2]);
    assert!(is_at_rest(&mut host));
}

#[test]
fn who_comes_later_does_not_overtake_those_who_wait_for_room() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let (patient, eager) = (host.open(1), host.open(2));
    host.logs().set_room(0);
    let long = "x".repeat(1_000);
    produce(&mut host, patient, "t", &[&long]);
    // There is room for a small one, but not for the one that was first.
    host.logs().set_room(500);
    produce(&mut host, eager, "t", &["1"]);
    assert_eq!(host.paused, [patient, eager].into());
    host.logs().set_room(1 << 30);
    host.turn();
    host.commit();
    host.reply(patient);
    host.reply(eager);
    assert!(is_at_rest(&mut host));
}

#[test]
fn a_connection_that_waits_for_room_may_go_away() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let (gone, left) = (host.open(1), host.open(2));
    host.logs().set_room(0);
    produce(&mut host, gone, "t", &["1"]);
    produce(&mut host, left, "t", &["2"]);
    host.disconnect(gone);
    host.paused.remove(&gone);
    host.logs().set_room(1 << 30);
    host.turn();
    host.commit();
    host.reply(left);
    assert!(is_at_rest(&mut host));
}

#[test]
fn reads_wait_for_memory_in_turn() {
    let mut host = Host::with(|config| config.memory.reads = 1);
    host.create_topic("t", 1, &[SMALL_SEGMENTS]);
    let writer = host.open(0);
    produce(&mut host, writer, "t", &["a"]);
    produce(&mut host, writer, "t", &[&filler()]);
    host.commit();
    host.restart();
    let readers: Vec<_> = (1..=4).map(|number| host.open(number)).collect();
    for reader in &readers {
        fetch(&mut host, *reader, "t", 0, 1, 0);
        assert_eq!(host.try_reply(*reader), None);
    }
    let (_, parked, waiting, read_bytes) = host.front().size();
    assert_eq!((parked, waiting), (4, 3), "one reads, three wait for memory");
    assert!(read_bytes > 0);
    host.commit();
    for reader in &readers {
        host.reply(*reader);
    }
    assert!(is_at_rest(&mut host));
}

#[test]
fn large_answers_wait_while_clients_do_not_read() {
    const CLIENTS: u64 = 30;
    const REQUESTS: usize = 10;
    for partitions in [200, 2_000] {
        let mut host = Host::with_large_metadata();
        host.create_topic("t", partitions, &[]);
        host.config().memory.reads = 200_000;
        let ids: Vec<_> = (0..CLIENTS).map(|number| host.open(number)).collect();
        for id in &ids {
            host.slow.insert(*id);
            for _ in 0..REQUESTS {
                host.send(*id, 9, &MetadataRequest::default());
            }
        }
        host.turn();
        let mut answers = vec![0; ids.len()];
        let mut held = 0;
        for (id, answers) in ids.iter().zip(&mut answers) {
            while let Some(reply) = host.try_reply(*id) {
                held += reply.len();
                *answers += 1;
            }
        }
        // Twice the memory, one answer more, and what is too small to be counted.
        let most = 600_000 + CLIENTS as usize * limits::ANSWER_COUNTED_BYTES_MIN;
        assert!(held > 200_000 && held < most, "{held} bytes wait for clients that do not read");
        let stranger = host.open(CLIENTS);
        host.ask(stranger, 3, &ApiVersionsRequest::default());
        // Everybody reads in the end, the last ones first.
        while answers.iter().any(|answers| *answers < REQUESTS) {
            let before = answers.clone();
            for id in ids.iter().rev() {
                host.drain(*id);
                host.turn();
            }
            for (id, answers) in ids.iter().zip(&mut answers) {
                while host.try_reply(*id).is_some() {
                    *answers += 1;
                }
            }
            assert_ne!(answers, before, "nobody gets on");
        }
        for id in ids {
            host.drain(id);
        }
        host.turn();
        assert!(is_at_rest(&mut host));
    }
}

#[test]
fn reads_of_a_client_that_left_count_until_they_end() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[SMALL_SEGMENTS]);
    let id = host.open(1);
    produce(&mut host, id, "t", &["a"]);
    produce(&mut host, id, "t", &[&filler()]);
    host.commit();
    host.restart();
    let id = host.open(1);
    fetch(&mut host, id, "t", 0, 1, 0);
    host.disconnect(id);
    let (connections, parked, _, read_bytes) = host.front().size();
    assert_eq!((connections, parked), (0, 0));
    assert!(read_bytes > 0);
    host.commit();
    assert_eq!(host.front().size(), (0, 0, 0, 0));
}

#[test]
fn idle_connections_are_closed() {
    let mut host = Host::with(|config| config.connections_idle_ms_max = Some(10_000));
    host.create_topic("t", 1, &[]);
    let (idle, polling) = (host.open(1), host.open(2));
    fetch(&mut host, polling, "t", 0, 1, 15_000);
    host.advance_ms(9_999);
    assert!(host.closed.is_empty());
    host.advance_ms(1);
    assert_eq!(host.closed, [idle].into(), "a connection that waits for an answer is not idle");
    host.advance_ms(5_000);
    host.reply(polling);
    host.advance_ms(9_999);
    assert_eq!(host.closed, [idle].into());
    host.advance_ms(1);
    assert_eq!(host.closed, [idle, polling].into());
    host.disconnect(idle);
    host.disconnect(polling);
    assert_eq!(host.front().next_deadline_us(), None);
}

#[test]
fn bytes_behind_a_request_are_ignored() {
    let mut host = Host::new();
    let id = host.open(1);
    // As librdkafka 2.12.1 asks for the metadata of all topics in version 13: the missing list is one byte in a flexible
    // version, it sends four.
    host.send_bytes(id, b"\x00\x03\x00\x0d\x00\x00\x00\x03\x00\x07rdkafka\x00\x00\x00\x00\x00\x01\x00\x00".to_vec());
    assert!(host.try_reply(id).is_some());
    assert!(host.closed.is_empty());
}

#[test]
fn frames_that_are_no_requests_close_the_connection() {
    let mut host = Host::new();
    let good = host.frame(9, &ProduceRequest { acks: 1, ..Default::default() });
    let cut = good[..good.len() - 1].to_vec();
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("too short", vec![0, 18]),
        ("no header", vec![0; 7]),
        ("unknown API", [&[0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff][..]].concat()),
        ("an API of brokers", vec![0, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        ("produce 2", vec![0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("metadata 99", vec![0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0]),
        ("negative version", vec![0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0]),
        ("cut", cut),
        ("negative count", vec![0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x80, 0, 0, 0]),
        ("huge count", vec![0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
        ("client id that is no text", vec![0, 3, 0, 1, 0, 0, 0, 1, 0, 1, 0xff, 0, 0, 0, 0]),
    ];
    for (number, (what, frame)) in bad.into_iter().enumerate() {
        let id = host.open(number as u64);
        let said = host.messages.len();
        host.send_bytes(id, frame);
        assert!(host.closed.contains(&id), "{what}");
        assert_eq!(host.messages.len(), said + 1, "{what}");
        assert_eq!(host.try_reply(id), None, "{what}");
        // What still arrives is dropped.
        host.send_bytes(id, vec![0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
        assert_eq!(host.try_reply(id), None, "{what}");
        host.disconnect(id);
    }
    assert_eq!(host.front().size(), (0, 0, 0, 0));
}

#[test]
fn a_bad_frame_does_not_take_back_earlier_answers() {
    let mut host = Host::new();
    let id = host.open(1);
    host.send(id, 0, &ApiVersionsRequest::default());
    host.send_bytes(id, vec![1, 2, 3]);
    host.reply(id);
    assert!(host.closed.contains(&id));
}

#[test]
fn random_frames_do_no_harm() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for number in 0..3_000 {
        let id = host.open(number);
        let api = ApiKey::ALL[next() % ApiKey::ALL.len()];
        let versions = api.max_version() - api.min_version() + 1;
        let version = api.min_version() + (next() % versions as usize) as i16;
        let mut frame = vec![0, api.key() as u8, 0, version as u8, 0, 0, 0, 9, 0xff, 0xff];
        if api.request_header_version(version) == 2 {
            frame.push(0);
        }
        let length = next() % 64;
        frame.extend((0..length).map(|_| if next() % 3 == 0 { next() as u8 } else { (next() % 4) as u8 }));
        host.send_bytes(id, frame);
        host.commit();
        host.apply_metadata();
        host.disconnect(id);
        host.paused.clear();
    }
    assert!(is_at_rest(&mut host));
}

#[test]
fn requests_that_name_too_much_are_not_served() {
    let mut host = Host::new();
    let id = host.open(1);
    let partitions = vec![FetchPartition { partition: 0, ..Default::default() }; limits::REQUEST_ENTRIES_MAX];
    let topics = [FetchTopic { topic: "t", partitions: (&partitions).into(), ..Default::default() }];
    host.send(id, FETCH, &FetchRequest { topics: (&topics).into(), session_epoch: -1, ..Default::default() });
    assert!(host.closed.contains(&id));
    assert!(host.messages.last().unwrap().1.contains("100001 topics and partitions"));
}

#[test]
fn api_versions() {
    let mut host = Host::new();
    let id = host.open(1);
    for version in 0..=5 {
        let request =
            ApiVersionsRequest { client_software_name: "a", client_software_version: "1", ..Default::default() };
        let reply = host.ask(id, version, &request);
        let response: ApiVersionsResponse<'_> = decode(ApiKey::ApiVersions, version, &reply);
        assert_eq!(response.error_code, ErrorCode::NONE);
        let ranges: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        let expected = [
            (0, 0, 13),
            (1, 4, 18),
            (2, 1, 11),
            (3, 0, 13),
            (8, 2, 10),
            (9, 1, 10),
            (10, 0, 6),
            (11, 0, 9),
            (12, 0, 4),
            (13, 0, 5),
            (14, 0, 5),
            (15, 0, 6),
            (16, 0, 5),
            (18, 0, 5),
            (19, 2, 7),
            (20, 1, 6),
            (21, 0, 2),
            (22, 0, 5),
            (23, 2, 4),
            (32, 1, 4),
            (33, 0, 2),
            (34, 1, 2),
            (35, 1, 5),
            (37, 0, 3),
            (42, 0, 3),
            (43, 0, 2),
            (44, 0, 1),
            (45, 0, 1),
            (46, 0, 0),
            (47, 0, 0),
            (48, 0, 1),
            (49, 0, 1),
            (55, 0, 2),
            (57, 0, 2),
            (60, 0, 2),
            (61, 0, 0),
            (64, 0, 0),
            (66, 0, 2),
            (74, 0, 1),
            (75, 0, 0),
        ];
        assert_eq!(ranges, expected, "version {version}");
        assert!(response.supported_features.is_empty() && response.finalized_features.is_empty());
        assert_eq!(response.finalized_features_epoch, -1);
    }
    for version in 3..=5 {
        let reply = host.ask(id, version, &ApiVersionsRequest::default());
        let response: ApiVersionsResponse<'_> = decode(ApiKey::ApiVersions, version, &reply);
        assert_eq!(response.error_code, ErrorCode::INVALID_REQUEST, "a client has a name");
    }
}

#[test]
fn api_versions_of_the_future_is_answered_in_version_0() {
    let mut host = Host::new();
    let id = host.open(1);
    for version in [6_u8, 99] {
        // A body that nobody can read.
        host.send_bytes(id, vec![0, 18, 0, version, 0, 0, 0, 7, 0xff, 0xff, 0, 0xde, 0xad]);
        let reply = host.reply(id);
        let response: ApiVersionsResponse<'_> = decode(ApiKey::ApiVersions, 0, &reply);
        assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION);
        assert!(response.api_keys.iter().any(|api| (api.api_key, api.max_version) == (18, 5)));
    }
    assert!(host.closed.is_empty());
}

#[test]
fn api_versions_5_finds_misrouted_clients() {
    let mut host = Host::new();
    let id = host.open(1);
    let cases = [
        (None, -1, ErrorCode::NONE),
        (Some(CLUSTER_ID), NODE_ID, ErrorCode::NONE),
        (Some(CLUSTER_ID), NODE_ID + 1, ErrorCode::REBOOTSTRAP_REQUIRED),
        (Some("another"), NODE_ID, ErrorCode::REBOOTSTRAP_REQUIRED),
        (Some(""), NODE_ID, ErrorCode::REBOOTSTRAP_REQUIRED),
        (Some(CLUSTER_ID), -1, ErrorCode::INVALID_REQUEST),
        (Some(""), -1, ErrorCode::INVALID_REQUEST),
        (None, NODE_ID, ErrorCode::INVALID_REQUEST),
        (None, -2, ErrorCode::INVALID_REQUEST),
    ];
    for (cluster_id, node_id, expected) in cases {
        let request =
            ApiVersionsRequest { client_software_name: "a", client_software_version: "1", cluster_id, node_id };
        let reply = host.ask(id, 5, &request);
        assert_eq!(decode::<ApiVersionsResponse<'_>>(ApiKey::ApiVersions, 5, &reply).error_code, expected);
    }
}

#[test]
fn stopping_answers_long_polls_and_what_is_in_flight() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let (writer, reader, idle) = (host.open(1), host.open(2), host.open(3));
    produce(&mut host, writer, "t", &["a"]);
    fetch(&mut host, reader, "t", 0, 1_000_000, 60_000);
    host.event(Event::Stop);
    host.reply(reader);
    assert_eq!(host.closed, [reader, idle].into());
    assert!(!host.front().is_idle());
    fetch(&mut host, writer, "t", 0, 1, 60_000);
    host.commit();
    host.reply(writer);
    assert_eq!(host.try_reply(writer), None, "nothing new is taken up");
    assert!(host.front().is_idle());
    assert_eq!(host.closed, [writer, reader, idle].into());
}

#[test]
fn a_broker_that_was_idle_stops_too() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    produce(&mut host, id, "t", &["a"]);
    host.commit();
    host.advance_ms(10_000);
    host.commit();
    host.restart();
    host.restart();
    let id = host.open(1);
    fetch(&mut host, id, "t", 0, 1, 0);
    host.commit();
    let reply = host.reply(id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, &reply);
    assert_eq!(response.responses.first().unwrap().partitions.first().unwrap().high_watermark, 1);
}

#[test]
fn a_request_larger_than_the_free_journal_is_served() {
    let mut host = Host::new();
    host.create_topic("t", 40, &[]);
    let id = host.open(1);
    let records = batch(&["x".repeat(200_000).as_str()]);
    let partitions: Vec<_> = (0..40).map(|index| PartitionProduceData { index, records: Some(&records) }).collect();
    let topics = [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
    let request = ProduceRequest { acks: 1, topic_data: (&topics).into(), ..Default::default() };
    let other = host.open(2);
    for _ in 0..3 {
        host.send(id, PRODUCE, &request);
    }
    assert_eq!(host.paused, [id].into());
    assert!(!host.front().is_idle());
    let small = produce(&mut host, other, "t", &["small"]);
    assert_eq!(host.try_reply(other), None, "it waits behind the large one");
    let mut offsets = vec![];
    host.commit();
    for _ in 0..3 {
        let reply = host.reply(id);
        let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, &reply);
        let answers = response.responses.first().unwrap().partition_responses;
        assert!(answers.iter().all(|partition| partition.error_code.is_none()));
        assert!(answers.iter().map(|partition| partition.index).eq(0..40));
        offsets.push(answers.first().unwrap().base_offset);
    }
    let reply = host.reply(other);
    assert_eq!(correlation_id(&reply), small);
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, &reply);
    offsets.push(response.responses.first().unwrap().partition_responses.first().unwrap().base_offset);
    assert_eq!(offsets, [0, 2, 3, 1], "the small one had its turn after the first");
    assert!(is_at_rest(&mut host));
}

#[test]
fn a_client_may_leave_in_the_middle_of_a_request() {
    let mut host = Host::new();
    host.create_topic("t", 2, &[]);
    let (id, other) = (host.open(1), host.open(2));
    let records = batch(&["x".repeat(1_000).as_str()]);
    let partitions = [0, 1].map(|index| PartitionProduceData { index, records: Some(&records) });
    let topics = [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
    host.logs().set_room(1_500);
    host.send(id, PRODUCE, &ProduceRequest { acks: 1, topic_data: (&topics).into(), ..Default::default() });
    assert!(!host.front().is_idle());
    assert_eq!(host.paused, [id].into());
    // More of the same connection waits, and nothing is taken up twice.
    produce(&mut host, id, "t", &["behind"]);
    produce(&mut host, other, "t", &["other"]);
    host.disconnect(id);
    host.commit();
    let reply = host.reply(other);
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, &reply);
    assert_eq!(response.responses.first().unwrap().partition_responses.first().unwrap().base_offset, 1);
    assert!(is_at_rest(&mut host));
}
