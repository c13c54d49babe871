//! `corelog completions`: what a shell needs to complete the command line.

use crate::exit::Failure;
use crate::output::show;
use clap::{Args, Command};
use clap_complete::Shell;

/// The command line of `corelog completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    corelog completions bash > /etc/bash_completion.d/corelog\n  \
    corelog completions zsh > \"${fpath[1]}/_corelog\"\n  \
    corelog completions fish > ~/.config/fish/completions/corelog.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the shell's script for this command line.
    pub(crate) fn run(self, mut command: Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "corelog", &mut script);
        show(|out| out.bytes(&script))
    }
}
