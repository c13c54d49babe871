//! Which part of a partition may be cleaned, and how much it wants it (Kafka's `LogCleanerManager`).

use super::super::partition::Partition;
use super::super::segment::Segment;
use crate::config::Ratio;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What there is to clean in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dirt {
    /// Records from here on have not been compared with those before.
    pub(super) first_dirty: i64,
    /// Behind the last segment that may be cleaned.
    pub(super) bound: i64,
    /// The share of what would be cleaned that is dirty.
    pub(super) ratio: Ratio,
    /// Whether it is time: it is dirty enough, or has waited long enough.
    pub(super) is_due: bool,
}

/// Looks at a compacted partition. With `settled` only at segments that may be replaced now. `None` where nothing is dirty.
pub(super) fn dirt(p: &Partition, settled: Option<i64>, now_ms: i64) -> Option<Dirt> {
    let config = &p.config;
    let known = p.cleaning.first_dirty;
    let first_dirty = if (p.log_start..=p.log_end).contains(&known) { known } else { p.log_start };
    let min_lag_ms = config.min_compaction_lag_ms;
    let newest_ms = |s: &Segment| if s.max_timestamp_ms >= 0 { s.max_timestamp_ms } else { s.created_ms };
    let is_recent = |s: &Segment| min_lag_ms > 0 && newest_ms(s) > now_ms.saturating_sub(min_lag_ms);
    let active = p.active().base_offset;
    let mut dirt = Dirt { first_dirty, bound: first_dirty, ratio: Ratio::default(), is_due: false };
    let (mut clean_bytes, mut dirty_bytes) = (0, 0);
    let mut oldest_ms = i64::MAX;
    for segment in &p.segments {
        let is_clean = segment.next_offset <= first_dirty;
        let may_go = segment.base_offset < active
            && segment.next_offset <= p.high_watermark
            && settled.is_none_or(|settled| segment.base_offset < settled)
            && (is_clean || !is_recent(segment));
        if !may_go {
            break;
        }
        if is_clean {
            clean_bytes += segment.len;
            continue;
        }
        dirty_bytes += segment.len;
        dirt.bound = segment.next_offset;
        if segment.first_timestamp_ms > 0 {
            oldest_ms = oldest_ms.min(segment.first_timestamp_ms);
        }
    }
    dirt.ratio = Ratio::of(dirty_bytes, clean_bytes + dirty_bytes);
    let has_waited = oldest_ms < now_ms.saturating_sub(config.max_compaction_lag_ms);
    dirt.is_due = dirt.ratio > config.min_cleanable_dirty_ratio || has_waited && dirty_bytes > 0;
    (dirty_bytes > 0).then_some(dirt)
}

