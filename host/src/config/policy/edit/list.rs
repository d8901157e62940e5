//! A list with commas, an array or an inline table: one element more, one less. Pure, on text and places in it.

use std::ops::Range;

/// Indentation of an element that begins a list of several lines.
const INDENT: &str = "    ";

/// A list as it stands in a text.
pub(super) struct List {
    /// What stands between its brackets.
    pub inner: Range<usize>,
    /// Its elements, without what stands around them.
    pub elements: Vec<Range<usize>>,
    /// Whether a comma follows the last.
    pub comma: bool,
    /// Inline tables have a space inside their braces.
    pub pad: &'static str,
}

impl List {
    /// The text with `element` at the end of the list.
    pub(super) fn with(&self, text: &str, newline: &str, element: &str) -> String {
        let last = self.elements.last();
        let end = last.map_or(self.inner.start, |last| last.end);
        let rest = &text[end..self.inner.end];
        if !rest.contains('\n') {
            return match last {
                Some(_) => splice(text, end..end, &format!(", {element}")),
                None => splice(text, self.inner.clone(), &format!("{0}{element}{0}", self.pad)),
            };
        }
        // On a line of its own, below the last and the comments that follow it.
        let below = end + rest.trim_end().len();
        let indent = last.and_then(|last| indentation(text, last.start)).unwrap_or(INDENT);
        let comma = if self.comma || last.is_none() { "," } else { "" };
        let text = splice(text, below..below, &format!("{newline}{indent}{element}{comma}"));
        if last.is_some() && !self.comma { splice(&text, end..end, ",") } else { text }
    }

    /// The text without the element at `index`.
    pub(super) fn without(&self, text: &str, index: usize) -> String {
        let gone = &self.elements[index];
        let after = skip_comma(text, gone.end, self.inner.end);
        // Alone on its lines, it takes them along, with the comment behind it.
        if let (Some(start), Some(end)) = (line_before(text, gone.start), line_after(text, after))
            && start >= self.inner.start
            && end <= self.inner.end
        {
            return splice(text, start..end, "");
        }
        let next = self.elements.get(index + 1);
        let previous = index.checked_sub(1).map(|index| &self.elements[index]);
        match (previous, next) {
            (_, Some(next)) => splice(text, gone.start..next.start, ""),
            // A comma behind the last stays.
            (Some(previous), None) => splice(text, previous.end..gone.end, ""),
            (None, None) => splice(text, self.inner.clone(), ""),
        }
    }
}

pub(super) fn splice(text: &str, range: Range<usize>, with: &str) -> String {
    [&text[..range.start], with, &text[range.end..]].concat()
}

/// What a line begins with; none where something else stands before `at`.
fn indentation(text: &str, at: usize) -> Option<&str> {
    line_before(text, at).map(|start| &text[start..at])
}

/// Where the line of `at` begins, if nothing stands before it there.
fn line_before(text: &str, at: usize) -> Option<usize> {
    let start = text[..at].rfind('\n')? + 1;
    text[start..at].bytes().all(|byte| byte == b' ' || byte == b'\t').then_some(start)
}

/// Where the next line begins, if nothing but a comment stands before it.
fn line_after(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    let end = rest.find('\n')? + 1;
    let between = rest[..end].trim();
    (between.is_empty() || between.starts_with('#')).then_some(at + end)
}

fn skip_comma(text: &str, at: usize, end: usize) -> usize {
    let rest = &text[at..end];
    let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if rest[blank..].starts_with(',') { at + blank + 1 } else { at }
}
