//! The real broker as a process of its own, for tests that talk to it as any client does.
//!
//! Invariants: a broker listens on loopback only, on a port that the system picked; its data lie in a folder of its own,
//! which goes away with it; it is ended by its process id when the value is dropped; every wait is bounded, and a wait that
//! runs out fails with what the broker wrote to stderr.
//!
//! The binary is the one that `CORELOG_BIN` names, or `corelog` beside the test's own executable: `cargo build` makes it.
//! With `CORELOG_BOOTSTRAP=HOST:PORT` tests run against a broker that is already there, Apache Kafka for example, which
//! shows whether the tests themselves are right; tests that stop or restart their broker then do nothing.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a start may take, recovery included.
const START_MAX: Duration = Duration::from_secs(60);

/// How long a clean stop may take.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A free port of loopback, picked by the system.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running broker.
pub struct Broker {
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    /// Absent where the broker was there before us.
    process: Option<Process>,
}

struct Process {
    child: Child,
    options: Options,
    folder: TempDir,
}

/// What a broker is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    arguments: Vec<String>,
    cores: Option<u32>,
    environment: Vec<(String, String)>,
    /// The user that the broker runs as, and the shell's words that set its limits.
    user: Option<(u32, String)>,
    /// Another data directory than that in the broker's folder.
    data_dir: Option<PathBuf>,
    has_metrics: bool,
}

/// A start that did not come to serve.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// How the broker ended; absent where it had to be killed.
    pub status: Option<ExitStatus>,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Options {
    /// The defaults of `corelog start`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a Kafka key, as `--set key=value` does.
    #[must_use]
    pub fn set(self, key: &str, value: &str) -> Self {
        self.argument("--set").argument(&format!("{key}={value}"))
    }

    /// Runs it on so many cores; without this, on all that there is memory for. It counts from the next start on.
    #[must_use]
    pub fn cores(mut self, cores: u32) -> Self {
        self.cores = Some(cores);
        self
    }

    /// Adds an argument to `corelog start`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Lets it answer `/metrics`, on a port that the system picks: [`Broker::metrics`].
    #[must_use]
    pub fn metrics(mut self) -> Self {
        self.has_metrics = true;
        self
    }

    /// Sets an environment variable of the broker.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts a broker and waits until it is ready.
    ///
    /// # Panics
    /// If the broker ends, or is not ready in time.
    #[must_use]
    pub fn start(self) -> Broker {
        if let Ok(bootstrap) = std::env::var("CORELOG_BOOTSTRAP") {
            let address = bootstrap.parse().expect("CORELOG_BOOTSTRAP is an address and a port");
            return Broker { address, metrics: None, process: None };
        }
        self.try_start(new_folder(), ANY_PORT).unwrap_or_else(|refusal| panic!("the broker is not ready: {refusal:?}"))
    }

    /// Runs the broker as another user and with limits, words of the shell such as `ulimit -S -n 1024`. Only root can.
    #[must_use]
    pub fn unprivileged(mut self, user: u32, limits: &str) -> Self {
        self.user = Some((user, limits.to_owned()));
        self
    }

    /// Puts the data into a folder that stays when the broker goes away.
    #[must_use]
    pub fn data_dir(mut self, folder: &Path) -> Self {
        self.data_dir = Some(folder.to_owned());
        self
    }

    /// Starts a broker at an address, in a folder of its own: a new one, or [`Broker::copy_data`].
    ///
    /// # Errors
    /// The broker ended, or was not ready in time.
    pub fn try_start(self, folder: TempDir, listen: SocketAddr) -> Result<Broker, Refusal> {
        let (child, Ready { address, metrics }) = launch(&self, folder.path(), listen)?;
        Ok(Broker { address, metrics, process: Some(Process { child, options: self, folder }) })
    }

    /// Starts a second broker on the data of one that runs.
    ///
    /// # Errors
    /// The broker ended, as it should, or was not ready in time.
    pub fn try_start_beside(self, other: &Broker) -> Result<(), Refusal> {
        let (mut child, _) =
            launch(&Options { data_dir: Some(other.data_dir()), ..self }, new_folder().path(), ANY_PORT)?;
        let _ = child.kill();
        let _ = child.wait();
        Ok(())
    }
}

/// A folder for a broker of its own; its data go into `data`.
///
/// # Panics
/// If there can be none.
#[must_use]
pub fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("corelog-test-").tempdir().expect("a folder for data")
}

/// Copies a folder with all that is in it; `to` must not be there.
///
/// # Errors
/// What the file system said.
pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &to)?,
            false => drop(std::fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}

