//! Corelog's own client and command line beside librdkafka, against the real broker: each reads what the other wrote, keys
//! go to the same partitions, they share partitions as members of one group, and a broker that is killed under the client
//! costs it nothing that was acknowledged.
//!
//! Topics have names of their own, so that the same tests run against Apache Kafka (see `corelog_tests::broker`).

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelog_client::admin::{self, NewTopic};
use corelog_client::client::ClientConfig as OwnConfig;
use corelog_client::consumer::{Fetched, Position, ReadEvent};
use corelog_client::driver::Driver;
use corelog_client::group_member::assignor::Assignor;
use corelog_client::group_member::{GroupConfig, GroupEvent};
use corelog_client::offsets::offsets;
use corelog_client::producer::{Acks, Refusal};
use corelog_tests::broker::{Broker, binary};
use corelog_wire::compression::Compression;
use corelog_wire::record_batch::NewRecord;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// The bound of every wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

const PARTITIONS: i32 = 5;

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis()).expect("fits")
}

/// A topic name that no other test and no other run uses.
fn new_topic_name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = now_ms();
    format!("own-client-{what}-{since}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs the command line against the broker; what it printed.
fn corelog(broker: &Broker, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(binary())
        .args(arguments)
        .env("CORELOG_BOOTSTRAP", broker.bootstrap())
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("it is piped").write_all(input).expect("all of it is read");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

/// A record as librdkafka saw it: partition, key, value, headers.
type Seen = (i32, Option<String>, Option<String>, Vec<(String, Option<String>)>);

/// Reads all partitions of a topic to their ends with librdkafka; offsets must have no gap.
fn read_with_librdkafka(broker: &Broker, topic: &str, partitions: i32) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "not-a-group")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .create()
        .expect("a good config");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a good offset");
    }
    consumer.assign(&assignment).expect("an assignment");
    let deadline = Instant::now() + WAIT_MAX;
    let (mut ended, mut seen) = (0, Vec::new());
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the tests write text");
    while ended < partitions {
        assert!(Instant::now() < deadline, "no end of {topic} in time, {} records so far", seen.len());
        match consumer.poll(Duration::from_secs(1)) {
            None => {}
            Some(Ok(message)) => {
                let expected = next.entry(message.partition()).or_default();
                assert_eq!(message.offset(), *expected);
                *expected += 1;
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                let headers = headers.map(|header| (header.key.to_owned(), header.value.map(text))).collect();
                seen.push((message.partition(), message.key().map(text), message.payload().map(text), headers));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{topic}: {error}"),
        }
    }
    seen
}

/// Writes records with librdkafka, which chooses partitions as Java's client does.
fn write_with_librdkafka(broker: &Broker, topic: &str, codec: &str, records: &[(Option<&str>, Option<&str>)]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("partitioner", "murmur2_random")
        .set("compression.type", codec)
        .set("linger.ms", "20")
        .create()
        .expect("a good config");
    for (key, value) in records {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "codec", value: Some(codec) })
            .insert(Header { key: "none", value: None::<&str> });
        let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).headers(headers);
        (record.key, record.payload) = (*key, *value);
        producer.send(record).map_err(|(error, _)| error).expect("room in the client's queue");
    }
    producer.flush(WAIT_MAX).expect("all delivered in time");
}

fn driver(broker: &Broker, change: impl FnOnce(&mut OwnConfig)) -> Driver {
    let mut config = OwnConfig::new(vec![broker.bootstrap().parse().expect("an address")]);
    change(&mut config);
    let mut driver = Driver::new(config);
    driver.connect(WAIT_MAX).expect("the broker is there");
    driver
}

fn create_topic(driver: &mut Driver, topic: &str, partitions: i32) {
    let new = NewTopic { name: topic.to_owned(), partitions: Some(partitions), ..Default::default() };
    let answer = driver.call(admin::create_topics(vec![new], false)).expect("an answer");
    let created = admin::topics_created(&answer).expect("a sound answer");
    assert_eq!((created.len(), created[0].result.clone()), (1, Ok(())));
}

