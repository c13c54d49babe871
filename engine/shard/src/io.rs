//! The contract between the shard, which decides, and its host, which does.
//!
//! Owns the vocabulary only: identifiers, time, events, actions, and the steps that touch a disk. The same [`Step`]s
//! run on an io_uring ring, through plain system calls at start, and on the simulated disk of the tests, so each step's
//! meaning is defined here and nowhere else.
//!
//! Invariants: an [`OpId`] and a [`FileId`] are never used twice in the life of a shard, so that a late completion is
//! recognised; completions arrive in any order; what depends on order is sequenced by the shard.

use crate::config::ConnectionBounds;
use crate::mesh::{Message, ShardIndex};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

/// Writes that are not durable reach the device in pieces of this size; see [`Step::Write`].
pub const WRITE_PIECE_BYTES: u64 = 1 << 20;

/// The time as the host read it when it handed over an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Microseconds on a clock that never goes back; for deadlines.
    pub monotonic_us: u64,
    /// Milliseconds since the Unix epoch, which an operator may set to anything; for timestamps and retention.
    pub wall_ms: i64,
}

/// One asynchronous file operation in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

impl OpId {
    /// The shard that asked for it.
    pub fn shard(self) -> ShardIndex {
        ShardIndex((self.0 >> 48) as u16)
    }
}

/// A file that the shard has asked the host to open. Chosen by the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

impl FileId {
    /// The shard that opened it, or for which it was opened.
    pub fn shard(self) -> ShardIndex {
        ShardIndex((self.0 >> 48) as u16)
    }
}

/// A client connection. Chosen by the host, which uses none again before 2^28 others; the upper 16 bits are the shard that
/// it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// The shard whose connection it is.
    pub fn shard(self) -> ShardIndex {
        ShardIndex((self.0 >> 48) as u16)
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event<M = Message> {
    /// A client connected.
    ConnectionOpened {
        /// The new connection.
        connection: ConnectionId,
        /// The client's address, for logs.
        peer: SocketAddr,
    },
    /// The connection is gone: closed by the client, by an error, or as the shard asked. Nothing more arrives for it.
    ConnectionClosed {
        /// The connection that ended.
        connection: ConnectionId,
    },
    /// A file that a reply named ended too early or could not be read, in the middle of the frame. The host has said so in
    /// its log and closes the connection.
    ReplyFailed {
        /// To whom the reply went.
        connection: ConnectionId,
        /// The file.
        file: FileId,
    },
    /// Everything that was replied to the connection has been sent: its memory is free again.
    Drained {
        /// The connection.
        connection: ConnectionId,
    },
    /// A whole request frame, without its four bytes of length.
    Frame {
        /// Where it came from.
        connection: ConnectionId,
        /// The request header and body.
        frame: Bytes,
    },
    /// Another shard of this node has sent something with [`Action::Send`].
    Message {
        /// Which one.
        from: ShardIndex,
        /// What.
        message: M,
    },
    /// An [`Action::Io`] ended.
    Completed {
        /// Which one.
        op: OpId,
        /// The bytes of the chain's `Read` steps in order, or the first error. After an error no later step was run.
        result: Result<Vec<Bytes>, IoError>,
    },
    /// How many bytes the data directory's file system has left for this user. Sent at start and then every second.
    FreeSpace {
        /// Free bytes.
        bytes: u64,
        /// Bytes of the whole file system.
        total_bytes: u64,
    },
    /// The deadline that [`crate::shard::Shard::next_deadline_us`] named has passed, or some time has.
    Tick,
    /// Stop: answer what is in flight, write back, and report [`Action::Stopped`].
    Stop,
}

/// What the host has to do.
#[derive(Debug)]
pub enum Action<M = Message> {
    /// Run the steps one after the other, stop at the first error, then report [`Event::Completed`]. Different chains
    /// run concurrently and complete in any order.
    Io {
        /// Named in the completion.
        op: OpId,
        /// The chain, never empty.
        steps: Vec<Step>,
    },
    /// Send the pieces, in order, as they are (the frame's length prefix is in the first). Replies of one connection
    /// are sent in the order in which they are issued.
    Reply {
        /// To whom.
        connection: ConnectionId,
        /// The frame in pieces.
        pieces: Vec<Piece>,
    },
    /// Hand this to another shard of the node. What one shard sends to another arrives, once and in order.
    Send {
        /// To whom.
        to: ShardIndex,
        /// What.
        message: M,
    },
    /// Read no more from this connection until told otherwise.
    PauseInput(ConnectionId),
    /// Read from this connection again.
    ResumeInput(ConnectionId),
    /// Send what was already replied, then close.
    Close(ConnectionId),
    /// From now on take in so many connections. Those that are open stay.
    LimitConnections(ConnectionBounds),
    /// Something a person may want to read.
    Log {
        /// How important.
        level: LogLevel,
        /// One line, in words.
        message: String,
    },
    /// The shard cannot go on (a sync failed, an invariant of the disk is broken). The host ends the process with a
    /// distinct exit status and runs no further action.
    Fatal {
        /// What happened, where, and what to do.
        message: String,
    },
    /// The answer to [`Event::Stop`]: everything is written back; no further action follows.
    Stopped,
}

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Memory(Bytes),
    /// Bytes that are sent from the page cache without being looked at. The file was opened with
    /// [`OpenMode::READ_BUFFERED`] and is the host's from now on, which closes it when the bytes have left or the
    /// connection is gone; until then it may be removed or renamed, and its bytes still leave.
    File(FileRange),
}

