//! What commands say to a supervisor: one line of JSON each way on `control.sock`. After `console` is answered the
//! stream carries the console's bytes, both ways.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::domain::State;
use crate::domain::change::Change;
use crate::domain::relocation::{Heard, Progress, Wish};
use crate::domain::state;
use crate::error::{Context, Failure, Result};
use crate::sys::socket;
use crate::types::{ByteSize, SnapshotName, VolumeRef};

/// Longest request, in bytes: a word of another host's brings a definition.
const REQUEST_MAX: u64 = 2 << 20;
/// How long a command may take to say what it wants: a slow or dead client must not hold a place.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// A supervisor that is there answers at once, unless it is undoing.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// Beside what the guest takes: a plugin may use its limits, before and after.
const CHANGE_PATIENCE: Duration = Duration::from_secs(120);
/// How long a client may take to read its answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// A look that is worth no wait.
const LOOK_PATIENCE: Duration = Duration::from_millis(500);
/// Commands served at once; one supervisor has few askers, and each holds a descriptor.
pub const CLIENTS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Status,
    /// Pull the plug; answered once everything is undone.
    Stop,
    /// Ask the guest; answered once the domain is off.
    Shutdown {
        timeout_ms: Option<u64>,
        then_stop: bool,
    },
    Console,
    Pause,
    Resume,
    /// Pull the reset line.
    Reset,
    /// Ask the guest to power off, then start it again; answered once it runs again.
    Reboot {
        timeout_ms: Option<u64>,
        then_reset: bool,
    },
    /// A picture of what the guest shows, as a PNG in the domain's folder under the name that the answer gives.
    Screenshot,
    /// The guest's state into a new file, an absolute path; answered once the domain is off.
    Save {
        file: PathBuf,
    },
    /// Of the run and of what it starts with next; answered once it is so.
    Change {
        change: Change,
        /// How long a guest has to let a device go.
        timeout_ms: u64,
    },
    /// How much memory the guest has now.
    Memory,
    /// Its disks into empty volumes of their sizes, all as at one moment. Given up where the asker goes away.
    Copy {
        disks: Vec<DiskTo>,
    },
    /// One of its disks to another volume that was made for it, which it then has in the place of the first. At most
    /// `speed` bytes a second; 0: as fast as it goes. Given up where the asker goes away before that.
    Move {
        disk: DiskTo,
        speed: u64,
    },
    /// How far a copy or a move is.
    Copied,
    /// What its hypervisor is.
    Machine,
    /// A snapshot inside each of these disks, all at one moment.
    SnapshotCreate {
        snapshot: SnapshotName,
        volumes: Vec<VolumeRef>,
    },
    SnapshotDelete {
        snapshot: SnapshotName,
        volumes: Vec<VolumeRef>,
    },
    /// To another host. Given up where the asker goes away, for as long as that can be.
    Migrate {
        wish: Wish,
    },
    /// How far that is.
    Migrated,
    /// Gives it up, where that still can be.
    MigrateCancel,
    /// What another host said of who owns the domain, by way of `fief serve`.
    Handover {
        heard: Heard,
    },
    /// Asks the other host once more. `claim`: that host is off, the operator says.
    Recover {
        claim: bool,
    },
    /// Makes one of its disks larger; its guest is told.
    Resize {
        volume: VolumeRef,
        size: ByteSize,
    },
}

/// A disk, and the volume that it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DiskTo {
    pub from: VolumeRef,
    pub to: VolumeRef,
}

