//! Results per topic, and that they wait for what was proposed.

use alloc::vec;

use corelog_wire::api::create_topics::{CreatableReplicaAssignment, CreatableTopicConfig};
use corelog_wire::api_key::ApiKey;
use corelog_wire::ids::TopicId;

use super::*;
use crate::front::testing::{Host, decode};
use crate::io::ConnectionId;

fn topic<'a>(name: &'a str, num_partitions: i32) -> CreatableTopic<'a> {
    CreatableTopic { name, num_partitions, replication_factor: 1, ..Default::default() }
}

fn send(host: &mut Host, id: ConnectionId, version: i16, validate_only: bool, topics: &[CreatableTopic<'_>]) {
    host.send(id, version, &CreateTopicsRequest { topics: topics.into(), timeout_ms: 5_000, validate_only });
}

/// Name, error, partitions of each result.
fn results(host: &mut Host, id: ConnectionId, version: i16) -> Vec<(String, ErrorCode, i32)> {
    let reply = host.reply(id);
    let response: CreateTopicsResponse<'_> = decode(ApiKey::CreateTopics, version, &reply);
    let row = |topic: CreatableTopicResult<'_>| {
        assert_eq!(topic.error_code.is_none(), topic.error_message.is_none());
        (topic.name.to_string(), topic.error_code, topic.num_partitions)
    };
    response.topics.iter().map(row).collect()
}

#[test]
fn every_version_creates() {
    let mut host = Host::new();
    let id = host.open(1);
    for version in 2..=7 {
        let name = alloc::format!("v{version}");
        let defaults = version >= 4;
        let count = if defaults { -1 } else { 3 };
        send(
            &mut host,
            id,
            version,
            false,
            &[CreatableTopic { replication_factor: if defaults { -1 } else { 1 }, ..topic(&name, count) }],
        );
        assert_eq!(host.try_reply(id), None, "nothing is acknowledged before it is durable");
        host.apply_metadata();
        let reply = host.reply(id);
        let response: CreateTopicsResponse<'_> = decode(ApiKey::CreateTopics, version, &reply);
        let result = response.topics.first().unwrap();
        assert_eq!((result.name, result.error_code), (&*name, ErrorCode::NONE));
        let created = host.image().topic_by_name(&name).unwrap().clone();
        let expected = if defaults { 1 } else { 3 };
        assert_eq!(created.partitions().len(), expected);
        if version >= 5 {
            assert_eq!((result.num_partitions, result.replication_factor), (expected as i32, 1));
            assert_eq!(result.configs.unwrap().len(), TOPIC_KEYS.len());
        }
        assert_eq!(result.topic_id, if version >= 7 { created.id() } else { TopicId::ZERO });
        assert!(host.logs().find(created.id(), 0).is_some());
    }
}

#[test]
fn topics_succeed_and_fail_on_their_own() {
    let mut host = Host::new();
    host.create_topic("there", 1, &[]);
    let id = host.open(1);
    let bad_config = [CreatableTopicConfig { name: "retention.ms", value: Some("soon") }];
    let unknown_config = [CreatableTopicConfig { name: "no.such.key", value: Some("1") }];
    let brokers = [1, 9];
    let assignments = [CreatableReplicaAssignment { partition_index: 0, broker_ids: (&brokers).into() }];
    let topics = [
        topic("good", 2),
        topic("there", 1),
        topic("not/a/name", 1),
        topic("twice", 1),
        topic("twice", 1),
        topic("none", 0),
        CreatableTopic { replication_factor: 3, ..topic("many", 1) },
        CreatableTopic { configs: (&bad_config).into(), ..topic("bad", 1) },
        CreatableTopic { configs: (&unknown_config).into(), ..topic("unknown", 1) },
        CreatableTopic {
            num_partitions: -1,
            replication_factor: -1,
            assignments: (&assignments).into(),
            ..topic("placed", 1)
        },
        topic("also_good", 1),
    ];
    send(&mut host, id, 6, false, &topics);
    assert_eq!(host.apply_metadata(), 2);
    let results = results(&mut host, id, 6);
    let rows: Vec<_> = results.iter().map(|(name, error, count)| (name.as_str(), *error, *count)).collect();
    assert_eq!(
        rows,
        [
            ("good", ErrorCode::NONE, 2),
            ("there", ErrorCode::TOPIC_ALREADY_EXISTS, -1),
            ("not/a/name", ErrorCode::INVALID_TOPIC_EXCEPTION, -1),
            ("twice", ErrorCode::INVALID_REQUEST, -1),
            ("none", ErrorCode::INVALID_PARTITIONS, -1),
            ("many", ErrorCode::INVALID_REPLICATION_FACTOR, -1),
            ("bad", ErrorCode::INVALID_CONFIG, -1),
            ("unknown", ErrorCode::INVALID_CONFIG, -1),
            ("placed", ErrorCode::INVALID_REPLICA_ASSIGNMENT, -1),
            ("also_good", ErrorCode::NONE, 1),
        ]
    );
}

#[test]
fn validate_only_creates_nothing() {
    let mut host = Host::new();
    host.create_topic("there", 1, &[]);
    let id = host.open(1);
    send(&mut host, id, 7, true, &[topic("new", 3), topic("there", 1)]);
    let expected =
        [("new".to_string(), ErrorCode::NONE, 3), ("there".to_string(), ErrorCode::TOPIC_ALREADY_EXISTS, -1)];
    assert_eq!(results(&mut host, id, 7), expected);
    assert_eq!(host.apply_metadata(), 0);
    // Kafka gives an id to what it does not create, too.
    send(&mut host, id, 7, true, &[topic("new", 3)]);
    let reply = host.reply(id);
    let response: CreateTopicsResponse<'_> = decode(ApiKey::CreateTopics, 7, &reply);
    assert!(!response.topics.first().unwrap().topic_id.is_zero());
}

