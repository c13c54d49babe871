//! Clients that use more than they may are told so and not listened to for a while; and clients are told what to push.

use alloc::string::ToString;
use alloc::vec::Vec;

use corelog_replication::controller::{
    CONNECTION_CREATION_RATE, CONSUMER_BYTE_RATE, CONTROLLER_MUTATION_RATE, PRODUCER_BYTE_RATE, REQUEST_PERCENTAGE,
};
use corelog_replication::metadata::{ConfigResource, MetadataRecord, QuotaEntity, QuotaLimit, QuotaName};
use corelog_wire::api::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use corelog_wire::api::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic};
use corelog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use corelog_wire::api::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use corelog_wire::api::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::get_telemetry_subscriptions::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api::push_telemetry::{PushTelemetryRequest, PushTelemetryResponse};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::ClientInstanceId;

use crate::front::testing::{Host, batch, decode, on_shard};
use crate::io::ConnectionId;

/// A limit for every client by its name, or for every user.
fn limit(host: &mut Host, of_user: bool, key: &str, value: f64) {
    let entity = match of_user {
        true => QuotaEntity { user: Some(QuotaName::Default), ..Default::default() },
        false => QuotaEntity { client_id: Some(QuotaName::Named("test".to_string())), ..Default::default() },
    };
    host.propose(&[MetadataRecord::ClientQuota { entity, key: key.to_string(), value: Some(QuotaLimit::new(value)) }]);
    host.apply_metadata();
}

/// Writes a record of so many bytes. Returns the throttle time, where there is an answer.
fn produce(host: &mut Host, id: ConnectionId, acks: i16, bytes: usize) -> Option<i32> {
    let records = batch(&[&"x".repeat(bytes)]);
    let partitions = [PartitionProduceData { index: 0, records: Some(&records) }];
    let topics = [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
    host.send(id, 9, &ProduceRequest { acks, timeout_ms: 5_000, topic_data: (&topics).into(), ..Default::default() });
    host.commit();
    let reply = host.try_reply(id)?;
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, 9, &reply);
    let partition = response.responses.first().unwrap().partition_responses.first().unwrap();
    assert_eq!(partition.error_code, ErrorCode::NONE, "what is over the quota is written all the same");
    Some(response.throttle_time_ms)
}

/// Fetches what there is. Returns the throttle time and the bytes of records.
fn fetch(host: &mut Host, id: ConnectionId) -> (i32, usize) {
    let partitions = [FetchPartition { partition: 0, partition_max_bytes: 1 << 20, ..Default::default() }];
    let topics = [FetchTopic { topic: "t", partitions: (&partitions).into(), ..Default::default() }];
    let request = FetchRequest {
        replica_id: -1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: (&topics).into(),
        ..Default::default()
    };
    host.send(id, 12, &request);
    host.commit();
    let reply = host.reply(id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, 12, &reply);
    assert_eq!(response.error_code, ErrorCode::NONE);
    let partitions = response.responses.iter().flat_map(|topic| topic.partitions.iter());
    let bytes = partitions.map(|it| it.records.and_then(|records| records.as_slice()).map_or(0, <[u8]>::len)).sum();
    (response.throttle_time_ms, bytes)
}

#[test]
fn who_writes_too_much_is_told_and_not_listened_to() {
    for of_user in [false, true] {
        let mut host = Host::new();
        host.create_topic("t", 1, &[]);
        let id = host.open(1);
        limit(&mut host, of_user, PRODUCER_BYTE_RATE, 1_000.0);
        assert_eq!(produce(&mut host, id, 1, 5_000), Some(0));
        let throttle_ms = produce(&mut host, id, 1, 7_000).unwrap();
        assert!((2_000..3_000).contains(&throttle_ms), "{throttle_ms}");
        assert!(host.paused.contains(&id), "the answer leaves first");
        assert_eq!(produce(&mut host, id, 1, 10), None, "what it sends all the same waits");
        host.advance_ms(throttle_ms as u64 - 1);
        assert!(host.paused.contains(&id));
        host.advance_ms(1);
        host.commit();
        assert!(host.try_reply(id).is_some());
        host.disconnect(id);
        assert_eq!(host.front().size(), (0, 0, 0, 0));
    }
}

#[test]
fn who_wants_no_answer_is_held_back_without_being_told() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    limit(&mut host, false, PRODUCER_BYTE_RATE, 1_000.0);
    assert_eq!(produce(&mut host, id, 0, 15_000), None);
    assert!(host.paused.contains(&id) && !host.closed.contains(&id));
    host.advance_ms(20_000);
    assert!(!host.paused.contains(&id));
}

#[test]
fn a_fetch_over_the_quota_brings_nothing_and_does_not_count() {
    let mut host = Host::new();
    host.create_topic("t", 1, &[]);
    let id = host.open(1);
    assert_eq!(produce(&mut host, id, 1, 6_000), Some(0));
    limit(&mut host, false, CONSUMER_BYTE_RATE, 1_000.0);
    let (throttle_ms, bytes) = fetch(&mut host, id);
    assert_eq!(throttle_ms, 0);
    assert!(bytes > 6_000);
    let (throttle_ms, nothing) = fetch(&mut host, id);
    assert_eq!(nothing, 0);
    assert!((2_000..3_000).contains(&throttle_ms), "{throttle_ms}");
    host.advance_ms(11_000);
    assert_eq!(fetch(&mut host, id), (0, bytes), "nothing was lost");
}

