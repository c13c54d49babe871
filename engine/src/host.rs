//! The host of one shard: hands it events, does what it decided, and sleeps when there is nothing to do.
//!
//! One task on one core. A turn drains completions, tells the shard what happened, lets it end the turn, submits
//! everything with one system call, and yields to glommio. Invariants:
//! - Events are told one at a time, and the actions of one are taken before the next is told.
//! - Nothing is told after [`Action::Stopped`] or [`Action::Fatal`].
//! - The host sleeps only when no completion, event, message or due deadline is left.
//! - A host that is alone accepts by itself and has no bell: what other threads could bring is looked at only among
//!   several (see [`crate::node`]).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use corelog_shard::io::{Action, Event, LogLevel, Now};
use corelog_shard::mesh::Seat;
use corelog_shard::metrics::Figures;

use crate::metrics::{HostFigures, Panel, Phase, Scrape};
pub use crate::net::connections::{ConnectionCounts, ConnectionLimits};
use crate::net::connections::{Connections, Happened};
use crate::net::door::{Order, Reception};
use crate::net::listener::{Accepted, Acceptor, Listener};
pub use crate::net::quota::ConnectionQuota;
use crate::runtime::clock;
use crate::runtime::executor::{self, Doorbell};
use crate::runtime::file::{DiskFiles, FileOps};
use crate::runtime::frame_memory::FrameMemory;
use crate::runtime::limits;
use crate::runtime::mesh::Post;
use crate::runtime::provided::CHUNK_BYTES;
use crate::runtime::ring::{Completion, Features, Ring, Token};
use crate::runtime::stop::Stop;

/// The exit status of a process whose shard could not go on: [`Exit::Fatal`].
pub const EXIT_FATAL: i32 = 70;
/// Nothing but this host runs on its executor yet. Giving way costs two system calls, so it is not done in every turn.
const TURNS_PER_YIELD: u64 = 64;
/// A turn that takes longer counts as slow, in microseconds.
const SLOW_TURN_US: u64 = 1_000;
/// How long the last answers may take when the shard has stopped, in microseconds.
const LAST_ANSWERS_US: u64 = 5_000_000;
/// How often the shard is told how much space is free, in microseconds.
const FREE_SPACE_US: u64 = 1_000_000;
/// How many messages of other shards are told in a turn at most, so that its work is bounded.
const MESSAGES_PER_TURN: usize = 256;
/// Descriptors that connections leave to files, at least; a quarter of all where that is less.
const DESCRIPTORS_FOR_FILES: u64 = 2048;

/// What decides: the shard, or something that stands in for it.
pub trait Decide {
    /// What those of one node send to one another.
    type Message: Send + 'static;
    /// Takes one event and appends what has to be done.
    fn handle(&mut self, now: Now, event: Event<Self::Message>, actions: &mut Vec<Action<Self::Message>>);
    /// Called when all events that were there have been told.
    fn end_of_turn(&mut self, now: Now, actions: &mut Vec<Action<Self::Message>>);
    /// When [`Event::Tick`] shall come, in microseconds of the monotonic clock.
    fn next_deadline_us(&self) -> Option<u64>;
    /// Whether it wants to know how long each of the calls above took.
    fn measures_time(&self) -> bool {
        false
    }
    /// The call before took so many microseconds.
    fn time_passed(&mut self, _now: Now, _took_us: u64) {}
    /// What was counted, all but partitions. Called when an operator wants to see it.
    fn figures(&self) -> Figures {
        Figures::default()
    }
    /// Adds partitions from a place on, so many one by one at most in all calls. Returns where to go on in the next turn.
    fn figures_of_partitions(&self, _from: usize, _partitions_max: usize, _figures: &mut Figures) -> Option<usize> {
        None
    }
}

