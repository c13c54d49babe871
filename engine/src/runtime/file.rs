//! File steps on the ring: a chain runs step after step and stops at the first error.
//!
//! Owns the table of open files and every chain in flight. Invariants:
//! - What a step gives to the kernel (paths, pieces, the read buffer) is on the heap and owned by its chain, which
//!   stays in its place until the completion has arrived.
//! - A descriptor is closed through the ring after everything that was submitted on it before, because entries reach
//!   the kernel in order and an operation keeps its own reference to the file.
//!
//! Plain system calls, all short: `flock`, the listing of a directory that is removed, `ftruncate` before Linux 6.9.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use bytes::Bytes;
use corelog_shard::io::{FileId, FileRange, IoError, OpId, OpenMode, Piece, Step, WRITE_PIECE_BYTES};
use corelog_wire::buffer::AlignedBuf;
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};
use nix::errno::Errno;
use nix::libc;

use super::path::{inside, inside_or_root};
use super::ring::{Quiet, Ring, Token};
use super::slab::Slab;
use super::socket::Outgoing;
use super::splice::FileSegment;

/// Pieces of one write call; Linux's own limit (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;
/// Bytes of one durable write call; below Linux's limit of 2 GiB less a page, and a multiple of every block size.
const DURABLE_BYTES_MAX: usize = 1 << 30;
/// Files and directories are readable by everybody and writable by their owner, as far as the umask lets them.
pub(crate) const FILE_MODE: u32 = 0o644;
/// As [`FILE_MODE`], for directories.
pub(crate) const DIRECTORY_MODE: u32 = 0o755;

/// An open file of the data directory.
pub(crate) struct OpenFile {
    pub(crate) descriptor: OwnedFd,
    pub(crate) path: String,
    pub(crate) direct: bool,
}

/// A data directory with the files that are open in it, on the way from recovery to the host.
pub struct DiskFiles {
    pub(crate) directory: OwnedFd,
    pub(crate) open: HashMap<FileId, OpenFile>,
    pub(crate) block: usize,
}

/// The chains of one host.
pub(crate) struct FileOps {
    files: DiskFiles,
    chains: Slab<Chain>,
    finished: VecDeque<Finished>,
    truncate_on_ring: bool,
}

/// A chain that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) op: OpId,
    pub(crate) result: Result<Vec<Bytes>, IoError>,
}

struct Chain {
    op: OpId,
    steps: std::vec::IntoIter<Step>,
    step: Step,
    index: usize,
    reads: Vec<Bytes>,
    call: Call,
}

/// What of the current step is with the kernel.
enum Call {
    /// The entry holds no address, or none but of the step's own bytes.
    Plain,
    Open(CString),
    /// `done` bytes are written, the pieces describe (a part of) the rest.
    Write {
        done: usize,
        pieces: Vec<libc::iovec>,
    },
    Read(AlignedBuf),
    OpenDirectory(CString),
    SyncDirectory(OwnedFd),
    Path(CString),
    Rename(CString, CString),
    /// The files that are left in the directory, then the directory itself.
    RemoveDirectory {
        path: CString,
        files: Vec<CString>,
    },
}

/// What a completion means for its step.
enum Progress {
    Done(Option<Bytes>),
    Again(Call),
}

impl FileOps {
    pub(crate) fn new(files: DiskFiles, ring: &Ring) -> Self {
        let truncate_on_ring = ring.features().truncate;
        Self { files, chains: Slab::new(), finished: VecDeque::new(), truncate_on_ring }
    }

