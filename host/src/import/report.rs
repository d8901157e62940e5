//! What became of each line of a guest's old definition, and what is wrong with it.

use std::fmt;

use crate::config::reader;
use crate::error::Failure;

/// Remarks kept; more would scroll the first away, and a hostile file has a hundred thousand.
const REMARKS_MAX: usize = 500;
/// Mistakes shown.
const MISTAKES_MAX: usize = 50;

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// It carries over as it is.
    Taken,
    /// It carries over as something else.
    Changed,
    /// It does not carry over.
    Left,
    /// Something is to be done inside the guest.
    Guest,
}

impl Sort {
    pub const fn as_str(self) -> &'static str {
        match self {
            Sort::Taken => "taken",
            Sort::Changed => "changed",
            Sort::Left => "left out",
            Sort::Guest => "in the guest",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// From 1; 0 where it is about no line of the file.
    pub line: usize,
    /// As the file says it.
    pub key: String,
    pub sort: Sort,
    pub text: String,
}

impl Remark {
    /// `node1.cfg:3: memory: taken: memory = "512MiB"`.
    pub fn shown(&self, source: &str) -> String {
        format!("{}{}: {}", place(source, self.line, &self.key), self.sort.as_str(), one_line(&self.text))
    }
}

/// All that there is to say of one file.
#[derive(Debug, Default)]
pub struct Report {
    remarks: Vec<Remark>,
    /// Past [`REMARKS_MAX`].
    more: usize,
    mistakes: Vec<(usize, String)>,
    more_mistakes: usize,
}

impl Report {
    pub fn taken(&mut self, line: usize, key: &str, text: impl Into<String>) {
        self.add(line, key, Sort::Taken, text);
    }
    pub fn changed(&mut self, line: usize, key: &str, text: impl Into<String>) {
        self.add(line, key, Sort::Changed, text);
    }
    pub fn left(&mut self, line: usize, key: &str, text: impl Into<String>) {
        self.add(line, key, Sort::Left, text);
    }
    pub fn guest(&mut self, line: usize, key: &str, text: impl Into<String>) {
        self.add(line, key, Sort::Guest, text);
    }

    fn add(&mut self, line: usize, key: &str, sort: Sort, text: impl Into<String>) {
        if self.remarks.len() == REMARKS_MAX {
            self.more += 1;
            return;
        }
        self.remarks.push(Remark { line, key: one_line(key), sort, text: text.into() });
    }

    /// Something that keeps the guest from being imported.
    pub fn wrong(&mut self, line: usize, key: &str, what: impl fmt::Display, hint: &str) {
        if self.mistakes.len() == MISTAKES_MAX {
            self.more_mistakes += 1;
            return;
        }
        let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
        self.mistakes.push((line, format!("{}{}", place("", line, key), one_line(&format!("{what}{hint}")))));
    }

    pub fn has_mistakes(&self) -> bool {
        !self.mistakes.is_empty()
    }

    /// In the order of the file; those about no line last.
    pub fn remarks(&self) -> Vec<&Remark> {
        let mut all: Vec<&Remark> = self.remarks.iter().collect();
        all.sort_by_key(|remark| if remark.line == 0 { usize::MAX } else { remark.line });
        all
    }

    /// The report as lines of text.
    pub fn lines(&self, source: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.remarks().iter().map(|remark| remark.shown(source)).collect();
        if self.more > 0 {
            lines.push(format!("and {} more lines", self.more));
        }
        lines
    }

    /// # Errors
    /// `Usage`, with every mistake as a cause, where there is one.
    pub fn check(&mut self, what: &str, source: &str) -> Result<(), Failure> {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        let count = self.mistakes.len() + self.more_mistakes;
        let plural = if count == 1 { "1 mistake".into() } else { format!("{count} mistakes") };
        let mut failure = Failure::usage(format!("{what} {} cannot be imported: {plural}", one_line(source)))
            .hint("nothing was changed; correct what is named above and try again");
        self.mistakes.sort_by_key(|(line, _)| *line);
        failure.causes = self.mistakes.iter().map(|(_, text)| format!("{}{text}", one_line(source))).collect();
        if self.more_mistakes > 0 {
            failure.causes.push(format!("and {} more", self.more_mistakes));
        }
        Err(failure)
    }
}

/// `source:line: key: `, without what is not there.
fn place(source: &str, line: usize, key: &str) -> String {
    let line = if line == 0 { String::new() } else { format!(":{line}") };
    let key = if key.is_empty() { String::new() } else { format!("{}: ", one_line(key)) };
    format!("{}{line}: {key}", one_line(source))
}

/// A file's own words reach a terminal in this form only.
pub(super) fn one_line(text: &str) -> String {
    reader::one_line(text)
}
