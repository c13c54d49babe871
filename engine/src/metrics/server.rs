//! The thread that answers whoever looks: few connections at a time, one request on each, nobody waited for.
//!
//! Bounds: [`CLIENTS_MAX`] connections, of which the one that has taken longest over its request goes when another
//! comes; a head of [`http::HEAD_BYTES_MAX`] bytes; a time for each step. However many ask at the same time, the hosts are
//! asked once and the page is made once.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::http::{self, Asked, StatusLine};
use super::panel::{Panel, Phase};
use super::report::Report;
use super::{MetricsError, families};
use crate::net::listener::{Listener, REST_US};
use crate::runtime::clock;

/// Connections at a time.
const CLIENTS_MAX: usize = 32;
/// How long a client may take over its request, in microseconds.
const REQUEST_US: u64 = 5_000_000;
/// How long it may take to read the answer.
const ANSWER_US: u64 = 10_000_000;
/// How long it may take to close the connection behind the answer.
const LINGER_US: u64 = 1_000_000;
/// How long hosts may take to answer. One that takes longer does not respond.
const SCRAPE_US: u64 = 1_000_000;

/// The server. It ends when this value goes.
#[derive(Debug)]
pub struct Metrics {
    address: SocketAddr,
    panel: Panel,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Takes the port (0 picks a free one) and starts to answer.
    ///
    /// # Errors
    /// The port cannot be had, or there can be no thread.
    pub fn start(address: SocketAddr, panel: Panel) -> Result<Self, MetricsError> {
        let listener = Listener::bind(address).map_err(MetricsError::Listen)?;
        let address = listener.address();
        let ends = Arc::new(AtomicBool::new(false));
        let server = Server {
            listener: listener.into_nonblocking().map_err(MetricsError::System)?,
            accepts_from_us: 0,
            report: Report::new(panel.hosts()),
            panel: panel.clone(),
            clients: Vec::new(),
            scrape_until_us: None,
            ends: Arc::clone(&ends),
        };
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(|| server.run());
        let thread = Some(thread.map_err(MetricsError::System)?);
        Ok(Self { address, panel, ends, thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        self.panel.ring();
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was said on standard error.
            let _ = thread.join();
        }
    }
}

/// What a client is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Metrics,
    Readiness,
}

enum State {
    /// Its request, as far as it has come.
    Reading(Vec<u8>),
    /// The hosts are asked.
    Waiting(Subject, Asked),
    /// So much of the two parts is sent.
    Answering {
        head: Vec<u8>,
        body: Arc<str>,
        sent: usize,
    },
    /// It has everything, and closes before we do: what it sent too much would otherwise cost it the answer.
    Lingering,
    Gone,
}

struct Client {
    stream: TcpStream,
    state: State,
    until_us: u64,
}

struct Server {
    listener: TcpListener,
    /// Accepting rests until then.
    accepts_from_us: u64,
    report: Report,
    panel: Panel,
    clients: Vec<Client>,
    /// The hosts are asked, and have until then.
    scrape_until_us: Option<u64>,
    ends: Arc<AtomicBool>,
}

impl Server {
    fn run(mut self) {
        while !self.ends.load(Ordering::Acquire) {
            let (wakes, events) = match self.wait() {
                Ok(woken) => woken,
                Err(errno) => return tracing::error!("/metrics ends: cannot wait for connections: {}", errno.desc()),
            };
            let now_us = clock::monotonic_us();
            if wakes {
                self.panel.heard();
            }
            for host in 0..self.panel.hosts() {
                if let Some(figures) = self.panel.take(host) {
                    self.report.answered(host, figures);
                }
            }
            for (client, events) in self.clients.iter_mut().zip(events) {
                client.go_on(events, now_us);
            }
            self.accept(now_us);
            self.look_at_hosts(now_us);
            self.clients.retain(|client| !matches!(client.state, State::Gone));
        }
    }

