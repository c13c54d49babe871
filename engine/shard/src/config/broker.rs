//! A broker's configuration: what is in force, how keys are set, and what they must fulfil together.

mod keys;

pub use keys::BROKER_KEYS;

use super::dynamic::{Dynamic, Values};
use super::groups::GroupsConfig;
use super::inert;
use super::key::{ConfigError, ConfigKey, Effect, Value, find, set_defaults};
use super::known;
use super::memory::{MEMORY_BYTES_MIN, MemoryBudget};
use super::nearest::nearest;
use super::topic::{Ratio, TOPIC_KEYS, TopicBounds, TopicConfig};
use crate::mesh::SHARDS_MAX;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, an IPv6 address without its brackets; empty for every address of the machine.
    pub host: String,
    /// The port; 0 for one that is free.
    pub port: u16,
}

impl Endpoint {
    /// Reads `HOST:PORT` (`[ADDRESS]:PORT` for IPv6). The error says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not HOST:PORT, such as 127.0.0.1:9092 or [::1]:9092");
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains([':', '/', ' ']) => return Err(wrong()),
            None => host,
        };
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }

    /// Whether it stands for every address of the machine, which no client can connect to.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The shape of the journals. A data directory keeps the lengths of its files for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// The length of a journal file in bytes.
    pub file_bytes: u64,
    /// The most files a shard's ring has.
    pub files_max: usize,
    /// The length of a file of the metadata log in bytes.
    pub metadata_file_bytes: u64,
    /// The most files the metadata log's ring has.
    pub metadata_files_max: usize,
}

/// How many connections a broker takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionBounds {
    /// `max.connections`: the most at a time.
    pub total_max: usize,
    /// `max.connections.per.ip`: the most at a time from one address.
    pub per_ip_max: usize,
    /// `max.connections.per.ip.overrides`: the same for single addresses, or hosts by name.
    pub per_ip_overrides: Vec<(String, usize)>,
    /// `max.connection.creation.rate`: the most that are taken in within a second, on average.
    pub rate_max: usize,
    /// The same from one address, by quota: those of single addresses, and without an address that of all others (KIP-612).
    pub ip_rates: Vec<(Option<IpAddr>, u32)>,
}

/// How compacted topics are cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub is_enabled: bool,
    /// `log.cleaner.backoff.ms`: how long the cleaner of a shard rests when there is nothing to clean.
    pub backoff_ms: u64,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of one pass, as far as the shard has so much for it.
    pub keys_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full that memory may become.
    pub load: Ratio,
    /// `log.cleaner.io.buffer.size`: half of it is read at a time.
    pub buffer_bytes: u64,
    /// `log.cleaner.io.max.bytes.per.second`, read and written; `u64::MAX` for no limit.
    pub bytes_per_second: u64,
}

/// How older data is read that is no longer in memory (`corelog.segment.reads`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentReads {
    /// Past the page cache, each batch verified before it is sent.
    Direct,
    /// Sealed segments from the page cache to the socket, unseen.
    Splice,
}

/// The fewest files with which a ring can go round: one being written, one being written back, one to go on in.
const RING_FILES_MIN: u64 = 3;
/// Journal files are named with four decimal digits.
const RING_FILES_MAX: u64 = 9_999;
const METADATA_FILES_MAX: usize = 4;
const JOURNAL_FILE_BYTES_STEP: u64 = 4096;

