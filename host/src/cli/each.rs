//! Several names on one line: each is tried, each is reported.

use std::fmt::Display;

use serde_json::{Value, json};

use super::Context;
use super::output::{self, Format, text};
use crate::error::{Failure, Kind, Result};
use crate::gate::Mode;

/// Runs `act` on every name, once each. It says what became of the thing (`deleted`, `already absent`).
///
/// # Errors
/// A single name's own failure. Of several: each is reported as it happens, and the failure returned says how many
/// there were; its kind is `PartlyDone` where some went well, else that of the first.
pub(super) fn each<T: Display + PartialEq>(
    context: &Context,
    kind: &'static str,
    names: &[T],
    mut act: impl FnMut(&T) -> Result<&'static str>,
) -> Result<()> {
    let mut results: Vec<Value> = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    let once: Vec<&T> = names.iter().enumerate().filter(|(at, n)| !names[..*at].contains(n)).map(|(_, n)| n).collect();
    for name in &once {
        match act(name) {
            Ok(what) => {
                results.push(json!({ "kind": kind, "name": name.to_string(), "result": what }));
                report(context, kind, *name, what)?;
            }
            Err(failure) => {
                results.push(json!({ "kind": kind, "name": name.to_string(), "result": "failed" }));
                if once.len() > 1 {
                    output::failure::report(&failure, context.format());
                }
                failures.push(failure);
            }
        }
    }
    if context.for_programs() && context.mode() == Mode::Perform && (once.len() > 1 || failures.is_empty()) {
        let document = output::json::envelope("result-list", json!({ "items": results }));
        context.print(&output::document(context.format(), document)?)?;
    }
    outcome(kind, once.len(), failures)
}

/// For people line by line, as it happens; programs get one document at the end.
fn report(context: &Context, kind: &str, name: &impl Display, what: &str) -> Result<()> {
    let name = name.to_string();
    let name = text::printable(&name);
    if context.quiet() {
        return Ok(());
    }
    match (context.mode(), context.format()) {
        (Mode::DryRun, _) | (Mode::Perform, Format::Json | Format::Yaml) => Ok(()),
        (Mode::Perform, Format::Table | Format::Wide) => context.print(&format!("{kind} {name} {what}\n")),
        (Mode::Perform, Format::Name) => context.print(&format!("{name}\n")),
    }
}

/// What `--if-exists` means: a thing that is not there is as it was wanted.
pub(super) fn or_absent(if_exists: bool, result: Result<&'static str>) -> Result<&'static str> {
    match result {
        Err(failure) if if_exists && failure.kind == Kind::NotFound => Ok("already absent"),
        other => other,
    }
}

fn outcome(kind: &str, tried: usize, mut failures: Vec<Failure>) -> Result<()> {
    match (tried, failures.len()) {
        (_, 0) => Ok(()),
        (1, _) => Err(failures.remove(0)),
        (tried, failed) if failed < tried => {
            Err(Failure::new(Kind::PartlyDone, format!("{failed} of {tried} {kind}s failed, as said above")))
        }
        (tried, _) => Err(Failure::new(failures[0].kind, format!("all {tried} {kind}s failed, as said above"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    fn tried(names: &[&str]) -> (Vec<String>, Result<()>) {
        let context = Context::new(Layout::new("/nonexistent/fief"), Format::Name, false, true).unwrap();
        let mut seen = Vec::new();
        let result = each(&context, "volume", names, |name| {
            seen.push((*name).to_owned());
            match *name {
                "missing" => Err(Failure::not_found("no volume missing")),
                "busy" => Err(Failure::conflict("volume busy is in use")),
                _ => Ok("deleted"),
            }
        });
        (seen, result)
    }

    #[test]
    fn every_name_is_tried_once_whatever_became_of_the_others() {
        let (seen, result) = tried(&["missing", "a", "busy", "a"]);
        assert_eq!(seen, ["missing", "a", "busy"]);
        let failure = result.unwrap_err();
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (Kind::PartlyDone, "2 of 3 volumes failed, as said above")
        );
    }

    #[test]
    fn a_failure_of_all_keeps_its_own_exit_code() {
        assert_eq!(tried(&["missing"]).1.unwrap_err(), Failure::not_found("no volume missing"));
        assert_eq!(tried(&["busy", "missing"]).1.unwrap_err().kind, Kind::Conflict);
        assert!(tried(&["a", "b"]).1.is_ok());
    }
}
