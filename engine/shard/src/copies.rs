//! A file that is kept in two copies, written in turn: checkpoints and metadata snapshots.
//!
//! Owns the header in front of the content. Fault model: each copy is synced before anything relies on it; one that is
//! torn or rotten is recognised by its checksum, and the other one then counts.
//!
//! ```text
//! magic (4 bytes), u32 CRC-32C of all that follows, u16 format version, 6 zero bytes, u64 generation,
//! u64 length of the content, u64 first ordinal of the journal that is still needed, u64 incarnation, content
//! ```

use crate::ids::Ids;
use crate::io::{Disk, IoError, OpenMode, Step};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::buffer::AlignedBuf;

/// Bytes in front of the content.
pub const HEADER_BYTES: usize = 48;

/// The largest content that is read, in bytes: a bound on what a rotten length may claim.
pub const CONTENT_BYTES_MAX: u64 = 1 << 30;

/// What kind of file it is: its magic and the format versions that this program writes and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The first four bytes.
    pub magic: [u8; 4],
    /// The format version that is written.
    pub version: u16,
    /// The oldest one that is read.
    pub oldest: u16,
    /// The file's name without its last letter.
    pub name: &'static str,
}

/// What the header says, with the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The format version of the content, that of its kind where it is written.
    pub version: u16,
    /// +1 with every write; 0 stands for "none yet".
    pub generation: u64,
    /// The first use of a journal file that recovery needs besides this.
    pub first_ordinal: u64,
    /// The incarnation that wrote it.
    pub incarnation: u64,
    /// The content.
    pub content: Bytes,
}

impl Kind {
    /// The file for a generation: the copies are written in turn.
    pub fn path(&self, folder: &str, generation: u64) -> String {
        format!("{folder}/{}-{}", self.name, if generation.is_multiple_of(2) { "a" } else { "b" })
    }

    /// The bytes of the file, padded to whole blocks.
    pub fn encode(&self, copy: &Copy, block: usize) -> AlignedBuf {
        let mut header = [0_u8; HEADER_BYTES];
        header[..4].copy_from_slice(&self.magic);
        assert_eq!(copy.version, self.version, "older versions are only read");
        header[8..10].copy_from_slice(&self.version.to_le_bytes());
        header[16..24].copy_from_slice(&copy.generation.to_le_bytes());
        header[24..32].copy_from_slice(&(copy.content.len() as u64).to_le_bytes());
        header[32..40].copy_from_slice(&copy.first_ordinal.to_le_bytes());
        header[40..48].copy_from_slice(&copy.incarnation.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[8..]), &copy.content);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        let len = (HEADER_BYTES + copy.content.len()).next_multiple_of(block);
        let mut out = AlignedBuf::with_capacity(len);
        out.extend_from_slice(&header);
        out.extend_from_slice(&copy.content);
        out.pad_with_zeros_to(len);
        out
    }

    /// Reads the bytes of a file. `Ok(None)` when nothing was ever written to it.
    ///
    /// # Errors
    /// What is wrong with it, in words: torn, rotten, or of an unknown version.
    pub fn decode(&self, bytes: &Bytes) -> Result<Option<Copy>, String> {
        if bytes.iter().take(HEADER_BYTES).all(|b| *b == 0) {
            return Ok(None);
        }
        if bytes.len() < HEADER_BYTES || bytes[..4] != self.magic {
            return Err(format!("it does not begin with {}", String::from_utf8_lossy(&self.magic)));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if !(self.oldest..=self.version).contains(&version) {
            let known = match self.oldest == self.version {
                true => format!("{version}, this program knows {}", self.version),
                false => format!("{version}, this program knows {} to {}", self.oldest, self.version),
            };
            return Err(format!("its format version is {known}"));
        }
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let len = u64_at(24);
        let there = (bytes.len() - HEADER_BYTES) as u64;
        if len > CONTENT_BYTES_MAX || len > there {
            return Err(format!("its header claims {len} bytes of content, the file has {there}"));
        }
        let end = HEADER_BYTES + len as usize;
        let crc = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
        if crc32c::crc32c(&bytes[8..end]) != crc {
            return Err(String::from("its checksum does not fit its content"));
        }
        let content = bytes.slice(HEADER_BYTES..end);
        Ok(Some(Copy { version, generation: u64_at(16), first_ordinal: u64_at(32), incarnation: u64_at(40), content }))
    }

    /// The steps that write a copy and make it durable.
    pub fn write(&self, folder: &str, copy: &Copy, block: usize, ids: &mut Ids) -> Vec<Step> {
        let file = ids.file();
        let data = vec![self.encode(copy, block).freeze()];
        vec![
            Step::Open { file, path: self.path(folder, copy.generation), mode: OpenMode::WRITE },
            Step::SyncDir { path: String::from(folder) },
            Step::Write { file, offset: 0, data, durable: false },
            Step::Sync { file },
            Step::Close { file },
        ]
    }

    /// Reads both copies and picks the newer one that is whole. Also says what is wrong with the other, if anything.
    /// What was read is on stable storage: a process that was killed may have left it in the page cache only, and what
    /// relies on it would outlive it.
    ///
    /// # Errors
    /// In words: the disk failed, or neither copy is whole although one was written.
    pub fn read(
        &self,
        disk: &mut dyn Disk,
        folder: &str,
        ids: &mut Ids,
    ) -> Result<(Option<Copy>, Vec<String>), String> {
        let mut found: Option<Copy> = None;
        let mut complaints = Vec::new();
        let failed = |e: IoError| format!("{}: error {}", e.what, e.errno);
        disk.run(Step::SyncDir { path: String::from(folder) }).map_err(failed)?;
        for generation in 0..2 {
            let path = self.path(folder, generation);
            let Some(bytes) = read_file(disk, &path, ids).map_err(failed)? else { continue };
            match self.decode(&bytes) {
                Ok(Some(copy)) if found.as_ref().is_none_or(|f| f.generation < copy.generation) => found = Some(copy),
                Ok(_) => {}
                Err(what) => complaints.push(format!("{path} is damaged: {what}")),
            }
        }
        if found.is_none() && complaints.len() == 2 {
            return Err(format!("{}; neither copy can be used", complaints.join("; ")));
        }
        Ok((found, complaints))
    }
}

