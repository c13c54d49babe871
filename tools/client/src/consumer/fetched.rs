//! Batches of one partition as they were read, and the records in them.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use corelog_wire::record_batch::{ControlRecord, ControlType, Record, batches};

use crate::limits::DECOMPRESSED_BATCH_BYTES_MAX;

/// What a fetch brought of a partition.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The first offset that was asked for.
    pub from: i64,
    /// The offset behind what was read: where the next fetch begins.
    pub next: i64,
    /// The leader epoch of the last batch that was read, or -1.
    pub leader_epoch: i32,
    /// Up to where there was something to read when the broker answered: the high watermark, or the last stable offset.
    pub end: i64,
    /// The high watermark.
    pub high_watermark: i64,
    /// The first offset that is still there, or -1.
    pub log_start: i64,
    /// Whole batches, the first of which may begin before `from`; perhaps a cut one behind them.
    pub records: Bytes,
    /// The aborted transactions in them, with the offset of each one's first record and its producer id.
    pub(super) aborted: Vec<(i64, i64)>,
    pub(super) check_crcs: bool,
    /// The assignment it is of.
    pub(super) place: u64,
}

/// Records that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsFault {
    /// The first offset of the batch, or the offset that was to be read where not even that is known.
    pub offset: i64,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for RecordsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the batch at offset {} cannot be read: {}", self.offset, self.reason)
    }
}

impl std::error::Error for RecordsFault {}

impl Fetched {
    /// Whether nothing more was there to be read.
    pub fn is_at_end(&self) -> bool {
        self.next >= self.end
    }

    /// Shows every record to `visit`, in order, until it breaks off: no control records, none below `from`, and none of
    /// an aborted transaction.
    ///
    /// # Errors
    /// A batch is damaged; what stands in front of it was shown.
    pub fn records<B>(
        &self,
        mut visit: impl FnMut(&Record<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, RecordsFault> {
        let mut aborted = self.aborted.clone();
        aborted.sort_unstable_by(|a, b| b.cmp(a));
        // Producers within an aborted transaction at this place.
        let mut aborting = BTreeSet::new();
        let mut offset = self.from;
        for batch in batches(&self.records) {
            let batch = batch.map_err(|error| RecordsFault { offset, reason: error.to_string() })?;
            offset = batch.base_offset();
            let fault = |reason: String| RecordsFault { offset, reason };
            if self.check_crcs && !batch.has_valid_crc() {
                return Err(fault("its checksum does not fit".to_owned()));
            }
            while aborted.last().is_some_and(|(first, _)| *first <= batch.last_offset()) {
                aborting.insert(aborted.pop().expect("looked at").1);
            }
            let attributes = batch.attributes();
            let is_aborted = attributes.is_transactional() && aborting.contains(&batch.producer_id());
            if is_aborted && !attributes.is_control() || batch.last_offset() < self.from {
                continue;
            }
            let payload =
                batch.decompressed_payload(DECOMPRESSED_BATCH_BYTES_MAX).map_err(|error| fault(error.to_string()))?;
            for record in batch.records(&payload) {
                let record = record.map_err(|error| fault(error.to_string()))?;
                if attributes.is_control() {
                    let control = ControlRecord::parse(&record);
                    if control.is_some_and(|control| control.control_type == ControlType::Abort) {
                        aborting.remove(&batch.producer_id());
                    }
                } else if record.offset >= self.from
                    && let ControlFlow::Break(value) = visit(&record)
                {
                    return Ok(ControlFlow::Break(value));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
