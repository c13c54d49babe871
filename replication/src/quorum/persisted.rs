//! The bytes in which the log's entries and the hard state go to disk.
//!
//! Little-endian; whoever stores them keeps length and checksum:
//!
//! ```text
//! hard state = u8 format (1), u64 term, u64 vote (0: none), u64 committed offset
//! entry      = u8 format (1), u64 offset, u64 term, payload (a batch of records, or nothing)
//! ```

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use raft::eraftpb;

use crate::ids::MetadataOffset;

const FORMAT: u8 = 1;

/// Bytes in front of an entry's payload.
const ENTRY_HEADER_BYTES: usize = 17;

/// What a node must not forget besides its log: its term and its vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term that the node has seen.
    pub term: u64,
    /// The node that it voted for in this term, by raft's number (broker id plus one); 0 is "none".
    pub vote: u64,
    /// Up to here the log was known to be committed when this was written.
    pub committed: MetadataOffset,
}

/// An entry of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place in the log.
    pub offset: MetadataOffset,
    /// The term in which it was proposed.
    pub term: u64,
    /// An encoded batch of records; empty for the entry with which a leader opens its term.
    pub payload: Bytes,
}

/// Why bytes are not what was persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersistedError {
    /// The format is another one.
    UnknownFormat(u8),
    /// The length is not right.
    Length(usize),
}

impl fmt::Display for PersistedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat(format) => {
                write!(f, "metadata log content of format {format}; this release knows format {FORMAT}")
            }
            Self::Length(length) => write!(f, "metadata log content of {length} bytes cannot be"),
        }
    }
}

impl core::error::Error for PersistedError {}

impl HardState {
    /// The length of an encoded hard state.
    pub const BYTES: usize = 25;

    /// The bytes to persist.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = FORMAT;
        bytes[1..9].copy_from_slice(&self.term.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.vote.to_le_bytes());
        bytes[17..25].copy_from_slice(&self.committed.0.to_le_bytes());
        bytes
    }

    /// Reads what [`HardState::to_bytes`] gave.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PersistedError> {
        let mut numbers = split_format(bytes, Self::BYTES)?;
        if bytes.len() != Self::BYTES {
            return Err(PersistedError::Length(bytes.len()));
        }
        Ok(Self {
            term: take_u64(&mut numbers),
            vote: take_u64(&mut numbers),
            committed: MetadataOffset(take_u64(&mut numbers)),
        })
    }

    pub(super) fn of(hard_state: &eraftpb::HardState) -> Self {
        Self { term: hard_state.term, vote: hard_state.vote, committed: MetadataOffset(hard_state.commit) }
    }
}

impl LogEntry {
    /// The bytes to persist.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_HEADER_BYTES + self.payload.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.offset.0.to_le_bytes());
        bytes.extend_from_slice(&self.term.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Reads what [`LogEntry::to_bytes`] gave; the payload is read by [`super::Quorum::new`].
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PersistedError> {
        let mut rest = split_format(bytes, ENTRY_HEADER_BYTES)?;
        let offset = MetadataOffset(take_u64(&mut rest));
        let term = take_u64(&mut rest);
        Ok(Self { offset, term, payload: Bytes::copy_from_slice(rest) })
    }
}

/// What follows the format, of bytes that are `bytes_min` at least.
fn split_format(bytes: &[u8], bytes_min: usize) -> Result<&[u8], PersistedError> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) if bytes.len() >= bytes_min => Ok(rest),
        Some((&FORMAT, _)) | None => Err(PersistedError::Length(bytes.len())),
        Some((&format, _)) => Err(PersistedError::UnknownFormat(format)),
    }
}

fn take_u64(bytes: &mut &[u8]) -> u64 {
    let (number, rest) = bytes.split_first_chunk().expect("the length was checked");
    *bytes = rest;
    u64::from_le_bytes(*number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn released_bytes_stay_readable() {
        let hard_state = HardState { term: 3, vote: 2, committed: MetadataOffset(258) };
        let bytes = [1, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(hard_state.to_bytes(), bytes);
        assert_eq!(HardState::from_bytes(&bytes), Ok(hard_state));

        let entry = LogEntry { offset: MetadataOffset(7), term: 5, payload: Bytes::from_static(&[9, 8]) };
        let bytes = [1, 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 8];
        assert_eq!(entry.to_bytes(), bytes);
        assert_eq!(LogEntry::from_bytes(&bytes), Ok(entry));
    }

    #[test]
    fn names_an_unknown_format() {
        assert_eq!(HardState::from_bytes(&[2; 25]), Err(PersistedError::UnknownFormat(2)));
        assert_eq!(LogEntry::from_bytes(&[0; 17]), Err(PersistedError::UnknownFormat(0)));
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(
            term: u64, vote: u64, offset: u64, payload in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let hard_state = HardState { term, vote, committed: MetadataOffset(offset) };
            prop_assert_eq!(HardState::from_bytes(&hard_state.to_bytes()), Ok(hard_state));
            let entry = LogEntry { offset: MetadataOffset(offset), term, payload: payload.into() };
            prop_assert_eq!(LogEntry::from_bytes(&entry.to_bytes()), Ok(entry));
        }

        #[test]
        fn refuses_other_lengths(length in 0_usize..40) {
            let bytes = [FORMAT; 40];
            let bytes = &bytes[..length];
            prop_assert_eq!(HardState::from_bytes(bytes).is_ok(), length == HardState::BYTES);
            prop_assert_eq!(LogEntry::from_bytes(bytes).is_ok(), length >= ENTRY_HEADER_BYTES);
        }
    }
}