/// Reads a topic to its end: values by partition.
fn read(driver: &mut Driver, topic: &str, partitions: i32) -> BTreeMap<i32, Vec<String>> {
    let all: Vec<i32> = (0..partitions).collect();
    let ends = offsets(driver, topic, &all, Position::End, true, WAIT_MAX).expect("the ends are known");
    let (client, _) = driver.client_mut();
    all.iter().for_each(|partition| client.assign(topic, *partition, Position::Beginning));
    let mut left = ends.iter().filter(|(_, end)| **end > 0).count();
    let mut values: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    let deadline = Instant::now() + WAIT_MAX;
    while left > 0 {
        assert!(Instant::now() < deadline, "no end of {topic} in time");
        match driver.client_mut().0.take_read() {
            None => driver.turn(Duration::from_secs(1)),
            Some(ReadEvent::Failed { error, .. }) => panic!("{topic}: {error}"),
            Some(ReadEvent::Fetched(fetched)) => {
                let values = values.entry(fetched.partition).or_default();
                let before = values.len() as i64;
                let _ = fetched
                    .records(|record| {
                        let Fetched { partition, from, log_start, .. } = &fetched;
                        let place = format!("partition {partition}, read from {from}, log start {log_start}");
                        assert_eq!(record.offset, values.len() as i64, "{place}");
                        values.push(String::from_utf8(record.value.expect("a value").to_vec()).expect("text"));
                        ControlFlow::<()>::Continue(())
                    })
                    .expect("sound batches");
                let end = ends[&fetched.partition];
                left -= usize::from(before < end && values.len() as i64 >= end);
            }
        }
    }
    values
}

#[test]
fn librdkafka_reads_what_the_command_line_wrote() {
    let broker = Broker::start();
    let lines: String = (0..2000).map(|number| format!("key-{}:value {number}\n", number % 37)).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = new_topic_name(codec);
        corelog(&broker, &["topic", "create", &topic, "--partitions", &PARTITIONS.to_string()], b"");
        let arguments = ["produce", &topic, "-k", ":", "-z", codec, "-H", "from=corelog", "-H", "empty="];
        corelog(&broker, &arguments, lines.as_bytes());
        let mut seen = read_with_librdkafka(&broker, &topic, PARTITIONS);
        let number = |seen: &Seen| seen.2.as_ref().and_then(|value| value.strip_prefix("value ")?.parse::<u32>().ok());
        seen.sort_by_key(|seen| number(seen).expect("a number"));
        assert_eq!(seen.len(), 2000, "{codec}");
        let headers = [("from", "corelog"), ("empty", "")].map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        for (index, (_, key, value, of)) in seen.iter().enumerate() {
            assert_eq!((key, value), (&Some(format!("key-{}", index % 37)), &Some(format!("value {index}"))));
            assert_eq!(of, &headers);
        }
    }
}

#[test]
fn keys_go_where_other_clients_send_them() {
    let broker = Broker::start();
    let keys: Vec<String> = (0..500).map(|number| format!("{}{number}", "k".repeat(number % 9))).collect();
    let (ours, theirs) = (new_topic_name("keys"), new_topic_name("keys"));
    for topic in [&ours, &theirs] {
        corelog(&broker, &["topic", "create", topic, "--partitions", &PARTITIONS.to_string()], b"");
    }
    let lines: String = keys.iter().map(|key| format!("{key}=v\n")).collect();
    corelog(&broker, &["produce", &ours, "--key-separator", "="], lines.as_bytes());
    let records: Vec<_> = keys.iter().map(|key| (Some(key.as_str()), Some("v"))).collect();
    write_with_librdkafka(&broker, &theirs, "none", &records);
    let places = |topic: &str| {
        let mut places: Vec<_> = read_with_librdkafka(&broker, topic, PARTITIONS)
            .into_iter()
            .map(|(partition, key, ..)| (key, partition))
            .collect();
        places.sort();
        places
    };
    let ours = places(&ours);
    assert_eq!(ours.len(), keys.len());
    assert_eq!(ours, places(&theirs));
}

