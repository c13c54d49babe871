//! The sockets and the clock of a [`Client`]: one thread, no runtime.
//!
//! Invariants: sockets never block; a turn waits in one place only, in poll(2), for at most as long as it was told; names
//! are looked up when a connection is opened, which is the one thing that can take longer.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, socket, sockopt::SocketError,
};

use crate::address::Address;
use crate::call::{Call, CallError};
use crate::client::{Client, ClientConfig};
use crate::cluster::{Action, ConnectionId};
use crate::connection::{Answer, ConnectionError};

/// How many pieces one write takes.
const WRITE_PIECES_MAX: usize = 64;

/// No broker could be reached: each address that was tried, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable(pub Vec<(Address, ConnectionError)>);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, error)) in self.0.iter().enumerate() {
            write!(f, "{}no broker can be reached at {address}: {error}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Unreachable {}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    is_open: bool,
    /// Addresses of the same name that are tried if this one fails.
    others: VecDeque<SocketAddr>,
    output: VecDeque<Bytes>,
}

/// Ends a turn that waits, from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// Ends the turn that waits now, or the next one that would.
    pub fn wake(&self) {
        // It fails only where it was woken 2^64 times and nobody looked: it wakes then, too.
        let _ = self.0.write(1);
    }
}

/// A client with sockets.
#[derive(Debug)]
pub struct Driver {
    waker: Option<Waker>,
    client: Client,
    sockets: BTreeMap<ConnectionId, Socket>,
    started: Instant,
    actions: Vec<Action>,
}

impl Driver {
    /// A client that connects when it has something to do.
    pub fn new(config: ClientConfig) -> Self {
        Self {
            waker: None,
            client: Client::new(config),
            sockets: BTreeMap::new(),
            started: Instant::now(),
            actions: Vec::new(),
        }
    }

