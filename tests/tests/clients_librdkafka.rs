//! librdkafka, the client that most languages wrap, against the real broker: what it writes comes back as it was, with
//! every codec, every kind of acknowledgement and from every kind of offset, and survives a stop and a kill.
//!
//! Consumers are assigned here, and in groups in `groups`. Topics have names of their own, so that the same tests run
//! against a broker that holds other data, Apache Kafka for example (see `corelog_tests::broker`).

#[path = "clients_librdkafka/groups.rs"]
mod groups;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelog_tests::broker::{Broker, Options};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

/// The bound of every wait in here.
const WAIT_MAX: Duration = Duration::from_secs(30);

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// The largest value that fits into the largest batch that Kafka takes by default (`message.max.bytes`), beside the 61 bytes
/// of the batch's header and the 11 that frame a lone record of that size without key and headers.
const LARGEST_VALUE: usize = 1_048_588 - 61 - 11;

/// Lets the client choose the partition.
const ANY_PARTITION: i32 = -1;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp_ms: i64,
}

impl Record {
    fn new(key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        Self {
            partition: 0,
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers: Vec::new(),
            timestamp_ms: now_ms(),
        }
    }
}

/// Records of many sizes, compressible and not, with and without keys and headers, one millisecond apart.
fn varied_records(count: usize) -> Vec<Record> {
    let start_ms = now_ms() - 60_000;
    (0..count)
        .map(|i| {
            let mut record = Record::new(None, None);
            record.timestamp_ms = start_ms + i as i64;
            record.key = (i % 3 != 0).then(|| format!("key-{i}").into_bytes());
            record.value =
                Some(if i % 5 == 0 { noise(i as u64, i * 7 % 3000) } else { vec![b'a' + (i % 26) as u8; i % 500] });
            record.headers = (0..i % 4)
                .map(|h| (format!("header-{h}"), (h != 2).then(|| format!("{i}/{h}").into_bytes())))
                .collect();
            record
        })
        .collect()
}

/// Bytes that do not compress, always the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis()).expect("fits")
}

/// A topic name that no other test and no other run uses.
fn new_topic_name(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("librdkafka-{what}-{}-{}-{}", now_ms(), std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn client_config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap()).set("message.timeout.ms", "25000").set("linger.ms", "20");
    config
}

/// A record's index, and the partition and offset where it came to lie, or the error.
type Delivery = (usize, Result<(i32, i64), RDKafkaErrorCode>);

/// Collects where records came to lie; the number that travels with a record is its index.
#[derive(Default)]
struct Deliveries(Mutex<Vec<Delivery>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Self::DeliveryOpaque) {
        let result = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.rdkafka_error_code().expect("delivery errors carry a code")),
        };
        self.0.lock().expect("not poisoned").push((*index, result));
    }
}

/// A producer that remembers where its records came to lie.
struct Writer(BaseProducer<Deliveries>);

impl Writer {
    fn new(config: &ClientConfig) -> Self {
        Self(config.create_with_context(Deliveries::default()).expect("a good config"))
    }

    fn send(&self, topic: &str, index: usize, record: &Record) {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        let mut message: BaseRecord<'_, [u8], [u8], _> = BaseRecord::with_opaque_to(topic, Box::new(index))
            .partition(record.partition)
            .timestamp(record.timestamp_ms)
            .headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        self.0.send(message).map_err(|(error, _)| error).expect("room in the client's queue");
    }

    /// Waits for the answers to all that was sent: by index, the partition and the offset, or the error.
    fn finish(&self) -> Vec<Delivery> {
        self.0.flush(WAIT_MAX).expect("all delivered or refused in time");
        let mut delivered = std::mem::take(&mut *self.0.context().0.lock().expect("not poisoned"));
        delivered.sort_by_key(|(index, _)| *index);
        delivered
    }
}

/// Writes `records` and returns, in their order, the offset of each or its error.
fn try_produce(config: &ClientConfig, topic: &str, records: &[Record]) -> Vec<Result<i64, RDKafkaErrorCode>> {
    let writer = Writer::new(config);
    for (index, record) in records.iter().enumerate() {
        writer.send(topic, index, record);
    }
    let delivered = writer.finish();
    assert_eq!(delivered.len(), records.len(), "one report for each record");
    delivered
        .into_iter()
        .zip(records)
        .map(|((_, result), record)| {
            result.map(|(partition, offset)| {
                assert_eq!(partition, record.partition);
                offset
            })
        })
        .collect()
}

