//! What is in the data directory, what is left out, and that sizes are those of the segments.

use alloc::string::{String, ToString};
use alloc::vec;

use corelog_wire::api::describe_log_dirs::DescribableLogDirTopic;
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;

use super::*;
use crate::front::testing::{Host, SMALL_SEGMENTS, batch, decode, filler};
use crate::io::{ConnectionId, Event};

const NEWEST: i16 = 5;
const DIRECTORY: &str = "/data/corelog";

fn host() -> Host {
    Host::with(|config| config.data_dir = DIRECTORY.to_string())
}

/// Topic, partition and size of each replica; and the volume's bytes, all and usable.
type Described = (Vec<(String, i32, i64)>, i64, i64);

fn describe(host: &mut Host, id: ConnectionId, version: i16, topics: Option<&[(&str, &[i32])]>) -> Described {
    let topics: Option<Vec<_>> = topics.map(|topics| {
        let topics = topics.iter();
        topics.map(|(topic, partitions)| DescribableLogDirTopic { topic, partitions: (*partitions).into() }).collect()
    });
    let request = DescribeLogDirsRequest { topics: topics.as_ref().map(Into::into) };
    let reply = host.ask(id, version, &request);
    let response: DescribeLogDirsResponse<'_> = decode(ApiKey::DescribeLogDirs, version, &reply);
    assert_eq!((response.error_code, response.results.len()), (ErrorCode::NONE, 1));
    let directory = response.results.first().unwrap();
    assert_eq!((directory.error_code, directory.log_dir, directory.is_cordoned), (ErrorCode::NONE, DIRECTORY, false));
    let mut rows = vec![];
    for topic in directory.topics {
        for partition in topic.partitions {
            assert_eq!((partition.offset_lag, partition.is_future_key), (0, false));
            rows.push((topic.name.to_string(), partition.partition_index, partition.partition_size));
        }
    }
    (rows, directory.total_bytes, directory.usable_bytes)
}

/// Writes a batch and returns its size.
fn produce(host: &mut Host, id: ConnectionId, topic: &str, index: i32, value: &str) -> i64 {
    let records = batch(&[value]);
    let partitions = [PartitionProduceData { index, records: Some(&records) }];
    let topics = [TopicProduceData { name: topic, partition_data: (&partitions).into(), ..Default::default() }];
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: (&topics).into(), ..Default::default() };
    host.send(id, 9, &request);
    host.commit();
    let reply = host.reply(id);
    let response: ProduceResponse<'_> = decode(ApiKey::Produce, 9, &reply);
    let partition = response.responses.first().unwrap().partition_responses.first().unwrap();
    assert_eq!(partition.error_code, ErrorCode::NONE);
    records.len() as i64
}

fn row(topic: &str, index: i32, size: i64) -> (String, i32, i64) {
    (topic.to_string(), index, size)
}

#[test]
fn every_version_describes() {
    let mut host = host();
    host.create_topic("t", 2, &[]);
    host.create_topic("s", 1, &[]);
    let id = host.open(1);
    let size = produce(&mut host, id, "t", 1, "a") + produce(&mut host, id, "t", 1, "bb");
    for version in 1..=NEWEST {
        let (rows, total, usable) = describe(&mut host, id, version, None);
        assert_eq!(rows, [row("s", 0, 0), row("t", 0, 0), row("t", 1, size)], "version {version}");
        assert_eq!((total, usable), (-1, -1), "nobody has measured it yet");
    }
    host.event(Event::FreeSpace { bytes: 5 << 30, total_bytes: 7 << 30 });
    for version in 1..=NEWEST {
        let (_, total, usable) = describe(&mut host, id, version, Some(&[]));
        assert_eq!((total, usable), if version >= 4 { (7 << 30, 5 << 30) } else { (-1, -1) });
    }
    host.event(Event::FreeSpace { bytes: u64::MAX, total_bytes: u64::MAX });
    assert_eq!(describe(&mut host, id, NEWEST, Some(&[])), (vec![], i64::MAX, i64::MAX));
}

#[test]
fn only_what_is_asked_for_and_there_is_described() {
    let mut host = host();
    let topic_id = host.create_topic("t", 3, &[]);
    host.create_topic("u", 1, &[]);
    let id = host.open(1);
    let mut rows = |topics: &[(&str, &[i32])]| describe(&mut host, id, NEWEST, Some(topics)).0;
    assert_eq!(rows(&[]), []);
    assert_eq!(rows(&[("t", &[])]), []);
    assert_eq!(rows(&[("t", &[2, 0, 2, 3, -1]), ("no", &[0])]), [row("t", 0, 0), row("t", 2, 0)]);
    assert_eq!(rows(&[("u", &[0]), ("t", &[1]), ("u", &[0])]), [row("t", 1, 0), row("u", 0, 0)]);
    host.lose_partition(topic_id, 1);
    assert_eq!(describe(&mut host, id, NEWEST, Some(&[("t", &[0, 1])])).0, [row("t", 0, 0)], "others' are not here");
    host.delete_topic("t");
    assert_eq!(describe(&mut host, id, NEWEST, None).0, [row("u", 0, 0)]);
}

#[test]
fn sizes_outlive_a_restart_and_shrink_with_the_log_start() {
    let mut host = host();
    let topic_id = host.create_topic("t", 1, &[SMALL_SEGMENTS]);
    let id = host.open(1);
    let size = (0..5).map(|_| produce(&mut host, id, "t", 0, &filler())).sum::<i64>();
    assert_eq!(describe(&mut host, id, NEWEST, None).0, [row("t", 0, size)]);
    host.restart();
    let id = host.open(1);
    assert_eq!(describe(&mut host, id, NEWEST, None).0, [row("t", 0, size)]);
    let partition = host.partition(topic_id, 0);
    let sizes: Vec<i64> = host.logs().partition(partition).segments.iter().map(|segment| segment.len as i64).collect();
    assert!(sizes.len() >= 3 && sizes.iter().sum::<i64>() == size, "{sizes:?}");
    let second = host.logs().partition(partition).segments[1].base_offset;
    host.logs().begin_log_start(partition, second);
    host.turn();
    host.commit();
    let left = size - sizes[0];
    assert_eq!(describe(&mut host, id, NEWEST, None).0, [row("t", 0, left)], "whole segments go");
}
