//! The scripted run: clients that produce, read, create and delete topics, while every boundary between two disk steps
//! is offered to a probe.

use std::collections::{BTreeMap, VecDeque};

use corelog_replication::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex};
use corelog_replication::metadata::{MetadataRecord, PartitionAssignment};
use corelog_shard::config::{BrokerConfig, Durability};
use corelog_shard::io::ConnectionId;
use corelog_shard::journal::EntryKind;
use corelog_shard::journal::inspect::{Part, inspect};
use corelog_tests::sim::disk::FaultDisk;
use corelog_tests::sim::node::Node;
use corelog_tests::sim::random::Random;
use corelog_wire::ids::TopicId;

use crate::ledger::{BLOCK, End, Ledger, Partition, Pending, Producer, State, Topic};

const CLIENTS: usize = 5;

/// Sees every boundary of the run: the disk as it is, and what was promised by then.
pub(crate) type Probe<'a> = dyn FnMut(&FaultDisk, &Ledger) + 'a;

pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) ledger: Ledger,
    pub(crate) random: Random,
    clients: Vec<(ConnectionId, VecDeque<Pending>)>,
    next_topic: u8,
    next_producer: i64,
    size_max: usize,
    /// How many seconds somebody may wait for an answer while nothing is in flight.
    pub(crate) patience: u32,
    pub(crate) seen: Seen,
}

/// What the run brought about, to be asserted by the test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) deepest: usize,
    pub(crate) journal_ordinal: u64,
    pub(crate) metadata_ordinal: u64,
    pub(crate) checkpoints: u64,
    pub(crate) snapshots: u64,
    pub(crate) carried: usize,
    pub(crate) closings: usize,
    pub(crate) log_starts: usize,
    pub(crate) segments: usize,
    pub(crate) removed_segments: bool,
    pub(crate) producer_snapshots: usize,
    pub(crate) restarts: BTreeMap<&'static str, usize>,
}

impl World {
    pub(crate) fn new(config: BrokerConfig, seed: u64, size_max: usize) -> Self {
        Self::with_shards(config, seed, size_max, 1)
    }

