//! The tables and the rules together.

use super::*;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use corelog_wire::record_batch::TimestampType;

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Sets everything; the first error of a key or of the whole.
fn configured(pairs: &[(&str, &str)]) -> Result<BrokerConfig, String> {
    let mut config = BrokerConfig::default();
    for (key, value) in pairs {
        config.set(key, value).map_err(|error| error.to_string())?;
    }
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    configured(pairs).err().unwrap_or_else(|| panic!("{pairs:?} was accepted"))
}

#[test]
fn every_name_stands_once_and_every_default_passes_its_own_check() {
    let broker: BTreeSet<&str> = BROKER_KEYS.iter().chain(inert::keys()).map(|row| row.name).collect();
    assert_eq!(broker.len(), BROKER_KEYS.len() + inert::keys().count());
    let topic: BTreeSet<&str> = TOPIC_KEYS.iter().map(|row| row.name).collect();
    assert_eq!(topic.len(), TOPIC_KEYS.len());
    for row in BROKER_KEYS.iter().chain(inert::keys()) {
        assert!(row.default.is_none_or(|text| row.parse(text).is_ok()), "{}", row.name);
        assert!(row.doc.ends_with('.') && row.doc.len() > 10, "{}", row.name);
    }
    for row in TOPIC_KEYS {
        assert!(row.parse(row.default.unwrap_or("")).is_ok(), "{}", row.name);
        assert!(row.doc.ends_with('.') && row.doc.len() > 10, "{}", row.name);
    }
}

#[test]
fn segments_are_read_directly_unless_asked_otherwise() {
    let reads = |value: &str| configured(&[("corelog.segment.reads", value)]).unwrap().segment_reads;
    assert_eq!(configured(&[]).unwrap().segment_reads, SegmentReads::Direct);
    assert_eq!((reads("direct"), reads(" splice ")), (SegmentReads::Direct, SegmentReads::Splice));
    let refused = refusal(&[("corelog.segment.reads", "mmap")]);
    assert_eq!(refused, "corelog.segment.reads: \"mmap\" is not one of direct, splice");
}

#[test]
fn a_broker_key_that_gives_a_topics_default_has_that_very_default() {
    let mut found = BTreeSet::new();
    for topic in TOPIC_KEYS {
        for synonym in topic.synonyms {
            let Some(row) = BROKER_KEYS.iter().find(|row| row.name == synonym.name) else { continue };
            found.insert(row.name);
            if let Some(default) = row.default {
                let value = row.parse(default).unwrap();
                let value = match value {
                    Value::Number(number) => Value::Number(number * synonym.factor),
                    other => other,
                };
                assert_eq!(value, topic.parse(topic.default.unwrap()).unwrap(), "{}", row.name);
            }
        }
    }
    for row in BROKER_KEYS.iter().filter(|row| matches!(row.effect, Effect::TopicDefault)) {
        assert!(found.contains(row.name), "{} gives no topic key its default", row.name);
    }
}

#[test]
fn the_defaults_are_kafkas() {
    let config = configured(&[]).unwrap();
    assert_eq!(config.node_id, 1);
    assert_eq!(config.listen.to_string(), "127.0.0.1:9092");
    assert_eq!(config.advertised, None);
    assert_eq!(config.data_dir, "./corelog-data");
    assert_eq!((config.num_partitions, config.default_replication_factor), (1, 1));
    assert!(config.auto_create_topics && config.delete_topics);
    assert_eq!(config.request_bytes_max, 64 << 20);
    assert_eq!(config.connections_idle_ms_max, Some(600_000));
    assert_eq!(config.fetch_bytes_max, 57_671_680);
    assert_eq!(config.fetch_sessions_max, 1000);
    assert_eq!(config.retention_check_interval_ms, 300_000);
    assert_eq!(config.producer_id_expiration_ms, 86_400_000);
    assert_eq!(config.journal.file_bytes, 64 << 20);
    assert_eq!(config.journal.files_max, 4);
    let topic = &config.topic_defaults;
    assert_eq!(topic.cleanup_policy, CleanupPolicy { delete: true, compact: false });
    assert_eq!(topic.retention_ms, 604_800_000);
    assert_eq!(topic.retention_bytes, -1);
    assert_eq!((topic.segment_bytes, topic.segment_ms), (1 << 30, 604_800_000));
    assert_eq!((topic.segment_index_bytes, topic.index_interval_bytes), (10_485_760, 4096));
    assert_eq!(topic.max_message_bytes, 1_048_588);
    assert_eq!(topic.timestamp_type(), TimestampType::CreateTime);
    assert_eq!(*topic, TopicConfig::default());
    assert_eq!((topic.timestamp_before_max_ms, topic.timestamp_after_max_ms), (i64::MAX, 3_600_000));
    assert_eq!(topic.min_insync_replicas, 1);
    assert_eq!(topic.file_delete_delay_ms, 60_000);
    assert_eq!(topic.durability, Durability::Fsync);
}

