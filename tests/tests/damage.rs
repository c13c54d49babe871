//! Every kind of file of a data directory, after a clean stop and after `kill -9`: a byte turned over, cut off, removed.
//!
//! What may come of it: the broker serves everything that was acknowledged; or it refuses to start, with an exit status
//! and a word on the damaged file and on what to do; or it answers a fetch of the damaged range with an error, names the
//! file in its log, and serves the rest. Never wrong bytes, a silent loss, a panic, or a wait without end. Every outcome
//! is the same at the next start: neither a refusal nor a repair takes away what the next one needs to know.
//!
//! The journal was idle before the end, so its closing commits mark all that was acknowledged. Without them the damage of
//! the very last commit looks like the torn end of a commit that nobody was told of: `the_end_of_a_journal` is about that.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use corelog_shard::journal::EntryKind;
use corelog_shard::journal::format::FLAG_CLOSING;
use corelog_shard::journal::inspect::{Part, inspect};
use corelog_tests::broker::{ANY_PORT, Broker, Options, Refusal, binary, copy_folder, new_folder};
use corelog_tests::client::{Client, Fetched, WAIT_MAX};
use corelog_tests::sim::random::Random;
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, batches};
use tempfile::TempDir;

const BLOCK: usize = 4096;
/// Written to all the time; its segments roll.
const BUSY: &str = "busy";
/// Written to once: nothing that comes later would show that its records are gone.
const QUIET: &str = "quiet";
/// Made late, so that only the newest metadata know it.
const LATE: &str = "late";
/// Written to by every start of a damaged directory, so that the next one meets what this one did to the journal.
const SCRATCH: &str = "scratch";
const FETCH_BYTES: i32 = 1 << 20;
/// The statuses of a refused start: refused, damaged.
const REFUSED: [i32; 2] = [1, 65];

type Partition = (&'static str, i32);

fn options() -> Options {
    Options::new()
        .argument("--memory")
        .argument("64M")
        .set("corelog.journal.file.bytes", "65536")
        .set("corelog.journal.files.max", "4")
        .set("corelog.metadata.journal.file.bytes", "65536")
        .set("log.retention.ms", "-1")
        .set("corelog.segment.bytes.min", "4096")
        .set("message.max.bytes", "16384")
        .set("log.segment.bytes", "16384")
}

/// A data directory, and what was acknowledged in it.
struct Prepared {
    folder: TempDir,
    /// By partition: the value of the record at each offset.
    values: BTreeMap<Partition, Vec<Vec<u8>>>,
    /// An idempotent producer, once there is one; its sequences are the offsets.
    producer: Option<i64>,
    random: Random,
}

impl Prepared {
    fn new(seed: u64) -> Self {
        Self { folder: new_folder(), values: BTreeMap::new(), producer: None, random: Random::new(seed) }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self) -> (Broker, Client) {
        start(&self.data()).expect("the broker starts")
    }

    fn create(&mut self, client: &mut Client, topic: &'static str, partitions: i32) {
        assert!(client.create_topic(topic, partitions).expect("an answer").is_none());
        for index in 0..partitions {
            self.values.insert((topic, index), Vec::new());
        }
    }

    /// A batch of `count` records for the end of a partition.
    fn batch(&mut self, partition: Partition, count: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let first = self.values[&partition].len();
        let mut builder = BatchBuilder::new().compression(Compression::None, None);
        if let Some(id) = self.producer {
            builder = builder.producer(id, 0, i32::try_from(first).expect("few records"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
        let mut values = Vec::new();
        for offset in first..first + count {
            let mut value = format!("{}-{}/{offset}/", partition.0, partition.1).into_bytes();
            value.extend((0..self.random.below(900)).map(|at| (at * 7 + offset) as u8));
            builder.append(&NewRecord { timestamp: now, value: Some(&value), ..Default::default() });
            values.push(value);
        }
        (values, builder.build())
    }

    fn produce(&mut self, client: &mut Client, partition: Partition, count: usize) {
        let (values, batch) = self.batch(partition, count);
        let known = self.values.get_mut(&partition).expect("a partition that was made");
        let produced = client.produce(partition.0, partition.1, Some(&batch)).expect("an answer");
        assert_eq!((produced.error, produced.base_offset), (ErrorCode::NONE, known.len() as i64));
        known.extend(values);
    }

    /// Several lives with crashes between them, until every kind of file is there. The journal is idle at the end.
    fn live(&mut self) -> Broker {
        let mut lives = 0;
        loop {
            let (mut broker, mut client) = self.start();
            match lives {
                0 => {
                    assert!(client.create_topic(SCRATCH, 1).expect("an answer").is_none());
                    self.create(&mut client, BUSY, 2);
                    self.create(&mut client, QUIET, 1);
                    self.producer = Some(client.producer_id().expect("a producer id"));
                    self.produce(&mut client, (QUIET, 0), 5);
                }
                4 => {
                    self.create(&mut client, LATE, 1);
                    self.produce(&mut client, (LATE, 0), 5);
                }
                _ => {}
            }
            for number in 0..16 {
                let count = 2 + self.random.below(4);
                self.produce(&mut client, (BUSY, number % 2), count);
            }
            lives += 1;
            if lives == 6 {
                wait_until_closed(&self.data(), &mut client);
                return broker;
            }
            broker.kill();
        }
    }

    fn copy(&self) -> TempDir {
        let folder = new_folder();
        copy_folder(&self.data(), &folder.path().join("data")).expect("a copy of the data");
        folder
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.data().join(file)).expect("a file of the data directory")
    }

    /// The files below a folder of the data directory.
    fn files(&self, folder: &str) -> Vec<String> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.data().join(folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() { files.extend(self.files(&name)) } else { files.push(name) }
        }
        files.sort();
        files
    }
}

fn start(data: &Path) -> Result<(Broker, Client), Refusal> {
    start_with(options(), data)
}

fn start_with(options: Options, data: &Path) -> Result<(Broker, Client), Refusal> {
    let broker = options.data_dir(data).try_start(new_folder(), ANY_PORT)?;
    let client = Client::connect(broker.address()).expect("a connection");
    Ok((broker, client))
}

/// The last commit of a journal, by its sequence: is it a closing one?
fn is_closed(folder: &Path) -> bool {
    let mut last = (0, false);
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("journal-")) {
            continue;
        }
        for part in inspect(&std::fs::read(path).expect("a journal file"), BLOCK) {
            if let Part::Commit(_, header) | Part::Behind(_, header) = part {
                last = last.max((header.sequence, header.flags & FLAG_CLOSING != 0));
            }
        }
    }
    last.1
}

