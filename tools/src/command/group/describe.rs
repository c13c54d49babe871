//! `corelog group describe`: how far a group has read, and who reads.

use super::{Asker, or_dash, shown};
use crate::exit::Failure;
use crate::output::{Output, OutputEnd, Table, count, show};
use clap::Args;
use corelog_client::consumer::Position;
use corelog_client::groups::{GroupDescription, MemberDescription};
use corelog_client::offsets::Offsets;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog group describe billing\n  corelog group describe billing --members\n  \
    corelog group describe billing --json | jq '[.partitions[].lag] | add'")]
pub(super) struct Describe {
    /// The group
    #[arg(value_name = "GROUP")]
    group: String,
    /// Show the members instead: member, its own name if it is static, client, host, partitions
    #[arg(long)]
    members: bool,
}

/// A partition that the group has committed something of, or that a member reads.
struct Line<'a> {
    topic: &'a str,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    member: Option<&'a MemberDescription>,
}

impl Line<'_> {
    /// How many offsets are still to be read.
    fn lag(&self) -> Option<i64> {
        Some(self.end?.saturating_sub(self.committed?).max(0))
    }
}

impl Describe {
    pub(super) fn run(&self, asker: &mut Asker) -> Result<(), Failure> {
        let id: Arc<str> = self.group.as_str().into();
        let Some(group) = asker.describe(&id)? else { return Err(asker.no_such_group(&self.group)) };
        let committed = asker.committed(&id)?;
        let readers = readers(&group);
        let mut places: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
        for (topic, partition) in readers.keys() {
            places.entry(topic).or_default().insert(*partition);
        }
        for (topic, offsets) in &committed {
            places.entry(topic).or_default().extend(offsets.keys());
        }
        let ends = ends(asker, &places)?;
        let known =
            |of: &BTreeMap<String, Offsets>, topic: &str, partition: i32| of.get(topic)?.get(&partition).copied();
        let lines: Vec<Line<'_>> = places
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (*topic, *partition)))
            .map(|(topic, partition)| Line {
                topic,
                partition,
                committed: known(&committed, topic, partition),
                end: known(&ends, topic, partition),
                member: readers.get(&(topic, partition)).copied(),
            })
            .collect();
        show(|out| match (asker.json, out.is_terminal()) {
            (true, _) => out.json(&as_json(&group, &lines)),
            (false, true) => self.for_people(out, &group, &lines),
            (false, false) if self.members => out.table(&members(&group)),
            (false, false) => out.table(&lag(&lines)),
        })
    }

    fn for_people(&self, out: &mut Output, group: &GroupDescription, lines: &[Line<'_>]) -> Result<(), OutputEnd> {
        let protocol = if group.protocol.is_empty() { String::new() } else { format!(", {}", group.protocol) };
        let members_there = count(group.members.len() as u64, "member");
        let lags: i64 = lines.iter().filter_map(Line::lag).sum();
        out.heading(&format!("{}: {}{protocol}, {members_there}, lag {lags}", group.id, shown(&group.state)))?;
        if self.members {
            return out.table(&members(group));
        }
        if lines.is_empty() {
            return out.line("it has committed nothing, and reads nothing");
        }
        out.table(&lag(lines))
    }
}

/// Who reads which partition.
fn readers(group: &GroupDescription) -> BTreeMap<(&str, i32), &MemberDescription> {
    let mut readers = BTreeMap::new();
    for member in &group.members {
        for (topic, partition) in member.assigned.iter().flatten() {
            readers.insert((&**topic, *partition), member);
        }
    }
    readers
}

/// Where the logs of these partitions end; those that are not there, or have no leader, are left out.
fn ends(asker: &mut Asker, places: &BTreeMap<&str, BTreeSet<i32>>) -> Result<BTreeMap<String, Offsets>, Failure> {
    let there = asker.topics(places.keys().map(|topic| (*topic).to_owned()).collect())?;
    let mut ends = BTreeMap::new();
    for (name, topic) in there {
        let led =
            topic.partitions.iter().filter(|partition| partition.leader.is_some()).map(|partition| partition.index);
        let led: Vec<i32> = led.filter(|index| places[&*name].contains(index)).collect();
        let found = asker.offsets(&name, &led, Position::End)?;
        ends.insert(name, found);
    }
    Ok(ends)
}

fn lag(lines: &[Line<'_>]) -> Table {
    let mut table = Table::new(&["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER", "CLIENT", "HOST"]);
    for line in lines {
        let of =
            |text: fn(&MemberDescription) -> &str| line.member.map_or("-".to_owned(), |member| shown(text(member)));
        table.row([
            line.topic.to_owned(),
            line.partition.to_string(),
            or_dash(line.committed),
            or_dash(line.end),
            or_dash(line.lag()),
            of(|member| &member.id),
            of(|member| &member.client_id),
            of(|member| &member.host),
        ]);
    }
    table
}

/// What a member reads, as `orders:0,1 payments:3`.
fn assigned(member: &MemberDescription) -> String {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (topic, partition) in member.assigned.iter().flatten() {
        topics.entry(topic).or_default().push(partition.to_string());
    }
    let topics: Vec<_> = topics.iter().map(|(topic, partitions)| format!("{topic}:{}", partitions.join(","))).collect();
    shown(&topics.join(" "))
}

fn members(group: &GroupDescription) -> Table {
    let mut table = Table::new(&["MEMBER", "NAME", "CLIENT", "HOST", "PARTITIONS"]);
    for member in &group.members {
        table.row([
            member.id.clone(),
            shown(member.instance_id.as_deref().unwrap_or_default()),
            shown(&member.client_id),
            shown(&member.host),
            assigned(member),
        ]);
    }
    table
}

fn as_json(group: &GroupDescription, lines: &[Line<'_>]) -> Value {
    let members: Vec<_> = group
        .members
        .iter()
        .map(|member| {
            let partitions = member.assigned.iter().flatten();
            let partitions: Vec<_> =
                partitions.map(|(topic, partition)| json!({ "topic": &**topic, "partition": partition })).collect();
            json!({
                "member": member.id,
                "instance": member.instance_id,
                "client": member.client_id,
                "host": member.host,
                "partitions": partitions,
            })
        })
        .collect();
    let partitions: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "topic": line.topic,
                "partition": line.partition,
                "committed": line.committed,
                "end": line.end,
                "lag": line.lag(),
                "member": line.member.map(|member| &member.id),
                "client": line.member.map(|member| &member.client_id),
                "host": line.member.map(|member| &member.host),
            })
        })
        .collect();
    json!({
        "group": group.id,
        "state": group.state,
        "protocolType": group.protocol_type,
        "protocol": group.protocol,
        "members": members,
        "partitions": partitions,
    })
}
