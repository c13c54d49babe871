//! Resources, filters and versions, through a whole shard.

use alloc::string::{String, ToString};
use alloc::vec;

use corelog_replication::ids::BrokerId;
use corelog_replication::metadata::MetadataRecord;
use corelog_wire::api_key::ApiKey;

use super::*;
use crate::config::{BROKER_KEYS, TOPIC_KEYS};
use crate::front::testing::{Host, NODE_ID, decode};

fn resource(resource_type: i8, resource_name: &str) -> DescribeConfigsResource<'_> {
    DescribeConfigsResource { resource_type, resource_name, configuration_keys: None }
}

fn request<'a>(resources: &'a [DescribeConfigsResource<'a>]) -> DescribeConfigsRequest<'a> {
    DescribeConfigsRequest { resources: resources.into(), include_synonyms: false, include_documentation: false }
}

#[test]
fn every_version_describes_topics_and_this_broker() {
    let mut host = Host::with(|config| config.set("message.max.bytes", "2000").unwrap());
    host.create_topic("t", 1, &[("retention.ms", "5")]);
    let id = host.open(1);
    let node = NODE_ID.to_string();
    let resources = [resource(TOPIC_RESOURCE, "t"), resource(BROKER_RESOURCE, &node)];
    for version in 1..=4 {
        let wish = DescribeConfigsRequest {
            include_synonyms: true,
            include_documentation: version >= 3,
            ..request(&resources)
        };
        let reply = host.ask(id, version, &wish);
        let response: DescribeConfigsResponse<'_> = decode(ApiKey::DescribeConfigs, version, &reply);
        let results: Vec<_> = response.results.iter().collect();
        assert_eq!(results.len(), 2);
        assert!(results.iter().all(|result| result.error_code.is_none() && result.error_message.is_none()));
        assert_eq!((results[0].resource_type, results[0].resource_name), (TOPIC_RESOURCE, "t"));
        assert_eq!((results[1].resource_type, results[1].resource_name), (BROKER_RESOURCE, node.as_str()));
        assert_eq!(results[0].configs.len(), TOPIC_KEYS.len());
        assert!(results[1].configs.len() > 300 && results[1].configs.len() > BROKER_KEYS.len());
        let find = |index: usize, name: &str| results[index].configs.iter().find(|row| row.name == name).unwrap();
        let own = find(0, "retention.ms");
        assert_eq!((own.value, own.config_source, own.read_only, own.is_sensitive), (Some("5"), 1, false, false));
        let inherited = find(0, "max.message.bytes");
        assert_eq!((inherited.value, inherited.config_source), (Some("2000"), 4));
        let synonyms: Vec<_> = inherited.synonyms.iter().map(|place| (place.name, place.value, place.source)).collect();
        assert_eq!(synonyms, [("message.max.bytes", Some("2000"), 4), ("message.max.bytes", Some("1048588"), 5)]);
        assert_eq!(find(0, "cleanup.policy").config_source, 5);
        let of_broker = find(1, "message.max.bytes");
        assert_eq!((of_broker.value, of_broker.config_source, of_broker.read_only), (Some("2000"), 4, false));
        assert!(find(1, "num.partitions").read_only);
        let inert = find(1, "num.io.threads");
        assert_eq!((inert.value, inert.config_source, inert.read_only), (Some("8"), 5, false));
        assert_eq!(find(1, "ssl.key.password").value, None);
        assert!(find(1, "ssl.key.password").is_sensitive);
        assert_eq!(find(1, "broker.rack").value, None);
        if version >= 3 {
            assert_eq!((own.config_type, find(0, "cleanup.policy").config_type), (LONG_TYPE, LIST_TYPE));
            assert!(own.documentation.is_some_and(|text| text.contains("removed")));
            assert!(inert.documentation.is_some_and(|text| text.ends_with("no effect in this version of Corelog.")));
            assert_eq!(find(1, "ssl.key.password").config_type, PASSWORD_TYPE);
            assert_eq!(find(1, "ssl.engine.factory.class").config_type, CLASS_TYPE);
            assert_eq!(find(1, "transaction.state.log.replication.factor").config_type, SHORT_TYPE);
        }
    }
}

#[test]
fn every_place_of_a_value_is_named_and_secrets_are_not_told() {
    let mut host = Host::with(|config| {
        config.set("message.max.bytes", "2000").unwrap();
        config.set("ssl.key.password", "hush").unwrap();
    });
    host.create_topic("t", 1, &[("max.message.bytes", "5000")]);
    let key = "message.max.bytes".to_string();
    let set = [
        MetadataRecord::BrokerConfig { key: key.clone(), value: Some("3000".to_string()) },
        MetadataRecord::OwnBrokerConfig { broker_id: BrokerId(NODE_ID), key, value: Some("4000".to_string()) },
        MetadataRecord::OwnBrokerConfig {
            broker_id: BrokerId(NODE_ID + 1),
            key: "num.io.threads".to_string(),
            value: Some("99".to_string()),
        },
    ];
    host.propose(&set);
    host.apply_metadata();
    let id = host.open(1);
    let node = NODE_ID.to_string();
    let resources = [resource(TOPIC_RESOURCE, "t"), resource(BROKER_RESOURCE, &node), resource(BROKER_RESOURCE, "")];
    let wish = DescribeConfigsRequest { include_synonyms: true, ..request(&resources) };
    let reply = host.ask(id, 4, &wish);
    let response: DescribeConfigsResponse<'_> = decode(ApiKey::DescribeConfigs, 4, &reply);
    let results: Vec<_> = response.results.iter().collect();
    let places = |index: usize, name: &str| {
        let row = results[index].configs.iter().find(|row| row.name == name).unwrap();
        row.synonyms.iter().map(|place| (place.value.unwrap().to_string(), place.source)).collect::<Vec<_>>()
    };
    let all = [("5000", 1), ("4000", 2), ("3000", 3), ("2000", 4), ("1048588", 5)];
    let all: Vec<_> = all.iter().map(|(value, source)| (value.to_string(), *source)).collect();
    assert_eq!(places(0, "max.message.bytes"), all);
    assert_eq!(places(1, "message.max.bytes"), all[1..]);
    assert_eq!(places(1, "num.io.threads"), [("8".to_string(), 5)]);
    let of_all: Vec<_> = results[2].configs.iter().map(|row| (row.name, row.value, row.config_source)).collect();
    assert_eq!(of_all, [("message.max.bytes", Some("3000"), 3)]);
    assert_eq!(places(2, "message.max.bytes"), all[2..3]);
    let secret = results[1].configs.iter().find(|row| row.name == "ssl.key.password").unwrap();
    assert_eq!((secret.value, secret.config_source, secret.is_sensitive), (None, 4, true));
    assert!(secret.synonyms.iter().all(|place| place.value.is_none()));
    assert!(!reply.windows(4).any(|bytes| bytes == b"hush"));
}

#[test]
fn only_what_was_asked_for_is_told() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let keys = ["segment.bytes", "no.such.key", "retention.ms"];
    let some = DescribeConfigsResource { configuration_keys: Some((&keys).into()), ..resource(TOPIC_RESOURCE, "t") };
    let none = DescribeConfigsResource { configuration_keys: Some((&[]).into()), ..resource(TOPIC_RESOURCE, "t") };
    let resources = [some, none];
    let reply = host.ask(id, 4, &request(&resources));
    let response: DescribeConfigsResponse<'_> = decode(ApiKey::DescribeConfigs, 4, &reply);
    let results: Vec<_> = response.results.iter().collect();
    let names: Vec<_> = results[0].configs.iter().map(|row| row.name).collect();
    assert_eq!(names, ["retention.ms", "segment.bytes"]);
    assert!(results[0].configs.iter().all(|row| row.synonyms.is_empty() && row.documentation.is_none()));
    assert_eq!(results[1].configs.len(), TOPIC_KEYS.len(), "no keys are all keys");
}

