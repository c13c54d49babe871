//! Changes through a whole shard: what they do, what they wait for, and that none is lost.

use alloc::string::{String, ToString};
use alloc::vec;

use corelog_replication::metadata::ConfigResource;
use corelog_wire::api::describe_configs::{
    BROKER_LOGGER_RESOURCE, BROKER_RESOURCE, CLIENT_METRICS_RESOURCE, GROUP_RESOURCE, TOPIC_RESOURCE,
};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;

use super::*;
use crate::front::testing::{Host, NODE_ID, decode, on_shard};
use crate::io::ConnectionId;

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn send(host: &mut Host, id: ConnectionId, version: i16, validate_only: bool, resources: &[(i8, &str, &[Change<'_>])]) {
    let configs: Vec<Vec<AlterableConfig<'_>>> = resources
        .iter()
        .map(|(_, _, changes)| {
            let config = changes.iter().map(|&(name, config_operation, value)| AlterableConfig {
                name,
                config_operation,
                value,
            });
            config.collect()
        })
        .collect();
    let resources: Vec<_> = resources
        .iter()
        .zip(&configs)
        .map(|((resource_type, resource_name, _), configs)| AlterConfigsResource {
            resource_type: *resource_type,
            resource_name,
            configs: configs.into(),
        })
        .collect();
    host.send(id, version, &IncrementalAlterConfigsRequest { resources: (&resources).into(), validate_only });
}

fn results(host: &mut Host, id: ConnectionId, version: i16) -> Vec<(String, ErrorCode)> {
    let reply = host.reply(id);
    let response: IncrementalAlterConfigsResponse<'_> = decode(ApiKey::IncrementalAlterConfigs, version, &reply);
    let row = |one: AlterConfigsResourceResponse<'_>| {
        assert_eq!(one.error_code.is_none(), one.error_message.is_none());
        (one.resource_name.to_string(), one.error_code)
    };
    response.responses.iter().map(row).collect()
}

fn config(host: &mut Host, topic: &str, key: &str) -> Option<String> {
    host.image().topic_by_name(topic).unwrap().configs().get(key).cloned()
}

#[test]
fn every_version_alters_at_once_durably_and_for_good() {
    let mut host = Host::new();
    let topic = host.create_topic("t", 1, &[("retention.ms", "5")]);
    let id = host.open(1);
    for version in 0..=1 {
        let size = (1000 + i32::from(version)).to_string();
        let changes = [
            ("max.message.bytes", SET_OPERATION, Some(size.as_str())),
            ("retention.ms", DELETE_OPERATION, None),
            ("cleanup.policy", APPEND_OPERATION, Some("compact")),
        ];
        send(&mut host, id, version, false, &[(TOPIC_RESOURCE, "t", &changes)]);
        assert_eq!(host.try_reply(id), None, "nothing is acknowledged before it is durable");
        host.apply_metadata();
        assert_eq!(results(&mut host, id, version), [("t".to_string(), ErrorCode::NONE)]);
        let partition = host.partition(topic, 0);
        let in_force = host.logs().partition(partition).config.clone();
        assert_eq!(in_force.max_message_bytes.to_string(), size);
        assert_eq!(in_force.retention_ms, 604_800_000);
        assert!(in_force.cleanup_policy.compact && in_force.cleanup_policy.delete);
    }
    host.restart();
    let partition = host.partition(topic, 0);
    assert_eq!(host.logs().partition(partition).config.max_message_bytes, 1001);
    assert_eq!(config(&mut host, "t", "cleanup.policy").as_deref(), Some("delete,compact"));
    assert_eq!(config(&mut host, "t", "retention.ms"), None);
}

#[test]
fn resources_succeed_and_fail_on_their_own_and_as_a_whole() {
    let mut host = Host::new();
    for name in ["good", "half", "twice", "null", "same"] {
        host.create_topic(name, 1, &[]);
    }
    let id = host.open(1);
    let node = NODE_ID.to_string();
    let set = |key, value| (key, SET_OPERATION, Some(value));
    let cases: &[(i8, &str, &[Change<'_>], ErrorCode)] = &[
        (TOPIC_RESOURCE, "good", &[set("segment.ms", "7")], ErrorCode::NONE),
        (TOPIC_RESOURCE, "half", &[set("segment.ms", "7"), set("retention.ms", "soon")], ErrorCode::INVALID_CONFIG),
        (TOPIC_RESOURCE, "twice", &[set("segment.ms", "7"), set("segment.ms", "8")], ErrorCode::INVALID_REQUEST),
        (TOPIC_RESOURCE, "null", &[("segment.ms", SET_OPERATION, None)], ErrorCode::INVALID_REQUEST),
        (TOPIC_RESOURCE, "same", &[set("segment.ms", "7")], ErrorCode::INVALID_REQUEST),
        (TOPIC_RESOURCE, "same", &[set("segment.ms", "8")], ErrorCode::INVALID_REQUEST),
        (TOPIC_RESOURCE, "none", &[set("segment.ms", "7")], ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC_RESOURCE, "unknown", &[set("no.such.key", "7")], ErrorCode::INVALID_CONFIG),
        (TOPIC_RESOURCE, "number", &[("segment.ms", APPEND_OPERATION, Some("7"))], ErrorCode::INVALID_CONFIG),
        (TOPIC_RESOURCE, "operation", &[("segment.ms", 9, Some("7"))], ErrorCode::INVALID_REQUEST),
        (TOPIC_RESOURCE, "a/b", &[set("segment.ms", "7")], ErrorCode::INVALID_TOPIC_EXCEPTION),
        (BROKER_RESOURCE, &node, &[set("num.partitions", "7")], ErrorCode::INVALID_REQUEST),
        (BROKER_RESOURCE, "", &[("log.retention.ms", DELETE_OPERATION, None)], ErrorCode::NONE),
        (BROKER_RESOURCE, "99", &[], ErrorCode::INVALID_REQUEST),
        (BROKER_LOGGER_RESOURCE, &node, &[set("root", "DEBUG")], ErrorCode::INVALID_CONFIG),
        (CLIENT_METRICS_RESOURCE, "", &[], ErrorCode::INVALID_REQUEST),
        (CLIENT_METRICS_RESOURCE, "m", &[set("interval.ms", "99")], ErrorCode::INVALID_REQUEST),
        (CLIENT_METRICS_RESOURCE, "n", &[set("match", "client_id=(")], ErrorCode::INVALID_CONFIG),
        (GROUP_RESOURCE, "", &[], ErrorCode::INVALID_REQUEST),
        (GROUP_RESOURCE, "g", &[set("consumer.session.timeout.ms", "1")], ErrorCode::INVALID_CONFIG),
        (0, "", &[], ErrorCode::INVALID_REQUEST),
    ];
    let resources: Vec<_> = cases.iter().map(|(kind, name, changes, _)| (*kind, *name, *changes)).collect();
    send(&mut host, id, 1, false, &resources);
    assert_eq!(host.apply_metadata(), 1, "one is right");
    let expected: Vec<_> = cases.iter().map(|(_, name, _, code)| (name.to_string(), *code)).collect();
    assert_eq!(results(&mut host, id, 1), expected);
    assert_eq!(config(&mut host, "good", "segment.ms").as_deref(), Some("7"));
    for name in ["half", "twice", "null", "same"] {
        assert_eq!(config(&mut host, name, "segment.ms"), None, "{name}");
    }
}

#[test]
fn brokers_settings_act_at_once_on_topics_without_their_own_and_survive() {
    let mut host = Host::with(|config| config.set("log.retention.ms", "1").unwrap());
    let plain = host.create_topic("plain", 1, &[]);
    let own = host.create_topic("own", 1, &[("retention.ms", "5")]);
    let id = host.open(1);
    let node = NODE_ID.to_string();
    let retention = |host: &mut Host| {
        [plain, own].map(|topic| {
            let partition = host.partition(topic, 0);
            host.logs().partition(partition).config.retention_ms
        })
    };
    assert_eq!(retention(&mut host), [1, 5]);
    let change = |host: &mut Host, name: &str, changes: &[Change<'_>]| {
        send(host, id, 1, false, &[(BROKER_RESOURCE, name, changes)]);
        assert_eq!(host.try_reply(id), None, "nothing is acknowledged before it is durable");
        host.apply_metadata();
        assert_eq!(results(host, id, 1), [(name.to_string(), ErrorCode::NONE)]);
    };
    change(&mut host, "", &[("log.retention.ms", SET_OPERATION, Some("2"))]);
    assert_eq!(retention(&mut host), [2, 5]);
    change(&mut host, &node, &[("log.retention.ms", SET_OPERATION, Some("3"))]);
    assert_eq!(retention(&mut host), [3, 5]);
    host.restart();
    assert_eq!(retention(&mut host), [3, 5]);
    let id = host.open(1);
    for name in ["", &node] {
        send(&mut host, id, 1, false, &[(BROKER_RESOURCE, name, &[("log.retention.ms", DELETE_OPERATION, None)])]);
    }
    host.apply_metadata();
    assert_eq!(retention(&mut host), [1, 5]);
    assert!(host.image().broker_configs().is_empty() && host.image().own_broker_configs().is_empty());
}

#[test]
fn of_a_brokers_settings_only_those_change_that_can() {
    let mut host = Host::with(|config| config.set("message.max.bytes", "200000").unwrap());
    let id = host.open(1);
    let node = NODE_ID.to_string();
    let cases: &[(&str, &str, ErrorCode)] = &[
        ("num.partitions", "3", ErrorCode::INVALID_REQUEST),
        ("log.retention.hours", "3", ErrorCode::INVALID_REQUEST),
        ("log.retention.ms", "soon", ErrorCode::INVALID_REQUEST),
        ("message.max.bytes", "-1", ErrorCode::INVALID_REQUEST),
        ("message.max.bytes", "2000000000", ErrorCode::INVALID_REQUEST),
        ("log.segment.bytes", "0", ErrorCode::INVALID_REQUEST),
        ("ssl.keystore.type", "JKS", ErrorCode::INVALID_REQUEST),
        ("listeners", "PLAINTEXT://:1", ErrorCode::INVALID_REQUEST),
        ("max.connections", "0", ErrorCode::INVALID_REQUEST),
        ("max.connections.per.ip", "0", ErrorCode::INVALID_REQUEST),
        ("max.connections.per.ip.overrides", "a:x", ErrorCode::INVALID_REQUEST),
        ("no.such.key", "1", ErrorCode::INVALID_REQUEST),
        ("", "1", ErrorCode::INVALID_REQUEST),
        ("num.io.threads", "9", ErrorCode::NONE),
        ("compression.type", "zstd", ErrorCode::NONE),
    ];
    for (key, value, code) in cases {
        let changes = [(*key, SET_OPERATION, Some(*value))];
        for name in ["", &node] {
            send(&mut host, id, 1, false, &[(BROKER_RESOURCE, name, &changes)]);
            host.apply_metadata();
            assert_eq!(results(&mut host, id, 1), [(name.to_string(), *code)], "{key}={value}");
        }
    }
    let append = |key: &'static str, value| (key, APPEND_OPERATION, Some(value));
    let lists: &[(Change<'_>, ErrorCode)] = &[
        (append("log.cleanup.policy", "compact"), ErrorCode::NONE),
        (append("log.retention.ms", "1"), ErrorCode::INVALID_CONFIG),
        (("log.cleanup.policy", SUBTRACT_OPERATION, Some("delete")), ErrorCode::NONE),
        (append("log.cleanup.policy", "squash"), ErrorCode::INVALID_REQUEST),
    ];
    for (change, code) in lists {
        send(&mut host, id, 1, false, &[(BROKER_RESOURCE, &node, &[*change])]);
        host.apply_metadata();
        assert_eq!(results(&mut host, id, 1), [(node.clone(), *code)], "{change:?}");
    }
    let policy = host.config().topic_defaults.cleanup_policy;
    assert!(policy.compact && !policy.delete);
    let noted =
        |key: &str| host.messages.iter().any(|(_, message)| message.contains(key) && message.contains("no effect"));
    assert!(noted("num.io.threads") && !noted("log.cleanup.policy"));
}

/// What is set in one place is checked together with what is on its way to the other.
#[test]
fn of_brokers_changes_that_come_at_once_none_is_lost() {
    let mut host = Host::new();
    let ids: Vec<_> = (1..=3).map(|number| host.open(number)).collect();
    let node = NODE_ID.to_string();
    let overrides: &[Change<'_>] = &[("max.connections.per.ip.overrides", SET_OPERATION, Some("127.0.0.1:5"))];
    let nobody_else: &[Change<'_>] = &[("max.connections.per.ip", SET_OPERATION, Some("0"))];
    send(&mut host, ids[0], 1, false, &[(BROKER_RESOURCE, "", overrides)]);
    send(&mut host, ids[1], 1, false, &[(BROKER_RESOURCE, &node, nobody_else)]);
    send(&mut host, ids[2], 1, false, &[(BROKER_RESOURCE, &node, &[("num.io.threads", SET_OPERATION, Some("9"))])]);
    host.apply_metadata();
    for (id, name) in ids.into_iter().zip(["", &node, &node]) {
        assert_eq!(results(&mut host, id, 1), [(name.to_string(), ErrorCode::NONE)]);
    }
    let connections = host.config().connections.clone();
    assert_eq!(connections, host.bounds, "the host knows");
    assert_eq!((connections.per_ip_max, connections.per_ip_overrides), (0, vec![("127.0.0.1".to_string(), 5)]));
    assert_eq!(host.image().own_broker_configs().len(), 2);
}

#[test]
fn validate_only_changes_nothing() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let good: &[Change<'_>] = &[("retention.ms", SET_OPERATION, Some("5"))];
    send(&mut host, id, 1, true, &[(TOPIC_RESOURCE, "t", good), (TOPIC_RESOURCE, "none", good)]);
    let expected = [("t".to_string(), ErrorCode::NONE), ("none".to_string(), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)];
    assert_eq!(results(&mut host, id, 1), expected);
    assert_eq!(host.apply_metadata(), 0);
    assert_eq!(config(&mut host, "t", "retention.ms"), None);
}

/// The second is decided while the first is on its way to the disk.
#[test]
fn of_changes_that_come_at_once_none_is_lost() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let key = "leader.replication.throttled.replicas";
    let ids: Vec<_> = (1..=3).map(|number| host.open(number)).collect();
    for (id, value) in ids.iter().zip(["0:1", "0:2", "0:2"]) {
        let changes = [(key, APPEND_OPERATION, Some(value))];
        send(&mut host, *id, 1, false, &[(TOPIC_RESOURCE, "t", &changes)]);
        assert_eq!(host.try_reply(*id), None, "also what changes nothing waits for what it builds on");
    }
    host.apply_metadata();
    for id in ids {
        assert_eq!(results(&mut host, id, 1), [("t".to_string(), ErrorCode::NONE)]);
    }
    assert_eq!(config(&mut host, "t", key).as_deref(), Some("0:1,0:2"));
    // Nothing is remembered of it.
    let id = host.open(9);
    send(&mut host, id, 1, false, &[(TOPIC_RESOURCE, "t", &[(key, SUBTRACT_OPERATION, Some("0:1"))])]);
    host.apply_metadata();
    send(&mut host, id, 1, false, &[(TOPIC_RESOURCE, "t", &[(key, SET_OPERATION, Some("0:2"))])]);
    assert_eq!(results(&mut host, id, 1), vec![("t".to_string(), ErrorCode::NONE)]);
    assert_eq!(results(&mut host, id, 1), vec![("t".to_string(), ErrorCode::NONE)], "nothing to wait for");
    assert!(host.front().is_idle());
}

#[test]
fn a_topic_that_is_deleted_meanwhile_is_unknown() {
    let mut host = Host::new();
    let topic_id = host.create_topic("t", 1, &[]);
    let id = host.open(1);
    host.metadata().propose(&[corelog_replication::metadata::MetadataRecord::RemoveTopic { topic_id }]).unwrap();
    send(&mut host, id, 1, false, &[(TOPIC_RESOURCE, "t", &[("retention.ms", SET_OPERATION, Some("5"))])]);
    host.apply_metadata();
    assert_eq!(results(&mut host, id, 1), [("t".to_string(), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]);
}

#[test]
fn the_broker_says_so_when_it_cannot() {
    let mut host = Host::with_large_metadata();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    host.overload_metadata();
    send(&mut host, id, 1, false, &[(TOPIC_RESOURCE, "t", &[("retention.ms", SET_OPERATION, Some("5"))])]);
    assert_eq!(results(&mut host, id, 1), [("t".to_string(), ErrorCode::THROTTLING_QUOTA_EXCEEDED)]);
}

#[test]
fn groups_and_subscriptions_keep_what_is_set_for_them() {
    for shards in [1, 3] {
        let mut host = Host::with_shards(shards, |_| {});
        let id = host.open(on_shard(shards as u16 - 1, 1));
        let set = |key, value| (key, SET_OPERATION, Some(value));
        let group = [set("consumer.session.timeout.ms", "50000")];
        let metrics = [set("metrics", "a."), ("metrics", APPEND_OPERATION, Some("b."))];
        send(&mut host, id, 1, false, &[(GROUP_RESOURCE, "g", &group), (CLIENT_METRICS_RESOURCE, "m", &metrics[..1])]);
        send(&mut host, id, 1, false, &[(CLIENT_METRICS_RESOURCE, "m", &metrics[1..])]);
        host.apply_metadata();
        assert!(results(&mut host, id, 1).iter().all(|(_, error)| error.is_none()));
        assert!(results(&mut host, id, 1).iter().all(|(_, error)| error.is_none()));
        host.restart();
        let of = |host: &mut Host, resource: ConfigResource, key: &str| {
            host.image().resource_configs().get(&resource).and_then(|configs| configs.get(key).cloned())
        };
        let subscription = ConfigResource::ClientMetrics("m".to_string());
        assert_eq!(of(&mut host, subscription.clone(), "metrics").as_deref(), Some("a.,b."));
        let group = ConfigResource::Group("g".to_string());
        assert_eq!(of(&mut host, group, "consumer.session.timeout.ms").as_deref(), Some("50000"));
        let id = host.open(on_shard(shards as u16 - 1, 2));
        send(&mut host, id, 1, false, &[(CLIENT_METRICS_RESOURCE, "m", &[("metrics", DELETE_OPERATION, None)])]);
        host.apply_metadata();
        assert!(!host.image().resource_configs().contains_key(&subscription), "what has no settings is gone");
    }
}
