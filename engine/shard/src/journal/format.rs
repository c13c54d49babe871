//! The bytes of a journal file: file header, commit header, entry header. The crate's README is the specification.
//!
//! Invariants: little-endian on every machine; a structure is believed only after its checksum, its magic number and
//! its version were checked, in that order of suspicion: what is not ours at all, what is torn, what is from the future.

pub use crate::config::Durability;
use core::fmt;

/// The version of the journal's format that is written, and the only one that is read.
pub const VERSION: u16 = 1;
/// The length of a file header in bytes; it has block 0 for itself.
pub const FILE_HEADER_LEN: usize = 96;
/// The length of a commit header in bytes.
pub const COMMIT_HEADER_LEN: usize = 88;
/// The length of an entry header in bytes.
pub const ENTRY_HEADER_LEN: usize = 88;
/// The magic number of a file header.
pub const FILE_MAGIC: [u8; 4] = *b"CLJF";
/// The magic number of a commit header.
pub const COMMIT_MAGIC: [u8; 4] = *b"CLJC";
/// Entries begin at multiples of this, in bytes, counted from the start of their commit.
pub const ENTRY_ALIGN: usize = 8;

/// Commit flag: the commit carries nothing and was written only so that a mark covers what stands before it.
pub const FLAG_CLOSING: u16 = 1;

/// The first bytes of a record batch, which its own checksum does not cover.
const BATCH_PREFIX_LEN: usize = 21;

/// Which journal a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalKind {
    /// The journal of one shard.
    Shard,
    /// The metadata log.
    Metadata,
}

impl JournalKind {
    const fn code(self) -> u16 {
        match self {
            Self::Shard => 0,
            Self::Metadata => 1,
        }
    }

    const fn of(code: u16) -> Option<Self> {
        match code {
            0 => Some(Self::Shard),
            1 => Some(Self::Metadata),
            _ => None,
        }
    }
}

const fn level_code(level: Durability) -> u8 {
    match level {
        Durability::Fsync => 0,
        Durability::Write => 1,
        Durability::Memory => 2,
    }
}

const fn level_of(code: u8) -> Option<Durability> {
    match code {
        0 => Some(Durability::Fsync),
        1 => Some(Durability::Write),
        2 => Some(Durability::Memory),
        _ => None,
    }
}

/// What an entry carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// One record batch, as it is in the segment.
    Records,
    /// The same, appended again so that an older file can be recycled.
    CarriedRecords,
    /// Nothing; the base offset is the partition's new log start offset.
    LogStart,
    /// One cleaned segment takes the place of one or more. The base offset is its own, the last offset is the number of the
    /// cleaning (see `log::cleaner::replacement`).
    Replaced,
    /// Entries of the metadata quorum's log, in the encoding of `replication`.
    RaftEntries,
    /// Term, vote and commit of the metadata quorum, in the encoding of `replication`.
    RaftHardState,
}

impl EntryKind {
    const fn code(self) -> u8 {
        match self {
            Self::Records => 1,
            Self::CarriedRecords => 2,
            Self::LogStart => 3,
            Self::Replaced => 4,
            Self::RaftEntries => 16,
            Self::RaftHardState => 17,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Records),
            2 => Some(Self::CarriedRecords),
            3 => Some(Self::LogStart),
            4 => Some(Self::Replaced),
            16 => Some(Self::RaftEntries),
            17 => Some(Self::RaftHardState),
            _ => None,
        }
    }

    /// Whether the payload is a record batch, whose own checksum then covers it.
    pub const fn is_records(self) -> bool {
        matches!(self, Self::Records | Self::CarriedRecords)
    }
}

/// Why bytes are not the structure they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// The magic number is not there: nothing of ours begins here.
    NotOurs,
    /// It begins like ours, but the checksum does not match.
    Checksum,
    /// It is intact and of a version that this program does not know.
    Version {
        /// The version in the file.
        found: u16,
    },
    /// It is intact, but a field holds what this version never writes.
    Field(&'static str),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => write!(f, "the magic number is missing"),
            Self::Checksum => write!(f, "the checksum does not match"),
            Self::Version { found } => {
                write!(f, "it has format version {found}, this program knows version {VERSION}")
            }
            Self::Field(name) => write!(f, "the checksum matches, but the field '{name}' holds an impossible value"),
        }
    }
}

