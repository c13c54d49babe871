//! What stands beside the segments of a stopped broker, and comes back when it is lost: index files and producer
//! snapshots, as `corelog dump` reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelog_tests::broker::{Broker, Options, binary};
use corelog_tests::client::{Client, decode};
use corelog_wire::api::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch};

const BATCHES: usize = 600;
const RECORDS: usize = 5;
const LIST_OFFSETS_VERSION: i16 = 5;
/// Until the files are there again.
const REPAIR_MAX: Duration = Duration::from_secs(60);

/// Produces as one idempotent producer, a batch for every second from `begin_ms` on. Returns where each batch begins.
fn produce(broker: &Broker, begin_ms: i64) -> Vec<i64> {
    let mut client = Client::connect(broker.address()).expect("a connection");
    assert!(client.create_topic("t", 1).expect("an answer").is_none());
    let producer = client.producer_id().expect("an answer");
    let value = vec![7; 4_000];
    let batch = |number: usize| {
        let mut batch = BatchBuilder::new().producer(producer, 0, (number * RECORDS) as i32);
        for record in 0..RECORDS {
            // The first record has the largest timestamp.
            let timestamp = begin_ms + 1_000 * number as i64 - record as i64;
            batch.append(&NewRecord { timestamp, value: Some(&value), ..Default::default() });
        }
        batch.build()
    };
    (0..BATCHES)
        .map(|number| {
            let produced = client.produce("t", 0, Some(&batch(number))).expect("an answer");
            assert!(produced.error.is_none(), "{produced:?}");
            produced.base_offset
        })
        .collect()
}

/// The files of the partition's folder with this ending, in order.
fn files(broker: &Broker, extension: &str) -> Vec<PathBuf> {
    let folder = broker.data_dir().join("topics/t-0");
    let entries = folder.read_dir().expect("the partition has a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

fn offset_of(path: &Path) -> i64 {
    path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("files are named after offsets")
}

fn dump(files: &[PathBuf]) -> String {
    let output = Command::new(binary()).args(["dump", "--summary"]).args(files).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn offset_at(client: &mut Client, timestamp: i64) -> i64 {
    let partitions = [ListOffsetsPartition { partition_index: 0, timestamp, ..Default::default() }];
    let topics = [ListOffsetsTopic { name: "t", partitions: (&partitions).into() }];
    let request = ListOffsetsRequest { replica_id: -1, topics: (&topics).into(), ..Default::default() };
    client.send(LIST_OFFSETS_VERSION, &request).expect("sent");
    let frame = client.receive().expect("an answer");
    let (_, response) = decode::<ListOffsetsRequest<'_>>(&frame, LIST_OFFSETS_VERSION).expect("a whole answer");
    let topic = response.topics.first().expect("a topic");
    let partition = topic.partitions.first().expect("a partition");
    assert!(partition.error_code.is_none(), "{partition:?}");
    partition.offset
}

/// Reads somewhere in each segment, by offset and by time.
fn read(broker: &Broker, begin_ms: i64, begins: &[i64], segments: &[PathBuf]) {
    let mut client = Client::connect(broker.address()).expect("a connection");
    for (number, segment) in segments.iter().enumerate() {
        let first = begins.partition_point(|begin| *begin < offset_of(segment));
        let end = segments
            .get(number + 1)
            .map_or(begins.len(), |next| begins.partition_point(|begin| *begin < offset_of(next)));
        let wanted = (first + end) / 2;
        let fetched = client.fetch("t", 0, begins[wanted] + 2, 1).expect("an answer");
        assert!(fetched.error.is_none(), "{fetched:?}");
        let (batch, _) = RecordBatch::split_from(&fetched.records).expect("a batch");
        assert_eq!(batch.base_offset(), begins[wanted]);
        assert!(batch.has_valid_crc());
        assert_eq!(offset_at(&mut client, begin_ms + 1_000 * wanted as i64 - 500), begins[wanted]);
    }
}

#[test]
fn lost_index_files_are_there_again_after_they_were_missed() {
    let options = Options::new()
        .set("log.segment.bytes", "2097152")
        .set("corelog.journal.file.bytes", "8388608")
        .set("corelog.journal.files.max", "4")
        .argument("--memory")
        .argument("64M");
    let mut broker = options.start();
    if !broker.is_ours() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    // Neither retention nor the expiration of producers has anything to do.
    let begin_ms = i64::try_from(now.as_millis()).expect("before the year 292 million") - 1_000 * BATCHES as i64;
    let begins = produce(&broker, begin_ms);
    assert!(broker.stop().success());

    let segments = files(&broker, "log");
    assert!(segments.len() > 4, "{segments:?}");
    let end = (BATCHES * RECORDS) as i64;
    let snapshots: Vec<i64> = files(&broker, "snapshot").iter().map(|path| offset_of(path)).collect();
    let begin_of = segments.iter().skip(1).map(|path| offset_of(path));
    assert_eq!(snapshots, begin_of.chain([end]).collect::<Vec<_>>(), "where segments begin, and at the log end");
    for extension in ["log", "index", "timeindex", "snapshot"] {
        let said = dump(&files(&broker, extension));
        assert!(extension != "snapshot" || said.contains("  1 producers"), "{said}");
    }

    let indexes = |broker: &Broker| [files(broker, "index"), files(broker, "timeindex")].concat();
    let content = |path: &PathBuf| (path.clone(), std::fs::read(path).expect("a file"));
    let whole: BTreeMap<PathBuf, Vec<u8>> = indexes(&broker).iter().map(content).collect();
    assert!(whole.values().all(|bytes| bytes.len() > 100));
    for path in indexes(&broker).iter().filter(|path| offset_of(path) != offset_of(&segments[segments.len() - 1])) {
        std::fs::remove_file(path).expect("a file");
    }
    broker.start_again();
    let begin = Instant::now();
    while indexes(&broker).len() < whole.len() {
        assert!(begin.elapsed() < REPAIR_MAX, "{:?} remain of {}", indexes(&broker), whole.len());
        read(&broker, begin_ms, &begins, &segments);
    }
    read(&broker, begin_ms, &begins, &segments);
    assert!(broker.stop().success());
    for (path, bytes) in &whole {
        let now = std::fs::read(path).expect("a file");
        assert!(now == *bytes, "{} is another: {} bytes, not {}", path.display(), now.len(), bytes.len());
    }
    dump(&indexes(&broker));
    // Nothing was appended, so nothing has changed here either.
    assert_eq!(files(&broker, "snapshot").iter().map(|path| offset_of(path)).collect::<Vec<_>>(), snapshots);
    assert!(!broker.stderr().contains("panicked"), "{}", broker.stderr());
}
