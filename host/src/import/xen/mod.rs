//! A guest file of Xen, as xm (xmdomain.cfg(5)) and xl (xl.cfg(5)) take it: assignments in Python's syntax.
//!
//! ```text
//!   text ─▸ lexer ─▸ syntax (assignments of literals) ─▸ keys, disk, card ─▸ Guest + Report
//! ```
//! xm runs the file as a Python program. Nothing is run here: what is no literal is reported, and refused where
//! the guest cannot do without it.

mod card;
mod disk;
mod keys;
mod left;
mod lexer;
mod syntax;

use super::guest::Guest;
use super::report::Report;
pub use syntax::{Assignment, Value};

/// Reads a guest file; mistakes are in the report. `overrides` are `key=value` as `xm create` takes them.
pub fn read(text: &str, overrides: &[(String, String)]) -> (Guest, Report) {
    let mut report = Report::default();
    let mut assignments = syntax::assignments(text, &mut report);
    assignments.extend(overrides.iter().map(|(key, value)| Assignment {
        line: 0,
        key: key.clone(),
        value: Value::Text(value.clone()),
    }));
    let guest = keys::guest(assignments, &mut report);
    (guest, report)
}
