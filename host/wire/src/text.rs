//! A peer's words, made fit for a log, an error and a terminal.

/// Most characters of a line that are shown.
const SHOWN: usize = 200;

/// One line of what prints, cut short.
pub fn line(text: &str) -> String {
    shown(text, SHOWN)
}

/// `text` as it may go to a terminal or a log: what does not print is escaped, what has more than `most` characters is cut.
pub fn shown(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    for (count, character) in text.chars().enumerate() {
        if count == most {
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

/// A name or a version of the other side's, as it is shown: of letters, digits and a little more.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '~');
    text.chars().take(64).map(|c| if plain(c) { c } else { '?' }).collect()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly `N` bytes out of lower- or upper-case hexadecimal.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_reads_back_as_itself_and_nothing_else_is_taken() {
        assert_eq!(unhex::<3>(&hex(&[0, 0x7f, 0xff])), Some([0, 0x7f, 0xff]));
        for wrong in ["", "00", "0000000", "00000g", "+00000", "0000é"] {
            assert_eq!(unhex::<3>(wrong), None, "{wrong}");
        }
    }
}
