//! CPU time: of the broker's process, of this process, of the whole machine.
//!
//! The kernel's workers are in no process's figure, so the machine's busy time less the load's own is what the broker
//! really costs. Both are reported; the second decides.

use std::fs;
use std::time::Instant;

/// CPU seconds so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    broker: f64,
    load: f64,
    machine: f64,
}

/// CPU seconds between two samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// Seconds that passed.
    pub(crate) wall: f64,
    /// The broker's process.
    pub(crate) broker: f64,
    /// The whole machine less idle time and less this process.
    pub(crate) machine_less_load: f64,
}

impl Sample {
    /// Reads the counters now.
    pub(crate) fn take(broker: u32) -> Result<Self, String> {
        Ok(Self {
            at: Instant::now(),
            broker: process(&broker.to_string())?,
            load: process("self")?,
            machine: machine()?,
        })
    }

    /// What was spent since.
    pub(crate) fn until(&self, later: &Self) -> Spent {
        Spent {
            wall: later.at.duration_since(self.at).as_secs_f64(),
            broker: later.broker - self.broker,
            machine_less_load: (later.machine - self.machine) - (later.load - self.load),
        }
    }
}

impl Spent {
    /// Prints the lines that every load ends with. A gigabyte is 10^9 bytes.
    pub(crate) fn report(&self, records: u64, bytes: u64) {
        let gigabytes = bytes as f64 / 1e9;
        println!("records             {records}");
        println!("seconds             {:.2}", self.wall);
        println!("records/s           {:.0}", records as f64 / self.wall);
        println!("MB/s                {:.1}", bytes as f64 / 1e6 / self.wall);
        println!("CPU-s/GB broker     {:.3}", self.broker / gigabytes);
        println!("CPU-s/GB machine    {:.3}   (less the load)", self.machine_less_load / gigabytes);
    }
}

/// Peak and current resident memory of a process, in MB.
pub(crate) fn resident_mb(pid: u32) -> Result<(u64, u64), String> {
    let (peak, now) = resident_kb(pid)?;
    Ok((peak / 1000, now / 1000))
}

/// The same, in KB.
pub(crate) fn resident_kb(pid: u32) -> Result<(u64, u64), String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Ok((kilobytes("VmHWM"), kilobytes("VmRSS")))
}

fn ticks_per_second() -> f64 {
    // USER_HZ, which the kernel's interface fixes at 100 on every architecture that Linux has now.
    100.0
}

fn process(pid: &str) -> Result<f64, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}; is the broker running?"))?;
    // The name in parentheses may hold blanks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / ticks_per_second())
}

fn machine() -> Result<f64, String> {
    let stat = fs::read_to_string("/proc/stat").map_err(|error| format!("/proc/stat: {error}"))?;
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    // user nice system idle iowait irq softirq
    Ok(ticks.iter().take(7).enumerate().filter(|(i, _)| *i != 3 && *i != 4).map(|(_, t)| t).sum::<f64>()
        / ticks_per_second())
}