/// What is in force for a broker.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `node.id`.
    pub node_id: i32,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The address to listen on (`listeners`).
    pub listen: Endpoint,
    /// The address that clients are told to connect to (`advertised.listeners`); `None` for the one listened on.
    pub advertised: Option<Endpoint>,
    /// The data directory (`log.dirs`).
    pub data_dir: String,
    /// `num.partitions`: of topics that are created without a number.
    pub num_partitions: i32,
    /// `default.replication.factor`: of topics that are created without one.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `max.request.partition.size.limit`: the most partitions in one answer of DescribeTopicPartitions.
    pub request_partitions_max: i32,
    /// The longest request frame: `socket.request.max.bytes`, or half of the memory for frames where that is less.
    pub request_bytes_max: usize,
    /// How many connections there may be.
    pub connections: ConnectionBounds,
    /// `connections.max.idle.ms`: after so long without a request a connection is closed; `None` for never.
    pub connections_idle_ms_max: Option<u64>,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: i32,
    /// `fetch.max.bytes`: the most bytes in one fetch answer, whatever the client allows.
    pub fetch_bytes_max: usize,
    /// How compacted topics are cleaned.
    pub cleaner: CleanerConfig,
    /// `corelog.segment.reads`: how data is read that is no longer in memory.
    pub segment_reads: SegmentReads,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_sessions_max: usize,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: u64,
    /// `producer.id.expiration.ms`: how long an idle producer's state is kept.
    pub producer_id_expiration_ms: u64,
    /// `quota.window.num` and `quota.window.size.seconds`: how many windows a client's rates are taken over, and the length
    /// of one in seconds.
    pub quota_windows: (u32, u32),
    /// The same for changes of topics: `controller.quota.window.num` and `controller.quota.window.size.seconds`.
    pub mutation_quota_windows: (u32, u32),
    /// `telemetry.max.bytes`: the most bytes of metrics in one push.
    pub telemetry_bytes_max: usize,
    /// Consumer groups and their committed offsets.
    pub groups: GroupsConfig,
    /// What `corelog.memory.bytes` allows, divided.
    pub memory: MemoryBudget,
    /// The shape of the journals.
    pub journal: JournalConfig,
    /// What is in force for a topic without settings of its own.
    pub topic_defaults: TopicConfig,
    segment_bytes_min: u64,
    socket_request_bytes_max: usize,
    journal_files_max: Option<usize>,
    listeners: Vec<Listener>,
    advertised_listeners: Vec<Listener>,
    controller_listeners: Vec<String>,
    protocols: BTreeMap<String, String>,
    /// What was set at the start.
    explicit: Values,
    /// What was set since.
    pub(super) dynamic: Dynamic,
    unused: BTreeSet<String>,
}

/// An element of `listeners`: `NAME://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listener {
    name: String,
    endpoint: Endpoint,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        let unbounded = TopicBounds { segment_bytes_min: 0, journal_message_bytes_max: 0, frame_message_bytes_max: 0 };
        let mut config = Self {
            node_id: 0,
            rack: None,
            listen: Endpoint { host: String::new(), port: 0 },
            advertised: None,
            data_dir: String::new(),
            num_partitions: 0,
            default_replication_factor: 0,
            auto_create_topics: false,
            delete_topics: false,
            request_partitions_max: 0,
            request_bytes_max: 0,
            connections: ConnectionBounds::default(),
            connections_idle_ms_max: None,
            listen_backlog: 0,
            fetch_bytes_max: 0,
            cleaner: CleanerConfig {
                is_enabled: false,
                backoff_ms: 0,
                keys_bytes: 0,
                load: Ratio::default(),
                buffer_bytes: 0,
                bytes_per_second: 0,
            },
            segment_reads: SegmentReads::Direct,
            fetch_sessions_max: 0,
            retention_check_interval_ms: 0,
            producer_id_expiration_ms: 0,
            quota_windows: (0, 0),
            mutation_quota_windows: (0, 0),
            telemetry_bytes_max: 0,
            groups: GroupsConfig::default(),
            memory: MemoryBudget::from_total(0),
            journal: JournalConfig {
                file_bytes: 1,
                files_max: 0,
                metadata_file_bytes: 0,
                metadata_files_max: METADATA_FILES_MAX,
            },
            topic_defaults: TopicConfig::defaults(unbounded),
            segment_bytes_min: 0,
            socket_request_bytes_max: 0,
            journal_files_max: None,
            listeners: Vec::new(),
            advertised_listeners: Vec::new(),
            controller_listeners: Vec::new(),
            protocols: BTreeMap::new(),
            explicit: BTreeMap::new(),
            dynamic: Dynamic::default(),
            unused: BTreeSet::new(),
        };
        set_defaults(BROKER_KEYS, &mut config);
        config.derive();
        config
    }
}

