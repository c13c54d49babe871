//! How a running host learns that it shall stop: from a handle, or from SIGTERM and SIGINT.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The request to stop, as the host waits for it.
pub struct Stop {
    event: Arc<EventFd>,
    signals: Option<SignalFd>,
}

/// Asks a host to stop, from any thread, any number of times.
#[derive(Clone)]
pub struct StopHandle(Arc<EventFd>);

impl StopHandle {
    /// Asks. The host stops accepting, the shard answers what is in flight and writes back, then the host returns.
    pub fn stop(&self) {
        // It fails only when the counter is full: the request is there already.
        let _ = self.0.write(1);
    }
}

impl Stop {
    /// A request that only [`Stop::handle`] can make.
    pub fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { event: Arc::new(event), signals: None })
    }

    /// As [`Stop::new`], and SIGTERM and SIGINT make it too. Call it before the process starts any thread: the signals
    /// are blocked in the calling thread and in those that it starts, so that they reach the host only.
    pub fn on_signals() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { signals: Some(signals), ..Self::new()? })
    }

    /// A handle that makes the request.
    pub fn handle(&self) -> StopHandle {
        StopHandle(Arc::clone(&self.event))
    }

    /// The descriptors that become readable with the request.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [Some(self.event.as_fd()), self.signals.as_ref().map(AsFd::as_fd)].into_iter().flatten()
    }

    /// Takes the request: who made it, or `None` when nobody did.
    pub(crate) fn take(&mut self) -> Option<&'static str> {
        if let Some(signals) = &mut self.signals
            && let Ok(Some(info)) = signals.read_signal()
        {
            return Some(if info.ssi_signo == Signal::SIGINT as u32 { "SIGINT" } else { "SIGTERM" });
        }
        self.event.read().ok().map(|_| "a request")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_once_however_often_it_was_made() {
        let mut stop = Stop::new().unwrap();
        assert_eq!(stop.take(), None);
        let handle = stop.handle();
        handle.stop();
        std::thread::spawn(move || handle.stop()).join().unwrap();
        assert_eq!(stop.take(), Some("a request"));
        assert_eq!(stop.take(), None);
        assert_eq!(stop.descriptors().count(), 1);
    }
}
