//! Rot, truncation and loss of journal files: what was acknowledged is either delivered or named, never cut silently,
//! and what can be delivered is.

use crate::world::{BLOCK, FILE_LEN, Told, World, geometry, scan};
use corelog_shard::ids::Ids;
use corelog_shard::io::{EIO, ENOSPC};
use corelog_shard::journal::{Durability, Files, Journal, OpenError};
use corelog_tests::sim::disk::{Fault, FaultDisk, StepKind};

/// A settled, closed journal over several files with everything in it acknowledged and needed.
fn acknowledged(seed: u64) -> World {
    let mut world =
        World::start(FaultDisk::new(BLOCK, seed), 1, 1, seed).unwrap_or_else(|failed| panic!("{}", failed.error));
    while world.journal.files_in_use() < 3 {
        for _ in 0..3 {
            world.append(Durability::Fsync, 5000);
        }
        world.settle();
    }
    world.now_us += 1_000_000;
    world.close_if_idle();
    assert_eq!(world.closings, 1);
    world.settle();
    assert!(world.journal.next_deadline_us().is_none(), "a closed journal stays closed");
    world
}

/// What is delivered must be part of what was told, in order; what is missing must be covered by the damage.
fn named_or_delivered(told: &[Told], disk: &mut FaultDisk, what: &str) {
    let scanned = scan(disk, 1).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut found = scanned.entries.iter().peekable();
    let mut missing = Vec::new();
    for entry in told {
        if found.next_if(|&found| found == entry).is_none() {
            missing.push(entry);
        }
    }
    assert!(found.next().is_none(), "{what}: something came from nowhere");
    if missing.is_empty() {
        return;
    }
    assert!(!scanned.damage.is_empty(), "{what}: {} entries were cut silently", missing.len());
    for entry in missing {
        let named = scanned.damage.iter().any(|damage| {
            let listed = damage.lost.iter().any(|lost| lost.base_offset == entry.base_offset);
            // Of a file that is gone altogether nobody knows the commits.
            let unknown = damage.sequences.is_empty() && !damage.complete;
            unknown || (damage.sequences.contains(&entry.sequence) && (listed || !damage.complete))
        });
        assert!(named, "{what}: commit {} is not named by {:?}", entry.sequence, scanned.damage);
    }
}

#[test]
fn a_rotten_block_is_named() {
    let world = acknowledged(1);
    let mut damaged = 0;
    for path in world.disk.paths() {
        for block in 0..(FILE_LEN as usize / BLOCK) {
            for how in 0..3 {
                let mut disk = world.disk.restart(0);
                disk.damage(&path, |bytes| {
                    let block = &mut bytes[block * BLOCK..(block + 1) * BLOCK];
                    match how {
                        0 => block.fill(0),
                        1 => block[100] ^= 4,
                        _ => block[3] ^= 0x80,
                    }
                });
                named_or_delivered(&world.told, &mut disk, &format!("{path} block {block} way {how}"));
                damaged += usize::from(!scan(&mut disk.restart(0), 1).unwrap().damage.is_empty());
            }
        }
    }
    assert!(damaged > 40, "only {damaged} of the changes were found");
}

