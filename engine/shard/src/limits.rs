//! Every bound of this crate. Reaching one means back-pressure or an answer with an error, never growth.
//!
//! What an operator may choose is in `config`; here is what holds whatever is configured.

/// Requests of one connection that were taken up and not answered yet; more wait unread. librdkafka pipelines without a
/// bound of its own, and a group commit answers hundreds of small requests at once.
pub const PIPELINED_REQUESTS_MAX: usize = 256;

/// Bytes of requests that wait for an answer, and of answers that wait for an earlier one, on one connection. One
/// request or answer may reach over it. Records to be sent never count here: a fetch reads when its turn to answer comes.
pub const PIPELINED_BYTES_MAX: usize = 4 << 20;

/// Frames of one connection that a host may deliver before it acts on a pause. The connection of a host that goes on
/// regardless is closed.
pub const BACKLOG_FRAMES_MAX: usize = 4_096;

/// Topics and partitions that one request may name, counted together. The connection of a client that names more is
/// closed: what remembering and answering them takes is a multiple of the frame.
pub const REQUEST_ENTRIES_MAX: usize = 100_000;

/// Settings that one answer to DescribeConfigs describes. Resources beyond that get an error each.
pub const DESCRIBED_CONFIGS_MAX: usize = 200_000;

/// Requests from backlogs that one call takes up; the rest wait for the next turn.
pub const REQUESTS_PER_TURN_MAX: usize = 256;

/// Partitions that one incremental fetch session remembers. A client that fetches more gets no session (KIP-227), as if
/// all slots were taken.
pub const FETCH_SESSION_PARTITIONS_MAX: usize = 50_000;

/// Partitions that all fetch sessions together remember.
pub const FETCH_SESSIONS_PARTITIONS_MAX: usize = 500_000;

/// How long a fetch session must be unused, or must have existed, before another may take its slot, in milliseconds.
/// Kafka's value.
pub const FETCH_SESSION_EVICTION_MS: u64 = 120_000;

/// The least time a produce request with acks=all waits for its records to be durable, in milliseconds, however short
/// the client's own limit: Kafka would have answered such a client from memory.
pub const PRODUCE_WAIT_MS_MIN: u64 = 1_000;

/// The least time a request waits for the topics that it creates or deletes, and for the log starts that it moves up, in
/// milliseconds, however short the client's own limit.
pub const CREATION_WAIT_MS_MIN: u64 = 1_000;

/// The longest a request may ask to wait, in milliseconds: a day. Longer wishes are cut, so that no deadline overflows.
pub const WAIT_MS_MAX: u64 = 86_400_000;

/// Bytes of records that one turn brings into another codec. Produce requests wait for the next turn then.
pub const REENCODED_BYTES_PER_TURN: usize = 64 << 10;

/// Partitions that all topics together may have. Each costs some memory wherever it is led.
pub const PARTITIONS_MAX: usize = 1_000_000;

/// The next block of producer ids is asked for when no more than so many are left.
pub const PRODUCER_IDS_LOW: i64 = 100;

const _: () = assert!(PIPELINED_REQUESTS_MAX >= 2 && PIPELINED_BYTES_MAX >= 2, "half of a bound is not nothing");
const _: () = assert!(FETCH_SESSION_PARTITIONS_MAX <= FETCH_SESSIONS_PARTITIONS_MAX);

/// Answers below this do not count against the memory for reads while they are sent.
pub const ANSWER_COUNTED_BYTES_MIN: usize = 16 << 10;

/// One answer to a fetch takes at most this share of the memory for reads (a single batch may be larger).
pub const READ_SHARE: usize = 4;

/// Which part of the memory for frames those may take together that all shards have lent to others.
pub const LENT_FRAMES_SHARE: u64 = 8;

/// What a shard may lend at least, in bytes.
pub const LENT_FRAMES_BYTES_MIN: usize = 256 << 10;

/// How long an answer waits for what another shard has been asked to read, in microseconds: a shard that stands still must
/// not hold up the partitions of others.
pub const SHARE_WAIT_US: u64 = 5_000_000;

/// What a fetch gets when clients that do not read hold the memory for reads, in bytes.
pub const SMALL_READ_BYTES: usize = 64 << 10;

/// Connections that are sent older data straight from its files at a time; the others get it through memory. The host
/// has a pipe for each of them.
pub const LENDING_CONNECTIONS_MAX: usize = 32;

/// Files from which one answer is sent; further partitions of it are read into memory.
pub const LENT_FILES_PER_ANSWER_MAX: usize = 8;

/// How many fetches that have to go on waiting are asked each time memory comes free.
pub const WAITING_READS_ASKED_MAX: usize = 16;

/// Clients whose use of their quotas one shard remembers.
pub const QUOTA_CLIENTS_MAX: usize = 10_000;

/// Windows over which a rate is taken; more that are configured count as so many.
pub const QUOTA_WINDOWS_MAX: u32 = 1_000;

/// The longest pattern that a client may send, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// What a pattern may take when it is compiled, in bytes.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 256 << 10;

/// Groups that one shard coordinates. Who would found another one is told that the coordinator is not available.
pub const GROUPS_PER_SHARD_MAX: usize = 100_000;

/// Offsets that one group may have committed; more are refused with Kafka's error for commits that are too large.
pub const OFFSETS_PER_GROUP_MAX: usize = 200_000;

/// Which part of the memory of a node committed offsets and what members send along may take, all shards together. Beyond
/// it no new offset and no new member is taken; what is in the log is loaded whatever it takes.
pub const GROUPS_MEMORY_SHARE: u64 = 8;

/// Bytes of changes of groups that may wait for room in the log; more are refused, and clients come again.
pub const UNWRITTEN_GROUP_BYTES_MAX: usize = 8 << 20;

/// Changes of groups in one partition go into one batch up to this size, in bytes; a single larger change has one of its own.
pub const GROUP_BATCH_BYTES: usize = 128 << 10;

/// Bytes of the topic of committed offsets that one turn loads, unless a single batch is larger.
pub const GROUP_LOAD_BYTES_PER_TURN: usize = 1 << 20;

/// Partitions of that topic that are read from the disk at a time.
pub const GROUP_LOADS_MAX: usize = 4;

/// Groups and offsets that one turn looks at in search of outdated ones, or makes ready after they were read.
pub const GROUPS_SWEPT_PER_TURN: usize = 1_000;

/// Groups whose timers one turn serves.
pub const GROUP_TIMERS_PER_TURN: usize = 256;

/// Clients of one group that were told a member id and have not joined with it yet (KIP-394). Of more, the one that was
/// to be given up next has to ask again.
pub const GROUP_PENDING_MEMBERS_MAX: usize = 10_000;

/// Offsets that one answer tells where all of a group are asked for. Groups beyond that get an error.
pub const FETCHED_OFFSETS_MAX: usize = 400_000;

/// Members that one answer describes. Groups beyond that get an error.
pub const DESCRIBED_MEMBERS_MAX: usize = 100_000;

/// Clients that push metrics and that one shard knows.
pub const TELEMETRY_INSTANCES_MAX: usize = 16_384;

/// How many times its largest size on the wire a push of metrics may unfold to.
pub const TELEMETRY_UNFOLDED_MAX: usize = 10;

/// About how many bytes the log says of one push of metrics.
pub const TELEMETRY_LOGGED_BYTES: usize = 4_096;

/// The longest name and version of a client's software that are kept, together, in bytes.
pub const SOFTWARE_NAME_BYTES_MAX: usize = 256;
