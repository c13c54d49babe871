//! What producing and fetching cost in memory: allocations are counted while the shard handles requests.
//!
//! A copy of records needs a place to go. So the bytes that are allocated while nothing can be used again bound the
//! copies, and the allocations of a shard in steady state say what a request costs besides.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use corelog_replication::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex};
use corelog_replication::metadata::{MetadataRecord, PartitionAssignment};
use corelog_shard::config::{BrokerConfig, MemoryBudget};
use corelog_shard::io::{ConnectionId, Now};
use corelog_tests::sim::disk::FaultDisk;
use corelog_tests::sim::node::{Node, decode};
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

const TOPIC: TopicId = TopicId([5; 16]);
const VERSION: i16 = 13;
const RECORDS_PER_BATCH: usize = 300;

/// What calls of the shard allocated.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    allocations: u64,
    bytes: u64,
}

thread_local! {
    static COST: Cell<Cost> = const { Cell::new(Cost { allocations: 0, bytes: 0 }) };
}

fn count(call: &mut dyn FnMut()) {
    let info = allocation_counter::measure(call);
    let before = COST.get();
    COST.set(Cost { allocations: before.allocations + info.count_total, bytes: before.bytes + info.bytes_total });
}

struct Bench {
    node: Node,
    connection: ConnectionId,
    batch: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let mut config = BrokerConfig::default();
        for (key, value) in
            [("corelog.journal.file.bytes", "8388608"), ("corelog.metadata.journal.file.bytes", "65536")]
        {
            config.set(key, value).unwrap();
        }
        config.validate().unwrap();
        config.memory = MemoryBudget::from_total(64 << 20);
        let now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        let (mut node, _) =
            Node::start(FaultDisk::new(4096, 1), &config, now, false).map_err(|(_, error)| error).unwrap();
        let broker = BrokerId(config.node_id);
        let partition = PartitionAssignment {
            index: PartitionIndex(0),
            replicas: vec![broker],
            leader: broker,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        };
        node.propose(&[MetadataRecord::Topic { name: "hot".to_owned(), topic_id: TOPIC, partitions: vec![partition] }]);
        node.settle();
        let mut builder = BatchBuilder::new();
        for _ in 0..RECORDS_PER_BATCH {
            builder.append(&NewRecord { timestamp: now.wall_ms, key: None, value: Some(&[7; 200]), headers: &[] });
        }
        let connection = node.connect();
        node.around = count;
        Self { node, connection, batch: builder.build() }
    }

    /// Sends the batch, and returns what that and everything until the answer cost.
    fn produce(&mut self) -> Cost {
        COST.take();
        let partitions = [PartitionProduceData { index: 0, records: Some(&self.batch) }];
        let topics = [TopicProduceData { topic_id: TOPIC, partition_data: (&partitions).into(), ..Default::default() }];
        let request =
            ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: (&topics).into(), ..Default::default() };
        self.node.send(self.connection, VERSION, &request);
        let reply = loop {
            if let Some(reply) = self.node.reply(self.connection) {
                break reply;
            }
            assert!(self.node.advance(), "nothing is left to do and nothing was answered");
        };
        let response: ProduceResponse<'_> = decode(ApiKey::Produce, VERSION, &reply);
        let topic = response.responses.first().unwrap();
        assert_eq!(topic.partition_responses.first().unwrap().error_code, ErrorCode::NONE);
        COST.get()
    }

    /// Reads all that fits into `max_bytes` from `offset` on; returns the bytes of records and what that cost.
    fn fetch(&mut self, offset: i64, max_bytes: i32) -> (usize, Cost) {
        COST.take();
        let partitions = [FetchPartition {
            partition: 0,
            fetch_offset: offset,
            partition_max_bytes: max_bytes,
            ..Default::default()
        }];
        let topics = [FetchTopic { topic_id: TOPIC, partitions: (&partitions).into(), ..Default::default() }];
        let request = FetchRequest { max_bytes, session_epoch: -1, topics: (&topics).into(), ..Default::default() };
        self.node.send(self.connection, VERSION, &request);
        let reply = self.node.reply(self.connection).expect("the tail is read from memory at once");
        let response: FetchResponse<'_> = decode(ApiKey::Fetch, VERSION, &reply);
        let topic = response.responses.first().unwrap();
        let partition = topic.partitions.first().unwrap();
        assert_eq!(partition.error_code, ErrorCode::NONE);
        (partition.records.map_or(0, |records| records.len()), COST.get())
    }
}

#[test]
fn records_are_copied_twice_on_their_way_in_and_not_at_all_on_their_way_out() {
    let mut bench = Bench::new();
    // Nothing was released yet that could be used again: every copy needs fresh memory.
    let bytes: u64 = (0..40).map(|_| bench.produce().bytes).sum();
    let sent = 40 * bench.batch.len() as u64;
    println!("{bytes} bytes were allocated for {sent} bytes of batches");
    assert!(bytes < sent * 5 / 2, "{bytes} bytes were allocated for {sent} bytes of batches: more than two copies");

    let (read, cost) = bench.fetch(0, 1 << 20);
    println!("a fetch of {read} bytes: {cost:?}");
    assert!(read > 900_000, "{read}");
    assert!(cost.bytes < 16_384, "{cost:?} for a fetch of {read} bytes: records are copied");
}

#[test]
fn a_produce_request_in_steady_state_allocates_little_and_nothing_per_record() {
    let mut bench = Bench::new();
    // Several times round the journal's ring and through the memory for the tail.
    for _ in 0..1_500 {
        bench.produce();
    }
    let mut costs: Vec<Cost> = (0..101).map(|_| bench.produce()).collect();
    costs.sort_by_key(|cost| cost.bytes);
    let median = costs[50];
    println!("a produce request of {RECORDS_PER_BATCH} records in steady state: {median:?}");
    assert!(median.allocations <= 40, "{median:?}");
    assert!(median.bytes <= 8_192, "{median:?}");
}
