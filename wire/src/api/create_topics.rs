//! CreateTopics: creates topics.
//!
//! - 4: partitions and replication factor can be left to the broker's defaults (KIP-464).
//! - 5: flexible; the response describes what was created (KIP-525).
//! - 6: THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599).
//! - 7: topic ids in the response (KIP-516).

use crate::array::Array;
use crate::error_code::ErrorCode;
use crate::ids::TopicId;

request!(CreateTopics: CreateTopicsRequest<'a> => CreateTopicsResponse<'r>);

message! {
    versions 2-7, flexible 5+;

    /// Topics to create.
    pub struct CreateTopicsRequest<'a> {
        /// The topics.
        topics: Array<'a, CreatableTopic<'a>> [0+],
        /// How long that may take, in milliseconds.
        timeout_ms: i32 [0+, default 60_000],
        /// Whether only to check if the topics could be created.
        validate_only: bool [1+],
    }

    /// A topic to create.
    pub struct CreatableTopic<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// How many partitions; -1 for the default, or where `assignments` say it.
        num_partitions: i32 [0+],
        /// How many replicas of each; -1 for the default, or where `assignments` say it.
        replication_factor: i16 [0+],
        /// Which broker gets what; empty to leave it to the cluster.
        assignments: Array<'a, CreatableReplicaAssignment<'a>> [0+],
        /// Settings other than the defaults.
        configs: Array<'a, CreatableTopicConfig<'a>> [0+],
    }

    /// Where a partition is to be.
    pub struct CreatableReplicaAssignment<'a> {
        /// The partition.
        partition_index: i32 [0+],
        /// The brokers, the preferred leader first.
        broker_ids: Array<'a, i32> [0+],
    }

    /// A setting of a topic to create.
    pub struct CreatableTopicConfig<'a> {
        /// The setting's name.
        name: &'a str [0+],
        /// Its value, or null.
        value: Option<&'a str> [0+, nullable 0+],
    }
}

message! {
    versions 2-7, flexible 5+;

    /// What became of the topics.
    pub struct CreateTopicsResponse<'a> {
        /// How long the client was or should be held back because of a quota, in milliseconds.
        throttle_time_ms: i32 [2+, ignorable],
        /// The topics.
        topics: Array<'a, CreatableTopicResult<'a>> [0+],
    }

    /// What became of a topic.
    pub struct CreatableTopicResult<'a> {
        /// The topic's name.
        name: &'a str [0+],
        /// Its id, or zero.
        topic_id: TopicId [7+, ignorable],
        /// Why it was not created, or none.
        error_code: ErrorCode [0+],
        /// The same in words, or null.
        error_message: Option<&'a str> [1+, nullable 0+, ignorable],
        /// Why `configs` is null, or none.
        topic_config_error_code: ErrorCode [5+, tag 0, ignorable],
        /// How many partitions it has, or -1.
        num_partitions: i32 [5+, default -1, ignorable],
        /// How many replicas each has, or -1.
        replication_factor: i16 [5+, default -1, ignorable],
        /// Its settings, or null.
        configs: Option<Array<'a, CreatableTopicConfigs<'a>>> [5+, nullable 5+, default Some(Array::EMPTY), ignorable],
    }

    /// A setting of a topic that was created.
    pub struct CreatableTopicConfigs<'a> {
        /// The setting's name.
        name: &'a str [5+],
        /// Its value, or null.
        value: Option<&'a str> [5+, nullable 5+],
        /// Whether it cannot be changed.
        read_only: bool [5+],
        /// Where the value comes from.
        config_source: i8 [5+, default -1, ignorable],
        /// Whether it is a secret.
        is_sensitive: bool [5+],
    }
}
