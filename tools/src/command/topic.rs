//! `corelog topic`: creates, lists, describes, changes and deletes topics.

use crate::connect::{Connect, no_such_topic};
use crate::exit::{CLIENT_HELP, Failure};
use crate::output::{Output, OutputEnd, Table, count, show};
use clap::{Args, Subcommand};
use corelog_client::admin::{self, Change, Created, NewTopic, Refused, Resource, Setting, TopicDescription};
use corelog_client::consumer::Position;
use corelog_client::driver::Driver;
use corelog_client::offsets::{Offsets, offsets};
use corelog_wire::api::describe_configs::{TOPIC_RESOURCE, TOPIC_SOURCE};
use corelog_wire::api::incremental_alter_configs::{DELETE_OPERATION, SET_OPERATION};
use corelog_wire::error_code::ErrorCode;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a description waits for offsets.
const OFFSETS_WAIT: Duration = Duration::from_secs(5);

/// The command line of `corelog topic`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  \
       corelog topic create orders --partitions 12 --config retention.ms=86400000\n  \
       corelog topic list\n  \
       corelog topic describe orders\n  \
       corelog topic alter orders --partitions 24 --config cleanup.policy=compact\n  \
       corelog topic delete orders payments\n\n{CLIENT_HELP}"
))]
pub(crate) struct Topic {
    #[command(subcommand)]
    command: TopicCommand,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Creates a topic
    Create(Create),
    /// Names the topics: name, partitions, replicas
    List(List),
    /// Shows partitions, leaders, offsets and settings: topic, partition, leader, leader epoch, replicas, in sync, first
    /// offset, next offset
    Describe(Describe),
    /// Gives a topic more partitions or other settings
    Alter(Alter),
    /// Deletes topics and all that is in them
    Delete(Delete),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog topic create orders\n  \
    corelog topic create orders --partitions 12 --config retention.ms=86400000 --config compression.type=zstd")]
struct Create {
    /// Its name
    name: String,
    /// How many partitions it has [default: num.partitions of the broker]
    #[arg(long, short = 'p', value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many replicas each partition has [default: default.replication.factor of the broker]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting; may be repeated
    #[arg(long, short = 'c', value_name = "KEY=VALUE", value_parser = key_and_value)]
    config: Vec<(String, String)>,
    /// It is well if the topic is there already
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether it could be created
    #[arg(long)]
    validate_only: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog topic list\n  corelog topic list | cut -f1")]
struct List {
    /// Also those that are the cluster's own
    #[arg(long)]
    internal: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog topic describe\n  corelog topic describe orders --json")]
struct Describe {
    /// The topics [default: all but the cluster's own]
    name: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog topic alter orders --partitions 24\n  \
    corelog topic alter orders --config retention.ms=60000 --unset segment.ms")]
struct Alter {
    /// Its name
    name: String,
    /// How many partitions it is to have; never fewer than it has
    #[arg(long, short = 'p', value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A setting; may be repeated
    #[arg(long, short = 'c', value_name = "KEY=VALUE", value_parser = key_and_value)]
    config: Vec<(String, String)>,
    /// A setting that is to have its default again; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog topic delete orders\n  corelog topic delete old-1 old-2 --if-exists")]
struct Delete {
    /// Their names
    #[arg(required = true)]
    name: Vec<String>,
    /// It is well if a topic is not there
    #[arg(long)]
    if_exists: bool,
}

/// A setting as it stands on a command line.
pub(crate) fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("not KEY=VALUE, such as retention.ms=86400000".to_owned()),
    }
}

impl Topic {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if let TopicCommand::Alter(alter) = &self.command
            && alter.partitions.is_none()
            && alter.config.is_empty()
            && alter.unset.is_empty()
        {
            let message =
                format!("nothing to change in {}; give --partitions N, --config KEY=VALUE or --unset KEY", alter.name);
            return Err(Failure::with_status(2, message));
        }
        let mut driver = self.connect.connect()?;
        match &self.command {
            TopicCommand::Create(create) => create.run(&mut driver, self.json),
            TopicCommand::List(list) => list.run(&mut driver, self.json),
            TopicCommand::Describe(describe) => describe.run(&mut driver, self.json),
            TopicCommand::Alter(alter) => alter.run(&mut driver, self.json),
            TopicCommand::Delete(delete) => delete.run(&mut driver, self.json),
        }
    }
}

/// Makes a call and reads its answer.
pub(crate) fn ask<T>(
    driver: &mut Driver,
    call: corelog_client::call::Call,
    read: impl FnOnce(&corelog_client::connection::Answer) -> Result<T, corelog_wire::decoder::DecodeError>,
) -> Result<T, Failure> {
    let api = call.api;
    let answer = driver.call(call).map_err(|error| Failure::new(error.to_string()))?;
    read(&answer).map_err(|error| Failure::new(format!("the broker's answer to {api} makes no sense: {error}")))
}

/// What a refusal means for a topic.
fn refused(topic: &str, deed: &str, refused: &Refused) -> Failure {
    Failure::new(match refused.error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID => no_such_topic(topic),
        ErrorCode::TOPIC_ALREADY_EXISTS => {
            format!(
                "there is a topic {topic} already; `corelog topic describe {topic}` shows it, --if-not-exists accepts it"
            )
        }
        ErrorCode::TOPIC_DELETION_DISABLED => {
            format!("topic {topic} was not {deed}: delete.topic.enable is false at the brokers")
        }
        _ => format!("topic {topic} was not {deed}: {refused}"),
    })
}

/// The one answer to a question about one thing.
fn only<T>(mut answers: Vec<T>, topic: &str) -> Result<T, Failure> {
    let none = || Failure::new(format!("the broker's answer says nothing about topic {topic}"));
    answers.pop().filter(|_| answers.is_empty()).ok_or_else(none)
}

impl Create {
    fn run(&self, driver: &mut Driver, json: bool) -> Result<(), Failure> {
        let topic = NewTopic {
            name: self.name.clone(),
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            configs: self.config.clone(),
        };
        let call = admin::create_topics(vec![topic], self.validate_only);
        let created = only(ask(driver, call, admin::topics_created)?, &self.name)?;
        match &created.result {
            Ok(()) => show(|out| self.show(out, &created, json)),
            Err(error) if error.error == ErrorCode::TOPIC_ALREADY_EXISTS && self.if_not_exists => {
                show(|out| match (json, out.is_terminal()) {
                    (true, _) => out.json(&json!({ "topic": self.name, "created": false })),
                    (false, true) => out.line(format_args!("there is a topic {} already", self.name)),
                    (false, false) => Ok(()),
                })
            }
            Err(error) => Err(refused(&self.name, "created", error)),
        }
    }