impl Request {
    /// What the state machine is asked; none where every state answers.
    pub fn admission(&self) -> Option<state::Request> {
        match self {
            Request::Status
            | Request::Memory
            | Request::Copied
            | Request::Migrated
            | Request::MigrateCancel
            | Request::Handover { .. }
            | Request::Machine
            | Request::Recover { .. } => None,
            Request::Stop => Some(state::Request::Stop),
            Request::Shutdown { .. } => Some(state::Request::Shutdown),
            Request::Console => Some(state::Request::Console),
            Request::Pause => Some(state::Request::Pause),
            Request::Resume => Some(state::Request::Resume),
            Request::Reset => Some(state::Request::Reset),
            Request::Reboot { .. } => Some(state::Request::Reboot),
            Request::Screenshot => Some(state::Request::Look),
            Request::Save { .. } => Some(state::Request::Save),
            Request::Change { .. } | Request::Resize { .. } => Some(state::Request::Change),
            Request::Copy { .. }
            | Request::Move { .. }
            | Request::Migrate { .. }
            | Request::SnapshotCreate { .. }
            | Request::SnapshotDelete { .. } => Some(state::Request::Copy),
        }
    }

    /// How long its answer may take; none: as long as it takes.
    pub fn patience(&self) -> Option<Duration> {
        match self {
            Request::Shutdown { timeout_ms, .. } | Request::Reboot { timeout_ms, .. } => {
                timeout_ms.map(|ms| Duration::from_millis(ms) + ANSWER_PATIENCE)
            }
            Request::Change { timeout_ms, .. } => Some(Duration::from_millis(*timeout_ms) + CHANGE_PATIENCE),
            Request::Resize { .. } => Some(CHANGE_PATIENCE),
            Request::Memory | Request::Copied | Request::Migrated => Some(LOOK_PATIENCE),
            Request::Handover { heard } => Some(Duration::from_millis(heard.wait_ms.into()) + ANSWER_PATIENCE),
            Request::Save { .. }
            | Request::Copy { .. }
            | Request::Move { .. }
            | Request::Migrate { .. }
            | Request::SnapshotCreate { .. }
            | Request::SnapshotDelete { .. } => None,
            Request::Status
            | Request::Machine
            | Request::Stop
            | Request::Console
            | Request::Pause
            | Request::Resume
            | Request::Reset
            | Request::MigrateCancel
            | Request::Recover { .. }
            | Request::Screenshot => Some(ANSWER_PATIENCE),
        }
    }
}

/// What an answer says beside the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Answer {
    #[default]
    Done,
    /// It was so before.
    Already,
    /// A file in the domain's folder, the asker's to take away.
    File {
        name: String,
    },
    /// What the domain starts with next is changed; what it runs with is not.
    Later {
        because: String,
    },
    Memory {
        actual: ByteSize,
    },
    /// The machine type, which is no alias, and the hypervisor's version.
    Machine {
        kind: String,
        version: String,
    },
    /// In bytes.
    Copied {
        done: u64,
        total: u64,
    },
    /// How far a move is, or how it ended.
    Migrated {
        progress: Box<Progress>,
    },
    /// For another host, of the one that asked.
    Words {
        messages: Vec<serde_json::Value>,
    },
}

impl Answer {
    fn is_done(&self) -> bool {
        *self == Answer::Done
    }
}

/// The answer: `{"ok":…}` or `{"failed":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    Ok {
        state: State,
        #[serde(default, skip_serializing_if = "Answer::is_done")]
        answer: Answer,
    },
    Failed(Failure),
}

/// A request with the way to its asker.
#[derive(Debug)]
pub struct Asked {
    pub request: Request,
    pub asker: Asker,
}

/// Gets the answer, and the stream too where the request was for the console.
#[derive(Debug)]
pub struct Asker {
    answer: oneshot::Sender<Response>,
}

impl Asker {
    /// The answer of a request that was waited for until the domain had this state.
    pub fn answer(self, outcome: Result<State>) {
        self.respond(match outcome {
            Ok(state) => Response::Ok { state, answer: Answer::Done },
            Err(failure) => Response::Failed(failure),
        });
    }

    #[cfg(test)]
    pub fn with_answer() -> (Self, oneshot::Receiver<Response>) {
        let (answer, answered) = oneshot::channel();
        (Asker { answer }, answered)
    }

