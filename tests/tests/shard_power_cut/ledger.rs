//! What was promised: the model that a restarted shard is held against.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use corelog_shard::config::{BrokerConfig, Durability, MemoryBudget};
use corelog_shard::io::{ConnectionId, LogLevel, Now};
use corelog_tests::sim::disk::FaultDisk;
use corelog_tests::sim::node::{Node, decode};
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch, batches};

pub(crate) const BLOCK: usize = 4096;
const PRODUCE: i16 = 13;
const FETCH: i16 = 13;

/// How the process before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Clean,
    Killed,
    PowerCut,
}

impl End {
    fn keeps(self, level: Durability) -> bool {
        match self {
            Self::Clean => true,
            Self::Killed => level != Durability::Memory,
            Self::PowerCut => level == Durability::Fsync,
        }
    }
}

/// Everything as small as it goes, so that a short run goes round.
pub(crate) fn config(journal_file: u64, memory: u64) -> BrokerConfig {
    let mut config = BrokerConfig::default();
    for (key, value) in [
        ("corelog.segment.bytes.min", "4096".to_owned()),
        ("message.max.bytes", (journal_file / 4).to_string()),
        ("corelog.journal.file.bytes", journal_file.to_string()),
        ("corelog.journal.files.max", "4".to_owned()),
        ("corelog.metadata.journal.file.bytes", "16384".to_owned()),
        ("log.retention.check.interval.ms", "1000".to_owned()),
        ("log.index.interval.bytes", "4096".to_owned()),
    ] {
        config.set(key, &value).unwrap();
    }
    config.validate().unwrap();
    config.memory = MemoryBudget::from_total(memory);
    config
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Creating,
    Live,
    Doomed,
}

#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) level: Durability,
    /// The partitions keep so much at least; `None`: everything.
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) partitions: Vec<Partition>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Partition {
    /// What was acknowledged or read: base offset and checksum.
    kept: BTreeMap<i64, u32>,
    /// The highest high watermark and log start that a client was told.
    pub(crate) visible: i64,
    pub(crate) log_start: i64,
    /// Everything that was ever sent, by checksum.
    sent: BTreeMap<u32, Arc<Vec<u8>>>,
    pub(crate) producers: BTreeMap<i64, Producer>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Producer {
    pub(crate) next: i32,
    pub(crate) in_flight: usize,
    /// Sequence, offset, bytes; the oldest first.
    pub(crate) acknowledged: VecDeque<(i32, i64, Arc<Vec<u8>>)>,
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Produce { topic: TopicId, partition: usize, batch: Arc<Vec<u8>>, producer: Option<(i64, i32)> },
    Fetch { topic: TopicId, partition: usize, from: i64 },
}

#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) config: BrokerConfig,
    /// How many shards the next start has.
    pub(crate) shards: u32,
    pub(crate) now: Now,
    pub(crate) topics: BTreeMap<TopicId, Topic>,
    pub(crate) deleted: BTreeSet<(TopicId, String)>,
    pub(crate) acknowledged: u64,
    pub(crate) duplicates: u64,
    pub(crate) fetched: u64,
    next_value: u64,
}

fn checksum(batch: &[u8]) -> u32 {
    u32::from_be_bytes(batch[17..21].try_into().unwrap())
}

