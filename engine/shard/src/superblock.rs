//! The superblock: who a data directory belongs to, how it is laid out, and how often it was started.
//!
//! Invariants: of the two copies one is always whole. The copy that is bad or older is written first and synced before
//! the other is touched, so that no cut loses the newer state. Reading writes nothing; the next write of the pair
//! repairs a bad copy.
//!
//! Fault model: a copy may be lost, torn or rotten; both together are refused.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use corelog_wire::buffer::{ALIGN, AlignedBuf};

use crate::ids::Ids;
use crate::io::{Disk, ENOENT, IoError, OpenMode, Step};

/// The newest version of the superblock's format. All from 1 on are read.
pub const VERSION: u16 = 2;
/// Of a directory that was laid out for one shard from the beginning. A program that knows no other version would start
/// with one shard, whatever the superblock says, and write over the segments of the others.
const VERSION_ALONE: u16 = 1;
/// The paths of the two copies, relative to the data directory.
pub const PATHS: [&str; 2] = ["superblock-a", "superblock-b"];
/// The least block size, in bytes, that a data directory is given.
pub const BLOCK_MIN: usize = 4096;

const MAGIC: [u8; 4] = *b"CLSB";
/// The checksum covers the bytes from 8 to here.
const LEN: usize = 256;
/// What a data directory holds once it was used, but for the shards' folders; a superblock cannot be missing beside it.
const USED: [&str; 2] = ["metadata", "topics"];

/// What the superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The block size in bytes, for the life of the directory.
    pub block: u32,
    /// One more with every write of the pair.
    pub generation: u64,
    /// One more with every start.
    pub incarnation: u64,
    /// One more with every change of the number of shards.
    pub layout_generation: u64,
    /// The number of shards.
    pub shards: u32,
    /// The node that the directory belongs to.
    pub node_id: i32,
    /// The length of each journal file in bytes.
    pub journal_file_len: u64,
    /// The length of each file of the metadata log in bytes.
    pub metadata_file_len: u64,
    /// The cluster that the directory belongs to.
    pub cluster_id: [u8; 16],
    /// The directory itself.
    pub directory_id: [u8; 16],
    /// Whether the last stop was clean.
    pub clean: bool,
    /// How many journal files each shard has at least: each number below it has one. Without it nothing would tell that the only
    /// file that was begun is gone.
    pub journal_files: u32,
    /// How many files of the metadata log there are at least.
    pub metadata_files: u32,
}

/// What is decided when a data directory is created.
#[derive(Clone, Copy, Debug)]
pub struct NewDirectory {
    /// The node that it will belong to.
    pub node_id: i32,
    /// The number of shards.
    pub shards: u32,
    /// The length of each journal file in bytes.
    pub journal_file_len: u64,
    /// The length of each file of the metadata log in bytes.
    pub metadata_file_len: u64,
    /// The cluster that it will belong to.
    pub cluster_id: [u8; 16],
    /// A random id of its own.
    pub directory_id: [u8; 16],
}

/// Why a data directory is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuperblockError {
    /// A step failed.
    Io(IoError),
    /// A copy is intact and of another version.
    Version {
        /// The copy.
        path: &'static str,
        /// The version in it.
        found: u16,
    },
    /// Neither copy is intact.
    Damaged,
    /// There is no superblock beside other files of a data directory.
    Missing {
        /// What was found.
        beside: String,
    },
    /// The directory belongs to another node.
    NodeId {
        /// The node in the superblock.
        found: i32,
        /// The node that was configured.
        configured: i32,
    },
    /// The file system demands larger blocks than the directory was made with.
    Block {
        /// The directory's block size in bytes.
        found: u32,
        /// What the file system demands, in bytes.
        demanded: usize,
    },
}

