//! Thousands of connections that produce and consume at the same time: everything arrives everywhere, nobody is left out,
//! and a connection costs little memory.

use std::time::Duration;

use corelog_tests::broker::{Broker, Options};
use corelog_tests::client::{Client, WAIT_MAX};
use corelog_wire::record_batch::{BatchBuilder, NewRecord, batches};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// Half of them produce, the others consume.
const CONNECTIONS: usize = 2_000;
const TOPIC: &str = "many";
const PARTITIONS: usize = 40;
/// Requests of each producer, and records in each.
const ROUNDS: usize = 4;
const RECORDS: usize = 2;
/// What each consumer has to see.
const RECORDS_PER_PARTITION: i64 = (CONNECTIONS / 2 / PARTITIONS * ROUNDS * RECORDS) as i64;
/// Clients of librdkafka, each a producer and a consumer of a partition of its own.
const LIBRDKAFKA: i32 = 10;
const LIBRDKAFKA_RECORDS: usize = 50;
/// What the broker may take for a connection that was used, in bytes, as a debug build of it.
const MEMORY_PER_CONNECTION_MAX: u64 = 16 << 10;

fn raise_open_files() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("the soft limit goes up to the hard one");
}

fn connect(broker: &Broker) -> Client {
    Client::connect(broker.address()).expect("a connection")
}

fn batch(producer: usize, round: usize) -> Vec<u8> {
    let value = format!("{producer}/{round}");
    let mut builder = BatchBuilder::new();
    for _ in 0..RECORDS {
        builder.append(&NewRecord { timestamp: 1, value: Some(value.as_bytes()), ..Default::default() });
    }
    builder.build()
}

/// Each of them sends its next batch only when all have been answered.
fn produce(clients: &mut [Client]) {
    for round in 0..ROUNDS {
        for (producer, client) in clients.iter_mut().enumerate() {
            let partition = (producer % PARTITIONS) as i32;
            client.send_produce(TOPIC, partition, Some(&batch(producer, round))).expect("sent");
        }
        for client in clients.iter_mut() {
            let produced = client.receive_produced().expect("an answer");
            assert!(produced.error.is_none(), "{:?}", produced.error);
        }
    }
}

/// All of them have a fetch under way until they have seen everything.
fn consume(clients: &mut [Client]) {
    let mut next = vec![0_i64; clients.len()];
    loop {
        let lacks = |(consumer, _): &(usize, &mut Client)| next[*consumer] < RECORDS_PER_PARTITION;
        let mut waiting: Vec<_> = clients.iter_mut().enumerate().filter(lacks).collect();
        if waiting.is_empty() {
            return;
        }
        for (consumer, client) in &mut waiting {
            let partition = (*consumer % PARTITIONS) as i32;
            client.send_fetch(TOPIC, partition, next[*consumer], 1 << 20, 500).expect("sent");
        }
        for (consumer, client) in waiting {
            let fetched = client.receive_fetched().expect("an answer");
            assert!(fetched.error.is_none(), "{:?}", fetched.error);
            for batch in batches(&fetched.records) {
                let batch = batch.expect("whole batches");
                assert_eq!(batch.base_offset(), next[consumer], "in order, without a hole");
                next[consumer] = batch.last_offset() + 1;
            }
        }
    }
}

/// A producer and a consumer as most languages have them.
fn librdkafka(bootstrap: &str, partition: i32) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "assigned, not joined")
        .set("enable.auto.commit", "false");
    let producer: BaseProducer = config.clone().set("linger.ms", "5").create().expect("a producer");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("librdkafka", partition, Offset::Beginning).expect("an offset");
    consumer.assign(&assignment).expect("an assignment");
    for number in 0..LIBRDKAFKA_RECORDS {
        let value = number.to_string();
        let record = BaseRecord::<(), [u8]>::to("librdkafka").partition(partition).payload(value.as_bytes());
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
        producer.poll(Duration::ZERO);
    }
    producer.flush(WAIT_MAX).expect("delivered");
    for number in 0..LIBRDKAFKA_RECORDS {
        let message = consumer.poll(WAIT_MAX).expect("a record in time").expect("a record");
        assert_eq!(message.payload(), Some(number.to_string().as_bytes()));
    }
}

#[test]
fn two_thousand_connections_produce_and_consume_at_once() {
    raise_open_files();
    let mut broker = Options::new().cores(2).argument("--memory").argument("256M").start();
    if !broker.is_ours() {
        return;
    }
    let mut first = connect(&broker);
    assert!(first.create_topic(TOPIC, PARTITIONS as i32).expect("an answer").is_none());
    assert!(first.create_topic("librdkafka", LIBRDKAFKA).expect("an answer").is_none());
    // What comes with the first records of a partition is not a connection's.
    for partition in 0..PARTITIONS as i32 {
        let fetched = first.fetch(TOPIC, partition, 0, 1 << 20).expect("an answer");
        assert!(fetched.error.is_none());
    }
    let before = broker.resident_bytes();
    let mut producers: Vec<_> = (0..CONNECTIONS / 2).map(|_| connect(&broker)).collect();
    let mut consumers: Vec<_> = (0..CONNECTIONS / 2).map(|_| connect(&broker)).collect();
    let bootstrap = broker.bootstrap();
    std::thread::scope(|scope| {
        scope.spawn(|| consume(&mut consumers));
        scope.spawn(|| produce(&mut producers));
        for partition in 0..LIBRDKAFKA {
            let bootstrap = &bootstrap;
            scope.spawn(move || librdkafka(bootstrap, partition));
        }
    });
    let each = broker.resident_bytes().saturating_sub(before) / CONNECTIONS as u64;
    println!("{each} bytes for each connection");
    assert!(each <= MEMORY_PER_CONNECTION_MAX, "{each} bytes for each connection");
    drop((producers, consumers));
    // They all go, and the broker goes on.
    assert_eq!(first.fetch(TOPIC, 0, 0, 1 << 20).expect("an answer").high_watermark, RECORDS_PER_PARTITION);
    assert!(broker.stop().success());
}
