//! FindCoordinator: one node coordinates everything, so the answer is this broker for every key that can be one.
//!
//! Kafka looks up the leader of the internal partition that a key falls on, and creates the internal topic with the first
//! question. Here a coordinator belongs to no topic, so it is always to be had.
//!
//! This API is served before those that a coordinator is for, JoinGroup and its like, because clients get on better so
//! (seen with kcat 1.7.1, librdkafka 2.16 and Java's 4.3.1): librdkafka below 2.11 compresses with LZ4 only where
//! FindCoordinator 0 is advertised, and sends the records as they are otherwise; a consumer of a group is told at once
//! that the broker does not know JoinGroup, where it waits for a coordinator for ever and in silence otherwise; a commit
//! fails at once, where it hangs otherwise.

use alloc::vec::Vec;

use corelog_replication::ids::BrokerId;
use corelog_replication::metadata::BrokerImage;
use corelog_wire::api::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, GROUP_KEY, SHARE_KEY, TRANSACTION_KEY,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::{Call, Outcome};
use crate::front::{Context, Identity};

/// The first version that asks for several keys at once.
const FIRST_WITH_KEYS: i16 = 4;
/// The first version that knows share partitions.
const FIRST_WITH_SHARES: i16 = 6;

/// What Kafka says where nothing is wrong, up to version 3.
const NO_ERROR_MESSAGE: &str = "NONE";

/// Answers at once.
pub(crate) fn handle(identity: &Identity, cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<FindCoordinatorRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.coordinator_keys.len()) {
        return Outcome::Close(reason);
    }
    let version = call.to.version;
    let here = cx.metadata.image().brokers().get(&BrokerId(identity.node_id));
    let find = |key| coordinator(here, version, request.key_type, key);
    if version >= FIRST_WITH_KEYS {
        let coordinators: Vec<_> = request.coordinator_keys.iter().map(find).collect();
        return call.to.answer(&FindCoordinatorResponse { coordinators: (&coordinators).into(), ..Default::default() });
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = find(request.key);
    let error_message = if error_code.is_none() { Some(NO_ERROR_MESSAGE) } else { error_message };
    call.to.answer(&FindCoordinatorResponse {
        error_code,
        error_message,
        node_id,
        host,
        port,
        ..FindCoordinatorResponse::default()
    })
}

/// This broker, or why no broker coordinates the key.
fn coordinator<'a>(here: Option<&'a BrokerImage>, version: i16, key_type: i8, key: &'a str) -> Coordinator<'a> {
    let nobody = |error_code, message| Coordinator {
        key,
        node_id: -1,
        host: "",
        port: -1,
        error_code,
        error_message: Some(message),
    };
    match key_type {
        GROUP_KEY | TRANSACTION_KEY => {}
        SHARE_KEY if version < FIRST_WITH_SHARES => {
            return nobody(ErrorCode::INVALID_REQUEST, "this version does not know share partitions");
        }
        SHARE_KEY if is_share_partition(key) => {}
        SHARE_KEY => {
            return nobody(ErrorCode::INVALID_REQUEST, "a share partition is written GROUP:TOPIC_ID:PARTITION");
        }
        _ => return nobody(ErrorCode::INVALID_REQUEST, "there are no coordinators for this type of key"),
    }
    match here {
        Some(BrokerImage { id, host, port, .. }) => Coordinator {
            key,
            node_id: id.0,
            host,
            port: i32::from(*port),
            error_code: ErrorCode::NONE,
            error_message: Some(""),
        },
        None => nobody(ErrorCode::COORDINATOR_NOT_AVAILABLE, "this broker has not registered yet"),
    }
}

