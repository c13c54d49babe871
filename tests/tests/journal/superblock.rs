//! The superblock on the disk that lies: whatever is cut or rots, the incarnation never goes back.

use corelog_shard::ids::Ids;
use corelog_shard::io::{Disk, Step};
use corelog_shard::superblock::{NewDirectory, PATHS, Superblock, SuperblockError};
use corelog_tests::sim::disk::FaultDisk;

use crate::world::BLOCK;

pub(crate) fn new_directory() -> NewDirectory {
    NewDirectory {
        node_id: 7,
        shards: 1,
        journal_file_len: 64 << 10,
        metadata_file_len: 16 << 10,
        cluster_id: *b"cluster id of 16",
        directory_id: *b"directory id, 16",
    }
}

/// As a start does it: the incarnation that was begun.
fn start(disk: &mut FaultDisk, ids: &mut Ids) -> Result<u64, SuperblockError> {
    let mut superblock = match Superblock::read(disk, ids)? {
        Some(superblock) => superblock,
        None => Superblock::create(disk, new_directory(), ids)?,
    };
    superblock.begin_incarnation(disk, ids)?;
    Ok(superblock.contents().incarnation)
}

#[test]
fn no_cut_brings_an_incarnation_back() {
    for seed in 0..40 {
        let mut disk = FaultDisk::new(BLOCK, seed);
        let mut begun = 0;
        for boundary in 0..60 {
            // Cut at every boundary of a start in turn, and let one succeed in between.
            disk.cut_at(boundary % 31);
            match start(&mut disk, &mut Ids::new()) {
                Ok(incarnation) => {
                    assert!(incarnation > begun, "seed {seed}: {incarnation} was begun before");
                    begun = incarnation;
                }
                Err(SuperblockError::Io(_)) if disk.is_off() => {}
                Err(error) => panic!("seed {seed}, boundary {boundary}: {error}"),
            }
            disk = if boundary % 5 == 0 { disk.kill(seed + boundary) } else { disk.restart(seed + boundary) };
            if boundary % 3 == 0 {
                let incarnation = start(&mut disk, &mut Ids::new()).unwrap();
                assert!(incarnation > begun, "seed {seed}: {incarnation} was begun before");
                begun = incarnation;
                disk = disk.restart(seed + boundary);
            }
        }
    }
}

#[test]
fn one_bad_copy_is_repaired_and_two_are_refused() {
    let mut whole = FaultDisk::new(BLOCK, 0);
    assert_eq!(start(&mut whole, &mut Ids::new()), Ok(1));
    for bad in 0..2 {
        let mut disk = whole.restart(0);
        disk.damage(PATHS[bad], |bytes| bytes[30] ^= 1);
        let read = Superblock::read(&mut disk, &mut Ids::new()).unwrap().unwrap();
        assert!(read.repaired.as_ref().is_some_and(|words| words.contains(PATHS[bad])));
        assert_eq!(read.contents().incarnation, 1);
        assert_eq!(start(&mut disk.restart(0), &mut Ids::new()), Ok(2));
        let mut disk = disk.restart(0);
        start(&mut disk, &mut Ids::new()).unwrap();
        disk.damage(PATHS[1 - bad], |bytes| bytes[30] ^= 1);
        assert_eq!(start(&mut disk.restart(0), &mut Ids::new()), Ok(3), "the other copy was repaired");

        let mut disk = whole.restart(0);
        disk.erase(PATHS[bad]);
        assert_eq!(start(&mut disk, &mut Ids::new()), Ok(2));
        disk.damage(PATHS[0], |bytes| bytes[30] ^= 1);
        disk.damage(PATHS[1], |bytes| bytes.truncate(100));
        let error = start(&mut disk.restart(0), &mut Ids::new()).unwrap_err();
        assert_eq!(error, SuperblockError::Damaged);
        assert!(error.to_string().contains("put one of them back"));
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let mut disk = FaultDisk::new(BLOCK, 0);
    disk.run(Step::CreateDir { path: "topics".to_owned() }).unwrap();
    let error = Superblock::read(&mut disk, &mut Ids::new()).unwrap_err();
    assert_eq!(error, SuperblockError::Missing { beside: "topics".to_owned() });

    let mut disk = FaultDisk::new(BLOCK, 0);
    start(&mut disk, &mut Ids::new()).unwrap();
    let superblock = Superblock::read(&mut disk.restart(0), &mut Ids::new()).unwrap().unwrap();
    assert_eq!(superblock.check_node_id(7), Ok(()));
    assert!(superblock.check_node_id(1).unwrap_err().to_string().contains("set node.id=7"));

    let mut larger = FaultDisk::new(2 * BLOCK, 0);
    for path in PATHS {
        let mut bytes = disk.bytes(path).unwrap();
        bytes.resize(2 * BLOCK, 0);
        larger.replace(path, &bytes);
    }
    let error = Superblock::read(&mut larger, &mut Ids::new()).unwrap_err();
    assert_eq!(error, SuperblockError::Block { found: 4096, demanded: 8192 });
}

#[test]
fn a_clean_stop_is_remembered_until_the_next_start() {
    let mut disk = FaultDisk::new(BLOCK, 0);
    let mut ids = Ids::new();
    let mut superblock = Superblock::create(&mut disk, new_directory(), &mut ids).unwrap();
    assert_eq!(superblock.begin_incarnation(&mut disk, &mut ids), Ok(true), "nothing was left behind");
    for step in superblock.mark_clean(&mut ids) {
        disk.run(step).unwrap();
    }
    let mut disk = disk.restart(0);
    let mut ids = Ids::new();
    let mut superblock = Superblock::read(&mut disk, &mut ids).unwrap().unwrap();
    assert_eq!(superblock.begin_incarnation(&mut disk, &mut ids), Ok(true));
    let mut disk = disk.restart(1);
    let mut superblock = Superblock::read(&mut disk, &mut Ids::new()).unwrap().unwrap();
    let mut ids = Ids::new();
    (0..10).for_each(|_| _ = ids.file());
    assert_eq!(superblock.begin_incarnation(&mut disk, &mut ids), Ok(false));
}
