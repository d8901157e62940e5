//! Where tables of a policy stand in its text, however they are written: below a header, in braces, by dotted keys, in a list.

use std::ops::Range;

use toml_edit::{Document, InlineTable, Item, Key, Table, TableLike, Value};

use super::list::List;

/// The way from the root to a table.
#[derive(Clone)]
pub(super) struct Place(Vec<Step>);

#[derive(Clone)]
pub(super) enum Step {
    Key(String),
    /// In a list of tables.
    At(usize),
}

impl Place {
    pub(super) fn of<'k>(keys: impl IntoIterator<Item = &'k str>) -> Place {
        Place(keys.into_iter().map(|key| Step::Key(key.to_owned())).collect())
    }
    pub(super) fn below(&self, step: Step) -> Place {
        Place(self.0.iter().cloned().chain([step]).collect())
    }
    pub(super) fn split_last(&self) -> Option<(Place, &str)> {
        match self.0.split_last() {
            Some((Step::Key(key), above)) => Some((Place(above.to_vec()), key)),
            Some((Step::At(_), _)) | None => None,
        }
    }
    /// As a header names it.
    pub(super) fn header(&self) -> String {
        let keys = self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::At(_) => None,
        });
        keys.collect::<Vec<_>>().join(".")
    }
}

/// A table that is there.
pub(super) struct Found<'d> {
    pub table: &'d dyn TableLike,
    /// What its pairs are written in.
    pub within: Within<'d>,
    /// What a pair's key begins with there: `storage-file.`, where dotted keys make the table.
    pub prefix: String,
}

#[derive(Clone, Copy)]
pub(super) enum Within<'d> {
    /// Lines, below a header or at the top of the text.
    Lines(&'d Table),
    Braces(&'d InlineTable),
}

impl Found<'_> {
    /// False where a header further below implies it, and no pair can be put in.
    pub(super) fn is_written(&self) -> bool {
        match self.within {
            Within::Braces(_) => true,
            Within::Lines(table) => self.table.is_dotted() || !table.is_implicit(),
        }
    }
}

pub(super) fn find<'d>(document: &'d Document<&str>, place: &Place) -> Option<Found<'d>> {
    let root = document.as_table();
    let mut found = Found { table: root, within: Within::Lines(root), prefix: String::new() };
    let mut list: Option<&Item> = None;
    for step in &place.0 {
        let next: Found<'d> = match (step, list.take()) {
            (Step::Key(key), None) => match found.table.get(key)? {
                Item::Table(table) if table.is_dotted() => {
                    Found { table, within: found.within, prefix: format!("{}{key}.", found.prefix) }
                }
                Item::Table(table) => Found { table, within: Within::Lines(table), prefix: String::new() },
                Item::Value(Value::InlineTable(table)) if table.is_dotted() => {
                    Found { table, within: found.within, prefix: format!("{}{key}.", found.prefix) }
                }
                Item::Value(Value::InlineTable(table)) => {
                    Found { table, within: Within::Braces(table), prefix: String::new() }
                }
                item @ (Item::Value(_) | Item::ArrayOfTables(_)) => {
                    list = Some(item);
                    continue;
                }
                Item::None => return None,
            },
            (Step::At(index), Some(Item::ArrayOfTables(tables))) => {
                let table = tables.get(*index)?;
                Found { table, within: Within::Lines(table), prefix: String::new() }
            }
            (Step::At(index), Some(item)) => {
                let table = item.as_array()?.get(*index)?.as_inline_table()?;
                Found { table, within: Within::Braces(table), prefix: String::new() }
            }
            (Step::Key(_), Some(_)) | (Step::At(_), None) => return None,
        };
        found = next;
    }
    list.is_none().then_some(found)
}

/// Which element of a list of tables has that name.
pub(super) fn named(item: &Item, name: &str) -> Option<usize> {
    let is = |table: &dyn TableLike| table.get("name").and_then(Item::as_str) == Some(name);
    match item {
        Item::ArrayOfTables(tables) => tables.iter().position(|table| is(table)),
        Item::Value(Value::Array(array)) => {
            array.iter().position(|value| value.as_inline_table().is_some_and(|t| is(t)))
        }
        Item::None | Item::Value(_) | Item::Table(_) => None,
    }
}

pub(super) fn array(item: &Item) -> Option<List> {
    let array = item.as_array()?;
    let span = array.span()?;
    let elements: Option<Vec<_>> = array.iter().map(Value::span).collect();
    let inner = span.start + 1..span.end - 1;
    Some(List { inner, elements: elements?, comma: array.trailing_comma(), pad: "" })
}

pub(super) fn list_of(text: &str, braces: &InlineTable) -> Option<List> {
    let span = braces.span()?;
    let pair = |(keys, value): (Vec<&Key>, &Value)| Some(pair_start(text, &keys)?..value.span()?.end);
    let mut elements = braces.get_values().into_iter().map(pair).collect::<Option<Vec<_>>>()?;
    elements.sort_by_key(|element| element.start);
    let inner = span.start + 1..span.end - 1;
    Some(List { inner, elements, comma: braces.trailing_comma(), pad: " " })
}

/// Where a pair begins. Of `x.a = 1, x.b = 2` the two have one key `x`, whose place is in the first: only the last key of each
/// is its own.
fn pair_start(text: &str, keys: &[&Key]) -> Option<usize> {
    let mut before = &text[..keys.last()?.span()?.start];
    for _ in 1..keys.len() {
        let above = before.trim_end_matches([' ', '\t']).strip_suffix('.')?.trim_end_matches([' ', '\t']);
        let quote = above.chars().next_back().filter(|last| matches!(last, '"' | '\''));
        before = match quote {
            Some(quote) => &above[..above[..above.len() - 1].rfind(quote)?],
            None => above.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_'),
        };
    }
    Some(before.len())
}

/// From a table's header to the end of its last value.
pub(super) fn lines_of(table: &Table) -> Option<Range<usize>> {
    let header = table.span()?;
    let last = table.get_values().iter().filter_map(|(_, value)| value.span()).map(|span| span.end).max();
    Some(header.start..last.unwrap_or(0).max(header.end))
}

/// Whether a line `[…]` of its own makes it.
pub(super) fn is_header(table: &Table) -> bool {
    !table.is_dotted() && !table.is_implicit()
}

/// All lines that make a table and what is below it.
pub(super) fn collect(item: &Item, lines: &mut Vec<Range<usize>>) {
    match item {
        Item::Table(table) => {
            if is_header(table) {
                lines.extend(lines_of(table));
            } else if table.is_dotted() {
                let pair = |(keys, value): (Vec<&Key>, &Value)| Some(keys.last()?.span()?.start..value.span()?.end);
                lines.extend(table.get_values().into_iter().filter_map(pair));
            }
            below(table, lines);
        }
        Item::ArrayOfTables(tables) => tables.iter().for_each(|table| {
            lines.extend(lines_of(table));
            below(table, lines);
        }),
        Item::None | Item::Value(_) => {}
    }
}

/// What has a header of its own below a table. Its dotted pairs are among its own lines.
fn below(table: &Table, lines: &mut Vec<Range<usize>>) {
    for (_, item) in table.iter() {
        match item {
            Item::Table(dotted) if dotted.is_dotted() => below(dotted, lines),
            item => collect(item, lines),
        }
    }
}