#[test]
fn the_strongest_retention_key_wins_in_any_order() {
    let keys = [("log.retention.hours", "1"), ("log.retention.minutes", "2"), ("log.retention.ms", "3")];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let pairs: Vec<_> = order.iter().map(|index| keys[*index]).collect();
        assert_eq!(configured(&pairs).unwrap().topic_defaults.retention_ms, 3, "{order:?}");
    }
    let minutes = configured(&[("log.retention.minutes", "2"), ("log.retention.hours", "1")]).unwrap();
    assert_eq!(minutes.topic_defaults.retention_ms, 120_000);
    let never = configured(&[("log.retention.hours", "-1")]).unwrap();
    assert_eq!(never.topic_defaults.retention_ms, -1);
}

#[test]
fn topics_start_from_the_brokers_defaults() {
    let broker = configured(&[("log.retention.bytes", "1000"), ("corelog.durability", "write")]).unwrap();
    let topic = broker
        .topic_defaults
        .with_overrides(&overrides(&[("retention.ms", "-1"), ("cleanup.policy", "compact,delete")]))
        .unwrap();
    assert_eq!(topic.retention_bytes, 1000);
    assert_eq!(topic.durability, Durability::Write);
    assert_eq!(topic.retention_ms, -1);
    assert_eq!(topic.cleanup_policy, CleanupPolicy { delete: true, compact: true });
}

#[test]
fn a_topics_faults_are_named() {
    let defaults = configured(&[]).unwrap().topic_defaults;
    let refused =
        |key: &str, value: &str| defaults.with_overrides(&overrides(&[(key, value)])).unwrap_err().to_string();
    assert_eq!(refused("retension.ms", "1"), "retension.ms: is not a topic setting; did you mean retention.ms?");
    assert_eq!(refused("num.partitions", "1"), "num.partitions: is a broker's setting, not a topic's");
    assert_eq!(refused("segment.bytes", "14"), "segment.bytes: 14 is below the smallest value allowed, 1048576");
    assert_eq!(refused("retention.ms", "soon"), "retention.ms: \"soon\" is not a whole number");
    assert_eq!(
        refused("corelog.durability", "none"),
        "corelog.durability: \"none\" is not one of fsync, write, memory"
    );
    assert!(refused("max.message.bytes", "16777217").contains("above 16777216, a quarter of a journal file"));
    assert!(refused("remote.storage.enable", "true").contains("no remote storage"));
    assert!(defaults.with_overrides(&overrides(&[("max.message.bytes", "16777216")])).is_ok());
}

#[test]
fn stored_settings_that_no_longer_fit_are_left_out_and_reported() {
    let large = configured(&[]).unwrap().topic_defaults;
    let stored = overrides(&[("max.message.bytes", "10000000"), ("retention.ms", "5"), ("no.such.key", "1")]);
    let small = configured(&[("corelog.memory.bytes", "67108864")]).unwrap().topic_defaults;
    let (config, ignored) = small.with_stored(&stored);
    assert_eq!((config.max_message_bytes, config.retention_ms), (small.max_message_bytes, 5));
    let keys: Vec<_> = ignored.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["max.message.bytes", "no.such.key"]);
    let (config, ignored) = large.with_stored(&overrides(&[("max.message.bytes", "10000000")]));
    assert_eq!((config.max_message_bytes, ignored.len()), (10_000_000, 0));
}

#[test]
fn small_segments_need_the_key_for_tests_in_any_order() {
    let why = "log.segment.bytes: 65536 is below the smallest value allowed, 1048576";
    assert_eq!(refusal(&[("log.segment.bytes", "65536")]), why);
    let pairs = [("log.segment.bytes", "65536"), ("corelog.segment.bytes.min", "4096")];
    assert_eq!(configured(&pairs).unwrap().topic_defaults.segment_bytes, 65_536);
    let topic = configured(&pairs).unwrap().topic_defaults.with_overrides(&overrides(&[("segment.bytes", "4096")]));
    assert_eq!(topic.unwrap().segment_bytes, 4096);
}

