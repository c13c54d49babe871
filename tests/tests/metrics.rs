//! What the real broker shows its operator, against what was really done to it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use corelog_tests::broker::{Broker, Options};
use corelog_tests::client::{Client, WAIT_MAX};
use corelog_wire::api::api_versions::ApiVersionsRequest;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

const TOPIC: &str = "shown";
const PARTITIONS: i32 = 4;

/// A page: status and body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect_timeout(&address, WAIT_MAX).expect("the port answers");
    stream.set_read_timeout(Some(WAIT_MAX)).expect("a socket");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().expect("a status").to_owned(), body.to_owned())
}

/// The samples of `/metrics`, by name and labels.
fn samples(broker: &Broker) -> BTreeMap<String, f64> {
    let (status, page) = get(broker.metrics(), "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    page.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

/// All samples of a family, added.
fn sum(samples: &BTreeMap<String, f64>, family: &str) -> f64 {
    let of_family = |name: &str| name.split('{').next() == Some(family);
    samples.iter().filter(|(name, _)| of_family(name)).map(|(_, value)| value).sum()
}

fn batch(records: usize) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        // Retention would take what is older.
        builder.append(&NewRecord { timestamp: now as i64, value: Some(&[7; 1_000]), ..Default::default() });
    }
    builder.build()
}

