//! Which of a broker's keys can be changed while it runs (KIP-226), and how the values that were given to a running broker
//! lie over those of its start.
//!
//! A value that was set for this broker is stronger than one for all brokers, which is stronger than one of the start, which
//! is stronger than the default. The values come from the metadata log, so they survive; what of them no longer fits (less
//! memory, another version) is left out and reported, so that no stored setting keeps a broker from starting.
//!
//! Kafka also lets some keys of listeners and their security change, broker by broker ([`PER_BROKER`]). Here they are read
//! at the start alone.

use super::broker::{BrokerConfig, row};
use super::key::{ConfigError, ConfigKey, Effect, Kind, Value};
use super::nearest::nearest;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Values by the names of their keys.
pub(super) type Values = BTreeMap<&'static str, Value>;

/// What was set while brokers ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dynamic {
    /// For this broker.
    pub(super) own: Values,
    /// For all brokers.
    pub(super) cluster: Values,
}

/// Whether the key can be changed while the broker runs.
pub(super) fn is_dynamic(name: &str) -> bool {
    DYNAMIC.binary_search(&name).is_ok()
}

/// Reads a value for a key of a running broker. The error says why it cannot have it.
pub(super) fn read(name: &str, text: &str) -> Result<(&'static ConfigKey<BrokerConfig>, Value), ConfigError> {
    if PER_BROKER.contains(&name) {
        return Err(ConfigError::new(name, "cannot be changed while the broker runs; set it at the start"));
    }
    match row(name) {
        Some(row) if is_dynamic(name) => Ok((row, row.parse(text)?)),
        Some(_) => {
            Err(ConfigError::new(name, "cannot be changed while brokers run, in Kafka neither; set it at the start"))
        }
        None => Err(ConfigError::new(
            name,
            match nearest(name, DYNAMIC.iter().copied()) {
                Some(near) => format!("is no setting of a running broker; did you mean {near}?"),
                None => "is no setting of a running broker".to_string(),
            },
        )),
    }
}

/// If this key of a broker is a list that can be changed while it runs: its default, whatever was set at the start.
#[must_use]
pub fn broker_list_default(name: &str) -> Option<&'static str> {
    let row = row(name)?;
    matches!(row.kind, Kind::List(_)).then_some(row.default.unwrap_or(""))
}

/// Whether a broker's key changes nothing here.
#[must_use]
pub fn is_inert(name: &str) -> bool {
    row(name).is_some_and(|row| matches!(row.effect, Effect::Nothing))
}

impl BrokerConfig {
    /// Puts in force what was set for all brokers and for this one, in place of what was set so before. Returns what of it
    /// cannot be: those keys keep the value that is next in strength.
    pub fn set_dynamic(
        &mut self,
        cluster: &BTreeMap<String, String>,
        own: &BTreeMap<String, String>,
    ) -> Vec<ConfigError> {
        let mut refused = Vec::new();
        let mut read_all = |settings: &BTreeMap<String, String>| -> Values {
            let one = |(name, text): (&String, &String)| match read(name, text) {
                Ok((row, value)) => Some((row.name, value)),
                Err(error) => {
                    refused.push(error);
                    None
                }
            };
            settings.iter().filter_map(one).collect()
        };
        let after = Dynamic { cluster: read_all(cluster), own: read_all(own) };
        let names = |layers: &Dynamic| layers.own.keys().chain(layers.cluster.keys()).copied().collect::<Vec<_>>();
        let touched: BTreeSet<&'static str> = names(&self.dynamic).into_iter().chain(names(&after)).collect();
        self.dynamic = after;
        for name in touched {
            if let Err(error) = self.put_in_force(name) {
                refused.push(error);
                self.forget_dynamic(name);
            }
        }
        self.derive();
        while let Err(error) = self.validate() {
            let Some(row) = row(&error.key).filter(|row| self.forget_dynamic(row.name)) else { break };
            refused.push(ConfigError { key: row.name.to_string(), ..error });
            self.derive();
        }
        refused
    }

    /// Takes a value away that was set while brokers ran. Returns whether there was one.
    fn forget_dynamic(&mut self, name: &'static str) -> bool {
        let there_was = self.dynamic.own.remove(name).is_some() | self.dynamic.cluster.remove(name).is_some();
        if there_was {
            self.put_in_force(name).expect("what was in force at the start can be in force again");
        }
        there_was
    }
}

