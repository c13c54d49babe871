//! `corelog.segment.reads`: the real broker gives the same bytes read directly and spliced, and what is being sent is sent
//! to its end whatever happens to the file meanwhile.

use std::collections::BTreeMap;
use std::io::{Read, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corelog_tests::broker::{ANY_PORT, Broker, Options, copy_folder, new_folder};
use corelog_tests::client::{Client, WAIT_MAX};
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::{self, BatchBuilder, NewRecord};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tempfile::TempDir;

/// The values of each partition, in order.
type Values = BTreeMap<i32, Vec<Vec<u8>>>;

const TOPIC: &str = "t";
const PARTITIONS: i32 = 3;
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Bytes that do not compress, always the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn batch(codec: Compression, values: &[Vec<u8>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(codec, None);
    // Of this time, or retention takes them.
    let timestamp = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis());
    let timestamp = timestamp.expect("it fits");
    for value in values {
        builder.append(&NewRecord { timestamp, key: None, value: Some(value), headers: &[] });
    }
    builder.build()
}

/// A broker whose topic has many small segments, written with every codec, and the values of each partition.
fn filled() -> Result<(Broker, Values)> {
    let broker = tiny_segments("direct").start();
    let mut client = Client::connect(broker.address())?;
    assert_eq!(client.create_topic(TOPIC, PARTITIONS)?, ErrorCode::NONE);
    let mut written: Values = BTreeMap::new();
    for round in 0..240_usize {
        let partition = (round % PARTITIONS as usize) as i32;
        let length = [10, 300, 4_000, 30_000][round % 4];
        let count = 1 + round % 7;
        let values: Vec<_> = (0..count).map(|index| noise((round * 10 + index) as u64, length)).collect();
        let produced = client.produce(TOPIC, partition, Some(&batch(CODECS[round % CODECS.len()], &values)))?;
        assert_eq!(produced.error, ErrorCode::NONE);
        written.entry(partition).or_default().extend(values);
    }
    Ok((broker, written))
}

/// A copy of a broker's data in the folder of another one.
fn copy_data(broker: &Broker) -> Result<TempDir> {
    let folder = new_folder();
    copy_folder(&broker.data_dir(), &folder.path().join("data"))?;
    Ok(folder)
}

fn tiny_segments(reads: &str) -> Options {
    Options::new()
        // Batches are left in their files for connections of the core that has the partition.
        .cores(1)
        .set("corelog.segment.bytes.min", "1")
        .set("log.segment.bytes", "250000")
        .set("corelog.segment.reads", reads)
}

/// All batches of a partition, in answers of at most so many bytes. A batch that is cut off at the end is asked for again.
fn fetch_all(client: &mut Client, partition: i32, end: i64, bytes_max: i32) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut offset = 0;
    while offset < end {
        let fetched = client.fetch(TOPIC, partition, offset, bytes_max)?;
        assert_eq!((fetched.error, fetched.high_watermark), (ErrorCode::NONE, end));
        let before = offset;
        for batch in record_batch::batches(&fetched.records) {
            let Ok(batch) = batch else { break };
            assert!(batch.has_valid_crc(), "partition {partition}, offset {offset}");
            assert_eq!(batch.base_offset(), offset, "no batch is left out or sent twice");
            all.extend_from_slice(batch.as_bytes());
            offset = batch.next_offset();
        }
        assert!(offset > before, "nothing at offset {offset} of partition {partition}");
    }
    Ok(all)
}

#[test]
fn direct_and_spliced_reads_give_the_same_bytes() -> Result<()> {
    let (mut broker, written) = filled()?;
    if !broker.is_ours() {
        return Ok(());
    }
    // What is complete is in sealed segments then, and not in memory.
    broker.stop();
    let copy = copy_data(&broker)?;
    broker.start_again();
    let spliced = tiny_segments("splice").try_start(copy, ANY_PORT).expect("the broker starts on the copy");
    let (mut one, mut other) = (Client::connect(broker.address())?, Client::connect(spliced.address())?);
    for (partition, values) in &written {
        let end = values.len() as i64;
        for bytes_max in [1, 5_000, 100_000, 10_000_000] {
            let direct = fetch_all(&mut one, *partition, end, bytes_max)?;
            assert!(fetch_all(&mut other, *partition, end, bytes_max)? == direct, "partition {partition}");
        }
        // From the middle of batches, too.
        for offset in (0..end).step_by(3) {
            let first = |client: &mut Client| -> Result<Vec<u8>> {
                let fetched = client.fetch(TOPIC, *partition, offset, 200_000)?;
                let batch = record_batch::batches(&fetched.records).next().expect("a batch").expect("a whole one");
                assert!((batch.base_offset()..=batch.last_offset()).contains(&offset));
                Ok(batch.as_bytes().to_vec())
            };
            assert!(first(&mut one)? == first(&mut other)?, "partition {partition}, offset {offset}");
        }
    }
    assert_eq!(consumed(&spliced), written);
    Ok(())
}

/// What librdkafka reads, every batch verified by it.
fn consumed(broker: &Broker) -> Values {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "segment-reads")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&assignment).expect("partitions are assigned");
    let mut read: Values = BTreeMap::new();
    let (mut ended, begin) = (0, Instant::now());
    while ended < PARTITIONS {
        assert!(begin.elapsed() < WAIT_MAX, "the consumer does not come to the end");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                read.entry(message.partition()).or_default().push(message.payload().expect("a value").to_vec());
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    read
}

