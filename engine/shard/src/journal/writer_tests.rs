//! The writer's order of things, completion by completion, without a disk.

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::format::{CommitHeader, Durability, EntryKind, FLAG_CLOSING, FileHeader, JournalKind};
use super::inspect::{Part, inspect};
use super::ring::{Ring, Slot};
use super::writer::{Journal, NewEntry, Origin};
use super::{COMMIT_BYTES_MAX, Geometry, UNSYNCED_COMMITS_MAX, UNWRITTEN_BYTES_MAX};
use crate::ids::Ids;
use crate::io::{Action, EIO, FileId, IoError, OpId, Step};

const BLOCK: usize = 4096;

struct Bench {
    journal: Journal,
    ids: Ids,
    /// What was asked for and has not completed.
    asked: Vec<(OpId, Vec<Step>)>,
}

impl Bench {
    /// A journal over `files` prepared files of `blocks` blocks that does not grow.
    fn new(files: usize, blocks: u64) -> Self {
        let mut ids = Ids::new();
        let slots: Vec<Slot> = (0..files).map(|_| Slot::Ready(ids.file())).collect();
        let geometry = Geometry {
            block: BLOCK,
            file_len: blocks * BLOCK as u64,
            files_max: files,
            depth: 4,
            gather_bytes: 0,
            kind: JournalKind::Shard,
            shard: 0,
            directory: 42,
            dir: "shard-0".to_string(),
        };
        let ring = Ring::new(geometry.clone(), slots, VecDeque::new(), 1);
        let origin =
            Origin { incarnation: 1, end: 0, end_crc: 0, end_ordinal: 0, marked: 0, next_ordinal: 1, files: 0 };
        Self { journal: Journal::new(geometry, ring, origin), ids, asked: Vec::new() }
    }

    /// Appends an entry and ends the turn; returns its sequence.
    fn turn(&mut self, level: Durability, len: usize) -> u64 {
        let sequence = self.append(level, len);
        self.cut();
        sequence
    }

    fn append(&mut self, level: Durability, len: usize) -> u64 {
        let payload = vec![7; len];
        let entry = NewEntry {
            kind: EntryKind::RaftEntries,
            level,
            topic_id: [0; 16],
            partition: 0,
            leader_epoch: 0,
            base_offset: 0,
            last_offset: 0,
            segment_base_offset: 0,
            payload_crc: crc32c::crc32c(&payload),
        };
        self.journal.append(entry, &[&payload]).sequence
    }

    fn cut(&mut self) {
        let mut actions = Vec::new();
        self.journal.cut(0, 0, &mut self.ids, &mut actions);
        self.take(actions);
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            let Action::Io { op, steps } = action else { panic!("the journal asked for {action:?}") };
            self.asked.push((op, steps));
        }
    }

    /// Completes the `index`th of what was asked for.
    fn complete(&mut self, index: usize) {
        let (op, _) = self.asked.remove(index);
        let mut actions = Vec::new();
        assert_eq!(self.journal.completed(op, &Ok(Vec::new()), &mut self.ids, &mut actions), Ok(true));
        self.take(actions);
    }

    fn complete_all(&mut self) {
        while !self.asked.is_empty() {
            self.complete(0);
        }
    }

    fn write(&self, index: usize) -> (FileId, u64, &Bytes, bool) {
        match &self.asked[index].1[..] {
            [Step::Write { file, offset, data, durable }] => (*file, *offset, &data[0], *durable),
            other => panic!("not a write: {other:?}"),
        }
    }

    fn synced(&self, index: usize) -> Vec<FileId> {
        let file = |step: &Step| match step {
            Step::Sync { file } => *file,
            other => panic!("not a sync: {other:?}"),
        };
        self.asked[index].1.iter().map(file).collect()
    }

    fn prefixes(&self) -> (u64, u64) {
        (self.journal.written_sequence(), self.journal.durable_sequence())
    }
}

#[test]
fn the_prefix_moves_only_without_gaps() {
    let mut bench = Bench::new(3, 16);
    for sequence in 1..=3 {
        assert_eq!(bench.turn(Durability::Fsync, 10), sequence);
    }
    assert!((0..3).all(|index| bench.write(index).3), "each is written durably");
    bench.complete(2);
    bench.complete(1);
    assert_eq!(bench.prefixes(), (0, 0));
    bench.complete(0);
    assert_eq!(bench.prefixes(), (3, 3));
    assert!(bench.asked.is_empty(), "nothing had to be synced");
}

