//! Requests over several shards, seen from a host: topic "t" has four partitions, two on each of two shards.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use corelog_wire::api::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use corelog_wire::api::list_offsets::{
    LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use corelog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use corelog_wire::api::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch;

use crate::front::testing::{Host, SMALL_SEGMENTS, batch, decode, filler, on_shard};
use crate::io::ConnectionId;
use crate::limits;
use crate::mesh::{Seat, ShardIndex};

const PRODUCE: i16 = 9;
const FETCH: i16 = 12;
const ALL: [i32; 4] = [0, 1, 2, 3];

/// Shards with topic "t", and a connection of the first one.
fn hosts(shards: u32) -> (Host, ConnectionId, TopicId) {
    let mut host = Host::with_shards(shards, |_| {});
    let topic = host.create_topic("t", 4, &[SMALL_SEGMENTS]);
    let id = host.open(on_shard(0, 1));
    (host, id, topic)
}

/// The partitions of a topic that a shard owns.
fn owned(topic: TopicId, shards: u32, shard: u16) -> Vec<i32> {
    let seat = Seat { me: ShardIndex(shard), shards };
    ALL.into_iter().filter(|index| seat.owns(topic, *index)).collect()
}

fn produce(host: &mut Host, id: ConnectionId, acks: i16, partitions: &[i32], value: &str) -> i32 {
    let records = batch(&[value]);
    let partitions: Vec<_> =
        partitions.iter().map(|index| PartitionProduceData { index: *index, records: Some(&records) }).collect();
    let topics = [TopicProduceData { name: "t", partition_data: (&partitions).into(), ..Default::default() }];
    let request = ProduceRequest { acks, timeout_ms: 30_000, topic_data: (&topics).into(), ..Default::default() };
    host.send(id, PRODUCE, &request)
}

/// Partition, error and base offset.
fn produced(host: &mut Host, id: ConnectionId) -> Vec<(i32, ErrorCode, i64)> {
    let reply = host.reply(id);
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, PRODUCE, &reply);
    let topics = response.responses.iter().map(|topic| topic.partition_responses);
    topics.flat_map(|all| all.into_iter()).map(|of| (of.index, of.error_code, of.base_offset)).collect()
}

struct Wait {
    min_bytes: i32,
    max_wait_ms: i32,
    max_bytes: i32,
}

const AT_ONCE: Wait = Wait { min_bytes: 0, max_wait_ms: 0, max_bytes: 1 << 20 };
const LONG: Wait = Wait { min_bytes: 1, max_wait_ms: 500, max_bytes: 1 << 20 };

fn fetch(host: &mut Host, id: ConnectionId, wanted: &[(i32, i64)], wait: &Wait) {
    let partitions: Vec<_> = wanted
        .iter()
        .map(|(partition, fetch_offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        })
        .collect();
    let topics = [FetchTopic { topic: "t", partitions: (&partitions).into(), ..Default::default() }];
    let request = FetchRequest {
        max_wait_ms: wait.max_wait_ms,
        min_bytes: wait.min_bytes,
        max_bytes: wait.max_bytes,
        session_epoch: -1,
        topics: (&topics).into(),
        ..Default::default()
    };
    host.send(id, FETCH, &request);
}

/// Partition, error, high watermark and the base offsets of the batches.
fn fetched(host: &mut Host, id: ConnectionId) -> Vec<(i32, ErrorCode, i64, Vec<i64>)> {
    let reply = host.reply(id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, &reply);
    let partitions = response.responses.iter().flat_map(|topic| topic.partitions.into_iter());
    let row = |of: corelog_wire::api::fetch::PartitionData<'_>| {
        let records = of.records.expect("never null");
        let batches =
            record_batch::batches(records.as_slice().unwrap()).map(|batch| batch.unwrap().base_offset()).collect();
        (of.partition_index, of.error_code, of.high_watermark, batches)
    };
    partitions.map(row).collect()
}

