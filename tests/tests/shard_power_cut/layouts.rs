//! The number of shards changes, and the power is cut at every disk step of the start that changes it. The next start may
//! want yet another number. Nothing that was acknowledged is lost, no partition begins or ends elsewhere, every batch stands
//! where it stood, and producers that repeat themselves are recognised.
//!
//! `CORELOG_SEEDS=n` runs n scripts instead of one and cuts at every boundary instead of a part of them; `CORELOG_SEED=s`
//! runs script s alone.

use corelog_shard::config::Durability;
use corelog_shard::io::ENOSPC;
use corelog_shard::shard::StartErrorKind;
use corelog_tests::sim::disk::{Fault, FaultDisk, StepKind};
use corelog_tests::sim::node::Node;
use corelog_tests::sim::random::Random;

use crate::faults::quiet;
use crate::from_env;
use crate::ledger::{End, Ledger, config};
use crate::world::{World, cuts_of_start};

/// Every change among one, two and three shards.
const CHANGES: [u32; 7] = [1, 2, 3, 1, 3, 2, 1];

fn nothing(_: &FaultDisk, _: &Ledger) {}

fn create_topics(world: &mut World) {
    let size = world.ledger.config.journal.file_bytes;
    world.create("plain", 4, Durability::Fsync, size / 2, None);
    world.create("short", 3, Durability::Fsync, size / 4, Some(size / 4));
    world.create("written", 2, Durability::Write, size / 3, None);
    world.create("tiny", 3, Durability::Fsync, size, None);
    world.create("memory", 1, Durability::Memory, size / 3, None);
    world.create("gone", 2, Durability::Fsync, size / 4, None);
    world.settle(&mut nothing);
}

/// How a process ends, given what number it is.
fn end(world: &mut World, round: usize) -> (FaultDisk, End) {
    match round % 3 {
        0 => (world.stop(&mut nothing), End::Clean),
        1 => (world.node.disk.kill(round as u64), End::Killed),
        _ => (world.node.disk.restart(round as u64), End::PowerCut),
    }
}

/// After a cut: starts with any number of shards, and goes on.
fn check(cut: &FaultDisk, ledger: &Ledger, number: usize, seed: u64) {
    let mut ledger = ledger.clone();
    let random = &mut Random::new(seed * 10_000 + number as u64);
    ledger.shards = 1 + random.below(3) as u32;
    // The power goes, or only the process.
    let disk = if number % 3 == 2 { cut.kill(random.next_u64()) } else { cut.restart(random.next_u64()) };
    if number % 16 == 7 {
        for cut in cuts_of_start(&disk, &ledger, Some((2, random))) {
            let mut ledger = ledger.clone();
            ledger.shards = 1 + random.below(3) as u32;
            ledger.restart(cut.restart(random.next_u64()), End::PowerCut);
        }
    }
    let mut node = ledger.restart(disk, End::PowerCut);
    node.settle();
    ledger.check_folders(&node);
    check_shard_folders(&node.disk, ledger.shards);
    if number % 5 == 1 {
        ledger.go_on(&mut node);
        let disk = ledger.stop(node);
        ledger.shards = 1 + random.below(3) as u32;
        let node = ledger.restart(disk, End::Clean);
        ledger.check_folders(&node);
        check_shard_folders(&node.disk, ledger.shards);
    }
}

/// Whether the folders of a layout generation are being made or have just come to count: the next thing is the first journal.
fn is_changing(disk: &FaultDisk, generation: usize) -> bool {
    let paths = disk.paths();
    let mut new = paths.iter().filter(|path| path.starts_with("shard-") && path.contains(&format!(".{generation}/")));
    let begun = paths.iter().any(|path| path.ends_with(&format!(".{generation}/journal-0001")));
    new.next().is_some() && !begun
}

/// Folders of one layout are there, and no others.
fn check_shard_folders(disk: &FaultDisk, shards: u32) {
    let paths = disk.paths();
    let folder = |path: &'_ str| path.split_once('/').map(|(folder, _)| folder.to_owned());
    let mut folders: Vec<String> = paths.iter().filter_map(|path| folder(path)).collect();
    folders.retain(|folder| folder.starts_with("shard-"));
    folders.dedup();
    let generation = |folder: &String| folder.split_once('.').map_or("0", |(_, generation)| generation).to_owned();
    assert_eq!(folders.len(), shards as usize, "{folders:?}");
    assert!(folders.iter().all(|folder| generation(folder) == generation(&folders[0])), "{folders:?}");
}

