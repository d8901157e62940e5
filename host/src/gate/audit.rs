//! The audit file: one JSON line for each operation done, failed, undone or denied.
//!
//! Operations and outcomes hold no secrets by their types, so nothing is left out here. Writing is best effort: an
//! operation that was done is not taken back because its line could not be written, but the log says so.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

use serde::Serialize;

use super::{Actor, Operation, Outcome};
use crate::error::{Context, Failure, Result};
use crate::layout::Layout;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    /// RFC 3339, UTC.
    time: String,
    /// None for an undo, which fief does by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a Actor>,
    what: &'a Operation,
    #[serde(flatten)]
    result: Told<'a>,
    /// Lines like this one that were left out before it (`repeats.rs`).
    #[serde(skip_serializing_if = "is_none")]
    left_out: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "it is what serde passes")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

#[derive(Serialize)]
#[serde(tag = "result", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
enum Told<'a> {
    Done { brought: &'a Outcome },
    Failed { failure: &'a Failure },
    Undone,
    Denied { reason: &'a str },
}

pub(super) fn done(layout: &Layout, actor: &Actor, operation: &Operation, outcome: &Outcome) {
    done_again(layout, actor, operation, outcome, 0);
}

pub(super) fn done_again(layout: &Layout, actor: &Actor, operation: &Operation, outcome: &Outcome, left_out: u32) {
    append(layout, Some(actor), operation, Told::Done { brought: outcome }, left_out);
}

pub(super) fn failed(layout: &Layout, actor: &Actor, operation: &Operation, failure: &Failure) {
    failed_again(layout, actor, operation, failure, 0);
}

pub(super) fn failed_again(layout: &Layout, actor: &Actor, operation: &Operation, failure: &Failure, left_out: u32) {
    append(layout, Some(actor), operation, Told::Failed { failure }, left_out);
}

pub(super) fn undone(layout: &Layout, operation: &Operation) {
    append(layout, None, operation, Told::Undone, 0);
}

pub(super) fn denied(layout: &Layout, actor: &Actor, operation: &Operation, reason: &str, left_out: u32) {
    append(layout, Some(actor), operation, Told::Denied { reason }, left_out);
}

fn append(layout: &Layout, actor: Option<&Actor>, operation: &Operation, result: Told<'_>, left_out: u32) {
    let line = Line { time: jiff::Timestamp::now().to_string(), actor, what: operation, result, left_out };
    let written = serde_json::to_vec(&line).map_err(std::io::Error::from).and_then(|mut bytes| {
        bytes.push(b'\n');
        // One write to a file opened for appending: lines of two commands do not mix.
        OpenOptions::new().create(true).append(true).mode(0o600).open(layout.audit())?.write_all(&bytes)
    });
    if let Err(error) = written {
        tracing::warn!(path = %layout.audit().display(), %error, "cannot write the audit file");
    }
}

/// Prints one operation of a dry run on stdout, as a line of JSON. A reader that has gone away is no failure.
pub(super) fn show(operation: &Operation) -> Result<()> {
    let saying = || "cannot print an operation".to_owned();
    let mut line = serde_json::to_vec(operation).context(saying)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    match out.write_all(&line).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context(saying),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn each_result_is_one_line_that_says_when_who_what_and_how() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let operation = Operation::LinkList { network: "lab".parse().unwrap() };
        done(&layout, &Actor::Operator, &operation, &Outcome::Set);
        failed(&layout, &Actor::Plugin("p".parse().unwrap()), &operation, &Failure::other("two\nlines"));
        undone(&layout, &operation);
        denied(&layout, &Actor::Operator, &operation, "no grant", 0);
        let text = std::fs::read_to_string(layout.audit()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let results: Vec<_> = lines.iter().map(|line| line["result"].as_str().unwrap()).collect();
        assert_eq!(results, ["done", "failed", "undone", "denied"]);
        assert_eq!(lines[1]["actor"]["plugin"], "p");
        assert_eq!(lines[0]["what"]["operation"], "link-list");
        assert!(lines[0]["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert_eq!(std::fs::metadata(layout.audit()).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn an_audit_file_that_cannot_be_written_stops_nothing() {
        let operation = Operation::LinkList { network: "lab".parse().unwrap() };
        undone(&Layout::new("/nonexistent/root"), &operation);
    }
}
