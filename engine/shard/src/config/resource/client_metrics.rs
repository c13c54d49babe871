//! A subscription to metrics of clients (KIP-714): which metrics, how often, and of whom.

use super::super::key::{ConfigError, ConfigKey, Effect, Kind};
use super::{unknown, words};
use crate::pattern::Pattern;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The shortest and the longest push interval that may be set, in milliseconds.
const INTERVAL_MS: core::ops::RangeInclusive<u64> = 100..=3_600_000;

/// The rows.
pub(super) const CLIENT_METRICS_KEYS: &[ConfigKey<ClientMetricsConfig>] = &[
    ConfigKey {
        name: "interval.ms",
        // The bounds are checked apart: they are refused with another code.
        kind: Kind::Int(i32::MIN as i64, i32::MAX as i64),
        default: Some("300000"),
        synonyms: &[],
        doc: "How often clients push, in milliseconds.",
        effect: Effect::Field(|config, value| {
            config.interval_ms = u64::try_from(value.number()).unwrap_or(0);
            Ok(())
        }),
    },
    ConfigKey {
        name: "match",
        kind: Kind::List(&[]),
        default: Some(""),
        synonyms: &[],
        doc: "Which clients push: patterns like client_id=app.*, all of which have to match. Every client, if it is empty.",
        effect: Effect::Field(|config, value| {
            config.matches = value.list().iter().map(|text| read_match(text)).collect::<Result<_, _>>()?;
            Ok(())
        }),
    },
    ConfigKey {
        name: "metrics",
        kind: Kind::List(&[]),
        default: Some(""),
        synonyms: &[],
        doc: "Prefixes of the names of the metrics that are wanted; * for all of them.",
        effect: Effect::Field(|config, value| {
            config.metrics = value.list().iter().flat_map(|text| words(text)).collect();
            Ok(())
        }),
    },
];

/// What a subscription says.
#[derive(Clone, Debug)]
pub struct ClientMetricsConfig {
    /// Prefixes of names of metrics; `*` for all.
    pub metrics: Vec<String>,
    /// The time between two pushes, in milliseconds.
    pub interval_ms: u64,
    /// What has to match.
    pub(crate) matches: Vec<(MatchField, Pattern)>,
}

/// What a subscription can look at of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchField {
    /// The id that the broker has given the client for its metrics.
    ClientInstanceId,
    /// What it calls itself.
    ClientId,
    /// The name of its software.
    ClientSoftwareName,
    /// The version of its software.
    ClientSoftwareVersion,
    /// Its address.
    ClientSourceAddress,
    /// Its port.
    ClientSourcePort,
}

impl MatchField {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "client_instance_id" => Self::ClientInstanceId,
            "client_id" => Self::ClientId,
            "client_software_name" => Self::ClientSoftwareName,
            "client_software_version" => Self::ClientSoftwareVersion,
            "client_source_address" => Self::ClientSourceAddress,
            "client_source_port" => Self::ClientSourcePort,
            _ => return None,
        })
    }
}

fn read_match(text: &str) -> Result<(MatchField, Pattern), String> {
    let mut parts = text.split('=');
    let (Some(name), Some(pattern), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("\"{text}\" is no name and pattern with = between them"));
    };
    let field = MatchField::read(name.trim())
        .ok_or_else(|| format!("\"{}\" is nothing that clients can be told apart by", name.trim()))?;
    let pattern = Pattern::new(pattern.trim()).map_err(|error| format!("\"{}\": {error}", pattern.trim()))?;
    Ok((field, pattern))
}

impl ClientMetricsConfig {
    /// Reads a subscription.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn read(configs: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut config = Self { metrics: Vec::new(), interval_ms: 0, matches: Vec::new() };
        super::super::key::set_defaults(CLIENT_METRICS_KEYS, &mut config);
        for (name, text) in configs {
            let row = CLIENT_METRICS_KEYS
                .iter()
                .find(|row| row.name == name)
                .ok_or_else(|| unknown(name, CLIENT_METRICS_KEYS, "a subscription to metrics"))?;
            let value = row.parse(text)?;
            if let Effect::Field(set) = &row.effect {
                set(&mut config, &value).map_err(|message| ConfigError::new(name, message))?;
            }
        }
        Ok(config)
    }

    /// Whether its push interval is one that may be set. Apart from [`Self::read`], since Kafka refuses it with another
    /// code than everything else.
    #[must_use]
    pub fn has_sound_interval(&self) -> bool {
        INTERVAL_MS.contains(&self.interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn read(pairs: &[(&str, &str)]) -> Result<ClientMetricsConfig, ConfigError> {
        ClientMetricsConfig::read(&pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
    }

    #[test]
    fn subscriptions_are_kafkas() {
        let config = read(&[
            ("metrics", "org.apache.kafka.producer., *"),
            ("interval.ms", "100"),
            ("match", "client_software_version = 11\\.1.*, client_id=a"),
        ])
        .unwrap();
        assert_eq!(config.metrics, vec!["org.apache.kafka.producer.", "*"]);
        assert_eq!((config.interval_ms, config.has_sound_interval()), (100, true));
        assert_eq!(config.matches.len(), 2);
        assert!(config.matches[0].1.matches("11.1.7") && config.matches[0].0 == MatchField::ClientSoftwareVersion);
        let defaults = read(&[]).unwrap();
        assert!(defaults.metrics.is_empty() && defaults.matches.is_empty() && defaults.interval_ms == 300_000);
        for interval in ["99", "3600001", "-5"] {
            assert!(!read(&[("interval.ms", interval)]).unwrap().has_sound_interval());
        }
        for (key, value) in [
            ("interval.ms", "x"),
            ("match", "client_id"),
            ("match", "name=x"),
            ("match", "client_id=("),
            ("other", "1"),
        ] {
            assert_eq!(read(&[(key, value)]).unwrap_err().key, key, "{value}");
        }
    }
}