#[test]
fn the_command_line_reads_what_librdkafka_wrote() {
    let broker = Broker::start();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = new_topic_name(codec);
        corelog(&broker, &["topic", "create", &topic], b"");
        let values: Vec<String> = (0..1500).map(|number| format!("value {number}")).collect();
        let mut records: Vec<_> = values.iter().map(|value| (Some("k"), Some(value.as_str()))).collect();
        records.extend([(None, Some("no key")), (Some("no value"), None), (None, None)]);
        write_with_librdkafka(&broker, &topic, codec, &records);
        let read = corelog(&broker, &["consume", &topic, "--exit", "--format", "%o %K %k %S %s %h\n"], b"");
        let length = |text: Option<&str>| text.map_or(-1, |text| text.len() as i64);
        let line = |(offset, (key, value)): (usize, &(Option<&str>, Option<&str>))| {
            let (k, v) = (key.unwrap_or(""), value.unwrap_or(""));
            format!("{offset} {} {k} {} {v} codec={codec},none=NULL\n", length(*key), length(*value))
        };
        assert_eq!(read, records.iter().enumerate().map(line).collect::<String>(), "{codec}");
    }
}

#[test]
fn every_kind_of_acknowledgement_and_codec() {
    let broker = Broker::start();
    for (acks, idempotent) in [(Acks::All, true), (Acks::All, false), (Acks::Leader, false), (Acks::None, false)] {
        for compression in Compression::ALL {
            let mut driver = driver(&broker, |config| {
                (config.producer.acks, config.producer.idempotent) = (acks, idempotent);
                config.producer.compression = compression;
                config.producer.batch_bytes = 2000;
            });
            let topic = new_topic_name("acks");
            create_topic(&mut driver, &topic, 2);
            let began = Instant::now();
            let written = write(&mut driver, &topic, 2, 0..1000, |_, _| {});
            assert_eq!(written, 1000);
            assert!(began.elapsed() < WAIT_MAX / 2, "what needs no answer is waited for");
            let deadline = Instant::now() + WAIT_MAX;
            let read = loop {
                // With acks 0 nobody knows when it is written.
                let read = read(&mut driver, &topic, 2);
                if acks != Acks::None || read.values().map(Vec::len).sum::<usize>() == 1000 {
                    break read;
                }
                assert!(Instant::now() < deadline, "what was sent is never written");
            };
            for (partition, values) in read {
                let expected = (0..1000).filter(|number| number % 2 == partition).map(|number| number.to_string());
                assert!(values.into_iter().eq(expected), "{acks:?} {compression}");
            }
        }
    }
}

/// Writes numbers to partition number modulo `partitions`, waits for the deliveries, all of which must be good, and shows
/// each number that is given to `before`.
fn write(
    driver: &mut Driver,
    topic: &str,
    partitions: i32,
    numbers: std::ops::Range<i32>,
    mut before: impl FnMut(i32, &mut Driver),
) -> usize {
    let (client, _) = driver.client_mut();
    client.want_topic(topic);
    let mut delivered = 0;
    let mut take = |driver: &mut Driver| {
        while let Some(delivery) = driver.client_mut().0.take_delivery() {
            delivery.result.expect("delivered");
            delivered += delivery.tokens.len();
        }
    };
    for number in numbers {
        before(number, driver);
        let value = number.to_string();
        // Of today, or retention takes it.
        let record = NewRecord { timestamp: now_ms(), value: Some(value.as_bytes()), ..Default::default() };
        loop {
            let (client, now) = driver.client_mut();
            match client.produce(now, topic, Some(number % partitions), &record, number as u64) {
                Ok(()) => break,
                Err(Refusal::NoPartition) => panic!("{topic} has {partitions} partitions"),
                Err(Refusal::Full | Refusal::Unknown) => driver.turn(Duration::from_millis(50)),
            }
            take(driver);
        }
        if number % 50 == 0 {
            driver.turn(Duration::ZERO);
        }
        take(driver);
    }
    driver.client_mut().0.set_flushing(true);
    let deadline = Instant::now() + WAIT_MAX;
    while !driver.client().is_drained() {
        assert!(Instant::now() < deadline, "not delivered in time");
        driver.turn(WAIT_MAX);
        take(driver);
    }
    driver.client_mut().0.set_flushing(false);
    delivered
}

