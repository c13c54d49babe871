//! Another number of shards: the data directory is laid out anew before anything else is started.
//!
//! Every old shard is recovered as always, one at a time; what only its journal holds goes to the segments; then each new
//! shard gets a checkpoint that knows all of its partitions, in a folder of the next layout generation. One write of the
//! superblock makes the new folders count, then the old ones are removed.
//!
//! Invariants: before that write nothing that the old layout needs is touched (segments grow above the flushed positions of
//! its checkpoints, where it writes the same bytes itself), after it nothing of the old layout is needed. So a start that is
//! cut off anywhere finds one of the two whole, and removes what there is of the other. Each new shard has the space of its
//! first journal file before the change counts.

use super::folders::Unclaimed;
use super::layout::Layout;
use super::shard_files::{ShardFiles, geometry};
use super::{Run, StartError, refuse, run_chain, words};
use crate::config::BrokerConfig;
use crate::copies::Copy;
use crate::io::{IoError, LogLevel, OpenMode, Step, is_full};
use crate::journal::JournalKind;
use crate::log::PartitionId;
use crate::log::checkpoint::{self, Checkpoint, PartitionCheckpoint};
use crate::log::flush::flush;
use crate::log::partition::Partition;
use crate::mesh::Seat;
use crate::shard::topic_config;
use crate::superblock::Superblock;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use corelog_replication::ids::BrokerId;
use corelog_replication::metadata::MetadataImage;

/// Both copies of a new shard's first checkpoint: the loss of one must not be the loss of everything.
const FIRST_CHECKPOINTS: [u64; 2] = [1, 2];

impl Run<'_> {
    /// Lays the data directory out for as many shards as are wanted. `files` are those of the `old` layout, locked.
    pub(super) fn change_layout(
        &mut self,
        files: Vec<ShardFiles>,
        old: Layout,
        superblock: &mut Superblock,
        image: &MetadataImage,
        config: &BrokerConfig,
    ) -> Result<Layout, StartError> {
        let new = Layout { generation: old.generation + 1, shards: self.options.shards };
        let moved = self.gather(files, old, new, superblock, image, config)?;
        let partitions: usize = moved.iter().map(Vec::len).sum();
        for (seat, partitions) in new.seats().zip(moved) {
            let checkpoint = Checkpoint { metadata_offset: image.offset().0, partitions };
            let prepared = self.prepare_shard(seat, new, &checkpoint, superblock, config);
            prepared.map_err(|error| self.give_up(&error, old, new))?;
        }
        self.disk.run(Step::SyncDir { path: String::new() }).map_err(|e| refuse(words(&e)))?;
        superblock.change_layout(self.disk, &mut self.ids, new.shards).map_err(refuse)?;
        self.remove_other_layouts(new)?;
        let message = format!(
            "the data directory was laid out anew for {} shards instead of {}, with {partitions} partitions that hold records",
            new.shards, old.shards
        );
        self.report.lines.push((LogLevel::Info, message));
        Ok(new)
    }

    /// Writes back every partition of the old shards. Returns what each of the new ones must know of its own.
    fn gather(
        &mut self,
        files: Vec<ShardFiles>,
        old: Layout,
        new: Layout,
        superblock: &Superblock,
        image: &MetadataImage,
        config: &BrokerConfig,
    ) -> Result<Vec<Vec<PartitionCheckpoint>>, StartError> {
        let contents = superblock.contents();
        let (node, block) = (BrokerId(config.node_id), contents.block as usize);
        let any = Seat { me: crate::mesh::FIRST, shards: new.shards };
        let mut moved = vec![Vec::new(); new.shards as usize];
        let mut unclaimed = Unclaimed::list(self.disk)?;
        for files in files {
            let mut shard = files.read(self, old, contents.journal_files, image)?;
            shard.journal.take_over(self.disk, contents.incarnation)?;
            for topic in image.topics() {
                // What does not fit in it is reported when the new shards start.
                let topic_config = topic_config(config, topic, &mut Vec::new());
                let ours = |index| shard.seat.owns(topic.id(), index);
                for index in topic.partitions().iter().filter(|p| p.leader == node).map(|p| p.index.0) {
                    if !ours(index) {
                        continue;
                    }
                    let name = String::from(topic.name());
                    let mut p = Partition::new(PartitionId(0), topic.id(), name, index, block, topic_config.clone());
                    shard.replay.restore(&mut p, self)?;
                    unclaimed.claim(self.disk, &mut p, &mut self.ids)?;
                    flush(self.disk, &mut p, block, &mut self.ids).map_err(|error| self.give_up(&error, old, new))?;
                    moved[usize::from(any.owner(topic.id(), index).0)].extend(PartitionCheckpoint::of(&p));
                }
            }
            shard.journal.close(self.disk);
        }
        unclaimed.settle(self.disk)?;
        Ok(moved)
    }

    /// Makes the folder of a new shard, with both copies of its checkpoint and the space of its first journal file.
    fn prepare_shard(
        &mut self,
        seat: Seat,
        layout: Layout,
        checkpoint: &Checkpoint,
        superblock: &Superblock,
        config: &BrokerConfig,
    ) -> Result<(), IoError> {
        let contents = superblock.contents();
        let folder = layout.folder(seat.me);
        self.disk.run(Step::CreateDir { path: folder.clone() })?;
        let content = checkpoint.to_bytes();
        for generation in FIRST_CHECKPOINTS {
            let (version, incarnation) = (checkpoint::KIND.version, contents.incarnation);
            let copy = Copy { version, generation, first_ordinal: 1, incarnation, content: content.clone() };
            run_chain(self.disk, checkpoint::KIND.write(&folder, &copy, contents.block as usize, &mut self.ids))?;
        }
        let journal = geometry(superblock, JournalKind::Shard, seat.me, &folder, config);
        let file = self.ids.file();
        let steps = vec![
            Step::Open { file, path: journal.path(0), mode: OpenMode::JOURNAL },
            Step::Allocate { file, len: journal.file_len },
            Step::Sync { file },
            Step::SyncDir { path: folder },
            Step::Close { file },
        ];
        run_chain(self.disk, steps).map(|_| ())
    }

    /// The change is not possible. The old layout goes on counting; where the disk is full, it gets back what was taken.
    fn give_up(&mut self, error: &IoError, old: Layout, new: Layout) -> StartError {
        if !is_full(error) {
            return refuse(words(error));
        }
        // What remains of it is removed by the next start.
        let _ = self.remove_other_layouts(old);
        refuse(format!(
            "there is no space to lay the data directory out for {} shards instead of {}: {}; make space on this file system, \
             or start with --cores {}",
            new.shards,
            old.shards,
            words(error),
            old.shards
        ))
    }
}
