//! Recovery: what the journal's files hold after a start, and whether anything that was acknowledged is missing.
//!
//! Owns opening and locking the files and the walk along the chain of commits, across files and incarnations. It only
//! reads. Invariants:
//! - A commit is delivered when it counts as the crate's README says, or, behind damage, when it is intact by itself and
//!   nothing between it and the chain can have been unacknowledged.
//! - A hole is the torn end only if no mark on any block of any file says that it was durable; otherwise it is named.
//! - Damage never ends the walk: the caller learns of all of it and decides.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;

use super::Geometry;
use super::format::{COMMIT_MAGIC, CommitHeader, EntryHeader, FileHeader, FormatError};
use super::reader::{EntryAt, FileReader, commit_len, entries};
use crate::ids::Ids;
use crate::io::{Disk, EWOULDBLOCK, FileId, IoError, OpenMode, Step};

/// Why a journal cannot be opened, read or started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another process holds the lock, or a killed one whose last write is still under way: try again for some time.
    Locked {
        /// The file.
        path: String,
    },
    /// A step failed.
    Io {
        /// What was going on.
        doing: &'static str,
        /// The operating system's error.
        error: IoError,
    },
    /// The file is intact, but it is not this journal's or not of this version.
    Foreign {
        /// The file.
        path: String,
        /// What does not fit, with the cure.
        words: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path } => write!(f, "{path} is in use by another process"),
            Self::Io { doing, error } => write!(f, "{doing} failed: {} (errno {})", error.what, error.errno),
            Self::Foreign { path, words } => write!(f, "{path}: {words}"),
        }
    }
}

impl core::error::Error for OpenError {}

impl OpenError {
    pub(super) fn io(doing: &'static str) -> impl Fn(IoError) -> Self {
        move |error| Self::Io { doing, error }
    }
}

/// Acknowledged data that the journal no longer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, relative to the data directory.
    pub path: String,
    /// The damaged bytes of the file.
    pub bytes: Range<u64>,
    /// The commits that are not all there. Empty when only a file's header is damaged, or, if not `complete`, when
    /// nobody knows what a file held.
    pub sequences: Range<u64>,
    /// The entries that are lost, as far as their headers are intact.
    pub lost: Vec<EntryHeader>,
    /// `lost` is all that is lost: whoever finds it in the segments has lost nothing.
    pub complete: bool,
    /// What is wrong.
    pub words: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, bytes {} to {}: {}", self.path, self.bytes.start, self.bytes.end, self.words)?;
        if !self.sequences.is_empty() {
            write!(f, "; commits {} to {} are affected", self.sequences.start, self.sequences.end - 1)?;
        }
        Ok(())
    }
}

/// An entry that the journal holds.
#[derive(Debug)]
pub struct Found<'a> {
    /// Its header.
    pub header: &'a EntryHeader,
    /// Its payload: a slice of the memory that was read, and keeps that memory alive.
    pub payload: Bytes,
    /// The ordinal of its file.
    pub ordinal: u64,
    /// The metadata offset that the shard had applied when its commit was built.
    pub metadata_offset: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OpenFile {
    pub(super) file: FileId,
    pub(super) len: u64,
}

/// The files of a journal, open and locked.
#[derive(Debug)]
pub struct Files {
    geometry: Geometry,
    /// By slot.
    files: Vec<Option<OpenFile>>,
    /// How many there must be.
    known: u32,
}

/// What a file is used for, by its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) slot: u32,
    pub(super) header: FileHeader,
}

