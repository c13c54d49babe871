//! A directory that is made for several shards.

use std::collections::BTreeMap;

use corelog_shard::mesh::Seat;
use corelog_shard::start::recover;
use corelog_tests::sim::disk::FaultDisk;

use crate::world::{BLOCK, Watched, config, options, parts};

#[test]
fn each_shard_has_its_own_files_under_its_own_ids() {
    let mut disk = FaultDisk::new(BLOCK, 1);
    for started in 1..3 {
        let mut watched = Watched { disk: &mut disk, open: BTreeMap::new() };
        let (parts, report) = recover(&mut watched, config(), &options(3)).unwrap();
        assert_eq!(report.is_new, started == 1);
        let seats: Vec<Seat> = parts.logs.iter().map(|(seat, _)| *seat).collect();
        assert_eq!(seats, Seat::all(3).collect::<Vec<_>>());
        assert_eq!(parts.superblock.contents().shards, 3);
        assert_eq!(parts.superblock.contents().incarnation, started, "one for the node");
        assert!(parts.superblock.contents().journal_files >= 2);
        let mut count = BTreeMap::<String, u32>::new();
        for (file, path) in watched.open {
            let (folder, name) = path.rsplit_once('/').unwrap();
            assert!(name.starts_with("journal-"), "{path} was left open");
            let shard = folder.strip_prefix("shard-").map_or(0, |shard| shard.parse().unwrap());
            assert_eq!(file.shard().0, shard, "{path} is handed to the shard that it belongs to");
            *count.entry(folder.to_owned()).or_default() += 1;
        }
        assert_eq!(count.keys().collect::<Vec<_>>(), ["metadata", "shard-0", "shard-1", "shard-2"]);
        assert!(count.values().all(|files| *files >= 2), "{count:?}");
        disk = disk.kill(started);
    }
}

#[test]
fn what_is_missing_of_one_shard_is_named_by_its_folder() {
    let mut disk = FaultDisk::new(BLOCK, 1);
    parts(&mut disk, 2).unwrap();
    let mut disk = disk.kill(1);
    disk.erase("shard-1/journal-0000");
    let error = parts(&mut disk, 2).err().unwrap();
    assert!(error.message.contains("shard-1/journal-0000"), "{}", error.message);
    let mut locked = disk.kill(2);
    locked.lock("shard-1/journal-0001");
    let error = parts(&mut locked, 2).err().unwrap();
    assert!(error.message.contains("in use by another process"), "{}", error.message);
    assert!(error.message.contains("shard-1/journal-0001"), "{}", error.message);
}