    fn show(&self, out: &mut Output, created: &Created, json: bool) -> Result<(), OutputEnd> {
        let id = (!created.id.is_zero()).then(|| created.id.to_string());
        if json {
            return out.json(&json!({
                "topic": created.name,
                "created": !self.validate_only,
                "id": id,
                "partitions": created.partitions,
                "replicationFactor": created.replication_factor,
            }));
        }
        let partitions = created.partitions.or(self.partitions);
        let replicas = created.replication_factor.or(self.replication_factor);
        if out.is_terminal() {
            let done = if self.validate_only { "could be created" } else { "was created" };
            let of = partitions.map_or(String::new(), |partitions| {
                let replicas =
                    replicas.map_or(String::new(), |replicas| format!(" of {}", count(replicas as u64, "replica")));
                format!(": {}{replicas}", count(partitions as u64, "partition"))
            });
            return out.line(format_args!("topic {} {done}{of}", created.name));
        }
        let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS", "ID"]);
        let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        table.row([
            created.name.clone(),
            number(partitions.map(i64::from)),
            number(replicas.map(i64::from)),
            id.unwrap_or_else(|| "-".to_owned()),
        ]);
        out.table(&table)
    }
}

impl List {
    fn run(&self, driver: &mut Driver, json: bool) -> Result<(), Failure> {
        let mut topics = ask(driver, admin::describe_topics(None), admin::topics_described)?;
        topics.retain(|topic| self.internal || !topic.is_internal);
        show(|out| {
            if json {
                let topics: Vec<_> = topics.iter().map(summary).collect();
                return out.json(&topics.into());
            }
            if topics.is_empty() && out.is_terminal() {
                return out.line("there are no topics; `corelog topic create NAME` makes one");
            }
            let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS"]);
            for topic in &topics {
                table.row([topic.name.clone(), topic.partitions.len().to_string(), replicas(topic).to_string()]);
            }
            out.table(&table)
        })
    }
}

/// How many replicas a partition has; of the one that has most, where they differ.
fn replicas(topic: &TopicDescription) -> usize {
    topic.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0)
}

