//! AlterConfigs and IncrementalAlterConfigs: what a request makes of the settings of a topic or of brokers (KIP-133, KIP-226,
//! KIP-339).
//!
//! The settings of a resource change all together or not at all, and are checked as they will be. The order of the checks is
//! Kafka's: operations, the topic's name, the settings, then whether there is such a topic. A wrong setting of a topic is an
//! INVALID_CONFIG, one of a broker an INVALID_REQUEST, as in Kafka.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::Rejection;
use crate::ids::{BrokerId, TopicId};
use crate::limits;
use crate::metadata::{ConfigResource, MetadataImage, MetadataRecord, encoding, topic_name};

/// What to do with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation<'a> {
    /// It has this value.
    Set(&'a str),
    /// It has its default again.
    Delete,
    /// These elements, separated by commas, are added to those that it has, if they are not there.
    Append(&'a str),
    /// These elements, separated by commas, are taken from those that it has.
    Subtract(&'a str),
}

/// What a change does to a topic's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange<'a> {
    /// Single settings change.
    Incremental(Vec<(&'a str, ConfigOperation<'a>)>),
    /// These are all the settings that the topic has of its own.
    Replacement(Vec<(&'a str, &'a str)>),
}

impl ConfigChange<'_> {
    /// Whether every setting is named once, for any resource.
    ///
    /// # Errors
    /// INVALID_REQUEST.
    pub fn check_keys(&self) -> Result<(), Rejection> {
        let mut seen = BTreeSet::new();
        let twice = match self {
            Self::Incremental(operations) => operations.iter().map(|(key, _)| *key).find(|key| !seen.insert(*key)),
            Self::Replacement(all) => all.iter().map(|(key, _)| *key).find(|key| !seen.insert(*key)),
        };
        match twice {
            None => Ok(()),
            Some(key) => {
                Err(Rejection::new(ErrorCode::INVALID_REQUEST, format!("config '{key}' is named more than once")))
            }
        }
    }
}

impl ConfigChange<'_> {
    /// What it makes of these settings.
    fn outcome(
        &self,
        before: &BTreeMap<String, String>,
        rules: &dyn ConfigRules,
    ) -> Result<BTreeMap<String, String>, Rejection> {
        match self {
            Self::Incremental(operations) => operate(before, operations, rules),
            Self::Replacement(all) => Ok(all.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()),
        }
    }
}

/// What is known of the settings that a topic or a broker can have.
pub trait ConfigRules {
    /// If this setting is a list: its default, whatever the broker's is.
    fn list_default(&self, key: &str) -> Option<&str>;

    /// Whether it can have these settings, all together.
    ///
    /// # Errors
    /// Why not, in words.
    fn check(&self, configs: &BTreeMap<String, String>) -> Result<(), String>;
}

/// New settings of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredConfigs {
    /// To be proposed as a batch of its own; it fits into an entry. Empty if nothing changes.
    pub records: Vec<MetadataRecord>,
    /// The topic.
    pub topic_id: TopicId,
    /// All of its settings.
    pub configs: BTreeMap<String, String>,
}

/// Decides on a change to the settings of the topic called `name`. `current` is its id and the settings that it has, or
/// will have when everything that was proposed before has been applied; `None` if there is no such topic.
///
/// # Errors
/// INVALID_REQUEST for a key that is named twice or no topic at all, INVALID_CONFIG for a setting that a topic cannot have or
/// an operation that does not fit it, INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_OR_PARTITION.
pub fn alter_topic_configs(
    name: &str,
    current: Option<(TopicId, &BTreeMap<String, String>)>,
    change: &ConfigChange<'_>,
    rules: &dyn ConfigRules,
) -> Result<AlteredConfigs, Rejection> {
    change.check_keys()?;
    let none = BTreeMap::new();
    let before = current.map_or(&none, |(_, configs)| configs);
    let configs = change.outcome(before, rules)?;
    if name.is_empty() {
        return Err(Rejection::new(ErrorCode::INVALID_REQUEST, "there are no settings for all topics"));
    }
    topic_name::validate(name)?;
    rules.check(&configs).map_err(|why| Rejection::new(ErrorCode::INVALID_CONFIG, why))?;
    let Some((topic_id, _)) = current else {
        let message = format!("there is no topic '{name}'");
        return Err(Rejection::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    };
    let records = differences(before, &configs, |key, value| MetadataRecord::TopicConfig { topic_id, key, value });
    if !records.is_empty() {
        encoding::encode(&records)?;
    }
    Ok(AlteredConfigs { records, topic_id, configs })
}

/// New settings of one broker, those for all of them, or those of a group or a subscription to metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredBrokerConfigs {
    /// To be proposed as a batch of its own; it fits into an entry. Empty if nothing changes.
    pub records: Vec<MetadataRecord>,
    /// All of the settings.
    pub configs: BTreeMap<String, String>,
}