/// Waits until both journals have marked everything as durable; a long poll that brings nothing sets the pace.
fn wait_until_closed(data: &Path, client: &mut Client) {
    let deadline = Instant::now() + WAIT_MAX;
    while !(is_closed(&data.join("shard-0")) && is_closed(&data.join("metadata"))) {
        assert!(Instant::now() < deadline, "an idle journal is closed");
        let end = client.fetch(BUSY, 0, 0, 1).expect("an answer").high_watermark;
        client.send_fetch(BUSY, 0, end, 1, 20).expect("sent");
        client.receive_fetched().expect("an answer");
    }
}

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum How {
    /// A bit of the byte there is turned over.
    Flip(usize),
    /// Cut off there.
    Cut(usize),
    Remove,
}

/// Something that happens to one file, or to both copies of one.
#[derive(Clone, Debug)]
struct Case {
    damage: Vec<(String, How)>,
    /// Whether `dump` has to find it.
    dump: Dump,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dump {
    /// It says that the file is corrupt, and where.
    Corrupt,
    /// There is nothing to be seen in the file alone, or nothing that counts.
    Anything,
}

impl Case {
    fn one(file: &str, how: How, dump: Dump) -> Self {
        Self { damage: vec![(file.to_owned(), how)], dump }
    }

    fn apply(&self, data: &Path) {
        for (file, how) in &self.damage {
            let path = data.join(file);
            let mut bytes = std::fs::read(&path).expect("a file to damage");
            match *how {
                How::Flip(at) => bytes[at] ^= 0x10,
                How::Cut(at) => bytes.truncate(at),
                How::Remove => {
                    std::fs::remove_file(&path).expect("removed");
                    continue;
                }
            }
            std::fs::write(&path, bytes).expect("written");
        }
    }

    fn is_named(&self, text: &str) -> bool {
        self.damage.iter().any(|(file, _)| text.contains(file.as_str()))
    }

