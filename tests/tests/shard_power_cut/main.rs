//! The power is cut at every disk step of a whole shard's life: writes, syncs, truncations, renames of a scripted run
//! with several commits in flight, rolls, recycling, retention, deletion, clean stops and restarts, and again during the
//! recovery from it. Whatever was acknowledged or seen by a consumer is there afterwards, at its offset, with its bytes.
//!
//! `CORELOG_SEEDS=n` runs n scripts instead of one and cuts at every boundary instead of a part of them; `CORELOG_SEED=s`
//! runs script s alone, `CORELOG_CUT=n` cuts at the n-th boundary alone: to have a failure again.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod compaction;
mod faults;
mod groups;
mod indexes;
mod layouts;
mod ledger;
mod pressure;
mod snapshots;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use corelog_shard::config::Durability;
use corelog_tests::sim::disk::{FaultDisk, StepKind};
use corelog_tests::sim::random::Random;

use ledger::{End, Ledger, config};
use world::{World, cuts_of_start};

/// A disk after the end of a process, with what it must hold.
struct Job {
    number: u64,
    disk: FaultDisk,
    ledger: Ledger,
    end: End,
}

/// After so many failures the rest is not looked at.
const FAILURES_MAX: usize = 8;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Starts on the disk and holds it against the ledger; every so often goes on from there in one way or another.
fn check(job: Job) {
    let Job { number, disk, mut ledger, end } = job;
    let again = number % 16 == 5;
    if again {
        let mut random = Random::new(number);
        for cut in cuts_of_start(&disk, &ledger, Some((3, &mut random))) {
            let mut ledger = ledger.clone();
            ledger.restart(cut.restart(random.next_u64()), End::PowerCut);
        }
    }
    let mut node = ledger.restart(disk, end);
    node.settle();
    ledger.note_topics(&node);
    ledger.check_folders(&node);
    if number % 4 == 1 {
        ledger.go_on(&mut node);
        if again {
            let mut random = Random::new(number);
            for _ in 0..random.below(20) {
                node.advance();
            }
            let mut ledger = ledger.clone();
            ledger.restart(node.disk.restart(number), End::PowerCut);
        }
        let disk = ledger.stop(node);
        let node = ledger.restart(disk, End::Clean);
        ledger.check_folders(&node);
    }
}

/// Checks until there is nothing more; says what failed.
fn check_all(jobs: &Mutex<Receiver<Job>>, failures: &Mutex<Vec<String>>) {
    loop {
        let job = jobs.lock().unwrap().recv();
        let Ok(job) = job else { return };
        if failures.lock().unwrap().len() >= FAILURES_MAX {
            continue;
        }
        let what = format!("CORELOG_CUT={} ({:?})", job.number, job.end);
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(job))) {
            let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            failures.lock().unwrap().push(format!("{what}: {words}"));
        }
    }
}

/// Runs a script on one shard; at every `stride`th boundary, and at rare ones always, its disk is cut and checked.
fn cut_everywhere(seed: u64, stride: u64, journal_file: u64, turns: usize, size_max: usize) -> (World, Report) {
    cut_shards_everywhere(1, seed, stride, journal_file, turns, size_max)
}

/// The same on several shards.
fn cut_shards_everywhere(
    shards: u32,
    seed: u64,
    stride: u64,
    journal_file: u64,
    turns: usize,
    size_max: usize,
) -> (World, Report) {
    let (send, receive) = sync_channel(4);
    let receive = Mutex::new(receive);
    let failures = Mutex::new(Vec::new());
    let mut report = Report::default();
    let only = from_env("CORELOG_CUT");
    let world = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| check_all(&receive, &failures));
        }
        let mut probe = |disk: &FaultDisk, ledger: &Ledger| {
            report.boundaries += 1;
            let number = report.boundaries;
            let kinds = disk.kinds_in_flight();
            let rare = kinds.iter().any(|kind| report.kinds.get(kind).is_none_or(|times| *times < 12));
            let chosen = only.map_or(rare || number % stride == seed % stride, |only| only == number);
            if !chosen {
                return;
            }
            for kind in kinds {
                *report.kinds.entry(kind).or_default() += 1;
            }
            report.cuts += 1;
            let killed = number % 5 == 3;
            let (disk, end) = match killed && !disk.is_off() {
                true => (disk.kill(number), End::Killed),
                false => (disk.restart(number), End::PowerCut),
            };
            let _ = send.send(Job { number, disk, ledger: ledger.clone(), end });
        };
        let mut world = World::with_shards(config(journal_file, journal_file * 16), seed, size_max, shards);
        script(&mut world, turns, &mut probe);
        drop(send);
        world
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "script {seed}, {report:?}:\n{}", failures.join("\n"));
    (world, report)
}

#[derive(Debug, Default)]
struct Report {
    boundaries: u64,
    cuts: u64,
    kinds: BTreeMap<StepKind, u64>,
}

