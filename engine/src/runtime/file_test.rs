//! The same steps on the ring, through plain system calls, and on a naive model: all must agree.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use corelog_shard::io::{Disk, EWOULDBLOCK, FileId, IoError, OpId, OpenMode, Step};
use corelog_wire::buffer::AlignedBuf;
use nix::errno::Errno;

use super::disk::DirectDisk;
use super::file::{DiskFiles, FileOps};
use super::ring::{Features, Ring, Token};

/// Runs one chain to its end.
trait Runs {
    fn chain(&mut self, steps: Vec<Step>) -> Outcome;
}

/// The bytes that were read, or the position of the step that failed and its errno.
type Outcome = Result<Vec<Bytes>, (usize, i32)>;

fn short(error: IoError) -> (usize, i32) {
    assert!(!error.what.is_empty());
    (error.step, error.errno)
}

impl Runs for DirectDisk {
    fn chain(&mut self, steps: Vec<Step>) -> Outcome {
        let mut reads = Vec::new();
        for (index, step) in steps.into_iter().enumerate() {
            let is_read = matches!(step, Step::Read { .. });
            let bytes = self.run(step).map_err(|error| short(IoError { step: index, ..error }))?;
            if is_read {
                reads.push(bytes);
            }
        }
        Ok(reads)
    }
}

struct OnRing {
    files: FileOps,
    ring: Ring,
    op: u64,
}

impl OnRing {
    fn new(path: &Path, features: Features) -> Self {
        let ring = Ring::new(features, 4).unwrap();
        let files = FileOps::new(DirectDisk::open(path).unwrap().into_files(), &ring);
        Self { files, ring, op: 0 }
    }

    /// Waits until every chain has ended.
    fn finish(&mut self) -> Vec<(OpId, Outcome)> {
        let mut completions = Vec::new();
        while self.files.in_flight() > 0 {
            self.ring.wait(&mut completions);
            for completion in completions.drain(..) {
                let Token::File(place) = completion.token else { panic!("{completion:?}") };
                self.files.completed(&mut self.ring, place, completion.outcome());
            }
        }
        std::iter::from_fn(|| self.files.take_finished())
            .map(|finished| (finished.op, finished.result.map_err(short)))
            .collect()
    }

    fn start(&mut self, steps: Vec<Step>) -> OpId {
        self.op += 1;
        self.files.start(&mut self.ring, OpId(self.op), steps);
        OpId(self.op)
    }
}

impl Runs for OnRing {
    fn chain(&mut self, steps: Vec<Step>) -> Outcome {
        let op = self.start(steps);
        let (ended, result) = self.finish().pop().unwrap();
        assert_eq!(ended, op);
        result
    }
}

/// Files as vectors, with Linux's meaning of names and open files.
#[derive(Default)]
struct Model {
    files: BTreeMap<String, usize>,
    directories: Vec<String>,
    contents: Vec<Vec<u8>>,
    open: BTreeMap<FileId, usize>,
}

impl Model {
    fn parent_exists(&self, path: &str) -> bool {
        path.rsplit_once('/').is_none_or(|(parent, _)| self.directories.iter().any(|directory| directory == parent))
    }

    fn content(&mut self, file: FileId) -> Result<&mut Vec<u8>, Errno> {
        let index = *self.open.get(&file).ok_or(Errno::EBADF)?;
        Ok(&mut self.contents[index])
    }

    fn step(&mut self, step: Step) -> Result<Option<Bytes>, Errno> {
        match step {
            Step::Open { file, path, mode } => {
                let index = match self.files.get(&path) {
                    Some(&index) => index,
                    None if !mode.create || !self.parent_exists(&path) => return Err(Errno::ENOENT),
                    None => {
                        self.contents.push(Vec::new());
                        self.files.insert(path, self.contents.len() - 1);
                        self.contents.len() - 1
                    }
                };
                self.open.insert(file, index);
            }
            Step::Close { file } => drop(self.open.remove(&file)),
            Step::Write { file, offset, data, .. } => {
                let data = data.concat();
                if !data.is_empty() {
                    let content = self.content(file)?;
                    let end = offset as usize + data.len();
                    content.resize(content.len().max(end), 0);
                    content[offset as usize..end].copy_from_slice(&data);
                }
            }
            Step::Read { file, offset, len } => {
                let content = self.content(file)?;
                let from = content.len().min(offset as usize);
                let to = content.len().min(offset as usize + len);
                return Ok(Some(Bytes::copy_from_slice(&content[from..to])));
            }
            Step::Sync { file } => drop(self.content(file)?),
            Step::SyncDir { path } => {
                if !path.is_empty() && !self.directories.contains(&path) {
                    return Err(Errno::ENOENT);
                }
            }
            Step::Allocate { file, len } => {
                let content = self.content(file)?;
                content.resize(content.len().max(len as usize), 0);
            }
            Step::SetLen { file, len } => self.content(file)?.resize(len as usize, 0),
            Step::CreateDir { path } => {
                if !self.directories.contains(&path) {
                    self.directories.push(path);
                }
            }
            Step::Rename { from, to } => {
                if !self.parent_exists(&to) {
                    return Err(Errno::ENOENT);
                }
                let index = *self.files.get(&from).ok_or(Errno::ENOENT)?;
                self.files.remove(&from);
                self.files.insert(to, index);
            }
            Step::RemoveFile { path } => drop(self.files.remove(&path)),
            Step::RemoveDir { path } => {
                self.directories.retain(|directory| *directory != path);
                self.files.retain(|file, _| !file.starts_with(&format!("{path}/")));
            }
        }
        Ok(None)
    }
}

