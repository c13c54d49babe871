//! Looks through what was read of a segment for what a read is after.
//!
//! Invariants: a batch that is served is whole, belongs to its place and has the right checksum; a search that an index led
//! too far begins again from the beginning of the segment; what is damaged is named with its file and position.

use super::super::partition::Partition;
use super::super::timestamps::{DECOMPRESSED_BYTES_MAX, later};
use super::super::{FoundOffset, segment};
use super::{Job, Purpose, Stage, on_disk_len, wanted_len};
use alloc::format;
use alloc::string::String;
use bytes::Bytes;
use corelog_wire::record_batch::{self, MalformedBatch, RecordBatch};

/// Where a search goes on, or what it found.
pub(super) enum Next {
    At { position: u64, len: u64, expected: Option<i64> },
    FromTheBeginning,
    Batches(Bytes, usize, i64),
    Found(FoundOffset),
    Exhausted,
    Damaged(String),
}

/// Looks through what was read: `data` begins at the block of the stage's position. What a search for the latest record
/// has found so far is kept in its job.
pub(super) fn advance(p: &Partition, job: &mut Job, data: &Bytes, block: usize) -> Next {
    let Stage::Data { position, len: asked, trusted } = job.stage else {
        unreachable!("the caller handles the other stages")
    };
    let end = on_disk_len(p, job.segment);
    let skip = (position % block as u64) as usize;
    let readable = ((end - position.min(end)) as usize).min(data.len().saturating_sub(skip));
    let bytes = &data[skip.min(data.len())..][..readable];
    let mut at = 0_usize;
    let mut expected = job.expected;
    let mut taken: Option<(usize, usize, i64)> = None;
    // Where the last batch stands that was passed over.
    let mut passed: Option<usize> = None;
    loop {
        let left = &bytes[at..];
        if position + at as u64 >= end {
            break;
        }
        let batch = match RecordBatch::split_from(left) {
            Ok((batch, _)) => batch,
            Err(MalformedBatch::Incomplete(needed)) if position + (at + needed) as u64 <= end => {
                if taken.is_some() {
                    break;
                }
                if at == 0 && left.len() >= needed {
                    return Next::Damaged(damaged(p, job.segment, position, "its length does not fit"));
                }
                // Go on where this batch begins, with room for all of it.
                let len = (needed as u64).max(wanted_len(&job.purpose, block));
                if at == 0 && asked >= len {
                    // As much was asked for already: the file is shorter than what was written to it.
                    return match trusted {
                        true => Next::Damaged(damaged(p, job.segment, position, "the file ends within it")),
                        false => Next::FromTheBeginning,
                    };
                }
                return Next::At { position: position + at as u64, len, expected };
            }
            Err(_) if !trusted => return Next::FromTheBeginning,
            Err(error) => return Next::Damaged(damaged(p, job.segment, position + at as u64, &format!("{error}"))),
        };
        let wanted = match job.purpose {
            Purpose::Fetch { from, .. } => batch.last_offset() >= from,
            Purpose::Time { at_ms } => batch.max_timestamp() >= at_ms && batch.last_offset() >= p.log_start,
            Purpose::Latest { from, best } => {
                let is_later = best.is_none_or(|best| best.timestamp_ms < batch.max_timestamp());
                is_later && batch.last_offset() >= from
            }
        };
        if is_misled(job, &batch, position + at as u64, expected) {
            return Next::FromTheBeginning;
        }
        if let Err(what) = check(p, job, &batch, expected, wanted) {
            return match (trusted, taken) {
                (_, Some(_)) => break,
                (false, None) => Next::FromTheBeginning,
                (true, None) => Next::Damaged(damaged(p, job.segment, position + at as u64, &what)),
            };
        }
        expected = Some(batch.next_offset());
        match job.purpose {
            Purpose::Fetch { from, max_bytes, whole_first } if wanted => {
                let passed = passed.filter(|_| taken.is_none() && batch.base_offset() > from);
                if let Some(before) = passed.filter(|&before| !is_intact(&bytes[before..])) {
                    // It may be what was asked for: nothing says any more what it held.
                    let position = position + before as u64;
                    return Next::Damaged(damaged(p, job.segment, position, "its checksum does not fit its content"));
                }
                let start = taken.map_or(at, |(start, ..)| start);
                let total = at + batch.size() - start;
                if total > max_bytes && (taken.is_some() || !whole_first) {
                    taken = taken.or(Some((at, at, batch.base_offset())));
                    break;
                }
                taken = Some((start, at + batch.size(), batch.next_offset()));
            }
            Purpose::Time { at_ms } if wanted => {
                match record_batch::find_offset_by_timestamp(&batch, at_ms, p.log_start, DECOMPRESSED_BYTES_MAX) {
                    Ok(Some((offset, timestamp_ms))) => {
                        let leader_epoch = batch.partition_leader_epoch();
                        return Next::Found(FoundOffset { offset, timestamp_ms, leader_epoch });
                    }
                    Ok(_) => {}
                    Err(error) => {
                        return Next::Damaged(damaged(p, job.segment, position + at as u64, &format!("{error}")));
                    }
                }
            }
            Purpose::Latest { from, best } if wanted => {
                match record_batch::find_max_timestamp(&batch, from, DECOMPRESSED_BYTES_MAX) {
                    Ok(found) => {
                        let leader_epoch = batch.partition_leader_epoch();
                        let found =
                            found.map(|(offset, timestamp_ms)| FoundOffset { offset, timestamp_ms, leader_epoch });
                        job.purpose = Purpose::Latest { from, best: later(best, found) };
                    }
                    Err(error) => {
                        return Next::Damaged(damaged(p, job.segment, position + at as u64, &format!("{error}")));
                    }
                }
            }
            _ => passed = Some(at),
        }
        at += batch.size();
    }
    match taken {
        Some((start, stop, next_offset)) => {
            let piece = data.slice(skip + start..skip + stop);
            Next::Batches(piece, position as usize + stop, next_offset)
        }
        None if position + at as u64 >= end => Next::Exhausted,
        None => Next::At { position: position + at as u64, len: wanted_len(&job.purpose, block), expected },
    }
}

