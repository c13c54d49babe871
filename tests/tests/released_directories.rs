//! Whole data directories of every released format open for ever: checkpoint, metadata snapshot, both journals, segments.
//!
//! What stands in `formats/` was written once, by the script below: `-stopped` ends with a clean stop, `-killed` just
//! before it, with records that only the journal has. The bytes that the present code writes may differ, since when it
//! writes what is its own affair; what it reads may not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use corelog_replication::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex};
use corelog_replication::metadata::{MetadataRecord, PartitionAssignment};
use corelog_shard::config::{BrokerConfig, MemoryBudget};
use corelog_shard::io::{ConnectionId, Now};
use corelog_tests::sim::disk::FaultDisk;
use corelog_tests::sim::node::{Node, decode};
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::message::Request;
use corelog_wire::primitives::Records;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch, batches};

const BLOCK: usize = 4096;
const VERSION: i16 = 13;
const NOW: Now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };
/// An idempotent producer writes it, all of it is kept.
const PLAIN: (TopicId, &str) = (TopicId([1; 16]), "plain");
/// Retention takes its beginning.
const SHORT: (TopicId, &str) = (TopicId([2; 16]), "short");
const PLAIN_RECORDS: i64 = 12;
const SHORT_RECORDS: i64 = 40;
/// Every folder of this kind, the oldest first.
const FOLDERS: [&str; 4] = ["v1-stopped", "v1-killed", "v2-stopped", "v2-killed"];
/// What the script writes today.
const NEWEST: [&str; 2] = ["v2-stopped", "v2-killed"];

fn config() -> BrokerConfig {
    let mut config = BrokerConfig::default();
    for (key, value) in [
        ("corelog.segment.bytes.min", "4096"),
        ("message.max.bytes", "8192"),
        ("corelog.journal.file.bytes", "32768"),
        ("corelog.journal.files.max", "4"),
        ("corelog.metadata.journal.file.bytes", "16384"),
        ("log.retention.check.interval.ms", "1000"),
    ] {
        config.set(key, value).unwrap();
    }
    config.validate().unwrap();
    config.memory = MemoryBudget::from_total(1 << 20);
    config
}

/// A running node and a client of it.
struct Broker {
    node: Node,
    connection: ConnectionId,
}

impl Broker {
    fn start(disk: FaultDisk) -> Self {
        let (mut node, _) = Node::start(disk, &config(), NOW, false).map_err(|(_, error)| error.message).unwrap();
        let connection = node.connect();
        Self { node, connection }
    }

    fn ask<'a, Q: Request<'a>>(&mut self, version: i16, request: &Q) -> Vec<u8> {
        self.node.send(self.connection, version, request);
        loop {
            if let Some(reply) = self.node.reply(self.connection) {
                return reply;
            }
            assert!(self.node.advance(), "no answer, and nothing is in flight: {:?}", self.node.messages);
        }
    }

    fn create(&mut self, (topic_id, name): (TopicId, &str), partitions: i32, configs: &[(&str, &str)]) {
        let broker = BrokerId(config().node_id);
        let assignment = |index| PartitionAssignment {
            index: PartitionIndex(index),
            replicas: vec![broker],
            leader: broker,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        };
        let partitions = (0..partitions).map(assignment).collect();
        let mut records = vec![MetadataRecord::Topic { name: name.to_owned(), topic_id, partitions }];
        records.extend(configs.iter().map(|(key, value)| MetadataRecord::TopicConfig {
            topic_id,
            key: (*key).to_owned(),
            value: Some((*value).to_owned()),
        }));
        self.node.propose(&records);
        self.node.settle();
    }

    fn new_producer(&mut self) -> i64 {
        let reply = self.ask(4, &InitProducerIdRequest { transaction_timeout_ms: 1, ..Default::default() });
        let response: InitProducerIdResponse = decode(ApiKey::InitProducerId, 4, &reply);
        assert_eq!(response.error_code, ErrorCode::NONE);
        response.producer_id
    }

    /// Writes the record that belongs to this offset; the offset that the answer names.
    fn produce(&mut self, topic: (TopicId, &str), offset: i64, producer_id: Option<i64>) -> i64 {
        let mut builder = BatchBuilder::new();
        if let Some(id) = producer_id {
            builder = builder.producer(id, 0, offset as i32);
        }
        let value = value(topic, offset);
        builder.append(&NewRecord { timestamp: NOW.wall_ms + offset, key: None, value: Some(&value), headers: &[] });
        let batch = builder.build();
        let partitions = [PartitionProduceData { index: 0, records: Some(&batch) }];
        let topics =
            [TopicProduceData { topic_id: topic.0, partition_data: (&partitions).into(), ..Default::default() }];
        let request =
            ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: (&topics).into(), ..Default::default() };
        let reply = self.ask(VERSION, &request);
        let response: ProduceResponse<'_> = decode(ApiKey::Produce, VERSION, &reply);
        let answer = response.responses.first().unwrap().partition_responses.first().unwrap();
        assert_eq!(answer.error_code, ErrorCode::NONE, "{:?}", answer.error_message);
        answer.base_offset
    }

    /// Log start, and every record from there on held against what belongs to its offset; the next offset.
    fn read(&mut self, topic: (TopicId, &str)) -> (i64, i64) {
        let logs = self.node.shard().logs();
        let log_start = logs.log_start_offset(logs.find(topic.0, 0).unwrap());
        let mut next = log_start;
        loop {
            let partitions = [FetchPartition { fetch_offset: next, partition_max_bytes: 10_000, ..Default::default() }];
            let topics = [FetchTopic { topic_id: topic.0, partitions: (&partitions).into(), ..Default::default() }];
            let request =
                FetchRequest { max_bytes: 10_000, session_epoch: -1, topics: (&topics).into(), ..Default::default() };
            let reply = self.ask(VERSION, &request);
            let response: FetchResponse<'_> = decode(ApiKey::Fetch, VERSION, &reply);
            let data = response.responses.first().unwrap().partitions.first().unwrap();
            assert_eq!((data.error_code, data.log_start_offset), (ErrorCode::NONE, log_start));
            let Some(Records::Slice(bytes)) = data.records else { panic!("a decoded answer has its records") };
            if bytes.is_empty() {
                assert_eq!(data.high_watermark, next);
                return (log_start, next);
            }
            for batch in batches(bytes) {
                let batch: RecordBatch<'_> = batch.unwrap();
                assert_eq!(batch.base_offset(), next, "no gap");
                let wanted = value(topic, next);
                let found = batch.as_bytes().windows(wanted.len()).any(|window| window == wanted);
                assert!(batch.has_valid_crc() && found, "{} at {next}", topic.1);
                next = batch.last_offset() + 1;
            }
        }
    }
}

