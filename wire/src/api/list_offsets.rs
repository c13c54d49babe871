//! ListOffsets: finds offsets by timestamp.
//!
//! - 1: one offset per partition, with its timestamp.
//! - 2: isolation level.
//! - 4: leader epochs (KIP-320).
//! - 5: OFFSET_NOT_AVAILABLE may be answered.
//! - 6: flexible.
//! - 7: [`MAX_TIMESTAMP`] (KIP-734).
//! - 8: [`EARLIEST_LOCAL_TIMESTAMP`] (KIP-405).
//! - 9: [`LATEST_TIERED_TIMESTAMP`] (KIP-1005).
//! - 10: a timeout for reads of remote storage (KIP-1075).
//! - 11: [`EARLIEST_PENDING_UPLOAD_TIMESTAMP`] (KIP-1023).

use crate::array::Array;
use crate::error_code::ErrorCode;

/// Asks for the offset of the next record; with isolation level 1, for the last stable offset.
pub const LATEST_TIMESTAMP: i64 = -1;
/// Asks for the log start offset.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// Asks for the record with the highest timestamp.
pub const MAX_TIMESTAMP: i64 = -3;
/// Asks for the first offset that is on the broker's own disk.
pub const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
/// Asks for the last offset that is in remote storage.
pub const LATEST_TIERED_TIMESTAMP: i64 = -5;
/// Asks for the first offset that is not in remote storage yet.
pub const EARLIEST_PENDING_UPLOAD_TIMESTAMP: i64 = -6;

request!(ListOffsets: ListOffsetsRequest<'a> => ListOffsetsResponse<'r>);

message! {
    versions 1-11, flexible 6+;

    /// Which offsets to find.
    pub struct ListOffsetsRequest<'a> {
        /// The follower's broker id; -1 for a consumer.
        replica_id: i32 [0+],
        /// 0: all records; 1: only those of no or of committed transactions.
        isolation_level: i8 [2+],
        /// The topics.
        topics: Array<'a, ListOffsetsTopic<'a>> [0+],
        /// How long reads of remote storage may take, in milliseconds.
        timeout_ms: i32 [10+, ignorable],
    }

    /// Offsets to find in one topic.
    pub struct ListOffsetsTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, ListOffsetsPartition> [0+],
    }

    /// An offset to find.
    pub struct ListOffsetsPartition {
        /// The partition.
        partition_index: i32 [0+],
        /// The leader epoch the client believes in, or -1.
        current_leader_epoch: i32 [4+, default -1, ignorable],
        /// The earliest timestamp the record may have, in milliseconds, or one of the negative constants of this file.
        timestamp: i64 [0+],
    }
}

message! {
    versions 1-11, flexible 6+;

    /// The offsets.
    pub struct ListOffsetsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [2+, ignorable],
        /// The topics.
        topics: Array<'a, ListOffsetsTopicResponse<'a>> [0+],
    }

    /// Offsets in one topic.
    pub struct ListOffsetsTopicResponse<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, ListOffsetsPartitionResponse> [0+],
    }

    /// An offset.
    pub struct ListOffsetsPartitionResponse {
        /// The partition.
        partition_index: i32 [0+],
        /// Why there is no offset, or none.
        error_code: ErrorCode [0+],
        /// The timestamp of the record found, or -1.
        timestamp: i64 [1+, default -1],
        /// The offset found, or -1.
        offset: i64 [1+, default -1],
        /// The leader epoch of the record found, or -1.
        leader_epoch: i32 [4+, default -1],
    }
}