impl fmt::Display for SuperblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the superblock: {} (errno {})", error.what, error.errno),
            Self::Version { path, found } => write!(
                f,
                "{path} has format version {found}, this program knows versions up to {VERSION}: use the program that wrote \
                 the data directory, or a later one"
            ),
            Self::Damaged => write!(
                f,
                "neither {} nor {} is intact: put one of them back from a copy, or use another data directory",
                PATHS[0], PATHS[1]
            ),
            Self::Missing { beside } => write!(
                f,
                "there is '{beside}' but no superblock: this is not a whole data directory; put {} back, or use \
                 another directory",
                PATHS[0]
            ),
            Self::NodeId { found, configured } => write!(
                f,
                "the data directory belongs to node {found}, node.id is {configured}: set node.id={found}, or use \
                 another data directory"
            ),
            Self::Block { found, demanded } => write!(
                f,
                "the data directory was made with blocks of {found} bytes, this file system demands {demanded}: keep \
                 it on a file system that allows blocks of {found}"
            ),
        }
    }
}

impl core::error::Error for SuperblockError {}

impl From<IoError> for SuperblockError {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// The superblock of a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    contents: Contents,
    /// The index of the copy that is written first: the one that is bad or older.
    first: usize,
    /// Which copy was not intact, in words for the log.
    pub repaired: Option<String>,
}

impl Superblock {
    /// Reads the superblock; `None` in a directory that holds nothing of ours. Writes nothing.
    pub fn read(disk: &mut dyn Disk, ids: &mut Ids) -> Result<Option<Self>, SuperblockError> {
        let mut copies = Vec::new();
        for path in PATHS {
            let bytes = read_copy(disk, ids, path)?;
            let copy = match bytes.as_deref().map(Contents::decode) {
                None => Copy::Absent,
                // A creation that was cut leaves a file without content.
                Some(_) if bytes.as_deref().is_some_and(is_blank) => Copy::Absent,
                Some(Ok(contents)) => Copy::Good(contents),
                Some(Err(Bad::Version(found))) => return Err(SuperblockError::Version { path, found }),
                Some(Err(Bad::Torn)) => Copy::Bad,
            };
            copies.push(copy);
        }
        let good = |copy: &Copy| match copy {
            Copy::Good(contents) => Some(*contents),
            _ => None,
        };
        let (contents, first) = match (good(&copies[0]), good(&copies[1])) {
            (Some(a), Some(b)) if a.generation > b.generation => (a, 1),
            (Some(_), Some(b)) => (b, 0),
            (Some(a), None) => (a, 1),
            (None, Some(b)) => (b, 0),
            (None, None) if copies.contains(&Copy::Bad) => return Err(SuperblockError::Damaged),
            (None, None) => {
                let used = |name: &String| name.starts_with("shard-") || USED.contains(&name.as_str());
                return match disk.list("")?.into_iter().map(|entry| entry.name).find(used) {
                    Some(beside) => Err(SuperblockError::Missing { beside }),
                    None => Ok(None),
                };
            }
        };
        let demanded = disk.block_size();
        if !(contents.block as usize).is_multiple_of(demanded) {
            return Err(SuperblockError::Block { found: contents.block, demanded });
        }
        let bad = good(&copies[first]).is_none();
        let repaired = bad.then(|| format!("{} was not intact; the other copy counts", PATHS[first]));
        Ok(Some(Self { contents, first, repaired }))
    }

    /// Writes the superblock of a new data directory, before anything else is created in it.
    pub fn create(disk: &mut dyn Disk, new: NewDirectory, ids: &mut Ids) -> Result<Self, SuperblockError> {
        let contents = Contents {
            block: disk.block_size().max(BLOCK_MIN) as u32,
            generation: 0,
            incarnation: 0,
            layout_generation: 0,
            shards: new.shards,
            node_id: new.node_id,
            journal_file_len: new.journal_file_len,
            metadata_file_len: new.metadata_file_len,
            cluster_id: new.cluster_id,
            directory_id: new.directory_id,
            clean: true,
            journal_files: 0,
            metadata_files: 0,
        };
        let mut this = Self { contents, first: 0, repaired: None };
        this.write(disk, ids)?;
        Ok(this)
    }

