//! Settings of groups and of subscriptions to metrics of clients: which there are, and how a resource's own are checked.
//!
//! Invariants: what a resource has of its own was checked as a whole when it was set. A broker's bounds may have changed
//! since; who acts on a setting looks at them then.

mod client_metrics;
mod group;

pub use client_metrics::{ClientMetricsConfig, MatchField};

use super::broker::{BrokerConfig, row};
use super::description::{ConfigDescription, describe_own};
use super::key::{ConfigError, ConfigKey, Effect, Kind, Value, find, outside};
use super::nearest::nearest;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use client_metrics::CLIENT_METRICS_KEYS;
use corelog_wire::api::describe_configs::{CLIENT_METRICS_SOURCE, GROUP_SOURCE};
use group::{GROUP_KEYS, INTERNAL_GROUP_KEYS};

/// Checks the settings that a group has of its own.
///
/// # Errors
/// The first that is wrong.
pub fn check_group(broker: &BrokerConfig, configs: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let number = |key: &str| configs.get(key).and_then(|text| text.trim().parse::<i64>().ok());
    for (name, text) in configs {
        if INTERNAL_GROUP_KEYS.contains(&name.as_str()) {
            continue;
        }
        let Some(key) = find(GROUP_KEYS, name) else { return Err(unknown(name, GROUP_KEYS, "a group")) };
        let value = key.parse(text)?;
        group::check(name, &value).map_err(|message| ConfigError::new(name, message))?;
        if let Value::Number(value) = value {
            check_bounds(broker, name, value)?;
        }
    }
    for protocol in ["consumer", "share", "streams"] {
        let (session, heartbeat) =
            (format!("{protocol}.session.timeout.ms"), format!("{protocol}.heartbeat.interval.ms"));
        if !configs.contains_key(&session) && !configs.contains_key(&heartbeat) {
            continue;
        }
        let of_broker = |key: &str| broker_number(broker, &format!("group.{key}"));
        let session_ms = number(&session).or_else(|| of_broker(&session));
        let heartbeat_ms = number(&heartbeat).or_else(|| of_broker(&heartbeat));
        if session_ms <= heartbeat_ms {
            return Err(ConfigError::new(&session, format!("must be above {heartbeat}")));
        }
    }
    Ok(())
}

/// The bounds that the broker sets for a group's setting: those of the same name behind `min` and `max`.
fn check_bounds(broker: &BrokerConfig, name: &str, value: i64) -> Result<(), ConfigError> {
    let Some((protocol, rest)) = name.split_once('.') else { return Ok(()) };
    let rest = if rest == "num.standby.replicas" { "standby.replicas" } else { rest };
    let bound = |which: &str| broker_number(broker, &format!("group.{protocol}.{which}.{rest}"));
    let (min, max) = (bound("min").unwrap_or(i64::MIN), bound("max").unwrap_or(i64::MAX));
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(ConfigError::new(name, outside(value, min, max))),
    }
}

/// The value in force of a broker's key that is a number.
fn broker_number(broker: &BrokerConfig, name: &str) -> Option<i64> {
    match broker.in_force(name) {
        Some(Value::Number(number)) => Some(*number),
        _ => row(name)?.default?.parse().ok(),
    }
}

/// Describes the settings of a group with these settings of its own, as far as they are `wanted`.
pub fn describe_group(
    broker: &BrokerConfig,
    own: &BTreeMap<String, String>,
    wanted: impl Fn(&str) -> bool,
) -> Vec<ConfigDescription> {
    describe_own(broker, GROUP_KEYS, own, GROUP_SOURCE, wanted)
}

/// Describes a subscription to metrics of clients with these settings of its own, as far as they are `wanted`.
pub fn describe_client_metrics(
    broker: &BrokerConfig,
    own: &BTreeMap<String, String>,
    wanted: impl Fn(&str) -> bool,
) -> Vec<ConfigDescription> {
    describe_own(broker, CLIENT_METRICS_KEYS, own, CLIENT_METRICS_SOURCE, wanted)
}

