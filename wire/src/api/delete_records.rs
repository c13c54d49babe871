//! DeleteRecords: moves log start offsets up (KIP-107).
//!
//! - 2: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

/// In place of an offset: the partition's high watermark.
pub const HIGH_WATERMARK: i64 = -1;

/// In place of a low watermark: there is none, because of an error.
pub const LOW_WATERMARK_UNKNOWN: i64 = -1;

request!(DeleteRecords: DeleteRecordsRequest<'a> => DeleteRecordsResponse<'r>);

message! {
    versions 0-2, flexible 2+;

    /// Up to where to delete records.
    pub struct DeleteRecordsRequest<'a> {
        /// The topics.
        topics: Array<'a, DeleteRecordsTopic<'a>> [0+],
        /// How long all replicas may take, in milliseconds.
        timeout_ms: i32 [0+],
    }

    /// Partitions of one topic.
    pub struct DeleteRecordsTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, DeleteRecordsPartition> [0+],
    }

    /// One partition.
    pub struct DeleteRecordsPartition {
        /// The partition.
        partition_index: i32 [0+],
        /// The first offset that is to stay, or [`HIGH_WATERMARK`].
        offset: i64 [0+],
    }
}

message! {
    versions 0-2, flexible 2+;

    /// Where the logs begin now.
    pub struct DeleteRecordsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The topics.
        topics: Array<'a, DeleteRecordsTopicResult<'a>> [0+],
    }

    /// Partitions of one topic.
    pub struct DeleteRecordsTopicResult<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, DeleteRecordsPartitionResult> [0+],
    }

    /// One partition.
    pub struct DeleteRecordsPartitionResult {
        /// The partition.
        partition_index: i32 [0+],
        /// The lowest log start offset of its replicas that are alive, or [`LOW_WATERMARK_UNKNOWN`].
        low_watermark: i64 [0+],
        /// Why nothing was deleted, or none.
        error_code: ErrorCode [0+],
    }
}
