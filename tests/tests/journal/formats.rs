//! Files of every released format open for ever, and what is written today is byte for byte of the current format.
//!
//! `v1` was written when the fields of `v1-counts` (see `formats/README.md`) were zero, which still says nothing.

use std::path::{Path, PathBuf};

use corelog_shard::ids::Ids;
use corelog_shard::io::{Action, Disk, FileId, OpenMode, Step};
use corelog_shard::journal::inspect::{Part, inspect};
use corelog_shard::journal::{Durability, EntryKind, Files, Geometry, Journal, JournalKind, NewEntry};
use corelog_shard::superblock::Superblock;
use corelog_tests::sim::disk::{Advance, FaultDisk};
use corelog_tests::sim::random::Random;

use crate::superblock::new_directory;
use crate::world::{BLOCK, batch};

const FILES: [&str; 5] =
    ["superblock-a", "superblock-b", "shard-0/journal-0000", "shard-0/journal-0001", "shard-0/journal-0002"];

/// All of version 1, the oldest first.
const FOLDERS: [&str; 2] = ["v1", "v1-counts"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("formats").join(name)
}

fn geometry(superblock: &Superblock) -> Geometry {
    Geometry {
        block: superblock.contents().block as usize,
        file_len: superblock.contents().journal_file_len,
        files_max: 3,
        depth: 4,
        gather_bytes: 0,
        kind: JournalKind::Shard,
        shard: 0,
        directory: superblock.directory_mark(),
        dir: "shard-0".to_owned(),
    }
}

fn run(disk: &mut FaultDisk, journal: &mut Journal, ids: &mut Ids, actions: &mut Vec<Action>) {
    loop {
        for action in actions.drain(..) {
            match action {
                Action::Io { op, steps } => disk.submit(op, steps),
                other => panic!("the journal asked for {other:?}"),
            }
        }
        match disk.advance() {
            Advance::Idle => return,
            Advance::Done(op, result) => assert_eq!(journal.completed(op, &result, ids, actions), Ok(true)),
            _ => {}
        }
    }
}

/// Two commits and a closing one, of every kind and level: always the same bytes.
fn write() -> FaultDisk {
    let mut disk = FaultDisk::new(BLOCK, 1);
    let mut ids = Ids::new();
    let mut new = new_directory();
    new.journal_file_len = 6 * BLOCK as u64;
    let mut superblock = Superblock::create(&mut disk, new, &mut ids).unwrap();
    superblock.begin_incarnation(&mut disk, &mut ids).unwrap();
    let files = Files::open(&mut disk, geometry(&superblock), &mut ids).unwrap();
    let recovered = files.scan(&mut disk, 1, &mut |_| ()).unwrap();
    let incarnation = superblock.contents().incarnation;
    let mut journal = Journal::start(&mut disk, recovered, incarnation, &mut ids).unwrap();
    journal.saved(7);
    superblock.note_files(&mut disk, &mut ids, journal.files(), 3).unwrap();
    let mut actions = Vec::new();
    for (number, (kind, level)) in [
        (EntryKind::Records, Durability::Fsync),
        (EntryKind::CarriedRecords, Durability::Write),
        (EntryKind::LogStart, Durability::Memory),
        (EntryKind::RaftEntries, Durability::Fsync),
        (EntryKind::RaftHardState, Durability::Fsync),
    ]
    .into_iter()
    .enumerate()
    {
        let base_offset = 1000 + number as i64;
        let (payload, payload_crc) = match kind {
            EntryKind::LogStart => (Vec::new(), 0),
            EntryKind::RaftEntries | EntryKind::RaftHardState => (b"raft".to_vec(), crc32c::crc32c(b"raft")),
            _ => {
                let bytes = batch(base_offset, 100 + number, &mut Random::new(number as u64));
                let crc = u32::from_be_bytes(bytes[17..21].try_into().unwrap());
                (bytes, crc)
            }
        };
        let entry = NewEntry {
            kind,
            level,
            topic_id: [number as u8; 16],
            partition: number as i32,
            leader_epoch: 3,
            base_offset,
            last_offset: base_offset + 1,
            segment_base_offset: 500,
            payload_crc,
        };
        journal.append(entry, &[&payload]);
        if number == 2 {
            journal.cut(1, 77, &mut ids, &mut actions);
            run(&mut disk, &mut journal, &mut ids, &mut actions);
        }
    }
    journal.cut(2, 78, &mut ids, &mut actions);
    run(&mut disk, &mut journal, &mut ids, &mut actions);
    assert!(!journal.close(3, 79, &mut ids, &mut actions), "a closing commit is on its way");
    run(&mut disk, &mut journal, &mut ids, &mut actions);
    for step in superblock.mark_clean(&mut ids) {
        disk.run(step).unwrap();
    }
    disk
}

