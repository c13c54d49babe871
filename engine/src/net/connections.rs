//! All connections of a host: who they are, what happened on them, and who is too slow.
//!
//! What happened is collected as [`Happened`] in order, and the host tells the shard one thing at a time, because each
//! answer may pause, resume or close any connection. Invariant: a [`ConnectionId`] names its shard, and comes again only
//! after 2^28 later connections, when nobody speaks of the first any more; a late action for one that is gone does
//! nothing.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use corelog_shard::io::{ConnectionId, FileId};
use corelog_shard::mesh::ShardIndex;

use super::admission::Admission;
use super::connection::{Connection, End, Io};
use super::quota::{ConnectionQuota, Pass, Refusal};
use crate::runtime::frame_memory::FrameMemory;
use crate::runtime::ring::{Completion, Quiet, Ring};
use crate::runtime::slab::Slab;
use crate::runtime::socket::{Outgoing, SendBatches};
use crate::runtime::splice::Pipes;

/// Low bits of a [`ConnectionId`]: the place.
const PLACE_BITS: u32 = 20;
/// The bits above: which of those that had the place, modulo.
const SERIAL_BITS: u32 = 28;
/// How often slow connections are looked for, while there are any that could be.
const SWEEP_US: u64 = 500_000;
/// How many ends are logged within a second; the others are counted.
const LOGGED_PER_SECOND: u32 = 20;

/// Bounds for connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections of this host at the same time, whatever the quota allows. More are closed as they come.
    pub connections_max: usize,
    /// Bytes queued for one client; a client that lets more pile up is closed.
    pub unsent_bytes_max: usize,
    /// Bytes queued for all clients together; beyond it those that do not read are closed sooner.
    pub unsent_pressed_bytes: usize,
    /// Bytes of unfinished small requests of all connections together; beyond it the slowest are closed.
    pub unfinished_bytes_max: usize,
    /// How long an unfinished request may make no progress, in microseconds.
    pub input_stall_us: u64,
    /// The same while others wait for memory; it holds for answers too, while too much is unsent.
    pub input_stall_pressed_us: u64,
    /// How long an answer may wait for its reader without progress, in microseconds.
    pub output_stall_us: u64,
    /// How long a closed connection waits for the client to close it too, in microseconds.
    pub linger_us: u64,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            unsent_bytes_max: 256 * 1024 * 1024,
            unsent_pressed_bytes: 256 * 1024 * 1024,
            unfinished_bytes_max: 64 * 1024 * 1024,
            input_stall_us: 30_000_000,
            input_stall_pressed_us: 2_000_000,
            output_stall_us: 30_000_000,
            linger_us: 1_000_000,
        }
    }
}

/// What the shard has to be told.
pub(crate) enum Happened {
    Opened(ConnectionId, SocketAddr),
    /// Frames wait; see [`Connections::take_frame`].
    Frames(ConnectionId),
    /// Everything queued for it has been sent.
    Drained(ConnectionId),
    /// What was queued for it cannot be sent, because of this file. It is closed.
    ReplyFailed(ConnectionId, FileId),
    Closed(ConnectionId),
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections accepted.
    pub accepted: u64,
    /// Closed as they came because there were too many.
    pub refused: u64,
    /// Closed for a fault of the client: an impossible length, a stall, answers left unread.
    pub faulty: u64,
    /// Whole frames received.
    pub frames: u64,
}

/// A connection that came faster than the quota's rate.
struct PutOff {
    at_us: u64,
    stream: TcpStream,
    peer: SocketAddr,
    pass: Pass,
}

impl ConnectionCounts {
    /// Adds what another host counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.faulty += other.faulty;
        self.frames += other.frames;
    }
}

pub(crate) struct Connections {
    limits: ConnectionLimits,
    slab: Slab<Box<Connection>>,
    admission: Admission,
    batches: SendBatches,
    pipes: Pipes,
    happened: VecDeque<Happened>,
    /// Those with something queued, by place.
    to_send: Vec<u32>,
    /// Those that found no provided buffer.
    starved: Vec<u32>,
    /// Bytes of unfinished small frames.
    kept: usize,
    quota: ConnectionQuota,
    /// Those that may be served later, in the order of their times.
    put_off: VecDeque<PutOff>,
    shard: ShardIndex,
    serial: u64,
    sweep_at_us: Option<u64>,
    counts: ConnectionCounts,
    log: LogLimit,
}

