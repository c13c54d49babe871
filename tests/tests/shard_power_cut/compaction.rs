//! Compaction against a map: whatever is cleaned, and wherever the power is cut meanwhile, who reads the log from its
//! beginning comes to the same last value for each key; offsets never change, gaps read well from every offset, producers go
//! on, and nothing is left of what a cut interrupted.
//!
//! `CORELOG_WRITE_COMPACTED=FOLDER` writes the data directories at the ends of the first test there, for Kafka's tools.
//! `CORELOG_SEEDS=n` runs n histories and cuts at every boundary; `CORELOG_SEED=s` runs history s alone, `CORELOG_CUT=n` cuts
//! at the n-th boundary alone.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use corelog_replication::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex};
use corelog_replication::metadata::{MetadataRecord, PartitionAssignment};
use corelog_shard::config::BrokerConfig;
use corelog_shard::io::{ConnectionId, EIO, ENOSPC, LogLevel, Now};
use corelog_tests::sim::disk::{Fault, FaultDisk, StepKind};
use corelog_tests::sim::node::{Node, decode};
use corelog_tests::sim::random::Random;
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch, batches};

use crate::from_env;
use crate::ledger::{BLOCK, Ledger};
use crate::world::cuts_of_start;

mod world;

use world::*;

#[test]
fn a_compacted_log_agrees_with_a_map() {
    for seed in 0..from_env("CORELOG_SEEDS").unwrap_or(2) {
        let mut seen = Seen::default();
        let mut broker = history(seed, 150, &mut seen, &mut |_, _| {});
        broker.check();
        broker.check_every_offset();
        broker.check_producers();
        let left: usize =
            (0..PARTITIONS).map(|index| broker.read_all(index).iter().map(|b| b.records.len()).sum::<usize>()).sum();
        let all: i64 = broker.model.partitions.iter().map(|p| p.end).sum();
        println!("seed {seed}: {seen:?}, {left} of {all} records are left");
        assert!((left as i64) < all / 2, "{left} of {all} records are left: {:?}", broker.node.messages);
        assert!(seen.cleanings > 5 && seen.replaced > 5 && seen.merged, "{seen:?}");
        let disk = broker.stop(&mut |_, _| {});
        crate::indexes::check(&disk);
        broker.nobody_complains();
        if let Some(folder) = std::env::var_os("CORELOG_WRITE_COMPACTED") {
            for path in disk.paths() {
                let target = std::path::Path::new(&folder).join(seed.to_string()).join(&path);
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::write(target, disk.bytes(&path).unwrap()).unwrap();
            }
        }
    }
}

/// A disk at a boundary, with what it must hold.
struct Cut {
    number: u64,
    disk: FaultDisk,
    model: Model,
}

#[test]
fn nothing_is_lost_wherever_the_power_is_cut_while_segments_are_replaced() {
    let scripts = from_env("CORELOG_SEEDS");
    let stride = if scripts.is_some() { 1 } else { 41 };
    let only = from_env("CORELOG_CUT");
    let seeds = from_env("CORELOG_SEED").map_or(0..scripts.unwrap_or(1), |seed| seed..seed + 1);
    for seed in seeds {
        let (send, receive) = sync_channel::<Cut>(4);
        let receive = Mutex::new(receive);
        let failures = Mutex::new(Vec::new());
        let mut seen = Seen::default();
        let mut report = Report::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| check_cuts(&receive, &failures));
            }
            let mut probe = |disk: &FaultDisk, model: &Model| {
                report.boundaries += 1;
                let number = report.boundaries;
                let cleaned = disk.paths().iter().any(|path| path.ends_with(".cleaned"));
                let rare = disk.kinds_in_flight().iter().any(|kind| {
                    // Names change for nothing else here.
                    let is_name = matches!(kind, StepKind::Rename | StepKind::Remove);
                    let times = report.while_cleaned.entry(*kind).or_default();
                    *times += u64::from(cleaned || is_name);
                    cleaned && *times < 12 || is_name && *times < 60
                });
                if only.map_or(rare || number % stride == seed % stride, |only| only == number) {
                    report.cuts += 1;
                    let disk = if number % 5 == 3 { disk.kill(number) } else { disk.restart(number) };
                    let _ = send.send(Cut { number, disk, model: model.clone() });
                }
            };
            history(seed, 60, &mut seen, &mut probe);
            drop(send);
        });
        println!("history {seed}: {report:?} {seen:?}");
        let failures = failures.into_inner().unwrap();
        assert!(failures.is_empty(), "history {seed}, {report:?}:\n{}", failures.join("\n"));
        assert!(seen.replaced > 5 && report.boundaries > 3_000, "{seen:?} {report:?}");
        for kind in [StepKind::Write, StepKind::Sync, StepKind::SyncDir, StepKind::Rename, StepKind::Remove] {
            let times = report.while_cleaned.get(&kind).copied().unwrap_or(0);
            assert!(only.is_some() || times > 5, "{kind:?} was interrupted {times} times while something was cleaned");
        }
    }
}

