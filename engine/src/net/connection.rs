//! One client connection: what it is receiving, what it still has to send, and how it ends.
//!
//! Receiving goes through three modes. *Chunk*: a provided buffer is taken when bytes come, and the frames in it are
//! copied out; an idle connection waits like this and holds no memory. *Large*: a frame above 16 KiB is received
//! straight into a buffer of its own, which grows as bytes arrive. *Length*: behind a large frame the next length is
//! received by itself, so that the next large frame needs no copy at all.
//!
//! Invariants: at most one receive and one send are in flight; no new receive starts while frames wait for delivery or
//! input is paused; after the end no frame is delivered.

use std::collections::VecDeque;
use std::fmt;
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use corelog_shard::io::{ConnectionId, FileId};
use corelog_wire::frame::{FrameError, frame_length};
use corelog_wire::limits::FRAME_PREFIX_BYTES;
use nix::errno::Errno;

use super::admission::{Admission, Need};
use super::intake::{Intake, SMALL_BYTES};
use super::quota::Pass;
use crate::runtime::frame_memory::FrameBuffer;
use crate::runtime::ring::{Completion, Quiet, Ring};
use crate::runtime::socket::{Outgoing, Received, SendBatches, SendError, Socket};
use crate::runtime::splice::Pipes;

/// What a client must move between two looks at a stalled operation.
const PROGRESS_BYTES: usize = 4096;
/// How much of a closing connection's input is thrown away, so that the client can read the last answer.
const LINGER_BYTES: usize = 1024 * 1024;
/// Entries that an empty queue of frames may keep.
const FRAMES_KEPT: usize = 16;

/// What a connection works with.
pub(crate) struct Io<'a> {
    pub(crate) ring: &'a mut Ring,
    pub(crate) admission: &'a mut Admission,
    pub(crate) batches: &'a mut SendBatches,
    pub(crate) pipes: &'a mut Pipes,
    pub(crate) now_us: u64,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client closed it.
    ByClient,
    /// The shard did.
    ByShard,
    /// The client sent a length that cannot be.
    BadLength(FrameError),
    /// The client stopped in the middle of a frame.
    StalledInput,
    /// The client does not read.
    StalledOutput,
    /// Too much is queued for the client.
    TooMuchUnsent(usize),
    /// Unfinished requests take too much memory, and this one is the slowest.
    Pressed,
    /// There is no pipe for parts of files.
    NoPipe(Errno),
    /// A file cannot be sent to its end.
    BadFile { file: FileId, what: String },
    /// The socket failed.
    Failed(Errno),
}

impl From<SendError> for End {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Socket(errno) => Self::Failed(errno),
            SendError::File { file, what } => Self::BadFile { file, what },
        }
    }
}

impl End {
    /// Whether a person may want to know.
    pub(crate) fn is_fault(&self) -> bool {
        !matches!(self, Self::ByClient | Self::ByShard | Self::Failed(Errno::ECONNRESET | Errno::EPIPE))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByClient => write!(f, "the client closed it"),
            Self::ByShard => write!(f, "the broker closed it"),
            Self::BadLength(bad) => bad.fmt(f),
            Self::StalledInput => write!(f, "it stopped in the middle of a request"),
            Self::StalledOutput => write!(f, "it does not read what it asked for"),
            Self::TooMuchUnsent(bytes) => write!(f, "it left {bytes} bytes of answers unread"),
            Self::Pressed => write!(f, "memory for unfinished requests is short, and its was the slowest"),
            Self::NoPipe(errno) => write!(f, "no pipe to send a segment through: {}", errno.desc()),
            Self::BadFile { what, .. } => write!(f, "in the middle of an answer, {what}"),
            Self::Failed(errno) => write!(f, "{}", errno.desc()),
        }
    }
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// What is queued goes out, nothing comes in.
    Flushing,
    /// Everything is sent and the client was told; its last bytes are thrown away until it closes too.
    Lingering {
        discarded: usize,
    },
    /// The socket is shut down; the last completions are on their way.
    Ended,
}

/// The unfinished large frame.
struct LargeFrame {
    length: usize,
    /// What came in front of its own buffer.
    head: Bytes,
    /// Its buffer, while no receive has it.
    buffer: Option<FrameBuffer>,
    /// It stands in line for memory.
    waiting: bool,
}

pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
    socket: Socket,
    place: u32,
    phase: Phase,
    intake: Intake,
    large: Option<LargeFrame>,
    /// Frames for the shard.
    frames: VecDeque<Bytes>,
    paused: bool,
    /// The last frame was a large one.
    bulk: bool,
    /// The largest frame so far.
    trusted: usize,
    /// The socket had more bytes when last received from.
    more_expected: bool,
    /// When the current receive of an unfinished frame began, or last got on.
    input_us: u64,
    /// When the current send began, or the phase did.
    output_us: u64,
    /// The receive (the send) was cancelled to see how far it got.
    looking_at_input: bool,
    looking_at_output: bool,
    /// The shard was told that it is gone.
    pub(crate) reported_closed: bool,
    /// It is in the list of those that have something to send.
    pub(crate) listed: bool,
    /// What lets it count as open.
    pub(crate) pass: Option<Pass>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, peer: SocketAddr, stream: TcpStream, place: u32) -> Self {
        Self {
            id,
            peer,
            socket: Socket::new(stream, place),
            place,
            phase: Phase::Open,
            intake: Intake::default(),
            large: None,
            frames: VecDeque::new(),
            paused: false,
            bulk: false,
            trusted: 0,
            more_expected: false,
            input_us: 0,
            output_us: 0,
            looking_at_input: false,
            looking_at_output: false,
            reported_closed: false,
            listed: false,
            pass: None,
        }
    }

    /// Whether it ended and nothing of it is with the kernel: it can be dropped.
    pub(crate) fn is_gone(&self) -> bool {
        self.phase == Phase::Ended && !self.socket.is_busy()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Bytes kept of an unfinished small frame.
    pub(crate) fn kept(&self) -> usize {
        self.intake.kept()
    }

    /// Whether it is in the middle of something that has a deadline.
    pub(crate) fn is_watched(&self) -> bool {
        self.phase != Phase::Ended && (self.phase != Phase::Open || self.is_mid_frame() || self.socket.is_sending())
    }

    /// When its unfinished frame last got on, if it has one and the client is to blame.
    pub(crate) fn mid_frame_since(&self) -> Option<u64> {
        (self.phase == Phase::Open && self.is_mid_frame()).then_some(self.input_us)
    }

    fn is_mid_frame(&self) -> bool {
        match &self.large {
            Some(large) => !large.waiting,
            None => self.intake.kept() > 0 && !self.paused,
        }
    }

    /// The next frame for the shard.
    pub(crate) fn take_frame(&mut self) -> Option<Bytes> {
        if self.paused || self.phase != Phase::Open {
            return None;
        }
        let frame = self.frames.pop_front();
        if self.frames.is_empty() && self.frames.capacity() > FRAMES_KEPT {
            self.frames = VecDeque::new();
        }
        frame
    }

    pub(crate) fn has_frames(&self) -> bool {
        !self.paused && self.phase == Phase::Open && !self.frames.is_empty()
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    pub(crate) fn resume(&mut self, io: &mut Io<'_>) {
        self.paused = false;
        self.input_us = io.now_us;
        self.receive(io);
    }

    /// Starts the next receive, unless one is in flight or it is not the time.
    pub(crate) fn receive(&mut self, io: &mut Io<'_>) {
        if self.socket.is_receiving() {
            return;
        }
        match self.phase {
            Phase::Open if self.large.is_some() => {}
            Phase::Open if self.paused || !self.frames.is_empty() => {}
            Phase::Open if self.bulk && self.intake.kept() == 0 => {
                self.socket.receive_length(io.ring, 0, self.more_expected);
            }
            Phase::Open => self.socket.receive_chunk(io.ring, self.more_expected),
            Phase::Lingering { .. } => self.socket.receive_chunk(io.ring, false),
            Phase::Flushing | Phase::Ended => {}
        }
    }

    /// Takes the completion of a receive. Frames that are whole now wait in [`Connection::take_frame`].
    pub(crate) fn received(&mut self, completion: &Completion, io: &mut Io<'_>) -> Result<(), End> {
        let looked = std::mem::take(&mut self.looking_at_input);
        self.more_expected = completion.socket_nonempty();
        let received = self.socket.received(completion).map_err(End::Failed)?;
        if self.phase != Phase::Open {
            return self.discard(received, io);
        }
        match received {
            Received::Chunk { buffer, len } => {
                io.ring.provided().take(buffer);
                let limit = io.admission.frame_bytes_max();
                let began = self.intake.feed(io.ring.provided().read(buffer, len), limit, &mut self.frames);
                io.ring.provided().give_back(buffer);
                self.input_us = io.now_us;
                if let Some(length) = began.map_err(End::BadLength)? {
                    let head = self.intake.take_large();
                    self.begin_large(length, head, io);
                }
            }
            Received::PartOfLength => self.socket.receive_rest_of_length(io.ring),
            Received::Length(bytes) => {
                let length = frame_length(bytes, io.admission.frame_bytes_max()).map_err(End::BadLength)?;
                self.input_us = io.now_us;
                if length > SMALL_BYTES {
                    self.begin_large(length, Bytes::new(), io);
                } else {
                    self.bulk = false;
                    self.intake.begin(bytes);
                }
            }
            Received::Filled { buffer, came } => {
                let large = self.large.as_mut().expect("a buffer is received into for a large frame");
                if buffer.len() == large.length {
                    self.large = None;
                    self.bulk = true;
                    self.trusted = self.trusted.max(buffer.len());
                    self.frames.push_back(buffer.freeze());
                } else if looked && came < PROGRESS_BYTES {
                    return Err(End::StalledInput);
                } else {
                    self.input_us = io.now_us;
                    large.buffer = Some(buffer);
                    self.go_on_with_large(io);
                }
            }
            Received::Cancelled { buffer } => {
                if looked {
                    return Err(End::StalledInput);
                }
                if let Some(large) = &mut self.large {
                    large.buffer = buffer;
                    self.go_on_with_large(io);
                }
            }
            Received::NoBuffer => {}
            Received::End => return Err(End::ByClient),
        }
        Ok(())
    }

    /// Throws away what a closing connection still receives.
    fn discard(&mut self, received: Received, io: &mut Io<'_>) -> Result<(), End> {
        self.large = None;
        let came = match received {
            Received::Chunk { buffer, len } => {
                io.ring.provided().take(buffer);
                io.ring.provided().give_back(buffer);
                len
            }
            Received::Filled { came, .. } => came,
            Received::PartOfLength => {
                self.socket.receive_rest_of_length(io.ring);
                0
            }
            Received::Length(_) => FRAME_PREFIX_BYTES,
            Received::NoBuffer | Received::Cancelled { .. } => 0,
            Received::End if self.phase == Phase::Flushing => 0,
            Received::End => return Err(End::ByShard),
        };
        if let Phase::Lingering { discarded } = &mut self.phase {
            *discarded += came;
            if *discarded > LINGER_BYTES {
                return Err(End::ByShard);
            }
        }
        Ok(())
    }

    fn begin_large(&mut self, length: usize, head: Bytes, io: &mut Io<'_>) {
        assert!(self.large.is_none() && head.len() < length, "a large frame begins in the middle of another");
        self.large = Some(LargeFrame { length, head, buffer: None, waiting: false });
        self.go_on_with_large(io);
    }

    /// What the large frame needs next.
    pub(crate) fn need(&self) -> Need {
        let large = self.large.as_ref().expect("who stands in line has a large frame");
        Need::new(large.length, large.buffer.as_ref().map_or(large.head.len(), |buffer| buffer.len()), self.trusted)
    }

    /// Receives more of the large frame, or stands in line for memory.
    fn go_on_with_large(&mut self, io: &mut Io<'_>) {
        let need = self.need();
        let large = self.large.as_mut().expect("a large frame is unfinished");
        if let Some(buffer) = large.buffer.take_if(|buffer| buffer.remaining() > 0) {
            let want = buffer.capacity().min(large.length);
            return self.socket.receive_into(io.ring, buffer, want);
        }
        match io.admission.ask(self.place, need) {
            Some(buffer) => self.fill(buffer, io),
            None => large.waiting = true,
        }
    }

    /// Goes on with the buffer that it stood in line for.
    pub(crate) fn served(&mut self, buffer: FrameBuffer, io: &mut Io<'_>) {
        let large = self.large.as_mut().expect("who stands in line has a large frame");
        assert!(std::mem::take(&mut large.waiting), "it was not in line");
        self.input_us = io.now_us;
        self.fill(buffer, io);
    }

    /// Moves what came to a new buffer and receives more into it.
    fn fill(&mut self, mut buffer: FrameBuffer, io: &mut Io<'_>) {
        let large = self.large.as_mut().expect("a large frame is unfinished");
        buffer.extend_from_slice(&std::mem::take(&mut large.head));
        if let Some(smaller) = large.buffer.take() {
            buffer.extend_from_slice(&smaller);
        }
        let want = buffer.capacity().min(large.length);
        self.socket.receive_into(io.ring, buffer, want);
    }

    /// Bytes queued and not yet sent.
    pub(crate) fn unsent(&self) -> usize {
        self.socket.unsent()
    }

    /// Bytes of memory that are queued and not yet sent.
    pub(crate) fn unsent_memory(&self) -> usize {
        self.socket.unsent_memory()
    }

    /// Queues an answer. Call [`Connection::send`] at the end of the turn.
    pub(crate) fn queue(&mut self, segments: Vec<Outgoing>, unsent_max: usize, io: &mut Io<'_>) -> Result<(), End> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        self.socket.queue(segments, io.pipes).map_err(End::NoPipe)?;
        let unsent = self.socket.unsent_memory();
        if unsent > unsent_max { Err(End::TooMuchUnsent(unsent)) } else { Ok(()) }
    }

    /// Sends what is queued; goes on with closing when nothing is.
    pub(crate) fn send(&mut self, io: &mut Io<'_>) {
        if self.phase == Phase::Ended {
            return;
        }
        if !self.socket.is_sending() && self.socket.unsent() > 0 {
            self.output_us = io.now_us;
            self.socket.send(io.ring, io.batches);
        }
        if self.phase == Phase::Flushing && self.socket.unsent() == 0 && !self.socket.is_sending() {
            self.socket.shut_down_sending();
            self.phase = Phase::Lingering { discarded: 0 };
            self.output_us = io.now_us;
            self.receive(io);
        }
    }

    /// Takes the completion of a send.
    pub(crate) fn sent(&mut self, completion: &Completion, io: &mut Io<'_>) -> Result<(), End> {
        let looked = std::mem::take(&mut self.looking_at_output);
        if self.phase == Phase::Ended {
            self.socket.sent_at_the_end(io.ring, io.batches);
            return Ok(());
        }
        let sent = self.socket.sent(completion, io.ring, io.batches, io.pipes)?;
        if looked && sent < PROGRESS_BYTES && self.socket.unsent() > 0 {
            return Err(End::StalledOutput);
        }
        if sent > 0 {
            self.output_us = io.now_us;
        }
        self.send(io);
        Ok(())
    }

    /// Takes no more input, sends what is queued, then closes.
    pub(crate) fn close(&mut self, io: &mut Io<'_>) {
        if self.phase != Phase::Open {
            return;
        }
        self.stop_input(io);
        self.phase = Phase::Flushing;
        self.output_us = io.now_us;
        self.send(io);
    }

    /// Closes at once. What is with the kernel completes soon; see [`Connection::is_gone`].
    pub(crate) fn end(&mut self, io: &mut Io<'_>) {
        if self.phase == Phase::Ended {
            return;
        }
        self.stop_input(io);
        self.phase = Phase::Ended;
        self.socket.shut_down();
        if !self.socket.is_sending() {
            self.socket.discard_unsent(io.ring);
        }
    }

    fn stop_input(&mut self, io: &mut Io<'_>) {
        self.frames = VecDeque::new();
        self.intake = Intake::default();
        if let Some(large) = self.large.take()
            && large.waiting
        {
            io.admission.leave(self.place);
        }
    }

    /// Looks at what has taken longer than it may. Reads and writes with the kernel are cancelled to see how far they
    /// got; their completions decide.
    pub(crate) fn check(
        &mut self,
        input_max_us: u64,
        output_max_us: u64,
        linger_us: u64,
        io: &mut Io<'_>,
    ) -> Result<(), End> {
        let now_us = io.now_us;
        let late = |since: u64, max: u64| now_us.saturating_sub(since) > max;
        match self.phase {
            Phase::Ended => return Ok(()),
            Phase::Lingering { .. } if late(self.output_us, linger_us) => return Err(End::ByShard),
            Phase::Open if self.is_mid_frame() && late(self.input_us, input_max_us) => {
                if self.large.is_none() {
                    return Err(End::StalledInput);
                }
                if !self.looking_at_input {
                    self.looking_at_input = true;
                    self.socket.cancel_receive(io.ring);
                }
            }
            _ => {}
        }
        if self.socket.waits_for_client() && !self.looking_at_output && late(self.output_us, output_max_us) {
            self.looking_at_output = true;
            self.socket.cancel_send(io.ring);
        }
        Ok(())
    }

    /// Frees what operations held that were in flight when the ring became quiet.
    pub(crate) fn release(&mut self, quiet: &Quiet) {
        self.socket.release(quiet);
    }
}
