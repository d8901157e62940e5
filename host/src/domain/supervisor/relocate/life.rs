//! A supervisor's life with a domain that goes to another host, or comes from one.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::super::connect::{self, Connected};
use super::super::control::{self, Answer, Asked, Asker, CLIENTS_MAX, Request, Response};
use super::super::ending::{Askers, Ending, Handed};
use super::super::job::JobEnd;
use super::super::purpose::Report;
use super::super::run::Life;
use super::super::served::Served;
use super::super::watch::{Entry, Watcher};
use super::Shared;
use super::ceding::{Carried, Handing, Over, cede};
use super::source::Source;
use super::taking::{self, Taken};
use crate::domain::State;
use crate::domain::keeper::{self, Whose};
use crate::domain::record::EndReason;
use crate::domain::relocation::talk::Talk;
use crate::domain::relocation::{Fences, Owner, forget};
use crate::domain::state::Happening;
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::migration::handover::Standing;
use crate::migration::message::Offer;
use crate::peer;
use crate::sys::process;

/// How long whoever started this supervisor may take to say where its domain goes.
const ASKED_WITHIN: Duration = Duration::from_secs(30);

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the supervisor's loop".to_owned())
}

impl Life<'_> {
    /// The guest stands still, and all of it is at the other host. None: this supervisor is done.
    pub(in super::super) fn hand_over(&mut self, mut ending: Ending) -> Result<Option<Ending>> {
        let (Some(handed), Some((runtime, clients))) = (ending.handing.take(), ending.askers.connections.take()) else {
            return Err(Failure::other("there is nothing to hand over"));
        };
        let Handed { handing, connected, served } = *handed;
        let folder = self.gate.layout().domain(&self.name());
        let keepers = served.as_ref().map_or(&[][..], |served| &served.keepers);
        let over = runtime.block_on(cede(handing, connected.as_ref(), &folder, keepers))?;
        let answer = |answers: Vec<(Asker, Response)>| {
            for (asker, response) in answers {
                asker.respond(response);
            }
            runtime.block_on(control::all_answered(&clients));
        };
        match over {
            Over::Left => Ok(None),
            Over::Gone(answers) => {
                drop((connected, served));
                let forgotten = fault::point("hand.forgetting").and_then(|()| self.forget());
                let stays = forgotten.as_ref().map_or(&[][..], Vec::as_slice);
                answer(answers.into_iter().map(|(asker, response)| (asker, with_stays(response, stays))).collect());
                forgotten.map(|_| None)
            }
            Over::Back { dead, answers } => {
                answer(answers);
                let (Some(connected), Some(served), false) = (connected, served, dead) else {
                    // What is left of it is undone, and it starts from its disks.
                    return Ok(Some(Ending::new(EndReason::HypervisorGone, Happening::PoweredOffToStart)));
                };
                self.watch_on(runtime, connected, served, Entry::Moved).map(Some)
            }
        }
    }

    /// Watches over a guest that does what its record says.
    fn watch_on(&mut self, runtime: Runtime, connected: Connected, served: Served, entry: Entry) -> Result<Ending> {
        let hypervisor = self.record.run.as_ref().and_then(|run| run.hypervisor);
        let watcher = Watcher::new(self.gate, &self.definition, hypervisor).over(runtime, connected);
        let rules = self.rules();
        watcher.run(self.held(), served, rules, entry, || {})
    }

    /// Gives what of its volumes stays, though it went along.
    fn forget(&mut self) -> Result<Vec<Failure>> {
        forget::held(self.gate, &mut self.ledger, &self.record)
    }

    /// Another host is about to hand the domain over.
    pub(in super::super) fn take_in(&mut self, report: &mut dyn FnMut(Report)) -> Result<()> {
        let runtime = runtime()?;
        let taken = runtime.block_on(taking::take(self, || report(Report::Expecting)));
        let layout = self.gate.layout();
        match taken {
            Ok(Taken::Nothing) => self.forget().map(drop),
            Err(failure) => {
                if let Err(left) = self.forget() {
                    tracing::error!(failure = %left, "something of it is left");
                }
                Err(failure)
            }
            Ok(Taken::Ours(None)) => {
                (self.record.state, self.record.written) = (State::Off, None);
                self.record.save(layout)
            }
            Ok(Taken::Ours(Some(both))) => {
                let (connected, served, entry) = *both;
                self.record.state = self.record.written.take().unwrap_or(State::Running);
                if let Some(run) = self.record.run.as_mut().filter(|_| entry == Entry::Moved) {
                    run.held = false;
                }
                if let Err(failure) = self.record.save(layout) {
                    // What is there is taken up as well by whoever comes next.
                    tracing::error!(%failure, "the record is behind");
                }
                let ending = self.watch_on(runtime, connected, served, entry)?;
                self.live_on(ending)
            }
        }
    }

    /// It was ceded, and the supervisor that did so is gone.
    pub(in super::super) fn cede_again(&mut self, report: &mut dyn FnMut(Report)) -> Result<()> {
        let layout = self.gate.layout();
        let folder = layout.domain(&self.name());
        let owner = Owner::open(layout, self.record.uuid, Standing::FIRST)?;
        let last = owner.handover.standing.last.ok_or_else(|| Failure::other("nobody knows whom it was ceded to"))?;
        let to = peer::of_host(layout, last.peer.0)?;
        let fences = Fences::of(self.gate, &self.definition)?;
        let hypervisor = self.record.run.as_ref().and_then(|run| run.hypervisor).filter(|id| process::alive(*id));
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let keepers = keeper::take_over(self.gate, &self.name(), Whose::LetGo, &tell)?;
        let served = Served { keepers, tell, told };
        let runtime = runtime()?;
        let (definition, gate, domain) = (self.definition.clone(), self.gate.clone(), self.record.uuid);
        let written = self.record.written.unwrap_or(State::Off);
        let begun = async {
            // One that does not answer has no guest that could go on.
            let connected = connect::open(&folder, &definition, hypervisor).await.ok();
            let talk = to.map_or_else(Talk::with_nobody, |to| Talk::with(&gate, &to, domain));
            let offer = Offer::none(definition.name.to_string());
            let monitor = connected.as_ref().map(|connected| connected.monitor.clone());
            let carried = Carried {
                source: Source::of_ceded(talk, last.peer, domain, offer, monitor, folder.clone()),
                fences,
                attempt: None,
                progress: Shared::default(),
                answer: None,
                ran: written == State::Running,
                begun: Instant::now(),
                stopped: Instant::now(),
                transferred: 0,
                fetches: false,
                asker: None,
            };
            (connected, Handing { owner, carried })
        };
        let (connected, handing) = runtime.block_on(begun);
        report(Report::Handing);
        let askers =
            Askers { waiting: Vec::new(), connections: Some((runtime, Arc::new(Semaphore::new(CLIENTS_MAX)))) };
        self.record.state = written;
        let off = connected.is_none() && self.ledger.is_empty();
        let handed = Handed { handing, connected, served: Some(served) };
        match self.hand_over(Ending { askers, ..Ending::handing(handed) })? {
            // It was off, and is.
            Some(ending) if off && ending.handing.is_none() => self.undo(EndReason::Stopped, None),
            Some(ending) => self.live_on(ending),
            None => Ok(()),
        }
    }

    /// It is another host's: what is here of it goes.
    pub(in super::super) fn forget_elsewhere(&mut self, report: &mut dyn FnMut(Report)) -> Result<()> {
        self.forget()?;
        report(Report::Off);
        Ok(())
    }

    /// It is off, and is to be handed over.
    pub(in super::super) fn hand_at_rest(&mut self, report: &mut dyn FnMut(Report)) -> Result<()> {
        let runtime = runtime()?;
        let folder = self.gate.layout().domain(&self.name());
        let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
        let sent = runtime.block_on(at_rest(self, &folder, &clients, || report(Report::Handing)));
        let askers = Askers { waiting: Vec::new(), connections: Some((runtime, clients)) };
        match sent {
            Ok(Some(handing)) => {
                let handed = Handed { handing, connected: None, served: None };
                // Where it is still this host's, it is off as before.
                self.hand_over(Ending { askers, ..Ending::handing(handed) }).map(drop)
            }
            Ok(None) => Ok(()),
            Err((failure, asker)) => {
                asker.respond(Response::Failed(failure));
                askers.answered();
                Ok(())
            }
        }
    }
}

