//! AlterReplicaLogDirs: moves replicas between the log directories of the broker that is asked (KIP-113).
//!
//! - 1: throttled answers are sent at once (KIP-219).
//! - 2: flexible.

use crate::array::Array;
use crate::error_code::ErrorCode;

request!(AlterReplicaLogDirs: AlterReplicaLogDirsRequest<'a> => AlterReplicaLogDirsResponse<'r>);

message! {
    versions 1-2, flexible 2+;

    /// Where replicas are to be.
    pub struct AlterReplicaLogDirsRequest<'a> {
        /// The directories.
        dirs: Array<'a, AlterReplicaLogDir<'a>> [0+],
    }

    /// A directory and the replicas that are to be in it.
    pub struct AlterReplicaLogDir<'a> {
        /// Its absolute path.
        path: &'a str [0+],
        /// The topics.
        topics: Array<'a, AlterReplicaLogDirTopic<'a>> [0+],
    }

    /// Replicas of one topic.
    pub struct AlterReplicaLogDirTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, i32> [0+],
    }
}

message! {
    versions 1-2, flexible 2+;

    /// What became of the replicas.
    pub struct AlterReplicaLogDirsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [0+],
        /// The topics.
        results: Array<'a, AlterReplicaLogDirTopicResult<'a>> [0+],
    }

    /// What became of the replicas of one topic.
    pub struct AlterReplicaLogDirTopicResult<'a> {
        /// The topic's name.
        topic_name: &'a str [0+],
        /// The partitions.
        partitions: Array<'a, AlterReplicaLogDirPartitionResult> [0+],
    }

    /// What became of a replica.
    pub struct AlterReplicaLogDirPartitionResult {
        /// The partition.
        partition_index: i32 [0+],
        /// Why it stays where it is, or none.
        error_code: ErrorCode [0+],
    }
}
