//! Load, `kill -9`, restart, over and over, with a journal and segments so small that they roll all the time: every
//! acknowledged record is there once, in order, at its offset, with its value.
//!
//! Two producers write to every partition: an idempotent one, which sends again what was not acknowledged when the broker
//! died, and a plain one, which does not. The kill comes after a seeded number of acknowledgements, with requests in
//! flight. The broker comes back on one, two or three cores, and some starts are killed, too. What has once been read
//! stays. `CORELOG_CRASH_CYCLES` sets the cycles of each run, `CORELOG_CRASH_SEED` the seed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelog_tests::broker::{Broker, Options};
use corelog_tests::client::{Client, Produced};
use corelog_tests::sim::random::Random;
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch, batches};

const TOPIC: &str = "crash";
const PARTITIONS: usize = 3;
const CORES_MAX: usize = 3;
/// Batches of one producer and partition in flight: what Kafka's idempotent producers keep to.
const IN_FLIGHT_MAX: usize = 5;
const FETCH_BYTES: i32 = 1 << 20;
const CYCLES_PER_FULL_READ: usize = 20;
/// A run that takes longer has hung.
const RUN_MAX: Duration = Duration::from_secs(600);

/// A record: which of the producers wrote it, and its number in its partition.
type Tag = (usize, u32);

const PLAIN: usize = 0;
const IDEMPOTENT: usize = 1;

/// The value of a record: no two are alike, and a length of its own.
fn value(partition: usize, (producer, number): Tag) -> Vec<u8> {
    let mut value = format!("{partition}/{producer}/{number}/").into_bytes();
    let mut random = Random::new(u64::from(number) * 8 + (partition * 2 + producer) as u64);
    let length = random.below(700);
    while value.len() < length {
        value.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    value
}

fn tag(value: &[u8]) -> Option<Tag> {
    let mut parts = value.split(|byte| *byte == b'/').skip(1).map(|part| std::str::from_utf8(part).ok()?.parse().ok());
    let producer: u32 = parts.next()??;
    Some((producer as usize, parts.next()??))
}

#[derive(Clone)]
struct Batch {
    first: u32,
    count: u32,
    bytes: Vec<u8>,
}

/// What must be in a partition.
#[derive(Default)]
struct Log {
    /// What was read, from offset 0 on.
    known: Vec<Tag>,
    /// What was acknowledged and not read yet.
    acknowledged: BTreeMap<i64, Tag>,
    /// By producer: the number of the last record that was read.
    last: [Option<u32>; 2],
}

impl Log {
    fn acknowledge(&mut self, partition: usize, producer: usize, batch: &Batch, offset: i64) {
        for i in 0..batch.count {
            let (offset, tag) = (offset + i64::from(i), (producer, batch.first + i));
            match usize::try_from(offset).ok().and_then(|at| self.known.get(at)) {
                Some(known) => assert_eq!(*known, tag, "partition {partition}, offset {offset}: acknowledged twice"),
                None => {
                    let before = self.acknowledged.insert(offset, tag);
                    assert!(before.is_none_or(|before| before == tag), "partition {partition}, offset {offset}");
                }
            }
        }
    }

    /// Takes the next record that was read.
    fn read(&mut self, partition: usize, offset: i64, read: Tag, sent: u32) {
        let whence = format!("partition {partition}, offset {offset}");
        let (producer, number) = read;
        assert!(number < sent, "{whence}: {read:?} was never sent");
        if let Some(expected) = self.acknowledged.remove(&offset) {
            assert_eq!(read, expected, "{whence}: another record was acknowledged there");
        }
        let last = self.last[producer].replace(number);
        match producer {
            PLAIN => assert!(last.is_none_or(|last| last < number), "{whence}: {read:?} after {last:?}"),
            _ => assert_eq!(number, last.map_or(0, |last| last + 1), "{whence}: {read:?} after {last:?}"),
        }
        self.known.push(read);
    }
}

struct Producer {
    index: usize,
    id: Option<i64>,
    /// By partition: the number of the next record.
    next: [u32; PARTITIONS],
    /// By partition: what was sent and not acknowledged.
    unanswered: [VecDeque<Batch>; PARTITIONS],
    /// The partitions of the requests in flight, in order.
    requests: VecDeque<usize>,
}

impl Producer {
    fn new(index: usize, id: Option<i64>) -> Self {
        Self { index, id, next: [0; PARTITIONS], unanswered: Default::default(), requests: VecDeque::new() }
    }

    fn new_batch(&mut self, random: &mut Random, partition: usize) -> Batch {
        let count = 1 + random.below(12) as u32;
        let first = self.next[partition];
        self.next[partition] += count;
        let codec = if random.chance(30) { Compression::ALL[random.below(5)] } else { Compression::None };
        let mut builder = BatchBuilder::new().compression(codec, None);
        if let Some(id) = self.id {
            builder = builder.producer(id, 0, first.try_into().expect("few records"));
        }
        for number in first..first + count {
            let value = value(partition, (self.index, number));
            builder.append(&NewRecord {
                timestamp: now_ms(),
                key: Some(b"key"),
                value: Some(&value),
                ..Default::default()
            });
        }
        Batch { first, count, bytes: builder.build() }
    }

    fn send(&mut self, client: &mut Client, partition: usize, batch: Batch) -> std::io::Result<()> {
        let sent = client.send_produce(TOPIC, index(partition), Some(&batch.bytes));
        // Sent in part is sent for all we know.
        self.unanswered[partition].push_back(batch);
        self.requests.push_back(partition);
        sent.map(drop)
    }

    /// Takes the next answer. Errors of the connection only.
    fn answer(&mut self, client: &mut Client, logs: &mut [Log]) -> std::io::Result<()> {
        let Produced { error, base_offset, .. } = client.receive_produced()?;
        let partition = self.requests.pop_front().expect("answers have requests");
        let batch = self.unanswered[partition].pop_front().expect("as above");
        assert_eq!(error, ErrorCode::NONE, "producer {}, partition {partition}, from {}", self.index, batch.first);
        logs[partition].acknowledge(partition, self.index, &batch, base_offset);
        Ok(())
    }

    /// What a producer does that finds its broker again.
    fn reconnected(&mut self, client: &mut Client, logs: &mut [Log]) {
        self.requests.clear();
        for partition in 0..PARTITIONS {
            let unanswered = std::mem::take(&mut self.unanswered[partition]);
            if self.index == PLAIN {
                continue;
            }
            let again = unanswered.back().cloned();
            for batch in unanswered {
                self.send(client, partition, batch).expect("sent again");
            }
            // And the last once more: a duplicate has the same offset.
            if let Some(batch) = again {
                self.send(client, partition, batch).expect("sent twice");
            }
        }
        while !self.requests.is_empty() {
            self.answer(client, logs).expect("answered again");
        }
    }
}

/// As Kafka does, the broker forgets a producer whose last record is a day old by its own timestamp: the time is ours.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(now.as_millis()).expect("it fits")
}

