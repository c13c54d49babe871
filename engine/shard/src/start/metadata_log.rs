//! The metadata log at a start: recovered first, and driven by hand until everything in it is applied.

use super::saved::Saved;
use super::{Run, StartError, damaged, refuse, run_chain};
use crate::config::BrokerConfig;
use crate::ids::Ids;
use crate::io::{Action, IoError, OpId};
use crate::journal::{Files, Journal};
use crate::metadata::{self, Metadata, RecoveredLog};
use crate::superblock::Superblock;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_replication::controller;
use corelog_replication::ids::{BrokerId, DirectoryId, Incarnation};
use corelog_replication::metadata::BrokerImage;

impl Run<'_> {
    /// Recovers the metadata log, applies everything in it, and registers this process as the broker. A broker that was not
    /// stopped cleanly gets new leader epochs by that.
    pub(super) fn recover_metadata(
        &mut self,
        mut files: Files,
        config: &BrokerConfig,
        superblock: &Superblock,
        ids: &mut Ids,
    ) -> Result<Metadata, StartError> {
        let contents = superblock.contents();
        files.expect(contents.metadata_files);
        let mut metadata = self.read_metadata(files, config, superblock, ids)?;
        let (host, port) = self.options.advertised.clone();
        let broker = BrokerImage {
            id: BrokerId(config.node_id),
            incarnation: Incarnation(contents.incarnation),
            host,
            port,
            directory_id: DirectoryId(contents.directory_id),
        };
        self.drive_metadata(&mut metadata, ids)?;
        metadata
            .propose(&controller::start_broker(&broker, self.report.was_clean))
            .map_err(|e| refuse(format!("the broker cannot be registered: {e}")))?;
        self.drive_metadata(&mut metadata, ids)?;
        Ok(metadata)
    }

    fn read_metadata(
        &mut self,
        files: Files,
        config: &BrokerConfig,
        superblock: &Superblock,
        ids: &mut Ids,
    ) -> Result<Metadata, StartError> {
        let saved = Saved::read(self, &metadata::SNAPSHOT, metadata::FOLDER)?;
        let mut log = RecoveredLog::default();
        let mut refused = None;
        let recovered = files.scan(self.disk, saved.first_ordinal, &mut |found| {
            if let Err(what) = log.take(found.header.kind, &found.payload) {
                refused.get_or_insert(what);
            }
        })?;
        saved.check(&recovered, self)?;
        if let Some(what) = refused {
            return Err(refuse(format!("the metadata log cannot be read: {what}")));
        }
        for damage in &recovered.damage {
            let line = format!("the metadata log is damaged: {damage}");
            if !self.options.accept_loss {
                return Err(damaged(format!(
                    "{line}; restore it from a copy, or go on without what is lost: --accept-loss"
                )));
            }
            self.report.warn(line);
        }
        let (node, incarnation) = (BrokerId(config.node_id), superblock.contents().incarnation);
        let block = superblock.contents().block as usize;
        let journal = Journal::start(self.disk, recovered, incarnation, ids)?;
        let mut lost = Vec::new();
        let loss = self.options.accept_loss.then_some(&mut lost);
        let metadata = Metadata::recover(node, self.options.seed, saved.copy, log, journal, incarnation, block, loss)
            .map_err(|what| {
            damaged(format!(
                "{what}; restore the folder {} from a copy, or go on without: --accept-loss",
                metadata::FOLDER
            ))
        })?;
        lost.into_iter().for_each(|line| self.report.warn(line));
        Ok(metadata)
    }

    /// Runs the metadata log's own actions until it has nothing more to do.
    fn drive_metadata(&mut self, metadata: &mut Metadata, ids: &mut Ids) -> Result<(), StartError> {
        loop {
            let mut actions = Vec::new();
            metadata.turn(self.options.now, ids, &mut actions);
            let completions = self.run_io(actions);
            if completions.is_empty() && metadata.is_caught_up() && metadata.is_quiet() {
                return Ok(());
            }
            assert!(!completions.is_empty(), "a metadata log of one node moves on by its own writes alone");
            for (op, result) in completions {
                let mut more = Vec::new();
                metadata.completed(op, &result, ids, &mut more).map_err(refuse)?;
                for (op, result) in self.run_io(more) {
                    metadata.completed(op, &result, ids, &mut Vec::new()).map_err(refuse)?;
                }
            }
        }
    }

    fn run_io(&mut self, actions: Vec<Action>) -> Vec<(OpId, Result<Vec<Bytes>, IoError>)> {
        let mut completions = Vec::new();
        for action in actions {
            if let Action::Io { op, steps } = action {
                completions.push((op, run_chain(self.disk, steps)));
            }
        }
        completions
    }
}
