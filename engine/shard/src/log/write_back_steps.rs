//! The steps that bring a partition's bytes, indexes and small files to the disk, in the order in which they count.

use super::index::SegmentIndex;
use super::index_files::{self, NewEntries};
use super::partition::{Partition, WriteBackPlan};
use super::producer_snapshot::{self, ProducerEntry};
use super::segment;
use super::write_back::TOPICS;
use crate::ids::Ids;
use crate::io::{OpenMode, Step};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::buffer::AlignedBuf;

/// The steps that make a plan durable. With `indexed`, so many of the segment's index entries go to its files; they are all
/// when the segment is sealed. With `allocate` the file gets so much space.
pub(super) fn write_back_steps(
    p: &Partition,
    plan: &WriteBackPlan,
    indexed: Option<(usize, usize)>,
    allocate: Option<u64>,
    ids: &mut Ids,
) -> Vec<Step> {
    let folder = segment::folder(&p.topic, p.index);
    let mut steps = Vec::with_capacity(12);
    if !p.has_folder {
        create_folder(p, &folder, ids, &mut steps);
    }
    let file = ids.file();
    steps.push(Step::Open { file, path: segment::file(&folder, plan.segment, "log"), mode: OpenMode::WRITE });
    if plan.from == 0 {
        steps.push(Step::SyncDir { path: folder.clone() });
    }
    steps.extend(allocate.map(|len| Step::Allocate { file, len }));
    let mut data = Vec::new();
    if plan.to > plan.from {
        p.tail.slices(plan.segment, plan.from, plan.to, &mut data);
        steps.push(Step::Write { file, offset: plan.from, data, durable: false });
    }
    steps.extend(plan.seal.map(|len| Step::SetLen { file, len }));
    steps.push(Step::Sync { file });
    steps.push(Step::Close { file });
    if let Some(count) = indexed {
        let current = &p.segments[p.segment_of(plan.segment)];
        let new = NewEntries { index: &current.index, count, behind: current.index_written };
        index_files::writes(&folder, current.base_offset, new, plan.seal.is_some(), ids, &mut steps);
    }
    if plan.seal.is_some() {
        let epochs = p.epochs.to_checkpoint_file(plan.after.offset);
        small_file(format!("{folder}/leader-epoch-checkpoint"), epochs.into_bytes(), ids, &mut steps);
        let producers = producer_snapshot::producers_at(p, plan.after.offset);
        producer_file(&folder, plan.after.offset, &producers, ids, &mut steps);
        steps.push(Step::SyncDir { path: folder });
    }
    steps
}

/// A plan is durable, and so many index entries are in their files.
pub(super) fn note_written_back(p: &mut Partition, plan: &WriteBackPlan, indexed: (usize, usize)) {
    p.has_folder = true;
    p.written_back(plan.after);
    let at = p.segment_of(plan.segment);
    let segment = &mut p.segments[at];
    segment.index.forget_first(indexed.0, indexed.1);
    segment.index_written = (segment.index_written.0 + indexed.0, segment.index_written.1 + indexed.1);
    if plan.seal.is_some() {
        assert!(segment.index.memory() == 0, "the whole index of a sealed segment is in its files");
        segment.index = SegmentIndex::default();
        segment.index_loaded = false;
    }
}

/// The index files of a segment were read, as far as there are any.
pub(super) fn note_index(p: &mut Partition, base_offset: i64, files: &[Bytes]) {
    let valid_len = if p.flushed.segment == base_offset { p.flushed.offset_position } else { u64::MAX };
    let at = p.segment_of(base_offset);
    let segment = &mut p.segments[at];
    let empty = Bytes::new();
    let (offsets, times) = (files.first().unwrap_or(&empty), files.get(1).unwrap_or(&empty));
    segment.index_written = segment.index.follow(&SegmentIndex::decode(offsets, times, valid_len));
    segment.index_loaded = true;
}

/// The steps of a clean stop: the last block of the active segment, its files cut to length, and what Kafka's tools read.
pub(super) fn settle_steps(p: &Partition, folder: &str, block: usize, ids: &mut Ids) -> Vec<Step> {
    let mut steps = Vec::new();
    if !p.has_folder {
        create_folder(p, folder, ids, &mut steps);
    }
    let active = p.active();
    assert!(active.base_offset == p.flushed.segment, "the last pass sealed every complete segment");
    let file = ids.file();
    steps.push(Step::Open { file, path: segment::file(folder, active.base_offset, "log"), mode: OpenMode::WRITE });
    let from = p.flushed.position;
    if active.len > from {
        let mut pieces = Vec::new();
        p.tail.slices(active.base_offset, from, active.len, &mut pieces);
        let len = (active.len - from) as usize;
        let mut data = AlignedBuf::with_capacity(len.next_multiple_of(block));
        pieces.iter().for_each(|piece| data.extend_from_slice(piece));
        data.pad_with_zeros_to(len.next_multiple_of(block));
        steps.push(Step::Write { file, offset: from, data: vec![data.freeze()], durable: false });
    }
    steps.push(Step::SetLen { file, len: active.len });
    steps.push(Step::Sync { file });
    steps.push(Step::Close { file });
    let count = (active.index.offsets_from(0).len(), active.index.times_from(0).len());
    let new = NewEntries { index: &active.index, count, behind: active.index_written };
    index_files::writes(folder, active.base_offset, new, true, ids, &mut steps);
    let epochs = p.epochs.to_checkpoint_file(p.log_end);
    small_file(format!("{folder}/leader-epoch-checkpoint"), epochs.into_bytes(), ids, &mut steps);
    producer_file(folder, p.log_end, &producer_snapshot::producers_at_end(p), ids, &mut steps);
    steps.push(Step::SyncDir { path: String::from(folder) });
    steps
}

fn create_folder(p: &Partition, folder: &str, ids: &mut Ids, steps: &mut Vec<Step>) {
    steps.push(Step::CreateDir { path: String::from(folder) });
    steps.push(Step::SyncDir { path: String::from(TOPICS) });
    let text = format!("version: 0\ntopic_id: {}\n", p.topic_id);
    small_file(format!("{folder}/partition.metadata"), text.into_bytes(), ids, steps);
}

fn small_file(path: String, content: Vec<u8>, ids: &mut Ids, steps: &mut Vec<Step>) {
    let file = ids.file();
    let len = content.len() as u64;
    steps.push(Step::Open { file, path, mode: OpenMode::BUFFERED });
    steps.push(Step::SetLen { file, len });
    steps.push(Step::Write { file, offset: 0, data: vec![Bytes::from(content)], durable: false });
    steps.push(Step::Sync { file });
    steps.push(Step::Close { file });
}

/// A snapshot of the producers at an offset. Nothing for none, which is what no file means.
fn producer_file(folder: &str, offset: i64, producers: &[ProducerEntry], ids: &mut Ids, steps: &mut Vec<Step>) {
    if !producers.is_empty() {
        small_file(segment::file(folder, offset, "snapshot"), producer_snapshot::encode(producers), ids, steps);
    }
}
