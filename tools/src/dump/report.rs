//! What a dump says: lines for people, and a count of what is wrong.

use super::DumpError;
use std::fmt;
use std::io::Write;

/// The output of a dump.
pub(crate) struct Report<'a> {
    out: &'a mut dyn Write,
    faults: u64,
}

impl<'a> Report<'a> {
    /// A report that goes to `out`.
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, faults: 0 }
    }

    /// How many faults were reported.
    pub(crate) fn faults(&self) -> u64 {
        self.faults
    }

    /// A line.
    pub(crate) fn line(&mut self, text: fmt::Arguments<'_>) -> Result<(), DumpError> {
        self.out.write_fmt(text).and_then(|()| self.out.write_all(b"\n")).map_err(DumpError::Output)
    }

    /// Something that is wrong, at a position in bytes from the start of the file.
    pub(crate) fn fault(&mut self, position: u64, text: fmt::Arguments<'_>) -> Result<(), DumpError> {
        self.faults += 1;
        self.line(format_args!("  CORRUPT at byte {position}: {text}"))
    }
}
