//! The APIs this broker has: key, name, versions.
//!
//! One line of a table at the end per API. The ranges are those of Kafka 4.4. An API is an [`ApiKey`] once every one of its
//! versions is served; until then, if its messages are here already, it is an [`UnservedApi`], which no header and no
//! answer to ApiVersions can name.

use core::fmt;

use crate::message::VersionRange;

macro_rules! api_keys {
    ($(
        $(#[$meta:meta])*
        $name:ident = $key:literal, versions $min:literal - $max:literal, advertised from $advertised:literal,
            flexible $($flexible:literal)? $(+)? $($none:ident)?;
    )*) => {
        /// An API of the protocol.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                $(#[$meta])*
                #[doc = concat!("Versions ", $min, " to ", $max, ".")]
                $name = $key,
            )*
        }

        impl ApiKey {
            /// Every API, ordered by key.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The API with this number, if we have it.
            pub const fn from_key(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name of the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The versions that are served.
            pub const fn versions(self) -> VersionRange {
                match self {
                    $(Self::$name => VersionRange { min: $min, max: $max },)*
                }
            }

            /// The lowest version that ApiVersions names. It can be lower than what is served: librdkafka before 2.11.1
            /// compresses with gzip, snappy and lz4 only if Produce is offered from version 0 (KAFKA-18659).
            pub const fn advertised_min(self) -> i16 {
                match self {
                    $(Self::$name => $advertised,)*
                }
            }

            /// The first version with compact lengths and tagged fields (KIP-482); `i16::MAX` if there is none.
            pub const fn flexible_from(self) -> i16 {
                match self {
                    $(Self::$name => api_keys!(@flexible $($flexible)? $($none)?),)*
                }
            }
        }
    };
    (@flexible $from:literal) => { $from };
    (@flexible none) => { i16::MAX };
}

/// An API whose messages this crate has, but which has no handler: for all who talk to the broker it does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnservedApi {
    key: i16,
    name: &'static str,
    versions: VersionRange,
    flexible_from: i16,
}

