//! What became of what was done: other tools delete links, flush packet filters and end processes.

use std::collections::BTreeSet;

use super::ledger::Entry;
use super::{Gate, Ledger, Operation, Outcome, audit, perform};
use crate::error::Result;
use crate::types::InterfaceName;

impl Gate {
    /// What is missing of what the ledger says was done, oldest first, each as one line; empty where all stands.
    /// Changes nothing.
    pub fn missing(&self, ledger: &Ledger) -> Result<Vec<String>> {
        let mut seen: Vec<&Operation> = Vec::new();
        let mut lines = Vec::new();
        for entry in ledger.entries() {
            // Done twice is there once.
            if seen.contains(&&entry.operation) {
                continue;
            }
            seen.push(&entry.operation);
            lines.extend(perform::missing(self, &entry.operation)?);
        }
        Ok(lines)
    }

    /// Has the DHCP server that the ledger names, if any, take up what its network reserves now.
    pub fn serve_again(&self, ledger: &Ledger) -> Result<()> {
        let served = |entry: &&Entry| matches!(entry.operation, Operation::DhcpServe { .. }) && entry.outcome.is_some();
        let Some(entry) = ledger.entries().iter().rev().find(served) else { return Ok(()) };
        let done = perform::act(self, &entry.operation, Vec::new())?;
        match done.outcome {
            Outcome::Unchanged => {}
            outcome => audit::done(&self.layout, &entry.actor, &entry.operation, &outcome),
        }
        Ok(())
    }

    /// Makes the packet filters again that are gone of what the ledger says was done; gives a line for each. Another may
    /// write to the ledger meanwhile: what is being undone is left alone, because its link is gone first.
    pub fn refilter(&self, ledger: &Ledger) -> Result<Vec<String>> {
        let mut seen: Vec<&InterfaceName> = Vec::new();
        let mut lines = Vec::new();
        // A bridge that was limited twice is limited as was said last.
        for entry in ledger.entries().iter().rev() {
            let stood = !matches!(entry.outcome, None | Some(Outcome::Unchanged | Outcome::Assumed));
            let Some(link) = perform::filtered(&entry.operation).filter(|link| stood && !seen.contains(link)) else {
                continue;
            };
            seen.push(link);
            let Some(line) = perform::missing(self, &entry.operation)? else { continue };
            if let Some(outcome) = perform::refilter(self, &entry.operation)? {
                audit::done(&self.layout, &entry.actor, &entry.operation, &outcome);
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

/// The tables that a ledger's taps stand behind, and those of the bridges that they are on.
pub fn filter_tables(ledger: &Ledger) -> BTreeSet<String> {
    ledger.entries().iter().flat_map(|entry| perform::filter_tables(&entry.operation)).collect()
}
