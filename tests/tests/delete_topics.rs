//! DeleteTopics against the real process: who has the answer finds nothing of the topic, also after a kill right behind it,
//! and a new topic of the same name begins at nothing.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelog_tests::broker::{Broker, Options};
use corelog_tests::client::{Client, decode};
use corelog_wire::api::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use corelog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch};

const DELETE_VERSION: i16 = 6;
const METADATA_VERSION: i16 = 12;
const PARTITIONS: i32 = 3;
/// Until the folders of a deleted topic are gone.
const REMOVAL_MAX: Duration = Duration::from_secs(30);

fn connect(broker: &Broker) -> Client {
    Client::connect(broker.address()).expect("a connection")
}

/// A batch of now, so that retention has nothing to do.
fn batch(value: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let timestamp = i64::try_from(now.as_millis()).expect("before the year 292 million");
    let mut batch = BatchBuilder::new();
    batch.append(&NewRecord { timestamp, value: Some(value), ..Default::default() });
    batch.build()
}

/// Produces so many batches to each partition, the next offset being `next`.
fn fill(client: &mut Client, topic: &str, next: i64, count: i64, value: &[u8]) {
    for partition in 0..PARTITIONS {
        for number in 0..count {
            let produced = client.produce(topic, partition, Some(&batch(value))).expect("an answer");
            assert_eq!((produced.error, produced.base_offset), (ErrorCode::NONE, next + number));
        }
    }
}

fn delete(client: &mut Client, topics: &[DeleteTopicState<'_>]) -> Vec<ErrorCode> {
    let request = DeleteTopicsRequest { topics: topics.into(), timeout_ms: 30_000, ..Default::default() };
    client.send(DELETE_VERSION, &request).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, answer) = decode::<DeleteTopicsRequest<'_>>(&frame, DELETE_VERSION).expect("a whole answer");
    answer.responses.iter().map(|topic| topic.error_code).collect()
}

fn by_name(name: &str) -> DeleteTopicState<'_> {
    DeleteTopicState { name: Some(name), topic_id: TopicId::ZERO }
}

/// The id of a topic, if there is one of this name.
fn topic_id(client: &mut Client, name: &str) -> Option<TopicId> {
    let topics = [MetadataRequestTopic { topic_id: TopicId::ZERO, name: Some(name) }];
    let request =
        MetadataRequest { topics: Some((&topics).into()), allow_auto_topic_creation: false, ..Default::default() };
    client.send(METADATA_VERSION, &request).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, answer) = decode::<MetadataRequest<'_>>(&frame, METADATA_VERSION).expect("a whole answer");
    let topic = answer.topics.first().expect("the topic");
    match topic.error_code {
        ErrorCode::NONE => Some(topic.topic_id),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => None,
        error => panic!("{name}: {error}"),
    }
}

/// What every partition of a topic holds: the offsets of its batches, all that there are, or an error.
fn read(client: &mut Client, topic: &str) -> Vec<Result<Vec<i64>, ErrorCode>> {
    let read = |partition| {
        let fetched = client.fetch(topic, partition, 0, 1 << 20).expect("an answer");
        if !fetched.error.is_none() {
            return Err(fetched.error);
        }
        let mut offsets = Vec::new();
        let mut rest = &fetched.records[..];
        while !rest.is_empty() {
            let (batch, behind) = RecordBatch::split_from(rest).expect("whole batches");
            assert!(batch.has_valid_crc());
            offsets.push(batch.base_offset());
            rest = behind;
        }
        assert_eq!(fetched.high_watermark, offsets.len() as i64);
        Ok(offsets)
    };
    (0..PARTITIONS).map(read).collect()
}

/// The folders of partitions whose names begin so, once those of deleted topics are gone.
fn folders(broker: &Broker, prefix: &str) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let entries = Path::read_dir(&broker.data_dir().join("topics")).expect("a folder for topics");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        if !names.iter().any(|name| name.ends_with("-delete")) {
            return names;
        }
        assert!(begun.elapsed() < REMOVAL_MAX, "{names:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_deleted_topic_is_gone_and_its_name_free() {
    // Small segments, so that there are sealed ones, and a ring that goes round.
    let options = Options::new()
        .set("log.segment.bytes", "1048576")
        .set("corelog.journal.file.bytes", "8388608")
        .set("corelog.journal.files.max", "4")
        .argument("--memory")
        .argument("64M");
    let mut broker = options.start();
    if !broker.is_ours() {
        return;
    }
    let large = vec![7; 200_000];
    let mut client = connect(&broker);
    for (name, value) in [("t", &large[..]), ("kept", b"kept")] {
        assert!(client.create_topic(name, PARTITIONS).expect("an answer").is_none());
        fill(&mut client, name, 0, 12, value);
    }
    let first = topic_id(&mut client, "t").expect("it is there");
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;

    // A consumer that waits hears of it; the name is free with the answer.
    let mut consumer = connect(&broker);
    consumer.send_fetch("t", 1, 12, 1 << 20, 30_000).expect("sent");
    assert_eq!(delete(&mut client, &[by_name("t"), by_name("no")]), [ErrorCode::NONE, unknown]);
    assert_eq!(consumer.receive_fetched().expect("an answer").error, unknown);
    assert_eq!(topic_id(&mut client, "t"), None);
    assert_eq!(client.produce("t", 0, Some(&batch(b"late"))).expect("an answer").error, unknown);
    assert!(client.create_topic("t", PARTITIONS).expect("an answer").is_none());
    let second = topic_id(&mut client, "t").expect("it is there");
    assert_ne!(first, second);
    assert_eq!(read(&mut client, "t"), vec![Ok(vec![]); 3]);
    fill(&mut client, "t", 0, 2, b"second");
    assert_eq!(read(&mut client, "t"), vec![Ok(vec![0, 1]); 3]);

    // Killed right behind the answers: the second one is there, with nothing of the first.
    broker.kill();
    broker.start_again();
    let mut client = connect(&broker);
    assert_eq!(topic_id(&mut client, "t"), Some(second));
    assert_eq!(read(&mut client, "t"), vec![Ok(vec![0, 1]); 3]);

    // Killed right behind the deletion: it is gone, and a third one begins at nothing.
    fill(&mut client, "t", 2, 6, &large);
    let by_id = DeleteTopicState { name: None, topic_id: second };
    assert_eq!(delete(&mut client, &[by_id]), [ErrorCode::NONE]);
    broker.kill();
    broker.start_again();
    let mut client = connect(&broker);
    assert_eq!(topic_id(&mut client, "t"), None);
    assert_eq!(folders(&broker, "t-"), Vec::<String>::new());
    assert_eq!(delete(&mut client, &[by_id]), [ErrorCode::UNKNOWN_TOPIC_ID]);
    assert!(client.create_topic("t", PARTITIONS).expect("an answer").is_none());
    assert_eq!(read(&mut client, "t"), vec![Ok(vec![]); 3]);
    fill(&mut client, "t", 0, 1, b"third");

    // A clean stop changes nothing of it, and the other topic is as it was.
    assert!(broker.stop().success());
    broker.start_again();
    let mut client = connect(&broker);
    assert_eq!(read(&mut client, "t"), vec![Ok(vec![0]); 3]);
    assert_eq!(read(&mut client, "kept"), vec![Ok((0..12).collect()); 3]);
    assert_eq!(folders(&broker, "kept-"), ["kept-0", "kept-1", "kept-2"]);
}
