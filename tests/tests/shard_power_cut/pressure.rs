//! More producers than there is memory for: everybody is answered in the end, and memory stays what was chosen.

use std::collections::VecDeque;

use corelog_shard::config::{Durability, MemoryBudget};
use corelog_tests::sim::random::Random;

use crate::ledger::config;
use crate::world::World;

const JOURNAL_FILE: u64 = 64 << 10;
const PARTITIONS: usize = 4;

/// Producers that each have several requests of the largest size under way.
fn press(memory: u64, producers: usize, seed: u64) {
    let mut world = World::new(config(JOURNAL_FILE, memory), seed, 14_000);
    let mut random = Random::new(seed);
    world.create("pressed", PARTITIONS as i32, Durability::Fsync, JOURNAL_FILE, Some(2 * JOURNAL_FILE));
    world.settle(&mut |_, _| {});
    let (topic, _) = world.place().unwrap();
    let connections: Vec<_> = (0..producers).map(|_| world.node.connect()).collect();
    let tail = MemoryBudget::from_total(memory).tail as usize;
    let mut most = 0;
    for round in 0..30 {
        let mut pending: Vec<_> = connections.iter().map(|connection| (*connection, VecDeque::new())).collect();
        for (index, (connection, pending)) in pending.iter_mut().enumerate() {
            for _ in 0..3 {
                let batch = world.ledger.batch(6_000 + random.below(9_000), None);
                let place = (topic, index % PARTITIONS);
                pending.push_back(world.ledger.produce(&mut world.node, *connection, place, batch, None));
            }
        }
        // No time passes: what the disk completes has to bring about the rest.
        world.node.settle();
        most = most.max(world.node.shard().logs().tail_memory());
        for (connection, pending) in pending {
            for pending in pending {
                let reply = world.node.reply(connection);
                let reply = reply.unwrap_or_else(|| panic!("seed {seed}, round {round}: somebody waits for ever"));
                world.ledger.answered(pending, &reply);
            }
        }
        // Retention takes away what readers do not need.
        world.pass_us(300_000);
        world.settle(&mut |_, _| {});
    }
    // What is being filled comes on top.
    let open = PARTITIONS * JOURNAL_FILE as usize;
    assert!(most <= tail + open, "seed {seed}: {most} bytes in the tail cache, {tail} were meant");
}

#[test]
fn nobody_waits_for_room_for_ever() {
    for memory in [256 << 10, 1 << 20] {
        for seed in 0..2 {
            press(memory, 20, seed);
        }
    }
}