/// The value of the record at an offset.
fn value((_, name): (TopicId, &str), offset: i64) -> Vec<u8> {
    let length = if name == SHORT.1 { 3_000 } else { 300 };
    format!("{name} {offset} ").bytes().cycle().take(length).collect()
}

/// The directory after a clean stop, and as it was when the process might have been killed instead.
fn write() -> [FaultDisk; 2] {
    let mut broker = Broker::start(FaultDisk::new(BLOCK, 1));
    broker.create(PLAIN, 2, &[("index.interval.bytes", "1024")]);
    broker.create(SHORT, 1, &[("segment.bytes", "16384"), ("retention.bytes", "32768")]);
    let producer = broker.new_producer();
    for offset in 0..SHORT_RECORDS {
        broker.produce(SHORT, offset, None);
        if offset % 5 == 0 && offset / 5 < PLAIN_RECORDS - 2 {
            assert_eq!(broker.produce(PLAIN, offset / 5, Some(producer)), offset / 5);
        }
        broker.node.pass_us(1_100_000);
        broker.node.settle();
    }
    for offset in SHORT_RECORDS / 5..PLAIN_RECORDS {
        assert_eq!(broker.produce(PLAIN, offset, Some(producer)), offset);
    }
    broker.node.settle();
    let killed = broker.node.disk.kill(1);
    broker.node.stop();
    broker.node.settle();
    assert!(broker.node.has_stopped());
    [broker.node.disk.kill(1), killed]
}

/// Opens a directory and holds it against the script; then it goes on from there.
fn holds(disk: FaultDisk) {
    let mut broker = Broker::start(disk);
    let image = broker.node.shard().metadata().image();
    assert_eq!(image.topics().map(|topic| topic.name()).collect::<Vec<_>>(), [PLAIN.1, SHORT.1]);
    let (plain, short) = (image.topic_by_id(PLAIN.0).unwrap(), image.topic_by_id(SHORT.0).unwrap());
    assert_eq!((plain.partitions().len(), short.partitions().len()), (2, 1));
    assert_eq!(short.configs()["retention.bytes"], "32768");
    assert_eq!(image.next_producer_id().0 % 1_000, 0);

    assert_eq!(broker.read(PLAIN), (0, PLAIN_RECORDS));
    let (log_start, next) = broker.read(SHORT);
    assert!(log_start > 0 && log_start < next && next == SHORT_RECORDS, "retention took some: {log_start} to {next}");

    let producer = image_producer(&broker);
    for offset in PLAIN_RECORDS - 5..PLAIN_RECORDS {
        assert_eq!(broker.produce(PLAIN, offset, Some(producer)), offset, "a duplicate is recognised");
    }
    assert_eq!(broker.produce(PLAIN, PLAIN_RECORDS, Some(producer)), PLAIN_RECORDS, "and the next one goes on");
    assert!(broker.new_producer() > producer, "no producer id is given out twice");
    assert_eq!(broker.produce(SHORT, SHORT_RECORDS, None), SHORT_RECORDS);
    assert_eq!(broker.read(PLAIN), (0, PLAIN_RECORDS + 1));
}

/// The producer that the partition remembers.
fn image_producer(broker: &Broker) -> i64 {
    let logs = broker.node.shard().logs();
    let producers: Vec<i64> =
        logs.partition(logs.find(PLAIN.0, 0).unwrap()).producers.iter().map(|(id, _)| id).collect();
    assert_eq!(producers.len(), 1);
    producers[0]
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("formats").join(name)
}

fn load(folder: &Path, below: &str, disk: &mut FaultDisk) {
    for entry in std::fs::read_dir(folder.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            load(folder, &path, disk);
        } else {
            disk.replace(&path, &std::fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn what_is_written_today_can_be_opened() {
    let disks = write();
    for (disk, name) in disks.iter().zip(NEWEST) {
        for part in ["shard-0/checkpoint-", "metadata/snapshot-", "metadata/journal-", ".log", ".index", ".timeindex"] {
            assert!(disk.paths().iter().any(|path| path.contains(part)), "{name} has a {part}: {:?}", disk.paths());
        }
        if let Some(target) = std::env::var_os("CORELOG_WRITE_FORMATS") {
            for path in disk.paths() {
                let target = Path::new(&target).join(name).join(&path);
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::write(target, disk.bytes(&path).unwrap()).unwrap();
            }
        }
    }
    disks.into_iter().for_each(holds);
}

#[test]
fn released_directories_open() {
    for name in FOLDERS {
        let mut disk = FaultDisk::new(BLOCK, 0);
        load(&folder(name), "", &mut disk);
        holds(disk);
    }
}