/// Writes `records`, all of which must be taken, and returns the offset of each.
fn produce(config: &ClientConfig, topic: &str, records: &[Record]) -> Vec<i64> {
    try_produce(config, topic, records).into_iter().map(|result| result.expect("taken by the broker")).collect()
}

/// Reads one partition from `from` to its end: each record with its offset.
fn consume(broker: &Broker, topic: &str, partition: i32, from: Offset) -> Vec<(i64, Record)> {
    let consumer = assigned(broker, topic, partition, from, "error");
    let deadline = Instant::now() + WAIT_MAX;
    let mut records = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "no end of {topic} in time, {} records so far", records.len());
        match consumer.poll(Duration::from_secs(1)) {
            None => {}
            Some(Ok(message)) => records.push((message.offset(), to_record(&message))),
            Some(Err(KafkaError::PartitionEOF(_))) => return records,
            Some(Err(error)) => panic!("{topic}: {error}"),
        }
    }
}

fn assigned(broker: &Broker, topic: &str, partition: i32, from: Offset, reset: &str) -> BaseConsumer {
    // librdkafka wants a group id for its assign call; no group is joined.
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "not-a-group")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", reset)
        .set("check.crcs", "true")
        .create()
        .expect("a good config");
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, from).expect("a good offset");
    consumer.assign(&assignment).expect("an assignment");
    consumer
}

fn to_record(message: &impl Message) -> Record {
    let Timestamp::CreateTime(timestamp_ms) = message.timestamp() else {
        panic!("the producer's time is kept, not {:?}", message.timestamp());
    };
    Record {
        partition: message.partition(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter())
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect(),
        timestamp_ms,
    }
}

/// Asserts that `read` is `written` from `first` on, without a gap.
#[track_caller]
fn assert_same(read: &[(i64, Record)], written: &[Record], first: i64) {
    let offsets: Vec<i64> = read.iter().map(|(offset, _)| *offset).collect();
    let expected: Vec<i64> = (first..first + written.len() as i64).collect();
    assert_eq!(offsets, expected);
    for ((offset, read), written) in read.iter().zip(written) {
        assert_eq!(read, written, "at offset {offset}");
    }
}

/// Waits for `future` on this thread; librdkafka's own threads complete it.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        assert!(Instant::now() < deadline, "no answer in time");
        std::thread::park_timeout(WAIT_MAX);
    }
}

fn create_topic(broker: &Broker, topic: &str, partitions: i32) -> Result<String, (String, RDKafkaErrorCode)> {
    let admin: AdminClient<DefaultClientContext> = client_config(broker).create().expect("a good config");
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let mut results = block_on(admin.create_topics([&new], &AdminOptions::new())).expect("an answer");
    assert_eq!(results.len(), 1);
    results.remove(0)
}

#[test]
fn every_codec_brings_back_what_was_written() {
    let broker = Broker::start();
    let records = varied_records(1000);
    for codec in CODECS {
        let topic = new_topic_name(codec);
        let offsets = produce(client_config(&broker).set("compression.type", codec), &topic, &records);
        assert_eq!(offsets, (0..records.len() as i64).collect::<Vec<_>>(), "{codec}");
        assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &records, 0);
    }
}

#[test]
fn codecs_mix_in_one_partition() {
    let broker = Broker::start();
    let topic = new_topic_name("mixed");
    let mut written = Vec::new();
    for codec in CODECS {
        let records = varied_records(50);
        let offsets = produce(client_config(&broker).set("compression.type", codec), &topic, &records);
        assert_eq!(offsets[0], written.len() as i64);
        written.extend(records);
    }
    assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &written, 0);
}

#[test]
fn every_kind_of_acknowledgement() {
    let broker = Broker::start();
    let records = varied_records(200);
    for acks in ["0", "1", "all"] {
        let topic = new_topic_name(&format!("acks-{acks}"));
        // With acks=0 nothing would tell us that the topic is not there yet.
        create_topic(&broker, &topic, 1).expect("created");
        let offsets = produce(client_config(&broker).set("acks", acks), &topic, &records);
        if acks != "0" {
            assert_eq!(offsets, (0..records.len() as i64).collect::<Vec<_>>(), "acks={acks}");
        }
        // The write of another connection comes after those of one that has been flushed and closed only if they were
        // answered; unanswered ones are waited for.
        let deadline = Instant::now() + WAIT_MAX;
        let mut read = consume(&broker, &topic, 0, Offset::Beginning);
        while acks == "0" && read.len() < records.len() && Instant::now() < deadline {
            read = consume(&broker, &topic, 0, Offset::Beginning);
        }
        assert_same(&read, &records, 0);
    }
}

