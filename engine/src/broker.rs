//! A broker from its configuration to its end: port, data directory, recovery, host.
//!
//! Owns the order of a start: the port is taken first (a second broker fails before it touches data), then the data
//! directory is locked and recovered, then clients are served. Randomness and the clock enter the shard here.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use corelog_shard::config::{BrokerConfig, Endpoint, SegmentReads};
use corelog_shard::io::{Action, Event, LogLevel, Now};
use corelog_shard::shard::{Shard, StartError, StartErrorKind};
use corelog_shard::start::{self, StartOptions, StartReport};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use crate::host::{self, ConnectionQuota, Decide, Exit, HostConfig, HostError};
use crate::net::connections::ConnectionLimits;
use crate::net::listener::{ListenError, Listener};
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
    /// The core to stay on; `None` for the first one that this process may use.
    pub cpu: Option<usize>,
}

/// What there is to say when clients are served.
#[derive(Debug)]
pub struct Ready {
    /// The address listened on.
    pub address: SocketAddr,
    /// What the start found.
    pub report: StartReport,
    /// How long recovery took.
    pub recovery: Duration,
}

/// Why a broker did not start, or could not go on.
#[derive(Debug)]
pub enum BrokerError {
    /// The port cannot be had.
    Listen(ListenError),
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
            Self::Listen(error) => error.fmt(f),
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
    let listener = Listener::bind(resolve(&options.config.listen)?).map_err(BrokerError::Listen)?;
    let begun = Instant::now();
    let directory = PathBuf::from(&options.config.data_dir);
    // Clients are told where it is, and they are elsewhere.
    if let Some(absolute) =
        std::path::absolute(&directory).ok().and_then(|path| path.into_os_string().into_string().ok())
    {
        options.config.data_dir = absolute;
    }
    let (shard, report, files) = recover(&options, &directory, listener.address())?;
    for (level, line) in &report.lines {
        log(*level, line);
    }
    let recovery = begun.elapsed();
    let host_config = host_config(&options);
    host::run(host_config, listener, files, shard, stop, |address| ready(&Ready { address, report, recovery }))
        .map_err(BrokerError::Host)
}

/// Locks and recovers the data directory; tries again for a while when it is locked.
fn recover(
    options: &BrokerOptions,
    directory: &Path,
    address: SocketAddr,
) -> Result<(Shard, StartReport, DiskFiles), BrokerError> {
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
            shards: 1,
            accept_loss: options.accept_loss,
        };
        match start::start(&mut disk, options.config.clone(), &start_options) {
            Ok((mut shards, report)) => return Ok((shards.remove(0), report, disk.into_files())),
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

fn host_config(options: &BrokerOptions) -> HostConfig {
    let config = &options.config;
    let quota = ConnectionQuota::default();
    quota.set(&config.connections);
    HostConfig {
        cpu: options.cpu.or_else(first_cpu),
        request_bytes_max: config.request_bytes_max,
        frame_memory_bytes: config.memory.frames as usize,
        connections: ConnectionLimits {
            unsent_pressed_bytes: (config.memory.reads / 2) as usize,
            unfinished_bytes_max: (config.memory.frames / 4) as usize,
            // The quota and the limit of open files bound it.
            connections_max: usize::MAX,
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

/// The first core that the process was given.
fn first_cpu() -> Option<usize> {
    let given = sched_getaffinity(Pid::from_raw(0)).ok()?;
    (0..CpuSet::count()).find(|cpu| given.is_set(*cpu).unwrap_or(false))
}

fn log(level: LogLevel, line: &str) {
    match level {
        LogLevel::Error => tracing::error!("{line}"),
        LogLevel::Warn => tracing::warn!("{line}"),
        LogLevel::Info => tracing::info!("{line}"),
        LogLevel::Debug => tracing::debug!("{line}"),
    }
}

impl Decide for Shard {
    fn handle(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        Shard::handle(self, now, event, actions);
    }

    fn end_of_turn(&mut self, now: Now, actions: &mut Vec<Action>) {
        Shard::end_of_turn(self, now, actions);
    }

    fn next_deadline_us(&self) -> Option<u64> {
        Shard::next_deadline_us(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
