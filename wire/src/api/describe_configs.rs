//! DescribeConfigs: the settings of topics, brokers and others, and where each value comes from.
//!
//! - 1: where values come from, and synonyms (KIP-226).
//! - 3: types and documentation (KIP-569).
//! - 4: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

/// A resource type: a topic, named.
pub const TOPIC_RESOURCE: i8 = 2;
/// A resource type: a broker, named by its id in decimal; an empty name is the default of all brokers.
pub const BROKER_RESOURCE: i8 = 4;
/// A resource type: the log levels of a broker, named by its id in decimal (KIP-412).
pub const BROKER_LOGGER_RESOURCE: i8 = 8;
/// A resource type: a subscription to clients' metrics, named (KIP-714).
pub const CLIENT_METRICS_RESOURCE: i8 = 16;
/// A resource type: a group, named by its id (KIP-848).
pub const GROUP_RESOURCE: i8 = 32;

/// A source: set for this topic.
pub const TOPIC_SOURCE: i8 = 1;
/// A source: set for this broker while it runs.
pub const DYNAMIC_BROKER_SOURCE: i8 = 2;
/// A source: set for all brokers while they run.
pub const DYNAMIC_DEFAULT_BROKER_SOURCE: i8 = 3;
/// A source: what the broker was started with.
pub const STATIC_BROKER_SOURCE: i8 = 4;
/// A source: nobody set it.
pub const DEFAULT_SOURCE: i8 = 5;
/// A source: set for this broker's log levels while it runs (KIP-412).
pub const DYNAMIC_BROKER_LOGGER_SOURCE: i8 = 6;
/// A source: set for this subscription to clients' metrics (KIP-714).
pub const CLIENT_METRICS_SOURCE: i8 = 7;
/// A source: set for this group (KIP-848).
pub const GROUP_SOURCE: i8 = 8;

/// A setting's type: not known.
pub const UNKNOWN_TYPE: i8 = 0;
/// A setting's type: `true` or `false`.
pub const BOOLEAN_TYPE: i8 = 1;
/// A setting's type: text.
pub const STRING_TYPE: i8 = 2;
/// A setting's type: a number of 32 bits.
pub const INT_TYPE: i8 = 3;
/// A setting's type: a number of 16 bits.
pub const SHORT_TYPE: i8 = 4;
/// A setting's type: a number of 64 bits.
pub const LONG_TYPE: i8 = 5;
/// A setting's type: a floating point number.
pub const DOUBLE_TYPE: i8 = 6;
/// A setting's type: texts with commas between them.
pub const LIST_TYPE: i8 = 7;
/// A setting's type: the name of a Java class.
pub const CLASS_TYPE: i8 = 8;
/// A setting's type: a secret.
pub const PASSWORD_TYPE: i8 = 9;

request!(DescribeConfigs: DescribeConfigsRequest<'a> => DescribeConfigsResponse<'r>);

message! {
    versions 1-4, flexible 4+;

    /// Whose settings to describe.
    pub struct DescribeConfigsRequest<'a> {
        /// The resources.
        resources: Array<'a, DescribeConfigsResource<'a>> [0+],
        /// Whether to name every place that a value could come from.
        include_synonyms: bool [1+],
        /// Whether to say what settings mean.
        include_documentation: bool [3+],
    }

    /// A resource to describe.
    pub struct DescribeConfigsResource<'a> {
        /// What it is: a constant of this file.
        resource_type: i8 [0+],
        /// Its name.
        resource_name: &'a str [0+],
        /// The settings to describe; null for all of them.
        configuration_keys: Option<Array<'a, &'a str>> [0+, nullable 0+],
    }
}

message! {
    versions 1-4, flexible 4+;

    /// The settings.
    pub struct DescribeConfigsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The resources.
        results: Array<'a, DescribeConfigsResult<'a>> [0+],
    }

    /// The settings of a resource.
    pub struct DescribeConfigsResult<'a> {
        /// Why it is not described, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// What it is.
        resource_type: i8 [0+],
        /// Its name.
        resource_name: &'a str [0+],
        /// Its settings.
        configs: Array<'a, DescribeConfigsResourceResult<'a>> [0+],
    }

    /// A setting.
    pub struct DescribeConfigsResourceResult<'a> {
        /// The setting's name.
        name: &'a str [0+],
        /// Its value, or null; always null for a secret.
        value: Option<&'a str> [0+, nullable 0+],
        /// Whether it cannot be changed.
        read_only: bool [0+],
        /// Where the value comes from: a constant of this file.
        config_source: i8 [1+, default -1, ignorable],
        /// Whether it is a secret.
        is_sensitive: bool [0+],
        /// The places that the value could come from and that have one, the strongest first.
        synonyms: Array<'a, DescribeConfigsSynonym<'a>> [1+, ignorable],
        /// The setting's type: a constant of this file.
        config_type: i8 [3+, ignorable],
        /// What the setting means; null where that was not asked for.
        documentation: Option<&'a str> [3+, nullable 0+, default Some(""), ignorable],
    }

    /// A place that a value could come from.
    pub struct DescribeConfigsSynonym<'a> {
        /// What the setting is called there.
        name: &'a str [1+],
        /// Its value there, or null.
        value: Option<&'a str> [1+, nullable 0+],
        /// Which place that is: a constant of this file.
        source: i8 [1+],
    }
}