#[test]
fn resources_are_refused_on_their_own() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let node = NODE_ID.to_string();
    let cases = [
        (TOPIC_RESOURCE, "none", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, false),
        (TOPIC_RESOURCE, "not/a/name", ErrorCode::INVALID_TOPIC_EXCEPTION, false),
        (TOPIC_RESOURCE, "", ErrorCode::INVALID_TOPIC_EXCEPTION, false),
        (TOPIC_RESOURCE, "t", ErrorCode::NONE, true),
        (BROKER_RESOURCE, "99", ErrorCode::INVALID_REQUEST, false),
        (BROKER_RESOURCE, "one", ErrorCode::INVALID_REQUEST, false),
        (BROKER_RESOURCE, "", ErrorCode::NONE, false),
        (BROKER_LOGGER_RESOURCE, node.as_str(), ErrorCode::NONE, false),
        (BROKER_LOGGER_RESOURCE, "", ErrorCode::INVALID_REQUEST, false),
        (16, "metrics", ErrorCode::NONE, true),
        (16, "", ErrorCode::INVALID_REQUEST, false),
        (32, "group", ErrorCode::NONE, true),
        (32, "", ErrorCode::INVALID_REQUEST, false),
        (0, "x", ErrorCode::INVALID_REQUEST, false),
    ];
    let resources: Vec<_> = cases.iter().map(|(kind, name, ..)| resource(*kind, name)).collect();
    let reply = host.ask(id, 4, &request(&resources));
    let response: DescribeConfigsResponse<'_> = decode(ApiKey::DescribeConfigs, 4, &reply);
    let rows: Vec<_> = response
        .results
        .iter()
        .map(|one| (one.resource_type, one.resource_name, one.error_code, !one.configs.is_empty()))
        .collect();
    assert_eq!(rows, cases);
    assert!(response.results.iter().all(|one| one.error_code.is_none() == one.error_message.is_none()));
}

#[test]
fn an_answer_is_bounded() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    let fit = limits::DESCRIBED_CONFIGS_MAX.div_ceil(TOPIC_KEYS.len());
    let resources = vec![resource(TOPIC_RESOURCE, "t"); fit + 2];
    let reply = host.ask(id, 4, &request(&resources));
    let response: DescribeConfigsResponse<'_> = decode(ApiKey::DescribeConfigs, 4, &reply);
    let errors: Vec<ErrorCode> = response.results.iter().map(|one| one.error_code).collect();
    assert!(errors[..fit].iter().all(|error| error.is_none()));
    assert_eq!(errors[fit..], [ErrorCode::INVALID_REQUEST; 2]);
    let many: Vec<String> = (0..=limits::REQUEST_ENTRIES_MAX).map(|index| index.to_string()).collect();
    let resources: Vec<_> = many.iter().map(|name| resource(BROKER_RESOURCE, name)).collect();
    host.send(id, 4, &request(&resources));
    assert!(host.closed.contains(&id));
}
