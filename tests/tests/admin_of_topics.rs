//! Creating topics and partitions over the wire, one request per case: the same codes as Apache Kafka 4.4, for every entry.
//!
//! `CORELOG_BOOTSTRAP` runs the cases against Kafka itself, one node with id 1 (`tests/clients/kafka.sh`), and with
//! `CORELOG_PRINT` every answer is printed as a whole.

use std::process;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use corelog_tests::broker::Options;
use corelog_tests::client::{Client, WAIT_MAX, decode};
use corelog_wire::api::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use corelog_wire::api::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use corelog_wire::api::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use corelog_wire::api::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

const NODE: i32 = 1;

/// Names that no run before has used.
fn name(name: &str) -> String {
    format!("{name}-{}", process::id())
}

fn print(what: &dyn std::fmt::Debug) {
    if std::env::var_os("CORELOG_PRINT").is_some() {
        println!("{what:?}");
    }
}

/// A topic to create: its name, partitions, replicas, assignments, configs.
type Wanted<'a> = (&'a str, i32, i16, &'a [(i32, &'a [i32])], &'a [(&'a str, Option<&'a str>)]);

/// Partitions to add: the topic, how many it is to have, assignments.
type More<'a> = (&'a str, i32, Option<&'a [&'a [i32]]>);

/// Error, partitions, replicas of each result, in the order of the request's names.
fn create(client: &mut Client, version: i16, wanted: &[Wanted<'_>], validate_only: bool) -> Vec<(ErrorCode, i32, i16)> {
    let assignments: Vec<Vec<_>> = wanted
        .iter()
        .map(|(_, _, _, assignments, _)| {
            assignments
                .iter()
                .map(|(partition_index, ids)| CreatableReplicaAssignment {
                    partition_index: *partition_index,
                    broker_ids: (*ids).into(),
                })
                .collect()
        })
        .collect();
    let configs: Vec<Vec<_>> = wanted
        .iter()
        .map(|(.., configs)| configs.iter().map(|(name, value)| CreatableTopicConfig { name, value: *value }).collect())
        .collect();
    let topics: Vec<_> = wanted
        .iter()
        .zip(assignments.iter().zip(&configs))
        .map(|((name, num_partitions, replication_factor, ..), (assignments, configs))| CreatableTopic {
            name,
            num_partitions: *num_partitions,
            replication_factor: *replication_factor,
            assignments: assignments.into(),
            configs: configs.into(),
        })
        .collect();
    let request = CreateTopicsRequest { topics: (&topics).into(), timeout_ms: 30_000, validate_only };
    client.send(version, &request).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, answer) = decode::<CreateTopicsRequest<'_>>(&frame, version).expect("a whole answer");
    let mut rows = Vec::new();
    for (name, ..) in wanted {
        let mut found = answer.topics.iter().filter(|topic| topic.name == *name);
        let topic = found.next().expect("a result for every name");
        assert!(found.next().is_none(), "one result for {name}");
        print(&(
            name,
            topic.error_code,
            topic.error_message,
            topic.topic_id,
            topic.num_partitions,
            topic.replication_factor,
        ));
        if let Some(configs) = topic.configs.filter(|configs| !configs.is_empty()) {
            print(
                &configs
                    .iter()
                    .map(|it| (it.name, it.value, it.read_only, it.config_source, it.is_sensitive))
                    .collect::<Vec<_>>(),
            );
        }
        rows.push((topic.error_code, topic.num_partitions, topic.replication_factor));
    }
    rows
}

