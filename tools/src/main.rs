//! The `corelog` program: reads the command line, runs one command, and ends with its exit status.
//!
//! Standard output carries what was asked for (the ready line, a dump, the findings of a check), standard error
//! everything else.

mod command;
mod connect;
mod dump;
mod exit;
mod format;
mod interrupt;
mod output;
mod place;
mod size;

use clap::{CommandFactory, Parser, Subcommand};
use exit::Failure;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged unless somebody says otherwise.
const LOG_DEFAULT: &str = "warn";

#[derive(Debug, Parser)]
#[command(
    name = "corelog",
    version,
    about = "A Kafka-compatible message broker for Linux, and its command line",
    after_help = "Try:\n  corelog start                      a broker on 127.0.0.1:9092, data in ./corelog-data\n  \
                  corelog check                      can this machine run it?\n  \
                  corelog topic create orders        a topic\n  \
                  echo hello | corelog produce orders\n  corelog consume orders\n  \
                  corelog help start                 all that can be set",
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as `corelog_engine=debug`
    /// [default: the variable RUST_LOG, or warn]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a broker until SIGTERM or SIGINT
    Start(command::start::Start),
    /// Says whether this machine can run a broker, and what to do about what is missing
    Check(command::check::Check),
    /// Shows what is in files of a data directory, and what is corrupt where
    Dump(command::dump::Dump),
    /// Creates, lists, describes, changes and deletes topics
    Topic(command::topic::Topic),
    /// Shows and changes settings of topics and brokers
    Config(command::config::Config),
    /// Shows groups of consumers and how far they have read; moves and deletes them
    Group(command::group::Group),
    /// Shows what the cluster is
    Cluster(command::cluster::Cluster),
    /// Writes lines to a topic
    Produce(command::produce::Produce),
    /// Shows the records of a topic
    Consume(command::consume::Consume),
    /// Prints what a shell needs to complete this command line
    Completions(command::completions::Completions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = log_to_stderr(cli.log.as_deref()).and_then(|()| match cli.command {
        Command::Start(start) => start.run(),
        Command::Check(check) => check.run(),
        Command::Dump(dump) => dump.run(),
        Command::Produce(produce) => produce.run(),
        Command::Consume(consume) => consume.run(),
        Command::Topic(topic) => topic.run(),
        Command::Config(config) => config.run(),
        Command::Group(group) => group.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::Completions(completions) => completions.run(Cli::command()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Sends the log to standard error: what `--log` says, or `RUST_LOG`, or only what somebody should look at.
fn log_to_stderr(filter: Option<&str>) -> Result<(), Failure> {
    let variable = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let (source, text) = match (filter, variable.as_deref()) {
        (Some(text), _) => ("--log", text),
        (None, Some(text)) => ("RUST_LOG", text),
        (None, None) => ("--log", LOG_DEFAULT),
    };
    let filter = EnvFilter::builder().parse(text).map_err(|error| {
        Failure::new(format!("{source} \"{text}\" is no filter ({error}); try info, or corelog_engine=debug"))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
