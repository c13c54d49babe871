//! Sockets on the ring: accept, receive, send.
//!
//! Owns what the kernel touches for a connection: the buffer that a frame is received into, the four bytes of a length,
//! the message header and pieces of a send, and the queued segments that the pieces describe. Parts of files go through
//! a pipe, which the socket has while such a part is queued; see `splice`. Invariants:
//! - At most one receive and one send of a socket are in flight. A wait for room while a pipe is emptied is a send, too.
//! - None of this memory is freed or moved while its operation is in flight; a socket that is dropped too early leaks it.

use std::collections::VecDeque;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use bytes::Bytes;
use corelog_shard::io::FileId;
use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use nix::errno::Errno;
use nix::libc;

use super::frame_memory::FrameBuffer;
use super::provided::{CHUNK_BYTES, GROUP};
use super::ring::{Completion, Quiet, Ring, Token};
use super::splice::{FileSegment, Pipe, Pipes};

/// Pieces of one send; Linux's own limit (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;
/// Bytes of one send, so that a slow reader's progress can be seen.
const SEND_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one receive into a buffer, for the same reason.
const RECEIVE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// `IORING_RECVSEND_POLL_FIRST`: wait for bytes before trying to receive. Right where none are expected.
const POLL_FIRST: u16 = 1;
/// Entries that an empty queue of segments may keep.
const OUTBOX_KEPT: usize = 32;

/// Starts accepting: for good where `multishot`, else one connection.
pub(crate) fn accept(ring: &mut Ring, listener: &TcpListener, multishot: bool) {
    let descriptor = Fd(listener.as_raw_fd());
    let entry = if multishot {
        opcode::AcceptMulti::new(descriptor).flags(libc::SOCK_CLOEXEC).build()
    } else {
        let (none, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
        opcode::Accept::new(descriptor, none, no_length).flags(libc::SOCK_CLOEXEC).build()
    };
    // SAFETY: The entry holds no address.
    unsafe { ring.push(entry, Token::Accept) };
}

/// The connection that an accept returned.
pub(crate) fn accepted(completion: &Completion) -> Result<TcpStream, Errno> {
    let descriptor = completion.outcome()?;
    // SAFETY: The completion of an accept names a new descriptor, which nobody else knows.
    Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor as i32) }))
}

/// One connection's socket.
pub(crate) struct Socket {
    stream: TcpStream,
    place: u32,
    receiving: Receiving,
    length: Box<[u8; 4]>,
    outbox: VecDeque<Outgoing>,
    outbox_bytes: usize,
    /// Of these, the bytes that take memory.
    outbox_memory: usize,
    /// How many parts of files are queued.
    outbox_files: usize,
    sending: Sending,
    pipe: Option<Pipe>,
}

/// What is queued for a socket.
pub(crate) enum Outgoing {
    Memory(Bytes),
    File(Box<FileSegment>),
}

impl Outgoing {
    /// Bytes that it is still to bring, without those in the pipe.
    fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(segment) => segment.left,
        }
    }
}

/// The send in flight.
enum Sending {
    Nothing,
    /// Segments from memory.
    Message(Box<SendBatch>),
    /// A part of a file, on its way into the pipe.
    Filling,
    /// A wait until the socket has room for what the pipe holds.
    Waiting,
}

/// Why nothing more can be sent.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The connection failed.
    Socket(Errno),
    /// A file failed in the middle of a frame.
    File {
        /// What the shard calls it.
        file: FileId,
        /// Which file, and what is wrong with it, for people.
        what: String,
    },
}

/// The receive in flight.
enum Receiving {
    Nothing,
    Chunk,
    /// The length of a frame, of which so many bytes are there.
    Length(usize),
    Fill(FrameBuffer),
}