impl Piece {
    /// How many bytes of memory it holds.
    pub fn memory(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(_) => 0,
        }
    }
}

/// A part of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// An open file.
    pub file: FileId,
    /// Where it begins, in bytes.
    pub position: u64,
    /// Its length in bytes, more than 0.
    pub len: usize,
}

/// The importance of an [`Action::Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// The operator must act.
    Error,
    /// Something is wrong, the broker copes.
    Warn,
    /// Worth knowing.
    Info,
    /// For whoever hunts a bug.
    Debug,
}

/// One thing done to a disk. Paths are UTF-8, relative to the data directory, with `/` between names.
///
/// Durability: a step that completed is visible to later steps of the process. It survives a power cut only as said
/// at each step. A write that is not yet durable may be lost, torn at any block, or land while an earlier one does not.
#[derive(Clone, Debug)]
pub enum Step {
    /// Opens a file for direct, block-aligned I/O (see [`OpenMode`]).
    Open {
        /// The name under which the shard will speak of it.
        file: FileId,
        /// Where it is.
        path: String,
        /// How it is opened.
        mode: OpenMode,
    },
    /// Closes it. Durable or not, its writes stay as they are. It is no error if it is not open.
    Close {
        /// An open file.
        file: FileId,
    },
    /// Writes the pieces back to back at `offset`. On a direct file, the offset and every piece's length and address
    /// are multiples of the block size. With `durable`, the completed write survives a power cut (`RWF_DSYNC`) and
    /// *nothing else does*: earlier writes that were not synced stay volatile, as a device with FUA behaves.
    /// A write beyond the end extends the file; the new length is durable with the data if `durable` is set. One that is
    /// not durable reaches the device in pieces of [`WRITE_PIECE_BYTES`], one after the other: bulk that nobody waits
    /// for must not stand in front of what somebody waits for.
    Write {
        /// An open file.
        file: FileId,
        /// Position in bytes.
        offset: u64,
        /// What is written.
        data: Vec<Bytes>,
        /// Whether it is on stable storage when it completes.
        durable: bool,
    },
    /// Reads up to `len` bytes at `offset`; fewer at the end of the file. On a direct file both are multiples of the
    /// block size. The completion carries the bytes.
    Read {
        /// An open file.
        file: FileId,
        /// Position in bytes.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
    /// `fdatasync`: every write to the file that completed before, and its length, survive a power cut.
    Sync {
        /// An open file.
        file: FileId,
    },
    /// `fsync` of a directory: its entries (created, renamed, removed) survive a power cut.
    SyncDir {
        /// The directory; the empty path is the data directory itself.
        path: String,
    },
    /// `fallocate` with mode 0 up to `len`: space is reserved, the file is at least so long, new bytes read as zero.
    /// Durable with the next `Sync`.
    Allocate {
        /// An open file.
        file: FileId,
        /// The length in bytes.
        len: u64,
    },
    /// `ftruncate`. Durable with the next `Sync`.
    SetLen {
        /// An open file.
        file: FileId,
        /// The length in bytes.
        len: u64,
    },
    /// Creates a directory; its parent must exist; it is no error if it is there already. Durable with `SyncDir` of the parent.
    CreateDir {
        /// The new directory.
        path: String,
    },
    /// Renames a file or directory, replacing a file of that name. Atomic. Durable with `SyncDir` of both parents.
    Rename {
        /// The old path.
        from: String,
        /// The new path.
        to: String,
    },
    /// Removes a file; it is no error if there is none. Durable with `SyncDir` of the parent.
    RemoveFile {
        /// The file.
        path: String,
    },
    /// Removes a directory with the files in it; it is no error if there is none. Durable with `SyncDir` of the parent.
    RemoveDir {
        /// The directory.
        path: String,
    },
}

/// How [`Step::Open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenMode {
    /// Bypass the page cache (`O_DIRECT`). All I/O on the file is then block-aligned.
    pub direct: bool,
    /// Create it when it is missing (durable with `SyncDir` of its directory).
    pub create: bool,
    /// Open it for writing too.
    pub write: bool,
    /// Take an exclusive `flock`, held until the file is closed; fails with `EWOULDBLOCK` when another process has it.
    pub lock: bool,
}

