//! Index files: right once a broker has stopped, written anew when they are lost or damaged, and bounded in memory while
//! their segment grows.

use std::collections::BTreeMap;

use corelog_shard::config::Durability;
use corelog_shard::log::index::{SegmentIndex, encode_offsets, encode_times};
use corelog_tests::sim::disk::FaultDisk;
use corelog_tests::sim::node::Node;
use corelog_tests::sim::random::Random;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::RecordBatch;

use crate::ledger::{End, Ledger, config};
use crate::snapshots::batches_of;
use crate::world::World;

const JOURNAL_FILE: u64 = 64 << 10;

/// Holds every index file of a stopped broker's disk against its segment. Returns how many entries there are.
pub(crate) fn check(disk: &FaultDisk) -> usize {
    let logs = disk.paths().into_iter().filter(|path| path.starts_with("topics/") && path.ends_with(".log"));
    logs.map(|path| check_segment(disk, &path)).sum()
}

fn check_segment(disk: &FaultDisk, path: &str) -> usize {
    let log = disk.bytes(path).unwrap();
    let read = |extension| disk.bytes(&path.replace(".log", extension)).unwrap_or_default();
    let (offsets, times) = (read(".index"), read(".timeindex"));
    let index = SegmentIndex::decode(&offsets, &times, log.len() as u64);
    assert_eq!(encode_offsets(index.offsets_from(0)), offsets, "{path}: its offset index is not in order");
    assert_eq!(encode_times(index.times_from(0)), times, "{path}: its time index is not in order");
    let base = path.rsplit('/').next().unwrap()[..20].parse::<i64>().unwrap();
    let mut by_position = BTreeMap::new();
    let mut by_time = BTreeMap::new();
    let (mut position, mut largest) = (0, -1);
    for batch in batches_of(&log) {
        by_position.insert(position, batch.last_offset() - base);
        // What compaction emptied has a timestamp of records that are gone.
        if batch.record_count() > 0 && batch.max_timestamp() > largest {
            largest = batch.max_timestamp();
            by_time.insert(largest, batch.last_offset() - base);
        }
        position += batch.size() as u64;
    }
    for entry in index.offsets_from(0) {
        let last = by_position.get(&entry.position.into());
        assert_eq!(last, Some(&entry.relative_offset.into()), "{path}: {entry:?}");
    }
    for entry in index.times_from(0) {
        assert_eq!(by_time.get(&entry.timestamp_ms), Some(&entry.relative_offset.into()), "{path}: {entry:?}");
    }
    index.offsets_from(0).len() + index.times_from(0).len()
}

/// A world with one topic of one partition.
fn world(seed: u64, segment: u64) -> (World, (TopicId, usize)) {
    let mut world = World::new(config(JOURNAL_FILE, JOURNAL_FILE * 16), seed, 14_000);
    world.create("indexed", 1, Durability::Fsync, segment, None);
    world.settle(&mut |_, _| {});
    let place = world.place().unwrap();
    (world, place)
}

/// Appends so many batches of about `size` bytes.
fn append(world: &mut World, place: (TopicId, usize), count: usize, size: usize) {
    let connection = world.node.connect();
    let mut pending = vec![];
    for number in 0..count {
        let batch = world.ledger.batch(size, None);
        pending.push(world.ledger.produce(&mut world.node, connection, place, batch, None));
        // Timestamps are those of the clock.
        world.node.pass_us(2_000);
        world.ledger.now = world.node.now;
        if number % 16 == 15 || number + 1 == count {
            world.node.settle();
            for pending in pending.drain(..) {
                let reply = world.node.reply(connection).expect("what is durable is answered");
                world.ledger.answered(pending, &reply);
            }
        }
    }
    world.node.settle();
}

/// The batch that a fetch of an offset brings, and how many disk steps that took.
fn fetch_one(ledger: &mut Ledger, node: &mut Node, place: (TopicId, usize), from: i64) -> (i64, u64) {
    let connection = node.connect();
    let before = node.disk.boundaries();
    let pending = ledger.fetch(node, connection, place, from, 1);
    let reply = loop {
        if let Some(reply) = node.reply(connection) {
            break reply;
        }
        assert!(node.advance(), "a fetch is answered: {:?}", node.messages);
    };
    let found = ledger.answered(pending, &reply);
    assert_eq!(found.len(), 1, "one batch at {from}");
    (found[0].1, node.disk.boundaries() - before)
}

