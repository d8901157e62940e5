//! Who keeps a disk served: a thread of the supervisor's for each, with the listening socket and a ledger of its own
//! (`served-N.jsonl`), so that a sandbox that ends is replaced whatever else the supervisor is about.
//!
//! ```text
//!   listen ─▸ serve ─▸ { events are passed on } ─▸ it ended ─▸ at once, or 0.2, 0.4 … 5 s later ─▸ serve
//!                └─ close: it lets go of the volume, and all is undone
//!                └─ leave: the sandbox serves on, the next supervisor takes it over
//! ```
//!
//! The socket stays while sandboxes come and go: what a hypervisor asks meanwhile waits there, and is answered by the next.

mod keeping;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use keeping::Keeping;
use tokio::sync::mpsc::UnboundedSender;

use crate::domain::hold;
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::gate::{Actor, Gate, Ledger, Operation};
use crate::plugin::Heard;
use crate::sys::durable;
use crate::types::{ByteSize, DomainName, VolumeRef};

/// How long it may take to let go of a volume.
pub const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// What is heard of a served disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It has another size; or this one, where an earlier supervisor's sandbox served it and may not have told.
    Sized(ByteSize),
    /// Another host holds it; who.
    Fenced(String),
    /// Requests wait, and why.
    Degraded(String),
    Restored,
}

#[derive(Debug)]
pub struct Told {
    pub volume: VolumeRef,
    pub news: News,
}

/// Where news go.
pub type Tell = UnboundedSender<Told>;

/// What is to be served, and to whom.
#[derive(Debug, Clone)]
pub struct Disk {
    pub domain: DomainName,
    /// Of the run.
    pub id: u32,
    pub place: usize,
    /// It moved there while its domain ran.
    pub moved: bool,
    pub volume: VolumeRef,
    pub writes: bool,
    /// Which attachment the hypervisor asks for.
    pub export: u64,
    pub whose: Whose,
}

/// Whose the volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Ours,
    /// Another host's, which is about to hand it over: it is only looked at.
    Expected,
    /// It was let go of, and nothing is served.
    LetGo,
}

/// Dropped, it leaves what it has done to its ledger, and starts nothing more.
#[derive(Debug)]
pub struct Keeper {
    pub volume: VolumeRef,
    pub place: usize,
    /// Which attachment the hypervisor has.
    pub export: u64,
    commands: mpsc::Sender<Command>,
    over: Arc<AtomicBool>,
    ended: mpsc::Receiver<()>,
}

/// Has another sandbox take the place of one, which sees the volume as it is now.
#[derive(Debug)]
pub struct Renewal(mpsc::Sender<Command>);

impl Renewal {
    pub fn ask(&self) {
        // A keeper that has ended has nothing to renew.
        let _ = self.0.send(Command::Renew);
    }
}

#[derive(Debug)]
enum Command {
    Heard(u64, Heard),
    Renew,
    /// Lets go of the volume, and says so; the socket stays.
    Suspend(mpsc::Sender<Result<()>>),
    /// The volume is this host's now, or again.
    Activate,
    Close,
    Leave,
}

fn file(folder: &Path, disk: &Disk) -> PathBuf {
    folder.join(format!("served-{}{}.jsonl", disk.place, if disk.moved { "-moved" } else { "" }))
}

impl Keeper {
    /// Listens, and waits until the disk is served.
    ///
    /// # Errors
    /// Where its first sandbox does not come to serve it; then nothing is left.
    pub fn start(gate: &Gate, disk: Disk, tell: &Tell) -> Result<Keeper> {
        let (ready, first) = mpsc::channel();
        let keeper = Keeper::begin(gate, disk, tell, Some(ready))?;
        match first.recv() {
            Ok(served) => served?,
            Err(_) => return Err(Failure::other("whoever was to keep a disk served died")),
        }
        fault::point("serve.started")?;
        Ok(keeper)
    }

    /// In place of a supervisor that is gone: its sandbox is ended and another one started, which is not waited for.
    fn take_over(gate: &Gate, disk: Disk, tell: &Tell) -> Result<Keeper> {
        Keeper::begin(gate, disk, tell, None)
    }

    fn begin(gate: &Gate, disk: Disk, tell: &Tell, ready: Option<mpsc::Sender<Result<()>>>) -> Result<Keeper> {
        let path = file(&gate.layout().domain(&disk.domain), &disk);
        let mut ledger = Ledger::open(&path)?;
        let Disk { domain, id, place, moved, volume, writes, export, whose: _ } = disk.clone();
        let listen = Operation::ServedListen { domain, id, disk: place, moved, volume: volume.clone(), writes, export };
        let mut done = gate.perform(&Actor::Operator, &mut ledger, listen, Vec::new())?;
        let listener = done.descriptors.pop().ok_or_else(|| Failure::other("a socket that listens is missing"))?;
        // Not before: what a hypervisor asks whose sandbox ends must find a socket to wait at.
        gate.undo_where(&mut ledger, is_sandbox).map_err(first_of)?;
        let (commands, heard) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let keeping = Keeping {
            gate: gate.clone(),
            disk,
            listener,
            ledger,
            tell: tell.clone(),
            commands: commands.clone(),
            heard,
            over: over.clone(),
            number: 0,
            size: None,
            end,
        };
        if let Err(failure) = fault::point("serve.listening") {
            let mut keeping = keeping;
            keeping.clear();
            return Err(failure);
        }
        std::thread::Builder::new()
            .name("keeper".into())
            .spawn(move || keeping.run(ready))
            .context(|| "cannot keep a disk served".to_owned())?;
        Ok(Keeper { volume, place, export, commands, over, ended })
    }

