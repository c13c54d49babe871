//! Keys of the coordinators: transactions, share groups, groups of the new protocols.
//! See [`super`].

use super::*;

pub(super) const KEYS: &[ConfigKey<BrokerConfig>] = inert! {
    "add.partitions.to.txn.retry.backoff.max.ms", Int(0, I32_MAX) => Some("100"),
        "The longest time a broker tries again by itself to add partitions to a transaction, in milliseconds.";
    "add.partitions.to.txn.retry.backoff.ms", Int(1, I32_MAX) => Some("20"),
        "The pause between such tries, in milliseconds.";
    "errors.deadletterqueue.auto.create.topics.enable", Kind::Boolean => Some("false"),
        "Whether topics for what share groups could not deliver come into being by themselves.";
    "errors.deadletterqueue.topic.name.prefix", Text => Some("dlq."),
        "How the names of such topics begin.";
    "group.consumer.assignment.interval.ms", Int(0, I32_MAX) => Some("1000"),
        "The shortest time between two assignments of a consumer group of the new protocol.";
    "group.consumer.assignors", List(&[]) => Some("uniform,range"),
        "The assignors that consumer groups of the new protocol can choose from, the default first.";
    "group.consumer.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"),
        "How often members of consumer groups of the new protocol send heartbeats.";
    "group.consumer.max.assignment.interval.ms", Int(0, I32_MAX) => Some("15000"),
        "The highest assignment interval that a consumer group may set.";
    "group.consumer.max.heartbeat.interval.ms", Int(1, I32_MAX) => Some("15000"),
        "The highest heartbeat interval that a consumer group may set.";
    "group.consumer.max.session.timeout.ms", Int(1, I32_MAX) => Some("60000"),
        "The highest session timeout that a consumer group may set.";
    "group.consumer.max.size", Int(1, I32_MAX) => Some("2147483647"),
        "The most members of a consumer group of the new protocol.";
    "group.consumer.migration.policy", AnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]) => Some("bidirectional"),
        "Whether groups change between the classic and the new protocol, and in which direction.";
    "group.consumer.min.assignment.interval.ms", Int(0, I32_MAX) => Some("0"),
        "The lowest assignment interval that a consumer group may set.";
    "group.consumer.min.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"),
        "The lowest heartbeat interval that a consumer group may set.";
    "group.consumer.min.session.timeout.ms", Int(1, I32_MAX) => Some("45000"),
        "The lowest session timeout that a consumer group may set.";
    "group.consumer.session.timeout.ms", Int(1, I32_MAX) => Some("45000"),
        "After so long without a heartbeat a member of a consumer group of the new protocol counts as gone.";
    "group.coordinator.append.linger.ms", Int(-1, I32_MAX) => Some("-1"),
        "How long the group coordinator collects writes before it appends them; -1 lets it decide.";
    "group.coordinator.background.threads", Int(1, I32_MAX) => Some("2"),
        "Threads for the group coordinator's long computations.";
    "group.coordinator.cached.buffer.max.bytes", Int(524_288, I32_MAX) => Some("1048588"),
        "The largest write buffer that the group coordinator keeps for the next time.";
    "group.coordinator.rebalance.protocols", List(&["consumer", "classic", "share", "streams"]) => Some("classic,consumer,streams"),
        "The protocols of groups that are served.";
    "group.coordinator.threads", Int(1, I32_MAX) => Some("4"),
        "Threads of the group coordinator.";
    "group.share.assignment.interval.ms", Int(0, I32_MAX) => Some("1000"),
        "The shortest time between two assignments of a share group.";
    "group.share.assignors", List(&[]) => Some("simple"),
        "The assignor of share groups.";
    "group.share.delivery.count.limit", Int(2, 10) => Some("5"),
        "How often a record is offered to a share group before it is given up.";
    "group.share.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"),
        "How often members of share groups send heartbeats.";
    "group.share.max.assignment.interval.ms", Int(0, I32_MAX) => Some("15000"),
        "The highest assignment interval that a share group may set.";
    "group.share.max.delivery.count.limit", Int(5, 25) => Some("10"),
        "The highest delivery limit that a share group may set.";
    "group.share.max.heartbeat.interval.ms", Int(1, I32_MAX) => Some("15000"),
        "The highest heartbeat interval that a share group may set.";
    "group.share.max.partition.max.record.locks", Int(2000, 10_000) => Some("4000"),
        "The highest number of locked records per partition that a share group may set.";
    "group.share.max.record.lock.duration.ms", Int(30_000, 3_600_000) => Some("60000"),
        "The longest lock of a record that a share group may set.";
    "group.share.max.session.timeout.ms", Int(1, I32_MAX) => Some("60000"),
        "The highest session timeout that a share group may set.";
    "group.share.max.share.sessions", Int(1, I32_MAX) => Some("2000"),
        "The most share sessions of a broker.";
    "group.share.max.size", Int(1, 1000) => Some("200"),
        "The most members of a share group.";
    "group.share.min.assignment.interval.ms", Int(0, I32_MAX) => Some("0"),
        "The lowest assignment interval that a share group may set.";
    "group.share.min.delivery.count.limit", Int(2, 5) => Some("2"),
        "The lowest delivery limit that a share group may set.";
    "group.share.min.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"),
        "The lowest heartbeat interval that a share group may set.";
    "group.share.min.partition.max.record.locks", Int(100, 2000) => Some("100"),
        "The lowest number of locked records per partition that a share group may set.";
    "group.share.min.record.lock.duration.ms", Int(1000, 30_000) => Some("15000"),
        "The shortest lock of a record that a share group may set.";
    "group.share.min.session.timeout.ms", Int(1, I32_MAX) => Some("45000"),
        "The lowest session timeout that a share group may set.";
    "group.share.partition.max.record.locks", Int(100, 10_000) => Some("2000"),
        "How many records of a partition a share group may have locked.";
    "group.share.record.lock.duration.ms", Int(1000, 3_600_000) => Some("30000"),
        "How long a record stays locked for the member of a share group that got it.";
    "group.share.session.timeout.ms", Int(1, I32_MAX) => Some("45000"),
        "After so long without a heartbeat a member of a share group counts as gone.";
    "group.streams.assignment.interval.ms", Int(0, I32_MAX) => Some("1000"),
        "The shortest time between two assignments of a streams group.";
    "group.streams.assignors", List(&[]) => Some("sticky"),
        "The assignors that streams groups can choose from.";
    "group.streams.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"),
        "How often members of streams groups send heartbeats.";
    "group.streams.initial.rebalance.delay.ms", Int(0, I32_MAX) => Some("3000"),
        "How long the first rebalance of a new streams group waits for more members.";
    "group.streams.max.assignment.interval.ms", Int(0, I32_MAX) => Some("15000"),
        "The highest assignment interval that a streams group may set.";
    "group.streams.max.heartbeat.interval.ms", Int(1, I32_MAX) => Some("15000"),
        "The highest heartbeat interval that a streams group may set.";
    "group.streams.max.session.timeout.ms", Int(1, I32_MAX) => Some("60000"),
        "The highest session timeout that a streams group may set.";
    "group.streams.max.size", Int(1, I32_MAX) => Some("2147483647"),
        "The most members of a streams group.";
    "group.streams.max.standby.replicas", Int(0, I32_MAX) => Some("2"),
        "The most standby replicas that a streams group may set.";
    "group.streams.min.assignment.interval.ms", Int(0, I32_MAX) => Some("0"),
        "The lowest assignment interval that a streams group may set.";
    "group.streams.min.heartbeat.interval.ms", Int(1, I32_MAX) => Some("5000"),
        "The lowest heartbeat interval that a streams group may set.";
    "group.streams.min.session.timeout.ms", Int(1, I32_MAX) => Some("45000"),
        "The lowest session timeout that a streams group may set.";
    "group.streams.num.standby.replicas", Int(0, I32_MAX) => Some("0"),
        "Standby replicas of each task of a streams group.";
    "group.streams.rack.aware.assignment.tags", List(&[]) => Some(""),
        "Tags of clients over which standby replicas are spread.";
    "group.streams.session.timeout.ms", Int(1, I32_MAX) => Some("45000"),
        "After so long without a heartbeat a member of a streams group counts as gone.";
    "group.streams.topology.description.plugin.class", Class => None,
        "The class that keeps descriptions of streams topologies.";
    "offsets.topic.compression.codec", Int(I32_MIN, I32_MAX) => Some("0"),
        "The codec of the topic of committed offsets, as a number.";
    "share.coordinator.append.linger.ms", Int(-1, I32_MAX) => Some("-1"),
        "How long the share coordinator collects writes before it appends them; -1 lets it decide.";
    "share.coordinator.cached.buffer.max.bytes", Int(524_288, I32_MAX) => Some("1048588"),
        "The largest write buffer that the share coordinator keeps for the next time.";
    "share.coordinator.load.buffer.size", Int(1, I32_MAX) => Some("5242880"),
        "Bytes read at once when a share coordinator loads its state.";
    "share.coordinator.snapshot.update.records.per.snapshot", Int(0, 500) => Some("500"),
        "Updates of a share partition's state between two snapshots of it.";
    "share.coordinator.state.topic.compression.codec", Int(I32_MIN, I32_MAX) => Some("0"),
        "The codec of the topic of share states, as a number.";
    "share.coordinator.state.topic.min.isr", Short(1, 32_767) => Some("2"),
        "The in-sync replicas that the topic of share states needs.";
    "share.coordinator.state.topic.num.partitions", Int(1, I32_MAX) => Some("50"),
        "Partitions of the topic of share states.";
    "share.coordinator.state.topic.replication.factor", Short(1, 32_767) => Some("3"),
        "Replicas of the topic of share states.";
    "share.coordinator.state.topic.segment.bytes", Int(1, I32_MAX) => Some("104857600"),
        "The segment size of the topic of share states.";
    "share.coordinator.threads", Int(1, I32_MAX) => Some("1"),
        "Threads of the share coordinator.";
    "share.coordinator.write.timeout.ms", Int(1, I32_MAX) => Some("5000"),
        "How long a write of the share coordinator waits for its replicas.";
    "share.fetch.purgatory.purge.interval.requests", Int(I32_MIN, I32_MAX) => Some("1000"),
        "After how many requests waiting share fetches are swept.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms", Int(1, I32_MAX) => Some("10000"),
        "How often transactions beyond their timeout are looked for.";
    "transaction.max.timeout.ms", Int(1, I32_MAX) => Some("900000"),
        "The longest transaction timeout that a client may ask for.";
    "transaction.partition.verification.enable", Kind::Boolean => Some("true"),
        "Whether a partition asks the coordinator before it takes the first record of a transaction.";
    "transaction.remove.expired.transaction.cleanup.interval.ms", Int(1, I32_MAX) => Some("3600000"),
        "How often outdated transactional ids are looked for.";
    "transaction.state.log.load.buffer.size", Int(1, I32_MAX) => Some("5242880"),
        "Bytes read at once when a coordinator loads transactions.";
    "transaction.state.log.min.isr", Int(1, I32_MAX) => Some("2"),
        "The in-sync replicas that the topic of transactions needs.";
    "transaction.state.log.num.partitions", Int(1, I32_MAX) => Some("50"),
        "Partitions of the topic of transactions.";
    "transaction.state.log.replication.factor", Short(1, 32_767) => Some("3"),
        "Replicas of the topic of transactions.";
    "transaction.state.log.segment.bytes", Int(1, I32_MAX) => Some("104857600"),
        "The segment size of the topic of transactions.";
    "transaction.two.phase.commit.enable", Kind::Boolean => Some("false"),
        "Whether transactions may take part in a two-phase commit of somebody else.";
    "transactional.id.expiration.ms", Int(1, I32_MAX) => Some("604800000"),
        "How long a transactional id that is not used is kept.";
};
