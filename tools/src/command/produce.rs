//! `corelog produce`: writes lines to a topic.
//!
//! Invariants: status 0 means that every line was acknowledged as `--acks` says. At the first one that was not, no more is
//! read; what is under way is waited for, and the failure says how many lines were written.

use crate::connect::{self, Connect};
use crate::exit::{CLIENT_HELP, Failure};
use crate::interrupt::on_interrupt;
use crate::output::{Progress, count, show};
use crate::place::now_ms;
use crate::size;
use clap::Args;
use corelog_client::driver::{Driver, Waker};
use corelog_client::producer::{Acks, Delivery, Refusal};
use corelog_wire::compression::Compression;
use corelog_wire::record_batch::NewRecord;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// What is read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// How many blocks wait to be sent.
const BLOCKS_WAITING_MAX: usize = 8;

/// The longest line. No broker takes a record of that size.
const LINE_BYTES_MAX: usize = 128 << 20;

/// The command line of `corelog produce`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Each line is a record. Without a key, lines go to one partition after the other, a batch at a time; with a key, to\n\
     the partition that every client chooses for that key.\n\n\
     Examples:\n  \
       echo hello | corelog produce greetings\n  \
       corelog produce orders --file orders.txt --key-separator : --compression zstd\n  \
       corelog produce orders --header source=shop --header version=2 --partition 0\n\n{CLIENT_HELP}"
))]
pub(crate) struct Produce {
    /// The topic
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// The file to read instead of standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// What stands between key and value in a line, such as : or \t
    #[arg(long, short = 'k', value_name = "TEXT", value_parser = separator)]
    key_separator: Option<Separator>,
    /// A header of every record; may be repeated
    #[arg(long, short = 'H', value_name = "KEY=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The partition, whatever the keys are
    #[arg(long, short = 'p', value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Who must have a record before it counts as written: 0 nobody, 1 the leader, all every replica in sync
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks)]
    acks: Acks,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, short = 'z', value_name = "CODEC", default_value = "none", value_parser = compression)]
    compression: Compression,
    /// An empty value is no value: a tombstone, which deletes its key from a compacted topic
    #[arg(long)]
    tombstones: bool,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// What stands between key and value; never empty.
#[derive(Clone, Debug)]
struct Separator(Vec<u8>);

fn separator(text: &str) -> Result<Separator, String> {
    let bytes = crate::format::unescape(text)?;
    if bytes.is_empty() { Err("a separator has at least one character".to_owned()) } else { Ok(Separator(bytes)) }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("not KEY=VALUE, such as source=shop".to_owned()),
    }
}

fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "0" => Ok(Acks::None),
        "1" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("acknowledgements are 0, 1 or all".to_owned()),
    }
}

fn compression(text: &str) -> Result<Compression, String> {
    Compression::from_name(text).ok_or_else(|| "codecs are none, gzip, snappy, lz4 and zstd".to_owned())
}

/// What a line is split into.
type KeyAndValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// What the reading thread sends.
enum Input {
    /// Whole lines; only the last line of all may lack its end.
    Lines(Vec<u8>),
    /// There are no more, or Ctrl-C was pressed: what was read is written, nothing more is read.
    End,
    Failed(String),
}

/// What was written, by partition.
#[derive(Debug, Default)]
struct Written {
    records: u64,
    bytes: u64,
    partitions: BTreeMap<i32, Range>,
    failed: u64,
    failure: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    records: u64,
    first: i64,
    last: i64,
}

impl Written {
    fn take(&mut self, delivery: Delivery) {
        let records = delivery.tokens.len() as u64;
        match delivery.result {
            Ok(base) => {
                self.records += records;
                let last = if base < 0 { base } else { base + records as i64 - 1 };
                let range = self.partitions.entry(delivery.partition);
                let range = range.or_insert(Range { records: 0, first: base, last });
                range.records += records;
                (range.first, range.last) = (range.first.min(base), range.last.max(last));
            }
            Err(error) => {
                self.failed += records;
                let first = delivery.tokens.first().copied().unwrap_or(0);
                let place = format!("{}, partition {}", delivery.topic, delivery.partition);
                self.failure.get_or_insert_with(|| format!("line {first} could not be written to {place}: {error}"));
            }
        }
    }
}