    /// For what nobody asked for.
    pub fn nobody() -> Self {
        Asker { answer: oneshot::channel().0 }
    }

    /// Completes once nobody waits for the answer any more.
    pub async fn gone(&mut self) {
        self.answer.closed().await;
    }

    pub fn respond(self, response: Response) {
        // An asker that went away needs no answer.
        let _ = self.answer.send(response);
    }
}

/// Listens at a socket of this name in the domain's folder, for the runtime that calls this.
pub fn listen(folder: &Path, name: &str) -> Result<UnixListener> {
    socket::listen_in(folder, name)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        })
        .context(|| format!("cannot listen at {name}"))
}

/// The answer; none where the asker closes its end before that, or the supervisor ends.
async fn answer_or_gone(
    reader: &mut BufReader<UnixStream>,
    mut answered: oneshot::Receiver<Response>,
) -> Option<Response> {
    tokio::select! {
        biased;
        answer = &mut answered => return answer.ok(),
        said = reader.fill_buf() => match said {
            Ok([]) | Err(_) => return None,
            // Too early; a console's stream goes on with it.
            Ok(_) => {}
        }
    }
    answered.await.ok()
}

/// Serves one connection: reads a request, hands it to the supervisor's loop, writes its answer. Gives the stream
/// back where it is now a console's.
pub async fn serve(stream: UnixStream, requests: mpsc::Sender<Asked>) -> Option<UnixStream> {
    let me = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == me || peer.uid() == 0 => {}
        Ok(_) | Err(_) => return None,
    }
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut reader).take(REQUEST_MAX);
    let read = limited.read_line(&mut line);
    match tokio::time::timeout(REQUEST_PATIENCE, read).await {
        Ok(Ok(length)) if length > 0 => {}
        Ok(Ok(_) | Err(_)) | Err(_) => return None,
    }
    let (console, response) = match serde_json::from_str::<Request>(&line) {
        // Whoever gave up was told that nothing was done, and nothing is.
        Ok(_) if gone(reader.get_ref()) => return None,
        Ok(request) => {
            let console = request == Request::Console;
            let (answer, answered) = oneshot::channel();
            let asked = Asked { request, asker: Asker { answer } };
            if requests.send(asked).await.is_err() {
                return None;
            }
            (console, answer_or_gone(&mut reader, answered).await?)
        }
        Err(error) => {
            (false, Response::Failed(Failure::usage("the supervisor does not know this request").because(error)))
        }
    };
    let accepted = matches!(response, Response::Ok { .. });
    let mut bytes = serde_json::to_vec(&response).ok()?;
    bytes.push(b'\n');
    reader.write_all(&bytes).await.ok()?;
    // The client waits for the answer before it types, so the reader's buffer is empty here.
    (console && accepted).then(|| reader.into_inner())
}

/// Serves a client beside the loop, where there is a place. A console's stream goes to `consoles`, where there are any.
pub fn admit(
    stream: UnixStream,
    clients: &Arc<Semaphore>,
    ask: &mpsc::Sender<Asked>,
    consoles: Option<&mpsc::Sender<UnixStream>>,
) {
    let Ok(place) = Arc::clone(clients).try_acquire_owned() else { return };
    let (ask, consoles) = (ask.clone(), consoles.cloned());
    tokio::spawn(async move {
        if let (Some(stream), Some(consoles)) = (serve(stream, ask).await, consoles) {
            // The loop is over where this fails; so is the console.
            let _ = consoles.send(stream).await;
        }
        drop(place);
    });
}

/// Waits until all clients have their answers. One that does not read keeps its place, and is not waited for longer than a
/// second.
pub async fn all_answered(clients: &Semaphore) {
    let all = u32::try_from(CLIENTS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(ANSWERED_WITHIN, clients.acquire_many(all)).await;
}

/// Whether the asker closed its end.
fn gone(stream: &UnixStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut end = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut end, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|_| end[0].revents().contains(PollFlags::HUP))
}
