//! LeaveGroup: takes members out of a group.
//!
//! - 1: throttle time.
//! - 3: several members at once, static ones by their own names (KIP-345).
//! - 4: flexible.
//! - 5: why a member leaves (KIP-800).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(LeaveGroup: LeaveGroupRequest<'a> => LeaveGroupResponse<'r>);

message! {
    versions 0-5, flexible 4+;

    /// Who leaves.
    pub struct LeaveGroupRequest<'a> {
        /// The group.
        group_id: &'a str [0+],
        /// The member.
        member_id: &'a str [0-2],
        /// The members.
        members: Array<'a, MemberIdentity<'a>> [3+],
    }

    /// A member that leaves.
    pub struct MemberIdentity<'a> {
        /// Its id; may be empty where it has a name.
        member_id: &'a str [3+],
        /// The static member's own name, or null.
        group_instance_id: Option<&'a str> [3+, nullable 3+],
        /// Why it leaves, or null.
        reason: Option<&'a str> [5+, nullable 5+, ignorable],
    }
}

message! {
    versions 0-5, flexible 4+;

    /// What became of the members.
    pub struct LeaveGroupResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// Why nobody left, or none.
        error_code: ErrorCode [0+],
        /// The members.
        members: Array<'a, MemberResponse<'a>> [3+],
    }

    /// What became of one member.
    pub struct MemberResponse<'a> {
        /// Its id.
        member_id: &'a str [3+],
        /// The static member's own name, or null.
        group_instance_id: Option<&'a str> [3+, nullable 3+],
        /// Why it did not leave, or none.
        error_code: ErrorCode [3+],
    }
}
