//! Every version, every way to name topics, and topics that come into being by being asked for.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::api_key::ApiKey;

use super::*;
use crate::front::testing::{CLUSTER_ID, Host, NODE_ID, decode};
use crate::io::ConnectionId;

const NEWEST: i16 = 13;

/// A topic of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    error: ErrorCode,
    name: Option<String>,
    id: TopicId,
    partitions: usize,
}

fn named<'a>(names: &[&'a str]) -> Vec<MetadataRequestTopic<'a>> {
    names.iter().map(|name| MetadataRequestTopic { topic_id: TopicId::ZERO, name: Some(*name) }).collect()
}

fn send(host: &mut Host, id: ConnectionId, version: i16, topics: Option<&[MetadataRequestTopic<'_>]>, create: bool) {
    let request = MetadataRequest {
        topics: topics.map(Into::into),
        allow_auto_topic_creation: create || version < 4,
        ..Default::default()
    };
    host.send(id, version, &request);
}

fn answer(host: &mut Host, id: ConnectionId, version: i16) -> Vec<Answer> {
    let reply = host.reply(id);
    let response: MetadataResponse<'_> = decode(ApiKey::Metadata, version, &reply);
    assert_eq!(response.error_code, ErrorCode::NONE);
    let brokers: Vec<_> = response.brokers.iter().map(|broker| (broker.node_id, broker.host, broker.port)).collect();
    assert_eq!(brokers, [(NODE_ID, "broker.example", 9092)]);
    assert_eq!(response.controller_id, if version >= 1 { NODE_ID } else { -1 });
    assert_eq!(response.cluster_id, (version >= 2).then_some(CLUSTER_ID));
    response
        .topics
        .iter()
        .map(|topic| {
            for (index, partition) in topic.partitions.iter().enumerate() {
                assert_eq!((partition.error_code, partition.partition_index), (ErrorCode::NONE, index as i32));
                assert_eq!(partition.leader_id, NODE_ID);
                assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
                assert_eq!(partition.replica_nodes.iter().collect::<Vec<_>>(), [NODE_ID]);
                assert_eq!(partition.isr_nodes.iter().collect::<Vec<_>>(), [NODE_ID]);
                assert!(partition.offline_replicas.is_empty());
            }
            Answer {
                error: topic.error_code,
                name: topic.name.map(Into::into),
                id: topic.topic_id,
                partitions: topic.partitions.len(),
            }
        })
        .collect()
}

fn found(version: i16, name: &str, id: TopicId, partitions: usize) -> Answer {
    let id = if version >= 10 { id } else { TopicId::ZERO };
    Answer { error: ErrorCode::NONE, name: Some(name.into()), id, partitions }
}

fn unknown(name: &str, error: ErrorCode) -> Answer {
    Answer { error, name: Some(name.into()), id: TopicId::ZERO, partitions: 0 }
}

#[test]
fn every_version_describes() {
    let mut host = Host::new();
    let a = host.create_topic("a", 2, &[]);
    let b = host.create_topic("b", 1, &[]);
    let id = host.open(1);
    for version in 0..=NEWEST {
        send(&mut host, id, version, Some(&named(&["b", "a", "b"])), false);
        let expected = [found(version, "b", b, 1), found(version, "a", a, 2)];
        assert_eq!(answer(&mut host, id, version), expected, "version {version}: by name");

        if version >= 1 {
            send(&mut host, id, version, None, true);
            let expected = [found(version, "a", a, 2), found(version, "b", b, 1)];
            assert_eq!(answer(&mut host, id, version), expected, "version {version}: all");
        }
        send(&mut host, id, version, Some(&[]), true);
        let count = if version == 0 { 2 } else { 0 };
        assert_eq!(answer(&mut host, id, version).len(), count, "version {version}: the empty list");
    }
}

#[test]
fn topics_are_found_by_id_from_version_12_on() {
    let mut host = Host::new();
    let a = host.create_topic("a", 2, &[]);
    let id = host.open(1);
    let missing = TopicId([9; 16]);
    let by_id = |topic_id| MetadataRequestTopic { topic_id, name: None };
    for version in 12..=NEWEST {
        send(&mut host, id, version, Some(&[by_id(missing), by_id(a)]), true);
        let unknown = Answer { error: ErrorCode::UNKNOWN_TOPIC_ID, name: None, id: missing, partitions: 0 };
        let mut answers = answer(&mut host, id, version);
        answers.sort_by_key(|answer| answer.name.clone());
        assert_eq!(answers, [unknown, found(version, "a", a, 2)]);
        assert_eq!(host.apply_metadata(), 0, "an id creates nothing");
    }
    for version in 10..=11 {
        let by_both = MetadataRequestTopic { topic_id: a, name: Some("a") };
        send(&mut host, id, version, Some(&[by_both, by_id(missing)]), true);
        let refused = |name: &str, id| Answer { id, ..unknown(name, ErrorCode::INVALID_REQUEST) };
        assert_eq!(answer(&mut host, id, version), [refused("a", a), refused("", missing)], "as they were asked for");
        assert_eq!(host.apply_metadata(), 0);
    }
}

#[test]
fn a_topic_that_is_not_named_at_all_is_refused() {
    let mut host = Host::new();
    let id = host.open(1);
    for version in 10..=NEWEST {
        let topics = [MetadataRequestTopic { topic_id: TopicId::ZERO, name: None }];
        let request = MetadataRequest { topics: Some((&topics).into()), ..Default::default() };
        let reply = host.ask(id, version, &request);
        let response: MetadataResponse<'_> = decode(ApiKey::Metadata, version, &reply);
        let whole = if version >= 13 { ErrorCode::INVALID_REQUEST } else { ErrorCode::NONE };
        assert_eq!(response.error_code, whole);
        let topic = response.topics.first().expect("an answer for each topic");
        assert_eq!((topic.error_code, topic.name), (ErrorCode::INVALID_REQUEST, Some("")), "version {version}");
    }
}

#[test]
fn unknown_topics_without_creation() {
    let mut host = Host::new();
    let id = host.open(1);
    for (host_creates, client_creates) in [(true, false), (false, true)] {
        host.config().auto_create_topics = host_creates;
        send(&mut host, id, 9, Some(&named(&["new", "not/valid", "", "."])), client_creates);
        let expected = [
            unknown("new", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            unknown("not/valid", ErrorCode::INVALID_TOPIC_EXCEPTION),
            unknown("", ErrorCode::INVALID_TOPIC_EXCEPTION),
            unknown(".", ErrorCode::INVALID_TOPIC_EXCEPTION),
        ];
        assert_eq!(answer(&mut host, id, 9), expected);
        assert_eq!(host.apply_metadata(), 0);
    }
}

#[test]
fn asking_creates_and_the_answer_waits() {
    let mut host = Host::with(|config| config.num_partitions = 3);
    let there = host.create_topic("there", 1, &[]);
    let (first, second) = (host.open(1), host.open(2));
    for version in [0, 3, 4, NEWEST] {
        let name = alloc::format!("new{version}");
        send(&mut host, first, version, Some(&named(&[&name, "there", "bad/name"])), true);
        send(&mut host, second, version, Some(&named(&[&name])), true);
        assert_eq!((host.try_reply(first), host.try_reply(second)), (None, None));
        assert_eq!(host.apply_metadata(), 1, "the second joins the first");
        let topic_id = host.image().topic_by_name(&name).unwrap().id();
        let created = found(version, &name, topic_id, 3);
        let expected = [
            created.clone(),
            found(version, "there", there, 1),
            unknown("bad/name", ErrorCode::INVALID_TOPIC_EXCEPTION),
        ];
        assert_eq!(answer(&mut host, first, version), expected);
        assert_eq!(answer(&mut host, second, version), [created]);
        assert!(host.logs().find(topic_id, 2).is_some());
    }
    assert!(host.front().is_idle());
}

#[test]
fn of_the_internal_topics_asking_creates_only_that_of_groups() {
    let mut host = Host::new();
    let id = host.open(1);
    let names = ["__transaction_state", "__share_group_state"];
    send(&mut host, id, NEWEST, Some(&named(&names)), true);
    assert_eq!(answer(&mut host, id, NEWEST), names.map(|name| unknown(name, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)));
    assert_eq!(host.apply_metadata(), 0);
    send(&mut host, id, NEWEST, Some(&named(&["__consumer_offsets"])), true);
    assert_eq!(host.try_reply(id), None);
    host.apply_metadata();
    host.reply(id);
    let topic = host.image().topic_by_name("__consumer_offsets").unwrap();
    assert_eq!(topic.partitions().len(), 50);
    assert_eq!(topic.configs().get("cleanup.policy").map(String::as_str), Some("compact"));
}

#[test]
fn creation_that_fails_sends_the_client_back() {
    let mut host = Host::with_large_metadata();
    let id = host.open(1);
    host.overload_metadata();
    send(&mut host, id, 9, Some(&named(&["t"])), true);
    assert_eq!(answer(&mut host, id, 9), [unknown("t", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]);
    host.apply_metadata();
    host.config().default_replication_factor = 2;
    send(&mut host, id, 9, Some(&named(&["t"])), true);
    assert_eq!(answer(&mut host, id, 9), [unknown("t", ErrorCode::INVALID_REPLICATION_FACTOR)]);
    host.config().default_replication_factor = 1;
    send(&mut host, id, 9, Some(&named(&["t", "a.b"])), true);
    host.apply_metadata();
    answer(&mut host, id, 9);
    send(&mut host, id, 9, Some(&named(&["a_b"])), true);
    let clash = unknown("a_b", ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert_eq!(answer(&mut host, id, 9), [clash], "metrics could not tell it from a.b");
}

#[test]
fn somebody_else_may_be_faster() {
    let mut host = Host::new();
    let id = host.open(1);
    send(&mut host, id, 12, Some(&named(&["t"])), true);
    let topic = NewTopic { name: "t", num_partitions: 5, replication_factor: 1, ..NewTopic::default() };
    let defaults = topic_defaults(host.config());
    let created =
        controller::create_topics(host.image(), &[topic], &defaults, &mut || TopicId([5; 16]), &|_, _| Ok(()), false);
    let records = created.into_iter().next().unwrap().outcome.unwrap().records;
    host.propose(&records);
    host.apply_metadata();
    assert_eq!(answer(&mut host, id, 12)[0].partitions, 1, "the first counts");
    assert!(host.front().is_idle());
}

#[test]
fn authorized_operations_are_told_where_asked_for() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    for version in 8..=NEWEST {
        for asked in [true, false] {
            let topics = named(&["t", "missing"]);
            let request = MetadataRequest {
                topics: Some((&topics).into()),
                allow_auto_topic_creation: false,
                include_cluster_authorized_operations: asked && version <= 10,
                include_topic_authorized_operations: asked,
            };
            let reply = host.ask(id, version, &request);
            let response: MetadataResponse<'_> = decode(ApiKey::Metadata, version, &reply);
            let of_topics: Vec<_> = response.topics.iter().map(|topic| topic.topic_authorized_operations).collect();
            assert_eq!(of_topics, if asked { [3576, i32::MIN] } else { [i32::MIN; 2] });
            let expected = if asked && version <= 10 { 8096 } else { i32::MIN };
            assert_eq!(response.cluster_authorized_operations, expected);
        }
    }
}

#[test]
fn internal_topics_are_marked() {
    let mut host = Host::new();
    host.create_topic("__consumer_offsets", 1, &[]);
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let reply = host.ask(id, 9, &MetadataRequest::default());
    let response: MetadataResponse<'_> = decode(ApiKey::Metadata, 9, &reply);
    let internal: Vec<_> = response.topics.iter().map(|topic| (topic.name.unwrap(), topic.is_internal)).collect();
    assert_eq!(internal, vec![("__consumer_offsets", true), ("t", false)]);
}
