//! One table of a document, read key by key.
//!
//! Every question gives `None` both where the key is absent and where its value is wrong; in the second case the mistake
//! is in the report already, so that a caller may go on with a default and find the other mistakes.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Report;
use super::{Mistake, nearest};

/// A closed set of words.
pub(in crate::config) trait Choice: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

pub(in crate::config) struct TableReader<'d> {
    report: &'d Report<'d>,
    table: &'d DeTable<'d>,
    /// From the root, `disk[0]`; empty for the root.
    path: String,
    /// Where the table is opened, in bytes.
    at: usize,
    known: BTreeSet<String>,
}

impl<'d> TableReader<'d> {
    pub(super) fn new(report: &'d Report<'d>, table: &'d DeTable<'d>, path: String, at: usize) -> Self {
        TableReader { report, table, path, at, known: BTreeSet::new() }
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if !self.known.contains(name) {
                self.report.add_with(|| {
                    let known = || self.known.iter().map(String::as_str);
                    let hint = match nearest(name, known()) {
                        Some(word) => format!("did you mean {word:?}?"),
                        None => format!("known here: {}", join(known())),
                    };
                    Mistake::new(key.span().start, format!("unknown key {:?}", self.path_of(name)), hint)
                });
            }
        }
    }

    pub(in crate::config) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
    /// All keys of this table, for tables whose keys are names.
    pub(in crate::config) fn keys(&self) -> Vec<String> {
        self.table.keys().map(|key| key.get_ref().clone().into_owned()).collect()
    }
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }
    /// Where the value of `key` is, in bytes; where the table is, if it has no such key.
    pub(in crate::config) fn at(&self, key: &str) -> usize {
        self.table.get(key).map_or(self.at, |value| value.span().start)
    }
    pub(in crate::config) fn line_of(&self, at: usize) -> usize {
        self.report.line_of(at)
    }
    /// A mistake in the value of `key`.
    pub(in crate::config) fn wrong(&self, key: &str, cause: impl Display, hint: impl Into<String>) {
        self.wrong_at(self.at(key), key, cause, hint);
    }
    pub(in crate::config) fn wrong_at(&self, at: usize, key: &str, cause: impl Display, hint: impl Into<String>) {
        self.report.add(Mistake::new(at, format!("{}: {cause}", self.path_of(key)), hint));
    }
    /// A mistake in the key itself.
    pub(in crate::config) fn wrong_key(&self, key: &str, cause: impl Display) {
        let at = self.table.get_key_value(key).map_or(self.at, |(key, _)| key.span().start);
        self.report.add(Mistake::new(at, format!("{}: {cause}", self.path_of(key)), ""));
    }

    fn take(&mut self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        if !self.known.contains(key) {
            self.known.insert(key.to_owned());
        }
        self.table.get(key)
    }
    fn wrong_type(&self, value: &Spanned<DeValue<'_>>, key: &str, wanted: &str, hint: impl Into<String>) {
        self.wrong_at(
            value.span().start,
            key,
            format!("{wanted} is expected, not {}", describe(value.get_ref())),
            hint,
        );
    }
    fn word<T: FromStr<Err: Display>>(&self, key: &str, value: &Spanned<DeValue<'_>>, example: &str) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, key, "a text in quotes", format!("write {key} = {example:?}, say"));
            return None;
        };
        match text.parse() {
            Ok(word) => Some(word),
            Err(cause) => {
                self.wrong_at(value.span().start, key, cause, format!("as in {example:?}"));
                None
            }
        }
    }

    /// A word of type `T`; `example` shows how one is written.
    pub(in crate::config) fn optional<T: FromStr<Err: Display>>(&mut self, key: &str, example: &str) -> Option<T> {
        let value = self.take(key)?;
        self.word(key, value, example)
    }
    /// The same, and its absence is a mistake.
    pub(in crate::config) fn required<T: FromStr<Err: Display>>(&mut self, key: &str, example: &str) -> Option<T> {
        let Some(value) = self.take(key) else {
            let (path, hint) = (self.path_of(key), format!("write {key} = {example:?}, say"));
            self.report.add(Mistake::new(self.at, format!("the key {path:?} is missing"), hint));
            return None;
        };
        self.word(key, value, example)
    }
    /// A whole number within `range`.
    pub(in crate::config) fn integer(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.take(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(value, key, "a whole number", format!("write {key} = {}, say", range.start()));
            return None;
        };
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                self.wrong(key, format!("{number} is not from {} to {}", range.start(), range.end()), "");
                None
            }
        }
    }
    pub(in crate::config) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.wrong_type(value, key, "true or false", format!("write {key} = true, without quotes"));
        }
        boolean
    }

    fn choose<T: Choice>(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let words = || T::WORDS.iter().map(|(word, _)| *word);
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, key, "a word in quotes", format!("one of {}", join(words())));
            return None;
        };
        let chosen = T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let hint = nearest(text, words()).map(|word| format!("did you mean {word:?}?")).unwrap_or_default();
            self.wrong_at(value.span().start, key, format!("{text:?} is not one of {}", join(words())), hint);
        }
        chosen
    }
    pub(in crate::config) fn choice<T: Choice>(&mut self, key: &str) -> Option<T> {
        let value = self.take(key)?;
        self.choose(key, value)
    }
    /// A list of choices, none of them twice.
    pub(in crate::config) fn choices<T: Choice>(&mut self, key: &str) -> Option<Vec<T>> {
        self.elements(key, Self::choose)
    }
    /// A list of words, none of them twice.
    pub(in crate::config) fn words<T>(&mut self, key: &str, example: &str) -> Option<Vec<T>>
    where
        T: FromStr<Err: Display> + PartialEq,
    {
        self.elements(key, |table, key, value| table.word(key, value, example))
    }
    fn elements<T: PartialEq>(
        &mut self,
        key: &str,
        read: impl Fn(&Self, &str, &Spanned<DeValue<'_>>) -> Option<T>,
    ) -> Option<Vec<T>> {
        /// Longest list, in elements: twins are looked for by comparing all with all.
        const LIST_MAX: usize = 256;
        let value = self.take(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, key, "a list", format!("write {key} = […]"));
            return None;
        };
        if array.len() > LIST_MAX {
            self.wrong(key, format!("{} elements are too many; at most {LIST_MAX} are allowed", array.len()), "");
            return None;
        }
        let mut elements = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let path = format!("{key}[{index}]");
            let Some(element) = read(self, &path, value) else { continue };
            if elements.contains(&element) {
                self.wrong_at(value.span().start, &path, "stands in the list already", "leave it out");
            } else {
                elements.push(element);
            }
        }
        Some(elements)
    }

    /// The table below `key`; one that is absent reads as empty, so that its defaults and its missing keys are found.
    pub(in crate::config) fn section<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut TableReader<'_>) -> T,
    ) -> Option<T> {
        let empty = DeTable::new();
        let (table, at) = match self.take(key) {
            None => (&empty, self.at),
            Some(value) => match value.get_ref().as_table() {
                Some(table) => (table, value.span().start),
                None => {
                    self.wrong_type(value, key, "a table", format!("write [{}]", self.path_of(key)));
                    return None;
                }
            },
        };
        let mut section = TableReader::new(self.report, table, self.path_of(key), at);
        let read = read(&mut section);
        section.finish();
        Some(read)
    }
    /// The list of tables below `key` (`[[key]]`), at most `maximum`; those that gave `None` are left out.
    pub(in crate::config) fn tables<T>(
        &mut self,
        key: &str,
        maximum: usize,
        mut read: impl FnMut(&mut TableReader<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, key, "a list of tables", format!("write [[{}]] above each", self.path_of(key)));
            return Vec::new();
        };
        let mut all = Vec::new();
        for (index, element) in array.iter().enumerate() {
            let path = format!("{key}[{index}]");
            if index == maximum {
                self.wrong_at(element.span().start, &path, format!("at most {maximum} are allowed"), "");
                break;
            }
            let Some(table) = element.get_ref().as_table() else {
                self.wrong_type(element, &path, "a table", "");
                continue;
            };
            let mut section = TableReader::new(self.report, table, self.path_of(&path), element.span().start);
            all.extend(read(&mut section));
            section.finish();
        }
        all
    }
    /// A value that is a text, a whole number or a boolean, as text.
    pub(in crate::config) fn scalar(&mut self, key: &str) -> Option<String> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Boolean(boolean) => Some(boolean.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Some(number.to_string()),
                Err(_) => {
                    self.wrong(key, format!("{number} does not fit in 64 bits"), "");
                    None
                }
            },
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                self.wrong_type(value, key, "a text, a whole number, true or false", "put it in quotes");
                None
            }
        }
    }
}

fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(boolean) => format!("{boolean}"),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}