/// The header of one use of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Which journal the file belongs to.
    pub kind: JournalKind,
    /// The number in the file's name.
    pub slot: u32,
    /// One more with every use of any file of this journal.
    pub ordinal: u64,
    /// The incarnation that used it.
    pub incarnation: u64,
    /// The sequence of the first commit in this use.
    pub first_sequence: u64,
    /// The checksum field of the commit before that one; 0 at the very first.
    pub predecessor: u32,
    /// The block size in bytes.
    pub block: u32,
    /// The last sequence that counted when this incarnation began.
    pub previous_end: u64,
    /// The file's length in bytes.
    pub file_len: u64,
    /// The highest sequence known durable when the use was begun.
    pub durable_sequence: u64,
    /// The lowest ordinal of a file that was still needed when the use was begun; its own when none was.
    pub first_needed: u64,
    /// Which shard the journal belongs to.
    pub shard: u32,
    /// How many files the ring had when the use was begun: each number below it has a file.
    pub slots: u32,
    /// Which data directory the journal belongs to (see [`super::Geometry::directory`]).
    pub directory: u64,
}

impl FileHeader {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; FILE_HEADER_LEN] {
        let mut bytes = [0; FILE_HEADER_LEN];
        bytes[..4].copy_from_slice(&FILE_MAGIC);
        put(&mut bytes, 8, VERSION.to_le_bytes());
        put(&mut bytes, 10, self.kind.code().to_le_bytes());
        put(&mut bytes, 12, self.slot.to_le_bytes());
        put(&mut bytes, 16, self.ordinal.to_le_bytes());
        put(&mut bytes, 24, self.incarnation.to_le_bytes());
        put(&mut bytes, 32, self.first_sequence.to_le_bytes());
        put(&mut bytes, 40, self.predecessor.to_le_bytes());
        put(&mut bytes, 44, self.block.to_le_bytes());
        put(&mut bytes, 48, self.previous_end.to_le_bytes());
        put(&mut bytes, 56, self.file_len.to_le_bytes());
        put(&mut bytes, 64, self.durable_sequence.to_le_bytes());
        put(&mut bytes, 72, self.first_needed.to_le_bytes());
        put(&mut bytes, 80, self.shard.to_le_bytes());
        put(&mut bytes, 84, self.slots.to_le_bytes());
        put(&mut bytes, 88, self.directory.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    /// Reads a header from the first bytes of a file.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let bytes = open(bytes, FILE_HEADER_LEN, FILE_MAGIC)?;
        Ok(Self {
            kind: JournalKind::of(u16_at(bytes, 10)).ok_or(FormatError::Field("journal"))?,
            slot: u32_at(bytes, 12),
            ordinal: u64_at(bytes, 16),
            incarnation: u64_at(bytes, 24),
            first_sequence: u64_at(bytes, 32),
            predecessor: u32_at(bytes, 40),
            block: u32_at(bytes, 44),
            previous_end: u64_at(bytes, 48),
            file_len: u64_at(bytes, 56),
            durable_sequence: u64_at(bytes, 64),
            first_needed: u64_at(bytes, 72),
            shard: u32_at(bytes, 80),
            slots: u32_at(bytes, 84),
            directory: u64_at(bytes, 88),
        })
    }
}

/// The header of a commit, at the start of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitHeader {
    /// [`FLAG_CLOSING`] or 0.
    pub flags: u16,
    /// How many entries follow.
    pub entries: u32,
    /// The ordinal of the file's use.
    pub ordinal: u64,
    /// The incarnation that wrote it.
    pub incarnation: u64,
    /// One more with every commit, across files and incarnations.
    pub sequence: u64,
    /// The highest sequence known durable when the commit was built; below its own.
    pub durable_sequence: u64,
    /// The metadata offset that the shard had applied.
    pub metadata_offset: u64,
    /// The checksum field of the commit before.
    pub predecessor: u32,
    /// The bytes of entries that follow this header.
    pub body_len: u64,
    /// The checksum of the entry headers, one after the other.
    pub entry_headers_crc: u32,
    /// The generation of the newest checkpoint or snapshot that was durable when the commit was built; 0 for none.
    pub copy_generation: u32,
    /// How many files the ring had when the commit was built: each number below it has a file.
    pub slots: u32,
    /// Which data directory the journal belongs to (see [`super::Geometry::directory`]).
    pub directory: u64,
}