/// Whether a key is a group, a topic id and a partition, as Kafka reads it: a group may hold colons, colons at the end
/// count for nothing, and any number is a partition.
fn is_share_partition(key: &str) -> bool {
    let mut parts = key.trim_end_matches(':').rsplitn(3, ':');
    let (Some(partition), Some(topic_id), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let topic_id = topic_id.strip_suffix("==").unwrap_or(topic_id);
    !group.trim().is_empty() && topic_id.parse::<TopicId>().is_ok() && partition.parse::<i32>().is_ok()
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec;

    use corelog_wire::api_key::ApiKey;

    use super::*;
    use crate::front::testing::{Host, NODE_ID, decode};
    use crate::io::ConnectionId;

    /// Key, error and broker of each answer.
    fn ask(host: &mut Host, id: ConnectionId, version: i16, key_type: i8, keys: &[&str]) -> Vec<(String, ErrorCode)> {
        let (key, coordinator_keys) = match version {
            0..FIRST_WITH_KEYS => (keys[0], [].as_slice().into()),
            _ => ("", keys.into()),
        };
        let reply = host.ask(id, version, &FindCoordinatorRequest { key, key_type, coordinator_keys });
        let response: FindCoordinatorResponse<'_> = decode(ApiKey::FindCoordinator, version, &reply);
        let check = |error: ErrorCode, node: (i32, &str, i32)| {
            let expected = if error.is_none() { (NODE_ID, "broker.example", 9092) } else { (-1, "", -1) };
            assert_eq!(node, expected);
        };
        if version < FIRST_WITH_KEYS {
            check(response.error_code, (response.node_id, response.host, response.port));
            if version > 0 {
                assert_eq!(response.error_message == Some("NONE"), response.error_code.is_none());
            }
            return vec![(keys[0].to_string(), response.error_code)];
        }
        let row = |it: Coordinator<'_>| {
            check(it.error_code, (it.node_id, it.host, it.port));
            assert_eq!(it.error_message == Some(""), it.error_code.is_none());
            (it.key.to_string(), it.error_code)
        };
        response.coordinators.iter().map(row).collect()
    }

    #[test]
    fn every_version_finds_this_broker() {
        let mut host = Host::new();
        let id = host.open(1);
        for version in 0..=6 {
            for key_type in [GROUP_KEY, TRANSACTION_KEY] {
                // Version 0 knows groups only.
                for key in ["a", ""] {
                    let found = ask(&mut host, id, version, if version == 0 { GROUP_KEY } else { key_type }, &[key]);
                    assert_eq!(found, [(key.to_string(), ErrorCode::NONE)], "version {version}");
                }
            }
        }
        for version in FIRST_WITH_KEYS..=6 {
            assert_eq!(ask(&mut host, id, version, GROUP_KEY, &[]), []);
            let found = ask(&mut host, id, version, GROUP_KEY, &["b", "a", "b"]);
            assert_eq!(found, ["b", "a", "b"].map(|key| (key.to_string(), ErrorCode::NONE)));
        }
    }

    #[test]
    fn other_types_of_keys_are_refused() {
        let mut host = Host::new();
        let id = host.open(1);
        let share = "g:AAAAAAAAAAAAAAAAAAAAAQ:0";
        for version in 1..=6 {
            for (key_type, expected) in [
                (SHARE_KEY, if version < 6 { ErrorCode::INVALID_REQUEST } else { ErrorCode::NONE }),
                (3, ErrorCode::INVALID_REQUEST),
                (-1, ErrorCode::INVALID_REQUEST),
                (i8::MIN, ErrorCode::INVALID_REQUEST),
            ] {
                assert_eq!(ask(&mut host, id, version, key_type, &[share]), [(share.to_string(), expected)]);
            }
        }
    }

    #[test]
    fn keys_of_share_partitions_are_kafkas() {
        for (key, expected) in [
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:0", true),
            ("g:AAAAAAAAAAAAAAAAAAAAAA:0", true),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ==:0", true),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:-1", true),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:+1", true),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:0:", true),
            ("a:b:AAAAAAAAAAAAAAAAAAAAAQ:0", true),
            (":g:AAAAAAAAAAAAAAAAAAAAAQ:0", true),
            ("", false),
            ("bad", false),
            ("::", false),
            ("g::0", false),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ", false),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:", false),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ: 1", false),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:x", false),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:2147483648", false),
            ("g: AAAAAAAAAAAAAAAAAAAAAQ:0", false),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ=:0", false),
            ("g:AAAAAAAAAAAAAAAAAAAAA:0", false),
            ("g:AAAAAAAAAAAAAAAAAAAA/+:0", false),
            ("g:notauuid:0", false),
            (":AAAAAAAAAAAAAAAAAAAAAQ:0", false),
            (" :AAAAAAAAAAAAAAAAAAAAAQ:0", false),
        ] {
            assert_eq!(is_share_partition(key), expected, "{key}");
        }
    }
}