#[test]
fn idempotent_producers() {
    let broker = Broker::start();
    let topic = new_topic_name("idempotent");
    let mut written = Vec::new();
    // Each run is a producer id of its own and starts again at sequence 0.
    for codec in ["none", "zstd"] {
        let records = varied_records(500);
        let mut config = client_config(&broker);
        config.set("enable.idempotence", "true").set("compression.type", codec).set("batch.num.messages", "20");
        let offsets = produce(&config, &topic, &records);
        let first = written.len() as i64;
        assert_eq!(offsets, (first..first + records.len() as i64).collect::<Vec<_>>());
        written.extend(records);
    }
    assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &written, 0);
}

#[test]
fn null_is_not_empty() {
    let broker = Broker::start();
    let topic = new_topic_name("null");
    let cases: [Option<&[u8]>; 3] = [None, Some(b""), Some(b"x")];
    let records: Vec<Record> =
        cases.iter().flat_map(|key| cases.iter().map(|value| Record::new(*key, *value))).collect();
    produce(&client_config(&broker), &topic, &records);
    assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &records, 0);
}

#[test]
fn headers_come_back_in_order_with_their_duplicates() {
    let broker = Broker::start();
    let topic = new_topic_name("headers");
    let mut record = Record::new(Some(b"k"), Some(b"v"));
    record.headers = vec![
        ("a".into(), Some(b"1".to_vec())),
        ("b".into(), None),
        ("a".into(), Some(b"2".to_vec())),
        ("".into(), Some(Vec::new())),
        ("\u{fc}n\u{ef}".into(), Some(vec![0, 255, 10])),
        ("long".into(), Some(noise(7, 20_000))),
    ];
    produce(&client_config(&broker), &topic, std::slice::from_ref(&record));
    assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &[record], 0);
}

#[test]
fn timestamps_come_back_to_the_millisecond() {
    let broker = Broker::start();
    let topic = new_topic_name("timestamps");
    let now = now_ms();
    // Not in order, from the first millisecond of 1970 to almost an hour ahead, which is as far as Kafka lets them go.
    let records: Vec<Record> = [now, 1, now - 1, 1_000_000_000_000, now + 3_500_000, now]
        .into_iter()
        .map(|timestamp_ms| Record { timestamp_ms, ..Record::new(None, Some(b"v")) })
        .collect();
    produce(&client_config(&broker), &topic, &records);
    assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &records, 0);
}

#[test]
fn timestamps_too_far_ahead_are_refused() {
    let broker = Broker::start();
    let topic = new_topic_name("future");
    let record = Record { timestamp_ms: now_ms() + 2 * 3_600_000, ..Record::new(None, Some(b"v")) };
    let results = try_produce(&client_config(&broker), &topic, &[record]);
    assert_eq!(results, [Err(RDKafkaErrorCode::InvalidTimestamp)]);
    assert_eq!(consume(&broker, &topic, 0, Offset::Beginning), []);
}

#[test]
fn records_up_to_the_largest_batch() {
    let broker = Broker::start();
    let topic = new_topic_name("big");
    let records: Vec<Record> = [LARGEST_VALUE, 1_000_000, 1, LARGEST_VALUE]
        .into_iter()
        .map(|length| Record::new(None, Some(&noise(length as u64, length))))
        .collect();
    for codec in CODECS {
        let topic = format!("{topic}-{codec}");
        let mut config = client_config(&broker);
        // A batch for each record. Noise does not shrink, so librdkafka sends it as it is.
        config.set("message.max.bytes", "2000000").set("batch.num.messages", "1").set("compression.type", codec);
        assert_eq!(produce(&config, &topic, &records), [0, 1, 2, 3]);
        assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &records, 0);
        assert_same(&consume(&broker, &topic, 0, Offset::Offset(3)), &records[3..], 3);
    }
}