/// Decides on a change to the settings of `broker`, or to those for all brokers. `before` is what was set, or will be when
/// everything that was proposed before has been applied.
///
/// # Errors
/// INVALID_REQUEST for a key that is named twice or a setting that cannot be, INVALID_CONFIG for an operation that does not
/// fit a setting.
pub fn alter_broker_configs(
    broker: Option<BrokerId>,
    before: &BTreeMap<String, String>,
    change: &ConfigChange<'_>,
    rules: &dyn ConfigRules,
) -> Result<AlteredBrokerConfigs, Rejection> {
    change.check_keys()?;
    let configs = change.outcome(before, rules)?;
    rules.check(&configs).map_err(|why| Rejection::new(ErrorCode::INVALID_REQUEST, why))?;
    let records = differences(before, &configs, |key, value| match broker {
        Some(broker_id) => MetadataRecord::OwnBrokerConfig { broker_id, key, value },
        None => MetadataRecord::BrokerConfig { key, value },
    });
    if !records.is_empty() {
        encoding::encode(&records)?;
    }
    Ok(AlteredBrokerConfigs { records, configs })
}

/// Decides on a change to the settings of a group or of a subscription to metrics, as [`alter_broker_configs`] does.
///
/// # Errors
/// INVALID_REQUEST for a key that is named twice or no resource at all, INVALID_CONFIG for a setting that cannot be or an
/// operation that does not fit it, POLICY_VIOLATION when too many resources have settings.
pub fn alter_resource_configs(
    image: &MetadataImage,
    resource: &ConfigResource,
    before: &BTreeMap<String, String>,
    change: &ConfigChange<'_>,
    rules: &dyn ConfigRules,
) -> Result<AlteredBrokerConfigs, Rejection> {
    change.check_keys()?;
    if resource.name().is_empty() {
        return Err(Rejection::new(ErrorCode::INVALID_REQUEST, "the resource has no name"));
    }
    let configs = change.outcome(before, rules)?;
    rules.check(&configs).map_err(|why| Rejection::new(ErrorCode::INVALID_CONFIG, why))?;
    if before.is_empty() && !configs.is_empty() && image.resource_configs().len() >= limits::CONFIG_RESOURCES_MAX {
        let most = limits::CONFIG_RESOURCES_MAX;
        let message = format!("{most} groups and subscriptions have settings, and no more can have");
        return Err(Rejection::new(ErrorCode::POLICY_VIOLATION, message));
    }
    let records = differences(before, &configs, |key, value| MetadataRecord::ResourceConfig {
        resource: resource.clone(),
        key,
        value,
    });
    if !records.is_empty() {
        encoding::encode(&records)?;
    }
    Ok(AlteredBrokerConfigs { records, configs })
}

