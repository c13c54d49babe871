//! The raw disk beside the journal: one synced write after the other into a preallocated, prewritten file.

use crate::stay_on;
use clap::Args;
use hdrhistogram::Histogram;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The file's length: as a journal file's.
const FILE_BYTES: u64 = 64 << 20;
/// Direct I/O wants aligned memory.
const ALIGN: usize = 4096;

/// The command line of `corelog-perf disk`.
#[derive(Debug, Args)]
pub(crate) struct Disk {
    /// A folder on the disk to be measured
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Bytes of each write, a multiple of 4096
    #[arg(long, default_value_t = 65_536)]
    size: usize,
    /// How many writes
    #[arg(long, default_value_t = 2_000)]
    writes: u64,
    /// Writes per second; 0 for one after the other
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// The core to stay on
    #[arg(long, default_value_t = 0)]
    core: usize,
}

impl Disk {
    /// Writes, and prints how long each took.
    pub(crate) fn run(self) -> Result<(), String> {
        stay_on(self.core)?;
        let path = self.dir.join("corelog-perf.disk");
        let measured = self.measure(&path);
        let removed = std::fs::remove_file(&path);
        measured.and_then(|()| removed.map_err(|error| format!("{}: {error}", path.display())))
    }

    fn measure(&self, path: &PathBuf) -> Result<(), String> {
        let words = |error: std::io::Error| format!("{}: {error}", path.display());
        if self.size == 0 || !self.size.is_multiple_of(ALIGN) || self.size as u64 > FILE_BYTES {
            return Err(format!("--size must be a multiple of {ALIGN}, at most {FILE_BYTES}"));
        }
        let mut prewritten = File::create(path).map_err(words)?;
        fallocate(&prewritten, FallocateFlags::empty(), 0, FILE_BYTES as i64).map_err(|error| words(error.into()))?;
        let zeros = vec![0_u8; 1 << 20];
        for _ in 0..FILE_BYTES >> 20 {
            prewritten.write_all(&zeros).map_err(words)?;
        }
        prewritten.sync_all().map_err(words)?;
        let flags = (OFlag::O_DIRECT | OFlag::O_DSYNC).bits();
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path).map_err(words)?;
        let memory = vec![1_u8; self.size + ALIGN];
        let skip = memory.as_ptr().align_offset(ALIGN);
        let data = &memory[skip..skip + self.size];
        let mut latency_us = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let places = FILE_BYTES / self.size as u64;
        for i in 0..self.writes {
            if self.rate > 0 {
                let due = Duration::from_secs_f64(i as f64 / self.rate as f64);
                if let Some(early) = due.checked_sub(begun.elapsed()) {
                    std::thread::sleep(early);
                }
            }
            let one = Instant::now();
            file.write_all_at(data, (i % places) * self.size as u64).map_err(words)?;
            latency_us.saturating_record(u64::try_from(one.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            println!("write {name:<6} ms     {:.2}", latency_us.value_at_quantile(quantile) as f64 / 1000.0);
        }
        println!("write max    ms     {:.2}", latency_us.max() as f64 / 1000.0);
        Ok(())
    }
}
