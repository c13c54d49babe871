//! What is in force for consumer groups and their committed offsets.

/// The settings of the group coordinator and of the topic that it writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsConfig {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: the most members of a group.
    pub members_max: usize,
    /// `offset.metadata.max.bytes`: the longest text that may be committed with an offset, in UTF-16 units as Kafka counts.
    pub offset_metadata_max: usize,
    /// `offsets.commit.timeout.ms`: how long a commit waits to become durable.
    pub commit_timeout_ms: i64,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_check_interval_ms: u64,
    /// `offsets.topic.num.partitions`.
    pub topic_partitions: i32,
    /// `offsets.topic.replication.factor`; there are never more replicas than brokers.
    pub topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub topic_segment_bytes: u64,
    /// `offsets.load.buffer.size`: bytes read at once from the topic.
    pub load_buffer_bytes: usize,
}
