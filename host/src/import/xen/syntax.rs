//! Assignments of literals. Nesting is bounded, and nothing is evaluated.

use super::lexer::{Placed, Token, tokens};
use crate::import::report::Report;

/// Lists in lists; a guest file needs one.
const DEPTH_MAX: usize = 4;
/// Assignments and elements that are kept: a guest has a hundred lines at the most.
const ITEMS_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    /// `None`.
    Nothing,
    /// Each with its line.
    List(Vec<(usize, Value)>),
    /// An expression that is no literal, as it is written.
    Open(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// 0: from the command line.
    pub line: usize,
    pub key: String,
    pub value: Value,
}

/// All assignments of a text, in order; what is something else is in the report.
pub(super) fn assignments(text: &str, report: &mut Report) -> Vec<Assignment> {
    let tokens = tokens(text);
    let mut all = Vec::new();
    for statement in tokens.split(|placed| placed.token == Token::Break) {
        let Some(first) = statement.first() else { continue };
        if let Some(torn) = statement.iter().find(|placed| placed.token == Token::Torn) {
            report.wrong(torn.line, "", "a text begins here and does not end", "close its quotes");
            continue;
        }
        if let Some(open) = unclosed(statement) {
            report.wrong(open, "", "a bracket is opened here and not closed", "");
            continue;
        }
        if all.len() == ITEMS_MAX {
            report.wrong(first.line, "", "the file has too many lines", "is this another file?");
            break;
        }
        match statement {
            [
                Placed { token: Token::Name(key), line, indented, .. },
                Placed { token: Token::Sign("="), .. },
                value @ ..,
            ] => {
                let value = if *indented {
                    // In the body of an `if`, a `for`, a function: whether it counts is for Python to say.
                    Value::Open(source(text, value))
                } else {
                    whole(text, value)
                };
                all.push(Assignment { line: *line, key: key.clone(), value });
            }
            [
                Placed { token: Token::Name(key), line, .. },
                Placed { token: Token::Sign("+=" | "-=" | "*=" | "/=" | "%="), .. },
                ..,
            ] => {
                all.push(Assignment { line: *line, key: key.clone(), value: Value::Open(source(text, statement)) });
            }
            _ => report.left(
                first.line,
                &source(text, statement),
                "it is a statement of Python's, and nothing of this file is run",
            ),
        }
    }
    all
}

/// The line of a bracket that nothing closes.
fn unclosed(statement: &[Placed]) -> Option<usize> {
    let mut open = Vec::new();
    for placed in statement {
        match placed.token {
            Token::Sign("[" | "(" | "{") => open.push(placed.line),
            Token::Sign("]" | ")" | "}") => drop(open.pop()),
            _ => {}
        }
    }
    open.first().copied()
}

/// The value, or what is written where it is more than one.
fn whole(text: &str, tokens: &[Placed]) -> Value {
    let mut reader = Reader { tokens, at: 0, items: 0 };
    match reader.value(0) {
        Some(value) if reader.at == tokens.len() => value,
        Some(_) | None => Value::Open(source(text, tokens)),
    }
}

/// What these tokens are in the text.
fn source(text: &str, tokens: &[Placed]) -> String {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return String::new() };
    let length = match &last.token {
        Token::Name(name) => name.len(),
        // Up to the end of the line: enough to know it by.
        Token::Text(_) | Token::Number(_) | Token::Torn => {
            text[last.at..].find(['\n', '#']).unwrap_or(text.len() - last.at)
        }
        Token::Sign(sign) => sign.len(),
        Token::Other(c) => c.len_utf8(),
        Token::Break => 0,
    };
    text[first.at..last.at + length].trim_end().to_owned()
}

struct Reader<'t> {
    tokens: &'t [Placed],
    at: usize,
    items: usize,
}

impl Reader<'_> {
    fn take(&mut self, sign: &str) -> bool {
        let there = matches!(self.tokens.get(self.at), Some(Placed { token: Token::Sign(s), .. }) if *s == sign);
        self.at += usize::from(there);
        there
    }

    /// None where it is no literal.
    fn value(&mut self, depth: usize) -> Option<Value> {
        let placed = self.tokens.get(self.at)?;
        self.at += 1;
        match &placed.token {
            Token::Text(first) => {
                let mut value = first.clone();
                // Texts side by side are one (Python reference, 2.4.2).
                while let Some(Placed { token: Token::Text(next), .. }) = self.tokens.get(self.at) {
                    value.push_str(next);
                    self.at += 1;
                }
                Some(Value::Text(value))
            }
            Token::Number(number) => number.map(Value::Number),
            Token::Sign("-") => match self.tokens.get(self.at) {
                Some(Placed { token: Token::Number(Some(number)), .. }) => {
                    self.at += 1;
                    number.checked_neg().map(Value::Number)
                }
                Some(_) | None => None,
            },
            Token::Name(name) => match name.as_str() {
                "True" | "true" => Some(Value::Flag(true)),
                "False" | "false" => Some(Value::Flag(false)),
                "None" => Some(Value::Nothing),
                _ => None,
            },
            Token::Sign("[") => self.list("]", depth),
            Token::Sign("(") => {
                let opened = self.at;
                match self.list(")", depth)? {
                    // Brackets around one value, without a comma, are no list.
                    Value::List(mut only)
                        if only.len() == 1
                            && !matches!(
                                self.tokens[opened..self.at],
                                [.., Placed { token: Token::Sign(","), .. }, _]
                            ) =>
                    {
                        only.pop().map(|(_, value)| value)
                    }
                    list => Some(list),
                }
            }
            Token::Sign(_) | Token::Other(_) | Token::Break | Token::Torn => None,
        }
    }

    fn list(&mut self, closing: &str, depth: usize) -> Option<Value> {
        if depth == DEPTH_MAX {
            return None;
        }
        let mut items = Vec::new();
        loop {
            if self.take(closing) {
                return Some(Value::List(items));
            }
            self.items += 1;
            let line = self.tokens.get(self.at)?.line;
            if self.items > ITEMS_MAX {
                return None;
            }
            items.push((line, self.value(depth + 1)?));
            if !self.take(",")
                && !matches!(self.tokens.get(self.at), Some(Placed { token: Token::Sign(s), .. }) if *s == closing)
            {
                return None;
            }
        }
    }
}