#[test]
fn a_rotten_payload_costs_its_entry_only_and_is_named() {
    let world = acknowledged(2);
    let victim = world.told.iter().find(|told| told.payload.len() > 1000).unwrap();
    let mut disk = world.disk.restart(0);
    let needle = &victim.payload[..];
    let path = disk.paths().into_iter().find(|path| position(&disk, path, needle).is_some()).unwrap();
    let at = position(&disk, &path, needle).unwrap();
    disk.damage(&path, |bytes| bytes[at + 500] ^= 1);

    let scanned = scan(&mut disk, 1).unwrap();
    let left: Vec<&Told> = world.told.iter().filter(|told| *told != victim).collect();
    assert_eq!(scanned.entries.iter().collect::<Vec<_>>(), left);
    let [damage] = &scanned.damage[..] else { panic!("one damage, not {:?}", scanned.damage) };
    assert!(damage.complete && damage.path == path && damage.bytes.contains(&(at as u64)));
    assert_eq!(damage.lost[0].base_offset, victim.base_offset);
    assert_eq!(damage.sequences, victim.sequence..victim.sequence + 1);

    // The operator accepts the loss: the rest goes on, and once it is checkpointed nobody speaks of it again.
    let mut ids = scanned.ids;
    let next = scanned.recovered.end + 1;
    let journal = Journal::start(&mut disk, scanned.recovered, 2, &mut ids).unwrap();
    assert_eq!(journal.durable_sequence() + 1, next);
    let scanned = scan(&mut disk.restart(1), journal.next_ordinal()).unwrap();
    assert_eq!((scanned.damage, scanned.entries), (vec![], vec![]));
}

fn position(disk: &FaultDisk, path: &str, needle: &[u8]) -> Option<usize> {
    disk.bytes(path)?.windows(needle.len()).position(|window| window == needle)
}

#[test]
fn a_commit_that_does_not_follow_is_not_counted() {
    let world = acknowledged(11);
    let disk = world.disk.restart(0);
    // Ordinal, incarnation, sequence, predecessor and the directory's mark, each intact by its checksum.
    for field in [16, 24, 32, 56, 80] {
        let mut disk = disk.restart(0);
        let mut hit = None;
        disk.damage("shard-0/journal-0000", |bytes| {
            let second = (2..).find(|block| bytes[block * BLOCK..].starts_with(b"CLJC")).unwrap() * BLOCK;
            let header = &mut bytes[second..second + 88];
            hit = Some(u64::from_le_bytes(header[32..40].try_into().unwrap()));
            header[field] ^= 1;
            let crc = crc32c::crc32c(&header[8..]);
            header[4..8].copy_from_slice(&crc.to_le_bytes());
        });
        let scanned = scan(&mut disk, 1).unwrap();
        assert!(scanned.damage.iter().any(|damage| damage.sequences.contains(&hit.unwrap())), "field at {field}");
        named_or_delivered(&world.told, &mut disk.restart(0), &format!("field at {field}"));
    }
}

#[test]
fn a_lost_file_header_loses_nothing_but_is_named() {
    let world = acknowledged(3);
    for path in world.disk.paths() {
        let mut disk = world.disk.restart(0);
        if disk.bytes(&path).unwrap()[..4] != *b"CLJF" {
            continue;
        }
        disk.damage(&path, |bytes| bytes[..BLOCK].fill(0xa5));
        let scanned = scan(&mut disk, 1).unwrap();
        assert_eq!(scanned.entries, world.told, "{path}");
        assert!(scanned.damage.iter().all(|damage| damage.complete) && !scanned.damage.is_empty(), "{path}");

        // Going on keeps the file: what is in it is nowhere else.
        let mut ids = scanned.ids;
        let mut journal = Journal::start(&mut disk, scanned.recovered, 2, &mut ids).unwrap();
        let mut actions = Vec::new();
        journal.close_if_idle(1 << 40, 0, &mut ids, &mut actions);
        assert_eq!(scan(&mut disk.restart(1), 1).unwrap().entries, world.told, "{path}");
    }
}