fn is_intact(bytes: &[u8]) -> bool {
    RecordBatch::split_from(bytes).is_ok_and(|(batch, _)| batch.has_valid_crc())
}

/// Whether the index led to a place from which the search would pass over what it looks for: the batch that an offset
/// entry leads to begins at or below what was asked for, and a time entry speaks of a batch that is there.
fn is_misled(job: &Job, batch: &RecordBatch<'_>, position: u64, expected: Option<i64>) -> bool {
    let (base, last) = (batch.base_offset(), batch.last_offset());
    match job.purpose {
        Purpose::Fetch { from, .. } | Purpose::Latest { from, .. } => position > 0 && expected.is_none() && base > from,
        Purpose::Time { .. } => job.claimed.is_some_and(|(offset, timestamp_ms)| {
            let is_open = expected.is_none_or(|expected| expected <= offset);
            let fits = if last < offset {
                batch.max_timestamp() <= timestamp_ms
            } else {
                last == offset && batch.max_timestamp() == timestamp_ms
            };
            is_open && !fits
        }),
    }
}

fn check(p: &Partition, job: &Job, batch: &RecordBatch<'_>, expected: Option<i64>, wanted: bool) -> Result<(), String> {
    let base = batch.base_offset();
    let segment = &p.segments[p.segment_of(job.segment)];
    let inside =
        base >= segment.base_offset && batch.next_offset() <= segment.next_offset && batch.last_offset_delta() >= 0;
    if !inside || expected.is_some_and(|expected| base < expected) {
        return Err(format!("it has offsets {base} to {}, which do not belong there", batch.last_offset()));
    }
    let epoch = batch.partition_leader_epoch();
    if base >= p.log_start && p.epochs.epoch_at(base).is_some_and(|known| known != epoch) {
        return Err(format!("it has leader epoch {epoch}, which was not in force at offset {base}"));
    }
    // Batches that are only passed over are not worth a checksum, unless their timestamps are what was looked for.
    if (wanted || !matches!(job.purpose, Purpose::Fetch { .. })) && !batch.has_valid_crc() {
        return Err(String::from("its checksum does not fit its content"));
    }
    Ok(())
}

fn damaged(p: &Partition, segment: i64, position: u64, what: &str) -> String {
    let path = segment::file(&segment::folder(&p.topic, p.index), segment, "log");
    format!("{path} is damaged: the batch at byte {position} cannot be served: {what}")
}

#[cfg(test)]
mod tests {
    use super::super::super::PartitionId;
    use super::super::super::ReadId;
    use super::super::super::checkpoint::{PartitionCheckpoint, SealedSegment};
    use super::*;
    use crate::config::TopicConfig;
    use alloc::vec;
    use alloc::vec::Vec;
    use corelog_wire::ids::TopicId;
    use corelog_wire::record_batch::{BatchBuilder, NewRecord};

