//! One segment of a partition: what is known of it without reading it, and the names of its files.
//!
//! A segment is *sealed* once everything in it was written back, cut to length and synced; the segments after that
//! live in the tail cache, wholly or in part; the last one is *active* and takes appends.

use super::index::{OffsetEntry, SegmentIndex, TimeEntry};
use alloc::format;
use alloc::string::String;

/// A segment's description. It stands for all offsets from its base offset to the next segment's; where it was cleaned,
/// batches may be missing at its end and between others, or all of them. Offsets and positions are those of the log, whether written back or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Offset of its first record, which names its files.
    pub base_offset: i64,
    /// Offset behind its last record.
    pub next_offset: i64,
    /// Bytes of its batches.
    pub len: u64,
    /// Largest timestamp of its first batch in milliseconds, or -1: what roll by time compares with.
    pub first_timestamp_ms: i64,
    /// Largest timestamp in it, or -1.
    pub max_timestamp_ms: i64,
    /// Offset of the record that has it (the first such), or -1.
    pub offset_of_max_timestamp: i64,
    /// Last offset of the first batch that has it; `None` when a former process wrote that batch.
    pub last_offset_of_max_batch: Option<i64>,
    /// The number of the cleaning that made it, 0 when it is as it was appended.
    pub cleaned: u64,
    /// Wall clock at its creation in milliseconds: roll by time where records carry no timestamp.
    pub created_ms: i64,
    /// What is to be appended to the index files; nothing once the segment is sealed.
    pub index: SegmentIndex,
    /// How many offset and time entries stand in the index files of a segment that is not sealed.
    pub index_written: (usize, usize),
    /// Whether `index_written` says so; not for a segment that a former process began, until its files are read.
    pub index_loaded: bool,
    /// Whether this process has found the index files damaged, and has written them anew or given up.
    pub index_repaired: bool,
}

impl Segment {
    /// An empty segment that begins at `base_offset`.
    pub fn new(base_offset: i64, now_ms: i64) -> Self {
        Self {
            base_offset,
            next_offset: base_offset,
            len: 0,
            first_timestamp_ms: -1,
            max_timestamp_ms: -1,
            offset_of_max_timestamp: -1,
            last_offset_of_max_batch: None,
            cleaned: 0,
            created_ms: now_ms,
            index: SegmentIndex::default(),
            index_written: (0, 0),
            index_loaded: true,
            index_repaired: false,
        }
    }

    /// Takes note of a batch that was appended at the end.
    pub fn append(&mut self, batch: AppendedToSegment, index_interval_bytes: u64) {
        assert!(batch.base_offset >= self.next_offset, "the offsets of batches grow");
        if self.len == 0 {
            self.first_timestamp_ms = batch.max_timestamp_ms;
        }
        if batch.max_timestamp_ms > self.max_timestamp_ms {
            self.max_timestamp_ms = batch.max_timestamp_ms;
            self.offset_of_max_timestamp = batch.offset_of_max_timestamp;
            self.last_offset_of_max_batch = Some(batch.last_offset);
        }
        if let Ok(position) = u32::try_from(self.len) {
            let entry = OffsetEntry { relative_offset: self.relative(batch.last_offset), position };
            self.index.append(index_interval_bytes, entry, batch.size, self.largest_time());
        }
        self.len += batch.size;
        self.next_offset = batch.last_offset + 1;
    }

    /// Nothing more is appended to it.
    pub fn complete(&mut self) {
        self.index.append_time(self.largest_time());
    }

    /// Offset entries in its index files and those that are to come there.
    pub fn index_entries(&self) -> usize {
        self.index_written.0 + self.index.offsets_from(0).len()
    }

    fn largest_time(&self) -> Option<TimeEntry> {
        let timestamp_ms = self.max_timestamp_ms;
        self.last_offset_of_max_batch.map(|o| TimeEntry { timestamp_ms, relative_offset: self.relative(o) })
    }

    /// An offset of this segment as its indexes hold it.
    pub fn relative(&self, offset: i64) -> u32 {
        u32::try_from(offset - self.base_offset).expect("a segment spans fewer than 2^31 offsets and holds this one")
    }
}

/// A batch as a segment sees it.
#[derive(Clone, Copy, Debug)]
pub struct AppendedToSegment {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Bytes.
    pub size: u64,
    /// Its largest timestamp.
    pub max_timestamp_ms: i64,
    /// Which record has it.
    pub offset_of_max_timestamp: i64,
}

/// The folder of a partition below the data directory.
pub fn folder(topic: &str, partition: i32) -> String {
    format!("topics/{topic}-{partition}")
}

/// A file of the segment at `base_offset`: `extension` is `log`, `index`, `timeindex` or `snapshot`.
pub fn file(folder: &str, base_offset: i64, extension: &str) -> String {
    format!("{folder}/{base_offset:020}.{extension}")
}

/// The file that the cleaning of this number writes in place of [`file`]: it counts once the journal says so.
pub fn cleaned_file(folder: &str, base_offset: i64, extension: &str, number: u64) -> String {
    format!("{folder}/{base_offset:020}.{extension}.{number}.cleaned")
}

/// Base offset, extension and number in the name of a file that a cleaning wrote; `None` when it is something else.
pub fn parse_cleaned_name(name: &str) -> Option<(i64, &str, u64)> {
    let (base_offset, rest) = parse_name(name)?;
    let (extension, number) = rest.strip_suffix(".cleaned")?.split_once('.')?;
    Some((base_offset, extension, number.parse().ok()?))
}

/// The base offset in the name of a segment file, or `None` when it is something else.
pub fn parse_name(name: &str) -> Option<(i64, &str)> {
    let (digits, extension) = name.split_once('.')?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
    Some((digits.parse().ok()?, extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_parse_back() {
        assert_eq!(folder("a.b", 3), "topics/a.b-3");
        let path = file("topics/a-0", 42, "log");
        assert_eq!(path, "topics/a-0/00000000000000000042.log");
        assert_eq!(parse_name("00000000000000000042.log"), Some((42, "log")));
        assert_eq!(parse_name("partition.metadata"), None);
        let path = cleaned_file("topics/a-0", 42, "timeindex", 7);
        assert_eq!(path, "topics/a-0/00000000000000000042.timeindex.7.cleaned");
        assert_eq!(parse_cleaned_name("00000000000000000042.timeindex.7.cleaned"), Some((42, "timeindex", 7)));
        assert_eq!(parse_cleaned_name("00000000000000000042.timeindex"), None);
    }

    #[test]
    fn a_segment_knows_its_largest_timestamp_and_its_end() {
        let mut segment = Segment::new(100, 7);
        let batch = |base: i64, ts| AppendedToSegment {
            base_offset: base,
            last_offset: base + 9,
            size: 5_000,
            max_timestamp_ms: ts,
            offset_of_max_timestamp: base + 3,
        };
        segment.append(batch(100, 50), 4_096);
        segment.append(batch(110, 90), 4_096);
        segment.append(batch(120, 70), 4_096);
        assert_eq!((segment.len, segment.next_offset, segment.first_timestamp_ms), (15_000, 130, 50));
        assert_eq!((segment.max_timestamp_ms, segment.offset_of_max_timestamp), (90, 113));
        assert_eq!(segment.index.offsets_from(0).len(), 2);
        let times = segment.index.times_from(0);
        assert!(times.iter().map(|t| t.relative_offset).eq([19]), "the batch is named by its last offset: {times:?}");
    }
}
