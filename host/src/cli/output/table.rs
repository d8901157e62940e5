//! Tables: upper-case heads, no borders, two spaces between columns.

use super::text::printable;
use crate::types::ByteSize;

/// Between two columns.
const GAP: &str = "  ";
/// A column is not cut below this, in characters.
const NARROWEST: usize = 8;

#[derive(Debug, Clone, Copy)]
pub struct Column {
    head: &'static str,
    right: bool,
    wide: bool,
}

impl Column {
    /// For words.
    pub const fn left(head: &'static str) -> Self {
        Column { head, right: false, wide: false }
    }
    /// For numbers.
    pub const fn right(head: &'static str) -> Self {
        Column { head, right: true, wide: false }
    }
    /// Shown with `-o wide` alone.
    #[must_use]
    pub const fn wide(self) -> Self {
        Column { head: self.head, right: self.right, wide: true }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Text(String),
    /// Nothing applies here: `-`.
    Nothing,
    /// There is a value, and it is not known: `?`.
    Unknown,
}

impl Cell {
    /// Bytes for people; nothing where there is none.
    pub fn size(bytes: Option<u64>) -> Cell {
        bytes.map_or(Cell::Nothing, |bytes| Cell::Text(ByteSize::from_bytes(bytes).human()))
    }
    pub fn optional(text: Option<impl Into<String>>) -> Cell {
        text.map_or(Cell::Nothing, |text| Cell::Text(text.into()))
    }
    fn text(&self) -> String {
        match self {
            Cell::Text(text) if text.is_empty() => "-".to_owned(),
            Cell::Text(text) => printable(text).into_owned(),
            Cell::Nothing => "-".to_owned(),
            Cell::Unknown => "?".to_owned(),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::Text(text.into())
    }
}

/// `width`, in characters, is what a line is cut to; none is no limit.
pub fn render(columns: &[Column], rows: &[Vec<Cell>], wide: bool, width: Option<usize>) -> String {
    let shown: Vec<usize> = (0..columns.len()).filter(|i| wide || !columns[*i].wide).collect();
    let mut lines: Vec<Vec<String>> = vec![shown.iter().map(|i| columns[*i].head.to_owned()).collect()];
    lines.extend(
        rows.iter().map(|row| shown.iter().map(|i| row.get(*i).map_or_else(String::new, Cell::text)).collect()),
    );

    let length = |text: &String| text.chars().count();
    let mut widths: Vec<usize> =
        (0..shown.len()).map(|at| lines.iter().map(|line| length(&line[at])).max().unwrap_or(0)).collect();
    if let Some(width) = width {
        shrink(&mut widths, width);
    }

    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (at, cell) in line.iter().enumerate() {
            let cell = cut(cell, widths[at]);
            let padding = " ".repeat(widths[at].saturating_sub(length(&cell)));
            if at > 0 {
                text.push_str(GAP);
            }
            let (before, after) =
                if columns[shown[at]].right { (padding, String::new()) } else { (String::new(), padding) };
            text.extend([before, cell, after]);
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// Takes from the widest column, again and again, until the line fits or no column can give.
fn shrink(widths: &mut [usize], line: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > line {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            Some(_) | None => return,
        }
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 2] = [Column::left("NAME"), Column::left("WHY")];

    #[test]
    fn a_narrow_terminal_cuts_the_widest_column_only() {
        let rows = vec![vec!["node1".into(), "a reason that is quite long".into()]];
        assert_eq!(render(&COLUMNS, &rows, false, Some(20)), "NAME   WHY\nnode1  a reason tha…\n");
        assert_eq!(render(&COLUMNS, &rows, false, None), "NAME   WHY\nnode1  a reason that is quite long\n");
    }

    #[test]
    fn a_terminal_too_narrow_for_all_still_shows_something_of_each() {
        let rows = vec![vec!["a-very-long-name".into(), "a reason that is quite long".into()]];
        assert_eq!(render(&COLUMNS, &rows, false, Some(1)), "NAME      WHY\na-very-…  a reaso…\n");
    }

    #[test]
    fn nothing_and_empty_are_dashes_and_unknown_a_question() {
        let rows = vec![vec!["".into(), Cell::Nothing], vec![Cell::Unknown, Cell::size(Some(1536))]];
        assert_eq!(render(&COLUMNS, &rows, false, None), "NAME  WHY\n-     -\n?     1.5KiB\n");
    }
}
