//! `corelog config`: shows and changes settings of topics and brokers.

use super::topic::ask;
use crate::connect::{Connect, no_such_topic};
use crate::exit::{CLIENT_HELP, Failure};
use crate::output::{Table, show};
use clap::{Args, Subcommand};
use corelog_client::admin::{self, Change, Refused, Resource, Setting};
use corelog_client::call::Target as Broker;
use corelog_client::driver::Driver;
use corelog_shard::config::nearest;
use corelog_wire::api::describe_configs::{self as kinds, BROKER_RESOURCE, TOPIC_RESOURCE};
use corelog_wire::api::incremental_alter_configs::{
    APPEND_OPERATION, DELETE_OPERATION, SET_OPERATION, SUBTRACT_OPERATION,
};
use corelog_wire::error_code::ErrorCode;
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// The command line of `corelog config`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "A target is topic:NAME, broker:ID, or broker for what holds for all brokers.\n\n\
     Examples:\n  \
       corelog config get topic:orders\n  \
       corelog config get broker:1 log.retention.ms message.max.bytes\n  \
       corelog config set topic:orders topic:payments retention.ms=86400000\n  \
       corelog config set topic:orders --unset retention.ms\n\n{CLIENT_HELP}"
))]
pub(crate) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Shows settings: target, key, value, where the value comes from
    Get(Get),
    /// Changes settings
    Set(Set),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  corelog config get topic:orders\n  corelog config get topic:orders --all --docs\n  \
    corelog config get broker:1 log.retention.ms"
)]
struct Get {
    /// topic:NAME, broker:ID or broker; and the keys to show [default: those that somebody set]
    #[arg(required = true, value_name = "TARGET|KEY")]
    word: Vec<Word>,
    /// Show every setting, with its default where nobody set it
    #[arg(long, short = 'a')]
    all: bool,
    /// Show type and meaning as well
    #[arg(long)]
    docs: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  corelog config set topic:orders retention.ms=86400000 cleanup.policy+=compact\n  \
    corelog config set broker message.max.bytes=2097152\n  corelog config set topic:orders --unset retention.ms"
)]
struct Set {
    /// topic:NAME, broker:ID or broker; and KEY=VALUE, or += and -= for an element of a list
    #[arg(required = true, value_name = "TARGET|KEY=VALUE")]
    word: Vec<Word>,
    /// A setting that is to have its default again; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Only check whether it could be changed
    #[arg(long)]
    validate_only: bool,
}

/// What has settings.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Topic(String),
    Broker(i32),
    AllBrokers,
}

impl Target {
    fn resource(&self) -> Resource {
        match self {
            Self::Topic(name) => Resource { kind: TOPIC_RESOURCE, name: name.clone() },
            Self::Broker(id) => Resource { kind: BROKER_RESOURCE, name: id.to_string() },
            Self::AllBrokers => Resource { kind: BROKER_RESOURCE, name: String::new() },
        }
    }

    /// Who has to be asked: a broker alone knows its own settings.
    fn asks(&self) -> Broker {
        match self {
            Self::Broker(id) => Broker::Broker(*id),
            Self::Topic(_) | Self::AllBrokers => Broker::Any,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic:{name}"),
            Self::Broker(id) => write!(f, "broker:{id}"),
            Self::AllBrokers => f.write_str("broker"),
        }
    }
}

/// A word of the command line: a target, a key, or a change.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Target(Target),
    Key(String),
    Change(String, i8, String),
}

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((key, value)) = text.split_once('=') {
            let (key, operation) = match (key.strip_suffix('+'), key.strip_suffix('-')) {
                (Some(key), _) => (key, APPEND_OPERATION),
                (_, Some(key)) => (key, SUBTRACT_OPERATION),
                _ => (key, SET_OPERATION),
            };
            return match key.trim() {
                "" => Err("there is no key before the =, such as in retention.ms=86400000".to_owned()),
                key => Ok(Self::Change(key.to_owned(), operation, value.trim().to_owned())),
            };
        }
        match text.split_once(':') {
            Some(("topic", name)) if !name.is_empty() => Ok(Self::Target(Target::Topic(name.to_owned()))),
            Some(("broker", id)) => match id.parse() {
                Ok(id) if id >= 0 => Ok(Self::Target(Target::Broker(id))),
                _ => Err(format!("\"{id}\" is not the id of a broker; `corelog cluster info` shows them")),
            },
            Some(_) => Err("a target is topic:NAME, broker:ID or broker".to_owned()),
            None if matches!(text, "broker" | "brokers") => Ok(Self::Target(Target::AllBrokers)),
            None if matches!(text, "" | "topic") => Err("a target is topic:NAME, broker:ID or broker".to_owned()),
            None => Ok(Self::Key(text.to_owned())),
        }
    }
}

impl Config {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match &self.command {
            ConfigCommand::Get(get) => get.run(&self.connect, self.json),
            ConfigCommand::Set(set) => set.run(&self.connect, self.json),
        }
    }
}

/// A command line that makes no sense.
fn senseless(message: impl Into<String>) -> Failure {
    Failure::with_status(2, message)
}

