//! What stays of a batch (Kafka's `Cleaner.cleanInto` and `MemoryRecords.filterTo`).
//!
//! Invariants: offsets never change; the newest record of every key stays, unless it is a tombstone whose time is over; a
//! batch of which something is needed besides its records stays without them; what cannot be judged is kept.

use super::keys::Keys;
use alloc::vec::Vec;
use corelog_wire::record_batch::{Compacted, HEADER_LEN, Record, RecordBatch, RecordsError, emptied};

/// What is known besides the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// When the cleaning began, in milliseconds.
    pub(super) now_ms: i64,
    /// `delete.retention.ms`.
    pub(super) delete_retention_ms: i64,
    /// Nobody needs its records for a transaction: its data was aborted, or its marker has no data any more.
    pub(super) is_void: bool,
    /// Its header is needed: it is the last one of its producer, or of what is cleaned.
    pub(super) is_needed: bool,
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing of it stays.
    Gone,
    /// All of it stays as it is.
    Unchanged(Newest),
    /// This stays, to be brought into the batch's codec.
    Changed(Vec<u8>, Newest),
    /// Its header stays.
    Emptied([u8; HEADER_LEN]),
}

/// The largest timestamp of the records that stay, in milliseconds, and the first record that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    /// The timestamp.
    pub(super) timestamp_ms: i64,
    /// The record's offset.
    pub(super) offset: i64,
}

/// Judges a batch with its records, unfolded.
///
/// # Errors
/// The records cannot be read.
pub(super) fn filter(
    batch: &RecordBatch<'_>,
    payload: &[u8],
    keys: &Keys,
    known: Circumstances,
) -> Result<Outcome, RecordsError> {
    let is_control = batch.attributes().is_control();
    let horizon_ms = batch.attributes().has_delete_horizon().then(|| batch.base_timestamp());
    let is_over = horizon_ms.is_some_and(|at_ms| at_ms <= known.now_ms);
    let mut kept: Vec<Record<'_>> = Vec::new();
    let mut has_tombstones = false;
    let mut newest: Option<Newest> = None;
    let mut all = 0;
    for record in batch.records(payload) {
        let record = record?;
        all += 1;
        let stays = match (is_control, known.is_void) {
            (true, is_void) => !(is_void && is_over),
            (false, true) => false,
            (false, false) => is_newest(&record, keys) && (record.value.is_some() || !is_over),
        };
        if !stays {
            continue;
        }
        has_tombstones |= record.value.is_none();
        if newest.is_none_or(|newest| newest.timestamp_ms < record.timestamp) {
            newest = Some(Newest { timestamp_ms: record.timestamp, offset: record.offset });
        }
        kept.push(record);
    }
    let Some(newest) = newest else {
        return Ok(match (known.is_needed, all) {
            (false, _) => Outcome::Gone,
            // It was emptied before.
            (true, 0) => Outcome::Unchanged(Newest { timestamp_ms: -1, offset: -1 }),
            (true, _) => Outcome::Emptied(emptied(batch)),
        });
    };
    // The time of tombstones and markers begins when they are first seen.
    let expires = has_tombstones || is_control && known.is_void;
    let set_horizon_ms = known.now_ms.saturating_add(known.delete_retention_ms);
    let new_horizon_ms = (expires && horizon_ms.is_none()).then_some(set_horizon_ms);
    if kept.len() == all && new_horizon_ms.is_none() {
        return Ok(Outcome::Unchanged(newest));
    }
    let mut compacted = Compacted::new(batch, new_horizon_ms.or(horizon_ms));
    kept.iter().for_each(|record| compacted.keep(batch, record));
    Ok(Outcome::Changed(compacted.finish(batch), newest))
}