    /// What other threads can end a turn with.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn waker(&mut self) -> std::io::Result<Waker> {
        if let Some(waker) = &self.waker {
            return Ok(waker.clone());
        }
        let waker = Waker(Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?));
        self.waker = Some(waker.clone());
        Ok(waker)
    }

    /// The client, to ask it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client, to tell it something; [`Self::turn`] then does it. With the time as it knows it.
    pub fn client_mut(&mut self) -> (&mut Client, Duration) {
        (&mut self.client, self.started.elapsed())
    }

    /// Sends and receives what there is; if there is nothing, and nothing new to be taken from the client, waits for it,
    /// `wait_max` at most.
    pub fn turn(&mut self, wait_max: Duration) {
        let news = self.client.news();
        self.act();
        let now = self.started.elapsed();
        let wait_max = if self.client.news() > news { Duration::ZERO } else { wait_max };
        let until = self.client.deadline(now).map_or(wait_max, |at| at.saturating_sub(now).min(wait_max));
        let ready = self.wait(until);
        for (id, flags) in ready {
            if flags.intersects(PollFlags::POLLOUT | PollFlags::POLLERR | PollFlags::POLLHUP) {
                self.writable(id);
            }
            if flags.intersects(PollFlags::POLLIN | PollFlags::POLLERR | PollFlags::POLLHUP) {
                self.readable(id);
            }
        }
        self.act();
    }

    /// Turns until `done` gives something, or until `timeout` is over.
    pub fn until<T>(&mut self, timeout: Duration, mut done: impl FnMut(&mut Client) -> Option<T>) -> Option<T> {
        let deadline = self.started.elapsed().saturating_add(timeout);
        loop {
            if let Some(value) = done(&mut self.client) {
                return Some(value);
            }
            let now = self.started.elapsed();
            if now >= deadline {
                return None;
            }
            self.turn(deadline - now);
        }
    }

    /// Connects and learns what the cluster looks like.
    ///
    /// # Errors
    /// Every address to begin with failed, or none answered within `timeout`.
    pub fn connect(&mut self, timeout: Duration) -> Result<(), Unreachable> {
        let known = self.until(timeout, |client| {
            (client.metadata().is_known() || client.is_unreachable()).then(|| client.metadata().is_known())
        });
        match known {
            Some(true) => Ok(()),
            Some(false) | None => Err(self.unreachable()),
        }
    }

    /// What is known about why no broker can be reached.
    pub fn unreachable(&self) -> Unreachable {
        Unreachable(self.client.failures().map(|(address, error)| (address.clone(), error.clone())).collect())
    }

    /// Makes a call and waits for its end.
    ///
    /// # Errors
    /// As the call has it.
    pub fn call(&mut self, call: Call) -> Result<Answer, CallError> {
        let now = self.started.elapsed();
        let id = self.client.call(now, call);
        loop {
            if let Some(result) = self.client.take_answer(id) {
                return result;
            }
            self.turn(Duration::from_secs(60));
        }
    }

    /// Makes the client decide, and does what it decided.
    fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        loop {
            self.client.poll(self.started.elapsed(), &mut actions);
            if actions.is_empty() {
                break;
            }
            for action in actions.drain(..) {
                match action {
                    Action::Connect(id, address) => self.open(id, &address),
                    Action::Send(id, segments) => {
                        if let Some(socket) = self.sockets.get_mut(&id) {
                            socket.output.extend(segments.into_iter().filter(|segment| !segment.is_empty()));
                            self.write(id);
                        }
                    }
                    Action::Close(id) => {
                        self.sockets.remove(&id);
                    }
                }
            }
        }
        self.actions = actions;
    }

    fn wait(&self, until: Duration) -> Vec<(ConnectionId, PollFlags)> {
        // Rounded up: a turn that wakes before its time would find nothing to do.
        let millis = until.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let mut ids = Vec::with_capacity(self.sockets.len());
        let mut fds = Vec::with_capacity(self.sockets.len());
        for (id, socket) in &self.sockets {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, socket.is_open);
            flags.set(PollFlags::POLLOUT, !socket.is_open || !socket.output.is_empty());
            ids.push(*id);
            fds.push(PollFd::new(socket.stream.as_fd(), flags));
        }
        if let Some(waker) = &self.waker {
            fds.push(PollFd::new(waker.0.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            // A signal: whoever waits for one looks after the turn.
            Err(_) => Vec::new(),
            Ok(_) => {
                if let Some(waker) = &self.waker {
                    // Nothing there to be read: it was not woken.
                    let _ = waker.0.read();
                }
                let flags = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
                ids.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect()
            }
        }
    }

    fn open(&mut self, id: ConnectionId, address: &Address) {
        match (address.host.as_str(), address.port).to_socket_addrs() {
            Ok(found) => self.open_next(id, found.collect(), "the name has no address".to_owned()),
            Err(error) => self.lost(id, format!("the name cannot be looked up ({error})")),
        }
    }

    /// Tries the next address of a name.
    fn open_next(&mut self, id: ConnectionId, mut addresses: VecDeque<SocketAddr>, mut reason: String) {
        while let Some(address) = addresses.pop_front() {
            match begin_connect(address) {
                Ok(stream) => {
                    let socket = Socket { stream, is_open: false, others: addresses, output: VecDeque::new() };
                    self.sockets.insert(id, socket);
                    return;
                }
                Err(error) => reason = words(error),
            }
        }
        self.lost(id, reason);
    }

    fn writable(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if socket.is_open {
            self.write(id);
            return;
        }
        match getsockopt(&socket.stream, SocketError) {
            Ok(0) => {
                socket.is_open = true;
                let now = self.started.elapsed();
                self.client.opened(now, id);
            }
            Ok(code) => {
                let socket = self.sockets.remove(&id).expect("looked at");
                self.open_next(id, socket.others, words(Errno::from_raw(code)));
            }
            Err(error) => self.lost(id, words(error)),
        }
    }

    fn write(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        while !socket.output.is_empty() {
            let pieces: Vec<_> = socket.output.iter().take(WRITE_PIECES_MAX).map(|bytes| IoSlice::new(bytes)).collect();
            match socket.stream.write_vectored(&pieces) {
                Ok(mut written) => {
                    while let Some(first) = socket.output.front_mut().filter(|_| written > 0) {
                        let part = written.min(first.len());
                        first.advance(part);
                        written -= part;
                        if first.is_empty() {
                            socket.output.pop_front();
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.lost(id, error.to_string());
                    return;
                }
            }
        }
    }

    fn readable(&mut self, id: ConnectionId) {
        loop {
            let Some(socket) = self.sockets.get_mut(&id).filter(|socket| socket.is_open) else { return };
            let Some(room) = self.client.room(id) else { return };
            let size = room.len();
            match socket.stream.read(room) {
                Ok(0) => return self.lost(id, "the broker closed the connection".to_owned()),
                Ok(count) => {
                    self.client.received(self.started.elapsed(), id, count);
                    if count < size {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.lost(id, error.to_string()),
            }
        }
    }

    fn lost(&mut self, id: ConnectionId, reason: String) {
        self.sockets.remove(&id);
        self.client.closed(self.started.elapsed(), id, ConnectionError::Broken(reason));
    }
}

/// A socket that is being connected.
fn begin_connect(address: SocketAddr) -> Result<TcpStream, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd: OwnedFd = socket(family, SockType::Stream, flags, None)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let stream = TcpStream::from(fd);
    // Requests are written whole; there is nothing to gather.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// The system's words without its number.
fn words(error: Errno) -> String {
    error.desc().to_lowercase()
}
