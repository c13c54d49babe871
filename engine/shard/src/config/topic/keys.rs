//! The keys of a topic, one row each.

use super::{CleanupPolicy, Durability, Ratio, TopicConfig};
use crate::config::key::{ConfigKey, Effect, Kind, Synonym};
use alloc::format;
use alloc::string::{String, ToString};
use corelog_wire::compression::Compression;

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn times(name: &'static str, factor: i64) -> Synonym {
    Synonym { name, factor }
}

/// Throttled replicas are pairs of a partition and a broker, or all of them.
fn check_throttled_replicas(replicas: &[String]) -> Result<(), String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |text: &String| text.split_once(':').is_some_and(|(a, b)| is_number(a) && is_number(b));
    match replicas {
        [first, ..] if first == "*" => Ok(()),
        replicas => match replicas.iter().find(|replica| !is_pair(replica)) {
            Some(other) => Err(format!("\"{other}\" is neither PARTITION:BROKER nor *")),
            None => Ok(()),
        },
    }
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const I32_MAX: i64 = i32::MAX as i64;
/// The largest buffer that Kafka could have.
pub(in crate::config) const DECOMPRESSED_RECORD_BYTES_MAX: i64 = I32_MAX - 8;

/// Everything that can be set for a topic: Kafka 4.4's keys, and ours.
pub const TOPIC_KEYS: &[ConfigKey<TopicConfig>] = &[
    ConfigKey {
        name: "cleanup.policy",
        kind: Kind::List(&["delete", "compact"]),
        default: Some("delete"),
        synonyms: &[same("log.cleanup.policy")],
        doc: "What becomes of old records: `delete` drops whole segments by age and size, `compact` promises to keep \
              the newest record of each key. An empty list keeps everything.",
        effect: Effect::Field(|config, value| {
            let has = |word: &str| value.list().iter().any(|item| item == word);
            config.cleanup_policy = CleanupPolicy { delete: has("delete"), compact: has("compact") };
            Ok(())
        }),
    },
    ConfigKey {
        name: "compression.gzip.level",
        kind: Kind::Int(-1, 9),
        default: Some("-1"),
        synonyms: &[same("compression.gzip.level")],
        doc: "The level at which the broker compresses with gzip, where `compression.type` asks for it. -1: the codec's own.",
        effect: Effect::Field(|config, value| match value.number() {
            0 => Err("0 is not a level: -1 is the codec's own, 1 the fastest, 9 the best".to_string()),
            level => {
                config.gzip_level = i32::try_from(level).expect("the row's range fits 32 bits");
                Ok(())
            }
        }),
    },
    ConfigKey {
        name: "compression.lz4.level",
        kind: Kind::Int(1, 17),
        default: Some("9"),
        synonyms: &[same("compression.lz4.level")],
        doc: "The level at which the broker compresses with lz4. The codec here has one level.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "compression.type",
        kind: Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        default: Some("producer"),
        synonyms: &[same("compression.type")],
        doc: "The codec in which records are kept: that of the producer, or one that the broker changes them to when they arrive. \
              A batch unfolds in memory for this, to an eighth of the broker's memory at most.",
        effect: Effect::Field(|config, value| {
            config.compression = Compression::from_name(value.text());
            Ok(())
        }),
    },
    ConfigKey {
        name: "compression.zstd.level",
        kind: Kind::Int(-131_072, 22),
        default: Some("3"),
        synonyms: &[same("compression.zstd.level")],
        doc: "The level at which the broker compresses with zstd, where `compression.type` asks for it.",
        effect: Effect::Field(|config, value| {
            config.zstd_level = i32::try_from(value.number()).expect("the row's range fits 32 bits");
            Ok(())
        }),
    },
    ConfigKey {
        name: "delete.retention.ms",
        kind: Kind::Long(0, i64::MAX),
        default: Some("86400000"),
        synonyms: &[same("log.cleaner.delete.retention.ms")],
        doc: "How long compaction keeps the marker of a deleted key, in milliseconds, from the first pass on that finds it.",
        effect: Effect::Field(|config, value| {
            config.delete_retention_ms = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "errors.deadletterqueue.group.enable",
        kind: Kind::Boolean,
        default: Some("false"),
        synonyms: &[],
        doc: "Whether share groups may write what they cannot deliver to this topic. There are no share groups yet.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "file.delete.delay.ms",
        kind: Kind::Long(0, i64::MAX),
        default: Some("60000"),
        synonyms: &[same("log.segment.delete.delay.ms")],
        doc: "How long the files of a removed segment stay in the file system, in milliseconds.",
        effect: Effect::Field(|config, value| {
            config.file_delete_delay_ms = value.unsigned();
            Ok(())
        }),
    },
    ConfigKey {
        name: "flush.messages",
        kind: Kind::Long(1, i64::MAX),
        default: Some("9223372036854775807"),
        synonyms: &[same("log.flush.interval.messages")],
        doc: "Of so many records the last one is flushed to stable storage before it is acknowledged, and all before it with it, \
              where `corelog.durability` asks for less. 1: every batch.",
        effect: Effect::Field(|config, value| {
            config.flush_messages = value.unsigned();
            Ok(())
        }),
    },
    ConfigKey {
        name: "flush.ms",
        kind: Kind::Long(0, i64::MAX),
        default: Some("9223372036854775807"),
        synonyms: &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")],
        doc: "What was appended is flushed to stable storage after so many milliseconds at the latest, where \
              `corelog.durability` asks for less. 0: before it is acknowledged.",
        effect: Effect::Field(|config, value| {
            config.flush_ms = value.unsigned();
            Ok(())
        }),
    },
    ConfigKey {
        name: "follower.replication.throttled.replicas",
        kind: Kind::List(&[]),
        default: Some(""),
        synonyms: &[],
        doc: "The replicas whose fetching from leaders is throttled. There is no replication yet.",
        effect: Effect::Field(|_, value| check_throttled_replicas(value.list())),
    },
    ConfigKey {
        name: "index.interval.bytes",
        kind: Kind::Int(0, I32_MAX),
        default: Some("4096"),
        synonyms: &[same("log.index.interval.bytes")],
        doc: "Bytes of records between two entries of the offset index.",
        effect: Effect::Field(|config, value| {
            config.index_interval_bytes = value.unsigned();
            Ok(())
        }),
    },
    ConfigKey {
        name: "leader.replication.throttled.replicas",
        kind: Kind::List(&[]),
        default: Some(""),
        synonyms: &[],
        doc: "The replicas whose serving of followers is throttled. There is no replication yet.",
        effect: Effect::Field(|_, value| check_throttled_replicas(value.list())),
    },
    ConfigKey {
        name: "local.retention.bytes",
        kind: Kind::Long(-2, i64::MAX),
        default: Some("-2"),
        synonyms: &[same("log.local.retention.bytes")],
        doc: "Bytes kept locally of a topic with remote storage, which Corelog does not have.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "local.retention.ms",
        kind: Kind::Long(-2, i64::MAX),
        default: Some("-2"),
        synonyms: &[same("log.local.retention.ms")],
        doc: "Time kept locally of a topic with remote storage, which Corelog does not have.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "max.compaction.lag.ms",
        kind: Kind::Long(1, i64::MAX),
        default: Some("9223372036854775807"),
        synonyms: &[same("log.cleaner.max.compaction.lag.ms")],
        doc: "The longest a record may wait for compaction, in milliseconds: a segment is rolled when its first record is \
              this old, and cleaned then.",
        effect: Effect::Field(|config, value| {
            config.max_compaction_lag_ms = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "max.decompressed.message.bytes",
        kind: Kind::Int(1, DECOMPRESSED_RECORD_BYTES_MAX),
        default: Some("2147483639"),
        synonyms: &[same("max.decompressed.message.bytes")],
        doc: "The longest single record of a compressed batch, as it is when decompressed.",
        effect: Effect::Field(|config, value| {
            config.max_decompressed_record_bytes = value.size();
            Ok(())
        }),
    },
    ConfigKey {
        name: "max.message.bytes",
        kind: Kind::Int(0, I32_MAX),
        default: Some("1048588"),
        synonyms: &[same("message.max.bytes")],
        doc: "The longest record batch that is accepted, compressed as it was sent. At most a quarter of a journal file \
              and a thirty-second of the broker's memory.",
        effect: Effect::Field(|config, value| {
            config.max_message_bytes = value.size();
            Ok(())
        }),
    },
    ConfigKey {
        name: "message.timestamp.after.max.ms",
        kind: Kind::Long(0, i64::MAX),
        default: Some("3600000"),
        synonyms: &[same("log.message.timestamp.after.max.ms")],
        doc: "How far ahead of the broker's clock a record's timestamp may be, in milliseconds. Means nothing with \
              LogAppendTime.",
        effect: Effect::Field(|config, value| {
            config.timestamp_after_max_ms = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "message.timestamp.before.max.ms",
        kind: Kind::Long(0, i64::MAX),
        default: Some("9223372036854775807"),
        synonyms: &[same("log.message.timestamp.before.max.ms")],
        doc: "How far behind the broker's clock a record's timestamp may be, in milliseconds. Means nothing with \
              LogAppendTime.",
        effect: Effect::Field(|config, value| {
            config.timestamp_before_max_ms = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "message.timestamp.type",
        kind: Kind::Choice(&["CreateTime", "LogAppendTime"]),
        default: Some("CreateTime"),
        synonyms: &[same("log.message.timestamp.type")],
        doc: "Whether records carry the producer's time or the time at which the broker appended them.",
        effect: Effect::Field(|config, value| {
            config.log_append_time = value.text() == "LogAppendTime";
            Ok(())
        }),
    },
    ConfigKey {
        name: "min.cleanable.dirty.ratio",
        kind: Kind::Double(0.0, 1.0),
        default: Some("0.5"),
        synonyms: &[same("log.cleaner.min.cleanable.ratio")],
        doc: "The share of a log that must be uncompacted before it is compacted.",
        effect: Effect::Field(|config, value| {
            config.min_cleanable_dirty_ratio = Ratio::new(value.double());
            Ok(())
        }),
    },
    ConfigKey {
        name: "min.compaction.lag.ms",
        kind: Kind::Long(0, i64::MAX),
        default: Some("0"),
        synonyms: &[same("log.cleaner.min.compaction.lag.ms")],
        doc: "How long a record is safe from compaction, in milliseconds.",
        effect: Effect::Field(|config, value| {
            config.min_compaction_lag_ms = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "min.insync.replicas",
        kind: Kind::Int(1, I32_MAX),
        default: Some("1"),
        synonyms: &[same("min.insync.replicas")],
        doc: "With fewer replicas in sync, a write with acks=all is refused. Counts up to the number of replicas that the \
              partition has: a single one is enough for itself, as in Kafka.",
        effect: Effect::Field(|config, value| {
            config.min_insync_replicas = i32::try_from(value.number()).expect("the row's range fits 32 bits");
            Ok(())
        }),
    },
    ConfigKey {
        name: "preallocate",
        kind: Kind::Boolean,
        default: Some("false"),
        synonyms: &[same("log.preallocate")],
        doc: "In Kafka, reserve a segment's space when it is created. Corelog's journal is always preallocated, its \
              segments grow in large steps.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "remote.copy.lag.bytes",
        kind: Kind::Long(-1, i64::MAX),
        default: Some("-1"),
        synonyms: &[same("log.remote.copy.lag.bytes")],
        doc: "Of topics with remote storage, which Corelog does not have.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "remote.copy.lag.ms",
        kind: Kind::Long(-1, i64::MAX),
        default: Some("0"),
        synonyms: &[same("log.remote.copy.lag.ms")],
        doc: "Of topics with remote storage, which Corelog does not have.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "remote.log.copy.disable",
        kind: Kind::Boolean,
        default: Some("false"),
        synonyms: &[],
        doc: "Of topics with remote storage, which Corelog does not have.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "remote.log.delete.on.disable",
        kind: Kind::Boolean,
        default: Some("false"),
        synonyms: &[],
        doc: "Of topics with remote storage, which Corelog does not have.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "remote.storage.enable",
        kind: Kind::Boolean,
        default: Some("false"),
        synonyms: &[],
        doc: "Whether old segments move to remote storage, which Corelog does not have.",
        effect: Effect::Field(|_, value| match value.boolean() {
            false => Ok(()),
            true => Err("this broker has no remote storage; leave it at false".to_string()),
        }),
    },
    ConfigKey {
        name: "retention.bytes",
        kind: Kind::Long(i64::MIN, i64::MAX),
        default: Some("-1"),
        synonyms: &[same("log.retention.bytes")],
        doc: "The size in bytes above which the oldest segments of a partition are removed. Negative: no limit.",
        effect: Effect::Field(|config, value| {
            config.retention_bytes = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "retention.ms",
        kind: Kind::Long(-1, i64::MAX),
        default: Some("604800000"),
        synonyms: &[
            same("log.retention.ms"),
            times("log.retention.minutes", MINUTE_MS),
            times("log.retention.hours", HOUR_MS),
        ],
        doc: "The age in milliseconds at which a segment is removed. -1: no limit.",
        effect: Effect::Field(|config, value| {
            config.retention_ms = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "segment.bytes",
        kind: Kind::Int(1, I32_MAX),
        default: Some("1073741824"),
        synonyms: &[same("log.segment.bytes")],
        doc: "The largest size of a segment in bytes. At least 1 MiB (see `corelog.segment.bytes.min`).",
        effect: Effect::Field(|config, value| {
            config.segment_bytes = value.unsigned();
            Ok(())
        }),
    },
    ConfigKey {
        name: "segment.index.bytes",
        kind: Kind::Int(4, I32_MAX),
        default: Some("10485760"),
        synonyms: &[same("log.index.size.max.bytes")],
        doc: "The largest size of an index file in bytes; a full one rolls the segment.",
        effect: Effect::Field(|config, value| {
            config.segment_index_bytes = value.unsigned();
            Ok(())
        }),
    },
    ConfigKey {
        name: "segment.jitter.ms",
        kind: Kind::Long(0, i64::MAX),
        default: Some("0"),
        synonyms: &[same("log.roll.jitter.ms"), times("log.roll.jitter.hours", HOUR_MS)],
        doc: "Up to this many milliseconds are taken off `segment.ms`, so that segments do not all roll at once.",
        effect: Effect::Field(|config, value| {
            config.segment_jitter_ms = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "segment.ms",
        kind: Kind::Long(1, i64::MAX),
        default: Some("604800000"),
        synonyms: &[same("log.roll.ms"), times("log.roll.hours", HOUR_MS)],
        doc: "The age in milliseconds at which a segment is rolled even when it is not full.",
        effect: Effect::Field(|config, value| {
            config.segment_ms = value.number();
            Ok(())
        }),
    },
    ConfigKey {
        name: "unclean.leader.election.enable",
        kind: Kind::Boolean,
        default: Some("false"),
        synonyms: &[same("unclean.leader.election.enable")],
        doc: "Whether a replica that is not in sync may become leader. There is no replication yet.",
        effect: Effect::Nothing,
    },
    ConfigKey {
        name: "corelog.durability",
        kind: Kind::Choice(&["fsync", "write", "memory"]),
        default: Some("fsync"),
        synonyms: &[same("corelog.durability")],
        doc: "Where records must be before they are acknowledged and visible: `fsync` on stable storage, `write` written \
              but not flushed (lost in a power cut), `memory` in the broker's memory (lost with the process).",
        effect: Effect::Field(|config, value| {
            config.durability = match value.text() {
                "write" => Durability::Write,
                "memory" => Durability::Memory,
                _ => Durability::Fsync,
            };
            Ok(())
        }),
    },
];
