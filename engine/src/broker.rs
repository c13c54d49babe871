//! A broker from its configuration to its end: cores, port, data directory, recovery, hosts.
//!
//! Owns the order of a start: the ports are taken first (a second broker fails before it touches data), then the data
//! directory is locked and recovered, which `/readyz` says, then clients are served. How many shards there are, randomness and the clock enter
//! here.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use corelog_shard::config::{BrokerConfig, ConfigError, Endpoint, MEMORY_BYTES_MIN, SegmentReads};
use corelog_shard::io::{Action, Event, LogLevel, Now};
use corelog_shard::mesh::{Message, SHARDS_MAX};
use corelog_shard::metrics::Figures;
use corelog_shard::shard::{Shard, StartError, StartErrorKind};
use corelog_shard::start::{self, StartOptions, StartReport};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use crate::host::{ConnectionQuota, Decide, Exit, HostConfig, HostError};
use crate::metrics::{Metrics, MetricsError, Panel, Phase};
use crate::net::connections::ConnectionLimits;
use crate::net::listener::{ListenError, Listener};
use crate::node::{self, Member};
use crate::runtime::clock;
use crate::runtime::disk::DirectDisk;
use crate::runtime::file::DiskFiles;
use crate::runtime::ring::Features;
use crate::runtime::stop::Stop;

/// How long a start waits for the lock of the data directory: a killed broker's last writes hold it for a moment.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// The pause between two tries.
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// The configuration, checked.
    pub config: BrokerConfig,
    /// Start although acknowledged records are damaged.
    pub accept_loss: bool,
    /// How many cores to use, each with a shard of its own; `None` for all that this process may use and its memory is
    /// enough for.
    pub cores: Option<u32>,
    /// Where `/metrics`, `/healthz` and `/readyz` are; `None` for nowhere.
    pub metrics: Option<Endpoint>,
}

/// What there is to say when clients are served.
#[derive(Debug)]
pub struct Ready {
    /// The address listened on.
    pub address: SocketAddr,
    /// The address that `/metrics` is at.
    pub metrics: Option<SocketAddr>,
    /// How many cores, and so shards, there are.
    pub cores: u32,
    /// What the start found.
    pub report: StartReport,
    /// How long recovery took.
    pub recovery: Duration,
}

