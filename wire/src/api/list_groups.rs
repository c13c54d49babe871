//! ListGroups: names the groups that a broker coordinates.
//!
//! - 1: throttle time.
//! - 3: flexible.
//! - 4: states, and a filter by them (KIP-518).
//! - 5: types, and a filter by them (KIP-848).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(ListGroups: ListGroupsRequest<'a> => ListGroupsResponse<'r>);

message! {
    versions 0-5, flexible 3+;

    /// Which groups to name.
    pub struct ListGroupsRequest<'a> {
        /// Only groups in these states; empty for all.
        states_filter: Array<'a, &'a str> [4+],
        /// Only groups of these types; empty for all.
        types_filter: Array<'a, &'a str> [5+],
    }
}

message! {
    versions 0-5, flexible 3+;

    /// The groups.
    pub struct ListGroupsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// Why no group is named, or none.
        error_code: ErrorCode [0+],
        /// The groups.
        groups: Array<'a, ListedGroup<'a>> [0+],
    }

    /// A group.
    pub struct ListedGroup<'a> {
        /// The group.
        group_id: &'a str [0+],
        /// What kind of members it has, `consumer` for consumers; empty if it never had any.
        protocol_type: &'a str [0+],
        /// Its state in Kafka's words, `Stable` for one.
        group_state: &'a str [4+, ignorable],
        /// Its type in Kafka's words, `classic` for one.
        group_type: &'a str [5+, ignorable],
    }
}
