//! A broker with compacted topics, and the map that its logs have to agree with.

use super::*;

pub(super) const VERSION: i16 = 13;
pub(super) const TOPIC: TopicId = TopicId([9; 16]);
pub(super) const PARTITIONS: usize = 2;
pub(super) const JOURNAL_FILE: u64 = 64 << 10;

/// What a topic of the tests has besides.
pub(super) type Settings<'a> = &'a [(&'a str, &'a str)];

pub(super) const COMPACT: Settings<'_> = &[
    ("cleanup.policy", "compact"),
    ("segment.bytes", "9000"),
    ("min.cleanable.dirty.ratio", "0.2"),
    ("delete.retention.ms", "3000"),
    ("index.interval.bytes", "500"),
];

/// A record as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: i64,
}

/// A batch that was sent, with its producer and sequence.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) records: Vec<Sent>,
    pub(super) producer: Option<(i64, i32)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    /// What was acknowledged, by offset.
    pub(super) records: BTreeMap<i64, Sent>,
    /// Behind the last of them.
    pub(super) end: i64,
    /// What was not answered yet, in the order in which it was sent.
    pub(super) pending: Vec<Batch>,
    /// The newest batch of each producer, with its offset.
    pub(super) producers: BTreeMap<i64, (Batch, i64)>,
    pub(super) next_sequences: BTreeMap<i64, i32>,
}

/// What was promised.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) config: BrokerConfig,
    pub(super) now: Now,
    pub(super) partitions: Vec<Partition>,
    pub(super) next_value: u64,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        let mut config = crate::ledger::config(JOURNAL_FILE, JOURNAL_FILE * 16);
        config.set("log.cleaner.backoff.ms", "300").unwrap();
        config.set("log.cleaner.io.buffer.size", "16384").unwrap();
        let reads = if seed.is_multiple_of(2) { "direct" } else { "splice" };
        config.set("corelog.segment.reads", reads).unwrap();
        let now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        Self { config, now, partitions: vec![Partition::default(); PARTITIONS], next_value: 0 }
    }

    /// A batch that was never sent before.
    pub(super) fn batch(&mut self, random: &mut Random, keys: usize, producer: Option<(i64, i32)>) -> Batch {
        let mut builder = BatchBuilder::new().compression(Compression::ALL[random.below(Compression::ALL.len())], None);
        if let Some((id, sequence)) = producer {
            builder = builder.producer(id, 0, sequence);
        }
        let mut records = vec![];
        for _ in 0..1 + random.below(6) {
            self.next_value += 1;
            let key = format!("key-{}", random.below(keys)).into_bytes();
            let mut value = format!("value {} ", self.next_value).into_bytes();
            for _ in 0..random.below(120) {
                value.extend_from_slice(&random.next_u64().to_le_bytes());
            }
            let value = (!random.chance(15)).then_some(value);
            let timestamp = self.now.wall_ms - random.below(50) as i64;
            let headers: &[(&[u8], Option<&[u8]>)] = if random.chance(20) { &[(b"h", Some(b"1"))] } else { &[] };
            builder.append(&NewRecord { timestamp, key: Some(&key), value: value.as_deref(), headers });
            records.push(Sent { key, value, timestamp });
        }
        Batch { bytes: Arc::new(builder.build()), records, producer }
    }
}

/// What each key has last.
pub(super) fn view<'a>(records: impl Iterator<Item = &'a Sent>) -> BTreeMap<&'a [u8], &'a [u8]> {
    let mut view = BTreeMap::new();
    for record in records {
        match &record.value {
            Some(value) => view.insert(record.key.as_slice(), value.as_slice()),
            None => view.remove(record.key.as_slice()),
        };
    }
    view
}

/// A batch as it was read: base offset, next offset, records by offset, bytes.
pub(super) struct Found {
    pub(super) base: i64,
    pub(super) next: i64,
    pub(super) records: Vec<(i64, Sent)>,
}

pub(super) fn parse(batch: &RecordBatch<'_>) -> Found {
    assert!(batch.has_valid_crc());
    let payload = batch.decompressed_payload(1 << 20).unwrap();
    let records = batch.records(&payload).map(|record| {
        let record = record.unwrap();
        let value = record.value.map(<[u8]>::to_vec);
        (record.offset, Sent { key: record.key.unwrap().to_vec(), value, timestamp: record.timestamp })
    });
    Found { base: batch.base_offset(), next: batch.next_offset(), records: records.collect() }
}

/// A node and one client of it.
pub(super) struct Broker {
    pub(super) node: Node,
    pub(super) connection: ConnectionId,
    pub(super) model: Model,
    pub(super) random: Random,
}

