//! The watcher of one DHCP server: `fief watch-dhcp DIRECTORY` (hidden), started by the gate.
//!
//! ```text
//!   start dnsmasq ─▸ it runs ── it ends ─▸ wait 1 s, 2 s … 30 s ─▸ start dnsmasq …
//!                       └── SIGTERM to the watcher ─▸ end dnsmasq, end
//! ```

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Context, Failure, Result};
use crate::gate::served::{Plan, ServeDirectory, State};
use crate::sys::process;
use crate::types::ProcessId;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_LONGEST: Duration = Duration::from_secs(30);
/// A server that ran this long ended for a new reason: the wait begins anew.
const STEADY: Duration = Duration::from_secs(60);
/// For dnsmasq to write its leases and go.
const GRACE: Duration = Duration::from_secs(1);
/// Size at which its log starts over, in bytes: some thousand leases.
const LOG_MAX: u64 = 256 << 10;
/// Longest line that is kept, in bytes.
const LINE_MAX: usize = 1024;
/// Its last words, as lines, for the one who asks why it ended.
const LAST_WORDS: usize = 5;

/// Serves until SIGTERM.
///
/// # Errors
/// Where the plan cannot be read or the state not be written; a server that does not stay up is no error.
pub fn run(directory: &Path) -> Result<()> {
    // Away from the terminal of the command that started it; a leader of its group already is (EPERM).
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the watcher's runtime".into())?;
    runtime.block_on(watch(&ServeDirectory(directory.to_owned())))
}

/// How one run of the server ended.
enum End {
    /// On its own.
    Ended(String),
    /// With the watcher.
    Asked,
}

async fn watch(directory: &ServeDirectory) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context(|| "cannot listen for SIGTERM".into())?;
    let plan = directory.plan()?;
    let watcher = process::identify(std::process::id()).ok_or_else(|| Failure::other("cannot read /proc/self/stat"))?;
    let mut state = State { watcher, server: None, restarts: 0, last_end: None };
    let mut backoff = BACKOFF_FIRST;
    loop {
        let began = Instant::now();
        match run_once(directory, &plan, &mut state, &mut terminate).await? {
            End::Asked => return Ok(()),
            End::Ended(how) => {
                tracing::warn!(end = %how, "dnsmasq ended");
                state.last_end = Some(how);
            }
        }
        state.server = None;
        state.restarts += 1;
        directory.set_state(&state)?;
        if began.elapsed() >= STEADY {
            backoff = BACKOFF_FIRST;
        }
        tokio::select! {
            _ = tokio::time::sleep(backoff) => {}
            _ = terminate.recv() => return Ok(()),
        }
        backoff = (backoff * 2).min(BACKOFF_LONGEST);
    }
}

async fn run_once(directory: &ServeDirectory, plan: &Plan, state: &mut State, terminate: &mut Signal) -> Result<End> {
    let started = Command::new(&plan.program)
        .args(&plan.arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Ok(End::Ended(format!("cannot start {}: {error}", plan.program.display()))),
    };
    state.server = child.id().and_then(process::identify);
    directory.set_state(state)?;
    let words = tokio::spawn(keep_log(directory.clone(), child.stderr.take()));
    let status = tokio::select! {
        status = child.wait() => status,
        _ = terminate.recv() => {
            end(&mut child, state.server).await;
            return Ok(End::Asked);
        }
    };
    let words = words.await.unwrap_or_default();
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    Ok(End::Ended(std::iter::once(format!("dnsmasq ended: {status}")).chain(words).collect::<Vec<_>>().join("\n")))
}

async fn end(child: &mut Child, server: Option<ProcessId>) {
    if let Some(server) = server {
        let _ = process::kill(server, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Writes its words to the log, which starts over where it has grown too long; gives back the last of them.
async fn keep_log(directory: ServeDirectory, stderr: Option<ChildStderr>) -> VecDeque<String> {
    let mut last = VecDeque::new();
    let Some(stderr) = stderr else { return last };
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        // At most one buffer is taken at a time, so that a line without end is cut and not gathered.
        let (taken, ended) = match reader.fill_buf().await {
            Ok([]) | Err(_) => return last,
            Ok(bytes) => {
                let end = bytes.iter().position(|b| *b == b'\n');
                let whole = &bytes[..end.unwrap_or(bytes.len())];
                line.extend_from_slice(&whole[..whole.len().min(LINE_MAX)]);
                (end.map_or(bytes.len(), |at| at + 1), end.is_some())
            }
        };
        reader.consume(taken);
        if line.is_empty() && !ended {
            continue;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        write_line(&directory, &text);
        if last.len() == LAST_WORDS {
            last.pop_front();
        }
        last.push_back(text);
    }
}

/// The log is a help, not a promise: what cannot be written is left out.
fn write_line(directory: &ServeDirectory, line: &str) {
    use std::io::Write;
    let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(directory.log()) else { return };
    if file.metadata().is_ok_and(|facts| facts.len() > LOG_MAX) {
        let _ = file.set_len(0);
    }
    let _ = writeln!(file, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a test of its own: tests that need a watcher run this program as `… watch-dhcp DIRECTORY`.
    #[test]
    fn watcher_process() {
        let arguments: Vec<String> = std::env::args().collect();
        if let Some(at) = arguments.iter().position(|a| a == crate::gate::served::VERB) {
            run(Path::new(&arguments[at + 1])).unwrap();
        }
    }
}