/// Why a broker did not start, or could not go on.
#[derive(Debug)]
pub enum BrokerError {
    /// There cannot be so many cores.
    Cores(ConfigError),
    /// The port cannot be had.
    Listen(ListenError),
    /// There can be no `/metrics`.
    Metrics(MetricsError),
    /// The address to listen on is none.
    Address(Endpoint, io::Error),
    /// The data directory cannot be opened.
    Directory(PathBuf, io::Error),
    /// The data directory was refused.
    Start(StartError),
    /// The machine does not let it run.
    Host(HostError),
    /// Something the process needs from the system.
    System(&'static str, io::Error),
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cores(error) => error.fmt(f),
            Self::Listen(error) => error.fmt(f),
            Self::Metrics(error) => error.fmt(f),
            Self::Address(endpoint, error) => write!(f, "cannot listen on {endpoint}: {error}"),
            Self::Directory(path, error) => {
                write!(f, "cannot use the data directory {}: {error}; choose another --data-dir", path.display())
            }
            Self::Start(error) => f.write_str(&error.message),
            Self::Host(error) => error.fmt(f),
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for BrokerError {}

/// Runs a broker on the calling thread until it is asked to stop or cannot go on.
///
/// # Errors
/// Why it did not start. Once clients are served the end is an [`Exit`].
pub fn run(mut options: BrokerOptions, stop: Stop, ready: impl FnOnce(&Ready)) -> Result<Exit, BrokerError> {
    let features = Features::NEWEST.here().map_err(|error| BrokerError::System("cannot set up io_uring", error))?;
    options.config.segment_reads = segment_reads(options.config.segment_reads, features);
    let given = given_cpus();
    let cores = cores(&options.config, options.cores, given.len()).map_err(BrokerError::Cores)?;
    let listener = Listener::bind(resolve(&options.config.listen)?).map_err(BrokerError::Listen)?;
    let metrics = start_metrics(options.metrics.as_ref(), cores)?;
    let begun = Instant::now();
    let directory = PathBuf::from(&options.config.data_dir);
    // Clients are told where it is, and they are elsewhere.
    if let Some(absolute) =
        std::path::absolute(&directory).ok().and_then(|path| path.into_os_string().into_string().ok())
    {
        options.config.data_dir = absolute;
    }
    let (shards, report, files) = recover(&options, &directory, listener.address(), cores)?;
    for (level, line) in &report.lines {
        log(*level, line);
    }
    let recovery = begun.elapsed();
    let files = files.split(shards.len()).map_err(|error| BrokerError::Directory(directory, error))?;
    let member = |(index, (decide, files))| {
        let cpu = (!given.is_empty()).then(|| given[index % given.len()]);
        Member { decide, files, cpu }
    };
    let members = shards.into_iter().zip(files).enumerate().map(member).collect();
    let panel = metrics.as_ref().map(|(panel, _)| panel.clone());
    let config = HostConfig { metrics: panel.clone(), ..host_config(&options.config, cores) };
    node::run(config, listener, members, stop, |address| {
        if let Some(panel) = panel {
            panel.enter(Phase::Serving);
        }
        let metrics = metrics.as_ref().map(|(_, server)| server.address());
        ready(&Ready { address, metrics, cores, report, recovery });
    })
    .map_err(BrokerError::Host)
}

/// Starts to answer operators, if they want to be.
fn start_metrics(endpoint: Option<&Endpoint>, cores: u32) -> Result<Option<(Panel, Metrics)>, BrokerError> {
    let Some(endpoint) = endpoint else { return Ok(None) };
    let out_of_descriptors = |error| BrokerError::Metrics(MetricsError::System(error));
    let panel = Panel::new(cores as usize).map_err(out_of_descriptors)?;
    let server = Metrics::start(resolve(endpoint)?, panel.clone()).map_err(BrokerError::Metrics)?;
    Ok(Some((panel, server)))
}

/// How many cores to use of those that are `given`; says so where it is not what one might expect.
fn cores(config: &BrokerConfig, wanted: Option<u32>, given: usize) -> Result<u32, ConfigError> {
    let given = (given as u32).clamp(1, SHARDS_MAX);
    let Some(wanted) = wanted else {
        let enough_for = u32::try_from(config.memory.total / MEMORY_BYTES_MIN).unwrap_or(u32::MAX).max(1);
        if enough_for < given {
            let (each, there) = (MEMORY_BYTES_MIN >> 20, config.memory.total >> 20);
            tracing::warn!(
                "using {enough_for} of {given} cores: each takes {each} MiB of memory, and there are {there} MiB; give \
                 --memory, or --cores {enough_for} to be spared this line"
            );
        }
        return Ok(given.min(enough_for));
    };
    config.check_shards(wanted)?;
    if wanted > given {
        tracing::warn!("{wanted} shards share {given} cores: more shards than cores gain nothing");
    }
    Ok(wanted)
}

/// Locks and recovers the data directory; tries again for a while when it is locked.
fn recover(
    options: &BrokerOptions,
    directory: &Path,
    address: SocketAddr,
    shards: u32,
) -> Result<(Vec<Shard>, StartReport, DiskFiles), BrokerError> {
    let random: [u8; 40] = random().map_err(|error| BrokerError::System("cannot read random numbers", error))?;
    let part = |at: usize| random[at..at + 16].try_into().expect("sixteen bytes");
    let give_up = Instant::now() + LOCK_WAIT;
    loop {
        let mut disk =
            DirectDisk::create(directory).map_err(|error| BrokerError::Directory(directory.to_owned(), error))?;
        let start_options = StartOptions {
            now: clock::now(),
            seed: u64::from_ne_bytes(random[32..].try_into().expect("eight bytes")),
            cluster_id: part(0),
            directory_id: part(16),
            advertised: advertised(&options.config, address),
            shards,
            accept_loss: options.accept_loss,
        };
        match start::start(&mut disk, options.config.clone(), &start_options) {
            Ok((shards, report)) => return Ok((shards, report, disk.into_files())),
            Err(error) if error.kind == StartErrorKind::Locked && Instant::now() < give_up => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(error) => return Err(BrokerError::Start(error)),
        }
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn resolve(endpoint: &Endpoint) -> Result<SocketAddr, BrokerError> {
    let host = if endpoint.host.is_empty() { "0.0.0.0" } else { &endpoint.host };
    let failed = |error| BrokerError::Address(endpoint.clone(), error);
    let mut addresses = (host, endpoint.port).to_socket_addrs().map_err(failed)?;
    addresses.next().ok_or_else(|| failed(io::Error::other("the name has no address")))
}

/// Where clients are told to connect to.
fn advertised(config: &BrokerConfig, address: SocketAddr) -> (String, u16) {
    match &config.advertised {
        Some(endpoint) => (endpoint.host.clone(), if endpoint.port == 0 { address.port() } else { endpoint.port }),
        None if config.listen.is_wildcard() => ("localhost".to_owned(), address.port()),
        None => (config.listen.host.clone(), address.port()),
    }
}

/// How each of so many hosts runs.
fn host_config(config: &BrokerConfig, cores: u32) -> HostConfig {
    let each = config.clone().for_shard(cores).memory;
    let quota = ConnectionQuota::default();
    quota.set(&config.connections);
    HostConfig {
        request_bytes_max: config.request_bytes_max,
        frame_memory_bytes: config.memory.frames as usize,
        connections: ConnectionLimits {
            // The quota and the limit of open files bound it.
            connections_max: usize::MAX,
            unsent_pressed_bytes: (each.reads / 2) as usize,
            unfinished_bytes_max: (config.memory.frames / 4 / u64::from(cores)) as usize,
            ..ConnectionLimits::default()
        },
        quota,
        ..HostConfig::default()
    }
}

/// How segments are read on a kernel with these features.
fn segment_reads(wanted: SegmentReads, features: Features) -> SegmentReads {
    if wanted == SegmentReads::Splice && !features.splice {
        tracing::warn!("this kernel's io_uring has no splice: segments are read directly and verified");
        return SegmentReads::Direct;
    }
    wanted
}

/// The cores that the process was given; none where the system does not say.
fn given_cpus() -> Vec<usize> {
    let Ok(given) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|cpu| given.is_set(*cpu).unwrap_or(false)).collect()
}

fn log(level: LogLevel, line: &str) {
    match level {
        LogLevel::Error => tracing::error!("{line}"),
        LogLevel::Warn => tracing::warn!("{line}"),
        LogLevel::Info => tracing::info!("{line}"),
        LogLevel::Debug => tracing::debug!("{line}"),
    }
}

/// A shard is made on one thread and runs on another.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Shard>();
};

impl Decide for Shard {
    type Message = Message;

    fn handle(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        Shard::handle(self, now, event, actions);
    }

    fn end_of_turn(&mut self, now: Now, actions: &mut Vec<Action>) {
        Shard::end_of_turn(self, now, actions);
    }

    fn next_deadline_us(&self) -> Option<u64> {
        Shard::next_deadline_us(self)
    }

    fn measures_time(&self) -> bool {
        Shard::measures_time(self)
    }

    fn time_passed(&mut self, now: Now, took_us: u64) {
        Shard::time_passed(self, now, took_us);
    }

    fn figures(&self) -> Figures {
        Shard::figures(self)
    }

    fn figures_of_partitions(&self, from: usize, partitions_max: usize, figures: &mut Figures) -> Option<usize> {
        Shard::figures_of_partitions(self, from, partitions_max, figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cores_are_used_that_there_is_memory_for() {
        let mut config = BrokerConfig::default();
        config.set("corelog.memory.bytes", &(256 << 20).to_string()).unwrap();
        for (wanted, given, expected) in
            [(None, 2, 2), (None, 4, 4), (None, 64, 4), (None, 0, 1), (Some(1), 64, 1), (Some(4), 2, 4)]
        {
            assert_eq!(cores(&config, wanted, given).unwrap(), expected, "{wanted:?} of {given}");
        }
        let error = cores(&config, Some(5), 64).unwrap_err().to_string();
        assert!(error.contains("320 MiB") && error.contains("--cores"), "{error}");
        assert!(!given_cpus().is_empty());
    }

    #[test]
    fn memory_is_divided_among_hosts_but_for_large_requests() {
        let config = BrokerConfig::default();
        let (one, four) = (host_config(&config, 1), host_config(&config, 4));
        assert_eq!(one.frame_memory_bytes, four.frame_memory_bytes);
        assert_eq!(one.connections.unfinished_bytes_max, 4 * four.connections.unfinished_bytes_max);
        assert_eq!(one.connections.unsent_pressed_bytes, 4 * four.connections.unsent_pressed_bytes);
        assert_eq!(one.connections.connections_max, four.connections.connections_max);
    }

    #[test]
    fn without_splice_segments_are_read_directly() {
        use SegmentReads::{Direct, Splice};
        for (wanted, features, expected) in [
            (Direct, Features::NEWEST, Direct),
            (Direct, Features::OLDEST, Direct),
            (Splice, Features::NEWEST, Splice),
            (Splice, Features::OLDEST, Direct),
        ] {
            assert_eq!(segment_reads(wanted, features), expected);
        }
        assert!(Features::NEWEST.here().unwrap().splice, "Linux 5.7 has it");
        assert_eq!(Features::OLDEST.here().unwrap(), Features::OLDEST);
    }
}
