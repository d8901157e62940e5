//! Where a secret comes in: a terminal that does not show it, or a pipe. Never an argument, which others can read.
//!
//! All is read past the buffers of the standard library, which would keep a copy.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::{Context, Failure, Kind, Result};
use crate::types::{GrantName, Secret};

/// Ctrl-C, Ctrl-D, Ctrl-H, Ctrl-U and Delete, as a terminal sends them.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: u8 = 8;
const CLEAR: u8 = 21;
const DELETE: u8 = 127;

pub(super) fn read(name: &GrantName) -> Result<Secret> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return piped(stdin.as_fd());
    }
    let hidden = Hidden::set()?;
    let first = line(stdin.as_fd(), &format!("Secret {name}: "))?;
    let again = line(stdin.as_fd(), "The same again: ")?;
    drop(hidden);
    if first != again {
        return Err(Failure::usage("the two are not the same; nothing was stored"));
    }
    Ok(first)
}

/// The same of something that is no secret of this host's, and is typed once: it is right or it is not.
pub(in crate::cli) fn once(question: &str) -> Result<Secret> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return piped(stdin.as_fd());
    }
    let _hidden = Hidden::set()?;
    line(stdin.as_fd(), question)
}

/// All of it, less the end of its last line.
fn piped(from: BorrowedFd<'_>) -> Result<Secret> {
    let mut bytes = vec![0; Secret::MAX + 2];
    let mut length = 0;
    while length < bytes.len() {
        match rustix::io::read(from, &mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(|| "cannot read standard input".to_owned()),
        }
    }
    let end = match &bytes[..length] {
        [.., b'\r', b'\n'] => length - 2,
        [.., b'\n'] => length - 1,
        _ => length,
    };
    checked(bytes, end)
}

fn checked(mut bytes: Vec<u8>, length: usize) -> Result<Secret> {
    bytes[length..].fill(0);
    bytes.truncate(length);
    let secret = Secret::new(bytes);
    match length {
        0 => Err(Failure::usage("the secret is empty").hint("type it, or pipe it in: fief secret set NAME < FILE")),
        1..=Secret::MAX => Ok(secret),
        _ => Err(Failure::usage(format!("the secret is longer than {} bytes", Secret::MAX))),
    }
}

/// A line typed at a terminal that shows nothing and sends each key as it is.
fn line(from: BorrowedFd<'_>, question: &str) -> Result<Secret> {
    eprint!("{question}");
    // It never grows, so that no copy is left where it was.
    let mut bytes = vec![0; Secret::MAX + 1];
    let mut length = 0_usize;
    let mut key = [0];
    let ended = loop {
        match rustix::io::read(from, &mut key) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => break Err(error).context(|| "cannot read the terminal".to_owned()),
        }
        match key[0] {
            b'\r' | b'\n' | END => break Ok(()),
            INTERRUPT => break Err(Failure::new(Kind::NeedsYes, "broken off; nothing was stored")),
            BACKSPACE | DELETE => length = length.saturating_sub(1),
            CLEAR => length = 0,
            byte if length <= Secret::MAX => {
                bytes[length] = byte;
                length += 1;
            }
            _ => {}
        }
    };
    eprintln!();
    ended.and_then(|()| checked(bytes, length))
}

/// The terminal without echo, and without keys that end the program while it is so; put back when dropped.
struct Hidden(Termios);

impl Hidden {
    fn set() -> Result<Hidden> {
        let saying = || "cannot set the terminal".to_owned();
        let before = tcgetattr(std::io::stdin()).context(saying)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden).context(saying)?;
        Ok(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing can be said about a terminal that is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(bytes: &[u8]) -> Result<Vec<u8>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, bytes).unwrap();
        piped(std::fs::File::open(&file).unwrap().as_fd()).map(|secret| secret.reveal().to_vec())
    }

    #[test]
    fn a_secret_ends_before_the_end_of_its_last_line() {
        for (bytes, wanted) in [
            (&b"word"[..], &b"word"[..]),
            (b"word\n", b"word"),
            (b"word\r\n", b"word"),
            (b"two\nlines\n\n", b"two\nlines\n"),
            (b" \0 ", b" \0 "),
        ] {
            assert_eq!(given(bytes).unwrap(), wanted);
        }
        for empty in [&b""[..], b"\n", b"\r\n"] {
            assert_eq!(given(empty).unwrap_err().kind, Kind::Usage);
        }
        assert_eq!(given(&vec![b'x'; Secret::MAX]).unwrap().len(), Secret::MAX);
        assert_eq!(given(&vec![b'x'; Secret::MAX + 1]).unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn keys_that_correct_are_no_part_of_it() {
        let typed = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, bytes).unwrap();
            line(std::fs::File::open(&file).unwrap().as_fd(), "").map(|secret| secret.reveal().to_vec())
        };
        assert_eq!(typed(b"wrong\x15rigbt\x7f\x08ht\nrest").unwrap(), b"right");
        assert_eq!(typed(b"word\x03\n").unwrap_err().kind, Kind::NeedsYes);
        assert_eq!(typed(b"\n").unwrap_err().kind, Kind::Usage);
    }
}