impl Runs for Model {
    fn chain(&mut self, steps: Vec<Step>) -> Outcome {
        let mut reads = Vec::new();
        for (index, step) in steps.into_iter().enumerate() {
            reads.extend(self.step(step).map_err(|errno| (index, errno as i32))?);
        }
        Ok(reads)
    }
}

/// A directory beside the test's program: on a real file system, unlike perhaps the system's own.
fn scratch() -> tempfile::TempDir {
    let program = std::env::current_exe().unwrap();
    tempfile::tempdir_in(program.parent().unwrap()).unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

fn aligned(len: usize, byte: u8) -> Bytes {
    let mut buffer = AlignedBuf::zeroed(len);
    buffer.fill(byte);
    buffer.freeze()
}

const NAMES: [&str; 5] = ["a", "b", "d0/a", "d0/b", "d1/a"];
const DIRECTORIES: [&str; 2] = ["d0", "d1"];

/// Makes random steps. Direct files are used in whole blocks.
struct Script {
    random: Random,
    block: usize,
    next_file: u64,
    /// Files that may be open, and whether they are direct and writable.
    open: Vec<(FileId, OpenMode)>,
}

impl Script {
    fn step(&mut self) -> Step {
        let block = self.block;
        let open = if self.open.is_empty() { None } else { Some(self.random.below(self.open.len())) };
        match (self.random.below(16), open) {
            (0..2, _) | (3..12, None) => {
                let mode = self.random.pick(&[OpenMode::WRITE, OpenMode::READ, OpenMode::BUFFERED]);
                self.next_file += 1;
                self.open.push((FileId(self.next_file), mode));
                Step::Open { file: FileId(self.next_file), path: self.random.pick(&NAMES).into(), mode }
            }
            (2, Some(index)) if self.random.below(8) == 0 => Step::Close { file: FileId(u64::MAX - index as u64) },
            (2, Some(index)) => Step::Close { file: self.open.swap_remove(index).0 },
            (3..6, Some(index)) => {
                let (file, mode) = self.open[index];
                if !mode.write {
                    return Step::Sync { file };
                }
                let unit = if mode.direct { block } else { 1 };
                let pieces = self.random.below(4) + usize::from(self.random.below(20) == 0) * 1100;
                let scale = if mode.direct { 4 } else { 3000 };
                let data = (0..pieces).map(|_| aligned((1 + self.random.below(scale)) * unit, self.random.0 as u8));
                let data = if pieces > 1000 { data.map(|piece| piece.slice(..unit)).collect() } else { data.collect() };
                let offset = (self.random.below(scale * 3) * unit) as u64;
                Step::Write { file, offset, data, durable: self.random.below(10) == 0 }
            }
            (6..9, Some(index)) => {
                let (file, mode) = self.open[index];
                let unit = if mode.direct { block } else { 7 };
                let offset = (self.random.below(12) * unit) as u64;
                Step::Read { file, offset, len: (1 + self.random.below(12)) * unit }
            }
            (9, Some(index)) if self.random.below(4) == 0 => Step::Sync { file: self.open[index].0 },
            (10, Some(index)) if self.open[index].1.write => {
                Step::Allocate { file: self.open[index].0, len: (1 + self.random.below(40_000)) as u64 }
            }
            (11, Some(index)) if self.open[index].1.write => {
                Step::SetLen { file: self.open[index].0, len: self.random.below(40_000) as u64 }
            }
            (12, _) => Step::Rename { from: self.random.pick(&NAMES).into(), to: self.random.pick(&NAMES).into() },
            (13, _) => Step::RemoveFile { path: self.random.pick(&NAMES).into() },
            (14, _) if self.random.below(4) == 0 => Step::RemoveDir { path: self.random.pick(&DIRECTORIES).into() },
            (15, _) if self.random.below(4) == 0 => Step::SyncDir { path: self.random.pick(&["", "d0", "d1"]).into() },
            _ => Step::CreateDir { path: self.random.pick(&DIRECTORIES).into() },
        }
    }
}

#[test]
fn ring_system_calls_and_model_agree() {
    for seed in 0..8 {
        let folder = scratch();
        let paths: Vec<_> = ["calls", "newest", "oldest"].iter().map(|name| folder.path().join(name)).collect();
        let mut calls = DirectDisk::create(&paths[0]).unwrap();
        paths[1..].iter().for_each(|path| std::fs::create_dir(path).unwrap());
        let block = calls.block_size();
        let mut newest = OnRing::new(&paths[1], Features::NEWEST);
        let mut oldest = OnRing::new(&paths[2], Features::OLDEST);
        let mut model = Model::default();
        let mut script = Script { random: Random(seed), block, next_file: 0, open: Vec::new() };
        for round in 0..100 {
            let steps: Vec<_> = (0..=script.random.below(3)).map(|_| script.step()).collect();
            let expected = model.chain(steps.clone());
            let rivals: [&mut dyn Runs; 3] = [&mut calls, &mut newest, &mut oldest];
            for (name, rival) in ["calls", "newest", "oldest"].iter().zip(rivals) {
                let got = rival.chain(steps.clone());
                assert!(got == expected, "seed {seed} round {round} {name}: {steps:?}\n{got:?}\nmodel {expected:?}");
            }
            // What a failed chain was to open is not open.
            script.open.retain(|(file, _)| model.open.contains_key(file));
        }
        for path in &paths {
            let mut disk = DirectDisk::open(path).unwrap();
            let mut files = BTreeMap::new();
            for directory in [""].iter().chain(&DIRECTORIES) {
                for entry in disk.list(directory).unwrap().into_iter().filter(|entry| !entry.is_dir) {
                    let name = if directory.is_empty() { entry.name } else { format!("{directory}/{}", entry.name) };
                    let content = std::fs::read(path.join(&name)).unwrap();
                    assert_eq!(content.len() as u64, entry.len);
                    files.insert(name, content);
                }
            }
            let expected: BTreeMap<_, _> =
                model.files.iter().map(|(name, &index)| (name.clone(), model.contents[index].clone())).collect();
            assert!(files == expected, "seed {seed} {path:?}: {:?} {:?}", files.keys(), expected.keys());
        }
    }
}

#[test]
fn many_chains_at_once_complete_each_with_its_own_bytes() {
    let folder = scratch();
    let mut on_ring = OnRing::new(folder.path(), Features::NEWEST);
    let file = FileId(1);
    on_ring.chain(vec![Step::Open { file, path: "f".into(), mode: OpenMode::WRITE }]).unwrap();
    let writes: Vec<_> = (0..600u64)
        .map(|index| Step::Write {
            file,
            offset: index * 4096,
            data: vec![aligned(4096, index as u8)],
            durable: index % 100 == 0,
        })
        .collect();
    for step in writes {
        on_ring.start(vec![step]);
    }
    assert!(on_ring.finish().iter().all(|(_, result)| result.is_ok()));
    let reads: BTreeMap<_, _> = (0..600u64)
        .map(|index| (on_ring.start(vec![Step::Read { file, offset: index * 4096, len: 4096 }]), index))
        .collect();
    for (op, result) in on_ring.finish() {
        assert_eq!(result.unwrap(), [aligned(4096, reads[&op] as u8)]);
    }
}

#[test]
fn a_locked_file_is_refused_to_another_process_and_free_when_closed() {
    let folder = scratch();
    // Locks belong to open files, not to processes: two disks are as good as two processes.
    let mut first = OnRing::new(folder.path(), Features::NEWEST);
    let mut second = DirectDisk::open(folder.path()).unwrap();
    let open = |file| Step::Open { file: FileId(file), path: "journal".into(), mode: OpenMode::JOURNAL };
    first.chain(vec![open(1)]).unwrap();
    assert_eq!(second.chain(vec![open(1)]), Err((0, EWOULDBLOCK)));
    first.chain(vec![Step::Close { file: FileId(1) }]).unwrap();
    assert_eq!(second.chain(vec![open(1)]), Ok(vec![]));
    assert_eq!(first.chain(vec![open(2)]), Err((0, EWOULDBLOCK)));
    drop(second);
    first.chain(vec![open(2)]).unwrap();
}

#[test]
fn files_opened_at_the_start_go_on_on_the_ring() {
    let folder = scratch();
    let mut disk = DirectDisk::create(&folder.path().join("deep/data")).unwrap();
    let (file, path) = (FileId(7), "f".to_owned());
    disk.chain(vec![
        Step::Open { file, path, mode: OpenMode::JOURNAL },
        Step::Write { file, offset: 0, data: vec![aligned(4096, 9)], durable: true },
    ])
    .unwrap();
    let ring = Ring::new(Features::NEWEST, 4).unwrap();
    let mut on_ring = OnRing { files: FileOps::new(disk.into_files(), &ring), ring, op: 0 };
    let read = on_ring.chain(vec![Step::Read { file, offset: 0, len: 8192 }]).unwrap();
    assert_eq!(read, [aligned(4096, 9)]);
}

#[test]
fn errors_name_the_step_and_the_file() {
    let folder = scratch();
    let mut disk = DirectDisk::open(folder.path()).unwrap();
    let error = disk.run(Step::Open { file: FileId(1), path: "topics/x".into(), mode: OpenMode::READ }).unwrap_err();
    assert_eq!(error.what, "open topics/x for direct I/O: No such file or directory");
    let error = disk.run(Step::Open { file: FileId(1), path: "../x".into(), mode: OpenMode::READ }).unwrap_err();
    assert_eq!(error.errno, Errno::EINVAL as i32);
    let mut on_ring = OnRing::new(folder.path(), Features::NEWEST);
    let result = on_ring.chain(vec![
        Step::CreateDir { path: "d".into() },
        Step::Open { file: FileId(1), path: "d/f".into(), mode: OpenMode::WRITE },
        Step::Write { file: FileId(1), offset: 1, data: vec![aligned(4096, 1)], durable: false },
        Step::RemoveDir { path: "d".into() },
    ]);
    assert_eq!(result, Err((2, Errno::EINVAL as i32)), "a direct write starts at a block");
    assert!(folder.path().join("d/f").exists(), "no step runs after an error");
}

#[test]
fn a_full_device_is_an_error_of_the_step() {
    // /dev/full refuses every write as a full disk does.
    let mut disk = DirectDisk::open(Path::new("/tmp")).unwrap();
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("full")).unwrap();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let mode = OpenMode { direct: false, create: false, write: true, lock: false };
    let steps = vec![
        Step::Open { file: FileId(1), path: format!("{name}/full"), mode },
        Step::Write { file: FileId(1), offset: 0, data: vec![Bytes::from_static(b"x")], durable: false },
    ];
    assert_eq!(disk.chain(steps.clone()), Err((1, corelog_shard::io::ENOSPC)));
    let mut on_ring = OnRing::new(Path::new("/tmp"), Features::NEWEST);
    assert_eq!(on_ring.chain(steps), Err((1, corelog_shard::io::ENOSPC)));
}

