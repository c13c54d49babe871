//! How much the cleaner may read and write in a second.

/// Lets bytes through at a rate, a piece at a time: the next piece waits until the one before has been paid for.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    free_at_us: u64,
}

impl Throttle {
    /// So many bytes were read or written.
    pub(super) fn note(&mut self, bytes: u64, bytes_per_second: u64, now_us: u64) {
        let cost_us = u128::from(bytes) * 1_000_000 / u128::from(bytes_per_second.max(1));
        let cost_us = u64::try_from(cost_us).unwrap_or(u64::MAX);
        self.free_at_us = self.free_at_us.max(now_us).saturating_add(cost_us);
    }

    /// When the next piece may go, if not now.
    pub(super) fn wait_until_us(&self, now_us: u64) -> Option<u64> {
        (self.free_at_us > now_us).then_some(self.free_at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_at_the_rate_and_idle_time_is_not_saved_up() {
        let mut throttle = Throttle::default();
        let (mut now_us, mut bytes) = (5_000_000, 0_u64);
        while now_us < 15_000_000 {
            match throttle.wait_until_us(now_us) {
                Some(at_us) => now_us = at_us,
                None => {
                    throttle.note(70_000, 1_000_000, now_us);
                    bytes += 70_000;
                }
            }
        }
        assert!((9_900_000..=10_070_000).contains(&bytes), "{bytes} bytes in ten seconds");
        now_us += 100_000_000;
        throttle.note(1_000_000, 1_000_000, now_us);
        assert_eq!(throttle.wait_until_us(now_us), Some(now_us + 1_000_000));
        throttle.note(u64::MAX, 1, now_us);
        assert_eq!(throttle.wait_until_us(now_us), Some(u64::MAX));
        let mut free = Throttle::default();
        free.note(1 << 30, u64::MAX, 7);
        assert_eq!(free.wait_until_us(7), None);
    }
}
