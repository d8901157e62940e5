//! Text from elsewhere (a plugin, a file, a guest) made safe to print: nothing in it moves the cursor, changes a
//! colour, or turns the direction of writing.

use std::borrow::Cow;

/// Control characters (C0, DEL, C1), and those that turn or hide text (Unicode TR 36, bidirectional spoofing).
pub(super) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unsafe(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            safe if keep(safe) || !is_unsafe(safe) => out.push(safe),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            low if u32::from(low) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(low))),
            other => out.push_str(&format!("\\u{{{:x}}}", u32::from(other))),
        }
    }
    Cow::Owned(out)
}

/// One line.
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Several lines: newlines stay, and each line after the first begins with `indent`.
pub fn printable_lines(text: &str, indent: &str) -> String {
    escape(text.trim_end(), |c| c == '\n').replace('\n', &format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_shown_as_text() {
        assert_eq!(printable("plain ünï"), "plain ünï");
        assert_eq!(printable("\x1b]0;title\x07"), "\\x1b]0;title\\x07");
        assert_eq!(printable("a\r\nb\t\u{9b}2J"), "a\\r\\nb\\t\\x9b2J");
        assert_eq!(printable("\u{202e}txt.exe"), "\\u{202e}txt.exe");
    }

    #[test]
    fn further_lines_are_indented_so_that_they_cannot_pose_as_ours() {
        assert_eq!(printable_lines("one\nerror: two\n", "    "), "one\n    error: two");
    }
}