    /// Whether `dump` finds it; what it finds it has to place.
    fn check_dump(&self, data: &Path) -> bool {
        let mut all = true;
        for (file, how) in &self.damage {
            // A file that is gone or empty shows nothing.
            if matches!(how, How::Remove) {
                continue;
            }
            let output = Command::new(binary()).arg("dump").arg(data.join(file)).output().expect("dump runs");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(matches!(output.status.code(), Some(0 | 65)), "{self:?}: dump ends with {output:?}");
            let found = output.status.code() == Some(65);
            assert_eq!(found, text.contains("CORRUPT at byte "), "{self:?}: {text}");
            assert!(found || self.dump == Dump::Anything, "{self:?}: dump finds nothing wrong: {text}");
            all &= found || matches!(how, How::Cut(0));
        }
        all
    }
}

/// A file of the data directory, the base offset and the partition that its name says.
fn segment_of(file: &str) -> Option<(Partition, i64)> {
    let (folder, name) = file.strip_prefix("topics/")?.split_once('/')?;
    let (topic, index) = folder.rsplit_once('-')?;
    let topic = [BUSY, QUIET, LATE].into_iter().find(|known| *known == topic)?;
    Some(((topic, index.parse().ok()?), name.strip_suffix(".log")?.parse().ok()?))
}

impl Prepared {
    /// The offsets of the segment in the damaged file: only there a fetch may fail.
    fn damaged_offsets(&self, case: &Case) -> Option<(Partition, Range<i64>)> {
        let (partition, base) = segment_of(&case.damage[0].0)?;
        let bases = self.files("topics").into_iter().filter_map(|file| segment_of(&file));
        let next = bases.filter(|(other, next)| *other == partition && *next > base).map(|(_, next)| next).min();
        Some((partition, base..next.unwrap_or(self.values[&partition].len() as i64)))
    }

    /// Does a case; returns what came of it.
    fn check(&self, case: &Case) -> &'static str {
        let folder = self.copy();
        let data = folder.path().join("data");
        case.apply(&data);
        let found = case.check_dump(&data);
        let first = self.start_and_read(case, &data);
        assert!(found || first == "served", "{case:?}: {first}, but dump finds nothing wrong");
        // What the first start repaired need not fail any more; what it refused stays refused.
        let second = self.start_and_read(case, &data);
        assert!(second == first || (first == "error" && second == "served"), "{case:?}: {first}, then {second}");
        first
    }