#[test]
fn what_is_written_today_is_of_the_current_format() {
    let disk = write();
    if let Some(folder) = std::env::var_os("CORELOG_WRITE_FORMATS") {
        for path in FILES {
            let target = Path::new(&folder).join(path);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, disk.bytes(path).unwrap()).unwrap();
        }
    }
    for path in FILES {
        let kept = std::fs::read(folder(FOLDERS[1]).join(path)).unwrap();
        assert!(disk.bytes(path).unwrap() == kept, "{path} is not what format 1 says");
    }
}

#[test]
fn version_1_opens() {
    for (name, counts) in FOLDERS.into_iter().zip([(0, 0, 0), (2, 3, 7)]) {
        opens(name, counts);
    }
}

/// `counts`: journal files, files of the metadata log, generation of the checkpoint.
fn opens(name: &str, counts: (u32, u32, u32)) {
    let mut disk = FaultDisk::new(BLOCK, 0);
    // The blank file that was prepared last is not in the oldest folder, where nothing counts it.
    for path in FILES.into_iter().filter(|path| folder(name).join(path).exists()) {
        disk.replace(path, &std::fs::read(folder(name).join(path)).unwrap());
    }
    let mut ids = Ids::new();
    let mut superblock = Superblock::read(&mut disk, &mut ids).unwrap().unwrap();
    let contents = *superblock.contents();
    assert_eq!((contents.incarnation, contents.node_id, contents.shards, contents.clean), (1, 7, 1, true));
    assert_eq!((contents.cluster_id, contents.directory_id), (*b"cluster id of 16", *b"directory id, 16"));

    let files = Files::open(&mut disk, geometry(&superblock), &mut ids).unwrap();
    let mut found = Vec::new();
    let recovered = files
        .scan(&mut disk, 1, &mut |entry| {
            let header = entry.header;
            assert_eq!(header.last_offset, header.base_offset + 1);
            assert_eq!((header.leader_epoch, header.segment_base_offset, entry.ordinal), (3, 500, 1));
            assert_eq!(header.topic_id, [header.partition as u8; 16]);
            found.push((header.kind, header.level, header.base_offset, entry.payload.len(), entry.metadata_offset));
        })
        .unwrap();
    let expected = [
        (EntryKind::Records, Durability::Fsync, 1000, 100, 77),
        (EntryKind::CarriedRecords, Durability::Write, 1001, 101, 77),
        (EntryKind::LogStart, Durability::Memory, 1002, 0, 77),
        (EntryKind::RaftEntries, Durability::Fsync, 1003, 4, 78),
        (EntryKind::RaftHardState, Durability::Fsync, 1004, 4, 78),
    ];
    assert_eq!(found, expected);
    assert_eq!((recovered.end, recovered.metadata_offset, recovered.incarnation), (3, 79, 1));
    assert_eq!(recovered.damage, []);
    assert_eq!((contents.journal_files, contents.metadata_files, recovered.copy_generation), counts);

    // And it goes on from there.
    superblock.begin_incarnation(&mut disk, &mut ids).unwrap();
    assert!(Journal::start(&mut disk, recovered, superblock.contents().incarnation, &mut ids).is_ok());
}

#[test]
fn version_1_can_be_looked_at() {
    let parts = inspect(&std::fs::read(folder(FOLDERS[0]).join(FILES[2])).unwrap(), BLOCK);
    let lines: Vec<String> = parts.iter().map(ToString::to_string).collect();
    assert!(lines[0].starts_with("file: Shard journal, shard 0, slot 0 of 2, ordinal 1, incarnation 1"), "{lines:#?}");
    assert_eq!(parts.iter().filter(|part| matches!(part, Part::Entry(..))).count(), 5);
    assert!(lines.iter().any(|line| line.contains("closing, 0 entries")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("CORRUPT")), "{lines:#?}");
}

#[test]
fn a_file_id_is_not_taken_twice_by_the_disk() {
    let mut disk = write().restart(0);
    let open = |file| Step::Open { file, path: FILES[0].to_owned(), mode: OpenMode::READ };
    disk.run(open(FileId(1))).unwrap();
    let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| disk.run(open(FileId(1)))));
    assert!(twice.is_err());
}