#[test]
fn the_index_of_a_growing_segment_stays_small_in_memory_and_leads_to_every_batch() {
    let (mut world, place) = world(3, 64 << 20);
    world.ledger.config.set("log.index.interval.bytes", "1").unwrap();
    // The interval counts from a start on.
    let disk = world.ledger.clone().stop(std::mem::replace(&mut world.node, blank()));
    world.node = world.ledger.restart(disk, End::Clean);
    let mut random = Random::new(3);
    for round in 1..=4_i64 {
        append(&mut world, place, 500, 1_000);
        let logs = world.node.shard().logs();
        let p = logs.partition(logs.find(place.0, 0).unwrap());
        let segment = p.active();
        assert_eq!(p.segments.len(), 1, "one segment takes everything");
        let (all, kept) = (segment.index_entries(), segment.index.offsets_from(0).len());
        assert!(all as i64 + 10 > round * 500, "{all} entries");
        let unflushed = p.unflushed().count();
        assert!(kept <= unflushed + 256, "{kept} of {all} entries in memory, {unflushed} batches are dirty");
        assert!(segment.index.memory() <= 2 * 24 * (kept + 8), "{} bytes for {kept} entries", segment.index.memory());
        assert!(round < 4 || kept * 2 < all, "{kept} of {all} entries are in memory");
        let evicted = p.tail.first_offset().unwrap();
        assert!(round < 2 || evicted > 0, "not everything is in memory");
        for _ in 0..20 {
            let from = random.below(evicted.max(1) as usize) as i64;
            let (_, steps) = fetch_one(&mut world.ledger, &mut world.node, place, from);
            assert!(steps <= 12, "{steps} disk steps for offset {from}: it was searched from afar");
        }
    }
    let node = std::mem::replace(&mut world.node, blank());
    let disk = world.ledger.stop(node);
    assert!(check(&disk) > 3_000, "the files have all entries");
}

/// A node to put in the place of one that is taken away.
fn blank() -> Node {
    let ledger = Ledger::new(config(JOURNAL_FILE, JOURNAL_FILE * 16));
    Node::start(FaultDisk::new(crate::ledger::BLOCK, 1), &ledger.config, ledger.now, false).ok().unwrap().0
}

/// The index files of a disk by path, without those of the last segment.
fn index_files(disk: &FaultDisk) -> BTreeMap<String, Vec<u8>> {
    let paths: Vec<String> = disk.paths().into_iter().filter(|path| path.ends_with("index")).collect();
    let last = paths.iter().map(|path| path.rsplit_once('.').unwrap().0).max().unwrap().to_owned();
    let sealed = paths.into_iter().filter(|path| !path.starts_with(&last));
    sealed.map(|path| (path.clone(), disk.bytes(&path).unwrap())).collect()
}

/// Fetches batch by batch, from the last one back, so that each is searched by the index.
fn fetch_backwards(ledger: &mut Ledger, node: &mut Node, place: (TopicId, usize)) {
    let logs = node.shard().logs();
    let id = logs.find(place.0, 0).unwrap();
    let (begin, end) = (logs.log_start_offset(id), logs.high_watermark(id));
    for from in (begin..end).rev() {
        fetch_one(ledger, node, place, from);
    }
}

/// Damages index files, each in another way. Returns what was done.
fn damage(disk: &mut FaultDisk, whole: &BTreeMap<String, Vec<u8>>) -> Vec<&'static str> {
    let mut done = vec![];
    for (number, (path, bytes)) in whole.iter().enumerate() {
        assert!(bytes.len() >= 16, "{path} is worth damaging");
        let what = ["erased", "kept", "cut", "flipped", "kept", "erased", "zeroed"][number % 7];
        let is_times = path.ends_with(".timeindex");
        match what {
            "erased" => disk.erase(path),
            "cut" if is_times => disk.replace(path, &bytes[..bytes.len() - 5]),
            // A position that is not that of a batch, or a timestamp too large.
            "flipped" => disk.damage(path, |bytes| bytes[if is_times { 2 } else { 7 }] ^= 0x40),
            "zeroed" if is_times => disk.damage(path, |bytes| bytes.fill(0)),
            _ => continue,
        }
        done.push(what);
    }
    done
}