    fn start_and_read(&self, case: &Case, data: &Path) -> &'static str {
        let (mut broker, mut client) = match start(data) {
            Ok(started) => started,
            Err(refusal) => {
                let code = refusal.status.and_then(|status| status.code());
                assert!(code.is_some_and(|code| REFUSED.contains(&code)), "{case:?}: {refusal:?}");
                assert!(case.is_named(&refusal.stderr), "{case:?} is not named: {}", refusal.stderr);
                let cures = ["restore", "put ", "--accept-loss"];
                assert!(cures.iter().any(|cure| refusal.stderr.contains(cure)), "{case:?}: what to do? {refusal:?}");
                assert!(!refusal.stderr.contains("panicked"), "{case:?}: {}", refusal.stderr);
                return "refused";
            }
        };
        let damaged = self.damaged_offsets(case);
        let mut errors = Vec::new();
        for (partition, values) in &self.values {
            let may_fail = damaged.as_ref().filter(|(of, _)| of == partition).map(|(_, range)| range.clone());
            self.read(case, &mut client, *partition, values, may_fail, &mut errors);
        }
        let stderr = broker.stderr();
        assert!(errors.is_empty() || case.is_named(&stderr), "{case:?}: {errors:?}, and not named: {stderr}");
        assert!(!stderr.contains("panicked"), "{case:?}: {stderr}");
        let mut scratch = BatchBuilder::new();
        scratch.append(&NewRecord { timestamp: 1, value: Some(b"scratch"), ..Default::default() });
        let produced = client.produce(SCRATCH, 0, Some(&scratch.build())).expect("an answer");
        assert!(produced.error.is_none(), "{case:?}: {produced:?}");
        // Some end in order, which says that they can.
        match case.damage[0].1 {
            How::Cut(_) => assert!(broker.stop().success(), "{case:?}: {}", broker.stderr()),
            How::Flip(_) | How::Remove => broker.kill(),
        }
        if errors.is_empty() { "served" } else { "error" }
    }

    /// Reads all of a partition, on behind what cannot be read.
    fn read(
        &self,
        case: &Case,
        client: &mut Client,
        partition: Partition,
        values: &[Vec<u8>],
        may_fail: Option<Range<i64>>,
        errors: &mut Vec<String>,
    ) {
        let (topic, index) = partition;
        let end = values.len() as i64;
        let mut next = 0;
        while next < end {
            let whence = format!("{case:?}: {topic}-{index} offset {next}");
            let Fetched { error, high_watermark, records } =
                client.fetch(topic, index, next, FETCH_BYTES).unwrap_or_else(|error| panic!("{whence}: {error}"));
            if !error.is_none() {
                let known = [ErrorCode::KAFKA_STORAGE_ERROR, ErrorCode::CORRUPT_MESSAGE].contains(&error);
                assert!(known, "{whence}: {error}");
                assert!(may_fail.as_ref().is_some_and(|range| range.contains(&next)), "{whence}: {error}");
                errors.push(format!("{topic}-{index} offset {next}: {error}"));
                next += 1;
                continue;
            }
            assert_eq!(high_watermark, end, "{whence}: the end");
            assert!(!records.is_empty(), "{whence}: nothing is served");
            for batch in batches(&records) {
                let batch = batch.unwrap_or_else(|error| panic!("{whence}: {error}"));
                assert!(batch.has_valid_crc(), "{whence}: a wrong CRC is served");
                let payload = batch.decompressed_payload(1 << 20).expect("sound records");
                for record in batch.records(&payload) {
                    let record = record.expect("a sound record");
                    if record.offset >= next {
                        assert_eq!(record.offset, next, "{whence}: a gap");
                        assert!(record.value == Some(values[next as usize].as_slice()), "{whence}: another value");
                        next += 1;
                    }
                }
            }
        }
    }

    /// Does all cases, several at a time: they mostly wait for the disk.
    fn check_all(&self, state: &str, cases: &[Case]) {
        let start = Instant::now();
        let left = Mutex::new(cases.iter());
        let outcomes: Mutex<BTreeMap<String, usize>> = Mutex::default();
        let complaints = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    loop {
                        let Some(case) = left.lock().expect("no panic with it").next() else { return };
                        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.check(case)));
                        match outcome {
                            Ok(outcome) => {
                                let kind = kind_of(&case.damage[0].0);
                                let how = match case.damage[0].1 {
                                    How::Flip(_) => "flipped",
                                    How::Cut(_) => "cut",
                                    How::Remove => "removed",
                                };
                                let both = if case.damage.len() > 1 { "both " } else { "" };
                                let line = format!("{both}{kind} {how}: {outcome}");
                                *outcomes.lock().expect("as above").entry(line).or_default() += 1;
                            }
                            Err(panic) => {
                                let words = panic.downcast_ref::<String>().cloned();
                                complaints.lock().expect("as above").push(words.unwrap_or_else(|| format!("{case:?}")));
                            }
                        }
                    }
                });
            }
        });
        println!("{state}: {} cases in {:.1} s", cases.len(), start.elapsed().as_secs_f64());
        for (outcome, count) in outcomes.into_inner().expect("no panic with it") {
            println!("  {count:3} {outcome}");
        }
        let complaints = complaints.into_inner().expect("no panic with it");
        assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n\n"));
    }
}

fn kind_of(file: &str) -> String {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    match (folder, name.rsplit_once('.')) {
        (folder, Some((_, extension))) if folder.starts_with("topics") => format!(".{extension}"),
        (folder, None) if folder.starts_with("topics") => name.to_owned(),
        _ => format!("{folder} {}", name.trim_end_matches(|letter: char| "ab-0123456789".contains(letter))),
    }
}