// Lines of the same form as those of `api_keys`, so that one can be moved there as it is.
macro_rules! unserved_apis {
    ($(
        $(#[$meta:meta])*
        $name:ident = $key:literal, versions $min:literal - $max:literal, advertised from $advertised:literal,
            flexible $($flexible:literal)? $(+)? $($none:ident)?;
    )*) => {
        // Each API is a constant with Kafka's name.
        #[allow(non_upper_case_globals)]
        impl UnservedApi {
            $(
                $(#[$meta])*
                #[doc = concat!("Versions ", $min, " to ", $max, ".")]
                pub const $name: Self = {
                    assert!($advertised <= $min && $min <= $max);
                    Self {
                        key: $key,
                        name: stringify!($name),
                        versions: VersionRange { min: $min, max: $max },
                        flexible_from: api_keys!(@flexible $($flexible)? $($none)?),
                    }
                };
            )*

            /// Every such API, ordered by key.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

impl UnservedApi {
    /// The number on the wire.
    pub const fn key(self) -> i16 {
        self.key
    }

    /// Kafka's name of the API.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The versions that its messages have, all of which are to be served.
    pub const fn versions(self) -> VersionRange {
        self.versions
    }

    /// The first version with compact lengths and tagged fields (KIP-482); `i16::MAX` if there is none.
    pub const fn flexible_from(self) -> i16 {
        self.flexible_from
    }
}

impl ApiKey {
    /// The number on the wire.
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// The lowest version that is served.
    pub const fn min_version(self) -> i16 {
        self.versions().min
    }

    /// The highest version that is served.
    pub const fn max_version(self) -> i16 {
        self.versions().max
    }

    /// Whether this version is served.
    pub const fn serves(self, version: i16) -> bool {
        self.versions().contains(version)
    }

    /// Whether messages of this version have compact lengths and tagged fields.
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// The version of the header in front of requests of this version, also for versions that are not served.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header in front of responses of this version. That of ApiVersions is never flexible: its
    /// reader cannot know yet what the broker speaks (KIP-511).
    pub const fn response_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self, Self::ApiVersions) { 1 } else { 0 }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

api_keys! {
    /// Appends record batches to partitions.
    Produce = 0, versions 3-13, advertised from 0, flexible 9+;
    /// Reads record batches of partitions, waiting for them if wanted.
    Fetch = 1, versions 4-18, advertised from 4, flexible 12+;
    /// Finds offsets by timestamp.
    ListOffsets = 2, versions 1-11, advertised from 1, flexible 6+;
    /// Describes brokers, topics and partitions.
    Metadata = 3, versions 0-13, advertised from 0, flexible 9+;
    /// Keeps how far a group has read.
    OffsetCommit = 8, versions 2-10, advertised from 2, flexible 8+;
    /// Tells how far groups have read.
    OffsetFetch = 9, versions 1-10, advertised from 1, flexible 6+;
    /// Finds the brokers that coordinate groups, transactions or share partitions.
    FindCoordinator = 10, versions 0-6, advertised from 0, flexible 3+;
    /// Makes a client a member of a group.
    JoinGroup = 11, versions 0-9, advertised from 0, flexible 6+;
    /// Says that a member of a group is alive.
    Heartbeat = 12, versions 0-4, advertised from 0, flexible 4+;
    /// Takes members out of a group.
    LeaveGroup = 13, versions 0-5, advertised from 0, flexible 4+;
    /// Brings a group's members their parts of the assignment.
    SyncGroup = 14, versions 0-5, advertised from 0, flexible 4+;
    /// Describes groups and their members.
    DescribeGroups = 15, versions 0-6, advertised from 0, flexible 5+;
    /// Names the groups that a broker coordinates.
    ListGroups = 16, versions 0-5, advertised from 0, flexible 3+;
    /// Says which APIs and versions the broker has; the first request of a connection.
    ApiVersions = 18, versions 0-5, advertised from 0, flexible 3+;
    /// Creates topics.
    CreateTopics = 19, versions 2-7, advertised from 2, flexible 5+;
    /// Deletes topics.
    DeleteTopics = 20, versions 1-6, advertised from 1, flexible 4+;
    /// Moves log start offsets up.
    DeleteRecords = 21, versions 0-2, advertised from 0, flexible 2+;
    /// Gives a producer its id and epoch. Version 6 (KIP-939) is not stable in Kafka 4.4 and not advertised there.
    InitProducerId = 22, versions 0-5, advertised from 0, flexible 2+;
    /// Finds the ends of leader epochs.
    OffsetForLeaderEpoch = 23, versions 2-4, advertised from 2, flexible 4+;
    /// Describes settings and where they come from.
    DescribeConfigs = 32, versions 1-4, advertised from 1, flexible 4+;
    /// Replaces all settings of a resource.
    AlterConfigs = 33, versions 0-2, advertised from 0, flexible 2+;
    /// Moves replicas between the log directories of a broker.
    AlterReplicaLogDirs = 34, versions 1-2, advertised from 1, flexible 2+;
    /// Describes log directories and the replicas in them.
    DescribeLogDirs = 35, versions 1-5, advertised from 1, flexible 2+;
    /// Gives topics more partitions.
    CreatePartitions = 37, versions 0-3, advertised from 0, flexible 2+;
    /// Deletes groups without members.
    DeleteGroups = 42, versions 0-3, advertised from 0, flexible 2+;
    /// Elects leaders of partitions.
    ElectLeaders = 43, versions 0-2, advertised from 0, flexible 2+;
    /// Changes single settings.
    IncrementalAlterConfigs = 44, versions 0-1, advertised from 0, flexible 1+;
    /// Moves partitions to other replicas.
    AlterPartitionReassignments = 45, versions 0-1, advertised from 0, flexible 0+;
    /// Lists the partitions that are being moved.
    ListPartitionReassignments = 46, versions 0-0, advertised from 0, flexible 0+;
    /// Forgets how far a group has read.
    OffsetDelete = 47, versions 0-0, advertised from 0, flexible none;
    /// Describes the quotas of clients.
    DescribeClientQuotas = 48, versions 0-1, advertised from 0, flexible 1+;
    /// Changes the quotas of clients.
    AlterClientQuotas = 49, versions 0-1, advertised from 0, flexible 1+;
    /// Describes the quorum that keeps the metadata.
    DescribeQuorum = 55, versions 0-2, advertised from 0, flexible 0+;
    /// Changes the levels of features.
    UpdateFeatures = 57, versions 0-2, advertised from 0, flexible 0+;
    /// Describes the cluster.
    DescribeCluster = 60, versions 0-2, advertised from 0, flexible 0+;
    /// Describes the producers that partitions remember.
    DescribeProducers = 61, versions 0-0, advertised from 0, flexible 0+;
    /// Takes a broker out of the metadata.
    UnregisterBroker = 64, versions 0-0, advertised from 0, flexible 0+;
    /// Lists transactional producers.
    ListTransactions = 66, versions 0-2, advertised from 0, flexible 0+;
    /// Says which metrics a client is to push.
    GetTelemetrySubscriptions = 71, versions 0-0, advertised from 0, flexible 0+;
    /// Takes metrics of a client.
    PushTelemetry = 72, versions 0-0, advertised from 0, flexible 0+;
    /// Lists the resources that have settings.
    ListConfigResources = 74, versions 0-1, advertised from 0, flexible 0+;
    /// Describes topics and partitions, a page at a time.
    DescribeTopicPartitions = 75, versions 0-0, advertised from 0, flexible 0+;
}

// To serve one of these, move its line to the table above and take the word `unserved` out of its API file and of the
// list of messages in `tests/generate`.
unserved_apis! {
    /// Describes transactional producers.
    DescribeTransactions = 65, versions 0-0, advertised from 0, flexible 0+;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_and_round_trip() {
        assert!(ApiKey::ALL.is_sorted_by(|a, b| a.key() < b.key()));
        for api in ApiKey::ALL {
            assert_eq!(ApiKey::from_key(api.key()), Some(*api));
            assert!(api.advertised_min() <= api.min_version() && api.min_version() <= api.max_version());
        }
        assert_eq!(ApiKey::from_key(4), None);
        assert_eq!(ApiKey::from_key(-1), None);
    }

    #[test]
    fn an_api_without_a_handler_does_not_exist() {
        assert!(UnservedApi::ALL.is_sorted_by(|a, b| a.key() < b.key()));
        for api in UnservedApi::ALL {
            assert_eq!(ApiKey::from_key(api.key()), None, "{api:?}");
            assert!(ApiKey::ALL.iter().all(|served| served.name() != api.name()), "{api:?}");
        }
    }

    #[test]
    fn header_versions() {
        assert_eq!(ApiKey::Produce.request_header_version(8), 1);
        assert_eq!(ApiKey::Produce.request_header_version(9), 2);
        assert_eq!(ApiKey::Produce.response_header_version(8), 0);
        assert_eq!(ApiKey::Produce.response_header_version(9), 1);
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::ApiVersions.request_header_version(99), 2);
        assert_eq!(ApiKey::ApiVersions.response_header_version(5), 0);
    }
}