    /// Has the sandbox let go of the volume, and takes away what there is; waits for that, but not for long.
    pub fn close(self) {
        close(vec![self]);
    }

    /// What another host has handed over, or was let go of, is this host's to write to. Another sandbox takes the place of
    /// one that only looked, at the same socket; what the guest asks meanwhile waits there.
    pub fn activate(&self) {
        // A keeper that has ended has nothing to serve.
        let _ = self.commands.send(Command::Activate);
    }

    pub fn renewal(&self) -> Renewal {
        Renewal(self.commands.clone())
    }

    fn ask_to_close(&self) {
        self.over.store(true, Ordering::Release);
        // One that has ended needs no word.
        let _ = self.commands.send(Command::Close);
    }
}

/// Has all of them let go of their volumes, and waits for that. The sockets stay, for [`Keeper::activate`].
///
/// # Errors
/// `TimedOut` where one does not.
pub fn suspend(keepers: &[Keeper]) -> Result<()> {
    let asked = keepers.iter().map(|keeper| {
        let (done, told) = mpsc::channel();
        // One that has ended holds nothing.
        let _ = keeper.commands.send(Command::Suspend(done));
        (keeper, told)
    });
    let asked: Vec<_> = asked.collect();
    let until = Instant::now() + CLOSED_WITHIN + Duration::from_secs(1);
    for (keeper, told) in asked {
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(done) => done?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(Failure::new(Kind::TimedOut, format!("volume {} is not let go of", keeper.volume)));
            }
        }
    }
    Ok(())
}

/// Several at the same time. What does not let go is left to the ledgers.
pub fn close(keepers: Vec<Keeper>) {
    keepers.iter().for_each(Keeper::ask_to_close);
    let until = Instant::now() + CLOSED_WITHIN + Duration::from_secs(1);
    for keeper in &keepers {
        if keeper.ended.recv_timeout(until.saturating_duration_since(Instant::now()))
            == Err(mpsc::RecvTimeoutError::Timeout)
        {
            tracing::warn!(volume = %keeper.volume, "the sandbox that serves it does not let go, and is ended");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = self.commands.send(Command::Leave);
    }
}

/// What is served to a running domain by an earlier supervisor's sandboxes, taken over.
pub fn take_over(gate: &Gate, domain: &DomainName, whose: Whose, tell: &Tell) -> Result<Vec<Keeper>> {
    let mut keepers = Vec::new();
    for path in files(&gate.layout().domain(domain))? {
        let ledger = Ledger::open(&path)?;
        let served = ledger.entries().iter().find_map(|entry| match &entry.operation {
            Operation::ServedListen { domain, id, disk, moved, volume, writes, export } => Some(Disk {
                domain: domain.clone(),
                id: *id,
                place: *disk,
                moved: *moved,
                volume: volume.clone(),
                writes: *writes,
                export: *export,
                whose,
            }),
            _ => None,
        });
        drop(ledger);
        if let Some(mut disk) = served {
            // Of an earlier fief, which did not note it.
            if disk.export == 0 && disk.writes {
                let holder = hold::current(gate.layout(), &disk.volume, &disk.domain)?;
                disk.export = holder.map_or(0, |holder| holder.generation);
            }
            keepers.push(Keeper::take_over(gate, disk, tell)?);
        }
    }
    Ok(keepers)
}

/// Takes away what keepers left: of a supervisor that was killed, of a start that failed. Goes on past failures.
pub fn clear(gate: &Gate, domain: &DomainName) -> Vec<Failure> {
    let undone = |path: PathBuf| -> Result<()> {
        let mut ledger = Ledger::open(&path)?;
        gate.undo(&mut ledger).map_err(first_of)
    };
    match files(&gate.layout().domain(domain)) {
        Ok(files) => files.into_iter().filter_map(|path| undone(path).err()).collect(),
        Err(failure) => vec![failure],
    }
}

fn is_sandbox(operation: &Operation) -> bool {
    matches!(operation, Operation::ServingStart { .. })
}

fn first_of(failures: Vec<Failure>) -> Failure {
    failures.into_iter().next().unwrap_or_else(|| Failure::other("what served a disk could not be undone"))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut names = durable::names(folder)?;
    names.retain(|name| name.starts_with("served-") && name.ends_with(".jsonl"));
    names.sort();
    Ok(names.iter().map(|name| folder.join(name)).collect())
}