/// Both of the copies, or one of them, in every way.
fn cases_of_copies(prepared: &Prepared, stem: &str, cases: &mut Vec<Case>) {
    let files = [format!("{stem}-a"), format!("{stem}-b")];
    for file in &files {
        assert!(prepared.data().join(file).is_file(), "{file} is there");
        let len = prepared.bytes(file).len();
        cases.push(Case::one(file, How::Flip(20), Dump::Corrupt));
        cases.push(Case::one(file, How::Cut(len.min(100)), Dump::Corrupt));
        cases.push(Case::one(file, How::Cut(0), Dump::Anything));
        cases.push(Case::one(file, How::Remove, Dump::Anything));
    }
    for (how, dump) in [
        (How::Flip(50), Dump::Corrupt),
        (How::Cut(60), Dump::Corrupt),
        (How::Cut(0), Dump::Anything),
        (How::Remove, Dump::Anything),
    ] {
        cases.push(Case { damage: files.iter().map(|file| (file.clone(), how)).collect(), dump });
    }
}

/// A file of a journal: header, commit headers, payloads, what lies behind the last commit, and the file itself.
fn cases_of_journal(prepared: &Prepared, file: &str, cases: &mut Vec<Case>) {
    let bytes = prepared.bytes(file);
    let parts = inspect(&bytes, BLOCK);
    let is_used = parts.iter().any(|part| matches!(part, Part::File(_)));
    let commits: Vec<usize> = parts
        .iter()
        .filter_map(|part| if let Part::Commit(at, _) = part { Some(*at as usize) } else { None })
        .collect();
    let entries: Vec<usize> =
        parts.iter().filter_map(|part| if let Part::Entry(at, _) = part { Some(*at as usize) } else { None }).collect();
    if is_used {
        cases.push(Case::one(file, How::Flip(20), Dump::Anything));
        cases.push(Case::one(file, How::Flip(commits[0] + 30), Dump::Anything));
        cases.push(Case::one(file, How::Flip(commits[commits.len() - 1] + 30), Dump::Anything));
        if let Some(entry) = entries.get(entries.len() / 2) {
            cases.push(Case::one(file, How::Flip(entry + 40), Dump::Anything));
            cases.push(Case::one(file, How::Flip(entry + 88 + 4), Dump::Anything));
        }
    }
    cases.push(Case::one(file, How::Flip(bytes.len() - 10), Dump::Anything));
    cases.push(Case::one(file, How::Cut(bytes.len() / 2 + 1000), Dump::Anything));
    cases.push(Case::one(file, How::Cut(0), Dump::Anything));
    cases.push(Case::one(file, How::Remove, Dump::Anything));
}

/// A file in a partition's folder.
fn cases_of_topic_file(prepared: &Prepared, file: &str, cases: &mut Vec<Case>) {
    let len = prepared.bytes(file).len();
    // What of a segment counts is for the checkpoint to say.
    cases.push(Case::one(file, How::Remove, Dump::Anything));
    if len > 0 {
        cases.push(Case::one(file, How::Cut(0), Dump::Anything));
        cases.push(Case::one(file, How::Cut(len / 2), Dump::Anything));
        cases.push(Case::one(file, How::Flip(len / 2), Dump::Anything));
        cases.push(Case::one(file, How::Flip(len.min(30) / 2), Dump::Anything));
    }
}

fn all_cases(prepared: &Prepared) -> Vec<Case> {
    let mut cases = Vec::new();
    for stem in ["superblock", "shard-0/checkpoint", "metadata/snapshot"] {
        cases_of_copies(prepared, stem, &mut cases);
    }
    for folder in ["shard-0", "metadata"] {
        for file in prepared.files(folder).iter().filter(|file| file.contains("/journal-")) {
            cases_of_journal(prepared, file, &mut cases);
        }
    }
    let files = prepared.files("topics");
    for extension in [".log", ".index", ".timeindex", ".snapshot"] {
        let of_kind: Vec<&String> = files.iter().filter(|file| file.ends_with(extension)).collect();
        let busy: Vec<&&String> = of_kind.iter().filter(|file| file.starts_with("topics/busy-0/")).collect();
        assert!(busy.len() >= 3, "{} files {extension} of one partition: {files:?}", busy.len());
        // A sealed one and the active one.
        for file in [busy[1], busy[busy.len() - 1]] {
            cases_of_topic_file(prepared, file, &mut cases);
        }
    }
    for name in ["leader-epoch-checkpoint", "partition.metadata"] {
        let file = format!("topics/busy-1/{name}");
        assert!(files.contains(&file), "{file}: {files:?}");
        cases_of_topic_file(prepared, &file, &mut cases);
    }
    cases
}

