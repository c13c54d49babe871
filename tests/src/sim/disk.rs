//! The disk that lies: an in-memory [`Disk`] that loses, tears and reorders everything that was not synced.
//!
//! Owns open files, locks, chains in flight, injected errors, and the moment of the power cut. What may happen to bytes
//! and names is in `content` and `namespace`. Invariants:
//! - What a step promises when it completes, and nothing more, survives [`FaultDisk::restart`].
//! - A step that was begun and has not completed may leave any part of itself behind.
//! - Misuse by the shard (an unaligned direct write, an unknown file, a file id used twice) is a panic: it is our bug,
//!   whatever a real disk would make of it.
//!
//! Steps run at once through [`Disk`], or as chains: [`FaultDisk::submit`] begins the first step, each call of
//! [`FaultDisk::advance`] completes the step of a chain drawn at random and begins the next. The completion of a step is
//! a *boundary*; [`FaultDisk::cut_at`] cuts the power just before one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use corelog_shard::io::{DirEntry, Disk, ENOENT, EWOULDBLOCK, FileId, FileRange, IoError, OpId, OpenMode, Step};

use super::content::File;
use super::namespace::{Names, Namespace, Node, parent};
use super::random::Random;

/// The error of every step after the power went: `ESHUTDOWN`.
pub const POWER_IS_OFF: i32 = 108;

/// The kinds of steps that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// [`Step::Open`]
    Open,
    /// [`Step::Close`]
    Close,
    /// [`Step::Write`]
    Write,
    /// [`Step::Read`]
    Read,
    /// [`Step::Sync`]
    Sync,
    /// [`Step::SyncDir`]
    SyncDir,
    /// [`Step::Allocate`]
    Allocate,
    /// [`Step::SetLen`]
    SetLen,
    /// [`Step::CreateDir`]
    CreateDir,
    /// [`Step::Rename`]
    Rename,
    /// [`Step::RemoveFile`] and [`Step::RemoveDir`]
    Remove,
}

/// An error to be injected.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The kind of step that fails.
    pub on: StepKind,
    /// Only steps on paths that contain this.
    pub path: String,
    /// How many such steps succeed before.
    pub skip: u32,
    /// How many fail then.
    pub times: u32,
    /// With which error.
    pub errno: i32,
}

/// What [`FaultDisk::advance`] did.
#[derive(Debug)]
pub enum Advance {
    /// Nothing is in flight.
    Idle,
    /// A step completed; its chain goes on.
    Stepped,
    /// A chain ended.
    Done(OpId, Result<Vec<Bytes>, IoError>),
    /// The power is off.
    PowerOff,
}

#[derive(Clone, Debug)]
struct Opened {
    inode: usize,
    path: String,
    mode: OpenMode,
}

#[derive(Clone, Debug)]
struct Chain {
    op: OpId,
    steps: VecDeque<Step>,
    done: usize,
    began: u64,
    read: Vec<Bytes>,
}

/// The disk.
#[derive(Clone, Debug)]
pub struct FaultDisk {
    block: usize,
    random: Random,
    files: Vec<File>,
    names: Namespace,
    open: BTreeMap<FileId, Opened>,
    used_ids: BTreeSet<FileId>,
    locks: BTreeSet<usize>,
    chains: Vec<Chain>,
    /// Steps run through [`Disk`] that the power cut interrupted.
    interrupted: Vec<Step>,
    faults: Vec<Fault>,
    /// Counts steps; a sync covers what was complete when it began.
    clock: u64,
    boundaries: u64,
    cut_at: Option<u64>,
    is_off: bool,
}

impl FaultDisk {
    /// An empty disk with blocks of `block` bytes.
    pub fn new(block: usize, seed: u64) -> Self {
        assert!(block.is_power_of_two() && block >= 512, "a disk has no blocks of {block} bytes");
        Self {
            block,
            random: Random::new(seed),
            files: Vec::new(),
            names: Namespace::default(),
            open: BTreeMap::new(),
            used_ids: BTreeSet::new(),
            locks: BTreeSet::new(),
            chains: Vec::new(),
            interrupted: Vec::new(),
            faults: Vec::new(),
            clock: 0,
            boundaries: 0,
            cut_at: None,
            is_off: false,
        }
    }

    /// Cuts the power just before the step that would be the `boundary`th to complete, counted from 0.
    pub fn cut_at(&mut self, boundary: u64) {
        self.cut_at = Some(boundary);
    }

    /// How many steps have completed.
    pub fn boundaries(&self) -> u64 {
        self.boundaries
    }

    /// Whether the power was cut.
    pub fn is_off(&self) -> bool {
        self.is_off
    }