#[test]
fn a_missing_or_shortened_file_is_named() {
    let world = acknowledged(4);
    for path in world.disk.paths() {
        let mut disk = world.disk.restart(0);
        let used = disk.bytes(&path).unwrap().starts_with(b"CLJF");
        disk.erase(&path);
        named_or_delivered(&world.told, &mut disk, &path);
        let damage = scan(&mut disk.restart(0), 1).unwrap().damage;
        assert!(!used || damage.iter().any(|damage| damage.path == path && !damage.complete), "{damage:?}");

        for len in [0, 100, BLOCK, 5 * BLOCK, FILE_LEN as usize - BLOCK] {
            let mut disk = world.disk.restart(0);
            disk.damage(&path, |bytes| bytes.truncate(len));
            named_or_delivered(&world.told, &mut disk, &format!("{path} cut to {len}"));
            let scanned = scan(&mut disk.restart(0), 1).unwrap();
            assert!(!used || !scanned.damage.is_empty(), "{path} cut to {len}");
        }
    }
    // All of it is gone, and the checkpoint knows better.
    let mut disk = FaultDisk::new(BLOCK, 0);
    assert_eq!(scan(&mut disk, 5).unwrap().damage.len(), 1);
}

#[test]
fn a_block_that_the_device_cannot_read_is_named() {
    let world = acknowledged(5);
    let path = world.disk.paths()[0].clone();
    for skip in 0..12 {
        let mut disk = world.disk.restart(0);
        // The large read fails, and then one of the blocks.
        disk.inject(Fault { on: StepKind::Read, path: path.clone(), skip: 1, times: 1, errno: EIO });
        disk.inject(Fault { on: StepKind::Read, path: path.clone(), skip, times: 1, errno: EIO });
        named_or_delivered(&world.told, &mut disk, &format!("unreadable {skip}"));
    }
}

#[test]
fn the_lock_is_respected_and_given_back() {
    let world = acknowledged(6);
    let mut disk = world.disk.restart(0);
    let path = disk.paths()[1].clone();
    disk.lock(&path);
    assert_eq!(
        Files::open(&mut disk, geometry(), &mut Ids::new()).unwrap_err(),
        OpenError::Locked { path: path.clone() }
    );
    disk.unlock(&path);
    let mut ids = Ids::new();
    (0..100).for_each(|_| _ = ids.file());
    let files = Files::open(&mut disk, geometry(), &mut ids).unwrap();
    assert!(files.count() >= 3);
    files.close(&mut disk);
    let mut more = Ids::new();
    (0..200).for_each(|_| _ = more.file());
    assert!(Files::open(&mut disk, geometry(), &mut more).is_ok());
}

#[test]
fn a_file_from_elsewhere_is_refused_with_a_cure() {
    let world = acknowledged(7);
    let refused = |change: &dyn Fn(&mut corelog_shard::journal::Geometry)| {
        let mut disk = world.disk.restart(0);
        let mut other = geometry();
        change(&mut other);
        let files = Files::open(&mut disk, other, &mut Ids::new()).unwrap();
        files.scan(&mut disk, 1, &mut |_| ()).unwrap_err().to_string()
    };
    assert!(refused(&|geometry| geometry.directory += 1).contains("another data directory"));
    assert!(refused(&|geometry| geometry.shard = 1).contains("remove it"));
    assert!(refused(&|geometry| geometry.file_len *= 2).contains("the superblock says 65536"));
    let mut disk = world.disk.restart(0);
    disk.damage("shard-0/journal-0000", |bytes| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[8..96]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    });
    let files = Files::open(&mut disk, geometry(), &mut Ids::new()).unwrap();
    let words = files.scan(&mut disk, 1, &mut |_| ()).unwrap_err().to_string();
    assert!(words.contains("version 2") && words.contains("version 1"), "{words}");
}

#[test]
fn an_incarnation_is_never_taken_twice() {
    let world = acknowledged(8);
    let mut disk = world.disk.restart(0);
    let scanned = scan(&mut disk, 1).unwrap();
    let mut ids = scanned.ids;
    let Err(OpenError::Foreign { words, .. }) = Journal::start(&mut disk, scanned.recovered, 1, &mut ids) else {
        panic!("incarnation 1 was begun before");
    };
    assert!(words.contains("older copy"), "{words}");
}

