//! What the tests of layouts start from.

use std::collections::BTreeMap;

use bytes::Bytes;
use corelog_shard::config::BrokerConfig;
use corelog_shard::io::{DirEntry, Disk, FileId, IoError, Now, Step};
use corelog_shard::shard::StartError;
use corelog_shard::start::{Parts, StartOptions, StartReport, recover};
use corelog_tests::sim::disk::FaultDisk;

pub(crate) const BLOCK: usize = 4096;
pub(crate) const NOW: Now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };

pub(crate) fn config() -> BrokerConfig {
    let mut config = BrokerConfig::default();
    for key in ["corelog.journal.file.bytes", "corelog.metadata.journal.file.bytes"] {
        config.set(key, "65536").unwrap();
    }
    config.set("corelog.journal.files.max", "4").unwrap();
    config.set("corelog.segment.bytes.min", "1").unwrap();
    config
}

pub(crate) fn options(shards: u32) -> StartOptions {
    StartOptions {
        now: NOW,
        seed: 7,
        cluster_id: [7; 16],
        directory_id: [8; 16],
        advertised: ("broker.example".to_owned(), 9092),
        shards,
        accept_loss: false,
    }
}

/// What is there for `shards` shards.
pub(crate) fn parts(disk: &mut FaultDisk, shards: u32) -> Result<(Parts, StartReport), StartError> {
    recover(disk, config(), &options(shards))
}

/// A disk that remembers which files are open.
pub(crate) struct Watched<'a> {
    pub(crate) disk: &'a mut FaultDisk,
    pub(crate) open: BTreeMap<FileId, String>,
}

impl Disk for Watched<'_> {
    fn run(&mut self, step: Step) -> Result<Bytes, IoError> {
        let done = self.disk.run(step.clone())?;
        match step {
            Step::Open { file, path, .. } => {
                self.open.insert(file, path);
            }
            Step::Close { file } => {
                self.open.remove(&file);
            }
            _ => {}
        }
        Ok(done)
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirEntry>, IoError> {
        self.disk.list(path)
    }

    fn block_size(&self) -> usize {
        self.disk.block_size()
    }
}