/// Nobody keeps anything for anybody.
fn assert_at_rest(host: &mut Host, shards: u16) {
    for shard in 0..shards {
        let (_, parked, queued, read_bytes) = host.front_of(shard).size();
        assert_eq!((parked, queued, read_bytes), (0, 0, 0), "shard {shard} is at rest");
    }
    assert!(host.paused.is_empty());
}

#[test]
fn a_request_is_split_and_its_answer_joined() {
    for (shards, home) in [(2, 0), (2, 1), (3, 2)] {
        let (mut host, _, _) = hosts(shards);
        let id = host.open(on_shard(home, 7));
        for round in 0..3 {
            produce(&mut host, id, -1, &ALL, "x");
            assert_eq!(host.try_reply(id), None, "nothing is durable yet");
            host.commit();
            let expected: Vec<_> = ALL.iter().map(|index| (*index, ErrorCode::NONE, round)).collect();
            assert_eq!(produced(&mut host, id), expected);
        }
        fetch(&mut host, id, &[(3, 1), (0, 0), (1, 3), (2, 2)], &AT_ONCE);
        let expected = vec![
            (3, ErrorCode::NONE, 3, vec![1, 2]),
            (0, ErrorCode::NONE, 3, vec![0, 1, 2]),
            (1, ErrorCode::NONE, 3, vec![]),
            (2, ErrorCode::NONE, 3, vec![2]),
        ];
        assert_eq!(fetched(&mut host, id), expected);
        assert_at_rest(&mut host, shards as u16);
    }
}

#[test]
fn what_does_not_exist_is_refused_and_the_rest_done() {
    let (mut host, id, _) = hosts(2);
    produce(&mut host, id, -1, &[0, 9, 1], "x");
    host.commit();
    let unknown = (9, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1);
    assert_eq!(produced(&mut host, id), [(0, ErrorCode::NONE, 0), unknown, (1, ErrorCode::NONE, 0)]);
    fetch(&mut host, id, &[(0, 0), (9, 0), (1, 5)], &AT_ONCE);
    let answer = fetched(&mut host, id);
    assert_eq!(answer[0], (0, ErrorCode::NONE, 1, vec![0]));
    assert_eq!((answer[1].1, answer[2].1), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::OFFSET_OUT_OF_RANGE));
}

#[test]
fn answers_leave_in_order_whoever_is_faster() {
    let (mut host, id, topic) = hosts(2);
    let (here, there) = (owned(topic, 2, 0), owned(topic, 2, 1));
    host.stalled.insert(ShardIndex(1));
    produce(&mut host, id, -1, &there, "slow");
    produce(&mut host, id, -1, &here, "fast");
    host.commit();
    assert_eq!(host.try_reply(id), None, "the first answer is not there");
    host.stalled.clear();
    host.deliver();
    host.commit();
    assert_eq!(produced(&mut host, id)[0].0, there[0]);
    assert_eq!(produced(&mut host, id)[0].0, here[0]);
}