/// What a receive brought.
pub(crate) enum Received {
    /// So many bytes in this provided buffer, which the caller gives back.
    Chunk { buffer: u16, len: usize },
    /// A frame's length.
    Length([u8; 4]),
    /// A part of a frame's length; receive the length again.
    PartOfLength,
    /// The buffer with what came, perhaps less than was asked for.
    Filled { buffer: FrameBuffer, came: usize },
    /// There was no provided buffer left; receive again when some were given back.
    NoBuffer,
    /// It was cancelled before anything came.
    Cancelled { buffer: Option<FrameBuffer> },
    /// The client will send nothing more.
    End,
}

/// What the kernel reads of a send.
pub(crate) struct SendBatch {
    header: libc::msghdr,
    pieces: Vec<libc::iovec>,
}

/// Batches that no socket uses at the moment.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "the kernel reads a header where it is: it may not move")]
pub(crate) struct SendBatches(Vec<Box<SendBatch>>);

impl SendBatches {
    /// How many unused ones are kept.
    const KEPT: usize = 32;

    fn take(&mut self) -> Box<SendBatch> {
        self.0.pop().unwrap_or_else(|| {
            // SAFETY: A message header is plain numbers and null pointers, for which all zeros is a value.
            let header = unsafe { std::mem::zeroed() };
            Box::new(SendBatch { header, pieces: Vec::new() })
        })
    }

    fn give_back(&mut self, batch: Box<SendBatch>) {
        if self.0.len() < Self::KEPT {
            self.0.push(batch);
        }
    }
}

impl Socket {
    /// A socket whose operations complete with this place.
    pub(crate) fn new(stream: TcpStream, place: u32) -> Self {
        Self {
            stream,
            place,
            receiving: Receiving::Nothing,
            length: Box::new([0; 4]),
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            outbox_memory: 0,
            outbox_files: 0,
            sending: Sending::Nothing,
            pipe: None,
        }
    }

    pub(crate) fn is_receiving(&self) -> bool {
        !matches!(self.receiving, Receiving::Nothing)
    }

    pub(crate) fn is_sending(&self) -> bool {
        !matches!(self.sending, Sending::Nothing)
    }

    /// Whether it is the client's turn to let the send in flight get on, not a disk's.
    pub(crate) fn waits_for_client(&self) -> bool {
        matches!(self.sending, Sending::Message(_) | Sending::Waiting)
    }