#[test]
fn damage_after_a_clean_stop() {
    if std::env::var_os("CORELOG_BOOTSTRAP").is_some() {
        return;
    }
    let mut prepared = Prepared::new(1);
    let mut broker = prepared.live();
    assert!(broker.stop().success());
    prepared.check_all("clean stop", &all_cases(&prepared));
}

#[test]
fn damage_after_a_kill() {
    if std::env::var_os("CORELOG_BOOTSTRAP").is_some() {
        return;
    }
    let mut prepared = Prepared::new(2);
    let mut broker = prepared.live();
    broker.kill();
    prepared.check_all("kill", &all_cases(&prepared));
}

/// One life only: no file of the journals is the second of its kind, so no other tells of it.
#[test]
fn damage_in_the_first_life() {
    if std::env::var_os("CORELOG_BOOTSTRAP").is_some() {
        return;
    }
    for is_clean in [true, false] {
        let mut prepared = Prepared::new(3);
        let (mut broker, mut client) = prepared.start();
        assert!(client.create_topic(SCRATCH, 1).expect("an answer").is_none());
        prepared.create(&mut client, BUSY, 2);
        prepared.create(&mut client, QUIET, 1);
        prepared.produce(&mut client, (BUSY, 0), 3);
        prepared.produce(&mut client, (QUIET, 0), 3);
        wait_until_closed(&prepared.data(), &mut client);
        match is_clean {
            true => assert!(broker.stop().success()),
            false => broker.kill(),
        }
        let mut cases = Vec::new();
        for folder in ["shard-0", "metadata"] {
            for file in prepared.files(folder) {
                match file.contains("/journal-") {
                    true => cases_of_journal(&prepared, &file, &mut cases),
                    false => cases_of_topic_file(&prepared, &file, &mut cases),
                }
            }
            let all = prepared.files(folder).into_iter().map(|file| (file, How::Remove)).collect();
            cases.push(Case { damage: all, dump: Dump::Anything });
        }
        prepared.check_all(if is_clean { "first life, clean stop" } else { "first life, kill" }, &cases);
    }
}

/// A commit with new records.
#[derive(Debug)]
struct NewCommit {
    sequence: u64,
    file: String,
    at: usize,
    /// The first of its new records.
    offset: i64,
}

/// The commits with records of [`BUSY`] from `first` on, the end of these records, and the highest mark of the journal.
fn new_commits(prepared: &Prepared, first: i64) -> (Vec<NewCommit>, i64, u64) {
    let (mut commits, mut end, mut mark) = (Vec::new(), first, 0);
    for file in prepared.files("shard-0").into_iter().filter(|file| file.contains("/journal-")) {
        let mut here = (0, 0);
        for part in inspect(&prepared.bytes(&file), BLOCK) {
            match part {
                Part::File(header) => mark = mark.max(header.durable_sequence),
                Part::Commit(at, header) => {
                    mark = mark.max(header.durable_sequence);
                    here = (header.sequence, at as usize);
                }
                Part::Entry(_, entry) if entry.kind == EntryKind::Records && entry.last_offset >= first => {
                    let (sequence, at) = here;
                    commits.push(NewCommit { sequence, file: file.clone(), at, offset: entry.base_offset });
                    end = end.max(entry.last_offset + 1);
                }
                _ => {}
            }
        }
    }
    commits.sort_by_key(|commit| (commit.sequence, commit.offset));
    commits.dedup_by_key(|commit| commit.sequence);
    (commits, end, mark)
}

