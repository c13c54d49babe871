//! How the memory that a broker may use is divided.
//!
//! | share | for |
//! |---|---|
//! | 1/2 | the tail: bytes not yet written back (dirty), and recent ones kept for readers until the room is needed |
//! | 1/8 | request frames being received, and answers not yet sent |
//! | 1/8 | reads of older data |
//! | 1/4 | everything else: commit buffers, indexes, producer state, connections, metadata, keys of compacted topics |
//!
//! The journal's ring is on disk, but its size follows from the memory too: what stands in the ring and nowhere else
//! has to fit the tail. It is a quarter of the memory, at most 1 GiB.

/// The least memory a broker works with: 64 MiB.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;

const RING_BYTES_MAX: u64 = 1 << 30;

/// The division of a broker's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// All of it.
    pub total: u64,
    /// The size of the journal's ring *on disk* that fits this memory, before it is rounded to files.
    pub ring: u64,
    /// What was appended recently: dirty and clean bytes together.
    pub tail: u64,
    /// Of the tail: how much may be dirty before intake pauses. The rest is what clean bytes can count on.
    pub dirty: u64,
    /// Requests being received and answers waiting to be sent.
    pub frames: u64,
    /// Reads of what is no longer in the tail.
    pub reads: u64,
    /// Of everything else: the keys that the cleaner of compacted topics looks at in one pass.
    pub cleaner: u64,
}

impl MemoryBudget {
    /// Divides `total` bytes.
    #[must_use]
    pub const fn from_total(total: u64) -> Self {
        let ring = if total / 4 < RING_BYTES_MAX { total / 4 } else { RING_BYTES_MAX };
        let tail = total / 2;
        Self { total, ring, tail, dirty: tail - tail / 4, frames: total / 8, reads: total / 8, cleaner: total / 16 }
    }

    /// What each of `shards` shards gets of it; the frames are everybody's.
    #[must_use]
    pub const fn of_shard(self, shards: u64) -> Self {
        let (ring, tail, reads) = (self.ring / shards, self.tail / shards, self.reads / shards);
        Self { ring, tail, dirty: tail - tail / 4, reads, cleaner: self.cleaner / shards, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_leave_a_quarter_for_the_rest() {
        for total in [MEMORY_BYTES_MIN, 1 << 30, 3_333_333_333, 1 << 40] {
            let budget = MemoryBudget::from_total(total);
            assert!(budget.tail + budget.frames + budget.reads <= total - total / 4);
            assert!(budget.dirty < budget.tail);
            assert!(budget.ring <= RING_BYTES_MAX && budget.ring <= total / 4);
        }
    }
}