    /// How many chains have not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.chains.len()
    }

    /// A chain that has ended since the last call, in the order of ending.
    pub(crate) fn take_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// Takes the files that a reply names out of the table: they go with it.
    ///
    /// # Panics
    /// When one is not open; the shard opens a file before it names it.
    pub(crate) fn take(&mut self, pieces: Vec<Piece>) -> Vec<Outgoing> {
        let outgoing = |piece| match piece {
            Piece::Memory(bytes) => Outgoing::Memory(bytes),
            Piece::File(FileRange { file, position, len }) => {
                let open = self.files.open.remove(&file).expect("a reply names open files");
                assert!(!open.direct && len > 0, "a reply takes bytes from the page cache");
                let OpenFile { descriptor, path, .. } = open;
                Outgoing::File(Box::new(FileSegment { descriptor, file, path, position, left: len }))
            }
        };
        pieces.into_iter().map(outgoing).collect()
    }

    /// Bytes that the file system has left for this user, and all that it has.
    pub(crate) fn free_bytes(&self) -> Result<(u64, u64), Errno> {
        let space = nix::sys::statvfs::fstatvfs(&self.files.directory)?;
        let bytes = |blocks| blocks * space.fragment_size() as u64;
        Ok((bytes(space.blocks_available() as u64), bytes(space.blocks() as u64)))
    }

    /// How many chains have ended and were not taken.
    pub(crate) fn finished(&self) -> usize {
        self.finished.len()
    }

    /// Starts a chain. It may end at once; see [`FileOps::take_finished`].
    pub(crate) fn start(&mut self, ring: &mut Ring, op: OpId, steps: Vec<Step>) {
        let mut steps = steps.into_iter();
        let step = steps.next().expect("a chain is never empty");
        let place = self.chains.insert(Chain { op, steps, step, index: 0, reads: Vec::new(), call: Call::Plain });
        self.run(ring, place);
    }

    /// Takes the completion of a chain's current call.
    pub(crate) fn completed(&mut self, ring: &mut Ring, place: u32, outcome: Result<u32, Errno>) {
        let chain = self.chains.get_mut(place).expect("a chain stays until its completion has arrived");
        let call = std::mem::replace(&mut chain.call, Call::Plain);
        match finish_call(&mut self.files, &chain.step, call, outcome) {
            Err(errno) => self.end(place, Err(errno)),
            Ok(Progress::Again(call)) => {
                chain.call = call;
                self.submit(ring, place);
            }
            Ok(Progress::Done(read)) => {
                chain.reads.extend(read);
                if self.next_step(place) {
                    self.run(ring, place);
                }
            }
        }
    }

    /// Frees what operations held that were in flight when the ring became quiet.
    pub(crate) fn release(&mut self, _quiet: &Quiet) {
        self.chains = Slab::new();
    }

    /// Starts steps until one is with the kernel or the chain has ended.
    fn run(&mut self, ring: &mut Ring, place: u32) {
        loop {
            let chain = self.chains.get_mut(place).expect("the chain is running");
            match begin(&self.files, &chain.step, self.truncate_on_ring) {
                Err(errno) => return self.end(place, Err(errno)),
                Ok(Some(call)) => {
                    chain.call = call;
                    return self.submit(ring, place);
                }
                Ok(None) if self.next_step(place) => {}
                Ok(None) => return,
            }
        }
    }

    /// Goes on to the next step; ends the chain when there is none.
    fn next_step(&mut self, place: u32) -> bool {
        let chain = self.chains.get_mut(place).expect("the chain is running");
        match chain.steps.next() {
            Some(step) => {
                chain.step = step;
                chain.index += 1;
                true
            }
            None => {
                self.end(place, Ok(()));
                false
            }
        }
    }

    fn end(&mut self, place: u32, outcome: Result<(), Errno>) {
        let chain = self.chains.remove(place).expect("the chain is running");
        let result = match outcome {
            Ok(()) => Ok(chain.reads),
            Err(errno) => Err(io_error(chain.index, errno, &chain.step, &self.files)),
        };
        self.finished.push_back(Finished { op: chain.op, result });
    }

    fn submit(&mut self, ring: &mut Ring, place: u32) {
        let chain = self.chains.get_mut(place).expect("the chain is running");
        match entry(&mut self.files, &chain.step, &mut chain.call) {
            // SAFETY: The addresses in the entry are those of heap memory owned by the chain's step and call, which
            // stay unchanged in the slab until the completion has arrived (or are leaked with it).
            Ok(entry) => unsafe { ring.push(entry, Token::File(place)) },
            Err(errno) => self.end(place, Err(errno)),
        }
    }
}

impl Drop for FileOps {
    fn drop(&mut self) {
        if !self.chains.is_empty() {
            // The kernel may still read or write the chains' buffers: never free them.
            std::mem::forget(std::mem::replace(&mut self.chains, Slab::new()));
        }
    }
}