/// What the scan found; the journal starts from it.
#[derive(Debug)]
pub struct Recovered {
    pub(super) geometry: Geometry,
    pub(super) files: Vec<Option<OpenFile>>,
    pub(super) uses: BTreeMap<u64, Use>,
    /// The files with commits that counted, by ordinal: slot and bytes.
    pub(super) counted: BTreeMap<u64, (u32, u64)>,
    pub(super) first_needed: u64,
    pub(super) end_crc: u32,
    pub(super) end_ordinal: u64,
    pub(super) next_ordinal: u64,
    pub(super) marked: u64,
    /// How many files there must be, by the superblock and the file headers.
    slots_known: u32,
    /// The same, by the commits.
    slots_stated: u32,
    /// The sequence of the last commit that counts; 0 when there is none.
    pub end: u64,
    /// The metadata offset in the last commit that counts. It never falls, but behind a loss that was accepted.
    pub metadata_offset: u64,
    /// The incarnation of that commit.
    pub end_incarnation: u64,
    /// The highest incarnation that any file names.
    pub incarnation: u64,
    /// The newest generation of the checkpoint or snapshot that was durable when a file was begun; 0 when none says so.
    /// Files that only an older one needs may have been used again since.
    pub copy_generation: u32,
    /// Everything that is damaged, in the order in which it was found. Refuse to start unless it is empty, or all of it
    /// is complete and in the segments, or the operator accepts the loss.
    pub damage: Vec<Damage>,
}

impl Files {
    /// Opens and locks every file of the journal. Creates nothing but the folder.
    ///
    /// Read the checkpoint only after this: until then another process may still be writing.
    pub fn open(disk: &mut dyn Disk, geometry: Geometry, ids: &mut Ids) -> Result<Self, OpenError> {
        if let Err(words) = geometry.check() {
            return Err(OpenError::Foreign { path: geometry.dir, words });
        }
        let doing = OpenError::io("opening the journal");
        disk.run(Step::CreateDir { path: geometry.dir.clone() }).map_err(&doing)?;
        let parent = geometry.dir.rsplit_once('/').map_or("", |(parent, _)| parent);
        disk.run(Step::SyncDir { path: parent.to_string() }).map_err(&doing)?;

        let mut found = BTreeMap::new();
        for entry in disk.list(&geometry.dir).map_err(&doing)? {
            if let Some(slot) = slot_of(&entry.name) {
                found.insert(slot, entry.len);
            }
        }
        let slots = found.last_key_value().map_or(0, |(&slot, _)| slot as usize + 1);
        let mut this = Self { geometry, files: (0..slots).map(|_| None).collect(), known: 0 };
        for (slot, len) in found {
            let (file, path) = (ids.file(), this.geometry.path(slot));
            if let Err(error) = disk.run(Step::Open { file, path: path.clone(), mode: OpenMode::JOURNAL }) {
                this.close(disk);
                return Err(match error.errno {
                    EWOULDBLOCK => OpenError::Locked { path },
                    _ => doing(error),
                });
            }
            this.files[slot as usize] = Some(OpenFile { file, len });
        }
        Ok(this)
    }

    /// There are so many files by what the superblock says: a file below it that is not there was removed.
    pub fn expect(&mut self, known: u32) {
        self.known = known;
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.files.iter().flatten().count()
    }

    /// Closes the files, which gives the lock back.
    pub fn close(self, disk: &mut dyn Disk) {
        for open in self.files.into_iter().flatten() {
            // There is nothing to be done about an error of close, and nothing was written.
            let _ = disk.run(Step::Close { file: open.file });
        }
    }

    /// Walks the journal and delivers, in order, every entry from the file with the ordinal `first_needed` on (1 when
    /// no checkpoint says otherwise).
    pub fn scan(
        self,
        disk: &mut dyn Disk,
        first_needed: u64,
        deliver: &mut dyn FnMut(Found<'_>),
    ) -> Result<Recovered, OpenError> {
        assert!(first_needed > 0, "ordinals begin at 1");
        let doing = OpenError::io("reading the journal");
        let mut uses = BTreeMap::new();
        let mut readers = Vec::new();
        for (slot, open) in (0u32..).zip(&self.files) {
            let reader = open.map(|open| FileReader::new(open.file, self.geometry.block, open.len));
            readers.push(reader);
            let Some(reader) = readers.last_mut().and_then(Option::as_mut) else { continue };
            let bytes = reader.read(disk, 0, self.geometry.block, false).map_err(&doing)?;
            if let Some(header) = self.geometry.file_header(slot, &bytes)? {
                uses.insert(header.ordinal, Use { slot, header });
            }
        }
        let walk = Walk {
            disk,
            deliver,
            readers,
            walked: BTreeMap::new(),
            survey: None,
            recovered: Recovered {
                geometry: self.geometry,
                files: self.files,
                uses,
                counted: BTreeMap::new(),
                first_needed,
                end_crc: 0,
                end_ordinal: 0,
                end_incarnation: 0,
                next_ordinal: first_needed,
                marked: 0,
                end: 0,
                metadata_offset: 0,
                incarnation: 0,
                copy_generation: 0,
                slots_known: self.known,
                slots_stated: 0,
                damage: Vec::new(),
            },
        };
        walk.run()
    }
}

/// The slot in a journal file's name.
fn slot_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("journal-")?;
    let canonical = digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|&slot| canonical && slot < 10_000)
}

