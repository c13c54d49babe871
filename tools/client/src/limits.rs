//! Every bound of this crate that is no setting.

use std::time::Duration;

/// The largest answer that is taken. A broker may be told to send more than its default of 55 MB; nobody sends 256 MiB.
pub const ANSWER_BYTES_MAX: usize = 256 << 20;

/// What a connection reads at least, so that small answers share a read.
pub const READ_BYTES_MIN: usize = 64 << 10;

/// How many requests of one kind (produce, say) may be under way to one broker: beyond five, Kafka cannot recognise a
/// batch that an idempotent producer sent twice.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 5;

/// The wait before a request is tried again.
pub const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// The longest wait between attempts to connect to one address; the first is [`RETRY_BACKOFF`], then it doubles.
pub const RECONNECT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Batches that were too large for a topic make the next ones smaller, but not below this: Kafka's own `batch.size`.
pub const SPLIT_BATCH_BYTES_MIN: usize = 16 << 10;

/// How long a connection may take to open.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After how long metadata are asked for again though nobody complained.
pub const METADATA_AGE_MAX: Duration = Duration::from_secs(300);

/// How often batches that wait are looked at for those that waited too long.
pub const EXPIRY_CHECK: Duration = Duration::from_millis(250);

/// What a batch that was read may unfold to: a producer may have compressed far more than a broker would decompress.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = 1 << 30;

/// How long a member of a group tries to commit before it gives its partitions up in a rebalance: the others wait.
pub const COMMIT_BEFORE_REBALANCE_MAX: Duration = Duration::from_secs(5);

/// How much later than the last member's time to join runs out the answer to JoinGroup may come.
pub const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// The most members that a leader assigns partitions to.
pub const GROUP_MEMBERS_MAX: usize = 100_000;

/// The most bytes that the subscriptions of a group may have in all.
pub const GROUP_METADATA_BYTES_MAX: usize = 64 << 20;

/// The longest name of a topic that a group member can say it reads; Kafka's own limit is 249.
pub const TOPIC_NAME_BYTES_MAX: usize = 32_767;