#[test]
fn a_batch_above_the_limit_is_refused_and_the_next_is_taken() {
    let broker = Broker::start();
    let topic = new_topic_name("too-big");
    let mut config = client_config(&broker);
    config.set("message.max.bytes", "2000000");
    for length in [LARGEST_VALUE + 1, 1_500_000] {
        let too_big = Record::new(None, Some(&noise(1, length)));
        assert_eq!(try_produce(&config, &topic, &[too_big]), [Err(RDKafkaErrorCode::MessageSizeTooLarge)]);
    }
    // What counts is the size as sent: this one is small.
    let shrinks = Record::new(None, Some(&vec![0; 1_500_000]));
    assert_eq!(produce(config.set("compression.type", "zstd"), &topic, std::slice::from_ref(&shrinks)), [0]);
    assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &[shrinks], 0);
}

#[test]
fn every_kind_of_offset() {
    let broker = Broker::start();
    let topic = new_topic_name("offsets");
    let records = varied_records(300);
    // Many batches, so that most offsets lie inside one.
    produce(client_config(&broker).set("batch.num.messages", "40"), &topic, &records);

    assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &records, 0);
    assert_eq!(consume(&broker, &topic, 0, Offset::End), []);
    for from in [0, 1, 39, 40, 41, 150, 299] {
        assert_same(&consume(&broker, &topic, 0, Offset::Offset(from)), &records[from as usize..], from);
    }
    assert_eq!(consume(&broker, &topic, 0, Offset::Offset(300)), []);
    for tail in [1, 7, 300] {
        let first = 300 - tail;
        assert_same(&consume(&broker, &topic, 0, Offset::OffsetTail(tail)), &records[first as usize..], first);
    }

    let consumer = assigned(&broker, &topic, 0, Offset::Beginning, "error");
    assert_eq!(consumer.fetch_watermarks(&topic, 0, WAIT_MAX).expect("an answer"), (0, 300));
    for (timestamp_ms, expected) in [
        (records[0].timestamp_ms - 1000, Offset::Offset(0)),
        (records[0].timestamp_ms, Offset::Offset(0)),
        (records[123].timestamp_ms, Offset::Offset(123)),
        (records[299].timestamp_ms, Offset::Offset(299)),
        (records[299].timestamp_ms + 1, Offset::End),
    ] {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&topic, 0, Offset::Offset(timestamp_ms)).expect("a good offset");
        let found = consumer.offsets_for_times(asked, WAIT_MAX).expect("an answer");
        assert_eq!(found.elements()[0].offset(), expected, "at {timestamp_ms}");
    }
}

#[test]
fn an_offset_out_of_range_is_reset_as_the_consumer_wishes() {
    let broker = Broker::start();
    let topic = new_topic_name("out-of-range");
    let records = varied_records(10);
    produce(&client_config(&broker), &topic, &records);
    for (reset, expected) in [("earliest", Some(0)), ("latest", None)] {
        let consumer = assigned(&broker, &topic, 0, Offset::Offset(1000), reset);
        let first = match consumer.poll(WAIT_MAX).expect("an event in time") {
            Ok(message) => Some(message.offset()),
            Err(KafkaError::PartitionEOF(_)) => None,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(first, expected, "auto.offset.reset={reset}");
    }
    let consumer = assigned(&broker, &topic, 0, Offset::Offset(1000), "error");
    let error = consumer.poll(WAIT_MAX).expect("an event in time").expect_err("an error");
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::AutoOffsetReset), "{error}");
}

