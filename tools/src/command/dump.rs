//! `corelog dump`: shows files, and what is wrong with them.

use crate::dump::{DumpError, Options, Report, dump};
use crate::exit::{DAMAGED, FAILED, Failure, HELP};
use clap::Args;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;

/// The command line of `corelog dump`.
#[derive(Debug, Args)]
#[command(after_help = format!(
    "Knows journal files, checkpoints, superblocks and metadata snapshots of Corelog, and the files of a partition's\n\
     folder: .log, .index, .timeindex, .snapshot, leader-epoch-checkpoint, partition.metadata. Nothing is ever\n\
     changed. A broker may run meanwhile; what it writes at that moment may then look unfinished.\n\n\
     Examples:\n  \
       corelog dump corelog-data/topics/orders-0/*\n  \
       corelog dump --records corelog-data/topics/orders-0/00000000000000000000.log\n  \
       corelog dump --summary corelog-data/shard-*/*\n\n{HELP}"
))]
pub(crate) struct Dump {
    /// Files of a data directory
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show every record, not only the batches
    #[arg(long, conflicts_with = "summary")]
    records: bool,
    /// Show only totals and what is corrupt
    #[arg(long)]
    summary: bool,
}

impl Dump {
    /// Shows the files one after the other, whatever is wrong with one of them.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let options = Options { records: self.records, summary: self.summary };
        let (mut corrupt, mut unread) = (0, 0);
        for path in &self.files {
            let mut report = Report::new(&mut out);
            let shown = report.line(format_args!("{}", path.display())).and_then(|()| dump(path, options, &mut report));
            corrupt += u64::from(report.faults() > 0);
            let problem = match shown {
                Ok(()) => continue,
                Err(DumpError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(DumpError::Output(error)) => return Err(Failure::new(format!("cannot write the output: {error}"))),
                Err(DumpError::Unreadable(error)) => format!("cannot be read: {error}"),
                Err(DumpError::Unknown) => {
                    "is no file that Corelog writes, neither by its name nor by its first bytes".into()
                }
            };
            unread += 1;
            let _ = out.flush();
            eprintln!("corelog: {} {problem}", path.display());
        }
        match out.flush() {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                return Err(Failure::new(format!("cannot write the output: {error}")));
            }
            _ => {}
        }
        let files = |count: u64| if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") };
        match (corrupt, unread) {
            (0, 0) => Ok(()),
            (0, _) => Err(Failure { status: FAILED, message: String::new() }),
            _ => {
                Err(Failure::with_status(DAMAGED, format!("{} corrupt; see above for what and where", files(corrupt))))
            }
        }
    }
}