    const BLOCK: usize = 4_096;

    /// A partition with one sealed segment, and the bytes of that segment: batches of these value lengths.
    fn sealed(lengths: &[usize]) -> (Partition, Vec<u8>) {
        let mut bytes = Vec::new();
        for (offset, len) in (0..).zip(lengths) {
            let mut builder = BatchBuilder::new();
            builder.append(&NewRecord { timestamp: 1_000 + offset, value: Some(&vec![7; *len]), ..Default::default() });
            let mut batch = builder.build();
            // The base offset is not covered by the checksum.
            batch[..8].copy_from_slice(&offset.to_be_bytes());
            bytes.extend_from_slice(&batch);
        }
        let end = lengths.len() as i64;
        let saved = PartitionCheckpoint {
            topic_id: [1; 16],
            topic: String::from("orders"),
            index: 0,
            log_start: 0,
            has_folder: true,
            flushed_segment: end,
            flushed_position: 0,
            flushed_offset: end,
            flushed_offset_position: 0,
            first_timestamp_ms: -1,
            max_timestamp_ms: -1,
            offset_of_max_timestamp: -1,
            created_ms: 0,
            sealed: vec![SealedSegment {
                base_offset: 0,
                next_offset: end,
                len: bytes.len() as u64,
                max_timestamp_ms: 999 + end,
                offset_of_max_timestamp: end - 1,
                created_ms: 0,
                first_timestamp_ms: 1_000,
                cleaned: 0,
            }],
            epochs: Vec::new(),
            producers: Vec::new(),
            cleanings: 0,
            first_dirty: 0,
        };
        let id = TopicId(saved.topic_id);
        let mut partition = Partition::new(PartitionId(0), id, saved.topic.clone(), 0, BLOCK, TopicConfig::default());
        saved.restore(&mut partition);
        (partition, bytes)
    }

    fn job(p: &Partition, purpose: Purpose, stage: Stage) -> Job {
        Job {
            id: ReadId(1),
            partition: p.id,
            purpose,
            segment: 0,
            stage,
            expected: None,
            claimed: None,
            reserved: 0,
            switches: 0,
            opened: Vec::new(),
            in_place: false,
            file: None,
        }
    }

    /// Runs a job on a file with these bytes to its end.
    fn run(p: &Partition, purpose: Purpose, start: (u64, bool), file: &[u8]) -> Next {
        run_job(p, job(p, purpose, Stage::Index), start, file)
    }

    fn run_job(p: &Partition, mut job: Job, (position, trusted): (u64, bool), file: &[u8]) -> Next {
        let purpose = job.purpose;
        job.stage = Stage::Data { position, len: wanted_len(&purpose, BLOCK), trusted };
        for _ in 0..20 {
            let Stage::Data { position, len, .. } = job.stage else { panic!("there is no index stage here") };
            let block = BLOCK as u64;
            let from = position - position % block;
            let to = (position + len).min(on_disk_len(p, 0)).next_multiple_of(block);
            let cut = |at: u64| (at as usize).min(file.len());
            let data = Bytes::copy_from_slice(&file[cut(from)..cut(to)]);
            match advance(p, &mut job, &data, BLOCK) {
                Next::At { position, len, expected } => {
                    job.stage = Stage::Data { position, len, trusted: true };
                    job.expected = expected;
                }
                Next::FromTheBeginning => {
                    assert!(!trusted, "what is trusted is not begun again");
                    (job.expected, job.claimed) = (None, None);
                    job.stage = Stage::Data { position: 0, len: wanted_len(&purpose, BLOCK), trusted: true };
                }
                end => return end,
            }
        }
        panic!("the read goes round for ever on a file of {} bytes", file.len());
    }

