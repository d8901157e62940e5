//! The words of a guest file. Python's lexical rules as far as guest files use them (Python reference, chapter 2).

use std::iter::Peekable;
use std::str::CharIndices;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    /// None: a number that fief does not read (a fraction, one past 63 bits).
    Number(Option<i64>),
    /// `=`, `+=`, brackets, commas, and any other character.
    Sign(&'static str),
    Other(char),
    /// The end of a line outside of brackets, or `;`.
    Break,
    /// A text that does not end.
    Torn,
}

/// A token, where it begins (in bytes), its line, and whether blanks stand before it at the start of its line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub at: usize,
    pub line: usize,
    pub indented: bool,
    pub token: Token,
}

const SIGNS: &[&str] =
    &["==", "+=", "-=", "*=", "/=", "%=", "=", "[", "]", "(", ")", "{", "}", ",", "+", "-", "%", ":", "."];

pub(super) fn tokens(text: &str) -> Vec<Placed> {
    let mut lexer = Lexer { text, chars: text.char_indices().peekable(), line: 1, depth: 0, fresh: true };
    let mut all = Vec::new();
    while let Some(token) = lexer.next() {
        all.push(token);
    }
    all
}

struct Lexer<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    line: usize,
    /// Brackets that are open: a line's end inside of them ends nothing.
    depth: usize,
    /// Nothing but blanks has stood on this line yet.
    fresh: bool,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<Placed> {
        let mut blanks = false;
        loop {
            let (at, c) = *self.chars.peek()?;
            match c {
                '\n' => {
                    let line = self.line;
                    self.bump();
                    let ended = self.depth == 0 && !self.fresh;
                    self.fresh = self.depth == 0;
                    blanks = false;
                    if ended {
                        return Some(Placed { at, line, indented: false, token: Token::Break });
                    }
                }
                // A line that goes on with the next one.
                '\\' if self.text[at + 1..].starts_with(['\n', '\r']) => {
                    self.bump();
                    while self.chars.peek().is_some_and(|(_, c)| *c == '\r') {
                        self.bump();
                    }
                    self.bump();
                }
                '#' => while self.chars.next_if(|(_, c)| *c != '\n').is_some() {},
                c if c.is_whitespace() => {
                    blanks = true;
                    self.bump();
                }
                _ => {
                    let indented = self.fresh && blanks;
                    let line = self.line;
                    self.fresh = false;
                    return Some(Placed { at, line, indented, token: self.token(at, c) });
                }
            }
        }
    }

    fn bump(&mut self) {
        if let Some((_, '\n')) = self.chars.next() {
            self.line += 1;
        }
    }

    fn token(&mut self, at: usize, c: char) -> Token {
        if c == ';' {
            self.bump();
            return Token::Break;
        }
        if c == '"' || c == '\'' {
            return self.string(c, false);
        }
        if c.is_alphabetic() || c == '_' {
            return self.word(at);
        }
        if c.is_ascii_digit() {
            let word = self.run(at, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
            return Token::Number(number(word));
        }
        for sign in SIGNS {
            if self.text[at..].starts_with(sign) {
                sign.chars().for_each(|_| self.bump());
                match *sign {
                    "[" | "(" | "{" => self.depth += 1,
                    "]" | ")" | "}" => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                return Token::Sign(sign);
            }
        }
        self.bump();
        Token::Other(c)
    }

    fn run(&mut self, at: usize, part: impl Fn(char) -> bool) -> &str {
        let mut end = at;
        while let Some((place, c)) = self.chars.next_if(|(_, c)| part(*c)) {
            end = place + c.len_utf8();
        }
        &self.text[at..end]
    }

    /// A name, or the prefix of a text (`r"…"`, `b"…"`, `u"…"`); with an `f` it holds expressions, so it stays a name.
    fn word(&mut self, at: usize) -> Token {
        let word = self.run(at, |c| c.is_alphanumeric() || c == '_').to_owned();
        let quote = self.chars.peek().map(|(_, c)| *c).filter(|c| *c == '"' || *c == '\'');
        match (quote, word.to_ascii_lowercase().as_str()) {
            (Some(quote), "u" | "b") => self.string(quote, false),
            (Some(quote), "r" | "br" | "rb" | "ur") => self.string(quote, true),
            _ => Token::Name(word),
        }
    }

    /// From the opening quote to the closing one.
    fn string(&mut self, quote: char, raw: bool) -> Token {
        let at = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        let three: String = [quote; 3].iter().collect();
        let triple = self.text[at..].starts_with(&three);
        (0..if triple { 3 } else { 1 }).for_each(|_| self.bump());
        let mut value = String::new();
        loop {
            let Some((at, c)) = self.chars.peek().copied() else { return Token::Torn };
            if triple && self.text[at..].starts_with(&three) {
                (0..3).for_each(|_| self.bump());
                return Token::Text(value);
            }
            if !triple && c == quote {
                self.bump();
                return Token::Text(value);
            }
            if !triple && c == '\n' {
                return Token::Torn;
            }
            self.bump();
            if c != '\\' {
                value.push(c);
                continue;
            }
            let Some((_, escaped)) = self.chars.peek().copied() else { return Token::Torn };
            self.bump();
            match escaped {
                _ if raw => value.extend(['\\', escaped]),
                '\n' => {}
                'n' => value.push('\n'),
                't' => value.push('\t'),
                '\\' | '\'' | '"' => value.push(escaped),
                // Python keeps what it does not know; the rest (`\x41`) no guest file has.
                other => value.extend(['\\', other]),
            }
        }
    }
}

/// Decimal, hexadecimal, and octal in both of Python's ways.
fn number(word: &str) -> Option<i64> {
    let word = word.to_ascii_lowercase().replace('_', "");
    let word = word.strip_suffix('l').unwrap_or(&word);
    if let Some(digits) = word.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = word.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok();
    }
    match word.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => i64::from_str_radix(digits, 8).ok(),
        Some(_) | None => word.parse().ok(),
    }
}
