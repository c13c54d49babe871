//! Which markers of transactions are still needed (Kafka's `CleanedTransactionMetadata`).
//!
//! Invariant: a marker stays as long as data of its transaction does, and after that until its delete horizon, so that a
//! reader who began before sees how the transaction ended.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use corelog_wire::record_batch::{ControlRecord, ControlType, RecordBatch};

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted {
    /// Who wrote it.
    pub(super) producer_id: i64,
    /// Where its first batch begins.
    pub(super) first_offset: i64,
}

/// The transactions under way at a place of a log that is gone through from the front.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Those aborted that lie ahead, in the order of their first offsets.
    ahead: VecDeque<Aborted>,
    /// Producers in a transaction that will be aborted, and whether data of it was seen.
    aborted: BTreeMap<i64, bool>,
    /// Producers with data in a transaction that will be committed.
    committed: BTreeSet<i64>,
}

impl Transactions {
    /// Before the first batch. All transactions that are aborted in what follows have to be named.
    pub(super) fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_by_key(|a| a.first_offset);
        Self { ahead: aborted.into(), ..Self::default() }
    }

    /// Passes over a batch. Returns whether nobody needs it for its transaction: data that was aborted, or a marker without
    /// data.
    pub(super) fn pass(&mut self, batch: &RecordBatch<'_>, payload: &[u8]) -> bool {
        while let Some(next) = self.ahead.pop_front_if(|next| next.first_offset <= batch.last_offset()) {
            self.aborted.entry(next.producer_id).or_insert(false);
        }
        let producer_id = batch.producer_id();
        if batch.attributes().is_control() {
            let record = batch.records(payload).next().and_then(Result::ok);
            return match record.as_ref().map(ControlRecord::parse) {
                // An empty batch, kept for its producer.
                None => true,
                Some(Some(ControlRecord { control_type: ControlType::Abort, .. })) => {
                    !self.aborted.remove(&producer_id).unwrap_or(false)
                }
                Some(Some(ControlRecord { control_type: ControlType::Commit, .. })) => {
                    !self.committed.remove(&producer_id)
                }
                Some(_) => false,
            };
        }
        if !batch.attributes().is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&producer_id) {
            Some(has_data) => {
                *has_data = true;
                true
            }
            None => {
                self.committed.insert(producer_id);
                false
            }
        }
    }
}