/// If this setting of a group is a list: its default.
#[must_use]
pub fn group_list_default(name: &str) -> Option<&'static str> {
    list_default(GROUP_KEYS, name)
}

/// If this setting of a subscription is a list: its default.
#[must_use]
pub fn client_metrics_list_default(name: &str) -> Option<&'static str> {
    list_default(CLIENT_METRICS_KEYS, name)
}

fn list_default<C>(table: &'static [ConfigKey<C>], name: &str) -> Option<&'static str> {
    let row = find(table, name)?;
    matches!(row.kind, Kind::List(_)).then_some(row.default.unwrap_or(""))
}

/// Which of a group's settings change nothing in this version.
#[must_use]
pub fn is_inert_for_groups(name: &str) -> bool {
    find(GROUP_KEYS, name).is_none_or(|row| matches!(row.effect, Effect::Nothing))
}

fn unknown<C>(name: &str, table: &'static [ConfigKey<C>], of: &str) -> ConfigError {
    let message = match nearest(name, table.iter().map(|row| row.name)) {
        Some(near) => format!("is no setting of {of}; did you mean {near}?"),
        None => format!("is no setting of {of}"),
    };
    ConfigError::new(name, message)
}

/// What is set, without the blanks around it.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(|word| word.trim().to_string()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn groups_have_kafkas_bounds() {
        let mut broker = BrokerConfig::default();
        let check = |broker: &BrokerConfig, pairs: &[(&str, &str)]| check_group(broker, &configs(pairs)).is_ok();
        for good in [
            &[("consumer.session.timeout.ms", "50000")][..],
            &[("consumer.heartbeat.interval.ms", "6000"), ("consumer.session.timeout.ms", "45000")],
            &[("share.record.lock.duration.ms", "15000")],
            &[("share.auto.offset.reset", "by_duration:P1DT2H")],
            &[("streams.num.standby.replicas", "2")],
            &[("consumer.assignor.offload.enable", "true")],
        ] {
            assert!(check(&broker, good), "{good:?}");
        }
        for bad in [
            &[("consumer.session.timeout.ms", "44999")][..],
            &[("consumer.session.timeout.ms", "60001")],
            &[("consumer.session.timeout.ms", "x")],
            &[("share.delivery.count.limit", "11")],
            &[("share.auto.offset.reset", "sometimes")],
            &[("share.auto.offset.reset", "by_duration:1D")],
            &[("streams.num.standby.replicas", "3")],
            &[("errors.deadletterqueue.topic.name", "__dlq")],
            &[("consumer.session", "1")],
        ] {
            assert!(!check(&broker, bad), "{bad:?}");
        }
        broker.set("group.consumer.min.session.timeout.ms", "1000").unwrap();
        assert!(check(&broker, &[("consumer.session.timeout.ms", "5001")]));
        assert!(!check(&broker, &[("consumer.session.timeout.ms", "5000")]), "a session lasts longer than a heartbeat");
    }

    #[test]
    fn what_is_set_is_described_before_what_is_not() {
        let broker = BrokerConfig::default();
        let own = configs(&[("consumer.session.timeout.ms", "50000")]);
        let all = describe_group(&broker, &own, |_| true);
        assert_eq!(all.len(), GROUP_KEYS.len());
        let of = |name: &str| all.iter().find(|it| it.name == name).unwrap();
        let session = of("consumer.session.timeout.ms");
        assert_eq!((session.value.as_deref(), session.source), (Some("50000"), GROUP_SOURCE));
        assert_eq!(of("share.session.timeout.ms").value.as_deref(), Some("45000"));
        let metrics =
            describe_client_metrics(&broker, &configs(&[("interval.ms", "100")]), |name| name == "interval.ms");
        assert_eq!((metrics[0].value.as_deref(), metrics[0].source), (Some("100"), CLIENT_METRICS_SOURCE));
    }
}