#[test]
fn a_full_disk_stops_the_growth_and_nothing_else() {
    let mut disk = FaultDisk::new(BLOCK, 9);
    let mut ids = Ids::new();
    let files = Files::open(&mut disk, geometry(), &mut ids).unwrap();
    let recovered = files.scan(&mut disk, 1, &mut |_| ()).unwrap();
    let mut journal = Journal::start(&mut disk, recovered, 1, &mut ids).unwrap();
    disk.inject(Fault { on: StepKind::Allocate, path: "journal-0002".to_owned(), skip: 0, times: 1, errno: ENOSPC });
    let entry = corelog_shard::journal::NewEntry {
        kind: corelog_shard::journal::EntryKind::LogStart,
        level: Durability::Fsync,
        topic_id: [1; 16],
        partition: 0,
        leader_epoch: 0,
        base_offset: 0,
        last_offset: 0,
        segment_base_offset: 0,
        payload_crc: 0,
    };
    let mut warnings = 0;
    let mut now_us = 0;
    // Ten seconds pass before space is looked for again.
    for turn in 0..10 {
        now_us += 2_000_000;
        let placed = journal.append(entry, &[]);
        let mut actions = Vec::new();
        journal.cut(now_us, 0, &mut ids, &mut actions);
        while !actions.is_empty() || disk.in_flight() > 0 {
            for action in actions.drain(..) {
                match action {
                    corelog_shard::io::Action::Io { op, steps } => disk.submit(op, steps),
                    corelog_shard::io::Action::Log { message, .. } => {
                        assert!(message.contains("goes on with 2 files"), "{message}");
                        warnings += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            if let corelog_tests::sim::disk::Advance::Done(op, result) = disk.advance() {
                assert_eq!(journal.completed(op, &result, &mut ids, &mut actions), Ok(true));
            }
        }
        assert!(journal.reached(placed.sequence, Durability::Fsync));
        assert_eq!(disk.paths().len() > 2, turn >= 6, "turn {turn}");
    }
    assert_eq!(warnings, 1);
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_acknowledged() {
    for (kind, level) in [(StepKind::Write, Durability::Fsync), (StepKind::Sync, Durability::Write)] {
        let mut world = acknowledged(10);
        let before = world.journal.durable_sequence();
        world.disk.inject(Fault { on: kind, path: "journal".to_owned(), skip: 0, times: 1, errno: EIO });
        let mut ids = Ids::new();
        (0..1_000_000).for_each(|_| _ = ids.op());
        let mut actions = Vec::new();
        world.append(level, 100).unwrap();
        world.journal.request_sync(&mut ids, &mut actions);
        world.journal.cut(1, 1, &mut ids, &mut actions);
        if kind == StepKind::Sync {
            // The write goes out without the flag, and the sync is asked for behind it.
            world.append(Durability::Write, 100).unwrap();
        }
        let mut failure = None;
        for _ in 0..50 {
            for action in actions.drain(..) {
                if let corelog_shard::io::Action::Io { op, steps } = action {
                    world.disk.submit(op, steps);
                }
            }
            if let corelog_tests::sim::disk::Advance::Done(op, result) = world.disk.advance() {
                match world.journal.completed(op, &result, &mut ids, &mut actions) {
                    Ok(ours) => assert!(ours),
                    Err(error) => failure = Some(error),
                }
            }
            world.journal.cut(1, 1, &mut ids, &mut actions);
            if failure.is_none() && kind == StepKind::Sync {
                world.journal.request_sync(&mut ids, &mut actions);
            }
        }
        let failure = failure.unwrap_or_else(|| panic!("{kind:?} did not fail"));
        assert!(failure.to_string().contains("errno 5") && failure.path.starts_with("shard-0/journal-"), "{failure}");
        let promised = world.journal.durable_sequence();
        assert!(!world.journal.has_room(1) && !world.journal.has_reserve(1));
        let placed = world.append(Durability::Fsync, 100);
        assert_eq!(placed, None);
        assert!(promised <= before + 1, "only what completed before counts");
        assert!(actions.is_empty(), "nothing is retried");
    }
}