/// Sees every boundary of a run: the disk as it is, and what was promised by then.
pub(super) type Probe<'a> = dyn FnMut(&FaultDisk, &Model) + 'a;

impl Broker {
    pub(super) fn start(disk: FaultDisk, mut model: Model, seed: u64) -> Self {
        model.now.monotonic_us += 1_000;
        let (mut node, _) = Node::start(disk, &model.config, model.now, false)
            .unwrap_or_else(|(_, error)| panic!("the start was refused: {}", error.message));
        let left: Vec<String> = node.disk.paths().into_iter().filter(|path| path.contains("cleaned")).collect();
        assert!(left.is_empty(), "a start leaves nothing of a cleaning: {left:?}");
        let connection = node.connect();
        Self { node, connection, model, random: Random::new(seed) }
    }

    pub(super) fn create(&mut self, settings: Settings<'_>) {
        let broker = BrokerId(self.model.config.node_id);
        let assignment = |index| PartitionAssignment {
            index: PartitionIndex(index),
            replicas: vec![broker],
            leader: broker,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        };
        let partitions = (0..PARTITIONS as i32).map(assignment).collect();
        let mut records = vec![MetadataRecord::Topic { name: "compacted".to_owned(), topic_id: TOPIC, partitions }];
        records.extend(settings.iter().map(|(key, value)| MetadataRecord::TopicConfig {
            topic_id: TOPIC,
            key: (*key).to_owned(),
            value: Some((*value).to_owned()),
        }));
        self.node.propose(&records);
        self.node.settle();
    }

    pub(super) fn produce(&mut self, partition: usize, batch: &Batch) {
        let data = [PartitionProduceData { index: partition as i32, records: Some(&batch.bytes) }];
        let topics = [TopicProduceData { topic_id: TOPIC, partition_data: (&data).into(), ..Default::default() }];
        let request =
            ProduceRequest { acks: -1, timeout_ms: 600_000, topic_data: (&topics).into(), ..Default::default() };
        self.node.send(self.connection, VERSION, &request);
    }

    /// The offset that a produce request got.
    pub(super) fn produced(&mut self) -> Option<i64> {
        let reply = self.node.reply(self.connection)?;
        let response: ProduceResponse<'_> = decode(ApiKey::Produce, VERSION, &reply);
        let answer = response.responses.first().unwrap().partition_responses.first().unwrap();
        assert_eq!(answer.error_code, ErrorCode::NONE, "{:?}", answer.error_message);
        Some(answer.base_offset)
    }

    /// Sends a batch and goes on until it is answered.
    pub(super) fn write(&mut self, partition: usize, keys: usize, probe: &mut Probe<'_>) {
        let state = &mut self.model.partitions[partition];
        let producer = self.random.chance(40).then(|| {
            let id = 1 + self.random.below(3) as i64;
            (id, *state.next_sequences.entry(id).or_insert(0))
        });
        let batch = self.model.batch(&mut self.random, keys, producer);
        let state = &mut self.model.partitions[partition];
        if let Some((id, sequence)) = producer {
            state.next_sequences.insert(id, sequence + batch.records.len() as i32);
        }
        state.pending.push(batch.clone());
        self.produce(partition, &batch);
        let base = loop {
            if let Some(base) = self.produced() {
                break base;
            }
            assert!(self.advance(probe), "somebody waits, and nothing is in flight: {:?}", self.node.messages);
        };
        let state = &mut self.model.partitions[partition];
        state.pending.clear();
        assert_eq!(base, state.end, "offsets are given out in order");
        state.acknowledge(&batch, base);
    }

    /// Completes one disk step, which the probe sees before it happens.
    pub(super) fn advance(&mut self, probe: &mut Probe<'_>) -> bool {
        if self.node.disk.in_flight() > 0 {
            probe(&self.node.disk, &self.model);
        }
        let moved = self.node.advance();
        assert_eq!(self.node.fatal, None);
        moved
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.node.pass_us(ms * 1_000);
        self.model.now = self.node.now;
    }

    /// Lets the cleaner do all that it wants.
    pub(super) fn clean(&mut self, probe: &mut Probe<'_>) {
        for _ in 0..6 {
            self.pass_ms(1_100);
            while self.advance(probe) {}
        }
    }

    /// A random stretch of a history.
    pub(super) fn run(&mut self, turns: usize, keys: usize, probe: &mut Probe<'_>) {
        for _ in 0..turns {
            let partition = self.random.below(PARTITIONS);
            self.write(partition, keys, probe);
            for _ in 0..self.random.below(12) {
                self.advance(probe);
            }
            let ms = [1, 1, 1, 120, 350][self.random.below(5)];
            self.pass_ms(ms);
            if self.random.chance(10) {
                let logs = self.node.logs_of(TOPIC, partition as i32);
                let begin = logs.log_start_offset(logs.find(TOPIC, partition as i32).unwrap());
                let from = begin + self.random.below((self.model.partitions[partition].end - begin) as usize) as i64;
                let most = [100, 5_000, 40_000][self.random.below(3)];
                self.fetch(partition, from, most, probe);
            }
        }
    }

