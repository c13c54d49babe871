//! One cleaned segment takes the place of one or more: what the journal says of it, and the steps on the files.
//!
//! The order, each step durable before the next: the cleaned segment under a name of its own; the journal's entry, which is
//! the change; the names. A start that finds the entry, or a checkpoint that knows of it, gives the files their names if that
//! is not done yet. The number of the cleaning is in the name, so no file is ever taken for another one's.

use super::super::checkpoint::SealedSegment;
use super::super::partition::Partition;
use super::super::segment::{self, Segment};
use crate::io::Step;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The files of a segment that a cleaning writes. The first two are derivable, so they go before the third.
const FILES: [&str; 3] = ["index", "timeindex", "log"];

const VERSION: u64 = 1;
const FIELDS: usize = 10;

/// See the module's description.
#[derive(Clone, Debug, PartialEq)]
pub struct Replacement {
    /// Counts the replacements of the partition, from 1.
    pub number: u64,
    /// The new segment. It stands for the offsets of those that it replaces.
    pub segment: SealedSegment,
    /// Up to where the partition is clean from now on.
    pub first_dirty: i64,
}

impl Replacement {
    /// The new segment as it was written.
    pub(super) fn new(number: u64, segment: &Segment, first_dirty: i64) -> Self {
        let segment = SealedSegment { cleaned: number, ..SealedSegment::of(segment) };
        Self { number, segment, first_dirty }
    }

