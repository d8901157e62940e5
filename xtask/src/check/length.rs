//! No file past what a reader can hold.

use super::{Source, is_rust};
use crate::command::Result;

/// Most lines of a file of ours.
const MOST: usize = 400;

/// Files that may be longer, with the reason: `PATH: reason`.
const EXCEPTIONS: &str = include_str!("../../exceptions");

pub(crate) fn check(sources: &[Source]) -> Result<()> {
    let exceptions: Vec<(&str, &str)> = EXCEPTIONS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .collect();
    let mut troubles = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| is_rust(&source.path)) {
        let lines = text.lines().count();
        let excepted = exceptions.iter().any(|(name, reason)| path.to_str() == Some(name) && !reason.is_empty());
        if lines > MOST && !excepted {
            troubles.push(format!(
                "{}: {lines} lines; past {MOST} a file usually holds two things. Split it, or give a reason in xtask/exceptions",
                path.display()
            ));
        }
    }
    for (name, _) in exceptions {
        if !sources.iter().any(|source| source.path.to_str() == Some(name) && source.text.lines().count() > MOST) {
            troubles.push(format!("xtask/exceptions names {name}, which needs no exception"));
        }
    }
    if troubles.is_empty() { Ok(()) } else { Err(troubles.join("\n").into()) }
}