/// Kafka's list, and ours; sorted.
const DYNAMIC: &[&str] = &[
    "background.threads",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "config.providers",
    "corelog.durability",
    "errors.deadletterqueue.auto.create.topics.enable",
    "errors.deadletterqueue.topic.name.prefix",
    "follower.fetch.last.tiered.offset.enable",
    "follower.replication.throttled.rate",
    "group.consumer.assignment.interval.ms",
    "group.coordinator.cached.buffer.max.bytes",
    "group.share.assignment.interval.ms",
    "group.streams.assignment.interval.ms",
    "leader.replication.throttled.rate",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleaner.threads",
    "log.cleanup.policy",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.local.retention.bytes",
    "log.local.retention.ms",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.preallocate",
    "log.remote.copy.lag.bytes",
    "log.remote.copy.lag.ms",
    "log.retention.bytes",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
    "log.segment.bytes",
    "log.segment.delete.delay.ms",
    "max.connection.creation.rate",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    "max.decompressed.message.bytes",
    "message.max.bytes",
    "metric.reporters",
    "min.insync.replicas",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "producer.id.expiration.ms",
    "remote.fetch.max.wait.ms",
    "remote.list.offsets.request.timeout.ms",
    "remote.log.index.file.cache.total.size.bytes",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.copy.max.bytes.per.second",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.fetch.max.bytes.per.second",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
    "replica.alter.log.dirs.io.max.bytes.per.second",
    "share.coordinator.cached.buffer.max.bytes",
    "transaction.partition.verification.enable",
    "unclean.leader.election.enable",
];

/// Sorted.
const PER_BROKER: &[&str] = &[
    "cordoned.log.dirs",
    "listener.security.protocol.map",
    "listeners",
    "principal.builder.class",
    "sasl.enabled.mechanisms",
    "sasl.jaas.config",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal.to.local.rules",
    "sasl.kerberos.service.name",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "sasl.mechanism.inter.broker.protocol",
    "ssl.cipher.suites",
    "ssl.client.auth",
    "ssl.enabled.protocols",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.factory.class",
    "ssl.key.password",
    "ssl.keymanager.algorithm",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BROKER_KEYS;
    use crate::config::inert;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn names(refused: &[ConfigError]) -> Vec<&str> {
        refused.iter().map(|error| error.key.as_str()).collect()
    }

    #[test]
    fn the_lists_are_sorted_and_name_keys_that_there_are() {
        for list in [DYNAMIC, PER_BROKER] {
            assert!(list.is_sorted());
            assert!(list.iter().all(|name| row(name).is_some()));
        }
        assert!(BROKER_KEYS.iter().chain(inert::keys()).filter(|row| is_dynamic(row.name)).count() == DYNAMIC.len());
    }

    #[test]
    fn the_strongest_value_acts_and_the_next_comes_back() {
        let mut config = BrokerConfig::default();
        config.set("log.retention.hours", "1").unwrap();
        config.set("max.connections", "10").unwrap();
        let in_force = |config: &BrokerConfig| (config.topic_defaults.retention_ms, config.connections.total_max);
        assert_eq!(in_force(&config), (3_600_000, 10));
        let cluster = map(&[("log.retention.ms", "7"), ("max.connections", "20")]);
        assert_eq!(config.set_dynamic(&cluster, &BTreeMap::new()), []);
        assert_eq!(in_force(&config), (7, 20));
        assert_eq!(config.set_dynamic(&cluster, &map(&[("log.retention.ms", "-5"), ("max.connections", "30")])), []);
        assert_eq!(in_force(&config), (-1, 30));
        assert_eq!(config.set_dynamic(&cluster, &BTreeMap::new()), []);
        assert_eq!(in_force(&config), (7, 20));
        assert_eq!(config.set_dynamic(&BTreeMap::new(), &BTreeMap::new()), []);
        assert_eq!(in_force(&config), (3_600_000, 10));
    }

    #[test]
    fn what_cannot_be_is_left_out_and_named() {
        let mut config = BrokerConfig::default();
        let own = map(&[
            ("message.max.bytes", "2000000000"),
            ("num.partitions", "3"),
            ("log.retention.ms", "soon"),
            ("no.such.key", "1"),
            ("listeners", "PLAINTEXT://:1"),
            ("log.roll.ms", "0"),
            ("log.segment.bytes", "10"),
            ("log.cleanup.policy", "compact"),
        ]);
        let refused = config.set_dynamic(&map(&[("message.max.bytes", "5000")]), &own);
        let mut keys = names(&refused);
        keys.sort_unstable();
        let expected = [
            "listeners",
            "log.retention.ms",
            "log.roll.ms",
            "log.segment.bytes",
            "message.max.bytes",
            "no.such.key",
            "num.partitions",
        ];
        assert_eq!(keys, expected);
        assert!(config.topic_defaults.cleanup_policy.compact, "what is right acts");
        assert_eq!(config.topic_defaults.segment_bytes, 1 << 30);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        let why = |name: &str| read(name, "1").err().unwrap().to_string();
        assert!(why("num.partitions").contains("cannot be changed while brokers run"));
        assert!(why("ssl.keystore.location").contains("set it at the start"));
        assert_eq!(
            why("log.retension.ms"),
            "log.retension.ms: is no setting of a running broker; did you mean log.retention.ms?"
        );
        assert_eq!(why("colour"), "colour: is no setting of a running broker");
    }
}
