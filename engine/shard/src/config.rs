//! What an operator can set: the keys of a broker and of a topic, their defaults, and what each one changes.
//!
//! Owns the tables [`BROKER_KEYS`] and [`TOPIC_KEYS`], and that of Kafka's keys which change nothing here. A key is one row: name, type and range, default, description, and
//! the field that it sets. Everything that speaks of configuration (start, CreateTopics, DescribeConfigs) reads
//! these rows, and the default values of [`BrokerConfig`] and [`TopicConfig`] are made from them.
//!
//! Invariants: a name stands in one row of a table at most; every default passes its own row's check; the order in which
//! keys are set makes no difference, so what depends on several keys is checked by [`BrokerConfig::validate`] at the end.

mod broker;
mod description;
mod dynamic;
mod groups;
mod inert;
mod key;
mod known;
mod memory;
mod nearest;
mod resource;
mod topic;

pub use broker::{BROKER_KEYS, BrokerConfig, CleanerConfig, ConnectionBounds, Endpoint, JournalConfig, SegmentReads};
pub use description::{ConfigDescription, ConfigPlace, describe_broker, describe_cluster, describe_topic};
pub use dynamic::{broker_list_default, is_inert};
pub use groups::GroupsConfig;
pub use key::{ConfigError, ConfigKey, Effect, Kind, Synonym, Value};
pub use memory::{MEMORY_BYTES_MIN, MemoryBudget};
pub use nearest::nearest;
pub use resource::{
    ClientMetricsConfig, MatchField, check_group, client_metrics_list_default, describe_client_metrics, describe_group,
    group_list_default, is_inert_for_groups,
};
pub use topic::{CleanupPolicy, Durability, Ratio, TOPIC_KEYS, TopicBounds, TopicConfig};

#[cfg(test)]
mod tests;
