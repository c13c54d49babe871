//! Who may have which limits, that changes are durable when they are answered, and that they are described as they are.

use alloc::vec;

use corelog_wire::api::alter_client_quotas::{EntityData, OpData};
use corelog_wire::api::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, MATCH_ANY, MATCH_DEFAULT, MATCH_EXACT,
};
use corelog_wire::api_key::ApiKey;

use super::*;
use crate::front::testing::{Host, decode, on_shard};
use crate::io::ConnectionId;

type Part<'a> = (&'a str, Option<&'a str>);
type Change<'a> = (&'a str, Option<f64>);
type Wanted<'a> = (&'a str, i8, Option<&'a str>);
type Described = Vec<(Vec<(String, Option<String>)>, Vec<(String, f64)>)>;

fn send(
    host: &mut Host,
    id: ConnectionId,
    version: i16,
    validate_only: bool,
    entries: &[(&[Part<'_>], &[Change<'_>])],
) {
    let entities: Vec<Vec<EntityData<'_>>> = entries
        .iter()
        .map(|(parts, _)| {
            let parts = parts.iter();
            parts.map(|&(entity_type, entity_name)| EntityData { entity_type, entity_name }).collect()
        })
        .collect();
    let ops: Vec<Vec<OpData<'_>>> = entries
        .iter()
        .map(|(_, changes)| {
            let rows = changes.iter();
            rows.map(|(key, value)| OpData { key, value: value.unwrap_or(0.0), remove: value.is_none() }).collect()
        })
        .collect();
    let entries: Vec<_> =
        (entities.iter().zip(&ops)).map(|(entity, ops)| EntryData { entity: entity.into(), ops: ops.into() }).collect();
    host.send(id, version, &AlterClientQuotasRequest { entries: (&entries).into(), validate_only });
}

fn results(host: &mut Host, id: ConnectionId, version: i16) -> Vec<ErrorCode> {
    let reply = host.reply(id);
    let response: AlterClientQuotasResponse<'_> = decode(ApiKey::AlterClientQuotas, version, &reply);
    assert!(response.entries.iter().all(|entry| entry.error_message.is_some() != entry.error_code.is_none()));
    response.entries.iter().map(|entry| entry.error_code).collect()
}

