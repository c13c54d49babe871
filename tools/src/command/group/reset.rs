//! `corelog group reset-offsets`: moves a group to other offsets.
//!
//! Invariants: nothing changes without `--execute`. A group that has members is not touched: they would go on where they
//! are, and commit over what was set.

use super::{Asker, TopicAndPartitions, or_dash};
use crate::connect::no_such_topic;
use crate::exit::Failure;
use crate::output::{Table, count, show};
use crate::place::{Place, now_ms};
use clap::Args;
use corelog_client::consumer::Position;
use corelog_client::groups::{self, GroupDescription, OfTopic};
use corelog_client::offsets::Offsets;
use corelog_wire::error_code::ErrorCode;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(
    after_help = "Shows topic, partition, committed offset, new offset and the difference. An offset that a partition\n\
    does not have becomes the first or the next one that it has. The group must have no members.\n\n\
    Examples:\n  \
      corelog group reset-offsets billing --topic orders --to earliest\n  \
      corelog group reset-offsets billing --topic orders:0,3 --to 4711 --execute\n  \
      corelog group reset-offsets billing --all-topics --to @2026-01-31T12:00 --execute\n  \
      corelog group reset-offsets billing --all-topics --to @15m --execute"
)]
pub(super) struct ResetOffsets {
    /// The group; one that is not there is made, if topics are named
    #[arg(value_name = "GROUP")]
    group: String,
    /// A topic, or some partitions of it, such as orders:0,3; may be repeated
    #[arg(long, short = 't', value_name = "TOPIC[:PARTITIONS]", required_unless_present = "all_topics")]
    topic: Vec<TopicAndPartitions>,
    /// Every partition that the group has committed something of
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    /// Where to: earliest, latest, an offset, -N for N before the end, or @ and a time: ms since 1970, 2026-01-31,
    /// 2026-01-31T12:00:00 (UTC), or how long ago, such as @15m
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: Place,
    /// Do it
    #[arg(long)]
    execute: bool,
}

/// A partition that is to be moved.
struct Move {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    new: i64,
}

impl ResetOffsets {
    pub(super) fn run(&self, asker: &mut Asker) -> Result<(), Failure> {
        let group: Arc<str> = self.group.as_str().into();
        let described = asker.describe(&group)?;
        match &described {
            Some(described) => self.refuse_if_used(described)?,
            None if self.all_topics => return Err(asker.no_such_group(&self.group)),
            None => {}
        }
        let committed = match &described {
            Some(_) => asker.committed(&group)?,
            None => BTreeMap::new(),
        };
        let moves = self.moves(asker, &committed)?;
        if self.execute && !moves.is_empty() {
            self.commit(asker, &group, &moves)?;
        }
        self.show(asker.json, &moves)?;
        if !self.execute && !asker.json {
            let is_new = if described.is_none() { format!("there is no group {group} yet; ") } else { String::new() };
            let moved = count(moves.len() as u64, "offset");
            // It is no result, and nothing is lost if nobody reads it.
            let _ = writeln!(std::io::stderr(), "corelog: {is_new}nothing was changed; --execute sets {moved}");
        }
        Ok(())
    }

    fn refuse_if_used(&self, group: &GroupDescription) -> Result<(), Failure> {
        let is_idle = matches!(group.state.as_str(), "Empty" | "Dead" | "");
        if is_idle && group.members.is_empty() {
            return Ok(());
        }
        let clients: Vec<_> =
            group.members.iter().take(3).map(|member| format!("{} at {}", member.client_id, member.host)).collect();
        let more = if group.members.len() > clients.len() { ", ..." } else { "" };
        let who = match clients.is_empty() {
            true => String::new(),
            false => format!(" with {} ({}{more})", count(group.members.len() as u64, "member"), clients.join(", ")),
        };
        let message = format!(
            "group {} is {}{who}; its offsets can be moved when it has no members: stop them first",
            group.id, group.state
        );
        Err(Failure::new(message))
    }

