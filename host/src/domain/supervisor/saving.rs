//! `fief save`: the guest's state into a file, as a job beside the loop.
//!
//! ```text
//!   record: saving ─▸ guest stands still ─▸ state ─▸ file, synced ─▸ its name ═▸ the guest is over here
//!         └───────────────── any failure, or a supervisor killed: the partial file goes, the guest goes on
//! ```
//!
//! The file's name is the point of no return: once it stands, the guest never goes on here (promises.md, P1).

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::connect::Connected;
use super::control::Asker;
use super::job::{Job, JobEnd};
use super::watch::{Loop, Watcher};
use crate::config::domain;
use crate::domain::nvram;
use crate::domain::saved::{Header, HostCpu, Opened, Writer};
use crate::domain::state::{Happening, State};
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::hypervisor::ChosenAccelerator;
use crate::hypervisor::qemu::{self, qmp::Monitor};
use crate::sys::durable;

/// How much the pipe between QEMU and the file holds, in bytes: what any user may ask for (pipe(7)).
const PIPE: usize = 1 << 20;

/// A save that is under way, in the domain's record before anything is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Saving {
    pub file: PathBuf,
    /// Where it is written before it gets its name.
    pub partial: PathBuf,
    pub attempt: Uuid,
    /// The guest goes on where the save comes to nothing.
    pub ran: bool,
}

impl Saving {
    pub fn new(file: PathBuf, ran: bool) -> Saving {
        let attempt = Uuid::new_v4();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let partial = file.with_file_name(format!(".{name}.{}", attempt.simple()));
        Saving { file, partial, attempt, ran }
    }

    /// Whether the file stands under its name, whole, and is of this attempt.
    pub fn stands(&self) -> bool {
        Opened::open(&self.file).is_ok_and(|opened| opened.header.attempt == self.attempt)
    }

    /// Removes what was written and has no name yet.
    pub fn clear(&self) {
        match std::fs::remove_file(&self.partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.partial.display(), %error, "a half saved state stays");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Removes the partial file, unless it got its name.
struct Partial(Option<Saving>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(saving) = self.0.take() {
            saving.clear();
        }
    }
}

impl Loop<'_> {
    /// Begins the save; its end comes as that of the job.
    pub(super) async fn save(&mut self, file: PathBuf, asker: Asker, connected: &mut Connected) {
        match self.begin_to_save(file, connected).await {
            Ok((saving, header, nvram)) => {
                let monitor = connected.monitor.clone();
                self.job = Some(Job::new("saved", asker, all(monitor, saving, header, nvram)));
            }
            Err(failure) => self.answer(asker, Err(failure)),
        }
    }

    /// After a supervisor was killed: a save that it was about has come about, or is given up and the guest goes on.
    pub(super) async fn settle_saving(&mut self, connected: &mut Connected) -> Result<Option<Happening>> {
        let Some(saving) = self.record.saving.clone() else { return Ok(None) };
        if saving.stands() {
            return Ok(Some(Happening::Saved));
        }
        tracing::warn!(file = %saving.file.display(), "a save was cut off; the guest goes on");
        saving.clear();
        // One that is over cannot be cancelled.
        let _ = connected.monitor.cancel_state().await;
        if saving.ran {
            connected.monitor.resume().await?;
        }
        self.record.saving = None;
        self.record.save(self.layout)?;
        Ok(None)
    }

    async fn begin_to_save(&mut self, file: PathBuf, connected: &Connected) -> Result<(Saving, Header, Vec<u8>)> {
        let monitor = &connected.monitor;
        let (machine, version) = (monitor.machine().await?, monitor.version().await?);
        let accelerator = self.record.run.as_ref().map_or(ChosenAccelerator::Tcg, |run| run.accelerator);
        let cpu = self.definition.cpu.clone().unwrap_or_else(|| accelerator.best_cpu().to_owned());
        let host_cpu = match accelerator {
            ChosenAccelerator::Kvm if cpu.split(',').any(|word| word == "host" || word == "max") => {
                let text = std::fs::read_to_string("/proc/cpuinfo").context(|| "cannot read /proc/cpuinfo".into())?;
                Some(HostCpu::parse(&text))
            }
            ChosenAccelerator::Kvm | ChosenAccelerator::Tcg => None,
        };
        let nvram = nvram::of(self.layout, &self.definition.name)?.unwrap_or_default();
        let ran = self.record.state == State::Running;
        let places = self.places();
        let saving = Saving::new(file, ran);
        let header = Header {
            fief: env!("CARGO_PKG_VERSION").to_owned(),
            attempt: saving.attempt,
            saved: Timestamp::now(),
            hypervisor: version.to_string(),
            machine,
            cpu,
            accelerator,
            host_cpu,
            hardware: places.hardware,
            places: Some(places),
            runs: self.record.runs,
            paused: !ran,
            nvram: nvram.len() as u64,
            definition: domain::to_toml(&*self.definition),
        };
        self.record.saving = Some(saving.clone());
        let recorded = self.record.save(self.layout).and_then(|()| fault::point("save.recorded"));
        if let Err(failure) = recorded {
            self.record.saving = None;
            return Err(failure);
        }
        Ok((saving, header, nvram))
    }
}