#[test]
fn a_message_has_to_fit_the_journal_and_the_memory() {
    let small = [("corelog.journal.file.bytes", "1048576"), ("message.max.bytes", "262145")];
    assert!(refusal(&small).starts_with("message.max.bytes: 262145 is above 262144, a quarter of a journal file"));
    assert!(configured(&[small[0], ("message.max.bytes", "262144")]).is_ok());
    let poor = [("corelog.memory.bytes", "67108864"), ("message.max.bytes", "5000000")];
    assert!(refusal(&poor).contains("above 2097152, a thirty-second of the broker's memory"));
    let rich = configured(&[("corelog.memory.bytes", "4294967296")]).unwrap();
    assert_eq!(rich.request_bytes_max, 104_857_600);
    assert_eq!(configured(&poor[..1]).unwrap().request_bytes_max, 4 << 20);
}

#[test]
fn the_ring_follows_the_memory_unless_it_is_set() {
    let files = |pairs: &[(&str, &str)]| configured(pairs).unwrap().journal.files_max;
    assert_eq!(files(&[("corelog.memory.bytes", "8589934592")]), 16);
    assert_eq!(files(&[("corelog.memory.bytes", "67108864")]), 3);
    assert_eq!(files(&[("corelog.journal.file.bytes", "16384"), ("message.max.bytes", "4096")]), 9999);
    assert_eq!(files(&[("corelog.journal.files.max", "5"), ("corelog.memory.bytes", "8589934592")]), 5);
    assert!(refusal(&[("corelog.memory.bytes", "67108863")]).contains("not between 67108864 and"));
    let uneven = [("corelog.journal.file.bytes", "5000001")];
    assert_eq!(refusal(&uneven), "corelog.journal.file.bytes: 5000001 is not a multiple of 4096");
}

#[test]
fn a_data_directory_keeps_its_journal_files() {
    let mut config = configured(&[("message.max.bytes", "200000")]).unwrap();
    config.adopt_journal_files(1 << 20, 1 << 19).unwrap();
    assert_eq!((config.journal.file_bytes, config.journal.metadata_file_bytes), (1 << 20, 1 << 19));
    assert_eq!(config.journal.files_max, 256);
    assert_eq!(config.topic_defaults.bounds.journal_message_bytes_max, 1 << 18);
    let error = configured(&[]).unwrap().adopt_journal_files(1 << 20, 1 << 19).unwrap_err();
    assert_eq!(error.key, "message.max.bytes");
}

#[test]
fn kafkas_other_keys_are_accepted_and_listed() {
    let config = configured(&[
        ("process.roles", "broker,controller"),
        ("num.network.threads", "3"),
        ("listener.name.internal.ssl.keystore.location", "/x"),
        ("zookeeper.connect", "localhost:2181"),
        ("num.partitions", "4"),
    ])
    .unwrap();
    let unused: Vec<_> = config.unused().collect();
    let expected =
        ["listener.name.internal.ssl.keystore.location", "num.network.threads", "process.roles", "zookeeper.connect"];
    assert_eq!(unused, expected);
    assert_eq!(config.explicit("num.partitions").as_deref(), Some("4"));
    assert_eq!(config.explicit("node.id"), None);
}

#[test]
fn what_changes_nothing_here_is_checked_nevertheless() {
    let defaults = TopicConfig::default();
    let set = |key: &str, value: &str| defaults.with_overrides(&overrides(&[(key, value)])).map(|_| ());
    for level in ["-1", "1", "9"] {
        assert!(set("compression.gzip.level", level).is_ok());
    }
    assert!(set("compression.gzip.level", "0").unwrap_err().to_string().contains("0 is not a level"));
    for key in ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"] {
        for good in ["", "*", "0:1", "0:1, 12:3"] {
            assert!(set(key, good).is_ok(), "{good}");
        }
        for bad in ["x", "0", "0:", ":1", "0:1,x", "-1:1", "0:1:2"] {
            assert!(set(key, bad).unwrap_err().to_string().contains("neither PARTITION:BROKER nor *"), "{bad}");
        }
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    assert_eq!(
        refusal(&[("num.partition", "1")]),
        "num.partition: is not a known setting; did you mean num.partitions?"
    );
    assert_eq!(
        refusal(&[("num.network.thread", "1")]),
        "num.network.thread: is not a known setting; did you mean num.network.threads?"
    );
    assert_eq!(
        refusal(&[("retention.ms", "1")]),
        "retention.ms: is a topic's setting; its default for a broker is log.retention.ms"
    );
    assert_eq!(refusal(&[("colour", "red")]), "colour: is not a known setting of Kafka 4.4 or Corelog");
}

