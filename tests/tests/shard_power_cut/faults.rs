//! Disks that fail and bytes that rot, under a whole shard: what is acknowledged is there, or its loss is named.

use corelog_shard::config::Durability;
use corelog_shard::io::{EIO, ENOSPC, Event, LogLevel};
use corelog_shard::shard::StartErrorKind;
use corelog_tests::sim::disk::{Fault, FaultDisk, StepKind};
use corelog_tests::sim::node::Node;
use corelog_tests::sim::random::Random;
use corelog_wire::error_code::ErrorCode;

use crate::from_env;
use crate::ledger::{End, Ledger, config, produce_error};
use crate::world::World;

const JOURNAL_FILE: u64 = 64 << 10;

/// How many shards a directory was written with, and how many it is then started with.
const LAYOUTS: [(u32, u32); 4] = [(1, 1), (1, 2), (2, 2), (3, 2)];

/// A world in which everything has happened, and that goes on.
fn busy(seed: u64, shards: u32) -> World {
    let mut world = World::with_shards(config(JOURNAL_FILE, JOURNAL_FILE * 16), seed, 14_000, shards);
    world.create("plain", 2, Durability::Fsync, JOURNAL_FILE / 2, None);
    world.create("short", 1, Durability::Fsync, JOURNAL_FILE / 4, Some(JOURNAL_FILE / 2));
    world.create("tiny", 3, Durability::Fsync, JOURNAL_FILE, None);
    world.create("written", 1, Durability::Write, JOURNAL_FILE / 3, None);
    world.run(200, &mut |_, _| {});
    for _ in 0..6 {
        world.create("gone", 1, Durability::Fsync, JOURNAL_FILE, None);
        world.settle(&mut |_, _| {});
        world.delete("gone");
        world.settle(&mut |_, _| {});
    }
    world.run(20, &mut |_, _| {});
    world
}

/// The same at rest, with the journals closed. The next start has `then` shards.
pub(crate) fn quiet(seed: u64, (shards, then): (u32, u32)) -> (FaultDisk, Ledger) {
    let mut world = busy(seed, shards);
    for _ in 0..3 {
        world.settle(&mut |_, _| {});
        world.pass_us(150_000);
    }
    world.settle(&mut |_, _| {});
    world.ledger.shards = then;
    (world.node.disk.restart(seed), world.ledger)
}

/// How many times as much as by default is to be tried.
fn scale() -> u64 {
    from_env("CORELOG_SEEDS").unwrap_or(1)
}

