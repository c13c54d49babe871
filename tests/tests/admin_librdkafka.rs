//! Topics, partitions and records through librdkafka's admin client, against the real broker; what it is told must be what
//! it then finds. With `CORELOG_BOOTSTRAP` against Kafka itself.

use std::pin::pin;
use std::process;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use corelog_tests::broker::{Broker, Options};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// The bound of every wait in here.
const WAIT_MAX: Duration = Duration::from_secs(30);

type Admin = AdminClient<DefaultClientContext>;

/// A name that no run before has used.
fn name(name: &str) -> String {
    format!("{name}-{}", process::id())
}

fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(WAIT_MAX)).request_timeout(Some(WAIT_MAX))
}

/// Waits on this thread; librdkafka's own threads complete the future.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        assert!(Instant::now() < deadline, "no answer in time");
        thread::park_timeout(WAIT_MAX);
    }
}

/// What became of each topic.
fn codes(results: Vec<TopicResult>) -> Vec<Result<(), RDKafkaErrorCode>> {
    results.into_iter().map(|result| result.map(|_| ()).map_err(|(_, code)| code)).collect()
}

/// How many partitions a topic has, as the metadata say, once it has so many: Kafka's brokers hear of it a little later.
fn partitions(broker: &Broker, topic: &str, expected: usize) -> usize {
    let consumer: BaseConsumer = config(broker).create().expect("a good config");
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let metadata = consumer.fetch_metadata(None, WAIT_MAX).expect("an answer");
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.map_or(0, |topic| topic.partitions().len());
        if count == expected || broker.is_ours() || Instant::now() > deadline {
            return count;
        }
    }
}

#[test]
fn topics_and_partitions_come_and_go() {
    let broker = Options::new().start();
    let admin: Admin = config(&broker).create().expect("a good config");
    let [one, placed, bad] = ["rd-one", "rd-placed", "rd-bad"].map(name);
    let assignment: [&[i32]; 2] = [&[1], &[1]];
    let wanted = [
        NewTopic::new(&one, 2, TopicReplication::Fixed(1)).set("retention.ms", "1000000"),
        NewTopic::new(&placed, 2, TopicReplication::Variable(&assignment)),
        NewTopic::new(&bad, 1, TopicReplication::Fixed(5)),
    ];
    let expected = [Ok(()), Ok(()), Err(RDKafkaErrorCode::InvalidReplicationFactor)];
    let validated = block_on(admin.create_topics(&wanted, &options().validate_only(true))).expect("an answer");
    assert_eq!(codes(validated), expected);
    assert_eq!(partitions(&broker, &one, 0), 0, "to validate creates nothing");
    assert_eq!(codes(block_on(admin.create_topics(&wanted, &options())).expect("an answer")), expected);
    let there = Err(RDKafkaErrorCode::TopicAlreadyExists);
    assert_eq!(
        codes(block_on(admin.create_topics(&wanted, &options())).expect("an answer")),
        [there, there, Err(RDKafkaErrorCode::InvalidReplicationFactor)]
    );
    assert_eq!((partitions(&broker, &one, 2), partitions(&broker, &placed, 2)), (2, 2));

    let assignment: [&[i32]; 2] = [&[1], &[1]];
    let wanted =
        [NewPartitions::new(&one, 5), NewPartitions::new(&placed, 4).assign(&assignment), NewPartitions::new(&bad, 2)];
    let expected = [Ok(()), Ok(()), Err(RDKafkaErrorCode::UnknownTopicOrPartition)];
    let validated = block_on(admin.create_partitions(&wanted, &options().validate_only(true))).expect("an answer");
    assert_eq!(codes(validated), expected);
    assert_eq!(partitions(&broker, &one, 2), 2, "to validate adds nothing");
    assert_eq!(codes(block_on(admin.create_partitions(&wanted, &options())).expect("an answer")), expected);
    assert_eq!((partitions(&broker, &one, 5), partitions(&broker, &placed, 4)), (5, 4));
    let no_more = [NewPartitions::new(&one, 5)];
    let refused = block_on(admin.create_partitions(&no_more, &options())).expect("an answer");
    assert_eq!(codes(refused), [Err(RDKafkaErrorCode::InvalidPartitions)]);

    let deleted = block_on(admin.delete_topics(&[&one, &bad], &options())).expect("an answer");
    assert_eq!(codes(deleted), [Ok(()), Err(RDKafkaErrorCode::UnknownTopicOrPartition)]);
    assert_eq!((partitions(&broker, &one, 0), partitions(&broker, &placed, 4)), (0, 4));
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    let broker = Options::new().start();
    let admin: Admin = config(&broker).create().expect("a good config");
    let topic = name("rd-records");
    let wanted = [NewTopic::new(&topic, 2, TopicReplication::Fixed(1))];
    assert_eq!(codes(block_on(admin.create_topics(&wanted, &options())).expect("an answer")), [Ok(())]);
    assert_eq!(partitions(&broker, &topic, 2), 2);
    let producer: BaseProducer = config(&broker).create().expect("a good config");
    for partition in [0, 0, 0, 0, 0, 1] {
        let record: BaseRecord<'_, (), str> = BaseRecord::to(&topic).partition(partition).payload("value");
        producer.send(record).expect("there is room in the queue");
    }
    producer.flush(WAIT_MAX).expect("all are acknowledged");

    let consumer: BaseConsumer = config(&broker).create().expect("a good config");
    let watermarks = |partition| consumer.fetch_watermarks(&topic, partition, WAIT_MAX).expect("an answer");
    assert_eq!((watermarks(0), watermarks(1)), ((0, 5), (0, 1)));
    let mut behind = TopicPartitionList::new();
    behind.add_partition_offset(&topic, 0, Offset::Offset(3)).expect("a good offset");
    behind.add_partition_offset(&topic, 1, Offset::End).expect("a good offset");
    let deleted = block_on(admin.delete_records(&behind, &options())).expect("an answer");
    let offset = |partition| deleted.find_partition(&topic, partition).expect("an answer for it").offset();
    assert_eq!((offset(0), offset(1)), (Offset::Offset(3), Offset::Offset(1)));
    assert_eq!((watermarks(0), watermarks(1)), ((3, 5), (1, 1)));
    let mut beyond = TopicPartitionList::new();
    beyond.add_partition_offset(&topic, 0, Offset::Offset(6)).expect("a good offset");
    let refused = block_on(admin.delete_records(&beyond, &options())).expect("an answer");
    let error = refused.find_partition(&topic, 0).expect("an answer for it").error();
    assert_eq!(error.expect_err("it is refused").rdkafka_error_code(), Some(RDKafkaErrorCode::OffsetOutOfRange));
    assert_eq!(watermarks(0), (3, 5));
}
