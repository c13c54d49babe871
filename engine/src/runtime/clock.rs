//! The two clocks that the shard is told.

use corelog_shard::io::Now;
use nix::time::{ClockId, clock_gettime};

/// Reads both clocks. Monotonic time is the kernel's `CLOCK_MONOTONIC`, on which the ring's timer runs too.
pub fn now() -> Now {
    let wall = clock_gettime(ClockId::CLOCK_REALTIME).expect("every kernel has this clock");
    Now { monotonic_us: monotonic_us(), wall_ms: wall.tv_sec() * 1_000 + wall.tv_nsec() / 1_000_000 }
}

/// Microseconds of `CLOCK_MONOTONIC`.
pub fn monotonic_us() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every kernel has this clock");
    // Both parts are positive: the clock counts from the machine's start.
    time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1_000
}

/// Microseconds that the calling thread has run.
pub fn thread_cpu_us() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every kernel has this clock");
    time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_never_goes_back_and_wall_time_is_of_this_century() {
        let first = now();
        let second = now();
        assert!(second.monotonic_us >= first.monotonic_us);
        assert!(first.wall_ms > 1_600_000_000_000);
    }
}
