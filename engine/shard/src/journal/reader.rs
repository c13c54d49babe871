//! Reading a journal file in large pieces, and taking a commit apart.
//!
//! Invariants: what is handed out are slices of the memory that was read, never copies. A block that the device cannot
//! read is replaced by zeros, which count as nothing, and is remembered.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::format::{COMMIT_HEADER_LEN, CommitHeader, ENTRY_HEADER_LEN, EntryHeader, next_entry};
use crate::io::{Disk, EIO, FileId, IoError, Step};

/// How much is read at once, in bytes.
const PIECE: usize = 4 << 20;

/// An open journal file.
pub(super) struct FileReader {
    file: FileId,
    block: usize,
    len: u64,
    piece: Bytes,
    piece_at: u64,
    /// The offsets of blocks that the device could not read.
    pub(super) unreadable: Vec<u64>,
}

impl FileReader {
    /// A reader of an open file of `len` bytes.
    pub(super) fn new(file: FileId, block: usize, len: u64) -> Self {
        Self { file, block, len, piece: Bytes::new(), piece_at: 0, unreadable: Vec::new() }
    }

    /// The file's length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Up to `len` bytes at `offset`, both multiples of the block size; fewer at the end of the file. Reads ahead when
    /// `ahead` is set.
    pub(super) fn read(&mut self, disk: &mut dyn Disk, offset: u64, len: usize, ahead: bool) -> Result<Bytes, IoError> {
        let len = (self.len.saturating_sub(offset)).min(len as u64) as usize;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let held = self.piece_at..self.piece_at + self.piece.len() as u64;
        if !(held.start <= offset && offset + len as u64 <= held.end) {
            let wanted = if ahead { len.max(PIECE) } else { len };
            self.fetch(disk, offset, (self.len - offset).min(wanted as u64) as usize)?;
        }
        let start = (offset - self.piece_at) as usize;
        Ok(self.piece.slice(start..(start + len).min(self.piece.len())))
    }

    fn fetch(&mut self, disk: &mut dyn Disk, offset: u64, len: usize) -> Result<(), IoError> {
        // Direct reads are of whole blocks; the file may end inside one.
        let len = len.next_multiple_of(self.block);
        self.piece = match disk.run(Step::Read { file: self.file, offset, len }) {
            Err(error) if error.errno == EIO => self.fetch_block_by_block(disk, offset, len)?,
            other => other?,
        };
        self.piece_at = offset;
        Ok(())
    }

    fn fetch_block_by_block(&mut self, disk: &mut dyn Disk, offset: u64, len: usize) -> Result<Bytes, IoError> {
        let mut bytes = Vec::with_capacity(len);
        for at in (offset..offset + len as u64).step_by(self.block) {
            match disk.run(Step::Read { file: self.file, offset: at, len: self.block }) {
                Ok(block) => bytes.extend_from_slice(&block),
                Err(error) if error.errno == EIO => {
                    if !self.unreadable.contains(&at) {
                        self.unreadable.push(at);
                    }
                    bytes.resize(bytes.len() + self.block, 0);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Bytes::from(bytes))
    }
}

/// An entry of a commit, and where its payload is in the commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryAt {
    pub(super) header: EntryHeader,
    /// Where the entry's header begins, in bytes from the start of the commit.
    pub(super) at: usize,
    pub(super) intact: bool,
}

impl EntryAt {
    /// The payload, out of the bytes of the commit.
    pub(super) fn payload(&self, commit: &Bytes) -> Bytes {
        let start = self.at + ENTRY_HEADER_LEN;
        commit.slice(start..start + self.header.payload_len as usize)
    }
}

/// How many bytes a commit takes in its file, from its header to the end of its last block.
pub(super) fn commit_len(header: &CommitHeader, block: usize) -> Option<u64> {
    header.body_len.checked_add(COMMIT_HEADER_LEN as u64)?.checked_next_multiple_of(block as u64)
}

/// The entries of a commit whose header was read, given all of its bytes. An error, in words, when the entry headers
/// are not all right; a payload that is not is only noted at its entry.
pub(super) fn entries(header: &CommitHeader, commit: &[u8]) -> Result<Vec<EntryAt>, String> {
    let end = COMMIT_HEADER_LEN + header.body_len as usize;
    let Some(commit) = commit.get(..end) else { return Err(format!("the commit is cut off at {}", commit.len())) };
    // Each entry takes its header at least, so a count is never believed beyond the bytes there are.
    let mut found = Vec::with_capacity((header.entries as usize).min(end / ENTRY_HEADER_LEN));
    let mut headers_crc = 0;
    let mut at = COMMIT_HEADER_LEN;
    let mut entry_end = COMMIT_HEADER_LEN;
    for number in 0..header.entries {
        let bytes = commit.get(at..).unwrap_or_default();
        let entry = EntryHeader::decode(bytes).map_err(|error| format!("the header of entry {number}: {error}"))?;
        if entry.sequence != header.sequence || entry.incarnation != header.incarnation {
            return Err(format!("entry {number} belongs to commit {} of another time", entry.sequence));
        }
        headers_crc = crc32c::crc32c_append(headers_crc, &bytes[..ENTRY_HEADER_LEN]);
        let payload = bytes.get(ENTRY_HEADER_LEN..ENTRY_HEADER_LEN + entry.payload_len as usize);
        let Some(payload) = payload else { return Err(format!("entry {number} is longer than its commit")) };
        found.push(EntryAt { header: entry, at, intact: entry.fits(payload) });
        entry_end = at + ENTRY_HEADER_LEN + payload.len();
        at = next_entry(entry_end);
    }
    if entry_end != end {
        return Err(format!("the entries end at byte {entry_end}, the commit at {end}"));
    }
    if headers_crc != header.entry_headers_crc {
        return Err(String::from("the checksum of the entry headers does not match"));
    }
    Ok(found)
}
