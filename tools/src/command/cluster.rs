//! `corelog cluster`: what the cluster is, and what lies where.

use super::topic::ask;
use crate::connect::{Connect, no_such_topic};
use crate::exit::{CLIENT_HELP, Failure};
use crate::output::{Output, OutputEnd, Table, count, show};
use crate::size;
use clap::{Args, Subcommand};
use corelog_client::admin::{self, ClusterDescription, LogDir, LogDirReplica, TopicDescription};
use corelog_client::driver::Driver;
use serde_json::json;
use std::collections::BTreeMap;

/// The command line of `corelog cluster`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  corelog cluster info\n  corelog cluster info --bootstrap broker.example:9092 --json\n  \
     corelog cluster log-dirs --topic orders\n\n{CLIENT_HELP}"
))]
pub(crate) struct Cluster {
    #[command(subcommand)]
    command: ClusterCommand,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Shows the brokers: id, address, rack, whether it is the controller, how many partitions it leads and how many
    /// replicas it has
    Info,
    /// Shows how large the logs are and where they lie: broker, directory, topic, partition, bytes
    LogDirs(LogDirs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog cluster log-dirs\n  \
    corelog cluster log-dirs --topic orders --topic payments\n  \
    corelog cluster log-dirs | sort -t \"$(printf '\\t')\" -k5,5nr | head")]
struct LogDirs {
    /// Only this topic; may be repeated
    #[arg(long, short = 't', value_name = "TOPIC")]
    topic: Vec<String>,
}

impl Cluster {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut driver = self.connect.connect()?;
        let cluster = ask(&mut driver, admin::describe_cluster(), admin::cluster_described)?;
        let cluster =
            cluster.map_err(|refused| Failure::new(format!("the broker does not describe its cluster: {refused}")))?;
        match &self.command {
            ClusterCommand::Info => {
                let topics = ask(&mut driver, admin::describe_topics(None), admin::topics_described)?;
                self.show(&cluster, &topics)
            }
            ClusterCommand::LogDirs(log_dirs) => log_dirs.run(&mut driver, &cluster, self.json),
        }
    }

    fn show(&self, cluster: &ClusterDescription, topics: &[TopicDescription]) -> Result<(), Failure> {
        let partitions = || topics.iter().flat_map(|topic| &topic.partitions);
        let led = |id: i32| partitions().filter(|partition| partition.leader == Some(id)).count();
        let held = |id: i32| partitions().filter(|partition| partition.replicas.contains(&id)).count();
        let is_controller = |id: i32| cluster.controller == Some(id);
        show(|out| {
            if self.json {
                let brokers: Vec<_> = cluster
                    .brokers
                    .iter()
                    .map(|broker| {
                        json!({
                            "id": broker.id,
                            "host": broker.address.host,
                            "port": broker.address.port,
                            "rack": broker.rack,
                            "controller": is_controller(broker.id),
                            "leaders": led(broker.id),
                            "replicas": held(broker.id),
                        })
                    })
                    .collect();
                return out.json(&json!({
                    "cluster": cluster.id,
                    "controller": cluster.controller,
                    "topics": topics.len(),
                    "partitions": partitions().count(),
                    "brokers": brokers,
                }));
            }
            out.heading(&format!(
                "cluster {}: {}, {} with {}",
                cluster.id,
                count(cluster.brokers.len() as u64, "broker"),
                count(topics.len() as u64, "topic"),
                count(partitions().count() as u64, "partition"),
            ))?;
            let mut table = Table::new(&["BROKER", "ADDRESS", "RACK", "CONTROLLER", "LEADERS", "REPLICAS"]);
            for broker in &cluster.brokers {
                table.row([
                    broker.id.to_string(),
                    broker.address.to_string(),
                    broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
                    if is_controller(broker.id) { "yes" } else { "no" }.to_owned(),
                    led(broker.id).to_string(),
                    held(broker.id).to_string(),
                ]);
            }
            out.table(&table)
        })
    }
}

