//! Broker keys that are accepted and neither acted on nor described, so that a file made for Kafka works as it is: those that
//! Kafka 4.4 calls internal, and a few that older files still carry. The others have a row, here ([`super::inert`]) or there
//! ([`super::broker`]).

use super::broker;

/// Whether a broker accepts the key without acting on it.
pub(super) fn is_accepted(name: &str) -> bool {
    UNUSED.binary_search(&name).is_ok() || UNUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether it is a broker's key of any kind.
pub(super) fn is_broker_key(name: &str) -> bool {
    is_accepted(name) || broker::row(name).is_some()
}

/// Families of keys that plugins, listeners and ZooKeeper brought along.
const UNUSED_PREFIXES: &[&str] = &["listener.name.", "rlmm.config.", "rsm.config.", "zookeeper."];

/// Single keys, sorted.
pub(super) const UNUSED: &[&str] = &[
    "auto.include.jmx.reporter",
    "broker.id.generation.enable",
    "control.plane.listener.name",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "controller.performance.always.log.threshold.ms",
    "controller.performance.sample.period.ms",
    "eligible.leader.replicas.enable",
    "enable.zookeeper.migration",
    "group.consumer.assignor.offload.enable",
    "group.consumer.regex.refresh.interval.ms",
    "group.share.assignor.offload.enable",
    "group.share.dlq.manager.class.name",
    "group.share.initialize.retry.interval.ms",
    "group.share.persister.class.name",
    "group.streams.acceptable.recovery.lag",
    "group.streams.assignor.offload.enable",
    "group.streams.max.warmup.replicas",
    "group.streams.min.task.offset.interval.ms",
    "group.streams.num.warmup.replicas",
    "group.streams.task.offset.interval.ms",
    "inter.broker.protocol.version",
    "internal.metadata.delete.delay.millis",
    "internal.metadata.log.segment.bytes",
    "internal.metadata.max.batch.size.in.bytes",
    "log.initial.task.delay.ms",
    "log.message.downconversion.enable",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "offsets.commit.required.acks",
    "password.encoder.secret",
    "producer.id.expiration.check.interval.ms",
    "remote.log.index.file.cache.ttl.ms",
    "remote.log.manager.task.retry.backoff.max.ms",
    "remote.log.manager.task.retry.backoff.ms",
    "remote.log.manager.task.retry.jitter",
    "reserved.broker.max.id",
    "server.max.startup.time.ms",
    "share.coordinator.cold.partition.snapshot.interval.ms",
    "share.coordinator.state.topic.prune.interval.ms",
    "unclean.leader.election.interval.ms",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_holds_nothing_that_has_a_row() {
        assert!(UNUSED.is_sorted());
        assert!(UNUSED.iter().all(|name| broker::row(name).is_none()));
    }
}
