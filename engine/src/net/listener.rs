//! The listening socket.
//!
//! One socket without `SO_REUSEPORT`: a second broker on the port fails, and few connections do not pile up on one
//! core. Running out of descriptors stops accepting for a moment instead of spinning; clients wait in the backlog.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};

use crate::runtime::ring::{Completion, Ring};
use crate::runtime::socket;

/// How long accepting rests when the process or the system is out of descriptors or memory.
pub(crate) const REST_US: u64 = 200_000;

/// How long a start waits for a port that is in use.
const IN_USE_MAX: Duration = Duration::from_secs(2);

/// The pause before it is asked for again.
const IN_USE_PAUSE: Duration = Duration::from_millis(20);

/// A port that this process listens on. Clients that connect before the host runs wait.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Why a port cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "cannot listen on {address}: another process does (is another broker running?); stop it or use another port"
                )
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "cannot listen on {address}: this machine does not have that address")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "cannot listen on {address}: {error}; ports below 1024 need a privilege")
            }
            _ => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for ListenError {}

impl Listener {
    /// Takes the port; 0 picks a free one.
    ///
    /// A port that is in use is asked for again during [`IN_USE_MAX`]: the rings of a process that was killed, and with them
    /// its sockets, outlive it by a moment.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let bind = || -> io::Result<Self> {
            let socket = TcpListener::bind(address)?;
            listen(&socket, Backlog::MAXCONN)?;
            // Accepted sockets inherit it.
            setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        let begun = Instant::now();
        loop {
            match bind() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < IN_USE_MAX => {
                    thread::sleep(IN_USE_PAUSE);
                }
                result => return result.map_err(|error| ListenError { address, error }),
            }
        }
    }

    /// The socket, for whoever accepts without a ring: it does not block any more.
    pub(crate) fn into_nonblocking(self) -> io::Result<TcpListener> {
        self.socket.set_nonblocking(true)?;
        Ok(self.socket)
    }

    /// The address with the port that was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What an accept brought.
pub(crate) enum Accepted {
    Connection(TcpStream, SocketAddr),
    /// The client is gone already, or accepting was cancelled.
    Nobody,
    /// Accepting rests; the reason.
    Rests(Errno),
}

/// Accepts connections on the ring.
pub(crate) struct Acceptor {
    socket: Option<TcpListener>,
    multishot: bool,
    accepting: bool,
    /// When to accept again, while it rests.
    again_at_us: Option<u64>,
}

impl Acceptor {
    pub(crate) fn new(listener: Listener) -> Self {
        Self { socket: Some(listener.socket), multishot: true, accepting: false, again_at_us: None }
    }

    /// Accepts, unless it does already, rests, or was closed.
    pub(crate) fn start(&mut self, ring: &mut Ring, now_us: u64) {
        if self.accepting || self.again_at_us.is_some_and(|at| now_us < at) {
            return;
        }
        if let Some(socket) = &self.socket {
            self.again_at_us = None;
            self.accepting = true;
            let multishot = self.multishot && ring.features().multishot_accept;
            socket::accept(ring, socket, multishot);
        }
    }

    /// When [`Acceptor::start`] has something to do.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        self.again_at_us
    }

    /// Takes the completion of an accept. Call [`Acceptor::start`] afterwards.
    pub(crate) fn accepted(&mut self, completion: &Completion, now_us: u64) -> Accepted {
        self.accepting = completion.more();
        match socket::accepted(completion) {
            Ok(stream) => match stream.peer_addr() {
                Ok(peer) => Accepted::Connection(stream, peer),
                Err(_) => Accepted::Nobody,
            },
            Err(Errno::EINVAL) if self.multishot => {
                self.multishot = false;
                Accepted::Nobody
            }
            Err(Errno::ECONNABORTED | Errno::EINTR | Errno::ECANCELED) => Accepted::Nobody,
            Err(errno) => {
                self.again_at_us = Some(now_us + REST_US);
                Accepted::Rests(errno)
            }
        }
    }

    /// Gives the port back.
    pub(crate) fn close(&mut self, ring: &mut Ring) {
        self.again_at_us = None;
        if self.socket.take().is_some() && self.accepting {
            ring.cancel(crate::runtime::ring::Token::Accept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_once() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(first.address().port(), 0);
        let error = Listener::bind(first.address()).unwrap_err().to_string();
        assert!(error.contains("another broker") && error.contains(&first.address().to_string()), "{error}");
        let error = Listener::bind("203.0.113.1:0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("does not have that address"), "{error}");
    }
}
