//! How results are shown: tables and colour on a terminal, lines with tabs between the fields in a pipe, JSON where it is
//! asked for; and a progress line for long work.
//!
//! Invariants: results go to standard output alone, all else to standard error. A reader that goes away ends a command
//! quietly. What a pipe gets has no headings, no colour and no padding.

use crate::exit::Failure;
use std::io::{BufWriter, ErrorKind, IsTerminal, StdoutLock, Write};
use std::time::{Duration, Instant};

/// How often a progress line changes.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Work shorter than this shows no progress.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// Where results go.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    is_terminal: bool,
    has_colour: bool,
}

/// Nobody reads any more, or the output cannot be written.
pub(crate) enum OutputEnd {
    /// The reader went away.
    Closed,
    /// It failed.
    Failed(std::io::Error),
}

impl From<std::io::Error> for OutputEnd {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe { Self::Closed } else { Self::Failed(error) }
    }
}

impl OutputEnd {
    /// What the end means for the command.
    pub(crate) fn result(self) -> Result<(), Failure> {
        match self {
            Self::Closed => Ok(()),
            Self::Failed(error) => Err(Failure::new(format!("cannot write the output: {error}"))),
        }
    }
}

/// Writes what a command has to show; a reader that went away has seen enough.
pub(crate) fn show(write: impl FnOnce(&mut Output) -> Result<(), OutputEnd>) -> Result<(), Failure> {
    let mut output = Output::new();
    match write(&mut output).and_then(|()| output.flush()) {
        Ok(()) => Ok(()),
        Err(end) => end.result(),
    }
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        let has_colour = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out: BufWriter::with_capacity(64 << 10, stdout.lock()), is_terminal, has_colour }
    }

    /// Whether a person reads it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(crate) fn flush(&mut self) -> Result<(), OutputEnd> {
        Ok(self.out.flush()?)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), OutputEnd> {
        Ok(self.out.write_all(bytes)?)
    }

    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Result<(), OutputEnd> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// JSON, on lines of its own for people, on one for programs.
    pub(crate) fn json(&mut self, value: &serde_json::Value) -> Result<(), OutputEnd> {
        if self.is_terminal { self.line(format_args!("{value:#}")) } else { self.line(value) }
    }

    /// A heading, for people only.
    pub(crate) fn heading(&mut self, text: &str) -> Result<(), OutputEnd> {
        match (self.is_terminal, self.has_colour) {
            (false, _) => Ok(()),
            (true, true) => self.line(format_args!("\x1b[1m{text}\x1b[0m")),
            (true, false) => self.line(text),
        }
    }

    /// Rows of cells.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), OutputEnd> {
        let text = if self.is_terminal { table.for_people(self.has_colour) } else { table.for_programs() };
        self.bytes(text.as_bytes())
    }
}

/// Rows of cells under headings.
pub(crate) struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &'static [&'static str]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    /// Adds a row, with a cell for each heading.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().map(|cell| cell.replace(['\t', '\n', '\r'], " ")).collect();
        assert_eq!(cells.len(), self.headings.len(), "a row has a cell for each heading");
        self.rows.push(cells);
    }

    fn for_programs(&self) -> String {
        self.rows.iter().map(|row| row.join("\t") + "\n").collect()
    }

    /// Columns of numbers stand on the right.
    fn for_people(&self, has_colour: bool) -> String {
        let is_number = |column: usize| {
            !self.rows.is_empty() && self.rows.iter().all(|row| row[column].bytes().all(|byte| byte.is_ascii_digit()))
        };
        let width = |text: &str| text.chars().count();
        let columns = 0..self.headings.len();
        let widths: Vec<usize> = columns
            .clone()
            .map(|column| {
                let cells = self.rows.iter().map(|row| width(&row[column]));
                cells.chain([width(self.headings[column])]).max().unwrap_or(0)
            })
            .collect();
        let numbers: Vec<bool> = columns.map(is_number).collect();
        let line = |cells: &[&str]| {
            let mut line = String::new();
            for (column, cell) in cells.iter().enumerate() {
                let padding = " ".repeat(widths[column] - width(cell));
                let (before, after) = if numbers[column] { (padding.as_str(), "") } else { ("", padding.as_str()) };
                line += &format!("{}{before}{cell}{after}", if column > 0 { "  " } else { "" });
            }
            line.truncate(line.trim_end().len());
            line
        };
        let heading = line(self.headings);
        let heading = if has_colour { format!("\x1b[1m{heading}\x1b[0m\n") } else { heading + "\n" };
        let rows = self.rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()) + "\n");
        heading + &rows.collect::<String>()
    }
}

/// A line on standard error that says how far long work is; only where a person sees it.
pub(crate) struct Progress {
    is_shown: bool,
    started: Instant,
    last: Option<Instant>,
}

impl Progress {
    /// Begins; says nothing unless `is_wanted` and standard error is a terminal.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self { is_shown: is_wanted && std::io::stderr().is_terminal(), started: Instant::now(), last: None }
    }

    /// Shows where things stand, if it is time for that again.
    pub(crate) fn show(&mut self, text: impl FnOnce(Duration) -> String) {
        let now = Instant::now();
        let next = self.last.map_or(self.started + PROGRESS_AFTER, |last| last + PROGRESS_INTERVAL);
        if self.is_shown && now >= next {
            self.last = Some(now);
            eprint!("\r\x1b[K{}", text(now - self.started));
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.last.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A number with its noun: `1 record`, `12 records`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["TOPIC", "PARTITIONS"]);
        table.row(["orders".to_owned(), "12".to_owned()]);
        table.row(["a\tb".to_owned(), "3".to_owned()]);
        table
    }

    #[test]
    fn programs_get_tabs_and_no_headings() {
        assert_eq!(table().for_programs(), "orders\t12\na b\t3\n");
    }

    #[test]
    fn people_get_columns() {
        assert_eq!(table().for_people(false), "TOPIC   PARTITIONS\norders          12\na b              3\n");
        assert!(table().for_people(true).starts_with("\x1b[1mTOPIC   PARTITIONS\x1b[0m\n"));
    }

    #[test]
    fn numbers_have_their_noun() {
        assert_eq!((count(1, "record"), count(0, "record")), ("1 record".to_owned(), "0 records".to_owned()));
    }
}
