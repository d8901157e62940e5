//! What became of what was done: other tools delete links, flush packet filters and end processes.

use super::{Gate, Ledger, Operation, perform};
use crate::error::Result;

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
}
