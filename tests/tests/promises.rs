//! What settings promise, seen by clients of the real broker: how many may connect, in which codec records are kept, and that
//! a file made for Kafka starts it.

use std::fmt::Write as _;
use std::io::Write as _;

use corelog_tests::broker::{ANY_PORT, Broker, Options, new_folder};
use corelog_tests::client::{Client, decode};
use corelog_wire::api::api_versions::ApiVersionsRequest;
use corelog_wire::api::describe_configs::BROKER_RESOURCE;
use corelog_wire::api::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, SET_OPERATION,
};
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch};

/// A client that the broker has let in.
fn served(broker: &Broker) -> Client {
    let mut client = Client::connect(broker.address()).expect("the broker listens");
    client.send(2, &ApiVersionsRequest::default()).expect("it can be sent");
    client.receive().expect("it is answered");
    client
}

fn is_refused(broker: &Broker) -> bool {
    Client::connect(broker.address()).is_ok_and(|mut client| client.is_closed_by_broker())
}

/// Sets a key for all brokers.
fn set(client: &mut Client, name: &str, value: &str) -> ErrorCode {
    let configs = [AlterableConfig { name, config_operation: SET_OPERATION, value: Some(value) }];
    let resources =
        [AlterConfigsResource { resource_type: BROKER_RESOURCE, resource_name: "", configs: (&configs).into() }];
    let request = IncrementalAlterConfigsRequest { resources: (&resources).into(), validate_only: false };
    client.send(1, &request).expect("it can be sent");
    let frame = client.receive().expect("an answer");
    let (_, answer) = decode::<IncrementalAlterConfigsRequest<'_>>(&frame, 1).expect("of that request");
    answer.responses.first().expect("one result").error_code
}

#[test]
fn connections_are_bounded_also_by_what_is_set_while_it_runs() {
    let mut broker = Options::new().set("max.connections.per.ip", "3").start();
    if !broker.is_ours() {
        return;
    }
    let mut clients: Vec<Client> = (0..3).map(|_| served(&broker)).collect();
    assert!(is_refused(&broker));
    assert_eq!(set(&mut clients[0], "max.connections.per.ip.overrides", "127.0.0.1:4"), ErrorCode::NONE);
    clients.push(served(&broker));
    assert!(is_refused(&broker));
    assert_eq!(set(&mut clients[0], "max.connections", "2"), ErrorCode::NONE);
    assert_eq!(set(&mut clients[3], "max.connections", "0"), ErrorCode::INVALID_REQUEST, "who is in stays in");
    let status = broker.stop();
    assert!(status.success(), "{status} after SIGTERM; stderr:\n{}", broker.stderr());
    drop(clients);
    broker.start_again();
    let clients = [served(&broker), served(&broker)];
    assert!(is_refused(&broker), "it was kept");
    drop(clients);
}

#[test]
fn records_are_kept_in_the_codec_that_is_set() {
    let broker = Broker::start();
    let mut client = served(&broker);
    let mut builder = BatchBuilder::new();
    let value = b"the same again and again ".repeat(4_000);
    for _ in 0..5 {
        builder.append(&NewRecord { timestamp: 1_000, key: Some(b"k"), value: Some(&value), headers: &[] });
    }
    let plain = builder.build();
    assert_eq!(client.create_topic("codecs", 1).expect("an answer"), ErrorCode::NONE);
    for (number, (name, codec)) in
        [("zstd", Compression::Zstd), ("gzip", Compression::Gzip), ("producer", Compression::None)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(set(&mut client, "compression.type", name), ErrorCode::NONE);
        let produced = client.produce("codecs", 0, Some(&plain)).expect("an answer");
        assert_eq!((produced.error, produced.base_offset), (ErrorCode::NONE, 5 * number as i64), "{name}");
        let fetched = client.fetch("codecs", 0, 5 * number as i64, 1 << 20).expect("an answer");
        let (batch, _) = RecordBatch::split_from(&fetched.records).expect("a batch");
        assert!(batch.has_valid_crc());
        assert_eq!(batch.attributes().compression(), Some(codec), "{name}");
        assert_eq!(batch.size() < plain.len() / 10, codec != Compression::None, "{name}");
    }
}

/// The keys of the file that Kafka 4 brings along for a node that is broker and controller.
#[test]
fn a_file_made_for_kafka_starts_it_and_says_in_one_line_what_changes_nothing() {
    if std::env::var("CORELOG_BOOTSTRAP").is_ok() {
        return;
    }
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let mut text = String::new();
    for (key, value) in [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", "1@localhost:9093"),
        ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
        ("inter.broker.listener.name", "PLAINTEXT"),
        ("advertised.listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"),
        ("controller.listener.names", "CONTROLLER"),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL"),
        ("num.network.threads", "3"),
        ("num.io.threads", "8"),
        ("socket.send.buffer.bytes", "102400"),
        ("socket.receive.buffer.bytes", "102400"),
        ("socket.request.max.bytes", "104857600"),
        ("log.dirs", "/tmp/kraft-combined-logs"),
        ("num.partitions", "1"),
        ("num.recovery.threads.per.data.dir", "1"),
        ("offsets.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("log.retention.hours", "168"),
        ("log.segment.bytes", "1073741824"),
        ("log.retention.check.interval.ms", "300000"),
    ] {
        writeln!(text, "{key}={value}").expect("memory takes it");
    }
    file.write_all(text.as_bytes()).expect("the file takes it");
    let path = file.path().to_str().expect("UTF-8");
    let options = Options::new().argument("--config").argument(path);
    let broker = options.clone().try_start(new_folder(), ANY_PORT).expect("it starts");
    drop(served(&broker));
    let stderr = broker.stderr();
    let warnings: Vec<_> = stderr.lines().filter(|line| line.contains("change nothing here")).collect();
    assert_eq!(warnings.len(), 1, "{stderr}");
    assert!(warnings[0].contains("num.io.threads") && !warnings[0].contains("num.partitions"), "{stderr}");

    file.write_all(b"num.partition=3\n").expect("the file takes it");
    let refusal = options.try_start(new_folder(), ANY_PORT).err().expect("it does not start");
    assert!(
        refusal.stderr.contains("num.partition: is not a known setting; did you mean num.partitions?"),
        "{refusal:?}"
    );
}
