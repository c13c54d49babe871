//! What this machine offers and what it lacks, each with its cure: for `corelog check` and at every start.
//!
//! Nothing is assumed from version numbers where it can be tried: a ring is set up, its operations are asked for, and
//! a file is opened for direct I/O in the very data directory.

use std::io;
use std::path::Path;

use io_uring::{IoUring, Probe, opcode};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;

use super::disk::direct_io;
use super::provided::ProvidedBuffers;
use super::ring::{Features, Ring};

/// The oldest kernel that is supported.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// What glommio asks for, in bytes.
const LOCKED_BYTES_MIN: u64 = 512 * 1024;
/// Below this, a broker has few descriptors for clients and segments.
const OPEN_FILES_MIN: u64 = 1024;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub name: &'static str,
    /// Whether the broker can run with it as it is.
    pub ok: bool,
    /// What was seen.
    pub seen: String,
    /// What to do; empty where nothing is to be done.
    pub cure: String,
}

impl Finding {
    fn good(name: &'static str, seen: impl Into<String>) -> Self {
        Self { name, ok: true, seen: seen.into(), cure: String::new() }
    }

    fn bad(name: &'static str, seen: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { name, ok: false, seen: seen.into(), cure: cure.into() }
    }
}

/// Looks at everything that the host needs. `data` is the data directory, or the first one above it that exists.
pub fn findings(data: &Path) -> Vec<Finding> {
    let mut findings = vec![kernel(), io_uring()];
    if findings.iter().all(|finding| finding.ok) {
        findings.push(operations());
        findings.push(host_ring());
    }
    findings.extend([locked_memory(), open_files(), direct(data)]);
    findings
}

fn kernel() -> Finding {
    let name = "kernel";
    let release = match nix::sys::utsname::uname() {
        Ok(system) => system.release().to_string_lossy().into_owned(),
        Err(errno) => return Finding::bad(name, errno.desc(), "run it on Linux"),
    };
    let cure = format!("run Linux {}.{} or newer", KERNEL_MIN.0, KERNEL_MIN.1);
    match version(&release) {
        Some(version) if version >= KERNEL_MIN => Finding::good(name, format!("Linux {release}")),
        _ => Finding::bad(name, format!("Linux {release}"), cure),
    }
}

/// The first two numbers of a release such as `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn io_uring() -> Finding {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match IoUring::new(8) {
        Ok(_) => Finding::good("io_uring", "available"),
        Err(error) => without_io_uring(&error, disabled.trim()),
    }
}

/// Why there is no io_uring, from the error of its set-up and the value of `kernel.io_uring_disabled`.
fn without_io_uring(error: &io::Error, disabled: &str) -> Finding {
    let (seen, cure) = match (error.raw_os_error().map(Errno::from_raw), disabled) {
        (Some(Errno::EPERM), "2") => (
            "switched off by kernel.io_uring_disabled = 2",
            "sysctl -w kernel.io_uring_disabled=0, and in /etc/sysctl.d",
        ),
        (Some(Errno::EPERM), "1") => (
            "kept for a group by kernel.io_uring_disabled = 1",
            "sysctl -w kernel.io_uring_disabled=0, or add the user to the group in kernel.io_uring_group",
        ),
        (Some(Errno::EPERM | Errno::EACCES), _) => (
            "refused, most likely by a container's seccomp profile or a security module",
            "allow io_uring_setup, io_uring_enter and io_uring_register, for example docker run --security-opt seccomp=unconfined",
        ),
        (Some(Errno::ENOSYS), _) => (
            "unknown to this kernel or sandbox",
            "run on a Linux kernel with CONFIG_IO_URING; sandboxes such as gVisor do not have it",
        ),
        (Some(Errno::ENOMEM), _) => {
            ("out of memory, or of locked memory", "raise ulimit -l or the container's memory limit")
        }
        _ => return Finding::bad("io_uring", error.to_string(), "see the kernel log"),
    };
    Finding::bad("io_uring", seen, cure)
}

/// The operations without which the host cannot work, all of them in Linux 6.1.
const OPERATIONS: [(&str, u8); 18] = [
    ("accept", opcode::Accept::CODE),
    ("async_cancel", opcode::AsyncCancel::CODE),
    ("close", opcode::Close::CODE),
    ("fallocate", opcode::Fallocate::CODE),
    ("fsync", opcode::Fsync::CODE),
    ("mkdirat", opcode::MkDirAt::CODE),
    ("openat", opcode::OpenAt::CODE),
    ("poll_add", opcode::PollAdd::CODE),
    ("read", opcode::Read::CODE),
    ("recv", opcode::Recv::CODE),
    ("renameat", opcode::RenameAt::CODE),
    ("sendmsg", opcode::SendMsg::CODE),
    ("statx", opcode::Statx::CODE),
    ("timeout", opcode::Timeout::CODE),
    ("timeout_remove", opcode::TimeoutRemove::CODE),
    ("unlinkat", opcode::UnlinkAt::CODE),
    ("write", opcode::Write::CODE),
    ("writev", opcode::Writev::CODE),
];