/// The segments of which one is made each, by their base offsets: as many in a row as one takes, up to the segment that
/// holds `last`.
pub(super) fn groups(p: &Partition, last: i64) -> VecDeque<Vec<i64>> {
    let config = &p.config;
    let index_bytes =
        |len: u64| (len / config.index_interval_bytes.max(1) + 1) * super::super::index::OFFSET_ENTRY_BYTES as u64;
    let mut out: VecDeque<Vec<i64>> = VecDeque::new();
    let mut bytes = 0;
    for segment in p.segments.iter().take_while(|s| s.base_offset <= last) {
        let fits = out.back().is_some_and(|group| {
            let sum = bytes + segment.len;
            let span = segment.next_offset - 1 - group[0];
            sum <= config.segment_bytes && index_bytes(sum) <= config.segment_index_bytes && span <= i64::from(i32::MAX)
        });
        match out.back_mut().filter(|_| fits) {
            Some(group) => {
                group.push(segment.base_offset);
                bytes += segment.len;
            }
            None => {
                out.push_back(Vec::from([segment.base_offset]));
                bytes = segment.len;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TopicConfig;
    use crate::log::{Flushed, PartitionId};
    use alloc::string::String;
    use corelog_wire::ids::TopicId;

    const NOW: i64 = 1_000_000;

    /// Segments of ten offsets each with these lengths, whose batches are from so long ago, and an active one.
    fn partition(segments: &[(u64, i64)]) -> Partition {
        let topic = String::from("t");
        let mut p = Partition::new(PartitionId(0), TopicId([1; 16]), topic, 0, 4_096, TopicConfig::default());
        p.segments.clear();
        for (&(len, age_ms), base) in segments.iter().zip((0..).step_by(10)) {
            p.segments.push_back(Segment {
                next_offset: base + 10,
                len,
                first_timestamp_ms: NOW - age_ms - 5,
                max_timestamp_ms: NOW - age_ms,
                ..Segment::new(base, 0)
            });
        }
        let end = segments.len() as i64 * 10;
        p.segments.push_back(Segment { next_offset: end + 5, len: 7, ..Segment::new(end, 0) });
        p.flushed = Flushed::begin(end);
        (p.log_end, p.high_watermark) = (end + 5, end + 5);
        p
    }

    fn look(p: &Partition) -> Option<(i64, i64, u64, bool)> {
        dirt(p, None, NOW).map(|d| (d.first_dirty, d.bound, (d.ratio.share() * 100.0) as u64, d.is_due))
    }

    #[test]
    fn the_active_segment_and_what_is_not_visible_are_left_alone() {
        let mut p = partition(&[(100, 50), (100, 40), (200, 30)]);
        assert_eq!(look(&p), Some((0, 30, 100, true)));
        p.cleaning.first_dirty = 20;
        assert_eq!(look(&p), Some((20, 30, 50, false)), "as much as the ratio is not more");
        p.config.min_cleanable_dirty_ratio = Ratio::new(0.49);
        assert_eq!(look(&p), Some((20, 30, 50, true)));
        p.high_watermark = 29;
        assert_eq!(look(&p), None);
        p.cleaning.first_dirty = 12;
        assert_eq!(look(&p), Some((12, 20, 50, true)), "a segment that is clean in part is dirty");
        p.log_start = 15;
        assert_eq!(look(&p).map(|d| d.0), Some(15));
        p.cleaning.first_dirty = 1_000;
        assert_eq!(look(&p).map(|d| d.0), Some(15), "it lies behind the log");
        assert_eq!(dirt(&p, Some(10), NOW), None, "it is in no checkpoint yet");
    }

    #[test]
    fn the_least_lag_protects_and_the_longest_forces() {
        let mut p = partition(&[(100, 50), (100, 40), (100, 30)]);
        p.config.min_compaction_lag_ms = 40;
        assert_eq!(look(&p), Some((0, 20, 100, true)));
        p.config.min_compaction_lag_ms = 100;
        assert_eq!(look(&p), None);
        p.config.min_compaction_lag_ms = 0;
        p.cleaning.first_dirty = 20;
        assert_eq!(look(&p), Some((20, 30, 33, false)));
        p.config.max_compaction_lag_ms = 35;
        assert!(!look(&p).is_some_and(|d| d.3));
        p.config.max_compaction_lag_ms = 34;
        assert!(look(&p).is_some_and(|d| d.3), "its first record is 35 ms old");
    }

    #[test]
    fn small_segments_are_taken_together() {
        let mut p = partition(&[(100, 0), (100, 0), (0, 0), (250, 0), (60, 0), (60, 0)]);
        p.config.segment_bytes = 300;
        assert_eq!(groups(&p, 59), [Vec::from([0, 10, 20]), Vec::from([30]), Vec::from([40, 50])]);
        assert_eq!(groups(&p, 15), [Vec::from([0, 10])], "up to the segment that holds the last offset");
        p.config.segment_bytes = 1_000;
        p.config.segment_index_bytes = 8;
        p.config.index_interval_bytes = 150;
        assert_eq!(groups(&p, 59).len(), 4);
        p.config.segment_index_bytes = 1 << 20;
        let far = i64::from(i32::MAX) + 1;
        p.segments[5].next_offset = far + 1;
        assert_eq!(groups(&p, 59).len(), 2, "an index holds offsets of 31 bits");
    }
}
