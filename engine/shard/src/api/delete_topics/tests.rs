//! Results per topic, that they wait for what was proposed, and that nothing of a deleted topic is left.

use alloc::string::String;

use corelog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use corelog_wire::api::delete_topics::DeleteTopicState;
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;

use super::*;
use crate::front::testing::{Host, batch, decode};
use crate::io::{ConnectionId, Event};

const NEWEST: i16 = 6;
const FETCH: i16 = 12;
const PRODUCE: i16 = 9;

fn by_name(name: &str) -> DeleteTopicState<'_> {
    DeleteTopicState { name: Some(name), topic_id: TopicId::ZERO }
}

fn by_id(topic_id: TopicId) -> DeleteTopicState<'static> {
    DeleteTopicState { name: None, topic_id }
}

fn send(host: &mut Host, id: ConnectionId, topics: &[DeleteTopicState<'_>]) {
    let request = DeleteTopicsRequest { topics: topics.into(), timeout_ms: 5_000, ..Default::default() };
    host.send(id, NEWEST, &request);
}

fn send_names(host: &mut Host, id: ConnectionId, version: i16, names: &[&str]) {
    let topics: Vec<_> = names.iter().map(|name| by_name(name)).collect();
    let request = match version >= FIRST_WITH_IDS {
        true => DeleteTopicsRequest { topics: (&topics).into(), timeout_ms: 5_000, ..Default::default() },
        false => DeleteTopicsRequest { topic_names: names.into(), timeout_ms: 5_000, ..Default::default() },
    };
    host.send(id, version, &request);
}

/// Name, id, error of each result.
fn results(host: &mut Host, id: ConnectionId, version: i16) -> Vec<(Option<String>, TopicId, ErrorCode)> {
    let reply = host.reply(id);
    let response: DeleteTopicsResponse<'_> = decode(ApiKey::DeleteTopics, version, &reply);
    let row = |topic: DeletableTopicResult<'_>| {
        let explained = !topic.error_code.is_none() && version >= 5;
        let is_disabled = topic.error_code == ErrorCode::TOPIC_DELETION_DISABLED;
        assert_eq!(topic.error_message.is_some(), explained && !is_disabled, "{topic:?}");
        (topic.name.map(Into::into), topic.topic_id, topic.error_code)
    };
    response.responses.iter().map(row).collect()
}

/// The row of a topic that is named in an answer of this version.
fn row(version: i16, name: &str, id: TopicId, error: ErrorCode) -> (Option<String>, TopicId, ErrorCode) {
    (Some(name.into()), if version >= FIRST_WITH_IDS { id } else { TopicId::ZERO }, error)
}

/// The frame of a produce request.
fn produce(host: &Host, topic: &str, values: &[&str]) -> Vec<u8> {
    let records = batch(values);
    let partitions = [PartitionProduceData { index: 0, records: Some(&records) }];
    let topics = [TopicProduceData { name: topic, partition_data: (&partitions).into(), ..Default::default() }];
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: (&topics).into(), ..Default::default() };
    host.frame(PRODUCE, &request)
}

fn fetch(host: &mut Host, id: ConnectionId, topic: &str, min_bytes: i32, max_wait_ms: i32) {
    let partitions = [FetchPartition { partition: 0, partition_max_bytes: 1 << 20, ..Default::default() }];
    let topics = [FetchTopic { topic, partitions: (&partitions).into(), ..Default::default() }];
    let request = FetchRequest {
        max_wait_ms,
        min_bytes,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: (&topics).into(),
        ..Default::default()
    };
    host.send(id, FETCH, &request);
}

/// Error and high watermark of the only partition of a fetch.
fn fetched(host: &mut Host, id: ConnectionId) -> (ErrorCode, i64) {
    let reply = host.reply(id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, &reply);
    let partition = response.responses.first().unwrap().partitions.first().unwrap();
    (partition.error_code, partition.high_watermark)
}

/// Error and offset of the only partition of a produce request.
fn produced(host: &mut Host, id: ConnectionId) -> (ErrorCode, i64) {
    let reply = host.reply(id);
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, &reply);
    let partition = response.responses.first().unwrap().partition_responses.first().unwrap();
    (partition.error_code, partition.base_offset)
}

