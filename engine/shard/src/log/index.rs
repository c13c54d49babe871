//! The sparse indexes of a segment: offset to position, timestamp to offset, in Kafka's file formats.
//!
//! Nothing depends on them for correctness: they are derivable from the segment, may be missing or wrong, and whoever
//! follows an entry checks what stands at its position. An entry is added for the first batch after every
//! `index.interval.bytes` of the log.

use alloc::vec::Vec;

/// One entry of a `.index` file: 8 bytes, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Last offset of a batch, relative to the segment's base offset.
    pub relative_offset: u32,
    /// Where that batch begins, in bytes.
    pub position: u32,
}

/// One entry of a `.timeindex` file: 12 bytes, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// The largest timestamp so far, in milliseconds.
    pub timestamp_ms: i64,
    /// The offset of the record that has it, relative to the segment's base offset.
    pub relative_offset: u32,
}

/// Bytes of an [`OffsetEntry`] in its file.
pub const OFFSET_ENTRY_BYTES: usize = 8;
/// Bytes of a [`TimeEntry`] in its file.
pub const TIME_ENTRY_BYTES: usize = 12;

/// The indexes of one segment in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentIndex {
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    bytes_since_entry: u64,
}

impl SegmentIndex {
    /// Takes note of a batch at `position`, as Kafka's `LogSegment.append` does. `max_timestamp_ms` and
    /// `offset_of_max` are those of the segment including this batch.
    pub fn append(
        &mut self,
        interval_bytes: u64,
        batch: OffsetEntry,
        size: u64,
        max_timestamp_ms: i64,
        relative_offset_of_max: u32,
    ) {
        if self.bytes_since_entry > interval_bytes {
            self.offsets.push(batch);
            self.append_time(max_timestamp_ms, relative_offset_of_max);
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += size;
    }

    /// Adds the largest timestamp of the segment: when an offset entry is added and when the segment is sealed.
    pub fn append_time(&mut self, max_timestamp_ms: i64, relative_offset: u32) {
        let newer = self.times.last().is_none_or(|t| t.timestamp_ms < max_timestamp_ms);
        if max_timestamp_ms >= 0 && newer {
            self.times.push(TimeEntry { timestamp_ms: max_timestamp_ms, relative_offset });
        }
    }

    /// The position from which a scan finds the batch that holds `relative_offset`.
    ///
    /// Kafka's entries name a batch by its *last* offset, so the entry at or below may be the batch itself or one before.
    pub fn position_before(&self, relative_offset: u32) -> u32 {
        let after = self.offsets.partition_point(|e| e.relative_offset <= relative_offset);
        after.checked_sub(1).map_or(0, |i| self.offsets[i].position)
    }

    /// The last position at or below `limit` where a batch begins that is in the index.
    pub fn last_position_until(&self, limit: u64) -> Option<u32> {
        let after = self.offsets.partition_point(|e| u64::from(e.position) <= limit);
        after.checked_sub(1).map(|i| self.offsets[i].position)
    }

    /// The relative offset from which a scan finds the first record at or after `timestamp_ms`.
    pub fn offset_before_time(&self, timestamp_ms: i64) -> u32 {
        let after = self.times.partition_point(|e| e.timestamp_ms < timestamp_ms);
        after.checked_sub(1).map_or(0, |i| self.times[i].relative_offset)
    }

    /// The offset entries from the `from`-th on.
    pub fn offsets_from(&self, from: usize) -> &[OffsetEntry] {
        &self.offsets[from.min(self.offsets.len())..]
    }

    /// The time entries from the `from`-th on.
    pub fn times_from(&self, from: usize) -> &[TimeEntry] {
        &self.times[from.min(self.times.len())..]
    }

    /// Memory of the entries in bytes.
    pub fn memory(&self) -> usize {
        self.offsets.capacity() * size_of::<OffsetEntry>() + self.times.capacity() * size_of::<TimeEntry>()
    }

    /// Whether nothing is indexed.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.times.is_empty()
    }

