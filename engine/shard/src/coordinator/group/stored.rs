//! What of a group survives the broker: the content of Kafka's GroupMetadataValue record, version-free.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::MemberId;

/// A group as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredGroup {
    /// The kind of group; none is stored as the empty string.
    pub(crate) protocol_type: Option<Arc<str>>,
    /// The generation.
    pub(crate) generation: i32,
    /// The assignor chosen; none when the group has no members.
    pub(crate) protocol_name: Option<Arc<str>>,
    /// The leader's member id; none when the group has no members.
    pub(crate) leader: Option<MemberId>,
    /// When it came into its state, in milliseconds since the Unix epoch; none is stored as -1.
    pub(crate) current_state_timestamp_ms: Option<i64>,
    /// The members with their assignments.
    pub(crate) members: Vec<StoredMember>,
}

/// A member as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMember {
    /// The member's id.
    pub(crate) member_id: MemberId,
    /// Its instance id, if it is static.
    pub(crate) instance_id: Option<Arc<str>>,
    /// The client id with which it joined.
    pub(crate) client_id: Arc<str>,
    /// The address from which it joined.
    pub(crate) client_host: Arc<str>,
    /// How long a rebalance waits for it. Records of version 0 have none (-1): then the session timeout.
    pub(crate) rebalance_timeout_ms: i32,
    /// After so long without a sign of life it is removed.
    pub(crate) session_timeout_ms: i32,
    /// Its metadata for the assignor chosen.
    pub(crate) subscription: Bytes,
    /// Its assignment.
    pub(crate) assignment: Bytes,
}
