//! Pages, cursors, and topics that are not there.

use alloc::string::{String, ToString};
use alloc::vec;

use corelog_wire::api::describe_topic_partitions::TopicRequest;
use corelog_wire::api_key::ApiKey;
use corelog_wire::ids::TopicId;

use super::*;
use crate::front::testing::{Host, NODE_ID, decode};
use crate::io::ConnectionId;

/// Topics with error and partitions, and where to go on.
type Answer = (Vec<(String, ErrorCode, Vec<i32>)>, Option<(String, i32)>);

fn describe(host: &mut Host, id: ConnectionId, names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> Answer {
    let topics: Vec<_> = names.iter().map(|name| TopicRequest { name }).collect();
    let request = DescribeTopicPartitionsRequest {
        topics: (&topics).into(),
        response_partition_limit: limit,
        cursor: cursor.map(|(topic_name, partition_index)| Cursor { topic_name, partition_index }),
    };
    let reply = host.ask(id, 0, &request);
    let response: DescribeTopicPartitionsResponse<'_> = decode(ApiKey::DescribeTopicPartitions, 0, &reply);
    let topic = |topic: DescribeTopicPartitionsResponseTopic<'_>| {
        let name = topic.name.unwrap().to_string();
        let known = host.image().topic_by_name(&name).filter(|_| topic.error_code.is_none()).map(|it| it.id());
        assert_eq!(topic.topic_id, known.unwrap_or(TopicId::ZERO));
        assert_eq!(topic.is_internal, is_internal(&name));
        let refused = topic.error_code == ErrorCode::INVALID_REQUEST;
        assert_eq!(topic.topic_authorized_operations, if refused { i32::MIN } else { 3576 });
        for partition in topic.partitions {
            assert_eq!((partition.error_code, partition.leader_id), (ErrorCode::NONE, NODE_ID));
            assert_eq!(partition.leader_epoch, 0);
            assert_eq!(partition.replica_nodes.iter().collect::<Vec<_>>(), [NODE_ID]);
            assert_eq!(partition.isr_nodes.iter().collect::<Vec<_>>(), [NODE_ID]);
            assert_eq!(partition.eligible_leader_replicas.map(|all| all.len()), Some(0));
            assert_eq!(partition.last_known_elr.map(|all| all.len()), Some(0));
            assert!(partition.offline_replicas.is_empty());
        }
        (name, topic.error_code, topic.partitions.iter().map(|it| it.partition_index).collect())
    };
    let topics = response.topics.iter().map(topic).collect();
    (topics, response.next_cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index)))
}

fn found(name: &str, partitions: core::ops::Range<i32>) -> (String, ErrorCode, Vec<i32>) {
    (name.to_string(), ErrorCode::NONE, partitions.collect())
}

fn failed(name: &str, error: ErrorCode) -> (String, ErrorCode, Vec<i32>) {
    (name.to_string(), error, vec![])
}

fn at(name: &str, index: i32) -> Option<(String, i32)> {
    Some((name.to_string(), index))
}

fn host() -> (Host, ConnectionId) {
    let mut host = Host::new();
    for (name, partitions) in [("b", 3), ("a", 2), ("c", 1), ("__consumer_offsets", 1)] {
        host.create_topic(name, partitions, &[]);
    }
    let id = host.open(1);
    (host, id)
}

#[test]
fn topics_come_in_the_order_of_their_names() {
    let (mut host, id) = host();
    let all = vec![found("__consumer_offsets", 0..1), found("a", 0..2), found("b", 0..3), found("c", 0..1)];
    assert_eq!(describe(&mut host, id, &[], 2000, None), (all, None));
    let some = vec![found("a", 0..2), found("c", 0..1)];
    assert_eq!(describe(&mut host, id, &["c", "a", "c"], 2000, None), (some, None), "each once");
}

#[test]
fn a_page_ends_at_the_limit() {
    let (mut host, id) = host();
    let mut pages = vec![];
    let mut cursor: Option<(String, i32)> = None;
    loop {
        let from = cursor.as_ref().map(|(name, index)| (name.as_str(), *index));
        let (topics, next) = describe(&mut host, id, &["a", "b", "c"], 2, from);
        pages.push(topics);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let expected = [vec![found("a", 0..2)], vec![found("b", 0..2)], vec![found("b", 2..3), found("c", 0..1)]];
    assert_eq!(pages, expected);
    // All topics, from a place between two of them: one was deleted meanwhile.
    let (topics, next) = describe(&mut host, id, &[], 4, Some(("aa", 7)));
    assert_eq!((topics, next), (vec![found("b", 0..3), found("c", 0..1)], None));
    assert_eq!(describe(&mut host, id, &[], 1, Some(("b", 2))), (vec![found("b", 2..3)], at("c", 0)));
    for limit in [0, -5, 1] {
        assert_eq!(describe(&mut host, id, &["a"], limit, None), (vec![found("a", 0..1)], at("a", 1)), "at least one");
    }
    host.config().set("max.request.partition.size.limit", "2").unwrap();
    assert_eq!(describe(&mut host, id, &["b"], 2000, None), (vec![found("b", 0..2)], at("b", 2)));
}

#[test]
fn a_cursor_behind_the_last_partition() {
    let (mut host, id) = host();
    for index in [3, i32::MAX] {
        let answer = describe(&mut host, id, &["b", "c"], 2000, Some(("b", index)));
        assert_eq!(answer, (vec![found("b", 0..0), found("c", 0..1)], None));
    }
}

#[test]
fn unknown_topics_take_no_room() {
    let (mut host, id) = host();
    let unknown = failed("ab", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let invalid = failed("a/b", ErrorCode::INVALID_TOPIC_EXCEPTION);
    let (topics, next) = describe(&mut host, id, &["c", "ab", "a/b"], 1, None);
    assert_eq!((topics, next), (vec![invalid, unknown, found("c", 0..1)], None));
    // Where a page is full, the next one begins with whatever comes.
    assert_eq!(describe(&mut host, id, &["a", "ab"], 2, None), (vec![found("a", 0..2)], at("ab", 0)));
    let unknown = failed("ab", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(describe(&mut host, id, &["a", "ab"], 2, Some(("ab", 0))), (vec![unknown], None));
    assert_eq!(host.apply_metadata(), 0, "nothing comes into being");
}

#[test]
fn a_cursor_that_leads_nowhere_is_refused() {
    let (mut host, id) = host();
    let refused = |name| failed(name, ErrorCode::INVALID_REQUEST);
    let all = vec![refused("b"), refused("a")];
    assert_eq!(describe(&mut host, id, &["b", "a"], 2000, Some(("aa", 0))), (all.clone(), None), "not among them");
    assert_eq!(describe(&mut host, id, &["b", "a"], 2000, Some(("a", -1))), (all, None));
    assert_eq!(describe(&mut host, id, &[], 2000, Some(("a", -1))), (vec![], None), "there is no place for an error");
}