fn with_stays(response: Response, stays: &[Failure]) -> Response {
    match response {
        Response::Ok { state, answer: Answer::Migrated { mut progress } } => {
            progress.stays = stays.iter().map(Failure::to_string).collect();
            Response::Ok { state, answer: Answer::Migrated { progress } }
        }
        other => other,
    }
}

/// A move beside the loop that tells of it.
type Going = Pin<Box<dyn Future<Output = Result<JobEnd>>>>;

/// The end of the move; none where whoever asked for it went away before, if that is `watched`. Never where there is none.
async fn came(going: &mut Option<(super::Relocation, Asker, Going)>, watched: bool) -> Option<Result<JobEnd>> {
    match going {
        Some((_, asker, sending)) if watched => tokio::select! {
            biased;
            end = sending.as_mut() => Some(end),
            () = asker.gone() => None,
        },
        Some((_, _, sending)) => Some(sending.as_mut().await),
        None => std::future::pending().await,
    }
}

/// Waits to be told where the domain goes, and sends it. None: nobody said.
async fn at_rest(
    life: &mut Life<'_>,
    folder: &Path,
    clients: &Arc<Semaphore>,
    listening: impl FnOnce(),
) -> Result<Option<Handing>, (Failure, Asker)> {
    let failed = |failure| (failure, Asker::nobody());
    let listener = control::listen(folder, "control.sock").map_err(failed)?;
    listening();
    let (ask, mut asked) = mpsc::channel::<Asked>(CLIENTS_MAX);
    let until = Instant::now() + ASKED_WITHIN;
    let mut going: Option<(super::Relocation, Asker, Going)> = None;
    // Of whoever asked for the move, and may go away.
    let mut wanted: Option<oneshot::Sender<()>> = None;
    let done = |answer| Response::Ok { state: State::Off, answer };
    loop {
        tokio::select! {
            biased;
            end = came(&mut going, wanted.is_some()) => {
                let Some(end) = end else {
                    // A move that has just ended needs no telling.
                    let _ = wanted.take().map(|give_up| give_up.send(()));
                    continue;
                };
                let Some((_, asker, _)) = going.take() else { return Ok(None) };
                return match end {
                    Ok(JobEnd::Handing(mut handing)) => {
                        handing.carried.asker = Some(asker);
                        Ok(Some(*handing))
                    }
                    Ok(_) => Err((Failure::other("the move ended without handing the domain over"), asker)),
                    Err(failure) => Err((failure, asker)),
                };
            }
            Some(Asked { request, asker }) = asked.recv() => match (request, &going) {
                (Request::Status, _) => asker.respond(done(Answer::Done)),
                (Request::Migrate { wish }, None) => {
                    match super::begin(life.gate, &life.record, &life.definition, wish, None).await {
                        Ok((relocation, sending)) => {
                            let (give_up, given_up) = oneshot::channel();
                            wanted = Some(give_up);
                            going = Some((relocation, asker, Box::pin(sending.run(given_up))));
                        }
                        Err(failure) => return Err((failure, asker)),
                    }
                }
                (Request::Migrated, Some((relocation, ..))) => {
                    asker.respond(done(Answer::Migrated { progress: Box::new(relocation.progress.get()) }));
                }
                (Request::MigrateCancel, Some((relocation, ..))) => {
                    relocation.cancel.notify_one();
                    asker.respond(done(Answer::Done));
                }
                (Request::Handover { heard }, Some((relocation, ..))) => drop(relocation.heard.send((heard, asker))),
                (_, _) => asker.respond(Response::Failed(
                    Failure::conflict(format!("domain {} is about to move to another host", life.name()))
                        .hint("wait for that to end, or break it off"),
                )),
            },
            client = listener.accept() => {
                if let Ok((stream, _)) = client {
                    control::admit(stream, clients, &ask, None);
                }
            }
            () = tokio::time::sleep_until(until), if going.is_none() => return Ok(None),
        }
    }
}