fn run_until_fatal(world: &mut World) -> String {
    for _ in 0..2_000 {
        world.run_turn();
        if let Some(message) = &world.node.fatal {
            return message.clone();
        }
    }
    panic!("nothing failed");
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_acknowledged_and_nothing_lost() {
    let faults = [
        (StepKind::Write, "shard-0/journal"),
        (StepKind::Sync, "shard-0/journal"),
        (StepKind::Write, "metadata/journal"),
        (StepKind::Write, "topics/"),
        (StepKind::Sync, "topics/"),
        (StepKind::Write, "shard-0/checkpoint"),
        (StepKind::Sync, "shard-0/checkpoint"),
        (StepKind::SyncDir, "topics/"),
    ];
    for (number, (on, path)) in (0..).zip(faults) {
        for skip in if on == StepKind::Sync { [0, 1] } else { [0, 3] } {
            let mut world = busy(number, 1);
            world.node.disk.inject(Fault { on, path: path.to_owned(), skip, times: 1, errno: EIO });
            if path.starts_with("metadata") {
                for index in 0..3 {
                    world.create(&format!("more-{index}"), 1, Durability::Fsync, 8_192, None);
                }
            }
            let message = run_until_fatal(&mut world);
            assert!(message.contains("error 5") || message.contains("errno 5"), "{message}");
            assert!(message.contains(path.rsplit('/').next().unwrap()), "{path}: {message}");
            let acknowledged = world.ledger.acknowledged;
            for _ in 0..20 {
                world.run_turn();
            }
            assert_eq!(world.ledger.acknowledged, acknowledged, "a shard that gave up says nothing");
            for (disk, end) in
                [(world.node.disk.restart(skip.into()), End::PowerCut), (world.node.disk.kill(1), End::Killed)]
            {
                let mut ledger = world.ledger.clone();
                let mut node = ledger.restart(disk, end);
                ledger.go_on(&mut node);
                ledger.stop(node);
            }
        }
    }
}

#[test]
fn a_full_disk_delays_and_loses_nothing() {
    let faults = [
        (StepKind::Write, "topics/"),
        (StepKind::Open, "topics/"),
        (StepKind::CreateDir, "topics/"),
        (StepKind::Write, "shard-0/checkpoint"),
        (StepKind::Allocate, "shard-0/journal"),
        (StepKind::Write, ".index"),
        (StepKind::Write, "metadata/snapshot"),
    ];
    for (number, (on, path)) in (0..).zip(faults) {
        for times in [1, 7] {
            let mut world = World::new(config(JOURNAL_FILE, JOURNAL_FILE * 16), number, 14_000);
            world.patience = 100;
            world.node.disk.inject(Fault { on, path: path.to_owned(), skip: 0, times, errno: ENOSPC });
            world.create("plain", 2, Durability::Fsync, JOURNAL_FILE / 2, None);
            world.create("tiny", 3, Durability::Fsync, JOURNAL_FILE, None);
            world.create("written", 1, Durability::Write, JOURNAL_FILE / 3, None);
            world.run(200, &mut |_, _| {});
            if path.starts_with("metadata") {
                for index in 0..16 {
                    for _ in 0..16 {
                        world.settle(&mut |_, _| {});
                        world.pass_us(1_100_000);
                    }
                    world.create(&format!("more-{index}"), 1, Durability::Fsync, JOURNAL_FILE, None);
                }
            }
            world.settle(&mut |_, _| {});
            let told = world
                .node
                .messages
                .iter()
                .any(|(level, text)| matches!(level, LogLevel::Warn | LogLevel::Error) && text.contains("28"));
            assert!(told, "{on:?} of {path}: nobody was told: {:?}", world.node.messages);
            world.patience = 0;
            world.run(50, &mut |_, _| {});
            let mut ledger = world.ledger.clone();
            ledger.restart(world.node.disk.restart(number), End::PowerCut);
            world.settle(&mut |_, _| {});
            world.stop_and_start(&mut |_, _| {});
        }
    }
}

#[test]
fn below_the_reserve_produce_is_refused_until_there_is_space() {
    let mut world = busy(5, 1);
    world.settle(&mut |_, _| {});
    let place = world.place().unwrap();
    world.node.event(Event::FreeSpace { bytes: 2 * JOURNAL_FILE, total_bytes: 2 << 40 });
    let connection = world.node.connect();
    let batch = world.ledger.batch(500, None);
    world.ledger.produce(&mut world.node, connection, place, batch, None);
    let reply = world.node.reply(connection).expect("a refusal waits for nothing");
    assert_eq!(produce_error(&reply), ErrorCode::KAFKA_STORAGE_ERROR);
    world.node.event(Event::FreeSpace { bytes: 1 << 40, total_bytes: 2 << 40 });
    let batch = world.ledger.batch(500, None);
    let pending = world.ledger.produce(&mut world.node, connection, place, batch, None);
    world.node.settle();
    let reply = world.node.reply(connection).unwrap();
    world.ledger.answered(pending, &reply);
}

/// The files of a shard's journal.
fn journal_files(disk: &FaultDisk) -> usize {
    disk.paths().iter().filter(|path| path.starts_with("shard-0/journal-")).count()
}

#[test]
fn what_came_since_free_space_was_measured_does_not_take_the_reserve() {
    let mut world = World::new(config(JOURNAL_FILE, JOURNAL_FILE * 16), 6, 14_000);
    world.create("plain", 2, Durability::Fsync, JOURNAL_FILE, None);
    world.settle(&mut |_, _| {});
    let place = world.place().unwrap();
    let files = journal_files(&world.node.disk);
    let room = JOURNAL_FILE;
    world.node.event(Event::FreeSpace { bytes: 2 * JOURNAL_FILE + room, total_bytes: 2 << 40 });
    let connection = world.node.connect();
    let mut taken = 0;
    let refused = loop {
        let batch = world.ledger.batch(5_000, None);
        let size = batch.len() as u64;
        let pending = world.ledger.produce(&mut world.node, connection, place, batch, None);
        world.node.settle();
        let reply = world.node.reply(connection).expect("there is memory and a journal for so little");
        match produce_error(&reply) {
            ErrorCode::NONE => taken += size,
            error => break error,
        }
        world.ledger.answered(pending, &reply);
        assert!(taken <= room, "{taken} of {room} bytes");
    };
    assert_eq!(refused, ErrorCode::KAFKA_STORAGE_ERROR);
    assert!(taken + 6_000 > room, "{taken} of {room} bytes");
    assert_eq!(journal_files(&world.node.disk), files.max(3), "the journal does not grow into the reserve");
    let told = |world: &World, words: &str| world.node.messages.iter().any(|(_, text)| text.contains(words));
    assert!(told(&world, "is full but for a reserve"), "{:?}", world.node.messages);
    world.node.event(Event::FreeSpace { bytes: 1 << 40, total_bytes: 2 << 40 });
    assert!(told(&world, "there is space again"), "{:?}", world.node.messages);
}

/// A world whose segments take no more, with a produce request that waited for room. The journal has the files that it
/// needs, or it cannot get them.
fn without_space(journal_too: bool) -> World {
    let mut world = World::new(config(JOURNAL_FILE, JOURNAL_FILE * 16), 7, 14_000);
    world.create("plain", 1, Durability::Fsync, JOURNAL_FILE, None);
    world.settle(&mut |_, _| {});
    for path in ["topics/", "shard-0/journal"] {
        for on in [StepKind::Write, StepKind::Open, StepKind::CreateDir, StepKind::Allocate] {
            if path == "topics/" || journal_too && on == StepKind::Allocate {
                world.node.disk.inject(Fault { on, path: path.to_owned(), skip: 0, times: u32::MAX, errno: ENOSPC });
            }
        }
    }
    let place = world.place().unwrap();
    let connection = world.node.connect();
    for _ in 0..100 {
        let batch = world.ledger.batch(9_000, None);
        let pending = world.ledger.produce(&mut world.node, connection, place, batch, None);
        world.node.settle();
        let Some(reply) = world.node.reply(connection) else {
            // The host measures again; what the file system says of itself does not matter.
            world.node.event(Event::FreeSpace { bytes: 1 << 40, total_bytes: 2 << 40 });
            let reply = world.node.reply(connection).expect("who waits for room is refused");
            assert_eq!(produce_error(&reply), ErrorCode::KAFKA_STORAGE_ERROR);
            world.ledger.now = world.node.now;
            return world;
        };
        world.ledger.answered(pending, &reply);
    }
    panic!("everything was taken, and nothing could be written back");
}

#[test]
fn who_waits_for_room_is_refused_when_the_disk_is_full() {
    for journal_too in [false, true] {
        let mut world = without_space(journal_too);
        let disk = world.node.disk.restart(1);
        let mut node = world.ledger.restart(disk, End::PowerCut);
        world.ledger.go_on(&mut node);
        world.ledger.stop(node);
    }
}

#[test]
fn a_start_on_a_full_disk_serves_readers_and_refuses_producers() {
    let mut world = World::new(config(JOURNAL_FILE, JOURNAL_FILE * 16), 8, 14_000);
    world.create("plain", 1, Durability::Fsync, JOURNAL_FILE, None);
    world.settle(&mut |_, _| {});
    let (connection, place) = (world.node.connect(), world.place().unwrap());
    for _ in 0..JOURNAL_FILE / 5_000 {
        let batch = world.ledger.batch(5_000, None);
        let pending = world.ledger.produce(&mut world.node, connection, place, batch, None);
        world.node.settle();
        let reply = world.node.reply(connection).unwrap();
        world.ledger.answered(pending, &reply);
    }
    let mut disk = world.node.disk.kill(1);
    for (on, path) in
        [(StepKind::Write, "topics/"), (StepKind::Open, "topics/"), (StepKind::Allocate, "shard-0/journal-0003")]
    {
        disk.inject(Fault { on, path: path.to_owned(), skip: 0, times: u32::MAX, errno: ENOSPC });
    }
    // Holds what is served against what was promised.
    let mut node = world.ledger.restart(disk, End::Killed);
    node.event(Event::FreeSpace { bytes: 0, total_bytes: 2 << 40 });
    let connection = node.connect();
    let batch = world.ledger.batch(500, None);
    world.ledger.produce(&mut node, connection, place, batch, None);
    let reply = node.reply(connection).expect("a refusal waits for nothing");
    assert_eq!(produce_error(&reply), ErrorCode::KAFKA_STORAGE_ERROR);
}

#[test]
fn a_stop_does_not_wait_for_space_that_never_comes() {
    let mut world = without_space(false);
    world.node.stop();
    for _ in 0..20 {
        world.node.settle();
        world.node.pass_us(500_000);
    }
    let message = world.node.fatal.clone().expect("it ends");
    assert!(message.contains("the disk is full"), "{message}");
    let mut node = world.ledger.restart(world.node.disk.kill(1), End::Killed);
    world.ledger.go_on(&mut node);
    world.ledger.stop(node);
}

/// Starts on a damaged disk: either everything promised is there, or the start is refused and says why. Returns the
/// refusal.
fn start_or_refuse(disk: &FaultDisk, ledger: &Ledger, what: &str) -> Option<String> {
    match Node::start_with(disk.clone(), &ledger.config, ledger.now, false, ledger.shards) {
        Ok((node, _)) => {
            let mut ledger = ledger.clone();
            let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut node = ledger.hold(node, End::PowerCut);
                node.settle();
            }));
            assert!(held.is_ok(), "{what}: the start went well, but what was promised is not there");
            None
        }
        Err((_, error)) => {
            assert!(!error.message.is_empty());
            if error.kind == StartErrorKind::Damaged {
                let (mut node, report) =
                    Node::start_with(disk.clone(), &ledger.config, ledger.now, true, ledger.shards)
                        .unwrap_or_else(|(_, error)| panic!("{what}: the loss was accepted: {}", error.message));
                assert!(
                    report.lines.iter().any(|(level, _)| matches!(level, LogLevel::Warn | LogLevel::Error)),
                    "{what}: the loss is named"
                );
                node.settle();
                assert_eq!(node.fatal, None);
                node.stop();
                node.settle();
                assert!(node.has_stopped(), "{what}: {:?}", node.messages);
                let disk = node.disk.kill(1);
                let again = Node::start_with(disk, &ledger.config, node.now, false, ledger.shards);
                assert!(again.is_ok(), "{what}: a loss is accepted once");
            }
            Some(error.message)
        }
    }
}

