//! The ring: submissions in, completions out, one system call a turn.
//!
//! Owns the raw io_uring instance, the eventfd that announces completions, the receive buffers that it provides, and
//! the timer. Invariants:
//! - Entries reach the kernel in the order in which they were pushed.
//! - `in_flight` counts the operations whose last completion has not been drained. When it is 0 the kernel holds no
//!   address of ours except those of the provided buffers.
//! - The eventfd is quiet while the host is awake; it is enabled before the last look at the completions.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, TimeoutFlags, Timespec};
use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode, squeue};
use nix::errno::Errno;
use nix::libc;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::provided::ProvidedBuffers;

/// Entries of the submission queue. More are kept back until the next turn.
const SUBMISSIONS: u32 = 512;
/// Entries of the completion queue. More are kept by the kernel.
const COMPLETIONS: u32 = 4096;
/// How many completions one turn takes at most, so that its work is bounded.
pub(crate) const COMPLETIONS_PER_TURN: usize = 256;
/// Kernel threads for file operations that cannot run without blocking.
const WORKERS_MAX: u32 = 8;
/// How long a closing ring waits for operations that cannot be cancelled.
const QUIESCE_SECONDS: u64 = 10;

/// What may differ between kernels. The oldest supported one is 6.1; what is newer has a fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Completions are processed when the ring is entered, not by interrupting the thread (6.1).
    pub deferred_work: bool,
    /// One accept operation serves many connections (5.19).
    pub multishot_accept: bool,
    /// `ftruncate` runs on the ring (6.9); otherwise as a plain system call.
    pub truncate: bool,
    /// Files go to sockets through pipes (5.7, but a sandbox may forbid it); otherwise they are read.
    pub splice: bool,
}

impl Features {
    /// All that this code can use.
    pub const NEWEST: Self = Self { deferred_work: true, multishot_accept: true, truncate: true, splice: true };
    /// None of it: every fallback is taken.
    pub const OLDEST: Self = Self { deferred_work: false, multishot_accept: false, truncate: false, splice: false };

    /// What of `self` this kernel has.
    pub fn here(self) -> io::Result<Self> {
        Ring::new(self, 1).map(|ring| ring.features)
    }
}

/// Whose completion it is. Travels through the kernel as the operation's user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The listening socket's accept.
    Accept,
    /// A request to stop.
    Stop,
    /// The bell that other threads ring.
    Bell,
    /// The one timer.
    Timer,
    /// A cancellation or the like, whose outcome nobody waits for.
    Ignored,
    /// The receive of the connection in this place.
    Receive(u32),
    /// Its send.
    Send(u32),
    /// Somebody wants to see what was counted.
    Scrape,
    /// The step of the chain in this place.
    File(u32),
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, place) = match self {
            Self::Accept => (1, 0),
            Self::Stop => (2, 0),
            Self::Timer => (3, 0),
            Self::Ignored => (4, 0),
            Self::Receive(place) => (5, place),
            Self::Send(place) => (6, place),
            Self::File(place) => (7, place),
            Self::Bell => (8, 0),
            Self::Scrape => (9, 0),
        };
        kind << 32 | u64::from(place)
    }

    fn decode(value: u64) -> Self {
        let place = value as u32;
        match value >> 32 {
            1 => Self::Accept,
            2 => Self::Stop,
            3 => Self::Timer,
            5 => Self::Receive(place),
            6 => Self::Send(place),
            7 => Self::File(place),
            8 => Self::Bell,
            9 => Self::Scrape,
            kind => {
                assert_eq!(kind, 4, "the kernel returned user data that was never given: {value:#x}");
                Self::Ignored
            }
        }
    }
}

/// One drained completion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) token: Token,
    /// As the system call would return it: a count, a descriptor, or a negative errno.
    pub(crate) result: i32,
    flags: u32,
}

impl Completion {
    /// Whether the operation goes on and will complete again.
    pub(crate) fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The provided buffer that holds what was received.
    pub(crate) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }

    /// Whether the socket still had bytes to receive.
    pub(crate) fn socket_nonempty(&self) -> bool {
        cqueue::sock_nonempty(self.flags)
    }

    /// The result, with a negative one as an error.
    pub(crate) fn outcome(&self) -> Result<u32, Errno> {
        u32::try_from(self.result).map_err(|_| Errno::from_raw(-self.result))
    }
}