    /// What a fetch from an offset brings.
    pub(super) fn fetch(&mut self, partition: usize, from: i64, max_bytes: i32, probe: &mut Probe<'_>) -> Vec<Found> {
        let data = [FetchPartition {
            partition: partition as i32,
            fetch_offset: from,
            partition_max_bytes: max_bytes,
            ..Default::default()
        }];
        let topics = [FetchTopic { topic_id: TOPIC, partitions: (&data).into(), ..Default::default() }];
        let request = FetchRequest { max_bytes, session_epoch: -1, topics: (&topics).into(), ..Default::default() };
        self.node.send(self.connection, VERSION, &request);
        let reply = loop {
            if let Some(reply) = self.node.reply(self.connection) {
                break reply;
            }
            assert!(self.advance(probe), "a fetch is answered: {:?}", self.node.messages);
        };
        let response: FetchResponse<'_> = decode(ApiKey::Fetch, VERSION, &reply);
        let answer = response.responses.first().unwrap().partitions.first().unwrap();
        assert_eq!(answer.error_code, ErrorCode::NONE, "from {from}: {:?}", self.node.messages);
        let bytes: Vec<u8> = answer.records.map_or(vec![], |records| records.pieces().flatten().copied().collect());
        let mut found: Vec<Found> = vec![];
        for batch in batches(&bytes) {
            // What is sent from its place may be cut off at its end.
            let Ok(batch) = batch else { break };
            found.push(parse(&batch));
        }
        assert!(from == answer.high_watermark || !found.is_empty(), "nothing at {from} of {}", answer.high_watermark);
        assert!(found.first().is_none_or(|first| first.next > from), "it begins before what was asked for");
        found
    }

    /// Everything in a partition.
    pub(super) fn read_all(&mut self, partition: usize) -> Vec<Found> {
        let logs = self.node.logs_of(TOPIC, partition as i32);
        let id = logs.find(TOPIC, partition as i32).unwrap();
        let (mut next, end) = (logs.log_start_offset(id), logs.high_watermark(id));
        let mut all: Vec<Found> = vec![];
        while next < end {
            let found = self.fetch(partition, next, 30_000, &mut |_, _| {});
            next = found.last().unwrap().next;
            assert!(found.windows(2).all(|pair| pair[0].next <= pair[1].base), "offsets grow");
            assert!(all.last().zip(found.first()).is_none_or(|(before, next)| before.next <= next.base));
            all.extend(found);
        }
        assert_eq!(next, end, "the last batch of a log stays, or its header");
        all
    }

    /// Holds what is there against what was promised. What is there becomes that.
    pub(super) fn check(&mut self) {
        for index in 0..PARTITIONS {
            self.check_partition(index);
        }
    }

    pub(super) fn check_partition(&mut self, index: usize) {
        let all = self.read_all(index);
        let logs = self.node.logs_of(TOPIC, index as i32);
        let id = logs.find(TOPIC, index as i32).unwrap();
        let (log_start, end) = (logs.log_start_offset(id), logs.log_end_offset(id));
        assert_eq!(log_start, 0);
        let state = &mut self.model.partitions[index];
        assert!(end >= state.end, "partition {index} ends at {end}, was {}", state.end);
        for batch in core::mem::take(&mut state.pending) {
            if state.end < end {
                state.acknowledge(&batch, state.end);
            }
        }
        assert_eq!(end, state.end, "nobody sent more");
        let found: BTreeMap<i64, Sent> = all.iter().flat_map(|found| found.records.iter().cloned()).collect();
        for (offset, record) in &found {
            assert_eq!(state.records.get(offset), Some(record), "partition {index} offset {offset}");
        }
        assert_eq!(view(found.values()), view(state.records.values()), "partition {index}");
    }

    /// Fetches from every offset: the first batch that is there and ends behind it comes.
    pub(super) fn check_every_offset(&mut self) {
        for index in 0..PARTITIONS {
            let all = self.read_all(index);
            for from in 0..self.model.partitions[index].end {
                let wanted = all.iter().find(|found| found.next > from).unwrap();
                let found = self.fetch(index, from, 1, &mut |_, _| {});
                assert_eq!((found[0].base, found[0].next), (wanted.base, wanted.next), "partition {index} from {from}");
                assert_eq!(found[0].records, wanted.records);
            }
        }
    }

