//! The data directory through plain system calls, for the start and for offline tools.
//!
//! The same steps with the same meaning as on the ring. Files that are open at the end go on under their names there:
//! see [`DirectDisk::into_files`].

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use bytes::Bytes;
use corelog_shard::io::{DirEntry, Disk, IoError, Step};
use corelog_wire::buffer::AlignedBuf;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags, OFlag};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::UnlinkatFlags;

use super::file::{DIRECTORY_MODE, DiskFiles, FILE_MODE, counted, io_error, open_flags, signed};
use super::path::{inside, inside_or_root, names};

/// The smallest block, whatever the file system reports.
const BLOCK_BYTES_MIN: usize = 4096;

/// A data directory that is used step by step while the caller waits.
pub struct DirectDisk {
    files: DiskFiles,
}

/// What a file system says about direct I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectIo {
    /// The alignment of addresses, in bytes; 0 when there is no direct I/O.
    pub(crate) memory: usize,
    /// The alignment of offsets and lengths, in bytes; 0 when there is no direct I/O.
    pub(crate) offset: usize,
}

impl DirectDisk {
    /// Opens an existing data directory. Asks the file system for its unit of direct I/O; fails with `EOPNOTSUPP`
    /// where it has none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(path, flags, Mode::empty())?;
        let direct = direct_io(&directory)?;
        if direct.offset == 0 {
            let message = format!("{}: the file system has no direct I/O", path.display());
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        let block = direct.offset.max(direct.memory).max(BLOCK_BYTES_MIN).next_power_of_two();
        Ok(Self { files: DiskFiles { directory, open: HashMap::new(), block } })
    }

    /// As [`DirectDisk::open`]; creates the directory, and those above it, when they are missing.
    pub fn create(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Self::open(path)
    }

    /// Hands the directory and its open files to the host.
    pub fn into_files(self) -> DiskFiles {
        self.files
    }

    fn try_run(&mut self, step: &Step) -> Result<Bytes, Errno> {
        let directory = self.files.directory.as_fd();
        match step {
            Step::Open { file, path, mode } => {
                let flags = OFlag::from_bits_retain(open_flags(*mode));
                let name = inside(path)?;
                let descriptor =
                    nix::fcntl::openat(directory, name.as_c_str(), flags, Mode::from_bits_retain(FILE_MODE))?;
                self.files.opened(*file, path, *mode, descriptor)?;
            }
            Step::Close { file } => drop(self.files.open.remove(file)),
            Step::Write { file, offset, data, durable } => {
                let open = self.files.get(*file)?;
                write(&open.descriptor, *offset, data, *durable, open.direct, self.files.block)?;
            }
            Step::Read { file, offset, len } => {
                let open = self.files.get(*file)?;
                return read(&open.descriptor, *offset, *len, open.direct, self.files.block).map(AlignedBuf::freeze);
            }
            Step::Sync { file } => nix::unistd::fdatasync(&self.files.get(*file)?.descriptor)?,
            Step::SyncDir { path } => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                let name = inside_or_root(path)?;
                nix::unistd::fsync(nix::fcntl::openat(directory, name.as_c_str(), flags, Mode::empty())?)?;
            }
            Step::Allocate { file, len } => {
                let descriptor = &self.files.get(*file)?.descriptor;
                nix::fcntl::fallocate(descriptor, FallocateFlags::empty(), 0, signed(*len)?)?;
            }
            Step::SetLen { file, len } => {
                nix::unistd::ftruncate(&self.files.get(*file)?.descriptor, signed(*len)?)?;
            }
            Step::CreateDir { path } => {
                let mode = Mode::from_bits_retain(DIRECTORY_MODE);
                unless(Errno::EEXIST, nix::sys::stat::mkdirat(directory, inside(path)?.as_c_str(), mode))?;
            }
            Step::Rename { from, to } => {
                nix::fcntl::renameat(directory, inside(from)?.as_c_str(), directory, inside(to)?.as_c_str())?;
            }
            Step::RemoveFile { path } => unlink(&self.files.directory, &inside(path)?)?,
            Step::RemoveDir { path } => {
                let path = inside(path)?;
                let files = match names(&self.files.directory, &path) {
                    Ok(files) => files,
                    Err(Errno::ENOENT) => return Ok(Bytes::new()),
                    Err(errno) => return Err(errno),
                };
                for file in files {
                    unlink(&self.files.directory, &file)?;
                }
                let removed = nix::unistd::unlinkat(directory, path.as_c_str(), UnlinkatFlags::RemoveDir);
                unless(Errno::ENOENT, removed)?;
            }
        }
        Ok(Bytes::new())
    }
}