/// Reads lines in a thread of its own, so that what is slow to come holds up nothing.
fn read_lines(mut source: impl Read, name: &str, lines: &SyncSender<Input>, waker: &Waker) {
    let mut kept = Vec::new();
    loop {
        let begin = kept.len();
        kept.resize(begin + BLOCK_BYTES, 0);
        let read = match source.read(&mut kept[begin..]) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                kept.truncate(begin);
                continue;
            }
            Err(error) => {
                let _ = lines.send(Input::Failed(format!("{name} cannot be read: {error}")));
                return waker.wake();
            }
        };
        kept.truncate(begin + read);
        let whole = match kept[begin..].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => begin + end + 1,
            None if read == 0 => kept.len(),
            None if kept.len() > LINE_BYTES_MAX => {
                let limit = size::show(LINE_BYTES_MAX as u64);
                let _ = lines.send(Input::Failed(format!("{name} has a line of more than {limit}; is it text?")));
                return waker.wake();
            }
            None => 0,
        };
        let rest = kept.split_off(whole);
        let block = std::mem::replace(&mut kept, rest);
        // Whoever does not listen has ended.
        if !block.is_empty() && lines.send(Input::Lines(block)).is_err() {
            return;
        }
        if read == 0 {
            let _ = lines.send(Input::End);
        }
        waker.wake();
        if read == 0 {
            return;
        }
    }
}