    /// What it says.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The mark of this directory in every journal header (see [`crate::journal::Geometry::directory`]).
    pub fn directory_mark(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.contents.directory_id;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Refuses a directory that belongs to another node.
    pub fn check_node_id(&self, configured: i32) -> Result<(), SuperblockError> {
        let found = self.contents.node_id;
        if found == configured { Ok(()) } else { Err(SuperblockError::NodeId { found, configured }) }
    }

    /// Begins the next incarnation, on stable storage when this returns. Says whether the last stop was clean.
    pub fn begin_incarnation(&mut self, disk: &mut dyn Disk, ids: &mut Ids) -> Result<bool, SuperblockError> {
        let was_clean = self.contents.clean;
        self.contents.incarnation += 1;
        self.contents.clean = false;
        self.write(disk, ids)?;
        Ok(was_clean)
    }

    /// Notes how many files the journals have, on stable storage when this returns; before anything in them is
    /// acknowledged. Writes only what is new.
    pub fn note_files(
        &mut self,
        disk: &mut dyn Disk,
        ids: &mut Ids,
        journal_files: u32,
        metadata_files: u32,
    ) -> Result<(), SuperblockError> {
        if (self.contents.journal_files, self.contents.metadata_files) == (journal_files, metadata_files) {
            return Ok(());
        }
        self.contents.journal_files = journal_files;
        self.contents.metadata_files = metadata_files;
        self.write(disk, ids)
    }

    /// Lays the directory out for another number of shards, on stable storage when this returns: from then on the folders of
    /// the next layout generation count, and no others.
    pub fn change_layout(&mut self, disk: &mut dyn Disk, ids: &mut Ids, shards: u32) -> Result<(), SuperblockError> {
        self.contents.layout_generation += 1;
        self.contents.shards = shards;
        // Nothing was noted of their journals yet.
        self.contents.journal_files = 0;
        self.write(disk, ids)
    }

    /// The steps that record a clean stop; run them as one chain after everything else is on stable storage.
    pub fn mark_clean(&mut self, ids: &mut Ids) -> Vec<Step> {
        self.contents.clean = true;
        self.next_write(ids)
    }

    fn write(&mut self, disk: &mut dyn Disk, ids: &mut Ids) -> Result<(), SuperblockError> {
        for step in self.next_write(ids) {
            disk.run(step)?;
        }
        Ok(())
    }

    /// The steps that write both copies with the next generation.
    fn next_write(&mut self, ids: &mut Ids) -> Vec<Step> {
        self.contents.generation += 1;
        let block = self.contents.block as usize;
        let mut buffer = AlignedBuf::with_capacity_and_align(block, block.max(ALIGN));
        buffer.extend_from_slice(&self.contents.encode());
        buffer.pad_with_zeros_to(block);
        let bytes = buffer.freeze();
        let mut steps = Vec::new();
        for path in [PATHS[self.first], PATHS[1 - self.first]] {
            let file = ids.file();
            steps.push(Step::Open { file, path: path.to_string(), mode: OpenMode::WRITE });
            steps.push(Step::Write { file, offset: 0, data: vec![bytes.clone()], durable: false });
            steps.push(Step::Sync { file });
            steps.push(Step::Close { file });
            steps.push(Step::SyncDir { path: String::new() });
        }
        // Both are alike now; which is first no longer matters.
        self.first = 0;
        steps
    }
}

#[derive(PartialEq, Eq)]
enum Copy {
    Absent,
    Bad,
    Good(Contents),
}

enum Bad {
    Torn,
    Version(u16),
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// The first bytes of a copy, `None` when there is no such file.
fn read_copy(disk: &mut dyn Disk, ids: &mut Ids, path: &str) -> Result<Option<Vec<u8>>, SuperblockError> {
    let file = ids.file();
    match disk.run(Step::Open { file, path: path.to_string(), mode: OpenMode::READ }) {
        Err(error) if error.errno == ENOENT => return Ok(None),
        other => other?,
    };
    let read = disk.run(Step::Read { file, offset: 0, len: disk.block_size().max(BLOCK_MIN) });
    disk.run(Step::Close { file })?;
    match read {
        Ok(bytes) => Ok(Some(bytes.to_vec())),
        // The other copy may be readable; this one is as good as torn.
        Err(error) if error.errno == crate::io::EIO => Ok(Some(vec![0xff; LEN])),
        Err(error) => Err(error.into()),
    }
}

impl Contents {
    fn version(&self) -> u16 {
        if self.shards == 1 && self.layout_generation == 0 { VERSION_ALONE } else { VERSION }
    }

    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        put(&mut bytes, 8, self.version().to_le_bytes());
        put(&mut bytes, 12, self.block.to_le_bytes());
        put(&mut bytes, 16, self.generation.to_le_bytes());
        put(&mut bytes, 24, self.incarnation.to_le_bytes());
        put(&mut bytes, 32, self.layout_generation.to_le_bytes());
        put(&mut bytes, 40, self.shards.to_le_bytes());
        put(&mut bytes, 44, self.node_id.to_le_bytes());
        put(&mut bytes, 48, self.journal_file_len.to_le_bytes());
        put(&mut bytes, 56, self.metadata_file_len.to_le_bytes());
        put(&mut bytes, 64, self.cluster_id);
        put(&mut bytes, 80, self.directory_id);
        bytes[96] = u8::from(self.clean);
        put(&mut bytes, 100, self.journal_files.to_le_bytes());
        put(&mut bytes, 104, self.metadata_files.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[8..]);
        put(&mut bytes, 4, crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Bad> {
        let Some(bytes) = bytes.get(..LEN) else { return Err(Bad::Torn) };
        if bytes[..4] != MAGIC || crc32c::crc32c(&bytes[8..]) != u32::from_le_bytes(at(bytes, 4)) {
            return Err(Bad::Torn);
        }
        let version = u16::from_le_bytes(at(bytes, 8));
        if !(VERSION_ALONE..=VERSION).contains(&version) {
            return Err(Bad::Version(version));
        }
        let block = u32::from_le_bytes(at(bytes, 12));
        if !block.is_power_of_two() || (block as usize) < BLOCK_MIN {
            return Err(Bad::Torn);
        }
        Ok(Self {
            block,
            generation: u64::from_le_bytes(at(bytes, 16)),
            incarnation: u64::from_le_bytes(at(bytes, 24)),
            layout_generation: u64::from_le_bytes(at(bytes, 32)),
            shards: u32::from_le_bytes(at(bytes, 40)),
            node_id: i32::from_le_bytes(at(bytes, 44)),
            journal_file_len: u64::from_le_bytes(at(bytes, 48)),
            metadata_file_len: u64::from_le_bytes(at(bytes, 56)),
            cluster_id: at(bytes, 64),
            directory_id: at(bytes, 80),
            clean: bytes[96] == 1,
            journal_files: u32::from_le_bytes(at(bytes, 100)),
            metadata_files: u32::from_le_bytes(at(bytes, 104)),
        })
    }
}

/// What a superblock's bytes say, for people; an error, in words, when they are not intact.
pub fn inspect(bytes: &[u8]) -> Result<Contents, String> {
    Contents::decode(bytes).map_err(|bad| match bad {
        Bad::Torn => String::from("CORRUPT: magic number or checksum do not match"),
        Bad::Version(found) => format!("it has format version {found}, this program knows versions up to {VERSION}"),
    })
}

fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&value);
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes[offset..offset + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        Contents {
            block: 4096,
            generation: 5,
            incarnation: 3,
            layout_generation: 1,
            shards: 2,
            node_id: 7,
            journal_file_len: 64 << 20,
            metadata_file_len: 4 << 20,
            cluster_id: [1; 16],
            directory_id: [2; 16],
            clean: true,
            journal_files: 4,
            metadata_files: 3,
        }
    }

    #[test]
    fn contents_come_back_and_every_flipped_bit_is_noticed() {
        let bytes = contents().encode();
        assert_eq!(inspect(&bytes), Ok(contents()));
        for bit in 0..LEN * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(inspect(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_program_that_knows_one_shard_is_kept_from_several() {
        let alone = Contents { shards: 1, layout_generation: 0, ..contents() };
        assert_eq!((alone.encode()[8], inspect(&alone.encode())), (1, Ok(alone)));
        for other in [Contents { shards: 2, ..alone }, Contents { layout_generation: 1, ..alone }] {
            assert_eq!((other.encode()[8], inspect(&other.encode())), (2, Ok(other)));
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = contents().encode();
        bytes[8] = 3;
        let crc = crc32c::crc32c(&bytes[8..]);
        put(&mut bytes, 4, crc.to_le_bytes());
        assert_eq!(inspect(&bytes).unwrap_err(), "it has format version 3, this program knows versions up to 2");
    }
}