    /// Sleeps until there is something to do. Returns whether a host or the end rang, and what happened to each client.
    fn wait(&self) -> Result<(bool, Vec<PollFlags>), Errno> {
        let now_us = clock::monotonic_us();
        let mut polled = vec![PollFd::new(self.panel.bell(), PollFlags::POLLIN)];
        for client in &self.clients {
            let wanted = match client.state {
                State::Reading(_) | State::Lingering => PollFlags::POLLIN,
                State::Answering { .. } => PollFlags::POLLOUT,
                State::Waiting(..) | State::Gone => PollFlags::empty(),
            };
            polled.push(PollFd::new(client.stream.as_fd(), wanted));
        }
        let rests = now_us < self.accepts_from_us;
        if !rests {
            polled.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        }
        let deadlines = self.clients.iter().map(|client| client.until_us).chain(self.scrape_until_us);
        let next_us = deadlines.chain(rests.then_some(self.accepts_from_us)).min();
        let timeout = next_us.map_or(PollTimeout::NONE, |at_us| {
            PollTimeout::try_from(at_us.saturating_sub(now_us).div_ceil(1_000)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let mut events = polled.iter().map(|polled| polled.revents().unwrap_or(PollFlags::empty()));
        let wakes = events.next().is_some_and(|events| !events.is_empty());
        Ok((wakes, events.take(self.clients.len()).collect()))
    }

    fn accept(&mut self, now_us: u64) {
        if now_us < self.accepts_from_us {
            return;
        }
        // At most as many as there may be: others want to be looked at too.
        for _ in 0..CLIENTS_MAX {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => continue,
                Err(error) => {
                    self.accepts_from_us = now_us + REST_US;
                    return tracing::warn!("/metrics cannot accept connections for a moment: {error}");
                }
            };
            if stream.set_nonblocking(true).is_err() || !self.has_place() {
                continue;
            }
            self.clients.push(Client { stream, state: State::Reading(Vec::new()), until_us: now_us + REQUEST_US });
        }
    }

    /// Makes a place for another client, if one has not said what it wants yet.
    fn has_place(&mut self) -> bool {
        self.clients.retain(|client| !matches!(client.state, State::Gone));
        if self.clients.len() < CLIENTS_MAX {
            return true;
        }
        let idle = |client: &Client| matches!(client.state, State::Reading(_) | State::Lingering);
        let idle = self.clients.iter().enumerate().filter(|(_, client)| idle(client));
        let Some((oldest, _)) = idle.min_by_key(|(_, client)| client.until_us) else { return false };
        self.clients.swap_remove(oldest);
        true
    }

    /// Asks the hosts where a client waits for it, and answers when they have.
    fn look_at_hosts(&mut self, now_us: u64) {
        if !self.clients.iter().any(|client| matches!(client.state, State::Waiting(..))) {
            return;
        }
        let are_there = self.panel.phase() != Phase::Recovering;
        if self.scrape_until_us.is_none() && are_there {
            self.report.asked();
            self.panel.ask();
            self.scrape_until_us = Some(now_us + SCRAPE_US);
        }
        if self.scrape_until_us.is_some_and(|until_us| now_us < until_us) && !self.report.is_complete() {
            return;
        }
        self.scrape_until_us = None;
        self.report.give_up();
        self.answer_all(now_us);
    }

    fn answer_all(&mut self, now_us: u64) {
        let mut page: Option<Arc<str>> = None;
        for client in &mut self.clients {
            let State::Waiting(subject, asked) = &client.state else { continue };
            let (status, content_type, body) = match subject {
                Subject::Metrics => {
                    let body = page
                        .get_or_insert_with(|| families::encode(self.report.page(self.panel.phase(), now_us)).into());
                    (http::OK, http::metrics_type(asked.open_metrics), Arc::clone(body))
                }
                Subject::Readiness => {
                    let (status, text) = readiness(self.panel.phase(), self.report.silent());
                    (status, PLAIN, text.into())
                }
            };
            let head_only = asked.head_only;
            client.answer(status, content_type, body, head_only, now_us);
        }
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// Whether clients are served, and what is missing otherwise.
fn readiness(phase: Phase, silent: impl Iterator<Item = usize>) -> (StatusLine, String) {
    let missing = match phase {
        Phase::Recovering => "the data directory is being recovered".to_owned(),
        Phase::Stopping => "the broker is stopping".to_owned(),
        Phase::Serving => {
            let silent: Vec<String> = silent.map(|shard| shard.to_string()).collect();
            if silent.is_empty() {
                return (http::OK, "ready\n".to_owned());
            }
            format!("no answer from shard {}", silent.join(", "))
        }
    };
    (http::UNAVAILABLE, format!("not ready: {missing}\n"))
}

impl Client {
    /// Does what the socket allows.
    fn go_on(&mut self, events: PollFlags, now_us: u64) {
        let is_broken = events.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL);
        let has_left = events.contains(PollFlags::POLLHUP) && matches!(self.state, State::Waiting(..));
        if is_broken || has_left || now_us >= self.until_us {
            self.state = State::Gone;
            return;
        }
        if events.is_empty() {
            return;
        }
        match &self.state {
            State::Reading(_) => self.read(now_us),
            State::Answering { .. } => self.write(now_us),
            State::Lingering => self.linger(),
            State::Waiting(..) | State::Gone => {}
        }
    }

    fn read(&mut self, now_us: u64) {
        let State::Reading(head) = &mut self.state else { unreachable!("the caller has looked") };
        let mut buffer = [0; http::HEAD_BYTES_MAX];
        let room = http::HEAD_BYTES_MAX - head.len();
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) => self.state = State::Gone,
            Ok(count) => {
                head.extend_from_slice(&buffer[..count]);
                match http::parse(head) {
                    Ok(None) => {}
                    Ok(Some(asked)) => self.asked(asked, now_us),
                    Err(status) => self.answer(status, PLAIN, format!("{}\n", status.1).into(), false, now_us),
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn asked(&mut self, asked: Asked, now_us: u64) {
        let (status, body) = match asked.path.as_str() {
            "/metrics" => return self.wait_for(Subject::Metrics, asked, now_us),
            "/readyz" => return self.wait_for(Subject::Readiness, asked, now_us),
            "/healthz" => (http::OK, "ok\n"),
            "/" => (http::OK, "Corelog: /metrics, /healthz, /readyz\n"),
            _ => (http::NOT_FOUND, "there are /metrics, /healthz and /readyz\n"),
        };
        self.answer(status, PLAIN, body.into(), asked.head_only, now_us);
    }

    fn wait_for(&mut self, subject: Subject, asked: Asked, now_us: u64) {
        self.until_us = now_us + ANSWER_US;
        self.state = State::Waiting(subject, asked);
    }

    fn answer(&mut self, status: StatusLine, content_type: &str, body: Arc<str>, head_only: bool, now_us: u64) {
        let head = http::head(status, content_type, body.len());
        let body = if head_only { "".into() } else { body };
        self.until_us = now_us + ANSWER_US;
        self.state = State::Answering { head, body, sent: 0 };
        self.write(now_us);
    }

    fn write(&mut self, now_us: u64) {
        let State::Answering { head, body, sent } = &mut self.state else { unreachable!("the caller has looked") };
        while *sent < head.len() + body.len() {
            let rest = match head.get(*sent..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => &body.as_bytes()[*sent - head.len()..],
            };
            match self.stream.write(rest) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.state = State::Gone;
                    return;
                }
            }
        }
        self.until_us = now_us + LINGER_US;
        self.state = match self.stream.shutdown(Shutdown::Write) {
            Ok(()) => State::Lingering,
            Err(_) => State::Gone,
        };
    }

    fn linger(&mut self) {
        let mut buffer = [0; 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.state = State::Gone,
            Ok(_) => {}
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &std::io::Error) {
        if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            self.state = State::Gone;
        }
    }
}