impl DiskFiles {
    /// Gives each of so many hosts the files whose names belong to its shard, and a descriptor of the directory.
    ///
    /// # Panics
    /// When a file belongs to none of them.
    pub fn split(self, shards: usize) -> std::io::Result<Vec<Self>> {
        assert!(shards > 0, "somebody has to have the directory");
        let block = self.block;
        let part = |directory| Self { directory, open: HashMap::new(), block };
        let copies = (1..shards).map(|_| self.directory.try_clone().map(part)).collect::<Result<Vec<_>, _>>()?;
        let mut parts = vec![part(self.directory)];
        parts.extend(copies);
        for (file, open) in self.open {
            let known = parts[usize::from(file.shard().0)].open.insert(file, open);
            assert!(known.is_none(), "each name is there once");
        }
        Ok(parts)
    }

    pub(crate) fn get(&self, file: FileId) -> Result<&OpenFile, Errno> {
        self.open.get(&file).ok_or(Errno::EBADF)
    }

    /// Enters a file that was opened, after taking the lock that its mode asks for.
    pub(crate) fn opened(
        &mut self,
        file: FileId,
        path: &str,
        mode: OpenMode,
        descriptor: OwnedFd,
    ) -> Result<(), Errno> {
        if mode.lock {
            lock(&descriptor)?;
        }
        let known = self.open.insert(file, OpenFile { descriptor, path: path.to_owned(), direct: mode.direct });
        assert!(known.is_none(), "{file:?} was opened twice");
        Ok(())
    }
}

