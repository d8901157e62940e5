//! How a command finds a domain's supervisor, and starts one where it is due.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::domain::State;
use crate::domain::record::{Record, Truth};
use crate::domain::supervisor::control::{Answer, Request, Response};
use crate::domain::supervisor::{Purpose, Report};
use crate::error::{Context, Failure, Kind, Result};
use crate::layout::Layout;
use crate::sys::{durable, process, socket};
use crate::types::{ByteSize, DomainName};

/// A start may have to wait for a plugin's limits and for a slow disk, not longer.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// A state of a terabyte from a slow disk.
const RESTORE_PATIENCE: Duration = Duration::from_secs(3 * 3600);
/// A supervisor's log is cut in two at this many bytes, when one starts.
const LOG_MAX: u64 = 1 << 20;
/// More of them going one after the other is no chance.
const SUPERVISORS_ASKED: usize = 5;
/// Longest report or answer, in bytes.
pub(in crate::domain) const LINE_MAX: u64 = 1 << 20;

/// Starts a supervisor and waits for its report.
pub fn supervise(layout: &Layout, name: &DomainName, purpose: &Purpose) -> Result<Report> {
    let saying = || format!("cannot start a supervisor for domain {name}");
    let path = layout.domain(name).join("supervisor.log");
    if std::fs::metadata(&path).is_ok_and(|log| log.len() > LOG_MAX) {
        std::fs::rename(&path, layout.domain(name).join("supervisor.log.1")).context(saying)?;
    }
    let log = File::options().create(true).append(true).mode(0o600).open(&path).context(saying)?;
    let (reader, writer) = std::io::pipe().context(saying)?;
    let mut command = Command::new(process::executable());
    command.arg("supervise").arg(layout.root()).arg(name.as_str());
    let patience = match purpose {
        Purpose::Start => {
            command.arg("start");
            START_PATIENCE
        }
        Purpose::Adopt => {
            command.arg("adopt");
            START_PATIENCE
        }
        Purpose::Incoming => {
            command.arg("incoming");
            START_PATIENCE
        }
        Purpose::Hand => {
            command.arg("hand");
            START_PATIENCE
        }
        Purpose::Restore(file) => {
            command.arg("restore").arg(file);
            RESTORE_PATIENCE
        }
    };
    // A group of its own: a Ctrl-C at the operator's terminal is not for the guest.
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(log).process_group(0).spawn().context(saying)?;
    // The writing end now lives in the child alone, so that its death ends our wait.
    drop(command);
    let line = read_line(reader, patience).map_err(|failure| failure.while_doing(saying()))?;
    match serde_json::from_str(&line) {
        Ok(report) => {
            if !matches!(report, Report::Running { .. } | Report::Expecting | Report::Handing) {
                // It is ending: wait, so that the next command finds its lock free.
                let _ = child.wait();
            }
            Ok(report)
        }
        Err(_) => Err(Failure::other(saying())
            .hint(format!("it ended without a word; `fief logs {name} --supervisor` shows what it did"))),
    }
}