#[test]
fn every_version_deletes() {
    let mut host = Host::new();
    let id = host.open(1);
    for version in 1..=NEWEST {
        let topic_id = host.create_topic("t", 2, &[]);
        let other = host.create_topic("u", 1, &[]);
        send_names(&mut host, id, version, &["t", "u", "no"]);
        assert_eq!(host.try_reply(id), None, "nothing is acknowledged before it is durable");
        assert!(host.image().topic_by_name("t").is_some());
        assert_eq!(host.apply_metadata(), 2);
        let expected = [
            row(version, "t", topic_id, ErrorCode::NONE),
            row(version, "u", other, ErrorCode::NONE),
            row(version, "no", TopicId::ZERO, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ];
        assert_eq!(results(&mut host, id, version), expected, "version {version}");
        assert_eq!(host.image().topics().len(), 0);
        assert_eq!(host.logs().find(topic_id, 0), None);
    }
    assert!(host.front().is_idle());
}

#[test]
fn topics_are_deleted_by_id() {
    let mut host = Host::new();
    let (a, b) = (host.create_topic("a", 1, &[]), host.create_topic("b", 1, &[]));
    let id = host.open(1);
    let missing = TopicId([9; 16]);
    let both = DeleteTopicState { name: Some("a"), topic_id: a };
    send(&mut host, id, &[by_id(b), by_id(missing), both, by_id(TopicId::ZERO)]);
    assert_eq!(host.apply_metadata(), 1);
    let expected = [
        (Some("b".into()), b, ErrorCode::NONE),
        (None, missing, ErrorCode::UNKNOWN_TOPIC_ID),
        (Some("a".into()), a, ErrorCode::INVALID_REQUEST),
        (None, TopicId::ZERO, ErrorCode::INVALID_REQUEST),
    ];
    assert_eq!(results(&mut host, id, NEWEST), expected);
    assert!(host.image().topic_by_name("a").is_some());
}

#[test]
fn what_is_named_twice_stays() {
    let mut host = Host::new();
    let (a, b) = (host.create_topic("a", 1, &[]), host.create_topic("b", 1, &[]));
    let id = host.open(1);
    for version in 1..=NEWEST {
        send_names(&mut host, id, version, &["a", "a"]);
        let expected = [row(version, "a", TopicId::ZERO, ErrorCode::INVALID_REQUEST)];
        assert_eq!(results(&mut host, id, version), expected);
    }
    send(&mut host, id, &[by_id(a), by_id(a), by_id(b), by_name("b")]);
    let expected = [(None, a, ErrorCode::INVALID_REQUEST), (Some("b".into()), b, ErrorCode::INVALID_REQUEST)];
    assert_eq!(results(&mut host, id, NEWEST), expected);
    assert_eq!((host.apply_metadata(), host.image().topics().len()), (0, 2));
}

#[test]
fn nothing_is_deleted_where_deletion_is_disabled() {
    let mut host = Host::with(|config| config.set("delete.topic.enable", "false").unwrap());
    let topic_id = host.create_topic("t", 1, &[]);
    let id = host.open(1);
    for version in 1..=NEWEST {
        send_names(&mut host, id, version, &["t", "no", "t"]);
        let error = if version >= 3 { ErrorCode::TOPIC_DELETION_DISABLED } else { ErrorCode::INVALID_REQUEST };
        let expected = ["t", "no", "t"].map(|name| row(version, name, TopicId::ZERO, error));
        assert_eq!(results(&mut host, id, version), expected, "version {version}");
    }
    send(&mut host, id, &[by_id(topic_id)]);
    assert_eq!(results(&mut host, id, NEWEST), [(None, topic_id, ErrorCode::TOPIC_DELETION_DISABLED)]);
    assert_eq!(host.apply_metadata(), 0);
}

#[test]
fn of_two_that_delete_one_is_first() {
    let mut host = Host::new();
    let ids = [host.open(1), host.open(2), host.open(3)];
    let topic_id = host.create_topic("t", 1, &[]);
    send_names(&mut host, ids[0], NEWEST, &["t"]);
    send_names(&mut host, ids[1], 1, &["t"]);
    send(&mut host, ids[2], &[by_id(topic_id)]);
    host.apply_metadata();
    assert_eq!(results(&mut host, ids[0], NEWEST), [row(NEWEST, "t", topic_id, ErrorCode::NONE)]);
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(results(&mut host, ids[1], 1), [row(1, "t", TopicId::ZERO, unknown)]);
    assert_eq!(results(&mut host, ids[2], NEWEST), [row(NEWEST, "t", topic_id, ErrorCode::UNKNOWN_TOPIC_ID)]);
}

#[test]
fn a_request_times_out() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 1, &[]);
    let id = host.open(1);
    send_names(&mut host, id, NEWEST, &["t", "no"]);
    host.advance_ms(4_999);
    assert_eq!(host.try_reply(id), None);
    host.advance_ms(1);
    let expected = [
        row(NEWEST, "t", topic_id, ErrorCode::REQUEST_TIMED_OUT),
        row(NEWEST, "no", TopicId::ZERO, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    ];
    assert_eq!(results(&mut host, id, NEWEST), expected);
    host.apply_metadata();
    assert!(host.image().topic_by_name("t").is_none(), "it goes nevertheless");
    assert!(host.front().is_idle());
}