    /// The payload of the journal's entry: numbers of eight bytes each, little-endian.
    pub fn encode(&self) -> [u8; FIELDS * 8] {
        let s = &self.segment;
        let fields = [
            VERSION,
            self.number,
            s.base_offset as u64,
            s.next_offset as u64,
            s.len,
            s.first_timestamp_ms as u64,
            s.max_timestamp_ms as u64,
            s.offset_of_max_timestamp as u64,
            s.created_ms as u64,
            self.first_dirty as u64,
        ];
        let mut out = [0; FIELDS * 8];
        out.chunks_exact_mut(8).zip(fields).for_each(|(to, field)| to.copy_from_slice(&field.to_le_bytes()));
        out
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// In words: it is none, or of a later version.
    pub fn decode(payload: &[u8]) -> Result<Self, String> {
        let field = |at: usize| payload.get(at * 8..at * 8 + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        match field(0) {
            Some(VERSION) if payload.len() == FIELDS * 8 => {}
            Some(version) => return Err(format!("its version is {version}, this program knows {VERSION}")),
            None => return Err(String::from("it is too short")),
        }
        let field = |at| field(at).expect("the length was checked");
        let number = field(1);
        let segment = SealedSegment {
            base_offset: field(2) as i64,
            next_offset: field(3) as i64,
            len: field(4),
            first_timestamp_ms: field(5) as i64,
            max_timestamp_ms: field(6) as i64,
            offset_of_max_timestamp: field(7) as i64,
            created_ms: field(8) as i64,
            cleaned: number,
        };
        Ok(Self { number, segment, first_dirty: field(9) as i64 })
    }

    /// The steps that give the cleaned files their names, in place of those of the segments that go.
    pub(super) fn steps(&self, p: &Partition, gone: &[i64]) -> Vec<Step> {
        let folder = segment::folder(&p.topic, p.index);
        let base = self.segment.base_offset;
        let mut steps: Vec<Step> = FILES.into_iter().map(|file| rename(&folder, base, file, self.number)).collect();
        for &gone in gone.iter().filter(|gone| **gone != base) {
            for extension in ["index", "timeindex", "snapshot", "log"] {
                steps.push(Step::RemoveFile { path: segment::file(&folder, gone, extension) });
            }
        }
        steps.push(Step::SyncDir { path: folder });
        steps
    }
}

fn rename(folder: &str, base_offset: i64, extension: &str, number: u64) -> Step {
    Step::Rename {
        from: segment::cleaned_file(folder, base_offset, extension, number),
        to: segment::file(folder, base_offset, extension),
    }
}

/// The steps that remove what a cleaning wrote that came to nothing.
pub(super) fn removal_steps(p: &Partition, base_offset: i64, number: u64) -> Vec<Step> {
    let folder = segment::folder(&p.topic, p.index);
    let path = |extension| segment::cleaned_file(&folder, base_offset, extension, number);
    FILES.into_iter().map(|extension| Step::RemoveFile { path: path(extension) }).collect()
}

/// The steps that bring the files of a partition to what is known of its segments, from the names in its folder: what a
/// cleaning had not finished is finished, what it wrote for nothing goes, and so does what it left behind. None when all is
/// well.
pub(crate) fn steps_at_start<'a>(p: &Partition, names: impl Iterator<Item = &'a str>) -> Vec<Step> {
    let folder = segment::folder(&p.topic, p.index);
    let known = |base_offset: i64| p.segments.iter().find(|s| s.base_offset == base_offset);
    let mut steps = Vec::new();
    for name in names {
        if let Some((base_offset, extension, number)) = segment::parse_cleaned_name(name) {
            steps.push(match known(base_offset).is_some_and(|s| s.cleaned == number) {
                true => rename(&folder, base_offset, extension, number),
                false => Step::RemoveFile { path: format!("{folder}/{name}") },
            });
            continue;
        }
        let Some((base_offset, extension)) = segment::parse_name(name) else { continue };
        let is_ours = FILES.contains(&extension) || extension == "snapshot";
        if is_ours && base_offset < p.flushed.segment && known(base_offset).is_none() {
            steps.push(Step::RemoveFile { path: format!("{folder}/{name}") });
        }
    }
    if !steps.is_empty() {
        steps.push(Step::SyncDir { path: folder });
    }
    steps
}

impl Partition {
    /// Puts a cleaned segment in the place of those that it replaces. Returns their base offsets.
    ///
    /// # Errors
    /// In words: they are not there as they were.
    pub(crate) fn replace_segments(&mut self, replacement: &Replacement) -> Result<Vec<i64>, String> {
        let new = &replacement.segment;
        let first = self.segments.iter().position(|s| s.base_offset == new.base_offset);
        let behind = self.segments.iter().position(|s| s.next_offset == new.next_offset).map(|last| last + 1);
        let range = first.zip(behind).filter(|(first, behind)| first < behind);
        let is_sealed = new.next_offset <= self.flushed.segment;
        let is_next = replacement.number > self.cleaning.cleanings;
        let Some((first, behind)) = range.filter(|_| is_sealed && is_next) else {
            return Err(format!(
                "cleaning {} replaced the segments of offsets {} to {}, which are not there",
                replacement.number,
                new.base_offset,
                new.next_offset - 1
            ));
        };
        let gone: Vec<i64> = self.segments.drain(first..behind).map(|s| s.base_offset).collect();
        self.segments.insert(first, new.restore());
        self.cleaning.cleanings = replacement.number;
        self.cleaning.first_dirty = self.cleaning.first_dirty.max(replacement.first_dirty);
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TopicConfig;
    use crate::log::{Flushed, PartitionId};
    use corelog_wire::ids::TopicId;

    fn sealed(base_offset: i64, next_offset: i64) -> Segment {
        Segment { next_offset, len: 5_000, ..Segment::new(base_offset, 9) }
    }

    fn partition() -> Partition {
        let topic = String::from("t");
        let mut p = Partition::new(PartitionId(0), TopicId([1; 16]), topic, 0, 4_096, TopicConfig::default());
        p.segments = [(0, 10), (10, 20), (20, 30), (30, 40)].map(|(base, next)| sealed(base, next)).into();
        p.segments.push_back(Segment::new(40, 0));
        p.flushed = Flushed::begin(40);
        p
    }

    fn replacement(number: u64, base_offset: i64, next_offset: i64) -> Replacement {
        Replacement::new(number, &Segment { len: 70, ..sealed(base_offset, next_offset) }, next_offset)
    }

    #[test]
    fn an_entry_round_trips_and_rubbish_is_refused() {
        let one = replacement(3, 10, 30);
        let bytes = one.encode();
        assert_eq!(Replacement::decode(&bytes), Ok(one));
        for len in 0..bytes.len() {
            assert!(Replacement::decode(&bytes[..len]).is_err());
        }
        let mut later = bytes;
        later[0] = 2;
        assert!(Replacement::decode(&later).is_err_and(|what| what.contains("version is 2")));
    }

    #[test]
    fn segments_are_replaced_once_and_only_where_they_are() {
        let mut p = partition();
        assert_eq!(p.replace_segments(&replacement(1, 10, 30)), Ok([10, 20].into()));
        let bases = |p: &Partition| p.segments.iter().map(|s| (s.base_offset, s.cleaned)).collect::<Vec<_>>();
        assert_eq!(bases(&p), [(0, 0), (10, 1), (30, 0), (40, 0)]);
        assert_eq!((p.cleaning.cleanings, p.cleaning.first_dirty), (1, 30));
        for wrong in [replacement(1, 0, 30), replacement(2, 10, 20), replacement(2, 20, 30), replacement(2, 30, 50)] {
            assert!(p.replace_segments(&wrong).is_err());
        }
        assert_eq!(p.replace_segments(&replacement(2, 0, 30)), Ok([0, 10].into()));
        assert_eq!(bases(&p), [(0, 2), (30, 0), (40, 0)]);
    }

    #[test]
    fn a_start_finishes_what_counts_and_removes_the_rest() {
        let mut p = partition();
        p.replace_segments(&replacement(7, 10, 30)).unwrap();
        let names = [
            "00000000000000000000.log",
            "00000000000000000010.log",
            "00000000000000000010.log.7.cleaned",
            "00000000000000000010.index.7.cleaned",
            "00000000000000000010.log.6.cleaned",
            "00000000000000000000.log.8.cleaned",
            "00000000000000000020.log",
            "00000000000000000020.snapshot",
            "00000000000000000030.snapshot",
            "00000000000000000040.log",
            "00000000000000000050.snapshot",
            "leader-epoch-checkpoint",
        ];
        let words = |step: &Step| match step {
            Step::Rename { from, to } => format!("{from} {to}"),
            Step::RemoveFile { path } => path.clone(),
            Step::SyncDir { path } => format!("sync {path}"),
            other => panic!("{other:?}"),
        };
        let steps: Vec<String> = steps_at_start(&p, names.into_iter()).iter().map(words).collect();
        let base = "topics/t-0/000000000000000000";
        assert_eq!(
            steps,
            [
                format!("{base}10.log.7.cleaned {base}10.log"),
                format!("{base}10.index.7.cleaned {base}10.index"),
                format!("{base}10.log.6.cleaned"),
                format!("{base}00.log.8.cleaned"),
                format!("{base}20.log"),
                format!("{base}20.snapshot"),
                String::from("sync topics/t-0"),
            ]
        );
        assert!(steps_at_start(&p, ["00000000000000000000.log", "x"].into_iter()).is_empty());
    }
}
