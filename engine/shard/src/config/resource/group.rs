//! The settings of groups of the newer protocols. No such group is served yet: they are checked, kept and shown.

use super::super::key::{ConfigKey, Effect, Kind, Synonym, Value};
use Kind::{Boolean, Choice, Int, List, Text};
use alloc::string::{String, ToString};

/// Settings that Kafka takes and does not speak of.
pub(super) const INTERNAL_GROUP_KEYS: &[&str] = &[
    "consumer.assignor.offload.enable",
    "share.assignor.offload.enable",
    "streams.acceptable.recovery.lag",
    "streams.assignor.offload.enable",
    "streams.num.warmup.replicas",
    "streams.task.offset.interval.ms",
];

const I32_MAX: i64 = i32::MAX as i64;

/// Rows of two lines each: name, type, default and the broker's key that gives it, then what the key means.
macro_rules! keys {
    ($($name:literal, $kind:expr => $default:expr $(, of $synonym:literal)?, $doc:literal;)*) => {
        &[$(ConfigKey {
            name: $name,
            kind: $kind,
            default: $default,
            synonyms: &[$(Synonym { name: $synonym, factor: 1 })?],
            doc: $doc,
            effect: Effect::Nothing,
        }),*]
    };
}

/// The rows.
pub(super) const GROUP_KEYS: &[ConfigKey<()>] = keys! {
    "consumer.assignment.interval.ms", Int(0, I32_MAX) => Some("1000"), of "group.consumer.assignment.interval.ms",
        "The shortest time between two assignments of the consumer group.";
    "consumer.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"), of "group.consumer.heartbeat.interval.ms",
        "How often members of the consumer group send heartbeats.";
    "consumer.session.timeout.ms", Int(1, I32_MAX) => Some("45000"), of "group.consumer.session.timeout.ms",
        "After so long without a heartbeat a member of the consumer group counts as gone.";
    "errors.deadletterqueue.copy.record.enable", Boolean => Some("false"),
        "Whether records that a share group could not deliver are copied as a whole to the topic for them.";
    "errors.deadletterqueue.topic.name", Text => Some(""),
        "The topic for records that the share group could not deliver; none if it is empty.";
    "share.assignment.interval.ms", Int(0, I32_MAX) => Some("1000"), of "group.share.assignment.interval.ms",
        "The shortest time between two assignments of the share group.";
    "share.auto.offset.reset", Text => Some("latest"),
        "Where the share group begins to read: latest, earliest, or by_duration: and a duration of ISO 8601.";
    "share.delivery.count.limit", Int(2, I32_MAX) => Some("5"), of "group.share.delivery.count.limit",
        "How often a record is delivered to the share group at most.";
    "share.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"), of "group.share.heartbeat.interval.ms",
        "How often members of the share group send heartbeats.";
    "share.isolation.level", Choice(&["read_committed", "read_uncommitted"]) => Some("read_uncommitted"),
        "Whether the share group gets records of transactions that are not committed.";
    "share.partition.max.record.locks", Int(100, I32_MAX) => Some("2000"), of "group.share.partition.max.record.locks",
        "How many records of a partition the share group may hold at a time.";
    "share.record.lock.duration.ms", Int(1000, I32_MAX) => Some("30000"), of "group.share.record.lock.duration.ms",
        "How long a member of the share group holds a record.";
    "share.renew.acknowledge.enable", Boolean => Some("true"),
        "Whether members of the share group may hold records for longer.";
    "share.session.timeout.ms", Int(1, I32_MAX) => Some("45000"), of "group.share.session.timeout.ms",
        "After so long without a heartbeat a member of the share group counts as gone.";
    "streams.assignment.interval.ms", Int(0, I32_MAX) => Some("1000"), of "group.streams.assignment.interval.ms",
        "The shortest time between two assignments of the streams group.";
    "streams.assignor.name", Choice(&["sticky"]) => None,
        "The assignor of the streams group; the first of the broker's if none is set.";
    "streams.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"), of "group.streams.heartbeat.interval.ms",
        "How often members of the streams group send heartbeats.";
    "streams.initial.rebalance.delay.ms", Int(0, I32_MAX) => Some("3000"), of "group.streams.initial.rebalance.delay.ms",
        "How long the first rebalance of the streams group waits for more members.";
    "streams.num.standby.replicas", Int(0, I32_MAX) => Some("0"), of "group.streams.num.standby.replicas",
        "Standby replicas of each task of the streams group.";
    "streams.rack.aware.assignment.tags", List(&[]) => Some(""), of "group.streams.rack.aware.assignment.tags",
        "Tags of members over which standby replicas are spread.";
    "streams.session.timeout.ms", Int(1, I32_MAX) => Some("45000"), of "group.streams.session.timeout.ms",
        "After so long without a heartbeat a member of the streams group counts as gone.";
};

/// What is wrong with a value beyond its type.
pub(super) fn check(name: &str, value: &Value) -> Result<(), String> {
    match name {
        "share.auto.offset.reset" => match value.text() {
            "latest" | "earliest" => Ok(()),
            text if text.strip_prefix("by_duration:").is_some_and(is_duration) => Ok(()),
            _ => Err("is none of latest, earliest and by_duration:PnDTnHnMn.nS".to_string()),
        },
        "errors.deadletterqueue.topic.name" if value.text().starts_with("__") => {
            Err("must not begin with __".to_string())
        }
        _ => Ok(()),
    }
}

/// A duration of ISO 8601 with days, hours, minutes and seconds, in this order, at least one of them.
fn is_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let has_parts = |mut text: &str, units: &str| {
        let mut found = false;
        for unit in units.chars() {
            let Some((number, rest)) = text.split_once(unit) else { continue };
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            if !is_number(whole) || !is_number(fraction) || (unit != 'S' && number.contains('.')) {
                return None;
            }
            (text, found) = (rest, true);
        }
        text.is_empty().then_some(found)
    };
    let parts = (has_parts(days, "D"), time.map(|time| has_parts(time, "HMS")));
    matches!(parts, (Some(true), None) | (Some(_), Some(Some(true))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_iso_8601() {
        for good in ["P1D", "PT1H", "PT1M2.5S", "P2DT3H4M5S"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "P", "1D", "PT", "P1H", "PT1D", "P1.5D", "PT1S2M", "P1DT", "PT.S"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
