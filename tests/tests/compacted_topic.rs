//! A compacted topic on a real broker, written and read by librdkafka: who reads it from its beginning gets the last value of
//! each key, offsets stay what they were, and the broker can be killed while it cleans.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use corelog_client::admin::{self, NewTopic};
use corelog_client::client::ClientConfig as OwnConfig;
use corelog_client::driver::Driver;
use corelog_tests::broker::{Broker, Options};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// The bound of every wait.
const WAIT_MAX: Duration = Duration::from_secs(120);
const TOPIC: &str = "compacted";
const KEYS: usize = 200;

fn create(broker: &Broker) {
    let mut driver = Driver::new(OwnConfig::new(vec![broker.bootstrap().parse().unwrap()]));
    driver.connect(WAIT_MAX).expect("the broker is there");
    let configs = [("cleanup.policy", "compact"), ("segment.bytes", "60000"), ("min.cleanable.dirty.ratio", "0.1")];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let new = NewTopic { name: TOPIC.to_owned(), partitions: Some(1), configs, ..Default::default() };
    let answer = driver.call(admin::create_topics(vec![new], false)).expect("an answer");
    assert_eq!(admin::topics_created(&answer).expect("a sound answer")[0].result, Ok(()));
}

/// What the topic is to hold: the last value of each key that was not deleted last.
type View = BTreeMap<String, String>;

/// Writes so many records, from `first` on; every tenth deletes its key.
fn write(broker: &Broker, view: &mut View, first: usize, count: usize, codec: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("compression.type", codec)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("batch.num.messages", "50")
        .create()
        .unwrap();
    for number in first..first + count {
        let key = format!("key-{}", number * 7 % KEYS);
        let value = (number % 10 != 3).then(|| format!("{number} {}", "filling ".repeat(number % 30)));
        let mut record: BaseRecord<'_, str, str> = BaseRecord::to(TOPIC).key(&key);
        record.payload = value.as_deref();
        producer.send(record).map_err(|(error, _)| error).unwrap();
        match value {
            Some(value) => view.insert(key, value),
            None => view.remove(&key),
        };
    }
    producer.flush(WAIT_MAX).unwrap();
}

/// Reads the topic to its end: how many records there are, the offset of the last one, and what they leave.
fn read(broker: &Broker) -> (usize, i64, View) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "not-a-group")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let deadline = Instant::now() + WAIT_MAX;
    let (mut count, mut last, mut view) = (0, -1, View::new());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    loop {
        assert!(Instant::now() < deadline, "no end in time, {count} records so far");
        match consumer.poll(Duration::from_secs(1)) {
            None => {}
            Some(Ok(message)) => {
                assert!(message.offset() > last, "offsets grow");
                (count, last) = (count + 1, message.offset());
                let key = message.key().map(text).unwrap();
                match message.payload() {
                    Some(value) => view.insert(key, text(value)),
                    None => view.remove(&key),
                };
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return (count, last, view),
            Some(Err(error)) => panic!("{error}"),
        }
    }
}

#[test]
fn a_compacted_topic_read_from_its_beginning_has_the_last_value_of_each_key() {
    let mut broker = Options::new()
        .set("log.cleaner.backoff.ms", "100")
        .set("corelog.segment.bytes.min", "4096")
        .set("corelog.segment.reads", "splice")
        .start();
    create(&broker);
    let mut view = View::new();
    let mut written = 0;
    for (round, codec) in ["none", "gzip", "lz4", "zstd", "snappy"].into_iter().enumerate() {
        write(&broker, &mut view, written, 4_000, codec);
        written += 4_000;
        if round % 2 == 0 {
            // Wherever the cleaner is just now.
            broker.kill();
            broker.start_again();
        }
        let (_, last, read) = read(&broker);
        assert_eq!((last, read), (written as i64 - 1, view.clone()));
    }
    // What is left is in the last segments, besides one record for each key.
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let (count, last, read) = read(&broker);
        assert_eq!((last, read), (written as i64 - 1, view.clone()));
        if count < written / 3 {
            break;
        }
        assert!(Instant::now() < deadline, "{count} of {written} records are left: {}", broker.stderr());
    }
    assert!(broker.stop().success());
    broker.start_again();
    assert_eq!(read(&broker).2, view);
}