impl Broker {
    /// Starts a broker with the defaults and waits until it is ready.
    ///
    /// # Panics
    /// If the broker ends, or is not ready in time.
    #[must_use]
    pub fn start() -> Self {
        Options::new().start()
    }

    /// Where it listens, as clients write it.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its `/metrics` are.
    ///
    /// # Panics
    /// If it was started without [`Options::metrics`].
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        self.metrics.expect("it was started with metrics")
    }

    /// Whether the broker is ours to stop and restart, and its data ours to read.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.process.is_some()
    }

    /// Its data directory.
    ///
    /// # Panics
    /// If the broker is not ours.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        let process = self.ours();
        process.options.data_dir.clone().unwrap_or_else(|| data_dir(process.folder.path()))
    }

    /// A copy of its data in a folder for [`Options::try_start`]. Stop or kill it before.
    pub fn copy_data(&self) -> TempDir {
        let folder = new_folder();
        copy_folder(&self.data_dir(), &data_dir(folder.path())).expect("a copy of the data");
        folder
    }

    /// The memory that it holds now, in bytes (`VmRSS`).
    ///
    /// # Panics
    /// If the broker is not ours, or does not run.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process_id());
        let status = std::fs::read_to_string(path).expect("the broker runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has a size");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Its process id.
    ///
    /// # Panics
    /// If the broker is not ours.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.ours().child.id()
    }

    /// What it has written to stderr so far, over all its starts.
    #[must_use]
    pub fn stderr(&self) -> String {
        stderr_of(self.ours().folder.path())
    }

    /// Ends it as a power cut would end the process: SIGKILL, nothing flushed. The data stay.
    ///
    /// # Panics
    /// If the broker is not ours.
    pub fn kill(&mut self) {
        let child = &mut self.ours_mut().child;
        child.kill().expect("a child that has not been waited for can be killed");
        child.wait().expect("a killed child ends");
    }

    /// Asks it to stop with SIGTERM and waits for its end. The data stay.
    ///
    /// # Panics
    /// If the broker is not ours, or has not ended in time.
    pub fn stop(&mut self) -> ExitStatus {
        let process = self.ours_mut();
        signal(&process.child, Signal::SIGTERM);
        wait_for_end(&mut process.child, STOP_MAX).unwrap_or_else(|| panic!("no end {STOP_MAX:?} after SIGTERM"))
    }

    /// Starts it again on the same data, after [`Broker::kill`] or [`Broker::stop`]; the port may be another one.
    ///
    /// # Panics
    /// If the broker is not ours, still runs, or is not ready in time.
    pub fn start_again(&mut self) {
        self.start_again_at(ANY_PORT);
    }

    /// Like [`Broker::start_again`], on so many cores.
    ///
    /// # Panics
    /// As [`Broker::start_again`].
    pub fn start_again_on(&mut self, cores: u32) {
        self.ours_mut().options.cores = Some(cores);
        self.start_again();
    }

    /// Starts it again on so many cores, and kills it after this time, whether it is ready or not.
    ///
    /// # Panics
    /// If the broker is not ours, or still runs.
    pub fn start_and_kill(&mut self, cores: u32, after: Duration) {
        let process = self.ours_mut();
        process.options.cores = Some(cores);
        let mut child = spawn(&process.options, process.folder.path(), ANY_PORT);
        if let Some(status) = wait_for_end(&mut child, after) {
            panic!("the start ended by itself with {status}: {}", self.stderr());
        }
    }

    /// Like [`Broker::start_again`], at this address, so that connected clients find it again.
    ///
    /// # Panics
    /// If the broker is not ours, still runs, or is not ready in time.
    pub fn start_again_at(&mut self, address: SocketAddr) {
        let process = self.ours_mut();
        let ended = process.child.try_wait().expect("the child's state can be asked for");
        assert!(ended.is_some(), "the broker still runs");
        let (child, ready) = launch(&process.options, process.folder.path(), address)
            .unwrap_or_else(|refusal| panic!("the broker is not ready again: {refusal:?}"));
        process.child = child;
        self.address = ready.address;
        self.metrics = ready.metrics;
    }

    fn ours(&self) -> &Process {
        self.process.as_ref().expect("the broker is ours")
    }

    fn ours_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the broker is ours")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before; then there is nothing to kill and its status is known.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // Shown with the output of the failed test.
            println!("the broker's stderr:\n{}", stderr_of(self.folder.path()));
        }
    }
}