#[test]
fn the_node_id_wins_over_the_broker_id() {
    assert_eq!(configured(&[("broker.id", "7")]).unwrap().node_id, 7);
    assert_eq!(configured(&[("broker.id", "7"), ("node.id", "3")]).unwrap().node_id, 3);
    assert_eq!(configured(&[("node.id", "3"), ("broker.id", "7")]).unwrap().node_id, 3);
    assert!(refusal(&[("node.id", "-1")]).contains("not between 0 and 2147483647"));
}

#[test]
fn listeners_of_a_combined_kafka_node_work_as_they_are() {
    let config = configured(&[
        ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
        ("advertised.listeners", "PLAINTEXT://broker.example:9092,CONTROLLER://broker.example:9093"),
        ("controller.listener.names", "CONTROLLER"),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL"),
    ])
    .unwrap();
    assert_eq!(config.listen, Endpoint { host: String::new(), port: 9092 });
    assert!(config.listen.is_wildcard());
    assert_eq!(config.advertised.unwrap().to_string(), "broker.example:9092");
}

#[test]
fn listeners_that_cannot_be_had_are_refused() {
    let two = refusal(&[("listeners", "PLAINTEXT://:9092,OTHER://:9093")]);
    assert_eq!(two, "listeners: OTHER is a second listener for clients, only one is possible yet");
    assert!(refusal(&[("listeners", "SSL://:9092")]).contains("asks for SSL, only PLAINTEXT is built yet"));
    let mapped = [("listeners", "SECRET://:9092"), ("listener.security.protocol.map", "SECRET:SASL_SSL")];
    assert!(refusal(&mapped).contains("asks for SASL_SSL"));
    let controller = [("listeners", "CONTROLLER://:9093"), ("controller.listener.names", "CONTROLLER")];
    assert!(refusal(&controller).contains("names no listener for clients"));
    assert!(refusal(&[("listeners", "localhost:9092")]).contains("is not NAME://HOST:PORT"));
    assert!(refusal(&[("advertised.listeners", "PLAINTEXT://0.0.0.0:9092")]).contains("clients cannot connect"));
    assert!(refusal(&[("authorizer.class.name", "org.example.Authorizer")]).contains("no authorization yet"));
    assert!(refusal(&[("log.dirs", "/a,/b")]).contains("several directories"));
}

#[test]
fn endpoints_are_read_and_shown() {
    for text in ["127.0.0.1:9092", "[::1]:0", "broker.example:65535", ":9092"] {
        assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
    }
    for text in ["", "9092", "host", "host:", "host:65536", "::1:9092", "[::1:9092", "http://host:1"] {
        assert!(Endpoint::parse(text).unwrap_err().contains("is not HOST:PORT"), "{text}");
    }
}

#[test]
fn memory_is_divided_among_shards_but_for_frames() {
    let whole =
        configured(&[("corelog.memory.bytes", "1073741824"), ("corelog.journal.file.bytes", "4194304")]).unwrap();
    let part = whole.clone().for_shard(4);
    assert_eq!(part.memory.tail * 4, whole.memory.tail);
    assert_eq!(part.memory.reads * 4, whole.memory.reads);
    assert_eq!(part.memory.dirty * 4, whole.memory.dirty);
    assert_eq!(part.journal.files_max * 4, whole.journal.files_max);
    assert_eq!((part.memory.frames, part.request_bytes_max), (whole.memory.frames, whole.request_bytes_max));
    let few = configured(&[("corelog.journal.files.max", "7")]).unwrap().for_shard(4);
    assert_eq!(few.journal.files_max, 7, "what was set is meant for each shard");
    let small = configured(&[("corelog.memory.bytes", "67108864")]).unwrap().for_shard(2);
    assert_eq!(small.journal.files_max, 3, "a ring has to turn");
}

#[test]
fn every_shard_needs_memory() {
    let config = configured(&[("corelog.memory.bytes", "201326592")]).unwrap();
    assert_eq!(config.check_shards(3), Ok(()));
    assert_eq!([0, 1, 3, 4, 1 << 20].map(|cores| config.shards_for(cores)), [1, 1, 3, 3, 3]);
    let refused = config.check_shards(4).unwrap_err().to_string();
    assert!(refused.contains("192 MiB are not enough for 4 shards") && refused.contains("256 MiB"), "{refused}");
    assert!(refused.contains("--memory") && refused.contains("--cores"), "{refused}");
}