fn flip(disk: &FaultDisk, path: &str, bit: usize) -> FaultDisk {
    let mut disk = disk.clone();
    disk.damage(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    disk
}

fn flips(disk: &FaultDisk, ledger: &Ledger, path: &str, times: usize, random: &mut Random) -> Vec<Option<String>> {
    let bytes = disk.bytes(path).unwrap();
    // Zeros are mostly padding.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    (0..times)
        .map(|_| {
            let bit = random.below(used * 8);
            start_or_refuse(&flip(disk, path, bit), ledger, &format!("bit {bit} of {path}"))
        })
        .collect()
}

#[test]
fn rot_in_the_journals_is_named_or_does_no_harm() {
    let (mut refused, mut harmless) = (0, 0);
    for seed in 0..4 * scale() {
        let (disk, ledger) = quiet(seed, LAYOUTS[seed as usize % LAYOUTS.len()]);
        let mut random = Random::new(seed);
        for path in disk.paths().iter().filter(|path| path.contains("/journal-")) {
            for outcome in flips(&disk, &ledger, path, 6, &mut random) {
                match outcome {
                    None => harmless += 1,
                    Some(message) => {
                        assert!(message.contains("damaged") || message.contains("missing"), "{path}: {message}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 5 && harmless > 5, "{refused} refused, {harmless} harmless");
}

#[test]
fn rot_in_checkpoints_and_snapshots_is_named_or_does_no_harm() {
    for name in ["shard-0/checkpoint", "metadata/snapshot"] {
        for seed in 0..4 * scale() {
            let (disk, ledger) = quiet(seed, LAYOUTS[seed as usize % LAYOUTS.len()]);
            let mut random = Random::new(seed);
            let copies: Vec<String> = disk.paths().into_iter().filter(|path| path.starts_with(name)).collect();
            assert_eq!(copies.len(), 2, "both copies of {name} were written");
            for path in &copies {
                flips(&disk, &ledger, path, 3, &mut random);
            }
            let mut both = disk.clone();
            for path in &copies {
                both = flip(&both, path, 8 * 60);
            }
            let message = start_or_refuse(&both, &ledger, "both copies").expect("there is nothing to go by");
            assert!(copies.iter().all(|path| message.contains(path)), "{message}");
            // A copy that is missing is like one that was never written.
            for path in &copies {
                let mut without = disk.clone();
                without.erase(path);
                start_or_refuse(&without, &ledger, &format!("without {path}"));
            }
        }
    }
}

#[test]
fn rot_in_segments_is_never_served() {
    for seed in 0..scale() {
        let (disk, mut ledger) = quiet(seed, (1, 1));
        // What is read in place is verified by the client alone.
        ledger.config.set("corelog.segment.reads", "direct").expect("it is known");
        let mut random = Random::new(seed);
        let (mut served, mut named) = (0, 0);
        for path in disk.paths().iter().filter(|path| path.starts_with("topics/")) {
            let bits = disk.bytes(path).unwrap().len() * 8;
            if bits == 0 || path.ends_with(".metadata") {
                continue;
            }
            for _ in 0..3 {
                let rotten = flip(&disk, path, random.below(bits));
                let (node, _) = Node::start(rotten, &ledger.config, ledger.now, false)
                    .unwrap_or_else(|(_, error)| panic!("{path}: {}", error.message));
                match ledger.clone().read_what_can_be_read(node) {
                    None => served += 1,
                    Some(messages) => {
                        let file =
                            messages.iter().any(|(level, text)| *level == LogLevel::Error && text.contains(path));
                        assert!(path.ends_with(".log") && file, "{path}: {messages:?}");
                        named += 1;
                    }
                }
            }
        }
        assert!(served > 0 && named > 0, "{served} served, {named} named");
    }
}
