//! A topic's configuration: what is in force, and how a topic's own settings are checked.
//!
//! A topic holds only what was set for it (its overrides, as text, in the metadata). What is in force is those over the
//! broker's defaults: [`TopicConfig::with_overrides`].

mod keys;

pub(super) use keys::DECOMPRESSED_RECORD_BYTES_MAX;
pub use keys::TOPIC_KEYS;

use super::key::{ConfigError, ConfigKey, Effect, Value, find, outside, set_defaults};
use super::known;
use super::nearest::nearest;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use corelog_wire::compression::Compression;
use corelog_wire::record_batch::TimestampType;

/// Where a record must be before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// On stable storage.
    #[default]
    Fsync = 0,
    /// Written to the journal, not flushed: survives the process, not a power cut.
    Write = 1,
    /// In the memory of the broker: survives nothing by itself.
    Memory = 2,
}

/// What becomes of old records. Neither: they are kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Whole segments go by age and size.
    pub delete: bool,
    /// Only the newest record of each key is promised to stay; a record without a key is refused.
    pub compact: bool,
}

/// A share from 0 to 1, in parts of a billion: exact to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u32);

/// What a whole is in a [`Ratio`].
const RATIO_PARTS: u32 = 1_000_000_000;

impl Ratio {
    /// The share nearest to a number from 0 to 1.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self((share * f64::from(RATIO_PARTS)) as u32)
    }

    /// The share that a part has of a whole; nothing has no share in nothing.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Self {
        match whole {
            0 => Self(0),
            whole => Self((u128::from(part.min(whole)) * u128::from(RATIO_PARTS) / u128::from(whole)) as u32),
        }
    }

    /// The share in parts of a thousand million.
    #[must_use]
    pub fn parts(self) -> u64 {
        self.0.into()
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(RATIO_PARTS)
    }
}

/// Limits that the broker's own configuration puts on a topic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicBounds {
    /// The smallest `segment.bytes`.
    pub segment_bytes_min: u64,
    /// The largest `max.message.bytes` that a journal file carries.
    pub journal_message_bytes_max: u64,
    /// The largest `max.message.bytes` that the memory for request frames carries.
    pub frame_message_bytes_max: u64,
}

/// What is in force for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`: the age at which a segment goes; negative for never.
    pub retention_ms: i64,
    /// `retention.bytes`: the size above which the oldest segment of a partition goes; negative for never.
    pub retention_bytes: i64,
    /// `delete.retention.ms`: how long compaction keeps the marker of a deleted key.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: how long a record is safe from compaction.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: the longest a record may wait for compaction.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`: the share of a log that must be uncompacted before it is compacted.
    pub min_cleanable_dirty_ratio: Ratio,
    /// `segment.bytes`: a segment is rolled before it would exceed this. A batch that is longer is refused.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is rolled when its first record is this old.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: up to this much is taken off `segment_ms`, differently for every segment.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: the largest size of an index file; a full index rolls the segment.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: bytes of records between two index entries.
    pub index_interval_bytes: u64,
    /// `file.delete.delay.ms`: how long a removed segment's files stay.
    pub file_delete_delay_ms: u64,
    /// `max.message.bytes`: the longest record batch, as it was sent.
    pub max_message_bytes: usize,
    /// `max.decompressed.message.bytes`: the longest record of a compressed batch, as it is when decompressed.
    pub max_decompressed_record_bytes: usize,
    /// `message.timestamp.type` is LogAppendTime: records carry the broker's time.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a record's timestamp may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// `compression.type`: the codec in which records are kept; `None` for the producer's.
    pub compression: Option<Compression>,
    /// `compression.gzip.level`; -1 for the codec's own.
    pub gzip_level: i32,
    /// `compression.zstd.level`.
    pub zstd_level: i32,
    /// `flush.messages`: of so many records the last is flushed before it is acknowledged, whatever the durability level.
    pub flush_messages: u64,
    /// `flush.ms`: what was appended is flushed after so long, whatever the durability level.
    pub flush_ms: u64,
    /// `min.insync.replicas`: with fewer, a write with `acks=all` is refused.
    pub min_insync_replicas: i32,
    /// `corelog.durability`.
    pub durability: Durability,
    /// What the broker allows.
    pub bounds: TopicBounds,
}

impl Default for TopicConfig {
    /// What a topic has on a broker with all its defaults.
    fn default() -> Self {
        super::BrokerConfig::default().topic_defaults
    }
}

impl TopicConfig {
    /// Kafka's defaults, within the given bounds.
    pub(super) fn defaults(bounds: TopicBounds) -> Self {
        let mut config = Self {
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            retention_ms: 0,
            retention_bytes: 0,
            delete_retention_ms: 0,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: 0,
            min_cleanable_dirty_ratio: Ratio::default(),
            segment_bytes: 0,
            segment_ms: 0,
            segment_jitter_ms: 0,
            segment_index_bytes: 0,
            index_interval_bytes: 0,
            file_delete_delay_ms: 0,
            max_message_bytes: 0,
            max_decompressed_record_bytes: 0,
            log_append_time: false,
            timestamp_before_max_ms: 0,
            timestamp_after_max_ms: 0,
            compression: None,
            gzip_level: 0,
            zstd_level: 0,
            flush_messages: 0,
            flush_ms: 0,
            min_insync_replicas: 0,
            durability: Durability::Fsync,
            bounds,
        };
        set_defaults(TOPIC_KEYS, &mut config);
        config
    }

