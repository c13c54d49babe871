//! Older data that is sent from where it stands: the same answers, nothing left open, and bounds that hold.

use alloc::format;
use alloc::string::String;

use corelog_wire::record_batch;

use super::*;

/// A host with a topic of five sealed segments of one batch each, and one active one.
fn host(reads: &str) -> Host {
    let mut host = Host::with(|config| config.set("corelog.segment.reads", reads).unwrap());
    host.create_topic("t", 1, &[SMALL_SEGMENTS]);
    fill(&mut host, "t");
    host.restart();
    host
}

fn fill(host: &mut Host, topic: &str) {
    let id = host.open(99);
    for _ in 0..3 {
        produce(host, id, topic, &["a", "b"]);
        produce(host, id, topic, &[&filler()]);
    }
    host.commit();
    host.disconnect(id);
}

fn error_and_records(reply: &[u8]) -> (ErrorCode, Vec<u8>) {
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, reply);
    let partition = response.responses.first().unwrap().partitions.first().unwrap();
    (partition.error_code, partition.records.unwrap().as_slice().unwrap().to_vec())
}

/// Fetches from an offset to an end, on a connection that was open before.
fn records(host: &mut Host, id: ConnectionId, offset: i64) -> (ErrorCode, Vec<u8>) {
    fetch(host, id, "t", offset, 1, 0);
    host.commit();
    error_and_records(&host.reply(id))
}

fn segment_path(host: &Host, base_offset: i64) -> String {
    let name = format!("{base_offset:020}.log");
    host.paths().find(|path| path.ends_with(&name)).unwrap().into()
}

#[test]
fn the_answers_are_those_of_verified_reads() {
    let (mut direct, mut splice) = (host("direct"), host("splice"));
    let (one, other) = (direct.open(1), splice.open(1));
    let mut seen = 0;
    for offset in 0..9 {
        let expected = records(&mut direct, one, offset);
        assert_eq!(records(&mut splice, other, offset), expected, "offset {offset}");
        for batch in record_batch::batches(&expected.1) {
            let batch = batch.unwrap();
            assert!(batch.has_valid_crc() && batch.last_offset() >= offset);
            seen += 1;
        }
    }
    assert!(seen >= 9);
    assert_eq!(direct.from_files, 0);
    assert!(splice.from_files > 0);
    for mut host in [direct, splice] {
        assert_eq!(host.open_segments(), 0);
        assert!(is_at_rest(&mut host));
    }
}

#[test]
fn memory_and_files_are_joined_in_order() {
    let mut host = host("splice");
    host.create_topic("u", 1, &[]);
    let id = host.open(1);
    produce(&mut host, id, "u", &["in memory"]);
    host.commit();
    host.reply(id);
    let partition = |max_bytes| [FetchPartition { partition_max_bytes: max_bytes, ..Default::default() }];
    let partitions = partition(1 << 20);
    let topic = |topic| FetchTopic { topic, partitions: (&partitions).into(), ..Default::default() };
    let topics = [topic("u"), topic("t"), topic("u")];
    let request =
        FetchRequest { max_bytes: 1 << 20, session_epoch: -1, topics: (&topics).into(), ..Default::default() };
    host.send(id, FETCH, &request);
    host.commit();
    let reply = host.reply(id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, &reply);
    let first = |topic: usize| {
        let topic = response.responses.iter().nth(topic).unwrap();
        let records = topic.partitions.first().unwrap().records.unwrap();
        record_batch::batches(records.as_slice().unwrap()).next().unwrap().unwrap().size()
    };
    assert_eq!((first(0), first(1), first(2)), (batch(&["in memory"]).len(), batch(&["a", "b"]).len(), first(0)));
    assert!(host.from_files > 0);
    assert_eq!(host.open_segments(), 0);
}

#[test]
fn a_client_gets_one_answer_at_a_time_from_files() {
    let mut host = host("splice");
    let id = host.open(1);
    host.slow.insert(id);
    for _ in 0..3 {
        fetch(&mut host, id, "t", 0, 1, 0);
    }
    for _ in 0..3 {
        host.commit();
        host.reply(id);
        let sent = host.from_files;
        host.commit();
        assert_eq!((host.try_reply(id), host.from_files), (None, sent), "the client did not take what it got");
        host.drain(id);
    }
    assert!(is_at_rest(&mut host));
    assert_eq!(host.open_segments(), 0);
}

#[test]
fn beyond_the_bound_clients_are_served_from_memory() {
    let mut host = host("splice");
    let count = limits::LENDING_CONNECTIONS_MAX as u64;
    let ask = |host: &mut Host, number: u64| {
        let id = host.open(number);
        let before = host.from_files;
        host.slow.insert(id);
        assert!(!records(host, id, 0).1.is_empty());
        (id, host.from_files > before)
    };
    for number in 1..=count {
        assert!(ask(&mut host, number).1);
    }
    let (id, from_files) = ask(&mut host, count + 1);
    assert!(!from_files, "all pipes are taken");
    host.disconnect(id);
    assert!(!ask(&mut host, count + 2).1);
    host.drain(ConnectionId(1));
    assert!(ask(&mut host, count + 3).1, "one was given back");
    host.disconnect(ConnectionId(2));
    assert!(ask(&mut host, count + 4).1, "and one with its connection");
    for number in 1..=count + 4 {
        host.disconnect(ConnectionId(number));
    }
    assert_eq!(host.front().size(), (0, 0, 0, 0));
    assert!(ask(&mut host, 1).1);
}

