//! The journal: one sequential, recycled ring of files through which every acknowledged byte of a shard goes.
//!
//! Owns the ring's geometry and what the parts of the journal share. The bytes are in [`format`], writing is in
//! [`writer`], reading after a start in [`scan`], a look at single files for people in [`inspect`].
//!
//! Invariants:
//! - Commits are written in order of their sequence, each to its own blocks; no block is written twice in one use of a
//!   file. A commit counts as durable only when it and every commit before it are.
//! - The file that holds the last durable commit is never overwritten, needed or not: it is what the chain of the next
//!   incarnation hangs on.
//! - After the first failed write or sync nothing more is acknowledged and nothing is written.
//!
//! Fault model: a write that is not durable may be lost, kept or torn at any block, in any order with others. Blocks
//! may rot. A read may fail.

mod commit;
pub mod format;
pub mod inspect;
mod reader;
mod ring;
pub mod scan;
mod start;
pub mod writer;
#[cfg(test)]
mod writer_tests;

pub use format::{Durability, EntryHeader, EntryKind, JournalKind};
pub use scan::{Damage, Files, Found, OpenError, Recovered};
pub use writer::{Journal, NewEntry, Placed};

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::io::IoError;

/// The most bytes of entries that one commit gathers, unless a single entry is larger.
pub const COMMIT_BYTES_MAX: usize = 1 << 20;
/// The most bytes that wait for their write to complete; above it [`Journal::has_room`] says no.
pub const UNWRITTEN_BYTES_MAX: usize = 16 << 20;
/// [`Geometry::gather_bytes`] of a journal with files of the usual size.
pub const GATHER_BYTES_MAX: usize = 128 << 10;
/// How long, in microseconds, an idle journal waits before it writes a closing commit.
pub const CLOSE_AFTER_US: u64 = 100_000;
/// How many commits are in flight at once unless the geometry says otherwise.
pub const DEPTH: usize = 4;
/// The most commits that are written, but not known durable, before a sync is asked for on nobody's behalf.
pub const UNSYNCED_COMMITS_MAX: usize = 1024;
/// How long, in microseconds, the preparation of further files rests after there was no space for one.
pub const PREPARE_AGAIN_AFTER_US: u64 = 10_000_000;

/// The shape of a journal's ring. It stays the same for the life of a data directory, but for `files_max` and `depth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The block size in bytes: a power of two, at least 512.
    pub block: usize,
    /// The length of each file in bytes, a multiple of the block size.
    pub file_len: u64,
    /// How many files the ring may grow to, at least 3. A start may go above it.
    pub files_max: usize,
    /// How many commits may be in flight at once, at least 1.
    pub depth: usize,
    /// While a commit is in flight, the next one gathers at least so many bytes, or waits for the completion.
    pub gather_bytes: usize,
    /// Which journal it is.
    pub kind: JournalKind,
    /// Which shard it belongs to; 0 for the metadata log.
    pub shard: u32,
    /// The first eight bytes of the directory id, little-endian. Each header carries them, so that neither a file from
    /// elsewhere nor what a client wrote into a record is ever taken for a commit of this journal.
    pub directory: u64,
    /// The folder of the files, relative to the data directory.
    pub dir: String,
}

impl Geometry {
    /// Checks what the superblock and the configuration say; the error is in words.
    pub fn check(&self) -> Result<(), String> {
        if !self.block.is_power_of_two() || self.block < 512 || self.block > 1 << 20 {
            return Err(format!("a journal cannot have blocks of {} bytes", self.block));
        }
        let blocks = self.file_len / self.block as u64;
        if !self.file_len.is_multiple_of(self.block as u64) || blocks < 4 {
            return Err(format!(
                "a journal file of {} bytes is no multiple of the block size {} or has less than 4 blocks",
                self.file_len, self.block
            ));
        }
        if self.files_max < 3 {
            return Err(format!("a journal needs at least 3 files, {} are allowed", self.files_max));
        }
        if self.depth == 0 {
            return Err(String::from("a journal needs at least 1 commit in flight"));
        }
        Ok(())
    }

    /// The path of a file of the ring, relative to the data directory.
    pub fn path(&self, slot: u32) -> String {
        format!("{}/journal-{slot:04}", self.dir)
    }

    /// The largest payload, in bytes, that an entry can have: it has to fit into a file of its own.
    pub fn payload_max(&self) -> usize {
        let headers = format::COMMIT_HEADER_LEN + format::ENTRY_HEADER_LEN;
        // The file header's block and the last block, which is kept for a closing commit.
        self.file_len as usize - 2 * self.block - headers
    }
}

/// The journal cannot go on. The process has to end; the next start recovers from the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalError {
    /// The file concerned, relative to the data directory.
    pub path: String,
    /// What was done to it.
    pub doing: &'static str,
    /// The operating system's error.
    pub error: IoError,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} failed: {} (errno {}); nothing more can be acknowledged, the next start recovers from the device",
            self.doing, self.path, self.error.what, self.error.errno
        )
    }
}

impl core::error::Error for JournalError {}