/// How a host runs, and each one of several; what is said to be the node's they share.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The core to stay on; `None` leaves it to the kernel.
    pub cpu: Option<usize>,
    /// The longest request (`socket.request.max.bytes`). Cut to half of `frame_memory_bytes`.
    pub request_bytes_max: usize,
    /// Memory of the node for requests above 16 KiB, from when they are announced until the shard lets go of them.
    pub frame_memory_bytes: usize,
    /// Shared receive buffers of 16 KiB each, a power of two.
    pub receive_buffers: u16,
    /// Bounds for connections.
    pub connections: ConnectionLimits,
    /// How many connections the process takes; its hosts share it.
    pub quota: ConnectionQuota,
    /// Other tasks run on the executor, so the host may not block its thread: it sleeps in glommio, on the eventfd of
    /// its ring. That costs some 10 us of CPU more for each sleep than to wait in the ring itself. For a host that is
    /// alone: a bell that is rung while the host sleeps like this may not be heard.
    pub shared_executor: bool,
    /// What to use of the kernel, where it has it.
    pub features: Features,
    /// Through which the numbers of this host are looked at, and those of the others.
    pub metrics: Option<Panel>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            cpu: None,
            request_bytes_max: 100 * 1024 * 1024,
            frame_memory_bytes: 256 * 1024 * 1024,
            receive_buffers: 128,
            connections: ConnectionLimits::default(),
            quota: ConnectionQuota::default(),
            shared_executor: false,
            features: Features::NEWEST,
            metrics: None,
        }
    }
}

impl HostConfig {
    /// The memory of a host that is alone, at most, in bytes, without what the shard holds: receive buffers, requests
    /// above 16 KiB, and unfinished smaller ones.
    pub fn memory_bytes_max(&self) -> usize {
        usize::from(self.receive_buffers) * CHUNK_BYTES
            + self.frame_memory_bytes
            + self.connections.unfinished_bytes_max
    }
}

/// How a host ended.
#[derive(Debug)]
pub enum Exit {
    /// Asked to stop, and everything is answered and written back.
    Stopped(Counts),
    /// The shard cannot go on. End the process with [`EXIT_FATAL`] at once: operations may still be in flight, and what
    /// they use was left behind.
    Fatal {
        /// What happened, where, and what to do.
        message: String,
    },
}

/// What a host counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Turns.
    pub turns: u64,
    /// Turns above a millisecond.
    pub slow_turns: u64,
    /// How often it slept.
    pub sleeps: u64,
    /// Completions drained.
    pub completions: u64,
    /// What happened to connections.
    pub connections: ConnectionCounts,
}

/// Why a host could not run or go on running.
#[derive(Debug)]
pub struct HostError {
    what: &'static str,
    error: io::Error,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for HostError {}

impl HostError {
    pub(crate) fn new(what: &'static str, error: io::Error) -> Self {
        Self { what, error }
    }
}

impl Counts {
    /// Adds what another host counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.turns += other.turns;
        self.slow_turns += other.slow_turns;
        self.sleeps += other.sleeps;
        self.completions += other.completions;
        self.connections.add(&other.connections);
    }
}

/// Runs the host of one shard on the calling thread until it stops. `ready` is called with the address when clients
/// are served. Raises the process's soft limit of open files.
pub fn run<D: Decide>(
    mut config: HostConfig,
    listener: Listener,
    files: DiskFiles,
    decide: D,
    stop: Stop,
    ready: impl FnOnce(SocketAddr),
) -> Result<Exit, HostError> {
    limits::raise_locked_memory();
    config.connections.connections_max = connections_max(&config);
    let memory = FrameMemory::new(config.frame_memory_bytes, config.request_bytes_max);
    warn_of_short_memory(&config, &memory);
    let address = listener.address();
    let company = Company::Alone { acceptor: Acceptor::new(listener), stop };
    run_among(&config, Seat::ALONE, company, memory, files, decide, || ready(address))
}

/// Runs a host on the calling thread until it stops; among others, or alone.
pub(crate) fn run_among<D: Decide>(
    config: &HostConfig,
    seat: Seat,
    company: Company<D::Message>,
    memory: FrameMemory,
    files: DiskFiles,
    decide: D,
    ready: impl FnOnce(),
) -> Result<Exit, HostError> {
    let task = async { Host::new(config, seat, company, memory, files, decide)?.run(ready).await };
    match executor::run(config.cpu, task) {
        Ok(ended) => ended,
        Err(error) => Err(HostError { what: "cannot start the executor", error }),
    }
}

/// How many connections the process can have: what was asked for, as far as the limit of open files allows it, which
/// is raised as far as it goes.
pub(crate) fn connections_max(config: &HostConfig) -> usize {
    let descriptors = limits::raise_open_files();
    let room = descriptors - DESCRIPTORS_FOR_FILES.min(descriptors / 4);
    config.connections.connections_max.min(room as usize)
}

