//! The keys of a broker, one row each.

use super::{BrokerConfig, Endpoint, Listener, RING_FILES_MAX, RING_FILES_MIN, SegmentReads};
use crate::config::key::{ConfigKey, Effect, Kind, Value};
use crate::config::memory::{MEMORY_BYTES_MIN, MemoryBudget};
use crate::config::topic::{DECOMPRESSED_RECORD_BYTES_MAX, Ratio};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const COMPRESSION_TYPE: Kind = Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);
const JOURNAL_FILE_BYTES_MIN: i64 = 16 << 10;
const JOURNAL_FILE_BYTES_MAX: i64 = 4 << 30;
const I32_MAX: i64 = i32::MAX as i64;
const I32_MIN: i64 = i32::MIN as i64;

/// Reads the elements of `listeners`.
fn listeners(value: &Value) -> Result<Vec<Listener>, String> {
    if value.list().is_empty() {
        return Err("is empty: give one such as PLAINTEXT://127.0.0.1:9092".to_string());
    }
    let read = |text: &String| {
        let wrong = || format!("\"{text}\" is not NAME://HOST:PORT, such as PLAINTEXT://127.0.0.1:9092");
        let (name, endpoint) = text.split_once("://").ok_or_else(wrong)?;
        let endpoint = Endpoint::parse(endpoint).map_err(|_| wrong())?;
        Ok(Listener { name: name.to_ascii_uppercase(), endpoint })
    };
    value.list().iter().map(read).collect()
}

/// Reads the elements of `max.connections.per.ip.overrides`.
fn per_ip_overrides(text: &str) -> Result<Vec<(String, usize)>, String> {
    let read = |pair: &str| {
        let wrong = || format!("\"{pair}\" is not ADDRESS:NUMBER, such as 127.0.0.1:100");
        let (host, number) = pair.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim().trim_start_matches('[').trim_end_matches(']');
        let number: u32 = number.trim().parse().map_err(|_| wrong())?;
        match host {
            "" => Err(wrong()),
            host => Ok((host.to_owned(), number as usize)),
        }
    };
    text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(read).collect()
}

/// The one directory of a list.
fn only_directory(value: &Value) -> Result<String, String> {
    match value.list() {
        [one] => Ok(one.clone()),
        [] => Err("is empty: give a directory".to_string()),
        [_, ..] => Err("names several directories, Corelog has one".to_string()),
    }
}

/// The number of a row whose range has 32 bits.
fn i32_of(value: &Value) -> i32 {
    i32::try_from(value.number()).expect("the row's range fits 32 bits")
}

/// `None` for Kafka's "negative means never".
fn limit(value: &Value) -> Option<u64> {
    u64::try_from(value.number()).ok()
}

fn optional(value: &Value) -> Option<String> {
    Some(value.text().to_owned()).filter(|text| !text.is_empty())
}

/// A row that gives the default of a topic's key.
const fn topic_default(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    doc: &'static str,
) -> ConfigKey<BrokerConfig> {
    ConfigKey { name, kind, default, synonyms: &[], doc, effect: Effect::TopicDefault }
}

/// A row that sets fields.
const fn field(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    doc: &'static str,
    set: fn(&mut BrokerConfig, &Value) -> Result<(), String>,
) -> ConfigKey<BrokerConfig> {
    ConfigKey { name, kind, default, synonyms: &[], doc, effect: Effect::Field(set) }
}

