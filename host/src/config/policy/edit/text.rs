//! The text of a policy, changed in places. After each change it is read anew, so that no place is stale.

use std::ops::Range;

use toml_edit::{Document, Item, Value};

use super::list::splice;
use super::place::{self, Found, Place, Step, Within, array, find, lines_of, list_of, named};
use crate::error::{Failure, Result};

pub(super) struct Text {
    text: String,
    newline: &'static str,
    /// Editors on Windows begin a file with it.
    marked: bool,
    source: String,
}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl Text {
    pub(super) fn new(bytes: &[u8], source: &str) -> Result<Text> {
        let plain = bytes.strip_prefix(MARK);
        let text = String::from_utf8(plain.unwrap_or(bytes).to_vec())
            .map_err(|error| Failure::usage(format!("{source} is not UTF-8")).because(error))?;
        let first = text.find('\n').unwrap_or(0);
        let newline = if text[..first].ends_with('\r') { "\r\n" } else { "\n" };
        Ok(Text { newline, marked: plain.is_some(), source: source.to_owned(), text })
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mark = if self.marked { MARK } else { b"" };
        [mark, self.text.as_bytes()].concat()
    }

    fn read(&self) -> Result<Document<&str>> {
        Document::parse(self.text.as_str())
            .map_err(|error| Failure::other(format!("cannot change {}", self.source)).because(error))
    }

    /// Where what is there is written as no policy writes it.
    fn strange(&self, what: &str) -> Failure {
        Failure::other(format!("cannot change {what} in {}, as it is written", self.source)).hint("write it by hand")
    }

    /// Makes an empty table where there is none: at the end of the text, or within the braces of the one above it.
    pub(super) fn ensure_table(&mut self, place: &Place) -> Result<()> {
        let document = self.read()?;
        if find(&document, place).is_some_and(|found| found.is_written()) {
            return Ok(());
        }
        if let Some((above, key)) = place.split_last()
            && let Some(Found { within: Within::Braces(_), .. }) = find(&document, &above)
        {
            let key = key.to_owned();
            return self.set(&above, &key, "{}");
        }
        self.append(&format!("[{}]", place.header()));
        Ok(())
    }

    /// The same, where not even a table below it says that it is there.
    pub(super) fn keep_table(&mut self, place: &Place) -> Result<()> {
        let there = find(&self.read()?, place).is_some();
        if there { Ok(()) } else { self.ensure_table(place) }
    }

    /// Lines at the end of the text, after an empty one.
    fn append(&mut self, lines: &str) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push_str(self.newline);
        }
        if !self.text.trim_end_matches([' ', '\t', '\r', '\n']).is_empty() {
            self.text.push_str(self.newline);
        }
        self.text.push_str(lines);
        self.text.push_str(self.newline);
    }

    /// `key = value` in a table that is there, in place of what the key had.
    pub(super) fn set(&mut self, place: &Place, key: &str, value: &str) -> Result<()> {
        let document = self.read()?;
        let found = find(&document, place).ok_or_else(|| self.strange(&place.header()))?;
        let changed = match found.table.get(key) {
            Some(item) => {
                let span = item.as_value().and_then(Value::span).ok_or_else(|| self.strange(key))?;
                splice(&self.text, span, value)
            }
            None => {
                let pair = format!("{}{key} = {value}", found.prefix);
                let values = found.table.get_values();
                let last = values.iter().max_by_key(|(_, value)| value.span().map(|span| span.end));
                match found.within {
                    Within::Braces(braces) => list_of(&self.text, braces).ok_or_else(|| self.strange(key))?.with(
                        &self.text,
                        self.newline,
                        &pair,
                    ),
                    Within::Lines(table) => {
                        let last_value = last.and_then(|(keys, value)| Some((keys.last()?.span()?, value.span()?)));
                        let end = match &last_value {
                            Some((_, value)) => value.end,
                            None => table.span().ok_or_else(|| self.strange(key))?.end,
                        };
                        let indent = last_value.map_or("", |(key, _)| self.indentation(key.start));
                        let line = format!("{indent}{pair}{}", self.newline);
                        let at = line_end(&self.text, end);
                        let broken = !self.text[..at].is_empty() && !self.text[..at].ends_with('\n');
                        let line = if broken { format!("{}{line}", self.newline) } else { line };
                        splice(&self.text, at..at, &line)
                    }
                }
            }
        };
        self.text = changed;
        Ok(())
    }

    /// `key = value` in the table `name` of a table that is there; made in braces where it is absent.
    pub(super) fn set_below(&mut self, place: &Place, name: &str, key: &str, value: &str) -> Result<()> {
        let below = place.below(Step::Key(name.to_owned()));
        match find(&self.read()?, &below).is_some() {
            true => self.set(&below, key, value),
            false => self.set(place, name, &format!("{{ {key} = {value} }}")),
        }
    }

    /// Takes `key` and what it has away; one that is absent already is.
    pub(super) fn take(&mut self, place: &Place, key: &str) -> Result<()> {
        let document = self.read()?;
        let Some(found) = find(&document, place) else { return Ok(()) };
        let Some((name, item)) = found.table.get_key_value(key) else { return Ok(()) };
        let (Some(name), Some(value)) = (name.span(), item.as_value().and_then(Value::span)) else {
            return Err(self.strange(key));
        };
        let changed = match found.within {
            Within::Lines(_) => {
                splice(&self.text, line_start(&self.text, name.start)..line_end(&self.text, value.end), "")
            }
            Within::Braces(braces) => {
                let list = list_of(&self.text, braces).ok_or_else(|| self.strange(key))?;
                let index = list.elements.iter().position(|one| one.end == value.end);
                list.without(&self.text, index.ok_or_else(|| self.strange(key))?)
            }
        };
        self.text = changed;
        Ok(())
    }

    /// Takes one pair out of a table that dotted keys make in braces; false where there is none.
    fn take_last(&mut self, place: &Place) -> Result<bool> {
        let document = self.read()?;
        let Some(Found { table, within: Within::Braces(braces), .. }) = find(&document, place) else {
            return Ok(false);
        };
        let Some(end) = table.get_values().iter().filter_map(|(_, value)| value.span()).map(|span| span.end).max()
        else {
            return Ok(false);
        };
        let list = list_of(&self.text, braces).ok_or_else(|| self.strange("all"))?;
        let index = list.elements.iter().position(|one| one.end == end).ok_or_else(|| self.strange("all"))?;
        self.text = list.without(&self.text, index);
        Ok(true)
    }

    /// A word more in the list `key`, which is made where it is absent.
    pub(super) fn add_word(&mut self, place: &Place, key: &str, word: &str) -> Result<()> {
        self.add(place, key, &super::quoted(word))
    }

    fn add(&mut self, place: &Place, key: &str, element: &str) -> Result<()> {
        let document = self.read()?;
        let found = find(&document, place).ok_or_else(|| self.strange(&place.header()))?;
        let changed = match found.table.get(key) {
            None => {
                return self.set(place, key, &format!("[{element}]"));
            }
            Some(item) => array(item).ok_or_else(|| self.strange(key))?.with(&self.text, self.newline, element),
        };
        self.text = changed;
        Ok(())
    }

    /// All elements of the list `key` that are that word go; a list that is empty then goes, too, if there is no comment in it.
    pub(super) fn take_word(&mut self, place: &Place, key: &str, word: &str) -> Result<()> {
        loop {
            let document = self.read()?;
            let Some(item) = find(&document, place).and_then(|found| found.table.get(key)) else { return Ok(()) };
            let values = item.as_array().ok_or_else(|| self.strange(key))?;
            let Some(index) = values.iter().position(|value| value.as_str() == Some(word)) else { return Ok(()) };
            let before = self.text.len();
            self.take_element(place, key, index)?;
            if self.text.len() >= before {
                return Err(self.strange(key));
            }
        }
    }

    fn take_element(&mut self, place: &Place, key: &str, index: usize) -> Result<()> {
        let document = self.read()?;
        let item = find(&document, place).and_then(|found| found.table.get(key)).ok_or_else(|| self.strange(key))?;
        let list = array(item).ok_or_else(|| self.strange(key))?;
        let changed = list.without(&self.text, index);
        let emptied = list.elements.len() == 1 && !self.text[list.inner.clone()].contains('#');
        if emptied {
            return self.take(place, key);
        }
        self.text = changed;
        Ok(())
    }

    /// A table of that name in the list `key`, with these fields and no others; a field that is none is taken away.
    pub(super) fn set_named(
        &mut self,
        place: &Place,
        key: &str,
        name: &str,
        fields: &[(&str, Option<String>)],
    ) -> Result<()> {
        let document = self.read()?;
        let item = find(&document, place).and_then(|found| found.table.get(key));
        if let Some(index) = item.and_then(|item| named(item, name)) {
            let place = place.below(Step::Key(key.to_owned())).below(Step::At(index));
            return fields.iter().try_for_each(|(field, value)| match value {
                Some(value) => self.set(&place, field, value),
                None => self.take(&place, field),
            });
        }
        let name = super::quoted(name);
        let written = fields.iter().filter_map(|(field, value)| Some((*field, value.as_ref()?)));
        let pairs: Vec<String> =
            [("name", &name)].into_iter().chain(written).map(|(field, value)| format!("{field} = {value}")).collect();
        match item {
            Some(Item::ArrayOfTables(tables)) => {
                let last = tables.iter().filter_map(lines_of).map(|lines| lines.end).max();
                let at = line_end(&self.text, last.ok_or_else(|| self.strange(key))?);
                let header = format!("[[{}.{key}]]", place.header());
                let lines = [String::new(), header].into_iter().chain(pairs).chain([String::new()]);
                let before = if self.text[..at].ends_with('\n') { "" } else { self.newline };
                let block = format!("{before}{}", lines.collect::<Vec<_>>().join(self.newline));
                self.text = splice(&self.text, at..at, &block);
                Ok(())
            }
            Some(_) | None => self.add(place, key, &format!("{{ {} }}", pairs.join(", "))),
        }
    }

    /// Takes the table of that name out of the list `key`.
    pub(super) fn take_named(&mut self, place: &Place, key: &str, name: &str) -> Result<()> {
        let document = self.read()?;
        let Some(item) = find(&document, place).and_then(|found| found.table.get(key)) else { return Ok(()) };
        let Some(index) = named(item, name) else { return Ok(()) };
        match item {
            Item::ArrayOfTables(tables) => {
                let lines = tables.get(index).and_then(lines_of).ok_or_else(|| self.strange(key))?;
                self.text = self.without_lines(vec![lines]);
                Ok(())
            }
            Item::None | Item::Value(_) | Item::Table(_) => self.take_element(place, key, index),
        }
    }

    /// Takes all out of a table, and the table itself, unless it is kept.
    pub(super) fn clear(&mut self, place: &Place, keep: bool) -> Result<()> {
        let document = self.read()?;
        let Some((above, key)) = place.split_last() else { return Err(self.strange("all")) };
        let key = key.to_owned();
        let Some(item) = find(&document, &above).and_then(|found| found.table.get(&key)) else { return Ok(()) };
        let mut gone = Vec::new();
        match item {
            Item::Value(Value::InlineTable(braces)) if !braces.is_dotted() => {
                return if keep { self.set(&above, &key, "{}") } else { self.take(&above, &key) };
            }
            // Dotted keys in the braces of the table above.
            Item::Value(_) => while self.take_last(place)? {},
            Item::Table(table) => {
                place::collect(item, &mut gone);
                let own = table.span().filter(|_| place::is_header(table));
                if let (true, Some(header)) = (keep, own) {
                    let after = line_end(&self.text, header.end);
                    gone.iter_mut().filter(|lines| lines.start == header.start).for_each(|lines| lines.start = after);
                }
                self.text = self.without_lines(gone);
            }
            Item::None | Item::ArrayOfTables(_) => return Err(self.strange(&key)),
        }
        if keep { self.ensure_table(place) } else { Ok(()) }
    }

    /// Without the lines that these begin and end in; of the empty lines around each, one stays.
    fn without_lines(&self, mut gone: Vec<Range<usize>>) -> String {
        let mut text = self.text.clone();
        gone.retain(|lines| lines.start < lines.end);
        gone.sort_by_key(|lines| std::cmp::Reverse(lines.start));
        for lines in gone {
            let start = line_start(&text, lines.start);
            let mut end = line_end(&text, lines.end);
            let before = text[..start].lines().next_back();
            let empty = line_end(&text, end);
            if before.is_none_or(|line| line.trim().is_empty()) && text[end..empty].trim().is_empty() {
                end = empty;
            }
            text = splice(&text, start..end, "");
        }
        text
    }

    fn indentation(&self, at: usize) -> &str {
        let line = &self.text[line_start(&self.text, at)..at];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Behind the newline of the line that `at` is in.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}
