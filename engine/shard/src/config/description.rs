//! What is in force, where it comes from, and what else could be: the answer to "why is this setting so?".
//!
//! Invariant: a value that is shown is the one in force, in the form in which Kafka prints a value of its type.
//!
//! Like Kafka (KIP-226) a description names the places that have a value, the strongest first: the topic itself, then the
//! broker's keys that stand for the same thing, first those that were set, then those with a default. And like Kafka it
//! names none of the broker's places as long as the first of them has none: a broker with `log.retention.hours` alone says
//! of `retention.ms` that it is a default.

use super::broker::{BROKER_KEYS, BrokerConfig};
use super::key::{ConfigKey, Kind, find};
use super::topic::{TOPIC_KEYS, TopicConfig};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use corelog_wire::api::describe_configs::{DEFAULT_SOURCE, STATIC_BROKER_SOURCE, TOPIC_SOURCE};

/// A setting.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigDescription {
    /// Its name.
    pub name: &'static str,
    /// The value in force; `None` where Kafka has null.
    pub value: Option<String>,
    /// Where the value comes from: one of the wire's sources.
    pub source: i8,
    /// Its type.
    pub kind: Kind,
    /// What it means.
    pub doc: &'static str,
    /// The places that have a value, the strongest first.
    pub places: Vec<ConfigPlace>,
}

/// A place that has a value for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigPlace {
    /// What the setting is called there.
    pub name: &'static str,
    /// Its value there.
    pub value: String,
    /// Which place it is: one of the wire's sources.
    pub source: i8,
}

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
            places.push(ConfigPlace { name: row.name, value, source: TOPIC_SOURCE });
        }
        let own_value = places.first().map(|place| place.value.clone());
        places.extend(broker_places_of_topic_key(broker, row));
        ConfigDescription {
            name: row.name,
            value: own_value.or_else(|| topic_default(broker, row)),
            source: places.first().map_or(DEFAULT_SOURCE, |place| place.source),
            kind: row.kind,
            doc: row.doc,
            places,
        }
    };
    TOPIC_KEYS.iter().filter(|row| wanted(row.name)).map(describe).collect()
}

/// Describes the settings of this broker, as far as they are `wanted`.
pub fn describe_broker(broker: &BrokerConfig, wanted: impl Fn(&str) -> bool) -> Vec<ConfigDescription> {
    let describe = |row: &'static ConfigKey<BrokerConfig>| {
        let family = TOPIC_KEYS
            .iter()
            .map(|topic| topic.synonyms)
            .find(|synonyms| synonyms.iter().any(|synonym| synonym.name == row.name));
        let names: Vec<&'static str> = match family {
            Some(synonyms) => synonyms.iter().map(|synonym| synonym.name).collect(),
            None => [row.name].into(),
        };
        let places = broker_places(broker, &names, row.name);
        let value = match row.name {
            // Either may give the other.
            "node.id" | "broker.id" => Some(broker.node_id.to_string()),
            name => broker.explicit(name).or_else(|| row.default.map(ToString::to_string)),
        };
        let source = places.first().map_or(DEFAULT_SOURCE, |place| place.source);
        ConfigDescription { name: row.name, value, source, kind: row.kind, doc: row.doc, places }
    };
    BROKER_KEYS.iter().filter(|row| wanted(row.name)).map(describe).collect()
}

/// The value of a topic's key where the topic has none.
fn topic_default(broker: &BrokerConfig, row: &ConfigKey<TopicConfig>) -> Option<String> {
    let set = row.synonyms.iter().find_map(|synonym| {
        let value = broker.explicit_value(synonym.name)?.times(synonym.factor);
        Some(value.to_string())
    });
    set.or_else(|| row.default.map(ToString::to_string))
}

/// The places of the broker that give a topic's key its default.
fn broker_places_of_topic_key(broker: &BrokerConfig, row: &ConfigKey<TopicConfig>) -> Vec<ConfigPlace> {
    let Some(first) = row.synonyms.first() else { return Vec::new() };
    if row.synonyms.len() == 1 && find(BROKER_KEYS, first.name).is_none() {
        // A key of Kafka's broker that does nothing here; its default is the topic's.
        let place = |value: &str| ConfigPlace { name: first.name, value: value.to_string(), source: DEFAULT_SOURCE };
        return row.default.map(place).into_iter().collect();
    }
    let names: Vec<&'static str> = row.synonyms.iter().map(|synonym| synonym.name).collect();
    broker_places(broker, &names, first.name)
}

/// Where the broker has a value under one of these names, beginning with the first place that is called `from`.
fn broker_places(broker: &BrokerConfig, names: &[&'static str], from: &str) -> Vec<ConfigPlace> {
    let set = names.iter().filter_map(|&name| {
        let value = broker.explicit(name)?;
        Some(ConfigPlace { name, value, source: STATIC_BROKER_SOURCE })
    });
    let default = names.iter().filter_map(|&name| {
        let value = find(BROKER_KEYS, name)?.default?.to_string();
        Some(ConfigPlace { name, value, source: DEFAULT_SOURCE })
    });
    set.chain(default).skip_while(|place| place.name != from).collect()
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
        let places = config.places.into_iter().map(|place| (place.name, place.value, place.source)).collect();
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
        assert!(all.iter().map(|config| config.name).eq(BROKER_KEYS.iter().map(|row| row.name)));
        assert_eq!(only(describe_broker(&config, |name| name == "node.id")).0, some("7"));
    }
}
