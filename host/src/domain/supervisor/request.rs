//! What the supervisor's loop does with a request: admitted by the state machine, then done, then answered.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::change;
use super::connect::Connected;
use super::control::{Answer, Asked, Asker, Request, Response};
use super::ending::{Ending, Handed};
use super::relocate::About;
use super::watch::Loop;
use crate::domain::state::{Admission, Happening, admit};
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::hypervisor::qemu::qmp;
use crate::sys::process;

/// How long a guest has that was asked to power off.
pub(super) struct Patience {
    pub(super) at: Instant,
    then: Then,
}

/// What is done with a guest that takes longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GiveUp,
    Stop,
    Reset,
}

impl Loop<'_> {
    /// An ending where the request was for the end, and the end is there.
    pub(super) async fn asked(
        &mut self,
        Asked { request, asker }: Asked,
        connected: &mut Connected,
    ) -> Result<Option<Ending>> {
        // A guest that waits for its storage is paused already, and would go on by itself.
        if request == Request::Pause {
            self.storage_is_left_to(true);
        }
        match self.admitted(&request) {
            Ok(()) => {}
            // What a pause or a resumption that took too long will yet come to is not known: the guest is told again, after it.
            Err(Response::Ok { answer: Answer::Already, .. })
                if matches!(request, Request::Pause | Request::Resume) && connected.monitor.owes() => {}
            Err(answer) => {
                asker.respond(answer);
                return Ok(None);
            }
        }
        match request {
            Request::Status | Request::Console => {
                self.answer(asker, Ok(Answer::Done));
                Ok(None)
            }
            Request::Stop => match fault::point("stop.asked") {
                Ok(()) => {
                    self.askers.push(asker);
                    self.happened(Happening::StopAsked, connected).await
                }
                Err(failure) => {
                    self.answer(asker, Err(failure));
                    Ok(None)
                }
            },
            Request::Shutdown { timeout_ms, then_stop } => {
                let then = if then_stop { Then::Stop } else { Then::GiveUp };
                self.press_power_button(timeout_ms, then, false, asker, connected).await;
                Ok(None)
            }
            Request::Reboot { timeout_ms, then_reset } => {
                let then = if then_reset { Then::Reset } else { Then::GiveUp };
                self.press_power_button(timeout_ms, then, true, asker, connected).await;
                Ok(None)
            }
            Request::Save { file } => {
                self.save(file, asker, connected).await;
                Ok(None)
            }
            Request::Change { change, timeout_ms } => {
                self.change(change, Duration::from_millis(timeout_ms), asker, connected).await;
                Ok(None)
            }
            Request::Memory => {
                let actual = connected.monitor.balloon().await;
                self.answer(asker, actual.map(|actual| Answer::Memory { actual }));
                Ok(None)
            }
            Request::Copy { disks } => {
                self.copy(disks, asker, &connected.monitor);
                Ok(None)
            }
            Request::Move { disk, speed } => {
                self.begin_move(disk, speed, asker, &connected.monitor);
                Ok(None)
            }
            Request::Copied => {
                let copied = connected.monitor.copied().await;
                self.answer(asker, copied.map(|(done, total)| Answer::Copied { done, total }));
                Ok(None)
            }
            Request::Migrate { wish } => {
                self.relocate(wish, asker, connected).await;
                Ok(None)
            }
            Request::Migrated => {
                self.of_relocation(About::Progress, asker);
                Ok(None)
            }
            Request::MigrateCancel => {
                self.of_relocation(About::Cancel, asker);
                Ok(None)
            }
            Request::Handover { heard } => {
                self.of_relocation(About::Heard(heard), asker);
                Ok(None)
            }
            // It is this host's, and runs.
            Request::Recover { .. } => {
                self.answer(asker, Ok(Answer::Already));
                Ok(None)
            }
            Request::Machine => {
                let machine = match (connected.monitor.machine().await, connected.monitor.version().await) {
                    (Ok(kind), Ok(version)) => Ok(Answer::Machine { kind, version: version.to_string() }),
                    (Err(failure), _) | (_, Err(failure)) => Err(failure),
                };
                self.answer(asker, machine);
                Ok(None)
            }
            Request::SnapshotCreate { snapshot, volumes } => {
                self.snapshot(snapshot, &volumes, asker, &connected.monitor);
                Ok(None)
            }
            Request::SnapshotDelete { snapshot, volumes } => {
                self.delete_snapshot(snapshot, &volumes, asker, &connected.monitor);
                Ok(None)
            }
            Request::Resize { volume, size } => {
                self.resize(volume, size, asker, &connected.monitor);
                Ok(None)
            }
            Request::Screenshot => {
                let picture = picture(&connected.monitor, &self.folder()).await;
                self.answer(asker, picture.map(|name| Answer::File { name }));
                Ok(None)
            }
            Request::Pause => {
                let done = connected.monitor.pause().await;
                self.follow(Happening::Paused, done, asker, connected).await
            }
            Request::Resume => {
                self.storage_is_left_to(false);
                let done = connected.monitor.resume().await;
                self.follow(Happening::Resumed, done, asker, connected).await
            }
            Request::Reset => {
                let done = connected.monitor.reset().await;
                self.answer(asker, done.map(|()| Answer::Done));
                Ok(None)
            }
        }
    }

    /// The answer where there is nothing to do, or it may not be done.
    fn admitted(&self, request: &Request) -> Result<(), Response> {
        let state = self.record.state;
        let Some(wanted) = request.admission() else { return Ok(()) };
        let name = &self.definition.name;
        match admit(state, wanted) {
            Admission::Accept => {}
            Admission::Already => return Err(Response::Ok { state, answer: Answer::Already }),
            Admission::Deny { kind, because, hint } => {
                return Err(Response::Failed(Failure::new(kind, format!("domain {name}: {because}")).hint(hint)));
            }
        }
        match (&self.job, request) {
            (None, _)
            | (
                Some(_),
                Request::Status
                | Request::Memory
                | Request::Copied
                | Request::Migrated
                | Request::MigrateCancel
                | Request::Handover { .. }
                | Request::Recover { .. }
                | Request::Machine
                | Request::Stop
                | Request::Console,
            ) => Ok(()),
            (
                Some(job),
                Request::Shutdown { .. }
                | Request::Reboot { .. }
                | Request::Pause
                | Request::Resume
                | Request::Reset
                | Request::Save { .. }
                | Request::Change { .. }
                | Request::Copy { .. }
                | Request::Move { .. }
                | Request::Migrate { .. }
                | Request::SnapshotCreate { .. }
                | Request::SnapshotDelete { .. }
                | Request::Resize { .. }
                | Request::Screenshot,
            ) => Err(Response::Failed(
                Failure::conflict(format!("domain {name} is being {}", job.doing))
                    .hint("wait for that to end; `fief stop` breaks it off"),
            )),
        }
    }

    pub(super) fn answer(&self, asker: Asker, done: Result<Answer>) {
        asker.respond(match done {
            Ok(answer) => Response::Ok { state: self.record.state, answer },
            Err(failure) => Response::Failed(failure),
        });
    }

    /// What the hypervisor did, followed through the state machine and recorded before it is answered.
    async fn follow(
        &mut self,
        happening: Happening,
        done: Result<()>,
        asker: Asker,
        connected: &mut Connected,
    ) -> Result<Option<Ending>> {
        let ending = match &done {
            Ok(()) => self.happened(happening, connected).await?,
            Err(_) => None,
        };
        self.answer(asker, done.map(|()| Answer::Done));
        Ok(ending)
    }

    async fn press_power_button(
        &mut self,
        timeout_ms: Option<u64>,
        then: Then,
        start_again: bool,
        asker: Asker,
        connected: &mut Connected,
    ) {
        match connected.monitor.power_button().await {
            Ok(()) => {
                self.askers.push(asker);
                // The last one who asked says what follows.
                self.start_again = start_again;
                self.patience = timeout_ms
                    .and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
                    .map(|at| Patience { at, then });
            }
            Err(failure) => {
                asker.respond(Response::Failed(failure.while_doing("the guest could not be asked to power off")));
            }
        }
    }

    /// The guest has not powered off in time.
    pub(super) async fn out_of_patience(&mut self, connected: &mut Connected) -> Result<Option<Ending>> {
        let Some(Patience { then, .. }) = self.patience.take() else { return Ok(None) };
        let name = &self.definition.name;
        match then {
            Then::Stop => self.happened(Happening::StopAsked, connected).await,
            Then::Reset => {
                self.start_again = false;
                let done = connected.monitor.reset().await;
                for asker in std::mem::take(&mut self.askers) {
                    self.answer(asker, done.clone().map(|()| Answer::Done));
                }
                Ok(None)
            }
            Then::GiveUp => {
                self.start_again = false;
                for asker in self.askers.drain(..) {
                    asker.respond(Response::Failed(
                        Failure::new(Kind::TimedOut, format!("domain {name} has not powered off in time")).hint(
                            format!("`fief console {name}` shows what it does; `fief stop {name}` pulls the plug"),
                        ),
                    ));
                }
                Ok(None)
            }
        }
    }

    /// The job is over: its asker hears of it, after what follows from it is recorded.
    pub(super) async fn job_ended(
        &mut self,
        end: Result<super::job::JobEnd>,
        connected: &mut Connected,
    ) -> Result<Option<Ending>> {
        let Some(job) = self.job.take() else { return Ok(None) };
        match end {
            Ok(super::job::JobEnd::GoOn(answer)) => {
                self.copied();
                self.answer(job.asker, Ok(answer));
                Ok(None)
            }
            Ok(super::job::JobEnd::Changed(stage)) => {
                self.go_on(stage, job.asker, connected).await;
                Ok(None)
            }
            Ok(super::job::JobEnd::Mirrored(keeper)) => {
                self.served.keepers.extend(keeper);
                self.mirrored(job.asker, connected).await.map(|()| None)
            }
            Ok(super::job::JobEnd::Handing(mut handing)) => {
                self.relocation = None;
                handing.carried.asker = Some(job.asker);
                Ok(Some(Ending::handing(Handed { handing: *handing, connected: None, served: None })))
            }
            Ok(super::job::JobEnd::Fetched(lost)) => {
                if let Some(run) = &mut self.record.run {
                    run.held = false;
                }
                if let Err(failure) = self.record.save(self.layout) {
                    tracing::warn!(%failure, "that the guest was let go is not written down");
                }
                match lost {
                    None => Ok(None),
                    Some(failure) => {
                        tracing::error!(%failure, "the guest's memory is lost");
                        // It waits for pages that never come, and hears nobody.
                        if let Some(Err(error)) = self.hypervisor.map(|lost| process::kill(lost, Signal::KILL)) {
                            tracing::warn!(%error, "a hypervisor that lost its guest cannot be ended");
                        }
                        self.happened(Happening::Crashed, connected).await
                    }
                }
            }
            Ok(super::job::JobEnd::Saved) => {
                self.askers.push(job.asker);
                fault::point("save.named")?;
                self.happened(Happening::Saved, connected).await
            }
            Err(failure) if job.doing == change::DOING => {
                self.change_failed(failure, job.asker, connected).await;
                Ok(None)
            }
            Err(failure) => {
                self.record.saving = None;
                self.record.copying = None;
                self.move_given_up();
                // One that still says so makes the next supervisor clear up what is not there: no reason to end a guest.
                if let Err(failure) = self.record.save(self.layout) {
                    tracing::warn!(%failure, doing = job.doing, "the record does not say that this was given up");
                }
                self.answer(job.asker, Err(failure));
                Ok(None)
            }
        }
    }
}

/// Has QEMU write what the guest shows into a new file in `folder`; gives its name.
async fn picture(monitor: &qmp::Monitor, folder: &Path) -> Result<String> {
    let name = format!(".screenshot-{}.png", uuid::Uuid::new_v4().simple());
    let path = folder.join(&name);
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    let file = file.context(|| format!("cannot make {}", path.display()))?;
    match monitor.screendump(file.into()).await {
        Ok(()) => Ok(name),
        Err(failure) => {
            let _ = std::fs::remove_file(&path);
            Err(failure)
        }
    }
}
