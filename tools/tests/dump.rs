//! `corelog dump` on files that are whole, and on the same files with something wrong in them.
#![allow(clippy::unwrap_used, reason = "in a test a panic is a failure with a place")]

use bytes::Bytes;
use corelog_shard::copies::Copy;
use corelog_shard::journal::format::{CommitHeader, FileHeader};
use corelog_shard::journal::{Durability, EntryHeader, EntryKind, JournalKind};
use corelog_shard::log::checkpoint::{self, Checkpoint, PartitionCheckpoint, SealedSegment};
use corelog_shard::log::index::{OffsetEntry, TimeEntry, encode_offsets, encode_times};
use corelog_shard::log::producer_snapshot::{self, ProducerEntry};
use corelog_wire::compression::Compression;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch};
use std::path::{Path, PathBuf};
use std::process::Command;

const DAMAGED: i32 = 65;

/// Dumps files; the exit status and what was said.
fn dump_with(options: &[&str], files: &[&Path]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_corelog")).arg("dump").args(options).args(files).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn sound(file: &Path, wanted: &str) -> String {
    let (status, said) = dump_with(&[], &[file]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(wanted) && !said.contains("CORRUPT"), "{said}");
    said
}

#[track_caller]
fn corrupt(file: &Path, position: usize, wanted: &str) {
    let (status, said) = dump_with(&[], &[file]);
    assert_eq!(status, DAMAGED, "{said}");
    let at = format!("CORRUPT at byte {position}: ");
    assert!(said.lines().any(|line| line.contains(&at) && line.contains(wanted)), "{said}");
}

fn batch(base_offset: i64, records: i32, compression: Compression, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new().base_offset(base_offset).leader_epoch(2).compression(compression, None);
    for index in 0..records {
        builder.append(&NewRecord {
            timestamp: timestamp + i64::from(index),
            key: Some(format!("key-{index}").as_bytes()),
            value: Some(b"some \"value\" \xff"),
            headers: &[(b"trace".as_slice(), None)],
        });
    }
    builder.build()
}

/// Four batches of ten records, and where each begins.
fn segment(base_offset: i64) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    for (index, compression) in
        [Compression::None, Compression::Zstd, Compression::Gzip, Compression::Lz4].into_iter().enumerate()
    {
        starts.push(bytes.len());
        bytes.extend(batch(base_offset + 10 * index as i64, 10, compression, 1_000 * (index as i64 + 1)));
    }
    (bytes, starts)
}

struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("topics/orders-0")).unwrap();
        std::fs::create_dir_all(root.path().join("shard-0")).unwrap();
        Self { root }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root.path().join(path);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn segment(&self, base_offset: i64, bytes: &[u8]) -> PathBuf {
        self.write(&format!("topics/orders-0/{base_offset:020}.log"), bytes)
    }

    /// A checkpoint that knows a sealed segment at 0 and flushes one at 40.
    fn checkpoint(&self, generation: u64, sealed_len: usize, position: usize, batches_end: usize) -> PathBuf {
        let sealed = SealedSegment {
            base_offset: 0,
            next_offset: 40,
            len: sealed_len as u64,
            max_timestamp_ms: 4_009,
            offset_of_max_timestamp: 39,
            created_ms: 1,
            first_timestamp_ms: -1,
            cleaned: 0,
        };
        let partition = PartitionCheckpoint {
            topic_id: [9; 16],
            topic: "orders".into(),
            index: 0,
            log_start: 0,
            has_folder: true,
            flushed_segment: 40,
            flushed_position: position as u64,
            flushed_offset: 60,
            flushed_offset_position: batches_end as u64,
            first_timestamp_ms: 1,
            max_timestamp_ms: 2,
            offset_of_max_timestamp: 3,
            created_ms: 4,
            sealed: vec![sealed],
            epochs: vec![(2, 0)],
            producers: Vec::new(),
            cleanings: 0,
            first_dirty: 0,
        };
        let content = Checkpoint { metadata_offset: 5, partitions: vec![partition] }.to_bytes();
        let copy = Copy { version: checkpoint::KIND.version, generation, first_ordinal: 7, incarnation: 3, content };
        let bytes = checkpoint::KIND.encode(&copy, 4096);
        self.write(&checkpoint::KIND.path("shard-0", generation), &bytes)
    }
}