#[test]
fn a_shard_that_stands_still_delays_its_partitions_only() {
    let (mut host, id, topic) = hosts(2);
    produce(&mut host, id, -1, &ALL, "x");
    host.commit();
    produced(&mut host, id);
    let (here, there) = (owned(topic, 2, 0)[0], owned(topic, 2, 1)[0]);
    host.stalled.insert(ShardIndex(1));
    let other = host.open(on_shard(0, 2));
    produce(&mut host, other, -1, &[here], "y");
    host.commit();
    assert_eq!(produced(&mut host, other), [(here, ErrorCode::NONE, 1)]);
    fetch(&mut host, other, &[(here, 0)], &LONG);
    assert_eq!(fetched(&mut host, other)[0].3, [0, 1]);

    // Who wants both gets what there is, after a while, and asks again for the rest.
    fetch(&mut host, id, &[(there, 0), (here, 0)], &AT_ONCE);
    assert_eq!(host.try_reply(id), None);
    host.advance_ms(limits::SHARE_WAIT_US / 1_000);
    let answer = fetched(&mut host, id);
    assert_eq!(answer[0].1, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(answer[1].3, [0, 1]);
    produce(&mut host, id, -1, &[there, here], "z");
    host.commit();
    host.advance_ms(30_000);
    assert_eq!(produced(&mut host, id), [(there, ErrorCode::REQUEST_TIMED_OUT, -1), (here, ErrorCode::NONE, 2)]);

    host.stalled.clear();
    host.deliver();
    host.commit();
    fetch(&mut host, id, &[(there, 0), (here, 0)], &AT_ONCE);
    let answer = fetched(&mut host, id);
    assert_eq!((answer[0].3.len(), answer[1].3.len()), (2, 3), "what had timed out was written nevertheless");
    assert_at_rest(&mut host, 2);
}

#[test]
fn a_long_poll_is_woken_by_every_shard() {
    for by in ALL {
        let (mut host, id, _) = hosts(2);
        let wanted: Vec<_> = ALL.iter().map(|index| (*index, 0)).collect();
        fetch(&mut host, id, &wanted, &LONG);
        assert_eq!(host.try_reply(id), None, "there is nothing");
        let producer = host.open(on_shard(1, 1));
        produce(&mut host, producer, -1, &[by], "x");
        host.commit();
        let answer = fetched(&mut host, id);
        assert!(answer.iter().all(|of| of.3.len() == usize::from(of.0 == by)), "{answer:?}");
        produced(&mut host, producer);
        assert_at_rest(&mut host, 2);
    }
}

#[test]
fn a_long_poll_ends_at_its_time_on_every_shard() {
    let (mut host, id, _) = hosts(2);
    let wanted: Vec<_> = ALL.iter().map(|index| (*index, 0)).collect();
    fetch(&mut host, id, &wanted, &LONG);
    host.advance_ms(499);
    assert_eq!(host.try_reply(id), None);
    host.advance_ms(1);
    let answer = fetched(&mut host, id);
    assert!(answer.iter().all(|of| (of.1, of.2, of.3.len()) == (ErrorCode::NONE, 0, 0)), "{answer:?}");
    assert_at_rest(&mut host, 2);
}

#[test]
fn bytes_of_several_shards_are_added_up() {
    let (mut host, id, topic) = hosts(2);
    let (here, there) = (owned(topic, 2, 0)[0], owned(topic, 2, 1)[0]);
    let one = batch(&["x"]).len() as i32;
    let wait = Wait { min_bytes: 3 * one, max_wait_ms: 500, max_bytes: 1 << 20 };
    fetch(&mut host, id, &[(here, 0), (there, 0)], &wait);
    let producer = host.open(on_shard(1, 1));
    for index in [there, here] {
        produce(&mut host, producer, -1, &[index], "x");
        host.commit();
        produced(&mut host, producer);
        assert_eq!(host.try_reply(id), None, "not enough yet");
    }
    produce(&mut host, producer, -1, &[there], "x");
    host.commit();
    let answer = fetched(&mut host, id);
    assert_eq!((answer[0].3.len(), answer[1].3.len()), (1, 2));
    produced(&mut host, producer);
    assert_at_rest(&mut host, 2);
}

#[test]
fn the_limit_holds_for_all_shards_together() {
    let (mut host, id, _) = hosts(2);
    for _ in 0..4 {
        produce(&mut host, id, -1, &ALL, "x");
        host.commit();
        produced(&mut host, id);
    }
    let wanted: Vec<_> = ALL.iter().map(|index| (*index, 0)).collect();
    let one = batch(&["x"]).len() as i32;
    for max_batches in 0..6 {
        let max_bytes = max_batches * one;
        fetch(&mut host, id, &wanted, &Wait { max_bytes, ..AT_ONCE });
        let batches = fetched(&mut host, id).iter().map(|of| of.3.len() as i32).sum::<i32>();
        assert!((1..=max_batches.max(1)).contains(&batches), "{batches} batches within a limit of {max_batches}");
    }
}

#[test]
fn whoever_goes_away_is_forgotten_everywhere() {
    let (mut host, id, _) = hosts(2);
    let wanted: Vec<_> = ALL.iter().map(|index| (*index, 0)).collect();
    fetch(&mut host, id, &wanted, &LONG);
    assert_eq!(host.front_of(1).size().1, 1, "the other shard waits too");
    host.disconnect(id);
    assert_at_rest(&mut host, 2);
}

#[test]
fn old_records_come_from_the_disk_of_every_shard() {
    let (mut host, id, _) = hosts(2);
    produce(&mut host, id, -1, &ALL, &filler());
    host.commit();
    produced(&mut host, id);
    produce(&mut host, id, -1, &ALL, &filler());
    host.commit();
    produced(&mut host, id);
    host.restart();
    let id = host.open(on_shard(1, 1));
    let wanted: Vec<_> = ALL.iter().map(|index| (*index, 0)).collect();
    fetch(&mut host, id, &wanted, &Wait { max_bytes: 1 << 20, ..LONG });
    assert_eq!(host.try_reply(id), None, "it has to be read");
    host.commit();
    let answer = fetched(&mut host, id);
    assert!(answer.iter().all(|of| of.3 == [0]), "one segment at a time: {answer:?}");
    assert_at_rest(&mut host, 2);
}

#[test]
fn an_error_closes_a_connection_that_wants_no_answers() {
    let (mut host, id, topic) = hosts(2);
    let there = owned(topic, 2, 1)[0];
    produce(&mut host, id, 0, &[there], "x");
    host.commit();
    assert_eq!(host.try_reply(id), None);
    assert!(!host.closed.contains(&id));
    produce(&mut host, id, 0, &[there], &"x".repeat(2 << 20));
    host.commit();
    assert!(host.closed.contains(&id), "a batch that is too large");
    let id = host.open(on_shard(1, 9));
    fetch(&mut host, id, &[(there, 0)], &AT_ONCE);
    assert_eq!(fetched(&mut host, id)[0].3, [0]);
}

#[test]
fn shares_wait_for_room_in_the_order_in_which_they_came() {
    let (mut host, id, topic) = hosts(2);
    let there = owned(topic, 2, 1)[0];
    host.logs_of(1).set_room(0);
    for _ in 0..3 {
        produce(&mut host, id, -1, &[there], "x");
    }
    let local = host.open(on_shard(1, 5));
    produce(&mut host, local, -1, &[there], "x");
    host.commit();
    assert_eq!((host.try_reply(id), host.try_reply(local)), (None, None), "there is no room");
    host.logs_of(1).set_room(1 << 20);
    host.turn();
    host.commit();
    let offsets: Vec<_> = (0..3).map(|_| produced(&mut host, id)[0].2).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!(produced(&mut host, local)[0].2, 3);
    assert_at_rest(&mut host, 2);
}

#[test]
fn what_a_shard_that_stands_still_is_asked_is_bounded() {
    let mut host = Host::with_shards(2, |config| config.set("corelog.memory.bytes", "67108864").unwrap());
    let topic = host.create_topic("t", 4, &[]);
    let (here, there) = (owned(topic, 2, 0)[0], owned(topic, 2, 1)[0]);
    host.stalled.insert(ShardIndex(1));
    let value = "x".repeat(15_000);
    let clients: Vec<_> = (0..8).map(|number| host.open(on_shard(0, 10 + number))).collect();
    for _ in 0..16 {
        for id in &clients {
            if !host.paused.contains(id) {
                produce(&mut host, *id, 0, &[there], &value);
            }
        }
    }
    assert_eq!(host.paused.len(), clients.len(), "half a megabyte is enough");
    let id = host.open(on_shard(0, 1));
    fetch(&mut host, id, &[(here, 0)], &AT_ONCE);
    assert_eq!(fetched(&mut host, id)[0].1, ErrorCode::NONE, "nobody else is held up");
    host.stalled.clear();
    host.deliver();
    host.commit();
    host.commit();
    assert!(host.paused.is_empty());
    assert_at_rest(&mut host, 2);
}

#[test]
fn offsets_and_epochs_are_asked_of_their_owners() {
    let (mut host, id, _) = hosts(2);
    produce(&mut host, id, -1, &[1, 2], "x");
    host.commit();
    produced(&mut host, id);
    let partitions = [0, 1, 2, 3, 4].map(|partition_index| ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: LATEST_TIMESTAMP,
    });
    let topics = [ListOffsetsTopic { name: "t", partitions: (&partitions).into() }];
    let request = ListOffsetsRequest { replica_id: -1, topics: (&topics).into(), ..Default::default() };
    let reply = host.ask(id, 7, &request);
    let response: ListOffsetsResponse<'_> = decode(ApiKey::ListOffsets, 7, &reply);
    let partitions = response.topics.iter().next().unwrap().partitions;
    let rows: Vec<_> = partitions.iter().map(|of| (of.error_code, of.offset)).collect();
    let none = ErrorCode::NONE;
    let unknown = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1);
    assert_eq!(rows, [(none, 0), (none, 1), (none, 1), (none, 0), unknown]);

    let partitions =
        [1, 0, 7].map(|partition| OffsetForLeaderPartition { partition, current_leader_epoch: -1, leader_epoch: 0 });
    let topics = [OffsetForLeaderTopic { topic: "t", partitions: (&partitions).into() }];
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: (&topics).into() };
    let reply = host.ask(id, 4, &request);
    let response: OffsetForLeaderEpochResponse<'_> = decode(ApiKey::OffsetForLeaderEpoch, 4, &reply);
    let partitions = response.topics.iter().next().unwrap().partitions;
    let rows: Vec<_> = partitions.iter().map(|of| (of.error_code, of.end_offset)).collect();
    assert_eq!(rows, [(none, 1), (none, 0), unknown]);
}

