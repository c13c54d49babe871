//! What members ask of a group, decoded, with the bounds that the broker's configuration sets.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use super::MemberId;

/// The broker's bounds for classic groups, passed with each call that needs them so that a change takes effect at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    /// `group.min.session.timeout.ms`.
    pub(crate) min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub(crate) max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub(crate) initial_rebalance_delay_ms: i32,
    /// `group.max.size`: the most members of one group.
    pub(crate) max_size: usize,
}

/// A JoinGroup request.
#[derive(Clone, Debug)]
pub(crate) struct Joining<'a> {
    /// The member's id; empty if it has none yet.
    pub(crate) member_id: &'a str,
    /// Who it is across restarts (static membership, KIP-345).
    pub(crate) instance_id: Option<&'a str>,
    /// The client id of the request's header.
    pub(crate) client_id: &'a str,
    /// The peer's address, as it is shown to operators.
    pub(crate) client_host: &'a str,
    /// After so long without a sign of life the member is removed.
    pub(crate) session_timeout_ms: i32,
    /// How long a rebalance waits for the member; in version 0 the session timeout.
    pub(crate) rebalance_timeout_ms: i32,
    /// The kind of group, `consumer` for consumers.
    pub(crate) protocol_type: &'a str,
    /// Assignors by preference, with the member's metadata for each.
    pub(crate) protocols: Vec<(&'a str, &'a [u8])>,
    /// From version 4 on: a dynamic member without an id is told one first and joins with it (KIP-394).
    pub(crate) requires_known_member_id: bool,
    /// From version 9 on: a leader may be told not to assign (KIP-814).
    pub(crate) supports_skip_assignment: bool,
    /// Why the member joins, from version 8 on (KIP-800).
    pub(crate) reason: Option<&'a str>,
    /// Makes up the id of a new member.
    pub(crate) new_member_id: MemberSuffix,
}

/// 128 random bits that make a member id unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberSuffix(pub(crate) [u8; 16]);

impl MemberSuffix {
    /// The id of a new member: its instance id, or else its client id, a dash and the bits as a random UUID.
    pub(super) fn after(self, name: &str) -> MemberId {
        format!("{name}-{self}").into()
    }
}

/// The text form of a UUID of version 4.
impl fmt::Display for MemberSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        for (index, byte) in bytes.iter().enumerate() {
            if [4, 6, 8, 10].contains(&index) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A SyncGroup request.
#[derive(Clone, Debug)]
pub(crate) struct Syncing<'a> {
    /// The member's id.
    pub(crate) member_id: &'a str,
    /// Its instance id, if it is static.
    pub(crate) instance_id: Option<&'a str>,
    /// The generation that it joined.
    pub(crate) generation: i32,
    /// From version 5 on, checked against the group's (KIP-559).
    pub(crate) protocol_type: Option<&'a str>,
    /// From version 5 on, checked against the group's (KIP-559).
    pub(crate) protocol_name: Option<&'a str>,
    /// The leader's assignment for each member; empty from the others.
    pub(crate) assignments: Vec<(&'a str, &'a [u8])>,
}

/// One member that leaves, of a LeaveGroup request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving<'a> {
    /// The member's id; empty if an operator removes a static member by its instance id.
    pub(crate) member_id: &'a str,
    /// Its instance id, if it is static.
    pub(crate) instance_id: Option<&'a str>,
    /// Why, from version 5 on (KIP-800).
    pub(crate) reason: Option<&'a str>,
}

/// What a client sent, cut and escaped for the log.
pub(super) struct Short<'a>(pub(super) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 120;
        for char in self.0.chars().take(CHARS_MAX) {
            write!(f, "{}", char.escape_debug())?;
        }
        if self.0.chars().nth(CHARS_MAX).is_some() { f.write_str("…") } else { Ok(()) }
    }
}