pub(crate) fn warn_of_short_memory(config: &HostConfig, memory: &FrameMemory) {
    if memory.frame_bytes_max() < config.request_bytes_max {
        tracing::warn!(
            "requests are limited to {} bytes, half of the memory for them, instead of {}",
            memory.frame_bytes_max(),
            config.request_bytes_max
        );
    }
}

/// What goes on.
enum State {
    Running,
    /// The shard was told to stop.
    Stopping,
    /// It has; the last answers leave until then.
    LastAnswers {
        until_us: u64,
    },
    Fatal(String),
    /// Another shard of the node cannot go on.
    Halted,
}

/// Where connections, messages and the request to stop come from.
pub(crate) enum Company<M> {
    /// From its own ring.
    Alone { acceptor: Acceptor, stop: Stop },
    /// From other threads, which ring the bell of the reception.
    Node { reception: Arc<Reception>, post: Post<M> },
}

struct Host<D: Decide> {
    decide: D,
    // The ring is dropped after what its operations use, so that nothing is freed under them.
    files: FileOps,
    connections: Connections,
    company: Company<D::Message>,
    ring: Ring,
    /// How it sleeps where others share the executor.
    doorbell: Option<Doorbell>,
    actions: Vec<Action<D::Message>>,
    completions: Vec<Completion>,
    now: Now,
    state: State,
    /// When the shard is told again how much space is free.
    free_space_at_us: u64,
    quota: ConnectionQuota,
    /// How many connections other threads have brought.
    arrived: u64,
    counts: Counts,
    /// Its place on the panel.
    place: usize,
    metrics: Option<Panel>,
    /// An answer to whoever looks at the panel, which takes some turns.
    scrape: Option<Scrape>,
}

impl<D: Decide> Host<D> {
    fn new(
        config: &HostConfig,
        seat: Seat,
        company: Company<D::Message>,
        memory: FrameMemory,
        files: DiskFiles,
        decide: D,
    ) -> Result<Self, HostError> {
        let setting_up = |what| move |error| HostError { what, error };
        let ring = Ring::new(config.features, config.receive_buffers).map_err(setting_up("cannot set up io_uring"))?;
        let doorbell = if config.shared_executor {
            let event = ring.event().try_clone().map_err(setting_up("cannot copy a descriptor"))?;
            Some(Doorbell::new(event))
        } else {
            None
        };
        Ok(Self {
            decide,
            files: FileOps::new(files, &ring),
            connections: Connections::new(config.connections, config.quota.clone(), memory, seat.me),
            company,
            ring,
            doorbell,
            actions: Vec::new(),
            completions: Vec::new(),
            now: clock::now(),
            state: State::Running,
            free_space_at_us: 0,
            quota: config.quota.clone(),
            arrived: 0,
            counts: Counts::default(),
            place: usize::from(seat.me.0),
            metrics: config.metrics.clone(),
            scrape: None,
        })
    }

    async fn run(mut self, ready: impl FnOnce()) -> Result<Exit, HostError> {
        match &mut self.company {
            Company::Alone { acceptor, stop } => {
                for descriptor in stop.descriptors() {
                    self.ring.poll_readable(descriptor.as_raw_fd(), Token::Stop);
                }
                acceptor.start(&mut self.ring, self.now.monotonic_us);
            }
            Company::Node { reception, .. } => self.ring.watch(reception.bell().descriptor(), Token::Bell),
        }
        self.watch_panel();
        self.submit()?;
        ready();
        loop {
            self.turn();
            match &self.state {
                State::Fatal(message) => {
                    let message = message.clone();
                    self.enter(Phase::Stopping);
                    tracing::error!("{message}");
                    // What is in flight goes on until the process ends; nothing that it uses may be freed.
                    std::mem::forget(self);
                    return Ok(Exit::Fatal { message });
                }
                State::LastAnswers { until_us } => {
                    if self.connections.len() == 0 || self.now.monotonic_us >= *until_us {
                        return Ok(self.finish());
                    }
                }
                State::Halted => {
                    std::mem::forget(self);
                    return Ok(Exit::Fatal { message: "another shard cannot go on".to_owned() });
                }
                State::Running | State::Stopping => {}
            }
            let took_us = clock::monotonic_us().saturating_sub(self.now.monotonic_us);
            self.counts.slow_turns += u64::from(took_us > SLOW_TURN_US);
            self.end_turn().await?;
            if self.counts.turns.is_multiple_of(TURNS_PER_YIELD) {
                executor::yield_turn().await;
            }
        }
    }

