//! Records: into which batches and requests they go, and what becomes of them when things go wrong.

use corelog_wire::api::init_producer_id::InitProducerIdResponse;
use corelog_wire::api::produce::{PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse};
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::RecordBatch;

use super::*;
use crate::producer::{Acks, DeliveryError};

/// A batch as the cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    partition: i32,
    producer_id: i64,
    sequence: i32,
    values: Vec<String>,
}

fn seen(sent: &Sent) -> Vec<Seen> {
    let request: ProduceRequest<'_> = sent.decode();
    let mut all = Vec::new();
    for topic in request.topic_data {
        match sent.version {
            13.. => assert_eq!(topic.topic_id, TOPIC_ID),
            _ => assert_eq!(topic.name, TOPIC),
        }
        for data in topic.partition_data {
            let (batch, rest) = RecordBatch::split_from(data.records.unwrap()).unwrap();
            assert!(rest.is_empty() && batch.has_valid_crc());
            let payload = batch.decompressed_payload(1 << 20).unwrap();
            let values = batch
                .records(&payload)
                .map(|record| String::from_utf8(record.unwrap().value.unwrap_or(b"(null)").to_vec()).unwrap());
            all.push(Seen {
                partition: data.index,
                producer_id: batch.producer_id(),
                sequence: batch.base_sequence(),
                values: values.collect(),
            });
        }
    }
    all
}

impl World {
    fn give(&mut self, partition: impl Into<Option<i32>>, value: &str) {
        let record = NewRecord { timestamp: 1, key: None, value: Some(value.as_bytes()), headers: &[] };
        let token = value.parse().unwrap_or(0);
        self.client.produce(self.now, TOPIC, partition.into(), &record, token).unwrap();
    }

    /// Gives the client a producer id.
    fn identify(&mut self, producer_id: i64) {
        let sent = self.next(ApiKey::InitProducerId);
        self.answer(&sent, &InitProducerIdResponse { producer_id, ..Default::default() });
        self.run();
    }

    /// Gives the client a producer id, and the broker takes a first batch under it.
    fn introduce(&mut self) {
        self.give(0, "0");
        self.run();
        self.identify(77);
        let sent = self.produced();
        assert_eq!(seen(&sent)[0].sequence, 0);
        self.settle_produce(&sent, ErrorCode::NONE, 0);
        assert_eq!(self.deliveries(), [(vec![0], Ok(0))]);
    }

    /// Answers every partition of a produce request.
    fn settle_produce(&mut self, sent: &Sent, error_code: ErrorCode, base_offset: i64) {
        let of: Vec<i32> = seen(sent).iter().map(|batch| batch.partition).collect();
        let answers: Vec<_> = of
            .iter()
            .map(|index| PartitionProduceResponse { index: *index, error_code, base_offset, ..Default::default() })
            .collect();
        self.answer_produce(sent, &answers);
        self.run();
    }

