//! Where a broker's configuration comes from: a `server.properties` file as Kafka has it, settings given one by one, and
//! the machine.
//!
//! Owns the reading; what the keys mean is [`corelog_shard::config`]. A setting given on the command line wins over the
//! file, the file over the defaults.

use corelog_shard::config::{BrokerConfig, ConfigError};
use std::fmt;
use std::path::{Path, PathBuf};

/// The key that `--memory` sets.
pub const MEMORY_KEY: &str = "corelog.memory.bytes";

/// The largest share of a machine that is taken unasked, in bytes.
const MEMORY_UNASKED_MAX: u64 = 4 << 30;
/// The smallest.
const MEMORY_UNASKED_MIN: u64 = 256 << 20;

/// Why there is no configuration. Its text is one sentence that says where, and what to do.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A line of the file is wrong.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A setting given on the command line is wrong.
    Setting(ConfigError),
    /// Settings that are right one by one do not fit together.
    Together(ConfigError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(f, "cannot read the configuration {}: {error}", path.display()),
            Self::Line { path, line, message } => write!(f, "{}, line {line}: {message}", path.display()),
            Self::Setting(error) => write!(f, "--set {error}"),
            Self::Together(error) => write!(f, "the configuration does not fit together: {error}"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Line { .. } => None,
            Self::Setting(error) | Self::Together(error) => Some(error),
        }
    }
}

/// The configuration from a file, if there is one, and settings, each a key and a value. The memory, if nobody says, is
/// a quarter of the machine's (or of the container's limit), at most 4 GiB.
///
/// # Errors
/// The file cannot be read, a key is unknown, a value is wrong, or values do not fit together.
pub fn load(file: Option<&Path>, settings: &[(String, String)]) -> Result<BrokerConfig, LoadError> {
    let mut config = BrokerConfig::default();
    if let Some(path) = file {
        let unreadable = |error| LoadError::Unreadable { path: path.to_owned(), error };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let at = |line, message| LoadError::Line { path: path.to_owned(), line, message };
        for property in properties(&text) {
            let Property { line, key, value } = property.map_err(|error| at(error.line, error.message))?;
            config.set(&key, &value).map_err(|error| at(line, error.to_string()))?;
        }
    }
    for (key, value) in settings {
        config.set(key, value).map_err(LoadError::Setting)?;
    }
    if config.explicit(MEMORY_KEY).is_none()
        && let Some(machine) = machine_memory()
    {
        let memory = (machine / 4).clamp(MEMORY_UNASKED_MIN, MEMORY_UNASKED_MAX);
        config.set(MEMORY_KEY, &memory.to_string()).map_err(LoadError::Setting)?;
    }
    config.validate().map_err(LoadError::Together)?;
    Ok(config)
}

/// The memory that this process can have: the machine's, or the least limit of the control groups it is in.
pub fn machine_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = total_memory(&meminfo)?;
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let limits = Path::new(group).ancestors().filter_map(|folder| {
        let limit = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(folder).join("memory.max")).ok()?;
        limit.trim().parse::<u64>().ok()
    });
    Some(limits.fold(total, u64::min))
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A key and a value of a properties file.
#[derive(Debug, PartialEq, Eq)]
struct Property {
    /// Where it begins, from 1.
    line: usize,
    key: String,
    value: String,
}

/// What is wrong with a line of a properties file.
#[derive(Debug, PartialEq, Eq)]
struct PropertyError {
    line: usize,
    message: String,
}

/// Reads the format of Java's `Properties`: `key=value`, `key: value` or `key value`; lines that begin with `#` or `!`
/// say nothing; a backslash at the end of a line joins the next one; `\t \n \r \f \uXXXX` stand for characters.
fn properties(text: &str) -> impl Iterator<Item = Result<Property, PropertyError>> {
    let mut lines = text.lines().enumerate();
    std::iter::from_fn(move || {
        loop {
            let (index, first) = lines.next()?;
            let mut logical = first.trim_start().to_owned();
            if logical.is_empty() || logical.starts_with(['#', '!']) {
                continue;
            }
            while ends_with_escape(&logical) {
                logical.pop();
                let Some((_, next)) = lines.next() else { break };
                logical.push_str(next.trim_start());
            }
            return Some(property(index + 1, &logical));
        }
    })
}

