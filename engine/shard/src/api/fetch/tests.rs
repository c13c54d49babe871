//! Versions, sessions, limits, long polling, epochs and reads from disk.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::api::fetch::{FetchPartition as WirePartition, FetchTopic, ReplicaState};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::record_batch;

use super::*;
use crate::front::testing::{Host, SMALL_SEGMENTS, batch, decode, filler};
use crate::io::ConnectionId;

const NEWEST: i16 = 18;

/// A partition of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    topic: String,
    topic_id: TopicId,
    partition: i32,
    error: ErrorCode,
    high_watermark: i64,
    last_stable_offset: i64,
    log_start_offset: i64,
    /// `None` for null, else how many.
    aborted: Option<usize>,
    /// Base offset and last offset of each batch.
    batches: Vec<(i64, i64)>,
    bytes: usize,
}

struct Want<'a> {
    topic: &'a str,
    id: TopicId,
    partition: i32,
    offset: i64,
    max_bytes: i32,
    leader_epoch: i32,
    last_fetched_epoch: i32,
}

impl Default for Want<'_> {
    fn default() -> Self {
        Self {
            topic: "t",
            id: TopicId([1; 16]),
            partition: 0,
            offset: 0,
            max_bytes: 1 << 20,
            leader_epoch: -1,
            last_fetched_epoch: -1,
        }
    }
}

struct Fetcher {
    host: Host,
    id: ConnectionId,
    version: i16,
    min_bytes: i32,
    max_wait_ms: i32,
    max_bytes: i32,
    isolation_level: i8,
    session: (i32, i32),
    forgotten: Vec<(TopicId, i32)>,
}

impl Fetcher {
    /// A host with topic "t" of two partitions, id 01..01.
    fn new() -> Self {
        Self::over(Host::new())
    }

    fn over(mut host: Host) -> Self {
        assert_eq!(host.create_topic("t", 2, &[SMALL_SEGMENTS]), TopicId([1; 16]));
        let id = host.open(1);
        let session = (0, -1);
        Self {
            host,
            id,
            version: NEWEST,
            min_bytes: 0,
            max_wait_ms: 0,
            max_bytes: 1 << 20,
            isolation_level: 0,
            session,
            forgotten: vec![],
        }
    }

    /// Writes a batch and waits until it is durable; its size.
    fn write(&mut self, topic: &str, partition: i32, values: &[&str]) -> usize {
        let writer = self.host.open(99);
        let size = self.append(writer, topic, partition, values);
        self.host.commit();
        self.host.reply(writer);
        self.host.disconnect(writer);
        size
    }

    fn append(&mut self, writer: ConnectionId, topic: &str, partition: i32, values: &[&str]) -> usize {
        let records = batch(values);
        let partitions = [PartitionProduceData { index: partition, records: Some(&records) }];
        let topics = [TopicProduceData { name: topic, partition_data: (&partitions).into(), ..Default::default() }];
        self.host.send(writer, 9, &ProduceRequest { acks: 1, topic_data: (&topics).into(), ..Default::default() });
        records.len()
    }

    /// What partition 0 has is on disk only.
    fn restart(&mut self) {
        self.write("t", 0, &[&filler()]);
        self.host.restart();
        self.id = self.host.open(1);
    }