    /// Every other seed reads older data in place.
    pub(crate) fn with_shards(mut config: BrokerConfig, seed: u64, size_max: usize, shards: u32) -> Self {
        let reads = if seed.is_multiple_of(2) { "direct" } else { "splice" };
        config.set("corelog.segment.reads", reads).expect("both are known");
        let mut ledger = Ledger::new(config);
        ledger.shards = shards;
        let disk = FaultDisk::new(BLOCK, seed);
        let node = ledger.restart(disk, End::Clean);
        let mut world = Self {
            node,
            ledger,
            random: Random::new(seed),
            clients: vec![],
            next_topic: 0,
            next_producer: 0,
            size_max,
            patience: 0,
            seen: Seen::default(),
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.clients = (0..CLIENTS).map(|_| (self.node.connect(), VecDeque::new())).collect();
    }

    pub(crate) fn create(
        &mut self,
        name: &str,
        partitions: i32,
        level: Durability,
        segment: u64,
        retention: Option<u64>,
    ) {
        self.next_topic += 1;
        let topic_id = TopicId([self.next_topic; 16]);
        let broker = BrokerId(self.ledger.config.node_id);
        let assignment = |index| PartitionAssignment {
            index: PartitionIndex(index),
            replicas: vec![broker],
            leader: broker,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        };
        let level_name = ["fsync", "write", "memory"][level as usize];
        let mut configs = vec![("segment.bytes", segment.to_string()), ("corelog.durability", level_name.to_owned())];
        configs.extend(retention.map(|bytes| ("retention.bytes", bytes.to_string())));
        let mut records = vec![MetadataRecord::Topic {
            name: name.to_owned(),
            topic_id,
            partitions: (0..partitions).map(assignment).collect(),
        }];
        records.extend(configs.into_iter().map(|(key, value)| MetadataRecord::TopicConfig {
            topic_id,
            key: key.to_owned(),
            value: Some(value),
        }));
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        let topic =
            Topic { name: name.to_owned(), state: State::Creating, level, retention_bytes: retention, partitions };
        self.ledger.topics.insert(topic_id, topic);
        self.node.propose(&records);
    }

    pub(crate) fn delete(&mut self, name: &str) {
        let (id, topic) = self.ledger.topics.iter_mut().find(|(_, topic)| topic.name == name).unwrap();
        topic.state = State::Doomed;
        let id = *id;
        self.node.propose(&[MetadataRecord::RemoveTopic { topic_id: id }]);
        self.ledger.note_topics(&self.node);
    }

    /// Completes one disk step, which the probe sees before it happens.
    pub(crate) fn advance(&mut self, probe: &mut Probe<'_>) -> bool {
        if self.node.disk.in_flight() > 0 {
            probe(&self.node.disk, &self.ledger);
        }
        let moved = self.node.advance();
        assert_eq!(self.node.fatal, None);
        self.take_answers();
        moved
    }

    pub(crate) fn settle(&mut self, probe: &mut Probe<'_>) {
        for _ in 0..=self.patience {
            while self.advance(probe) {}
            if self.clients.iter().all(|(_, pending)| pending.is_empty()) {
                return;
            }
            self.pass_us(1_000_000);
        }
        panic!("nothing is in flight, and somebody waits for an answer: {:?}", self.node.messages);
    }

    fn take_answers(&mut self) {
        self.ledger.note_topics(&self.node);
        for (connection, pending) in &mut self.clients {
            while let Some(reply) = self.node.reply(*connection) {
                let pending = pending.pop_front().expect("an answer has its request");
                self.ledger.answered(pending, &reply);
            }
        }
        assert_eq!(self.node.closed, [], "{:?}", self.node.messages);
        self.seen.deepest = self.seen.deepest.max(self.node.deepest());
    }

    pub(crate) fn pass_us(&mut self, us: u64) {
        self.node.pass_us(us);
        self.ledger.now = self.node.now;
        self.take_answers();
    }

    /// A turn of a run that may end in a failure.
    pub(crate) fn run_turn(&mut self) {
        if self.node.fatal.is_none() {
            self.request();
        }
        for _ in 0..self.random.below(5) {
            self.node.advance();
        }
        self.node.pass_us(500);
        self.ledger.now = self.node.now;
        self.take_answers();
    }

    /// A random run of `turns` turns.
    pub(crate) fn run(&mut self, turns: usize, probe: &mut Probe<'_>) {
        for turn in 0..turns {
            for _ in 0..self.random.below(4) {
                self.request();
            }
            for _ in 0..self.random.below(7) {
                self.advance(probe);
            }
            let quiet = self.random.chance(4);
            if quiet {
                // Everybody stops for a while: a closing commit.
                self.settle(probe);
            }
            let us = match self.random.below(40) {
                0 => 1_100_000,
                _ if quiet => 150_000,
                _ => 500,
            };
            self.pass_us(us);
            if turn % 10 == 0 {
                self.look();
            }
        }
    }

    pub(crate) fn place(&mut self) -> Option<(TopicId, usize)> {
        let live: Vec<(TopicId, usize)> = (self.ledger.topics.iter().filter(|(_, topic)| topic.state == State::Live))
            .flat_map(|(id, topic)| (0..topic.partitions.len()).map(|index| (*id, index)))
            .collect();
        if live.is_empty() { None } else { Some(live[self.random.below(live.len())]) }
    }

    fn request(&mut self) {
        let Some(place) = self.place() else { return };
        let mut client = self.random.below(CLIENTS);
        if self.clients[client].1.len() >= 8 {
            return;
        }
        let (name, log_start, visible) = {
            let topic = &self.ledger.topics[&place.0];
            let partition = &topic.partitions[place.1];
            (topic.name.clone(), partition.log_start, partition.visible)
        };
        if self.random.chance(20) && visible > log_start {
            let from = log_start + self.random.below((visible - log_start) as usize) as i64;
            let max = [100, 5_000, 40_000][self.random.below(3)];
            let connection = self.clients[client].0;
            let pending = self.ledger.fetch(&mut self.node, connection, place, from, max);
            self.clients[client].1.push_back(pending);
            return self.take_answers();
        }
        let size = match (name.as_str(), self.random.below(10)) {
            ("tiny", _) => 80 + self.random.below(200),
            (_, 0) => self.size_max - 600,
            _ => 100 + self.random.below(self.size_max / 3),
        };
        let mut producer = None;
        let mut batch = None;
        if self.random.chance(40) {
            // One producer per partition and process, on a connection of its own.
            client = place.1 % CLIENTS;
            let producers = &mut self.ledger.topics.get_mut(&place.0).unwrap().partitions[place.1].producers;
            if producers.last_key_value().is_none_or(|(id, _)| *id < self.next_producer / 1_000 * 1_000) {
                self.next_producer += 1;
                producers.insert(self.next_producer, Producer::default());
            }
            let (id, state) = producers.iter_mut().next_back().unwrap();
            if state.in_flight >= 2 {
                return;
            }
            let repeated = state.acknowledged.back().filter(|_| self.random.chance(25));
            let sequence = match repeated {
                Some((sequence, _, bytes)) => {
                    batch = Some(bytes.clone());
                    *sequence
                }
                None => state.next,
            };
            state.in_flight += 1;
            producer = Some((*id, sequence));
        }
        let fresh = batch.is_none();
        let batch = batch.unwrap_or_else(|| self.ledger.batch(size, producer));
        if let Some((id, sequence)) = producer.filter(|_| fresh) {
            let (parsed, _) = corelog_wire::record_batch::RecordBatch::split_from(&batch).unwrap();
            let producers = &mut self.ledger.topics.get_mut(&place.0).unwrap().partitions[place.1].producers;
            producers.get_mut(&id).unwrap().next = sequence + parsed.record_count();
        }
        let connection = self.clients[client].0;
        let pending = self.ledger.produce(&mut self.node, connection, place, batch, producer);
        self.clients[client].1.push_back(pending);
        self.take_answers();
    }

    /// Stops cleanly, step by step, and starts.
    pub(crate) fn stop_and_start(&mut self, probe: &mut Probe<'_>) {
        let disk = self.stop(probe);
        self.start(disk, End::Clean, probe);
        *self.seen.restarts.entry("clean").or_default() += 1;
    }

    /// Stops cleanly, step by step. The disk is what is left.
    pub(crate) fn stop(&mut self, probe: &mut Probe<'_>) -> FaultDisk {
        self.node.stop();
        self.settle_stop(probe);
        assert!(self.node.has_stopped(), "a stop comes to its end: {:?}", self.node.messages);
        let found = crate::snapshots::check(&self.node.disk);
        self.seen.producer_snapshots += found.snapshots;
        crate::indexes::check(&self.node.disk);
        assert_eq!(found.strays, 0, "what a stop has left is gone before the next");
        self.node.disk.kill(1)
    }

    fn settle_stop(&mut self, probe: &mut Probe<'_>) {
        // Connections close when they have their answers.
        loop {
            if self.node.disk.in_flight() > 0 {
                probe(&self.node.disk, &self.ledger);
            }
            let moved = self.node.advance();
            self.node.closed.clear();
            self.take_answers();
            if !moved {
                return;
            }
        }
    }

    pub(crate) fn kill_and_start(&mut self, probe: &mut Probe<'_>) {
        let disk = self.node.disk.kill(self.random.next_u64());
        self.start(disk, End::Killed, probe);
        *self.seen.restarts.entry("killed").or_default() += 1;
    }

    pub(crate) fn cut_and_start(&mut self, probe: &mut Probe<'_>) {
        let disk = self.node.disk.restart(self.random.next_u64());
        self.start(disk, End::PowerCut, probe);
        *self.seen.restarts.entry("power cut").or_default() += 1;
    }

    /// Starts on a disk; the probe sees the disk at every boundary of the start, too.
    pub(crate) fn start(&mut self, disk: FaultDisk, end: End, probe: &mut Probe<'_>) {
        self.look();
        for cut in cuts_of_start(&disk, &self.ledger, None) {
            probe(&cut, &self.ledger);
        }
        self.node = self.ledger.restart(disk, end);
        self.next_producer = (self.next_producer / 1_000 + 1) * 1_000;
        self.connect();
    }

    /// Notes what has happened so far.
    fn look(&mut self) {
        let disk = &self.node.disk;
        let mut carried = 0;
        let mut log_starts = 0;
        for path in disk.paths() {
            let bytes = disk.bytes(&path).unwrap();
            let generation = |bytes: &[u8]| bytes.get(16..24).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap()));
            if path.starts_with("shard-") && path.contains("/checkpoint") {
                self.seen.checkpoints = self.seen.checkpoints.max(generation(&bytes));
            } else if path.starts_with("metadata/snapshot") {
                self.seen.snapshots = self.seen.snapshots.max(generation(&bytes));
            } else if path.starts_with("metadata/journal") {
                self.seen.metadata_ordinal = self.seen.metadata_ordinal.max(generation(&bytes));
            } else if path.starts_with("shard-") && path.contains("/journal") {
                self.seen.journal_ordinal = self.seen.journal_ordinal.max(generation(&bytes));
                for part in inspect(&bytes, BLOCK) {
                    match part {
                        Part::Entry(_, header) if header.kind == EntryKind::CarriedRecords => carried += 1,
                        Part::Entry(_, header) if header.kind == EntryKind::LogStart => log_starts += 1,
                        Part::Commit(_, header) if header.flags != 0 => self.seen.closings += 1,
                        _ => {}
                    }
                }
            } else if path.ends_with(".log") {
                self.seen.segments += usize::from(!path.ends_with("00000000000000000000.log"));
            }
        }
        self.seen.carried += carried;
        self.seen.log_starts += log_starts;
        self.seen.removed_segments |= self.ledger.topics.values().any(|t| t.partitions.iter().any(|p| p.log_start > 0));
    }
}

/// The disk at boundaries of a start on it, for a power cut there: at all of them, or at so many drawn ones.
pub(crate) fn cuts_of_start(disk: &FaultDisk, ledger: &Ledger, some: Option<(usize, &mut Random)>) -> Vec<FaultDisk> {
    let whole = Node::start_with(disk.clone(), &ledger.config, ledger.now, false, ledger.shards);
    let boundaries = whole.map_or_else(|(_, error)| panic!("{}", error.message), |(node, _)| node.disk.boundaries());
    let cut = |boundary| {
        let mut disk = disk.clone();
        disk.cut_at(boundary);
        match Node::start_with(disk, &ledger.config, ledger.now, false, ledger.shards) {
            Err((disk, _)) => disk,
            Ok(_) => panic!("the power was cut at {boundary} and the start did not notice"),
        }
    };
    match some {
        None => (0..boundaries).map(cut).collect(),
        Some((times, random)) => (0..times).map(|_| cut(random.below(boundaries as usize) as u64)).collect(),
    }
}