fn describe(
    host: &mut Host,
    id: ConnectionId,
    version: i16,
    wanted: &[Wanted<'_>],
    strict: bool,
) -> Result<Described, ErrorCode> {
    let components: Vec<_> = wanted
        .iter()
        .map(|(entity_type, match_type, name)| ComponentData { entity_type, match_type: *match_type, _match: *name })
        .collect();
    let reply = host.ask(id, version, &DescribeClientQuotasRequest { components: (&components).into(), strict });
    let response: DescribeClientQuotasResponse<'_> = decode(ApiKey::DescribeClientQuotas, version, &reply);
    if !response.error_code.is_none() {
        assert!(response.entries.is_none() && response.error_message.is_some());
        return Err(response.error_code);
    }
    let rows = response.entries.unwrap().iter().map(|entry| {
        let parts = entry.entity.iter().map(|it| (it.entity_type.to_string(), it.entity_name.map(ToString::to_string)));
        let values = entry.values.iter().map(|it| (it.key.to_string(), it.value));
        (parts.collect(), values.collect())
    });
    Ok(rows.collect())
}

#[test]
fn every_version_changes_and_describes() {
    for shards in [1, 3] {
        let mut host = Host::with_shards(shards, |_| {});
        let id = host.open(on_shard(shards as u16 - 1, 1));
        for version in 0..=1 {
            let rate = 1_000.0 + f64::from(version);
            let client: &[Part<'_>] = &[("client-id", Some("c"))];
            let pair: &[Part<'_>] = &[("user", None), ("client-id", None)];
            send(
                &mut host,
                id,
                version,
                false,
                &[
                    (client, &[("producer_byte_rate", Some(rate)), ("consumer_byte_rate", Some(7.0))]),
                    (pair, &[("request_percentage", Some(0.5))]),
                    (&[("ip", Some("10.0.0.1"))], &[("connection_creation_rate", Some(3.0))]),
                ],
            );
            if version == 0 {
                assert_eq!(host.try_reply(id), None, "nothing is acknowledged before it is durable");
            }
            host.apply_metadata();
            assert_eq!(results(&mut host, id, version), [ErrorCode::NONE; 3]);
            let text = ToString::to_string;
            let of_client = (
                vec![(text("client-id"), Some(text("c")))],
                vec![(text("consumer_byte_rate"), 7.0), (text("producer_byte_rate"), rate)],
            );
            let exact = [("client-id", MATCH_EXACT, Some("c"))];
            assert_eq!(describe(&mut host, id, version, &exact, true), Ok(vec![of_client]));
            let both = [("client-id", MATCH_DEFAULT, None), ("user", MATCH_ANY, None)];
            assert_eq!(describe(&mut host, id, version, &both, true).unwrap().len(), 1);
            assert_eq!(describe(&mut host, id, version, &[], false).unwrap().len(), 3);
        }
        host.restart();
        let id = host.open(on_shard(shards as u16 - 1, 2));
        assert_eq!(describe(&mut host, id, 1, &[], false).unwrap().len(), 3, "limits are durable");
        send(&mut host, id, 1, false, &[(&[("ip", Some("10.0.0.1"))], &[("connection_creation_rate", None)])]);
        host.apply_metadata();
        assert_eq!(results(&mut host, id, 1), [ErrorCode::NONE]);
        assert_eq!(describe(&mut host, id, 1, &[("ip", MATCH_ANY, None)], false), Ok(vec![]));
    }
}

#[test]
fn what_is_wrong_changes_nothing() {
    let mut host = Host::new();
    let id = host.open(1);
    let client: &[Part<'_>] = &[("client-id", Some("c"))];
    send(
        &mut host,
        id,
        1,
        false,
        &[
            (client, &[("producer_byte_rate", Some(5.0))]),
            (client, &[("consumer_byte_rate", Some(5.0))]),
            (&[("client-id", Some("d"))], &[("producer_byte_rate", Some(5.0)), ("request_percentage", Some(-1.0))]),
            (&[], &[]),
            (&[("group", Some("g"))], &[]),
        ],
    );
    assert_eq!(results(&mut host, id, 1), [ErrorCode::INVALID_REQUEST; 5]);
    send(&mut host, id, 1, true, &[(client, &[("producer_byte_rate", Some(5.0))])]);
    assert_eq!(results(&mut host, id, 1), [ErrorCode::NONE], "a check alone");
    assert_eq!(host.apply_metadata(), 0);
    for (wanted, expected) in [
        (("client-id", MATCH_EXACT, None), ErrorCode::INVALID_REQUEST),
        (("client-id", MATCH_DEFAULT, Some("c")), ErrorCode::INVALID_REQUEST),
        (("client-id", 9, None), ErrorCode::INVALID_REQUEST),
        (("group", MATCH_ANY, None), ErrorCode::UNSUPPORTED_VERSION),
    ] {
        assert_eq!(describe(&mut host, id, 1, &[wanted], false), Err(expected));
    }
}

#[test]
fn a_change_is_decided_on_what_those_before_it_make() {
    let mut host = Host::new();
    let (first, second) = (host.open(1), host.open(2));
    let client: &[Part<'_>] = &[("client-id", Some("c"))];
    send(&mut host, first, 1, false, &[(client, &[("producer_byte_rate", Some(5.0))])]);
    send(&mut host, second, 1, false, &[(client, &[("producer_byte_rate", None)])]);
    send(&mut host, first, 1, false, &[(client, &[("producer_byte_rate", None)])]);
    assert_eq!((host.try_reply(first), host.try_reply(second)), (None, None), "also who changes nothing waits");
    host.apply_metadata();
    assert_eq!(results(&mut host, first, 1), [ErrorCode::NONE]);
    assert_eq!(results(&mut host, second, 1), [ErrorCode::NONE]);
    assert_eq!(results(&mut host, first, 1), [ErrorCode::NONE]);
    assert!(host.image().quotas().is_empty());
}