impl Produce {
    /// Writes all lines.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let source: (Box<dyn Read + Send>, String) = match &self.file {
            Some(path) if path != Path::new("-") => {
                let file = File::open(path);
                let file = file.map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))?;
                (Box::new(file), path.display().to_string())
            }
            _ => (Box::new(std::io::stdin()), "standard input".to_owned()),
        };
        let mut config = self.connect.config();
        config.may_create_topics = true;
        config.producer.acks = self.acks;
        config.producer.idempotent = self.acks == Acks::All;
        config.producer.compression = self.compression;
        let mut driver = self.connect.connect_with(config)?;
        let partitions = connect::partitions(&mut driver, &self.topic, true)?;
        if let Some(partition) = self.partition.filter(|partition| *partition as usize >= partitions) {
            let there = if partitions == 1 { "only 0".to_owned() } else { format!("0 to {}", partitions - 1) };
            return Err(Failure::new(format!("topic {} has no partition {partition}; it has {there}", self.topic)));
        }

        let waker = driver.waker().map_err(|error| Failure::new(format!("cannot wait for input: {error}")))?;
        let (sender, lines) = sync_channel(BLOCKS_WAITING_MAX);
        let (interrupted, interrupting) = (sender.clone(), waker.clone());
        on_interrupt(move || {
            let _ = interrupted.send(Input::End);
            interrupting.wake();
        })?;
        let is_piped = self.file.is_some() || !std::io::stdin().is_terminal();
        std::thread::spawn(move || read_lines(source.0, &source.1, &sender, &waker));
        let mut written = Written::default();
        let sent = self.send(&mut driver, &lines, is_piped, &mut written);
        drain(&mut driver, &mut written);
        self.report(sent, &written)
    }

    /// Gives the client every line, until there are no more or one could not be written.
    fn send(
        &self,
        driver: &mut Driver,
        lines: &Receiver<Input>,
        is_piped: bool,
        written: &mut Written,
    ) -> Result<(), String> {
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            self.header.iter().map(|(key, value)| (key.as_bytes(), Some(value.as_bytes()))).collect();
        let mut progress = Progress::new(is_piped);
        let mut number = 0;
        while written.failure.is_none() {
            match lines.try_recv() {
                Ok(Input::Lines(block)) => {
                    let timestamp = now_ms();
                    for line in block.strip_suffix(b"\n").unwrap_or(&block).split(|byte| *byte == b'\n') {
                        number += 1;
                        let (key, value) = self.split(line, number)?;
                        self.give(driver, &NewRecord { timestamp, key, value, headers: &headers }, number, written);
                        written.bytes += line.len() as u64 + 1;
                    }
                    driver.turn(Duration::ZERO);
                }
                Ok(Input::End) => return Ok(()),
                Ok(Input::Failed(reason)) => return Err(reason),
                Err(TryRecvError::Empty) => driver.turn(Duration::from_secs(60)),
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            take_deliveries(driver, written);
            progress.show(|elapsed| {
                let rate = written.bytes as f64 / elapsed.as_secs_f64();
                format!("{}, {} ({}/s)", count(number, "line"), size::show(written.bytes), size::show(rate as u64))
            });
        }
        Ok(())
    }

    /// Key and value of a line.
    fn split<'a>(&self, line: &'a [u8], number: u64) -> Result<KeyAndValue<'a>, String> {
        let (key, value) = match &self.key_separator {
            None => (None, line),
            Some(Separator(separator)) => {
                let at = line.windows(separator.len()).position(|window| window == separator);
                let at = at.ok_or_else(|| {
                    let separator = String::from_utf8_lossy(separator);
                    format!(
                        "line {number} has no {separator:?} between key and value; --key-separator says there is one"
                    )
                })?;
                (Some(&line[..at]), &line[at + separator.len()..])
            }
        };
        Ok((key, if self.tombstones && value.is_empty() { None } else { Some(value) }))
    }

    /// Gives a record to the client, when it takes it.
    fn give(&self, driver: &mut Driver, record: &NewRecord<'_>, number: u64, written: &mut Written) {
        loop {
            let (client, now) = driver.client_mut();
            match client.produce(now, &self.topic, self.partition, record, number) {
                Ok(()) => return,
                Err(Refusal::Full | Refusal::Unknown) => driver.turn(Duration::from_millis(100)),
                Err(Refusal::NoPartition) => {
                    let wrong = || format!("line {number} could not be written: its partition is gone");
                    written.failed += 1;
                    written.failure.get_or_insert_with(wrong);
                    return;
                }
            }
            take_deliveries(driver, written);
        }
    }

    /// Says what was written.
    fn report(&self, sent: Result<(), String>, written: &Written) -> Result<(), Failure> {
        if self.json {
            let partitions: Vec<_> = written
                .partitions
                .iter()
                .map(|(partition, range)| {
                    let offsets = (range.first >= 0).then_some((range.first, range.last));
                    json!({
                        "partition": partition,
                        "records": range.records,
                        "firstOffset": offsets.map(|(first, _)| first),
                        "lastOffset": offsets.map(|(_, last)| last),
                    })
                })
                .collect();
            let value = json!({
                "topic": self.topic,
                "records": written.records,
                "failed": written.failed,
                "partitions": partitions,
            });
            show(|out| out.json(&value))?;
        } else if std::io::stderr().is_terminal() {
            let place = |(partition, range): (&i32, &Range)| match (range.first, range.last) {
                (first, _) if first < 0 => format!("partition {partition}"),
                (first, last) if first == last => format!("partition {partition} offset {first}"),
                (first, last) => format!("partition {partition} offsets {first} to {last}"),
            };
            let places: Vec<_> = written.partitions.iter().take(4).map(place).collect();
            let more = if written.partitions.len() > 4 { ", ..." } else { "" };
            let colon = if places.is_empty() { "" } else { ": " };
            eprintln!(
                "{} written to {}{colon}{}{more}",
                count(written.records, "record"),
                self.topic,
                places.join(", ")
            );
        }
        let reason = match (sent, &written.failure) {
            (Err(reason), _) => reason,
            (Ok(()), Some(reason)) => reason.clone(),
            (Ok(()), None) => return Ok(()),
        };
        Err(Failure::new(format!("{reason}; {} before it", written_in_words(written))))
    }
}

fn written_in_words(written: &Written) -> String {
    match (written.records, written.failed) {
        (records, 0 | 1) => format!("{} written", verb(records)),
        (records, failed) => format!("{} written and {} not,", verb(records), count(failed, "record")),
    }
}

fn verb(records: u64) -> String {
    format!("{} {}", count(records, "record"), if records == 1 { "was" } else { "were" })
}

/// Waits until what was given is written, or is not.
fn drain(driver: &mut Driver, written: &mut Written) {
    driver.client_mut().0.set_flushing(true);
    loop {
        take_deliveries(driver, written);
        if driver.client().is_drained() {
            return;
        }
        driver.turn(Duration::from_secs(60));
    }
}

fn take_deliveries(driver: &mut Driver, written: &mut Written) {
    while let Some(delivery) = driver.client_mut().0.take_delivery() {
        written.take(delivery);
    }
}