    fn answer_produce(&mut self, sent: &Sent, answers: &[PartitionProduceResponse<'_>]) {
        let topics = [TopicProduceResponse { name: TOPIC, topic_id: TOPIC_ID, partition_responses: answers.into() }];
        self.answer(sent, &ProduceResponse { responses: (&topics).into(), ..Default::default() });
    }

    fn produced(&mut self) -> Sent {
        self.next(ApiKey::Produce)
    }

    /// Every delivery so far: tokens, and offset or error.
    fn deliveries(&mut self) -> Vec<(Vec<u64>, Result<i64, DeliveryError>)> {
        std::iter::from_fn(|| self.client.take_delivery()).map(|one| (one.tokens, one.result)).collect()
    }
}

fn anonymous(config: &mut ClientConfig) {
    config.producer.idempotent = false;
}

#[test]
fn a_batch_waits_for_its_linger_and_no_longer() {
    let mut world = World::ready(&[1], |config| {
        anonymous(config);
        config.producer.linger = Duration::from_millis(50);
    });
    world.give(0, "1");
    world.now += Duration::from_millis(49);
    world.give(0, "2");
    world.run();
    assert!(world.sent.is_empty());
    assert_eq!(world.client.deadline(world.now), Some(world.now + Duration::from_millis(1)));
    world.pass(Duration::from_millis(1));
    let sent = world.produced();
    assert_eq!(seen(&sent)[0].values, ["1", "2"]);
    assert!(!world.client.is_drained());
    world.settle_produce(&sent, ErrorCode::NONE, 40);
    assert_eq!(world.deliveries(), [(vec![1, 2], Ok(40))]);
    assert!(world.client.is_drained() && world.client.buffered_bytes() == 0);
}

#[test]
fn a_full_batch_and_a_flush_wait_for_nothing() {
    let mut world = World::ready(&[1], |config| {
        anonymous(config);
        config.producer.linger = Duration::from_secs(60);
        config.producer.batch_bytes = 300;
    });
    for value in ["1", "2", "3"] {
        world.give(0, &format!("{value:0>100}"));
    }
    world.run();
    let sent = world.produced();
    assert_eq!(seen(&sent)[0].values.len(), 1, "two of 100 bytes, the header and room for framing are more than 300");
    world.settle_produce(&sent, ErrorCode::NONE, 0);
    let sent = world.produced();
    world.settle_produce(&sent, ErrorCode::NONE, 1);
    assert!(world.sent.is_empty(), "the third waits for its linger");
    world.client.set_flushing(true);
    world.run();
    assert_eq!(seen(&world.produced())[0].values, [format!("{:0>100}", 3)]);
}

#[test]
fn one_request_carries_batches_of_many_partitions_and_goes_to_their_leader() {
    let mut world = World::ready(&[1, 2, 1], anonymous);
    for partition in [2, 0, 1] {
        world.give(partition, &partition.to_string());
    }
    world.run();
    let mut requests: Vec<_> = std::mem::take(&mut world.sent).into();
    requests.sort_by_key(|sent| world.broker_of(sent));
    let places: Vec<_> = requests.iter().map(|sent| (world.broker_of(sent), seen(sent).len())).collect();
    assert_eq!(places, [(1, 2), (2, 1)]);
    // The answer may be in any order.
    let request: ProduceRequest<'_> = requests[0].decode();
    assert_eq!((request.acks, request.topic_data.len()), (-1, 1));
    let answers = [2, 0].map(|index| PartitionProduceResponse {
        index,
        base_offset: 10 + i64::from(index),
        ..Default::default()
    });
    world.answer_produce(&requests[0], &answers);
    assert_eq!(world.deliveries(), [(vec![0], Ok(10)), (vec![2], Ok(12))]);
}

#[test]
fn names_stand_in_for_ids_where_there_are_none() {
    let mut world = World::new(anonymous);
    world.topic_id = TopicId::ZERO;
    world.client.want_topic(TOPIC);
    world.run();
    world.give(0, "1");
    world.run();
    let sent = world.produced();
    assert_eq!(sent.version, 12);
    world.settle_produce(&sent, ErrorCode::NONE, 0);
    assert_eq!(world.deliveries(), [(vec![1], Ok(0))]);
}

#[test]
fn keys_choose_their_partition_and_keyless_records_stay_together() {
    let mut world = World::ready(&[1; 8], |config| {
        anonymous(config);
        config.producer.linger = Duration::from_millis(10);
    });
    for key in ["foobar", "21", "abc"] {
        let record = NewRecord { key: Some(key.as_bytes()), value: Some(key.as_bytes()), ..Default::default() };
        world.client.produce(world.now, TOPIC, None, &record, 0).unwrap();
    }
    world.pass(Duration::from_millis(10));
    let sent = world.produced();
    for batch in seen(&sent) {
        for value in &batch.values {
            assert_eq!(batch.partition, crate::partitioner::partition_of(value.as_bytes(), 8));
        }
    }
    world.settle_produce(&sent, ErrorCode::NONE, 0);
    let mut partitions = Vec::new();
    for _ in 0..3 {
        world.give(None, "1");
        world.give(None, "2");
        world.pass(Duration::from_millis(10));
        let sent = world.produced();
        assert_eq!(seen(&sent).len(), 1, "they go together");
        partitions.push(seen(&sent)[0].partition);
        world.settle_produce(&sent, ErrorCode::NONE, 0);
    }
    partitions.dedup();
    assert_eq!(partitions.len(), 3, "the next batch goes elsewhere");
}

#[test]
fn what_cannot_be_taken_is_refused() {
    let mut world = World::new(|config| {
        anonymous(config);
        config.producer.buffer_bytes = 1000;
    });
    let big = vec![b'x'; 600];
    let record = NewRecord { value: Some(&big), ..Default::default() };
    assert_eq!(world.client.produce(world.now, TOPIC, None, &record, 0), Err(Refusal::Unknown));
    world.run();
    for partition in [-1, 1] {
        assert_eq!(world.client.produce(world.now, TOPIC, Some(partition), &record, 0), Err(Refusal::NoPartition));
    }
    assert_eq!(world.client.produce(world.now, TOPIC, None, &record, 0), Ok(()));
    assert_eq!(world.client.produce(world.now, TOPIC, None, &record, 0), Err(Refusal::Full));
    world.run();
    let sent = world.produced();
    world.settle_produce(&sent, ErrorCode::NONE, 0);
    // One alone is taken, whatever its size.
    let huge = vec![b'x'; 5000];
    let record = NewRecord { value: Some(&huge), ..Default::default() };
    assert_eq!(world.client.produce(world.now, TOPIC, None, &record, 0), Ok(()));
}

#[test]
fn without_acknowledgements_nothing_is_waited_for() {
    let mut world = World::ready(&[1], |config| {
        anonymous(config);
        config.producer.acks = Acks::None;
    });
    world.give(0, "1");
    world.run();
    let sent = world.produced();
    assert_eq!(sent.decode::<ProduceRequest<'_>>().acks, 0);
    assert_eq!(world.deliveries(), [(vec![1], Ok(-1))]);
    // The next answer on this connection is that to the next request.
    let id = world.client.call(world.now, crate::admin::describe_cluster());
    world.run();
    let sent = world.next(ApiKey::DescribeCluster);
    world.answer(&sent, &corelog_wire::api::describe_cluster::DescribeClusterResponse::default());
    assert!(world.client.take_answer(id).unwrap().is_ok());
}

#[test]
fn every_codec_comes_out_as_it_went_in() {
    for compression in Compression::ALL {
        let mut world = World::ready(&[1], |config| {
            anonymous(config);
            config.producer.compression = compression;
        });
        world.give(0, "1");
        world.give(0, "2");
        world.run();
        assert_eq!(seen(&world.produced())[0].values, ["1", "2"], "{compression}");
    }
}

#[test]
fn five_requests_are_under_way_and_no_more() {
    let mut world = World::ready(&[1], |_| {});
    for value in 0..8 {
        world.give(0, &value.to_string());
        world.run();
    }
    world.identify(77);
    // The first goes alone: the broker does not know the producer yet.
    let first = world.produced();
    assert!(world.sent.is_empty());
    world.settle_produce(&first, ErrorCode::NONE, 0);
    let sent: Vec<_> = std::mem::take(&mut world.sent).into();
    let sequences: Vec<_> = sent.iter().map(|sent| seen(sent)[0].sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    world.settle_produce(&sent[0], ErrorCode::NONE, 0);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(seen(&world.produced())[0].sequence, 6);
}

#[test]
fn a_moved_leader_is_followed_in_order_with_the_same_numbers() {
    let mut world = World::ready(&[1], |_| {});
    world.introduce();
    world.give(0, "1");
    world.run();
    world.give(0, "2");
    world.run();
    let (first, second) = (world.produced(), world.produced());
    world.leaders = vec![2];
    world.settle_produce(&first, ErrorCode::NOT_LEADER_OR_FOLLOWER, -1);
    assert!(world.sent.is_empty(), "the second is still under way");
    world.settle_produce(&second, ErrorCode::NOT_LEADER_OR_FOLLOWER, -1);
    world.pass(Duration::from_millis(300));
    let again = world.produced();
    assert_eq!(world.broker_of(&again), 2);
    assert_eq!(seen(&again), seen(&first));
    assert!(world.sent.is_empty(), "the second waits for the first");
    world.settle_produce(&again, ErrorCode::NONE, 0);
    let again = world.produced();
    assert_eq!(seen(&again), seen(&second));
    world.settle_produce(&again, ErrorCode::NONE, 1);
    assert_eq!(world.deliveries(), [(vec![1], Ok(0)), (vec![2], Ok(1))]);
}

#[test]
fn a_broken_connection_loses_and_doubles_nothing() {
    let mut world = World::ready(&[1], |_| {});
    world.give(0, "1");
    world.run();
    world.identify(77);
    let first = world.produced();
    world.break_connection(first.connection);
    assert!(world.deliveries().is_empty());
    world.pass(Duration::from_secs(1));
    let again = world.produced();
    assert_eq!(seen(&again), seen(&first), "with the same number, so that the broker can tell");
    // It had been written: the broker knows it again.
    world.settle_produce(&again, ErrorCode::DUPLICATE_SEQUENCE_NUMBER, 12);
    assert_eq!(world.deliveries(), [(vec![1], Ok(12))]);
}

#[test]
fn what_overtakes_a_lost_batch_is_sent_again_behind_it() {
    let mut world = World::ready(&[1], |_| {});
    world.introduce();
    world.give(0, "1");
    world.run();
    world.give(0, "2");
    world.run();
    let (first, second) = (world.produced(), world.produced());
    world.settle_produce(&first, ErrorCode::NOT_ENOUGH_REPLICAS, -1);
    world.settle_produce(&second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
    world.pass(Duration::from_millis(300));
    for (expected, offset) in [(&first, 0), (&second, 1)] {
        let again = world.produced();
        assert_eq!(seen(&again), seen(expected));
        world.settle_produce(&again, ErrorCode::NONE, offset);
    }
    assert_eq!(world.deliveries(), [(vec![1], Ok(0)), (vec![2], Ok(1))]);
}

#[test]
fn a_batch_that_is_given_up_leaves_no_gap() {
    let mut world = World::ready(&[1], |_| {});
    world.introduce();
    for value in ["1", "2", "3"] {
        world.give(0, value);
        world.run();
    }
    let (first, second, third) = (world.produced(), world.produced(), world.produced());
    let answers = [PartitionProduceResponse {
        error_code: ErrorCode::MESSAGE_TOO_LARGE,
        error_message: Some("too large"),
        base_offset: -1,
        ..Default::default()
    }];
    world.answer_produce(&first, &answers);
    let refused = DeliveryError::Refused(ErrorCode::MESSAGE_TOO_LARGE, Some("too large".to_owned()));
    assert_eq!(world.deliveries(), [(vec![1], Err(refused))]);
    world.settle_produce(&second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
    world.give(0, "4");
    world.pass(Duration::from_millis(300));
    assert!(world.sent.is_empty(), "the third is still under way under the old id");
    world.settle_produce(&third, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
    world.pass(Duration::from_millis(300));
    world.identify(78);
    for (sequence, value) in [(0, "2"), (1, "3"), (2, "4")] {
        let sent = world.produced();
        let expected = Seen { partition: 0, producer_id: 78, sequence, values: vec![value.to_owned()] };
        assert_eq!(seen(&sent), [expected]);
        world.settle_produce(&sent, ErrorCode::NONE, i64::from(sequence));
    }
    assert_eq!(world.deliveries().len(), 3);
    assert!(world.client.is_drained());
}

#[test]
fn a_batch_that_is_too_large_is_sent_in_parts_under_its_numbers() {
    for compression in [Compression::None, Compression::Lz4] {
        let mut world = World::ready(&[1], |config| config.producer.compression = compression);
        world.introduce();
        for value in ["1", "2", "3"] {
            world.give(0, value);
        }
        world.run();
        world.give(0, "4");
        world.run();
        let (first, second) = (world.produced(), world.produced());
        assert_eq!(seen(&first)[0].values, ["1", "2", "3"]);
        let before = world.client.buffered_bytes();
        world.settle_produce(&first, ErrorCode::MESSAGE_TOO_LARGE, -1);
        assert_eq!(world.client.buffered_bytes(), before);
        world.settle_produce(&second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
        world.pass(Duration::from_millis(300));
        for (sequence, values) in [(1, &["1"][..]), (2, &["2", "3"]), (4, &["4"])] {
            let sent = world.produced();
            assert!(world.sent.is_empty());
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(seen(&sent), [Seen { partition: 0, producer_id: 77, sequence, values }]);
            world.settle_produce(&sent, ErrorCode::NONE, i64::from(sequence));
        }
        assert_eq!(world.deliveries(), [(vec![1], Ok(1)), (vec![2, 3], Ok(2)), (vec![4], Ok(4))]);
        assert!(world.client.is_drained());
    }
}

#[test]
fn under_a_new_id_nothing_is_sent_that_may_be_written_already() {
    let mut world = World::ready(&[1, 2], |_| {});
    world.give(0, "1");
    world.give(1, "2");
    world.run();
    world.identify(77);
    let mut requests: Vec<_> = std::mem::take(&mut world.sent).into();
    requests.sort_by_key(|sent| world.broker_of(sent));
    world.break_connection(requests[1].connection);
    world.settle_produce(&requests[0], ErrorCode::INVALID_RECORD, -1);
    world.pass(Duration::from_secs(1));
    world.identify(78);
    world.pass(Duration::from_secs(1));
    assert!(world.sent.is_empty());
    let deliveries = world.deliveries();
    assert_eq!(deliveries[0], (vec![1], Err(DeliveryError::Refused(ErrorCode::INVALID_RECORD, None))));
    assert_eq!(deliveries[1], (vec![2], Err(DeliveryError::TimedOut(Some("reset".to_owned())))));
}

#[test]
fn a_producer_that_the_broker_forgot_begins_again() {
    let mut world = World::ready(&[1], |_| {});
    world.give(0, "1");
    world.run();
    world.identify(77);
    let sent = world.produced();
    world.settle_produce(&sent, ErrorCode::UNKNOWN_PRODUCER_ID, -1);
    world.pass(Duration::from_millis(300));
    world.identify(78);
    let again = world.produced();
    assert_eq!(seen(&again)[0].producer_id, 78);
    world.settle_produce(&again, ErrorCode::NONE, 0);
    assert_eq!(world.deliveries(), [(vec![1], Ok(0))]);
}

#[test]
fn time_is_up_for_what_is_never_delivered() {
    let mut world = World::ready(&[1], |config| {
        anonymous(config);
        config.producer.delivery_timeout = Duration::from_secs(3);
    });
    world.give(0, "1");
    world.run();
    for _ in 0..20 {
        if let Some(sent) = world.sent.pop_front() {
            world.settle_produce(&sent, ErrorCode::NOT_ENOUGH_REPLICAS, -1);
        }
        world.pass(Duration::from_millis(250));
    }
    let timed_out = DeliveryError::TimedOut(Some("NOT_ENOUGH_REPLICAS".to_owned()));
    assert_eq!(world.deliveries(), [(vec![1], Err(timed_out))]);
    assert!(world.client.is_drained());
}

#[test]
fn time_is_up_for_what_has_no_leader() {
    let mut world = World::ready(&[-1], |config| {
        anonymous(config);
        config.producer.delivery_timeout = Duration::from_secs(3);
    });
    world.give(0, "1");
    world.pass(Duration::from_secs(4));
    let timed_out = DeliveryError::TimedOut(Some("a partition without a leader".to_owned()));
    assert_eq!(world.deliveries(), [(vec![1], Err(timed_out))]);
}

#[test]
fn an_answer_that_leaves_a_batch_out_is_no_delivery() {
    let mut world = World::ready(&[1], anonymous);
    world.give(0, "1");
    world.run();
    let sent = world.produced();
    world.answer_produce(&sent, &[PartitionProduceResponse { index: 5, ..Default::default() }]);
    assert!(world.deliveries().is_empty());
    world.pass(Duration::from_millis(300));
    let again = world.produced();
    world.settle_produce(&again, ErrorCode::NONE, 0);
    assert_eq!(world.deliveries(), [(vec![1], Ok(0))]);
}

#[test]
fn a_refused_producer_id_gives_up_what_waits() {
    let mut world = World::ready(&[1], |_| {});
    world.give(0, "1");
    world.run();
    let sent = world.next(ApiKey::InitProducerId);
    let refused = InitProducerIdResponse { error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED, ..Default::default() };
    world.answer(&sent, &refused);
    assert_eq!(
        world.deliveries(),
        [(vec![1], Err(DeliveryError::Refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED, None)))]
    );
}
