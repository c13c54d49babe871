//! DescribeCluster: describes the cluster and its brokers or controllers (KIP-700).
//!
//! - 1: controllers can be asked for (KIP-919); MISMATCHED_ENDPOINT_TYPE and UNSUPPORTED_ENDPOINT_TYPE may be answered.
//! - 2: fenced brokers can be asked for (KIP-1073).

use crate::api::metadata::OPERATIONS_NOT_ASKED_FOR;
use crate::array::Array;
use crate::error_code::ErrorCode;

/// An endpoint type: brokers.
pub const BROKER_ENDPOINTS: i8 = 1;
/// An endpoint type: controllers.
pub const CONTROLLER_ENDPOINTS: i8 = 2;

request!(DescribeCluster: DescribeClusterRequest => DescribeClusterResponse<'r>);

message! {
    versions 0-2, flexible 0+;

    /// Asks what the cluster is.
    pub struct DescribeClusterRequest {
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool [0+],
        /// What to name, brokers or controllers: a constant of this file.
        endpoint_type: i8 [1+, default 1],
        /// Whether to name fenced brokers, too.
        include_fenced_brokers: bool [2+],
    }
}

message! {
    versions 0-2, flexible 0+;

    /// The cluster.
    pub struct DescribeClusterResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why nothing is described, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// What is named in `brokers`: a constant of this file.
        endpoint_type: i8 [1+, default 1],
        /// The cluster's id.
        cluster_id: &'a str [0+],
        /// The controller's broker id, or -1.
        controller_id: i32 [0+, default -1],
        /// The brokers or the controllers.
        brokers: Array<'a, DescribeClusterBroker<'a>> [0+],
        /// What the client may do with the cluster, a bit per operation; [`OPERATIONS_NOT_ASKED_FOR`] otherwise.
        cluster_authorized_operations: i32 [0+, default OPERATIONS_NOT_ASKED_FOR],
    }

    /// A broker or a controller.
    pub struct DescribeClusterBroker<'a> {
        /// Its id.
        broker_id: i32 [0+],
        /// Its host name.
        host: &'a str [0+],
        /// Its port.
        port: i32 [0+],
        /// Its rack, or null.
        rack: Option<&'a str> [0+, nullable 0+],
        /// Whether it is fenced: known to the controller, but not in service.
        is_fenced: bool [2+],
    }
}
