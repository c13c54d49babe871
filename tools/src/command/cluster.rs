//! `corelog cluster`: what the cluster is.

use super::topic::ask;
use crate::connect::Connect;
use crate::exit::{CLIENT_HELP, Failure};
use crate::output::{Table, count, show};
use clap::{Args, Subcommand};
use corelog_client::admin::{self, ClusterDescription, TopicDescription};
use serde_json::json;

/// The command line of `corelog cluster`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Examples:\n  corelog cluster info\n  corelog cluster info --bootstrap broker.example:9092 --json\n\n{CLIENT_HELP}"
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
}

impl Cluster {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let ClusterCommand::Info = self.command;
        let mut driver = self.connect.connect()?;
        let cluster = ask(&mut driver, admin::describe_cluster(), admin::cluster_described)?;
        let cluster =
            cluster.map_err(|refused| Failure::new(format!("the broker does not describe its cluster: {refused}")))?;
        let topics = ask(&mut driver, admin::describe_topics(None), admin::topics_described)?;
        self.show(&cluster, &topics)
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