    /// What would move where.
    fn moves(&self, asker: &mut Asker, committed: &BTreeMap<String, Offsets>) -> Result<Vec<Move>, Failure> {
        let wanted = self.wanted(asker, committed)?;
        let mut moves = Vec::new();
        for (topic, partitions) in wanted {
            let begins = asker.offsets(&topic, &partitions, Position::Beginning)?;
            let ends = asker.offsets(&topic, &partitions, Position::End)?;
            let at = |timestamp| Position::Timestamp(timestamp);
            let times = match self.to {
                Place::Timestamp(timestamp) => asker.offsets(&topic, &partitions, at(timestamp))?,
                Place::Ago(ago) => {
                    let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                    asker.offsets(&topic, &partitions, at((now_ms() - ago).max(0)))?
                }
                _ => Offsets::new(),
            };
            for partition in partitions {
                let (begin, end) = (begins[&partition], ends[&partition]);
                let new = match self.to {
                    Place::Beginning => begin,
                    Place::End => end,
                    Place::Offset(offset) => offset,
                    Place::Last(count) => end.saturating_sub_unsigned(count),
                    // Where nothing is as young as that, the next record will be.
                    Place::Timestamp(_) | Place::Ago(_) => {
                        times.get(&partition).copied().filter(|offset| *offset >= 0).unwrap_or(end)
                    }
                };
                let committed = committed.get(&topic).and_then(|offsets| offsets.get(&partition)).copied();
                moves.push(Move { topic: topic.clone(), partition, committed, new: new.min(end).max(begin) });
            }
        }
        Ok(moves)
    }

    /// The partitions to be moved, by topic.
    fn wanted(
        &self,
        asker: &mut Asker,
        committed: &BTreeMap<String, Offsets>,
    ) -> Result<BTreeMap<String, Vec<i32>>, Failure> {
        let mut wanted: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        if self.all_topics {
            let there = asker.topics(committed.keys().cloned().collect())?;
            let is_there = |(topic, offsets): (&String, &Offsets)| {
                let indexes = there.get(topic)?.partitions.iter().map(|partition| partition.index);
                Some((topic.clone(), indexes.filter(|index| offsets.contains_key(index)).collect()))
            };
            return Ok(committed.iter().filter_map(is_there).collect());
        }
        let there = asker.topics(self.topic.iter().map(|topic| topic.topic.clone()).collect())?;
        for TopicAndPartitions { topic, partitions } in &self.topic {
            let described = there.get(topic).ok_or_else(|| Failure::new(no_such_topic(topic)))?;
            let all: Vec<i32> = described.partitions.iter().map(|partition| partition.index).collect();
            let chosen = partitions.clone().unwrap_or_else(|| all.clone());
            if let Some(missing) = chosen.iter().find(|partition| !all.contains(partition)) {
                let range = if all.len() == 1 { "only 0".to_owned() } else { format!("0 to {}", all.len() - 1) };
                return Err(Failure::new(format!("topic {topic} has no partition {missing}; it has {range}")));
            }
            let wanted = wanted.entry(topic.clone()).or_default();
            wanted.extend(chosen);
            wanted.sort_unstable();
            wanted.dedup();
        }
        Ok(wanted)
    }

    fn commit(&self, asker: &mut Asker, group: &Arc<str>, moves: &[Move]) -> Result<(), Failure> {
        let mut topics: BTreeMap<&str, Vec<(i32, i64)>> = BTreeMap::new();
        for one in moves {
            topics.entry(&one.topic).or_default().push((one.partition, one.new));
        }
        let topics: Vec<OfTopic<(i32, i64)>> =
            topics.into_iter().map(|(topic, offsets)| (topic.into(), offsets)).collect();
        let first_error = |lines: &Vec<groups::OfPartition>| {
            lines.iter().find_map(|(.., done)| done.err()).unwrap_or(ErrorCode::NONE)
        };
        let call = |broker| groups::commit_offsets(broker, group.clone(), topics.clone());
        let lines = asker.ask_coordinator(group, call, groups::offsets_committed, first_error)?;
        let failures: Vec<_> = lines
            .iter()
            .filter_map(|(topic, partition, done)| Some((topic, partition, done.err()?)))
            .map(|(topic, partition, error)| match error {
                ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::NON_EMPTY_GROUP => {
                    format!("group {group} has got a member meanwhile; partition {partition} of topic {topic} stays as it is")
                }
                error => format!("partition {partition} of topic {topic} stays as it is: {error}"),
            })
            .collect();
        if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\ncorelog: "))) }
    }

    fn show(&self, as_json: bool, moves: &[Move]) -> Result<(), Failure> {
        show(|out| {
            if as_json {
                let offsets: Vec<_> = moves
                    .iter()
                    .map(|one| {
                        json!({
                            "topic": one.topic,
                            "partition": one.partition,
                            "committed": one.committed,
                            "new": one.new,
                        })
                    })
                    .collect();
                return out.json(&json!({ "group": self.group, "executed": self.execute, "offsets": offsets }));
            }
            let mut table = Table::new(&["TOPIC", "PARTITION", "COMMITTED", "NEW", "DIFFERENCE"]);
            for one in moves {
                table.row([
                    one.topic.clone(),
                    one.partition.to_string(),
                    or_dash(one.committed),
                    one.new.to_string(),
                    or_dash(one.committed.map(|committed| one.new - committed)),
                ]);
            }
            out.table(&table)
        })
    }
}