/// Whether the last backslash is not itself escaped.
fn ends_with_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Reads a line that was joined with its continuations.
fn property(line: usize, logical: &str) -> Result<Property, PropertyError> {
    let mut escaped = false;
    let end_of_key = logical.char_indices().find(|(_, letter)| {
        let ends = !escaped && matches!(letter, '=' | ':' | ' ' | '\t' | '\x0c');
        escaped = !escaped && *letter == '\\';
        ends
    });
    let (key, rest) = logical.split_at(end_of_key.map_or(logical.len(), |(at, _)| at));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    let wrong = |message| PropertyError { line, message };
    Ok(Property { line, key: unescape(key).map_err(wrong)?, value: unescape(value).map_err(wrong)? })
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                let character = code.and_then(char::from_u32);
                out.push(character.ok_or_else(|| format!("\"\\u{digits}\" is not a character; write it as it is"))?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        properties(text).map(|property| property.map(|p| (p.line, p.key, p.value)).unwrap()).collect()
    }

    fn pair(line: usize, key: &str, value: &str) -> (usize, String, String) {
        (line, key.to_owned(), value.to_owned())
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn properties_are_read_as_java_reads_them() {
        let text =
            "# a comment\n! another\n\n  a=1\nb = 2 \nc:3\nd 4\ne\nf=x\\\n   y\\\n  z\ng\\=h=i\\\\\nj=\\u00e9\\t.\n";
        let expected = [
            pair(4, "a", "1"),
            pair(5, "b", "2 "),
            pair(6, "c", "3"),
            pair(7, "d", "4"),
            pair(8, "e", ""),
            pair(9, "f", "xyz"),
            pair(12, "g=h", "i\\"),
            pair(13, "j", "\u{e9}\t."),
        ];
        assert_eq!(pairs(text), expected);
        assert_eq!(pairs("a=\\"), [pair(1, "a", "")]);
        assert_eq!(pairs("a==b\r\n"), [pair(1, "a", "=b")]);
        let error = properties("x=1\ny=\\u12").nth(1).unwrap().unwrap_err();
        assert_eq!((error.line, error.message.contains("\\u12")), (2, true));
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = file("num.partitions=3\nnode.id=5\n");
        let config = load(Some(file.path()), &[("num.partitions".into(), "7".into())]).unwrap();
        assert_eq!((config.num_partitions, config.node_id), (7, 5));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let file = file("node.id=5\n\nnum.partition=3\n");
        let error = load(Some(file.path()), &[]).unwrap_err().to_string();
        let wanted = ", line 3: num.partition: is not a known setting; did you mean num.partitions?";
        assert_eq!(error, format!("{}{wanted}", file.path().display()));
        let error = load(Some(Path::new("/no/such/file")), &[]).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the configuration /no/such/file: No such file"), "{error}");
        let error = load(None, &[("node.id".into(), "x".into())]).unwrap_err().to_string();
        assert_eq!(error, "--set node.id: \"x\" is not a whole number");
        let error = load(None, &[("log.segment.bytes".into(), "1".into())]).unwrap_err().to_string();
        assert!(error.starts_with("the configuration does not fit together: log.segment.bytes: 1 is below"), "{error}");
    }

    #[test]
    fn kafkas_own_file_works() {
        let config = load(
            Some(
                file(
                    "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
                     listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
                     advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
                     controller.listener.names=CONTROLLER\n\
                     listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
                     num.network.threads=3\nnum.io.threads=8\nlog.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\n\
                     offsets.topic.replication.factor=1\nlog.retention.hours=168\nlog.segment.bytes=1073741824\n",
                )
                .path(),
            ),
            &[],
        )
        .unwrap();
        assert_eq!(config.listen.port, 9092);
        assert_eq!(config.advertised.as_ref().map(ToString::to_string).as_deref(), Some("localhost:9092"));
        assert_eq!(config.data_dir, "/tmp/kraft-combined-logs");
        assert!(config.unused().any(|key| key == "num.io.threads"));
    }

    #[test]
    fn the_machine_is_asked_for_its_memory() {
        assert_eq!(total_memory("MemTotal:       24576 kB\nMemFree: 1 kB\n"), Some(24 << 20));
        assert_eq!(total_memory("MemFree: 1 kB\n"), None);
        let config = load(None, &[]).unwrap();
        assert!((MEMORY_UNASKED_MIN..=MEMORY_UNASKED_MAX).contains(&config.memory.total));
        let config = load(None, &[(MEMORY_KEY.into(), "123456789".into())]).unwrap();
        assert_eq!(config.memory.total, 123_456_789);
    }
}