#[test]
fn lower_levels_are_written_without_a_flush() {
    let mut bench = Bench::new(3, 16);
    bench.turn(Durability::Write, 10);
    bench.turn(Durability::Memory, 10);
    assert!(!bench.write(0).3 && !bench.write(1).3);
    bench.complete_all();
    assert_eq!(bench.prefixes(), (2, 0));
    assert!(bench.journal.reached(2, Durability::Write) && !bench.journal.reached(1, Durability::Fsync));
    assert!(bench.journal.reached(3, Durability::Memory));
}

#[test]
fn a_durable_write_waits_for_a_sync_of_what_came_before_it() {
    let mut bench = Bench::new(3, 16);
    bench.turn(Durability::Write, 10);
    bench.turn(Durability::Fsync, 10);
    bench.turn(Durability::Write, 10);
    bench.complete(1);
    assert_eq!((bench.prefixes(), bench.asked.len()), ((0, 0), 2), "the first is still on its way");
    bench.complete(0);
    assert_eq!((bench.prefixes(), bench.synced(1)), ((2, 0), vec![FileId(1)]));
    // The third completes behind the sync's back and is not covered by it.
    bench.complete(0);
    bench.complete(0);
    assert_eq!(bench.prefixes(), (3, 2));
    assert!(bench.asked.is_empty(), "nobody waits for the third");
    let mut actions = Vec::new();
    assert_eq!(bench.journal.request_sync(&mut bench.ids, &mut actions), 3);
    bench.take(actions);
    bench.complete(0);
    assert_eq!(bench.prefixes(), (3, 3));
}

#[test]
fn a_sync_covers_every_file_concerned() {
    let mut bench = Bench::new(4, 4);
    bench.turn(Durability::Write, 6000);
    bench.turn(Durability::Write, 6000);
    bench.turn(Durability::Fsync, 6000);
    assert_eq!(bench.write(1).0, FileId(2));
    bench.complete_writes();
    assert_eq!(bench.synced(0), [FileId(1), FileId(2)]);
    bench.complete(0);
    assert_eq!(bench.prefixes(), (3, 3));
}

impl Bench {
    fn complete_writes(&mut self) {
        while let Some(index) = self.asked.iter().position(|(_, steps)| matches!(steps[0], Step::Write { .. })) {
            self.complete(index);
        }
    }
}

#[test]
fn a_request_makes_what_is_gathered_durable() {
    let mut bench = Bench::new(3, 16);
    bench.append(Durability::Memory, 10);
    let mut actions = Vec::new();
    assert_eq!(bench.journal.request_sync(&mut bench.ids, &mut actions), 1);
    assert!(actions.is_empty());
    bench.cut();
    assert!(bench.write(0).3);
    bench.complete(0);
    assert_eq!(bench.prefixes(), (1, 1));
}

#[test]
fn what_nobody_waits_for_is_synced_in_the_end() {
    let mut bench = Bench::new(3, 4096);
    for _ in 0..UNSYNCED_COMMITS_MAX {
        bench.turn(Durability::Write, 1);
        bench.complete(0);
    }
    assert_eq!(bench.asked.len(), 1);
    bench.complete(0);
    assert_eq!(bench.journal.durable_sequence(), UNSYNCED_COMMITS_MAX as u64);
}

#[test]
fn entries_gather_while_enough_is_in_flight() {
    let mut bench = Bench::new(3, 1024);
    for _ in 0..4 {
        bench.turn(Durability::Fsync, 10);
    }
    assert_eq!((0..5).map(|_| bench.turn(Durability::Fsync, 10)).collect::<Vec<_>>(), [5; 5]);
    assert_eq!(bench.asked.len(), 4);
    bench.complete(0);
    assert_eq!(bench.asked.len(), 3, "nothing goes out between turns");
    bench.cut();
    let (header, _) = CommitHeader::decode(bench.write(3).2).unwrap();
    assert_eq!((header.sequence, header.entries, header.durable_sequence), (5, 5, 1));
}