#[test]
fn a_killed_broker_costs_an_idempotent_producer_nothing_and_doubles_nothing() {
    const NUMBERS: i32 = 20_000;
    let mut broker = Broker::start();
    if !broker.is_ours() {
        return;
    }
    let address = broker.address();
    let mut driver = driver(&broker, |config| {
        config.producer.linger = Duration::ZERO;
        config.producer.batch_bytes = 500;
    });
    let topic = new_topic_name("killed");
    create_topic(&mut driver, &topic, 4);
    let mut kills = 0;
    let written = write(&mut driver, &topic, 4, 0..NUMBERS, |number, _| {
        if number > 0 && number % 5000 == 0 {
            broker.kill();
            broker.start_again_at(address);
            kills += 1;
        }
    });
    assert_eq!((written, kills), (NUMBERS as usize, 3));
    let read = read(&mut driver, &topic, 4);
    for (partition, values) in read {
        let expected = (0..NUMBERS).filter(|number| number % 4 == partition).map(|number| number.to_string());
        assert!(values.into_iter().eq(expected), "partition {partition}");
    }
}

#[test]
fn a_reader_finds_a_broker_again_that_was_restarted() {
    let mut broker = Broker::start();
    if !broker.is_ours() {
        return;
    }
    let address = broker.address();
    let mut writer = driver(&broker, |_| {});
    let topic = new_topic_name("restarted");
    create_topic(&mut writer, &topic, 1);
    let mut reader = driver(&broker, |_| {});
    reader.client_mut().0.assign(&topic, 0, Position::Beginning);
    let mut seen = Vec::new();
    for round in 0..3 {
        write(&mut writer, &topic, 1, round * 10..round * 10 + 10, |_, _| {});
        let deadline = Instant::now() + WAIT_MAX;
        while seen.len() < 10 * (round as usize + 1) {
            assert!(Instant::now() < deadline, "nothing more is read: {seen:?}");
            match reader.client_mut().0.take_read() {
                None => reader.turn(Duration::from_secs(1)),
                Some(ReadEvent::Failed { error, .. }) => panic!("{error}"),
                Some(ReadEvent::Fetched(fetched)) => {
                    let _ = fetched
                        .records(|record| {
                            seen.push(String::from_utf8(record.value.expect("a value").to_vec()).expect("text"));
                            ControlFlow::<()>::Continue(())
                        })
                        .expect("sound batches");
                }
            }
        }
        if round == 0 {
            broker.kill();
        } else {
            assert!(broker.stop().success());
        }
        broker.start_again_at(address);
    }
    assert!(seen.into_iter().eq((0..30).map(|number| number.to_string())));
}

/// One of ours in a group: what it has read, number by number.
struct Member {
    driver: Driver,
    seen: Vec<i32>,
}

impl Member {
    fn join(broker: &Broker, group: &str, topic: &str, assignors: &[Assignor]) -> Self {
        let mut driver = driver(broker, |_| {});
        let mut config = GroupConfig::new(group, vec![topic.to_owned()]);
        config.assignors = assignors.to_vec();
        config.session_timeout = Duration::from_secs(6);
        config.heartbeat_interval = Duration::from_millis(200);
        config.commit_interval = Some(Duration::from_millis(500));
        driver.client_mut().0.join_group(config);
        Self { driver, seen: Vec::new() }
    }

    /// Goes on a little.
    fn turn(&mut self) {
        while let Some(event) = self.driver.client_mut().0.take_group_event() {
            assert!(!matches!(event, GroupEvent::Failed(_) | GroupEvent::CommitFailed(_)), "{event:?}");
        }
        while let Some(event) = self.driver.client_mut().0.take_read() {
            let ReadEvent::Fetched(fetched) = event else { panic!("{event:?}") };
            let _ = fetched
                .records(|record| {
                    self.seen.push(number(record.value.expect("a value")));
                    ControlFlow::<()>::Continue(())
                })
                .expect("sound batches");
            let client = self.driver.client_mut().0;
            client.consumed(&fetched.topic, fetched.partition, fetched.next, fetched.leader_epoch);
        }
        self.driver.turn(Duration::from_millis(10));
    }

    /// The partitions that it has, once nothing is about to change as far as it knows.
    fn partitions(&self) -> Vec<i32> {
        let client = self.driver.client();
        let partitions = client.group_partitions().map(|(_, partition)| *partition);
        if client.is_group_settled() { partitions.collect() } else { Vec::new() }
    }

