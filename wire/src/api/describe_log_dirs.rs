//! DescribeLogDirs: which replicas lie in a broker's log directories, and how large they are (KIP-113).
//!
//! - 2: flexible.
//! - 3: an error of the whole response (KIP-784).
//! - 4: size of and room on the volume (KIP-827).
//! - 5: whether a directory takes no new replicas (KIP-1066).

use crate::array::Array;
use crate::error_code::ErrorCode;

/// The size of or the room on a volume, where it is not known.
pub const VOLUME_BYTES_UNKNOWN: i64 = -1;

request!(DescribeLogDirs: DescribeLogDirsRequest<'a> => DescribeLogDirsResponse<'r>);

message! {
    versions 1-5, flexible 2+;

    /// Which replicas to describe.
    pub struct DescribeLogDirsRequest<'a> {
        /// The topics; null for all of them.
        topics: Option<Array<'a, DescribableLogDirTopic<'a>>> [0+, nullable 0+],
    }

    /// Partitions of one topic to describe.
    pub struct DescribableLogDirTopic<'a> {
        /// The topic's name.
        topic: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, i32> [0+],
    }
}

message! {
    versions 1-5, flexible 2+;

    /// The log directories of the broker that was asked.
    pub struct DescribeLogDirsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// Why nothing is described, or none.
        error_code: ErrorCode [3+, ignorable],
        /// The log directories.
        results: Array<'a, DescribeLogDirsResult<'a>> [0+],
    }

    /// A log directory.
    pub struct DescribeLogDirsResult<'a> {
        /// What is wrong with it, or none.
        error_code: ErrorCode [0+],
        /// Its absolute path.
        log_dir: &'a str [0+],
        /// The topics.
        topics: Array<'a, DescribeLogDirsTopic<'a>> [0+],
        /// The size of the volume it lies on, in bytes, or [`VOLUME_BYTES_UNKNOWN`].
        total_bytes: i64 [4+, default -1, ignorable],
        /// The room on that volume, in bytes, or [`VOLUME_BYTES_UNKNOWN`].
        usable_bytes: i64 [4+, default -1, ignorable],
        /// Whether it takes no new replicas.
        is_cordoned: bool [5+, ignorable],
    }

    /// Replicas of one topic.
    pub struct DescribeLogDirsTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, DescribeLogDirsPartition> [0+],
    }

    /// A replica.
    pub struct DescribeLogDirsPartition {
        /// The partition.
        partition_index: i32 [0+],
        /// How large its log is, in bytes.
        partition_size: i64 [0+],
        /// By how many offsets its log end lies behind the high watermark, or that of a future replica behind the log end
        /// of the one it is to replace; -1 if that is not known.
        offset_lag: i64 [0+],
        /// Whether it is a future replica: one that moves here from another directory of the same broker.
        is_future_key: bool [0+],
    }
}