/// Takes an exclusive lock on the file's description without waiting.
fn lock(descriptor: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: A plain system call on a descriptor that is open.
    Errno::result(unsafe { libc::flock(descriptor.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }).map(drop)
}

/// The flags of `open` for a mode.
pub(crate) fn open_flags(mode: OpenMode) -> i32 {
    let mut flags = libc::O_CLOEXEC | if mode.write { libc::O_RDWR } else { libc::O_RDONLY };
    if mode.direct {
        flags |= libc::O_DIRECT;
    }
    if mode.create {
        flags |= libc::O_CREAT;
    }
    flags
}

/// How much of a write counts after a short one: on a direct file whole blocks, because the rest must start at one.
pub(crate) fn counted(done: usize, direct: bool, block: usize) -> usize {
    if direct { done - done % block } else { done }
}

/// Prepares a step's first call. `None`: the step is done already.
fn begin(files: &DiskFiles, step: &Step, truncate_on_ring: bool) -> Result<Option<Call>, Errno> {
    let call = match step {
        Step::Open { path, .. } => Call::Open(inside(path)?),
        Step::Close { file } if !files.open.contains_key(file) => return Ok(None),
        Step::Close { .. } | Step::Sync { .. } | Step::Allocate { .. } => Call::Plain,
        Step::Write { data, .. } if data.iter().all(Bytes::is_empty) => return Ok(None),
        Step::Write { .. } => Call::Write { done: 0, pieces: Vec::new() },
        Step::Read { len, .. } => Call::Read(AlignedBuf::with_capacity_and_align(*len, files.block)),
        Step::SyncDir { path } => Call::OpenDirectory(inside_or_root(path)?),
        Step::SetLen { file, len } if !truncate_on_ring => {
            nix::unistd::ftruncate(&files.get(*file)?.descriptor, signed(*len)?)?;
            return Ok(None);
        }
        Step::SetLen { .. } => Call::Plain,
        Step::CreateDir { path } | Step::RemoveFile { path } => Call::Path(inside(path)?),
        Step::Rename { from, to } => Call::Rename(inside(from)?, inside(to)?),
        Step::RemoveDir { path } => {
            let path = inside(path)?;
            match super::path::names(&files.directory, &path) {
                Ok(files) => Call::RemoveDirectory { path, files },
                Err(Errno::ENOENT) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    };
    Ok(Some(call))
}

/// The submission entry for a call.
fn entry(files: &mut DiskFiles, step: &Step, call: &mut Call) -> Result<squeue::Entry, Errno> {
    let directory = Fd(files.directory.as_raw_fd());
    let descriptor = |file: &FileId| files.get(*file).map(|open| Fd(open.descriptor.as_raw_fd()));
    Ok(match (step, call) {
        (Step::Open { mode, .. }, Call::Open(path)) => {
            opcode::OpenAt::new(directory, path.as_ptr()).flags(open_flags(*mode)).mode(FILE_MODE).build()
        }
        (Step::Close { file }, _) => {
            let open = files.open.remove(file).ok_or(Errno::EBADF)?;
            opcode::Close::new(Fd(open.descriptor.into_raw_fd())).build()
        }
        (Step::Write { file, offset, data, durable }, Call::Write { done, pieces }) => {
            let max = if *durable { DURABLE_BYTES_MAX } else { WRITE_PIECE_BYTES as usize };
            describe_pieces(data, *done, max, pieces);
            let flags = if *durable { libc::RWF_DSYNC } else { 0 };
            let (at, descriptor) = (offset + *done as u64, descriptor(file)?);
            if let [piece] = pieces[..] {
                let write = opcode::Write::new(descriptor, piece.iov_base.cast_const().cast(), piece.iov_len as u32);
                write.offset(at).rw_flags(flags).build()
            } else {
                let write = opcode::Writev::new(descriptor, pieces.as_ptr(), pieces.len() as u32);
                write.offset(at).rw_flags(flags).build()
            }
        }
        (Step::Read { file, offset, len }, Call::Read(buffer)) => {
            let (done, rest) = (buffer.len(), len - buffer.len());
            let rest = u32::try_from(rest).map_err(|_| Errno::EINVAL)?;
            // The spare part of the buffer starts where its bytes end.
            let into = buffer.spare_mut().as_mut_ptr().cast();
            opcode::Read::new(descriptor(file)?, into, rest).offset(offset + done as u64).build()
        }
        (Step::Sync { file }, _) => opcode::Fsync::new(descriptor(file)?).flags(FsyncFlags::DATASYNC).build(),
        (Step::SyncDir { .. }, Call::OpenDirectory(path)) => {
            let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
            opcode::OpenAt::new(directory, path.as_ptr()).flags(flags).build()
        }
        (Step::SyncDir { .. }, Call::SyncDirectory(opened)) => opcode::Fsync::new(Fd(opened.as_raw_fd())).build(),
        (Step::Allocate { file, len }, _) => opcode::Fallocate::new(descriptor(file)?, *len).build(),
        (Step::SetLen { file, len }, _) => opcode::Ftruncate::new(descriptor(file)?, *len).build(),
        (Step::CreateDir { .. }, Call::Path(path)) => {
            opcode::MkDirAt::new(directory, path.as_ptr()).mode(DIRECTORY_MODE).build()
        }
        (Step::RemoveFile { .. }, Call::Path(path)) => opcode::UnlinkAt::new(directory, path.as_ptr()).build(),
        (Step::Rename { .. }, Call::Rename(from, to)) => {
            opcode::RenameAt::new(directory, from.as_ptr(), directory, to.as_ptr()).build()
        }
        (Step::RemoveDir { .. }, Call::RemoveDirectory { path, files }) => match files.last() {
            Some(file) => opcode::UnlinkAt::new(directory, file.as_ptr()).build(),
            None => opcode::UnlinkAt::new(directory, path.as_ptr()).flags(libc::AT_REMOVEDIR).build(),
        },
        (step, _) => unreachable!("no call of its own kind: {step:?}"),
    })
}

/// Takes the outcome of a call.
fn finish_call(files: &mut DiskFiles, step: &Step, call: Call, outcome: Result<u32, Errno>) -> Result<Progress, Errno> {
    if outcome == Err(Errno::EINTR) {
        return Ok(Progress::Again(call));
    }
    match (step, call) {
        (Step::Open { file, path, mode }, Call::Open(_)) => {
            files.opened(*file, path, *mode, own(outcome?))?;
        }
        (Step::Write { file, data, .. }, Call::Write { done, pieces }) => {
            let written = outcome? as usize;
            let total: usize = data.iter().map(Bytes::len).sum();
            if written == 0 {
                return Err(Errno::EIO);
            }
            let reached = done + written;
            if reached < total {
                let counted = counted(reached, files.get(*file)?.direct, files.block);
                if counted == done {
                    return Err(Errno::EIO);
                }
                return Ok(Progress::Again(Call::Write { done: counted, pieces }));
            }
            assert_eq!(reached, total, "more was written than given");
        }
        (Step::Read { file, len, .. }, Call::Read(mut buffer)) => {
            let read = outcome? as usize;
            let reached = buffer.len() + read;
            assert!(reached <= *len, "more was read than asked for");
            // SAFETY: The kernel has written `read` bytes behind those that were there.
            unsafe { buffer.set_len(reached) };
            // On a direct file a part of a block is the file's end, and no other read could start there.
            let at_end = read == 0 || (files.get(*file)?.direct && !reached.is_multiple_of(files.block));
            if reached < *len && !at_end {
                return Ok(Progress::Again(Call::Read(buffer)));
            }
            return Ok(Progress::Done(Some(buffer.freeze())));
        }
        (Step::SyncDir { .. }, Call::OpenDirectory(_)) => {
            return Ok(Progress::Again(Call::SyncDirectory(own(outcome?))));
        }
        (Step::CreateDir { .. }, _) if outcome == Err(Errno::EEXIST) => {}
        (Step::RemoveFile { .. }, _) if outcome == Err(Errno::ENOENT) => {}
        (Step::RemoveDir { .. }, Call::RemoveDirectory { path, mut files }) => {
            if outcome != Err(Errno::ENOENT) {
                outcome?;
            }
            if files.pop().is_some() {
                return Ok(Progress::Again(Call::RemoveDirectory { path, files }));
            }
        }
        _ => {
            outcome?;
        }
    }
    Ok(Progress::Done(None))
}

/// Describes up to `max` bytes of `data` behind the first `done`, as much as one call takes.
fn describe_pieces(data: &[Bytes], done: usize, max: usize, pieces: &mut Vec<libc::iovec>) {
    pieces.clear();
    let (mut skip, mut bytes) = (done, 0);
    for piece in data {
        let from = skip.min(piece.len());
        skip -= from;
        let rest = (piece.len() - from).min(max - bytes);
        if rest > 0 {
            let base = piece[from..].as_ptr().cast_mut().cast();
            pieces.push(libc::iovec { iov_base: base, iov_len: rest });
            bytes += rest;
        }
        if pieces.len() == PIECES_MAX || bytes == max {
            break;
        }
    }
}

/// Owns a descriptor that the kernel has just returned.
fn own(descriptor: u32) -> OwnedFd {
    // SAFETY: The completion of an open names a new descriptor, which nobody else knows.
    unsafe { OwnedFd::from_raw_fd(descriptor as i32) }
}

pub(crate) fn signed(len: u64) -> Result<i64, Errno> {
    i64::try_from(len).map_err(|_| Errno::EFBIG)
}

/// The error of a step, in words.
pub(crate) fn io_error(step: usize, errno: Errno, what: &Step, files: &DiskFiles) -> IoError {
    let name = |file: &FileId| files.get(*file).map_or_else(|_| format!("{file:?}"), |open| open.path.clone());
    let what = match what {
        Step::Open { path, mode, .. } => {
            let direct = if mode.direct { " for direct I/O" } else { "" };
            format!("open {path}{direct}")
        }
        Step::Close { file } => format!("close {}", name(file)),
        Step::Write { file, offset, data, durable } => {
            let bytes: usize = data.iter().map(Bytes::len).sum();
            let durable = if *durable { " durably" } else { "" };
            format!("write {bytes} bytes at {offset} of {}{durable}", name(file))
        }
        Step::Read { file, offset, len } => format!("read {len} bytes at {offset} of {}", name(file)),
        Step::Sync { file } => format!("sync {}", name(file)),
        Step::SyncDir { path } => format!("sync the directory {path:?}"),
        Step::Allocate { file, len } => format!("allocate {len} bytes for {}", name(file)),
        Step::SetLen { file, len } => format!("set the length of {} to {len}", name(file)),
        Step::CreateDir { path } => format!("create the directory {path}"),
        Step::Rename { from, to } => format!("rename {from} to {to}"),
        Step::RemoveFile { path } => format!("remove {path}"),
        Step::RemoveDir { path } => format!("remove the directory {path}"),
    };
    IoError { step, errno: errno as i32, what: format!("{what}: {}", errno.desc()) }
}