#[test]
fn an_answer_takes_so_many_files() {
    let mut host = Host::with(|config| config.set("corelog.segment.reads", "splice").unwrap());
    let names: Vec<String> = (0..limits::LENT_FILES_PER_ANSWER_MAX + 3).map(|index| format!("t{index}")).collect();
    for name in &names {
        host.create_topic(name, 1, &[SMALL_SEGMENTS]);
        fill(&mut host, name);
    }
    host.restart();
    let id = host.open(1);
    let partitions = [FetchPartition { partition_max_bytes: 200, ..Default::default() }];
    let topics: Vec<_> = names
        .iter()
        .map(|topic| FetchTopic { topic, partitions: (&partitions).into(), ..Default::default() })
        .collect();
    let request =
        FetchRequest { max_bytes: 1 << 20, session_epoch: -1, topics: (&topics).into(), ..Default::default() };
    host.send(id, FETCH, &request);
    assert!(host.front().size().3 > 0, "all are being read");
    host.commit();
    let reply = host.reply(id);
    let response: FetchResponse<'_> = decode(ApiKey::Fetch, FETCH, &reply);
    let size = batch(&["a", "b"]).len();
    for topic in response.responses {
        assert_eq!(topic.partitions.first().unwrap().records.unwrap().len(), size);
    }
    assert_eq!(host.from_files, limits::LENT_FILES_PER_ANSWER_MAX * size);
    assert_eq!(host.open_segments(), 0);
}

#[test]
fn a_client_that_leaves_leaves_nothing_open() {
    let mut host = host("splice");
    let id = host.open(1);
    fetch(&mut host, id, "t", 0, 1, 0);
    host.disconnect(id);
    host.commit();
    assert_eq!((host.front().size(), host.open_segments()), ((0, 0, 0, 0), 0));
    let id = host.open(1);
    assert!(!records(&mut host, id, 0).1.is_empty());
    assert!(host.from_files > 0);
}

#[test]
fn a_topic_that_is_deleted_under_a_fetch_leaves_nothing_open() {
    let mut host = host("splice");
    let id = host.open(1);
    fetch(&mut host, id, "t", 0, 1, 0);
    host.delete_topic("t");
    host.commit();
    assert_eq!(error_and_records(&host.reply(id)), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, vec![]));
    assert_eq!(host.open_segments(), 0);
    assert!(is_at_rest(&mut host));
}

#[test]
fn a_disk_that_fails_closes_what_was_opened() {
    let mut host = host("splice");
    let id = host.open(1);
    records(&mut host, id, 0);
    fetch(&mut host, id, "t", 2, 1, 0);
    host.fail_reads();
    assert_eq!(error_and_records(&host.reply(id)).0, ErrorCode::KAFKA_STORAGE_ERROR);
    host.commit();
    assert_eq!(host.open_segments(), 0);
    assert!(is_at_rest(&mut host));
}

#[test]
fn a_file_that_is_too_short_closes_the_connection_and_is_verified_from_then_on() {
    let mut host = host("splice");
    let path = segment_path(&host, 0);
    let cut = host.file(&path).len() - 1;
    host.file(&path).truncate(cut);
    let id = host.open(1);
    fetch(&mut host, id, "t", 0, 1, 0);
    host.commit();
    assert!(host.closed.contains(&id) && host.try_reply(id).is_none());
    let id = host.open(2);
    assert_eq!(records(&mut host, id, 1).0, ErrorCode::KAFKA_STORAGE_ERROR);
    let last = &host.messages.last().unwrap();
    assert!(last.0 == LogLevel::Error && last.1.contains(&path), "{last:?}");
    assert_eq!(records(&mut host, id, 2).0, ErrorCode::NONE, "the next segment is fine");
    assert_eq!(host.open_segments(), 0);
}

#[test]
fn a_header_that_is_damaged_is_told_by_the_verified_reads() {
    let mut host = host("splice");
    let path = segment_path(&host, 0);
    host.file(&path)[16] = 9;
    let id = host.open(1);
    assert_eq!(records(&mut host, id, 0).0, ErrorCode::KAFKA_STORAGE_ERROR);
    let last = &host.messages.last().unwrap();
    assert!(last.0 == LogLevel::Error && last.1.contains(&path), "{last:?}");
    host.file(&path)[16] = 2;
    assert_eq!(records(&mut host, id, 0).0, ErrorCode::NONE);
    assert_eq!(host.open_segments(), 0);
}
