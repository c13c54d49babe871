//! AlterConfigs: replaces all settings of topics, brokers and others. What is not named goes back to its default, which is
//! why there is IncrementalAlterConfigs.
//!
//! - 2: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(AlterConfigs: AlterConfigsRequest<'a> => AlterConfigsResponse<'r>);

message! {
    versions 0-2, flexible 2+;

    /// The new settings.
    pub struct AlterConfigsRequest<'a> {
        /// The resources.
        resources: Array<'a, AlterConfigsResource<'a>> [0+],
        /// Whether only to check if the settings could be changed.
        validate_only: bool [0+],
    }

    /// The new settings of a resource.
    pub struct AlterConfigsResource<'a> {
        /// What it is: a resource type of [`super::describe_configs`].
        resource_type: i8 [0+],
        /// Its name.
        resource_name: &'a str [0+],
        /// Its settings, all of them.
        configs: Array<'a, AlterableConfig<'a>> [0+],
    }

    /// A setting.
    pub struct AlterableConfig<'a> {
        /// The setting's name.
        name: &'a str [0+],
        /// Its value, or null.
        value: Option<&'a str> [0+, nullable 0+],
    }
}

message! {
    versions 0-2, flexible 2+;

    /// What became of the settings.
    pub struct AlterConfigsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The resources.
        responses: Array<'a, AlterConfigsResourceResponse<'a>> [0+],
    }

    /// What became of the settings of a resource.
    pub struct AlterConfigsResourceResponse<'a> {
        /// Why they were not changed, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// What the resource is.
        resource_type: i8 [0+],
        /// Its name.
        resource_name: &'a str [0+],
    }
}