#[test]
fn records_are_deleted_on_every_shard() {
    let (mut host, id, _) = hosts(2);
    produce(&mut host, id, -1, &ALL, "x");
    host.commit();
    produced(&mut host, id);
    let partitions = [0, 1, 2, 8]
        .map(|partition_index| DeleteRecordsPartition { partition_index, offset: i64::from(partition_index % 2) });
    let topics = [DeleteRecordsTopic { name: "t", partitions: (&partitions).into() }];
    let request = DeleteRecordsRequest { topics: (&topics).into(), timeout_ms: 1_000 };
    host.send(id, 2, &request);
    assert_eq!(host.try_reply(id), None, "the log starts are not durable yet");
    host.commit();
    let reply = host.reply(id);
    let response: DeleteRecordsResponse<'_> = decode(ApiKey::DeleteRecords, 2, &reply);
    let partitions = response.topics.iter().next().unwrap().partitions;
    let rows: Vec<_> = partitions.iter().map(|of| (of.error_code, of.low_watermark)).collect();
    let none = ErrorCode::NONE;
    assert_eq!(rows, [(none, 0), (none, 1), (none, 0), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1)]);
    assert_at_rest(&mut host, 2);
}

fn create(host: &mut Host, id: ConnectionId, name: &str) {
    let topics = [CreatableTopic { name, num_partitions: 4, replication_factor: 1, ..Default::default() }];
    let request = CreateTopicsRequest { topics: (&topics).into(), timeout_ms: 60_000, ..Default::default() };
    host.send(id, 7, &request);
}