#[test]
fn a_limit_holds_for_the_connections_of_all_shards_together() {
    let mut host = Host::with_shards(3, |_| {});
    host.create_topic("t", 1, &[]);
    let (here, there) = (host.open(1), host.open(on_shard(2, 1)));
    limit(&mut host, false, PRODUCER_BYTE_RATE, 1_000.0);
    assert_eq!(produce(&mut host, here, 1, 7_000), Some(0));
    assert_eq!(produce(&mut host, there, 1, 7_000), Some(0), "not known yet");
    host.advance_ms(100);
    let throttle_ms = produce(&mut host, there, 1, 10).unwrap();
    assert!((4_000..5_000).contains(&throttle_ms), "{throttle_ms}");
    let throttle_ms = produce(&mut host, here, 1, 10).unwrap();
    assert!((4_000..5_000).contains(&throttle_ms), "{throttle_ms}");
}

#[test]
fn time_is_told_by_every_answer_that_has_a_place_for_it() {
    let mut host = Host::new();
    let id = host.open(1);
    limit(&mut host, false, REQUEST_PERCENTAGE, 1.0);
    let describe = |host: &mut Host| {
        let reply = host.ask(id, 1, &DescribeClusterRequest { endpoint_type: 1, ..Default::default() });
        let response: DescribeClusterResponse<'_> = decode(ApiKey::DescribeCluster, 1, &reply);
        assert_eq!(response.error_code, ErrorCode::NONE);
        response.throttle_time_ms
    };
    assert_eq!(describe(&mut host), 0);
    host.took(90_000);
    assert_eq!(describe(&mut host), 0);
    host.took(60_000);
    assert_eq!(describe(&mut host), 1_000, "a window at most");
    assert!(host.paused.contains(&id));
    host.advance_ms(1_000);
    let request = ApiVersionsRequest { client_software_name: "a", client_software_version: "1", ..Default::default() };
    let reply = host.ask(id, 4, &request);
    let response: ApiVersionsResponse<'_> = decode(ApiKey::ApiVersions, 4, &reply);
    assert_eq!(response.throttle_time_ms, 0, "it stands elsewhere");
    assert!(host.paused.contains(&id), "and the client is held back all the same");
}

#[test]
fn changes_of_topics_are_refused_or_only_slowed_down() {
    for shards in [1, 3] {
        let mut host = Host::with_shards(shards, |_| {});
        let id = host.open(on_shard(shards as u16 - 1, 1));
        limit(&mut host, false, CONTROLLER_MUTATION_RATE, 1.0);
        let create = |host: &mut Host, version: i16, name: &str, num_partitions: i32| {
            let topics = [CreatableTopic { name, num_partitions, replication_factor: 1, ..Default::default() }];
            let request = CreateTopicsRequest { topics: (&topics).into(), timeout_ms: 5_000, validate_only: false };
            host.send(id, version, &request);
            host.commit();
            let reply = host.reply(id);
            let response: CreateTopicsResponse<'_> = decode(ApiKey::CreateTopics, version, &reply);
            (response.topics.first().unwrap().error_code, response.throttle_time_ms)
        };
        assert_eq!(create(&mut host, 7, "a", 20), (ErrorCode::NONE, 0), "a strict limit takes any number once");
        assert_eq!(create(&mut host, 7, "b", 1), (ErrorCode::THROTTLING_QUOTA_EXCEEDED, 9_000), "20 of 11");
        assert!(host.paused.contains(&id), "also where another shard decides");
        host.advance_ms(9_000);
        assert_eq!(create(&mut host, 5, "b", 5), (ErrorCode::NONE, 5_000), "older clients are only slowed down");
        host.advance_ms(5_000);

        let topics = [CreatePartitionsTopic { name: "b", count: 8, assignments: None }];
        let request = CreatePartitionsRequest { topics: (&topics).into(), timeout_ms: 5_000, validate_only: false };
        for expected in [(ErrorCode::NONE, 0), (ErrorCode::THROTTLING_QUOTA_EXCEEDED, 3_000)] {
            let topics = [CreatePartitionsTopic { count: if expected.1 == 0 { 8 } else { 9 }, ..topics[0] }];
            host.send(id, 3, &CreatePartitionsRequest { topics: (&topics).into(), ..request });
            host.commit();
            let reply = host.reply(id);
            let response: CreatePartitionsResponse<'_> = decode(ApiKey::CreatePartitions, 3, &reply);
            assert_eq!((response.results.first().unwrap().error_code, response.throttle_time_ms), expected);
        }
        host.advance_ms(3_000);

        for (name, expected) in [("a", (ErrorCode::NONE, 0)), ("b", (ErrorCode::THROTTLING_QUOTA_EXCEEDED, 20_000))] {
            let topics = [DeleteTopicState { name: Some(name), ..Default::default() }];
            let request = DeleteTopicsRequest { topics: (&topics).into(), timeout_ms: 5_000, ..Default::default() };
            host.send(id, 6, &request);
            host.commit();
            let reply = host.reply(id);
            let response: DeleteTopicsResponse<'_> = decode(ApiKey::DeleteTopics, 6, &reply);
            assert_eq!((response.responses.first().unwrap().error_code, response.throttle_time_ms), expected);
        }
    }
}