    /// Whether the kernel has an operation of this socket.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_receiving() || self.is_sending()
    }

    /// Bytes queued and not yet sent.
    pub(crate) fn unsent(&self) -> usize {
        self.outbox_bytes
    }

    /// Bytes of memory that are queued and not yet sent.
    pub(crate) fn unsent_memory(&self) -> usize {
        self.outbox_memory
    }

    /// Ends both directions: what is in flight completes soon.
    pub(crate) fn shut_down(&self) {
        // It fails when the client is gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Tells the client that nothing more comes.
    pub(crate) fn shut_down_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Receives into a provided buffer, which is taken when bytes are there.
    pub(crate) fn receive_chunk(&mut self, ring: &mut Ring, expected: bool) {
        let entry = opcode::Recv::new(self.descriptor(), std::ptr::null_mut(), CHUNK_BYTES as u32)
            .buf_group(GROUP)
            .ioprio(poll_first(expected))
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.start_receive(ring, entry, Receiving::Chunk);
    }

    /// Receives the four bytes of a frame's length and nothing else.
    pub(crate) fn receive_length(&mut self, ring: &mut Ring, have: usize, expected: bool) {
        let into = self.length[have..].as_mut_ptr();
        let entry = opcode::Recv::new(self.descriptor(), into, (4 - have) as u32)
            .flags(libc::MSG_WAITALL)
            .ioprio(poll_first(expected))
            .build();
        self.start_receive(ring, entry, Receiving::Length(have));
    }

    /// Receives into `buffer` until it holds `want` bytes, or a part of that.
    pub(crate) fn receive_into(&mut self, ring: &mut Ring, mut buffer: FrameBuffer, want: usize) {
        assert!(buffer.len() < want && want <= buffer.capacity(), "cannot receive {want} bytes into {:?}", &*buffer);
        let len = (want - buffer.len()).min(RECEIVE_BYTES_MAX) as u32;
        let into = buffer.spare_mut().as_mut_ptr().cast();
        let entry = opcode::Recv::new(self.descriptor(), into, len).flags(libc::MSG_WAITALL).build();
        self.start_receive(ring, entry, Receiving::Fill(buffer));
    }

    fn start_receive(&mut self, ring: &mut Ring, entry: squeue::Entry, receiving: Receiving) {
        assert!(!self.is_receiving(), "a socket receives one thing at a time");
        self.receiving = receiving;
        // SAFETY: The entry points into a provided buffer, the boxed length, or the frame buffer in `receiving`. None of
        // them is touched or freed before the completion (or ever, if the socket is dropped before it).
        unsafe { ring.push(entry, Token::Receive(self.place)) };
    }

    /// Takes the completion of the receive.
    pub(crate) fn received(&mut self, completion: &Completion) -> Result<Received, Errno> {
        let receiving = std::mem::replace(&mut self.receiving, Receiving::Nothing);
        let count = match completion.outcome() {
            Ok(0) => return Ok(Received::End),
            Ok(count) => count as usize,
            Err(Errno::ENOBUFS) => return Ok(Received::NoBuffer),
            Err(Errno::ECANCELED | Errno::EINTR) => {
                let buffer = if let Receiving::Fill(buffer) = receiving { Some(buffer) } else { None };
                return Ok(Received::Cancelled { buffer });
            }
            Err(errno) => return Err(errno),
        };
        Ok(match receiving {
            Receiving::Nothing => unreachable!("a completion without a receive"),
            Receiving::Chunk => {
                let buffer = completion.buffer().expect("bytes came, so the kernel chose a buffer");
                Received::Chunk { buffer, len: count }
            }
            Receiving::Length(have) if have + count < 4 => {
                // Too little came only where the receive was cancelled in between: keep what is there.
                self.receiving = Receiving::Length(have + count);
                Received::PartOfLength
            }
            Receiving::Length(_) => Received::Length(*self.length),
            Receiving::Fill(mut buffer) => {
                let len = buffer.len() + count;
                // SAFETY: The kernel has written `count` bytes behind those that were there.
                unsafe { buffer.set_len(len) };
                Received::Filled { buffer, came: count }
            }
        })
    }

    /// Goes on with a length of which only a part came.
    pub(crate) fn receive_rest_of_length(&mut self, ring: &mut Ring) {
        let Receiving::Length(have) = self.receiving else { unreachable!("a part of a length was received") };
        self.receiving = Receiving::Nothing;
        self.receive_length(ring, have, true);
    }

    /// Makes the receive complete with what it has.
    pub(crate) fn cancel_receive(&self, ring: &mut Ring) {
        ring.cancel(Token::Receive(self.place));
    }

    /// Makes the send complete with what it has sent.
    pub(crate) fn cancel_send(&self, ring: &mut Ring) {
        ring.cancel(Token::Send(self.place));
    }

    /// Queues segments behind those that are there. Where there are parts of files among them it takes a pipe; without
    /// one they cannot be sent.
    pub(crate) fn queue(&mut self, segments: Vec<Outgoing>, pipes: &mut Pipes) -> Result<(), Errno> {
        for segment in segments {
            let len = segment.len();
            if len == 0 {
                continue;
            }
            match &segment {
                Outgoing::Memory(_) => self.outbox_memory += len,
                Outgoing::File(_) => self.outbox_files += 1,
            }
            self.outbox_bytes += len;
            self.outbox.push_back(segment);
        }
        if self.outbox_files > 0 && self.pipe.is_none() {
            self.pipe = Some(pipes.take()?);
        }
        Ok(())
    }

    /// Sends what is queued, unless a send is in flight.
    pub(crate) fn send(&mut self, ring: &mut Ring, batches: &mut SendBatches) {
        if self.is_sending() {
            return;
        }
        match self.outbox.front() {
            Some(Outgoing::Memory(_)) => self.send_message(ring, batches),
            Some(Outgoing::File(segment)) => {
                let pipe = self.pipe.as_ref().expect("a part of a file is queued with a pipe");
                pipe.fill(ring, segment, Token::Send(self.place));
                self.sending = Sending::Filling;
            }
            None => {}
        }
    }

    /// Sends segments from memory, up to the next part of a file.
    fn send_message(&mut self, ring: &mut Ring, batches: &mut SendBatches) {
        let mut batch = batches.take();
        batch.pieces.clear();
        let mut bytes = 0;
        let mut flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        for segment in self.outbox.iter().take(PIECES_MAX) {
            let Outgoing::Memory(segment) = segment else {
                // The beginning of a frame does not need a packet of its own.
                flags |= libc::MSG_MORE;
                break;
            };
            batch.pieces.push(libc::iovec { iov_base: segment.as_ptr().cast_mut().cast(), iov_len: segment.len() });
            bytes += segment.len();
            if bytes >= SEND_BYTES_MAX {
                break;
            }
        }
        batch.header.msg_iov = batch.pieces.as_mut_ptr();
        batch.header.msg_iovlen = batch.pieces.len() as _;
        let header = &raw const batch.header;
        self.sending = Sending::Message(batch);
        let entry = opcode::SendMsg::new(Fd(self.stream.as_raw_fd()), header).flags(flags as u32).build();
        // SAFETY: Header and pieces are boxed in `sending`, which stays until the completion; the pieces describe the
        // first segments of the outbox, whose memory is shared by count and which leave it only when they are sent.
        unsafe { ring.push(entry, Token::Send(self.place)) };
    }

    /// Takes the completion of the send: how many bytes left. `ECANCELED` and the like count as none. Where the socket
    /// is full in the middle of a pipe, the next send is in flight already.
    pub(crate) fn sent(
        &mut self,
        completion: &Completion,
        ring: &mut Ring,
        batches: &mut SendBatches,
        pipes: &mut Pipes,
    ) -> Result<usize, SendError> {
        let count = match completion.outcome() {
            Ok(count) => Ok(count as usize),
            Err(Errno::ECANCELED | Errno::EINTR) => Err(None),
            Err(errno) => Err(Some(errno)),
        };
        match (std::mem::replace(&mut self.sending, Sending::Nothing), count) {
            (Sending::Nothing, _) => unreachable!("a completion needs a send"),
            (Sending::Message(batch), count) => {
                batches.give_back(batch);
                match count {
                    Err(Some(errno)) => return Err(SendError::Socket(errno)),
                    Err(None) => return Ok(0),
                    Ok(count) => self.message_sent(count),
                }
                Ok(count.unwrap_or(0))
            }
            (Sending::Filling, Err(None)) => Ok(0),
            (Sending::Filling, count) => {
                let Some(Outgoing::File(segment)) = self.outbox.front_mut() else {
                    unreachable!("what fills the pipe is at the head of the queue")
                };
                let failed = |what| SendError::File { file: segment.file, what };
                match count {
                    Ok(0) => {
                        let FileSegment { path, position, left, .. } = &**segment;
                        Err(failed(format!("{path} ends at byte {position}, {left} bytes too early")))
                    }
                    Ok(count) => {
                        self.pipe.as_mut().expect("it was filled").filled(segment, count);
                        self.drain_pipe(ring, pipes)
                    }
                    Err(errno) => {
                        let (path, position) = (&segment.path, segment.position);
                        let why = errno.unwrap_or(Errno::UnknownErrno).desc();
                        Err(failed(format!("{path} cannot be read at byte {position}: {why}")))
                    }
                }
            }
            // Also a wait that was cancelled, to see how far the client got.
            (Sending::Waiting, _) => self.drain_pipe(ring, pipes),
        }
    }

    /// So many bytes from memory have left.
    fn message_sent(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let Some(Outgoing::Memory(first)) = self.outbox.front_mut() else {
                unreachable!("no more is sent than was queued")
            };
            if first.len() > left {
                *first = first.slice(left..);
                break;
            }
            left -= first.len();
            self.outbox.pop_front();
        }
        self.outbox_bytes -= count;
        self.outbox_memory -= count;
        self.shrink_outbox();
    }

    /// Moves what the pipe holds to the socket. Where that is full, waits for it.
    fn drain_pipe(&mut self, ring: &mut Ring, pipes: &mut Pipes) -> Result<usize, SendError> {
        let more = self.outbox.len() > 1 || self.outbox.front().is_some_and(|segment| segment.len() > 0);
        let pipe = self.pipe.as_mut().expect("a part of a file has a pipe");
        let moved = pipe.drain(&self.stream, more).map_err(SendError::Socket)?;
        self.outbox_bytes -= moved;
        if pipe.held() > 0 {
            ring.poll_writable(self.stream.as_raw_fd(), Token::Send(self.place));
            self.sending = Sending::Waiting;
            return Ok(moved);
        }
        if self.outbox.front().is_some_and(|segment| segment.len() == 0) {
            if let Some(Outgoing::File(segment)) = self.outbox.pop_front() {
                segment.close(ring);
            }
            self.outbox_files -= 1;
            self.shrink_outbox();
        }
        if self.outbox_files == 0 {
            self.pipe.take().into_iter().for_each(|pipe| pipes.give_back(pipe));
        }
        Ok(moved)
    }

    fn shrink_outbox(&mut self) {
        if self.outbox.is_empty() && self.outbox.capacity() > OUTBOX_KEPT {
            self.outbox = VecDeque::new();
        }
    }

    /// Takes the completion of a send whose outcome does not matter any more, and forgets what is queued.
    pub(crate) fn sent_at_the_end(&mut self, ring: &mut Ring, batches: &mut SendBatches) {
        if let Sending::Message(batch) = std::mem::replace(&mut self.sending, Sending::Nothing) {
            batches.give_back(batch);
        }
        self.discard_unsent(ring);
    }

    /// Forgets what is queued. Call it when no send is in flight.
    pub(crate) fn discard_unsent(&mut self, ring: &mut Ring) {
        assert!(!self.is_sending(), "the kernel reads what is queued");
        for segment in std::mem::take(&mut self.outbox) {
            if let Outgoing::File(segment) = segment {
                segment.close(ring);
            }
        }
        self.pipe = None;
        (self.outbox_bytes, self.outbox_memory, self.outbox_files) = (0, 0, 0);
    }

    /// Frees what operations held that were in flight when the ring became quiet.
    pub(crate) fn release(&mut self, _quiet: &Quiet) {
        self.receiving = Receiving::Nothing;
        self.sending = Sending::Nothing;
    }

    fn descriptor(&self) -> Fd {
        Fd(self.stream.as_raw_fd())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The kernel may still use all of this: never free it.
        match std::mem::replace(&mut self.receiving, Receiving::Nothing) {
            Receiving::Fill(buffer) => buffer.leak(),
            Receiving::Length(_) => std::mem::forget(std::mem::take(&mut self.length)),
            Receiving::Chunk | Receiving::Nothing => {}
        }
        let sending = std::mem::replace(&mut self.sending, Sending::Nothing);
        if !matches!(sending, Sending::Nothing) {
            std::mem::forget(sending);
            std::mem::forget(std::mem::take(&mut self.outbox));
            std::mem::forget(self.pipe.take());
        }
    }
}

fn poll_first(expected: bool) -> u16 {
    if expected { 0 } else { POLL_FIRST }
}
