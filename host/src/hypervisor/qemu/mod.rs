//! QEMU: from a domain to a running process that is spoken to over QMP. Made for QEMU 7.2 to 10.
//!
//! ```text
//!   Launch ─▸ prepare (opens what it needs) ─▸ arguments (pure) ─▸ gate: HypervisorStart
//!                                                                       │ paused, confined
//!   supervisor ◂─ Event ─ qmp::Monitor ◂─ qmp.sock ◂────────────────────┘
//! ```

pub mod arguments;
pub mod boot_sector;
pub mod drivers;
pub mod facts;
pub mod prepare;
pub mod probe;
pub mod processor;
pub mod qmp;

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

pub use arguments::served_socket;
pub use prepare::{SERVED_DESCRIPTOR, prepare};

/// The monitor's socket in the domain's folder.
pub const QMP_SOCKET: &str = "qmp.sock";
/// The first serial port's socket in the domain's folder: one client at a time, what is said without one is lost.
pub const SERIAL_SOCKET: &str = "serial.sock";

/// How much of the end of the log is looked at, in bytes.
const LAST_WORDS_MAX: u64 = 4_096;
/// Lines that an operator is shown.
const LAST_LINES: usize = 5;

/// The last lines of the hypervisor's own log in the domain's folder, escaped: the cause where QEMU ended by itself.
pub fn last_words(folder: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(folder.join("hypervisor.log"))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_MAX)))?;
        let mut bytes = Vec::new();
        file.take(LAST_WORDS_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(|line| printable(line)).collect()
}

/// QEMU's words with everything escaped that a terminal could act on; quotes stay as they are.
fn printable(text: &str) -> String {
    let escaped = |c: char| match c {
        '\'' | '"' => c.to_string(),
        other => other.escape_debug().to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod last_words_tests {
    #[test]
    fn last_words_are_few_and_harmless_to_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        assert!(super::last_words(folder.path()).is_empty());
        let text: String = (0..2_000).map(|n| format!("line {n}\u{1b}[2J\n")).collect();
        std::fs::write(folder.path().join("hypervisor.log"), text).unwrap();
        let words = super::last_words(folder.path());
        assert_eq!(words.len(), 5);
        assert_eq!(words[4], "line 1999\\u{1b}[2J");
    }
}
