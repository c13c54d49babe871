//! ApiVersions: which APIs and versions the broker has; the first request of a connection.
//!
//! A request of a version above ours is answered in version 0 with UNSUPPORTED_VERSION and our ranges (KIP-511): the
//! header of the request can be read in any version, the header of the response is always version 0.
//!
//! - 1: throttle time.
//! - 3: flexible; the client says what it is (KIP-511); features (KIP-584).
//! - 4: supported features can have 0 as their lowest version.
//! - 5: the client says whom it believes to talk to; the answer may be REBOOTSTRAP_REQUIRED (KIP-1242).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(ApiVersions: ApiVersionsRequest<'a> => ApiVersionsResponse<'r>);

message! {
    versions 0-5, flexible 3+;

    /// Asks for the APIs.
    pub struct ApiVersionsRequest<'a> {
        /// The client library's name.
        client_software_name: &'a str [3+, ignorable],
        /// The client library's version.
        client_software_version: &'a str [3+, ignorable],
        /// The cluster the client believes to talk to, or null.
        cluster_id: Option<&'a str> [5+, nullable 5+, ignorable],
        /// The broker the client believes to talk to, or -1.
        node_id: i32 [5+, default -1, ignorable],
    }
}

message! {
    versions 0-5, flexible 3+;

    /// The APIs and features the broker has.
    pub struct ApiVersionsResponse<'a> {
        /// What was wrong with the request, or none.
        error_code: ErrorCode [0+],
        /// The APIs.
        api_keys: Array<'a, ApiVersion> [0+],
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// Features the broker could have; up to version 3 without those whose lowest version is 0.
        supported_features: Array<'a, SupportedFeatureKey<'a>> [3+, tag 0, ignorable],
        /// The number of the last change to the finalized features, or -1.
        finalized_features_epoch: i64 [3+, tag 1, default -1, ignorable],
        /// Features the cluster has.
        finalized_features: Array<'a, FinalizedFeatureKey<'a>> [3+, tag 2, ignorable],
        /// Whether a migration from ZooKeeper could begin; always false here.
        zk_migration_ready: bool [3+, tag 3, ignorable],
    }

    /// An API and its versions.
    pub struct ApiVersion {
        /// The API.
        api_key: i16 [0+],
        /// Its lowest version.
        min_version: i16 [0+],
        /// Its highest version.
        max_version: i16 [0+],
    }

    /// A feature and the levels the broker could have.
    pub struct SupportedFeatureKey<'a> {
        /// The feature's name.
        name: &'a str [3+],
        /// The lowest level.
        min_version: i16 [3+],
        /// The highest level.
        max_version: i16 [3+],
    }

    /// A feature and the levels the cluster has.
    pub struct FinalizedFeatureKey<'a> {
        /// The feature's name.
        name: &'a str [3+],
        /// The highest level.
        max_version_level: i16 [3+],
        /// The lowest level.
        min_version_level: i16 [3+],
    }
}
