//! What a group of librdkafka's has committed is there again after a kill, and on another number of cores.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use corelog_tests::broker::{Broker, Options};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// The bound of every wait in here.
const WAIT_MAX: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    config
}

fn member(broker: &Broker, group: &str, change: &[(&str, &str)]) -> BaseConsumer {
    let mut config = client(broker);
    config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "6000");
    for (key, value) in change {
        config.set(*key, *value);
    }
    config.create().expect("the settings are sound")
}

fn create_topic(broker: &Broker, name: &str) {
    let admin: AdminClient<DefaultClientContext> = client(broker).create().expect("the settings are sound");
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
    let created = futures_executor(admin.create_topics([&topic], &AdminOptions::new()));
    assert!(created.expect("it is asked").iter().all(Result::is_ok));
}

/// Waits for a future; librdkafka's own threads complete it.
fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let until = Instant::now() + WAIT_MAX;
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        assert!(Instant::now() < until, "it is answered in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn produce(broker: &Broker, topic: &str, values: std::ops::Range<u32>) {
    let producer: BaseProducer = client(broker).create().expect("the settings are sound");
    for value in values {
        let (value, partition) = (value.to_string(), value as i32 % PARTITIONS);
        let record = BaseRecord::<(), str>::to(topic).payload(&value).partition(partition);
        producer.send(record).expect("the queue has room");
    }
    producer.flush(WAIT_MAX).expect("everything is written");
}

/// Polls members in turn until they have seen so many different values, of those not seen yet.
fn consume(members: &[&BaseConsumer], seen: &mut BTreeSet<u32>, until: usize) {
    let deadline = Instant::now() + WAIT_MAX;
    while seen.len() < until {
        assert!(Instant::now() < deadline, "{} of {until} values came", seen.len());
        for member in members {
            let Some(message) = member.poll(Duration::from_millis(20)) else { continue };
            let message = message.expect("nothing goes wrong");
            let value = str::from_utf8(message.payload().expect("a value")).expect("text");
            seen.insert(value.parse().expect("a number"));
        }
    }
}

fn committed(member: &BaseConsumer, topic: &str) -> Vec<Offset> {
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_range(topic, 0, PARTITIONS - 1);
    let found = member.committed_offsets(wanted, WAIT_MAX).expect("they are told");
    found.elements().iter().map(|it| it.offset()).collect()
}

#[test]
fn a_group_reads_on_where_it_was_after_a_kill() {
    let mut broker = Options::new().cores(2).set("group.initial.rebalance.delay.ms", "100").start();
    create_topic(&broker, "t");
    produce(&broker, "t", 0..400);
    let mut seen = BTreeSet::new();
    {
        let first = member(&broker, "g", &[]);
        first.subscribe(&["t"]).expect("a subscription");
        consume(&[&first], &mut seen, 400);
        first.commit_consumer_state(CommitMode::Sync).expect("it is durable");
    }
    produce(&broker, "t", 400..600);
    if broker.is_ours() {
        broker.kill();
        broker.start_again();
    }
    let second = member(&broker, "g", &[]);
    assert_eq!(committed(&second, "t"), vec![Offset::Offset(100); PARTITIONS as usize]);
    second.subscribe(&["t"]).expect("a subscription");
    let mut after = BTreeSet::new();
    consume(&[&second], &mut after, 200);
    assert_eq!(after, (400..600).collect(), "what was committed does not come again");
    second.commit_consumer_state(CommitMode::Sync).expect("it is durable");
    drop(second);
    if broker.is_ours() {
        broker.kill();
        broker.start_again_on(1);
        let third = member(&broker, "g", &[]);
        assert_eq!(committed(&third, "t"), vec![Offset::Offset(150); PARTITIONS as usize]);
        assert!(!broker.stderr().contains("panicked"), "{}", broker.stderr());
    }
}
