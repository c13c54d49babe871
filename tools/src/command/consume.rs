//! `corelog consume`: shows the records of a topic.
//!
//! Invariants: what was read is shown before more is waited for. With `--exit`, the command ends where the log ended when
//! it began, however much is written meanwhile.

mod group;

use crate::connect::{self, Connect};
use crate::exit::{CLIENT_HELP, Failure};
use crate::format::{FORMAT_HELP, Format, json_of};
use crate::output::{Output, OutputEnd};
use crate::place::{Place, now_ms};
use clap::Args;
use corelog_client::consumer::{Fetched, Position, ReadError, ReadEvent, RecordsFault};
use corelog_client::driver::Driver;
use corelog_client::group_member::assignor::Assignor;
use corelog_client::offsets::{Offsets, offsets};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

/// The command line of `corelog consume`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Records of one partition come in order; those of several, as they arrive. Ctrl-C ends it.\n\n\
     Without --group nothing is remembered: every run begins where --from says. With it, several consumers share the\n\
     partitions, and each run goes on where the group has got to; what was shown is committed, every five seconds\n\
     and at the end.\n\n{FORMAT_HELP}\n\n\
     Examples:\n  \
       corelog consume orders\n  \
       corelog consume orders --from end --format '%T %k: %s\\n'\n  \
       corelog consume orders --from @2026-01-31T12:00 --exit\n  \
       corelog consume orders --partition 0 --from 41 --count 1 --json\n  \
       corelog consume orders --group billing\n  \
       corelog consume orders --group billing --instance-id billing-1 --assignor cooperative-sticky\n\n{CLIENT_HELP}"
))]
pub(crate) struct Consume {
    /// The topic
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Where to begin: beginning, end, an offset, -N for the last N of each partition, or @ and a time: ms since 1970,
    /// 2026-01-31, 2026-01-31T12:00:00 (UTC), or how long ago, such as @15m. With --group, where the group has committed
    /// nothing yet
    #[arg(long, short = 'o', value_name = "PLACE", default_value = "beginning", allow_hyphen_values = true)]
    from: Place,
    /// The partition; may be repeated [default: all of them]
    #[arg(long, short = 'p', value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// End after so many records
    #[arg(long, short = 'c', value_name = "N")]
    count: Option<u64>,
    /// End at the end of the log, as it is when the command begins
    #[arg(long, short = 'e')]
    exit: bool,
    /// Read as a member of this group of consumers
    #[arg(long, short = 'g', value_name = "GROUP", conflicts_with = "partition",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    group: Option<String>,
    /// The name of this member, which stays: if it ends and comes back within 45 seconds, the group does not rebalance
    #[arg(long, value_name = "NAME", requires = "group",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    instance_id: Option<String>,
    /// How the group shares the partitions: range, roundrobin or cooperative-sticky; several with commas between them, the
    /// best one first [default: all of them, as the group likes it]
    #[arg(long, value_name = "ASSIGNOR", requires = "group", value_delimiter = ',')]
    assignor: Vec<Assignor>,
    /// Commit nothing: the group does not remember what was shown
    #[arg(long, requires = "group")]
    no_commit: bool,
    /// How each record is shown
    #[arg(long, short = 'f', value_name = "FORMAT", default_value = "%s\\n", value_parser = Format::parse,
        conflicts_with = "json")]
    format: Format,
    /// Show each record as JSON, one to a line
    #[arg(long)]
    json: bool,
    /// Also show records of transactions that were aborted or are not decided yet
    #[arg(long)]
    uncommitted: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Consume {
    /// Shows records until it is enough.
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.count == Some(0) {
            return Ok(());
        }
        let mut config = self.connect.config();
        config.consumer.committed_only = !self.uncommitted;
        let mut driver = self.connect.connect_with(config)?;
        let there = connect::partitions(&mut driver, &self.topic, false)?;
        if let Some(group) = &self.group {
            return self.run_in_group(&mut driver, group, there);
        }
        let partitions = self.partitions(there)?;
        let ends = self.assign(&mut driver, &partitions)?;
        match self.show(&mut driver, ends) {
            Ok(result) => result,
            Err(end) => end.result(),
        }
    }

    fn partitions(&self, there: usize) -> Result<Vec<i32>, Failure> {
        let mut partitions = self.partition.clone();
        partitions.sort_unstable();
        partitions.dedup();
        match partitions.iter().find(|partition| **partition as usize >= there) {
            None if partitions.is_empty() => Ok((0..there as i32).collect()),
            None => Ok(partitions),
            Some(missing) => {
                let range = if there == 1 { "only 0".to_owned() } else { format!("0 to {}", there - 1) };
                Err(Failure::new(format!("topic {} has no partition {missing}; it has {range}", self.topic)))
            }
        }
    }

    /// Begins to read, and says up to where each partition is read; up to everything where it is followed.
    fn assign(&self, driver: &mut Driver, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, Failure> {
        let asked = |driver: &mut Driver, position: Position| {
            offsets(driver, &self.topic, partitions, position, !self.uncommitted, self.connect.timeout())
                .map_err(|error| Failure::new(format!("the offsets of topic {} are not known: {error}", self.topic)))
        };
        let needs_range = matches!(self.from, Place::Offset(_) | Place::Last(_));
        let begins = if needs_range { asked(driver, Position::Beginning)? } else { Offsets::new() };
        let ends = if needs_range || self.exit { asked(driver, Position::End)? } else { Offsets::new() };
        let (client, _) = driver.client_mut();
        for partition in partitions {
            let range = || (begins[partition], ends[partition]);
            let position = match self.from {
                Place::Beginning => Position::Beginning,
                Place::End => Position::End,
                Place::Timestamp(timestamp) => Position::Timestamp(timestamp),
                Place::Ago(ago) => Position::Timestamp((now_ms() - ago.as_millis() as i64).max(0)),
                Place::Last(count) => {
                    let (begin, end) = range();
                    Position::Offset((end.saturating_sub_unsigned(count)).max(begin))
                }
                Place::Offset(offset) => {
                    let (begin, end) = range();
                    if offset < begin || offset > end {
                        let topic = &self.topic;
                        return Err(Failure::new(match begin == end {
                            true => format!(
                                "partition {partition} of topic {topic} is empty and goes on with offset {end}, not with {offset}; --from {end} waits there"
                            ),
                            false => format!(
                                "partition {partition} of topic {topic} has no offset {offset}; it has {begin} to {}",
                                end - 1
                            ),
                        }));
                    }
                    Position::Offset(offset)
                }
            };
            client.assign(&self.topic, *partition, position);
        }
        Ok(if self.exit { ends } else { Offsets::new() })
    }

    fn show(&self, driver: &mut Driver, mut ends: Offsets) -> Result<Result<(), Failure>, OutputEnd> {
        let mut out = Output::new();
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut text = Vec::new();
        while left > 0 && !(self.exit && ends.is_empty()) {
            let Some(event) = driver.client_mut().0.take_read() else {
                out.flush()?;
                // What begins at its end is not waited for.
                let client = driver.client();
                ends.retain(|partition, end| client.position(&self.topic, *partition).is_none_or(|at| at < *end));
                if !(self.exit && ends.is_empty()) {
                    driver.turn(Duration::from_secs(60));
                }
                continue;
            };
            let fetched = match event {
                ReadEvent::Fetched(fetched) => fetched,
                ReadEvent::Failed { partition, error: ReadError::OutOfRange(offset), .. } => {
                    out.flush()?;
                    let topic = &self.topic;
                    let _ = writeln!(
                        std::io::stderr(),
                        "corelog: partition {partition} of topic {topic} no longer has offset {offset}; going on with the first it has"
                    );
                    driver.client_mut().0.assign(topic, partition, Position::Beginning);
                    continue;
                }
                ReadEvent::Failed { partition, error, .. } => {
                    out.flush()?;
                    let message = format!("partition {partition} of topic {} cannot be read: {error}", self.topic);
                    return Ok(Err(Failure::new(message)));
                }
            };
            let end = ends.get(&fetched.partition).copied().unwrap_or(i64::MAX);
            text.clear();
            let shown = self.write(&fetched, end, &mut left, &mut text);
            out.bytes(&text)?;
            if let Err(fault) = shown {
                out.flush()?;
                let place = format!("partition {} of topic {}", fetched.partition, self.topic);
                return Ok(Err(Failure::new(format!(
                    "{place}: {fault}; --from {} reads on behind it",
                    fault.offset + 1
                ))));
            }
            if fetched.next >= end {
                ends.remove(&fetched.partition);
                driver.client_mut().0.unassign(&self.topic, fetched.partition);
            }
        }
        out.flush()?;
        Ok(Ok(()))
    }

    /// Appends what was fetched below `end`, at most `left` records; the offset behind what was shown.
    fn write(&self, fetched: &Fetched, end: i64, left: &mut u64, text: &mut Vec<u8>) -> Result<i64, RecordsFault> {
        let broken_off = fetched.records(|record| {
            if *left == 0 || record.offset >= end {
                return ControlFlow::Break(record.offset);
            }
            *left -= 1;
            match self.json {
                true => {
                    // Writing to memory cannot fail.
                    let _ = writeln!(text, "{}", json_of(&fetched.topic, fetched.partition, record));
                }
                false => self.format.write(&fetched.topic, fetched.partition, record, text),
            }
            ControlFlow::Continue(())
        })?;
        Ok(match broken_off {
            ControlFlow::Break(offset) => offset,
            ControlFlow::Continue(()) => fetched.next,
        })
    }
}
