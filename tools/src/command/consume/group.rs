//! `corelog consume --group`: shows records as a member of a group.
//!
//! Invariants: what is committed was shown, and standard output has taken it. However the command ends, it leaves its group
//! (a static member does not: it is expected back), and what was shown is committed before.

use super::Consume;
use crate::exit::Failure;
use crate::interrupt::on_interrupt;
use crate::output::{Output, OutputEnd};
use crate::place::{Place, now_ms};
use corelog_client::consumer::{Fetched, Position, ReadError, ReadEvent};
use corelog_client::driver::Driver;
use corelog_client::group_member::assignor::Assignor;
use corelog_client::group_member::{GroupConfig, GroupError, GroupEvent};
use corelog_client::offsets::{Offsets, offsets};
use corelog_wire::error_code::ErrorCode;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the last commit and the farewell may take together, if a request may take so long.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// The longest turn: whoever is woken looks sooner.
const TURN_MAX: Duration = Duration::from_secs(60);

/// Says something that is no result.
fn say(words: std::fmt::Arguments<'_>) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(std::io::stderr(), "corelog: {words}");
}

/// What was shown of a partition and may be committed once standard output has taken it: topic, partition, next offset and
/// leader epoch.
type Shown = Vec<(Arc<str>, i32, i64, i32)>;