#[test]
fn a_whole_segment_is_shown_batch_by_batch() {
    let folder = Folder::new();
    let (bytes, starts) = segment(0);
    let path = folder.segment(0, &bytes);
    let said = sound(&path, "4 batches, 40 records, offsets 0 to 39");
    assert!(said.contains(&format!("10..19 at {}, ", starts[1])), "{said}");
    assert!(said.contains("10 records, zstd, leader epoch 2, created 2000..2009"), "{said}");
    let (status, said) = dump_with(&["--records"], &[&path]);
    assert_eq!(status, 0);
    assert!(said.contains(r#"    39 4009 key "key-9" value "some \"value\" \xff" [trace=null]"#), "{said}");
    let (_, said) = dump_with(&["--summary"], &[&path]);
    assert!(!said.contains("10..19") && said.contains("4 batches"), "{said}");
}

#[test]
fn producer_snapshots_are_shown_and_checked() {
    let folder = Folder::new();
    let producer = |producer_id, last_offset| ProducerEntry {
        producer_id,
        producer_epoch: 3,
        last_sequence: 14,
        last_offset,
        offset_delta: 4,
        timestamp_ms: 1_000,
        coordinator_epoch: -1,
        transaction_first_offset: -1,
    };
    let write = |bytes: &[u8]| folder.write("topics/orders-0/00000000000000000040.snapshot", bytes);
    let whole = producer_snapshot::encode(&[producer(7, 19), producer(9, 39)]);
    let said = sound(&write(&whole), "2 producers");
    assert!(
        said.contains("  producer 7 epoch 3, last sequence 14, last offset 19 (delta 4), timestamp 1000"),
        "{said}"
    );
    corrupt(&write(&producer_snapshot::encode(&[producer(7, 19), producer(9, 40)])), 10 + 46, "behind the snapshot");
    corrupt(&write(&producer_snapshot::encode(&[producer(7, 19), producer(7, 20)])), 10 + 46, "cannot be there");
    let mut bad = whole.clone();
    bad[30] ^= 1;
    corrupt(&write(&bad), 2, "the CRC is");
    corrupt(&write(&whole[..4]), 4, "ends before");
    corrupt(&write(&[0, 2, 0, 0, 0, 0]), 0, "its version is 2");
}

#[test]
fn every_flipped_byte_of_a_segment_is_found() {
    let folder = Folder::new();
    let (bytes, starts) = segment(0);
    folder.checkpoint(1, bytes.len(), 0, 0);
    for at in [0, 8, 13, 16, 17, 21, 40, 61, 70] {
        let mut bad = bytes.clone();
        bad[starts[1] + at] ^= 0x10;
        let path = folder.segment(0, &bad);
        let (status, said) = dump_with(&[], &[&path]);
        // A leader epoch that is too large is seen only when the next batch goes back.
        let position = starts[if at == 13 { 2 } else { 1 }];
        assert_eq!(status, DAMAGED, "byte {at}: {said}");
        assert!(said.contains(&format!("CORRUPT at byte {position}: ")), "byte {at}: {said}");
    }
}

#[test]
fn a_sealed_segment_has_to_be_whole() {
    let folder = Folder::new();
    let (bytes, starts) = segment(0);
    folder.checkpoint(1, bytes.len(), 0, 0);
    sound(&folder.segment(0, &bytes), &format!("a sealed segment: the checkpoint says that all {} bytes", bytes.len()));
    corrupt(&folder.segment(0, &bytes[..bytes.len() - 1]), starts[3], "cut off");
    corrupt(&folder.segment(0, &bytes[..starts[3]]), starts[3], "the checkpoint says that this segment has");
    let mut longer = bytes.clone();
    longer.resize(bytes.len() + 100, 0);
    corrupt(&folder.segment(0, &longer), longer.len(), "the checkpoint says that this segment has");
}

#[test]
fn without_a_checkpoint_only_the_last_segment_may_be_unfinished() {
    let folder = Folder::new();
    let (bytes, starts) = segment(0);
    let mut reserved = bytes.clone();
    reserved.resize(64 << 10, 0);
    let path = folder.segment(0, &reserved);
    sound(&path, &format!("from byte {} on: {} reserved bytes, all zero", bytes.len(), reserved.len() - bytes.len()));
    // Cut in the middle of the third batch, where a block could end.
    let mut cut = bytes[..starts[2] + 40].to_vec();
    cut.resize(4096, 0);
    sound(&folder.segment(0, &cut), "what follows stands in the journal");
    folder.segment(40, &segment(40).0);
    let path = folder.segment(0, &reserved);
    corrupt(&path, bytes.len(), "nothing behind it can be read");
}

#[test]
fn the_flushed_position_is_where_a_segment_may_end() {
    let folder = Folder::new();
    let (bytes, starts) = segment(40);
    folder.checkpoint(1, 1, starts[2] + 10, starts[2]);
    let mut stale = bytes.clone();
    stale[starts[2] + 30..].fill(0x55);
    let path = folder.segment(40, &stale);
    sound(&path, &format!("from byte {} on nothing counts here", starts[2]));
    stale[starts[1] + 70] ^= 1;
    corrupt(&folder.segment(40, &stale), starts[1], "the CRC is");
    corrupt(&folder.segment(40, &bytes[..starts[2]]), starts[2], "the checkpoint relies on the bytes below");
    sound(&folder.segment(80, &[0x77; 700]), "the checkpoint relies on nothing in it");
    // The newer checkpoint counts.
    folder.checkpoint(2, 1, 0, 0);
    sound(&folder.segment(40, &stale), "relies on the bytes below 0");
}

#[test]
fn indexes_are_checked_against_their_segment() {
    let folder = Folder::new();
    let (bytes, starts) = segment(40);
    folder.segment(40, &bytes);
    let offsets = |shift: u32| {
        let entry = |index: u32| OffsetEntry {
            relative_offset: 10 * index + 9,
            position: starts[index as usize] as u32 + if index == 2 { shift } else { 0 },
        };
        encode_offsets(&[entry(1), entry(2), entry(3)])
    };
    let index = "topics/orders-0/00000000000000000040.index";
    let mut reserved = offsets(0);
    reserved.resize(80, 0);
    let said = sound(&folder.write(index, &reserved), "3 entries");
    assert!(
        said.contains(&format!("offset 59 at position {}", starts[1])) && said.contains("from byte 24 on"),
        "{said}"
    );
    corrupt(&folder.write(index, &offsets(1)), 8, "no batch of the segment begins at position");
    corrupt(&folder.write(index, &offsets(0)[..20]), 16, "the last entry has 4 of 8 bytes");
    let mut unordered = offsets(0);
    unordered.rotate_left(8);
    corrupt(&folder.write(index, &unordered), 16, "does not follow the entry before");

    let times = |timestamp: i64| {
        encode_times(&[
            TimeEntry { timestamp_ms: 2_009, relative_offset: 19 },
            TimeEntry { timestamp_ms: timestamp, relative_offset: 39 },
        ])
    };
    let timeindex = "topics/orders-0/00000000000000000040.timeindex";
    sound(&folder.write(timeindex, &times(4_009)), "timestamp 4009 at offset 79");
    corrupt(&folder.write(timeindex, &times(4_010)), 12, "the batch with offset 79 has timestamp 4009, not 4010");
    corrupt(&folder.write(timeindex, &times(2_000)), 12, "does not follow the entry before");
}

#[test]
fn kafkas_text_files_are_checked() {
    let folder = Folder::new();
    let epochs = |text: &str| folder.write("topics/orders-0/leader-epoch-checkpoint", text.as_bytes());
    sound(&epochs("0\n2\n1 0\n4 50\n"), "leader epoch 4 from offset 50");
    corrupt(&epochs("0\n2\n1 0\n4 x\n"), 8, "\"4 x\" is not a leader epoch and an offset");
    corrupt(&epochs("0\n2\n4 0\n1 50\n"), 8, "does not follow the line before");
    corrupt(&epochs("0\n3\n1 0\n4 50\n"), 13, "it announces 3 leader epochs and holds 2");
    corrupt(&epochs("7\n0\n"), 0, "its version is 7");
    corrupt(&epochs(""), 0, "\"\" is not the version");
    let metadata = |text: &[u8]| folder.write("topics/orders-0/partition.metadata", text);
    sound(&metadata(b"version: 0\ntopic_id: CQkJCQkJCQkJCQkJCQkJCQ\n"), "topic id CQkJCQkJCQkJCQkJCQkJCQ");
    corrupt(&metadata(b"version: 0\ntopic_id: nonsense\n"), 11, "\"nonsense\" is not an identifier");
    corrupt(&metadata(b"version: 0\n"), 11, "the line with the topic id is missing");
    corrupt(&metadata(b"version: 0\n\xff\xff"), 11, "it is not text");
}

#[test]
fn checkpoints_are_shown_and_damage_in_them_is_found() {
    let folder = Folder::new();
    let path = folder.checkpoint(4, 3000, 8192, 8000);
    let said = sound(&path, "generation 4, written by incarnation 3");
    assert!(said.contains("orders-0 (topic id CQkJCQkJCQkJCQkJCQkJCQ): log start 0, flushed to offset 60"), "{said}");
    assert!(said.contains("sealed segment 0: 3000 bytes, offsets to 39"), "{said}");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    corrupt(&folder.write("shard-0/checkpoint-a", &bytes), 0, "its checksum does not fit its content");
    sound(&folder.write("shard-0/checkpoint-b", &[0; 4096]), "empty: never written");
}

const BLOCK: usize = 4096;
const FILE_LEN: usize = 16 * BLOCK;

/// A journal file with three commits of one batch each; where each begins.
fn journal(durable_sequence_of_the_last: u64) -> (Vec<u8>, Vec<usize>) {
    let header = FileHeader {
        kind: JournalKind::Shard,
        slot: 0,
        ordinal: 3,
        incarnation: 2,
        first_sequence: 50,
        predecessor: 7,
        block: BLOCK as u32,
        previous_end: 40,
        file_len: FILE_LEN as u64,
        durable_sequence: 49,
        first_needed: 1,
        shard: 0,
        slots: 3,
        directory: 11,
    };
    let mut file = header.encode().to_vec();
    let mut predecessor = 7;
    let mut starts = Vec::new();
    for sequence in 50..53 {
        file.resize(file.len().next_multiple_of(BLOCK), 0);
        starts.push(file.len());
        let payload = batch(10 * (sequence as i64 - 50), 10, Compression::None, 1_000);
        let (view, _) = RecordBatch::split_from(&payload).unwrap();
        let entry = EntryHeader {
            kind: EntryKind::Records,
            level: Durability::Fsync,
            payload_len: payload.len() as u32,
            payload_crc: view.crc(),
            sequence,
            incarnation: 2,
            topic_id: [9; 16],
            partition: 0,
            leader_epoch: 2,
            base_offset: view.base_offset(),
            last_offset: view.last_offset(),
            segment_base_offset: 0,
        };
        let entry = entry.encode();
        let commit = CommitHeader {
            flags: 0,
            entries: 1,
            ordinal: 3,
            incarnation: 2,
            sequence,
            durable_sequence: if sequence == 52 { durable_sequence_of_the_last } else { 49 },
            metadata_offset: 1,
            predecessor,
            body_len: (entry.len() + payload.len()) as u64,
            copy_generation: 0,
            slots: 1,
            entry_headers_crc: crc32c::crc32c(&entry),
            directory: 11,
        };
        let (commit, crc) = commit.encode();
        predecessor = crc;
        file.extend(commit);
        file.extend(entry);
        file.extend(payload);
    }
    file.resize(FILE_LEN, 0);
    (file, starts)
}

#[test]
fn a_whole_journal_file_is_shown() {
    let folder = Folder::new();
    let (bytes, starts) = journal(51);
    let path = folder.write("shard-0/journal-0000", &bytes);
    let said = sound(&path, "3 commits with 3 entries");
    assert!(said.contains(&format!("{}: commit 52 of incarnation 2", starts[2])), "{said}");
    let (status, said) = dump_with(&["--records"], &[&path]);
    assert_eq!(status, 0);
    assert!(said.contains(r#"    29 1009 key "key-9""#), "{said}");
    sound(&folder.write("shard-0/journal-0001", &vec![0; FILE_LEN]), "0 commits");
}

#[test]
fn a_broken_commit_is_damage_only_below_a_mark() {
    let folder = Folder::new();
    // The second commit is broken, and the third knew that the second was durable.
    let (mut bytes, starts) = journal(51);
    bytes[starts[1] + 200] ^= 1;
    let path = folder.write("shard-0/journal-0000", &bytes);
    let (status, said) = dump_with(&[], &[&path]);
    assert_eq!(status, DAMAGED, "{said}");
    assert!(said.contains("commits up to 51 were known durable"), "{said}");
    // The checkpoint needs the journal from ordinal 7 on, and this is 3.
    let checkpoint = folder.checkpoint(1, 0, 0, 0);
    sound(&path, "nothing in this file is needed");
    std::fs::remove_file(checkpoint).unwrap();

    // Nothing knew it: the torn end of a crash.
    let (mut bytes, starts) = journal(49);
    bytes[starts[2] + 200] ^= 1;
    let path = folder.write("shard-0/journal-0000", &bytes);
    sound(&path, "a torn end, as a crash leaves it");

    // The next incarnation went on behind commit 52, says its file.
    let next = FileHeader {
        kind: JournalKind::Shard,
        slot: 1,
        ordinal: 4,
        incarnation: 3,
        first_sequence: 53,
        predecessor: 1,
        block: BLOCK as u32,
        previous_end: 52,
        file_len: FILE_LEN as u64,
        durable_sequence: 49,
        first_needed: 1,
        shard: 0,
        slots: 3,
        directory: 11,
    };
    let mut other = next.encode().to_vec();
    other.resize(FILE_LEN, 0);
    folder.write("shard-0/journal-0001", &other);
    let (status, said) = dump_with(&["--summary"], &[&path]);
    assert_eq!(status, DAMAGED, "{said}");
    assert!(said.contains("commits up to 52 were known durable"), "{said}");
}

#[test]
fn several_files_are_shown_whatever_is_wrong_with_one() {
    let folder = Folder::new();
    let (bytes, _) = segment(0);
    let good = folder.segment(0, &bytes);
    let bad = folder.write("topics/orders-0/leader-epoch-checkpoint", b"9\n");
    let missing = folder.root.path().join("missing.log");
    let (status, said) = dump_with(&["--summary"], &[&bad, &missing, &good]);
    assert_eq!(status, DAMAGED);
    assert!(said.contains("its version is 9") && said.contains("4 batches, 40 records"), "{said}");
    let (status, _) = dump_with(&[], &[&good, &missing]);
    assert_eq!(status, 1);
    let empty = folder.write("shard-0/superblock-a", &Bytes::from(vec![0; 4096]));
    corrupt(&empty, 0, "magic number or checksum");
}

#[test]
fn no_bytes_make_it_panic() {
    let folder = Folder::new();
    folder.checkpoint(1, 700, 300, 200);
    let checkpoint = std::fs::read(folder.root.path().join("shard-0/checkpoint-b")).unwrap();
    let (records, _) = segment(40);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for round in 0..40 {
        let mut mutated = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            for _ in 0..=round % 4 {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            bytes.truncate(if round % 3 == 0 { next(bytes.len()) } else { bytes.len() });
            bytes
        };
        let files = [
            folder.segment(40, &mutated(&records)),
            folder.write("topics/orders-0/00000000000000000040.index", &mutated(&[7; 80])),
            folder.write("topics/orders-0/00000000000000000040.timeindex", &mutated(&[7; 84])),
            folder.write("topics/orders-0/leader-epoch-checkpoint", &mutated(b"0\n2\n1 0\n4 50\n")),
            folder.write(
                "topics/orders-0/partition.metadata",
                &mutated(b"version: 0\ntopic_id: CQkJCQkJCQkJCQkJCQkJCQ\n"),
            ),
            folder.write("shard-0/journal-0000", &mutated(&journal(51).0)),
            folder.write("shard-0/checkpoint-b", &mutated(&checkpoint)),
            folder.write("shard-0/superblock-a", &mutated(&[7; 4096])),
        ];
        let (status, said) = dump_with(&["--records"], &files.each_ref().map(PathBuf::as_path));
        assert!(status == 0 || status == DAMAGED, "round {round}, status {status}: {said}");
    }
}