#[test]
fn topics_are_created_as_kafka_does() {
    let broker = Options::new().start();
    let mut client = Client::connect(broker.address()).expect("a connection");
    let (old, new) = (name("old"), name("new"));
    let refused = |error| (error, -1, -1);
    assert_eq!(create(&mut client, 7, &[(&old, 2, 1, &[], &[])], false), [(ErrorCode::NONE, 2, 1)]);

    let long = "n".repeat(250);
    let invalid_name = ErrorCode::INVALID_TOPIC_EXCEPTION;
    let assignment = ErrorCode::INVALID_REPLICA_ASSIGNMENT;
    let cases: &[(Wanted<'_>, ErrorCode)] = &[
        ((&old, 2, 1, &[], &[]), ErrorCode::TOPIC_ALREADY_EXISTS),
        ((&old, 0, 7, &[(5, &[9])], &[("no", None)]), ErrorCode::TOPIC_ALREADY_EXISTS),
        (("", 1, 1, &[], &[]), invalid_name),
        ((".", 1, 1, &[], &[]), invalid_name),
        (("..", 1, 1, &[], &[]), invalid_name),
        (("a b", 1, 1, &[], &[]), invalid_name),
        (("a/b", 0, 1, &[], &[("no", Some("no"))]), invalid_name),
        ((&long, 1, 1, &[], &[]), invalid_name),
        (("__cluster_metadata", 1, 1, &[], &[]), ErrorCode::INVALID_REQUEST),
        ((&new, 0, 1, &[], &[]), ErrorCode::INVALID_PARTITIONS),
        ((&new, -2, 1, &[], &[]), ErrorCode::INVALID_PARTITIONS),
        ((&new, i32::MIN, -1, &[], &[]), ErrorCode::INVALID_PARTITIONS),
        ((&new, 1, 0, &[], &[]), ErrorCode::INVALID_REPLICATION_FACTOR),
        ((&new, 1, -2, &[], &[]), ErrorCode::INVALID_REPLICATION_FACTOR),
        ((&new, 1, 2, &[], &[]), ErrorCode::INVALID_REPLICATION_FACTOR),
        ((&new, 0, 0, &[], &[]), ErrorCode::INVALID_REPLICATION_FACTOR),
        ((&new, 0, 2, &[], &[]), ErrorCode::INVALID_PARTITIONS),
        ((&new, 10_001, 1, &[], &[]), ErrorCode::POLICY_VIOLATION),
        ((&new, i32::MAX, 1, &[], &[]), ErrorCode::POLICY_VIOLATION),
        ((&new, 1, -1, &[(0, &[NODE])], &[]), ErrorCode::INVALID_REQUEST),
        ((&new, -1, 1, &[(0, &[NODE])], &[]), ErrorCode::INVALID_REQUEST),
        ((&new, -1, -1, &[(1, &[NODE])], &[]), assignment),
        ((&new, -1, -1, &[(-1, &[NODE])], &[]), assignment),
        ((&new, -1, -1, &[(0, &[NODE]), (2, &[NODE])], &[]), assignment),
        ((&new, -1, -1, &[(0, &[NODE]), (0, &[NODE])], &[]), assignment),
        ((&new, -1, -1, &[(0, &[])], &[]), assignment),
        ((&new, -1, -1, &[(0, &[NODE, NODE])], &[]), assignment),
        ((&new, -1, -1, &[(0, &[NODE + 1])], &[]), assignment),
        ((&new, -1, -1, &[(0, &[-1])], &[]), assignment),
        ((&new, -1, -1, &[(0, &[NODE]), (1, &[NODE, NODE + 1])], &[]), assignment),
        ((&new, 1, 1, &[], &[("no", Some("1"))]), ErrorCode::INVALID_CONFIG),
        ((&new, 1, 1, &[], &[("retention.ms", Some("x"))]), ErrorCode::INVALID_CONFIG),
        ((&new, 1, 1, &[], &[("retention.ms", Some("-2"))]), ErrorCode::INVALID_CONFIG),
        ((&new, 1, 1, &[], &[("retention.ms", None)]), ErrorCode::INVALID_CONFIG),
        ((&new, 1, 1, &[], &[("cleanup.policy", Some("no"))]), ErrorCode::INVALID_CONFIG),
        ((&new, 0, 0, &[], &[("retention.ms", Some("x"))]), ErrorCode::INVALID_CONFIG),
        ((&new, 7, 7, &[(3, &[])], &[("retention.ms", Some("x"))]), ErrorCode::INVALID_CONFIG),
    ];
    for (wanted, expected) in cases {
        for validate_only in [true, false] {
            assert_eq!(create(&mut client, 7, &[*wanted], validate_only), [refused(*expected)], "{wanted:?}");
        }
    }
    // Two values for one key: the later one is meant.
    let twice = [("retention.ms", Some("1")), ("retention.ms", Some("2"))];
    assert_eq!(create(&mut client, 7, &[(&new, 1, 1, &[], &twice)], true), [(ErrorCode::NONE, 1, 1)]);
    // To validate creates nothing.
    for version in 2..=7 {
        let known = if version >= 5 { (ErrorCode::NONE, 3, 1) } else { (ErrorCode::NONE, -1, -1) };
        assert_eq!(create(&mut client, version, &[(&new, 3, 1, &[], &[])], true), [known], "version {version}");
    }
    assert_eq!(
        create(&mut client, 7, &[(&new, 1, 1, &[], &[("segment.ms", Some("60000"))])], false),
        [(ErrorCode::NONE, 1, 1)]
    );
}

#[test]
fn entries_of_one_request_fail_or_succeed_alone() {
    let broker = Options::new().start();
    let mut client = Client::connect(broker.address()).expect("a connection");
    let [good, twice, bad, placed] = ["good", "twice", "bad", "placed"].map(name);
    assert_eq!(create(&mut client, 7, &[(&twice, 1, 1, &[], &[])], false), [(ErrorCode::NONE, 1, 1)]);
    let again: Wanted<'_> = (&twice, 1, 1, &[], &[]);
    let wanted: &[Wanted<'_>] = &[
        (&good, -1, -1, &[], &[]),
        (&bad, 1, 3, &[], &[]),
        (&placed, -1, -1, &[(1, &[NODE]), (0, &[NODE])], &[]),
        again,
    ];
    let expected = [
        (ErrorCode::NONE, 1, 1),
        (ErrorCode::INVALID_REPLICATION_FACTOR, -1, -1),
        (ErrorCode::NONE, 2, 1),
        (ErrorCode::TOPIC_ALREADY_EXISTS, -1, -1),
    ];
    assert_eq!(create(&mut client, 7, wanted, true), expected);
    assert_eq!(create(&mut client, 7, wanted, false), expected);

    let nothing: &[More<'_>] = &[];
    assert_eq!(add(&mut client, 3, nothing, false), []);
    let wanted: &[More<'_>] =
        &[(&good, 3, None), (&bad, 3, None), (&placed, 2, None), (&twice, 3, Some(&[&[NODE], &[NODE]]))];
    let expected =
        [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::INVALID_PARTITIONS, ErrorCode::NONE];
    assert_eq!(add(&mut client, 3, wanted, true), expected);
    assert_eq!(add(&mut client, 3, wanted, false), expected);
    assert_eq!(
        add(&mut client, 3, &[(&good, 4, None), (&twice, 3, None)], false),
        [ErrorCode::NONE, ErrorCode::INVALID_PARTITIONS]
    );
}

/// The error of each topic, in the order of the request's names: topic, count, assignments.
fn add(client: &mut Client, version: i16, wanted: &[More<'_>], validate_only: bool) -> Vec<ErrorCode> {
    let assignments: Vec<Option<Vec<_>>> = wanted
        .iter()
        .map(|(.., all)| {
            all.map(|all| all.iter().map(|ids| CreatePartitionsAssignment { broker_ids: (*ids).into() }).collect())
        })
        .collect();
    let topics: Vec<_> = wanted
        .iter()
        .zip(&assignments)
        .map(|((name, count, _), assignments)| CreatePartitionsTopic {
            name,
            count: *count,
            assignments: assignments.as_ref().map(Into::into),
        })
        .collect();
    let request = CreatePartitionsRequest { topics: (&topics).into(), timeout_ms: 30_000, validate_only };
    client.send(version, &request).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, answer) = decode::<CreatePartitionsRequest<'_>>(&frame, version).expect("a whole answer");
    let error_of = |name: &str| {
        let mut found = answer.results.iter().filter(|topic| topic.name == name);
        let topic = found.next().expect("a result for every name");
        assert!(found.next().is_none(), "one result for {name}");
        print(&(name, topic.error_code, topic.error_message));
        assert!(topic.error_message.is_none() || !topic.error_code.is_none());
        topic.error_code
    };
    wanted.iter().map(|(name, ..)| error_of(name)).collect()
}

#[test]
fn partitions_are_added_as_kafka_does() {
    let broker = Options::new().start();
    let mut client = Client::connect(broker.address()).expect("a connection");
    let (topic, unknown) = (name("parts"), name("unknown"));
    assert_eq!(create(&mut client, 7, &[(&topic, 2, 1, &[], &[])], false), [(ErrorCode::NONE, 2, 1)]);
    let assignment = ErrorCode::INVALID_REPLICA_ASSIGNMENT;
    let cases: &[(More<'_>, ErrorCode)] = &[
        ((&unknown, 3, None), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ((&unknown, -3, Some(&[])), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (("a b", 3, None), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (("", 3, None), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ((&topic, 2, None), ErrorCode::INVALID_PARTITIONS),
        ((&topic, 1, None), ErrorCode::INVALID_PARTITIONS),
        ((&topic, 0, None), ErrorCode::INVALID_PARTITIONS),
        ((&topic, -1, None), ErrorCode::INVALID_PARTITIONS),
        ((&topic, i32::MIN, None), ErrorCode::INVALID_PARTITIONS),
        ((&topic, 2, Some(&[])), ErrorCode::INVALID_PARTITIONS),
        ((&topic, 3, Some(&[])), assignment),
        ((&topic, 3, Some(&[&[NODE], &[NODE]])), assignment),
        ((&topic, 4, Some(&[&[NODE]])), assignment),
        ((&topic, 3, Some(&[&[]])), assignment),
        ((&topic, 3, Some(&[&[NODE, NODE]])), assignment),
        ((&topic, 3, Some(&[&[NODE + 1]])), assignment),
        ((&topic, 3, Some(&[&[-1]])), assignment),
        ((&topic, 4, Some(&[&[NODE], &[NODE, NODE + 1]])), assignment),
    ];
    for ((topic, count, assignments), expected) in cases {
        for validate_only in [true, false] {
            let errors = add(&mut client, 3, &[(topic, *count, *assignments)], validate_only);
            assert_eq!(errors, [*expected], "{topic} {count} {assignments:?}");
        }
    }
    for version in 0..=3 {
        let count = 3 + i32::from(version);
        for validate_only in [true, false] {
            assert_eq!(add(&mut client, version, &[(&topic, count, None)], validate_only), [ErrorCode::NONE]);
        }
        assert_eq!(add(&mut client, version, &[(&topic, count, None)], false), [ErrorCode::INVALID_PARTITIONS]);
    }
}

#[test]
fn added_partitions_outlive_a_kill() {
    let mut broker = Options::new().start();
    if !broker.is_ours() {
        return;
    }
    let mut client = Client::connect(broker.address()).expect("a connection");
    assert_eq!(client.create_topic("t", 1).expect("an answer"), ErrorCode::NONE);
    let mut written = vec![0];
    for round in 1..4 {
        let count = 1 + round * 5;
        assert_eq!(add(&mut client, 3, &[("t", count, None)], false), [ErrorCode::NONE]);
        if round == 2 {
            broker.kill();
            broker.start_again();
            client = Client::connect(broker.address()).expect("a connection");
        }
        written.resize(count as usize, 0);
        for (partition, next) in (0..).zip(&mut written) {
            let produced = client.produce("t", partition, Some(&batch())).expect("an answer");
            assert_eq!((produced.error, produced.base_offset), (ErrorCode::NONE, *next));
            *next += 1;
        }
        let beyond = client.produce("t", count, Some(&batch())).expect("an answer");
        assert_eq!(beyond.error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        broker.kill();
        broker.start_again();
        client = Client::connect(broker.address()).expect("a connection");
        for (partition, next) in (0..).zip(&written) {
            let fetched = client.fetch("t", partition, 0, 1 << 20).expect("an answer");
            assert_eq!((fetched.error, fetched.high_watermark), (ErrorCode::NONE, *next), "partition {partition}");
        }
    }
}

/// A record of now, so that retention has nothing to do.
fn batch() -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let timestamp = i64::try_from(now.as_millis()).expect("before the year 292 million");
    let mut batch = BatchBuilder::new();
    batch.append(&NewRecord { timestamp, value: Some(b"value"), ..Default::default() });
    batch.build()
}

#[test]
fn topics_stay_where_their_deletion_is_disabled() {
    let broker = Options::new().set("delete.topic.enable", "false").start();
    if !broker.is_ours() {
        return;
    }
    let mut client = Client::connect(broker.address()).expect("a connection");
    assert_eq!(client.create_topic("t", 1).expect("an answer"), ErrorCode::NONE);
    for version in 1..=6 {
        let states = [DeleteTopicState { name: Some("t"), topic_id: TopicId::ZERO }];
        let request = match version {
            6 => DeleteTopicsRequest { topics: (&states).into(), timeout_ms: 30_000, ..Default::default() },
            _ => DeleteTopicsRequest { topic_names: (&["t"]).into(), timeout_ms: 30_000, ..Default::default() },
        };
        client.send(version, &request).expect("sent");
        let frame = client.receive().expect("an answer");
        let (_, answer) = decode::<DeleteTopicsRequest<'_>>(&frame, version).expect("a whole answer");
        let error = answer.responses.first().expect("the topic").error_code;
        let expected = if version < 3 { ErrorCode::INVALID_REQUEST } else { ErrorCode::TOPIC_DELETION_DISABLED };
        assert_eq!(error, expected, "version {version}");
    }
    assert!(client.produce("t", 0, Some(&batch())).expect("an answer").error.is_none());
}

/// Size of each partition of a topic, and the bytes of the volume, all and usable.
fn log_dirs(client: &mut Client, version: i16, topic: &str, partitions: &[i32]) -> (Vec<(i32, i64)>, i64, i64, String) {
    let topics = [DescribableLogDirTopic { topic, partitions: partitions.into() }];
    client.send(version, &DescribeLogDirsRequest { topics: Some((&topics).into()) }).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, answer) = decode::<DescribeLogDirsRequest<'_>>(&frame, version).expect("a whole answer");
    assert_eq!((answer.error_code, answer.results.len()), (ErrorCode::NONE, 1));
    let directory = answer.results.first().expect("one directory");
    print(&(directory.log_dir, directory.error_code, directory.total_bytes, directory.usable_bytes));
    assert_eq!((directory.error_code, directory.is_cordoned), (ErrorCode::NONE, false));
    assert!(directory.topics.len() <= 1);
    let mut sizes = Vec::new();
    for described in directory.topics {
        assert_eq!(described.name, topic);
        for partition in described.partitions {
            assert_eq!((partition.offset_lag, partition.is_future_key), (0, false));
            sizes.push((partition.partition_index, partition.partition_size));
        }
    }
    sizes.sort_unstable();
    (sizes, directory.total_bytes, directory.usable_bytes, directory.log_dir.to_owned())
}

#[test]
fn the_log_directory_is_described_as_kafka_does() {
    let broker = Options::new().start();
    let mut client = Client::connect(broker.address()).expect("a connection");
    let topic = name("sized");
    assert_eq!(create(&mut client, 7, &[(&topic, 2, 1, &[], &[])], false), [(ErrorCode::NONE, 2, 1)]);
    let batch = batch();
    for _ in 0..3 {
        // Kafka answers before the partitions are there.
        let begun = Instant::now();
        loop {
            let error = client.produce(&topic, 1, Some(&batch)).expect("an answer").error;
            if error.is_none() {
                break;
            }
            assert!(!broker.is_ours() && begun.elapsed() < WAIT_MAX, "{error}");
        }
    }
    let size = 3 * batch.len() as i64;
    for version in 1..=5 {
        let (sizes, total, usable, directory) = log_dirs(&mut client, version, &topic, &[0, 1, 2, -1]);
        assert_eq!(sizes, [(0, 0), (1, size)], "version {version}");
        assert!(directory.starts_with('/'), "{directory}");
        if version < 4 {
            assert_eq!((total, usable), (-1, -1));
        } else {
            assert!(0 < usable && usable < total, "{usable} of {total}");
        }
        assert_eq!(log_dirs(&mut client, version, &name("unknown"), &[0]).0, []);
    }
}