/// The whole content of a small file, which is synced before; `None` when there is none.
///
/// # Errors
/// What the disk said.
pub fn read_file(disk: &mut dyn Disk, path: &str, ids: &mut Ids) -> Result<Option<Bytes>, IoError> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(entry) = disk.list(folder)?.into_iter().find(|e| e.name == name && !e.is_dir) else { return Ok(None) };
    let file = ids.file();
    let len = (entry.len.min(CONTENT_BYTES_MAX + HEADER_BYTES as u64) as usize).next_multiple_of(disk.block_size());
    disk.run(Step::Open { file, path: String::from(path), mode: OpenMode::READ })?;
    let bytes = disk.run(Step::Sync { file }).and_then(|_| disk.run(Step::Read { file, offset: 0, len }));
    disk.run(Step::Close { file })?;
    bytes.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { magic: *b"TEST", version: 3, oldest: 3, name: "test" };

    #[test]
    fn a_copy_round_trips_and_every_flipped_bit_is_found() {
        let content = Bytes::from_static(&[7; 300]);
        let copy = Copy { version: 3, generation: 8, first_ordinal: 3, incarnation: 2, content };
        let bytes = KIND.encode(&copy, 4_096).freeze();
        assert_eq!(bytes.len(), 4_096);
        assert_eq!(KIND.decode(&bytes), Ok(Some(copy.clone())));
        let newer = Kind { version: 5, ..KIND };
        assert_eq!(newer.decode(&bytes), Ok(Some(copy)), "it reads what older programs wrote");
        for bit in 0..(HEADER_BYTES + 300) * 8 {
            let mut bad = bytes.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(KIND.decode(&Bytes::from(bad)).is_err(), "bit {bit}");
        }
        assert_eq!(KIND.decode(&Bytes::from_static(&[0; 4_096])), Ok(None));
        assert!(KIND.decode(&bytes.slice(..200)).is_err());
        let other = Kind { version: 4, oldest: 4, ..KIND };
        assert!(other.decode(&bytes).is_err_and(|e| e.contains("version is 3")));
    }
}
