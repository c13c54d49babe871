//! `corelog group delete` and `corelog group delete-offsets`: forgets groups, or a part of what they have committed.

use super::{Asker, TopicAndPartitions};
use crate::exit::Failure;
use crate::output::{count, show};
use clap::Args;
use corelog_client::groups::{self, OfTopic};
use corelog_wire::error_code::ErrorCode;
use serde_json::json;
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog group delete billing\n  corelog group delete old-1 old-2 --if-exists")]
pub(super) struct Delete {
    /// The groups
    #[arg(value_name = "GROUP", required = true)]
    group: Vec<String>,
    /// It is well if a group is not there
    #[arg(long)]
    if_exists: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog group delete-offsets billing --topic orders\n  \
    corelog group delete-offsets billing --topic orders:0,3 --topic payments")]
pub(super) struct DeleteOffsets {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// A topic, or some partitions of it, such as orders:0,3; may be repeated
    #[arg(long, short = 't', value_name = "TOPIC[:PARTITIONS]", required = true)]
    topic: Vec<TopicAndPartitions>,
}

impl Delete {
    pub(super) fn run(&self, asker: &mut Asker) -> Result<(), Failure> {
        let mut deleted = Vec::new();
        let mut failures = Vec::new();
        for name in &self.group {
            match self.delete(asker, name) {
                Ok(true) => deleted.push(name.as_str()),
                Ok(false) => {}
                Err(failure) => failures.push(failure.message),
            }
        }
        show(|out| {
            if asker.json {
                return out.json(&json!({ "deleted": deleted }));
            }
            for name in &deleted {
                match out.is_terminal() {
                    true => out.line(format_args!("group {name} was deleted"))?,
                    false => out.line(name)?,
                }
            }
            Ok(())
        })?;
        if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\ncorelog: "))) }
    }

    /// Deletes one group; false if it was not there, and need not be.
    fn delete(&self, asker: &mut Asker, name: &str) -> Result<bool, Failure> {
        let group: Arc<str> = name.into();
        let outcomes = asker.ask_coordinator(
            &group,
            |broker| groups::delete_group(broker, group.clone()),
            groups::groups_deleted,
            |outcomes| {
                outcomes.first().and_then(|one| one.result.as_ref().err()).map_or(ErrorCode::NONE, |one| one.error)
            },
        )?;
        let Some(outcome) = outcomes.into_iter().next() else {
            return Err(Failure::new(format!("the broker's answer says nothing about group {name}")));
        };
        match outcome.result {
            Ok(()) => Ok(true),
            Err(refused) => match refused.error {
                ErrorCode::GROUP_ID_NOT_FOUND if self.if_exists => Ok(false),
                ErrorCode::GROUP_ID_NOT_FOUND => Err(asker.no_such_group(name)),
                ErrorCode::NON_EMPTY_GROUP => Err(Failure::new(format!(
                    "group {name} has members and was not deleted; stop them first: \
                     `corelog group describe {name} --members` names them"
                ))),
                _ => Err(Failure::new(format!("group {name} was not deleted: {refused}"))),
            },
        }
    }
}

impl DeleteOffsets {
    pub(super) fn run(&self, asker: &mut Asker) -> Result<(), Failure> {
        let group: Arc<str> = self.group.as_str().into();
        let committed = asker.committed(&group)?;
        if committed.is_empty() && asker.describe(&group)?.is_none() {
            return Err(asker.no_such_group(&self.group));
        }
        let mut wanted: Vec<OfTopic<i32>> = Vec::new();
        for TopicAndPartitions { topic, partitions } in &self.topic {
            let there = committed.get(topic);
            let is_there = |partition: &i32| there.is_some_and(|offsets| offsets.contains_key(partition));
            let chosen: Vec<i32> = match partitions {
                Some(partitions) => partitions.iter().copied().filter(is_there).collect(),
                None => there.map_or(Vec::new(), |offsets| offsets.keys().copied().collect()),
            };
            if chosen.is_empty() {
                let message = format!(
                    "group {group} has committed nothing of topic {topic}; `corelog group describe {group}` shows what it has"
                );
                return Err(Failure::new(message));
            }
            wanted.push((topic.as_str().into(), chosen));
        }
        let call = |broker| groups::delete_offsets(broker, group.clone(), wanted.clone());
        let (error, lines) = asker.ask_coordinator(&group, call, groups::offsets_deleted, |(error, _)| *error)?;
        match error {
            ErrorCode::NONE => {}
            ErrorCode::GROUP_ID_NOT_FOUND => return Err(asker.no_such_group(&self.group)),
            ErrorCode::NON_EMPTY_GROUP => {
                return Err(Failure::new(format!("group {group} has members that are no consumers; stop them first")));
            }
            error => return Err(Failure::new(format!("the offsets of group {group} were not deleted: {error}"))),
        }
        let deleted: Vec<(&str, i32)> = lines
            .iter()
            .filter(|(.., done)| done.is_ok())
            .map(|(topic, partition, _)| (topic.as_str(), *partition))
            .collect();
        show(|out| {
            if asker.json {
                let deleted: Vec<_> = deleted
                    .iter()
                    .map(|(topic, partition)| json!({ "topic": topic, "partition": partition }))
                    .collect();
                return out.json(&json!({ "group": self.group, "deleted": deleted }));
            }
            if out.is_terminal() {
                let offsets = count(deleted.len() as u64, "offset");
                return out.line(format_args!("{offsets} of group {group} were deleted"));
            }
            deleted.iter().try_for_each(|(topic, partition)| out.line(format_args!("{topic}\t{partition}")))
        })?;
        let failures: Vec<_> = lines
            .iter()
            .filter_map(|(topic, partition, done)| Some((topic, partition, done.err()?)))
            .map(|(topic, partition, error)| match error {
                ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC => format!(
                    "group {group} reads topic {topic}, so the offset of partition {partition} stays; stop its members first"
                ),
                error => format!("the offset of partition {partition} of topic {topic} was not deleted: {error}"),
            })
            .collect();
        if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\ncorelog: "))) }
    }
}
