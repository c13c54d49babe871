//! Fetch: reads record batches of partitions, for consumers and for followers.
//!
//! - 4: isolation level; records of format 2.
//! - 5: log start offset.
//! - 7: incremental fetch sessions (KIP-227).
//! - 9: the leader epoch the client believes in (KIP-320).
//! - 10: zstd allowed (KIP-110).
//! - 11: rack of the consumer, preferred replica (KIP-392).
//! - 12: flexible; divergence found by the epoch last fetched (KIP-595).
//! - 13: topic ids instead of names (KIP-516).
//! - 14: OFFSET_MOVED_TO_TIERED_STORAGE may be answered (KIP-405).
//! - 15: replica id and epoch in a struct of their own (KIP-903).
//! - 16: where the current leaders are (KIP-951).
//! - 17: directory id of the follower (KIP-853).
//! - 18: high watermark the follower knows (KIP-1166).

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::{DirectoryId, TopicId};
use crate::primitives::Records;

request!(Fetch: FetchRequest<'a> => FetchResponse<'r>);

message! {
    versions 4-18, flexible 12+;

    /// What to read, and how long to wait for it.
    pub struct FetchRequest<'a> {
        /// The cluster the client believes to talk to, or null.
        cluster_id: Option<&'a str> [12+, nullable 12+, tag 0, ignorable],
        /// The follower's broker id; -1 for a consumer.
        replica_id: i32 [0-14, default -1],
        /// Which follower asks.
        replica_state: ReplicaState [15+, tag 1],
        /// How long to wait for `min_bytes`, in milliseconds.
        max_wait_ms: i32 [0+],
        /// How many bytes of records the response should have at least.
        min_bytes: i32 [0+],
        /// How many it may have; the first batch is sent even if it is larger (KIP-74).
        max_bytes: i32 [3+, default i32::MAX, ignorable],
        /// 0: all records; 1: only those of no or of committed transactions.
        isolation_level: i8 [4+, ignorable],
        /// The fetch session, or 0.
        session_id: i32 [7+, ignorable],
        /// The request's number in its session; 0 opens one, -1 wants none.
        session_epoch: i32 [7+, default -1, ignorable],
        /// The partitions to read; in a session, those that changed.
        topics: Array<'a, FetchTopic<'a>> [0+],
        /// The partitions that leave the session.
        forgotten_topics_data: Array<'a, ForgottenTopic<'a>> [7+],
        /// The consumer's rack, or empty.
        rack_id: &'a str [11+, ignorable],
    }

    /// Which follower asks.
    pub struct ReplicaState {
        /// Its broker id; -1 for a consumer.
        replica_id: i32 [15+, default -1],
        /// Its broker epoch, or -1.
        replica_epoch: i64 [15+, default -1],
    }

    /// Partitions of one topic to read.
    pub struct FetchTopic<'a> {
        /// The topic's name.
        topic: &'a str [0-12, ignorable],
        /// The topic's id.
        topic_id: TopicId [13+, ignorable],
        /// The partitions.
        partitions: Array<'a, FetchPartition> [0+],
    }

    /// One partition to read.
    pub struct FetchPartition {
        /// The partition.
        partition: i32 [0+],
        /// The leader epoch the client believes in, or -1.
        current_leader_epoch: i32 [9+, default -1, ignorable],
        /// The offset to read from.
        fetch_offset: i64 [0+],
        /// The leader epoch of the record before that offset, or -1.
        last_fetched_epoch: i32 [12+, default -1],
        /// The follower's log start offset; -1 for a consumer.
        log_start_offset: i64 [5+, default -1, ignorable],
        /// How many bytes to read; the first batch is sent even if it is larger (KIP-74).
        partition_max_bytes: i32 [0+],
        /// The follower's log directory.
        replica_directory_id: DirectoryId [17+, tag 0, ignorable],
        /// The high watermark that the follower knows: -1 if it knows none, the highest value if it does not say.
        high_watermark: i64 [18+, tag 1, default i64::MAX, ignorable],
    }

    /// Partitions of one topic that leave the session.
    pub struct ForgottenTopic<'a> {
        /// The topic's name.
        topic: &'a str [7-12, ignorable],
        /// The topic's id.
        topic_id: TopicId [13+, ignorable],
        /// The partitions.
        partitions: Array<'a, i32> [7+],
    }
}