impl Geometry {
    /// The header of a file's use, `None` when there is none that is intact and in its place.
    fn file_header(&self, slot: u32, bytes: &[u8]) -> Result<Option<FileHeader>, OpenError> {
        let foreign = |words| OpenError::Foreign { path: self.path(slot), words };
        let header = match FileHeader::decode(bytes) {
            Ok(header) => header,
            Err(error @ FormatError::Version { .. }) => {
                return Err(foreign(format!("{error}: use the program that wrote it, or a later one")));
            }
            Err(_) => return Ok(None),
        };
        if header.directory != self.directory || header.kind != self.kind || header.shard != self.shard {
            return Err(foreign(String::from(
                "it belongs to another data directory, shard or log: remove it from here",
            )));
        }
        if header.block as usize != self.block || header.file_len != self.file_len {
            return Err(foreign(format!(
                "it has {} bytes in blocks of {}, the superblock says {} in blocks of {}",
                header.file_len, header.block, self.file_len, self.block
            )));
        }
        Ok((header.slot == slot).then_some(header))
    }
}

/// Where the walk expects the next commit, and what it expects of it.
#[derive(Clone, Copy, Debug)]
struct At {
    /// `None` before the first file.
    slot: Option<u32>,
    ordinal: u64,
    incarnation: u64,
    offset: u64,
    sequence: u64,
    predecessor: u32,
}

/// A commit whose header fits the place, with its bytes and entries.
struct Commit {
    header: CommitHeader,
    crc: u32,
    len: u64,
    bytes: Bytes,
    entries: Vec<EntryAt>,
}

impl Commit {
    fn is_intact(&self) -> bool {
        self.entries.iter().all(|entry| entry.intact)
    }
}

/// A commit header anywhere in the ring.
#[derive(Clone, Copy, Debug)]
struct Seen {
    slot: u32,
    offset: u64,
    header: CommitHeader,
}

/// What is known to have been durable.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Everything up to this sequence.
    sequence: u64,
    /// The incarnation that says so, which goes on behind it.
    successor: Option<u64>,
}

struct Walk<'a> {
    disk: &'a mut dyn Disk,
    deliver: &'a mut dyn FnMut(Found<'_>),
    readers: Vec<Option<FileReader>>,
    /// By slot: behind the last commit that counted.
    walked: BTreeMap<u32, u64>,
    survey: Option<Vec<Seen>>,
    recovered: Recovered,
}