impl CommitHeader {
    /// The bytes of the header, and its checksum field: the next commit's `predecessor`.
    pub fn encode(&self) -> ([u8; COMMIT_HEADER_LEN], u32) {
        let mut bytes = [0; COMMIT_HEADER_LEN];
        bytes[..4].copy_from_slice(&COMMIT_MAGIC);
        put(&mut bytes, 8, VERSION.to_le_bytes());
        put(&mut bytes, 10, self.flags.to_le_bytes());
        put(&mut bytes, 12, self.entries.to_le_bytes());
        put(&mut bytes, 16, self.ordinal.to_le_bytes());
        put(&mut bytes, 24, self.incarnation.to_le_bytes());
        put(&mut bytes, 32, self.sequence.to_le_bytes());
        put(&mut bytes, 40, self.durable_sequence.to_le_bytes());
        put(&mut bytes, 48, self.metadata_offset.to_le_bytes());
        put(&mut bytes, 56, self.predecessor.to_le_bytes());
        put(&mut bytes, 60, self.copy_generation.to_le_bytes());
        put(&mut bytes, 64, self.body_len.to_le_bytes());
        put(&mut bytes, 72, self.entry_headers_crc.to_le_bytes());
        put(&mut bytes, 76, self.slots.to_le_bytes());
        put(&mut bytes, 80, self.directory.to_le_bytes());
        let crc = seal(&mut bytes);
        (bytes, crc)
    }

    /// Reads a header and its checksum field from the first bytes of a block.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u32), FormatError> {
        let bytes = open(bytes, COMMIT_HEADER_LEN, COMMIT_MAGIC)?;
        let header = Self {
            flags: u16_at(bytes, 10),
            entries: u32_at(bytes, 12),
            ordinal: u64_at(bytes, 16),
            incarnation: u64_at(bytes, 24),
            sequence: u64_at(bytes, 32),
            durable_sequence: u64_at(bytes, 40),
            metadata_offset: u64_at(bytes, 48),
            predecessor: u32_at(bytes, 56),
            copy_generation: u32_at(bytes, 60),
            body_len: u64_at(bytes, 64),
            entry_headers_crc: u32_at(bytes, 72),
            slots: u32_at(bytes, 76),
            directory: u64_at(bytes, 80),
        };
        if header.flags & !FLAG_CLOSING != 0 {
            return Err(FormatError::Field("flags"));
        }
        if header.durable_sequence >= header.sequence {
            return Err(FormatError::Field("durable sequence"));
        }
        Ok((header, u32_at(bytes, 4)))
    }
}

/// The header of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// What the payload is.
    pub kind: EntryKind,
    /// The level at which it was acknowledged.
    pub level: Durability,
    /// The payload's length in bytes.
    pub payload_len: u32,
    /// The payload's checksum: of a record batch, the batch's own checksum field.
    pub payload_crc: u32,
    /// The sequence of its commit.
    pub sequence: u64,
    /// The incarnation that wrote it.
    pub incarnation: u64,
    /// The topic, all zero in the metadata log.
    pub topic_id: [u8; 16],
    /// The partition.
    pub partition: i32,
    /// The leader epoch of the batch.
    pub leader_epoch: i32,
    /// The offset of the batch's first record, or the new log start offset.
    pub base_offset: i64,
    /// The offset of the batch's last record.
    pub last_offset: i64,
    /// Where the segment of this batch begins.
    pub segment_base_offset: i64,
}

