//! A recording run again: the same calls into a sandbox, the answers out of the file alone. No storage, no network, no pool.
//!
//! ```text
//!   Recorded ─▸ directories made in an empty folder ─▸ sandbox: Load, Call
//!                 ◂─ Ask ─ the same as then? ─▸ its answer │ stream.rs │ a placeholder for a secret
//!                 ◂─ Return ─▸ verdict
//! ```
//! The recording comes from a stranger: each number in it is bounded before it is used, and whatever the plugin does meets what the
//! file says and nothing else. Each call has a sandbox of its own, so that one which goes another way leaves the next as it was.

mod stream;
mod verdict;

use std::fs::{DirBuilder, File, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stream::Playing;
pub use verdict::{Replayed, Verdict, words};

use crate::config::policy::Limits;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Gate, identity, secret};
use crate::plugin::process::Process;
use crate::plugin::recording::format::{Answer, Asked, Bytes, Directory, End, LeftOut, Line, Recorded};
use crate::plugin::text::printable;
use crate::plugin::{Installed, cache, failure, shape};
use crate::sandbox::protocol::{Ask, FromSandbox, PluginError, Preopen, Reply, ToSandbox};
use crate::sys::durable;
use crate::types::{ByteSize, GrantName, Secret};

/// A sandbox that has been told to load and says nothing for this long is stuck.
const LOAD_WAIT: Duration = Duration::from_secs(30);
/// The sandbox keeps the call's deadline itself; this much later it is ended.
const GRACE: Duration = Duration::from_secs(2);
/// Asks of one call, as where it is made in earnest.
const ASKS_MAX: usize = 10_000;
/// Lines of its log that are kept of one call.
const SAID_MAX: usize = 200;
/// Directories of one plugin.
const DIRECTORIES_MAX: usize = 64;

/// Runs the calls of a recording through one build of its plugin.
pub struct Replay<'a> {
    installed: &'a Installed,
    code: File,
    uid: Option<u32>,
    /// For folders; nothing is in it between two calls.
    folder: PathBuf,
    /// The directories of the call before.
    before: Vec<Directory>,
    number: usize,
}