    /// How many chains are in flight.
    pub fn in_flight(&self) -> usize {
        self.chains.len()
    }

    /// The kinds of the steps in flight: what a power cut now interrupts.
    pub fn kinds_in_flight(&self) -> Vec<StepKind> {
        self.chains.iter().filter_map(|chain| chain.steps.front()).map(kind).collect()
    }

    /// Makes steps fail from now on.
    pub fn inject(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Takes the chain of an [`corelog_shard::io::Action::Io`] and begins its first step.
    pub fn submit(&mut self, op: OpId, steps: Vec<Step>) {
        assert!(!steps.is_empty(), "a chain is never empty");
        assert!(self.chains.iter().all(|chain| chain.op != op), "{op:?} is in flight already");
        self.chains.push(Chain { op, steps: steps.into(), done: 0, began: self.clock, read: Vec::new() });
    }

    /// Completes the current step of a chain drawn at random.
    pub fn advance(&mut self) -> Advance {
        if self.chains.is_empty() {
            return Advance::Idle;
        }
        if self.power_fails() {
            return Advance::PowerOff;
        }
        let index = self.random.below(self.chains.len());
        let (began, step) = {
            let chain = &mut self.chains[index];
            (chain.began, chain.steps.pop_front().expect("a chain in flight has a step"))
        };
        let reads = matches!(step, Step::Read { .. });
        let outcome = self.complete(step, began);
        let now = self.clock;
        let chain = &mut self.chains[index];
        match outcome {
            Ok(bytes) if reads => chain.read.push(bytes),
            Ok(_) => {}
            Err(mut error) => {
                error.step = chain.done;
                let chain = self.chains.swap_remove(index);
                return Advance::Done(chain.op, Err(error));
            }
        }
        chain.done += 1;
        chain.began = now;
        if chain.steps.is_empty() {
            let chain = self.chains.swap_remove(index);
            return Advance::Done(chain.op, Ok(chain.read));
        }
        Advance::Stepped
    }

    /// The disk after a power cut now, with what the platter has; `seed` draws what becomes of the rest.
    pub fn restart(&self, seed: u64) -> Self {
        let mut disk = self.clone();
        disk.random = Random::new(seed);
        disk.faults.clear();
        let current = self.chains.iter().filter_map(|chain| chain.steps.front());
        for step in current.chain(&self.interrupted) {
            // Whatever part of it may have happened, nothing of it was promised.
            let step = match step.clone() {
                Step::Write { file, offset, data, .. } => Step::Write { file, offset, data, durable: false },
                Step::Sync { .. } | Step::SyncDir { .. } => continue,
                step => step,
            };
            let now = disk.clock;
            let _ = disk.perform(step, now);
        }
        for file in &mut disk.files {
            file.power_cut(&mut disk.random);
        }
        disk.names.power_cut(&mut disk.random);
        disk.forget_process();
        disk
    }

    /// The disk after the process was killed now: what completed stays, what is in flight completes or does not, and
    /// nothing becomes durable that was not.
    pub fn kill(&self, seed: u64) -> Self {
        let mut disk = self.clone();
        disk.random = Random::new(seed);
        disk.faults.clear();
        for chain in &self.chains {
            if disk.random.chance(50)
                && let Some(step) = chain.steps.front()
            {
                let _ = disk.perform(step.clone(), chain.began);
            }
        }
        disk.forget_process();
        disk
    }

    fn forget_process(&mut self) {
        self.open.clear();
        self.used_ids.clear();
        self.locks.clear();
        self.chains.clear();
        self.interrupted.clear();
        self.boundaries = 0;
        self.cut_at = None;
        self.is_off = false;
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<String> {
        self.names.visible.iter().filter(|(_, node)| **node != Node::Dir).map(|(path, _)| path.clone()).collect()
    }

    /// A file's bytes as the process sees them.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let file = &self.files[self.inode(path)?];
        Some(file.read(0, file.len() as usize))
    }

    /// Sends a part of an open file and closes it, as a reply that names it does; `None` where the file is shorter.
    pub fn send(&mut self, range: FileRange) -> Option<Vec<u8>> {
        let opened = self.open.remove(&range.file).unwrap_or_else(|| panic!("{:?} is not open", range.file));
        assert!(!opened.mode.direct && !opened.mode.write, "{} is not open for that", opened.path);
        let bytes = self.files[opened.inode].read(range.position, range.len);
        (bytes.len() == range.len).then_some(bytes)
    }

    /// Replaces a file, as an operator or rot would: on the platter at once.
    pub fn replace(&mut self, path: &str, bytes: &[u8]) {
        let file = File::holding(self.block, bytes);
        if let Some(inode) = self.inode(path) {
            self.files[inode] = file;
            return;
        }
        self.files.push(file);
        let mut names: Names = self.names.visible.clone();
        let mut dir = parent(path);
        while !dir.is_empty() {
            names.insert(dir.to_owned(), Node::Dir);
            dir = parent(dir);
        }
        names.insert(path.to_owned(), Node::File(self.files.len() - 1));
        self.names = Namespace::settled(names);
    }

    /// Changes bytes of a file on the platter.
    pub fn damage(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes(path).unwrap_or_else(|| panic!("there is no {path}"));
        change(&mut bytes);
        self.replace(path, &bytes);
    }

    /// Removes a file, as an operator would: from the platter at once.
    pub fn erase(&mut self, path: &str) {
        let mut names: Names = self.names.visible.clone();
        assert!(names.remove(path).is_some(), "there is no {path}");
        self.names = Namespace::settled(names);
    }

    /// Holds the lock of a file, as another process would.
    pub fn lock(&mut self, path: &str) {
        let inode = self.inode(path).unwrap_or_else(|| panic!("there is no {path}"));
        self.locks.insert(inode);
    }

    /// Gives the lock back.
    pub fn unlock(&mut self, path: &str) {
        let inode = self.inode(path).unwrap_or_else(|| panic!("there is no {path}"));
        self.locks.remove(&inode);
    }

    fn inode(&self, path: &str) -> Option<usize> {
        match self.names.visible.get(path) {
            Some(Node::File(inode)) => Some(*inode),
            _ => None,
        }
    }

    /// Whether the power is off, or goes off at this boundary.
    fn power_fails(&mut self) -> bool {
        self.is_off |= self.cut_at.is_some_and(|cut| self.boundaries >= cut);
        self.is_off
    }

    fn complete(&mut self, step: Step, began: u64) -> Result<Bytes, IoError> {
        self.boundaries += 1;
        self.clock += 1;
        if let Some(errno) = self.fault(&step) {
            let what = self.words(&step);
            // A write that fails may have done some of its work.
            if let Step::Write { file, offset, data, .. } = step {
                let mut at = offset;
                for piece in data {
                    for block in piece.chunks(self.block) {
                        if self.random.chance(50) {
                            let inode = self.opened(file).inode;
                            self.files[inode].write(self.clock, at, block, false);
                        }
                        at += block.len() as u64;
                    }
                }
            }
            return Err(IoError { step: 0, errno, what });
        }
        self.perform(step, began)
    }

    fn fault(&mut self, step: &Step) -> Option<i32> {
        let (kind, path) = (kind(step), self.path(step));
        let index = self.faults.iter().position(|fault| fault.on == kind && path.contains(&fault.path))?;
        let fault = &mut self.faults[index];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        let errno = fault.errno;
        if fault.times == 0 {
            self.faults.remove(index);
        }
        Some(errno)
    }

    fn perform(&mut self, step: Step, began: u64) -> Result<Bytes, IoError> {
        let words = self.words(&step);
        let error = |errno| Err(IoError { step: 0, errno, what: words });
        let now = self.clock;
        match step {
            Step::Open { file, path, mode } => {
                assert!(self.used_ids.insert(file), "{file:?} is used twice");
                if self.inode(&path).is_none() {
                    if !mode.create || !self.names.dir_exists(parent(&path)) {
                        return error(ENOENT);
                    }
                    self.files.push(File::new(self.block));
                    self.names.create(now, &path, Node::File(self.files.len() - 1));
                }
                let inode = self.inode(&path).expect("it is there by now");
                if mode.lock && !self.locks.insert(inode) {
                    return error(EWOULDBLOCK);
                }
                self.open.insert(file, Opened { inode, path, mode });
            }
            Step::Close { file } => {
                if let Some(opened) = self.open.remove(&file)
                    && opened.mode.lock
                {
                    self.locks.remove(&opened.inode);
                }
            }
            Step::Write { file, offset, data, durable } => {
                let opened = self.opened(file);
                assert!(opened.mode.write, "{} is open for reading only", opened.path);
                let mut at = offset;
                for piece in &data {
                    self.check_aligned(opened, at, piece.len());
                    let aligned = (piece.as_ptr() as usize).is_multiple_of(self.block);
                    assert!(!opened.mode.direct || aligned, "a direct write from memory that is not aligned");
                    at += piece.len() as u64;
                }
                let inode = opened.inode;
                self.files[inode].write(now, offset, &data.concat(), durable);
            }
            Step::Read { file, offset, len } => {
                let opened = self.opened(file);
                self.check_aligned(opened, offset, len);
                return Ok(Bytes::from(self.files[opened.inode].read(offset, len)));
            }
            Step::Sync { file } => {
                let inode = self.opened(file).inode;
                self.files[inode].sync(began);
            }
            Step::SyncDir { path } => {
                if !self.names.dir_exists(&path) {
                    return error(ENOENT);
                }
                self.names.sync(began, &path);
            }
            Step::Allocate { file, len } => {
                let inode = self.opened(file).inode;
                if self.files[inode].len() < len {
                    self.files[inode].set_len(now, len);
                }
            }
            Step::SetLen { file, len } => {
                let inode = self.opened(file).inode;
                self.files[inode].set_len(now, len);
            }
            Step::CreateDir { path } => {
                if !self.names.dir_exists(parent(&path)) {
                    return error(ENOENT);
                }
                if !self.names.dir_exists(&path) {
                    self.names.create(now, &path, Node::Dir);
                }
            }
            Step::Rename { from, to } => {
                if !self.names.visible.contains_key(&from) || !self.names.dir_exists(parent(&to)) {
                    return error(ENOENT);
                }
                self.names.rename(now, &from, &to);
            }
            Step::RemoveFile { path } => {
                if self.inode(&path).is_some() {
                    self.names.remove(now, &path);
                }
            }
            Step::RemoveDir { path } => {
                let inside: Vec<String> =
                    self.names.visible.keys().filter(|name| parent(name) == path).cloned().collect();
                for name in inside {
                    self.names.remove(now, &name);
                }
                if self.names.visible.contains_key(&path) {
                    self.names.remove(now, &path);
                }
            }
        }
        Ok(Bytes::new())
    }

    fn opened(&self, file: FileId) -> &Opened {
        self.open.get(&file).unwrap_or_else(|| panic!("{file:?} is not open"))
    }

    fn check_aligned(&self, opened: &Opened, offset: u64, len: usize) {
        let aligned = offset.is_multiple_of(self.block as u64) && len.is_multiple_of(self.block);
        assert!(!opened.mode.direct || aligned, "direct I/O on {} at {offset} with {len} bytes", opened.path);
    }

    fn path(&self, step: &Step) -> String {
        match step {
            Step::Open { path, .. }
            | Step::SyncDir { path }
            | Step::CreateDir { path }
            | Step::RemoveFile { path }
            | Step::RemoveDir { path }
            | Step::Rename { from: path, .. } => path.clone(),
            Step::Close { file }
            | Step::Write { file, .. }
            | Step::Read { file, .. }
            | Step::Sync { file }
            | Step::Allocate { file, .. }
            | Step::SetLen { file, .. } => {
                self.open.get(file).map_or_else(|| format!("{file:?}"), |opened| opened.path.clone())
            }
        }
    }

    fn words(&self, step: &Step) -> String {
        format!("{:?} of {}", kind(step), self.path(step))
    }
}

fn kind(step: &Step) -> StepKind {
    match step {
        Step::Open { .. } => StepKind::Open,
        Step::Close { .. } => StepKind::Close,
        Step::Write { .. } => StepKind::Write,
        Step::Read { .. } => StepKind::Read,
        Step::Sync { .. } => StepKind::Sync,
        Step::SyncDir { .. } => StepKind::SyncDir,
        Step::Allocate { .. } => StepKind::Allocate,
        Step::SetLen { .. } => StepKind::SetLen,
        Step::CreateDir { .. } => StepKind::CreateDir,
        Step::Rename { .. } => StepKind::Rename,
        Step::RemoveFile { .. } | Step::RemoveDir { .. } => StepKind::Remove,
    }
}

impl Disk for FaultDisk {
    fn run(&mut self, step: Step) -> Result<Bytes, IoError> {
        if self.power_fails() {
            let what = self.words(&step);
            if self.interrupted.is_empty() {
                self.interrupted.push(step);
            }
            return Err(IoError { step: 0, errno: POWER_IS_OFF, what });
        }
        let began = self.clock;
        self.complete(step, began)
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirEntry>, IoError> {
        if self.is_off {
            return Err(IoError { step: 0, errno: POWER_IS_OFF, what: format!("list of {path}") });
        }
        let inside = self.names.visible.iter().filter(|(name, _)| !name.is_empty() && parent(name) == path);
        let entry = |(name, node): (&String, &Node)| DirEntry {
            name: name.rsplit('/').next().unwrap_or(name).to_owned(),
            is_dir: *node == Node::Dir,
            len: match node {
                Node::Dir => 0,
                Node::File(inode) => self.files[*inode].len(),
            },
        };
        Ok(inside.map(entry).collect())
    }

    fn block_size(&self) -> usize {
        self.block
    }
}
