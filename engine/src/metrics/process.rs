//! The process as the system sees it, in the terms that every Prometheus client has for it.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

/// See the module's description. What the system does not tell is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// CPU time of all threads.
    pub(super) cpu_seconds: Option<f64>,
    /// Resident memory in bytes.
    pub(super) resident_bytes: Option<u64>,
    /// Address space in bytes.
    pub(super) virtual_bytes: Option<u64>,
    /// Open descriptors, and how many there may be.
    pub(super) open_fds: Option<u64>,
    /// See above.
    pub(super) max_fds: Option<u64>,
}

impl Process {
    /// Looks at this process.
    pub(super) fn look() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|bytes| u64::try_from(bytes).ok());
        let mut pages = statm.split_whitespace().map(|pages| Some(pages.parse::<u64>().ok()? * page?));
        let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok();
        Self {
            cpu_seconds: time.map(|time| time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9),
            virtual_bytes: pages.next().flatten(),
            resident_bytes: pages.next().flatten(),
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_all_of_it() {
        let Process { cpu_seconds, resident_bytes, virtual_bytes, open_fds, max_fds } = Process::look();
        assert!(cpu_seconds.unwrap() > 0.0);
        assert!(resident_bytes.unwrap() > 100_000 && virtual_bytes.unwrap() > resident_bytes.unwrap());
        assert!(open_fds.unwrap() >= 3 && max_fds.unwrap() >= open_fds.unwrap());
    }
}