impl<'a> Replay<'a> {
    /// `gate`: of a root in which the plugin is installed, and nothing else is. `folder`: an empty one of the caller's.
    ///
    /// # Errors
    /// Where the plugin does not compile.
    pub fn new(gate: &Gate, installed: &'a Installed, folder: &Path) -> Result<Replay<'a>> {
        let uid = identity::plugin_uid(gate.layout(), gate.policy(), &installed.manifest.id)?;
        let code = cache::open(gate.layout(), installed.digest, uid, false)?;
        Ok(Replay { installed, code, uid, folder: folder.to_owned(), before: Vec::new(), number: 0 })
    }

    /// The next line of the recording.
    ///
    /// # Errors
    /// `Usage` where it is no call that could have been recorded.
    pub fn next(&mut self, line: Line) -> Result<Replayed> {
        self.number += 1;
        match line {
            Line::Call(call) => {
                let number = self.number;
                self.call(*call).map_err(|failure| failure.while_doing(format!("call {number} cannot be replayed")))
            }
            Line::LeftOut(LeftOut { function, why }) => Ok(Replayed::left_out(self.number, &function, &why)),
            Line::End(_) => Err(Failure::other("the end of a recording is no call")),
        }
    }

    fn call(&mut self, mut recorded: Recorded) -> Result<Replayed> {
        fits(&recorded)?;
        for (at, directory) in recorded.directories.iter_mut().enumerate() {
            if directory.tree.is_none() {
                let known = self.before.get(at).filter(|known| known.preopen == directory.preopen);
                directory.tree = known.and_then(|known| known.tree.clone());
            }
        }
        self.before.clone_from(&recorded.directories);
        let cut = recorded.directories.iter().any(|directory| directory.tree.as_ref().is_none_or(|tree| tree.cut));
        let made = self.made(&recorded.directories)?;
        let mut run = Run::new(&recorded);
        let now = self.run(&recorded, &made.0, &mut run);
        drop(made);
        Ok(run.ended(self.number, &recorded, now?, cut))
    }

    /// The directories, each in a folder that is gone with what this gives.
    fn made(&self, directories: &[Directory]) -> Result<(Vec<(Preopen, OwnedFd)>, Folder)> {
        let saying = || format!("cannot make a folder below {}", self.folder.display());
        let random = durable::random_name().context(saying)?;
        let folder = Folder(self.folder.join(format!("replay-{random}")));
        DirBuilder::new().mode(0o700).create(&folder.0).context(saying)?;
        let mut made = Vec::new();
        for (number, Directory { preopen, tree }) in directories.iter().enumerate() {
            let path = folder.0.join(number.to_string());
            std::fs::create_dir(&path).context(saying)?;
            // The plugin's user gets there by the descriptor alone.
            std::fs::set_permissions(&path, Permissions::from_mode(0o777)).context(saying)?;
            let opened = OwnedFd::from(File::open(&path).context(saying)?);
            if let Some(tree) = tree {
                tree.make(&opened)?;
            }
            made.push((preopen.clone(), opened));
        }
        Ok((made, folder))
    }

    fn run(&self, recorded: &Recorded, directories: &[(Preopen, OwnedFd)], run: &mut Run<'_>) -> Result<Option<End>> {
        let limits = bounded(&recorded.limits);
        let mut process = Process::start(self.uid)?;
        let frame = ToSandbox::Load {
            plugin: self.installed.manifest.id.clone(),
            kind: self.installed.manifest.kind,
            serves: false,
            interfaces: recorded.interfaces.clone(),
            directories: directories.iter().map(|(preopen, _)| preopen.clone()).collect(),
            limits: limits.clone(),
            silence_ms: recorded.silence_ms,
            clock_ms: Some(recorded.at),
        };
        let beside = std::iter::once(self.code.as_fd()).chain(directories.iter().map(|(_, fd)| fd.as_fd()));
        process.send(&frame, &beside.collect::<Vec<_>>())?;
        match process.receive(Instant::now() + LOAD_WAIT)? {
            FromSandbox::Ready { .. } => {}
            FromSandbox::Return(Err(error)) => {
                let id = &self.installed.manifest.id;
                return Err(failure::of_load(&error).while_doing(format!("the plugin {id} does not load")));
            }
            FromSandbox::Compiled
            | FromSandbox::Ask(_)
            | FromSandbox::AskAs(..)
            | FromSandbox::Serving(_)
            | FromSandbox::Event(_)
            | FromSandbox::Log { .. }
            | FromSandbox::Return(Ok(_)) => return Err(out_of_turn()),
        }
        process.send(&ToSandbox::Call(recorded.call.clone()), &[])?;
        let ended = self.talk(&mut process, limits.wall + GRACE, run);
        process.end();
        run.streams_end();
        match ended {
            // A sandbox that is lost may be what was recorded.
            Err(failure) if matches!(failure.kind, Kind::PluginFault | Kind::TimedOut) => {
                Ok(Some(End::Lost(failure.kind)))
            }
            other => other,
        }
    }

    /// Until the call has ended; none where the plugin asked what it did not ask then.
    fn talk(&self, process: &mut Process, mut left: Duration, run: &mut Run<'_>) -> Result<Option<End>> {
        loop {
            let begun = Instant::now();
            let frame = process.receive(begun + left)?;
            left = left.saturating_sub(begun.elapsed());
            match frame {
                FromSandbox::Return(Ok(given)) => return Ok(Some(End::Answered(given))),
                FromSandbox::Return(Err(error)) => return Ok(Some(End::Failed(error))),
                FromSandbox::Log { message, fields, .. } => run.said(&message, &fields),
                FromSandbox::Ask(ask) => {
                    let Some((answer, descriptor)) = run.answer(ask)? else { return Ok(None) };
                    let beside: Vec<_> = descriptor.iter().map(AsFd::as_fd).collect();
                    process.send(&ToSandbox::Answer(answer), &beside)?;
                }
                FromSandbox::Ready { .. }
                | FromSandbox::Compiled
                | FromSandbox::AskAs(..)
                | FromSandbox::Serving(_)
                | FromSandbox::Event(_) => return Err(out_of_turn()),
            }
        }
    }
}

type Told = (Result<Reply, PluginError>, Option<OwnedFd>);

/// One call on its way.
struct Run<'a> {
    asked: &'a [Asked],
    /// Which of them were answered.
    used: Vec<bool>,
    asks: usize,
    notes: Vec<String>,
    /// What it asked that it did not ask then.
    unknown: Option<Ask>,
    said: Vec<String>,
    playing: Vec<(usize, Playing)>,
    sent: Vec<(usize, stream::Sent)>,
}

