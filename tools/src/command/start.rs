//! `corelog start`: runs a broker until it is asked to stop.

use super::check;
use crate::exit::{DAMAGED, Failure, HELP};
use crate::size;
use clap::Args;
use corelog_engine::broker::{self, BrokerError, BrokerOptions, Ready};
use corelog_engine::config::{self, MEMORY_KEY};
use corelog_engine::host::{EXIT_FATAL, Exit};
use corelog_engine::metrics::METRICS_ADDRESS;
use corelog_engine::runtime::stop::Stop;
use corelog_shard::config::{BrokerConfig, Endpoint};
use corelog_shard::mesh::SHARDS_MAX;
use corelog_shard::shard::StartErrorKind;
use std::io::Write;
use std::path::PathBuf;

/// The command line of `corelog start`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Settings are Kafka's broker settings and Corelog's own. What is given by an option of its own wins over --set,\n\
     --set over --config, --config over the defaults. When clients are served, one line that begins with\n\
     `ready HOST:PORT` goes to standard output.\n\n\
     Examples:\n  \
       corelog start\n  \
       corelog start --listen 0.0.0.0:9092 --advertise broker.example:9092 --data-dir /var/lib/corelog\n  \
       corelog start --cores 2 --memory 2G --set num.partitions=4 --set log.retention.hours=24\n  \
       corelog start --config server.properties --listen 127.0.0.1:0\n\n{HELP}"
))]
pub(crate) struct Start {
    /// Where the data is, made when missing [default: ./corelog-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The address to listen on; port 0 picks a free one [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT", value_parser = Endpoint::parse)]
    listen: Option<Endpoint>,
    /// The address that clients are told to connect to [default: the one listened on]
    #[arg(long, value_name = "HOST:PORT", value_parser = Endpoint::parse)]
    advertise: Option<Endpoint>,
    /// How many cores to use, each with a shard of its own [default: all, as far as there are 64M of memory for each]
    #[arg(long, value_name = "N", value_parser = cores)]
    cores: Option<u32>,
    /// The memory to use, such as 512MiB or 2G [default: a quarter of the machine's, at most 4G]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,
    /// The address of /metrics (Prometheus), /healthz and /readyz; port 0 picks a free one, `off` leaves them out
    #[arg(long, value_name = "HOST:PORT", default_value = METRICS_ADDRESS, value_parser = Metrics::parse)]
    metrics: Metrics,
    /// A properties file as Kafka has it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, such as num.partitions=4; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Start even if acknowledged records are lost by it: only after a start was refused that named them
    #[arg(long)]
    accept_loss: bool,
}

/// Where operators look.
#[derive(Clone, Debug)]
enum Metrics {
    Off,
    At(Endpoint),
}

impl Metrics {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            address => Endpoint::parse(address).map(Self::At).map_err(|error| format!("{error}, or off")),
        }
    }
}

/// The line for people and for scripts.
fn announce(ready: &Ready, where_and_how: &str) {
    let Ready { address, metrics, cores, report, recovery } = ready;
    let found = match (report.is_new, report.was_clean) {
        (true, _) => "new".to_owned(),
        (false, true) => format!("recovered in {recovery:.1?} after a clean stop"),
        (false, false) => format!("recovered in {recovery:.1?} after a crash: {} journal entries read", report.entries),
    };
    let cluster = &report.cluster_id;
    let cores = if *cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
    let metrics = metrics.map(|address| format!("; metrics at http://{address}/metrics")).unwrap_or_default();
    // Whoever does not listen does not keep the broker from running.
    let _ = writeln!(
        std::io::stdout(),
        "ready {address} cluster {cluster}, {where_and_how} on {cores}; {found}{metrics}; stop with Ctrl-C"
    );
}

/// Reads a number of cores.
pub(super) fn cores(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err("a broker needs a core".to_owned()),
        Ok(cores) if cores > SHARDS_MAX => Err(format!("a broker uses at most {SHARDS_MAX} cores")),
        Ok(cores) => Ok(cores),
        Err(_) => Err("not a number of cores".to_owned()),
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("not KEY=VALUE, such as num.partitions=4".to_owned()),
    }
}