#[derive(Debug, Default)]
struct Report {
    boundaries: u64,
    cuts: u64,
    /// How often each kind of step was in flight while there was a file of a cleaning.
    while_cleaned: BTreeMap<StepKind, u64>,
}

fn check_cuts(cuts: &Mutex<Receiver<Cut>>, failures: &Mutex<Vec<String>>) {
    loop {
        let cut = cuts.lock().unwrap().recv();
        let Ok(Cut { number, disk, model }) = cut else { return };
        if failures.lock().unwrap().len() >= 8 {
            continue;
        }
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if number % 16 == 5 {
                // The power is cut again during the start.
                let mut ledger = Ledger::new(model.config.clone());
                ledger.now = model.now;
                for cut in cuts_of_start(&disk, &ledger, Some((3, &mut Random::new(number)))) {
                    check(cut.restart(number), model.clone(), number, false);
                }
            }
            check(disk, model, number, number % 4 == 1);
        }));
        if let Err(panic) = held {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            failures.lock().unwrap().push(format!("CORELOG_CUT={number}: {}", words.unwrap_or_default()));
        }
    }
}

/// A broker with a dirty log, at the first step of its first cleaning; nothing of it is written yet.
fn dirty(seed: u64, settings: Settings<'_>, set: impl Fn(&mut BrokerConfig)) -> Broker {
    let mut model = Model::new(seed);
    set(&mut model.config);
    model.config.set("log.cleaner.enable", "false").unwrap();
    let mut broker = Broker::start(FaultDisk::new(BLOCK, seed), model, seed);
    broker.create(settings);
    broker.run(150, 60, &mut |_, _| {});
    // Both copies of the checkpoint know the segments, except for the last ones.
    let disk = broker.stop(&mut |_, _| {});
    broker.model.config.set("log.cleaner.enable", "true").unwrap();
    broker.restart(disk)
}

fn has_cleaned_file(broker: &Broker) -> bool {
    broker.node.disk.paths().iter().any(|path| path.ends_with(".cleaned"))
}

/// Goes on until a cleaned segment is being written.
fn until_cleaned_file(broker: &mut Broker) {
    for _ in 0..200 {
        broker.pass_ms(100);
        for _ in 0..2_000 {
            if has_cleaned_file(broker) {
                return;
            }
            if !broker.advance(&mut |_, _| {}) {
                break;
            }
        }
    }
    panic!("nothing is cleaned: {:?}", broker.node.shard().logs().cleaner_stats());
}

#[test]
fn more_keys_than_fit_into_memory_take_several_cleanings() {
    let room = |config: &mut BrokerConfig| config.set("log.cleaner.dedupe.buffer.size", "240").unwrap();
    let settings: Vec<_> = COMPACT.iter().copied().filter(|(key, _)| !key.starts_with("min.")).collect();
    let always: Settings<'_> = &[("min.cleanable.dirty.ratio", "0.0")];
    let settings = [settings.as_slice(), always].concat();
    let mut broker = dirty(3, &settings, room);
    for _ in 0..40 {
        broker.clean(&mut |_, _| {});
    }
    let stats = broker.node.shard().logs().cleaner_stats();
    assert!(stats.cleanings > 20, "60 keys, and room for 9 of them: {stats:?}");
    assert!(stats.cleanable_partitions == 0 && stats.last_cleaned_ms > 0 && stats.bytes_read > stats.bytes_written);
    broker.check();
    broker.check_every_offset();
    for index in 0..PARTITIONS {
        let logs = broker.node.logs_of(TOPIC, index as i32);
        let p = logs.partition(logs.find(TOPIC, index as i32).unwrap());
        let dirty = p.cleaning.first_dirty;
        assert_eq!(dirty, p.active().base_offset, "everything is clean but for the active segment");
        let mut keys = BTreeMap::<Vec<u8>, usize>::new();
        for (_, record) in broker.read_all(index).into_iter().flat_map(|b| b.records).filter(|(at, _)| *at < dirty) {
            *keys.entry(record.key).or_default() += 1;
        }
        assert!(keys.values().all(|times| *times == 1), "{keys:?}");
    }
}

