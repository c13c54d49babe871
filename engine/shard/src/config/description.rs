//! What is in force, where it comes from, and what else could be: the answer to "why is this setting so?".
//!
//! Invariants: a value that is shown is the one in force, in the form in which Kafka prints a value of its type; a secret is
//! never shown.
//!
//! Like Kafka (KIP-226) a description names the places that have a value, the strongest first: the topic itself, then under
//! each name that stands for the same thing what was set for this broker, then what was set for all brokers, then what was
//! set at the start, then the defaults. And like Kafka it names none of the broker's places as long as the first of them has
//! none: a broker with `log.retention.hours` alone says of `retention.ms` that it is a default.

use super::broker::{BROKER_KEYS, BrokerConfig, row};
use super::dynamic::{Values, is_dynamic};
use super::inert;
use super::key::{ConfigKey, Effect, Kind, Value};
use super::topic::{TOPIC_KEYS, TopicConfig};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use corelog_wire::api::describe_configs::{
    DEFAULT_SOURCE, DYNAMIC_BROKER_SOURCE, DYNAMIC_DEFAULT_BROKER_SOURCE, STATIC_BROKER_SOURCE, TOPIC_SOURCE,
};

/// A setting.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigDescription {
    /// Its name.
    pub name: &'static str,
    /// The value in force; `None` where Kafka has null, and for a secret.
    pub value: Option<String>,
    /// Where the value comes from: one of the wire's sources.
    pub source: i8,
    /// Its type.
    pub kind: Kind,
    /// What it means.
    pub doc: Cow<'static, str>,
    /// Whether it stays as it is while the broker runs.
    pub read_only: bool,
    /// The places that have a value, the strongest first.
    pub places: Vec<ConfigPlace>,
}

impl ConfigDescription {
    /// Whether its value is a secret.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }
}

/// A place that has a value for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigPlace {
    /// What the setting is called there.
    pub name: &'static str,
    /// Its value there; `None` for a secret.
    pub value: Option<String>,
    /// Which place it is: one of the wire's sources.
    pub source: i8,
}

/// Keys that Kafka knows only of running brokers, and does not speak of until they are set.
const SHOWN_WHEN_SET: [&str; 3] = [
    "follower.replication.throttled.rate",
    "leader.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

/// Describes the settings of a topic with these settings of its own, as far as they are `wanted`.
pub fn describe_topic(
    broker: &BrokerConfig,
    own: &BTreeMap<String, String>,
    wanted: impl Fn(&str) -> bool,
) -> Vec<ConfigDescription> {
    let (_, ignored) = broker.topic_defaults.with_stored(own);
    let in_force = |name: &str| own.get(name).filter(|_| !ignored.iter().any(|error| error.key == name));
    let describe = |row: &'static ConfigKey<TopicConfig>| {
        let mut places = Vec::new();
        if let Some(text) = in_force(row.name) {
            let value = row.parse(text).map_or_else(|_| text.clone(), |value| value.to_string());
            places.push(ConfigPlace { name: row.name, value: Some(value), source: TOPIC_SOURCE });
        }
        let own_value = places.first().and_then(|place| place.value.clone());
        let names: Vec<&'static str> = row.synonyms.iter().map(|synonym| synonym.name).collect();
        if let Some(first) = names.first() {
            places.extend(broker_places(broker, &names, first));
        }
        ConfigDescription {
            name: row.name,
            value: own_value.or_else(|| topic_default(broker, row)),
            source: places.first().map_or(DEFAULT_SOURCE, |place| place.source),
            kind: row.kind,
            doc: documentation(row),
            read_only: false,
            places,
        }
    };
    TOPIC_KEYS.iter().filter(|row| wanted(row.name)).map(describe).collect()
}

/// Describes what a group or a subscription to metrics has of its own over the defaults of its table, as far as it is
/// `wanted`.
pub(super) fn describe_own<C>(
    broker: &BrokerConfig,
    table: &'static [ConfigKey<C>],
    own: &BTreeMap<String, String>,
    own_source: i8,
    wanted: impl Fn(&str) -> bool,
) -> Vec<ConfigDescription> {
    let describe = |row: &'static ConfigKey<C>| {
        let own_value = own.get(row.name).map(|text| row.parse(text).map_or(text.clone(), |value| value.to_string()));
        let mut places: Vec<ConfigPlace> = Vec::new();
        places.extend(own_value.clone().map(|value| ConfigPlace {
            name: row.name,
            value: Some(value),
            source: own_source,
        }));
        let names: Vec<&'static str> = row.synonyms.iter().map(|synonym| synonym.name).collect();
        if let Some(first) = names.first() {
            places.extend(broker_places(broker, &names, first));
        }
        let of_broker = names.iter().find_map(|name| broker.in_force(name)).map(ToString::to_string);
        ConfigDescription {
            name: row.name,
            value: own_value.or(of_broker).or_else(|| row.default.map(ToString::to_string)),
            source: places.first().map_or(DEFAULT_SOURCE, |place| place.source),
            kind: row.kind,
            doc: documentation(row),
            read_only: false,
            places,
        }
    };
    table.iter().filter(|row| wanted(row.name)).map(describe).collect()
}