/// Everything of a broker that this version acts on: keys of Kafka 4.4, and ours. More of Kafka's keys are accepted and
/// left unused.
pub const BROKER_KEYS: &[ConfigKey<BrokerConfig>] = &[
    field(
        "node.id",
        Kind::Int(0, I32_MAX),
        Some("1"),
        "The number of this node. A data directory belongs to one node for life.",
        |config, value| {
            config.node_id = i32::try_from(value.number()).expect("the row's range fits 32 bits");
            Ok(())
        },
    ),
    field(
        "broker.id",
        Kind::Int(-1, I32_MAX),
        Some("-1"),
        "The old name of `node.id`, which wins over it. -1: not given.",
        |config, value| {
            if value.number() >= 0 && !config.is_set("node.id") {
                config.node_id = i32::try_from(value.number()).expect("the row's range fits 32 bits");
            }
            Ok(())
        },
    ),
    field("broker.rack", Kind::Text, None, "Where this node stands; clients are told.", |config, value| {
        config.rack = optional(value);
        Ok(())
    }),
    field(
        "listeners",
        Kind::List(&[]),
        Some("PLAINTEXT://127.0.0.1:9092"),
        "The address to listen on, as NAME://HOST:PORT. An empty host means every address of the machine, port 0 a free \
         one. Listeners of the controller are passed over; a second one for clients is not possible yet.",
        |config, value| {
            config.listeners = listeners(value)?;
            Ok(())
        },
    ),
    field(
        "advertised.listeners",
        Kind::List(&[]),
        None,
        "The address that clients are told to connect to. Default: the one listened on.",
        |config, value| {
            config.advertised_listeners = listeners(value)?;
            match config.advertised_listeners.iter().find(|listener| listener.endpoint.is_wildcard()) {
                None => Ok(()),
                Some(listener) => {
                    Err(format!("clients cannot connect to {}; give a host they can reach", listener.endpoint))
                }
            }
        },
    ),
    field(
        "controller.listener.names",
        Kind::List(&[]),
        None,
        "The names in `listeners` that are for the controller. Nothing listens there on a single node.",
        |config, value| {
            config.controller_listeners = value.list().iter().map(|name| name.to_ascii_uppercase()).collect();
            Ok(())
        },
    ),
    field(
        "listener.security.protocol.map",
        Kind::Text,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        "Which protocol each listener's name stands for. Only PLAINTEXT is built yet.",
        |config, value| {
            config.protocols.clear();
            for pair in value.text().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
                let (name, protocol) =
                    pair.split_once(':').ok_or_else(|| format!("\"{pair}\" is not NAME:PROTOCOL"))?;
                config.protocols.insert(name.trim().to_ascii_uppercase(), protocol.trim().to_ascii_uppercase());
            }
            Ok(())
        },
    ),
    field(
        "authorizer.class.name",
        Kind::Text,
        Some(""),
        "The class that decides who may do what. Corelog has none yet and does not start as if it had.",
        |_, value| match value.text() {
            "" => Ok(()),
            _ => Err("there is no authorization yet, every client may do everything; remove the key".to_string()),
        },
    ),
    field(
        "log.dir",
        Kind::List(&[]),
        Some("./corelog-data"),
        "The data directory. `log.dirs` wins over it.",
        |config, value| {
            let directory = only_directory(value)?;
            if !config.is_set("log.dirs") {
                config.data_dir = directory;
            }
            Ok(())
        },
    ),
    field(
        "log.dirs",
        Kind::List(&[]),
        None,
        "The data directory. Corelog has one; put several disks below one file system.",
        |config, value| {
            config.data_dir = only_directory(value)?;
            Ok(())
        },
    ),
    field(
        "num.partitions",
        Kind::Int(1, I32_MAX),
        Some("1"),
        "Partitions of a topic that is created without a number.",
        |config, value| {
            config.num_partitions = i32::try_from(value.number()).expect("the row's range fits 32 bits");
            Ok(())
        },
    ),
    field(
        "default.replication.factor",
        Kind::Int(1, i16::MAX as i64),
        Some("1"),
        "Replicas of a partition whose topic is created without a number.",
        |config, value| {
            config.default_replication_factor = i16::try_from(value.number()).expect("the row's range fits 16 bits");
            Ok(())
        },
    ),
    field(
        "auto.create.topics.enable",
        Kind::Boolean,
        Some("true"),
        "Whether a topic comes into being when a client first asks for it.",
        |config, value| {
            config.auto_create_topics = value.boolean();
            Ok(())
        },
    ),
    field("delete.topic.enable", Kind::Boolean, Some("true"), "Whether topics can be deleted.", |config, value| {
        config.delete_topics = value.boolean();
        Ok(())
    }),
    field(
        "max.request.partition.size.limit",
        Kind::Int(1, I32_MAX),
        Some("2000"),
        "The most partitions in one answer to a client that asks for topics page by page.",
        |config, value| {
            config.request_partitions_max = i32::try_from(value.number()).expect("the row's range fits 32 bits");
            Ok(())
        },
    ),
    field(
        "socket.request.max.bytes",
        Kind::Int(1, I32_MAX),
        Some("104857600"),
        "The longest request in bytes. A sixteenth of the memory, where that is less.",
        |config, value| {
            config.socket_request_bytes_max = value.size();
            Ok(())
        },
    ),
    field(
        "max.connections",
        Kind::Int(0, I32_MAX),
        Some("2147483647"),
        "The most connections at a time. The limit of open files bounds it too.",
        |config, value| {
            config.connections.total_max = value.size();
            Ok(())
        },
    ),
    field(
        "max.connections.per.ip",
        Kind::Int(0, I32_MAX),
        Some("2147483647"),
        "The most connections at a time from one address.",
        |config, value| {
            config.connections.per_ip_max = value.size();
            Ok(())
        },
    ),
    field(
        "max.connections.per.ip.overrides",
        Kind::Text,
        Some(""),
        "The same for single addresses or hosts, as ADDRESS:NUMBER, separated by commas.",
        |config, value| {
            config.connections.per_ip_overrides = per_ip_overrides(value.text())?;
            Ok(())
        },
    ),
    field(
        "max.connection.creation.rate",
        Kind::Int(0, I32_MAX),
        Some("2147483647"),
        "The most connections that are taken in within a second; more wait until the next.",
        |config, value| {
            config.connections.rate_max = value.size();
            Ok(())
        },
    ),
    field(
        "connections.max.idle.ms",
        Kind::Long(i64::MIN, i64::MAX),
        Some("600000"),
        "A connection without a request for so many milliseconds is closed. Negative: never.",
        |config, value| {
            config.connections_idle_ms_max = limit(value);
            Ok(())
        },
    ),
    field(
        "socket.listen.backlog.size",
        Kind::Int(1, I32_MAX),
        Some("50"),
        "Connections that the kernel keeps waiting to be accepted.",
        |config, value| {
            config.listen_backlog = i32::try_from(value.number()).expect("the row's range fits 32 bits");
            Ok(())
        },
    ),
    field(
        "fetch.max.bytes",
        Kind::Int(1024, I32_MAX),
        Some("57671680"),
        "The most bytes in one fetch answer, whatever the client allows.",
        |config, value| {
            config.fetch_bytes_max = value.size();
            Ok(())
        },
    ),
    field(
        "max.incremental.fetch.session.cache.slots",
        Kind::Int(0, I32_MAX),
        Some("1000"),
        "The most incremental fetch sessions that are remembered.",
        |config, value| {
            config.fetch_sessions_max = value.size();
            Ok(())
        },
    ),
    field(
        "log.retention.check.interval.ms",
        Kind::Long(1, i64::MAX),
        Some("300000"),
        "How often old segments are looked for, in milliseconds.",
        |config, value| {
            config.retention_check_interval_ms = value.unsigned();
            Ok(())
        },
    ),
    field(
        "log.cleaner.enable",
        Kind::Boolean,
        Some("true"),
        "Whether compacted topics are cleaned.",
        |config, value| {
            config.cleaner.is_enabled = value.boolean();
            Ok(())
        },
    ),
    field(
        "log.cleaner.backoff.ms",
        Kind::Long(0, i64::MAX),
        Some("15000"),
        "How long the cleaner of a core rests when there is nothing to clean, in milliseconds.",
        |config, value| {
            config.cleaner.backoff_ms = value.unsigned();
            Ok(())
        },
    ),
    field(
        "log.cleaner.dedupe.buffer.size",
        Kind::Long(i64::MIN, i64::MAX),
        Some("134217728"),
        "Bytes of memory with which the cleaner of each core finds duplicate keys, 24 for a key. At most a sixteenth of the \
         memory that the core has. With more keys than fit a log is cleaned in several passes.",
        |config, value| {
            config.cleaner.keys_bytes = value.number().max(0).unsigned_abs();
            Ok(())
        },
    ),
    field(
        "log.cleaner.io.buffer.load.factor",
        Kind::Double(f64::MIN, f64::MAX),
        Some("0.9"),
        "How full the memory for duplicate keys may become, at most 0.95 here.",
        |config, value| {
            config.cleaner.load = Ratio::new(value.double().clamp(0.0, 1.0));
            Ok(())
        },
    ),
    field(
        "log.cleaner.io.buffer.size",
        Kind::Int(0, I32_MAX),
        Some("524288"),
        "Bytes of buffers with which the cleaner reads and writes. Here at most 1 MiB, unless a batch is longer.",
        |config, value| {
            config.cleaner.buffer_bytes = value.unsigned();
            Ok(())
        },
    ),
    field(
        "log.cleaner.io.max.bytes.per.second",
        Kind::Double(f64::MIN, f64::MAX),
        Some("1.7976931348623157E308"),
        "Bytes a second that the cleaner of each core may read and write.",
        |config, value| {
            config.cleaner.bytes_per_second = (value.double() as u64).max(1);
            Ok(())
        },
    ),
    topic_default(
        "log.cleaner.delete.retention.ms",
        Kind::Long(0, i64::MAX),
        Some("86400000"),
        "Default of `delete.retention.ms`.",
    ),
    topic_default(
        "log.cleaner.max.compaction.lag.ms",
        Kind::Long(1, i64::MAX),
        Some("9223372036854775807"),
        "Default of `max.compaction.lag.ms`.",
    ),
    topic_default(
        "log.cleaner.min.cleanable.ratio",
        Kind::Double(0.0, 1.0),
        Some("0.5"),
        "Default of `min.cleanable.dirty.ratio`.",
    ),
    topic_default(
        "log.cleaner.min.compaction.lag.ms",
        Kind::Long(0, i64::MAX),
        Some("0"),
        "Default of `min.compaction.lag.ms`.",
    ),
    field(
        "producer.id.expiration.ms",
        Kind::Int(1, I32_MAX),
        Some("86400000"),
        "How long the state of a producer that sends nothing is kept, in milliseconds.",
        |config, value| {
            config.producer_id_expiration_ms = value.unsigned();
            Ok(())
        },
    ),
    field(
        "quota.window.num",
        Kind::Int(1, I32_MAX),
        Some("11"),
        "Windows over which the rates of client quotas are taken; more than 1000 count as 1000.",
        |config, value| {
            config.quota_windows.0 = value.unsigned() as u32;
            Ok(())
        },
    ),
    field(
        "quota.window.size.seconds",
        Kind::Int(1, I32_MAX),
        Some("1"),
        "How long one of these windows is, in seconds.",
        |config, value| {
            config.quota_windows.1 = value.unsigned() as u32;
            Ok(())
        },
    ),
    field(
        "controller.quota.window.num",
        Kind::Int(1, I32_MAX),
        Some("11"),
        "Windows whose changes of topics a client may make at once; more than 1000 count as 1000.",
        |config, value| {
            config.mutation_quota_windows.0 = value.unsigned() as u32;
            Ok(())
        },
    ),
    field(
        "controller.quota.window.size.seconds",
        Kind::Int(1, I32_MAX),
        Some("1"),
        "How long one of these windows is, in seconds.",
        |config, value| {
            config.mutation_quota_windows.1 = value.unsigned() as u32;
            Ok(())
        },
    ),
    field(
        "telemetry.max.bytes",
        Kind::Int(1, I32_MAX),
        Some("1048576"),
        "The most bytes of metrics that a client may push at once.",
        |config, value| {
            config.telemetry_bytes_max = value.size();
            Ok(())
        },
    ),
    topic_default(
        "log.cleanup.policy",
        Kind::List(&["delete", "compact"]),
        Some("delete"),
        "Default of `cleanup.policy`.",
    ),
    topic_default("log.retention.ms", Kind::Long(i64::MIN, i64::MAX), None, "Default of `retention.ms`."),
    topic_default(
        "log.retention.minutes",
        Kind::Int(i32::MIN as i64, I32_MAX),
        None,
        "Default of `retention.ms` in minutes, where `log.retention.ms` is not set.",
    ),
    topic_default(
        "log.retention.hours",
        Kind::Int(i32::MIN as i64, I32_MAX),
        Some("168"),
        "Default of `retention.ms` in hours, where neither `log.retention.ms` nor `log.retention.minutes` is set.",
    ),
    topic_default("log.retention.bytes", Kind::Long(i64::MIN, i64::MAX), Some("-1"), "Default of `retention.bytes`."),
    topic_default("log.segment.bytes", Kind::Int(1, I32_MAX), Some("1073741824"), "Default of `segment.bytes`."),
    topic_default("log.roll.ms", Kind::Long(1, i64::MAX), None, "Default of `segment.ms`."),
    topic_default(
        "log.roll.hours",
        Kind::Int(1, I32_MAX),
        Some("168"),
        "Default of `segment.ms` in hours, where `log.roll.ms` is not set.",
    ),
    topic_default("log.roll.jitter.ms", Kind::Long(0, i64::MAX), None, "Default of `segment.jitter.ms`."),
    topic_default(
        "log.roll.jitter.hours",
        Kind::Int(0, I32_MAX),
        Some("0"),
        "Default of `segment.jitter.ms` in hours, where `log.roll.jitter.ms` is not set.",
    ),
    topic_default(
        "log.index.size.max.bytes",
        Kind::Int(4, I32_MAX),
        Some("10485760"),
        "Default of `segment.index.bytes`.",
    ),
    topic_default(
        "log.index.interval.bytes",
        Kind::Int(0, I32_MAX),
        Some("4096"),
        "Default of `index.interval.bytes`.",
    ),
    topic_default(
        "log.segment.delete.delay.ms",
        Kind::Long(0, i64::MAX),
        Some("60000"),
        "Default of `file.delete.delay.ms`.",
    ),
    topic_default("message.max.bytes", Kind::Int(0, I32_MAX), Some("1048588"), "Default of `max.message.bytes`."),
    topic_default(
        "max.decompressed.message.bytes",
        Kind::Int(1, DECOMPRESSED_RECORD_BYTES_MAX),
        Some("2147483639"),
        "Default of the topics' key of that name.",
    ),
    topic_default(
        "log.message.timestamp.type",
        Kind::Choice(&["CreateTime", "LogAppendTime"]),
        Some("CreateTime"),
        "Default of `message.timestamp.type`.",
    ),
    topic_default(
        "log.message.timestamp.before.max.ms",
        Kind::Long(0, i64::MAX),
        Some("9223372036854775807"),
        "Default of `message.timestamp.before.max.ms`.",
    ),
    topic_default(
        "log.message.timestamp.after.max.ms",
        Kind::Long(0, i64::MAX),
        Some("3600000"),
        "Default of `message.timestamp.after.max.ms`.",
    ),
    topic_default(
        "log.flush.interval.messages",
        Kind::Long(1, i64::MAX),
        Some("9223372036854775807"),
        "Default of `flush.messages`.",
    ),
    topic_default(
        "log.flush.interval.ms",
        Kind::Long(i64::MIN, i64::MAX),
        None,
        "Default of `flush.ms`; `log.flush.scheduler.interval.ms` where it is not set.",
    ),
    topic_default("compression.type", COMPRESSION_TYPE, Some("producer"), "Default of the topics' key of that name."),
    topic_default(
        "compression.gzip.level",
        Kind::Int(-1, 9),
        Some("-1"),
        "Default of the topics' key of that name. 0 is not a level.",
    ),
    topic_default("compression.lz4.level", Kind::Int(1, 17), Some("9"), "Default of the topics' key of that name."),
    topic_default(
        "compression.zstd.level",
        Kind::Int(-131_072, 22),
        Some("3"),
        "Default of the topics' key of that name.",
    ),
    topic_default("min.insync.replicas", Kind::Int(1, I32_MAX), Some("1"), "Default of the topics' key of that name."),
    topic_default(
        "corelog.durability",
        Kind::Choice(&["fsync", "write", "memory"]),
        Some("fsync"),
        "Default of the topics' key of that name.",
    ),
    field(
        "group.min.session.timeout.ms",
        Kind::Int(I32_MIN, I32_MAX),
        Some("6000"),
        "The shortest session timeout that a member of a classic group may ask for.",
        |config, value| {
            config.groups.session_timeout_ms_min = i32_of(value);
            Ok(())
        },
    ),
    field(
        "group.max.session.timeout.ms",
        Kind::Int(I32_MIN, I32_MAX),
        Some("1800000"),
        "The longest session timeout that a member of a classic group may ask for.",
        |config, value| {
            config.groups.session_timeout_ms_max = i32_of(value);
            Ok(())
        },
    ),
    field(
        "group.initial.rebalance.delay.ms",
        Kind::Int(I32_MIN, I32_MAX),
        Some("3000"),
        "How long the first rebalance of a new classic group waits for more members.",
        |config, value| {
            config.groups.initial_rebalance_delay_ms = i32_of(value);
            Ok(())
        },
    ),
    field(
        "group.max.size",
        Kind::Int(1, I32_MAX),
        Some("2147483647"),
        "The most members of a classic group.",
        |config, value| {
            config.groups.members_max = value.size();
            Ok(())
        },
    ),
    field(
        "offset.metadata.max.bytes",
        Kind::Int(I32_MIN, I32_MAX),
        Some("4096"),
        "The longest text that may be committed with an offset.",
        |config, value| {
            config.groups.offset_metadata_max = usize::try_from(value.number()).unwrap_or(0);
            Ok(())
        },
    ),
    field(
        "offsets.commit.timeout.ms",
        Kind::Int(1, I32_MAX),
        Some("5000"),
        "How long a commit of offsets waits until it is durable.",
        |config, value| {
            config.groups.commit_timeout_ms = value.number();
            Ok(())
        },
    ),
    field(
        "offsets.retention.minutes",
        Kind::Int(1, I32_MAX),
        Some("10080"),
        "How long the offsets of a group without members are kept.",
        |config, value| {
            config.groups.offsets_retention_ms = value.number() * 60_000;
            Ok(())
        },
    ),
    field(
        "offsets.retention.check.interval.ms",
        Kind::Long(1, i64::MAX),
        Some("600000"),
        "How often outdated offsets are looked for.",
        |config, value| {
            config.groups.offsets_check_interval_ms = value.unsigned();
            Ok(())
        },
    ),
    field(
        "offsets.topic.num.partitions",
        Kind::Int(1, I32_MAX),
        Some("50"),
        "Partitions of the topic of committed offsets. Counts when the topic is made.",
        |config, value| {
            config.groups.topic_partitions = i32_of(value);
            Ok(())
        },
    ),
    field(
        "offsets.topic.replication.factor",
        Kind::Short(1, i16::MAX as i64),
        Some("3"),
        "Replicas of the topic of committed offsets; as many as there are brokers, where that is less. Counts when the \
         topic is made.",
        |config, value| {
            config.groups.topic_replication_factor =
                i16::try_from(value.number()).expect("the row's range fits 16 bits");
            Ok(())
        },
    ),
    field(
        "offsets.topic.segment.bytes",
        Kind::Int(1, I32_MAX),
        Some("104857600"),
        "The segment size of the topic of committed offsets. Counts when the topic is made.",
        |config, value| {
            config.groups.topic_segment_bytes = value.unsigned();
            Ok(())
        },
    ),
    field(
        "offsets.load.buffer.size",
        Kind::Int(1, I32_MAX),
        Some("5242880"),
        "Bytes read at once when committed offsets are loaded. Corelog reads at most 1 MiB at once.",
        |config, value| {
            config.groups.load_buffer_bytes = value.size();
            Ok(())
        },
    ),
    field(
        "corelog.memory.bytes",
        Kind::Long(MEMORY_BYTES_MIN as i64, 1 << 50),
        Some("1073741824"),
        "The memory that the broker may use in bytes; `--memory` on the command line. The resident size stays below it \
         plus a small fixed amount.",
        |config, value| {
            config.memory = MemoryBudget::from_total(value.unsigned());
            Ok(())
        },
    ),
    field(
        "corelog.journal.file.bytes",
        Kind::Long(JOURNAL_FILE_BYTES_MIN, JOURNAL_FILE_BYTES_MAX),
        Some("67108864"),
        "The length of a journal file, a multiple of 4096 bytes. Counts when a data directory is made; later it is what \
         the directory says.",
        |config, value| {
            config.journal.file_bytes = value.unsigned();
            Ok(())
        },
    ),
    field(
        "corelog.journal.files.max",
        Kind::Int(RING_FILES_MIN as i64, RING_FILES_MAX as i64),
        None,
        "The most files of each shard's journal. Default: as many as make a quarter of the memory, at most 1 GiB, divided \
         by the number of shards; at least three files.",
        |config, value| {
            config.journal_files_max = Some(value.size());
            Ok(())
        },
    ),
    field(
        "corelog.metadata.journal.file.bytes",
        Kind::Long(JOURNAL_FILE_BYTES_MIN, JOURNAL_FILE_BYTES_MAX),
        Some("8388608"),
        "The length of a file of the metadata log, a multiple of 4096 bytes. Counts when a data directory is made.",
        |config, value| {
            config.journal.metadata_file_bytes = value.unsigned();
            Ok(())
        },
    ),
    field(
        "corelog.segment.reads",
        Kind::Choice(&["direct", "splice"]),
        Some("direct"),
        "How data is read that is no longer in memory. direct: past the page cache, and every batch is verified before it \
         is sent. splice: sealed segments go from the page cache to the socket, and only the consumer verifies them; worth \
         it where many consumers read the same older data while it is in the page cache. Where io_uring has no splice it \
         is direct.",
        |config, value| {
            config.segment_reads = match value.text() {
                "splice" => SegmentReads::Splice,
                _ => SegmentReads::Direct,
            };
            Ok(())
        },
    ),
    field(
        "corelog.segment.bytes.min",
        Kind::Int(1, I32_MAX),
        Some("1048576"),
        "The smallest `segment.bytes` that is accepted. Kafka's is 1 MiB; a lower one is for tests.",
        |config, value| {
            config.segment_bytes_min = value.unsigned();
            Ok(())
        },
    ),
];