#[test]
fn a_consumer_at_the_end_sees_what_comes() {
    let broker = Broker::start();
    let topic = new_topic_name("tail");
    let config = client_config(&broker);
    produce(&config, &topic, &varied_records(5));
    let consumer = assigned(&broker, &topic, 0, Offset::End, "error");
    let first = consumer.poll(WAIT_MAX).expect("an event in time");
    assert!(matches!(first, Err(KafkaError::PartitionEOF(0))), "{first:?}");
    for round in 0..3 {
        let records = varied_records(4);
        produce(&config, &topic, &records);
        let mut read = Vec::new();
        while read.len() < records.len() {
            match consumer.poll(WAIT_MAX).expect("an event in time") {
                Ok(message) => read.push((message.offset(), to_record(&message))),
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_same(&read, &records, 5 + 4 * round);
    }
}

#[test]
fn topics_are_created_once_with_their_partitions() {
    let broker = Broker::start();
    let topic = new_topic_name("created");
    assert_eq!(create_topic(&broker, &topic, 4), Ok(topic.clone()));
    assert_eq!(create_topic(&broker, &topic, 4), Err((topic.clone(), RDKafkaErrorCode::TopicAlreadyExists)));
    let invalid = create_topic(&broker, "not/a/topic", 1).expect_err("refused");
    assert_eq!(invalid.1, RDKafkaErrorCode::InvalidTopic);

    let mut records = varied_records(400);
    for (i, record) in records.iter_mut().enumerate() {
        record.partition = (i % 4) as i32;
    }
    produce(client_config(&broker).set("compression.type", "snappy"), &topic, &records);
    for partition in 0..4 {
        let written: Vec<Record> = records.iter().filter(|r| r.partition == partition).cloned().collect();
        assert_same(&consume(&broker, &topic, partition, Offset::Beginning), &written, 0);
    }

    let consumer = assigned(&broker, &topic, 0, Offset::Beginning, "error");
    let metadata = consumer.fetch_metadata(Some(&topic), WAIT_MAX).expect("an answer");
    assert_eq!(metadata.topics()[0].partitions().len(), 4);
    assert_eq!(metadata.brokers().len(), 1);
    let leaders: Vec<i32> = metadata.topics()[0].partitions().iter().map(|p| p.leader()).collect();
    assert_eq!(leaders, [metadata.brokers()[0].id(); 4]);
    let everything = consumer.fetch_metadata(None, WAIT_MAX).expect("an answer");
    assert!(everything.topics().iter().any(|t| t.name() == topic));
}

#[test]
fn topics_are_created_on_first_use_with_num_partitions() {
    let broker = Options::new().set("num.partitions", "3").start();
    if !broker.is_ours() {
        return;
    }
    let topic = new_topic_name("first-use");
    let writer = Writer::new(&client_config(&broker));
    for i in 0..100 {
        let key = format!("key-{i}");
        writer.send(&topic, i, &Record { partition: ANY_PARTITION, ..Record::new(Some(key.as_bytes()), Some(b"v")) });
    }
    let mut seen = [0_i64; 3];
    for (_, result) in writer.finish() {
        let (partition, offset) = result.expect("taken by the broker");
        let partition = usize::try_from(partition).expect("not negative");
        assert_eq!(offset, seen[partition], "partition {partition}");
        seen[partition] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "keys go to all of three partitions: {seen:?}");
}

#[test]
fn records_survive_a_stop_and_a_kill() {
    let mut broker = Broker::start();
    if !broker.is_ours() {
        return;
    }
    let topic = new_topic_name("survive");
    let mut written = Vec::new();
    for round in 0..6 {
        let records = varied_records(100);
        let mut config = client_config(&broker);
        config.set("acks", if round % 3 == 0 { "1" } else { "all" }).set("compression.type", CODECS[round % 5]);
        let offsets = produce(&config, &topic, &records);
        assert_eq!(offsets[0], written.len() as i64);
        written.extend(records);
        if round % 2 == 0 {
            broker.kill();
        } else {
            let status = broker.stop();
            assert!(status.success(), "{status} after SIGTERM; stderr:\n{}", broker.stderr());
        }
        broker.start_again();
        assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &written, 0);
    }
}

#[test]
fn an_idempotent_producer_outlives_a_kill_of_the_broker() {
    let mut broker = Broker::start();
    if !broker.is_ours() {
        return;
    }
    let topic = new_topic_name("outlives");
    // The same address after the restart, so that the same client finds it.
    let address = broker.address();
    let mut config = client_config(&broker);
    config.set("enable.idempotence", "true").set("reconnect.backoff.max.ms", "200");
    let writer = Writer::new(&config);
    let mut written = Vec::new();
    let mut send = |count: usize| {
        for record in varied_records(count) {
            writer.send(&topic, written.len(), &record);
            written.push(record);
        }
    };
    let assert_offsets = |first: i64, count: i64| {
        let offsets: Vec<_> = writer.finish().into_iter().map(|(_, result)| result).collect();
        assert_eq!(offsets, (first..first + count).map(|offset| Ok((0, offset))).collect::<Vec<_>>());
    };
    send(100);
    assert_offsets(0, 100);
    broker.kill();
    send(100);
    broker.start_again_at(address);
    assert_offsets(100, 100);
    assert_same(&consume(&broker, &topic, 0, Offset::Beginning), &written, 0);
}