message! {
    versions 4-18, flexible 12+;

    /// What was read.
    pub struct FetchResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [1+, ignorable],
        /// Why nothing was read at all, or none.
        error_code: ErrorCode [7+, ignorable],
        /// The fetch session, or 0.
        session_id: i32 [7+],
        /// The topics.
        responses: Array<'a, FetchableTopicResponse<'a>> [0+],
        /// Where the leaders named in the partitions are.
        node_endpoints: Array<'a, NodeEndpoint<'a>> [16+, tag 0],
    }

    /// What was read of one topic.
    pub struct FetchableTopicResponse<'a> {
        /// The topic's name.
        topic: &'a str [0-12, ignorable],
        /// The topic's id.
        topic_id: TopicId [13+, ignorable],
        /// The partitions.
        partitions: Array<'a, PartitionData<'a>> [0+],
    }

    /// What was read of one partition.
    pub struct PartitionData<'a> {
        /// The partition.
        partition_index: i32 [0+],
        /// Why nothing was read, or none.
        error_code: ErrorCode [0+],
        /// The high watermark.
        high_watermark: i64 [0+],
        /// The offset below which every transaction is decided.
        last_stable_offset: i64 [4+, default -1, ignorable],
        /// The log start offset.
        log_start_offset: i64 [5+, default -1, ignorable],
        /// Where the reader's log diverges from the leader's: the last epoch they share, and its end.
        diverging_epoch: EpochEndOffset [12+, tag 0],
        /// The leader, where this broker is not it.
        current_leader: LeaderIdAndEpoch [12+, tag 1],
        /// The snapshot to read instead, where the offset is below the log start (metadata log only).
        snapshot_id: SnapshotId [12+, tag 2],
        /// The transactions in `records` that were aborted, by first offset; null for readers of everything.
        aborted_transactions: Option<Array<'a, AbortedTransaction>> [4+, nullable 4+, ignorable],
        /// The replica the consumer should read from next, or -1.
        preferred_read_replica: i32 [11+, default -1],
        /// The batches, whole ones; the first can begin before the offset asked for.
        records: Option<Records<'a>> [0+, nullable 0+],
    }

    /// The end of a leader epoch.
    pub struct EpochEndOffset {
        /// The leader epoch, or -1.
        epoch: i32 [12+, default -1],
        /// The offset behind its last record, or -1.
        end_offset: i64 [12+, default -1],
    }

    /// Who leads a partition.
    pub struct LeaderIdAndEpoch {
        /// The leader's broker id, or -1.
        leader_id: i32 [12+, default -1],
        /// Its leader epoch, or -1.
        leader_epoch: i32 [12+, default -1],
    }

    /// A snapshot of the metadata log.
    pub struct SnapshotId {
        /// The offset behind its last record, or -1.
        end_offset: i64 [0+, default -1],
        /// The epoch of its last record, or -1.
        epoch: i32 [0+, default -1],
    }

    /// A transaction that was aborted.
    pub struct AbortedTransaction {
        /// Its producer.
        producer_id: i64 [4+],
        /// Its first record in this partition.
        first_offset: i64 [4+],
    }

    /// Where a broker is.
    pub struct NodeEndpoint<'a> {
        /// The broker's id.
        node_id: i32 [16+],
        /// Its host name.
        host: &'a str [16+],
        /// Its port.
        port: i32 [16+],
        /// Its rack, or null.
        rack: Option<&'a str> [16+, nullable 16+],
    }
}
