//! Kafka 4.4's broker keys that nothing here acts on yet, one row each.
//!
//! They are read, checked, kept, shown and, where Kafka allows it, changed like any other key, so that files and tools made
//! for Kafka work as they are. Types, ranges and defaults are Kafka's. Keys that Kafka itself calls internal are not here;
//! they are accepted (see [`super::known`]) and not described, as in Kafka.

use super::broker::BrokerConfig;
use super::key::{ConfigKey, Effect, Kind};
use Kind::{AnyCase, Choice, Class, Double, Int, List, Long, Password, Short, Text};

/// Rows of two lines each: name, type and default, then what the key means.
macro_rules! inert {
    ($($name:literal, $kind:expr => $default:expr, $doc:literal;)*) => {
        &[$(ConfigKey {
            name: $name,
            kind: $kind,
            default: $default,
            synonyms: &[],
            doc: $doc,
            effect: Effect::Nothing,
        }),*]
    };
}

const I32_MAX: i64 = i32::MAX as i64;
const I32_MIN: i64 = i32::MIN as i64;

mod cluster;
mod groups;
mod security;
mod storage;

/// All of them, in families.
const FAMILIES: [&[ConfigKey<BrokerConfig>]; 4] = [cluster::KEYS, groups::KEYS, security::KEYS, storage::KEYS];

/// Every such key.
pub(super) fn keys() -> impl Iterator<Item = &'static ConfigKey<BrokerConfig>> {
    FAMILIES.into_iter().flatten()
}

/// The row of that name.
pub(super) fn find(name: &str) -> Option<&'static ConfigKey<BrokerConfig>> {
    keys().find(|row| row.name == name)
}
