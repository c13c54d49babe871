//! The partitions' folders at a start: which are there, and which are of topics that are no more.
//!
//! Invariant: a folder of a partition that its checkpoint knows is kept, whatever stands in it; one that only has the
//! right name is kept when it names the right topic.

use super::{StartError, refuse, run_chain, words};
use crate::copies::read_file;
use crate::ids::Ids;
use crate::io::{Disk, Step};
use crate::log::partition::Partition;
use crate::log::segment;
use crate::log::write_back::{TOPICS, doomed_folder};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use corelog_wire::ids::TopicId;

/// The folders that no partition has claimed yet.
pub(super) struct Unclaimed {
    paths: BTreeSet<String>,
    /// Whether one was removed that a power cut may bring back.
    removed: bool,
}

impl Unclaimed {
    /// All folders of partitions.
    pub(super) fn list(disk: &mut dyn Disk) -> Result<Self, StartError> {
        let entries = disk.list(TOPICS).map_err(|e| refuse(words(&e)))?;
        let paths = entries.into_iter().filter(|e| e.is_dir).map(|e| format!("{TOPICS}/{}", e.name)).collect();
        Ok(Self { paths, removed: false })
    }

    /// Notes whether a partition that was just recovered has a folder, and makes way for it where one of an older topic of
    /// that name stands.
    pub(super) fn claim(&mut self, disk: &mut dyn Disk, p: &mut Partition, ids: &mut Ids) -> Result<(), StartError> {
        let path = segment::folder(&p.topic, p.index);
        if !self.paths.remove(&path) || p.has_folder {
            return Ok(());
        }
        if folder_topic(disk, &path, ids)? == Some(p.topic_id) {
            // Whoever made it may have been killed before it was on stable storage.
            for path in [TOPICS.to_string(), path] {
                disk.run(Step::SyncDir { path }).map_err(|e| refuse(words(&e)))?;
            }
            p.has_folder = true;
            return Ok(());
        }
        let doomed = doomed_folder(&path, [0; 16]);
        self.removed = true;
        let steps = vec![Step::Rename { from: path, to: doomed.clone() }, Step::RemoveDir { path: doomed }];
        run_chain(disk, steps).map(|_| ()).map_err(|e| refuse(words(&e)))
    }

    /// Makes sure that what [`Self::claim`] removed does not come back. What is left stays.
    pub(super) fn settle(&self, disk: &mut dyn Disk) -> Result<(), StartError> {
        if self.removed {
            disk.run(Step::SyncDir { path: TOPICS.to_string() }).map_err(|e| refuse(words(&e)))?;
        }
        Ok(())
    }

    /// Removes what nobody has claimed: deleted topics left it behind. Every partition of the node must have been asked.
    pub(super) fn remove(mut self, disk: &mut dyn Disk) -> Result<(), StartError> {
        for path in core::mem::take(&mut self.paths) {
            disk.run(Step::RemoveDir { path }).map_err(|e| refuse(words(&e)))?;
            self.removed = true;
        }
        self.settle(disk)
    }
}

/// The topic id that a folder's `partition.metadata` names.
fn folder_topic(disk: &mut dyn Disk, folder: &str, ids: &mut Ids) -> Result<Option<TopicId>, StartError> {
    let path = format!("{folder}/partition.metadata");
    let Some(bytes) = read_file(disk, &path, ids).map_err(|e| refuse(words(&e)))? else { return Ok(None) };
    let text = core::str::from_utf8(&bytes).unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "));
    Ok(id.and_then(|id| id.trim().parse().ok()))
}
