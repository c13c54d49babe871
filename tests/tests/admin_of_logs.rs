//! What clients may ask about the logs of topics and change of them, against the real process, which is killed in between.

use std::time::{SystemTime, UNIX_EPOCH};

use corelog_tests::broker::Options;
use corelog_tests::client::{Client, decode};
use corelog_wire::api::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use corelog_wire::api::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

const TOPIC: &str = "t";

/// Writes so many records in a batch each, acknowledged.
fn produce(client: &mut Client, partition: i32, count: usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    // Or else retention takes it.
    let timestamp = i64::try_from(now.as_millis()).expect("it fits");
    for _ in 0..count {
        let mut builder = BatchBuilder::new();
        builder.append(&NewRecord { timestamp, value: Some(&[b'v'; 1000]), ..Default::default() });
        let produced = client.produce(TOPIC, partition, Some(&builder.build())).expect("an answer");
        assert_eq!(produced.error, ErrorCode::NONE);
    }
}

/// Error, epoch and end.
fn end_of_epoch(client: &mut Client, believed: i32, leader_epoch: i32) -> (ErrorCode, i32, i64) {
    const VERSION: i16 = 4;
    let partitions = [OffsetForLeaderPartition { partition: 0, current_leader_epoch: believed, leader_epoch }];
    let topics = [OffsetForLeaderTopic { topic: TOPIC, partitions: (&partitions).into() }];
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: (&topics).into() };
    client.send(VERSION, &request).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, answer) = decode::<OffsetForLeaderEpochRequest<'_>>(&frame, VERSION).expect("sound");
    let end = answer.topics.first().and_then(|topic| topic.partitions.first()).expect("an answer for the partition");
    (end.error_code, end.leader_epoch, end.end_offset)
}

#[test]
fn a_kill_begins_a_leader_epoch_and_the_old_one_keeps_its_end() {
    let mut broker = Options::new().start();
    if !broker.is_ours() {
        return;
    }
    let mut client = Client::connect(broker.address()).expect("a connection");
    assert_eq!(client.create_topic(TOPIC, 1).expect("an answer"), ErrorCode::NONE);
    produce(&mut client, 0, 3);
    assert_eq!(end_of_epoch(&mut client, 0, 0), (ErrorCode::NONE, 0, 3));
    for epoch in 1..4 {
        broker.kill();
        broker.start_again();
        let mut client = Client::connect(broker.address()).expect("a connection");
        assert_eq!(end_of_epoch(&mut client, epoch - 1, 0).0, ErrorCode::FENCED_LEADER_EPOCH);
        let end = i64::from(epoch) * 2 + 1;
        assert_eq!(end_of_epoch(&mut client, -1, epoch), (ErrorCode::NONE, epoch, end), "nothing written yet");
        produce(&mut client, 0, 2);
        assert_eq!(end_of_epoch(&mut client, epoch, 0), (ErrorCode::NONE, 0, 3));
        assert_eq!(end_of_epoch(&mut client, epoch, epoch - 1), (ErrorCode::NONE, epoch - 1, end));
        assert_eq!(end_of_epoch(&mut client, epoch, epoch), (ErrorCode::NONE, epoch, end + 2));
        assert_eq!(end_of_epoch(&mut client, epoch, epoch + 1), (ErrorCode::NONE, -1, -1));
    }
}

/// Error and low watermark.
fn delete_records(client: &mut Client, partition: i32, offset: i64) -> (ErrorCode, i64) {
    const VERSION: i16 = 2;
    let partitions = [DeleteRecordsPartition { partition_index: partition, offset }];
    let topics = [DeleteRecordsTopic { name: TOPIC, partitions: (&partitions).into() }];
    client.send(VERSION, &DeleteRecordsRequest { topics: (&topics).into(), timeout_ms: 30_000 }).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, answer) = decode::<DeleteRecordsRequest<'_>>(&frame, VERSION).expect("sound");
    let result = answer.topics.first().and_then(|topic| topic.partitions.first()).expect("one for the partition");
    (result.error_code, result.low_watermark)
}

/// Error, and whether there were records.
fn read(client: &mut Client, partition: i32, offset: i64) -> (ErrorCode, bool) {
    let fetched = client.fetch(TOPIC, partition, offset, 1 << 20).expect("an answer");
    (fetched.error, !fetched.records.is_empty())
}

#[test]
fn deleted_records_stay_deleted_however_often_the_broker_is_killed() {
    let options = Options::new()
        .set("corelog.journal.file.bytes", "65536")
        .set("corelog.journal.files.max", "4")
        .set("corelog.segment.bytes.min", "4096")
        .set("message.max.bytes", "16384")
        .set("log.segment.bytes", "16384");
    let mut broker = options.start();
    if !broker.is_ours() {
        return;
    }
    let mut client = Client::connect(broker.address()).expect("a connection");
    assert_eq!(client.create_topic(TOPIC, 2).expect("an answer"), ErrorCode::NONE);
    let (mut log_start, mut end) = (0, 0);
    for round in 0..6 {
        // Within a segment, behind many, and all that there is.
        let count = [3, 100, 40][round % 3];
        produce(&mut client, 0, count);
        produce(&mut client, 1, 1);
        end += count as i64;
        log_start = if round % 3 == 2 { end } else { log_start.max(end - 2) };
        let wanted = if log_start == end { -1 } else { log_start };
        assert_eq!(delete_records(&mut client, 0, end + 1), (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
        assert_eq!(delete_records(&mut client, 0, wanted), (ErrorCode::NONE, log_start), "round {round}");
        broker.kill();
        broker.start_again();
        client = Client::connect(broker.address()).expect("a connection");
        assert_eq!(read(&mut client, 0, log_start - 1), (ErrorCode::OFFSET_OUT_OF_RANGE, false), "round {round}");
        assert_eq!(read(&mut client, 0, log_start), (ErrorCode::NONE, log_start < end), "round {round}");
        assert_eq!(read(&mut client, 1, 0), (ErrorCode::NONE, true), "the other partition is whole");
        assert_eq!(delete_records(&mut client, 0, 0), (ErrorCode::NONE, log_start), "it never goes back");
    }
    assert!(broker.stop().success());
    broker.start_again();
    let mut client = Client::connect(broker.address()).expect("a connection");
    assert_eq!(delete_records(&mut client, 0, 0), (ErrorCode::NONE, log_start));
}