    fn send(&mut self, wants: &[Want<'_>]) {
        let partitions: Vec<[WirePartition; 1]> = wants
            .iter()
            .map(|want| {
                [WirePartition {
                    partition: want.partition,
                    fetch_offset: want.offset,
                    partition_max_bytes: want.max_bytes,
                    current_leader_epoch: if self.version >= 9 { want.leader_epoch } else { -1 },
                    last_fetched_epoch: if self.version >= 12 { want.last_fetched_epoch } else { -1 },
                    ..Default::default()
                }]
            })
            .collect();
        let topics: Vec<_> = wants
            .iter()
            .zip(&partitions)
            .map(|(want, partitions)| FetchTopic {
                topic: want.topic,
                topic_id: want.id,
                partitions: partitions.into(),
            })
            .collect();
        let indexes: Vec<[i32; 1]> = self.forgotten.iter().map(|(_, partition)| [*partition]).collect();
        let forgotten: Vec<_> = self
            .forgotten
            .iter()
            .zip(&indexes)
            .map(|((id, _), partitions)| ForgottenTopic { topic: "t", topic_id: *id, partitions: partitions.into() })
            .collect();
        let (session_id, session_epoch) = self.session;
        let request = FetchRequest {
            max_wait_ms: self.max_wait_ms,
            min_bytes: self.min_bytes,
            max_bytes: self.max_bytes,
            isolation_level: self.isolation_level,
            session_id,
            session_epoch,
            topics: (&topics).into(),
            forgotten_topics_data: (&forgotten).into(),
            ..Default::default()
        };
        self.host.send(self.id, self.version, &request);
    }

    /// The next answer: error, session id, partitions.
    fn answer(&mut self) -> (ErrorCode, i32, Vec<Answer>) {
        let reply = self.host.reply(self.id);
        let response: FetchResponse<'_> = decode(ApiKey::Fetch, self.version, &reply);
        let mut answers = vec![];
        for topic in response.responses {
            for partition in topic.partitions {
                let records = partition.records.expect("never null");
                let bytes = records.as_slice().unwrap();
                let batches = record_batch::batches(bytes).map(|batch| {
                    let batch = batch.unwrap();
                    assert!(batch.has_valid_crc());
                    (batch.base_offset(), batch.last_offset())
                });
                assert_eq!(partition.preferred_read_replica, -1);
                answers.push(Answer {
                    topic: topic.topic.to_string(),
                    topic_id: topic.topic_id,
                    partition: partition.partition_index,
                    error: partition.error_code,
                    high_watermark: partition.high_watermark,
                    last_stable_offset: partition.last_stable_offset,
                    log_start_offset: partition.log_start_offset,
                    aborted: partition.aborted_transactions.map(|aborted| aborted.len()),
                    batches: batches.collect(),
                    bytes: bytes.len(),
                });
            }
        }
        (response.error_code, response.session_id, answers)
    }

    fn has_answer(&mut self) -> bool {
        match self.host.try_reply(self.id) {
            Some(_) => panic!("an answer came too early, or was not looked at"),
            None => false,
        }
    }

    /// Fetches without waiting and without an error of the whole request.
    fn fetch(&mut self, wants: &[Want<'_>]) -> Vec<Answer> {
        self.send(wants);
        let (error, _, answers) = self.answer();
        assert_eq!(error, ErrorCode::NONE);
        answers
    }

    fn fetch_one(&mut self, want: Want<'_>) -> Answer {
        let answers = self.fetch(&[want]);
        assert_eq!(answers.len(), 1);
        answers.into_iter().next().unwrap()
    }
}

#[test]
fn every_version_reads() {
    let mut fetcher = Fetcher::new();
    let bytes = fetcher.write("t", 1, &["a", "b"]) + fetcher.write("t", 1, &["c"]);
    for version in 4..=NEWEST {
        fetcher.version = version;
        let answer = fetcher.fetch_one(Want { partition: 1, offset: 1, ..Default::default() });
        assert_eq!(
            answer,
            Answer {
                topic: if version < 13 { "t".to_string() } else { String::new() },
                topic_id: if version < 13 { TopicId::ZERO } else { TopicId([1; 16]) },
                partition: 1,
                error: ErrorCode::NONE,
                high_watermark: 3,
                last_stable_offset: 3,
                log_start_offset: if version < 5 { -1 } else { 0 },
                aborted: None,
                batches: vec![(0, 1), (2, 2)],
                bytes,
            }
        );
    }
}

#[test]
fn read_committed_has_an_empty_list_of_aborted_transactions() {
    let mut fetcher = Fetcher::new();
    fetcher.isolation_level = READ_COMMITTED;
    assert_eq!(fetcher.fetch_one(Want::default()).aborted, Some(0));
}

#[test]
fn nothing_at_or_above_the_high_watermark_is_sent() {
    let mut fetcher = Fetcher::new();
    fetcher.write("t", 0, &["a"]);
    // A record that is not durable yet: its offset exists and has nothing.
    let writer = fetcher.host.open(98);
    fetcher.append(writer, "t", 0, &["b"]);
    for (offset, error, batches) in [
        (0, ErrorCode::NONE, vec![(0, 0)]),
        (1, ErrorCode::NONE, vec![]),
        (2, ErrorCode::NONE, vec![]),
        (3, ErrorCode::OFFSET_OUT_OF_RANGE, vec![]),
        (-1, ErrorCode::OFFSET_OUT_OF_RANGE, vec![]),
    ] {
        let answer = fetcher.fetch_one(Want { offset, ..Default::default() });
        assert_eq!((answer.error, answer.batches), (error, batches), "offset {offset}");
        assert_eq!(answer.high_watermark, if error.is_none() { 1 } else { -1 });
    }
}

#[test]
fn offsets_below_the_log_start_are_out_of_range() {
    let mut fetcher = Fetcher::new();
    fetcher.write("t", 0, &["a", "b"]);
    let partition = fetcher.host.partition(TopicId([1; 16]), 0);
    fetcher.host.logs().begin_log_start(partition, 1);
    fetcher.host.turn();
    fetcher.host.commit();
    let below = fetcher.fetch_one(Want::default());
    assert_eq!((below.error, below.log_start_offset), (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    let at = fetcher.fetch_one(Want { offset: 1, ..Default::default() });
    assert_eq!((at.error, at.log_start_offset, at.batches), (ErrorCode::NONE, 1, vec![(0, 1)]));
}

#[test]
fn limits_hold_but_for_the_first_batch() {
    let mut fetcher = Fetcher::new();
    let size = fetcher.write("t", 0, &["aaaa"]);
    for partition in [0, 0, 1, 1, 1] {
        assert_eq!(fetcher.write("t", partition, &["aaaa"]), size);
    }
    let two = |fetcher: &mut Fetcher, first: usize, second: usize, total: usize| {
        fetcher.max_bytes = total as i32;
        let wants = [
            Want { partition: 0, max_bytes: first as i32, ..Default::default() },
            Want { partition: 1, max_bytes: second as i32, ..Default::default() },
        ];
        let answers = fetcher.fetch(&wants);
        (answers[0].batches.len(), answers[1].batches.len())
    };
    let large = 100 * size;
    assert_eq!(two(&mut fetcher, large, large, large), (3, 3));
    assert_eq!(two(&mut fetcher, 2 * size, 1, large), (2, 0), "only the first batch of all comes whole");
    assert_eq!(two(&mut fetcher, 1, large, large), (1, 3));
    assert_eq!(two(&mut fetcher, 0, 0, 0), (1, 0));
    assert_eq!(two(&mut fetcher, large, large, 4 * size), (3, 1));
    assert_eq!(two(&mut fetcher, large, large, 4 * size - 1), (3, 0));
    fetcher.host.config().fetch_bytes_max = size;
    assert_eq!(two(&mut fetcher, large, large, large), (1, 0), "the broker's own limit");
    fetcher.max_bytes = -5;
    assert_eq!(fetcher.fetch_one(Want { max_bytes: -5, ..Default::default() }).batches.len(), 1);
}

#[test]
fn the_first_partition_with_records_is_the_first() {
    let mut fetcher = Fetcher::new();
    fetcher.write("t", 1, &["aaaa"]);
    fetcher.max_bytes = 1;
    let wants = [Want::default(), Want { partition: 1, max_bytes: 1, ..Default::default() }];
    let answers = fetcher.fetch(&wants);
    assert_eq!((answers[0].batches.len(), answers[1].batches.len()), (0, 1));
}

#[test]
fn long_polls_end_with_enough_bytes() {
    let mut fetcher = Fetcher::new();
    let size = batch(&["a"]).len();
    fetcher.min_bytes = 2 * size as i32;
    fetcher.max_wait_ms = 500;
    fetcher.send(&[Want::default(), Want { partition: 1, ..Default::default() }]);
    assert!(!fetcher.has_answer());
    fetcher.write("t", 0, &["a"]);
    assert!(!fetcher.has_answer());
    fetcher.write("t", 1, &["a"]);
    let (_, _, answers) = fetcher.answer();
    assert_eq!(answers.iter().map(|answer| answer.bytes).sum::<usize>(), 2 * size);
    assert!(fetcher.host.front().is_idle());
}

#[test]
fn long_polls_end_in_time() {
    let mut fetcher = Fetcher::new();
    fetcher.min_bytes = 1 << 20;
    fetcher.max_wait_ms = 500;
    fetcher.write("t", 0, &["a"]);
    fetcher.send(&[Want::default()]);
    let deadline_us = fetcher.host.front().next_deadline_us();
    assert_eq!(deadline_us, Some(fetcher.host.now.monotonic_us + 500_000));
    fetcher.host.advance_ms(499);
    assert!(!fetcher.has_answer());
    fetcher.host.advance_ms(1);
    assert_eq!(fetcher.answer().2[0].batches, [(0, 0)], "what there is comes");
}

#[test]
fn a_batch_above_the_partition_limit_ends_a_long_poll() {
    let mut fetcher = Fetcher::new();
    fetcher.min_bytes = 50;
    fetcher.max_wait_ms = 60_000;
    fetcher.write("t", 0, &["a"]);
    assert_eq!(fetcher.fetch_one(Want { max_bytes: 10, ..Default::default() }).batches, [(0, 0)]);
}

#[test]
fn long_polls_do_not_wait_for_errors_but_for_unknown_topics() {
    let mut fetcher = Fetcher::new();
    fetcher.min_bytes = 1;
    fetcher.max_wait_ms = 500;
    let unknown = || Want { id: TopicId([9; 16]), ..Default::default() };
    // Something is wrong with a partition that exists: the client has to act.
    fetcher.send(&[Want { offset: 7, ..Default::default() }, Want { partition: 1, ..Default::default() }]);
    assert_eq!(fetcher.answer().2[0].error, ErrorCode::OFFSET_OUT_OF_RANGE);
    // A client that asks for nothing that exists is answered at once, otherwise like everybody.
    fetcher.send(&[unknown()]);
    assert_eq!(fetcher.answer().2[0].error, ErrorCode::UNKNOWN_TOPIC_ID);
    fetcher.send(&[]);
    assert!(fetcher.answer().2.is_empty());
    fetcher.send(&[unknown(), Want::default()]);
    assert!(!fetcher.has_answer());
    fetcher.host.advance_ms(500);
    let (_, _, answers) = fetcher.answer();
    assert_eq!((answers[0].error, answers[1].error), (ErrorCode::UNKNOWN_TOPIC_ID, ErrorCode::NONE));
}

#[test]
fn a_deleted_topic_ends_a_long_poll() {
    let mut fetcher = Fetcher::new();
    fetcher.min_bytes = 1;
    fetcher.max_wait_ms = 60_000;
    fetcher.send(&[Want::default(), Want { partition: 1, ..Default::default() }]);
    assert!(!fetcher.has_answer());
    fetcher.host.delete_topic("t");
    let (_, _, answers) = fetcher.answer();
    assert!(answers.iter().all(|answer| answer.error == ErrorCode::UNKNOWN_TOPIC_ID), "{answers:?}");
    assert!(fetcher.host.front().is_idle());
}

#[test]
fn unknown_topics_and_partitions() {
    let mut fetcher = Fetcher::new();
    for (version, want, expected) in [
        (12, Want { topic: "x", ..Default::default() }, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (13, Want { id: TopicId::ZERO, ..Default::default() }, ErrorCode::UNKNOWN_TOPIC_ID),
        (12, Want { partition: 2, ..Default::default() }, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (13, Want { partition: -1, ..Default::default() }, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        fetcher.version = version;
        let answer = fetcher.fetch_one(want);
        assert_eq!((answer.error, answer.high_watermark, answer.bytes), (expected, -1, 0));
        assert_eq!(answer.aborted, Some(0), "Kafka's list is empty here, not null");
    }
}

#[test]
fn leader_epochs_are_compared() {
    let mut fetcher = Fetcher::new();
    let partition = fetcher.host.partition(TopicId([1; 16]), 0);
    fetcher.host.logs().set_leader_epoch(partition, 5);
    for (leader_epoch, expected) in [
        (-2, ErrorCode::NONE),
        (-1, ErrorCode::NONE),
        (5, ErrorCode::NONE),
        (4, ErrorCode::FENCED_LEADER_EPOCH),
        (6, ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        fetcher.version = NEWEST;
        fetcher.send(&[Want { leader_epoch, ..Default::default() }]);
        let reply = fetcher.host.reply(fetcher.id);
        let response: FetchResponse<'_> = decode(ApiKey::Fetch, NEWEST, &reply);
        let data = response.responses.first().unwrap().partitions.first().unwrap();
        assert_eq!(data.error_code, expected);
        let is_behind = expected == ErrorCode::FENCED_LEADER_EPOCH;
        assert_eq!(data.current_leader.leader_id, if is_behind { 1 } else { -1 });
        assert_eq!(response.node_endpoints.len(), usize::from(is_behind), "KIP-951");
        fetcher.version = 15;
        assert_eq!(fetcher.fetch_one(Want { leader_epoch, ..Default::default() }).error, expected);
    }
}

#[test]
fn divergence_is_told() {
    let mut fetcher = Fetcher::new();
    let partition = fetcher.host.partition(TopicId([1; 16]), 0);
    fetcher.write("t", 0, &["a", "b"]);
    fetcher.host.logs().set_leader_epoch(partition, 3);
    fetcher.write("t", 0, &["c"]);
    // Epoch 0 has offsets 0 and 1, epoch 3 has offset 2.
    for (offset, last_fetched_epoch, expected) in
        [(2, 0, None), (3, 0, Some((0, 2))), (1, 2, Some((0, 2))), (3, 3, None), (9, 3, Some((3, 3)))]
    {
        fetcher.send(&[Want { offset, last_fetched_epoch, ..Default::default() }]);
        let reply = fetcher.host.reply(fetcher.id);
        let response: FetchResponse<'_> = decode(ApiKey::Fetch, NEWEST, &reply);
        let data = response.responses.first().unwrap().partitions.first().unwrap();
        assert_eq!(data.error_code, ErrorCode::NONE);
        let told =
            (data.diverging_epoch.epoch >= 0).then_some((data.diverging_epoch.epoch, data.diverging_epoch.end_offset));
        assert_eq!(told, expected, "offset {offset} epoch {last_fetched_epoch}");
        assert!(told.is_none() || data.records.unwrap().is_empty());
    }
}

#[test]
fn epochs_that_the_log_cannot_judge() {
    let mut fetcher = Fetcher::new();
    let partition = fetcher.host.partition(TopicId([1; 16]), 0);
    fetcher.host.logs().set_leader_epoch(partition, 3);
    fetcher.write("t", 0, &["a", "b"]);
    fetcher.isolation_level = 1;
    // The log begins with epoch 3: who believes that something before offset 1 is older is told otherwise.
    fetcher.send(&[Want { offset: 1, last_fetched_epoch: 1, ..Default::default() }]);
    let reply = fetcher.host.reply(fetcher.id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, NEWEST, &reply);
    let data = response.responses.first().unwrap().partitions.first().unwrap();
    assert_eq!((data.diverging_epoch.epoch, data.diverging_epoch.end_offset), (1, 0));
    assert_eq!(fetcher.fetch_one(Want { last_fetched_epoch: 1, ..Default::default() }).error, ErrorCode::NONE);
    for (offset, last_fetched_epoch) in [(2, 4), (-1, 3), (-1, 1)] {
        let answer = fetcher.fetch_one(Want { offset, last_fetched_epoch, ..Default::default() });
        assert_eq!(answer.error, ErrorCode::OFFSET_OUT_OF_RANGE, "offset {offset} epoch {last_fetched_epoch}");
        assert_eq!(answer.aborted, None, "nothing was read");
    }
}

#[test]
fn followers_are_refused() {
    let mut fetcher = Fetcher::new();
    let state = ReplicaState { replica_id: 2, replica_epoch: 1 };
    let request = FetchRequest { replica_state: state, session_epoch: -1, ..Default::default() };
    let reply = fetcher.host.ask(fetcher.id, 15, &request);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, 15, &reply);
    assert_eq!(response.error_code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    let request = FetchRequest { replica_id: 0, session_epoch: -1, ..Default::default() };
    let reply = fetcher.host.ask(fetcher.id, 7, &request);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, 7, &reply);
    assert_eq!(response.error_code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    fetcher.host.send(fetcher.id, 6, &request);
    assert!(fetcher.host.closed.contains(&fetcher.id));
}

#[test]
fn reads_from_disk_and_memory_are_joined() {
    let mut fetcher = Fetcher::new();
    fetcher.write("t", 0, &["a"]);
    fetcher.restart();
    fetcher.write("t", 1, &["b"]);
    fetcher.send(&[Want::default(), Want { partition: 1, ..Default::default() }]);
    assert!(!fetcher.has_answer());
    fetcher.host.commit();
    let (_, _, answers) = fetcher.answer();
    assert_eq!((&answers[0].batches[..], &answers[1].batches[..]), (&[(0, 0)][..], &[(0, 0)][..]));
    assert_eq!((answers[0].high_watermark, answers[1].high_watermark), (2, 1));
}

#[test]
fn a_disk_that_fails_is_told() {
    let mut fetcher = Fetcher::new();
    fetcher.write("t", 0, &["a"]);
    fetcher.restart();
    for (version, expected) in [(5, ErrorCode::NOT_LEADER_OR_FOLLOWER), (6, ErrorCode::KAFKA_STORAGE_ERROR)] {
        fetcher.version = version;
        fetcher.send(&[Want::default()]);
        fetcher.host.fail_reads();
        let (_, _, answers) = fetcher.answer();
        assert_eq!((answers[0].error, answers[0].bytes), (expected, 0));
    }
}

#[test]
fn what_waits_for_its_turn_is_looked_up_again() {
    let mut fetcher = Fetcher::new();
    fetcher.write("t", 0, &["a"]);
    let blocker = fetcher.host.create_topic("blocker", 1, &[]);
    (fetcher.min_bytes, fetcher.max_wait_ms) = (1, 1_000);
    fetcher.send(&[Want { id: blocker, topic: "blocker", ..Default::default() }]);
    fetcher.send(&[Want::default()]);
    fetcher.host.delete_topic("t");
    fetcher.host.advance_ms(1_000);
    fetcher.answer();
    assert_eq!(fetcher.answer().2[0].error, ErrorCode::UNKNOWN_TOPIC_ID);
}

#[test]
fn sessions_send_only_what_changed() {
    for version in [7, 12, 13, NEWEST] {
        let mut fetcher = Fetcher::new();
        fetcher.version = version;
        fetcher.session = (0, 0);
        fetcher.send(&[Want::default(), Want { partition: 1, ..Default::default() }]);
        let (error, session_id, answers) = fetcher.answer();
        assert_eq!((error, answers.len()), (ErrorCode::NONE, 2));
        assert!(session_id > 0);

        fetcher.session = (session_id, 1);
        fetcher.send(&[]);
        assert_eq!(fetcher.answer(), (ErrorCode::NONE, session_id, vec![]), "version {version}");

        fetcher.write("t", 1, &["a"]);
        fetcher.session = (session_id, 2);
        fetcher.send(&[]);
        let (_, _, answers) = fetcher.answer();
        let told: Vec<_> = answers.iter().map(|answer| (answer.partition, answer.batches.len())).collect();
        assert_eq!(told, [(1, 1)]);

        // The client moves on, and forgets the other one.
        fetcher.session = (session_id, 3);
        fetcher.forgotten = vec![(TopicId([1; 16]), 0)];
        fetcher.send(&[Want { partition: 1, offset: 1, ..Default::default() }]);
        assert_eq!(fetcher.answer(), (ErrorCode::NONE, session_id, vec![]));
        fetcher.forgotten.clear();

        fetcher.session = (session_id, 9);
        fetcher.send(&[]);
        assert_eq!(fetcher.answer(), (ErrorCode::INVALID_FETCH_SESSION_EPOCH, 0, vec![]));
        fetcher.session = (session_id ^ 1, 4);
        fetcher.send(&[]);
        assert_eq!(fetcher.answer(), (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0, vec![]));
        fetcher.session = (session_id, -1);
        fetcher.send(&[]);
        assert_eq!(fetcher.answer(), (ErrorCode::NONE, 0, vec![]));
        fetcher.session = (session_id, 4);
        fetcher.send(&[]);
        assert_eq!(fetcher.answer().0, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    }
}

#[test]
fn sessions_take_turns() {
    let mut fetcher = Fetcher::new();
    for partition in [0, 1] {
        fetcher.write("t", partition, &["aaaa"]);
    }
    fetcher.max_bytes = 1;
    fetcher.session = (0, 0);
    fetcher.send(&[Want::default(), Want { partition: 1, ..Default::default() }]);
    let (_, session_id, _) = fetcher.answer();
    let mut served = vec![];
    for epoch in 1..=4 {
        fetcher.session = (session_id, epoch);
        fetcher.send(&[]);
        let (_, _, answers) = fetcher.answer();
        served.extend(answers.iter().filter(|answer| answer.bytes > 0).map(|answer| answer.partition));
    }
    assert_eq!(served, [0, 1, 0, 1]);
}

#[test]
fn a_topic_that_comes_into_being_appears_in_its_session() {
    let mut fetcher = Fetcher::new();
    fetcher.version = 12;
    fetcher.session = (0, 0);
    fetcher.send(&[Want { topic: "later", ..Default::default() }]);
    let (_, session_id, answers) = fetcher.answer();
    assert_eq!(answers[0].error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    fetcher.host.create_topic("later", 1, &[]);
    fetcher.session = (session_id, 1);
    fetcher.send(&[]);
    let (_, _, answers) = fetcher.answer();
    assert_eq!((answers[0].error, answers[0].high_watermark), (ErrorCode::NONE, 0));
}

#[test]
fn sessions_are_bounded_by_slots() {
    let mut fetcher = Fetcher::over(Host::with(|config| config.fetch_sessions_max = 1));
    fetcher.session = (0, 0);
    fetcher.send(&[Want::default()]);
    assert_ne!(fetcher.answer().1, 0);
    fetcher.send(&[Want::default()]);
    assert_eq!(fetcher.answer().1, 0, "served without a session");
}