    /// One turn: what has completed, what follows from it, and what is due.
    fn turn(&mut self) {
        self.counts.turns += 1;
        self.now = clock::now();
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.drain(&mut completions);
        self.counts.completions += completions.len() as u64;
        for completion in completions.drain(..) {
            self.completed(&completion);
        }
        self.completions = completions;
        let now_us = self.now.monotonic_us;
        self.look_around();
        self.connections.sweep(&mut self.ring, now_us);
        if now_us >= self.free_space_at_us {
            self.tell_free_space();
        }
        self.tell_messages();
        self.tell_what_happened();
        self.hand_over();
        if self.is_deciding() && self.decide.next_deadline_us().is_some_and(|at| at <= now_us) {
            self.tell(Event::Tick);
        }
        if self.is_deciding() {
            self.timed(|decide, now, actions| decide.end_of_turn(now, actions));
            self.act();
        }
        self.hand_over();
        self.connections.end_turn(&mut self.ring, now_us);
        self.scrape_turn();
        if let Company::Node { reception, .. } = &self.company {
            reception.report(self.arrived, self.arrived - self.connections.len() as u64);
        }
    }

    fn completed(&mut self, completion: &Completion) {
        let now_us = self.now.monotonic_us;
        match completion.token {
            Token::File(place) => self.files.completed(&mut self.ring, place, completion.outcome()),
            Token::Receive(place) => self.connections.received(&mut self.ring, place, completion, now_us),
            Token::Send(place) => self.connections.sent(&mut self.ring, place, completion, now_us),
            Token::Accept => self.accepted(completion),
            Token::Stop => self.asked_to_stop(),
            // What it was rung for is looked at in every turn.
            Token::Bell => {
                if let Company::Node { reception, .. } = &self.company
                    && !completion.more()
                {
                    self.ring.watch(reception.bell().descriptor(), Token::Bell);
                }
            }
            Token::Scrape => {
                if self.scrape.is_none() {
                    self.scrape = Some(Scrape::new(self.figures()));
                }
                if !completion.more() {
                    self.watch_panel();
                }
            }
            Token::Timer | Token::Ignored => {}
        }
    }

    fn accepted(&mut self, completion: &Completion) {
        let Company::Alone { acceptor, .. } = &mut self.company else { unreachable!("the door accepts") };
        let now_us = self.now.monotonic_us;
        match acceptor.accepted(completion, now_us) {
            Accepted::Connection(stream, peer) if matches!(self.state, State::Running) => {
                self.connections.open(&mut self.ring, stream, peer, now_us);
            }
            Accepted::Connection(..) | Accepted::Nobody => {}
            Accepted::Rests(errno) => {
                let open = self.connections.len();
                tracing::warn!("cannot accept connections for a moment, {open} are open: {}", errno.desc());
            }
        }
    }

    fn asked_to_stop(&mut self) {
        let Company::Alone { acceptor, stop } = &mut self.company else { unreachable!("the door is asked to stop") };
        if let Some(who) = stop.take()
            && matches!(self.state, State::Running)
        {
            tracing::info!("stopping: {who}");
            acceptor.close(&mut self.ring);
            self.state = State::Stopping;
            self.enter(Phase::Stopping);
            self.tell(Event::Stop);
        }
    }

    /// Goes on accepting, or looks at what other threads have brought.
    fn look_around(&mut self) {
        let now_us = self.now.monotonic_us;
        let (reception, post) = match &mut self.company {
            Company::Alone { acceptor, .. } => return acceptor.start(&mut self.ring, now_us),
            Company::Node { reception, post } => (reception, post),
        };
        let rung = reception.bell().answer();
        post.receive(rung);
        if !rung {
            return;
        }
        let is_running = matches!(self.state, State::Running);
        reception.take(|(stream, peer)| {
            self.arrived += 1;
            if is_running {
                self.connections.open(&mut self.ring, stream, peer, now_us);
            }
        });
        match reception.ordered() {
            Order::Stop if is_running => {
                self.state = State::Stopping;
                self.tell(Event::Stop);
            }
            Order::Halt => self.state = State::Halted,
            Order::Stop | Order::None => {}
        }
    }

    /// Has the ring say when somebody looks at the panel.
    fn watch_panel(&mut self) {
        if let Some(panel) = &self.metrics {
            self.ring.watch(panel.wanted(self.place), Token::Scrape);
        }
    }

