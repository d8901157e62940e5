//! What `fief recover` needs of the gate: guests that no record knows of.

use std::path::PathBuf;

use super::{Actor, Gate, Ledger, Operation, perform};
use crate::error::{Failure, Result};
use crate::gate::operation::HypervisorCommand;
use crate::types::{ByteSize, DomainName, ProcessId};

/// Something that was not as it should be, and what was done about it: two parts of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mended {
    pub found: String,
    pub done: String,
}

impl Mended {
    pub fn new(found: impl Into<String>, done: impl Into<String>) -> Self {
        Mended { found: found.into(), done: done.into() }
    }
}

impl Gate {
    /// The hypervisors that run for this domain, by the mark in their environment.
    pub fn hypervisors(&self, domain: &DomainName) -> Vec<ProcessId> {
        perform::hypervisors(self, domain)
    }

    /// Ends them all, as if their start had been cut off. The caller holds the domain's lock.
    ///
    /// # Errors
    /// What could not be ended; it stays in the ledger.
    pub fn end_hypervisors(&self, ledger: &mut Ledger, domain: &DomainName) -> Result<()> {
        let command = HypervisorCommand {
            program: PathBuf::new(),
            arguments: Vec::new(),
            host_network: false,
            kvm: false,
            userfaults: false,
            memory: ByteSize::from_mib(0),
        };
        ledger.intend(&Actor::Operator, &Operation::HypervisorStart { domain: domain.clone(), id: 0, command })?;
        self.undo(ledger).map_err(|failures| {
            failures.into_iter().next().unwrap_or_else(|| Failure::other("an undo failed without a word"))
        })
    }
}