fn targets(words: &[Word]) -> Result<Vec<Target>, Failure> {
    let mut targets: Vec<Target> = Vec::new();
    for word in words {
        if let Word::Target(target) = word
            && !targets.contains(target)
        {
            targets.push(target.clone());
        }
    }
    if targets.is_empty() {
        return Err(senseless("no target is named; it is topic:NAME, broker:ID or broker"));
    }
    Ok(targets)
}

/// Brokers that are named have to be there: nobody else can be asked.
fn check_brokers(driver: &Driver, targets: &[Target]) -> Result<(), Failure> {
    let metadata = driver.client().metadata();
    for target in targets {
        if let Target::Broker(id) = target
            && metadata.broker(*id).is_none()
        {
            let there: Vec<_> = metadata.brokers().map(|(id, _)| id.to_string()).collect();
            return Err(Failure::new(format!("there is no broker {id}; the cluster has {}", there.join(", "))));
        }
    }
    Ok(())
}

fn refused(target: &Target, refused: &Refused) -> String {
    match (target, refused.error) {
        (Target::Topic(name), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => no_such_topic(name),
        _ => format!("{target}: {refused}"),
    }
}

impl Get {
    fn run(&self, connect: &Connect, json: bool) -> Result<(), Failure> {
        if let Some(Word::Change(key, ..)) = self.word.iter().find(|word| matches!(word, Word::Change(..))) {
            return Err(senseless(format!("`get` changes nothing; `corelog config set` sets {key}")));
        }
        let targets = targets(&self.word)?;
        let keys: Vec<String> = self
            .word
            .iter()
            .filter_map(|word| match word {
                Word::Key(key) => Some(key.clone()),
                _ => None,
            })
            .collect();
        let mut driver = connect.connect()?;
        check_brokers(&driver, &targets)?;
        let mut found = Vec::new();
        for target in &targets {
            let call = admin::describe_configs(vec![target.resource()], None, self.docs || json);
            let described = ask(&mut driver, call.to(target.asks()), admin::configs_described)?;
            let (_, settings) =
                described.into_iter().next().ok_or_else(|| Failure::new(format!("{target} is not described")))?;
            let settings = settings.map_err(|error| Failure::new(refused(target, &error)))?;
            found.push((target, self.wanted(target, settings, &keys)?));
        }
        self.show(&found, keys.is_empty(), json)
    }

    /// The settings that were asked for.
    fn wanted(&self, target: &Target, settings: Vec<Setting>, keys: &[String]) -> Result<Vec<Setting>, Failure> {
        if let Some(key) = keys.iter().find(|key| settings.iter().all(|setting| setting.name != **key)) {
            let names = settings.iter().map(|setting| setting.name.as_str());
            let near = nearest(key, names).map_or(String::new(), |near| format!("; did you mean {near}?"));
            return Err(Failure::new(match target {
                // What holds for all brokers is what was set for them, and nothing else.
                Target::AllBrokers => format!("nobody set {key} for all brokers"),
                _ => format!("{target} has no setting {key}{near}"),
            }));
        }
        let is_set = |setting: &Setting| {
            matches!(
                setting.source,
                kinds::TOPIC_SOURCE
                    | kinds::DYNAMIC_BROKER_SOURCE
                    | kinds::DYNAMIC_DEFAULT_BROKER_SOURCE
                    | kinds::STATIC_BROKER_SOURCE
            )
        };
        let is_own = |setting: &Setting| match target {
            Target::Topic(_) => setting.source == kinds::TOPIC_SOURCE,
            Target::Broker(_) | Target::AllBrokers => is_set(setting),
        };
        let is_wanted = |setting: &Setting| match keys.is_empty() {
            true => self.all || is_own(setting),
            false => keys.contains(&setting.name),
        };
        Ok(settings.into_iter().filter(is_wanted).collect())
    }

    fn show(&self, found: &[(&Target, Vec<Setting>)], is_by_default: bool, json: bool) -> Result<(), Failure> {
        show(|out| {
            if json {
                let targets: Vec<_> = found
                    .iter()
                    .map(|(target, settings)| {
                        let settings: Vec<_> = settings.iter().map(json_of).collect();
                        json!({ "target": target.to_string(), "settings": settings })
                    })
                    .collect();
                return out.json(&targets.into());
            }
            let nothing = found.iter().all(|(_, settings)| settings.is_empty());
            if nothing && is_by_default && out.is_terminal() {
                return out.line("nothing is set here, so the defaults hold; --all shows them");
            }
            let mut table = Table::new(match self.docs {
                true => &["TARGET", "KEY", "VALUE", "SOURCE", "TYPE", "MEANING"],
                false => &["TARGET", "KEY", "VALUE", "SOURCE"],
            });
            for (target, setting) in
                found.iter().flat_map(|(target, settings)| settings.iter().map(move |one| (target, one)))
            {
                let value = if setting.is_sensitive {
                    "(secret)".to_owned()
                } else {
                    setting.value.clone().unwrap_or_default()
                };
                let mut cells =
                    vec![target.to_string(), setting.name.clone(), value, source(setting.source).to_owned()];
                if self.docs {
                    cells.push(kind(setting.kind).to_owned());
                    cells.push(setting.documentation.clone().unwrap_or_default());
                }
                table.row(cells);
            }
            out.table(&table)
        })
    }
}

impl Set {
    fn run(&self, connect: &Connect, json: bool) -> Result<(), Failure> {
        if let Some(Word::Key(key)) = self.word.iter().find(|word| matches!(word, Word::Key(_))) {
            return Err(senseless(format!(
                "\"{key}\" is neither KEY=VALUE nor a target: topic:NAME, broker:ID or broker"
            )));
        }
        let targets = targets(&self.word)?;
        let set = self.word.iter().filter_map(|word| match word {
            Word::Change(name, operation, value) => {
                Some(Change { name: name.clone(), operation: *operation, value: Some(value.clone()) })
            }
            _ => None,
        });
        let unset =
            self.unset.iter().map(|name| Change { name: name.clone(), operation: DELETE_OPERATION, value: None });
        let changes: Vec<Change> = set.chain(unset).collect();
        if changes.is_empty() {
            return Err(senseless("nothing to change; give KEY=VALUE, or --unset KEY"));
        }
        let mut driver = connect.connect()?;
        check_brokers(&driver, &targets)?;
        let mut failures = Vec::new();
        let mut changed = Vec::new();
        for target in &targets {
            let call = admin::alter_configs(vec![(target.resource(), changes.clone())], self.validate_only);
            let outcome = ask(&mut driver, call.to(target.asks()), admin::configs_altered)?;
            match outcome.into_iter().next() {
                Some((_, Ok(()))) => changed.push(target.to_string()),
                Some((_, Err(error))) => failures.push(refused(target, &error)),
                None => failures.push(format!("{target}: the broker's answer does not say whether it was changed")),
            }
        }
        show(|out| match (json, out.is_terminal()) {
            (true, _) => out.json(&json!({ "changed": changed, "validateOnly": self.validate_only })),
            (false, true) => {
                let done = if self.validate_only { "could be changed" } else { "was changed" };
                changed.iter().try_for_each(|target| out.line(format_args!("{target} {done}")))
            }
            (false, false) => Ok(()),
        })?;
        if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\ncorelog: "))) }
    }
}

fn source(source: i8) -> &'static str {
    match source {
        kinds::TOPIC_SOURCE => "topic",
        kinds::DYNAMIC_BROKER_SOURCE => "broker",
        kinds::DYNAMIC_DEFAULT_BROKER_SOURCE => "all brokers",
        kinds::STATIC_BROKER_SOURCE => "start of the broker",
        kinds::DEFAULT_SOURCE => "default",
        _ => "unknown",
    }
}

