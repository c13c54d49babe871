//! Producer snapshots held against the segments beside them, once a broker has stopped.

use std::collections::BTreeMap;

use corelog_shard::log::producer_snapshot::{ProducerEntry, decode};
use corelog_tests::sim::disk::FaultDisk;
use corelog_wire::record_batch::RecordBatch;

/// What was found in all partitions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Snapshots where a segment begins or the log ends.
    pub(crate) snapshots: usize,
    /// Those that a power cut left or brought back.
    pub(crate) strays: usize,
}

/// A partition's files by their offsets.
#[derive(Default)]
struct Folder {
    logs: BTreeMap<i64, Vec<u8>>,
    snapshots: BTreeMap<i64, Vec<u8>>,
}

/// Holds every snapshot of a disk against what the segments say of the producers up to there.
pub(crate) fn check(disk: &FaultDisk) -> Found {
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    for path in disk.paths().into_iter().filter(|path| path.starts_with("topics/")) {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let Some((offset, extension)) = corelog_shard::log::segment::parse_name(name) else { continue };
        let folder = folders.entry(folder.to_owned()).or_default();
        let bytes = disk.bytes(&path).unwrap();
        match extension {
            "log" => drop(folder.logs.insert(offset, bytes)),
            "snapshot" => drop(folder.snapshots.insert(offset, bytes)),
            _ => {}
        }
    }
    let mut found = Found::default();
    for (name, folder) in &folders {
        check_folder(name, folder, &mut found);
    }
    found
}

fn check_folder(name: &str, folder: &Folder, found: &mut Found) {
    let batches: Vec<RecordBatch<'_>> = folder.logs.values().flat_map(|bytes| batches_of(bytes)).collect();
    let Some(first) = folder.logs.keys().next().copied() else { return };
    let end = batches.last().map_or(first, |batch| batch.next_offset());
    for &offset in folder.logs.keys().skip(1).chain([&end]) {
        let wanted = !producers_below(&batches, offset).is_empty();
        assert!(!wanted || folder.snapshots.contains_key(&offset), "{name}: no snapshot at {offset}");
    }
    for (&offset, bytes) in &folder.snapshots {
        let what = format!("{name}: the snapshot at {offset}");
        let placed = offset == end || folder.logs.contains_key(&offset);
        let producers = match decode(bytes) {
            Ok(producers) => producers,
            Err(error) => {
                // Retention may take a segment away before the next start has sealed it again.
                assert!(!placed || offset == first, "{what}: {error}");
                found.strays += 1;
                continue;
            }
        };
        match placed {
            true => found.snapshots += 1,
            false => found.strays += 1,
        }
        let expected = producers_below(&batches, offset);
        // What was last written by the others is no longer in the log.
        let (there, before): (Vec<&ProducerEntry>, Vec<&ProducerEntry>) =
            producers.iter().partition(|p| expected.contains_key(&p.producer_id));
        assert!(before.iter().all(|p| p.last_offset < first), "{what} invents producers: {before:?}, {expected:?}");
        assert_eq!(there, expected.values().collect::<Vec<_>>(), "{what} is of another offset");
    }
}

pub(crate) fn batches_of(bytes: &[u8]) -> Vec<RecordBatch<'_>> {
    let mut left = bytes;
    let mut found = vec![];
    while let Ok((batch, rest)) = RecordBatch::split_from(left) {
        found.push(batch);
        left = rest;
    }
    found
}

/// The producers with batches below an offset, each as its last one says.
fn producers_below(batches: &[RecordBatch<'_>], offset: i64) -> BTreeMap<i64, ProducerEntry> {
    let below = batches.iter().filter(|batch| batch.base_offset() < offset && batch.producer_id() >= 0);
    let entry = |batch: &RecordBatch<'_>| ProducerEntry {
        producer_id: batch.producer_id(),
        producer_epoch: batch.producer_epoch(),
        last_sequence: batch.last_sequence(),
        last_offset: batch.last_offset(),
        offset_delta: batch.last_offset_delta(),
        timestamp_ms: batch.max_timestamp(),
        coordinator_epoch: -1,
        transaction_first_offset: -1,
    };
    below.map(|batch| (batch.producer_id(), entry(batch))).collect()
}
