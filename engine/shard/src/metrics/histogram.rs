//! Times, counted in buckets whose width grows with them.
//!
//! Invariant: a bucket is at most a quarter as wide as where it begins, so a quantile is off by at most that.

/// Parts of each doubling, as a power of two.
const PARTS_LOG2: u32 = 2;
const PARTS: u64 = 1 << PARTS_LOG2;
/// Times from two to this power of microseconds on, 134 seconds, are in the last bucket.
const OCTAVE_MAX: u32 = 27;
/// How many buckets there are.
pub const BUCKETS: usize = (((OCTAVE_MAX - PARTS_LOG2) as usize + 1) << PARTS_LOG2) + 1;

/// See the module's description. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_us: 0 }
    }
}

impl Histogram {
    /// Counts a time.
    pub fn record(&mut self, time_us: u64) {
        self.buckets[bucket_of(time_us)] += 1;
        self.sum_us = self.sum_us.wrapping_add(time_us);
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(ours, theirs)| *ours += theirs);
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
    }

    /// What was counted since `earlier`, an older state of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        since.buckets.iter_mut().zip(&earlier.buckets).for_each(|(now, then)| *now = now.saturating_sub(*then));
        since.sum_us = self.sum_us.wrapping_sub(earlier.sum_us);
        since
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them together, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// How many were shorter than `limit_us`, which is the beginning of a bucket: a power of two.
    pub fn below(&self, limit_us: u64) -> u64 {
        assert!(limit_us.is_power_of_two(), "buckets begin at powers of two");
        self.buckets[..bucket_of(limit_us)].iter().sum()
    }

    /// The time below which this part of them lies, in microseconds: the middle of its bucket. `None` if there are none.
    pub fn quantile_us(&self, part: f64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        // The smallest rank is the first; rounding up needs no floating-point function of the standard library.
        let exact = part * count as f64;
        let rank = (exact as u64 + u64::from(exact > (exact as u64) as f64)).clamp(1, count);
        let mut seen = 0;
        for (bucket, times) in self.buckets.iter().enumerate() {
            seen += times;
            if seen >= rank {
                let (begin, end) = (begin_of(bucket), begin_of(bucket + 1));
                return Some(begin + (end - begin) / 2);
            }
        }
        unreachable!("the rank is not above the count")
    }
}

fn bucket_of(time_us: u64) -> usize {
    if time_us < PARTS {
        return time_us as usize;
    }
    let octave = 63 - time_us.leading_zeros();
    if octave >= OCTAVE_MAX {
        return BUCKETS - 1;
    }
    let part = (time_us >> (octave - PARTS_LOG2)) & (PARTS - 1);
    ((((octave - PARTS_LOG2) as u64 + 1) << PARTS_LOG2) + part) as usize
}

fn begin_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let octave = (bucket >> PARTS_LOG2) as u32 - 1 + PARTS_LOG2;
    (PARTS + (bucket & (PARTS - 1))) << (octave - PARTS_LOG2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_the_bucket_that_begins_before_it() {
        assert_eq!(begin_of(BUCKETS - 1), 1 << OCTAVE_MAX);
        for bucket in 0..BUCKETS {
            let (begin, end) = (begin_of(bucket), begin_of(bucket + 1));
            assert!(begin < end && (end - begin) * PARTS <= begin.max(PARTS), "{bucket}: {begin}..{end}");
            assert_eq!((bucket_of(begin), bucket_of(end - 1)), (bucket, bucket));
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_near_and_sums_are_exact() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.5), None);
        (1..=10_000).for_each(|time_us| histogram.record(time_us));
        assert_eq!((histogram.count(), histogram.sum_us()), (10_000, 50_005_000));
        for (part, exact) in [(0.0001, 1.0), (0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = histogram.quantile_us(part).unwrap() as f64;
            assert!((found - exact).abs() <= exact / PARTS as f64, "{part}: {found} instead of {exact}");
        }
        assert_eq!((histogram.below(1), histogram.below(1_024), histogram.below(1 << 40)), (0, 1_023, 10_000));
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let mut histogram = Histogram::default();
        histogram.record(5);
        let before = histogram.clone();
        histogram.record(700);
        let since = histogram.since(&before);
        assert_eq!((since.count(), since.sum_us(), since.quantile_us(1.0).is_some_and(|us| us > 500)), (1, 700, true));
        let mut both = before;
        both.add(&since);
        assert_eq!(both, histogram);
    }
}