    /// Each producer repeats itself, is recognised, and goes on.
    pub(super) fn check_producers(&mut self) {
        for index in 0..PARTITIONS {
            for (batch, offset) in self.model.partitions[index].producers.clone().into_values() {
                self.produce(index, &batch);
                self.node.settle();
                assert_eq!(self.produced(), Some(offset), "a duplicate gets its first offset");
                let (id, sequence) = batch.producer.unwrap();
                let sequence = sequence + batch.records.len() as i32;
                let next = self.model.batch(&mut self.random, 10, Some((id, sequence)));
                self.produce(index, &next);
                self.node.settle();
                let state = &mut self.model.partitions[index];
                let base = state.end;
                state.next_sequences.insert(id, sequence + next.records.len() as i32);
                state.acknowledge(&next, base);
                assert_eq!(self.produced(), Some(base), "the producer goes on: {:?}", self.node.messages);
            }
        }
    }

    pub(super) fn stop(&mut self, probe: &mut Probe<'_>) -> FaultDisk {
        self.node.stop();
        while self.advance(probe) {}
        assert!(self.node.has_stopped(), "a stop comes to its end: {:?}", self.node.messages);
        self.node.disk.kill(1)
    }

    /// Nothing is damaged, so nobody should have to read about it.
    pub(super) fn nobody_complains(&self) {
        let is_bad = |(level, _): &&(LogLevel, String)| matches!(level, LogLevel::Error | LogLevel::Warn);
        let complaints: Vec<_> = self.node.messages.iter().filter(is_bad).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    pub(super) fn restart(self, disk: FaultDisk) -> Self {
        self.nobody_complains();
        let mut random = self.random;
        Self::start(disk, self.model, random.next_u64())
    }
}

impl Partition {
    pub(super) fn acknowledge(&mut self, batch: &Batch, base: i64) {
        for (record, offset) in batch.records.iter().zip(base..) {
            self.records.insert(offset, record.clone());
        }
        self.end = base + batch.records.len() as i64;
        if let Some((id, _)) = batch.producer {
            self.producers.insert(id, (batch.clone(), base));
        }
    }
}

/// Holds a disk on which something ended against what was promised; `thoroughly` goes on from there.
pub(super) fn check(disk: FaultDisk, model: Model, seed: u64, thoroughly: bool) {
    let mut broker = Broker::start(disk, model, seed);
    for state in &mut broker.model.partitions {
        // Who did not get an answer does not know where its sequence stands: it is not gone on with.
        for batch in &state.pending {
            if let Some((id, _)) = batch.producer {
                state.producers.remove(&id);
            }
        }
    }
    broker.check();
    for state in &mut broker.model.partitions {
        let known: Vec<i64> = state.producers.keys().copied().collect();
        state.next_sequences.retain(|id, _| known.contains(id));
    }
    if thoroughly {
        broker.check_producers();
        broker.clean(&mut |_, _| {});
        broker.check();
        broker.check_every_offset();
        let disk = broker.stop(&mut |_, _| {});
        crate::indexes::check(&disk);
        broker.nobody_complains();
        broker = broker.restart(disk);
        broker.check();
    }
    broker.nobody_complains();
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) cleanings: u64,
    pub(super) replaced: u64,
    pub(super) merged: bool,
}

impl Seen {
    pub(super) fn look(&mut self, broker: &Broker) {
        for index in 0..PARTITIONS as i32 {
            let logs = broker.node.logs_of(TOPIC, index);
            let p = logs.partition(logs.find(TOPIC, index).unwrap());
            self.replaced = self.replaced.max(p.cleaning.cleanings);
            self.merged |= p.segments.iter().any(|s| s.cleaned > 0 && s.next_offset - s.base_offset > 60);
        }
        self.cleanings += broker.node.shard().logs().cleaner_stats().cleanings;
    }
}

/// A history with every kind of end of a process in it.
pub(super) fn history(seed: u64, turns: usize, seen: &mut Seen, probe: &mut Probe<'_>) -> Broker {
    let mut broker = Broker::start(FaultDisk::new(BLOCK, seed), Model::new(seed), seed);
    broker.create(COMPACT);
    for (turn, keys) in [(0, 12), (1, 40), (2, 12), (3, 200)] {
        broker.run(turns, keys, probe);
        broker.clean(probe);
        seen.look(&broker);
        let disk = match turn {
            0 => broker.stop(probe),
            1 => broker.node.disk.kill(seed),
            _ => broker.node.disk.restart(seed),
        };
        broker = broker.restart(disk);
        broker.check();
    }
    broker.run(turns / 2, 12, probe);
    broker.clean(probe);
    seen.look(&broker);
    broker
}
