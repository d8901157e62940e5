//! Reads TOML with the place of every value, and gathers all mistakes instead of stopping at the first.
//!
//! ```text
//!   bytes ─▸ size, UTF-8, nesting, TOML ─▸ Document ─▸ read(|table| …) ─▸ a checked value, or every mistake
//! ```
//!
//! A parser asks a [`TableReader`] for the keys that it knows; what it did not ask for is reported as unknown, with
//! the nearest key that it did ask for.

mod report;
mod table;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use crate::error::{Failure, Kind, Result};
pub(super) use report::Mistake;
use report::Report;
pub use report::nearest;
pub(super) use table::{Choice, TableReader};

/// Longest definition or policy, in bytes. One with a thousand grants is a tenth of this.
pub const FILE_MAX: u64 = 1 << 20;
/// Deepest nesting of brackets, and most parts of a dotted key. Ours need four; the TOML crate builds and drops its
/// tables by recursion, so that this also bounds the stack (to its square).
const DEPTH_MAX: usize = 16;

/// The bytes of a definition on disk: at most [`FILE_MAX`], and no more than that is read.
///
/// # Errors
/// `NotFound` where it does not exist; `Usage` where it is too long or no file.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    read_all(open(path)?, &one_line(&path.to_string_lossy()))
}

/// Opens a file that an operator named.
///
/// # Errors
/// `NotFound` where it does not exist, `Denied` where it may not be read, `Usage` where the path is none.
pub fn open(path: &Path) -> Result<std::fs::File> {
    std::fs::File::open(path).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            std::io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Usage,
        };
        Failure::new(kind, format!("cannot open {}", one_line(&path.to_string_lossy()))).because(error)
    })
}

/// The same from a stream, standard input say. `source` names it in messages.
pub fn read_all(stream: impl Read, source: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream
        .take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("cannot read {source}")).because(error))?;
    if bytes.len() as u64 > FILE_MAX { Err(too_long(source)) } else { Ok(bytes) }
}

fn too_long(source: &str) -> Failure {
    Failure::usage(format!("{} is longer than 1 MiB", one_line(source)))
        .hint("a definition is a short text; is this another file, a disk image say?")
}

/// The text of bytes that are TOML, for what is read by its types alone.
///
/// # Errors
/// `Usage` with the place of what is no TOML, or where it nests too deep.
pub fn toml_text<'t>(what: &'static str, source: &str, bytes: &'t [u8]) -> Result<&'t str> {
    Document::parse(what, source, bytes)?;
    Ok(std::str::from_utf8(bytes).unwrap_or_default())
}

/// A text that is TOML, and the mistakes found in it so far.
#[derive(Debug)]
pub(super) struct Document<'t> {
    report: Report<'t>,
    root: Spanned<DeTable<'t>>,
}

impl<'t> Document<'t> {
    /// `what` says what the text should be ("domain definition"), `source` where it came from.
    ///
    /// # Errors
    /// What leaves nothing to read: too long, not UTF-8, nested too deep, not TOML.
    pub(super) fn parse(what: &'static str, source: &str, bytes: &'t [u8]) -> Result<Self> {
        if bytes.len() as u64 > FILE_MAX {
            return Err(too_long(source));
        }
        // Editors on Windows begin a file with it; it says nothing.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = error.valid_up_to();
                let text = std::str::from_utf8(&bytes[..good]).unwrap_or_default();
                let report = Report::new(what, source, text);
                report.add(Mistake::new(
                    good,
                    format!("the byte 0x{:02x} is not UTF-8", bytes.get(good).copied().unwrap_or_default()),
                    "save the file as UTF-8",
                ));
                return Err(report.into_failure());
            }
        };
        let report = Report::new(what, source, text);
        if text.trim().is_empty() {
            report.add(Mistake::new(0, "the file is empty", ""));
            return Err(report.into_failure());
        }
        if let Some(at) = too_deep(text) {
            report.add(Mistake::new(at, format!("nested more than {DEPTH_MAX} deep"), "no key here needs that"));
            return Err(report.into_failure());
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut last_line = None;
        let mut torn = false;
        for error in errors.iter() {
            let at = error.span().map_or(0, |span| span.start);
            if error.message() == "duplicate key" {
                report.add(duplicate(text, &root, error.span().unwrap_or(0..0)));
                continue;
            }
            torn = true;
            // One slip often breaks the rest of its line; its first error is the one that helps.
            let line = text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
            if last_line.replace(line) != Some(line) {
                report.add(
                    bare_word(text, at)
                        .unwrap_or_else(|| Mistake::new(at, format!("not TOML: {}", one_line(error.message())), "")),
                );
            }
        }
        // What was recovered from a torn text would be missing keys that are there.
        if torn { Err(report.into_failure()) } else { Ok(Document { report, root }) }
    }

    /// Hands the outermost table to `read`, and gives what it made, or every mistake.
    pub(super) fn read<T>(self, read: impl FnOnce(&mut TableReader<'_>) -> Option<T>) -> Result<T> {
        let value = {
            let mut table = TableReader::new(&self.report, self.root.get_ref(), String::new(), 0);
            let value = read(&mut table);
            table.finish();
            value
        };
        match value {
            Some(value) if self.report.is_empty() => Ok(value),
            Some(_) | None => Err(self.report.into_failure()),
        }
    }
}