fn is_newest(record: &Record<'_>, keys: &Keys) -> bool {
    // What lies behind has not been compared yet. A record without a key has no place in a compacted topic.
    record.offset > keys.latest()
        || record.key.is_some_and(|key| keys.newest(key).is_none_or(|newest| newest <= record.offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelog_wire::record_batch::{BatchBuilder, ControlType, NewRecord, end_transaction_marker};

    const NOW: i64 = 1_000_000;

    const PLAIN: Circumstances =
        Circumstances { now_ms: NOW, delete_retention_ms: 500, is_void: false, is_needed: false };

    /// A batch at offset 10 with these keys; those that are `true` have a value.
    fn batch(records: &[(Option<&str>, bool)]) -> Vec<u8> {
        let mut builder = BatchBuilder::new().base_offset(10).producer(4, 0, 7);
        for (at, (key, value)) in records.iter().enumerate() {
            let value = value.then_some(&b"v"[..]);
            let timestamp = NOW - 100 + (at as i64 * 3) % 5;
            builder.append(&NewRecord { timestamp, key: key.map(str::as_bytes), value, headers: &[] });
        }
        builder.build()
    }

    /// Every record up to `latest` was noted: these keys have these newest offsets.
    fn keys(noted: &[(&str, i64)], latest: i64) -> Keys {
        let mut keys = Keys::new(10, 1 << 20, 900_000_000, 0, (3, 4));
        let mut noted = noted.to_vec();
        noted.sort_by_key(|(_, offset)| *offset);
        for (key, offset) in noted {
            assert!(keys.put(key.as_bytes(), offset));
            keys.complete_to(offset);
        }
        keys.complete_to(latest);
        keys
    }

    fn offsets(outcome: &Outcome) -> Vec<i64> {
        let Outcome::Changed(bytes, _) = outcome else { panic!("{outcome:?}") };
        let (batch, _) = RecordBatch::split_from(bytes).unwrap();
        batch.records(batch.payload()).map(|record| record.unwrap().offset).collect()
    }

    fn run(bytes: &[u8], keys: &Keys, known: Circumstances) -> Outcome {
        let (batch, _) = RecordBatch::split_from(bytes).unwrap();
        filter(&batch, batch.payload(), keys, known).unwrap()
    }

    #[test]
    fn the_newest_record_of_each_key_stays() {
        let bytes = batch(&[(Some("a"), true), (Some("b"), true), (None, true), (Some("c"), true), (Some("a"), true)]);
        let outcome = run(&bytes, &keys(&[("a", 14), ("b", 20), ("c", 5)], 30), PLAIN);
        assert_eq!(offsets(&outcome), [13, 14]);
        let Outcome::Changed(made, newest) = outcome else { unreachable!() };
        let (after, _) = RecordBatch::split_from(&made).unwrap();
        assert_eq!((after.base_offset(), after.last_offset(), after.last_sequence()), (10, 14, 11));
        assert_eq!(newest, Newest { timestamp_ms: NOW - 96, offset: 13 });
        assert_eq!(after.max_timestamp(), NOW - 96);
        // What lies behind the map is not judged.
        assert_eq!(offsets(&run(&bytes, &keys(&[("a", 10), ("b", 11)], 12), PLAIN)), [10, 11, 13, 14]);
        assert!(matches!(run(&bytes, &keys(&[], 9), PLAIN), Outcome::Unchanged(_)));
    }

    #[test]
    fn a_batch_without_records_goes_unless_it_is_needed() {
        let bytes = batch(&[(Some("a"), true), (Some("b"), true)]);
        let all = keys(&[("a", 20), ("b", 21)], 30);
        assert_eq!(run(&bytes, &all, PLAIN), Outcome::Gone);
        let needed = Circumstances { is_needed: true, ..PLAIN };
        let Outcome::Emptied(header) = run(&bytes, &all, needed) else { panic!("its header stays") };
        assert!(matches!(run(&header, &all, needed), Outcome::Unchanged(Newest { offset: -1, .. })));
        assert_eq!(run(&header, &all, PLAIN), Outcome::Gone);
    }

    #[test]
    fn a_tombstone_stays_until_its_horizon() {
        let bytes = batch(&[(Some("a"), false), (Some("b"), true)]);
        let map = keys(&[("a", 10), ("b", 11)], 30);
        let first = run(&bytes, &map, PLAIN);
        assert_eq!(offsets(&first), [10, 11]);
        let Outcome::Changed(marked, _) = first else { unreachable!() };
        let (view, _) = RecordBatch::split_from(&marked).unwrap();
        assert!(view.attributes().has_delete_horizon());
        assert_eq!((view.base_timestamp(), view.max_timestamp()), (NOW + 500, NOW - 97));
        let at = |now_ms| run(&marked, &map, Circumstances { now_ms, ..PLAIN });
        assert!(matches!(at(NOW + 499), Outcome::Unchanged(_)), "the horizon is set once");
        assert_eq!(offsets(&at(NOW + 500)), [11]);
        let Outcome::Changed(rest, _) = at(NOW + 500) else { unreachable!() };
        let (view, _) = RecordBatch::split_from(&rest).unwrap();
        assert_eq!((view.attributes().has_delete_horizon(), view.base_timestamp()), (true, NOW + 500));
        let newer = keys(&[("a", 25), ("b", 26)], 30);
        assert_eq!(run(&marked, &newer, PLAIN), Outcome::Gone);
    }

    #[test]
    fn a_marker_stays_with_its_data_and_then_until_its_horizon() {
        let bytes = end_transaction_marker(ControlType::Commit, 4, 0, 1, NOW - 5);
        let map = keys(&[], 30);
        assert!(matches!(run(&bytes, &map, PLAIN), Outcome::Unchanged(_)), "its data is there");
        let void = Circumstances { is_void: true, ..PLAIN };
        let Outcome::Changed(marked, _) = run(&bytes, &map, void) else { panic!("its time begins") };
        let (view, _) = RecordBatch::split_from(&marked).unwrap();
        assert!(view.attributes().is_control() && view.attributes().has_delete_horizon());
        let at = |now_ms, is_needed| run(&marked, &map, Circumstances { now_ms, is_needed, ..void });
        assert!(matches!(at(NOW + 499, false), Outcome::Unchanged(_)));
        assert_eq!(at(NOW + 500, false), Outcome::Gone);
        assert!(matches!(at(NOW + 500, true), Outcome::Emptied(_)));
        let aborted = batch(&[(Some("a"), true)]);
        assert_eq!(run(&aborted, &keys(&[("a", 10)], 30), void), Outcome::Gone, "data that was aborted");
    }

    #[test]
    fn records_that_cannot_be_read_are_an_error() {
        let mut bytes = batch(&[(Some("a"), true)]);
        let last = bytes.len() - 1;
        bytes.truncate(last);
        bytes[8..12].copy_from_slice(&(last as i32 - 12).to_be_bytes());
        let (view, _) = RecordBatch::split_from(&bytes).unwrap();
        assert!(filter(&view, view.payload(), &keys(&[], 0), PLAIN).is_err());
    }
}