#[test]
fn the_cleaner_keeps_to_its_rate_and_holds_nobody_up() {
    const RATE: u64 = 20_000;
    let rate = |config: &mut BrokerConfig| config.set("log.cleaner.io.max.bytes.per.second", "20000").unwrap();
    let mut broker = dirty(4, COMPACT, rate);
    until_cleaned_file(&mut broker);
    let before = broker.node.shard().logs().cleaner_stats();
    for second in 1..=5 {
        for _ in 0..10 {
            broker.write(0, 10, &mut |_, _| {});
            broker.pass_ms(100);
            broker.node.settle();
        }
        let stats = broker.node.shard().logs().cleaner_stats();
        let bytes = stats.bytes_read + stats.bytes_written - before.bytes_read - before.bytes_written;
        assert!(bytes <= RATE * second + 16_384, "{bytes} bytes in {second} s");
        assert!(bytes + 30_000 >= RATE * second, "{bytes} bytes in {second} s");
    }
}

/// The tombstones of a partition, with their keys.
fn tombstones(broker: &mut Broker) -> BTreeMap<i64, Vec<u8>> {
    let all = broker.read_all(0).into_iter().flat_map(|b| b.records);
    all.filter(|(_, record)| record.value.is_none()).map(|(offset, record)| (offset, record.key)).collect()
}

#[test]
fn a_tombstone_is_seen_for_as_long_as_was_promised() {
    let settings: Vec<_> = COMPACT.iter().copied().filter(|(key, _)| !key.starts_with("delete.")).collect();
    let longer: Settings<'_> = &[("delete.retention.ms", "60000")];
    let settings = [settings.as_slice(), longer].concat();
    let mut broker = dirty(5, &settings, |_| ());
    let begin_ms = broker.model.now.wall_ms;
    broker.clean(&mut |_, _| {});
    let logs = broker.node.logs_of(TOPIC, 0);
    let clean = logs.partition(logs.find(TOPIC, 0).unwrap()).cleaning.first_dirty;
    let seen: BTreeMap<_, _> = tombstones(&mut broker).into_iter().filter(|(offset, _)| *offset < clean).collect();
    assert!(seen.len() > 3, "{} tombstones are there", seen.len());
    let before = broker.node.shard().logs().cleaner_stats().cleanings;
    while broker.model.now.wall_ms < begin_ms + 45_000 {
        broker.run(30, 60, &mut |_, _| {});
        broker.clean(&mut |_, _| {});
        broker.check();
        let now = tombstones(&mut broker);
        for (offset, key) in &seen {
            let newer = broker.model.partitions[0].records.range(offset + 1..).any(|(_, record)| record.key == *key);
            assert!(newer || now.contains_key(offset), "the tombstone at {offset} is gone too early");
        }
    }
    assert!(broker.node.shard().logs().cleaner_stats().cleanings > before + 3, "it was cleaned again and again");
    broker.pass_ms(61_000);
    broker.run(150, 60, &mut |_, _| {});
    broker.clean(&mut |_, _| {});
    broker.check();
    let late = tombstones(&mut broker);
    assert!(seen.keys().all(|offset| !late.contains_key(offset)), "their time is over: {seen:?} {late:?}");
}

