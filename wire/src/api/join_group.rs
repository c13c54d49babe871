//! JoinGroup: makes a client a member of a group, and waits until the group's next generation is complete.
//!
//! - 1: a timeout of its own for rebalances; before, it is the session timeout.
//! - 2: throttle time.
//! - 4: MEMBER_ID_REQUIRED may be answered to a member without id, with the id to come back with (KIP-394).
//! - 5: static membership (KIP-345).
//! - 6: flexible.
//! - 7: the protocol type comes back; the protocol's name may be null (KIP-559).
//! - 8: why the member joins (KIP-800).
//! - 9: whether the leader has nothing to assign (KIP-814).

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(JoinGroup: JoinGroupRequest<'a> => JoinGroupResponse<'r>);

message! {
    versions 0-9, flexible 6+;

    /// Who joins, and what it can do.
    pub struct JoinGroupRequest<'a> {
        /// The group.
        group_id: &'a str [0+],
        /// After how long without a heartbeat the member counts as dead, in milliseconds.
        session_timeout_ms: i32 [0+],
        /// How long a rebalance waits for the member to join again, in milliseconds; -1 where the session timeout counts.
        rebalance_timeout_ms: i32 [1+, default -1, ignorable],
        /// The member's id; empty if it has none yet.
        member_id: &'a str [0+],
        /// The static member's own name, or null (KIP-345).
        group_instance_id: Option<&'a str> [5+, nullable 5+],
        /// What kind of group it is, `consumer` for consumers.
        protocol_type: &'a str [0+],
        /// The protocols that the member has, the one it likes best first.
        protocols: Array<'a, JoinGroupRequestProtocol<'a>> [0+],
        /// Why the member joins, or null.
        reason: Option<&'a str> [8+, nullable 8+, ignorable],
    }

    /// A protocol of a member.
    pub struct JoinGroupRequestProtocol<'a> {
        /// Its name; that of an assignor for consumers.
        name: &'a str [0+],
        /// What the leader is to know of the member; a subscription for consumers.
        metadata: &'a [u8] [0+],
    }
}

message! {
    versions 0-9, flexible 6+;

    /// The generation that the member is in.
    pub struct JoinGroupResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [2+, ignorable],
        /// Why the member could not join, or none.
        error_code: ErrorCode [0+],
        /// The generation, or -1.
        generation_id: i32 [0+, default -1],
        /// What kind of group it is, or null.
        protocol_type: Option<&'a str> [7+, nullable 7+, ignorable],
        /// The protocol that was chosen, or null; empty instead of null before version 7.
        protocol_name: Option<&'a str> [0+, nullable 7+],
        /// The member that leads the group.
        leader: &'a str [0+],
        /// Whether the leader is to leave the assignment as it is (KIP-814).
        skip_assignment: bool [9+],
        /// The member's id.
        member_id: &'a str [0+],
        /// All members for the leader, none for others.
        members: Array<'a, JoinGroupResponseMember<'a>> [0+],
    }

    /// A member of the group.
    pub struct JoinGroupResponseMember<'a> {
        /// Its id.
        member_id: &'a str [0+],
        /// The static member's own name, or null (KIP-345).
        group_instance_id: Option<&'a str> [5+, nullable 5+, ignorable],
        /// What it sent with the protocol that was chosen.
        metadata: &'a [u8] [0+],
    }
}