    fn leave(mut self) -> Vec<i32> {
        let (client, now) = self.driver.client_mut();
        client.leave_group(now, WAIT_MAX);
        let left = self.driver.until(WAIT_MAX, |client| client.is_out_of_group().then_some(()));
        assert!(left.is_some(), "it does not leave");
        self.turn();
        self.seen
    }
}

fn number(value: &[u8]) -> i32 {
    std::str::from_utf8(value).expect("text").parse().expect("a number")
}

/// A member of librdkafka's.
fn join_librdkafka(broker: &Broker, group: &str, topic: &str, assignor: Assignor) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", group)
        .set("partition.assignment.strategy", assignor.name())
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "200")
        .set("auto.commit.interval.ms", "500")
        .create()
        .expect("a good config");
    consumer.subscribe(&[topic]).expect("a subscription");
    consumer
}

/// Reads what there is; never waits for long.
fn poll_librdkafka(consumer: &BaseConsumer, seen: &mut Vec<i32>) {
    while let Some(message) = consumer.poll(Duration::from_millis(5)) {
        seen.push(number(message.expect("a record").payload().expect("a value")));
    }
}

fn partitions_of_librdkafka(consumer: &BaseConsumer) -> Vec<i32> {
    let assignment = consumer.assignment().expect("it is in a group");
    assignment.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}

/// Turns until `done`, or fails with what was expected.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !done() {
        assert!(Instant::now() < deadline, "in {WAIT_MAX:?}: {what}");
    }
}

/// Whether several members have all partitions together, each of them some, and none has one of another's.
fn share_all(parts: &[Vec<i32>], partitions: i32) -> bool {
    let mut all: Vec<i32> = parts.iter().flatten().copied().collect();
    all.sort_unstable();
    parts.iter().all(|part| !part.is_empty()) && all.into_iter().eq(0..partitions)
}

fn has_all(seen: &[&[i32]], numbers: i32) -> bool {
    let all: std::collections::BTreeSet<i32> = seen.iter().flat_map(|seen| seen.iter().copied()).collect();
    all.len() == numbers as usize
}

#[test]
fn a_group_of_ours_and_librdkafka_shares_its_partitions() {
    const SHARED: i32 = 6;
    let broker = Broker::start();
    for assignor in Assignor::ALL {
        let (topic, group) = (new_topic_name("mixed"), new_topic_name("mixed"));
        let mut writer = driver(&broker, |_| {});
        create_topic(&mut writer, &topic, SHARED);
        write(&mut writer, &topic, SHARED, 0..600, |_, _| {});
        let mut ours = Member::join(&broker, &group, &topic, &[assignor]);
        let theirs = join_librdkafka(&broker, &group, &topic, assignor);
        let mut seen = Vec::new();
        until("both have partitions", || {
            ours.turn();
            poll_librdkafka(&theirs, &mut seen);
            share_all(&[ours.partitions(), partitions_of_librdkafka(&theirs)], SHARED)
        });
        write(&mut writer, &topic, SHARED, 600..1200, |_, _| {});
        until("both together have read everything", || {
            ours.turn();
            poll_librdkafka(&theirs, &mut seen);
            has_all(&[&ours.seen, &seen], 1200)
        });
        // Theirs goes; ours has everything, and reads on where theirs was.
        theirs.unsubscribe();
        until("ours has all partitions", || {
            ours.turn();
            poll_librdkafka(&theirs, &mut seen);
            share_all(&[ours.partitions()], SHARED)
        });
        drop(theirs);
        write(&mut writer, &topic, SHARED, 1200..1300, |_, _| {});
        until("ours has read on", || {
            ours.turn();
            has_all(&[&ours.seen, &seen], 1300)
        });
        // Another comes, and ours goes.
        let theirs = join_librdkafka(&broker, &group, &topic, assignor);
        until("the new one has partitions", || {
            ours.turn();
            poll_librdkafka(&theirs, &mut seen);
            share_all(&[ours.partitions(), partitions_of_librdkafka(&theirs)], SHARED)
        });
        let ours = ours.leave();
        until("theirs has all partitions", || {
            poll_librdkafka(&theirs, &mut seen);
            share_all(&[partitions_of_librdkafka(&theirs)], SHARED)
        });
        write(&mut writer, &topic, SHARED, 1300..1400, |_, _| {});
        until("theirs has read on", || {
            poll_librdkafka(&theirs, &mut seen);
            has_all(&[&ours, &seen], 1400)
        });
    }
}