#[test]
fn a_change_of_metadata_is_answered_when_every_shard_has_it() {
    let (mut host, _, _) = hosts(3);
    let id = host.open(on_shard(1, 1));
    host.stalled.insert(ShardIndex(2));
    create(&mut host, id, "new");
    host.commit();
    assert_eq!(host.try_reply(id), None, "one shard does not have the topic");
    host.stalled.clear();
    host.deliver();
    let reply = host.reply(id);
    let response: CreateTopicsResponse<'_> = decode(ApiKey::CreateTopics, 7, &reply);
    assert_eq!(response.topics.iter().next().unwrap().error_code, ErrorCode::NONE);
    assert_at_rest(&mut host, 3);
}

#[test]
fn topics_are_created_on_asking_any_shard() {
    let (mut host, _, _) = hosts(2);
    let id = host.open(on_shard(1, 1));
    let topics = [MetadataRequestTopic { name: Some("auto"), ..Default::default() }];
    let request =
        MetadataRequest { topics: Some((&topics).into()), allow_auto_topic_creation: true, ..Default::default() };
    host.send(id, 9, &request);
    host.commit();
    let reply = host.reply(id);
    let response: MetadataResponse<'_> = decode(ApiKey::Metadata, 9, &reply);
    let names: Vec<String> = response.topics.iter().map(|topic| topic.name.unwrap().to_string()).collect();
    assert_eq!((names, response.topics.iter().next().unwrap().error_code), (vec!["auto".to_string()], ErrorCode::NONE));
    // What exists is answered without asking anybody.
    host.stalled.insert(ShardIndex(0));
    host.ask(id, 9, &request);
}

