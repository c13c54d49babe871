//! `corelog-perf`: loads a running broker with librdkafka from one core and says what it cost.
//!
//! Standard output carries the figures, one per line. The broker is any that speaks Kafka's protocol; its process id is
//! needed for its own CPU time. What the machine spent besides (kernel workers) is counted too, so nothing else may run.

mod connections;
mod consume;
mod cpu;
mod disk;
mod produce;
mod spread;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Parser)]
#[command(
    name = "corelog-perf",
    version,
    about = "Measures a broker under librdkafka's load",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends records as fast as librdkafka can, or at a rate, and waits for every acknowledgement
    Produce(produce::Produce),
    /// Reads a topic from its beginning or end
    Consume(consume::Consume),
    /// Sends the same batches to one partition, or round a number of them
    Spread(spread::Spread),
    /// Keeps thousands of connections that produce and consume at once
    Connections(connections::Connections),
    /// Writes to a file as the journal does, for comparison: preallocated, prewritten, synced with each write
    Disk(disk::Disk),
}

/// What every load needs to know of the broker.
#[derive(Clone, Debug, clap::Args)]
struct Target {
    /// Where the broker is
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    bootstrap: String,
    /// The broker's process, for its CPU time
    #[arg(long, value_name = "PID")]
    pid: u32,
    /// The topic; it must exist, or the broker creates it
    #[arg(long, default_value = "perf")]
    topic: String,
    /// Its partitions
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// The core that the load stays on
    #[arg(long, default_value_t = 1)]
    core: usize,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Produce(produce) => produce.run(),
        Command::Consume(consume) => consume.run(),
        Command::Spread(spread) => spread.run(),
        Command::Connections(connections) => connections.run(),
        Command::Disk(disk) => disk.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("corelog-perf: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Milliseconds since 1970.
fn now_ms() -> Result<i64, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    i64::try_from(now.as_millis()).map_err(|error| error.to_string())
}

/// Keeps the calling thread, and all that it starts later, on one core.
fn stay_on(core: usize) -> Result<(), String> {
    if core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        Ok(())
    } else {
        Err(format!("cannot stay on core {core}; choose another with --core"))
    }
}
