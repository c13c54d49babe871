//! Temporary: the metadata as an image in memory, with the signatures of the real `metadata`, until that is there.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use corelog_replication::metadata::{ApplyError, MetadataDelta, MetadataImage, MetadataRecord};
use corelog_replication::quorum::{ProposalId, ProposeError};

/// An entry that was applied.
#[derive(Debug)]
pub struct Applied {
    /// What changed, or why the entry was refused.
    pub delta: Result<MetadataDelta, ApplyError>,
    /// The proposal that it was.
    pub proposal: Option<ProposalId>,
}

/// The metadata.
#[derive(Debug, Default)]
pub struct Metadata {
    image: MetadataImage,
    proposals: VecDeque<(ProposalId, Vec<MetadataRecord>)>,
    next: u64,
    /// For tests: refuse proposals so.
    pub refuse: Option<ProposeError>,
}

impl Metadata {
    /// The metadata as it was applied.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Proposes records.
    ///
    /// # Errors
    /// What a test asks for.
    pub fn propose(&mut self, records: &[MetadataRecord]) -> Result<ProposalId, ProposeError> {
        if let Some(error) = self.refuse {
            return Err(error);
        }
        self.next += 1;
        self.proposals.push_back((ProposalId(self.next), records.to_vec()));
        Ok(ProposalId(self.next))
    }

    /// For tests: commits and applies the oldest proposal.
    pub fn apply_next(&mut self) -> Option<Applied> {
        let (proposal, records) = self.proposals.pop_front()?;
        let delta = self.image.apply(self.image.offset().next(), 1, &records);
        Some(Applied { delta, proposal: Some(proposal) })
    }
}
