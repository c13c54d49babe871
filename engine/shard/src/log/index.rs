//! The sparse indexes of a segment: offset to position, timestamp to offset, in Kafka's file formats.
//!
//! Nothing depends on them for correctness: they are derivable from the segment, may be missing or wrong, and whoever
//! follows an entry checks what stands at its position. An entry is added for the first batch after every
//! `index.interval.bytes` of the log. Both name a batch by its last offset, as Kafka does.
//!
//! Of a segment that grows, only the entries that are not in its files yet are kept in memory.

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
    /// The last offset of the first batch that has it, relative to the segment's base offset.
    pub relative_offset: u32,
}

/// Bytes of an [`OffsetEntry`] in its file.
pub const OFFSET_ENTRY_BYTES: usize = 8;
/// Bytes of a [`TimeEntry`] in its file.
pub const TIME_ENTRY_BYTES: usize = 12;

/// Entries of the two indexes of one segment: of a file, or those that are to be appended to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentIndex {
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    bytes_since_entry: u64,
    /// The newest time entry, wherever it is by now.
    newest_time_ms: Option<i64>,
}

impl SegmentIndex {
    /// The index of a segment that goes on behind batches whose entries are not known: the next batch gets one.
    pub fn resume() -> Self {
        Self { bytes_since_entry: u64::from(u32::MAX), ..Self::default() }
    }

    /// Takes note of a batch, as Kafka's `LogSegment.append` does. `largest` is the largest timestamp of the segment
    /// including this batch, where it is known whose it is.
    pub fn append(&mut self, interval_bytes: u64, batch: OffsetEntry, size: u64, largest: Option<TimeEntry>) {
        if self.bytes_since_entry > interval_bytes {
            self.offsets.push(batch);
            self.append_time(largest);
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += size;
    }

    /// Adds the largest timestamp of the segment: when an offset entry is added and when the segment is complete.
    pub fn append_time(&mut self, largest: Option<TimeEntry>) {
        let newer = |t: &TimeEntry| t.timestamp_ms >= 0 && self.newest_time_ms.is_none_or(|n| n < t.timestamp_ms);
        if let Some(entry) = largest.filter(newer) {
            self.times.push(entry);
            self.newest_time_ms = Some(entry.timestamp_ms);
        }
    }

    /// The position from which a scan finds the batch that holds `relative_offset`, or `None` when only older entries
    /// could say (none: the beginning).
    ///
    /// Kafka's entries name a batch by its *last* offset, so the entry at or below may be the batch itself or one before.
    pub fn position_before(&self, relative_offset: u32) -> Option<u32> {
        let after = self.offsets.partition_point(|e| e.relative_offset <= relative_offset);
        after.checked_sub(1).map(|i| self.offsets[i].position)
    }

    /// The last position at or below `limit` where a batch begins that is in the index.
    pub fn last_position_until(&self, limit: u64) -> Option<u32> {
        let after = self.offsets.partition_point(|e| u64::from(e.position) <= limit);
        after.checked_sub(1).map(|i| self.offsets[i].position)
    }

    /// The entry from whose batch on a scan finds the first record at or after `timestamp_ms`, or `None` when only older
    /// entries could say (none: the beginning).
    pub fn entry_before_time(&self, timestamp_ms: i64) -> Option<TimeEntry> {
        let after = self.times.partition_point(|e| e.timestamp_ms < timestamp_ms);
        after.checked_sub(1).map(|i| self.times[i])
    }

    /// The first entries are in the files now, so many of each: they leave memory.
    pub fn forget_first(&mut self, offsets: usize, times: usize) {
        self.offsets = self.offsets.split_off(offsets);
        self.times = self.times.split_off(times);
    }

    /// The largest stretch of a segment of `len` bytes without an offset entry, in bytes.
    pub fn largest_gap(&self, len: u64) -> u64 {
        let ends = self.offsets.iter().map(|e| u64::from(e.position)).chain([len]);
        ends.scan(0, |begin, end| Some(end.saturating_sub(core::mem::replace(begin, end)))).max().unwrap_or(0)
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

    /// Counts the entries that stand in the files before those of this index, which is behind them: `files` is what the
    /// files of a segment say that a former process began.
    pub fn follow(&mut self, files: &Self) -> (usize, usize) {
        let first = self.offsets.first().map_or(u32::MAX, |e| e.position);
        let offsets = files.offsets.partition_point(|e| e.position < first);
        let first = self.times.first().map_or(i64::MAX, |e| e.timestamp_ms);
        let times = files.times.partition_point(|e| e.timestamp_ms < first);
        let newest = times.checked_sub(1).map(|i| files.times[i].timestamp_ms);
        self.newest_time_ms = self.newest_time_ms.max(newest);
        (offsets, times)
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
            index.newest_time_ms = Some(timestamp_ms);
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
            let time = TimeEntry { timestamp_ms: 1_000 + i64::from(i), relative_offset: i * 10 + 9 };
            index.append(4_096, entry, 3_000, Some(time));
        }
        index
    }

    #[test]
    fn entries_stand_at_intervals_and_lead_to_or_before_the_batch() {
        let index = sample();
        assert_eq!(index.offsets_from(0).len(), 49);
        for offset in 0..1_000_u32 {
            let position = index.position_before(offset).unwrap_or(0);
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
    fn what_is_in_the_files_leaves_memory_and_is_not_entered_again() {
        let whole = sample();
        let mut late = whole.clone();
        late.forget_first(30, 29);
        assert_eq!((late.offsets_from(0), late.times_from(0)), (whole.offsets_from(30), whole.times_from(29)));
        let before = whole.offsets_from(29)[0].relative_offset;
        assert_eq!(late.position_before(before), None);
        assert_eq!(late.position_before(before + 20), whole.position_before(before + 20));
        late.forget_first(19, 20);
        assert!(late.offsets_from(0).is_empty() && late.memory() == 0);
        late.append_time(whole.times_from(48).first().copied());
        assert!(late.times_from(0).is_empty(), "the files have it");
    }

    #[test]
    fn a_new_process_goes_on_where_the_files_end() {
        let whole = sample();
        let mut late = whole.clone();
        late.forget_first(20, 20);
        let mut files = whole.clone();
        files.offsets.truncate(30);
        files.times.truncate(25);
        assert_eq!(late.follow(&files), (20, 20), "what was in the files behind its own first entry is written again");
        let mut nothing = SegmentIndex::default();
        assert_eq!(nothing.follow(&files), (30, 25));
        nothing.append_time(files.times.last().copied());
        assert!(nothing.times_from(0).is_empty(), "the files have it");
    }

    #[test]
    fn gaps_are_seen_at_both_ends_and_between() {
        let mut index = sample();
        assert_eq!(index.largest_gap(300_000), 6_000);
        assert_eq!(index.largest_gap(400_000), 400_000 - u64::from(index.offsets[48].position));
        index.offsets.drain(10..20);
        assert_eq!(index.largest_gap(300_000), 11 * 6_000);
        index.offsets.clear();
        assert_eq!(index.largest_gap(300_000), 300_000);
    }
}
