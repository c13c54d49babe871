//! `corelog group`: groups of consumers, how far they have read, and what to do about it.

mod delete;
mod describe;
mod list;
mod reset;

use crate::connect::Connect;
use crate::exit::{CLIENT_HELP, Failure};
use clap::{Args, Subcommand};
use corelog_client::admin::{self, TopicDescription};
use corelog_client::call::Call;
use corelog_client::connection::Answer;
use corelog_client::consumer::Position;
use corelog_client::driver::Driver;
use corelog_client::groups::{self, CommittedOffsets, GroupDescription, ListedGroup, TopicName};
use corelog_client::offsets::{Offsets, offsets};
use corelog_shard::config::nearest;
use corelog_wire::decoder::DecodeError;
use corelog_wire::error_code::ErrorCode;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause before a broker that is about to know its groups is asked again.
const LOADING_PAUSE: Duration = Duration::from_millis(100);

/// The command line of `corelog group`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  \
       corelog group list\n  \
       corelog group describe billing\n  \
       corelog group reset-offsets billing --topic orders --to earliest\n  \
       corelog group reset-offsets billing --topic orders --to earliest --execute\n  \
       corelog group delete billing\n\n\
     `corelog consume TOPIC --group GROUP` reads as a member of a group.\n\n{CLIENT_HELP}"
))]
pub(crate) struct Group {
    #[command(subcommand)]
    command: GroupCommand,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// Names the groups: group, state, type, protocol
    List(list::List),
    /// Shows how far a group has read: topic, partition, committed offset, end of the log, lag, member, client, host
    Describe(describe::Describe),
    /// Moves a group to other offsets; without --execute it only shows what would change
    ResetOffsets(reset::ResetOffsets),
    /// Deletes groups that have no members, and what they have committed
    Delete(delete::Delete),
    /// Forgets what a group has committed of topics that it does not read
    DeleteOffsets(delete::DeleteOffsets),
}

impl Group {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut asker = Asker { driver: self.connect.connect()?, timeout: self.connect.timeout(), json: self.json };
        match &self.command {
            GroupCommand::List(list) => list.run(&mut asker),
            GroupCommand::Describe(describe) => describe.run(&mut asker),
            GroupCommand::ResetOffsets(reset) => reset.run(&mut asker),
            GroupCommand::Delete(delete) => delete.run(&mut asker),
            GroupCommand::DeleteOffsets(delete) => delete.run(&mut asker),
        }
    }
}

/// Topics and partitions as they stand on a command line: `orders`, or `orders:0,3`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TopicAndPartitions {
    topic: String,
    /// None for all of them.
    partitions: Option<Vec<i32>>,
}

impl FromStr for TopicAndPartitions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (topic, partitions) = match text.split_once(':') {
            None => (text, None),
            Some((topic, numbers)) => (topic, Some(numbers)),
        };
        let wrong = || format!("\"{text}\" is not TOPIC or TOPIC:PARTITION,PARTITION, such as orders:0,3");
        let number = |text: &str| text.parse().ok().filter(|number: &i32| *number >= 0);
        let mut partitions: Option<Vec<i32>> = match partitions {
            None => None,
            Some(numbers) => Some(numbers.split(',').map(number).collect::<Option<_>>().ok_or_else(wrong)?),
        };
        if let Some(partitions) = &mut partitions {
            partitions.sort_unstable();
            partitions.dedup();
        }
        if topic.is_empty() { Err(wrong()) } else { Ok(Self { topic: topic.to_owned(), partitions }) }
    }
}

/// What asks brokers about groups.
struct Asker {
    driver: Driver,
    timeout: Duration,
    json: bool,
}

impl Asker {
    /// Asks any broker.
    fn ask<T>(&mut self, call: Call, read: impl FnOnce(&Answer) -> Result<T, DecodeError>) -> Result<T, Failure> {
        super::topic::ask(&mut self.driver, call, read)
    }

    /// Asks the coordinator of a group.
    fn ask_coordinator<T>(
        &mut self,
        group: &Arc<str>,
        call: impl Fn(i32) -> Call,
        read: impl Fn(&Answer) -> Result<T, DecodeError>,
        error: impl Fn(&T) -> ErrorCode,
    ) -> Result<T, Failure> {
        let answer = groups::of_coordinator(&mut self.driver, group, self.timeout, call, read, error);
        answer.map_err(|error| Failure::new(format!("group {group}: {error}")))
    }

