//! SyncGroup: brings the leader's assignment to the group, and each member its part of it.
//!
//! - 1: throttle time.
//! - 3: static membership (KIP-345).
//! - 4: flexible.
//! - 5: protocol type and name go both ways, and must fit (KIP-559).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(SyncGroup: SyncGroupRequest<'a> => SyncGroupResponse<'r>);

message! {
    versions 0-5, flexible 4+;

    /// Which member asks; from the leader, who gets what.
    pub struct SyncGroupRequest<'a> {
        /// The group.
        group_id: &'a str [0+],
        /// The generation that the member is in.
        generation_id: i32 [0+],
        /// The member's id.
        member_id: &'a str [0+],
        /// The static member's own name, or null (KIP-345).
        group_instance_id: Option<&'a str> [3+, nullable 3+],
        /// What kind of group it is, or null.
        protocol_type: Option<&'a str> [5+, nullable 5+, ignorable],
        /// The protocol that was chosen, or null.
        protocol_name: Option<&'a str> [5+, nullable 5+, ignorable],
        /// The leader's assignment; empty from others.
        assignments: Array<'a, SyncGroupRequestAssignment<'a>> [0+],
    }

    /// What a member gets.
    pub struct SyncGroupRequestAssignment<'a> {
        /// The member's id.
        member_id: &'a str [0+],
        /// Its part; an assignment of partitions for consumers.
        assignment: &'a [u8] [0+],
    }
}

message! {
    versions 0-5, flexible 4+;

    /// The member's part.
    pub struct SyncGroupResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// Why there is none, or none.
        error_code: ErrorCode [0+],
        /// What kind of group it is, or null.
        protocol_type: Option<&'a str> [5+, nullable 5+, ignorable],
        /// The protocol that was chosen, or null.
        protocol_name: Option<&'a str> [5+, nullable 5+, ignorable],
        /// The member's part; empty where the leader gave it nothing.
        assignment: &'a [u8] [0+],
    }
}
