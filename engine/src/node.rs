//! The hosts of a node: one thread for each shard, and the thread that lets connections in and says when to stop.
//!
//! The calling thread is the door: it starts the hosts, accepts, takes the request to stop, and waits for what the hosts
//! say at their end. Invariants:
//! - Clients are let in when every host runs.
//! - A stop closes the port first, then reaches every host; the node has stopped when all of them have.
//! - The first host that cannot go on, or whose thread panics, ends the node: the others are told to do nothing more,
//!   and nobody waits for them. A node never goes on with a part of its shards.
//! - A node with one shard is that shard's host on the calling thread, and nothing else.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use corelog_shard::mesh::{Seat, ShardIndex};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::host::{self, Company, Counts, Decide, Exit, HostConfig, HostError};
use crate::metrics::{Panel, Phase};
use crate::net::door::{Door, Order, Reception};
use crate::net::listener::Listener;
use crate::runtime::bell::Bell;
use crate::runtime::file::DiskFiles;
use crate::runtime::frame_memory::FrameMemory;
use crate::runtime::mesh::Post;
use crate::runtime::stop::Stop;
use crate::runtime::{clock, limits};

/// A shard, and what its host needs for it.
pub struct Member<D> {
    /// What decides.
    pub decide: D,
    /// The data directory, and the files of this shard that are open in it.
    pub files: DiskFiles,
    /// The core for its thread; `None` leaves it to the kernel.
    pub cpu: Option<usize>,
}

/// Runs a host for each shard, in the order of their indices, until all have stopped or one cannot go on. `ready` is
/// called with the address when clients are served. `config.cpu` is not used: each member has its own.
///
/// After [`Exit::Fatal`] and after an error, threads of other hosts may still run for a moment: end the process.
///
/// # Errors
/// A host could not be set up, or its ring failed.
pub fn run<D: Decide + Send + 'static>(
    config: HostConfig,
    listener: Listener,
    mut members: Vec<Member<D>>,
    stop: Stop,
    ready: impl FnOnce(SocketAddr),
) -> Result<Exit, HostError> {
    if members.len() == 1
        && let Some(Member { decide, files, cpu }) = members.pop()
    {
        return host::run(HostConfig { cpu, ..config }, listener, files, decide, stop, ready);
    }
    Node::start(config, listener, members, stop)?.run(ready)
}

/// What a host's thread says.
enum News {
    /// It is set up.
    Runs,
    /// It has ended.
    Ended(Result<Exit, HostError>),
    /// It panicked; what there is to say is on standard error.
    Panicked,
}

/// How a host's thread speaks to the door, whatever becomes of it.
struct Voice {
    shard: ShardIndex,
    news: Sender<(ShardIndex, News)>,
    rung: Arc<EventFd>,
}

impl Voice {
    fn say(&self, news: News) {
        // Nobody listens any more when the node has ended.
        let _ = self.news.send((self.shard, news));
        let _ = self.rung.write(1);
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        if thread::panicking() {
            self.say(News::Panicked);
        }
    }
}

struct Node {
    address: SocketAddr,
    door: Door,
    stop: Stop,
    receptions: Vec<Arc<Reception>>,
    threads: Vec<JoinHandle<()>>,
    news: Receiver<(ShardIndex, News)>,
    /// Readable when there is news.
    rung: Arc<EventFd>,
    counts: Counts,
    /// Hosts that are not set up yet, and hosts that have not ended.
    starting: usize,
    left: usize,
    is_stopping: bool,
    metrics: Option<Panel>,
}