fn kind(kind: i8) -> &'static str {
    match kind {
        kinds::BOOLEAN_TYPE => "boolean",
        kinds::STRING_TYPE => "string",
        kinds::INT_TYPE => "int",
        kinds::SHORT_TYPE => "short",
        kinds::LONG_TYPE => "long",
        kinds::DOUBLE_TYPE => "double",
        kinds::LIST_TYPE => "list",
        kinds::CLASS_TYPE => "class",
        kinds::PASSWORD_TYPE => "password",
        _ => "unknown",
    }
}

fn json_of(setting: &Setting) -> Value {
    let synonyms: Vec<_> = setting
        .synonyms
        .iter()
        .map(|(name, value, from)| json!({ "key": name, "value": value, "source": source(*from) }))
        .collect();
    json!({
        "key": setting.name,
        "value": setting.value,
        "source": source(setting.source),
        "type": kind(setting.kind),
        "readOnly": setting.is_read_only,
        "sensitive": setting.is_sensitive,
        "synonyms": synonyms,
        "documentation": setting.documentation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_targets_keys_or_changes() {
        let target = |target| Ok(Word::Target(target));
        assert_eq!("topic:a".parse(), target(Target::Topic("a".to_owned())));
        assert_eq!("broker:7".parse(), target(Target::Broker(7)));
        assert_eq!("broker".parse(), target(Target::AllBrokers));
        assert_eq!("retention.ms".parse(), Ok(Word::Key("retention.ms".to_owned())));
        let change = |key: &str, operation, value: &str| Ok(Word::Change(key.to_owned(), operation, value.to_owned()));
        assert_eq!("a=1".parse(), change("a", SET_OPERATION, "1"));
        assert_eq!("a=".parse(), change("a", SET_OPERATION, ""));
        assert_eq!("a+=b=c".parse(), change("a", APPEND_OPERATION, "b=c"));
        assert_eq!("a-=b".parse(), change("a", SUBTRACT_OPERATION, "b"));
        assert_eq!("a=topic:b".parse(), change("a", SET_OPERATION, "topic:b"));
        for (text, wanted) in [
            ("=1", "no key"),
            ("topic:", "a target is"),
            ("group:g", "a target is"),
            ("broker:x", "not the id"),
            ("topic", "a target is"),
        ] {
            assert!(text.parse::<Word>().unwrap_err().contains(wanted), "{text}");
        }
    }
}