impl Ledger {
    pub(crate) fn new(config: BrokerConfig) -> Self {
        Self {
            config,
            shards: 1,
            now: Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 },
            topics: BTreeMap::new(),
            deleted: BTreeSet::new(),
            acknowledged: 0,
            duplicates: 0,
            fetched: 0,
            next_value: 0,
        }
    }

    /// A batch that was never sent before.
    pub(crate) fn batch(&mut self, size: usize, producer: Option<(i64, i32)>) -> Arc<Vec<u8>> {
        self.next_value += 1;
        let mut builder = BatchBuilder::new();
        if let Some((id, sequence)) = producer {
            builder = builder.producer(id, 0, sequence);
        }
        let records = 1 + self.next_value as usize % 3;
        for index in 0..records {
            let mut value = format!("{}/{index}:", self.next_value).into_bytes();
            let fill = value.len().max(size / records);
            let mut noise = self.next_value;
            while value.len() < fill {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                value.extend_from_slice(&noise.to_le_bytes());
            }
            builder.append(&NewRecord { timestamp: self.now.wall_ms, key: None, value: Some(&value), headers: &[] });
        }
        Arc::new(builder.build())
    }

    /// Sends a batch; the answer goes to [`Self::answered`].
    pub(crate) fn produce(
        &mut self,
        node: &mut Node,
        connection: ConnectionId,
        (topic, partition): (TopicId, usize),
        batch: Arc<Vec<u8>>,
        producer: Option<(i64, i32)>,
    ) -> Pending {
        let model = self.topics.get_mut(&topic).unwrap();
        model.partitions[partition].sent.insert(checksum(&batch), batch.clone());
        let partitions = [PartitionProduceData { index: partition as i32, records: Some(&batch) }];
        let topics = [TopicProduceData { topic_id: topic, partition_data: (&partitions).into(), ..Default::default() }];
        let request =
            ProduceRequest { acks: -1, timeout_ms: 600_000, topic_data: (&topics).into(), ..Default::default() };
        node.send(connection, PRODUCE, &request);
        Pending::Produce { topic, partition, batch, producer }
    }

    pub(crate) fn fetch(
        &mut self,
        node: &mut Node,
        connection: ConnectionId,
        (topic, partition): (TopicId, usize),
        from: i64,
        max_bytes: i32,
    ) -> Pending {
        let index = partition as i32;
        let partitions = [FetchPartition {
            partition: index,
            fetch_offset: from,
            partition_max_bytes: max_bytes,
            ..Default::default()
        }];
        let topics = [FetchTopic { topic_id: topic, partitions: (&partitions).into(), ..Default::default() }];
        let request = FetchRequest {
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes,
            session_epoch: -1,
            topics: (&topics).into(),
            ..Default::default()
        };
        node.send(connection, FETCH, &request);
        Pending::Fetch { topic, partition, from }
    }

    /// Takes an answer into account. Returns what a fetch brought: base offset, next offset, the batch.
    pub(crate) fn answered(&mut self, pending: Pending, reply: &[u8]) -> Vec<(i64, i64, Vec<u8>)> {
        match pending {
            Pending::Produce { topic, partition, batch, producer } => {
                let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, reply);
                let answer = response.responses.first().unwrap().partition_responses.first().unwrap();
                let Some(model) = self.topics.get_mut(&topic).filter(|topic| topic.state != State::Doomed) else {
                    return vec![];
                };
                assert_eq!(answer.error_code, ErrorCode::NONE, "{} {:?}", model.name, answer.error_message);
                let model = &mut model.partitions[partition];
                let base = answer.base_offset;
                model.log_start = model.log_start.max(answer.log_start_offset);
                self.acknowledged += 1;
                if let Some((id, sequence)) = producer {
                    let producer = model.producers.get_mut(&id).unwrap();
                    producer.in_flight -= 1;
                    if let Some((_, offset, _)) = producer.acknowledged.iter().find(|(known, ..)| *known == sequence) {
                        assert_eq!(*offset, base, "a duplicate gets its first offset");
                        self.duplicates += 1;
                        return vec![];
                    }
                    producer.acknowledged.push_back((sequence, base, batch.clone()));
                    if producer.acknowledged.len() > 4 {
                        producer.acknowledged.pop_front();
                    }
                }
                let before = model.kept.insert(base, checksum(&batch));
                assert!(before.is_none_or(|crc| crc == checksum(&batch)), "offset {base} was given out twice");
                vec![]
            }
            Pending::Fetch { topic, partition, from } => {
                let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, reply);
                let answer = response.responses.first().unwrap().partitions.first().unwrap();
                let Some(model) = self.topics.get_mut(&topic).filter(|topic| topic.state != State::Doomed) else {
                    return vec![];
                };
                let name = format!("{}-{partition}", model.name);
                let model = &mut model.partitions[partition];
                if answer.error_code == ErrorCode::OFFSET_OUT_OF_RANGE {
                    assert!(from <= model.visible, "{name}: {from} was visible");
                    return vec![];
                }
                assert_eq!(answer.error_code, ErrorCode::NONE, "{name} from {from}");
                // An answer of another connection may have overtaken it.
                model.visible = model.visible.max(answer.high_watermark);
                model.log_start = model.log_start.max(answer.log_start_offset);
                let bytes: Vec<u8> =
                    answer.records.map_or(vec![], |records| records.pieces().flatten().copied().collect());
                self.fetched += bytes.len() as u64;
                let mut found = vec![];
                let mut next = None;
                for batch in batches(&bytes) {
                    let batch = batch.unwrap_or_else(|error| panic!("{name} from {from}: {error}"));
                    let (base, end) = (batch.base_offset(), batch.next_offset());
                    assert!(next.is_none_or(|next| next == base), "{name}: {base} does not follow {next:?}");
                    assert!(next.is_some() || (base <= from && end > from), "{name} from {from}: it begins at {base}");
                    assert!(end <= answer.high_watermark, "{name}: {end} is not visible yet");
                    model.check(&name, &batch);
                    model.kept.insert(base, batch.crc());
                    next = Some(end);
                    found.push((base, end, batch.as_bytes().to_vec()));
                }
                found
            }
        }
    }

    /// Notes which of the topics that were asked for are there, on every shard, and which are gone for good.
    pub(crate) fn note_topics(&mut self, node: &Node) {
        let image = node.shard().metadata().image();
        let mut gone = vec![];
        for (id, topic) in &mut self.topics {
            let knowing = node.shards().iter().filter(|shard| shard.metadata().image().topic_by_id(*id).is_some());
            let knowing = knowing.count();
            match topic.state {
                State::Creating if knowing == node.shards().len() => topic.state = State::Live,
                State::Doomed if knowing == 0 => gone.push(*id),
                State::Live => assert!(knowing == node.shards().len(), "topic {} is gone", topic.name),
                _ => {}
            }
        }
        for id in gone {
            let topic = self.topics.remove(&id).unwrap();
            self.deleted.insert((id, topic.name));
        }
        for (id, name) in &self.deleted {
            assert!(image.topic_by_id(*id).is_none(), "topic {name} came back");
        }
    }

    /// Starts a shard on a disk, and holds it against what was promised. What it has becomes what is promised from now
    /// on.
    pub(crate) fn restart(&mut self, disk: FaultDisk, end: End) -> Node {
        self.now.monotonic_us += 1_000;
        let (node, report) = Node::start_with(disk, &self.config, self.now, false, self.shards)
            .unwrap_or_else(|(_, error)| panic!("the start was refused: {}", error.message));
        assert!(report.was_clean || end != End::Clean, "the stop was clean");
        self.hold(node, end)
    }

    /// Holds a shard that was just started against what was promised.
    pub(crate) fn hold(&mut self, mut node: Node, end: End) -> Node {
        let image = node.shard().metadata().image();
        let there: Vec<TopicId> = image.topics().map(|topic| topic.id()).collect();
        // What was asked for and is not there never will be.
        self.topics.retain(|id, topic| topic.state != State::Creating || there.contains(id));
        for topic in self.topics.values_mut().filter(|topic| topic.state == State::Creating) {
            topic.state = State::Live;
        }
        self.note_topics(&node);
        for (id, topic) in &mut self.topics {
            topic.state = State::Live;
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                for producer in partition.producers.values_mut() {
                    producer.in_flight = 0;
                }
                let logs = node.logs_of(*id, index as i32);
                let found = logs.find(*id, index as i32).expect("a topic has its partitions");
                let (log_start, visible) = (logs.log_start_offset(found), logs.high_watermark(found));
                let log_end = logs.log_end_offset(found);
                let what = format!("{}-{index} after {end:?}", topic.name);
                assert!(log_start <= visible && visible <= log_end, "{what}: {log_start} {visible} {log_end}");
                assert!(log_start == 0 || topic.retention_bytes.is_some(), "{what}: it begins at {log_start}");
                if end.keeps(topic.level) {
                    assert!(
                        log_start >= partition.log_start,
                        "{what}: log start {log_start}, was {}",
                        partition.log_start
                    );
                    assert!(visible >= partition.visible, "{what}: {visible} was {}", partition.visible);
                } else {
                    partition.producers.clear();
                }
                (partition.log_start, partition.visible) = (log_start, visible);
            }
        }
        let connection = node.connect();
        let ids: Vec<TopicId> = self.topics.keys().copied().collect();
        for id in ids {
            for partition in 0..self.topics[&id].partitions.len() {
                let all = self.read_all(&mut node, connection, (id, partition));
                self.topics.get_mut(&id).unwrap().hold(partition, &all, end);
            }
        }
        node
    }

    /// Reads all partitions of a node whose disk has rotted. What is served is right; when something is not, returns what
    /// the operator was told.
    pub(crate) fn read_what_can_be_read(mut self, mut node: Node) -> Option<Vec<(LogLevel, String)>> {
        self.note_topics(&node);
        let connection = node.connect();
        let places: Vec<(TopicId, usize)> = self
            .topics
            .iter()
            .flat_map(|(id, topic)| (0..topic.partitions.len()).map(move |index| (*id, index)))
            .collect();
        let mut refused = false;
        for place in places {
            let logs = node.logs_of(place.0, place.1 as i32);
            let found = logs.find(place.0, place.1 as i32).unwrap();
            let (mut at, end) = (logs.log_start_offset(found), logs.high_watermark(found));
            while at < end {
                let pending = self.fetch(&mut node, connection, place, at, 30_000);
                let reply = wait_for(&mut node, connection);
                let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, &reply);
                let error = response.responses.first().unwrap().partitions.first().unwrap().error_code;
                if error != ErrorCode::NONE {
                    refused |= error != ErrorCode::OFFSET_OUT_OF_RANGE;
                    break;
                }
                let Some((_, next, _)) = self.answered(pending, &reply).pop() else { panic!("nothing and no error") };
                at = next;
            }
        }
        refused.then_some(node.messages)
    }

    /// Everything of a partition from its log start to the high watermark.
    fn read_all(
        &mut self,
        node: &mut Node,
        connection: ConnectionId,
        place: (TopicId, usize),
    ) -> Vec<(i64, i64, Vec<u8>)> {
        let before = self.topics[&place.0].partitions[place.1].kept.clone();
        let mut all: Vec<(i64, i64, Vec<u8>)> = vec![];
        let mut at = self.topics[&place.0].partitions[place.1].log_start;
        while at < self.topics[&place.0].partitions[place.1].visible {
            let pending = self.fetch(node, connection, place, at, 30_000);
            let reply = wait_for(node, connection);
            let found = self.answered(pending, &reply);
            match found.last() {
                Some((_, end, _)) => at = *end,
                // Retention went on meanwhile.
                None => {
                    let logs = node.logs_of(place.0, place.1 as i32);
                    let log_start = logs.log_start_offset(logs.find(place.0, place.1 as i32).unwrap());
                    assert!(log_start > at, "nothing was read at {at}");
                    self.topics.get_mut(&place.0).unwrap().partitions[place.1].log_start = log_start;
                    all.clear();
                    at = log_start;
                    continue;
                }
            }
            all.extend(found);
        }
        // Reading promised what was read; what is held against it is what was promised before.
        self.topics.get_mut(&place.0).unwrap().partitions[place.1].kept = before;
        all
    }

    /// Goes on: the same batches again get their first offsets, new ones follow, and all can be read.
    pub(crate) fn go_on(&mut self, node: &mut Node) {
        let connection = node.connect();
        let places: Vec<(TopicId, usize)> = self
            .topics
            .iter()
            .flat_map(|(id, topic)| (0..topic.partitions.len()).map(move |index| (*id, index)))
            .collect();
        for place in places {
            let partition = &self.topics[&place.0].partitions[place.1];
            let last = |(id, producer): (&i64, &Producer)| {
                producer.acknowledged.back().map(|(sequence, _, batch)| (*id, *sequence, batch.clone()))
            };
            let again: Vec<_> = partition.producers.iter().filter_map(last).collect();
            let log_end = |node: &Node| {
                let logs = node.logs_of(place.0, place.1 as i32);
                logs.log_end_offset(logs.find(place.0, place.1 as i32).unwrap())
            };
            let before = log_end(node);
            for (id, sequence, batch) in again {
                let producers = &mut self.topics.get_mut(&place.0).unwrap().partitions[place.1].producers;
                producers.get_mut(&id).unwrap().in_flight += 1;
                let pending = self.produce(node, connection, place, batch, Some((id, sequence)));
                let reply = wait_for(node, connection);
                self.answered(pending, &reply);
            }
            assert_eq!(log_end(node), before, "duplicates are not appended");
            let batch = self.batch(700, None);
            let pending = self.produce(node, connection, place, batch, None);
            let reply = wait_for(node, connection);
            self.answered(pending, &reply);
            let kept = &self.topics[&place.0].partitions[place.1].kept;
            assert_eq!(kept.last_key_value().map(|(base, _)| *base), Some(before), "the next offset");
            let pending = self.fetch(node, connection, place, before, 30_000);
            let reply = wait_for(node, connection);
            assert_eq!(self.answered(pending, &reply).len(), 1, "what was acknowledged is visible");
        }
    }

    /// Nothing of deleted topics is left once the shard has come to rest.
    pub(crate) fn check_folders(&self, node: &Node) {
        let paths = node.disk.paths();
        assert!(!paths.iter().any(|path| path.contains("-delete")), "a deleted folder remains: {paths:?}");
        for (id, name) in &self.deleted {
            let successor = self.topics.iter().find(|(_, topic)| topic.name == *name);
            for path in paths.iter().filter(|path| path.starts_with(&format!("topics/{name}-"))) {
                assert!(successor.is_some(), "{path} of a deleted topic remains");
                if path.ends_with("partition.metadata") {
                    let text = String::from_utf8(node.disk.bytes(path).unwrap()).unwrap();
                    assert!(!text.contains(&id.to_string()), "{path} is still that of the deleted topic");
                }
            }
        }
    }

    /// Stops; the next start must say that the stop was clean.
    pub(crate) fn stop(&mut self, mut node: Node) -> FaultDisk {
        node.stop();
        node.settle();
        assert!(node.has_stopped(), "a stop comes to its end: {:?} {:?}", node.fatal, node.messages);
        assert_eq!(node.disk.in_flight(), 0, "nothing is in flight behind a stop");
        crate::snapshots::check(&node.disk);
        crate::indexes::check(&node.disk);
        node.disk.kill(1)
    }
}