#[test]
fn a_commit_gathers_no_more_than_its_bound() {
    let mut bench = Bench::new(3, 4096);
    let third = COMMIT_BYTES_MAX / 3;
    let sequences: Vec<u64> = (0..5).map(|_| bench.append(Durability::Fsync, third)).collect();
    assert_eq!(sequences, [1, 1, 2, 2, 3]);
    assert_eq!(bench.append(Durability::Fsync, 3 * COMMIT_BYTES_MAX), 4);
    assert_eq!(bench.append(Durability::Fsync, 1), 5);
    bench.cut();
    assert_eq!(bench.asked.len(), 4);
    bench.complete_all();
    bench.cut();
    bench.complete_all();
    assert_eq!(bench.prefixes(), (5, 5));
}

#[test]
fn too_much_that_is_unwritten_holds_producers_back() {
    let mut bench = Bench::new(3, 8192);
    assert!(bench.journal.has_room(UNWRITTEN_BYTES_MAX), "a single large one passes");
    while bench.journal.has_room(1 << 20) {
        bench.append(Durability::Memory, 1 << 20);
    }
    assert!(bench.journal.has_reserve(1 << 20));
    bench.cut();
    bench.complete_all();
    assert!(bench.journal.has_room(1 << 20));
}

#[test]
fn the_first_commit_brings_the_file_header() {
    let mut bench = Bench::new(3, 8);
    bench.turn(Durability::Fsync, 13_000);
    bench.turn(Durability::Fsync, 13_000);
    let (file, offset, bytes, _) = bench.write(1);
    assert_eq!((file, offset), (FileId(2), 0));
    let header = FileHeader::decode(bytes).unwrap();
    assert_eq!((header.slot, header.ordinal, header.first_sequence, header.slots), (1, 2, 2, 3));
    let (commit, _) = CommitHeader::decode(&bytes[BLOCK..]).unwrap();
    let (_, first) = CommitHeader::decode(&bench.write(0).2[BLOCK..]).unwrap();
    assert_eq!((commit.predecessor, header.predecessor, commit.ordinal), (first, first, 2));
}

#[test]
fn producers_leave_a_file_for_the_journal_itself() {
    let mut bench = Bench::new(3, 8);
    let len = 4 * BLOCK;
    bench.turn(Durability::Fsync, len);
    bench.turn(Durability::Fsync, len);
    assert!(!bench.journal.has_room(len) && bench.journal.has_reserve(len));
    assert!(bench.journal.has_room(BLOCK / 2), "the rest of the file may be used");
    bench.complete_all();
    bench.turn(Durability::Fsync, len);
    assert!(!bench.journal.has_room(1) && !bench.journal.has_reserve(len));
    assert_eq!(bench.journal.files_in_use(), 3);

    // What is released is free once a later file holds something durable.
    bench.journal.release(3);
    assert_eq!((bench.journal.oldest_ordinal(), bench.journal.files_free()), (Some(2), 1));
    bench.complete_all();
    assert_eq!((bench.journal.oldest_ordinal(), bench.journal.files_free()), (Some(3), 2));
    assert!(bench.journal.has_room(len));
    assert_eq!(bench.journal.bytes_in_use(), 5 * BLOCK as u64);

    // Even the newest file can be given up: the next commit starts another one.
    bench.journal.end_file();
    bench.journal.release(4);
    bench.turn(Durability::Fsync, 10);
    assert_eq!(bench.journal.files_in_use(), 2);
    bench.complete_all();
    assert_eq!((bench.journal.oldest_ordinal(), bench.journal.newest_ordinal()), (Some(4), Some(4)));
}

#[test]
fn an_idle_journal_is_closed_once() {
    let mut bench = Bench::new(3, 4);
    assert_eq!(bench.journal.next_deadline_us(), None, "there is nothing to mark");
    bench.turn(Durability::Fsync, 10);
    assert_eq!(bench.journal.next_deadline_us(), None, "it is not idle");
    bench.complete(0);
    let deadline = bench.journal.next_deadline_us().unwrap();
    let mut actions = Vec::new();
    bench.journal.close_if_idle(deadline - 1, 9, &mut bench.ids, &mut actions);
    assert!(actions.is_empty());
    bench.journal.close_if_idle(deadline, 9, &mut bench.ids, &mut actions);
    bench.take(actions);
    let (_, offset, bytes, durable) = bench.write(0);
    let (header, _) = CommitHeader::decode(bytes).unwrap();
    assert!(durable && offset == 2 * BLOCK as u64 && header.flags == FLAG_CLOSING && header.entries == 0);
    assert_eq!((header.durable_sequence, header.metadata_offset), (1, 9));
    bench.complete(0);
    assert_eq!(bench.journal.next_deadline_us(), None);

    // The last block of a file is for closing it, and there is always one.
    bench.turn(Durability::Fsync, 10);
    assert_eq!(bench.journal.newest_ordinal(), Some(2));
    bench.complete_all();
}

