//! Journal files, of a shard or of the metadata log.
//!
//! A break in the chain of commits is damage only when something that was known durable lies behind it: the marks that
//! every commit and file header carries tell, those of the other files of the ring too. Above every mark it is the torn
//! end that a crash leaves, which nobody was told about. A file that the checkpoint beside it no longer needs may hold
//! anything.

use super::copies::first_ordinal_needed;
use super::segment::show_records;
use super::{DumpError, Options, Report};
use corelog_shard::journal::format::{COMMIT_HEADER_LEN, ENTRY_HEADER_LEN, FILE_HEADER_LEN, FileHeader};
use corelog_shard::journal::inspect::{Part, inspect};
use corelog_shard::superblock::BLOCK_MIN;
use corelog_wire::record_batch::RecordBatch;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The longest journal file that can be configured, in bytes.
const JOURNAL_BYTES_MAX: u64 = 4 << 30;

/// Shows a journal file.
pub(super) fn dump(
    path: &Path,
    file: &File,
    len: u64,
    options: Options,
    report: &mut Report<'_>,
) -> Result<(), DumpError> {
    if len > JOURNAL_BYTES_MAX {
        return report.fault(JOURNAL_BYTES_MAX, format_args!("the file has {len} bytes, no journal file is that long"));
    }
    let bytes = read(file, len).map_err(DumpError::Unreadable)?;
    let parts = inspect(&bytes, BLOCK_MIN);
    let header = parts.iter().find_map(|part| if let Part::File(header) = part { Some(header) } else { None });
    let incarnation = header.map_or(u64::MAX, |header| header.incarnation);
    // Without a header, the commits that can be recognised say what the file held.
    let behind =
        parts.iter().filter_map(|part| if let Part::Behind(_, commit) = part { Some(commit.sequence) } else { None });
    let first = header.map_or(behind.min().unwrap_or(0), |header| header.first_sequence);
    let mut place = Place { next: first, commit: 0..0, sequence: 0 };
    let needed = path.parent().and_then(first_ordinal_needed);
    let mut mark = None;
    let (mut commits, mut entries) = (0_u64, 0_u64);
    for part in &parts {
        match part {
            Part::Commit(offset, commit) => {
                commits += 1;
                place.pass(*offset, commit.sequence, commit.body_len);
            }
            Part::Entry(..) => entries += 1,
            _ => {}
        }
        if let Part::Corrupt(range, words) = part {
            let sequence = place.broken(range);
            let mark = *mark.get_or_insert_with(|| mark_of(path, &parts, incarnation));
            let at = range.start;
            if sequence > mark {
                report.line(format_args!(
                    "  from byte {at} on: a torn end, as a crash leaves it ({words}); commit {sequence} was not known durable"
                ))?;
            } else if let Some(first) = needed.filter(|first| header.is_some_and(|header| header.ordinal < *first)) {
                report.line(format_args!(
                    "  from byte {at} on damaged ({words}), but nothing in this file is needed: the checkpoint needs the \
                     journal from ordinal {first} on"
                ))?;
            } else {
                report.fault(at, format_args!("{words}; commits up to {mark} were known durable"))?;
            }
            continue;
        }
        let detail = matches!(part, Part::Entry(..) | Part::Commit(..) | Part::Behind(..));
        if !(detail && options.summary) {
            report.line(format_args!("  {part}"))?;
        }
        if let Part::Entry(offset, entry) = part
            && options.records
            && entry.kind.is_records()
        {
            let start = *offset as usize + ENTRY_HEADER_LEN;
            if let Some(Ok((batch, _))) = bytes.get(start..).map(RecordBatch::split_from) {
                show_records(&batch, start as u64, options, report)?;
            }
        }
    }
    // What was begun says itself how long it is; a file that was only prepared does not. An empty one may be in preparation.
    if let Some(whole) = len_beside(path).filter(|whole| header.is_none() && (1..*whole).contains(&len)) {
        report.fault(len, format_args!("the file is cut off, the files beside it have {whole} bytes"))?;
    }
    report.line(format_args!("  {commits} commits with {entries} entries, {len} bytes"))
}

fn read(file: &File, len: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).expect("at most 4 GiB")];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Where in the chain of commits a walk through a file is.
struct Place {
    /// The sequence that comes next.
    next: u64,
    /// The bytes of the last commit.
    commit: Range<u64>,
    /// Its sequence.
    sequence: u64,
}

impl Place {
    fn pass(&mut self, offset: u64, sequence: u64, body_len: u64) {
        self.commit = offset..offset.saturating_add(COMMIT_HEADER_LEN as u64).saturating_add(body_len);
        self.sequence = sequence;
        self.next = sequence + 1;
    }

    /// The sequence of the commit that is broken at these bytes.
    fn broken(&self, range: &Range<u64>) -> u64 {
        if self.commit.contains(&range.start) { self.sequence } else { self.next }
    }
}

/// The highest sequence of this incarnation that anything in this file or beside it knew to be durable.
fn mark_of(path: &Path, parts: &[Part], incarnation: u64) -> u64 {
    let mark_in = |parts: &[Part]| parts.iter().map(|part| mark_in(part, incarnation)).max().unwrap_or(0);
    let mut mark = mark_in(parts);
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Some(Ok(folder)) = path.parent().map(Path::read_dir) else { return mark };
    for entry in folder.flatten() {
        let other = entry.path();
        if other == path || !entry.file_name().to_string_lossy().starts_with("journal-") {
            continue;
        }
        let Ok(file) = File::open(&other) else { continue };
        let Ok(len) = file.metadata().map(|metadata| metadata.len()) else { continue };
        if let Ok(bytes) = read(&file, len.min(JOURNAL_BYTES_MAX))
            && FileHeader::decode(&bytes).is_ok()
        {
            mark = mark.max(mark_in(&inspect(&bytes, BLOCK_MIN)));
        }
    }
    mark
}

/// The length of the journal's files, as one beside this says.
fn len_beside(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    path.parent()?.read_dir().ok()?.flatten().find_map(|entry| {
        let is_journal = entry.file_name().to_string_lossy().starts_with("journal-");
        let mut start = [0; FILE_HEADER_LEN];
        File::open(entry.path()).ok().filter(|_| is_journal)?.read_exact_at(&mut start, 0).ok()?;
        FileHeader::decode(&start).ok().map(|header| header.file_len)
    })
}

fn mark_in(part: &Part, incarnation: u64) -> u64 {
    match part {
        // A later incarnation went on behind the last commit that counted.
        Part::File(header) if header.incarnation > incarnation => header.previous_end.max(header.durable_sequence),
        Part::File(header) => header.durable_sequence,
        Part::Commit(_, commit) | Part::Behind(_, commit) => commit.durable_sequence,
        Part::Entry(..) | Part::Earlier(_) | Part::Blank(_) | Part::Other(_) | Part::Corrupt(..) => 0,
    }
}