impl Topic {
    fn hold(&mut self, index: usize, all: &[(i64, i64, Vec<u8>)], end: End) {
        let what = format!("{}-{index} after {end:?}", self.name);
        let partition = &mut self.partitions[index];
        let found: BTreeMap<i64, u32> = all.iter().map(|(base, _, batch)| (*base, checksum(batch))).collect();
        let distinct: BTreeSet<u32> = found.values().copied().collect();
        assert_eq!(distinct.len(), found.len(), "{what}: a batch is there twice");
        let mut next = all.first().map(|(base, ..)| *base);
        let mut epoch = 0;
        for (base, end, bytes) in all {
            assert_eq!(next, Some(*base), "{what}: a gap");
            next = Some(*end);
            let (batch, _) = RecordBatch::split_from(bytes).unwrap();
            assert!(batch.partition_leader_epoch() >= epoch, "{what}: leader epochs grow");
            epoch = batch.partition_leader_epoch();
        }
        assert!(all.is_empty() || next == Some(partition.visible), "{what}: {next:?} is not {}", partition.visible);
        if end.keeps(self.level) {
            let first = found.first_key_value().map_or(partition.visible, |(base, _)| *base);
            assert!(first <= partition.log_start, "{what}: begins at {first}");
            for (base, crc) in partition.kept.range(first..) {
                assert_eq!(found.get(base), Some(crc), "{what}: acknowledged offset {base}");
            }
            if let Some(least) = self.retention_bytes.filter(|_| partition.log_start > 0) {
                let bytes: usize = all.iter().map(|(.., batch)| batch.len()).sum();
                assert!(bytes as u64 >= least, "{what}: retention left {bytes} bytes of {least}");
            }
        }
        partition.kept = found;
    }
}

impl Partition {
    fn check(&self, name: &str, batch: &RecordBatch<'_>) {
        let base = batch.base_offset();
        assert!(batch.has_valid_crc(), "{name} at {base}: the checksum");
        let sent = self.sent.get(&batch.crc()).unwrap_or_else(|| panic!("{name} at {base}: nobody sent this"));
        assert_eq!(sent[16..], batch.as_bytes()[16..], "{name} at {base}");
        let known = self.kept.get(&base);
        assert!(known.is_none_or(|crc| *crc == batch.crc()), "{name} at {base}: another batch than before");
    }
}

/// The error in the answer to a produce request.
pub(crate) fn produce_error(reply: &[u8]) -> ErrorCode {
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, reply);
    response.responses.first().unwrap().partition_responses.first().unwrap().error_code
}

fn wait_for(node: &mut Node, connection: ConnectionId) -> Vec<u8> {
    let mut waited = 0;
    loop {
        if let Some(reply) = node.reply(connection) {
            return reply;
        }
        assert!(node.advance(), "no answer, and nothing is in flight: {:?} {:?}", node.fatal, node.messages);
        waited += 1;
        assert!(waited < 100_000, "no answer comes");
    }
}