fn script(world: &mut World, turns: usize, probe: &mut world::Probe<'_>) {
    let size = world.ledger.config.journal.file_bytes;
    world.create("plain", 2, Durability::Fsync, size / 2, None);
    world.create("short", 1, Durability::Fsync, size / 4, Some(size / 2));
    world.create("written", 1, Durability::Write, size / 3, None);
    world.run(turns, probe);
    world.create("memory", 1, Durability::Memory, size / 3, Some(size));
    world.create("tiny", 3, Durability::Fsync, size, None);
    world.create("gone", 2, Durability::Fsync, size / 4, None);
    world.run(turns, probe);
    world.cut_and_start(probe);
    world.run(turns, probe);
    world.delete("gone");
    world.run(turns / 8, probe);
    world.settle(probe);
    world.create("gone", 1, Durability::Fsync, size / 4, None);
    world.run(turns, probe);
    world.stop_and_start(probe);
    world.run(turns / 2, probe);
    world.kill_and_start(probe);
    world.run(turns / 2, probe);
    world.delete("gone");
    world.settle(probe);
    world.stop_and_start(probe);
    world.settle(probe);
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_is_cut() {
    let scripts = from_env("CORELOG_SEEDS");
    let stride = if scripts.is_some() { 1 } else { 17 };
    let seeds = from_env("CORELOG_SEED").map_or(0..scripts.unwrap_or(1), |seed| seed..seed + 1);
    for seed in seeds {
        let (world, report) = cut_everywhere(seed, stride, 64 << 10, 80, 14_000);
        let seen = &world.seen;
        println!("script {seed}: {report:?}\n{seen:?}");
        let ledger = &world.ledger;
        println!("{} acknowledged, {} duplicates", ledger.acknowledged, ledger.duplicates);
        assert!(report.boundaries > 2_000 && ledger.acknowledged > 300, "the script is long enough");
        assert!(ledger.duplicates > 5, "duplicates were sent");
        assert!(seen.deepest >= 4, "only {} chains were in flight at once", seen.deepest);
        // Four files each: rings that went round several times.
        assert!(seen.journal_ordinal > 20 && seen.metadata_ordinal > 6, "files were recycled");
        assert!(seen.checkpoints > 5 && seen.snapshots > 2, "passes and snapshots took place");
        assert!(seen.carried > 20, "tails were carried");
        assert!(seen.closings > 0, "the journal was closed");
        assert!(seen.segments > 20 && seen.log_starts > 0 && seen.removed_segments, "segments came and went");
        assert!(seen.producer_snapshots > 10, "only {} producer snapshots", seen.producer_snapshots);
        assert_eq!(seen.restarts.len(), 3, "there was every kind of end");
        assert_eq!(ledger.deleted.len(), 2, "topics were deleted");
        let interrupted = |kind| report.kinds.get(&kind).copied().unwrap_or(0) > 0;
        for kind in [
            StepKind::Open,
            StepKind::Write,
            StepKind::Read,
            StepKind::Sync,
            StepKind::SyncDir,
            StepKind::Allocate,
            StepKind::SetLen,
            StepKind::CreateDir,
            StepKind::Rename,
            StepKind::Remove,
        ] {
            assert!(from_env("CORELOG_CUT").is_some() || interrupted(kind), "no {kind:?} was interrupted");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_on_two_shards() {
    let scripts = from_env("CORELOG_SEEDS");
    let stride = if scripts.is_some() { 1 } else { 41 };
    let seeds = from_env("CORELOG_SEED").map_or(0..scripts.unwrap_or(1), |seed| seed..seed + 1);
    for seed in seeds {
        let (world, report) = cut_shards_everywhere(2, seed, stride, 64 << 10, 80, 14_000);
        println!("script {seed}: {report:?}\n{:?}", world.seen);
        let ledger = &world.ledger;
        assert!(report.boundaries > 2_000 && ledger.acknowledged > 300, "the script is long enough");
        assert!(ledger.duplicates > 5 && world.seen.log_starts > 0 && world.seen.carried > 0, "{:?}", world.seen);
        assert_eq!(world.seen.restarts.len(), 3, "there was every kind of end");
        assert_eq!(ledger.deleted.len(), 2, "topics were deleted");
        assert!(world.seen.journal_ordinal > 10, "files were recycled");
    }
}

#[test]
fn nothing_is_lost_of_what_goes_to_segments_in_large_pieces() {
    let stride = if from_env("CORELOG_SEEDS").is_some() { 3 } else { 41 };
    let seed = from_env("CORELOG_SEED").unwrap_or(7);
    let (world, report) = cut_everywhere(seed, stride, 1 << 20, 25, 250_000);
    println!("script {seed}: {report:?}\n{:?}", world.seen);
    assert!(world.seen.journal_ordinal > 8 && world.seen.checkpoints > 3, "files were recycled");
    assert!(report.cuts > 30, "only {} cuts", report.cuts);
}
