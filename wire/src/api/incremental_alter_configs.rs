//! IncrementalAlterConfigs: changes single settings of topics, brokers and others (KIP-339).
//!
//! - 1: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

/// An operation: gives the setting a value.
pub const SET_OPERATION: i8 = 0;
/// An operation: takes the value away, so that the default holds again.
pub const DELETE_OPERATION: i8 = 1;
/// An operation: adds elements to a setting that is a list.
pub const APPEND_OPERATION: i8 = 2;
/// An operation: takes elements from a setting that is a list.
pub const SUBTRACT_OPERATION: i8 = 3;

request!(IncrementalAlterConfigs: IncrementalAlterConfigsRequest<'a> => IncrementalAlterConfigsResponse<'r>);

message! {
    versions 0-1, flexible 1+;

    /// The changes.
    pub struct IncrementalAlterConfigsRequest<'a> {
        /// The resources.
        resources: Array<'a, AlterConfigsResource<'a>> [0+],
        /// Whether only to check if the settings could be changed.
        validate_only: bool [0+],
    }

    /// The changes to a resource.
    pub struct AlterConfigsResource<'a> {
        /// What it is: a resource type of [`super::describe_configs`].
        resource_type: i8 [0+],
        /// Its name.
        resource_name: &'a str [0+],
        /// The settings that change.
        configs: Array<'a, AlterableConfig<'a>> [0+],
    }

    /// A change to a setting.
    pub struct AlterableConfig<'a> {
        /// The setting's name.
        name: &'a str [0+],
        /// What to do with it: a constant of this file.
        config_operation: i8 [0+],
        /// The value to do it with, or null.
        value: Option<&'a str> [0+, nullable 0+],
    }
}

message! {
    versions 0-1, flexible 1+;

    /// What became of the changes.
    pub struct IncrementalAlterConfigsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The resources.
        responses: Array<'a, AlterConfigsResourceResponse<'a>> [0+],
    }

    /// What became of the changes to a resource.
    pub struct AlterConfigsResourceResponse<'a> {
        /// Why nothing was changed, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [0+, nullable 0+],
        /// What the resource is.
        resource_type: i8 [0+],
        /// Its name.
        resource_name: &'a str [0+],
    }
}