/// Describes the settings of this broker, as far as they are `wanted`.
pub fn describe_broker(broker: &BrokerConfig, wanted: impl Fn(&str) -> bool) -> Vec<ConfigDescription> {
    let describe = |row: &'static ConfigKey<BrokerConfig>| {
        let places = broker_places(broker, &names_of(row.name), row.name);
        let value = match row.name {
            // Either may give the other.
            "node.id" | "broker.id" => Some(broker.node_id.to_string()),
            name => broker.in_force(name).map(ToString::to_string).or_else(|| row.default.map(ToString::to_string)),
        };
        ConfigDescription {
            name: row.name,
            value: shown(row.kind, value),
            source: places.first().map_or(DEFAULT_SOURCE, |place| place.source),
            kind: row.kind,
            doc: documentation(row),
            read_only: !is_dynamic(row.name),
            places,
        }
    };
    let is_shown = |name: &str| !SHOWN_WHEN_SET.contains(&name) || broker.in_force(name).is_some();
    let rows = BROKER_KEYS.iter().chain(inert::keys());
    rows.filter(|row| wanted(row.name) && is_shown(row.name)).map(describe).collect()
}

/// Describes what was set for all brokers while they ran, as far as it is `wanted`.
pub fn describe_cluster(broker: &BrokerConfig, wanted: impl Fn(&str) -> bool) -> Vec<ConfigDescription> {
    let describe = |(&name, value): (&&'static str, &Value)| {
        let row = row(name).expect("what was set has a row");
        let mut places = broker_places(broker, &names_of(name), name);
        places.retain(|place| place.source == DYNAMIC_DEFAULT_BROKER_SOURCE);
        ConfigDescription {
            name,
            value: shown(row.kind, Some(value.to_string())),
            source: DYNAMIC_DEFAULT_BROKER_SOURCE,
            kind: row.kind,
            doc: documentation(row),
            read_only: false,
            places,
        }
    };
    broker.dynamic.cluster.iter().filter(|(name, _)| wanted(name)).map(describe).collect()
}

/// What the key means, and whether it does anything.
fn documentation<C>(row: &ConfigKey<C>) -> Cow<'static, str> {
    match row.effect {
        Effect::Nothing => Cow::Owned(format!("{} It has no effect in this version of Corelog.", row.doc)),
        Effect::Field(_) | Effect::TopicDefault => Cow::Borrowed(row.doc),
    }
}

fn shown(kind: Kind, value: Option<String>) -> Option<String> {
    value.filter(|_| kind != Kind::Password)
}