fn index(partition: usize) -> i32 {
    i32::try_from(partition).expect("few partitions")
}

/// Reads a partition from an offset to its end. The error is what the broker says instead of records.
fn read_from(client: &mut Client, partition: usize, from: i64) -> Result<Vec<Tag>, ErrorCode> {
    let mut tags = Vec::new();
    let mut next = from;
    loop {
        let fetched = client.fetch(TOPIC, index(partition), next, FETCH_BYTES).expect("an answer");
        if !fetched.error.is_none() {
            println!(
                "partition {partition}, from {from}, at {next}: {}, end {}",
                fetched.error, fetched.high_watermark
            );
            return Err(fetched.error);
        }
        if fetched.records.is_empty() {
            assert_eq!(next, fetched.high_watermark, "partition {partition}: nothing to read before the end");
            return Ok(tags);
        }
        let before = next;
        for batch in batches(&fetched.records) {
            next = read_batch(&batch.expect("a sound batch"), partition, next, &mut tags);
        }
        assert!(next > before, "partition {partition}: nothing new at offset {next}");
    }
}

fn read_batch(batch: &RecordBatch<'_>, partition: usize, mut next: i64, tags: &mut Vec<Tag>) -> i64 {
    assert!(batch.has_valid_crc(), "partition {partition}: a wrong CRC in what is served, at {next}");
    let payload = batch.decompressed_payload(1 << 20).expect("sound records");
    for record in batch.records(&payload) {
        let record = record.expect("a sound record");
        if record.offset < next {
            continue;
        }
        assert_eq!(record.offset, next, "partition {partition}: a gap");
        let bytes = record.value.expect("every record has a value");
        let tag = tag(bytes).expect("a value of ours");
        assert!(bytes == value(partition, tag), "partition {partition}, offset {next}: a changed value of {tag:?}");
        tags.push(tag);
        next += 1;
    }
    next
}

struct Run {
    broker: Broker,
    random: Random,
    logs: Vec<Log>,
    producers: [Producer; 2],
}

impl Run {
    fn new(options: Options, seed: u64) -> Self {
        let broker = options.start();
        let mut client = Client::connect(broker.address()).expect("a connection");
        assert!(client.create_topic(TOPIC, index(PARTITIONS)).expect("an answer").is_none());
        let id = client.producer_id().expect("a producer id");
        Self {
            broker,
            random: Random::new(seed),
            logs: (0..PARTITIONS).map(|_| Log::default()).collect(),
            producers: [Producer::new(PLAIN, None), Producer::new(IDEMPOTENT, Some(id))],
        }
    }

    fn connect(&self) -> Client {
        Client::connect(self.broker.address()).expect("a connection")
    }

