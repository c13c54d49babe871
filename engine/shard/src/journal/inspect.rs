//! One journal file, block by block, for people: what is in it, what is corrupt, and where.
//!
//! Owns no decision. A single file cannot tell a torn end from damage (that takes the marks of the whole ring), so a
//! break in the chain is shown as such, with the highest mark of the file beside it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::format::{
    COMMIT_HEADER_LEN, COMMIT_MAGIC, CommitHeader, ENTRY_HEADER_LEN, EntryHeader, FileHeader, FormatError,
};
use super::reader::{commit_len, entries};

/// Something in a journal file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file header.
    File(FileHeader),
    /// A commit that continues the chain, with its offset in bytes.
    Commit(u64, CommitHeader),
    /// An entry of the commit before, with its offset in bytes.
    Entry(u64, EntryHeader),
    /// A commit header of this use behind a break in the chain.
    Behind(u64, CommitHeader),
    /// Blocks that belong to an earlier use of the file.
    Earlier(Range<u64>),
    /// Blocks of zeros.
    Blank(Range<u64>),
    /// Blocks that are none of these: the rest of a torn commit, or of an earlier use.
    Other(Range<u64>),
    /// Something is corrupt or the chain breaks: where, and what is wrong.
    Corrupt(Range<u64>, String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(header) => write!(
                f,
                "file: {:?} journal, shard {}, slot {} of {}, ordinal {}, incarnation {}, first commit {}, earlier \
                 incarnations end at {}, durable up to {}, needed from ordinal {}, {} bytes in blocks of {}",
                header.kind,
                header.shard,
                header.slot,
                header.slots,
                header.ordinal,
                header.incarnation,
                header.first_sequence,
                header.previous_end,
                header.durable_sequence,
                header.first_needed,
                header.file_len,
                header.block
            ),
            Self::Commit(offset, header) => write!(f, "{offset}: {}", Shown(header)),
            Self::Behind(offset, header) => write!(f, "{offset}: behind the break: {}", Shown(header)),
            Self::Entry(offset, header) => write!(
                f,
                "{offset}:   {:?} {:?} topic {} partition {} offsets {} to {} epoch {} segment {} payload {} bytes",
                header.kind,
                header.level,
                hex(&header.topic_id),
                header.partition,
                header.base_offset,
                header.last_offset,
                header.leader_epoch,
                header.segment_base_offset,
                header.payload_len
            ),
            Self::Earlier(range) => write!(f, "{} to {}: of an earlier use", range.start, range.end),
            Self::Blank(range) => write!(f, "{} to {}: blank", range.start, range.end),
            Self::Other(range) => write!(f, "{} to {}: nothing that begins a commit", range.start, range.end),
            Self::Corrupt(range, words) => write!(f, "{} to {}: CORRUPT: {words}", range.start, range.end),
        }
    }
}

struct Shown<'a>(&'a CommitHeader);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.0;
        write!(
            f,
            "commit {} of incarnation {}, {}{} entries in {} bytes, durable up to {}, metadata offset {}",
            header.sequence,
            header.incarnation,
            if header.flags == 0 { "" } else { "closing, " },
            header.entries,
            header.body_len,
            header.durable_sequence,
            header.metadata_offset
        )
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is in a journal file, from its first byte to its last. `file` is all of it.
///
/// `block` is the block size to assume when the file header is not intact.
pub fn inspect(file: &[u8], block: usize) -> Vec<Part> {
    let mut parts = Parts(Vec::new());
    let header = match FileHeader::decode(file) {
        Ok(header) => {
            parts.0.push(Part::File(header));
            if (file.len() as u64) < header.file_len {
                let words = format!("the file is cut off, its header says {} bytes", header.file_len);
                parts.0.push(Part::Corrupt(file.len() as u64..header.file_len, words));
            }
            Some(header)
        }
        Err(error) => {
            if file.iter().all(|&byte| byte == 0) {
                return Vec::from([Part::Blank(0..file.len() as u64)]);
            }
            let words = match error {
                FormatError::NotOurs => String::from("there is no file header"),
                error => format!("the file header: {error}"),
            };
            parts.0.push(Part::Corrupt(0..block.min(file.len()) as u64, words));
            None
        }
    };
    let block = header.map_or(block, |header| header.block as usize).max(512);
    let mut chain = header.map(|header| (header.first_sequence, header.predecessor));
    let mut at = block;
    while at < file.len() {
        at += match commit_at(file, at, block, header.as_ref(), chain, &mut parts) {
            Some((len, next)) => {
                chain = next;
                len
            }
            None => {
                let end = (at + block).min(file.len());
                parts.block(at as u64..end as u64, &file[at..end]);
                block
            }
        };
    }
    parts.0
}