fn operations() -> Finding {
    let name = "io_uring operations";
    let mut probe = Probe::new();
    if let Err(error) = IoUring::new(8).and_then(|ring| ring.submitter().register_probe(&mut probe)) {
        return Finding::bad(name, error.to_string(), "allow io_uring_register");
    }
    let missing: Vec<_> =
        OPERATIONS.iter().filter(|(_, code)| !probe.is_supported(*code)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Finding::good(name, format!("all {} are there", OPERATIONS.len()));
    }
    let cure = format!("run Linux {}.{} or newer, outside of sandboxes that filter them", KERNEL_MIN.0, KERNEL_MIN.1);
    Finding::bad(name, format!("missing: {}", missing.join(", ")), cure)
}

/// Sets up a ring as the host does.
fn host_ring() -> Finding {
    let name = "io_uring ring";
    let buffers = IoUring::new(8).and_then(|ring| ProvidedBuffers::new(&ring, 8).map(drop));
    if let Err(error) = buffers {
        return Finding::bad(
            name,
            format!("no provided buffers: {error}"),
            "run Linux 6.1 or newer, or allow io_uring_register",
        );
    }
    match Ring::new(Features::NEWEST, 8) {
        Ok(ring) => {
            let features = ring.features();
            let used = [
                (features.deferred_work, "deferred completions"),
                (features.multishot_accept, "multishot accept"),
                (features.truncate, "ftruncate"),
                (features.splice, "splice"),
            ];
            let names =
                |wanted| used.iter().filter(|(has, _)| *has == wanted).map(|(_, name)| *name).collect::<Vec<_>>();
            let mut seen = format!("with {}", names(true).join(", "));
            if !names(false).is_empty() {
                seen += &format!("; done in another way: {}", names(false).join(", "));
            }
            Finding::good(name, seen)
        }
        Err(error) => {
            Finding::bad(name, error.to_string(), "raise ulimit -l and ulimit -n, or allow io_uring_register")
        }
    }
}

fn locked_memory() -> Finding {
    let name = "locked memory";
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or((0, 0));
    let seen = if hard == nix::libc::RLIM_INFINITY { "unlimited".to_owned() } else { format!("{} KiB", hard / 1024) };
    if hard >= LOCKED_BYTES_MIN {
        Finding::good(name, seen)
    } else {
        let cure = "ulimit -l 8192, LimitMEMLOCK=8M in a systemd unit, or docker run --ulimit memlock=8388608";
        Finding::bad(name, seen, cure)
    }
}

fn open_files() -> Finding {
    let name = "open files";
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    if hard >= OPEN_FILES_MIN {
        Finding::good(name, format!("{hard}"))
    } else {
        let cure = "ulimit -n 65536, LimitNOFILE=65536 in a systemd unit, or docker run --ulimit nofile=65536";
        Finding::bad(name, format!("{hard}"), cure)
    }
}

fn direct(data: &Path) -> Finding {
    let name = "direct I/O";
    let at = data
        .ancestors()
        .find(|path| path.exists())
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let answer = nix::fcntl::open(at, flags, Mode::empty()).and_then(|directory| direct_io(&directory));
    match answer {
        Ok(direct) if direct.offset > 0 => {
            let unit = direct.offset.max(direct.memory);
            Finding::good(name, format!("{}: in units of {unit} bytes", at.display()))
        }
        Ok(_) => Finding::bad(
            name,
            format!("{}: the file system has none", at.display()),
            "put the data directory on ext4, XFS or another file system with O_DIRECT (not tmpfs, overlay or a network share)",
        ),
        Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => {
            let cure = "make the data directory writable for this user, or name another one";
            Finding::bad(name, format!("{}: cannot be written to", at.display()), cure)
        }
        Err(errno) => Finding::bad(name, format!("{}: {}", at.display(), errno.desc()), "name another data directory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_run_a_broker() {
        let findings = findings(Path::new("does/not/exist/yet"));
        assert_eq!(findings.len(), 7);
        for finding in &findings {
            assert!(finding.ok && !finding.seen.is_empty() && finding.cure.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn a_directory_without_direct_io_is_named_with_its_cure() {
        let finding = direct(Path::new("/proc/self"));
        assert!(!finding.ok && finding.seen.starts_with("/proc/self") && !finding.cure.is_empty(), "{finding:?}");
    }

    #[test]
    fn each_reason_for_missing_io_uring_has_its_own_cure() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno as i32);
        let cases = [
            (Errno::EPERM, "2", "io_uring_disabled=0"),
            (Errno::EPERM, "1", "io_uring_group"),
            (Errno::EPERM, "0", "seccomp"),
            (Errno::EPERM, "", "seccomp"),
            (Errno::ENOSYS, "", "CONFIG_IO_URING"),
            (Errno::ENOMEM, "", "ulimit -l"),
        ];
        for (errno, disabled, cure) in cases {
            let finding = without_io_uring(&error(errno), disabled);
            assert!(!finding.ok && finding.cure.contains(cure), "{finding:?}");
        }
    }

    #[test]
    fn releases_are_read_as_distributions_write_them() {
        assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version("6.18.44-fc-v445"), Some((6, 18)));
        assert_eq!(version("5.15"), Some((5, 15)));
        assert_eq!(version("odd"), None);
    }
}