impl LogDirs {
    fn run(&self, driver: &mut Driver, cluster: &ClusterDescription, json: bool) -> Result<(), Failure> {
        let mut directories: Vec<(i32, LogDir)> = Vec::new();
        for broker in &cluster.brokers {
            let found = ask(driver, admin::describe_log_dirs(broker.id), admin::log_dirs_described)?;
            let found = found.map_err(|refused| {
                Failure::new(format!("broker {} does not describe its log directories: {refused}", broker.id))
            })?;
            directories.extend(found.into_iter().map(|directory| (broker.id, directory)));
        }
        for topic in &self.topic {
            let lies =
                |(_, directory): &(i32, LogDir)| directory.replicas.iter().any(|replica| replica.topic == *topic);
            if !directories.iter().any(lies) {
                return Err(Failure::new(no_such_topic(topic)));
            }
        }
        let is_asked = |replica: &LogDirReplica| self.topic.is_empty() || self.topic.contains(&replica.topic);
        directories.iter_mut().for_each(|(_, directory)| directory.replicas.retain(is_asked));
        show(|out| match (json, out.is_terminal()) {
            (true, _) => out.json(&as_json(&directories)),
            (false, true) => for_people(out, &directories),
            (false, false) => {
                let mut table = Table::new(&["BROKER", "DIRECTORY", "TOPIC", "PARTITION", "BYTES"]);
                for (broker, directory) in &directories {
                    for replica in &directory.replicas {
                        table.row([
                            broker.to_string(),
                            directory.path.clone(),
                            replica.topic.clone(),
                            replica.partition.to_string(),
                            replica.bytes.to_string(),
                        ]);
                    }
                }
                out.table(&table)
            }
        })
    }
}

fn bytes(directory: &LogDir) -> u64 {
    directory.replicas.iter().map(|replica| u64::try_from(replica.bytes).unwrap_or(0)).sum()
}

/// Directory by directory, with totals of each and of each topic.
fn for_people(out: &mut Output, directories: &[(i32, LogDir)]) -> Result<(), OutputEnd> {
    let mut topics: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (broker, directory) in directories {
        let room = match (directory.usable_bytes, directory.total_bytes) {
            (Some(usable), Some(total)) => format!(
                ", {} free of {}",
                size::show(u64::try_from(usable).unwrap_or(0)),
                size::show(u64::try_from(total).unwrap_or(0))
            ),
            _ => String::new(),
        };
        let wrong = if directory.error.is_none() { String::new() } else { format!(", {}", directory.error) };
        let replicas = count(directory.replicas.len() as u64, "replica");
        let all = size::show(bytes(directory));
        out.heading(&format!("broker {broker}, {}: {replicas}, {all}{room}{wrong}", directory.path))?;
        let mut table = Table::new(&["TOPIC", "PARTITION", "BYTES", ""]);
        for replica in &directory.replicas {
            let state = if replica.is_future { "moving here" } else { "" };
            table.row([
                replica.topic.clone(),
                replica.partition.to_string(),
                replica.bytes.to_string(),
                state.to_owned(),
            ]);
            let (replicas, bytes) = topics.entry(&replica.topic).or_default();
            (*replicas, *bytes) = (*replicas + 1, *bytes + u64::try_from(replica.bytes).unwrap_or(0));
        }
        out.table(&table)?;
        out.line("")?;
    }
    let mut table = Table::new(&["TOPIC", "REPLICAS", "BYTES", ""]);
    for (topic, (replicas, bytes)) in topics {
        table.row([topic.to_owned(), replicas.to_string(), bytes.to_string(), size::show(bytes)]);
    }
    out.table(&table)
}

fn as_json(directories: &[(i32, LogDir)]) -> serde_json::Value {
    let directories: Vec<_> = directories
        .iter()
        .map(|(broker, directory)| {
            let replicas: Vec<_> = directory
                .replicas
                .iter()
                .map(|replica| {
                    json!({
                        "topic": replica.topic,
                        "partition": replica.partition,
                        "bytes": replica.bytes,
                        "offsetLag": replica.offset_lag,
                        "moving": replica.is_future,
                    })
                })
                .collect();
            json!({
                "broker": broker,
                "directory": directory.path,
                "error": (!directory.error.is_none()).then(|| directory.error.to_string()),
                "bytes": bytes(directory),
                "volumeBytes": directory.total_bytes,
                "volumeFreeBytes": directory.usable_bytes,
                "replicas": replicas,
            })
        })
        .collect();
    directories.into()
}