type Chain = Option<(u64, u32)>;

/// Shows the commit at `at` if one of this use begins there; returns how much was shown and how the chain goes on.
fn commit_at(
    file: &[u8],
    at: usize,
    block: usize,
    of: Option<&FileHeader>,
    chain: Chain,
    parts: &mut Parts,
) -> Option<(usize, Chain)> {
    let bytes = &file[at..];
    if !bytes.starts_with(&COMMIT_MAGIC) {
        return None;
    }
    let here = at as u64..(at + block).min(file.len()) as u64;
    let (header, crc) = match CommitHeader::decode(bytes) {
        Ok(decoded) => decoded,
        Err(error) => {
            parts.0.push(Part::Corrupt(here, format!("a commit header: {error}")));
            return Some((block, None));
        }
    };
    if of.is_some_and(|of| (of.ordinal, of.incarnation) != (header.ordinal, header.incarnation)) {
        return None;
    }
    let len = commit_len(&header, block).filter(|&len| len <= bytes.len() as u64);
    let follows = chain == Some((header.sequence, header.predecessor));
    let Some(len) = len.map(|len| len as usize).filter(|_| follows) else {
        if chain.is_some() {
            let words = if follows { "the commit is longer than the file" } else { "the chain of commits breaks" };
            parts.0.push(Part::Corrupt(here, words.to_string()));
        }
        parts.0.push(Part::Behind(at as u64, header));
        return Some((block, None));
    };
    parts.0.push(Part::Commit(at as u64, header));
    let offset = |entry: usize| (at + entry) as u64;
    match entries(&header, &bytes[..len]) {
        Ok(found) => {
            for entry in found {
                parts.0.push(Part::Entry(offset(entry.at), entry.header));
                if !entry.intact {
                    let start = entry.at + ENTRY_HEADER_LEN;
                    let payload = offset(start)..offset(start + entry.header.payload_len as usize);
                    parts.0.push(Part::Corrupt(payload, String::from("the payload does not match its checksum")));
                }
            }
            Some((len, Some((header.sequence + 1, crc))))
        }
        Err(words) => {
            parts.0.push(Part::Corrupt(offset(COMMIT_HEADER_LEN)..offset(len), words));
            Some((block, None))
        }
    }
}

struct Parts(Vec<Part>);

impl Parts {
    /// Adds a block that begins no commit of this use, to the run before it when it is of the same sort.
    fn block(&mut self, range: Range<u64>, bytes: &[u8]) {
        let fresh = if bytes.iter().all(|&byte| byte == 0) {
            Part::Blank(range.clone())
        } else if CommitHeader::decode(bytes).is_ok() {
            Part::Earlier(range.clone())
        } else {
            Part::Other(range.clone())
        };
        match (self.0.last_mut(), &fresh) {
            (Some(Part::Blank(last)), Part::Blank(_)) | (Some(Part::Other(last)), Part::Other(_)) => {
                last.end = range.end;
            }
            // What follows the header of an earlier commit belongs to it.
            (Some(Part::Earlier(last)), Part::Earlier(_) | Part::Other(_)) => last.end = range.end,
            _ => self.0.push(fresh),
        }
    }
}