impl Walk<'_> {
    fn run(mut self) -> Result<Recovered, OpenError> {
        let headers = self.recovered.uses.values().map(|used| used.header.slots).max().unwrap_or(0);
        let slots = headers.max(self.recovered.slots_known);
        self.check_files(0, slots);
        self.recovered.slots_known = slots;
        let mut at = self.first()?;
        loop {
            let words = match self.commit_at(&at)? {
                Ok(commit) if commit.is_intact() => {
                    at = self.count(&at, &commit);
                    continue;
                }
                Ok(commit) => {
                    if at.sequence <= self.mark(&at)?.sequence {
                        self.name_bad_payloads(&at, &commit);
                        at = self.count(&at, &commit);
                        continue;
                    }
                    String::from("the payload of an entry does not match its checksum")
                }
                Err(words) => words,
            };
            match self.next_file(&at) {
                Some(next) => at = next,
                None => match self.hole(&mut at, words)? {
                    Some(next) => at = next,
                    None => return self.finish(&at),
                },
            }
        }
    }

    /// Names files from `first` on that are missing or cut off, whatever they held, and there are to be `slots`.
    fn check_files(&mut self, first: u32, slots: u32) {
        let recovered = &mut self.recovered;
        let geometry = &recovered.geometry;
        for slot in first..slots.max(recovered.files.len() as u32) {
            let used = recovered.uses.values().find(|used| used.slot == slot).map(|used| used.header.ordinal);
            let needed = used.is_some_and(|ordinal| ordinal >= recovered.first_needed);
            let free = used.is_some_and(|ordinal| ordinal < recovered.first_needed);
            let len = recovered.files.get(slot as usize).copied().flatten().map(|open| open.len);
            let whole = len.is_some_and(|len| len >= geometry.file_len);
            // A file that no header counts may be one whose preparation was cut.
            if whole || free || !(needed || slot < slots) {
                continue;
            }
            let words = match len {
                None => String::from("the file is missing; put it back if it was moved"),
                Some(len) => format!("the file is cut off at {len} bytes"),
            };
            let (path, bytes) = (geometry.path(slot), len.unwrap_or(0)..geometry.file_len);
            let (lost, sequences) = (Vec::new(), 0..0);
            recovered.damage.push(Damage { path, bytes, sequences, lost, complete: false, words });
        }
    }

    /// Where the chain begins: at the first file that is needed; if that was never begun, at the next one, when that
    /// needed none before it, or else at the newest one below. Without any of these there may be one that lost its header.
    fn first(&mut self) -> Result<At, OpenError> {
        let recovered = &self.recovered;
        let needed = recovered.first_needed;
        if let Some((&ordinal, used)) = recovered.uses.range(needed..).next()
            && (ordinal == needed || used.header.first_needed == ordinal)
        {
            return Ok(used.start());
        }
        if let Some((_, used)) = recovered.uses.range(..=needed).next_back() {
            return Ok(used.start());
        }
        let block = recovered.geometry.block as u64;
        let heads = |seen: &&Seen| seen.header.ordinal == needed && seen.offset == block;
        if let Some(seen) = self.surveyed()?.iter().filter(heads).max_by_key(|seen| seen.header.incarnation) {
            // Whether it counts is for the marks to say.
            let CommitHeader { ordinal, incarnation, sequence, predecessor, .. } = seen.header;
            return Ok(At { slot: None, ordinal, incarnation, offset: 0, sequence, predecessor });
        }
        let recovered = &mut self.recovered;
        // Without any header the marks of the commits decide.
        if needed > 1 && (!recovered.uses.is_empty() || recovered.files.is_empty()) {
            recovered.damage.push(Damage {
                path: recovered.geometry.dir.clone(),
                bytes: 0..0,
                sequences: 0..0,
                lost: Vec::new(),
                complete: false,
                words: format!("neither the file of ordinal {needed} nor the one before it is there"),
            });
            if let Some((_, used)) = recovered.uses.first_key_value() {
                return Ok(used.start());
            }
        }
        let incarnation = recovered.uses.values().map(|used| used.header.incarnation).min().unwrap_or(0);
        Ok(At { slot: None, ordinal: 0, incarnation, offset: 0, sequence: 1, predecessor: 0 })
    }

    /// The commit at a place, or why there is none that continues the chain, in words.
    fn commit_at(&mut self, at: &At) -> Result<Result<Commit, String>, OpenError> {
        let Some(slot) = at.slot else { return Ok(Err(String::from("the first file is missing"))) };
        self.read_commit(slot, at.offset, |header| {
            if header.ordinal != at.ordinal || header.incarnation != at.incarnation {
                return Err(format!("a commit of ordinal {} stands there, from an earlier use", header.ordinal));
            }
            if header.sequence != at.sequence {
                return Err(format!("commit {} stands there instead of {}", header.sequence, at.sequence));
            }
            if header.predecessor != at.predecessor {
                return Err(format!("commit {} does not follow the one before it", header.sequence));
            }
            Ok(())
        })
    }

    /// The commit at `offset` if its header passes `check` and its entry headers are right.
    fn read_commit(
        &mut self,
        slot: u32,
        offset: u64,
        check: impl FnOnce(&CommitHeader) -> Result<(), String>,
    ) -> Result<Result<Commit, String>, OpenError> {
        let doing = OpenError::io("reading the journal");
        let Recovered { geometry, .. } = &self.recovered;
        let Some(reader) = self.readers[slot as usize].as_mut() else {
            return Ok(Err(String::from("the file is missing")));
        };
        if offset >= geometry.file_len {
            return Ok(Err(String::from("the file ends; the one that follows it is missing or has no intact header")));
        }
        let block = reader.read(self.disk, offset, geometry.block, true).map_err(&doing)?;
        let (header, crc) = match CommitHeader::decode(&block) {
            Ok(decoded) => decoded,
            Err(error @ FormatError::Version { .. }) => {
                let words = format!("at byte {offset}: {error}: use the program that wrote it, or a later one");
                return Err(OpenError::Foreign { path: geometry.path(slot), words });
            }
            Err(_) if reader.unreadable.contains(&offset) => {
                return Ok(Err(String::from("the device cannot read this block")));
            }
            Err(error) => return Ok(Err(format!("there is no commit: {error}"))),
        };
        if header.directory != geometry.directory {
            return Ok(Err(String::from("a commit of another data directory stands there")));
        }
        if let Err(words) = check(&header) {
            return Ok(Err(words));
        }
        let len = commit_len(&header, geometry.block).filter(|&len| len <= geometry.file_len - offset);
        let Some(len) = len else { return Ok(Err(String::from("the commit is longer than its file"))) };
        let bytes = reader.read(self.disk, offset, len as usize, true).map_err(&doing)?;
        Ok(entries(&header, &bytes).map(|entries| Commit { header, crc, len, bytes, entries }))
    }

    /// Takes a commit for data and delivers its intact entries; returns where the next one is expected.
    fn count(&mut self, at: &At, commit: &Commit) -> At {
        if at.ordinal >= self.recovered.first_needed {
            for entry in commit.entries.iter().filter(|entry| entry.intact) {
                (self.deliver)(Found {
                    header: &entry.header,
                    payload: entry.payload(&commit.bytes),
                    ordinal: at.ordinal,
                    metadata_offset: commit.header.metadata_offset,
                });
            }
        }
        let slot = at.slot.expect("a commit was read from a file");
        self.walked.insert(slot, at.offset + commit.len);
        let recovered = &mut self.recovered;
        recovered.end_ordinal = at.ordinal;
        recovered.marked = recovered.marked.max(commit.header.durable_sequence);
        recovered.metadata_offset = commit.header.metadata_offset;
        recovered.end_incarnation = at.incarnation;
        recovered.hear(at.offset, &commit.header);
        recovered.counted.entry(at.ordinal).or_insert((slot, 0)).1 += commit.len;
        At { offset: at.offset + commit.len, sequence: at.sequence + 1, predecessor: commit.crc, ..*at }
    }

    /// The file that goes on exactly where the chain stands: the next of this incarnation or the first of a later one.
    fn next_file(&self, at: &At) -> Option<At> {
        let later = self.recovered.uses.range(at.ordinal + 1..).map(|(_, used)| used.start());
        later.into_iter().find(|next| {
            next.sequence == at.sequence && next.predecessor == at.predecessor && next.incarnation >= at.incarnation
        })
    }

    /// The highest sequence that was durable in the incarnation of `at`. When a later incarnation is known, it says where
    /// that one ended; otherwise every block of the ring is asked.
    fn mark(&mut self, at: &At) -> Result<Mark, OpenError> {
        let uses = &self.recovered.uses;
        let later = uses.range(at.ordinal + 1..).map(|(_, used)| used.header);
        let later = later.filter(|header| header.incarnation > at.incarnation);
        if let Some(header) = later.min_by_key(|header| (header.previous_end, header.incarnation)) {
            return Ok(Mark { sequence: header.previous_end, successor: Some(header.incarnation) });
        }
        let of_files = uses.values().map(|used| (used.header.incarnation, used.header.durable_sequence));
        let mut marks: Vec<(u64, u64)> = of_files.collect();
        marks.extend(self.surveyed()?.iter().map(|seen| (seen.header.incarnation, seen.header.durable_sequence)));
        let marks = marks.into_iter().filter(|&(incarnation, _)| incarnation >= at.incarnation);
        Ok(Mark { sequence: marks.map(|(_, mark)| mark).max().unwrap_or(0), successor: None })
    }

    /// Every commit header in the ring, behind what was walked already, that belongs to its file's last use or to one
    /// whose file header is gone.
    fn surveyed(&mut self) -> Result<&[Seen], OpenError> {
        if self.survey.is_none() {
            let mut found = Vec::new();
            let geometry = &self.recovered.geometry;
            for (slot, reader) in (0u32..).zip(&mut self.readers) {
                let Some(reader) = reader else { continue };
                let used = self.recovered.uses.values().find(|used| used.slot == slot);
                let newest = used.map_or(0, |used| used.header.ordinal);
                let end = reader.len().min(geometry.file_len);
                let begin = self.walked.get(&slot).copied().unwrap_or(geometry.block as u64);
                for offset in (begin..end).step_by(geometry.block) {
                    let block = reader.read(self.disk, offset, geometry.block, true);
                    let block = block.map_err(OpenError::io("reading the journal"))?;
                    if !block.starts_with(&COMMIT_MAGIC) {
                        continue;
                    }
                    if let Ok((header, _)) = CommitHeader::decode(&block)
                        && header.directory == geometry.directory
                        && header.ordinal >= newest
                    {
                        found.push(Seen { slot, offset, header });
                    }
                }
            }
            found.iter().for_each(|seen| self.recovered.hear(seen.offset, &seen.header));
            self.survey = Some(found);
        }
        Ok(self.survey.as_deref().expect("it was just made"))
    }

    /// Nothing continues the chain at `at`. `None` when this is the torn end, otherwise where to go on behind the
    /// damage, if there is such a place.
    fn hole(&mut self, at: &mut At, words: String) -> Result<Option<At>, OpenError> {
        let mark = loop {
            let mark = self.mark(at)?;
            match mark.successor {
                // This incarnation is complete: what is missing is the beginning of the next.
                Some(successor) if at.sequence == mark.sequence + 1 => at.incarnation = successor,
                None if at.sequence > mark.sequence => return Ok(None),
                _ => break mark,
            }
        };
        let next = self.behind(at, mark)?;
        let geometry = &self.recovered.geometry;
        // What stands below the first file that is needed is in the segments, if the walk stays below it.
        let needed = self.recovered.first_needed;
        let below = next.is_some_and(|next| (next.ordinal, next.offset) <= (needed, geometry.block as u64));
        let beheaded = next.is_some_and(|next| !self.recovered.uses.contains_key(&next.ordinal));
        let end = match next {
            // The walk began below, where files may have been used again: all that is wrong is the header.
            Some(_) if below && beheaded => at.sequence,
            next => next.map_or(mark.sequence + 1, |next| next.sequence).max(at.sequence),
        };
        let whole = end == at.sequence;
        let here = at.slot.filter(|_| at.offset < geometry.file_len && !whole);
        let (path, bytes) = match (here, next) {
            (Some(slot), Some(next)) if next.slot == at.slot => (geometry.path(slot), at.offset..next.offset),
            (Some(slot), _) => (geometry.path(slot), at.offset..geometry.file_len),
            (None, Some(At { slot: Some(slot), offset, .. })) => (geometry.path(slot), 0..offset),
            (None, _) => (geometry.dir.clone(), 0..0),
        };
        let complete = next.is_some_and(|_| whole || below);
        let words = if whole { String::from("the file's header is not intact") } else { words };
        self.recovered.damage.push(Damage {
            path,
            bytes,
            sequences: at.sequence..end,
            lost: Vec::new(),
            complete,
            words,
        });
        Ok(next)
    }

    /// The first place behind a hole from which the chain can go on: everything before it was durable once.
    fn behind(&mut self, at: &At, mark: Mark) -> Result<Option<At>, OpenError> {
        let wanted = at.sequence..=mark.sequence + 1;
        let behind = |seen: &&Seen| {
            let header = &seen.header;
            // What this incarnation wrote behind its end is dead as soon as there is a later one.
            let dead =
                mark.successor.is_some() && header.incarnation == at.incarnation && header.sequence > mark.sequence;
            (header.ordinal, seen.offset) > (at.ordinal, at.offset)
                && header.incarnation >= at.incarnation
                && wanted.contains(&header.sequence)
                && !dead
        };
        let mut seen: Vec<Seen> = self.surveyed()?.iter().filter(behind).copied().collect();
        seen.sort_by_key(|seen| (seen.header.sequence, Reverse((seen.header.incarnation, seen.header.ordinal))));
        let files = self.recovered.uses.range(at.ordinal + 1..).map(|(_, used)| used.start());
        let files: Vec<At> = files.filter(|next| next.incarnation >= at.incarnation).collect();
        let by_file = files.iter().filter(|next| wanted.contains(&next.sequence)).min_by_key(|next| next.sequence);
        let by_file = by_file.or_else(|| files.iter().find(|next| next.incarnation > at.incarnation)).copied();

        for Seen { slot, offset, header } in seen {
            if by_file.is_some_and(|file| file.sequence < header.sequence) {
                break;
            }
            let same = |other: &CommitHeader| if *other == header { Ok(()) } else { Err(String::new()) };
            if self.read_commit(slot, offset, same)?.is_ok_and(|commit| commit.is_intact()) {
                let CommitHeader { ordinal, incarnation, sequence, predecessor, .. } = header;
                return Ok(Some(At { slot: Some(slot), ordinal, incarnation, offset, sequence, predecessor }));
            }
        }
        Ok(by_file)
    }

    /// A durable commit has right headers and wrong payloads: exactly what is lost can be said.
    fn name_bad_payloads(&mut self, at: &At, commit: &Commit) {
        let slot = at.slot.expect("a commit was read from a file");
        let lost: Vec<EntryHeader> =
            commit.entries.iter().filter(|entry| !entry.intact).map(|entry| entry.header).collect();
        self.recovered.damage.push(Damage {
            path: self.recovered.geometry.path(slot),
            bytes: at.offset..at.offset + commit.len,
            sequences: at.sequence..at.sequence + 1,
            words: format!("the payloads of {} entries do not match their checksums", lost.len()),
            lost,
            complete: true,
        });
    }

    fn finish(mut self, at: &At) -> Result<Recovered, OpenError> {
        // The commits may know of files that no file header counts: those that were prepared last.
        let (known, stated) = (self.recovered.slots_known, self.recovered.slots_stated);
        if stated > known {
            self.check_files(known, stated);
        }
        let mut recovered = self.recovered;
        recovered.end = at.sequence - 1;
        recovered.end_crc = at.predecessor;
        for header in recovered.uses.values().map(|used| used.header) {
            recovered.next_ordinal = recovered.next_ordinal.max(header.ordinal + 1);
            recovered.incarnation = recovered.incarnation.max(header.incarnation);
        }
        recovered.incarnation = recovered.incarnation.max(at.incarnation);
        recovered.next_ordinal = recovered.next_ordinal.max(recovered.end_ordinal + 1);
        Ok(recovered)
    }
}

impl Recovered {
    /// Whether the file of this ordinal still holds what it held, as its header says.
    pub fn holds(&self, ordinal: u64) -> bool {
        self.uses.contains_key(&ordinal)
    }

    /// How many files there must be, by all that says so.
    pub(super) fn files_known(&self) -> u32 {
        self.slots_known.max(self.slots_stated)
    }

    /// Takes in what a commit says of what is around the journal.
    fn hear(&mut self, offset: u64, header: &CommitHeader) {
        if offset == self.geometry.block as u64 {
            self.copy_generation = self.copy_generation.max(header.copy_generation);
        }
        self.slots_stated = self.slots_stated.max(header.slots);
    }
}

impl Use {
    fn start(&self) -> At {
        At {
            slot: Some(self.slot),
            ordinal: self.header.ordinal,
            incarnation: self.header.incarnation,
            offset: u64::from(self.header.block),
            sequence: self.header.first_sequence,
            predecessor: self.header.predecessor,
        }
    }
}