#[test]
fn a_topic_can_go_while_it_is_cleaned() {
    for steps in 0..40 {
        let mut broker = dirty(6, COMPACT, |_| ());
        until_cleaned_file(&mut broker);
        for _ in 0..steps {
            broker.advance(&mut |_, _| {});
        }
        broker.node.propose(&[MetadataRecord::RemoveTopic { topic_id: TOPIC }]);
        for _ in 0..3 {
            while broker.advance(&mut |_, _| {}) {}
            broker.pass_ms(1_100);
        }
        let left: Vec<_> = broker.node.disk.paths().into_iter().filter(|path| path.starts_with("topics/")).collect();
        assert!(left.is_empty(), "after {steps} steps: {left:?}");
        broker.stop(&mut |_, _| {});
    }
}

#[test]
fn a_disk_that_fails_or_is_full_stops_a_cleaning_and_nothing_else() {
    let faults = [
        (StepKind::Write, ".cleaned", ENOSPC),
        (StepKind::Open, ".cleaned", ENOSPC),
        (StepKind::Sync, ".cleaned", ENOSPC),
        (StepKind::Write, ".cleaned", EIO),
        (StepKind::Sync, ".cleaned", EIO),
        (StepKind::Read, "0.log", EIO),
        (StepKind::Rename, ".cleaned", ENOSPC),
    ];
    for (seed, (on, path, errno)) in (0..).zip(faults) {
        let mut broker = dirty(10 + seed, COMPACT, |_| ());
        broker.node.disk.inject(Fault { on, path: path.to_owned(), skip: 1, times: 2, errno });
        for _ in 0..4 {
            broker.clean(&mut |_, _| {});
            broker.write(0, 10, &mut |_, _| {});
        }
        let told = broker.node.messages.iter().any(|(_, text)| text.contains(&format!("error {errno}")));
        assert!(told, "{on:?} of {path}: {:?}", broker.node.messages);
        let stats = broker.node.shard().logs().cleaner_stats();
        let hopeless = errno == EIO;
        assert_eq!(stats.uncleanable_partitions > 0, hopeless, "{on:?} of {path}: {stats:?}");
        assert!(hopeless || stats.cleanings > 0, "{on:?} of {path}: {stats:?}");
        broker.node.messages.clear();
        broker.check();
        let disk = broker.node.disk.restart(seed);
        let mut broker = broker.restart(disk);
        broker.clean(&mut |_, _| {});
        broker.check();
        assert!(broker.node.shard().logs().cleaner_stats().uncleanable_partitions == 0);
    }
}

#[test]
fn a_name_that_cannot_be_given_ends_the_process_and_the_next_one_gives_it() {
    let mut broker = dirty(20, COMPACT, |_| ());
    broker.node.disk.inject(Fault { on: StepKind::Rename, path: ".log.".to_owned(), skip: 0, times: 1, errno: EIO });
    for _ in 0..3_000 {
        if broker.node.fatal.is_some() {
            break;
        }
        if !broker.node.advance() {
            broker.node.pass_us(100_000);
        }
    }
    let message = broker.node.fatal.clone().expect("it cannot go on");
    assert!(message.contains("error 5") && message.contains(".cleaned"), "{message}");
    for disk in [broker.node.disk.kill(1), broker.node.disk.restart(1)] {
        check(disk, broker.model.clone(), 1, true);
    }
}

#[test]
fn rot_is_named_and_neither_copied_nor_dropped() {
    let mut broker = dirty(21, COMPACT, |_| ());
    let disk = broker.stop(&mut |_, _| {});
    let log = "topics/compacted-0/00000000000000000000.log";
    let mut rotten = disk.clone();
    rotten.damage(log, |bytes| bytes[200] ^= 1);
    let mut broker = Broker::start(rotten, broker.model, 21);
    for _ in 0..3 {
        broker.clean(&mut |_, _| {});
    }
    let named = |(level, text): &&(LogLevel, String)| *level == LogLevel::Error && text.contains(log);
    assert_eq!(broker.node.messages.iter().filter(named).count(), 1, "{:?}", broker.node.messages);
    let stats = broker.node.shard().logs().cleaner_stats();
    assert!(stats.uncleanable_partitions == 1 && stats.cleanings > 0, "{stats:?}");
    assert_eq!(broker.node.disk.bytes(log).map(|bytes| bytes[200]), disk.bytes(log).map(|bytes| bytes[200] ^ 1));
}