/// The ring of one host.
pub(crate) struct Ring {
    uring: IoUring,
    /// Entries that the submission queue had no room for.
    backlog: VecDeque<squeue::Entry>,
    in_flight: usize,
    /// How often the kernel was entered.
    enters: u64,
    features: Features,
    event: OwnedFd,
    /// Where the kernel reads the time from when it takes the entry.
    deadline: Box<Timespec>,
    armed_us: Option<u64>,
    provided: Option<ProvidedBuffers>,
}

/// Proof that nothing is in flight: whoever holds a buffer of an operation may free it.
pub(crate) struct Quiet(());

impl Ring {
    /// Sets up a ring for the calling thread, which alone may use it. `wanted` is cut down to what the kernel has.
    pub(crate) fn new(wanted: Features, provided_buffers: u16) -> io::Result<Self> {
        let (uring, deferred_work) = set_up(wanted.deferred_work)?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let features = Features {
            deferred_work,
            multishot_accept: wanted.multishot_accept && probe.is_supported(opcode::SendZc::CODE),
            truncate: wanted.truncate && probe.is_supported(opcode::Ftruncate::CODE),
            splice: wanted.splice && probe.is_supported(opcode::Splice::CODE),
        };
        // Blocking descriptor: a read of it waits, as glommio's ring expects.
        let event = OwnedFd::from(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        uring.submitter().register_eventfd(event.as_raw_fd())?;
        // Without the limit, a burst of file operations starts a thread each. An error leaves the kernel's own limit.
        let _ = uring.submitter().register_iowq_max_workers(&mut [WORKERS_MAX, 0]);
        let provided = ProvidedBuffers::new(&uring, provided_buffers)?;
        let mut ring = Self {
            uring,
            backlog: VecDeque::new(),
            in_flight: 0,
            enters: 0,
            features,
            event,
            deadline: Box::new(Timespec::new()),
            armed_us: None,
            provided: Some(provided),
        };
        ring.uring.completion().disable_eventfd();
        Ok(ring)
    }

    /// What is used of the kernel.
    pub(crate) fn features(&self) -> Features {
        self.features
    }

    /// How often the kernel was entered.
    pub(crate) fn enters(&self) -> u64 {
        self.enters
    }

    /// Operations whose last completion has not been drained.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Entries that wait for a place in the submission queue.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// The eventfd that is written when a completion arrives while the host sleeps.
    pub(crate) fn event(&self) -> &OwnedFd {
        &self.event
    }

    /// The receive buffers.
    pub(crate) fn provided(&mut self) -> &mut ProvidedBuffers {
        self.provided.as_mut().expect("the buffers live as long as the ring")
    }

    /// Queues an operation for the next [`Ring::submit`].
    ///
    /// # Safety
    /// Every address in the entry stays valid, and nobody else uses the memory in a way that conflicts with the
    /// operation, until its last completion has been drained.
    pub(crate) unsafe fn push(&mut self, entry: squeue::Entry, token: Token) {
        self.in_flight += 1;
        let entry = entry.user_data(token.encode());
        // SAFETY: The caller vouches for the entry's addresses.
        let full = !self.backlog.is_empty() || unsafe { self.uring.submission().push(&entry) }.is_err();
        if full {
            self.backlog.push_back(entry);
        }
    }

    /// Asks the kernel to give up the operation with this token, if it is still there. It completes in any case.
    pub(crate) fn cancel(&mut self, token: Token) {
        // SAFETY: The entry holds no address.
        unsafe { self.push(opcode::AsyncCancel::new(token.encode()).build(), Token::Ignored) };
    }

    /// Hands everything that was pushed to the kernel, and lets it post what is complete.
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        loop {
            let mut queue = self.uring.submission();
            while let Some(entry) = self.backlog.front() {
                // SAFETY: Whoever pushed the entry vouched for its addresses.
                if unsafe { queue.push(entry) }.is_err() {
                    break;
                }
                self.backlog.pop_front();
            }
            queue.sync();
            let queued = queue.len() as u32;
            drop(queue);
            self.enters += 1;
            // SAFETY: The arguments are plain numbers; the entries were vouched for when they were pushed.
            let entered = unsafe {
                self.uring.submitter().enter::<libc::sigset_t>(queued, 0, EnterFlags::GETEVENTS.bits(), None)
            };
            match entered {
                Ok(taken) if taken as u32 >= queued && self.backlog.is_empty() => return Ok(()),
                Ok(_) => {}
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The kernel holds more completions than fit: drain first, the next turn submits the rest.
                    Some(libc::EBUSY | libc::EAGAIN) => return Ok(()),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Appends up to [`COMPLETIONS_PER_TURN`] completions to `into`. Call [`Ring::submit`] before.
    pub(crate) fn drain(&mut self, into: &mut Vec<Completion>) {
        for entry in self.uring.completion().take(COMPLETIONS_PER_TURN) {
            let token = Token::decode(entry.user_data());
            let completion = Completion { token, result: entry.result(), flags: entry.flags() };
            if !completion.more() {
                assert!(self.in_flight > 0, "more completions than operations");
                self.in_flight -= 1;
            }
            if token == Token::Timer {
                self.armed_us = None;
            }
            into.push(completion);
        }
    }

    /// Whether there is something to drain or to submit.
    pub(crate) fn has_work(&mut self) -> bool {
        self.has_unsubmitted() || !self.uring.completion().is_empty()
    }

    /// Whether something was pushed that [`Ring::submit`] has not handed over.
    pub(crate) fn has_unsubmitted(&mut self) -> bool {
        !self.backlog.is_empty() || !self.uring.submission().is_empty()
    }

    /// As [`Ring::submit`], and blocks the thread until there is a completion, or until `until_us` of the monotonic
    /// clock. Returns whether it may have slept: it does not while something is left to drain or to submit.
    pub(crate) fn submit_and_wait_until(&mut self, until_us: Option<u64>) -> io::Result<bool> {
        if !self.backlog.is_empty() || !self.uring.completion().is_empty() {
            self.submit()?;
            return Ok(false);
        }
        let left_us = until_us.map(|until| until.saturating_sub(super::clock::monotonic_us()));
        let time = left_us.map(|us| Timespec::new().sec(us / 1_000_000).nsec((us % 1_000_000) as u32 * 1_000));
        let arguments = match &time {
            Some(time) => SubmitArgs::new().timespec(time),
            None => SubmitArgs::new(),
        };
        self.enters += 1;
        match self.uring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(true),
                _ => Err(error),
            },
        }
    }

    /// Makes the timer complete at `at_us` of the monotonic clock or earlier. It may complete too early, never too late.
    pub(crate) fn wake_at(&mut self, at_us: u64) {
        if self.armed_us.is_some_and(|armed| armed <= at_us) {
            return;
        }
        *self.deadline = Timespec::new().sec(at_us / 1_000_000).nsec((at_us % 1_000_000) as u32 * 1_000);
        let time: *const Timespec = &*self.deadline;
        let (entry, token) = if self.armed_us.is_some() {
            let update = opcode::TimeoutUpdate::new(Token::Timer.encode(), time).flags(TimeoutFlags::ABS);
            (update.build(), Token::Ignored)
        } else {
            (opcode::Timeout::new(time).flags(TimeoutFlags::ABS).build(), Token::Timer)
        };
        // SAFETY: The kernel reads the time when it takes the entry. The box is the ring's, and what is written to it
        // later is a time to wake up at, too.
        unsafe { self.push(entry, token) };
        self.armed_us = Some(at_us);
    }

    /// Call it before sleeping on [`Ring::event`]: submits, and returns whether there is truly nothing to do.
    pub(crate) fn prepare_to_sleep(&mut self) -> io::Result<bool> {
        self.uring.completion().enable_eventfd();
        // What completes after this point writes the eventfd; what completed before it is seen by the submission.
        fence(Ordering::SeqCst);
        self.submit()?;
        if self.has_work() {
            self.woken();
            return Ok(false);
        }
        Ok(true)
    }

    /// Call it after sleeping.
    pub(crate) fn woken(&mut self) {
        self.uring.completion().disable_eventfd();
    }

    /// Watches a descriptor until it is readable, once.
    pub(crate) fn poll_readable(&mut self, descriptor: i32, token: Token) {
        self.poll(descriptor, libc::POLLIN, token);
    }

    /// Watches a descriptor until it is writable, or never will be, once.
    pub(crate) fn poll_writable(&mut self, descriptor: i32, token: Token) {
        self.poll(descriptor, libc::POLLOUT, token);
    }

    /// Watches a descriptor for as long as its completions say that more come: one for each time that it becomes readable
    /// anew, whether it was read or not. Several times in one go may complete once, after the last of them.
    pub(crate) fn watch(&mut self, descriptor: i32, token: Token) {
        let entry = opcode::PollAdd::new(Fd(descriptor), libc::POLLIN as u32).multi(true).build();
        // SAFETY: The entry holds no address.
        unsafe { self.push(entry, token) };
    }

    fn poll(&mut self, descriptor: i32, events: i16, token: Token) {
        let entry = opcode::PollAdd::new(Fd(descriptor), events as u32).build();
        // SAFETY: The entry holds no address.
        unsafe { self.push(entry, token) };
    }

    /// Submits, waits for a completion, and drains. For tests, which have no executor.
    #[cfg(test)]
    pub(crate) fn wait(&mut self, into: &mut Vec<Completion>) {
        self.submit().unwrap();
        self.uring.submit_and_wait(1).unwrap();
        self.drain(into);
    }

    /// Cancels what can be cancelled and waits for everything else. Completions are dropped: it is the end. `None` when
    /// something did not end in time.
    pub(crate) fn quiesce(&mut self) -> Option<Quiet> {
        let deadline = super::clock::monotonic_us() + QUIESCE_SECONDS * 1_000_000;
        let mut dropped = Vec::new();
        while self.in_flight > 0 && super::clock::monotonic_us() < deadline {
            if self.submit().is_err() {
                return None;
            }
            // It fails when there is nothing left to cancel.
            let _ = self.uring.submitter().register_sync_cancel(Some(Timespec::new()), CancelBuilder::any().all());
            self.wake_at(super::clock::monotonic_us() + 10_000);
            if self.submit().is_err()
                || self.uring.submit_and_wait(1).is_err_and(|e| e.kind() != io::ErrorKind::Interrupted)
            {
                return None;
            }
            self.drain(&mut dropped);
            if self.in_flight == 1 && self.armed_us.is_some() {
                self.cancel(Token::Timer);
            }
        }
        (self.in_flight == 0).then_some(Quiet(()))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.in_flight > 0 && self.quiesce().is_none() {
            // The kernel may still write to them: never free them.
            std::mem::forget(self.provided.take());
            std::mem::forget(std::mem::replace(&mut self.deadline, Box::new(Timespec::new())));
        }
    }
}

/// The ring itself, and whether completion work is deferred. Falls back to what older kernels take.
fn set_up(deferred_work: bool) -> io::Result<(IoUring, bool)> {
    if deferred_work {
        let made = IoUring::builder()
            .dontfork()
            .setup_cqsize(COMPLETIONS)
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(SUBMISSIONS);
        match made {
            Ok(uring) => return Ok((uring, true)),
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
            Err(_) => {}
        }
    }
    let uring = IoUring::builder()
        .dontfork()
        .setup_cqsize(COMPLETIONS)
        .setup_submit_all()
        .setup_coop_taskrun()
        .build(SUBMISSIONS)?;
    Ok((uring, false))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn tokens_survive_the_way_through_the_kernel() {
        let tokens = [
            Token::Accept,
            Token::Stop,
            Token::Bell,
            Token::Scrape,
            Token::Timer,
            Token::Ignored,
            Token::Receive(0),
            Token::Send(u32::MAX),
            Token::File(77),
        ];
        for token in tokens {
            assert_eq!(Token::decode(token.encode()), token);
        }
    }

    fn wait(ring: &mut Ring) -> Vec<Completion> {
        let mut completions = Vec::new();
        ring.wait(&mut completions);
        completions
    }

    #[test]
    fn more_entries_than_the_queue_holds_complete_each_once() {
        for wanted in [Features::NEWEST, Features::OLDEST] {
            let mut ring = Ring::new(wanted, 4).unwrap();
            let count = 3 * SUBMISSIONS;
            for place in 0..count {
                // SAFETY: The entry holds no address.
                unsafe { ring.push(opcode::Nop::new().build(), Token::File(place)) };
            }
            let mut seen = Vec::new();
            while seen.len() < count as usize {
                seen.extend(wait(&mut ring).iter().map(|completion| completion.token));
            }
            assert_eq!(seen, (0..count).map(Token::File).collect::<Vec<_>>());
            assert_eq!(ring.in_flight, 0);
            assert!(!ring.has_work());
        }
    }

    #[test]
    fn the_timer_completes_at_the_earliest_deadline_asked_for() {
        let mut ring = Ring::new(Features::NEWEST, 4).unwrap();
        let start = super::super::clock::monotonic_us();
        ring.wake_at(start + 60_000_000);
        ring.wake_at(start + 20_000);
        ring.wake_at(start + 40_000_000);
        loop {
            if wait(&mut ring).iter().any(|completion| completion.token == Token::Timer) {
                break;
            }
        }
        let took = super::super::clock::monotonic_us() - start;
        assert!((20_000..10_000_000).contains(&took), "{took} us");
        assert_eq!(ring.armed_us, None);
    }

    #[test]
    fn the_eventfd_speaks_only_to_a_sleeper() {
        for wanted in [Features::NEWEST, Features::OLDEST] {
            let mut ring = Ring::new(wanted, 4).unwrap();
            // Not an eventfd: one that is written while another wakes its readers is written later.
            let (watched, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
            let readable = |ring: &Ring| {
                let mut poll =
                    [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(ring.event()), nix::poll::PollFlags::POLLIN)];
                nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO).unwrap() == 1
            };
            // SAFETY: The entry holds no address.
            unsafe { ring.push(opcode::Nop::new().build(), Token::File(1)) };
            ring.submit().unwrap();
            assert!(!readable(&ring), "awake: nobody asked");
            assert!(!ring.prepare_to_sleep().unwrap(), "there is a completion to drain");
            ring.drain(&mut Vec::new());
            ring.poll_readable(watched.as_raw_fd(), Token::File(2));
            assert!(ring.prepare_to_sleep().unwrap());
            writer.write_all(b"x").unwrap();
            assert!(readable(&ring), "asleep: the completion rings");
            ring.woken();
            let completions = wait(&mut ring);
            assert_eq!((completions[0].token, completions[0].result), (Token::File(2), 1));
        }
    }

