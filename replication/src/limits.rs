//! Every bound of this crate. Reaching one is an error for whoever asked, never growth.

/// The longest topic name, in bytes: Kafka appends `-` and the partition's index to it for a folder of at most 255.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// New partitions in one CreateTopics or CreatePartitions request, over all its topics (Kafka's controller has the same
/// bound).
pub const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// Partitions of one topic, however they came about. Changing a topic copies them.
pub const PARTITIONS_PER_TOPIC_MAX: usize = 100_000;

/// Replicas of one partition.
pub const REPLICAS_PER_PARTITION_MAX: usize = 15;

/// The longest string (name, key, value, host) in a record, in bytes; the wire's own bound for a short string.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// One entry of the metadata log: an encoded batch of records.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Records in one entry. An encoded record takes six bytes at least; this is far below what fits.
pub const RECORDS_PER_ENTRY_MAX: usize = 16_384;

/// Proposed and not yet committed bytes; more is refused until some of them commit.
pub const UNCOMMITTED_BYTES_MAX: usize = 16 << 20;

/// Entries of the log after which a snapshot is due.
pub const SNAPSHOT_AFTER_ENTRIES: usize = 20_000;

/// Bytes of the log after which a snapshot is due.
pub const SNAPSHOT_AFTER_BYTES: usize = 8 << 20;

/// How often a source of topic ids may in a row give one that is reserved or taken before it counts as broken.
pub const TOPIC_ID_DRAWS_MAX: usize = 16;

/// Entities with client quotas.
pub const QUOTA_ENTITIES_MAX: usize = 10_000;

/// Groups and subscriptions to metrics that have settings, together.
pub const CONFIG_RESOURCES_MAX: usize = 10_000;

/// Bytes of an encoded partition besides its replicas: index, leader, two epochs, count.
const PARTITION_BYTES: usize = 4 * 5;

const _: () = assert!(
    PARTITIONS_PER_REQUEST_MAX * (PARTITION_BYTES + 4 * REPLICAS_PER_PARTITION_MAX) + 1024 <= ENTRY_BYTES_MAX,
    "the largest topic fits into one entry"
);
const _: () = assert!(PARTITIONS_PER_REQUEST_MAX <= PARTITIONS_PER_TOPIC_MAX, "what one request creates is a topic");
const _: () = assert!(ENTRY_BYTES_MAX <= UNCOMMITTED_BYTES_MAX, "the largest entry can be proposed");
