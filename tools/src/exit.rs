//! How a command ends: its exit status, and the one sentence that says why.

use std::fmt;
use std::process::ExitCode;

/// Something is wrong that the operator can change: an occupied port, a missing file, a machine that lacks something.
pub(crate) const FAILED: u8 = 1;
// 2 is clap's, for a command line that makes no sense.
/// Data is damaged: `dump` found it, or a start was refused that would have lost acknowledged records.
pub(crate) const DAMAGED: u8 = 65;

/// The statuses as `--help` shows them.
pub(crate) const HELP: &str = "\
Exit statuses:
  0  done; for start: stopped as asked, everything written back
  1  failed: the message says what, where, and what to do
  2  the command line makes no sense
  65 data is damaged; start refuses to lose acknowledged records without --accept-loss
  70 the storage failed while the broker ran (an I/O error on the journal, a failed sync):
     what was acknowledged is safe, the next start recovers from the device";

/// The same of a command that talks to a broker.
pub(crate) const CLIENT_HELP: &str = "\
Exit statuses:
  0  done
  1  failed: the message says what, where, and what to do
  2  the command line makes no sense";

/// The end of a command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit status.
    pub(crate) status: u8,
    /// What is wrong, where, and what to do; empty where everything was said already.
    pub(crate) message: String,
}

impl Failure {
    /// With status [`FAILED`].
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { status: FAILED, message: message.into() }
    }

    /// With a status of its own.
    pub(crate) fn with_status(status: u8, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Says why, and is the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("corelog: {self}");
        }
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
