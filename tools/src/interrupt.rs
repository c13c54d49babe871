//! What Ctrl-C does to a command that has something to finish.

use crate::exit::Failure;
use nix::sys::signal::{SigSet, Signal};

/// The status of a process that was interrupted, as shells know it.
const INTERRUPTED: i32 = 130;

/// Calls `first` when the process is told to end for the first time (SIGINT or SIGTERM), in a thread of its own; a second
/// time means at once. To be called before any other thread starts, so that none of them takes the signal.
pub(crate) fn on_interrupt(first: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let mut signals = SigSet::from(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().map_err(|error| Failure::new(format!("cannot take signals: {error}")))?;
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            first();
            let _ = signals.wait();
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}