#[test]
fn lost_and_damaged_index_files_are_written_anew() {
    let (mut world, place) = world(5, 24_000);
    append(&mut world, place, 300, 2_000);
    let World { node, mut ledger, .. } = world;
    let sound = ledger.stop(node);
    check(&sound);
    let whole = index_files(&sound);
    assert!(whole.len() > 30, "{} index files of sealed segments", whole.len());
    let mut damaged = sound.clone();
    let mut done = damage(&mut damaged, &whole);
    done.sort_unstable();
    done.dedup();
    assert_eq!(done, ["cut", "erased", "flipped", "zeroed"]);

    let (mut node, _) = Node::start(damaged.clone(), &ledger.config, ledger.now, false).ok().unwrap();
    fetch_backwards(&mut ledger, &mut node, place);
    node.settle();
    assert_eq!(index_files(&node.disk), whole, "{:?}", node.messages);
    let told = node.messages.iter().filter(|(_, text)| text.contains("written anew")).count();
    assert!(told > 10 && node.messages.iter().all(|(_, text)| !text.contains("cannot")), "{:?}", node.messages);

    // They are found again, and were it for the last time in this process.
    let (path, _) = whole.first_key_value().unwrap();
    node.disk.erase(path);
    fetch_backwards(&mut ledger, &mut node, place);
    node.settle();
    let stopped = ledger.stop(node);
    let (mut node, _) = Node::start(stopped, &ledger.config, ledger.now, false).ok().unwrap();
    fetch_backwards(&mut ledger, &mut node, place);
    node.settle();
    assert_eq!(index_files(&node.disk), whole);

    // A stop, a power cut and a kill do no harm at any step of it.
    for stop_at in 0..60 {
        let (mut node, _) = Node::start(damaged.clone(), &ledger.config, ledger.now, false).ok().unwrap();
        let logs = node.shard().logs();
        let begin = logs.high_watermark(logs.find(place.0, 0).unwrap()) / 2;
        for from in (begin - 3..begin).rev().flat_map(|from| [from, from / 2]) {
            fetch_one(&mut ledger, &mut node, place, from);
        }
        for _ in 0..stop_at {
            node.advance();
        }
        let seed = stop_at;
        ledger.clone().restart(node.disk.restart(seed), End::PowerCut);
        ledger.clone().restart(node.disk.kill(seed), End::Killed);
        node.stop();
        node.settle();
        assert!(node.has_stopped() && node.disk.in_flight() == 0, "{:?}", node.messages);
        ledger.clone().restart(node.disk.kill(seed), End::Clean);
    }
}

#[test]
fn an_index_is_not_made_of_a_segment_that_rots() {
    let (mut world, place) = world(6, 24_000);
    append(&mut world, place, 40, 2_000);
    let World { node, mut ledger, .. } = world;
    let mut disk = ledger.stop(node);
    let log = "topics/indexed-0/00000000000000000000.log";
    let bytes = disk.bytes(log).unwrap();
    let second = RecordBatch::split_from(&bytes).unwrap().0.size();
    disk.damage(log, |bytes| bytes[second + 100] ^= 1);
    disk.erase(&log.replace(".log", ".index"));
    let (mut node, _) = Node::start(disk, &ledger.config, ledger.now, false).ok().unwrap();
    fetch_one(&mut ledger, &mut node, place, 0);
    node.settle();
    let told = |(_, text): &&(_, String)| text.contains(log) && text.contains("cannot be written anew");
    assert_eq!(node.messages.iter().filter(told).count(), 1, "{:?}", node.messages);
    assert_eq!(node.disk.bytes(&log.replace(".log", ".index")), None);
}
