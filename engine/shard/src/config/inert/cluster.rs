//! Keys of controllers, replication, threads, metrics and quotas.
//! See [`super`].

use super::*;

pub(super) const KEYS: &[ConfigKey<BrokerConfig>] = inert! {
    "alter.config.policy.class.name", Class => None,
        "The class that says which settings may be changed.";
    "alter.log.dirs.replication.quota.window.num", Int(1, I32_MAX) => Some("11"),
        "Samples kept for the quota on moves between directories.";
    "alter.log.dirs.replication.quota.window.size.seconds", Int(1, I32_MAX) => Some("1"),
        "The length of such a sample.";
    "auto.leader.rebalance.enable", Kind::Boolean => Some("true"),
        "Whether leadership goes back to the preferred replicas by itself.";
    "background.threads", Int(1, I32_MAX) => Some("10"),
        "Threads for background work.";
    "broker.heartbeat.interval.ms", Int(I32_MIN, I32_MAX) => Some("2000"),
        "How often a broker sends a heartbeat to the controller.";
    "broker.session.timeout.ms", Int(I32_MIN, I32_MAX) => Some("9000"),
        "After so long without a heartbeat a broker is fenced.";
    "client.quota.callback.class", Class => None,
        "The class that decides about quotas.";
    "config.providers", List(&[]) => Some(""),
        "Names of providers of values for other settings.";
    "controlled.shutdown.enable", Kind::Boolean => Some("true"),
        "Whether a broker hands its leaderships over before it stops.";
    "controller.quorum.append.linger.ms", Int(0, I32_MAX) => Some("25"),
        "How long the leader of the quorum collects records before it writes them.";
    "controller.quorum.auto.join.enable", Kind::Boolean => Some("false"),
        "Whether a controller joins the quorum by itself.";
    "controller.quorum.bootstrap.servers", List(&[]) => Some(""),
        "Where the quorum is found.";
    "controller.quorum.election.backoff.max.ms", Int(0, I32_MAX) => Some("1000"),
        "The longest pause before another election.";
    "controller.quorum.election.timeout.ms", Int(0, I32_MAX) => Some("1000"),
        "How long a candidate waits for votes.";
    "controller.quorum.fetch.max.bytes", Int(1, I32_MAX) => Some("1048576"),
        "The most bytes of a fetch of the metadata log.";
    "controller.quorum.fetch.snapshot.max.bytes", Int(1, I32_MAX) => Some("1048576"),
        "The most bytes of a fetch of a metadata snapshot.";
    "controller.quorum.fetch.timeout.ms", Int(0, I32_MAX) => Some("2000"),
        "How long a voter goes without the leader before it stands for election.";
    "controller.quorum.request.timeout.ms", Int(0, I32_MAX) => Some("2000"),
        "How long a request within the quorum may take.";
    "controller.quorum.retry.backoff.ms", Int(0, I32_MAX) => Some("20"),
        "The pause before such a request is sent again.";
    "controller.quorum.voters", List(&[]) => Some(""),
        "The voters of the quorum, as ID@HOST:PORT. A single node votes alone.";
    "controller.socket.timeout.ms", Int(I32_MIN, I32_MAX) => Some("30000"),
        "How long a request to the controller may take.";
    "cordoned.log.dirs", List(&[]) => Some(""),
        "Directories that get no new partitions.";
    "create.topic.policy.class.name", Class => None,
        "The class that says which topics may be created.";
    "delete.records.purgatory.purge.interval.requests", Int(I32_MIN, I32_MAX) => Some("1"),
        "After how many requests waiting deletions of records are swept.";
    "fetch.purgatory.purge.interval.requests", Int(I32_MIN, I32_MAX) => Some("1000"),
        "After how many requests waiting fetches are swept.";
    "follower.fetch.last.tiered.offset.enable", Kind::Boolean => Some("false"),
        "Whether a new follower begins behind what is in remote storage.";
    "follower.replication.throttled.rate", Long(0, i64::MAX) => None,
        "Bytes a second that throttled replicas may fetch.";
    "initial.broker.registration.timeout.ms", Int(I32_MIN, I32_MAX) => Some("60000"),
        "How long a broker tries to register before it gives up.";
    "inter.broker.listener.name", Text => None,
        "The listener between brokers. There is one broker.";
    "kafka.metrics.polling.interval.secs", Int(1, I32_MAX) => Some("10"),
        "How often metrics reporters of the old kind ask.";
    "kafka.metrics.reporters", List(&[]) => Some(""),
        "Classes of metrics reporters of the old kind.";
    "leader.imbalance.check.interval.seconds", Long(1, i64::MAX) => Some("300"),
        "How often leaderships off their preferred replicas are looked for.";
    "leader.replication.throttled.rate", Long(0, i64::MAX) => None,
        "Bytes a second that leaders of throttled replicas may serve.";
    "metadata.log.dir", Text => None,
        "The directory of the metadata log. It is inside the data directory.";
    "metadata.log.max.record.bytes.between.snapshots", Long(1, i64::MAX) => Some("20971520"),
        "Bytes of metadata records after which a snapshot is made.";
    "metadata.log.max.snapshot.interval.ms", Long(0, i64::MAX) => Some("3600000"),
        "The longest time between two metadata snapshots.";
    "metadata.log.segment.bytes", Int(8_388_608, I32_MAX) => Some("1073741824"),
        "The largest segment of the metadata log.";
    "metadata.log.segment.ms", Long(i64::MIN, i64::MAX) => Some("604800000"),
        "The age at which a segment of the metadata log is rolled.";
    "metadata.max.idle.interval.ms", Int(0, I32_MAX) => Some("500"),
        "How often an idle metadata log gets a record.";
    "metadata.max.retention.bytes", Long(i64::MIN, i64::MAX) => Some("104857600"),
        "Bytes of metadata log and snapshots that are kept.";
    "metadata.max.retention.ms", Long(i64::MIN, i64::MAX) => Some("604800000"),
        "How long metadata log and snapshots are kept.";
    "metric.reporters", List(&[]) => Some("org.apache.kafka.common.metrics.JmxReporter"),
        "Classes of metrics reporters.";
    "metrics.num.samples", Int(1, I32_MAX) => Some("2"),
        "Samples kept for a metric.";
    "metrics.recording.level", Text => Some("INFO"),
        "Which metrics are recorded.";
    "metrics.sample.window.ms", Long(1, i64::MAX) => Some("30000"),
        "The length of such a sample.";
    "num.io.threads", Int(1, I32_MAX) => Some("8"),
        "In Kafka, threads that work on requests. Corelog has one thread for each core.";
    "num.network.threads", Int(1, I32_MAX) => Some("3"),
        "In Kafka, threads that talk to clients. Corelog has one thread for each core.";
    "num.recovery.threads.per.data.dir", Int(1, I32_MAX) => Some("2"),
        "In Kafka, threads that recover logs. Corelog reads its journal alone.";
    "num.replica.alter.log.dirs.threads", Int(I32_MIN, I32_MAX) => None,
        "Threads that move replicas between directories.";
    "num.replica.fetchers", Int(1, I32_MAX) => Some("1"),
        "Threads that fetch from each leader.";
    "process.roles", List(&["broker", "controller"]) => None,
        "What this process is: a broker, a controller or both. A single node is both.";
    "producer.purgatory.purge.interval.requests", Int(I32_MIN, I32_MAX) => Some("1000"),
        "After how many requests waiting produce requests are swept.";
    "queued.max.request.bytes", Long(i64::MIN, i64::MAX) => Some("-1"),
        "Bytes of requests that may wait. Corelog bounds them by its memory.";
    "queued.max.requests", Int(1, I32_MAX) => Some("500"),
        "Requests that may wait. Corelog bounds them by its memory.";
    "replica.alter.log.dirs.io.max.bytes.per.second", Long(0, i64::MAX) => None,
        "Bytes a second at which replicas move between directories.";
    "replica.fetch.backoff.ms", Int(0, I32_MAX) => Some("1000"),
        "The pause after a failed fetch of a replica.";
    "replica.fetch.max.bytes", Int(0, I32_MAX) => Some("1048576"),
        "Bytes that a replica fetches of a partition at a time.";
    "replica.fetch.min.bytes", Int(I32_MIN, I32_MAX) => Some("1"),
        "Bytes that a replica's fetch waits for.";
    "replica.fetch.response.max.bytes", Int(0, I32_MAX) => Some("10485760"),
        "Bytes that a replica fetches at a time.";
    "replica.fetch.wait.max.ms", Int(I32_MIN, I32_MAX) => Some("500"),
        "How long a replica's fetch waits.";
    "replica.high.watermark.checkpoint.interval.ms", Long(i64::MIN, i64::MAX) => Some("5000"),
        "How often high watermarks are written down.";
    "replica.lag.time.max.ms", Long(i64::MIN, i64::MAX) => Some("30000"),
        "A replica that lags for so long is not in sync any more.";
    "replica.selector.class", Text => None,
        "The class that picks the replica a consumer reads from.";
    "replica.socket.receive.buffer.bytes", Int(I32_MIN, I32_MAX) => Some("65536"),
        "The receive buffer of connections between brokers.";
    "replica.socket.timeout.ms", Int(I32_MIN, I32_MAX) => Some("30000"),
        "How long a request between brokers may take.";
    "replication.quota.window.num", Int(1, I32_MAX) => Some("11"),
        "Samples kept for the quota on replication.";
    "replication.quota.window.size.seconds", Int(1, I32_MAX) => Some("1"),
        "The length of such a sample.";
    "request.timeout.ms", Int(I32_MIN, I32_MAX) => Some("30000"),
        "How long a request of the broker itself may take.";
    "socket.connection.setup.timeout.max.ms", Long(i64::MIN, i64::MAX) => Some("30000"),
        "The longest time that a connection of the broker itself may take.";
    "socket.connection.setup.timeout.ms", Long(i64::MIN, i64::MAX) => Some("10000"),
        "The time that its first try may take.";
    "socket.receive.buffer.bytes", Int(I32_MIN, I32_MAX) => Some("102400"),
        "The receive buffer of sockets. The kernel decides.";
    "socket.send.buffer.bytes", Int(I32_MIN, I32_MAX) => Some("102400"),
        "The send buffer of sockets. The kernel decides.";
    "unclean.leader.election.enable", Kind::Boolean => Some("false"),
        "Default of the topics' key of that name.";
};