    /// Every group of the cluster, by name; only those in these states, if some are named.
    fn list(&mut self, states: &[String]) -> Result<Vec<ListedGroup>, Failure> {
        let cluster = self.ask(admin::describe_cluster(), admin::cluster_described)?;
        let cluster =
            cluster.map_err(|refused| Failure::new(format!("the broker does not describe its cluster: {refused}")))?;
        let deadline = Instant::now() + self.timeout;
        let mut all = Vec::new();
        for broker in cluster.brokers {
            let listed = loop {
                let (error, listed) =
                    self.ask(groups::list_groups(broker.id, states.to_vec()), groups::groups_listed)?;
                match error {
                    ErrorCode::NONE => break listed,
                    error if error.is_retriable() && Instant::now() < deadline => {
                        self.driver.until(LOADING_PAUSE, |_| None::<()>);
                    }
                    error => {
                        return Err(Failure::new(format!("broker {} does not name its groups: {error}", broker.id)));
                    }
                }
            };
            all.extend(listed);
        }
        all.retain(|group| states.is_empty() || states.contains(&group.state));
        all.sort();
        all.dedup_by(|a, b| a.id == b.id);
        Ok(all)
    }

    /// Describes a group; none if there is no such group. One whose members speak another protocol than the classic one has
    /// none here.
    fn describe(&mut self, group: &Arc<str>) -> Result<Option<GroupDescription>, Failure> {
        let described = self.ask_coordinator(
            group,
            |broker| groups::describe_group(broker, group.clone()),
            groups::group_described,
            |described| described.as_ref().map_or(ErrorCode::NONE, |described| described.error),
        )?;
        match described {
            Some(described) if described.error.is_none() && described.state != "Dead" => Ok(Some(described)),
            Some(GroupDescription { error, message, .. })
                if !error.is_none() && error != ErrorCode::GROUP_ID_NOT_FOUND =>
            {
                let words = message.map_or(String::new(), |message| format!(": {message}"));
                Err(Failure::new(format!("group {group} is not described{words} ({error})")))
            }
            _ => {
                let listed = self.list(&[])?.into_iter().find(|listed| *listed.id == **group);
                Ok(listed.map(|listed| GroupDescription {
                    id: listed.id,
                    error: ErrorCode::NONE,
                    message: None,
                    state: listed.state,
                    protocol_type: listed.protocol_type,
                    protocol: String::new(),
                    members: Vec::new(),
                }))
            }
        }
    }

    /// What to say of a group that is not there.
    fn no_such_group(&mut self, group: &str) -> Failure {
        let listed = self.list(&[]).unwrap_or_default();
        let near = nearest(group, listed.iter().map(|listed| listed.id.as_str()));
        let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
        Failure::new(format!("there is no group {group}; {near}`corelog group list` shows those there are"))
    }

    /// What a group has committed, by topic and partition.
    fn committed(&mut self, group: &Arc<str>) -> Result<BTreeMap<String, Offsets>, Failure> {
        let CommittedOffsets { error, partitions } = self.ask_coordinator(
            group,
            |broker| groups::committed_offsets(broker, group.clone()),
            groups::offsets_fetched,
            |fetched| fetched.error,
        )?;
        if !error.is_none() && error != ErrorCode::GROUP_ID_NOT_FOUND {
            return Err(Failure::new(format!("the offsets of group {group} are not known: {error}")));
        }
        let mut committed: BTreeMap<String, Offsets> = BTreeMap::new();
        for line in partitions {
            if let (TopicName::Name(topic), true, true) = (line.topic, line.error.is_none(), line.offset >= 0) {
                committed.entry(topic).or_default().insert(line.partition, line.offset);
            }
        }
        Ok(committed)
    }

    /// Those of these topics that are there, by name.
    fn topics(&mut self, names: Vec<String>) -> Result<BTreeMap<String, TopicDescription>, Failure> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let topics = self.ask(admin::describe_topics(Some(names)), admin::topics_described)?;
        let there = topics.into_iter().filter(|topic| topic.error.is_none());
        Ok(there.map(|topic| (topic.name.clone(), topic)).collect())
    }

    /// The offset of a place in each of these partitions.
    fn offsets(&mut self, topic: &str, partitions: &[i32], position: Position) -> Result<Offsets, Failure> {
        offsets(&mut self.driver, topic, partitions, position, false, self.timeout)
            .map_err(|error| Failure::new(format!("the offsets of topic {topic} are not known: {error}")))
    }
}

/// A number, or a dash where there is none.
fn or_dash(number: Option<impl ToString>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// A text, or a dash where it is empty.
fn shown(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<TopicAndPartitions>().map(|read| (read.topic, read.partitions));
        assert_eq!(read("orders"), Ok(("orders".to_owned(), None)));
        assert_eq!(read("orders:3,0,3"), Ok(("orders".to_owned(), Some(vec![0, 3]))));
        for text in ["", ":1", "orders:", "orders:a", "orders:-1", "orders:1,"] {
            assert!(read(text).unwrap_err().contains("such as orders:0,3"), "{text}");
        }
    }
}