impl Start {
    /// Runs the broker until it is asked to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = self.configuration()?;
        check::require(&config, self.cores)?;
        if config.advertised.is_none() && config.listen.is_wildcard() {
            tracing::warn!(
                "listening on every address, but clients are told to connect to localhost: give --advertise HOST:PORT \
                 for clients on other machines"
            );
        }
        // Before any thread starts: they inherit which signals are blocked.
        let stop = Stop::on_signals().map_err(|error| Failure::new(format!("cannot take signals: {error}")))?;
        let where_and_how = format!(
            "node {}, data in {}, {} of memory",
            config.node_id,
            config.data_dir,
            size::show(config.memory.total)
        );
        let metrics = match self.metrics {
            Metrics::Off => None,
            Metrics::At(endpoint) => Some(endpoint),
        };
        let options = BrokerOptions { config, accept_loss: self.accept_loss, cores: self.cores, metrics };
        match broker::run(options, stop, |ready| announce(ready, &where_and_how)) {
            Ok(Exit::Stopped(_)) => Ok(()),
            Ok(Exit::Fatal { message }) => Err(Failure::with_status(EXIT_FATAL as u8, message)),
            Err(BrokerError::Start(error)) if error.kind == StartErrorKind::Damaged => {
                Err(Failure::with_status(DAMAGED, error.message))
            }
            Err(error) => Err(Failure::new(error.to_string())),
        }
    }

    /// The configuration that file, settings and options make together.
    fn configuration(&self) -> Result<BrokerConfig, Failure> {
        let mut settings = self.set.clone();
        let mut option = |key: &str, value: String| settings.push((key.to_owned(), value));
        if let Some(listen) = &self.listen {
            option("listeners", format!("PLAINTEXT://{listen}"));
        }
        if let Some(advertise) = &self.advertise {
            option("advertised.listeners", format!("PLAINTEXT://{advertise}"));
        }
        if let Some(memory) = self.memory {
            option(MEMORY_KEY, memory.to_string());
        }
        let mut config =
            config::load(self.config.as_deref(), &settings).map_err(|error| Failure::new(error.to_string()))?;
        if let Some(data_dir) = &self.data_dir {
            let text = data_dir.to_str().filter(|text| !text.is_empty());
            let text =
                text.ok_or_else(|| Failure::new("--data-dir is empty or not UTF-8; choose another directory"))?;
            config.data_dir = text.to_owned();
        }
        let request_bytes_max = config.request_bytes_max.to_string();
        if let Some(asked) = config.explicit("socket.request.max.bytes").filter(|asked| *asked != request_bytes_max) {
            tracing::warn!(
                "requests may have {request_bytes_max} bytes, a sixteenth of the memory, instead of {asked}"
            );
        }
        let unused: Vec<&str> = config.unused().collect();
        if !unused.is_empty() {
            tracing::warn!("these settings are Kafka's, but change nothing here: {}", unused.join(", "));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        start: Start,
    }

    fn configuration(arguments: &[&str]) -> Result<BrokerConfig, String> {
        let line = Line::try_parse_from(["start"].iter().chain(arguments)).map_err(|error| error.to_string())?;
        line.start.configuration().map_err(|failure| failure.to_string())
    }

    #[test]
    fn options_win_over_settings() {
        let config = configuration(&[
            "--set=listeners=PLAINTEXT://:1",
            "--listen=127.0.0.1:0",
            "--advertise=broker.example:9093",
            "--memory=512MiB",
            "--data-dir=/tmp/a,b",
            "--set",
            "num.partitions = 4",
        ])
        .unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:0");
        assert_eq!(config.advertised.unwrap().to_string(), "broker.example:9093");
        assert_eq!(config.memory.total, 512 << 20);
        assert_eq!(config.data_dir, "/tmp/a,b");
        assert_eq!(config.num_partitions, 4);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_cure() {
        for (arguments, wanted) in [
            (&["--cores=two"][..], "not a number of cores"),
            (&["--cores=0"], "a broker needs a core"),
            (&["--cores=1025"], "a broker uses at most 1024 cores"),
            (&["--memory=lots"], "is not a size, such as 512MiB"),
            (&["--memory=1M"], "corelog.memory.bytes: 1048576 is not between 67108864 and"),
            (&["--listen=9092"], "is not HOST:PORT, such as 127.0.0.1:9092"),
            (&["--set=num.partitions"], "not KEY=VALUE"),
            (&["--set=num.partition=1"], "did you mean num.partitions?"),
            (&["--metrics=9644"], "is not HOST:PORT"),
            (&["--metrics=none"], ", or off"),
            (&["--advertise=0.0.0.0:9092"], "clients cannot connect to 0.0.0.0:9092"),
            (&["--config=/no/such"], "cannot read the configuration /no/such"),
            (&["--data-dir="], "a value is required for '--data-dir <DIR>'"),
        ] {
            let error = configuration(arguments).unwrap_err();
            assert!(error.contains(wanted), "{arguments:?}: {error}");
        }
    }
}