impl Watcher<'_> {
    /// Hands the hypervisor the state that it waits for. The guest is not let go.
    pub fn receive(&mut self, state: Opened) -> Result<()> {
        let (Some(runtime), Some(connected)) = (&self.runtime, &self.connected) else {
            return Err(Failure::other("the supervisor's loop was not connected"));
        };
        let from = state.path().display().to_string();
        let (source, mut target) = std::io::pipe().context(|| "cannot make a pipe for the state".to_owned())?;
        let read = std::thread::spawn(move || state.stream(&mut target));
        let moved = runtime.block_on(connected.monitor.read_state(source.into()));
        let read = read.join().unwrap_or_else(|_| Err(Failure::other("reading the state panicked")));
        let doing = || format!("cannot go on with the state in {from}");
        match (read, moved) {
            (Ok(()), Ok(())) => Ok(()),
            // A damaged file makes the hypervisor say many things; the damage is the cause.
            (Err(failure), _) if failure.kind == Kind::Usage => Err(failure.while_doing(doing())),
            (_, Err(mut failure)) => {
                failure.causes.extend(qemu::last_words(&self.folder()));
                Err(failure.while_doing(doing()))
            }
            (Err(failure), Ok(())) => Err(failure.while_doing(doing())),
        }
    }
}

async fn all(monitor: Monitor, saving: Saving, header: Header, nvram: Vec<u8>) -> Result<JobEnd> {
    let mut partial = Partial(Some(saving.clone()));
    match to_file(&monitor, &saving, &header, &nvram).await {
        Ok(()) => {
            partial.0 = None;
            Ok(JobEnd::Saved)
        }
        Err(failure) => {
            drop(partial);
            // One that was not begun, or is over, cannot be cancelled.
            let _ = monitor.cancel_state().await;
            if saving.ran {
                monitor.resume().await.map_err(|resume| {
                    let mut failure = failure.clone();
                    failure.causes.push(format!("and the guest could not be let go again: {resume}"));
                    failure
                })?;
            }
            Err(failure)
        }
    }
}

async fn to_file(monitor: &Monitor, saving: &Saving, header: &Header, nvram: &[u8]) -> Result<()> {
    let writer = Writer::create(&saving.partial, header, nvram)?;
    fault::point("save.begun")?;
    monitor.pause().await?;
    fault::point("save.paused")?;
    let (source, target) = std::io::pipe().context(|| "cannot make a pipe for the state".to_owned())?;
    // A smaller one is slower and nothing else.
    let _ = rustix::pipe::fcntl_setpipe_size(&target, PIPE);
    let written = in_thread(move || take(writer, source));
    let moved = monitor.write_state(OwnedFd::from(target)).await;
    let written = written.await;
    // Where the file could not be written, QEMU says that its pipe broke: the cause is the file's.
    written?;
    moved?;
    fault::point("save.written")?;
    let saving = saving.clone();
    in_thread(move || name(&saving.partial, &saving.file)).await
}

fn take(writer: Writer, mut source: PipeReader) -> Result<u64> {
    writer.finish(&mut source)
}

/// Gives the file its name, unless another has it, and makes that last.
fn name(partial: &Path, file: &Path) -> Result<()> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    rustix::fs::renameat_with(rustix::fs::CWD, partial, rustix::fs::CWD, file, flags).map_err(|error| match error {
        rustix::io::Errno::EXIST => Failure::conflict(format!("{} exists", file.display()))
            .hint("name a file that does not; nothing was changed"),
        error => Failure::other(format!("cannot write {}", file.display())).because(error),
    })?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("/"));
    let synced = durable::sync_folder(folder);
    if let Err(error) = synced {
        // Not known to last: then it must not be the guest's only state.
        let _ = std::fs::rename(file, partial);
        return Err(error).context(|| format!("cannot write {}", file.display()));
    }
    Ok(())
}

/// Work that blocks, off the loop; it begins at once.
pub(super) fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> {
    let (done, outcome) = oneshot::channel();
    std::thread::spawn(move || done.send(work()));
    async move { outcome.await.unwrap_or_else(|_| Err(Failure::other("a step beside the loop panicked"))) }
}