#[test]
fn the_older_checkpoint_is_enough_or_the_start_is_refused() {
    let (mut held, mut refused) = (0, 0);
    let mut number = 0;
    let mut probe = |disk: &FaultDisk, model: &Model| {
        number += 1;
        if number % 97 != 0 {
            return;
        }
        let mut disk = disk.restart(number);
        let generation =
            |path: &String| disk.bytes(path).and_then(|b| Some(u64::from_le_bytes(*b[16..].first_chunk()?)));
        let copies: Vec<String> = disk.paths().into_iter().filter(|path| path.starts_with("shard-0/check")).collect();
        let Some(newest) = copies.iter().max_by_key(|path| generation(path)).cloned() else { return };
        disk.damage(&newest, |bytes| bytes[40] ^= 1);
        match Node::start(disk.clone(), &model.config, model.now, false) {
            Ok(_) => {
                held += 1;
                let mut model = model.clone();
                let pending: Vec<i64> = model
                    .partitions
                    .iter()
                    .flat_map(|p| p.pending.iter().filter_map(|b| b.producer))
                    .map(|p| p.0)
                    .collect();
                model.partitions.iter_mut().for_each(|p| p.producers.retain(|id, _| !pending.contains(id)));
                let mut broker = Broker::start(disk, model, number);
                broker.check();
                broker.clean(&mut |_, _| {});
                broker.check();
            }
            Err((_, error)) => {
                refused += 1;
                assert!(error.message.contains("checkpoint"), "{}", error.message);
            }
        }
    };
    history(30, 60, &mut Seen::default(), &mut probe);
    println!("{held} starts from the older copy, {refused} refused");
    assert!(held > 5, "{held} starts from the older copy, {refused} refused");
}

#[test]
fn compacted_logs_move_to_another_number_of_shards() {
    let mut broker = dirty(31, COMPACT, |_| ());
    for (round, shards) in [2, 3, 1, 2].into_iter().enumerate() {
        until_cleaned_file(&mut broker);
        for _ in 0..round * 9 {
            broker.advance(&mut |_, _| {});
        }
        let disk = if round % 2 == 0 { broker.node.disk.restart(7) } else { broker.node.disk.kill(7) };
        let now = Now { monotonic_us: broker.model.now.monotonic_us + 1_000, ..broker.model.now };
        let (mut node, _) = Node::start_with(disk, &broker.model.config, now, false, shards)
            .unwrap_or_else(|(_, error)| panic!("{}", error.message));
        assert!(!node.disk.paths().iter().any(|path| path.ends_with(".cleaned")));
        broker.connection = node.connect();
        broker.node = node;
        broker.check();
        broker.check_producers();
        broker.run(60, 60, &mut |_, _| {});
    }
    // Nothing is cleaned in between any more.
    broker.clean(&mut |_, _| {});
    broker.check();
    broker.check_every_offset();
}

#[test]
fn a_log_that_is_compacted_and_deleted_forgets_its_beginning() {
    let both: Settings<'_> = &[("cleanup.policy", "compact,delete"), ("retention.bytes", "20000")];
    let settings = [&COMPACT[1..], both].concat();
    let mut broker = dirty(32, &settings, |_| ());
    for _ in 0..6 {
        broker.run(60, 60, &mut |_, _| {});
        broker.clean(&mut |_, _| {});
    }
    let stats = broker.node.shard().logs().cleaner_stats();
    let disk = broker.node.disk.restart(1);
    let (model, random) = (broker.model.clone(), Random::new(1));
    let mut broker = Broker { random, ..Broker::start(disk, model, 1) };
    for index in 0..PARTITIONS {
        let logs = broker.node.logs_of(TOPIC, index as i32);
        let start = logs.log_start_offset(logs.find(TOPIC, index as i32).unwrap());
        assert!(start > 0 && stats.cleanings > 0, "{start} {stats:?}");
        let records: BTreeMap<i64, Sent> = broker.read_all(index).into_iter().flat_map(|b| b.records).collect();
        let state = &broker.model.partitions[index];
        assert!(records.iter().all(|(offset, record)| state.records.get(offset) == Some(record)));
        let late = |records: &BTreeMap<i64, Sent>| records.range(start..).map(|(_, r)| r.clone()).collect::<Vec<_>>();
        assert_eq!(view(late(&records).iter()), view(late(&state.records).iter()));
    }
    broker.nobody_complains();
}