impl Consume {
    /// Where to begin with partitions that the group has committed nothing of.
    fn reset(&self) -> Result<Position, Failure> {
        match self.from {
            Place::Beginning => Ok(Position::Beginning),
            Place::End => Ok(Position::End),
            Place::Timestamp(timestamp) => Ok(Position::Timestamp(timestamp)),
            Place::Ago(ago) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Ok(Position::Timestamp((now_ms() - ago).max(0)))
            }
            Place::Offset(_) | Place::Last(_) => {
                let message = "with --group, --from is where the group has committed nothing: beginning, end or @TIME; \
                               `corelog group reset-offsets` moves a group to other offsets";
                Err(Failure::with_status(2, message))
            }
        }
    }

    pub(super) fn run_in_group(&self, driver: &mut Driver, group: &str, partitions: usize) -> Result<(), Failure> {
        let mut config = GroupConfig::new(group, vec![self.topic.clone()]);
        config.reset = self.reset()?;
        config.instance_id.clone_from(&self.instance_id);
        config.assignors = if self.assignor.is_empty() { Assignor::ALL.to_vec() } else { self.assignor.clone() };
        if self.no_commit {
            config.commit_interval = None;
        }
        let waker = driver.waker().map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
        let is_interrupted = Arc::new(AtomicBool::new(false));
        let flag = is_interrupted.clone();
        on_interrupt(move || {
            flag.store(true, Ordering::Release);
            waker.wake();
        })?;
        let ends = match self.exit {
            true => {
                let all: Vec<i32> = (0..partitions as i32).collect();
                let timeout = self.connect.timeout();
                let ends = offsets(driver, &self.topic, &all, Position::End, !self.uncommitted, timeout);
                ends.map_err(|error| {
                    Failure::new(format!("the offsets of topic {} are not known: {error}", self.topic))
                })?
            }
            false => Offsets::new(),
        };
        driver.client_mut().0.join_group(config);
        let shown = self.show_in_group(driver, group, &ends, &is_interrupted);
        let left = self.leave(driver, group);
        match shown {
            Ok(Ok(())) => left,
            Ok(Err(failure)) => Err(failure),
            Err(end) => end.result(),
        }
    }

    fn show_in_group(
        &self,
        driver: &mut Driver,
        group: &str,
        ends: &Offsets,
        is_interrupted: &AtomicBool,
    ) -> Result<Result<(), Failure>, OutputEnd> {
        let mut out = Output::new();
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut text = Vec::new();
        let mut shown = Shown::new();
        let mut touched = BTreeSet::new();
        while left > 0 && !is_interrupted.load(Ordering::Acquire) {
            while let Some(event) = driver.client_mut().0.take_group_event() {
                if let Err(failure) = self.hear(group, event) {
                    out.flush()?;
                    return Ok(Err(failure));
                }
            }
            let Some(event) = driver.client_mut().0.take_read() else {
                out.flush()?;
                mark(driver, &mut shown);
                if self.exit && self.is_at_end(driver, ends) {
                    begin(driver, &touched);
                    break;
                }
                driver.turn(TURN_MAX);
                continue;
            };
            let fetched = match event {
                ReadEvent::Fetched(fetched) => fetched,
                ReadEvent::Failed { partition, error, .. } => {
                    out.flush()?;
                    mark(driver, &mut shown);
                    return Ok(Err(self.unreadable(partition, &error)));
                }
            };
            let end = ends.get(&fetched.partition).copied().unwrap_or(i64::MAX);
            text.clear();
            let written = self.write(&fetched, end, &mut left, &mut text);
            out.bytes(&text)?;
            let Fetched { topic, partition, leader_epoch, .. } = fetched;
            touched.insert(partition);
            match written {
                Ok(next) => shown.push((topic, partition, next, leader_epoch)),
                Err(fault) => {
                    out.flush()?;
                    shown.push((topic, partition, fault.offset, leader_epoch));
                    mark(driver, &mut shown);
                    let topic = &self.topic;
                    return Ok(Err(Failure::new(format!(
                        "partition {partition} of topic {topic}: {fault}; `corelog group reset-offsets {group} --topic \
                         {topic}:{partition} --to {} --execute` moves the group on",
                        fault.offset + 1
                    ))));
                }
            }
        }
        out.flush()?;
        mark(driver, &mut shown);
        Ok(Ok(()))
    }

    fn unreadable(&self, partition: i32, error: &ReadError) -> Failure {
        Failure::new(format!("partition {partition} of topic {} cannot be read: {error}", self.topic))
    }

    /// Whether each partition that the group gave to this member was read to where it ended when the command began.
    fn is_at_end(&self, driver: &Driver, ends: &Offsets) -> bool {
        let client = driver.client();
        let is_read = |(topic, partition): &(Arc<str>, i32)| {
            let end = ends.get(partition).copied().unwrap_or(0);
            client.position(topic, *partition).is_some_and(|position| position >= end)
        };
        client.is_group_settled() && client.group_partitions().all(is_read)
    }

    /// Takes what the group says; it may be the end.
    fn hear(&self, group: &str, event: GroupEvent) -> Result<(), Failure> {
        let list = |partitions: Vec<(Arc<str>, i32)>| {
            let numbers: Vec<_> = partitions.iter().map(|(_, partition)| partition.to_string()).collect();
            if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") }
        };
        let topic = &self.topic;
        let is_watched = std::io::stderr().is_terminal();
        match event {
            GroupEvent::Assigned(partitions) if is_watched => {
                say(format_args!("partitions of {topic} that come to this member of {group}: {}", list(partitions)));
            }
            GroupEvent::Revoked(partitions) if is_watched => {
                say(format_args!("partitions of {topic} that go to another member: {}", list(partitions)));
            }
            GroupEvent::Assigned(_) | GroupEvent::Revoked(_) | GroupEvent::Left => {}
            GroupEvent::Lost(partitions) => say(format_args!(
                "group {group} went on without this member; what was shown of partitions {} of {topic} since the last \
                 commit may be read again",
                list(partitions)
            )),
            GroupEvent::OutOfRange(_, partition, offset) => say(format_args!(
                "partition {partition} of topic {topic} no longer has offset {offset}; going on where --from says"
            )),
            GroupEvent::CommitFailed(error) => {
                say(format_args!("what was shown could not be committed: {error}; it may be read again"));
            }
            GroupEvent::Failed(error) => return Err(self.out_of_group(group, &error)),
        }
        Ok(())
    }

    /// What it means that this is no member any more.
    fn out_of_group(&self, group: &str, error: &GroupError) -> Failure {
        let code = match error {
            GroupError::Refused(_, code) => *code,
            _ => ErrorCode::NONE,
        };
        Failure::new(match code {
            ErrorCode::FENCED_INSTANCE_ID => {
                let name = self.instance_id.as_deref().unwrap_or_default();
                format!(
                    "another member of group {group} took the name {name}; every member needs an --instance-id of its own"
                )
            }
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL => format!(
                "group {group} has members that share partitions in another way, or are no consumers; \
                 `corelog group describe {group}` shows how, --assignor says it here"
            ),
            ErrorCode::GROUP_MAX_SIZE_REACHED => format!("group {group} has as many members as it may have"),
            ErrorCode::INVALID_GROUP_ID => format!("{group:?} cannot be the name of a group"),
            _ => format!("this is no member of group {group} any more: {error}"),
        })
    }

    /// Commits what was shown and leaves the group.
    fn leave(&self, driver: &mut Driver, group: &str) -> Result<(), Failure> {
        let timeout = self.connect.timeout().min(LEAVE_MAX);
        let (client, now) = driver.client_mut();
        client.leave_group(now, timeout);
        let mut failed = None;
        while !driver.client().is_out_of_group() {
            driver.turn(timeout);
        }
        while let Some(event) = driver.client_mut().0.take_group_event() {
            if let GroupEvent::CommitFailed(error) = event {
                failed = Some(error);
            }
        }
        match failed {
            None => Ok(()),
            Some(error) => Err(Failure::new(format!(
                "what was shown last could not be committed for group {group}: {error}; it will be read again"
            ))),
        }
    }
}

/// Says that partitions of which there was nothing to show are at an end, too: the group has begun with them.
fn begin(driver: &mut Driver, touched: &BTreeSet<i32>) {
    let (client, _) = driver.client_mut();
    let untouched: Vec<_> =
        client.group_partitions().filter(|(_, partition)| !touched.contains(partition)).cloned().collect();
    for (topic, partition) in untouched {
        if let Some(position) = client.position(&topic, partition) {
            client.consumed(&topic, partition, position, -1);
        }
    }
}

/// Says that what was shown was dealt with.
fn mark(driver: &mut Driver, shown: &mut Shown) {
    let (client, _) = driver.client_mut();
    for (topic, partition, next, leader_epoch) in shown.drain(..) {
        // One that has gone to another member in the meantime is that member's to commit.
        client.consumed(&topic, partition, next, leader_epoch);
    }
}