#[test]
fn each_host_gets_the_open_files_of_its_shard() {
    let directory = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let mut disk = DirectDisk::open(directory.path()).unwrap();
    let file = |shard: u64, number: u64| FileId(shard << 48 | number);
    for (shard, number) in [(0, 1), (0, 2), (2, 1)] {
        let path = format!("{shard}-{number}");
        disk.run(Step::Open { file: file(shard, number), path, mode: OpenMode::JOURNAL }).unwrap();
    }
    let parts = disk.into_files().split(3).unwrap();
    let has = |part: &DiskFiles| [(0, 1), (0, 2), (2, 1)].map(|(shard, number)| part.get(file(shard, number)).is_ok());
    assert_eq!(
        parts.iter().map(has).collect::<Vec<_>>(),
        [[true, true, false], [false, false, false], [false, false, true]]
    );
    // Each works in the directory by itself, and holds its locks.
    let mut other = DirectDisk::open(directory.path()).unwrap();
    let mut open = |number| {
        let step = Step::Open { file: FileId(number), path: "2-1".into(), mode: OpenMode::JOURNAL };
        other.run(step).map_err(|error| error.errno)
    };
    let mut parts = parts.into_iter();
    drop((parts.next(), parts.next()));
    assert_eq!(open(1), Err(EWOULDBLOCK));
    assert!(parts.next().unwrap().directory.try_clone().is_ok());
    assert!(open(2).is_ok());
}
