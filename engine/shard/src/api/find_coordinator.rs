//! FindCoordinator: one node coordinates everything, so the answer is this broker for every key that can be one.
//!
//! The first question for a group creates the topic that the coordinators write, and is answered when it can be used. Kafka
//! would answer with an error first and let the client come back.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::ids::BrokerId;
use corelog_replication::metadata::BrokerImage;
use corelog_wire::api::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, GROUP_KEY, SHARE_KEY, TRANSACTION_KEY,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::{Call, Outcome, Parked, ReplyTo, Wait};
use crate::coordinator::OFFSETS_TOPIC;
use crate::front::{Context, Identity, Shared};
use crate::mesh::FIRST;

/// The first version that asks for several keys at once.
const FIRST_WITH_KEYS: i16 = 4;
/// The first version that knows share partitions.
const FIRST_WITH_SHARES: i16 = 6;

/// What Kafka says where nothing is wrong, up to version 3.
const NO_ERROR_MESSAGE: &str = "NONE";

/// A request, which may wait for the topic of the coordinators.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    key_type: i8,
    keys: Vec<String>,
}

/// Answers at once, unless the topic of the group coordinators has to be created.
pub(crate) fn handle(shared: &mut Shared, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<FindCoordinatorRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err(reason) = call.check_entries(request.coordinator_keys.len()) {
        return Outcome::Close(reason);
    }
    let keys = match call.to.version >= FIRST_WITH_KEYS {
        true => request.coordinator_keys.iter().map(ToString::to_string).collect(),
        false => [request.key.to_string()].into(),
    };
    let pending = Pending { to: call.to, key_type: request.key_type, keys };
    let wants_topic = pending.key_type == GROUP_KEY && !pending.keys.is_empty();
    if !wants_topic || cx.metadata.image().topic_by_name(OFFSETS_TOPIC).is_some() {
        return pending.answer(&shared.identity, cx);
    }
    if !cx.seat.is_first() {
        return Outcome::Elsewhere(FIRST);
    }
    match shared.creation.create_offsets_topic(cx) {
        Ok(proposal) => {
            let wait = Wait { proposals: [proposal].into(), weight: call.body.remaining() * 2, ..Wait::default() };
            Outcome::Wait(Parked::FindCoordinator(pending), wait)
        }
        Err(_) => pending.answer(&shared.identity, cx),
    }
}

impl Pending {
    /// Answers with what there is now.
    pub(crate) fn answer(self, identity: &Identity, cx: &Context<'_>) -> Outcome {
        let version = self.to.version;
        let image = cx.metadata.image();
        let here = image.brokers().get(&BrokerId(identity.node_id));
        let has_topic = image.topic_by_name(OFFSETS_TOPIC).is_some();
        let find = |key| coordinator(here, has_topic, version, self.key_type, key);
        if version >= FIRST_WITH_KEYS {
            let coordinators: Vec<_> = self.keys.iter().map(|key| find(key)).collect();
            return self
                .to
                .answer(&FindCoordinatorResponse { coordinators: (&coordinators).into(), ..Default::default() });
        }
        let Coordinator { node_id, host, port, error_code, error_message, .. } = find(&self.keys[0]);
        let error_message = if error_code.is_none() { Some(NO_ERROR_MESSAGE) } else { error_message };
        self.to.answer(&FindCoordinatorResponse {
            error_code,
            error_message,
            node_id,
            host,
            port,
            ..FindCoordinatorResponse::default()
        })
    }
}

/// This broker, or why no broker coordinates the key.
fn coordinator<'a>(
    here: Option<&'a BrokerImage>,
    has_topic: bool,
    version: i16,
    key_type: i8,
    key: &'a str,
) -> Coordinator<'a> {
    let nobody = |error_code, message| Coordinator {
        key,
        node_id: -1,
        host: "",
        port: -1,
        error_code,
        error_message: Some(message),
    };
    match key_type {
        GROUP_KEY if !has_topic => {
            return nobody(ErrorCode::COORDINATOR_NOT_AVAILABLE, "the topic of committed offsets could not be created");
        }
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
        host.create_topic(OFFSETS_TOPIC, 1, &[]);
        for version in 0..=6 {
            // Version 0 knows groups only.
            let types: &[_] = match version {
                0 => &[(GROUP_KEY, ErrorCode::NONE)],
                _ => &[(GROUP_KEY, ErrorCode::NONE), (TRANSACTION_KEY, ErrorCode::NONE)],
            };
            for (key_type, expected) in types {
                for key in ["a", ""] {
                    let found = ask(&mut host, id, version, *key_type, &[key]);
                    assert_eq!(found, [(key.to_string(), *expected)], "version {version}, type {key_type}");
                }
            }
        }
        for version in FIRST_WITH_KEYS..=6 {
            assert_eq!(ask(&mut host, id, version, GROUP_KEY, &[]), []);
            let found = ask(&mut host, id, version, TRANSACTION_KEY, &["b", "a", "b"]);
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