    /// Puts what an index file says in front of what this index saw itself.
    pub fn prepend(&mut self, older: Self) {
        let first = self.offsets.first().map_or(u32::MAX, |e| e.position);
        let mut offsets: Vec<_> = older.offsets.into_iter().filter(|e| e.position < first).collect();
        offsets.append(&mut self.offsets);
        self.offsets = offsets;
        let first = self.times.first().map_or(i64::MAX, |e| e.timestamp_ms);
        let mut times: Vec<_> = older.times.into_iter().filter(|e| e.timestamp_ms < first).collect();
        times.append(&mut self.times);
        self.times = times;
    }

    /// Reads the two files. What is not in order, or lies at or above `valid_len` of the segment, ends the reading:
    /// the rest is not trusted.
    pub fn decode(offset_file: &[u8], time_file: &[u8], valid_len: u64) -> Self {
        let mut index = Self::default();
        for raw in offset_file.chunks_exact(OFFSET_ENTRY_BYTES) {
            let entry = OffsetEntry { relative_offset: be_u32(&raw[..4]), position: be_u32(&raw[4..]) };
            let in_order = index
                .offsets
                .last()
                .is_none_or(|last| last.relative_offset < entry.relative_offset && last.position < entry.position);
            if !in_order || entry.position == 0 || u64::from(entry.position) >= valid_len {
                break;
            }
            index.offsets.push(entry);
        }
        for raw in time_file.chunks_exact(TIME_ENTRY_BYTES) {
            let timestamp_ms = (i64::from(be_u32(&raw[..4])) << 32) | i64::from(be_u32(&raw[4..8]));
            let entry = TimeEntry { timestamp_ms, relative_offset: be_u32(&raw[8..]) };
            let in_order = index.times.last().is_none_or(|last| last.timestamp_ms < entry.timestamp_ms);
            if !in_order || timestamp_ms <= 0 {
                break;
            }
            index.times.push(entry);
        }
        index
    }
}

/// The bytes of offset entries in their file.
pub fn encode_offsets(entries: &[OffsetEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * OFFSET_ENTRY_BYTES);
    for e in entries {
        out.extend_from_slice(&e.relative_offset.to_be_bytes());
        out.extend_from_slice(&e.position.to_be_bytes());
    }
    out
}

/// The bytes of time entries in their file.
pub fn encode_times(entries: &[TimeEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * TIME_ENTRY_BYTES);
    for e in entries {
        out.extend_from_slice(&e.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&e.relative_offset.to_be_bytes());
    }
    out
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("callers pass four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentIndex {
        let mut index = SegmentIndex::default();
        for i in 0..100_u32 {
            let entry = OffsetEntry { relative_offset: i * 10 + 9, position: i * 3_000 };
            index.append(4_096, entry, 3_000, 1_000 + i64::from(i), i * 10 + 9);
        }
        index
    }

    #[test]
    fn entries_stand_at_intervals_and_lead_to_or_before_the_batch() {
        let index = sample();
        assert_eq!(index.offsets_from(0).len(), 49);
        for offset in 0..1_000_u32 {
            let position = index.position_before(offset);
            let batch = (offset / 10) * 3_000;
            assert!(position <= batch && batch - position <= 6_000, "{offset}: {position} for {batch}");
        }
    }

    #[test]
    fn files_round_trip_and_rubbish_is_not_trusted() {
        let index = sample();
        let (offsets, times) = (encode_offsets(index.offsets_from(0)), encode_times(index.times_from(0)));
        let read = SegmentIndex::decode(&offsets, &times, 300_000);
        assert_eq!(read.offsets_from(0), index.offsets_from(0));
        assert_eq!(read.times_from(0), index.times_from(0));
        assert_eq!(SegmentIndex::decode(&[0; 64], &[0; 60], 300_000), SegmentIndex::default());
        let limited = SegmentIndex::decode(&offsets, &times, 100_000);
        assert!(limited.offsets_from(0).iter().all(|e| e.position < 100_000));
    }

    #[test]
    fn what_a_file_says_goes_in_front() {
        let whole = sample();
        let mut late =
            SegmentIndex { offsets: whole.offsets[20..].to_vec(), times: whole.times[20..].to_vec(), ..whole.clone() };
        late.prepend(SegmentIndex {
            offsets: whole.offsets[..30].to_vec(),
            times: whole.times[..30].to_vec(),
            ..whole.clone()
        });
        assert_eq!(late, whole);
    }
}