impl BrokerConfig {
    /// Sets one key. A key of Kafka's that this version does not act on is accepted and remembered for
    /// [`Self::unused`]; any other unknown key is an error that names the nearest known one.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let name = name.trim();
        let Some(row) = row(name) else {
            if !known::is_accepted(name) {
                return Err(unknown(name));
            }
            self.unused.insert(name.to_owned());
            return Ok(());
        };
        self.explicit.insert(row.name, row.parse(text)?);
        if matches!(row.effect, Effect::Nothing) {
            self.unused.insert(name.to_owned());
        }
        self.put_in_force(row.name)?;
        self.derive();
        Ok(())
    }

    /// Checks what depends on several keys. Call it once, after the last [`Self::set`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.topic_defaults.check(|_| true).map_err(|error| {
            let row = find(TOPIC_KEYS, &error.key).expect("the check names a topic's key");
            let key = row.synonyms.first().map_or(row.name, |synonym| synonym.name);
            ConfigError::new(key, error.message)
        })?;
        for (key, step) in [
            ("corelog.journal.file.bytes", self.journal.file_bytes),
            ("corelog.metadata.journal.file.bytes", self.journal.metadata_file_bytes),
        ] {
            if step % JOURNAL_FILE_BYTES_STEP != 0 {
                return Err(ConfigError::new(key, format!("{step} is not a multiple of {JOURNAL_FILE_BYTES_STEP}")));
            }
        }
        let ConnectionBounds { total_max, rate_max, .. } = self.connections;
        for (key, max) in [("max.connections", total_max), ("max.connection.creation.rate", rate_max)] {
            if max == 0 {
                return Err(ConfigError::new(key, "0 lets nobody in"));
            }
        }
        if self.connections.per_ip_max == 0 && self.connections.per_ip_overrides.is_empty() {
            let message = "0 lets in only addresses that max.connections.per.ip.overrides names, and there is none";
            return Err(ConfigError::new("max.connections.per.ip", message));
        }
        self.only_listener("listeners", &self.listeners)?;
        self.only_listener("advertised.listeners", &self.advertised_listeners)?;
        Ok(())
    }

    /// Takes over the file lengths that a data directory was made with; it keeps them, whatever is configured later.
    /// An error says what was configured and does not fit them.
    pub fn adopt_journal_files(&mut self, file_bytes: u64, metadata_file_bytes: u64) -> Result<(), ConfigError> {
        assert!(file_bytes > 0, "a journal file has a length");
        self.journal.file_bytes = file_bytes;
        self.journal.metadata_file_bytes = metadata_file_bytes;
        self.derive();
        self.validate()
    }

    /// Refuses more shards than the memory is enough for. Call it before a start.
    pub fn check_shards(&self, shards: u32) -> Result<(), ConfigError> {
        let needed = u64::from(shards) * MEMORY_BYTES_MIN;
        if self.memory.total >= needed {
            return Ok(());
        }
        let (there, each, needed) = (self.memory.total >> 20, MEMORY_BYTES_MIN >> 20, needed >> 20);
        let message = format!(
            "{there} MiB are not enough for {shards} shards, which need {each} MiB each: give the broker {needed} MiB \
             (--memory), or run it on fewer cores (--cores)"
        );
        Err(ConfigError::new("corelog.memory.bytes", message))
    }

    /// How many shards there are where the operator names no number: one for each core, as far as the memory goes.
    #[must_use]
    pub fn shards_for(&self, cores: usize) -> u32 {
        let enough_for = usize::try_from(self.memory.total / MEMORY_BYTES_MIN).unwrap_or(usize::MAX);
        cores.min(enough_for).clamp(1, SHARDS_MAX as usize) as u32
    }

    /// What is in force for each of `shards` shards: the memory for appends and reads is divided among them, and so are the
    /// files of the ring, unless their number was set. Memory for frames is not: the shards share it.
    #[must_use]
    pub fn for_shard(mut self, shards: u32) -> Self {
        assert!(shards > 0, "a node has at least one shard");
        if shards == 1 {
            return self;
        }
        self.memory = self.memory.of_shard(u64::from(shards));
        self.derive();
        self
    }

    /// Kafka's keys that were set and that this version does not act on, sorted.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.unused.iter().map(String::as_str)
    }

    /// The value that was set for a key at the start, as text; `None` when there was none.
    #[must_use]
    pub fn explicit(&self, name: &str) -> Option<String> {
        self.explicit.get(name).map(ToString::to_string)
    }

    /// The value that was set at the start. Either of `node.id` and `broker.id` gives the other.
    pub(super) fn at_start(&self, name: &str) -> Option<String> {
        let is_id = |name: &str| matches!(name, "node.id" | "broker.id");
        match is_id(name) && self.explicit.keys().any(|set| is_id(set)) {
            true => Some(self.node_id.to_string()),
            false => self.explicit(name),
        }
    }

    /// The strongest value that was set for a key, if any was.
    pub(super) fn in_force(&self, name: &str) -> Option<&Value> {
        let Dynamic { own, cluster } = &self.dynamic;
        own.get(name).or_else(|| cluster.get(name)).or_else(|| self.explicit.get(name))
    }

    fn is_set(&self, name: &str) -> bool {
        self.explicit.contains_key(name)
    }

    /// Acts on a key's strongest value, or on its default.
    pub(super) fn put_in_force(&mut self, name: &'static str) -> Result<(), ConfigError> {
        let row = row(name).expect("the caller has its row");
        match &row.effect {
            Effect::Field(set) => {
                let value = match (self.in_force(name), row.default) {
                    (Some(value), _) => value.clone(),
                    (None, Some(default)) => row.parse(default)?,
                    (None, None) => return Ok(()),
                };
                set(self, &value).map_err(|message| ConfigError::new(name, message))
            }
            Effect::TopicDefault => self.set_topic_default(name),
            Effect::Nothing => Ok(()),
        }
    }

    /// Brings the default of the topic's keys that follow `name` up to date: the strongest synonym that is set wins.
    fn set_topic_default(&mut self, name: &str) -> Result<(), ConfigError> {
        for row in TOPIC_KEYS.iter().filter(|row| row.synonyms.iter().any(|synonym| synonym.name == name)) {
            let set = |synonym: &super::Synonym| {
                Some(row.kind.of_topic(&self.in_force(synonym.name)?.times(synonym.factor)).to_string())
            };
            let Some(text) = row.synonyms.iter().find_map(set).or_else(|| row.default.map(ToString::to_string)) else {
                continue;
            };
            // Times of the broker may have other ranges than the topic's: read it again as the topic's.
            let value = row.parse(&text).map_err(|error| ConfigError::new(name, error.message))?;
            self.topic_defaults.apply(row, &value).map_err(|error| ConfigError::new(name, error.message))?;
        }
        Ok(())
    }

    /// Recomputes what follows from several keys.
    pub(super) fn derive(&mut self) {
        let files = (self.memory.ring / self.journal.file_bytes).clamp(RING_FILES_MIN, RING_FILES_MAX);
        let files = usize::try_from(files).expect("at most four digits");
        self.journal.files_max = self.journal_files_max.unwrap_or(files);
        // So that one largest request never takes all of the memory for requests.
        let half = usize::try_from(self.memory.frames / 2).unwrap_or(usize::MAX);
        self.request_bytes_max = self.socket_request_bytes_max.min(half);
        self.topic_defaults.bounds = TopicBounds {
            segment_bytes_min: self.segment_bytes_min,
            journal_message_bytes_max: self.journal.file_bytes / 4,
            frame_message_bytes_max: self.memory.frames / 4,
        };
        let listen = self.for_clients(&self.listeners).next().map(|listener| listener.endpoint.clone());
        let advertised = self.for_clients(&self.advertised_listeners).next().map(|listener| listener.endpoint.clone());
        self.listen = listen.unwrap_or_else(|| self.listen.clone());
        self.advertised = advertised;
    }

    /// The listeners that are not the controller's.
    fn for_clients<'a>(&'a self, listeners: &'a [Listener]) -> impl Iterator<Item = &'a Listener> {
        listeners.iter().filter(|listener| !self.controller_listeners.contains(&listener.name))
    }

    /// Refuses what would listen other than the operator thinks: several addresses, or encryption that is not there.
    fn only_listener(&self, key: &str, listeners: &[Listener]) -> Result<(), ConfigError> {
        for (index, listener) in self.for_clients(listeners).enumerate() {
            let protocol = self.protocols.get(&listener.name).unwrap_or(&listener.name);
            if matches!(protocol.as_str(), "SSL" | "SASL_PLAINTEXT" | "SASL_SSL") {
                let message = format!("listener {} asks for {protocol}, only PLAINTEXT is built yet", listener.name);
                return Err(ConfigError::new(key, message));
            }
            if index > 0 {
                let message = format!("{} is a second listener for clients, only one is possible yet", listener.name);
                return Err(ConfigError::new(key, message));
            }
        }
        match listeners.is_empty() || self.for_clients(listeners).next().is_some() {
            true => Ok(()),
            false => Err(ConfigError::new(key, "names no listener for clients, only the controller's")),
        }
    }
}

/// The row of that name, whether anything acts on it or not.
pub(super) fn row(name: &str) -> Option<&'static ConfigKey<BrokerConfig>> {
    find(BROKER_KEYS, name).or_else(|| inert::find(name))
}

fn unknown(name: &str) -> ConfigError {
    let topic = find(TOPIC_KEYS, name);
    if let Some(synonym) = topic.and_then(|row| row.synonyms.first()) {
        return ConfigError::new(name, format!("is a topic's setting; its default for a broker is {}", synonym.name));
    }
    if topic.is_some() {
        return ConfigError::new(name, "is a topic's setting, which a broker cannot have");
    }
    let rows = BROKER_KEYS.iter().chain(inert::keys());
    let names = rows.map(|row| row.name).chain(known::UNUSED.iter().copied());
    ConfigError::new(
        name,
        match nearest(name, names) {
            Some(near) => format!("is not a known setting; did you mean {near}?"),
            None => "is not a known setting of Kafka 4.4 or Corelog".to_string(),
        },
    )
}
