//! A plugin's text on its way to people: no control characters, no direction marks, no end in sight.

/// Longest text that is shown of a plugin, in characters.
const SHOWN_MAX: usize = 2_000;

/// `text` as it may go to a terminal or a log: what does not print is escaped, what is too long is cut.
pub fn printable(text: &str) -> String {
    fief_wire::text::shown(text, SHOWN_MAX)
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
