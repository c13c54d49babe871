//! How other threads get a host's attention: it looks at what they left for it, and is woken where it sleeps.
//!
//! Whoever leaves something for a host rings its bell afterwards. Invariants:
//! - What was left before a ring is looked at after it: [`Bell::answer`] takes the ring before the host looks, so a ring
//!   that comes while it looks stays for the next time.
//! - No ring is slept through. The ringer says that it rang and then asks whether the host sleeps; the host says that it
//!   sleeps and then asks whether somebody rang. All four are sequentially consistent, so that at least one of the two
//!   sees the other: the host stays awake, or the ringer writes the eventfd. That eventfd is watched by the host's
//!   ring as long as it lives, so that a write between the host's last look and its wait ends the wait at once.
//! - The eventfd is written only for a host that sleeps, once for each sleep however many ring.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// The bell of one host. A cache line of its own: other cores write to it.
#[repr(align(128))]
pub(crate) struct Bell {
    rung: AtomicBool,
    asleep: AtomicBool,
    event: EventFd,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { rung: AtomicBool::new(false), asleep: AtomicBool::new(false), event })
    }

    /// Tells the host that something was left for it.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            // It fails only when nobody has read it 2^64 times.
            let _ = self.event.write(1);
        }
    }

    /// Whether somebody rang since the last answer. The host's own; look at everything afterwards.
    pub(crate) fn answer(&self) -> bool {
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::SeqCst)
    }

    /// The host's last word before it sleeps. `false`: somebody rang, it may not.
    pub(crate) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let quiet = !self.rung.load(Ordering::SeqCst);
        if !quiet {
            self.awake();
        }
        quiet
    }

    /// The host's first word after it has slept.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// What becomes readable with each ring that finds the host asleep, and stays so: watch it for the edge.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::ring::{Features, Ring, Token};
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_ring_is_answered_once_and_keeps_from_sleeping() {
        let bell = Bell::new().unwrap();
        assert!(!bell.answer());
        bell.ring();
        bell.ring();
        assert!(!bell.may_sleep(), "somebody rang");
        assert_eq!((bell.answer(), bell.answer()), (true, false));
        assert_eq!(bell.event.read().map_err(|_| ()), Err(()), "nobody slept, nothing was written");
        assert!(bell.may_sleep());
        bell.ring();
        bell.ring();
        assert_eq!(bell.event.read().unwrap(), 1, "written once for one sleep");
    }

    #[test]
    fn a_sleeper_in_its_ring_misses_no_ring() {
        for wanted in [Features::NEWEST, Features::OLDEST] {
            let bell = Arc::new(Bell::new().unwrap());
            let (left, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            const RINGS: u64 = 20_000;
            let ringer = {
                let (bell, left, seen) = (Arc::clone(&bell), Arc::clone(&left), Arc::clone(&seen));
                std::thread::spawn(move || {
                    for count in 1..=RINGS {
                        left.store(count, Ordering::Release);
                        bell.ring();
                        // Mostly the next ring waits until this one was seen, so that each must wake the sleeper.
                        while count % 8 != 0 && seen.load(Ordering::Acquire) < count {
                            std::hint::spin_loop();
                            std::thread::yield_now();
                        }
                    }
                })
            };
            let mut ring = Ring::new(wanted, 4).unwrap();
            ring.watch(bell.descriptor(), Token::Bell);
            let (mut completions, mut sleeps) = (Vec::new(), 0);
            while seen.load(Ordering::Relaxed) < RINGS {
                ring.drain(&mut completions);
                for completion in completions.drain(..) {
                    if !completion.more() {
                        ring.watch(bell.descriptor(), Token::Bell);
                    }
                }
                if bell.answer() {
                    seen.store(left.load(Ordering::Acquire), Ordering::Release);
                } else if bell.may_sleep() {
                    let until = crate::runtime::clock::monotonic_us() + 20_000_000;
                    ring.submit_and_wait_until(Some(until)).unwrap();
                    assert!(crate::runtime::clock::monotonic_us() < until, "slept through a ring");
                    bell.awake();
                    sleeps += 1;
                }
            }
            ringer.join().unwrap();
            assert!(sleeps > 0);
        }
    }
}