fn operate(
    before: &BTreeMap<String, String>,
    operations: &[(&str, ConfigOperation<'_>)],
    rules: &dyn ConfigRules,
) -> Result<BTreeMap<String, String>, Rejection> {
    let mut configs = before.clone();
    for (key, operation) in operations {
        let elements = || {
            let Some(default) = rules.list_default(key) else {
                let message = format!("config '{key}' is not a list, elements cannot be added to or taken from it");
                return Err(Rejection::new(ErrorCode::INVALID_CONFIG, message));
            };
            Ok(split(before.get(*key).map_or(default, String::as_str)).collect::<Vec<&str>>())
        };
        let value = match operation {
            ConfigOperation::Set(value) => value.to_string(),
            ConfigOperation::Delete => {
                configs.remove(*key);
                continue;
            }
            ConfigOperation::Append(added) => {
                let mut list = elements()?;
                for element in split(added) {
                    if !list.contains(&element) {
                        list.push(element);
                    }
                }
                list.join(",")
            }
            ConfigOperation::Subtract(taken) => {
                let mut list = elements()?;
                let taken: BTreeSet<&str> = split(taken).collect();
                list.retain(|element| !taken.contains(element));
                list.join(",")
            }
        };
        configs.insert(key.to_string(), value);
    }
    Ok(configs)
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty())
}

fn differences(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    record: impl Fn(String, Option<String>) -> MetadataRecord,
) -> Vec<MetadataRecord> {
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    let set = set.map(|(key, value)| record(key.clone(), Some(value.clone())));
    let unset = before.keys().filter(|key| !after.contains_key(*key)).map(|key| record(key.clone(), None));
    set.chain(unset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    struct Rules;

    impl ConfigRules for Rules {
        fn list_default(&self, key: &str) -> Option<&str> {
            match key {
                "list" => Some("a"),
                "empty" => Some(""),
                _ => None,
            }
        }

        fn check(&self, configs: &BTreeMap<String, String>) -> Result<(), String> {
            match configs.iter().find(|(key, value)| key.as_str() == "bad" || value.as_str() == "bad") {
                Some((key, _)) => Err(format!("{key}: is bad")),
                None => Ok(()),
            }
        }
    }

    const ID: TopicId = TopicId([7; 16]);

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn alter(before: &[(&str, &str)], change: ConfigChange<'_>) -> Result<AlteredConfigs, ErrorCode> {
        let before = map(before);
        alter_topic_configs("t", Some((ID, &before)), &change, &Rules).map_err(|rejection| rejection.code)
    }

    fn operation<'a>(key: &'a str, operation: ConfigOperation<'a>) -> ConfigChange<'a> {
        ConfigChange::Incremental(vec![(key, operation)])
    }

    fn record(key: &str, value: Option<&str>) -> MetadataRecord {
        MetadataRecord::TopicConfig { topic_id: ID, key: key.to_string(), value: value.map(ToString::to_string) }
    }

    #[test]
    fn lists_grow_and_shrink_from_what_they_are_or_their_default() {
        let cases = [
            (None, ConfigOperation::Append("b"), "a,b"),
            (None, ConfigOperation::Append("a"), "a"),
            (None, ConfigOperation::Subtract("a"), ""),
            (Some("x,y"), ConfigOperation::Append("y, z,z"), "x,y,z"),
            (Some("x,y,z"), ConfigOperation::Subtract("z,x,q"), "y"),
            (Some(""), ConfigOperation::Append("b"), "b"),
        ];
        for (before, change, after) in cases {
            let before: Vec<(&str, &str)> = before.map(|value| ("list", value)).into_iter().collect();
            let altered = alter(&before, operation("list", change.clone())).unwrap();
            assert_eq!(altered.configs, map(&[("list", after)]), "{before:?} {change:?}");
        }
        assert_eq!(alter(&[], operation("number", ConfigOperation::Append("1"))), Err(ErrorCode::INVALID_CONFIG));
        assert_eq!(alter(&[], operation("number", ConfigOperation::Subtract("1"))), Err(ErrorCode::INVALID_CONFIG));
    }

    #[test]
    fn only_differences_are_proposed() {
        let before = [("a", "1"), ("b", "2"), ("c", "3")];
        let changes = vec![
            ("a", ConfigOperation::Set("1")),
            ("b", ConfigOperation::Set("9")),
            ("c", ConfigOperation::Delete),
            ("d", ConfigOperation::Delete),
        ];
        let altered = alter(&before, ConfigChange::Incremental(changes)).unwrap();
        assert_eq!(altered.records, [record("b", Some("9")), record("c", None)]);
        assert_eq!(altered.configs, map(&[("a", "1"), ("b", "9")]));
        let altered = alter(&before, ConfigChange::Replacement(vec![("b", "2"), ("e", "5")])).unwrap();
        assert_eq!(altered.records, [record("e", Some("5")), record("a", None), record("c", None)]);
        assert_eq!(alter(&before, ConfigChange::Replacement(vec![])).unwrap().records.len(), 3);
        assert_eq!(alter(&before, ConfigChange::Incremental(vec![])).unwrap().records, []);
    }

    #[test]
    fn nothing_changes_when_one_thing_is_wrong() {
        let set = |key| (key, ConfigOperation::Set("1"));
        let refused = [
            (ConfigChange::Incremental(vec![set("a"), set("bad")]), ErrorCode::INVALID_CONFIG),
            (ConfigChange::Incremental(vec![set("a"), set("a")]), ErrorCode::INVALID_REQUEST),
            (ConfigChange::Replacement(vec![("a", "1"), ("a", "2")]), ErrorCode::INVALID_REQUEST),
            (ConfigChange::Replacement(vec![("a", "bad")]), ErrorCode::INVALID_CONFIG),
        ];
        for (change, code) in refused {
            assert_eq!(alter(&[("x", "1")], change.clone()), Err(code), "{change:?}");
        }
        // Also what the topic had before has to be right.
        assert_eq!(alter(&[("x", "bad")], operation("a", ConfigOperation::Set("1"))), Err(ErrorCode::INVALID_CONFIG));
        assert!(alter(&[("x", "bad")], operation("x", ConfigOperation::Delete)).is_ok());
        let long = "v".repeat(crate::limits::STRING_BYTES_MAX + 1);
        assert_eq!(alter(&[], operation("a", ConfigOperation::Set(&long))), Err(ErrorCode::INVALID_REQUEST));
    }

    #[test]
    fn brokers_have_settings_together_and_one_by_one() {
        let before = map(&[("a", "1")]);
        let change = ConfigChange::Incremental(vec![("a", ConfigOperation::Delete), ("b", ConfigOperation::Set("2"))]);
        let all = alter_broker_configs(None, &before, &change, &Rules).unwrap();
        let of_all = |key: &str, value: Option<&str>| MetadataRecord::BrokerConfig {
            key: key.to_string(),
            value: value.map(ToString::to_string),
        };
        assert_eq!((all.records, all.configs), (vec![of_all("b", Some("2")), of_all("a", None)], map(&[("b", "2")])));
        let one = alter_broker_configs(Some(BrokerId(3)), &before, &change, &Rules).unwrap();
        assert!(
            one.records
                .iter()
                .all(|record| matches!(record, MetadataRecord::OwnBrokerConfig { broker_id: BrokerId(3), .. }))
        );
        let code = |change| alter_broker_configs(None, &before, &change, &Rules).unwrap_err().code;
        assert_eq!(code(operation("bad", ConfigOperation::Set("1"))), ErrorCode::INVALID_REQUEST);
        assert_eq!(code(operation("a", ConfigOperation::Append("1"))), ErrorCode::INVALID_CONFIG);
        assert_eq!(code(ConfigChange::Replacement(vec![("b", "1"), ("b", "2")])), ErrorCode::INVALID_REQUEST);
    }

    #[test]
    fn groups_and_subscriptions_have_settings() {
        let image = MetadataImage::default();
        let group = ConfigResource::Group("g".to_string());
        let before = map(&[("a", "1")]);
        let change = ConfigChange::Incremental(vec![("a", ConfigOperation::Delete), ("b", ConfigOperation::Set("2"))]);
        let altered = alter_resource_configs(&image, &group, &before, &change, &Rules).unwrap();
        let of_group = |key: &str, value: Option<&str>| MetadataRecord::ResourceConfig {
            resource: group.clone(),
            key: key.to_string(),
            value: value.map(ToString::to_string),
        };
        assert_eq!(altered.records, vec![of_group("b", Some("2")), of_group("a", None)]);
        let code = |resource: &ConfigResource, change| {
            alter_resource_configs(&image, resource, &before, &change, &Rules).unwrap_err().code
        };
        assert_eq!(code(&group, operation("bad", ConfigOperation::Set("1"))), ErrorCode::INVALID_CONFIG);
        let nameless = ConfigResource::ClientMetrics(String::new());
        assert_eq!(code(&nameless, operation("a", ConfigOperation::Set("1"))), ErrorCode::INVALID_REQUEST);
    }

    #[test]
    fn the_topic_is_looked_for_last() {
        let code = |name: &str, key: &str| {
            let change = operation(key, ConfigOperation::Set("1"));
            alter_topic_configs(name, None, &change, &Rules).unwrap_err().code
        };
        assert_eq!(code("t", "a"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(code("t", "bad"), ErrorCode::INVALID_CONFIG);
        assert_eq!(code("not/a/name", "bad"), ErrorCode::INVALID_TOPIC_EXCEPTION);
        assert_eq!(code("", "bad"), ErrorCode::INVALID_REQUEST);
    }
}