/// All of a broker's names for what this one stands for, the strongest first.
fn names_of(name: &'static str) -> Vec<&'static str> {
    let stands_here = |row: &&ConfigKey<TopicConfig>| row.synonyms.iter().any(|synonym| synonym.name == name);
    match TOPIC_KEYS.iter().find(stands_here) {
        Some(row) => row.synonyms.iter().map(|synonym| synonym.name).collect(),
        None => [name].into(),
    }
}

/// The value of a topic's key where the topic has none.
fn topic_default(broker: &BrokerConfig, row: &ConfigKey<TopicConfig>) -> Option<String> {
    let set = row.synonyms.iter().find_map(|synonym| {
        let value = row.kind.of_topic(&broker.in_force(synonym.name)?.times(synonym.factor));
        Some(value.to_string())
    });
    set.or_else(|| row.default.map(ToString::to_string))
}

/// Where the broker has a value under one of these names, beginning with the first place that is called `from`.
fn broker_places(broker: &BrokerConfig, names: &[&'static str], from: &str) -> Vec<ConfigPlace> {
    let place = |name: &'static str, value: String, source: i8| {
        let kind = row(name).map_or(Kind::Text, |row| row.kind);
        ConfigPlace { name, value: shown(kind, Some(value)), source }
    };
    let of = |values: &Values, name: &str| values.get(name).map(ToString::to_string);
    let value_at = |source: i8, name: &str| match source {
        DYNAMIC_BROKER_SOURCE => of(&broker.dynamic.own, name),
        DYNAMIC_DEFAULT_BROKER_SOURCE => of(&broker.dynamic.cluster, name),
        STATIC_BROKER_SOURCE => broker.at_start(name),
        _ => row(name)?.default.map(ToString::to_string),
    };
    [DYNAMIC_BROKER_SOURCE, DYNAMIC_DEFAULT_BROKER_SOURCE, STATIC_BROKER_SOURCE, DEFAULT_SOURCE]
        .into_iter()
        .flat_map(|source| names.iter().map(move |&name| (source, name)))
        .filter_map(|(source, name)| Some(place(name, value_at(source, name)?, source)))
        .skip_while(|place| place.name != from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelog_wire::record_batch::TimestampType;

    fn broker(pairs: &[(&str, &str)]) -> BrokerConfig {
        let mut config = BrokerConfig::default();
        for (key, value) in pairs {
            config.set(key, value).unwrap();
        }
        config
    }

    /// Value, source and places of a key.
    type Seen = (Option<String>, i8, Vec<(&'static str, String, i8)>);

    fn of_topic(broker: &BrokerConfig, own: &[(&str, &str)], key: &str) -> Seen {
        let own = own.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        only(describe_topic(broker, &own, |name| name == key))
    }

    fn only(mut described: Vec<ConfigDescription>) -> Seen {
        assert_eq!(described.len(), 1);
        let config = described.remove(0);
        let value = |place: &ConfigPlace| place.value.clone().unwrap();
        let places = config.places.iter().map(|place| (place.name, value(place), place.source)).collect();
        (config.value, config.source, places)
    }

    fn place(name: &'static str, value: &str, source: i8) -> (&'static str, String, i8) {
        (name, value.to_string(), source)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    #[test]
    fn the_strongest_place_comes_first() {
        let config = broker(&[("message.max.bytes", "2000")]);
        let below = [place("message.max.bytes", "2000", 4), place("message.max.bytes", "1048588", 5)];
        assert_eq!(of_topic(&config, &[], "max.message.bytes"), (some("2000"), 4, below.to_vec()));
        let mut all = below.to_vec();
        all.insert(0, place("max.message.bytes", "3000", 1));
        assert_eq!(of_topic(&config, &[("max.message.bytes", " 3000 ")], "max.message.bytes"), (some("3000"), 1, all));
    }

    #[test]
    fn units_differ_and_only_the_first_name_opens_the_brokers_places() {
        assert_eq!(of_topic(&broker(&[]), &[], "retention.ms"), (some("604800000"), 5, Vec::new()));
        let hours = broker(&[("log.retention.hours", "2")]);
        assert_eq!(of_topic(&hours, &[], "retention.ms"), (some("7200000"), 5, Vec::new()));
        let both = broker(&[("log.retention.hours", "2"), ("log.retention.ms", "5")]);
        let places = [
            place("log.retention.ms", "5", 4),
            place("log.retention.hours", "2", 4),
            place("log.retention.hours", "168", 5),
        ];
        assert_eq!(of_topic(&both, &[], "retention.ms"), (some("5"), 4, places.to_vec()));
        assert_eq!(only(describe_broker(&both, |name| name == "log.retention.hours")).2, places[1..]);
        assert_eq!(only(describe_broker(&hours, |name| name == "log.retention.ms")), (None, 5, Vec::new()));
    }

    #[test]
    fn values_are_written_as_kafka_writes_them() {
        let config = broker(&[]);
        for (key, text, shown) in [
            ("cleanup.policy", "compact, delete", "compact,delete"),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("min.cleanable.dirty.ratio", "0.25", "0.25"),
            ("preallocate", "TRUE", "true"),
        ] {
            assert_eq!(of_topic(&config, &[(key, text)], key).0, some(shown), "{key}");
        }
        let flush = of_topic(&config, &[], "flush.messages");
        assert_eq!(flush.2, [place("log.flush.interval.messages", "9223372036854775807", 5)]);
        assert_eq!(of_topic(&config, &[], "leader.replication.throttled.replicas"), (some(""), 5, Vec::new()));
    }

    #[test]
    fn what_does_not_fit_any_more_is_not_shown_as_in_force() {
        let config = broker(&[]);
        let stored = [("max.message.bytes", "2000000000")];
        assert_eq!(of_topic(&config, &stored, "max.message.bytes").0, some("1048588"));
        assert_eq!(of_topic(&config, &stored, "max.message.bytes").1, DEFAULT_SOURCE);
    }

    #[test]
    fn every_key_is_described_and_agrees_with_what_is_in_force() {
        let config = broker(&[("broker.id", "7"), ("log.message.timestamp.type", "LogAppendTime")]);
        let all = describe_topic(&config, &BTreeMap::new(), |_| true);
        assert!(all.iter().map(|config| config.name).eq(TOPIC_KEYS.iter().map(|row| row.name)));
        assert_eq!(config.topic_defaults.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(of_topic(&config, &[], "message.timestamp.type").0, some("LogAppendTime"));
        let all = describe_broker(&config, |_| true);
        let rows = BROKER_KEYS.iter().chain(inert::keys()).map(|row| row.name);
        assert!(all.iter().map(|config| config.name).eq(rows.filter(|name| !SHOWN_WHEN_SET.contains(name))));
        assert_eq!(only(describe_broker(&config, |name| name == "node.id")).0, some("7"));
    }
}
