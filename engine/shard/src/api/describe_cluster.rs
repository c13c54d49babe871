//! DescribeCluster: the cluster as its brokers' clients see it, from the image as it is.
//!
//! What is asked here is a broker: whoever wants controllers is told that this is not one's listener (KIP-919). No broker
//! is ever fenced yet, so asking for fenced ones, too (KIP-1073), changes nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use corelog_wire::api::describe_cluster::{
    BROKER_ENDPOINTS, CONTROLLER_ENDPOINTS, DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use corelog_wire::api::metadata::OPERATIONS_NOT_ASKED_FOR;
use corelog_wire::error_code::ErrorCode;

use super::metadata::CLUSTER_OPERATIONS;
use super::{Call, Outcome};
use crate::front::{Context, Identity};

/// The controller, where none of those that are named is it.
const NO_CONTROLLER: i32 = -1;

/// Answers at once.
pub(crate) fn handle(identity: &Identity, cx: &Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DescribeClusterRequest>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Err((error_code, message)) = check_endpoint_type(request.endpoint_type) {
        let error_message = Some(&*message);
        return call.to.answer(&DescribeClusterResponse { error_code, error_message, ..Default::default() });
    }
    let brokers: Vec<_> = cx
        .metadata
        .image()
        .brokers()
        .values()
        .map(|broker| DescribeClusterBroker {
            broker_id: broker.id.0,
            host: &broker.host,
            port: i32::from(broker.port),
            rack: cx.config.rack.as_deref().filter(|_| broker.id.0 == identity.node_id),
            is_fenced: false,
        })
        .collect();
    let is_controller = |broker: &DescribeClusterBroker<'_>| broker.broker_id == identity.node_id;
    call.to.answer(&DescribeClusterResponse {
        endpoint_type: BROKER_ENDPOINTS,
        cluster_id: &identity.cluster_id,
        controller_id: brokers.iter().find(|broker| is_controller(broker)).map_or(NO_CONTROLLER, |it| it.broker_id),
        brokers: (&brokers).into(),
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => OPERATIONS_NOT_ASKED_FOR,
        },
        ..DescribeClusterResponse::default()
    })
}

/// Whether a client that wants such endpoints is at the right place.
fn check_endpoint_type(endpoint_type: i8) -> Result<(), (ErrorCode, String)> {
    match endpoint_type {
        BROKER_ENDPOINTS => Ok(()),
        CONTROLLER_ENDPOINTS => {
            let message = String::from("controllers are asked for at a listener of brokers");
            Err((ErrorCode::MISMATCHED_ENDPOINT_TYPE, message))
        }
        other => Err((ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, format!("there are no endpoints of type {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::testing::{CLUSTER_ID, Host, NODE_ID, decode};
    use corelog_replication::ids::{BrokerId, DirectoryId, Incarnation};
    use corelog_replication::metadata::MetadataRecord;
    use corelog_wire::api_key::ApiKey;

    #[test]
    fn every_version_describes() {
        let mut host = Host::with(|config| config.set("broker.rack", "left").unwrap());
        host.propose(&[MetadataRecord::RegisterBroker {
            broker_id: BrokerId(NODE_ID + 1),
            incarnation: Incarnation(1),
            host: String::from("other.example"),
            port: 19_092,
            directory_id: DirectoryId([3; 16]),
        }]);
        host.apply_metadata();
        let id = host.open(1);
        for version in 0..=2 {
            for asked in [false, true] {
                let request = DescribeClusterRequest {
                    include_cluster_authorized_operations: asked,
                    endpoint_type: BROKER_ENDPOINTS,
                    include_fenced_brokers: asked && version >= 2,
                };
                let reply = host.ask(id, version, &request);
                let response: DescribeClusterResponse<'_> = decode(ApiKey::DescribeCluster, version, &reply);
                assert_eq!((response.error_code, response.error_message), (ErrorCode::NONE, None));
                assert_eq!(response.endpoint_type, BROKER_ENDPOINTS);
                assert_eq!((response.cluster_id, response.controller_id), (CLUSTER_ID, NODE_ID));
                let brokers: Vec<_> =
                    response.brokers.iter().map(|it| (it.broker_id, it.host, it.port, it.rack)).collect();
                let expected =
                    [(NODE_ID, "broker.example", 9092, Some("left")), (NODE_ID + 1, "other.example", 19_092, None)];
                assert_eq!(brokers, expected, "version {version}");
                assert!(response.brokers.iter().all(|broker| !broker.is_fenced));
                assert_eq!(response.cluster_authorized_operations, if asked { 8096 } else { i32::MIN });
            }
        }
    }

    #[test]
    fn only_brokers_are_here() {
        let mut host = Host::new();
        let id = host.open(1);
        for version in 1..=2 {
            for (endpoint_type, expected) in [
                (CONTROLLER_ENDPOINTS, ErrorCode::MISMATCHED_ENDPOINT_TYPE),
                (0, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
                (3, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
                (-1, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE),
            ] {
                let request = DescribeClusterRequest {
                    endpoint_type,
                    include_cluster_authorized_operations: true,
                    ..Default::default()
                };
                let reply = host.ask(id, version, &request);
                let response: DescribeClusterResponse<'_> = decode(ApiKey::DescribeCluster, version, &reply);
                assert_eq!(response.error_code, expected, "endpoint type {endpoint_type}");
                assert!(response.error_message.is_some());
                assert_eq!((response.cluster_id, response.controller_id, response.brokers.len()), ("", -1, 0));
                assert_eq!((response.endpoint_type, response.cluster_authorized_operations), (1, i32::MIN));
            }
        }
    }
}
