//! Bytes of files on their way to sockets without passing through this process: file, pipe, socket.
//!
//! The first half runs on the ring, where a worker thread of the kernel waits for the disk if it has to. The second is a
//! plain `splice` that does not block; where the socket is full the ring polls it. It is not the ring's because the
//! kernel takes "do not block" from the socket itself there: set for good, every receive that finds nothing would fail
//! instead of waiting, and without it each client that does not read would hold a worker thread.
//!
//! Invariants:
//! - A pipe belongs to one socket at a time, and is empty when it changes hands.
//! - Neither a file nor a pipe is closed while an operation on it is in flight: the kernel looks descriptors up when a
//!   worker begins, not when the operation is submitted.
//! - The socket blocks again when a call returns.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use corelog_shard::io::FileId;
use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag};
use nix::libc;

use super::ring::{Ring, Token};

/// What a pipe holds, if the system lets it: what an unprivileged process may ask for.
const PIPE_BYTES: i32 = 1 << 20;
/// Pipes that no socket uses and that are kept.
const PIPES_KEPT: usize = 8;

/// A part of a file that waits for its turn on a socket. The descriptor is closed with it.
pub(crate) struct FileSegment {
    pub(crate) descriptor: OwnedFd,
    /// What the shard calls it.
    pub(crate) file: FileId,
    /// Where it is, for people.
    pub(crate) path: String,
    pub(crate) position: u64,
    /// Bytes that were not taken from it yet.
    pub(crate) left: usize,
}

impl FileSegment {
    /// Closes the file. A worker does it: where it was removed meanwhile, its space is given back now.
    pub(crate) fn close(self, ring: &mut Ring) {
        let entry = opcode::Close::new(Fd(self.descriptor.into_raw_fd())).build().flags(squeue::Flags::ASYNC);
        // SAFETY: The entry holds no address.
        unsafe { ring.push(entry, Token::Ignored) };
    }
}

/// A pipe, empty or with bytes for the socket that has it.
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    held: usize,
}

impl Pipe {
    fn new() -> Result<Self, Errno> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // The system's limit for pipes of a user may be reached: then it stays as small as it is.
        let capacity = nix::fcntl::fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES))
            .or_else(|_| nix::fcntl::fcntl(&write, FcntlArg::F_GETPIPE_SZ))?;
        Ok(Self { read, write, capacity: capacity as usize, held: 0 })
    }

    /// Bytes that are on their way through it.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The operation that takes the next bytes of a file into the empty pipe; its completion goes to
    /// [`Pipe::filled`]. File and pipe stay open until then.
    pub(crate) fn fill(&self, ring: &mut Ring, segment: &FileSegment, token: Token) {
        assert!(self.held == 0 && segment.left > 0, "a pipe is filled when it is empty, with what is left");
        let len = segment.left.min(self.capacity) as u32;
        let position = i64::try_from(segment.position).expect("files end before 2^63");
        let (from, to) = (Fd(segment.descriptor.as_raw_fd()), Fd(self.write.as_raw_fd()));
        let entry = opcode::Splice::new(from, position, to, -1, len).flags(libc::SPLICE_F_NONBLOCK).build();
        // SAFETY: The entry holds no address.
        unsafe { ring.push(entry, token) };
    }

    /// Takes note of what came.
    pub(crate) fn filled(&mut self, segment: &mut FileSegment, count: usize) {
        assert!(self.held == 0 && count <= segment.left, "no more comes than was asked for");
        self.held = count;
        segment.left -= count;
        segment.position += count as u64;
    }

    /// Moves what the pipe holds to the socket, as much as that takes now. `more`: other bytes follow at once.
    pub(crate) fn drain(&mut self, stream: &TcpStream, more: bool) -> Result<usize, Errno> {
        let failed = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        stream.set_nonblocking(true).map_err(failed)?;
        let moved = self.drain_now(stream, more);
        stream.set_nonblocking(false).map_err(failed)?;
        moved
    }

    fn drain_now(&mut self, stream: &TcpStream, more: bool) -> Result<usize, Errno> {
        let before = self.held;
        let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | if more { libc::SPLICE_F_MORE } else { 0 };
        while self.held > 0 {
            let (from, to) = (self.read.as_raw_fd(), stream.as_raw_fd());
            let none = std::ptr::null_mut();
            // SAFETY: A plain system call on two descriptors that are open; neither has a position of its own.
            match Errno::result(unsafe { libc::splice(from, none, to, none, self.held, flags) }) {
                Ok(0) => return Err(Errno::EPIPE),
                Ok(count) => self.held -= count as usize,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(before - self.held)
    }
}

/// Pipes that no socket uses at the moment.
#[derive(Default)]
pub(crate) struct Pipes(Vec<Pipe>);

impl Pipes {
    pub(crate) fn take(&mut self) -> Result<Pipe, Errno> {
        self.0.pop().map_or_else(Pipe::new, Ok)
    }

    /// Takes one back; one that still holds bytes is closed.
    pub(crate) fn give_back(&mut self, pipe: Pipe) {
        if pipe.held == 0 && self.0.len() < PIPES_KEPT {
            self.0.push(pipe);
        }
    }
}
