//! `corelog group list`: the groups that there are.

use super::{Asker, shown};
use crate::exit::Failure;
use crate::output::{Table, show};
use clap::Args;
use serde_json::{Value, json};

/// The states that a group can be in, as brokers name them.
const STATES: [&str; 8] =
    ["Stable", "Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "NotReady", "Dead"];

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  corelog group list\n  corelog group list --state stable,empty --json")]
pub(super) struct List {
    /// Only groups in this state: stable, empty, preparing-rebalance, completing-rebalance and so on; several with commas
    /// between them
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<String>,
}

/// A state as the brokers name it.
fn state(text: &str) -> Result<String, String> {
    let is_same = |state: &&str| state.eq_ignore_ascii_case(&text.replace(['-', '_'], ""));
    let found = STATES.iter().find(|state| is_same(state));
    found
        .map(|state| (*state).to_owned())
        .ok_or_else(|| format!("no state of a group; there are {}", STATES.join(", ")))
}

impl List {
    pub(super) fn run(&self, asker: &mut Asker) -> Result<(), Failure> {
        let groups = asker.list(&self.state)?;
        show(|out| {
            if asker.json {
                let groups: Vec<_> = groups
                    .iter()
                    .map(|group| {
                        json!({
                            "group": group.id,
                            "state": group.state,
                            "type": group.kind.to_lowercase(),
                            "protocolType": group.protocol_type,
                        })
                    })
                    .collect();
                return out.json(&Value::from(groups));
            }
            if groups.is_empty() && out.is_terminal() {
                return out.line("there are no such groups; `corelog consume TOPIC --group GROUP` makes one");
            }
            let mut table = Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL"]);
            for group in &groups {
                table.row([
                    group.id.clone(),
                    shown(&group.state),
                    shown(&group.kind.to_lowercase()),
                    shown(&group.protocol_type),
                ]);
            }
            out.table(&table)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_people_write_them() {
        for text in ["preparing-rebalance", "PreparingRebalance", "PREPARING_REBALANCE"] {
            assert_eq!(state(text).as_deref(), Ok("PreparingRebalance"));
        }
        assert!(state("busy").unwrap_err().contains("Stable, Empty"));
    }
}
