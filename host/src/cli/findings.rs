//! What a check found, in every format, and the exit code that follows from it.

use serde_json::{Value, json};

use super::Context;
use super::output::{Cell, Column, Row};
use crate::error::{Failure, Kind, Result};
use crate::sandbox::protocol::{Finding, Severity};

/// `code` is a kebab-case word that stays the same; `object` is what the finding is about.
pub(super) fn found(severity: Severity, code: &str, object: &str, message: impl Into<String>) -> Finding {
    Finding { severity, code: code.to_owned(), object: object.to_owned(), message: message.into(), remedy: None }
}

impl Row for Finding {
    const KIND: &'static str = "finding";
    const COLUMNS: &'static [Column] = &[
        Column::left("SEVERITY"),
        Column::left("OBJECT"),
        Column::left("FINDING"),
        Column::left("REMEDY"),
        Column::left("CODE").wide(),
    ];
    fn name(&self) -> String {
        self.code.clone()
    }
    fn cells(&self) -> Vec<Cell> {
        vec![
            word(self.severity).into(),
            self.object.as_str().into(),
            self.message.as_str().into(),
            Cell::optional(self.remedy.as_deref()),
            self.code.as_str().into(),
        ]
    }
    fn json(&self) -> Value {
        json!(self)
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocker => "blocker",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// Prints the findings about `subject`, gravest first.
///
/// # Errors
/// `Findings` where one of them is a blocker.
pub(super) fn report(context: &Context, subject: &str, mut findings: Vec<Finding>) -> Result<()> {
    gravest_first(&mut findings);
    if findings.is_empty() && !context.for_programs() {
        return context.print(&format!("{subject}: nothing amiss\n"));
    }
    context.list(&findings)?;
    verdict(subject, &findings)
}

pub(super) fn gravest_first(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| match finding.severity {
        Severity::Blocker => 0,
        Severity::Warning => 1,
        Severity::Note => 2,
    });
}

/// # Errors
/// `Findings` where one of them is a blocker.
pub(super) fn verdict(subject: &str, findings: &[Finding]) -> Result<()> {
    let blockers: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Blocker).collect();
    match blockers.first() {
        None => Ok(()),
        Some(first) => {
            let message = match blockers.len() {
                1 => format!("{subject}: 1 blocker was found"),
                several => format!("{subject}: {several} blockers were found"),
            };
            let hint = first.remedy.clone().unwrap_or_else(|| "see the findings above".to_owned());
            Err(Failure::new(Kind::Findings, message).hint(hint))
        }
    }
}