#[test]
fn the_memory_of_commits_is_used_again() {
    let mut bench = Bench::new(3, 1024);
    bench.turn(Durability::Fsync, 10);
    bench.complete(0);
    let mut addresses = Vec::new();
    for _ in 0..10 {
        bench.turn(Durability::Fsync, 10);
        addresses.push(bench.write(0).2.as_ptr());
        bench.complete(0);
    }
    assert!(addresses.iter().all(|address| *address == addresses[0]));

    // Not while somebody holds it.
    bench.turn(Durability::Fsync, 10);
    let held = bench.write(0).2.clone();
    bench.complete(0);
    bench.turn(Durability::Fsync, 10);
    assert_ne!(bench.write(0).2.as_ptr(), held.as_ptr());
}

#[test]
fn an_error_is_final() {
    let mut bench = Bench::new(3, 16);
    bench.turn(Durability::Fsync, 10);
    bench.turn(Durability::Fsync, 10);
    let error = IoError { step: 0, errno: EIO, what: "write".to_string() };
    let (op, _) = bench.asked.remove(1);
    let mut actions = Vec::new();
    let failure = bench.journal.completed(op, &Err(error), &mut bench.ids, &mut actions).unwrap_err();
    assert_eq!((failure.path.as_str(), failure.error.errno), ("shard-0/journal-0000", EIO));
    bench.complete(0);
    assert_eq!(bench.prefixes(), (0, 0), "not even what completes afterwards counts");
    assert!(!bench.journal.has_room(1) && !bench.journal.has_reserve(1));
    bench.turn(Durability::Fsync, 10);
    assert!(bench.asked.is_empty());
}

#[test]
fn operations_of_others_are_left_to_them() {
    let mut bench = Bench::new(3, 16);
    bench.turn(Durability::Fsync, 10);
    let foreign = bench.ids.op();
    assert_eq!(bench.journal.completed(foreign, &Ok(Vec::new()), &mut bench.ids, &mut Vec::new()), Ok(false));
    assert_eq!(bench.prefixes(), (0, 0));
}

#[test]
fn a_file_can_be_looked_at() {
    let mut bench = Bench::new(3, 8);
    bench.append(Durability::Fsync, 100);
    bench.turn(Durability::Write, 5000);
    bench.turn(Durability::Fsync, 10);
    let mut file = vec![0; 8 * BLOCK];
    for index in 0..2 {
        let (_, offset, bytes, _) = bench.write(index);
        file[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    let short = |parts: &[Part]| {
        let name = |part: &Part| match part {
            Part::File(header) => alloc::format!("file {}", header.ordinal),
            Part::Commit(at, header) => alloc::format!("{at}: commit {}", header.sequence),
            Part::Entry(at, header) => alloc::format!("{at}: entry {}", header.payload_len),
            other => other.to_string(),
        };
        parts.iter().map(name).collect::<Vec<_>>()
    };
    let intact = [
        "file 1",
        "4096: commit 1",
        "4184: entry 100",
        "4376: entry 5000",
        "12288: commit 2",
        "12376: entry 10",
        "16384 to 32768: blank",
    ];
    assert_eq!(short(&inspect(&file, BLOCK)), intact);

    file[5000] ^= 1;
    let parts = short(&inspect(&file, BLOCK));
    assert_eq!(parts[4], "4464 to 9464: CORRUPT: the payload does not match its checksum");
    assert_eq!(parts.len(), intact.len() + 1);
    file[4100] ^= 1;
    let parts = short(&inspect(&file, BLOCK));
    assert_eq!(parts[1], "4096 to 8192: CORRUPT: a commit header: the checksum does not match");
    assert!(parts[3].starts_with("12288: behind the break: commit 2 of incarnation 1, 1 entries"), "{parts:?}");
    file[0] = 0;
    assert_eq!(short(&inspect(&file, BLOCK))[0], "0 to 4096: CORRUPT: there is no file header");
    assert_eq!(inspect(&[0; 100], BLOCK), [Part::Blank(0..100)]);
    assert!(inspect(&[], BLOCK).iter().all(|part| matches!(part, Part::Blank(_))));
}
