//! Reads TOML with the place of every value, and gathers all mistakes instead of stopping at the first.
//!
//! A definition's code takes the keys that it knows from a [`Table`]; what it did not take is an unknown key. Every
//! mistake is one line: `node1.toml:4:1: unknown key "memry" (did you mean "memory"?)`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Failure, Result};

/// Largest file that is read, in bytes: a definition with hundreds of disks is far below it.
pub const FILE_MAX: usize = 1 << 20;
/// Mistakes that are told at once; a file with more is not a definition gone wrong but something else.
const MISTAKES_MAX: usize = 20;
/// The nearest of `known` to `written`, if one is near: at most a third of its letters added, left out, changed or
/// swapped with their neighbour (optimal string alignment distance).
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(written, word), word))
        .filter(|(distance, word)| *distance <= word.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// A file being read, and the mistakes found in it so far.
pub struct Document<'a> {
    source: &'a str,
    text: &'a str,
    mistakes: RefCell<Vec<(usize, String)>>,
}

impl Document<'_> {
    /// Notes a mistake at a byte offset.
    fn mistake(&self, at: usize, cause: impl Display) {
        self.mistakes.borrow_mut().push((at, cause.to_string()));
    }

    /// `source:line:column`, both counted from 1, the column in characters.
    fn place(&self, at: usize) -> String {
        let at = at.min(self.text.len());
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.source)
    }

    fn into_result<T>(self, what: &str, value: Option<T>) -> Result<T> {
        let mut mistakes = self.mistakes.take();
        if let (Some(value), true) = (value, mistakes.is_empty()) {
            return Ok(value);
        }
        mistakes.sort_by_key(|(at, _)| *at);
        let mut failure = Failure::usage(match mistakes.len() {
            1 => format!("the {what} in {} has a mistake", self.source),
            number => format!("the {what} in {} has {number} mistakes", self.source),
        });
        let more = mistakes.len().saturating_sub(MISTAKES_MAX);
        mistakes.truncate(MISTAKES_MAX);
        for (at, cause) in mistakes {
            failure.causes.push(format!("{}: {cause}", self.place(at)));
        }
        if more > 0 {
            failure.causes.push(format!("and {more} more"));
        }
        Err(failure.hint("nothing was changed; mend what is named here and try again"))
    }
}

