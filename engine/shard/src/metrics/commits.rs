//! How long journal commits take from their submission until they are durable.
//!
//! Seen from outside of the journal: at the end of a turn, which commits were submitted in it; and after completions, how
//! far the durable prefix has come. So a time is that of the turns, as it is for whoever waits for the commit.
//!
//! A commit that nobody waits for (level `write` or `memory`) becomes durable with a later one, and counts as long.

use alloc::collections::VecDeque;

use super::Histogram;

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    /// The last commit of each turn that is not durable, and when it was submitted.
    in_flight: VecDeque<(u64, u64)>,
    submitted: u64,
    count: u64,
    latency: Histogram,
}

impl Commits {
    /// Everything up to here was submitted before anybody counted.
    pub fn new(sequence: u64) -> Self {
        Self { submitted: sequence, ..Self::default() }
    }

    /// The commits up to this sequence are submitted.
    pub fn submitted(&mut self, sequence: u64, now_us: u64) {
        if sequence > self.submitted {
            self.count += sequence - self.submitted;
            self.submitted = sequence;
            self.in_flight.push_back((sequence, now_us));
        }
    }

    /// Those up to this sequence are durable.
    pub fn durable(&mut self, sequence: u64, now_us: u64) {
        while let Some((_, at_us)) = self.in_flight.pop_front_if(|(last, _)| *last <= sequence) {
            self.latency.record(now_us.saturating_sub(at_us));
        }
    }

    /// How many were submitted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long they took, in microseconds.
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_counts_once_all_its_commits_are_durable() {
        let mut commits = Commits::new(7);
        commits.submitted(7, 100);
        commits.submitted(9, 100);
        commits.submitted(9, 150);
        commits.submitted(10, 200);
        commits.durable(8, 300);
        assert_eq!((commits.count(), commits.latency().count()), (3, 0));
        commits.durable(10, 500);
        assert_eq!((commits.latency().count(), commits.latency().sum_us()), (2, 700));
    }
}
