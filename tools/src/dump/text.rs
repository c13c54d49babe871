//! Kafka's small text files in a partition's folder: `leader-epoch-checkpoint` and `partition.metadata`.

use super::{DumpError, Report};
use corelog_wire::ids::TopicId;
use std::fs::File;
use std::io::Read;

/// The longest text that is read, in bytes.
const TEXT_BYTES_MAX: u64 = 16 << 20;

fn read(mut file: &File, len: u64, report: &mut Report<'_>) -> Result<Option<String>, DumpError> {
    // The first bytes were read to recognise the file.
    std::io::Seek::rewind(&mut file).map_err(DumpError::Unreadable)?;
    if len > TEXT_BYTES_MAX {
        report.fault(TEXT_BYTES_MAX, format_args!("the file has {len} bytes, far more than there is to say"))?;
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes).map_err(DumpError::Unreadable)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            report.fault(error.utf8_error().valid_up_to() as u64, format_args!("it is not text"))?;
            Ok(None)
        }
    }
}

/// Lines with the positions at which they begin.
fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let mut position = 0;
    text.split_inclusive('\n').map(move |line| {
        let begins = position;
        position += line.len() as u64;
        (begins, line.trim_end())
    })
}

/// `leader-epoch-checkpoint`: a version, a count, then a line with leader epoch and start offset for each (KIP-101).
pub(super) fn dump_epochs(file: &File, len: u64, report: &mut Report<'_>) -> Result<(), DumpError> {
    let Some(text) = read(file, len, report)? else { return Ok(()) };
    let mut lines = lines(&text);
    let mut head = |what: &str, report: &mut Report<'_>| -> Result<Option<u64>, DumpError> {
        let (at, line) = lines.next().unwrap_or((len, ""));
        let number = line.parse().ok();
        if number.is_none() {
            report.fault(at, format_args!("\"{line}\" is not the {what}"))?;
        }
        Ok(number)
    };
    let Some(version) = head("version", report)? else { return Ok(()) };
    if version != 0 {
        return report.fault(0, format_args!("its version is {version}, this program knows version 0"));
    }
    let Some(count) = head("number of leader epochs", report)? else { return Ok(()) };
    let mut last: Option<(i32, i64)> = None;
    let mut found = 0;
    for (at, line) in lines {
        let entry = line.split_once(' ').and_then(|(epoch, offset)| Some((epoch.parse().ok()?, offset.parse().ok()?)));
        let Some((epoch, offset)) = entry else {
            report.fault(at, format_args!("\"{line}\" is not a leader epoch and an offset"))?;
            continue;
        };
        report.line(format_args!("  leader epoch {epoch} from offset {offset}"))?;
        if last.is_some_and(|(last_epoch, last_offset)| epoch <= last_epoch || offset <= last_offset) {
            report.fault(at, format_args!("leader epoch {epoch} from {offset} does not follow the line before"))?;
        }
        last = Some((epoch, offset));
        found += 1;
    }
    if found != count {
        report.fault(len, format_args!("it announces {count} leader epochs and holds {found}"))?;
    }
    report.line(format_args!("  {found} leader epochs"))
}

/// `partition.metadata`: which topic the folder belongs to (KIP-516).
pub(super) fn dump_metadata(file: &File, len: u64, report: &mut Report<'_>) -> Result<(), DumpError> {
    let Some(text) = read(file, len, report)? else { return Ok(()) };
    let mut version = None;
    let mut topic = None;
    for (at, line) in lines(&text).filter(|(_, line)| !line.is_empty()) {
        match line.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("version", "0")) => version = Some(0),
            Some(("version", other)) => {
                report.fault(at, format_args!("its version is {other}, this program knows version 0"))?;
            }
            Some(("topic_id", id)) => match id.parse::<TopicId>() {
                Ok(id) => topic = Some(id),
                Err(error) => report.fault(at, format_args!("\"{id}\" is {error}"))?,
            },
            _ => report.fault(at, format_args!("\"{line}\" means nothing here"))?,
        }
    }
    match (version, topic) {
        (Some(_), Some(id)) => report.line(format_args!("  topic id {id}")),
        (None, _) => report.fault(len, format_args!("the line with the version is missing or wrong")),
        (_, None) => report.fault(len, format_args!("the line with the topic id is missing or wrong")),
    }
}