impl<'a> Run<'a> {
    fn new(recorded: &'a Recorded) -> Self {
        Run {
            asked: &recorded.asked,
            used: vec![false; recorded.asked.len()],
            asks: 0,
            notes: Vec::new(),
            unknown: None,
            said: Vec::new(),
            playing: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn said(&mut self, message: &str, fields: &[(String, String)]) {
        if self.said.len() < SAID_MAX {
            let fields: String = fields.iter().map(|(key, value)| format!(" {key}={value}")).collect();
            self.said.push(printable(&format!("{message}{fields}")));
        }
    }

    /// What the host answered then; none where it was not asked this.
    fn answer(&mut self, ask: Ask) -> Result<Option<Told>> {
        self.asks += 1;
        if self.asks > ASKS_MAX {
            return Err(Failure::new(Kind::PluginFault, format!("it asked more than {ASKS_MAX} times")));
        }
        let next = self.used.iter().position(|used| !used);
        let found = (0..self.asked.len()).find(|at| !self.used[*at] && self.asked[*at].ask == ask);
        let Some(at) = found else {
            self.unknown = Some(ask);
            return Ok(None);
        };
        if next != Some(at) && self.notes.is_empty() {
            self.notes.push("it asked in another order than then".to_owned());
        }
        self.used[at] = true;
        let saying = || "cannot answer from the recording".to_owned();
        Ok(Some(match &self.asked[at].answer {
            Answer::Reply(reply @ (Reply::Connection | Reply::Secret)) => {
                return Err(Failure::usage(format!("it answers {reply:?} with nothing beside it")));
            }
            Answer::Reply(reply) => (Ok(reply.clone()), None),
            Answer::Refused(error) => (Err(error.clone()), None),
            Answer::Stream(tape) => {
                if tape.cut {
                    self.notes.push("more went over a connection than the recording keeps".to_owned());
                }
                let (theirs, playing) = Playing::begin(tape.clone()).context(saying)?;
                self.playing.push((at, playing));
                (Ok(Reply::Connection), Some(theirs))
            }
            Answer::Secret(Bytes(bytes)) => (Ok(Reply::Secret), Some(secret::hand_over(&Secret::new(bytes.clone()))?)),
        }))
    }

    fn streams_end(&mut self) {
        let ended = std::mem::take(&mut self.playing).into_iter().map(|(at, playing)| (at, playing.end()));
        self.sent.extend(ended);
    }
}

/// Goes with what is in it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove what was made for a replay");
        }
    }
}

/// # Errors
/// `Usage` where a call says what no call says.
fn fits(recorded: &Recorded) -> Result<()> {
    if recorded.directories.len() > DIRECTORIES_MAX {
        return Err(Failure::usage(format!("it has more than {DIRECTORIES_MAX} directories")));
    }
    for Directory { preopen, .. } in &recorded.directories {
        let named = preopen.name.parse::<GrantName>();
        named.map_err(|why| Failure::usage(format!("{:?} is no name of a directory: {why}", preopen.name)))?;
    }
    if recorded.silence_ms > 60_000 {
        return Err(Failure::usage("it waits more than a minute for a server"));
    }
    match shape::is_of_storage(&recorded.call) {
        true => Ok(()),
        false => Err(Failure::usage("it is no call of a storage plugin")),
    }
}

/// No more than a plugin is mostly given, whatever a stranger's file says.
fn bounded(limits: &Limits) -> Limits {
    Limits {
        memory: limits.memory.min(ByteSize::from_mib(1024)),
        table_elements: limits.table_elements.min(10_000_000),
        handles: limits.handles.min(100_000),
        cpu: limits.cpu.min(Duration::from_secs(60)),
        wall: limits.wall.min(Duration::from_secs(120)),
        host_call_bytes: limits.host_call_bytes.min(ByteSize::from_mib(256)),
        log_lines_per_second: limits.log_lines_per_second.min(1_000),
        busy_poll_microseconds: 0,
    }
}

fn out_of_turn() -> Failure {
    Failure::new(Kind::PluginFault, "its sandbox sent a frame that is no answer")
}
