//! `corelog check`: whether this machine can run a broker. Every start looks at the same.

use super::start::cores;
use crate::exit::{Failure, HELP};
use crate::size;
use clap::Args;
use corelog_engine::config;
use corelog_engine::runtime::probe::{Finding, findings};
use corelog_shard::config::BrokerConfig;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The finding about free space.
const FREE_SPACE: &str = "free space";

/// The command line of `corelog check`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Nothing is changed. Linux-only.md says more about each finding.\n\n\
     Examples:\n  corelog check\n  corelog check --data-dir /var/lib/corelog --cores 4\n\n{HELP}"
))]
pub(crate) struct Check {
    /// Where the data is or will be
    #[arg(long, value_name = "DIR", default_value = "./corelog-data")]
    data_dir: PathBuf,
    /// For a broker on so many cores [default: all, as far as there are 64M of memory for each]
    #[arg(long, value_name = "N", value_parser = cores)]
    cores: Option<u32>,
}

impl Check {
    /// Says what was found; fails when something is missing.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut config = config::load(None, &[]).map_err(|error| Failure::new(error.to_string()))?;
        config.data_dir = self.data_dir.to_string_lossy().into_owned();
        let findings = look(&config, self.cores);
        let mut out = std::io::stdout().lock();
        for finding in &findings {
            let Finding { name, ok, seen, cure } = finding;
            let written = match ok {
                true => writeln!(out, "ok       {name}: {seen}"),
                false => writeln!(out, "MISSING  {name}: {seen}\n         cure: {cure}"),
            };
            // Whoever closes the pipe has seen enough; the exit status still tells.
            let _ = written;
        }
        match findings.iter().filter(|finding| !finding.ok).count() {
            0 => Ok(()),
            missing => {
                Err(Failure::new(format!("{missing} of {} checks failed; see above for the cure", findings.len())))
            }
        }
    }
}

/// Refuses to go on where something is missing that a broker needs. A disk that was filled keeps nobody from reading what
/// is on it, nor retention from making space.
pub(crate) fn require(config: &BrokerConfig, cores: Option<u32>) -> Result<(), Failure> {
    let missing: Vec<String> = look(config, cores)
        .into_iter()
        .filter(|finding| !(finding.ok || finding.name == FREE_SPACE && has_journals(config, cores)))
        .map(|Finding { name, seen, cure, .. }| format!("{name}: {seen} (cure: {cure})"))
        .collect();
    match missing.as_slice() {
        [] => Ok(()),
        _ => Err(Failure::new(format!("this machine cannot run the broker: {}", missing.join("; ")))),
    }
}

/// Everything that is looked at.
fn look(config: &BrokerConfig, cores: Option<u32>) -> Vec<Finding> {
    let data_dir = Path::new(&config.data_dir);
    let mut findings = findings(data_dir);
    findings.push(free_space(config, shards(config, cores), data_dir));
    findings.extend(config::machine_memory().map(|machine| memory(config.memory.total, machine)));
    findings
}

/// Whether the machine, or the container, has the memory that the broker is given.
fn memory(given: u64, machine: u64) -> Finding {
    let ok = given <= machine;
    let seen = format!("{} for the broker, {} in all", size::show(given), size::show(machine));
    let cure = if ok { String::new() } else { "give it less, or nothing for a quarter (--memory)".to_owned() };
    Finding { name: "memory", ok, seen, cure }
}

/// How many shards a start makes: one for each core.
fn shards(config: &BrokerConfig, cores: Option<u32>) -> u32 {
    let given = || std::thread::available_parallelism().map_or(1, usize::from);
    cores.unwrap_or_else(|| config.shards_for(given()))
}

