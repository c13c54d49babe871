//! What a shard counts for its operator, and how it is handed to the host.
//!
//! Plain numbers, which only the shard's own thread touches: to count costs an addition, and nothing is allocated for it
//! after the start. A host that wants to know takes a [`Figures`], a copy of them, and shows it to other threads.
//!
//! Invariants: counters only rise while the shard lives; no decision depends on any of them; what one call copies is
//! bounded, however many partitions there are.

mod commits;
mod figures;
mod histogram;
mod requests;

pub use commits::Commits;
pub use figures::{
    FIGURES_PARTITIONS_PER_CALL, Figures, FrontFigures, GroupFigures, LogFigures, NodeFigures, PartitionFigures,
    TopicFigures,
};
pub use histogram::{BUCKETS, Histogram};
pub(crate) use requests::Received;
pub use requests::{ApiFigures, Requests, VERSIONS_MAX};

use corelog_wire::error_code::ErrorCode;

use crate::log::Fetched;

/// What a partition counts. Kafka counts the same by topic: `kafka.server:type=BrokerTopicMetrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionCounts {
    /// Records appended.
    pub records_in: u64,
    /// Bytes of batches appended, as they are stored.
    pub bytes_in: u64,
    /// Bytes of batches read for consumers.
    pub bytes_out: u64,
    /// Entries of produce requests that were appended or refused; what was sent twice counts once.
    pub produce_requests: u64,
    /// Those that were refused.
    pub failed_produce_requests: u64,
    /// Entries of fetch requests for which records were looked for.
    pub fetch_requests: u64,
    /// Those that failed: out of range, unreadable.
    pub failed_fetch_requests: u64,
}

impl PartitionCounts {
    /// Adds what another partition counted.
    pub fn add(&mut self, other: &Self) {
        self.records_in += other.records_in;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.produce_requests += other.produce_requests;
        self.failed_produce_requests += other.failed_produce_requests;
        self.fetch_requests += other.fetch_requests;
        self.failed_fetch_requests += other.failed_fetch_requests;
    }
}

impl PartitionCounts {
    /// A read from segments has ended. Returns how many bytes it brought.
    pub(crate) fn fetched(&mut self, result: &Result<Fetched, ErrorCode>) -> u64 {
        let bytes = match result {
            Ok(Fetched::Memory(segments)) => segments.iter().map(|segment| segment.len() as u64).sum(),
            Ok(Fetched::InPlace(found)) => found.range.len as u64,
            Err(_) => {
                self.failed_fetch_requests += 1;
                0
            }
        };
        self.bytes_out += bytes;
        bytes
    }
}

/// What the logs of a shard count beside their partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// What partitions had counted that are gone.
    pub removed: PartitionCounts,
    /// Reads that memory answered.
    pub tail_hits: u64,
    /// Reads that went to segments.
    pub tail_misses: u64,
    /// Bytes that went from segments to consumers, or are sent from their files.
    pub segment_bytes: u64,
}