#[test]
fn the_host_is_told_how_many_connections_an_address_may_open() {
    let mut host = Host::new();
    let set = |name: QuotaName, value: f64| MetadataRecord::ClientQuota {
        entity: QuotaEntity { ip: Some(name), ..Default::default() },
        key: CONNECTION_CREATION_RATE.to_string(),
        value: Some(QuotaLimit::new(value)),
    };
    assert!(host.bounds.ip_rates.is_empty());
    host.propose(&[set(QuotaName::Default, 7.0), set(QuotaName::Named("10.0.0.1".to_string()), 3.0)]);
    host.apply_metadata();
    let expected = [(None, 7), (Some("10.0.0.1".parse().unwrap()), 3)];
    assert_eq!(host.bounds.ip_rates, expected);
    host.restart();
    assert_eq!(host.bounds.ip_rates, expected, "they survive");
}

/// Whether an answer to ApiVersions names both of the APIs for metrics of clients; never one alone.
fn advertises_telemetry(version: i16, reply: &[u8]) -> bool {
    let response: ApiVersionsResponse<'_> = decode(ApiKey::ApiVersions, version, reply);
    let named = response.api_keys.iter().filter(|api| [71, 72].contains(&api.api_key)).count();
    assert_ne!(named, 1);
    named == 2
}

#[test]
fn clients_push_what_they_are_told() {
    let mut host = Host::with_shards(2, |_| {});
    let id = host.open(on_shard(1, 1));
    assert!(!advertises_telemetry(0, &host.ask(id, 0, &ApiVersionsRequest::default())), "nobody wants metrics");
    let set = |key: &str, value: &str| MetadataRecord::ResourceConfig {
        resource: ConfigResource::ClientMetrics("m".to_string()),
        key: key.to_string(),
        value: Some(value.to_string()),
    };
    host.propose(&[
        set("metrics", "a."),
        set("interval.ms", "1000"),
        set("match", "client_software_name=lib.*, client_id=test, client_source_address=127.0.0.1"),
    ]);
    host.apply_metadata();
    host.restart();
    let id = host.open(on_shard(1, 1));
    let names =
        ApiVersionsRequest { client_software_name: "library", client_software_version: "2", ..Default::default() };
    assert!(advertises_telemetry(3, &host.ask(id, 3, &names)));
    let subscribe = |host: &mut Host,
                     instance: ClientInstanceId|
     -> (ErrorCode, ClientInstanceId, i32, Vec<alloc::string::String>) {
        let reply = host.ask(id, 0, &GetTelemetrySubscriptionsRequest { client_instance_id: instance });
        let response: GetTelemetrySubscriptionsResponse<'_> = decode(ApiKey::GetTelemetrySubscriptions, 0, &reply);
        let metrics = response.requested_metrics.iter().map(ToString::to_string).collect();
        (response.error_code, response.client_instance_id, response.subscription_id, metrics)
    };
    let (error, instance, subscription_id, metrics) = subscribe(&mut host, ClientInstanceId::ZERO);
    assert_eq!((error, metrics), (ErrorCode::NONE, ["a.".to_string()].into()));
    assert_eq!(subscribe(&mut host, instance).0, ErrorCode::THROTTLING_QUOTA_EXCEEDED);
    let push = |host: &mut Host, metrics: &[u8]| {
        let request =
            PushTelemetryRequest { client_instance_id: instance, subscription_id, metrics, ..Default::default() };
        let reply = host.ask(id, 0, &request);
        let response: PushTelemetryResponse = decode(ApiKey::PushTelemetry, 0, &reply);
        response.error_code
    };
    // One metric, named "a.b", without a value.
    assert_eq!(push(&mut host, &[10, 9, 18, 7, 18, 5, 10, 3, b'a', b'.', b'b']), ErrorCode::NONE);
    let said = host.messages.iter().filter(|(_, said)| said.contains("a.b") && said.contains("library 2")).count();
    assert_eq!(said, 1, "{:?}", host.messages);
    host.advance_ms(1_000);
    assert_eq!(push(&mut host, b"nonsense"), ErrorCode::INVALID_RECORD);
    host.disconnect(id);
    let id = host.open(on_shard(1, 1));
    let reply = host.ask(id, 0, &GetTelemetrySubscriptionsRequest { client_instance_id: instance });
    let response: GetTelemetrySubscriptionsResponse<'_> = decode(ApiKey::GetTelemetrySubscriptions, 0, &reply);
    assert_eq!((response.error_code, response.client_instance_id), (ErrorCode::NONE, instance), "it keeps its id");
    assert!(response.requested_metrics.is_empty(), "its software is not known on this connection");
}