impl EntryHeader {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; ENTRY_HEADER_LEN] {
        let mut bytes = [0; ENTRY_HEADER_LEN];
        bytes[4] = self.kind.code();
        bytes[6] = level_code(self.level);
        put(&mut bytes, 8, self.payload_len.to_le_bytes());
        put(&mut bytes, 12, self.payload_crc.to_le_bytes());
        put(&mut bytes, 16, self.sequence.to_le_bytes());
        put(&mut bytes, 24, self.incarnation.to_le_bytes());
        put(&mut bytes, 32, self.topic_id);
        put(&mut bytes, 48, self.partition.to_le_bytes());
        put(&mut bytes, 52, self.leader_epoch.to_le_bytes());
        put(&mut bytes, 56, self.base_offset.to_le_bytes());
        put(&mut bytes, 64, self.last_offset.to_le_bytes());
        put(&mut bytes, 72, self.segment_base_offset.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[4..]);
        put(&mut bytes, 0, crc.to_le_bytes());
        bytes
    }

    /// Reads a header from the first bytes of an entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let Some(bytes) = bytes.get(..ENTRY_HEADER_LEN) else { return Err(FormatError::NotOurs) };
        if crc32c::crc32c(&bytes[4..]) != u32_at(bytes, 0) {
            return Err(FormatError::Checksum);
        }
        Ok(Self {
            kind: EntryKind::of(bytes[4]).ok_or(FormatError::Field("kind"))?,
            level: level_of(bytes[6]).ok_or(FormatError::Field("durability level"))?,
            payload_len: u32_at(bytes, 8),
            payload_crc: u32_at(bytes, 12),
            sequence: u64_at(bytes, 16),
            incarnation: u64_at(bytes, 24),
            topic_id: at(bytes, 32),
            partition: i32::from_le_bytes(at(bytes, 48)),
            leader_epoch: i32::from_le_bytes(at(bytes, 52)),
            base_offset: i64::from_le_bytes(at(bytes, 56)),
            last_offset: i64::from_le_bytes(at(bytes, 64)),
            segment_base_offset: i64::from_le_bytes(at(bytes, 72)),
        })
    }

    /// Whether `payload` is the one that this header announces.
    ///
    /// A record batch's own checksum begins at its 22nd byte; what stands before it is compared with this header.
    pub fn fits(&self, payload: &[u8]) -> bool {
        if payload.len() != self.payload_len as usize {
            return false;
        }
        if !self.kind.is_records() {
            return crc32c::crc32c(payload) == self.payload_crc;
        }
        payload.len() > BATCH_PREFIX_LEN
            && i64::from_be_bytes(at(payload, 0)) == self.base_offset
            && u32::from_be_bytes(at(payload, 8)) as usize == payload.len() - 12
            && i32::from_be_bytes(at(payload, 12)) == self.leader_epoch
            && payload[16] == 2
            && u32::from_be_bytes(at(payload, 17)) == self.payload_crc
            && crc32c::crc32c(&payload[BATCH_PREFIX_LEN..]) == self.payload_crc
    }
}

/// Where the entry after one that ends at `end` begins, both in bytes from the start of the commit.
pub const fn next_entry(end: usize) -> usize {
    end.next_multiple_of(ENTRY_ALIGN)
}

fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&value);
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes[offset..offset + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(at(bytes, offset))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(at(bytes, offset))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(at(bytes, offset))
}

/// Puts the checksum of bytes 8 to the end at byte 4 and returns it.
fn seal(bytes: &mut [u8]) -> u32 {
    let crc = crc32c::crc32c(&bytes[8..]);
    put(bytes, 4, crc.to_le_bytes());
    crc
}