#[test]
fn producer_ids_are_given_once_whichever_shard_is_asked() {
    let (mut host, first, _) = hosts(2);
    let second = host.open(on_shard(1, 1));
    let mut ids = vec![];
    for id in [first, second, first, second] {
        host.send(id, 4, &InitProducerIdRequest { producer_id: -1, producer_epoch: -1, ..Default::default() });
        host.commit();
        let reply = host.reply(id);
        let response: InitProducerIdResponse = decode(ApiKey::InitProducerId, 4, &reply);
        ids.push(response.producer_id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn what_is_asked_waits_for_the_metadata_it_was_asked_with() {
    let (mut host, id, _) = hosts(3);
    host.stalled.insert(ShardIndex(2));
    create(&mut host, id, "new");
    host.commit();
    // The first shard has the topic already; who asks the others through it finds them behind.
    host.stalled.clear();
    host.hold_mail_from_first_to(ShardIndex(2));
    let early = host.open(on_shard(1, 1));
    let partitions: Vec<_> = ALL
        .iter()
        .map(|partition| FetchPartition { partition: *partition, partition_max_bytes: 1, ..Default::default() })
        .collect();
    let topics = [FetchTopic { topic: "new", partitions: (&partitions).into(), ..Default::default() }];
    let request = FetchRequest { session_epoch: -1, topics: (&topics).into(), ..Default::default() };
    host.send(early, FETCH, &request);
    assert_eq!(host.try_reply(early), None, "a shard does not have the topic yet");
    host.release_mail();
    let answer = fetched(&mut host, early);
    assert!(answer.iter().all(|of| of.1 == ErrorCode::NONE), "{answer:?}");
    host.reply(id);
}

#[test]
fn a_stop_waits_for_requests_on_every_shard() {
    let (mut host, id, _) = hosts(2);
    produce(&mut host, id, -1, &ALL, "x");
    host.restart();
    let id = host.open(on_shard(1, 1));
    let wanted: Vec<_> = ALL.iter().map(|index| (*index, 0)).collect();
    fetch(&mut host, id, &wanted, &AT_ONCE);
    host.commit();
    let answer = fetched(&mut host, id);
    assert!(answer.iter().all(|of| of.3 == [0]), "what was under way is there: {answer:?}");
}

#[test]
fn another_number_of_shards_finds_everything() {
    let (mut host, id, _) = hosts(2);
    produce(&mut host, id, -1, &ALL, "x");
    host.commit();
    for shards in [3, 1, 2, 5] {
        host.restart_with(shards);
        let id = host.open(on_shard(shards as u16 - 1, 1));
        let wanted: Vec<_> = ALL.iter().map(|index| (*index, 0)).collect();
        fetch(&mut host, id, &wanted, &AT_ONCE);
        host.commit();
        let answer = fetched(&mut host, id);
        assert!(answer.iter().all(|of| of.3[0] == 0), "{shards} shards: {answer:?}");
        produce(&mut host, id, -1, &ALL, "y");
        host.commit();
        produced(&mut host, id);
    }
}