/// What the descriptors of the broker lead to.
fn open_files(broker: &Broker) -> Vec<PathBuf> {
    let folder = format!("/proc/{}/fd", broker.process_id());
    let entries = std::fs::read_dir(folder).expect("the broker runs");
    entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).collect()
}

fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < WAIT_MAX, "waited for this: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn retention_does_not_take_a_segment_from_under_a_slow_reader() -> Result<()> {
    const VALUE: usize = 1_000_000;
    const SEALED: u64 = 24;
    let options = Options::new()
        // As above.
        .cores(1)
        .argument("--memory=1G")
        .set("corelog.segment.reads", "splice")
        .set("log.segment.bytes", "24100000")
        .set("log.retention.bytes", "3000000")
        .set("log.retention.check.interval.ms", "50");
    let mut broker = options.start();
    if !broker.is_ours() {
        return Ok(());
    }
    let mut writer = Client::connect(broker.address())?;
    assert_eq!(writer.create_topic(TOPIC, 1)?, ErrorCode::NONE);
    for seed in 0..=SEALED {
        let produced = writer.produce(TOPIC, 0, Some(&batch(Compression::None, &[noise(seed, VALUE)])))?;
        assert_eq!(produced.error, ErrorCode::NONE);
    }
    broker.stop();
    broker.start_again();
    let segment = broker.data_dir().join("topics/t-0/00000000000000000000.log");
    let is_open = |broker: &Broker| open_files(broker).iter().any(|path| leads_to(path, &segment));

    // More than socket buffers hold: the answer is under way until it is read.
    let mut reader = Client::connect(broker.address())?;
    reader.send_fetch(TOPIC, 0, 0, 30_000_000, 0)?;
    let mut stream = reader.stream();
    stream.set_read_timeout(Some(WAIT_MAX))?;
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame)?;
    let length = i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    assert!(length > SEALED as usize * VALUE && is_open(&broker), "all of the segment is on its way");
    let mut writer = Client::connect(broker.address())?;
    for seed in 0..3 {
        let produced = writer.produce(TOPIC, 0, Some(&batch(Compression::None, &[noise(100 + seed, VALUE)])))?;
        assert_eq!(produced.error, ErrorCode::NONE);
    }
    await_that("the segment is removed", || !segment.exists());
    assert!(is_open(&broker), "its bytes are still being sent");
    assert_eq!(writer.fetch(TOPIC, 0, 0, 1000)?.error, ErrorCode::OFFSET_OUT_OF_RANGE);

    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    // The batches are the last thing in a frame of version 11 of one partition.
    let first = batch(Compression::None, &[noise(0, VALUE)]);
    let size = first.len();
    let records = &body[length - size * SEALED as usize..];
    for (seed, bytes) in (0..SEALED).zip(records.chunks(size)) {
        let sent = record_batch::batches(bytes).next().expect("a batch").expect("a whole one");
        assert!(sent.has_valid_crc() && sent.base_offset() == seed as i64);
        assert!(sent.payload() == &batch(Compression::None, &[noise(seed, VALUE)])[record_batch::HEADER_LEN..]);
    }
    await_that("the segment is closed", || !is_open(&broker));
    assert_eq!(reader.fetch(TOPIC, 0, SEALED as i64, 2_000_000)?.error, ErrorCode::NONE, "the connection goes on");
    Ok(())
}

/// Whether a descriptor's link leads to a file, also to one that was removed.
fn leads_to(link: &Path, file: &Path) -> bool {
    link.to_string_lossy().trim_end_matches(" (deleted)") == file.to_string_lossy()
}

#[test]
fn a_segment_that_was_cut_short_ends_the_connection_and_is_named() -> Result<()> {
    let (mut broker, _) = filled()?;
    if !broker.is_ours() {
        return Ok(());
    }
    broker.stop();
    let copy = copy_data(&broker)?;
    let name = "topics/t-0/00000000000000000000.log";
    let path = copy.path().join("data").join(name);
    let file = std::fs::File::options().write(true).open(&path)?;
    file.set_len(file.metadata()?.len() - 5)?;
    let spliced = tiny_segments("splice").try_start(copy, ANY_PORT).expect("the broker starts on the copy");
    let mut client = Client::connect(spliced.address())?;
    client.send_fetch(TOPIC, 0, 0, 10_000_000, 0)?;
    assert!(client.is_closed_by_broker(), "the rest of the frame cannot come");
    await_that("the file is named", || spliced.stderr().contains(&format!("{name} ends at byte")));
    let mut client = Client::connect(spliced.address())?;
    let last = {
        // Up to the batch that is damaged, all is well; from then on it is said to the client.
        let mut offset = 0;
        loop {
            let fetched = client.fetch(TOPIC, 0, offset, 1)?;
            if fetched.error != ErrorCode::NONE {
                break fetched.error;
            }
            let next =
                record_batch::batches(&fetched.records).next().expect("a batch").expect("a whole one").next_offset();
            assert!(next > offset && next < 1_000);
            offset = next;
        }
    };
    assert_eq!(last, ErrorCode::KAFKA_STORAGE_ERROR);
    assert!(spliced.stderr().contains(&format!("{name} is damaged")));
    Ok(())
}

#[test]
fn an_unknown_way_to_read_is_refused() {
    if std::env::var_os("CORELOG_BOOTSTRAP").is_some() {
        return;
    }
    let refusal = tiny_segments("mmap").try_start(new_folder(), ANY_PORT).err().expect("it does not start");
    assert!(refusal.stderr.contains("corelog.segment.reads: \"mmap\" is not one of direct, splice"), "{refusal:?}");
}
