//! What a group wants done: answers to those who wait, records to be stored, lines for the log.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::error_code::ErrorCode;

use super::{MemberId, StoredGroup};
use crate::io::LogLevel;

/// What the coordinator does for a group, in the order in which it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect<T> {
    /// Answer a JoinGroup request.
    Join {
        /// Who waits.
        waiter: T,
        /// The answer.
        answer: JoinAnswer,
    },
    /// Answer a SyncGroup request.
    Sync {
        /// Who waits.
        waiter: T,
        /// The answer.
        answer: SyncAnswer,
    },
    /// Append the group's metadata to its partition, in the order of these effects, and call
    /// [`super::Group::persisted`] with the ticket when it is durable or refused. What is answered only then comes out
    /// of that call.
    Persist {
        /// Names it in [`super::Group::persisted`].
        ticket: PersistTicket,
        /// What is stored.
        stored: StoredGroup,
    },
    /// Something a person may want to read.
    Log(LogLevel, String),
}

/// One [`Effect::Persist`] of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PersistTicket(pub(crate) u64);

/// The answer to a JoinGroup request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinAnswer {
    /// Why it did not join, or none.
    pub(crate) error: ErrorCode,
    /// The generation; -1 with an error.
    pub(crate) generation: i32,
    /// The kind of group.
    pub(crate) protocol_type: Option<Arc<str>>,
    /// The assignor chosen.
    pub(crate) protocol_name: Option<Arc<str>>,
    /// The leader's member id; empty with an error.
    pub(crate) leader: MemberId,
    /// Whether a leader must not assign, since the group's assignment stands (KIP-814).
    pub(crate) skip_assignment: bool,
    /// The member's id.
    pub(crate) member_id: MemberId,
    /// For the leader: every member of the generation.
    pub(crate) members: Vec<JoinedMember>,
}

impl JoinAnswer {
    /// A refusal.
    pub(super) fn refused(error: ErrorCode, member_id: &str) -> Self {
        Self {
            error,
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: "".into(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: Vec::new(),
        }
    }
}

/// A member, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    /// The member's id.
    pub(crate) member_id: MemberId,
    /// Its instance id, if it is static.
    pub(crate) instance_id: Option<Arc<str>>,
    /// Its metadata for the assignor chosen.
    pub(crate) metadata: Bytes,
}

/// The answer to a SyncGroup request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncAnswer {
    /// Why there is no assignment, or none.
    pub(crate) error: ErrorCode,
    /// The kind of group.
    pub(crate) protocol_type: Option<Arc<str>>,
    /// The assignor chosen.
    pub(crate) protocol_name: Option<Arc<str>>,
    /// What the leader assigned to the member; empty with an error.
    pub(crate) assignment: Bytes,
}

impl SyncAnswer {
    /// A refusal.
    pub(super) fn refused(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}