    /// The node has come so far.
    fn enter(&self, phase: Phase) {
        if let Some(panel) = &self.metrics {
            panel.enter(phase);
        }
    }

    /// What this host and its shard have counted, all but partitions.
    fn figures(&self) -> HostFigures {
        HostFigures {
            counts: Counts { connections: self.connections.counts(), ..self.counts },
            cpu_us: clock::thread_cpu_us(),
            ring_enters: self.ring.enters(),
            ring_in_flight: self.ring.in_flight() as u64,
            ring_backlog: self.ring.backlog() as u64,
            connections: self.connections.len() as u64,
            frames_waiting: self.connections.frames_waiting() as u64,
            unfinished_bytes: self.connections.unfinished_bytes() as u64,
            frame_bytes: self.connections.frame_bytes() as u64,
            shard: self.decide.figures(),
        }
    }

    /// This turn's part of the answer to whoever looks at the panel.
    fn scrape_turn(&mut self) {
        if let (Some(scrape), Some(panel)) = (self.scrape.take(), &self.metrics) {
            self.scrape = scrape.go_on(panel, self.place, |from, partitions_max, figures| {
                self.decide.figures_of_partitions(from, partitions_max, figures)
            });
        }
    }

    /// Tells the shard what others have sent.
    fn tell_messages(&mut self) {
        for _ in 0..MESSAGES_PER_TURN {
            let Company::Node { post, .. } = &mut self.company else { return };
            let Some((from, message)) = post.next() else { return };
            self.tell(Event::Message { from, message });
        }
    }

    /// Hands over what the shard has sent to others.
    fn hand_over(&mut self) {
        if let Company::Node { post, .. } = &mut self.company {
            post.hand_over();
        }
    }

    /// Tells the shard what the completions of this turn brought, and what follows from its answers at once.
    fn tell_what_happened(&mut self) {
        let now_us = self.now.monotonic_us;
        // Chains that end without the kernel are told in the next turn, so that no turn lasts for ever.
        for _ in 0..self.files.finished() {
            let Some(finished) = self.files.take_finished() else { break };
            self.tell(Event::Completed { op: finished.op, result: finished.result });
        }
        while let Some(happened) = self.connections.take_happened() {
            match happened {
                Happened::Opened(connection, peer) => self.tell(Event::ConnectionOpened { connection, peer }),
                Happened::Drained(connection) => self.tell(Event::Drained { connection }),
                Happened::ReplyFailed(connection, file) => self.tell(Event::ReplyFailed { connection, file }),
                Happened::Closed(connection) => self.tell(Event::ConnectionClosed { connection }),
                Happened::Frames(connection) => {
                    while let Some(frame) = self.connections.take_frame(connection) {
                        self.tell(Event::Frame { connection, frame });
                    }
                    self.connections.receive(&mut self.ring, connection, now_us);
                }
            }
        }
    }

    fn tell_free_space(&mut self) {
        self.free_space_at_us = self.now.monotonic_us + FREE_SPACE_US;
        match self.files.free_bytes() {
            Ok((bytes, total_bytes)) => self.tell(Event::FreeSpace { bytes, total_bytes }),
            Err(errno) => tracing::warn!("cannot ask for the free space of the data directory: {}", errno.desc()),
        }
    }

    fn is_deciding(&self) -> bool {
        matches!(self.state, State::Running | State::Stopping)
    }

    fn tell(&mut self, event: Event<D::Message>) {
        if self.is_deciding() {
            self.timed(|decide, now, actions| decide.handle(now, event, actions));
            self.act();
        }
    }

    /// Lets it decide, and tells it how long that took if it wants to know.
    fn timed(&mut self, call: impl FnOnce(&mut D, Now, &mut Vec<Action<D::Message>>)) {
        if !self.decide.measures_time() {
            return call(&mut self.decide, self.now, &mut self.actions);
        }
        let before_us = clock::monotonic_us();
        call(&mut self.decide, self.now, &mut self.actions);
        let took_us = clock::monotonic_us().saturating_sub(before_us);
        self.decide.time_passed(self.now, took_us);
    }

