//! What operators look at: `/metrics`, `/healthz` and `/readyz` over HTTP, on a thread of their own.
//!
//! Hosts and shards count in plain numbers of their own. Who wants to see them asks each host through its [`Window`]: an
//! eventfd in the host's ring, so that a host that is not asked does nothing for it, asleep or awake. The host copies the
//! numbers, over several turns where there are many partitions, and leaves the copy in a mailbox.
//!
//! Invariants:
//! - No host waits for this thread, and this thread for no host longer than a moment: of a host that does not answer the
//!   copy of before is shown, and that it did not answer.
//! - What one scrape shows, and what clients of the port can hold, is bounded: see [`server`] and [`report`].
//! - The thread ends with its [`Metrics`].

mod families;
mod http;
mod panel;
mod process;
mod report;
mod server;

pub(crate) use panel::Scrape;
pub use panel::{HostFigures, Panel, Phase};
pub use server::Metrics;

use crate::net::listener::ListenError;
use std::fmt;
use std::io;

/// Where `/metrics` listens unless told otherwise.
pub const METRICS_ADDRESS: &str = "127.0.0.1:9644";

/// Why there is no `/metrics`.
#[derive(Debug)]
pub enum MetricsError {
    /// Its port cannot be had.
    Listen(ListenError),
    /// The thread or what it waits with cannot be had.
    System(io::Error),
}

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => {
                write!(f, "no /metrics: {error}; choose another address with --metrics HOST:PORT, or --metrics off")
            }
            Self::System(error) => write!(f, "no /metrics: {error}"),
        }
    }
}

impl std::error::Error for MetricsError {}