#[test]
fn the_broker_says_so_when_it_cannot() {
    let mut host = Host::with_large_metadata();
    let topic_id = host.create_topic("t", 1, &[]);
    let id = host.open(1);
    for (version, error) in [(4, ErrorCode::REQUEST_TIMED_OUT), (5, ErrorCode::THROTTLING_QUOTA_EXCEEDED)] {
        host.overload_metadata();
        send_names(&mut host, id, version, &["t"]);
        assert_eq!(results(&mut host, id, version), [row(version, "t", topic_id, error)]);
    }
}

#[test]
fn who_waits_for_a_deleted_topic_hears_of_it() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let [admin, consumer, producer] = [host.open(1), host.open(2), host.open(3)];
    fetch(&mut host, consumer, "t", 1, 60_000);
    assert_eq!(host.try_reply(consumer), None);
    send_names(&mut host, admin, NEWEST, &["t"]);
    host.apply_metadata();
    assert_eq!(fetched(&mut host, consumer), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1));
    let frame = produce(&host, "t", &["late"]);
    host.send_bytes(producer, frame);
    assert_eq!(produced(&mut host, producer).0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert!(host.front().is_idle());
}

/// A record is visible at once here, and the deletion is applied before the consumer has heard of it.
#[test]
fn records_and_a_deletion_in_one_turn() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[("corelog.durability", "memory")]);
    let [admin, consumer, producer] = [host.open(1), host.open(2), host.open(3)];
    fetch(&mut host, consumer, "t", 1, 60_000);
    send_names(&mut host, admin, NEWEST, &["t"]);
    let frame = produce(&host, "t", &["late"]);
    host.commit_with(Event::Frame { connection: producer, frame: frame.into() });
    host.apply_metadata();
    assert_eq!(produced(&mut host, producer), (ErrorCode::NONE, 0));
    assert_eq!(results(&mut host, admin, NEWEST)[0].2, ErrorCode::NONE);
    assert_eq!(fetched(&mut host, consumer), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1));
    assert!(host.front().is_idle());
}

#[test]
fn the_name_is_free_at_once_and_nothing_old_comes_back() {
    let mut host = Host::new();
    let old = host.create_topic("t", 1, &[("retention.ms", "1000")]);
    let id = host.open(1);
    let frame = produce(&host, "t", &["old", "older"]);
    host.send_bytes(id, frame);
    host.commit();
    assert_eq!(produced(&mut host, id), (ErrorCode::NONE, 0));

    // The answer to the deletion is what the client waits for, no more: the folder may still be on its way out.
    send_names(&mut host, id, NEWEST, &["t"]);
    while host.step() && host.image().topic_by_name("t").is_some() {}
    assert_eq!(results(&mut host, id, NEWEST)[0].2, ErrorCode::NONE);
    let topics = [CreatableTopic { name: "t", num_partitions: 1, replication_factor: 1, ..Default::default() }];
    host.send(id, 7, &CreateTopicsRequest { topics: (&topics).into(), timeout_ms: 5_000, ..Default::default() });
    host.apply_metadata();
    let reply = host.reply(id);
    let created: CreateTopicsResponse<'_> = decode(ApiKey::CreateTopics, 7, &reply);
    let created = created.topics.first().unwrap();
    assert_eq!(created.error_code, ErrorCode::NONE);
    let new = created.topic_id;
    assert_ne!(new, old);

    fetch(&mut host, id, "t", 0, 0);
    assert_eq!(fetched(&mut host, id), (ErrorCode::NONE, 0));
    host.restart();
    assert_eq!(host.image().topic_by_name("t").unwrap().id(), new);
    assert!(host.image().topic_by_name("t").unwrap().configs().is_empty());
    let id = host.open(1);
    fetch(&mut host, id, "t", 0, 0);
    assert_eq!(fetched(&mut host, id), (ErrorCode::NONE, 0));
    let of_old: Vec<_> = host.paths().filter(|path| path.contains("-delete")).collect();
    assert_eq!(of_old, Vec::<&str>::new());
    let frame = produce(&host, "t", &["new"]);
    host.send_bytes(id, frame);
    host.commit();
    assert_eq!(produced(&mut host, id), (ErrorCode::NONE, 0));
}

#[test]
fn a_client_that_leaves_does_not_keep_its_topics() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    send_names(&mut host, id, NEWEST, &["t"]);
    host.disconnect(id);
    host.apply_metadata();
    assert_eq!(host.image().topics().len(), 0);
    assert!(host.front().is_idle());
}