    /// Does what was decided.
    fn act(&mut self) {
        let now_us = self.now.monotonic_us;
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Io { op, steps } => self.files.start(&mut self.ring, op, steps),
                Action::Reply { connection, pieces } => {
                    let segments = self.files.take(pieces);
                    self.connections.reply(&mut self.ring, connection, segments, now_us);
                }
                Action::Send { to, message } => match &mut self.company {
                    Company::Node { post, .. } => post.send(to, message),
                    Company::Alone { .. } => panic!("a shard that is alone has nobody to send to"),
                },
                Action::PauseInput(connection) => self.connections.pause(connection),
                Action::ResumeInput(connection) => self.connections.resume(&mut self.ring, connection, now_us),
                Action::Close(connection) => self.connections.close(&mut self.ring, connection, now_us),
                Action::LimitConnections(bounds) => self.quota.set(&bounds),
                Action::Log { level, message } => log(level, &message),
                Action::Fatal { message } => {
                    self.state = State::Fatal(message);
                    break;
                }
                Action::Stopped => {
                    self.state = State::LastAnswers { until_us: now_us + LAST_ANSWERS_US };
                    self.connections.close_all(&mut self.ring, now_us);
                    break;
                }
            }
        }
        actions.clear();
        self.actions = actions;
    }

    fn submit(&mut self) -> Result<(), HostError> {
        self.ring.submit().map_err(|error| HostError { what: "the ring failed", error })
    }

    /// Hands over what the turn pushed, lets the kernel post what is complete, and sleeps where nothing else is left to
    /// do: one system call, unless others share the executor.
    async fn end_turn(&mut self) -> Result<(), HostError> {
        if self.files.finished() > 0 || self.connections.has_happened() || self.scrape.is_some() {
            return self.submit();
        }
        let until_us = self.next_deadline_us();
        if until_us.is_some_and(|until| until <= clock::monotonic_us()) {
            return self.submit();
        }
        if let Company::Node { reception, post } = &self.company
            && (post.has_more() || !reception.bell().may_sleep())
        {
            return self.submit();
        }
        let slept = self.sleep(until_us).await;
        if let Company::Node { reception, .. } = &self.company {
            reception.bell().awake();
        }
        slept
    }

    /// Submits, and sleeps until there is a completion or it is time, unless there is one already.
    async fn sleep(&mut self, until_us: Option<u64>) -> Result<(), HostError> {
        let failed = |error| HostError { what: "the ring failed", error };
        let Some(doorbell) = &self.doorbell else {
            self.counts.sleeps += u64::from(self.ring.submit_and_wait_until(until_us).map_err(failed)?);
            return Ok(());
        };
        if let Some(until_us) = until_us {
            self.ring.wake_at(until_us);
        }
        if self.ring.prepare_to_sleep().map_err(failed)? {
            self.counts.sleeps += 1;
            let rung = doorbell.rung().await;
            self.ring.woken();
            rung.map_err(failed)?;
            // What has completed is posted when the ring is entered.
            self.submit()?;
        }
        Ok(())
    }

    /// When there is something to do although nothing has completed.
    fn next_deadline_us(&self) -> Option<u64> {
        let last = if let State::LastAnswers { until_us } = self.state { Some(until_us) } else { None };
        let (decided, space) = match self.is_deciding() {
            true => (self.decide.next_deadline_us(), Some(self.free_space_at_us)),
            false => (None, None),
        };
        let accepts = match &self.company {
            Company::Alone { acceptor, .. } => acceptor.next_deadline_us(),
            Company::Node { .. } => None,
        };
        let deadlines = [decided, space, last, self.connections.next_deadline_us(), accepts];
        deadlines.into_iter().flatten().min()
    }

    /// Ends what is in flight and returns what was counted.
    fn finish(mut self) -> Exit {
        self.counts.connections = self.connections.counts();
        if self.files.in_flight() > 0 {
            tracing::warn!("{} file operations were in flight when the shard stopped", self.files.in_flight());
        }
        match self.ring.quiesce() {
            Some(quiet) => {
                self.connections.release(&quiet);
                self.files.release(&quiet);
            }
            None => tracing::warn!("operations did not end in time"),
        }
        Exit::Stopped(self.counts)
    }
}

fn log(level: LogLevel, message: &str) {
    match level {
        LogLevel::Error => tracing::error!("{message}"),
        LogLevel::Warn => tracing::warn!("{message}"),
        LogLevel::Info => tracing::info!("{message}"),
        LogLevel::Debug => tracing::debug!("{message}"),
    }
}
