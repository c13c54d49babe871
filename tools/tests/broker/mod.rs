//! The built program, and a broker of it that runs until its value goes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is a failure with a place")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// Runs the program to its end.
pub fn corelog(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelog"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("CORELOG_BOOTSTRAP")
        .output()
        .unwrap()
}

/// What it said.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// How long a broker may take to stop, on a machine that does much else.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A broker that runs until the value goes.
pub struct Broker {
    pub child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    /// The line that it said first.
    pub ready: String,
}

impl Broker {
    /// A small one on one core.
    pub fn start(data_dir: &Path, more: &[&str]) -> Self {
        Self::start_on(1, data_dir, more)
    }

    pub fn start_on(cores: u32, data_dir: &Path, more: &[&str]) -> Self {
        let (cores, memory) = (cores.to_string(), format!("{}MiB", 64 * cores));
        let mut child = Command::new(env!("CARGO_BIN_EXE_corelog"))
            .args(["start", "--listen", "127.0.0.1:0", "--cores", &cores, "--memory", &memory, "--data-dir"])
            .arg(data_dir)
            .args(["--set", "corelog.journal.file.bytes=1048576", "--set", "message.max.bytes=65536"])
            .args(if more.contains(&"--metrics") { &[][..] } else { &["--metrics", "off"] })
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        stdout.read_line(&mut ready).unwrap();
        Self { child, stdout: Some(stdout), ready }
    }

    pub fn address(&self) -> &str {
        self.ready.split(' ').nth(1).unwrap()
    }

    /// Asks it to stop; its exit status and what it said after the first line, on both streams.
    pub fn stop(mut self, signal: Signal) -> (Option<i32>, String, String) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        let mut stdout = self.stdout.take().unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        let (said, saying) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (mut out, mut err) = (String::new(), String::new());
            let read = stdout.read_to_string(&mut out).and_then(|_| stderr.read_to_string(&mut err));
            said.send(read.map(|_| (out, err)))
        });
        let (out, err) = saying.recv_timeout(STOP_MAX).expect("the broker does not stop").unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