/// Where brackets or dots first go deeper than [`DEPTH_MAX`].
fn too_deep(text: &str) -> Option<usize> {
    let (mut brackets, mut dots) = (0usize, 0usize);
    for token in Source::new(text).lex() {
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => (brackets, dots) = (brackets + 1, 0),
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                (brackets, dots) = (brackets.saturating_sub(1), 0);
            }
            TokenKind::Dot => dots += 1,
            TokenKind::Equals | TokenKind::Comma | TokenKind::Newline => dots = 0,
            _ => {}
        }
        if brackets > DEPTH_MAX || dots >= DEPTH_MAX {
            return Some(token.span().start());
        }
    }
    None
}

/// The commonest slip, a text without quotes, which the TOML crate takes for a bad number (`node1` for `nan`).
fn bare_word(text: &str, at: usize) -> Option<Mistake> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next()?;
    let value = line.find('=').map(|equals| start + equals + 1).filter(|value| *value <= at)?;
    let word = text[value..start + line.len()].split('#').next().unwrap_or_default();
    let place = value + (word.len() - word.trim_start().len());
    let word = word.trim();
    let bare = word.starts_with(|c: char| c.is_alphanumeric() || c == '/' || c == '.')
        && word.contains(|c: char| c.is_alphabetic() || c == '/')
        && !word.contains(['"', '\'', '[', ']', '{', '}', ',', '=']);
    bare.then(|| Mistake::new(place, format!("not TOML: {word:?} is not a value"), "put a text in quotes"))
}

/// The mistake of a key written twice, with the line of the first. The TOML crate does not say where that is; it is the
/// nearest key of that name above.
fn duplicate(text: &str, root: &Spanned<DeTable<'_>>, key: Range<usize>) -> Mistake {
    let name = text.get(key.clone()).unwrap_or_default();
    let mut first = None;
    let mut tables = vec![root.get_ref()];
    while let Some(table) = tables.pop() {
        for (other, value) in table {
            let span = other.span();
            if span.start < key.start && text.get(span.clone()) == Some(name) {
                first = first.max(Some(span.start));
            }
            tables.extend(value.get_ref().as_table());
            let elements = value.get_ref().as_array().into_iter().flat_map(|array| array.iter());
            tables.extend(elements.filter_map(|element| element.get_ref().as_table()));
        }
    }
    // Of a table opened twice, only the second is kept; the first has the same header.
    let line = |at: usize| text[at..].lines().next().unwrap_or_default().trim();
    let start = text[..key.start].rfind('\n').map_or(0, |newline| newline + 1);
    let first = first.map(|at| report::place(text, at).0).or_else(|| {
        let header = line(start);
        header.starts_with('[').then(|| text[..start].lines().position(|above| above.trim() == header))?.map(|n| n + 1)
    });
    let hint = first.map(|first| format!("it stands on line {first} already")).unwrap_or_default();
    let name = name.trim_matches(['"', '\'']);
    Mistake::new(key.start, format!("the key {name:?} is written twice"), hint)
}

/// Printable, on one line, and not longer than a person reads: a file's own words go to a terminal in this form only.
pub fn one_line(text: &str) -> String {
    /// In characters.
    const SHOWN: usize = 200;
    fief_wire::text::shown(text, SHOWN)
}