#[test]
fn members_that_come_and_go_in_good_order_read_everything_once() {
    const SHARED: i32 = 5;
    let broker = Broker::start();
    for assignors in [&[Assignor::Range][..], &[Assignor::RoundRobin], &[Assignor::CooperativeSticky], &Assignor::ALL] {
        let (topic, group) = (new_topic_name("ours"), new_topic_name("ours"));
        let mut writer = driver(&broker, |_| {});
        create_topic(&mut writer, &topic, SHARED);
        write(&mut writer, &topic, SHARED, 0..500, |_, _| {});
        let mut one = Member::join(&broker, &group, &topic, assignors);
        let mut two = Member::join(&broker, &group, &topic, assignors);
        until("two members share", || {
            one.turn();
            two.turn();
            share_all(&[one.partitions(), two.partitions()], SHARED)
        });
        let mut three = Member::join(&broker, &group, &topic, assignors);
        write(&mut writer, &topic, SHARED, 500..1000, |_, _| {});
        until("three members share", || {
            one.turn();
            two.turn();
            three.turn();
            share_all(&[one.partitions(), two.partitions(), three.partitions()], SHARED)
        });
        let mut seen = one.leave();
        write(&mut writer, &topic, SHARED, 1000..1500, |_, _| {});
        until("those who stay share, and read everything", || {
            two.turn();
            three.turn();
            let is_read = has_all(&[&seen, &two.seen, &three.seen], 1500);
            is_read && share_all(&[two.partitions(), three.partitions()], SHARED)
        });
        seen.extend(two.leave());
        seen.extend(three.leave());
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..1500), "{assignors:?}: something was read twice");
    }
}

#[test]
fn a_member_that_dies_is_replaced_and_nothing_is_lost() {
    const SHARED: i32 = 4;
    let broker = Broker::start();
    let (topic, group) = (new_topic_name("dies"), new_topic_name("dies"));
    let mut writer = driver(&broker, |_| {});
    create_topic(&mut writer, &topic, SHARED);
    write(&mut writer, &topic, SHARED, 0..400, |_, _| {});
    let mut one = Member::join(&broker, &group, &topic, &[Assignor::Range]);
    let mut two = Member::join(&broker, &group, &topic, &[Assignor::Range]);
    until("two members share", || {
        one.turn();
        two.turn();
        share_all(&[one.partitions(), two.partitions()], SHARED)
    });
    let seen = std::mem::take(&mut one.seen);
    drop(one);
    write(&mut writer, &topic, SHARED, 400..800, |_, _| {});
    until("the other one takes over", || {
        two.turn();
        share_all(&[two.partitions()], SHARED) && has_all(&[&seen, &two.seen], 800)
    });
    two.leave();
}

#[test]
fn a_member_outlives_a_kill_of_the_broker() {
    const SHARED: i32 = 4;
    let mut broker = Broker::start();
    if !broker.is_ours() {
        return;
    }
    let address = broker.address();
    let (topic, group) = (new_topic_name("outlives"), new_topic_name("outlives"));
    let mut writer = driver(&broker, |_| {});
    create_topic(&mut writer, &topic, SHARED);
    let mut member = Member::join(&broker, &group, &topic, &[Assignor::CooperativeSticky]);
    for round in 0..3 {
        write(&mut writer, &topic, SHARED, round * 200..(round + 1) * 200, |_, _| {});
        until("it reads on", || {
            member.turn();
            has_all(&[&member.seen], (round + 1) * 200) && member.driver.client().is_group_committed()
        });
        broker.kill();
        broker.start_again_at(address);
    }
    until("it is a member again", || {
        member.turn();
        member.partitions().len() == SHARED as usize
    });
    let seen = member.leave();
    assert_eq!(seen.len(), 600, "what was committed before the broker was killed is not read again");
}