    #[test]
    fn a_wait_ends_with_a_completion_or_at_its_time() {
        for wanted in [Features::NEWEST, Features::OLDEST] {
            let mut ring = Ring::new(wanted, 4).unwrap();
            let start = super::super::clock::monotonic_us();
            assert!(ring.submit_and_wait_until(Some(start + 10_000)).unwrap());
            assert!(super::super::clock::monotonic_us() >= start + 10_000 && !ring.has_work());
            let (watched, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
            ring.poll_readable(watched.as_raw_fd(), Token::File(2));
            let writing = std::thread::spawn(move || writer.write_all(b"x").map(|()| writer).unwrap());
            assert!(ring.submit_and_wait_until(None).unwrap());
            assert!(ring.has_work());
            assert!(!ring.submit_and_wait_until(None).unwrap(), "there is a completion to drain");
            writing.join().unwrap();
        }
    }

    #[test]
    fn quiesce_ends_operations_that_would_wait_for_ever() {
        let mut ring = Ring::new(Features::NEWEST, 4).unwrap();
        let never = EventFd::new().unwrap();
        for place in 0..10 {
            ring.poll_readable(never.as_raw_fd(), Token::File(place));
        }
        ring.submit().unwrap();
        assert!(ring.quiesce().is_some());
        assert_eq!(ring.in_flight, 0);
    }
}