    /// A file that is shorter than what was written to it, wherever it was cut: what is whole is served, the rest is an
    /// error that names the file, and no read goes on for ever.
    #[test]
    fn a_read_of_a_file_that_was_cut_off_ends() {
        // The second batch is longer than what a read asks for at first.
        let lengths = [100, 150_000, 300];
        let (p, bytes) = sealed(&lengths);
        let mut ends = vec![0];
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            rest = RecordBatch::split_from(rest).unwrap().1;
            ends.push(bytes.len() - rest.len());
        }
        let cuts = (0..bytes.len()).step_by(1_021).chain(ends.clone()).chain([bytes.len() - 1]);
        for cut in cuts {
            let file = &bytes[..cut];
            for (batch, from) in (0..).zip(0..lengths.len() as i64) {
                let purpose = Purpose::Fetch { from, max_bytes: 1, whole_first: true };
                // From the beginning, from where the batch is, and from a place that an index names wrongly.
                for start in [(0, true), (ends[batch] as u64, true), (ends[batch] as u64, false), (37, false)] {
                    let whole = ends[batch + 1] <= cut;
                    match run(&p, purpose, start, file) {
                        Next::Batches(found, ..) => {
                            assert!(whole && found == bytes[ends[batch]..ends[batch + 1]], "batch {batch}, cut {cut}");
                        }
                        Next::Damaged(message) => {
                            assert!(!whole, "batch {batch}, cut {cut}: {message}");
                            assert!(message.contains("topics/orders-0/00000000000000000000.log"), "{message}");
                        }
                        _ => panic!("batch {batch}, cut {cut}: neither records nor an error"),
                    }
                }
            }
            match run(&p, Purpose::Time { at_ms: 1_002 }, (0, true), file) {
                Next::Found(found) => assert!(cut == bytes.len() && found.offset == 2, "cut {cut}: {found:?}"),
                Next::Damaged(_) => assert!(cut < bytes.len()),
                _ => panic!("cut {cut}: neither an offset nor an error"),
            }
        }
    }

    /// The first batch of three, each an offset, that a search finds from the position of the batch `at`.
    fn found_from(at: usize, purpose: Purpose, claimed: Option<(i64, i64)>) -> Next {
        let (p, bytes) = sealed(&[100, 100, 100]);
        let mut job = job(&p, purpose, Stage::Index);
        job.claimed = claimed;
        run_job(&p, job, ((at * bytes.len() / 3) as u64, false), &bytes)
    }

    #[test]
    fn an_index_that_leads_too_far_is_not_followed() {
        for (from, at) in (0..3).flat_map(|from| (0..3).map(move |at| (from, at))) {
            let purpose = Purpose::Fetch { from, max_bytes: 1, whole_first: true };
            match found_from(at, purpose, None) {
                Next::Batches(bytes, _, next) => {
                    assert_eq!((RecordBatch::split_from(&bytes).unwrap().0.base_offset(), next), (from, from + 1));
                }
                _ => panic!("offset {from} from batch {at}"),
            }
        }
        // Batch n has the timestamp 1,000 + n. Whatever a time entry claims, the first record that is late enough is found.
        for (at_ms, at) in (1_000..1_003).flat_map(|at_ms| (0..3).map(move |at| (at_ms, at))) {
            for claimed in (0..3).flat_map(|offset| (998..1_003).map(move |ms| (offset, ms))).filter(|c| c.1 < at_ms) {
                match found_from(at, Purpose::Time { at_ms }, Some(claimed)) {
                    Next::Found(found) => assert_eq!(found.offset, at_ms - 1_000, "{claimed:?} from batch {at}"),
                    _ => panic!("time {at_ms} from batch {at}, {claimed:?}"),
                }
            }
        }
    }

    #[test]
    fn what_a_damaged_batch_may_have_held_is_not_passed_over() {
        let (p, mut bytes) = sealed(&[100; 4]);
        let batch = bytes.len() / 4;
        // Nobody has offset 2: the third batch begins with 3.
        bytes[2 * batch..2 * batch + 8].copy_from_slice(&3_i64.to_be_bytes());
        let purpose = Purpose::Fetch { from: 2, max_bytes: 1, whole_first: true };
        let Next::Batches(found, ..) = run(&p, purpose, (0, true), &bytes) else { panic!("a gap is no damage") };
        assert_eq!(found, bytes[2 * batch..3 * batch]);
        // Unless the batch in front of it is not what it was: it may have had it.
        bytes[2 * batch - 1] ^= 1;
        let Next::Damaged(message) = run(&p, purpose, (0, true), &bytes) else { panic!("it may have held offset 2") };
        assert!(message.contains(&format!("at byte {batch} ")), "{message}");
        // Who asks for something else is served.
        let purpose = Purpose::Fetch { from: 3, max_bytes: 1, whole_first: true };
        assert!(matches!(run(&p, purpose, (0, true), &bytes), Next::Batches(..)));
    }
}
