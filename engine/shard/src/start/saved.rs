//! The two copies of a checkpoint or snapshot at a start: which one counts, and whether it is enough.

use super::{Run, StartError, refuse};
use crate::copies::{Copy, Kind};
use crate::journal::Recovered;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What to do about a copy without which the journal is not enough. There is no loss to accept: what the journal lacks are
/// all topics, or the ends of all segments, and a start would remove or write over what it cannot tell from leavings.
const COPY_CURE: &str =
    "restore the data directory from a copy (the start cannot go on without this file: --accept-loss does not help)";

/// What the disk held of a checkpoint or snapshot.
pub(super) struct Saved {
    kind: &'static Kind,
    folder: String,
    /// The newest copy that is whole.
    pub(super) copy: Option<Copy>,
    /// Its generation, 0 without one.
    pub(super) generation: u64,
    /// The first use of a journal file that is needed besides it.
    pub(super) first_ordinal: u64,
    /// The incarnation that wrote it, 0 without one.
    pub(super) incarnation: u64,
    /// What is wrong with a copy that does not count.
    complaints: Vec<String>,
}

impl Saved {
    /// Reads both copies. Only after the journal's files were locked: until then another process may still be writing.
    pub(super) fn read(run: &mut Run<'_>, kind: &'static Kind, folder: &str) -> Result<Self, StartError> {
        let read = kind.read(run.disk, folder, &mut run.ids);
        let (copy, complaints) = read.map_err(|what| refuse(format!("{what}; {COPY_CURE}")))?;
        let (generation, first_ordinal) = copy.as_ref().map_or((0, 1), |c| (c.generation, c.first_ordinal.max(1)));
        let incarnation = copy.as_ref().map_or(0, |c| c.incarnation);
        Ok(Self { kind, folder: String::from(folder), copy, generation, first_ordinal, incarnation, complaints })
    }

    /// Refuses a start without any copy where one was written before the journal began: it holds what no journal does.
    pub(super) fn require(&self) -> Result<(), StartError> {
        if self.copy.is_some() {
            return Ok(());
        }
        let (a, b) = (self.kind.path(&self.folder, 0), self.kind.path(&self.folder, 1));
        Err(refuse(format!("{}neither {a} nor {b} is there as it was written; {COPY_CURE}", self.details())))
    }

    /// Refuses a copy that is older than one that was there when journal files were used again, unless the journal still
    /// has all that the older one needs. Says what is wrong with a copy that does not count.
    pub(super) fn check(&self, recovered: &Recovered, run: &mut Run<'_>) -> Result<(), StartError> {
        let newest = u64::from(recovered.copy_generation);
        let whole = recovered.holds(self.first_ordinal) && recovered.damage.is_empty();
        if self.generation >= newest || whole {
            self.complaints.iter().for_each(|what| run.report.warn(what.clone()));
            return Ok(());
        }
        let missing = self.kind.path(&self.folder, newest);
        let older = match self.generation {
            0 => format!("neither is {}", self.kind.path(&self.folder, newest + 1)),
            older => format!("for the older {} parts of the journal are missing", self.kind.path(&self.folder, older)),
        };
        Err(refuse(format!("{}{missing} is not there as it was written, and {older}; {COPY_CURE}", self.details())))
    }

    fn details(&self) -> String {
        self.complaints.iter().fold(String::new(), |words, what| format!("{words}{what}; "))
    }
}
