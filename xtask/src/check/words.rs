//! Words that must not stand in the tree, or only in one place of it.

use super::{Source, is_rust};
use crate::command::Result;

/// Each in two parts, so that this file does not hold them itself.
const UNFINISHED: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("#[ign", "ore"),
    ("dbg", "!("),
];

pub(crate) fn no_unfinished(sources: &[Source]) -> Result<()> {
    let mut troubles = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| is_rust(&source.path)) {
        for (number, line) in text.lines().enumerate() {
            for mark in UNFINISHED.iter().map(|(head, tail)| format!("{head}{tail}")) {
                if stands_alone(line, &mark) {
                    troubles.push(format!("{}:{}: {mark}", path.display(), number + 1));
                }
            }
        }
    }
    if troubles.is_empty() { Ok(()) } else { Err(troubles.join("\n").into()) }
}

/// Forges a handle, to see that the host notices: a plugin that misbehaves on purpose.
const FORGER: &str = "tests/hostile/examples/forged.rs";

/// `unsafe` code may stand below `host/src/sys` alone: the lint that denies it is switched off nowhere else.
pub(crate) fn no_unsafe(sources: &[Source]) -> Result<()> {
    let switch = format!("allow(unsafe{}", "_code)");
    let troubles: Vec<String> = sources
        .iter()
        .filter(|source| is_rust(&source.path))
        .filter(|source| !source.path.starts_with("host/src/sys") && !source.path.ends_with(FORGER))
        .flat_map(|source| {
            let lines = source.text.lines().enumerate().filter(|(_, line)| line.contains(&switch));
            lines.map(|(number, _)| format!("{}:{}: {switch}", source.path.display(), number + 1))
        })
        .collect();
    if troubles.is_empty() { Ok(()) } else { Err(troubles.join("\n").into()) }
}

/// Whether `mark` is in `line` and not a part of a longer word.
fn stands_alone(line: &str, mark: &str) -> bool {
    let part_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + mark.len()..].chars().next();
        let ends_in_a_letter = mark.ends_with(|c: char| c.is_alphanumeric());
        !(before.is_some_and(part_of_a_word) || ends_in_a_letter && after.is_some_and(part_of_a_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_inside_a_longer_word_is_no_mark() {
        assert!(stands_alone("// FIX: later", "FIX"));
        assert!(!stands_alone("PREFIX", "FIX"));
        assert!(!stands_alone("FIXED", "FIX"));
        assert!(stands_alone("    later!(x)", "later!("));
    }
}