impl OpenMode {
    /// Direct, read only.
    pub const READ: Self = Self { direct: true, create: false, write: false, lock: false };
    /// Through the page cache, read only.
    pub const READ_BUFFERED: Self = Self { direct: false, create: false, write: false, lock: false };
    /// Direct, for reading and writing, created when missing.
    pub const WRITE: Self = Self { direct: true, create: true, write: true, lock: false };
    /// Through the page cache, for reading and writing, created when missing: for small derivable files (indexes).
    pub const BUFFERED: Self = Self { direct: false, create: true, write: true, lock: false };
    /// Like [`Self::WRITE`] with the lock: for journal files.
    pub const JOURNAL: Self = Self { direct: true, create: true, write: true, lock: true };
}

/// An operating system's error for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoError {
    /// The step's position in its chain.
    pub step: usize,
    /// The `errno`, in Linux's numbering.
    pub errno: i32,
    /// The step in words: what was done to which file.
    pub what: String,
}

/// No such file or directory.
pub const ENOENT: i32 = 2;
/// Input/output error.
pub const EIO: i32 = 5;
/// Somebody else holds the lock.
pub const EWOULDBLOCK: i32 = 11;
/// No space left on device.
pub const ENOSPC: i32 = 28;
/// Disk quota exceeded.
pub const EDQUOT: i32 = 122;

/// Whether there was no space, on the device or within the quota.
pub fn is_full(error: &IoError) -> bool {
    [ENOSPC, EDQUOT].contains(&error.errno)
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last part of its path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Its length in bytes (0 for directories).
    pub len: u64,
}

/// A disk that runs steps one at a time while the caller waits: used at start, for recovery, and by offline tools.
///
/// While the broker serves clients, the same steps travel as [`Action::Io`] instead.
pub trait Disk {
    /// Runs one step. `Read` returns the bytes, every other step returns an empty value.
    fn run(&mut self, step: Step) -> Result<Bytes, IoError>;

    /// The entries of a directory in no particular order; an empty list when it does not exist.
    fn list(&mut self, path: &str) -> Result<Vec<DirEntry>, IoError>;

    /// The unit of direct I/O in bytes, a power of two, at least 512 (asked of the file system, not assumed).
    fn block_size(&self) -> usize;
}