#[test]
fn two_requests_for_one_name() {
    let mut host = Host::new();
    let (first, second) = (host.open(1), host.open(2));
    send(&mut host, first, 7, false, &[topic("t", 1)]);
    send(&mut host, second, 7, false, &[topic("t", 5), topic("u", 1)]);
    host.apply_metadata();
    assert_eq!(results(&mut host, first, 7), [("t".to_string(), ErrorCode::NONE, 1)]);
    let expected = [("t".to_string(), ErrorCode::TOPIC_ALREADY_EXISTS, -1), ("u".to_string(), ErrorCode::NONE, 1)];
    assert_eq!(results(&mut host, second, 7), expected);
}

#[test]
fn a_request_times_out() {
    let mut host = Host::new();
    let id = host.open(1);
    send(&mut host, id, 7, false, &[topic("t", 1), topic("bad/name", 1)]);
    host.advance_ms(4_999);
    assert_eq!(host.try_reply(id), None);
    host.advance_ms(1);
    let expected = [
        ("t".to_string(), ErrorCode::REQUEST_TIMED_OUT, -1),
        ("bad/name".to_string(), ErrorCode::INVALID_TOPIC_EXCEPTION, -1),
    ];
    assert_eq!(results(&mut host, id, 7), expected);
    host.apply_metadata();
    assert!(host.image().topic_by_name("t").is_some(), "it comes into being nevertheless");
    assert!(host.front().is_idle());
}

#[test]
fn configs_are_told_with_their_source() {
    let mut host = Host::with(|config| config.set("log.retention.hours", "2").unwrap());
    let id = host.open(1);
    let configs = [CreatableTopicConfig { name: "max.message.bytes", value: Some("1000") }];
    send(&mut host, id, 5, false, &[CreatableTopic { configs: (&configs).into(), ..topic("t", 1) }]);
    host.apply_metadata();
    let reply = host.reply(id);
    let response: CreateTopicsResponse<'_> = decode(ApiKey::CreateTopics, 5, &reply);
    let configs = response.topics.first().unwrap().configs.unwrap();
    let find = |name: &str| {
        let config = configs.iter().find(|config| config.name == name).unwrap();
        (config.value.map(ToString::to_string), config.config_source)
    };
    assert_eq!(find("max.message.bytes"), (Some("1000".to_string()), DYNAMIC_TOPIC_CONFIG));
    assert_eq!(find("retention.ms"), (Some("7200000".to_string()), STATIC_BROKER_CONFIG));
    assert_eq!(find("cleanup.policy"), (Some("delete".to_string()), DEFAULT_CONFIG));
    let topic_id = host.image().topic_by_name("t").unwrap().id();
    let partition = host.partition(topic_id, 0);
    assert_eq!(host.logs().partition(partition).config.max_message_bytes, 1000);
}

#[test]
fn the_broker_says_so_when_it_cannot() {
    let mut host = Host::with_large_metadata();
    let id = host.open(1);
    host.overload_metadata();
    send(&mut host, id, 7, false, &[topic("t", 1)]);
    let refused = vec![("t".to_string(), ErrorCode::THROTTLING_QUOTA_EXCEEDED, -1)];
    assert_eq!(results(&mut host, id, 7), refused);
}

/// Metrics could not tell them apart. The image knows neither when the second is proposed.
#[test]
fn of_two_that_look_alike_one_is_created_whoever_asks_when() {
    let mut host = Host::new();
    let ids = [host.open(1), host.open(2)];
    // Pipelined by one, beside another, and both in one request.
    let requests: [(usize, &[&str]); 5] =
        [(0, &["a.b"]), (0, &["a_b"]), (1, &["a_b", "c.d"]), (1, &["c_d", "e.f"]), (0, &["e_f", "e.f"])];
    for (connection, names) in requests {
        let topics: Vec<_> = names.iter().map(|name| topic(name, 1)).collect();
        send(&mut host, ids[connection], 7, false, &topics);
    }
    host.apply_metadata();
    let mut outcomes: Vec<(String, ErrorCode)> = Vec::new();
    for (connection, _) in requests {
        let answered = results(&mut host, ids[connection], 7);
        outcomes.extend(answered.into_iter().map(|(name, error, _)| (name, error)));
    }
    for (one, other) in [("a.b", "a_b"), ("c.d", "c_d"), ("e.f", "e_f")] {
        let of = |name: &str| host.image().topic_by_name(name).is_some();
        let there = [one, other].map(of);
        assert_eq!(there.iter().filter(|there| **there).count(), 1, "{one} {there:?}");
        for (name, is_there) in [one, other].into_iter().zip(there) {
            let codes: Vec<_> = outcomes.iter().filter(|(of, _)| of == name).map(|(_, error)| *error).collect();
            let created = codes.iter().filter(|error| error.is_none()).count();
            assert_eq!(created, usize::from(is_there), "{name}: {codes:?}");
            let known = [ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS, ErrorCode::INVALID_TOPIC_EXCEPTION];
            assert!(codes.iter().all(|error| known.contains(error)), "{name}: {codes:?}");
            assert!(is_there || codes.iter().all(|error| *error == ErrorCode::INVALID_TOPIC_EXCEPTION), "{codes:?}");
        }
    }
}