impl Node {
    fn start<D: Decide + Send + 'static>(
        mut config: HostConfig,
        listener: Listener,
        members: Vec<Member<D>>,
        stop: Stop,
    ) -> Result<Self, HostError> {
        // The kernel does not tell an eventfd reliably from within the wake-up of another.
        assert!(!config.shared_executor, "a host among others sleeps in its own ring");
        let failed = |error: io::Error| HostError::new("cannot make what hosts share", error);
        limits::raise_locked_memory();
        let connections_max = host::connections_max(&config);
        // The door keeps to it.
        config.connections.connections_max = usize::MAX;
        let bells = members.iter().map(|_| Bell::new().map(Arc::new)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let for_bells = bells.iter().cloned().map(Some).collect();
        let memories = FrameMemory::shared(config.frame_memory_bytes, config.request_bytes_max, for_bells);
        host::warn_of_short_memory(&config, &memories[0]);
        let receptions: Vec<_> = bells.iter().map(|bell| Arc::new(Reception::new(Arc::clone(bell)))).collect();
        let rung = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let rung = Arc::new(rung.map_err(|errno| failed(errno.into()))?);
        let (sender, news) = mpsc::channel();
        let address = listener.address();
        let door = Door::new(listener.into_nonblocking().map_err(failed)?, &receptions, connections_max);
        let count = members.len();
        let mut node = Self {
            address,
            door,
            stop,
            receptions,
            threads: Vec::with_capacity(count),
            news,
            rung,
            counts: Counts::default(),
            starting: count,
            left: count,
            is_stopping: false,
            metrics: config.metrics.clone(),
        };
        let posts = Post::<D::Message>::all(&bells);
        let shares = Seat::all(count as u32).zip(posts).zip(memories);
        for (member, ((seat, post), memory)) in members.into_iter().zip(shares) {
            let config = HostConfig { cpu: member.cpu, ..config.clone() };
            let reception = Arc::clone(&node.receptions[usize::from(seat.me.0)]);
            let voice = Voice { shard: seat.me, news: sender.clone(), rung: Arc::clone(&node.rung) };
            let thread = thread::Builder::new().name(format!("shard-{}", seat.me.0)).spawn(move || {
                let company = Company::Node { reception, post };
                let ready = || voice.say(News::Runs);
                let ended = host::run_among(&config, seat, company, memory, member.files, member.decide, ready);
                voice.say(News::Ended(ended));
            });
            match thread {
                Ok(thread) => node.threads.push(thread),
                Err(error) => {
                    node.order(Order::Halt);
                    return Err(HostError::new("cannot start a thread", error));
                }
            }
        }
        Ok(node)
    }

    fn run(mut self, ready: impl FnOnce(SocketAddr)) -> Result<Exit, HostError> {
        let mut ready = Some(ready);
        while self.left > 0 {
            self.wait()?;
            // The counter's value says nothing: the news is in the channel.
            let _ = self.rung.read();
            while let Ok((shard, news)) = self.news.try_recv() {
                if let Some(end) = self.heard(shard, news) {
                    self.order(Order::Halt);
                    return end;
                }
            }
            if self.starting == 0
                && let Some(ready) = ready.take()
            {
                ready(self.address);
            }
            if let Some(who) = self.stop.take()
                && !self.is_stopping
            {
                tracing::info!("stopping: {who}");
                self.begin_stop();
            }
            if self.starting == 0 {
                self.door.accept(clock::monotonic_us());
            }
        }
        for thread in self.threads {
            // They have said that they ended; what is left to them is to end.
            let _ = thread.join();
        }
        self.counts.connections.add(&self.door.counts());
        Ok(Exit::Stopped(self.counts))
    }

    /// Sleeps until somebody connects, a host says something, or the node shall stop.
    fn wait(&self) -> Result<(), HostError> {
        let failed = |errno: Errno| HostError::new("cannot wait for connections", errno.into());
        let mut descriptors = vec![self.rung.as_fd()];
        descriptors.extend(self.stop.descriptors());
        descriptors.extend(self.door.socket().filter(|_| self.starting == 0));
        let mut polled: Vec<_> =
            descriptors.into_iter().map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)).collect();
        let left_us = self.door.next_deadline_us().map(|at| at.saturating_sub(clock::monotonic_us()));
        let timeout = left_us
            .map_or(PollTimeout::NONE, |us| PollTimeout::try_from(us.div_ceil(1_000)).unwrap_or(PollTimeout::MAX));
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Takes in what a host says. Returns how the node ends, when it does so at once.
    fn heard(&mut self, shard: ShardIndex, news: News) -> Option<Result<Exit, HostError>> {
        match news {
            News::Runs => self.starting -= 1,
            News::Ended(Ok(Exit::Stopped(counts))) => {
                self.counts.add(&counts);
                self.left -= 1;
                if !self.is_stopping {
                    self.begin_stop();
                }
            }
            News::Ended(end) => return Some(end),
            News::Panicked => {
                let message = format!("the thread of shard {} panicked; this is a bug: see above", shard.0);
                tracing::error!("{message}");
                return Some(Ok(Exit::Fatal { message }));
            }
        }
        None
    }

    fn begin_stop(&mut self) {
        self.is_stopping = true;
        if let Some(panel) = &self.metrics {
            panel.enter(Phase::Stopping);
        }
        self.door.close();
        self.order(Order::Stop);
    }

    fn order(&self, order: Order) {
        self.receptions.iter().for_each(|reception| reception.order(order));
    }
}