fn summary(topic: &TopicDescription) -> Value {
    json!({
        "topic": topic.name,
        "id": (!topic.id.is_zero()).then(|| topic.id.to_string()),
        "internal": topic.is_internal,
        "partitions": topic.partitions.len(),
        "replicationFactor": replicas(topic),
    })
}

/// A topic, its offsets, and the settings that are its own.
struct Described {
    topic: TopicDescription,
    begins: Offsets,
    ends: Offsets,
    settings: Vec<Setting>,
}

impl Describe {
    fn run(&self, driver: &mut Driver, json: bool) -> Result<(), Failure> {
        let names = (!self.name.is_empty()).then(|| self.name.clone());
        let mut topics = ask(driver, admin::describe_topics(names), admin::topics_described)?;
        if let Some(topic) = topics.iter().find(|topic| !topic.error.is_none() && !self.name.is_empty()) {
            return Err(refused(&topic.name, "described", &Refused { error: topic.error, message: None }));
        }
        topics.retain(|topic| topic.error.is_none() && (!topic.is_internal || !self.name.is_empty()));
        let described = topics.into_iter().map(|topic| described(driver, topic)).collect::<Result<Vec<_>, _>>()?;
        show(|out| {
            if json {
                let topics: Vec<_> = described.iter().map(Described::json).collect();
                return out.json(&topics.into());
            }
            if !out.is_terminal() {
                let mut table = Table::new(PARTITION_HEADINGS);
                described.iter().for_each(|topic| topic.rows(&mut table));
                return out.table(&table);
            }
            for (index, topic) in described.iter().enumerate() {
                if index > 0 {
                    out.line("")?;
                }
                topic.for_people(out)?;
            }
            Ok(())
        })
    }
}

