//! A plugin's text on its way to people: no control characters, no direction marks, no end in sight.

/// Longest text that is shown of a plugin, in characters.
const SHOWN_MAX: usize = 2_000;

/// `text` as it may go to a terminal or a log: what does not print is escaped, what is too long is cut.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(SHOWN_MAX));
    for (count, character) in text.chars().enumerate() {
        if count == SHOWN_MAX {
            shown.push('…');
            break;
        }
        // `escape_debug` escapes controls, line ends, format and direction marks, and what is unassigned; quotes and
        // backslashes are harmless and stay readable.
        match character {
            '\'' | '"' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_direction_marks_do_not_reach_a_terminal() {
        assert_eq!(printable("a\x1b[31mred\r\n\u{202e}evil"), "a\\u{1b}[31mred\\r\\n\\u{202e}evil");
        assert_eq!(printable("it's \"fine\": naïve"), "it's \"fine\": naïve");
        assert_eq!(printable(&"x".repeat(1 << 20)).chars().count(), SHOWN_MAX + 1);
    }
}