    /// Writes until `acks` acknowledgements have come, and leaves what is in flight.
    fn load(&mut self, clients: &mut [Client; 2], acks: usize) {
        let mut acks_left = acks;
        loop {
            for (producer, client) in self.producers.iter_mut().zip(clients.iter_mut()) {
                for _ in 0..PARTITIONS * IN_FLIGHT_MAX {
                    let partition = self.random.below(PARTITIONS);
                    if producer.unanswered[partition].len() < IN_FLIGHT_MAX {
                        let batch = producer.new_batch(&mut self.random, partition);
                        producer.send(client, partition, batch).expect("the broker takes requests");
                    }
                }
                for _ in 0..producer.requests.len() - self.random.below(4).min(producer.requests.len()) {
                    if acks_left == 0 {
                        return;
                    }
                    producer.answer(client, &mut self.logs).expect("the broker answers");
                    acks_left -= 1;
                }
            }
        }
    }

    fn kill(&mut self, clients: &mut [Client; 2]) {
        self.broker.kill();
        // Answers that had left count.
        for (producer, client) in self.producers.iter_mut().zip(clients) {
            while !producer.requests.is_empty() && producer.answer(client, &mut self.logs).is_ok() {}
        }
    }

    /// Comes back, on as many cores as chance has it; some starts do not come to their end.
    fn start_again(&mut self) {
        if !self.random.chance(40) {
            return self.broker.start_again();
        }
        while self.random.chance(50) {
            let after = Duration::from_micros(self.random.below(60_000) as u64);
            self.broker.start_and_kill(1 + self.random.below(CORES_MAX) as u32, after);
        }
        self.broker.start_again_on(1 + self.random.below(CORES_MAX) as u32);
    }

    /// Reads what is new and compares it with what must be there.
    fn check_tail(&mut self, client: &mut Client) {
        for (partition, log) in self.logs.iter_mut().enumerate() {
            let from = i64::try_from(log.known.len()).expect("few records");
            let tags = read_from(client, partition, from).expect("records or nothing");
            for (offset, tag) in (from..).zip(tags) {
                log.read(partition, offset, tag, self.producers[tag.0].next[partition]);
            }
            let lost = log.acknowledged.iter().next();
            assert!(lost.is_none(), "partition {partition} ends at {}, acknowledged was {lost:?}", log.known.len());
        }
    }

    fn check_all(&mut self, client: &mut Client) {
        for (partition, log) in self.logs.iter().enumerate() {
            assert!(read_from(client, partition, 0).expect("records") == log.known, "partition {partition} changed");
        }
    }

    fn cycle(&mut self, number: usize) {
        let acks = match self.random.below(8) {
            0 => 0,
            1 => 150 + self.random.below(200),
            _ => self.random.below(60),
        };
        let mut clients = [self.connect(), self.connect()];
        self.load(&mut clients, acks);
        self.kill(&mut clients);
        self.start_again();
        let mut client = self.connect();
        self.check_tail(&mut client);
        let mut clients = [self.connect(), self.connect()];
        for (producer, client) in self.producers.iter_mut().zip(&mut clients) {
            producer.reconnected(client, &mut self.logs);
        }
        self.check_tail(&mut client);
        if number.is_multiple_of(CYCLES_PER_FULL_READ) {
            self.check_all(&mut client);
        }
    }
}

fn environment(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn options(journal_bytes: u32, files: u32, message_bytes: u32, segment_bytes: u32) -> Options {
    Options::new()
        .argument("--memory")
        .argument("192M")
        .set("corelog.journal.file.bytes", &journal_bytes.to_string())
        .set("corelog.journal.files.max", &files.to_string())
        .set("corelog.metadata.journal.file.bytes", "65536")
        .set("log.retention.ms", "-1")
        .set("corelog.segment.bytes.min", "4096")
        .set("message.max.bytes", &message_bytes.to_string())
        .set("log.segment.bytes", &segment_bytes.to_string())
}

fn run(options: Options, seed: usize) {
    let seed = environment("CORELOG_CRASH_SEED", seed);
    let cycles = environment("CORELOG_CRASH_CYCLES", 100);
    println!("seed {seed}");
    let start = Instant::now();
    let mut run = Run::new(options, seed as u64);
    if !run.broker.is_ours() {
        return;
    }
    for number in 1..=cycles {
        run.cycle(number);
        assert!(start.elapsed() < RUN_MAX, "only {number} cycles in {RUN_MAX:?}");
    }
    assert!(run.broker.stop().success());
    run.broker.start_again();
    let mut client = run.connect();
    run.check_tail(&mut client);
    run.check_all(&mut client);
    let stderr = run.broker.stderr();
    assert!(!stderr.contains("panicked"), "{stderr}");
    let records: usize = run.logs.iter().map(|log| log.known.len()).sum();
    println!("{cycles} cycles, {records} records, {:.1} s", start.elapsed().as_secs_f64());
}

#[test]
fn kills_with_a_tiny_journal() {
    run(options(65_536, 4, 16_384, 16_384), 1);
}

#[test]
fn kills_with_a_small_journal() {
    run(options(1 << 20, 3, 65_536, 65_536), 2);
}
