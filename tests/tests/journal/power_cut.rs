//! The power is cut at every step of a journal's life: at every completion of a run with several commits in flight, at
//! every step of the recovery and start behind it, and again in the run after that. Every entry that was promised comes
//! back, in order; nothing comes back in part, and nothing that was once gone.

use crate::world::{BLOCK, World, check, scan, seeds};
use corelog_tests::sim::disk::FaultDisk;
use corelog_tests::sim::random::Random;

fn fresh(seed: u64) -> World {
    World::start(FaultDisk::new(BLOCK, seed), 1, 1, seed).unwrap_or_else(|failed| panic!("{}", failed.error))
}

#[test]
fn at_every_boundary_of_a_run() {
    let (mut cuts, mut deepest, mut files, mut syncs, mut closings) = (0, 0, 0, 0, 0);
    for script in 0..seeds(10) {
        let mut world = fresh(script);
        world.run(80, &mut |world| {
            let expected = world.expected();
            for seed in 0..4 {
                let mut disk = world.disk.restart(seed);
                let scanned = scan(&mut disk, world.needed).unwrap();
                check(&expected, &scanned, world.journal.durable_sequence(), seed);
                cuts += 1;
            }
        });
        deepest = deepest.max(world.deepest);
        files += world.journal.newest_ordinal().unwrap_or(0);
        syncs += world.syncs;
        closings += world.closings;
    }
    assert!(deepest >= 4, "only {deepest} commits were in flight together");
    assert!(files > 10 * 5, "only {files} times was a file used");
    assert!(syncs > 50 && closings > 20, "{syncs} syncs, {closings} closing commits");
    assert!(cuts > 3000, "only {cuts} cuts were made");
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    for script in 1000..1000 + seeds(4) {
        let mut world = fresh(script);
        world.run(60, &mut |world| {
            let expected = world.expected();
            for seed in 0..3 {
                let mut disk = world.disk.kill(seed);
                let scanned = scan(&mut disk, world.needed).unwrap();
                check(&expected, &scanned, world.journal.written_sequence(), seed);
            }
        });
    }
}

#[test]
fn at_every_boundary_of_recovery_and_start() {
    for script in 2000..2000 + seeds(4) {
        let mut world = fresh(script);
        let mut probe_number = 0;
        world.run(40, &mut |world| {
            probe_number += 1;
            if probe_number % 7 != 0 {
                return;
            }
            // A power cut leaves a settled disk, a kill one on which much is still volatile.
            for (cut, must) in [
                (world.disk.restart(probe_number), world.journal.durable_sequence()),
                (world.disk.kill(probe_number), world.journal.durable_sequence()),
            ] {
                let whole = World::start(cut.clone(), world.needed, world.incarnation + 1, 0);
                let whole = whole.unwrap_or_else(|failed| panic!("{}", failed.error));
                check_start(&whole, must);
                for boundary in 0..whole.disk.boundaries() {
                    let mut disk = cut.clone();
                    disk.cut_at(boundary);
                    let Err(failed) = World::start(disk, world.needed, world.incarnation + 1, 0) else {
                        panic!("the power was cut at {boundary} and the start did not notice");
                    };
                    let again = failed.disk.restart(boundary);
                    let again = World::start(again, world.needed, world.incarnation + 2, 0);
                    let again = again.unwrap_or_else(|failed| panic!("boundary {boundary}: {}", failed.error));
                    check_start(&again, must);
                }
                // Once a start has returned, what it found can never be lost again.
                for seed in 0..3 {
                    let scanned = scan(&mut whole.disk.restart(seed), world.needed).unwrap();
                    assert_eq!(scanned.entries, whole.told);
                }
            }
            fn check_start(started: &World, must: u64) {
                assert!(started.journal.durable_sequence() >= must);
                assert!(started.journal.has_reserve(100));
            }
        });
    }
}

#[test]
fn again_and_again() {
    for seed in 3000..3000 + seeds(30) {
        let mut random = Random::new(seed);
        let mut world = fresh(seed);
        for life in 2..12 {
            // Stop the run at a random completion.
            let mut left = if random.chance(60) { random.below(6) } else { random.below(60) };
            let mut crash: Option<(FaultDisk, Vec<crate::world::Told>, u64, u64)> = None;
            world.run(40, &mut |world| {
                if crash.is_none() && left == 0 {
                    let power = random.chance(70);
                    let (disk, must) = if power {
                        (world.disk.restart(seed + life), world.journal.durable_sequence())
                    } else {
                        (world.disk.kill(seed + life), world.journal.written_sequence())
                    };
                    crash = Some((disk, world.expected(), must, world.needed));
                }
                left = left.saturating_sub(1);
            });
            let (disk, expected, must, needed) = crash.unwrap_or_else(|| {
                let durable = world.journal.durable_sequence();
                (world.disk.restart(seed), world.expected(), durable, world.needed)
            });
            let mut look = disk.clone();
            let scanned = scan(&mut look, needed).unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
            check(&expected, &scanned, must, seed);
            world = World::start(disk, needed, life, seed + life).unwrap_or_else(|failed| panic!("{}", failed.error));
            if random.chance(70) {
                // The checkpoint at the end of a recovery: what was found is in the segments.
                world.needed = world.journal.next_ordinal();
                world.journal.release(world.needed);
                world.told.clear();
            }
        }
    }
}
