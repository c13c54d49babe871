//! DescribeGroups: tells the state of groups, and who is in them.
//!
//! - 1: throttle time.
//! - 3: what the client may do.
//! - 4: names of static members (KIP-345).
//! - 5: flexible.
//! - 6: errors in words; GROUP_ID_NOT_FOUND for a group that is not there, which is `Dead` without an error before
//!   (KIP-1043).

use crate::api::metadata::OPERATIONS_NOT_ASKED_FOR;
use crate::array::Array;
use crate::error_code::ErrorCode;

request!(DescribeGroups: DescribeGroupsRequest<'a> => DescribeGroupsResponse<'r>);

message! {
    versions 0-6, flexible 5+;

    /// Which groups to describe.
    pub struct DescribeGroupsRequest<'a> {
        /// The groups.
        groups: Array<'a, &'a str> [0+],
        /// Whether to say what the client may do with them.
        include_authorized_operations: bool [3+],
    }
}

message! {
    versions 0-6, flexible 5+;

    /// The groups.
    pub struct DescribeGroupsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// The groups.
        groups: Array<'a, DescribedGroup<'a>> [0+],
    }

    /// A group.
    pub struct DescribedGroup<'a> {
        /// Why it is not described, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [6+, nullable 6+],
        /// The group.
        group_id: &'a str [0+],
        /// Its state in Kafka's words, `Stable` for one; empty with an error.
        group_state: &'a str [0+],
        /// What kind of group it is; empty with an error.
        protocol_type: &'a str [0+],
        /// The protocol that was chosen, in a stable group; empty otherwise.
        protocol_data: &'a str [0+],
        /// Its members.
        members: Array<'a, DescribedGroupMember<'a>> [0+],
        /// What the client may do with it, a bit per operation; [`OPERATIONS_NOT_ASKED_FOR`] otherwise.
        authorized_operations: i32 [3+, default OPERATIONS_NOT_ASKED_FOR],
    }

    /// A member.
    pub struct DescribedGroupMember<'a> {
        /// Its id.
        member_id: &'a str [0+],
        /// The static member's own name, or null (KIP-345).
        group_instance_id: Option<&'a str> [4+, nullable 4+, ignorable],
        /// The client id of its last JoinGroup.
        client_id: &'a str [0+],
        /// Where the client is: `/` and its address.
        client_host: &'a str [0+],
        /// What it sent with the protocol that was chosen, in a stable group; empty otherwise.
        member_metadata: &'a [u8] [0+],
        /// Its part of the assignment, in a stable group; empty otherwise.
        member_assignment: &'a [u8] [0+],
    }
}
