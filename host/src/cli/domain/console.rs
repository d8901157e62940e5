//! `fief console`.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::Context;
use crate::domain::state::{Admission, Request as Verb, admit};
use crate::domain::supervisor::control::Request;
use crate::domain::{client, store};
use crate::error::{Context as _, Failure, Kind, Result};
use crate::types::DomainName;

/// Ctrl-], as telnet, `xm console` and `virsh console` have it.
const LEAVE: u8 = 0x1d;

/// Attach to a guest's serial console; Ctrl-] leaves
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    attach(context, &args.name)
}

pub(super) fn attach(context: &Context, name: &DomainName) -> Result<()> {
    let layout = context.layout();
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    let stream = match client::ask(layout, name, &Request::Console)? {
        Some(answered) => answered.stream,
        None => {
            let (kind, because, hint) = match admit(client::at_rest(layout, name)?, Verb::Console) {
                Admission::Deny { kind, because, hint } => (kind, because, hint),
                Admission::Accept | Admission::Already => (Kind::Conflict, "it is off", ""),
            };
            return Err(Failure::new(kind, format!("domain {name} has no console: {because}")).hint(hint));
        }
    };
    stream.set_read_timeout(None).context(|| "cannot use the console".to_owned())?;
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        eprintln!("Connected to the console of {name}; Ctrl-] leaves.");
    }
    let raw = terminal.then(Raw::set).transpose()?;
    let ended = copy(&stream, terminal);
    drop(raw);
    match ended.context(|| format!("the console of {name} broke off"))? {
        Ended::Left => eprintln!("\nLeft the console of {name}."),
        Ended::Closed => eprintln!("\nThe console of {name} is closed."),
    }
    Ok(())
}

enum Ended {
    Left,
    Closed,
}

fn copy(stream: &UnixStream, terminal: bool) -> std::io::Result<Ended> {
    let stdin = std::io::stdin();
    let mut typing = true;
    let mut buffer = [0; 4096];
    loop {
        let mut watched = vec![PollFd::new(stream, PollFlags::IN)];
        if typing {
            watched.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let said = !watched[0].revents().is_empty();
        let typed = watched.get(1).is_some_and(|stdin| !stdin.revents().is_empty());
        if said {
            match (&*stream).read(&mut buffer)? {
                0 => return Ok(Ended::Closed),
                length => {
                    let mut stdout = std::io::stdout().lock();
                    // Whoever read our output went away: so do we.
                    if stdout.write_all(&buffer[..length]).and_then(|()| stdout.flush()).is_err() {
                        return Ok(Ended::Left);
                    }
                }
            }
        }
        if typed {
            // Past Rust's own buffer, which poll does not see.
            let length = rustix::io::read(stdin.as_fd(), &mut buffer)?;
            let bytes = &buffer[..length];
            let leave = if terminal { bytes.iter().position(|byte| *byte == LEAVE) } else { None };
            let bytes = &bytes[..leave.unwrap_or(length)];
            if (&*stream).write_all(bytes).is_err() {
                return Ok(Ended::Closed);
            }
            if leave.is_some() {
                return Ok(Ended::Left);
            }
            // Standard input from a file ends, and the guest goes on talking.
            typing = length > 0;
        }
    }
}

/// The terminal in raw mode, put back when dropped.
struct Raw(Termios);

impl Raw {
    fn set() -> Result<Raw> {
        let saying = || "cannot set the terminal".to_owned();
        let before = tcgetattr(std::io::stdin()).context(saying)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).context(saying)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing can be said about a terminal that is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