/// The binary under test.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("CORELOG_BIN").map(PathBuf::from).unwrap_or_else(|| {
        let own = std::env::current_exe().expect("a test knows its executable");
        let profile = own.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps");
        profile.join("corelog")
    });
    assert!(path.is_file(), "{} is not there: run `cargo build` first, or set CORELOG_BIN", path.display());
    path
}

fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn stderr_of(folder: &Path) -> String {
    std::fs::read(folder.join("stderr")).map_or_else(|e| e.to_string(), |b| String::from_utf8_lossy(&b).into_owned())
}

/// The command that runs the binary: itself, or a shell that sets limits, as another user, and becomes it.
fn command(options: &Options, folder: &Path) -> Command {
    let Some((user, limits)) = &options.user else { return Command::new(binary()) };
    // Where everybody may read it.
    let copy = folder.join("corelog");
    std::fs::copy(binary(), &copy).expect("a copy of the binary");
    chown(folder, Some(*user), Some(*user)).expect("root may give files away");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")]).arg(copy).uid(*user).gid(*user);
    command
}

fn spawn(options: &Options, folder: &Path, listen: SocketAddr) -> Child {
    let stderr = File::options().create(true).append(true).open(folder.join("stderr")).expect("a file for stderr");
    let cores = options.cores.map(|cores| format!("--cores={cores}"));
    command(options, folder)
        .args(["start", "--listen", &listen.to_string(), "--data-dir"])
        .arg(options.data_dir.as_deref().unwrap_or(&data_dir(folder)))
        .args(cores)
        .args(["--metrics", if options.has_metrics { "127.0.0.1:0" } else { "off" }])
        .args(&options.arguments)
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .expect("the broker can be started")
}

fn launch(options: &Options, folder: &Path, listen: SocketAddr) -> Result<(Child, Ready), Refusal> {
    let mut child = spawn(options, folder, listen);
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let (send_line, lines) = mpsc::channel();
    // Reads on after the first line, so that the broker never meets a full pipe; ends with the broker.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = send_line.send(line);
        }
    });
    let ready = match lines.recv_timeout(START_MAX) {
        Ok(line) => Ready::parse(&line),
        Err(_) => None,
    };
    if let Some(ready) = ready {
        return Ok((child, ready));
    }
    // Its stdout is closed, or it hangs.
    let status = wait_for_end(&mut child, Duration::from_secs(5));
    Err(Refusal { status, stderr: stderr_of(folder) })
}

/// Where a broker is that says so in a line that begins `ready HOST:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ready {
    address: SocketAddr,
    metrics: Option<SocketAddr>,
}

impl Ready {
    fn parse(line: &str) -> Option<Self> {
        let address = line.strip_prefix("ready ")?.split_whitespace().next()?.trim_end_matches([',', ';']);
        let metrics =
            line.split_once("; metrics at http://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        Some(Self { address: address.parse().ok()?, metrics })
    }
}

fn signal(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).expect("process ids are small");
    kill(Pid::from_raw(id), signal).expect("our own child can be signalled");
}

/// Waits for the end of `child`; `None` if it has not ended in time, and then it is killed.
fn wait_for_end(child: &mut Child, wait_max: Duration) -> Option<ExitStatus> {
    let (done, ended) = mpsc::channel();
    let id = i32::try_from(child.id()).expect("process ids are small");
    // A thread that kills when the time is up, so that the wait below is bounded.
    let watch = thread::spawn(move || {
        let late = ended.recv_timeout(wait_max).is_err();
        if late {
            // The child has not been waited for yet, so the id is still its own.
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
        late
    });
    let status = child.wait().expect("a child can be waited for");
    let _ = done.send(());
    let late = watch.join().expect("the watch does not panic");
    (!late).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read() {
        let address = "127.0.0.1:9092".parse().unwrap();
        let ready = |metrics| Some(Ready { address, metrics });
        let metrics = Some("127.0.0.1:9644".parse().unwrap());
        assert_eq!(Ready::parse("ready 127.0.0.1:9092"), ready(None));
        assert_eq!(Ready::parse("ready 127.0.0.1:9092, data in ./corelog-data"), ready(None));
        assert_eq!(Ready::parse("ready 127.0.0.1:9092 x; metrics at http://127.0.0.1:9644/metrics; y"), ready(metrics));
        assert_eq!(Ready::parse("already 127.0.0.1:9092"), None);
        assert_eq!(Ready::parse("ready soon"), None);
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed_in_the_end() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        signal(&child, Signal::SIGTERM);
        assert_eq!(wait_for_end(&mut child, Duration::from_millis(50)), None);
    }
}