impl Connections {
    pub(crate) fn new(
        limits: ConnectionLimits,
        quota: ConnectionQuota,
        memory: FrameMemory,
        shard: ShardIndex,
    ) -> Self {
        Self {
            limits,
            slab: Slab::new(),
            admission: Admission::new(memory),
            batches: SendBatches::default(),
            pipes: Pipes::default(),
            happened: VecDeque::new(),
            to_send: Vec::new(),
            starved: Vec::new(),
            kept: 0,
            quota,
            put_off: VecDeque::new(),
            shard,
            serial: 0,
            sweep_at_us: None,
            counts: ConnectionCounts::default(),
            log: LogLimit::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len() + self.put_off.len()
    }

    pub(crate) fn counts(&self) -> ConnectionCounts {
        self.counts
    }

    /// How many wait for memory for a large frame.
    pub(crate) fn frames_waiting(&self) -> usize {
        self.admission.waiting()
    }

    /// Bytes of unfinished small frames.
    pub(crate) fn unfinished_bytes(&self) -> usize {
        self.kept
    }

    /// Bytes lent for large frames, by all hosts.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.admission.lent()
    }

    /// Takes in a new connection, unless there are too many.
    pub(crate) fn open(&mut self, ring: &mut Ring, stream: TcpStream, peer: SocketAddr, now_us: u64) {
        let max = self.limits.connections_max.min(1 << PLACE_BITS);
        let admitted = match self.len() < max {
            true => self.quota.admit(peer.ip(), now_us),
            false => Err(Refusal::Total(max)),
        };
        let (pass, at_us) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.counts.refused += 1;
                self.log.warn(now_us, || format!("connection from {peer} refused: {refusal}"));
                return;
            }
        };
        self.counts.accepted += 1;
        match at_us <= now_us {
            true => self.enter(ring, stream, peer, pass, now_us),
            false => self.put_off.push_back(PutOff { at_us, stream, peer, pass }),
        }
    }

    /// Serves a connection from now on.
    fn enter(&mut self, ring: &mut Ring, stream: TcpStream, peer: SocketAddr, pass: Pass, now_us: u64) {
        self.serial = (self.serial + 1) % (1 << SERIAL_BITS);
        let place = self.slab.next_key();
        let shard = u64::from(self.shard.0) << (PLACE_BITS + SERIAL_BITS);
        let id = ConnectionId(shard | self.serial << PLACE_BITS | u64::from(place));
        assert_eq!(id.shard(), self.shard);
        let mut connection = Box::new(Connection::new(id, peer, stream, place));
        connection.pass = Some(pass);
        let inserted = self.slab.insert(connection);
        assert_eq!(inserted, place);
        self.happened.push_back(Happened::Opened(id, peer));
        self.with(ring, place, now_us, |connection, io| {
            connection.receive(io);
            Ok(())
        });
    }

    /// Takes the completion of a receive.
    pub(crate) fn received(&mut self, ring: &mut Ring, place: u32, completion: &Completion, now_us: u64) {
        self.with(ring, place, now_us, |connection, io| connection.received(completion, io));
        let Some(connection) = self.slab.get(place) else { return };
        let (id, has_frames, watched) = (connection.id, connection.has_frames(), connection.is_watched());
        if has_frames {
            self.happened.push_back(Happened::Frames(id));
        } else if completion.result == -nix::libc::ENOBUFS {
            self.starved.push(place);
        } else {
            self.with(ring, place, now_us, |connection, io| {
                connection.receive(io);
                Ok(())
            });
        }
        if watched {
            self.watch(now_us);
        }
        if self.kept > self.limits.unfinished_bytes_max {
            self.close_slowest_unfinished(ring, now_us);
        }
    }

    /// Takes the completion of a send.
    pub(crate) fn sent(&mut self, ring: &mut Ring, place: u32, completion: &Completion, now_us: u64) {
        self.with(ring, place, now_us, |connection, io| connection.sent(completion, io));
        if let Some(connection) = self.slab.get(place)
            && !connection.is_ended()
            && connection.unsent() == 0
        {
            self.happened.push_back(Happened::Drained(connection.id));
        }
    }

    /// What happened next.
    pub(crate) fn take_happened(&mut self) -> Option<Happened> {
        loop {
            match self.happened.pop_front()? {
                // More was queued meanwhile: it is told when that has been sent, too.
                Happened::Drained(id) if self.find(id).is_some_and(|connection| connection.unsent() > 0) => {}
                happened => return Some(happened),
            }
        }
    }

    pub(crate) fn has_happened(&self) -> bool {
        !self.happened.is_empty()
    }

    /// The next frame of a connection, until there is none or its input is paused.
    pub(crate) fn take_frame(&mut self, id: ConnectionId) -> Option<Bytes> {
        let frame = self.find(id)?.take_frame()?;
        self.counts.frames += 1;
        Some(frame)
    }

    /// Receives again after the frames were delivered.
    pub(crate) fn receive(&mut self, ring: &mut Ring, id: ConnectionId, now_us: u64) {
        self.with_id(ring, id, now_us, |connection, io| {
            connection.receive(io);
            Ok(())
        });
    }

    pub(crate) fn pause(&mut self, id: ConnectionId) {
        if let Some(connection) = self.find(id) {
            connection.pause();
        }
    }

    pub(crate) fn resume(&mut self, ring: &mut Ring, id: ConnectionId, now_us: u64) {
        self.with_id(ring, id, now_us, |connection, io| {
            connection.resume(io);
            Ok(())
        });
        if self.find(id).is_some_and(|connection| connection.has_frames()) {
            self.happened.push_back(Happened::Frames(id));
        }
    }

    /// Queues an answer; it leaves at the end of the turn.
    pub(crate) fn reply(&mut self, ring: &mut Ring, id: ConnectionId, segments: Vec<Outgoing>, now_us: u64) {
        let max = self.limits.unsent_bytes_max;
        self.with_id(ring, id, now_us, |connection, io| connection.queue(segments, max, io));
        if let Some(connection) = self.find(id)
            && !std::mem::replace(&mut connection.listed, true)
        {
            self.to_send.push(place_of(id));
        }
    }

    /// Closes a connection after what is queued for it.
    pub(crate) fn close(&mut self, ring: &mut Ring, id: ConnectionId, now_us: u64) {
        self.watch(now_us);
        self.with_id(ring, id, now_us, |connection, io| {
            connection.close(io);
            Ok(())
        });
    }

    /// Closes all of them after what is queued for each; those with nothing queued at once.
    pub(crate) fn close_all(&mut self, ring: &mut Ring, now_us: u64) {
        self.put_off.clear();
        for place in 0..self.slab.end() {
            self.with(ring, place, now_us, |connection, io| {
                if connection.unsent() == 0 {
                    return Err(End::ByShard);
                }
                connection.close(io);
                Ok(())
            });
        }
        self.watch(now_us);
    }

    /// Submits what the turn queued: sends, receives that lacked a buffer, frames that waited for memory.
    pub(crate) fn end_turn(&mut self, ring: &mut Ring, now_us: u64) {
        let mut to_send = std::mem::take(&mut self.to_send);
        for place in to_send.drain(..) {
            self.with(ring, place, now_us, |connection, io| {
                connection.listed = false;
                connection.send(io);
                Ok(())
            });
            self.watch(now_us);
        }
        self.to_send = to_send;
        for place in std::mem::take(&mut self.starved) {
            self.with(ring, place, now_us, |connection, io| {
                connection.receive(io);
                Ok(())
            });
        }
        if self.admission.may_serve() {
            self.serve_waiting(ring, now_us);
        }
    }

    fn serve_waiting(&mut self, ring: &mut Ring, now_us: u64) {
        loop {
            let slab = &self.slab;
            let need = |place| slab.get(place).expect("who stands in line is there").need();
            let Some((place, buffer)) = self.admission.serve(need) else { break };
            self.with(ring, place, now_us, |connection, io| {
                connection.served(buffer, io);
                Ok(())
            });
        }
        self.watch(now_us);
    }

    /// When [`Connections::sweep`] is due.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        [self.sweep_at_us, self.put_off.front().map(|first| first.at_us)].into_iter().flatten().min()
    }

    /// Serves those that were put off until now, and looks for connections that are too slow, if it is time.
    pub(crate) fn sweep(&mut self, ring: &mut Ring, now_us: u64) {
        while let Some(PutOff { stream, peer, pass, .. }) = self.put_off.pop_front_if(|first| first.at_us <= now_us) {
            self.enter(ring, stream, peer, pass, now_us);
        }
        if self.sweep_at_us.is_none_or(|at| now_us < at) {
            return;
        }
        let limits = self.limits;
        let pressed = self.admission.waiting() > 0 || self.kept > limits.unfinished_bytes_max / 2;
        let input_us = if pressed { limits.input_stall_pressed_us } else { limits.input_stall_us };
        let unsent: usize = self.slab.iter_mut().map(|(_, connection)| connection.unsent_memory()).sum();
        let output_us = match unsent >= limits.unsent_pressed_bytes {
            true => limits.input_stall_pressed_us.min(limits.output_stall_us),
            false => limits.output_stall_us,
        };
        self.sweep_at_us = None;
        for place in 0..self.slab.end() {
            let Some(connection) = self.slab.get(place) else { continue };
            if !connection.is_watched() {
                continue;
            }
            self.sweep_at_us = Some(now_us + SWEEP_US.min(limits.input_stall_pressed_us).min(limits.linger_us));
            self.with(ring, place, now_us, |connection, io| {
                connection.check(input_us, output_us, limits.linger_us, io)
            });
        }
        if self.admission.waiting() > 0 {
            self.watch(now_us);
        }
    }

    /// Makes sure that slow connections are looked for.
    fn watch(&mut self, now_us: u64) {
        if self.sweep_at_us.is_none() {
            let soonest =
                self.limits.input_stall_pressed_us.min(self.limits.output_stall_us).min(self.limits.linger_us);
            self.sweep_at_us = Some(now_us + SWEEP_US.min(soonest));
        }
    }

    /// Closes those whose unfinished small frame has waited longest, until the others fit.
    fn close_slowest_unfinished(&mut self, ring: &mut Ring, now_us: u64) {
        while self.kept > self.limits.unfinished_bytes_max {
            let unfinished = self.slab.iter_mut().filter(|(_, connection)| connection.kept() > 0);
            let slowest = unfinished.min_by_key(|(_, connection)| connection.mid_frame_since());
            let (place, _) = slowest.expect("what is kept is kept by somebody");
            self.with(ring, place, now_us, |_, _| Err(End::Pressed));
        }
    }

    /// Frees what operations held that were in flight when the ring became quiet.
    pub(crate) fn release(&mut self, quiet: &Quiet) {
        for (_, connection) in self.slab.iter_mut() {
            connection.release(quiet);
        }
    }

    fn find(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slab.get_mut(place_of(id)).filter(|connection| connection.id == id).map(Box::as_mut)
    }

    fn with_id(
        &mut self,
        ring: &mut Ring,
        id: ConnectionId,
        now_us: u64,
        act: impl FnOnce(&mut Connection, &mut Io<'_>) -> Result<(), End>,
    ) {
        if self.find(id).is_some() {
            self.with(ring, place_of(id), now_us, act);
        }
    }

    /// Does something with a connection, ends it when that fails, and drops it when it is gone.
    fn with(
        &mut self,
        ring: &mut Ring,
        place: u32,
        now_us: u64,
        act: impl FnOnce(&mut Connection, &mut Io<'_>) -> Result<(), End>,
    ) {
        let Some(connection) = self.slab.get_mut(place) else { return };
        let (admission, batches, pipes) = (&mut self.admission, &mut self.batches, &mut self.pipes);
        let mut io = Io { ring, admission, batches, pipes, now_us };
        let kept = connection.kept();
        if let Err(end) = act(connection, &mut io)
            && !connection.is_ended()
        {
            if end.is_fault() {
                self.counts.faulty += 1;
                let peer = connection.peer;
                self.log.warn(now_us, || format!("connection from {peer} closed: {end}"));
            }
            if let End::BadFile { file, .. } = end {
                self.happened.push_back(Happened::ReplyFailed(connection.id, file));
            }
            if matches!(end, End::ByClient) && connection.unsent() > 0 {
                connection.close(&mut io);
            } else {
                connection.end(&mut io);
            }
            if !std::mem::replace(&mut connection.reported_closed, true) {
                self.happened.push_back(Happened::Closed(connection.id));
            }
        }
        self.kept = self.kept - kept + connection.kept();
        if connection.is_gone() {
            self.slab.remove(place);
        }
    }
}

fn place_of(id: ConnectionId) -> u32 {
    (id.0 & ((1 << PLACE_BITS) - 1)) as u32
}

/// Keeps a flood of faulty clients from becoming a flood of lines.
#[derive(Default)]
pub(crate) struct LogLimit {
    second: u64,
    logged: u32,
    silent: u64,
}

impl LogLimit {
    pub(crate) fn warn(&mut self, now_us: u64, line: impl FnOnce() -> String) {
        if now_us / 1_000_000 != self.second {
            if self.silent > 0 {
                tracing::warn!("{} more connections closed or refused within a second", self.silent);
            }
            *self = Self { second: now_us / 1_000_000, logged: 0, silent: 0 };
        }
        if self.logged < LOGGED_PER_SECOND {
            self.logged += 1;
            tracing::warn!("{}", line());
        } else {
            self.silent += 1;
        }
    }
}
