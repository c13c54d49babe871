//! Reading: where it begins, what is handed out, and how it goes on when things go wrong.

use std::ops::ControlFlow;

use corelog_wire::api::fetch::{
    AbortedTransaction, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use corelog_wire::api::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::primitives::Records;
use corelog_wire::record_batch::BatchBuilder;

use super::*;
use crate::consumer::{Fetched, ReadError};

/// A batch of records whose values are their offsets.
fn batch(base_offset: i64, count: i64, change: impl FnOnce(BatchBuilder) -> BatchBuilder) -> Vec<u8> {
    let mut builder = change(BatchBuilder::new().base_offset(base_offset));
    for offset in base_offset..base_offset + count {
        let value = offset.to_string();
        builder.append(&NewRecord { timestamp: offset, value: Some(value.as_bytes()), ..Default::default() });
    }
    builder.build()
}

fn plain(base_offset: i64, count: i64) -> Vec<u8> {
    batch(base_offset, count, |builder| builder)
}

fn offsets_of(fetched: &Fetched) -> Vec<i64> {
    let mut offsets = Vec::new();
    let end = fetched.records(|record| {
        assert_eq!(record.value, Some(record.offset.to_string().as_bytes()));
        offsets.push(record.offset);
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(end, Ok(ControlFlow::Continue(())));
    offsets
}

impl World {
    fn fetched(&mut self) -> Fetched {
        match self.client.take_read() {
            Some(ReadEvent::Fetched(fetched)) => fetched,
            other => panic!("{other:?}"),
        }
    }

    /// The next fetch, and the offsets it asks for by partition.
    fn fetch(&mut self) -> (Sent, Vec<(i32, i64)>) {
        let sent = self.next(ApiKey::Fetch);
        let request: FetchRequest<'_> = sent.decode();
        let offsets = request.topics.iter().flat_map(|topic| topic.partitions);
        let offsets = offsets.map(|partition| (partition.partition, partition.fetch_offset)).collect();
        (sent, offsets)
    }

    fn answer_fetch(&mut self, sent: &Sent, partitions: &[PartitionData<'_>]) {
        let topics = [FetchableTopicResponse { topic: TOPIC, topic_id: TOPIC_ID, partitions: partitions.into() }];
        self.answer(sent, &FetchResponse { responses: (&topics).into(), ..Default::default() });
        self.run();
    }

    fn answer_records(&mut self, sent: &Sent, records: &[u8], end: i64) {
        let data = PartitionData {
            high_watermark: end,
            last_stable_offset: end,
            log_start_offset: 0,
            records: Some(Records::Slice(records)),
            ..Default::default()
        };
        self.answer_fetch(sent, &[data]);
    }

    fn answer_offset(&mut self, sent: &Sent, error_code: ErrorCode, offset: i64) {
        let partitions = [ListOffsetsPartitionResponse { error_code, offset, ..Default::default() }];
        let topics = [ListOffsetsTopicResponse { name: TOPIC, partitions: (&partitions).into() }];
        self.answer(sent, &ListOffsetsResponse { topics: (&topics).into(), ..Default::default() });
        self.run();
    }
}

fn reading(offset: i64, change: impl FnOnce(&mut ClientConfig)) -> World {
    let mut world = World::ready(&[1], change);
    world.client.assign(TOPIC, 0, Position::Offset(offset));
    world.run();
    world
}

#[test]
fn a_position_is_asked_of_the_leader() {
    for (position, timestamp) in [(Position::Beginning, -2), (Position::End, -1), (Position::Timestamp(55), 55)] {
        let mut world = World::ready(&[2], |_| {});
        world.client.assign(TOPIC, 0, position);
        world.run();
        let sent = world.next(ApiKey::ListOffsets);
        assert_eq!(world.broker_of(&sent), 2);
        let request: ListOffsetsRequest<'_> = sent.decode();
        let partition = request.topics.first().unwrap().partitions.first().unwrap();
        assert_eq!((partition.timestamp, partition.current_leader_epoch, request.isolation_level), (timestamp, 3, 1));
        assert_eq!(world.client.position(TOPIC, 0), None);
        world.answer_offset(&sent, ErrorCode::NONE, 41);
        assert_eq!(world.client.position(TOPIC, 0), Some(41));
        assert_eq!(world.fetch().1, [(0, 41)]);
    }
}

#[test]
fn a_time_to_come_is_the_end() {
    let mut world = World::ready(&[1], |_| {});
    world.client.assign(TOPIC, 0, Position::Timestamp(55));
    world.run();
    let sent = world.next(ApiKey::ListOffsets);
    world.answer_offset(&sent, ErrorCode::NONE, -1);
    let sent = world.next(ApiKey::ListOffsets);
    let request: ListOffsetsRequest<'_> = sent.decode();
    assert_eq!(request.topics.first().unwrap().partitions.first().unwrap().timestamp, -1);
}

#[test]
fn records_come_in_order_and_none_is_asked_for_before_the_last_was_taken() {
    let mut world = reading(2, |_| {});
    let (sent, offsets) = world.fetch();
    assert_eq!((offsets, sent.version), (vec![(0, 2)], 18));
    // The first batch begins before the offset, the last one is cut off.
    let records = [plain(0, 4), plain(4, 1), plain(5, 3)[..70].to_vec()].concat();
    world.answer_records(&sent, &records, 9);
    world.pass(Duration::from_secs(5));
    assert!(world.sent.is_empty());
    assert_eq!(world.client.position(TOPIC, 0), Some(2));
    let fetched = world.fetched();
    assert_eq!(world.client.position(TOPIC, 0), Some(5));
    assert_eq!(offsets_of(&fetched), [2, 3, 4]);
    assert_eq!((fetched.from, fetched.next, fetched.end, fetched.is_at_end()), (2, 5, 9, false));
    world.run();
    let (sent, offsets) = world.fetch();
    assert_eq!(offsets, [(0, 5)]);
    world.answer_records(&sent, &plain(5, 4), 9);
    assert!(world.fetched().is_at_end());
    world.run();
    let (sent, offsets) = world.fetch();
    assert_eq!(offsets, [(0, 9)]);
    world.answer_records(&sent, &[], 9);
    let fetched = world.fetched();
    assert!(offsets_of(&fetched).is_empty() && fetched.is_at_end());
}

#[test]
fn gaps_and_codecs_are_no_obstacle() {
    for compression in Compression::ALL {
        let mut world = reading(0, |_| {});
        let (sent, _) = world.fetch();
        let records = [batch(3, 2, |builder| builder.compression(compression, None)), plain(10, 1)].concat();
        world.answer_records(&sent, &records, 20);
        let fetched = world.fetched();
        assert_eq!((offsets_of(&fetched), fetched.next), (vec![3, 4, 10], 11), "{compression}");
    }
}

#[test]
fn batches_without_records_are_passed_over() {
    let mut world = reading(0, |_| {});
    let (sent, _) = world.fetch();
    world.answer_records(&sent, &BatchBuilder::new().last_offset_delta(6).build(), 7);
    let fetched = world.fetched();
    assert_eq!((offsets_of(&fetched).len(), fetched.next, fetched.is_at_end()), (0, 7, true));
}

#[test]
fn visiting_can_be_broken_off() {
    let mut world = reading(0, |_| {});
    let (sent, _) = world.fetch();
    world.answer_records(&sent, &plain(0, 4), 4);
    let fetched = world.fetched();
    let mut left = 2;
    let end = fetched.records(|record| {
        left -= 1;
        if left == 0 { ControlFlow::Break(record.offset) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(end, Ok(ControlFlow::Break(1)));
}

#[test]
fn aborted_records_and_marks_stay_unread() {
    use corelog_wire::record_batch::{ControlType, end_transaction_marker, set_base_offset};
    let transactional =
        |base: i64, producer: i64| batch(base, 2, move |builder| builder.producer(producer, 0, 0).transactional(true));
    let marker = |kind, producer, offset| {
        let mut bytes = end_transaction_marker(kind, producer, 0, 0, 0);
        set_base_offset(&mut bytes, offset);
        bytes
    };
    let records = [
        transactional(0, 7), // aborted
        transactional(2, 8), // committed
        plain(4, 1),
        marker(ControlType::Abort, 7, 5),
        marker(ControlType::Commit, 8, 6),
        transactional(7, 7), // the next transaction of the same producer, committed
        marker(ControlType::Commit, 7, 9),
    ]
    .concat();
    let aborted = [AbortedTransaction { producer_id: 7, first_offset: 0 }];
    for (committed_only, expected) in [(true, vec![2, 3, 4, 7, 8]), (false, vec![0, 1, 2, 3, 4, 7, 8])] {
        let mut world = reading(0, |config| config.consumer.committed_only = committed_only);
        let (sent, _) = world.fetch();
        assert_eq!(sent.decode::<FetchRequest<'_>>().isolation_level, i8::from(committed_only));
        let data = PartitionData {
            high_watermark: 12,
            last_stable_offset: 10,
            aborted_transactions: committed_only.then_some((&aborted).into()),
            records: Some(Records::Slice(&records)),
            ..Default::default()
        };
        world.answer_fetch(&sent, &[data]);
        let fetched = world.fetched();
        assert_eq!(offsets_of(&fetched), expected);
        assert_eq!((fetched.next, fetched.is_at_end()), (10, committed_only));
    }
}

#[test]
fn damage_is_named_and_what_stands_before_it_is_shown() {
    let mut damaged = plain(2, 1);
    *damaged.last_mut().unwrap() ^= 1;
    for check_crcs in [true, false] {
        let mut world = reading(0, |config| config.consumer.check_crcs = check_crcs);
        let (sent, _) = world.fetch();
        world.answer_records(&sent, &[plain(0, 2), damaged.clone()].concat(), 3);
        let fetched = world.fetched();
        let mut seen = 0;
        let end = fetched.records(|_| {
            seen += 1;
            ControlFlow::<()>::Continue(())
        });
        match check_crcs {
            true => {
                let fault = end.unwrap_err();
                assert_eq!((fault.offset, seen), (2, 2));
                assert!(fault.to_string().contains("the batch at offset 2 cannot be read: its checksum"), "{fault}");
            }
            // The last byte is the number of headers, and one that is odd is negative.
            false => assert!(end.unwrap_err().reason.contains("record 0")),
        }
    }
}

#[test]
fn a_moved_leader_is_followed() {
    let mut world = reading(5, |_| {});
    let (sent, _) = world.fetch();
    world.leaders = vec![3];
    let data = PartitionData { error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..Default::default() };
    world.answer_fetch(&sent, &[data]);
    world.pass(Duration::from_millis(300));
    let (sent, offsets) = world.fetch();
    assert_eq!((world.broker_of(&sent), offsets), (3, vec![(0, 5)]));
    world.break_connection(sent.connection);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.fetch().1, [(0, 5)]);
    assert!(world.client.take_read().is_none());
}

#[test]
fn what_cannot_be_read_is_said_once_and_left_alone() {
    for (code, error) in [
        (ErrorCode::OFFSET_OUT_OF_RANGE, ReadError::OutOfRange(5)),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ReadError::Refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED)),
    ] {
        let mut world = reading(5, |_| {});
        let (sent, _) = world.fetch();
        world.answer_fetch(&sent, &[PartitionData { error_code: code, ..Default::default() }]);
        match world.client.take_read() {
            Some(ReadEvent::Failed { partition: 0, error: said, .. }) => assert_eq!(said, error),
            other => panic!("{other:?}"),
        }
        world.pass(Duration::from_secs(5));
        assert!(world.sent.is_empty() && world.client.take_read().is_none());
        world.client.assign(TOPIC, 0, Position::Offset(1));
        world.run();
        assert_eq!(world.fetch().1, [(0, 1)]);
    }
}

#[test]
fn partitions_are_read_together_and_those_that_hold_something_wait() {
    let mut world = World::ready(&[1, 1, 1], |_| {});
    for partition in 0..3 {
        world.client.assign(TOPIC, partition, Position::Offset(10 * i64::from(partition)));
    }
    world.run();
    let (sent, offsets) = world.fetch();
    assert_eq!(offsets, [(0, 0), (1, 10), (2, 20)]);
    let (a, c) = (plain(0, 1), plain(20, 2));
    let data = |partition_index, records| PartitionData {
        partition_index,
        high_watermark: 100,
        records: Some(Records::Slice(records)),
        ..Default::default()
    };
    // In another order, and one of them is left out.
    world.answer_fetch(&sent, &[data(2, &c), data(0, &a)]);
    world.pass(Duration::from_millis(300));
    let (_, offsets) = world.fetch();
    assert_eq!(offsets, [(1, 10)], "the others are not taken yet");
    assert_eq!(offsets_of(&world.fetched()), [0]);
    world.client.unassign(TOPIC, 2);
    assert!(world.client.take_read().is_none(), "what is read no longer is dropped");
    world.pass(Duration::from_secs(1));
    assert!(world.sent.is_empty(), "one fetch at a time to a broker");
}

#[test]
fn a_partition_that_is_assigned_anew_forgets_what_was_read() {
    let mut world = reading(0, |_| {});
    let (sent, _) = world.fetch();
    world.answer_records(&sent, &plain(0, 3), 3);
    world.client.assign(TOPIC, 0, Position::Offset(1));
    world.run();
    assert!(world.client.take_read().is_none());
    assert_eq!(world.fetch().1, [(0, 1)]);
}