/// The first `len` bytes, once magic number, checksum and version are right.
fn open(bytes: &[u8], len: usize, magic: [u8; 4]) -> Result<&[u8], FormatError> {
    let Some(bytes) = bytes.get(..len) else { return Err(FormatError::NotOurs) };
    if bytes[..4] != magic {
        return Err(FormatError::NotOurs);
    }
    if crc32c::crc32c(&bytes[8..]) != u32_at(bytes, 4) {
        return Err(FormatError::Checksum);
    }
    match u16_at(bytes, 8) {
        VERSION => Ok(bytes),
        found => Err(FormatError::Version { found }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file_header() -> FileHeader {
        FileHeader {
            kind: JournalKind::Metadata,
            slot: 3,
            ordinal: 0x1111_2222_3333_4444,
            incarnation: 7,
            first_sequence: 99,
            predecessor: 0xdead_beef,
            block: 4096,
            previous_end: 98,
            file_len: 64 << 20,
            durable_sequence: 97,
            first_needed: 5,
            shard: 2,
            slots: 8,
            directory: 0x0102_0304_0506_0708,
        }
    }

    fn commit_header() -> CommitHeader {
        CommitHeader {
            flags: FLAG_CLOSING,
            entries: 4,
            ordinal: 12,
            incarnation: 3,
            sequence: 1000,
            durable_sequence: 998,
            metadata_offset: 55,
            predecessor: 0x1234_5678,
            body_len: 777,
            entry_headers_crc: 0x8765_4321,
            copy_generation: 17,
            slots: 8,
            directory: 9,
        }
    }

    prop_compose! {
        fn entry_header()(
            kind in prop::sample::select(&[EntryKind::Records, EntryKind::CarriedRecords, EntryKind::LogStart,
                EntryKind::Replaced, EntryKind::RaftEntries, EntryKind::RaftHardState][..]),
            level in prop::sample::select(&[Durability::Fsync, Durability::Write, Durability::Memory][..]),
            numbers in any::<[u32; 2]>(), longs in any::<[u64; 2]>(), topic_id in any::<[u8; 16]>(),
            ints in any::<[i32; 2]>(), offsets in any::<[i64; 3]>(),
        ) -> EntryHeader {
            EntryHeader {
                kind, level, payload_len: numbers[0], payload_crc: numbers[1], sequence: longs[0],
                incarnation: longs[1], topic_id, partition: ints[0], leader_epoch: ints[1], base_offset: offsets[0],
                last_offset: offsets[1], segment_base_offset: offsets[2],
            }
        }
    }

    #[test]
    fn headers_come_back_as_they_were() {
        assert_eq!(FileHeader::decode(&file_header().encode()), Ok(file_header()));
        let (bytes, crc) = commit_header().encode();
        assert_eq!(CommitHeader::decode(&bytes), Ok((commit_header(), crc)));
    }

    #[test]
    fn the_layout_is_the_one_in_the_specification() {
        let bytes = file_header().encode();
        assert_eq!(&bytes[..4], b"CLJF");
        assert_eq!(&bytes[8..16], [1, 0, 1, 0, 3, 0, 0, 0]);
        assert_eq!(&bytes[16..24], [0x44, 0x44, 0x33, 0x33, 0x22, 0x22, 0x11, 0x11]);
        assert_eq!(&bytes[88..96], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(crc32c::crc32c(&bytes[8..]).to_le_bytes(), bytes[4..8]);
        let (bytes, crc) = commit_header().encode();
        assert_eq!(&bytes[..4], b"CLJC");
        assert_eq!(bytes[4..8], crc.to_le_bytes());
        assert_eq!(&bytes[32..34], [0xe8, 3]);
        assert_eq!(bytes[64..66], 777u16.to_le_bytes());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let file = file_header().encode();
        let (commit, _) = commit_header().encode();
        for bit in 0..FILE_HEADER_LEN * 8 {
            let mut bytes = file;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode(&bytes).is_err(), "bit {bit}");
        }
        for bit in 0..COMMIT_HEADER_LEN * 8 {
            let mut bytes = commit;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(CommitHeader::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn other_versions_are_named() {
        let mut bytes = file_header().encode();
        bytes[8] = 2;
        seal(&mut bytes);
        assert_eq!(FileHeader::decode(&bytes), Err(FormatError::Version { found: 2 }));
        let (mut bytes, _) = commit_header().encode();
        bytes[8] = 9;
        assert_eq!(CommitHeader::decode(&bytes), Err(FormatError::Checksum));
        seal(&mut bytes);
        assert_eq!(CommitHeader::decode(&bytes), Err(FormatError::Version { found: 9 }));
    }

    #[test]
    fn a_mark_at_or_above_its_own_commit_is_impossible() {
        let mut header = commit_header();
        header.durable_sequence = header.sequence;
        assert_eq!(CommitHeader::decode(&header.encode().0), Err(FormatError::Field("durable sequence")));
    }

    #[test]
    fn a_batch_is_bound_by_its_checksum_and_its_first_bytes() {
        let mut batch = [7u8; 80];
        put(&mut batch, 0, 42i64.to_be_bytes());
        put(&mut batch, 8, 68u32.to_be_bytes());
        put(&mut batch, 12, 5i32.to_be_bytes());
        batch[16] = 2;
        let crc = crc32c::crc32c(&batch[21..]);
        put(&mut batch, 17, crc.to_be_bytes());
        let header = EntryHeader {
            kind: EntryKind::Records,
            level: Durability::Fsync,
            payload_len: 80,
            payload_crc: crc,
            sequence: 1,
            incarnation: 1,
            topic_id: [1; 16],
            partition: 0,
            leader_epoch: 5,
            base_offset: 42,
            last_offset: 43,
            segment_base_offset: 0,
        };
        assert!(header.fits(&batch));
        assert!(!header.fits(&batch[..79]));
        for byte in 0..batch.len() {
            batch[byte] ^= 0x40;
            assert!(!header.fits(&batch), "byte {byte}");
            batch[byte] ^= 0x40;
        }
    }

    proptest! {
        #[test]
        fn entry_headers_come_back_and_notice_flips(header in entry_header(), bit in 0..ENTRY_HEADER_LEN * 8) {
            let mut bytes = header.encode();
            prop_assert_eq!(EntryHeader::decode(&bytes), Ok(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(EntryHeader::decode(&bytes), Err(FormatError::Checksum));
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(FileHeader::decode(&bytes).is_err());
            prop_assert!(CommitHeader::decode(&bytes).is_err());
            prop_assert!(EntryHeader::decode(&bytes).is_err());
        }
    }
}