/// Whether the journals fit: what they still need, and what is kept for checkpoints and deletion.
fn free_space(config: &BrokerConfig, shards: u32, data_dir: &Path) -> Finding {
    let name = FREE_SPACE;
    let reserve = 2 * config.journal.file_bytes * u64::from(shards);
    let needed = first_files(config, shards).saturating_sub(allocated_in(data_dir, shards)) + reserve;
    let at = data_dir.ancestors().find(|path| path.exists() && !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match nix::sys::statvfs::statvfs(at) {
        Ok(space) => {
            let free = space.blocks_available().saturating_mul(space.fragment_size());
            let seen = format!("{}: {} free", at.display(), size::show(free));
            let ok = free >= needed;
            let cure = if ok {
                String::new()
            } else {
                format!(
                    "make room: {} are needed for the journals of {shards} cores and in reserve; or use fewer (--cores), \
                     name another --data-dir, or make the journals' files smaller before the first start \
                     (corelog.journal.file.bytes)",
                    size::show(needed)
                )
            };
            Finding { name, ok, seen, cure }
        }
        Err(errno) => Finding {
            name,
            ok: false,
            seen: format!("{}: {}", at.display(), errno.desc()),
            cure: "name a data directory that this user can reach".to_owned(),
        },
    }
}

/// The bytes of the first files of all journals, which a start makes; the rings grow as it is needed.
fn first_files(config: &BrokerConfig, shards: u32) -> u64 {
    2 * config.journal.file_bytes * u64::from(shards) + 2 * config.journal.metadata_file_bytes
}

/// Whether the first journal files are there.
fn has_journals(config: &BrokerConfig, cores: Option<u32>) -> bool {
    let shards = shards(config, cores);
    allocated_in(Path::new(&config.data_dir), shards) >= first_files(config, shards)
}

/// The bytes of all journal files that a start with so many shards goes on with: another number of shards makes new ones.
fn allocated_in(data_dir: &Path, shards: u32) -> u64 {
    let is_shard = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("shard-");
    let entries = data_dir.read_dir().map(|entries| entries.flatten().filter(is_shard).collect()).unwrap_or_default();
    let entries: Vec<std::fs::DirEntry> = entries;
    let metadata = allocated(&data_dir.join("metadata"));
    match entries.len() == shards as usize {
        true => metadata + entries.iter().map(|entry| allocated(&entry.path())).sum::<u64>(),
        false => metadata,
    }
}

/// The bytes of the journal files in a folder.
fn allocated(folder: &Path) -> u64 {
    let Ok(entries) = folder.read_dir() else { return 0 };
    let journal = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("journal-");
    entries.flatten().filter(journal).filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_gets_no_more_memory_than_there_is() {
        assert!(memory(4 << 30, 4 << 30).ok);
        let found = memory(5 << 30, 4 << 30);
        assert!(!found.ok && found.seen == "5 GiB for the broker, 4 GiB in all", "{found:?}");
        assert!(found.cure.contains("--memory"));
    }

    #[test]
    fn the_journal_has_to_fit() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig::default();
        let found = free_space(&config, 1, &folder.path().join("not/there/yet"));
        assert!(found.ok && found.cure.is_empty(), "{found:?}");
        assert!(found.seen.starts_with(&folder.path().display().to_string()), "{found:?}");
        config.journal.file_bytes = 1 << 60;
        let found = free_space(&config, 1, folder.path());
        assert!(!found.ok && found.cure.contains("make room"), "{found:?}");
        assert!(require(&config, Some(1)).is_err());
    }

    #[test]
    fn a_disk_that_was_filled_keeps_no_broker_from_its_data() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig::default();
        config.data_dir = folder.path().to_str().unwrap().to_owned();
        // More than any disk has.
        config.journal.file_bytes = 1 << 42;
        assert!(require(&config, Some(1)).is_err());
        for (folder, len) in [("shard-0", config.journal.file_bytes), ("metadata", config.journal.metadata_file_bytes)]
        {
            let folder = Path::new(&config.data_dir).join(folder);
            std::fs::create_dir(&folder).unwrap();
            for name in ["journal-0000", "journal-0001"] {
                std::fs::File::create(folder.join(name)).unwrap().set_len(len).unwrap();
            }
        }
        assert!(!free_space(&config, 1, folder.path()).ok, "check tells");
        require(&config, Some(1)).unwrap_or_else(|failure| panic!("{failure}"));
        let refused = require(&config, Some(2)).unwrap_err().to_string();
        assert!(refused.contains("for the journals of 2 cores") && refused.contains("--cores"), "{refused}");
    }

    #[test]
    fn journal_files_that_are_there_need_no_room() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("journal-0000"), [0; 4096]).unwrap();
        std::fs::write(folder.path().join("checkpoint-a"), [0; 4096]).unwrap();
        assert_eq!(allocated(folder.path()), 4096);
        assert_eq!(allocated(&folder.path().join("missing")), 0);
    }
}
