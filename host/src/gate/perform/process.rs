use std::os::fd::OwnedFd;

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Failure, Result};

pub(super) fn act(gate: &Gate, operation: &Operation, descriptors: Vec<OwnedFd>) -> Result<Done> {
    let _ = (gate, operation, descriptors);
    Err(Failure::other("not built yet"))
}

pub(super) fn undo(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    let _ = (gate, operation, outcome);
    Err(Failure::other("not built yet"))
}
