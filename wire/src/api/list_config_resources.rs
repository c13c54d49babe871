//! ListConfigResources: the resources that have settings (KIP-1142). Version 0 was ListClientMetricsResources (KIP-714).
//!
//! - 1: kinds of resources.

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(ListConfigResources: ListConfigResourcesRequest<'a> => ListConfigResourcesResponse<'r>);

message! {
    versions 0-1, flexible 0+;

    /// Which resources to list.
    pub struct ListConfigResourcesRequest<'a> {
        /// The kinds of resources; empty for every kind.
        resource_types: Array<'a, i8> [1+],
    }
}

message! {
    versions 0-1, flexible 0+;

    /// The resources.
    pub struct ListConfigResourcesResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why nothing is listed, or none.
        error_code: ErrorCode [0+],
        /// The resources.
        config_resources: Array<'a, ConfigResource<'a>> [0+],
    }

    /// A resource.
    pub struct ConfigResource<'a> {
        /// Its name.
        resource_name: &'a str [0+],
        /// Its kind.
        resource_type: i8 [1+, default 16, ignorable],
    }
}
