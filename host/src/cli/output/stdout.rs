//! Writing to stdout when the reader may be gone (`fief list | head -1`): that ends the writing, not the work.

use std::io::{ErrorKind, IsTerminal, Write};

use crate::error::{Context, Failure, Result};

/// Whether anyone still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    There,
    /// The other end of the pipe is closed (EPIPE): a verb that only prints may end, quietly.
    Gone,
}

/// Writes all of `text`.
///
/// # Errors
/// Any error but EPIPE, such as a full disk.
pub fn write(text: &str) -> Result<Reader> {
    write_to(&mut std::io::stdout().lock(), text)
}

/// Where bytes go that are no words.
///
/// # Errors
/// `Usage` for a terminal: nobody reads them there.
pub fn bytes() -> Result<impl Write> {
    let out = std::io::stdout();
    match out.is_terminal() {
        true => Err(Failure::usage("standard output is a terminal, and a disk is no text")
            .hint("send it on, with > FILE or | PROGRAM")),
        false => Ok(out.lock()),
    }
}

fn write_to(out: &mut impl Write, text: &str) -> Result<Reader> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context(|| "cannot write to standard output".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_not_an_error_and_a_full_disk_is() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(write_to(&mut writer, "x").unwrap(), Reader::Gone);
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert_eq!(write_to(&mut full, "x").unwrap_err().kind, crate::error::Kind::NoRoom);
    }
}