#[test]
fn the_number_of_shards_changes_wherever_the_power_is_cut() {
    let stride = if from_env("CORELOG_SEEDS").is_some() { 1 } else { 31 };
    let seeds = from_env("CORELOG_SEED").map_or(0..from_env("CORELOG_SEEDS").unwrap_or(1), |seed| seed..seed + 1);
    for seed in seeds {
        let mut world = World::with_shards(config(64 << 10, 1 << 20), seed, 14_000, CHANGES[0]);
        create_topics(&mut world);
        let mut cuts = 0;
        for (round, shards) in CHANGES.into_iter().enumerate().skip(1) {
            world.run(60, &mut nothing);
            if round == 3 {
                world.delete("gone");
                world.run(5, &mut nothing);
            }
            let before = world.ledger.shards;
            let (disk, end) = end(&mut world, round);
            world.ledger.shards = shards;
            let all = cuts_of_start(&disk, &world.ledger, None);
            let chosen = |(number, cut): &(usize, &FaultDisk)| number % stride == round || is_changing(cut, round);
            let chosen: Vec<(usize, &FaultDisk)> = all.iter().enumerate().filter(chosen).collect();
            let ledger = &world.ledger;
            std::thread::scope(|scope| {
                for half in chosen.chunks(chosen.len().div_ceil(2)) {
                    scope.spawn(|| half.iter().for_each(|(number, cut)| check(cut, ledger, *number, seed)));
                }
            });
            cuts += chosen.len();
            world.start(disk, end, &mut nothing);
            check_shard_folders(&world.node.disk, shards);
            println!("script {seed}: {before} to {shards} shards, {cuts} cuts");
        }
        world.run(20, &mut nothing);
        world.settle(&mut nothing);
        assert!(cuts > 200 && world.ledger.acknowledged > 200 && world.ledger.duplicates > 5, "long enough");
    }
}

#[test]
fn without_space_the_number_of_shards_stays_as_it_is() {
    let (disk, ledger) = quiet(1, (2, 3));
    for (on, path) in [
        (StepKind::Write, "topics/"),
        (StepKind::SetLen, "topics/"),
        (StepKind::CreateDir, "shard-1.1"),
        (StepKind::Write, "shard-2.1/checkpoint-a"),
        (StepKind::Allocate, "shard-0.1/journal-0000"),
        (StepKind::Allocate, "shard-2.1/journal-0000"),
    ] {
        let mut full = disk.clone();
        full.inject(Fault { on, path: path.to_owned(), skip: 0, times: u32::MAX, errno: ENOSPC });
        let Err((full, error)) = Node::start_with(full, &ledger.config, ledger.now, false, 3) else {
            panic!("{on:?} {path}: the start did not notice")
        };
        assert_eq!(error.kind, StartErrorKind::Refused);
        for part in ["no space to lay the data directory out for 3 shards instead of 2", path, "--cores 2"] {
            assert!(error.message.contains(part), "{}", error.message);
        }
        check_shard_folders(&full, 2);
        for (shards, disk) in [(2, full.restart(1)), (2, full.kill(2)), (3, full.kill(3)), (1, full.restart(4))] {
            let mut ledger = ledger.clone();
            ledger.shards = shards;
            let mut node = ledger.restart(disk, End::PowerCut);
            node.settle();
            check_shard_folders(&node.disk, shards);
        }
    }
}

#[test]
fn a_new_layout_does_without_one_of_its_first_checkpoints_and_not_without_both() {
    let (disk, mut ledger) = quiet(2, (1, 2));
    let (node, report) = Node::start_with(disk, &ledger.config, ledger.now, false, 2).map_err(|(_, e)| e).unwrap();
    let told = |(_, line): &(_, String)| line.contains("laid out anew for 2 shards instead of 1, with ");
    assert!(report.lines.iter().any(told), "{:?}", report.lines);
    let disk = node.disk.kill(1);
    let copies = ["shard-1.1/checkpoint-a", "shard-1.1/checkpoint-b"];
    for copy in copies {
        let mut without = disk.clone();
        without.erase(copy);
        ledger.clone().restart(without, End::PowerCut);
    }
    let mut neither = disk.clone();
    copies.iter().for_each(|copy| neither.erase(copy));
    for shards in [1, 2, 3] {
        let refused = Node::start_with(neither.clone(), &ledger.config, ledger.now, true, shards);
        let Err((_, error)) = refused else { panic!("nobody knows what the segments hold") };
        assert!(copies.iter().all(|copy| error.message.contains(copy)), "{}", error.message);
    }
    ledger.shards = 1;
    let mut node = ledger.restart(disk, End::PowerCut);
    ledger.go_on(&mut node);
}

#[test]
fn a_loss_is_accepted_for_good_with_a_change_of_the_number_of_shards() {
    let (disk, ledger) = quiet(3, (2, 1));
    let refusal = |disk: &FaultDisk, shards| {
        let started = Node::start_with(disk.clone(), &ledger.config, ledger.now, false, shards);
        started.err()
    };
    let journals = disk.paths().into_iter().filter(|path| path.starts_with("shard-1/journal-"));
    let mut damaged = None;
    for path in journals {
        let mut disk = disk.clone();
        disk.damage(&path, |bytes| bytes[8_192..].fill(0x5a));
        if let Some((after, error)) = refusal(&disk, 1).filter(|(_, e)| e.kind == StartErrorKind::Damaged) {
            assert!(error.message.contains("shard-1/journal-"), "{}", error.message);
            check_shard_folders(&after, 2);
            damaged = Some(after.kill(1));
        }
    }
    let damaged = damaged.expect("a journal holds what is nowhere else");
    assert!(refusal(&damaged, 2).is_some(), "a refused change accepts nothing");
    let started = Node::start_with(damaged, &ledger.config, ledger.now, true, 1).map_err(|(_, error)| error);
    let (node, report) = started.unwrap();
    assert!(report.lines.iter().any(|(_, line)| line.contains("lost")), "{:?}", report.lines);
    for shards in [1, 2, 3] {
        assert!(refusal(&node.disk.kill(2), shards).is_none(), "{shards} shards: it was accepted");
    }
}