/// Records are written and the broker is killed at once. What is damaged at or below a mark is refused, unless it is in
/// the segments; what is damaged above every mark is a torn end: the records from there on are gone, nothing else is.
#[test]
fn the_end_of_a_journal() {
    if std::env::var_os("CORELOG_BOOTSTRAP").is_some() {
        return;
    }
    let mut prepared = Prepared::new(4);
    let mut broker = prepared.live();
    let mut tries = 0;
    let (commits, mark) = loop {
        let mut client = Client::connect(broker.address()).expect("a connection");
        // Longer than every other partition: the offsets tell whose records they are.
        let first = prepared.values[&(BUSY, 0)].len().max(prepared.values[&(BUSY, 1)].len()) as i64;
        while (prepared.values[&(BUSY, 0)].len() as i64) < first {
            prepared.produce(&mut client, (BUSY, 0), 1);
        }
        for _ in 0..4 {
            prepared.produce(&mut client, (BUSY, 0), 2);
        }
        // And one that nobody is told of; its answer may be on its way.
        let (values, batch) = prepared.batch((BUSY, 0), 2);
        client.send_produce(BUSY, 0, Some(&batch)).expect("sent");
        broker.kill();

        let (commits, end, mark) = new_commits(&prepared, first);
        let known = prepared.values.get_mut(&(BUSY, 0)).expect("a partition that was made");
        assert!(end >= known.len() as i64, "what was acknowledged is on disk");
        known.extend(values);
        known.truncate(end as usize);
        assert!(commits.len() >= 4, "a commit for each answer: {commits:?}");
        if commits.last().is_some_and(|commit| commit.sequence > mark) {
            break (commits, mark);
        }
        // The journal became idle before the kill.
        tries += 1;
        assert!(tries < 20, "a kill is quicker than an idle journal: {commits:?}");
        broker = prepared.start().0;
    };
    let (mut torn, mut refused) = (0, 0);
    for NewCommit { sequence, file, at, offset } in &commits {
        // In the commit's header, and in the payload of its entry.
        for byte in [30, 88 + 88 + 70] {
            let case = Case::one(file, How::Flip(at + byte), Dump::Anything);
            if *sequence <= mark {
                let outcome = prepared.check(&case);
                assert!(
                    ["refused", "served"].contains(&outcome),
                    "{case:?}: commit {sequence}, mark {mark}: {outcome}"
                );
                refused += 1;
                continue;
            }
            let folder = prepared.copy();
            let data = folder.path().join("data");
            case.apply(&data);
            let (_broker, mut client) = start(&data).unwrap_or_else(|refusal| panic!("{case:?}: {refusal:?}"));
            let mut errors = Vec::new();
            for (partition, values) in &prepared.values {
                let end = if *partition == (BUSY, 0) { *offset as usize } else { values.len() };
                prepared.read(&case, &mut client, *partition, &values[..end], None, &mut errors);
            }
            assert_eq!(errors, Vec::<String>::new());
            torn += 1;
        }
    }
    assert!(torn >= 2 && refused >= 2, "{torn} torn, {refused} refused; marked up to {mark}: {commits:?}");
}

/// A loss that was accepted is accepted once: the next start goes on from there.
#[test]
fn an_accepted_loss_is_named_and_behind() {
    if std::env::var_os("CORELOG_BOOTSTRAP").is_some() {
        return;
    }
    let mut prepared = Prepared::new(5);
    let mut broker = prepared.live();
    broker.kill();
    for file in prepared.files("shard-0").into_iter().filter(|file| file.contains("/journal-")) {
        let case = Case::one(&file, How::Remove, Dump::Anything);
        let folder = prepared.copy();
        let data = folder.path().join("data");
        case.apply(&data);
        assert_eq!(prepared.start_and_read(&case, &data), "refused");
        let accepting = options().argument("--accept-loss");
        let (mut broker, _) = start_with(accepting, &data).unwrap_or_else(|refusal| panic!("{case:?}: {refusal:?}"));
        assert!(case.is_named(&broker.stderr()), "{case:?}: {}", broker.stderr());
        // It has to write a checkpoint: a kill before that would leave the journal as it is.
        assert!(broker.stop().success());
        let (_broker, mut client) = start(&data).unwrap_or_else(|refusal| panic!("{case:?}: {refusal:?}"));
        for ((topic, index), values) in &prepared.values {
            let fetched = client.fetch(topic, *index, 0, FETCH_BYTES).expect("an answer");
            assert!(fetched.error.is_none() && fetched.high_watermark <= values.len() as i64, "{case:?}: {fetched:?}");
            for batch in batches(&fetched.records) {
                let batch = batch.expect("a sound batch");
                let payload = batch.decompressed_payload(1 << 20).expect("sound records");
                for record in batch.records(&payload).map(|record| record.expect("a sound record")) {
                    assert!(record.value == Some(values[record.offset as usize].as_slice()), "{case:?}: another value");
                }
            }
        }
    }
}