/// One line from a pipe, with a deadline.
fn read_line(reader: std::io::PipeReader, patience: Duration) -> Result<String> {
    let saying = || "cannot hear from the supervisor".to_owned();
    let until = Instant::now() + patience;
    let mut file = File::from(std::os::fd::OwnedFd::from(reader));
    let mut line = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if !process::readable(&file, left).context(saying)? {
            return Err(Failure::new(Kind::TimedOut, format!("no word from it in {} s", patience.as_secs()))
                .hint("it goes on trying; `fief logs NAME --supervisor` shows what it does"));
        }
        match file.read(&mut piece).context(saying)? {
            0 => break,
            length => line.extend_from_slice(&piece[..length]),
        }
        if line.ends_with(b"\n") || line.len() as u64 > LINE_MAX {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Starts the domain; its report says `Running`, or why not. A start that another supervisor is about (of a command
/// at the same time, or one that starts its guest again after a pause) is waited for and counts as this one.
pub fn start(layout: &Layout, name: &DomainName) -> Result<Report> {
    let until = Instant::now() + START_PATIENCE;
    loop {
        let report = supervise(layout, name, &Purpose::Start)?;
        let refused = matches!(&report, Report::Failed(failure) if failure.kind == Kind::TimedOut);
        if !refused || Instant::now() >= until || !has_supervisor(layout, name)? {
            return Ok(report);
        }
        let record = Record::load(layout, name)?;
        if let (State::Running, Some(run)) = (record.state_now(), record.run) {
            return Ok(Report::Running { id: run.id, warning: run.warning });
        }
    }
}

/// Whether a supervisor holds the domain's lock.
fn has_supervisor(layout: &Layout, name: &DomainName) -> Result<bool> {
    match durable::lock(&layout.domain(name).join("lock"), Duration::ZERO) {
        Ok(_) => Ok(false),
        Err(failure) if failure.kind == Kind::Conflict => Ok(true),
        Err(failure) => Err(failure),
    }
}

/// Makes sure that what the record says is true: a guest without a supervisor gets one, the remains of a dead one
/// are undone. Gives the state after that.
pub fn settle(layout: &Layout, name: &DomainName) -> Result<State> {
    let record = Record::load(layout, name)?;
    match record.truth() {
        Truth::AsRecorded => Ok(record.state),
        Truth::Orphaned | Truth::Dead => match supervise(layout, name, &Purpose::Adopt)? {
            Report::Running { .. } => Ok(Record::load(layout, name)?.state),
            Report::Off => Ok(State::Off),
            Report::Expecting | Report::Handing => Ok(Record::load(layout, name)?.state),
            Report::Failed(failure) => Err(failure),
        },
    }
}

/// The state of a domain that has no supervisor: it is off, where it is this host's at all.
pub fn at_rest(layout: &Layout, name: &DomainName) -> Result<State> {
    Ok(match Record::load(layout, name)?.state_now() {
        State::Ceded => State::Ceded,
        State::Elsewhere => State::Elsewhere,
        // Started by another command a moment ago, say.
        State::Off | State::Starting | State::Running | State::Paused | State::Preserved | State::Stopping => {
            State::Off
        }
    })
}

/// As [`settle`], and waits for the outcome of a start that another command, or a restart, is about.
///
/// # Errors
/// `TimedOut` where it is still starting after two minutes.
pub fn settled_start(layout: &Layout, name: &DomainName) -> Result<State> {
    let until = Instant::now() + START_PATIENCE;
    loop {
        let state = settle(layout, name)?;
        if state != State::Starting {
            return Ok(state);
        }
        if Instant::now() >= until {
            return Err(Failure::new(Kind::TimedOut, format!("domain {name} is still starting"))
                .hint(format!("`fief logs {name} --supervisor` shows what it does")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How much memory the guest of a running domain has now. None where that cannot be told at once: no supervisor is
/// started, and one that is busy is not waited for.
pub fn memory(layout: &Layout, name: &DomainName) -> Option<ByteSize> {
    match look(layout, name, &Request::Memory)? {
        Answer::Memory { actual } => Some(actual),
        Answer::Done
        | Answer::Already
        | Answer::File { .. }
        | Answer::Later { .. }
        | Answer::Copied { .. }
        | Answer::Machine { .. }
        | Answer::Migrated { .. }
        | Answer::Words { .. } => None,
    }
}

/// How far the domain's supervisor is with a copy, in bytes, and of how much. None where that cannot be told at once.
pub fn copied(layout: &Layout, name: &DomainName) -> Option<(u64, u64)> {
    match look(layout, name, &Request::Copied)? {
        Answer::Copied { done, total } => Some((done, total)),
        Answer::Done
        | Answer::Already
        | Answer::File { .. }
        | Answer::Later { .. }
        | Answer::Memory { .. }
        | Answer::Machine { .. }
        | Answer::Migrated { .. }
        | Answer::Words { .. } => None,
    }
}

/// The machine type that a domain runs as, which is no alias, and the version of its hypervisor.
///
/// # Errors
/// `Conflict` where it does not run.
pub fn machine(layout: &Layout, name: &DomainName) -> Result<(String, Option<String>)> {
    let off = || Failure::conflict(format!("domain {name} went off")).hint("say it again");
    match ask(layout, name, &Request::Machine)?.ok_or_else(off)?.answer {
        Answer::Machine { kind, version } => Ok((kind, Some(version))),
        Answer::Done
        | Answer::Already
        | Answer::File { .. }
        | Answer::Later { .. }
        | Answer::Memory { .. }
        | Answer::Copied { .. }
        | Answer::Migrated { .. }
        | Answer::Words { .. } => Err(off()),
    }
}

pub(in crate::domain) fn look(layout: &Layout, name: &DomainName, request: &Request) -> Option<Answer> {
    let stream = socket::connect_in(&layout.domain(name), "control.sock").ok()?;
    stream.set_read_timeout(request.patience()).ok()?;
    let line = serde_json::to_string(&request).ok()? + "\n";
    (&stream).write_all(line.as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(&stream).take(LINE_MAX).read_line(&mut answer).ok()?;
    match serde_json::from_str(&answer).ok()? {
        Response::Ok { answer, .. } => Some(answer),
        Response::Failed(_) => None,
    }
}

/// What a supervisor answered, and the stream that a console goes on with.
#[derive(Debug)]
pub struct Answered {
    pub state: State,
    pub answer: Answer,
    pub stream: UnixStream,
}

/// Asks the supervisor of a domain that is not off. None: it went off before it could be asked.
///
/// A supervisor that goes before it answers is followed by another, which is asked again.
pub fn ask(layout: &Layout, name: &DomainName, request: &Request) -> Result<Option<Answered>> {
    for _ in 0..SUPERVISORS_ASKED {
        match ask_once(layout, name, request)? {
            Heard::Answer(answered) => return Ok(Some(answered)),
            Heard::Off => return Ok(None),
            Heard::Nothing => {}
        }
    }
    Err(Failure::other(format!("every supervisor of domain {name} went before it answered"))
        .hint(format!("`fief logs {name} --supervisor` says why")))
}

/// Whether the supervisor says a word in that time.
pub fn answers(layout: &Layout, name: &DomainName, within: Duration) -> bool {
    let Ok(mut stream) = socket::connect_in(&layout.domain(name), "control.sock") else { return false };
    let asked = serde_json::to_vec(&Request::Status).is_ok_and(|mut line| {
        line.push(b'\n');
        stream.set_read_timeout(Some(within)).is_ok() && stream.write_all(&line).is_ok()
    });
    let mut answer = [0];
    asked && stream.read_exact(&mut answer).is_ok()
}

enum Heard {
    Answer(Answered),
    /// It went off before it could be asked.
    Off,
    /// The supervisor ended between our request and its answer.
    Nothing,
}

fn ask_once(layout: &Layout, name: &DomainName, request: &Request) -> Result<Heard> {
    let saying = || format!("cannot talk to the supervisor of domain {name}");
    let until = Instant::now() + Duration::from_secs(10);
    let stream = loop {
        if settle(layout, name)? == State::Off {
            return Ok(Heard::Off);
        }
        match socket::connect_in(&layout.domain(name), "control.sock") {
            Ok(stream) => break stream,
            // It is starting or ending: its record will say which in a moment.
            Err(error)
                if Instant::now() < until
                    && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error).context(saying),
        }
    };
    stream.set_read_timeout(request.patience()).context(saying)?;
    let mut line = serde_json::to_vec(request).context(saying)?;
    line.push(b'\n');
    match (&stream).write_all(&line) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Heard::Nothing),
        written => written.context(saying)?,
    }
    let mut answer = String::new();
    // Byte-wise on purpose: what follows the line is the console's.
    match BufReader::with_capacity(1, &stream).take(LINE_MAX).read_line(&mut answer) {
        Ok(0) => return Ok(Heard::Nothing),
        Ok(_) => {}
        Err(error) => match error.kind() {
            ErrorKind::ConnectionReset => return Ok(Heard::Nothing),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                return Err(Failure::new(Kind::TimedOut, format!("the supervisor of domain {name} does not answer"))
                    .hint(format!("`fief logs {name} --supervisor` shows what it does")));
            }
            _ => return Err(Failure::other(saying()).because(error)),
        },
    }
    match serde_json::from_str(&answer).context(saying)? {
        Response::Ok { state, answer } => Ok(Heard::Answer(Answered { state, answer, stream })),
        Response::Failed(failure) => Err(failure),
    }
}
