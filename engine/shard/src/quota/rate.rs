//! How Kafka measures what clients use: a rate over sampled windows, and a bucket of tokens.
//!
//! Times are milliseconds of the monotonic clock. Invariants: samples are in the order of their beginnings, at most one more
//! than the windows that count; a rate is taken over at least all windows but one, however short the time since the first
//! sample.

use alloc::collections::VecDeque;

/// How many windows count, and how long one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// How many windows count, at least one.
    pub(crate) count: u32,
    /// The length of one, in milliseconds.
    pub(crate) length_ms: u64,
}

impl Windows {
    /// The time that all of them take, in seconds.
    pub(crate) fn span_s(self) -> f64 {
        f64::from(self.count) * self.length_ms as f64 / 1_000.0
    }
}

/// A rate, as Kafka's `Rate` over a `WindowedSum` is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate {
    samples: VecDeque<Sample>,
}

/// What was used within one window.
#[derive(Clone, Copy, Debug)]
struct Sample {
    begin_ms: u64,
    last_ms: u64,
    sum: f64,
}

impl Rate {
    /// Counts `amount`, which is negative where something is taken back.
    pub(crate) fn record(&mut self, windows: Windows, amount: f64, now_ms: u64) {
        match self.samples.back_mut().filter(|sample| now_ms.saturating_sub(sample.begin_ms) < windows.length_ms) {
            Some(sample) => {
                sample.sum += amount;
                sample.last_ms = now_ms;
            }
            None => {
                self.samples.push_back(Sample { begin_ms: now_ms, last_ms: now_ms, sum: amount });
                if self.samples.len() > windows.count as usize + 1 {
                    self.samples.pop_front();
                }
            }
        }
    }

    /// How long nothing must be used until the rate is no higher than `limit`, in milliseconds; 0 if it is not.
    pub(crate) fn excess_ms(&mut self, windows: Windows, limit: f64, now_ms: u64) -> u64 {
        let span_ms = self.span_ms(windows, now_ms);
        let rate = self.sum() / (span_ms / 1_000.0);
        if rate <= limit {
            return 0;
        }
        let excess = (rate - limit) / limit * span_ms;
        // Rounded as Kafka does; no client waits longer than the cast can say.
        (excess + 0.5) as u64
    }

    fn sum(&self) -> f64 {
        self.samples.iter().map(|sample| sample.sum).sum()
    }

    fn forget(&mut self, windows: Windows, now_ms: u64) {
        let span_ms = u64::from(windows.count) * windows.length_ms;
        while self.samples.front().is_some_and(|sample| now_ms.saturating_sub(sample.last_ms) >= span_ms) {
            self.samples.pop_front();
        }
    }

    /// The time over which the rate is taken: what has passed, and for windows that have not been all of them but one.
    fn span_ms(&mut self, windows: Windows, now_ms: u64) -> f64 {
        self.forget(windows, now_ms);
        let elapsed_ms = self.samples.front().map_or(0, |sample| now_ms.saturating_sub(sample.begin_ms));
        let full = elapsed_ms / windows.length_ms;
        let missing = u64::from(windows.count - 1).saturating_sub(full);
        (elapsed_ms + missing * windows.length_ms).max(1) as f64
    }
}

/// Tokens that come back with time, as in Kafka's `TokenBucket` (KIP-599).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenBucket {
    /// How many are there, and since when; a bucket that was never used is full.
    state: Option<(f64, u64)>,
}

impl TokenBucket {
    /// Takes `tokens`. A strict bucket gives none while it is empty, any number otherwise; a lenient one always does.
    ///
    /// Returns whether they were given, and how long it is until the bucket is not empty any more, in milliseconds.
    pub(crate) fn take(&mut self, windows: Windows, limit: f64, tokens: f64, strict: bool, now_ms: u64) -> (bool, u64) {
        let most = windows.span_s() * limit;
        let there = self
            .state
            .map_or(most, |(there, at_ms)| (there + limit * now_ms.saturating_sub(at_ms) as f64 / 1_000.0).min(most));
        let wait_ms = |there: f64| if there < 0.0 { (-there / limit * 1_000.0 + 0.5) as u64 } else { 0 };
        if strict && there < 0.0 {
            self.state = Some((there, now_ms));
            return (false, wait_ms(there));
        }
        self.state = Some((there - tokens, now_ms));
        (true, if strict { 0 } else { wait_ms(there - tokens) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows { count: 11, length_ms: 1_000 };

    #[test]
    fn a_burst_is_held_back_until_the_rate_is_right() {
        let mut rate = Rate::default();
        rate.record(WINDOWS, 10_000.0, 500);
        assert_eq!(rate.excess_ms(WINDOWS, 1_000.0, 500), 0, "ten windows' worth");
        rate.record(WINDOWS, 5_000.0, 500);
        // 15,000 in 10 s: 1,500 a second, so half of the time again.
        assert_eq!(rate.excess_ms(WINDOWS, 1_000.0, 500), 5_000);
        assert_eq!(rate.excess_ms(WINDOWS, 1_000.0, 5_500), 5_000, "the windows that are missing count as passed");
        // From the eleventh second on time that passes counts.
        assert_eq!(rate.excess_ms(WINDOWS, 1_400.0, 11_000), 214);
        assert_eq!(rate.excess_ms(WINDOWS, 1_000.0, 11_499), 4_001);
        assert_eq!(rate.excess_ms(WINDOWS, 1_000.0, 11_500), 0, "the sample is too old");
        assert!(rate.samples.is_empty());
    }

    #[test]
    fn what_is_taken_back_does_not_count() {
        let mut rate = Rate::default();
        rate.record(WINDOWS, 50_000.0, 0);
        rate.record(WINDOWS, -50_000.0, 10);
        assert_eq!(rate.excess_ms(WINDOWS, 1.0, 20), 0);
    }

    #[test]
    fn samples_are_bounded() {
        let mut rate = Rate::default();
        for second in 0..100 {
            rate.record(WINDOWS, 1_000.0, second * 1_000);
            assert!(rate.samples.len() <= 12);
            assert_eq!(rate.excess_ms(WINDOWS, 1_200.0, second * 1_000), 0);
        }
        assert!(rate.excess_ms(WINDOWS, 900.0, 99_000) > 0);
        let one = Windows { count: 1, length_ms: 1_000 };
        let mut rate = Rate::default();
        rate.record(one, 5.0, 7);
        assert!(rate.excess_ms(one, 1_000.0, 7) > 0, "a millisecond at least");
    }

    #[test]
    fn a_bucket_gives_what_it_has_and_owes_the_rest() {
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.take(WINDOWS, 5.0, 100.0, true, 0), (true, 0), "more than the 55 that there are");
        assert_eq!(bucket.take(WINDOWS, 5.0, 1.0, true, 1_000), (false, 8_000));
        assert_eq!(bucket.take(WINDOWS, 5.0, 1.0, false, 1_000), (true, 8_200));
        assert_eq!(bucket.take(WINDOWS, 5.0, 1.0, true, 9_200), (true, 0));
        assert_eq!(bucket.take(WINDOWS, 5.0, 0.0, true, 1_000_000), (true, 0));
        assert_eq!(bucket.take(WINDOWS, 5.0, 55.0, false, 1_000_000), (true, 0), "it is full, and no fuller");
        assert_eq!(bucket.take(WINDOWS, 5.0, 5.0, false, 1_000_000), (true, 1_000));
    }
}
