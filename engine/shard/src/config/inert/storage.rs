//! Keys of remote storage and the log.
//! See [`super`].

use super::*;

pub(super) const KEYS: &[ConfigKey<BrokerConfig>] = inert! {
    "log.cleaner.threads", Int(0, I32_MAX) => Some("1"),
        "Threads of the cleaner. Here every core cleans its own partitions, one at a time.";
    "log.dir.failure.timeout.ms", Long(1, i64::MAX) => Some("30000"),
        "How long a broker tries to report a failed directory before it stops.";
    "log.flush.offset.checkpoint.interval.ms", Int(0, I32_MAX) => Some("60000"),
        "How often Kafka notes up to where logs are flushed.";
    "log.flush.scheduler.interval.ms", Long(i64::MIN, i64::MAX) => Some("9223372036854775807"),
        "How often Kafka looks whether a log is to be flushed; gives `log.flush.interval.ms` its default.";
    "log.flush.start.offset.checkpoint.interval.ms", Int(0, I32_MAX) => Some("60000"),
        "How often Kafka notes where logs begin.";
    "log.local.retention.bytes", Long(-2, i64::MAX) => Some("-2"),
        "Default of `local.retention.bytes`.";
    "log.local.retention.ms", Long(-2, i64::MAX) => Some("-2"),
        "Default of `local.retention.ms`.";
    "log.preallocate", Kind::Boolean => Some("false"),
        "Default of `preallocate`.";
    "log.remote.copy.lag.bytes", Long(-1, i64::MAX) => Some("-1"),
        "Default of `remote.copy.lag.bytes`.";
    "log.remote.copy.lag.ms", Long(-1, i64::MAX) => Some("0"),
        "Default of `remote.copy.lag.ms`.";
    "remote.fetch.max.wait.ms", Int(1, I32_MAX) => Some("500"),
        "How long a fetch waits for remote storage.";
    "remote.list.offsets.request.timeout.ms", Long(1, i64::MAX) => Some("30000"),
        "How long a lookup of an offset waits for remote storage.";
    "remote.log.index.file.cache.total.size.bytes", Long(1, i64::MAX) => Some("1073741824"),
        "Bytes of indexes of remote segments that are kept here.";
    "remote.log.manager.copier.thread.pool.size", Int(1, I32_MAX) => Some("10"),
        "Threads that copy segments to remote storage.";
    "remote.log.manager.copy.max.bytes.per.second", Long(1, i64::MAX) => Some("9223372036854775807"),
        "Bytes a second that go to remote storage.";
    "remote.log.manager.copy.quota.window.num", Int(1, I32_MAX) => Some("11"),
        "Samples kept for that quota.";
    "remote.log.manager.copy.quota.window.size.seconds", Int(1, I32_MAX) => Some("1"),
        "The length of such a sample.";
    "remote.log.manager.expiration.thread.pool.size", Int(1, I32_MAX) => Some("10"),
        "Threads that remove segments from remote storage.";
    "remote.log.manager.fetch.max.bytes.per.second", Long(1, i64::MAX) => Some("9223372036854775807"),
        "Bytes a second that come from remote storage.";
    "remote.log.manager.fetch.quota.window.num", Int(1, I32_MAX) => Some("11"),
        "Samples kept for that quota.";
    "remote.log.manager.fetch.quota.window.size.seconds", Int(1, I32_MAX) => Some("1"),
        "The length of such a sample.";
    "remote.log.manager.follower.thread.pool.size", Int(1, I32_MAX) => Some("2"),
        "Threads that serve followers of partitions in remote storage.";
    "remote.log.manager.task.interval.ms", Long(1, i64::MAX) => Some("30000"),
        "How often remote storage is attended to.";
    "remote.log.manager.thread.pool.size", Int(1, I32_MAX) => Some("2"),
        "Threads of the manager of remote storage.";
    "remote.log.metadata.custom.metadata.max.bytes", Int(0, I32_MAX) => Some("128"),
        "The most bytes of metadata that a remote storage may add to a segment.";
    "remote.log.metadata.manager.class.name", Text => Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"),
        "The class that keeps the metadata of remote segments.";
    "remote.log.metadata.manager.class.path", Text => None,
        "Where that class is.";
    "remote.log.metadata.manager.impl.prefix", Text => Some("rlmm.config."),
        "How settings for that class begin.";
    "remote.log.metadata.manager.listener.name", Text => None,
        "The listener that it connects to.";
    "remote.log.reader.max.pending.tasks", Int(1, I32_MAX) => Some("100"),
        "Reads from remote storage that may wait.";
    "remote.log.reader.threads", Int(1, I32_MAX) => Some("10"),
        "Threads that read from remote storage.";
    "remote.log.storage.manager.class.name", Text => None,
        "The class that is the remote storage.";
    "remote.log.storage.manager.class.path", Text => None,
        "Where that class is.";
    "remote.log.storage.manager.impl.prefix", Text => Some("rsm.config."),
        "How settings for that class begin.";
    "remote.log.storage.system.enable", Kind::Boolean => Some("false"),
        "Whether there is remote storage. Corelog has none.";
};