/// Reads a file of TOML. `take` takes what it knows from the top table; it may give `None` only where it noted a
/// mistake. `what` names the file's content in errors (`domain definition`).
///
/// # Errors
/// `Usage`, with every mistake and its place as a cause.
pub fn read<T>(bytes: &[u8], source: &str, what: &str, take: impl FnOnce(&mut Table<'_>) -> Option<T>) -> Result<T> {
    let refuse = |cause: String| {
        let mut failure = Failure::usage(format!("the {what} in {source} cannot be read"));
        failure.causes.push(cause);
        failure
    };
    if bytes.len() > FILE_MAX {
        return Err(refuse(format!("it is larger than {FILE_MAX} bytes")).hint("is it the right file?"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let document = Document { source, text: good, mistakes: RefCell::default() };
            let place = document.place(good.len());
            return Err(refuse(format!("{place}: the bytes here are not UTF-8")).hint("save the file as UTF-8"));
        }
    };
    // A byte-order mark, as some editors write it; TOML does not know it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = Document { source, text, mistakes: RefCell::default() };
    if text.trim().is_empty() {
        document.mistake(0, format_args!("there is no {what} here: the file is empty"));
        return document.into_result(what, None);
    }
    let (top, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in &errors {
            document.mistake(error.span().map_or(0, |span| span.start), error.message().replace('\n', "; "));
        }
        return document.into_result(what, None);
    }
    let mut table = Table::new(&document, String::new(), 0, top.get_ref());
    let value = take(&mut table);
    table.finish();
    document.into_result(what, value)
}

/// A table of the file, from which keys are taken.
pub struct Table<'d> {
    document: &'d Document<'d>,
    /// `disk[0]`, empty at the top.
    path: String,
    start: usize,
    entries: BTreeMap<&'d str, (Range<usize>, &'d Spanned<DeValue<'d>>)>,
    known: Vec<String>,
}

impl<'d> Table<'d> {
    fn new(document: &'d Document<'d>, path: String, start: usize, table: &'d DeTable<'d>) -> Self {
        let entries = table.iter().map(|(key, value)| (key.get_ref().as_ref(), (key.span(), value))).collect();
        Table { document, path, start, entries, known: Vec::new() }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes a mistake in the value of `key`, or at the table where the key is not there.
    pub fn mistake(&self, key: &str, cause: impl Display) {
        let at = self.entries.get(key).map_or(self.start, |(_, value)| value.span().start);
        self.document.mistake(at, format_args!("{}: {cause}", self.path_of(key)));
    }

    fn take(&mut self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key.to_owned());
        self.entries.get(key).map(|(_, value)| *value)
    }

    /// Whether the key is written, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    fn wrong_type(&self, key: &str, value: &DeValue<'_>, wanted: &str) {
        self.mistake(key, format_args!("is {}, and should be {wanted}", article(value.type_str())));
    }

    /// A string, as it is.
    pub fn text(&mut self, key: &str) -> Option<&'d str> {
        let value = self.take(key)?.get_ref();
        let text = value.as_str();
        if text.is_none() {
            self.wrong_type(key, value, "a string");
        }
        text
    }

    /// A string that is a `T`.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(key, error);
                None
            }
        }
    }

    /// The same, and a mistake where it is missing.
    pub fn required<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        if !self.has(key) {
            self.known.push(key.to_owned());
            let example = self.path_of(key);
            self.document.mistake(self.start, format_args!("{example} is missing"));
            return None;
        }
        self.parsed(key)
    }

    /// One of a few words; `default` where the key is not there (or wrong, which is noted).
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)], default: T) -> T {
        let Some(text) = self.text(key) else { return default };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => *value,
            None => {
                self.mistake(key, not_one_of(text, choices.iter().map(|(word, _)| *word)));
                default
            }
        }
    }

    pub fn integer(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.take(key)?.get_ref();
        let Some(integer) = value.as_integer() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        let number = i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix());
        match number {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                let (low, high) = (range.start(), range.end());
                self.mistake(key, format_args!("{} is not between {low} and {high}", integer.as_str()));
                None
            }
        }
    }

    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?.get_ref();
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        boolean
    }

    /// A list of strings, each a `T`.
    pub fn list<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value.get_ref(), "a list of strings");
            return None;
        };
        let mut all = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str().map(str::parse) {
                Some(Ok(parsed)) => all.push(parsed),
                Some(Err(error)) => {
                    self.document.mistake(item.span().start, format_args!("{}: {error}", self.path_of(key)));
                }
                None => {
                    let kind = article(item.get_ref().type_str());
                    let path = self.path_of(key);
                    self.document.mistake(item.span().start, format_args!("{path}: is {kind}, and should be a string"));
                }
            }
        }
        Some(all)
    }

    /// Takes a table that stands under `key`, and finishes it.
    pub fn table<T>(&mut self, key: &str, take: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let value = self.take(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value.get_ref(), "a table");
            return None;
        };
        let mut table = Table::new(self.document, self.path_of(key), value.span().start, table);
        let taken = take(&mut table);
        table.finish();
        Some(taken)
    }

    /// Takes each table of a list of tables, and finishes it.
    pub fn tables<T>(&mut self, key: &str, mut take: impl FnMut(&mut Table<'_>) -> Option<T>) -> Vec<T> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value.get_ref(), "a list of tables");
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, item) in array.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            let Some(table) = item.get_ref().as_table() else {
                let kind = article(item.get_ref().type_str());
                self.document.mistake(item.span().start, format_args!("{path}: is {kind}, and should be a table"));
                continue;
            };
            let mut table = Table::new(self.document, path, item.span().start, table);
            all.extend(take(&mut table));
            table.finish();
        }
        all
    }

    /// Takes every key of this table, whatever it is called, as a name of type `K` with a table of its own.
    pub fn named_tables<K: FromStr<Err: Display> + Ord, T>(
        &mut self,
        mut take: impl FnMut(&K, &mut Table<'_>) -> T,
    ) -> BTreeMap<K, T> {
        let keys: Vec<&str> = self.entries.keys().copied().collect();
        let mut all = BTreeMap::new();
        for key in keys {
            match key.parse::<K>() {
                Ok(name) => {
                    if let Some(value) = self.table(key, |table| take(&name, table)) {
                        all.insert(name, value);
                    }
                }
                Err(error) => {
                    self.known.push(key.to_owned());
                    self.mistake(key, error);
                }
            }
        }
        all
    }

    /// Takes every key of this table with a plain value (string, integer or boolean) as text.
    pub fn plain_values(&mut self) -> BTreeMap<String, String> {
        let keys: Vec<&str> = self.entries.keys().copied().collect();
        let mut all = BTreeMap::new();
        for key in keys {
            let Some(value) = self.take(key) else { continue };
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.as_str().to_owned(),
                DeValue::Boolean(boolean) => boolean.to_string(),
                other @ (DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_)) => {
                    self.wrong_type(key, other, "a string, a whole number, or true or false");
                    continue;
                }
            };
            all.insert(key.to_owned(), text);
        }
        all
    }

    /// Notes every key that nobody took.
    fn finish(&mut self) {
        for (key, (span, _)) in &self.entries {
            if self.known.iter().any(|known| known == key) {
                continue;
            }
            let path = self.path_of(key);
            let known = self.known.iter().map(String::as_str);
            let proposal = match nearest(key, known.clone()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
            };
            self.document.mistake(span.start, format_args!("unknown key {path:?} ({proposal})"));
        }
    }
}

/// `"kmv" is not one of auto, kvm, tcg (did you mean "kvm"?)`.
pub fn not_one_of<'k>(written: &str, words: impl Iterator<Item = &'k str> + Clone) -> String {
    let all = words.clone().collect::<Vec<_>>().join(", ");
    match nearest(written, words) {
        Some(near) => format!("{written:?} is not one of {all} (did you mean {near:?}?)"),
        None => format!("{written:?} is not one of {all}"),
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}