impl Disk for DirectDisk {
    fn run(&mut self, step: Step) -> Result<Bytes, IoError> {
        self.try_run(&step).map_err(|errno| io_error(0, errno, &step, &self.files))
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirEntry>, IoError> {
        list(&self.files.directory, path).map_err(|errno| IoError {
            step: 0,
            errno: errno as i32,
            what: format!("list the directory {path:?}: {}", errno.desc()),
        })
    }

    fn block_size(&self) -> usize {
        self.files.block
    }
}

/// What the file system of a directory says about direct I/O: `statx` of a nameless file in it; before Linux 6.1, and
/// on file systems that do not answer, whether a file can be opened for it at all.
pub(crate) fn direct_io(directory: &OwnedFd) -> Result<DirectIo, Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_retain(FILE_MODE);
    let file = nix::fcntl::openat(directory, c".", flags, mode)?;
    // SAFETY: `statx` is plain numbers, for which all zeros is a value.
    let mut answer: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: The descriptor is open, the path is an empty C string, and the answer is a local that the call fills.
    let asked = Errno::result(unsafe {
        libc::statx(file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN, &raw mut answer)
    });
    if asked.is_ok() && answer.stx_mask & libc::STATX_DIOALIGN != 0 {
        let (memory, offset) = (answer.stx_dio_mem_align as usize, answer.stx_dio_offset_align as usize);
        return Ok(DirectIo { memory, offset });
    }
    match nix::fcntl::openat(directory, c".", flags | OFlag::O_DIRECT, mode) {
        Ok(_) => Ok(DirectIo { memory: BLOCK_BYTES_MIN, offset: BLOCK_BYTES_MIN }),
        Err(Errno::EINVAL) => Ok(DirectIo { memory: 0, offset: 0 }),
        Err(errno) => Err(errno),
    }
}

fn list(root: &OwnedFd, path: &str) -> Result<Vec<DirEntry>, Errno> {
    let path = inside_or_root(path)?;
    let names = match names(root, &path) {
        Ok(names) => names,
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let mut entries = Vec::with_capacity(names.len());
    for joined in names {
        let status = match fstatat(root, joined.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(errno),
        };
        let is_dir = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
        let name = joined.to_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        entries.push(DirEntry {
            name: String::from_utf8(name.to_vec()).map_err(|_| Errno::EILSEQ)?,
            is_dir,
            len: if is_dir { 0 } else { status.st_size as u64 },
        });
    }
    Ok(entries)
}

fn unlink(root: &OwnedFd, path: &CStr) -> Result<(), Errno> {
    unless(Errno::ENOENT, nix::unistd::unlinkat(root, path, UnlinkatFlags::NoRemoveDir))
}

fn unless(forgiven: Errno, outcome: Result<(), Errno>) -> Result<(), Errno> {
    if outcome == Err(forgiven) { Ok(()) } else { outcome }
}

/// Writes the pieces one call each; short writes are continued.
fn write(file: &OwnedFd, offset: u64, data: &[Bytes], durable: bool, direct: bool, block: usize) -> Result<(), Errno> {
    let flags = if durable { libc::RWF_DSYNC } else { 0 };
    let mut at = offset;
    for piece in data {
        let mut done = 0;
        while done < piece.len() {
            let rest = &piece[done..];
            let vector = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
            // SAFETY: The descriptor is open and the vector describes a live slice, which the call only reads.
            let written = Errno::result(unsafe {
                libc::pwritev2(file.as_raw_fd(), &raw const vector, 1, signed(at + done as u64)?, flags)
            });
            match written {
                Ok(written) if done + written as usize == piece.len() => break,
                Ok(written) => match counted(done + written as usize, direct, block) {
                    counted if counted == done => return Err(Errno::EIO),
                    counted => done = counted,
                },
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        at += piece.len() as u64;
    }
    Ok(())
}

fn read(file: &OwnedFd, offset: u64, len: usize, direct: bool, block: usize) -> Result<AlignedBuf, Errno> {
    let mut buffer = AlignedBuf::with_capacity_and_align(len, block);
    while buffer.len() < len {
        let (done, rest) = (buffer.len(), len - buffer.len());
        let into = buffer.spare_mut().as_mut_ptr();
        // SAFETY: The descriptor is open; `rest` bytes of the buffer's spare part are writable, since it holds `len`.
        let got =
            Errno::result(unsafe { libc::pread(file.as_raw_fd(), into.cast(), rest, signed(offset + done as u64)?) });
        match got {
            Ok(got) => {
                // SAFETY: The kernel has written `got` bytes behind those that were there.
                unsafe { buffer.set_len(done + got as usize) };
                if got == 0 || (direct && !buffer.len().is_multiple_of(block)) {
                    break;
                }
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(buffer)
}
