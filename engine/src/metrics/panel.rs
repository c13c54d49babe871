//! Between the hosts and whoever looks at them: a window for each host, and what the node does at the moment.
//!
//! A window has two sides. The looker writes its eventfd, which the host's ring watches; the host takes the copy of its
//! numbers and leaves it in the mailbox. One copy is on its way at a time: a host that is asked again meanwhile answers
//! once.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use corelog_shard::metrics::Figures;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::host::Counts;
use crate::runtime::mesh::Mailbox;

/// Partitions that are shown one by one, of all shards together; the others count for their topics only.
pub(super) const PARTITIONS_MAX: usize = 10_000;

/// What a host and its shard have counted.
#[derive(Clone, Debug, Default)]
pub struct HostFigures {
    /// The host's own counts.
    pub counts: Counts,
    /// CPU time of its thread, in microseconds.
    pub cpu_us: u64,
    /// Calls of `io_uring_enter`.
    pub ring_enters: u64,
    /// Operations in flight on its ring, and entries that found no place in the queue.
    pub ring_in_flight: u64,
    /// See above.
    pub ring_backlog: u64,
    /// Open connections.
    pub connections: u64,
    /// Requests above 16 KiB that wait for memory.
    pub frames_waiting: u64,
    /// Bytes of unfinished small requests.
    pub unfinished_bytes: u64,
    /// Bytes lent for requests above 16 KiB, of the whole node.
    pub frame_bytes: u64,
    /// The shard's.
    pub shard: Figures,
}

/// What the node does, as far as clients are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The data directory is opened and recovered.
    Recovering,
    /// Clients are served.
    Serving,
    /// It was asked to stop, or cannot go on.
    Stopping,
}

/// How one host is asked and answers.
struct Window {
    wanted: EventFd,
    answer: Mailbox<HostFigures>,
}

struct Shared {
    windows: Box<[Window]>,
    phase: AtomicU8,
    /// Readable when there is an answer or another phase.
    rung: EventFd,
    /// How many partitions a host shows one by one.
    partitions_max: usize,
}

/// See the module's description. Cloned for all who take part.
#[derive(Clone)]
pub struct Panel(Arc<Shared>);

impl fmt::Debug for Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panel").field("hosts", &self.hosts()).field("phase", &self.phase()).finish()
    }
}

impl Panel {
    /// A panel for so many hosts, which are not there yet.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(hosts: usize) -> io::Result<Self> {
        assert!(hosts > 0, "a node has hosts");
        let event = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let window = || -> io::Result<Window> { Ok(Window { wanted: event()?, answer: Mailbox::new() }) };
        Ok(Self(Arc::new(Shared {
            windows: (0..hosts).map(|_| window()).collect::<io::Result<_>>()?,
            phase: AtomicU8::new(Phase::Recovering as u8),
            rung: event()?,
            partitions_max: PARTITIONS_MAX.div_ceil(hosts),
        })))
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> usize {
        self.0.windows.len()
    }

    /// Where the node is.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Recovering as u8 => Phase::Recovering,
            phase if phase == Phase::Serving as u8 => Phase::Serving,
            _ => Phase::Stopping,
        }
    }

    /// The node has come so far. It never goes back.
    pub fn enter(&self, phase: Phase) {
        self.0.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.ring();
    }

    /// Asks every host for its numbers.
    pub(super) fn ask(&self) {
        for window in &self.0.windows {
            // It fails only after 2^64 questions.
            let _ = window.wanted.write(1);
        }
    }

    /// The newest answer of a host since the last call.
    pub(super) fn take(&self, host: usize) -> Option<HostFigures> {
        let answer = &self.0.windows[host].answer;
        let mut batch = answer.take()?;
        let newest = batch.0.pop_back();
        batch.0.clear();
        answer.give_back(batch);
        newest
    }

    /// What the looker waits for.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.0.rung.as_fd()
    }

    /// The looker has seen that it was rung for.
    pub(super) fn heard(&self) {
        let _ = self.0.rung.read();
    }

    /// Wakes the looker.
    pub(super) fn ring(&self) {
        let _ = self.0.rung.write(1);
    }

    /// What a host watches to know that it is asked.
    pub(crate) fn wanted(&self, host: usize) -> RawFd {
        self.0.windows[host].wanted.as_raw_fd()
    }

    fn answer(&self, host: usize, figures: HostFigures) {
        self.0.windows[host].answer.put(&mut VecDeque::from([figures]));
        self.ring();
    }
}

/// A host's answer, as far as it has come.
pub(crate) struct Scrape {
    figures: HostFigures,
    /// The next place among the shard's partitions.
    next: usize,
}

impl Scrape {
    /// Begins with what does not depend on how many partitions there are.
    pub(crate) fn new(figures: HostFigures) -> Self {
        Self { figures, next: 0 }
    }

    /// One turn's part of it; `some` adds partitions from a place on, with the most to be shown one by one, and says where to
    /// go on. Leaves the answer for the looker when that was all, and returns what is left to do otherwise.
    pub(crate) fn go_on(
        mut self,
        panel: &Panel,
        host: usize,
        some: impl FnOnce(usize, usize, &mut Figures) -> Option<usize>,
    ) -> Option<Self> {
        match some(self.next, panel.0.partitions_max, &mut self.figures.shard) {
            Some(next) => {
                assert!(next > self.next, "a scrape comes to an end");
                self.next = next;
                Some(self)
            }
            None => {
                panel.answer(host, self.figures);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_never_left_for_an_earlier_one() {
        let panel = Panel::new(1).unwrap();
        assert_eq!(panel.phase(), Phase::Recovering);
        for (entered, phase) in [
            (Phase::Serving, Phase::Serving),
            (Phase::Recovering, Phase::Serving),
            (Phase::Stopping, Phase::Stopping),
            (Phase::Serving, Phase::Stopping),
        ] {
            panel.enter(entered);
            assert_eq!(panel.phase(), phase);
        }
    }

    #[test]
    fn a_scrape_takes_as_many_turns_as_the_shard_wants_and_the_newest_answer_counts() {
        let panel = Panel::new(2).unwrap();
        assert!(panel.take(1).is_none());
        for answer in 1..=2 {
            let figures = HostFigures { cpu_us: answer, ..HostFigures::default() };
            let mut scrape = Some(Scrape::new(figures));
            let mut turns = 0;
            while let Some(left) = scrape {
                turns += 1;
                scrape = left.go_on(&panel, 1, |from, partitions_max, figures| {
                    assert_eq!((from, partitions_max), (turns - 1, PARTITIONS_MAX / 2));
                    figures.partition_count += 1;
                    (turns < 3).then_some(turns)
                });
                assert_eq!(scrape.is_none(), turns == 3);
            }
        }
        let figures = panel.take(1).unwrap();
        assert_eq!((figures.cpu_us, figures.shard.partition_count), (2, 3));
        assert!(panel.take(1).is_none() && panel.take(0).is_none());
    }
}
