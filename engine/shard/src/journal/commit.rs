//! Commit buffers: entries are gathered in the very memory that is written.
//!
//! Owns the pending commit and the memory that commits use again. Invariants: an entry is copied once, into a buffer
//! whose place in the journal is already fixed; a buffer is used again only when nobody else holds it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::buffer::{ALIGN, AlignedBuf};

use super::COMMIT_BYTES_MAX;
use super::format::{COMMIT_HEADER_LEN, CommitHeader, ENTRY_HEADER_LEN, EntryHeader, FileHeader, next_entry};

/// The memory of a commit that is being written, shared with the host.
struct Shared(Arc<AlignedBuf>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Commit buffers of the usual size that wait to be used again.
pub(super) struct Pool {
    block: usize,
    usual: usize,
    keep: usize,
    spare: Vec<Arc<AlignedBuf>>,
}

impl Pool {
    /// A pool that keeps up to `keep` buffers for commits in files of `file_len` bytes.
    pub(super) fn new(block: usize, file_len: u64, keep: usize) -> Self {
        let usual = COMMIT_BYTES_MAX.min(file_len as usize) + block;
        Self { block, usual, keep, spare: Vec::with_capacity(keep) }
    }

    /// An empty buffer for `bytes` bytes at least.
    fn take(&mut self, bytes: usize) -> AlignedBuf {
        if bytes <= self.usual
            && let Some(index) = self.spare.iter().position(|buffer| Arc::strong_count(buffer) == 1)
            && let Ok(mut buffer) = Arc::try_unwrap(self.spare.swap_remove(index))
        {
            buffer.clear();
            return buffer;
        }
        AlignedBuf::with_capacity_and_align(bytes.max(self.usual), self.block.max(ALIGN))
    }

    /// Keeps a buffer whose write has ended; the host may still hold it for a moment.
    pub(super) fn give_back(&mut self, buffer: Arc<AlignedBuf>) {
        if self.spare.len() < self.keep && buffer.capacity() <= self.usual.next_multiple_of(self.block.max(ALIGN)) {
            self.spare.push(buffer);
        }
    }
}

/// A commit that gathers entries. Its sequence and its place are fixed, its length is not.
pub(super) struct PendingCommit {
    buffer: AlignedBuf,
    /// Where the commit header stands in the buffer: 0, or the block size when the file header is in front.
    header_at: usize,
    /// The length that the buffer may grow to.
    len_max: usize,
    block: usize,
    entries: u32,
    entry_headers_crc: u32,
    pub(super) sequence: u64,
    pub(super) ordinal: u64,
    pub(super) slot: u32,
    /// Where in the file the buffer is written.
    pub(super) offset: u64,
    /// Whether somebody waits for it to be durable.
    pub(super) durable: bool,
}

/// Where a commit goes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) ordinal: u64,
    pub(super) slot: u32,
    /// Where the commit header goes: never 0, because block 0 is the file header's.
    pub(super) offset: u64,
    /// How many bytes the commit may take.
    pub(super) room: u64,
}

impl PendingCommit {
    /// Opens a commit for `first` bytes of entries at least.
    pub(super) fn open(pool: &mut Pool, block: usize, sequence: u64, place: Place, first: usize) -> Self {
        let starts_file = place.offset == block as u64;
        let header_at = if starts_file { block } else { 0 };
        let needed = COMMIT_HEADER_LEN + first;
        assert!(needed as u64 <= place.room, "a commit of {needed} bytes does not fit into {}", place.room);
        let room = usize::try_from(place.room).unwrap_or(usize::MAX).min(COMMIT_BYTES_MAX.max(needed));
        let mut buffer = pool.take(header_at + needed.next_multiple_of(block));
        buffer.pad_with_zeros_to(header_at + COMMIT_HEADER_LEN);
        Self {
            len_max: (header_at + room).min(buffer.capacity()),
            buffer,
            header_at,
            block,
            entries: 0,
            entry_headers_crc: 0,
            sequence,
            ordinal: place.ordinal,
            slot: place.slot,
            offset: place.offset - header_at as u64,
            durable: false,
        }
    }

    /// Whether an entry with a payload of `len` bytes fits.
    pub(super) fn fits(&self, len: usize) -> bool {
        let start = self.header_at + next_entry(self.buffer.len() - self.header_at);
        start + ENTRY_HEADER_LEN + len <= self.len_max
    }

    /// Copies an entry in. It must fit.
    pub(super) fn push(&mut self, header: &EntryHeader, payload: &[&[u8]]) {
        let start = self.header_at + next_entry(self.buffer.len() - self.header_at);
        self.buffer.pad_with_zeros_to(start);
        let bytes = header.encode();
        self.entry_headers_crc = crc32c::crc32c_append(self.entry_headers_crc, &bytes);
        self.buffer.extend_from_slice(&bytes);
        for piece in payload {
            self.buffer.extend_from_slice(piece);
        }
        self.entries += 1;
        assert_eq!(self.buffer.len(), start + ENTRY_HEADER_LEN + header.payload_len as usize, "the payload's length");
        assert!(self.buffer.len() <= self.len_max, "an entry was pushed that does not fit");
    }

    /// How many bytes of the file the commit takes so far, without the file header.
    pub(super) fn blocks_len(&self) -> u64 {
        (self.buffer.len() - self.header_at).next_multiple_of(self.block) as u64
    }

    /// How many bytes are written, the file header included.
    pub(super) fn write_len(&self) -> usize {
        self.buffer.len().next_multiple_of(self.block)
    }

    /// Whether the commit carries nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether the file header goes into the same write.
    pub(super) fn starts_file(&self) -> bool {
        self.header_at > 0
    }

    /// Completes the headers. Returns the memory, its bytes for the write, and the commit's checksum field.
    pub(super) fn finish(
        mut self,
        mut header: CommitHeader,
        file_header: Option<FileHeader>,
    ) -> (Arc<AlignedBuf>, Bytes, u32) {
        assert_eq!(file_header.is_some(), self.starts_file(), "the first commit of a file carries its header");
        header.entries = self.entries;
        header.body_len = (self.buffer.len() - self.header_at - COMMIT_HEADER_LEN) as u64;
        header.entry_headers_crc = self.entry_headers_crc;
        let (bytes, crc) = header.encode();
        self.buffer[self.header_at..self.header_at + COMMIT_HEADER_LEN].copy_from_slice(&bytes);
        if let Some(file_header) = file_header {
            let bytes = file_header.encode();
            self.buffer[..bytes.len()].copy_from_slice(&bytes);
        }
        self.buffer.pad_with_zeros_to(self.write_len());
        let memory = Arc::new(self.buffer);
        let bytes = Bytes::from_owner(Shared(Arc::clone(&memory)));
        (memory, bytes, crc)
    }
}