    /// The age at which a segment is rolled: `segment.ms`, or `max.compaction.lag.ms` where that comes first.
    #[must_use]
    pub fn roll_ms(&self) -> i64 {
        if self.cleanup_policy.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }

    /// `message.timestamp.type` as record batches know it.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.log_append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// The codec and its level in which a batch of this codec is to be kept, where that is another one.
    #[must_use]
    pub fn reencodes(&self, from: Compression) -> Option<(Compression, Option<i32>)> {
        let to = self.compression.filter(|to| *to != from)?;
        let level = match to {
            Compression::Gzip => Some(self.gzip_level).filter(|level| *level != -1),
            Compression::Zstd => Some(self.zstd_level),
            // Its codec here has one level.
            Compression::None | Compression::Snappy | Compression::Lz4 => None,
        };
        Some((to, level))
    }

    /// The most bytes that a batch may unfold to which is to be kept in another codec: it is unfolded in memory.
    #[must_use]
    pub fn reencoded_bytes_max(&self) -> usize {
        usize::try_from(self.bounds.frame_message_bytes_max.saturating_mul(4)).unwrap_or(usize::MAX)
    }

    /// This configuration (the broker's defaults) with a topic's own settings over it, checked as CreateTopics and
    /// AlterConfigs must: the first fault is the error.
    pub fn with_overrides(&self, overrides: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        for (name, text) in overrides {
            config.set(name, text)?;
        }
        config.check(|name| overrides.contains_key(name))?;
        Ok(config)
    }

    /// Like [`Self::with_overrides`] for settings that were accepted once and are read back: what no longer fits (a
    /// smaller journal, less memory, another version) is left at the broker's default and reported, so that no setting
    /// of one topic keeps a broker from starting.
    #[must_use]
    pub fn with_stored(&self, overrides: &BTreeMap<String, String>) -> (Self, Vec<ConfigError>) {
        let mut config = self.clone();
        let mut ignored = Vec::new();
        for (name, text) in overrides {
            let mut changed = config.clone();
            match changed.set(name, text).and_then(|()| changed.check(|key| key == name)) {
                Ok(()) => config = changed,
                Err(error) => ignored.push(error),
            }
        }
        (config, ignored)
    }

    /// Sets one key.
    fn set(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let row = find(TOPIC_KEYS, name).ok_or_else(|| unknown(name))?;
        let value = row.parse(text)?;
        self.apply(row, &value)
    }

    /// Gives the row's field a value that has passed the row's check.
    pub(super) fn apply(&mut self, row: &ConfigKey<Self>, value: &Value) -> Result<(), ConfigError> {
        match &row.effect {
            Effect::Field(set) => set(self, value).map_err(|message| ConfigError::new(row.name, message)),
            Effect::TopicDefault | Effect::Nothing => Ok(()),
        }
    }

    /// Checks what depends on the broker, for the keys that are `chosen`.
    pub(super) fn check(&self, chosen: impl Fn(&str) -> bool) -> Result<(), ConfigError> {
        let bounds = &self.bounds;
        if chosen("segment.bytes") && self.segment_bytes < bounds.segment_bytes_min {
            let (got, min) = (clamped(self.segment_bytes), clamped(bounds.segment_bytes_min));
            return Err(ConfigError::new("segment.bytes", outside(got, min, i64::MAX)));
        }
        let (min_ms, max_ms) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if let Some(key) = ["min.compaction.lag.ms", "max.compaction.lag.ms"].into_iter().find(|key| chosen(key))
            && min_ms > max_ms
        {
            let message = format!("min.compaction.lag.ms ({min_ms}) is above max.compaction.lag.ms ({max_ms})");
            return Err(ConfigError::new(key, message));
        }
        let message = self.max_message_bytes as u64;
        if chosen("max.message.bytes") && message > bounds.journal_message_bytes_max {
            let max = bounds.journal_message_bytes_max;
            let why = "a quarter of a journal file: set a lower value, or a higher corelog.journal.file.bytes before the \
                       first start on a data directory";
            return Err(ConfigError::new("max.message.bytes", format!("{message} is above {max}, {why}")));
        }
        if chosen("max.message.bytes") && message > bounds.frame_message_bytes_max {
            let max = bounds.frame_message_bytes_max;
            let why = "a thirty-second of the broker's memory: set a lower value, or start the broker with more memory";
            return Err(ConfigError::new("max.message.bytes", format!("{message} is above {max}, {why}")));
        }
        Ok(())
    }
}

fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unknown(name: &str) -> ConfigError {
    let names = TOPIC_KEYS.iter().map(|row| row.name);
    let message = match (nearest(name, names), known::is_broker_key(name)) {
        (_, true) => "is a broker's setting, not a topic's".to_string(),
        (Some(near), _) => format!("is not a topic setting; did you mean {near}?"),
        (None, _) => "is not a topic setting".to_string(),
    };
    ConfigError::new(name, message)
}
