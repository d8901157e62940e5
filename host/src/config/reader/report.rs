//! Mistakes, their places, and the one failure that they become.

use std::cell::{Cell, RefCell};

use super::one_line;
use crate::error::Failure;

/// Mistakes shown of one file; more would scroll the first away.
const SHOWN_MAX: usize = 50;

/// One mistake. `cause` begins with the key's path where it is about a key.
#[derive(Debug)]
pub(in crate::config) struct Mistake {
    /// Offset in the text, in bytes.
    at: usize,
    cause: String,
    /// What to write instead; may be empty.
    hint: String,
}

impl Mistake {
    pub(in crate::config) fn new(at: usize, cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Mistake { at, cause: cause.into(), hint: hint.into() }
    }
}

/// The mistakes of one text.
#[derive(Debug)]
pub(super) struct Report<'t> {
    what: &'static str,
    source: String,
    text: &'t str,
    mistakes: RefCell<Vec<Mistake>>,
    count: Cell<usize>,
}

impl<'t> Report<'t> {
    pub(super) fn new(what: &'static str, source: &str, text: &'t str) -> Self {
        Report { what, source: one_line(source), text, mistakes: RefCell::default(), count: Cell::new(0) }
    }
    pub(super) fn add(&self, mistake: Mistake) {
        self.add_with(|| mistake);
    }
    /// Makes the mistake only where it will be shown: a hostile file has a hundred thousand.
    pub(super) fn add_with(&self, mistake: impl FnOnce() -> Mistake) {
        self.count.set(self.count.get() + 1);
        let mut mistakes = self.mistakes.borrow_mut();
        if mistakes.len() < SHOWN_MAX {
            mistakes.push(mistake());
        }
    }
    pub(super) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }
    pub(super) fn line_of(&self, at: usize) -> usize {
        place(self.text, at).0
    }
    /// Kind `Usage`: how many mistakes, and each in the order of the text.
    pub(super) fn into_failure(self) -> Failure {
        let count = self.count.get();
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| mistake.at);
        let plural = if count == 1 { "1 mistake".into() } else { format!("{count} mistakes") };
        let mut failure = Failure::usage(format!("{} {} has {plural}", self.what, self.source))
            .hint("nothing was changed; correct the text and try again");
        for mistake in &mistakes {
            let (line, column) = place(self.text, mistake.at);
            let mut cause = format!("{}:{line}:{column}: {}", self.source, one_line(&mistake.cause));
            if !mistake.hint.is_empty() {
                cause.push_str(&format!(" ({})", one_line(&mistake.hint)));
            }
            failure.causes.push(cause);
        }
        if count > mistakes.len() {
            failure.causes.push(format!("and {} more", count - mistakes.len()));
        }
        failure
    }
}

/// Line and column of an offset, both from 1, the column in characters.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    // Bytes that go on with a character (10xxxxxx) are not counted.
    let column = before[line_start..].iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
    (line, column)
}

/// The word that `written` was most likely meant to be: at most a third of it is wrong.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longest word compared, in bytes: the comparison is quadratic, and no key of ours is as long.
    const COMPARED_MAX: usize = 64;
    if written.len() > COMPARED_MAX {
        return None;
    }
    // Keys are small letters and `-`: what is written as `Max_Memory` elsewhere is near too.
    let folded = written.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(&folded, word).min(strsim::osa_distance(written, word)), word))
        .filter(|(distance, word)| *distance <= (word.len().min(folded.len()) + 1) / 3)
        // Of two as near, the one that begins alike: `vcpu` is `vcpus` rather than `cpu`.
        .min_by_key(|(distance, word)| {
            let alike = word.chars().zip(folded.chars()).take_while(|(a, b)| a == b).count();
            (*distance, std::cmp::Reverse(alike))
        })
        .map(|(_, word)| word)
}
