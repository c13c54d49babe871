//! OffsetForLeaderEpoch: where a leader epoch ends in the leader's log, for readers that look for the point up to which
//! theirs agrees with it.
//!
//! - 2: the leader epoch the reader believes in (KIP-320); throttle time.
//! - 3: who reads (KIP-392).
//! - 4: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

/// In place of a leader epoch: there is none.
pub const LEADER_EPOCH_UNDEFINED: i32 = -1;
/// In place of the end of a leader epoch: there is none.
pub const END_OFFSET_UNDEFINED: i64 = -1;

request!(OffsetForLeaderEpoch: OffsetForLeaderEpochRequest<'a> => OffsetForLeaderEpochResponse<'r>);

message! {
    versions 2-4, flexible 4+;

    /// Which leader epochs to look up.
    pub struct OffsetForLeaderEpochRequest<'a> {
        /// The follower's broker id; -1 for a consumer, -2 for a reader that may see beyond the high watermark.
        replica_id: i32 [3+, default -2, ignorable],
        /// The topics.
        topics: Array<'a, OffsetForLeaderTopic<'a>> [0+],
    }

    /// Leader epochs to look up in one topic.
    pub struct OffsetForLeaderTopic<'a> {
        /// The topic's name.
        topic: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, OffsetForLeaderPartition> [0+],
    }

    /// A leader epoch to look up.
    pub struct OffsetForLeaderPartition {
        /// The partition.
        partition: i32 [0+],
        /// The leader epoch the reader believes in, or -1. FENCED_LEADER_EPOCH if the leader's is higher,
        /// UNKNOWN_LEADER_EPOCH if it is lower.
        current_leader_epoch: i32 [2+, default -1, ignorable],
        /// The leader epoch to look up.
        leader_epoch: i32 [0+],
    }
}

message! {
    versions 2-4, flexible 4+;

    /// The ends of the leader epochs.
    pub struct OffsetForLeaderEpochResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [2+, ignorable],
        /// The topics.
        topics: Array<'a, OffsetForLeaderTopicResult<'a>> [0+],
    }

    /// The ends of leader epochs in one topic.
    pub struct OffsetForLeaderTopicResult<'a> {
        /// The topic's name.
        topic: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, EpochEndOffset> [0+],
    }

    /// The end of a leader epoch.
    pub struct EpochEndOffset {
        /// Why there is no offset, or none.
        error_code: ErrorCode [0+],
        /// The partition.
        partition: i32 [0+],
        /// The leader epoch asked for, or the highest one below it that has records; otherwise [`LEADER_EPOCH_UNDEFINED`].
        leader_epoch: i32 [1+, default -1, ignorable],
        /// The offset behind its last record, or [`END_OFFSET_UNDEFINED`].
        end_offset: i64 [0+, default -1],
    }
}
