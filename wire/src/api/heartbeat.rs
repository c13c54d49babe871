//! Heartbeat: says that a member is alive, and asks whether its group rebalances.
//!
//! - 1: throttle time.
//! - 3: static membership (KIP-345).
//! - 4: flexible.

use crate::error_code::ErrorCode;

request!(Heartbeat: HeartbeatRequest<'a> => HeartbeatResponse);

message! {
    versions 0-4, flexible 4+;

    /// Which member is alive.
    pub struct HeartbeatRequest<'a> {
        /// The group.
        group_id: &'a str [0+],
        /// The generation that the member is in.
        generation_id: i32 [0+],
        /// The member's id.
        member_id: &'a str [0+],
        /// The static member's own name, or null (KIP-345).
        group_instance_id: Option<&'a str> [3+, nullable 3+],
    }
}

message! {
    versions 0-4, flexible 4+;

    /// Whether the member is still one.
    pub struct HeartbeatResponse {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// Why it is not, or must join again, or none.
        error_code: ErrorCode [0+],
    }
}
