//! DeleteGroups: deletes groups that have no members, and their offsets.
//!
//! - 2: flexible.
//! - 3: errors in words.

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(DeleteGroups: DeleteGroupsRequest<'a> => DeleteGroupsResponse<'r>);

message! {
    versions 0-3, flexible 2+;

    /// Which groups to delete.
    pub struct DeleteGroupsRequest<'a> {
        /// The groups.
        groups_names: Array<'a, &'a str> [0+],
    }
}

message! {
    versions 0-3, flexible 2+;

    /// What became of the groups.
    pub struct DeleteGroupsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The groups.
        results: Array<'a, DeletableGroupResult<'a>> [0+],
    }

    /// What became of one group.
    pub struct DeletableGroupResult<'a> {
        /// The group.
        group_id: &'a str [0+],
        /// Why it was not deleted, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [3+, nullable 3+, ignorable],
    }
}
