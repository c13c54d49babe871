//! The number of shards changes, and the power is cut at every disk step of the start that changes it. The next start may
//! want yet another number. Nothing that was acknowledged is lost, no partition begins or ends elsewhere, every batch stands
//! where it stood, and producers that repeat themselves are recognised.
//!
//! `CORELOG_SEEDS=n` runs n scripts instead of one and cuts at every boundary instead of a part of them; `CORELOG_SEED=s`
//! runs script s alone.

use corelog_shard::config::Durability;
use corelog_tests::sim::disk::FaultDisk;
use corelog_tests::sim::random::Random;

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
fn check(cut: &FaultDisk, ledger: &Ledger, number: usize, random: &mut Random) {
    let mut ledger = ledger.clone();
    ledger.shards = 1 + random.below(3) as u32;
    let disk = cut.restart(random.next_u64());
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
    let stride = if from_env("CORELOG_SEEDS").is_some() { 1 } else { 13 };
    let seeds = from_env("CORELOG_SEED").map_or(0..from_env("CORELOG_SEEDS").unwrap_or(1), |seed| seed..seed + 1);
    for seed in seeds {
        let mut random = Random::new(seed);
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
            for (number, cut) in all.iter().enumerate().skip(round).step_by(stride) {
                check(cut, &world.ledger, number, &mut random);
                cuts += 1;
            }
            world.start(disk, end, &mut nothing);
            check_shard_folders(&world.node.disk, shards);
            println!("script {seed}: {before} to {shards} shards, {cuts} cuts");
        }
        world.run(20, &mut nothing);
        world.settle(&mut nothing);
        assert!(cuts > 200 && world.ledger.acknowledged > 200 && world.ledger.duplicates > 5, "long enough");
    }
}