#[test]
fn the_numbers_are_those_of_what_was_done() {
    for cores in [1, 2] {
        let mut broker = Options::new().cores(cores).argument("--memory").argument("128M").metrics().start();
        if !broker.is_ours() {
            return;
        }
        let mut client = Client::connect(broker.address()).expect("a connection");
        assert!(client.create_topic(TOPIC, PARTITIONS).expect("an answer").is_none());
        let (mut records, mut bytes) = ([0; PARTITIONS as usize], [0; PARTITIONS as usize]);
        for number in 0..20 {
            let partition = number % 3;
            let batch = batch(number + 1);
            let produced = client.produce(TOPIC, partition as i32, Some(&batch)).expect("an answer");
            assert!(produced.error.is_none());
            records[partition] += number + 1;
            bytes[partition] += batch.len();
        }
        let refused = client.produce(TOPIC, 0, Some(b"no batch")).expect("an answer");
        assert!(!refused.error.is_none());
        let unknown = client.produce("unknown", 0, Some(&batch(1))).expect("an answer");
        assert_eq!(unknown.error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let fetched = client.fetch(TOPIC, 1, 0, 1 << 20).expect("an answer");
        assert_eq!(fetched.records.len(), bytes[1]);
        let request =
            ApiVersionsRequest { client_software_name: "a", client_software_version: "1", ..Default::default() };
        client.send(3, &request).expect("sent");
        client.receive().expect("an answer");

        let shown = samples(&broker);
        let all_records: usize = records.iter().sum();
        let all_bytes: usize = bytes.iter().sum();
        for (name, expected) in [
            ("kafka_server_brokertopicmetrics_messagesin_total", all_records),
            ("kafka_server_brokertopicmetrics_messagesin_total{topic=\"shown\"}", all_records),
            ("kafka_server_brokertopicmetrics_bytesin_total{topic=\"shown\"}", all_bytes),
            ("kafka_server_brokertopicmetrics_bytesout_total{topic=\"shown\"}", bytes[1]),
            ("kafka_server_brokertopicmetrics_totalproducerequests_total{topic=\"shown\"}", 21),
            ("kafka_server_brokertopicmetrics_failedproducerequests_total{topic=\"shown\"}", 1),
            ("kafka_log_log_logendoffset{topic=\"shown\",partition=\"2\"}", records[2]),
            ("kafka_log_log_size{topic=\"shown\",partition=\"2\"}", bytes[2]),
            ("kafka_topic_partition_current_offset{topic=\"shown\",partition=\"3\"}", 0),
            ("kafka_network_requestmetrics_requests_total{request=\"Produce\",version=\"9\"}", 22),
            ("kafka_network_requestmetrics_requests_total{request=\"Fetch\",version=\"11\"}", 1),
            ("kafka_network_requestmetrics_requests_total{request=\"ApiVersions\",version=\"3\"}", 1),
            ("kafka_network_requestmetrics_totaltimems_count{request=\"Produce\"}", 22),
            ("corelog_request_seconds_bucket{le=\"+Inf\",request=\"Produce\"}", 22),
            ("kafka_server_replicamanager_partitioncount", PARTITIONS as usize),
            ("kafka_controller_kafkacontroller_activecontrollercount", 1),
            ("kafka_controller_kafkacontroller_globaltopiccount", 1),
            ("kafka_controller_kafkacontroller_globalpartitioncount", PARTITIONS as usize),
            ("corelog_phase{phase=\"serving\"}", 1),
            ("corelog_partitions_left_out", 0),
        ] {
            assert_eq!(shown.get(name), Some(&(expected as f64)), "{cores} cores: {name}");
        }
        for (family, expected) in [
            ("corelog_shard_responding", cores as f64),
            ("kafka_server_socket_server_metrics_connection_count", 1.0),
            ("corelog_shard_partitions", PARTITIONS.into()),
            ("corelog_shard_tail_hits_total", 1.0),
            ("corelog_shard_disk_full", 0.0),
        ] {
            assert_eq!(sum(&shown, family), expected, "{cores} cores: {family}");
        }
        // Each batch was awaited before the next, so each had a commit of its own.
        assert!(sum(&shown, "corelog_shard_commits_total") >= 20.0);
        assert!(sum(&shown, "corelog_shard_commit_seconds_count") >= 20.0);
        assert!(sum(&shown, "corelog_shard_commit_seconds_sum") > 0.0);
        assert!(sum(&shown, "corelog_shard_journal_written_bytes_total") > all_bytes as f64);
        assert!(sum(&shown, "corelog_shard_dirty_bytes") == all_bytes as f64);
        assert!(sum(&shown, "corelog_shard_cpu_seconds_total") > 0.0);
        assert!(sum(&shown, "corelog_shard_ring_enters_total") > 20.0);
        let p99 = "kafka_network_requestmetrics_totaltimems{request=\"Produce\",quantile=\"0.99\"}";
        assert!(shown[p99] > 0.0 && shown[p99] < 30_000.0);
        assert!(shown["process_resident_memory_bytes"] > 1e6);

        // The next scrape sees the same but for what happened since.
        client.fetch(TOPIC, 0, 0, 1 << 20).expect("an answer");
        let next = samples(&broker);
        let is_counter = |name: &str| name.split('{').next().is_some_and(|family| family.ends_with("_total"));
        for (name, before) in shown.iter().filter(|(name, _)| is_counter(name)) {
            assert!(next[name] >= *before, "{name} fell from {before} to {}", next[name]);
        }
        assert_eq!(next["kafka_network_requestmetrics_requests_total{request=\"Fetch\",version=\"11\"}"], 2.0);
        assert_eq!(get(broker.metrics(), "/readyz").1, "ready\n");
        drop(client);
        assert!(broker.stop().success());

        // Counters begin anew with the process; what is stored is still there.
        broker.start_again();
        let again = samples(&broker);
        assert_eq!(again["kafka_log_log_size{topic=\"shown\",partition=\"2\"}"], bytes[2] as f64);
        assert_eq!(again["kafka_server_brokertopicmetrics_bytesin_total"], 0.0);
        assert!(broker.stop().success());
    }
}

#[test]
fn what_is_no_longer_in_memory_is_a_miss() {
    let mut broker = Options::new().cores(1).argument("--memory").argument("64M").metrics().start();
    if !broker.is_ours() {
        return;
    }
    let mut client = Client::connect(broker.address()).expect("a connection");
    assert!(client.create_topic(TOPIC, 1).expect("an answer").is_none());
    let batch = batch(900);
    // Half of the memory is for what was written last.
    for _ in 0..(48 << 20) / batch.len() {
        assert!(client.produce(TOPIC, 0, Some(&batch)).expect("an answer").error.is_none());
    }
    let before = samples(&broker);
    let read = client.fetch(TOPIC, 0, 0, 1 << 20).expect("an answer").records.len() as f64;
    let after = samples(&broker);
    let more = |name| sum(&after, name) - sum(&before, name);
    assert_eq!((more("corelog_shard_tail_hits_total"), more("corelog_shard_tail_misses_total")), (0.0, 1.0));
    assert_eq!(more("corelog_shard_segment_read_bytes_total"), read);
    assert_eq!(after["kafka_server_brokertopicmetrics_bytesout_total"], read);
    let memory = |purpose| after[&format!("corelog_shard_memory_bytes{{shard=\"0\",purpose=\"{purpose}\"}}")];
    let tail_max = sum(&after, "corelog_shard_tail_capacity_bytes");
    assert!(memory("tail") > tail_max / 2.0 && memory("tail") < tail_max + f64::from(4 << 20), "{}", memory("tail"));
    let (used, capacity) = ("corelog_shard_journal_used_bytes", "corelog_shard_journal_capacity_bytes");
    assert!(sum(&after, used) > 0.0 && sum(&after, used) <= sum(&after, capacity));
    assert!(broker.stop().success());
}

#[test]
fn the_lag_of_a_group_is_what_it_has_not_committed() {
    for cores in [1, 2] {
        let mut broker = Options::new().cores(cores).argument("--memory").argument("128M").metrics().start();
        if !broker.is_ours() {
            return;
        }
        let mut client = Client::connect(broker.address()).expect("a connection");
        assert!(client.create_topic(TOPIC, PARTITIONS).expect("an answer").is_none());
        for partition in 0..PARTITIONS {
            assert!(client.produce(TOPIC, partition, Some(&batch(20))).expect("an answer").error.is_none());
        }
        assert_eq!(sum(&samples(&broker), "corelog_shard_groups"), 0.0);
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap()).set("group.id", "watched");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in [(0, 5), (1, 20), (3, 0)] {
            offsets.add_partition_offset(TOPIC, partition, Offset::Offset(offset)).expect("an offset");
        }
        consumer.commit(&offsets, CommitMode::Sync).expect("committed");
        let shown = samples(&broker);
        for (name, expected) in [
            ("kafka_consumergroup_members{consumergroup=\"watched\"}", Some(0.0)),
            ("kafka_consumergroup_lag{consumergroup=\"watched\",topic=\"shown\",partition=\"0\"}", Some(15.0)),
            ("kafka_consumergroup_lag{consumergroup=\"watched\",topic=\"shown\",partition=\"1\"}", Some(0.0)),
            ("kafka_consumergroup_lag{consumergroup=\"watched\",topic=\"shown\",partition=\"2\"}", None),
            ("kafka_consumergroup_lag{consumergroup=\"watched\",topic=\"shown\",partition=\"3\"}", Some(20.0)),
            (
                "kafka_consumergroup_current_offset{consumergroup=\"watched\",topic=\"shown\",partition=\"0\"}",
                Some(5.0),
            ),
            ("corelog_group_state{consumergroup=\"watched\",state=\"Empty\"}", Some(1.0)),
            ("corelog_groups_left_out", Some(0.0)),
        ] {
            assert_eq!(shown.get(name).copied(), expected, "{cores} cores: {name}");
        }
        assert_eq!(sum(&shown, "corelog_shard_groups"), 1.0);
        drop(consumer);
        assert!(broker.stop().success());
    }
}