const PARTITION_HEADINGS: &[&str] =
    &["TOPIC", "PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "FIRST OFFSET", "NEXT OFFSET"];

fn described(driver: &mut Driver, topic: TopicDescription) -> Result<Described, Failure> {
    let led: Vec<i32> = topic.partitions.iter().filter(|one| one.leader.is_some()).map(|one| one.index).collect();
    // Offsets are worth a wait, but a partition that cannot tell them is described all the same.
    let mut asked = |position| offsets(driver, &topic.name, &led, position, false, OFFSETS_WAIT).unwrap_or_default();
    let (begins, ends) = (asked(Position::Beginning), asked(Position::End));
    let resource = Resource { kind: TOPIC_RESOURCE, name: topic.name.clone() };
    let call = admin::describe_configs(vec![resource], None, false);
    let (_, settings) = only(ask(driver, call, admin::configs_described)?, &topic.name)?;
    let mut settings = settings.map_err(|error| refused(&topic.name, "described", &error))?;
    settings.retain(|setting| setting.source == TOPIC_SOURCE);
    Ok(Described { topic, begins, ends, settings })
}

fn ids(ids: &[i32]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    if ids.is_empty() { "-".to_owned() } else { ids.join(",") }
}

impl Described {
    fn rows(&self, table: &mut Table) {
        let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        for partition in &self.topic.partitions {
            table.row([
                self.topic.name.clone(),
                partition.index.to_string(),
                number(partition.leader.map(i64::from)),
                partition.leader_epoch.to_string(),
                ids(&partition.replicas),
                ids(&partition.isr),
                number(self.begins.get(&partition.index).copied()),
                number(self.ends.get(&partition.index).copied()),
            ]);
        }
    }

    fn for_people(&self, out: &mut Output) -> Result<(), OutputEnd> {
        let id = if self.topic.id.is_zero() { String::new() } else { format!(", id {}", self.topic.id) };
        let partitions = count(self.topic.partitions.len() as u64, "partition");
        out.heading(&format!("{}: {partitions}{id}", self.topic.name))?;
        for setting in &self.settings {
            let value = setting.value.as_deref().unwrap_or("(secret)");
            out.line(format_args!("  {} = {value}", setting.name))?;
        }
        let mut table = Table::new(PARTITION_HEADINGS);
        self.rows(&mut table);
        out.table(&table)
    }

    fn json(&self) -> Value {
        let partitions: Vec<_> = self
            .topic
            .partitions
            .iter()
            .map(|partition| {
                json!({
                    "partition": partition.index,
                    "leader": partition.leader,
                    "leaderEpoch": partition.leader_epoch,
                    "replicas": partition.replicas,
                    "isr": partition.isr,
                    "firstOffset": self.begins.get(&partition.index),
                    "nextOffset": self.ends.get(&partition.index),
                })
            })
            .collect();
        let configs: serde_json::Map<_, _> =
            self.settings.iter().map(|setting| (setting.name.clone(), setting.value.clone().into())).collect();
        let mut value = summary(&self.topic);
        value["partitions"] = partitions.into();
        value["configs"] = configs.into();
        value
    }
}

impl Alter {
    fn run(&self, driver: &mut Driver, json: bool) -> Result<(), Failure> {
        let set = self.config.iter().map(|(name, value)| Change {
            name: name.clone(),
            operation: SET_OPERATION,
            value: Some(value.clone()),
        });
        let unset =
            self.unset.iter().map(|name| Change { name: name.clone(), operation: DELETE_OPERATION, value: None });
        let changes: Vec<_> = set.chain(unset).collect();
        let resource = Resource { kind: TOPIC_RESOURCE, name: self.name.clone() };
        // The settings first: they are all or nothing, and more partitions cannot be taken back.
        if !changes.is_empty() {
            let call = admin::alter_configs(vec![(resource, changes)], false);
            let (_, result) = only(ask(driver, call, admin::configs_altered)?, &self.name)?;
            result.map_err(|error| refused(&self.name, "changed", &error))?;
        }
        if let Some(partitions) = self.partitions {
            let call = admin::create_partitions(vec![(self.name.clone(), partitions)], false);
            let outcome = only(ask(driver, call, admin::partitions_created)?, &self.name)?;
            outcome.result.map_err(|error| refused(&self.name, "given more partitions", &error))?;
        }
        show(|out| match (json, out.is_terminal()) {
            (true, _) => {
                let set: serde_json::Map<_, _> =
                    self.config.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
                out.json(&json!({
                    "topic": self.name, "partitions": self.partitions, "set": set, "unset": self.unset,
                }))
            }
            (false, true) => out.line(format_args!("topic {} was changed", self.name)),
            (false, false) => Ok(()),
        })
    }
}

impl Delete {
    fn run(&self, driver: &mut Driver, json: bool) -> Result<(), Failure> {
        let outcomes = ask(driver, admin::delete_topics(self.name.clone()), admin::topics_deleted)?;
        let is_missing = |error: &Refused| {
            matches!(error.error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID)
        };
        let deleted: Vec<&str> =
            outcomes.iter().filter(|one| one.result.is_ok()).map(|one| one.name.as_str()).collect();
        show(|out| {
            if json {
                return out.json(&json!({ "deleted": deleted }));
            }
            for name in &deleted {
                match out.is_terminal() {
                    true => out.line(format_args!("topic {name} was deleted"))?,
                    false => out.line(name)?,
                }
            }
            Ok(())
        })?;
        let failures: Vec<_> = outcomes
            .iter()
            .filter_map(|one| Some((&one.name, one.result.as_ref().err()?)))
            .filter(|(_, error)| !(self.if_exists && is_missing(error)))
            .map(|(name, error)| refused(name, "deleted", error).message)
            .collect();
        if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\ncorelog: "))) }
    }
}
