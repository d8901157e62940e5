//! The source, from the moment from which the guest stands still for good: its volumes are closed, it is ceded, and the
//! other host takes it or refuses. Also where an earlier supervisor came so far and was killed.
//!
//! The hypervisor is only ended once the other host owns the domain. Until then its memory is the one thing that lets the
//! guest go on here where the other host refuses.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::connect::Connected;
use super::super::control::{self, Answer, Asked, Asker, CLIENTS_MAX, Request, Response};
use super::Shared;
use super::fetching::{Followed, Following, follow, followed};
use super::source::Source;
use super::still;
use crate::domain::State;
use crate::domain::keeper::{self, Keeper};
use crate::domain::relocation::driver::{self, Machine};
use crate::domain::relocation::talk::Said;
use crate::domain::relocation::{Fences, Owner, SILENCE, TICK};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::hypervisor::qemu::qmp::{Live, Monitor};
use crate::migration::handover::{Action, Attempt, Event, Holding, Peer, Word};
use crate::migration::message::Message;
use crate::migration::steps;

/// What goes over from the job beside the loop.
pub(in super::super) struct Handing {
    pub owner: Owner,
    pub carried: Carried,
}

pub(in super::super) struct Carried {
    pub(super) source: Source,
    pub fences: Fences,
    /// That was transferred just now; none of a domain that was ceded before.
    pub attempt: Option<Attempt>,
    pub progress: Shared,
    /// The strategy waits for it.
    pub answer: Option<oneshot::Sender<Result<steps::Answer>>>,
    /// Its guest ran.
    pub ran: bool,
    pub begun: Instant,
    pub stopped: Instant,
    pub transferred: u64,
    /// It goes on there, and the rest of its memory follows.
    pub fetches: bool,
    /// Whoever asked for the move.
    pub asker: Option<Asker>,
}

impl std::fmt::Debug for Handing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handing").field("attempt", &self.carried.attempt).finish_non_exhaustive()
    }
}

/// How it ended.
#[derive(Debug)]
pub(in super::super) enum Over {
    /// The other host owns it. With the answers for those who asked.
    Gone(Vec<(Asker, Response)>),
    /// It is this host's, and its guest goes on as it was. `dead`: its hypervisor is to be ended, and the guest starts from
    /// its disks.
    Back { dead: bool, answers: Vec<(Asker, Response)> },
    /// The supervisor was asked to go; the next one goes on.
    Left,
}

pub(super) struct Ceding<'a> {
    pub(super) carried: Carried,
    monitor: Option<Monitor>,
    keepers: &'a [Keeper],
    pub(super) result: Option<End>,
    /// Its volumes are closed.
    closed: bool,
    /// What was there is dropped: it starts from its disks.
    pub(super) dropped: bool,
    pub(super) why: Option<Failure>,
    pub(super) away: Option<Failure>,
    pub(super) reasons: Vec<String>,
    heard: Instant,
    /// Who claims it waits for that.
    pub(super) asked: Vec<Asker>,
    /// What of its memory follows it.
    follows: Option<Following>,
    /// Since when it may go on there with that still to come.
    pub(super) went_on: Option<Instant>,
    /// Why that did not come.
    pub(super) lost: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Gone,
    Back,
}

impl Machine for Ceding<'_> {
    async fn act(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Close(attempt) => vec![match self.close() {
                Ok(()) => Event::Closed(attempt),
                Err(failure) => {
                    tracing::warn!(%failure, "its volumes are not let go of");
                    self.why = Some(failure);
                    Event::CloseFailed(attempt)
                }
            }],
            Action::TakeFence { generation, force } => {
                let (event, failure) = self.carried.fences.take(generation, force);
                if let Some(failure) = failure {
                    tracing::warn!(%failure, "its volumes are not this host's to write to");
                    self.why = Some(failure);
                }
                vec![event]
            }
            Action::LetFenceGo => {
                if let Err(failure) = self.carried.fences.release() {
                    tracing::warn!(%failure, "a volume is not let go of");
                }
                Vec::new()
            }
            Action::Run(_) => {
                self.run().await;
                self.result = Some(End::Back);
                Vec::new()
            }
            Action::DropKept => {
                self.dropped = true;
                Vec::new()
            }
            Action::Forget => {
                self.result = Some(End::Gone);
                let monitor = self.monitor.clone().filter(|_| self.carried.fetches);
                self.follows = monitor.map(|monitor| follow(monitor, self.carried.progress.clone()));
                Vec::new()
            }
            // Its disks are opened by that: only where they are this host's again ([`Ceding::run`]).
            Action::StopTransfer(_) if self.carried.fetches => Vec::new(),
            Action::StopTransfer(_) => {
                self.carried.source.stop_sending().await;
                Vec::new()
            }
            Action::Stage(_)
            | Action::DropStage(_)
            | Action::DropMemory(_)
            | Action::DropEveryStage
            | Action::Transfer(_) => Vec::new(),
        }
    }

    fn send(&mut self, to: Peer, word: Word) {
        self.carried.source.say(to, word);
    }
}

impl Ceding<'_> {
    fn close(&mut self) -> Result<()> {
        fault::point("hand.closing")?;
        keeper::suspend(self.keepers)?;
        self.closed = true;
        self.carried.fences.release()?;
        fault::point("hand.closed")
    }

    /// The guest goes on, where it is there.
    async fn run(&mut self) {
        still::clear(&self.carried.source.folder);
        if self.dropped {
            return;
        }
        if self.closed {
            self.keepers.iter().for_each(Keeper::activate);
        }
        let Some(monitor) = &self.monitor else { return };
        let ran = self.carried.ran;
        let goes_on = async {
            // Also where an earlier supervisor brought it so far.
            if let Live::Ready(_) = monitor.live().await? {
                monitor.give_up().await?;
            }
            if ran {
                monitor.resume().await?;
                monitor.announce().await?;
            }
            Ok(())
        };
        let went_on: Result<()> = goes_on.await;
        if let Err(failure) = went_on {
            tracing::error!(%failure, "the guest could not be let go on");
            self.why = Some(failure);
        }
    }

    /// Whoever goes takes with it what carries the guest's memory, so it waits where that follows, or is about to.
    fn may_leave(&self) -> bool {
        self.follows.is_none() && (!self.carried.fetches || self.heard.elapsed() > SILENCE)
    }

    fn followed(&mut self, Followed { went_on, all }: Followed) {
        (self.follows, self.went_on) = (None, went_on);
        match all {
            Ok(sample) => self.carried.transferred = self.carried.transferred.max(sample.transferred),
            Err(failure) => {
                tracing::error!(%failure, "not all of the guest's memory went over");
                self.lost = Some(failure);
            }
        }
    }
}

/// Goes on until the domain is another host's, or this one's for good.
pub(in super::super) async fn cede(
    Handing { mut owner, carried }: Handing,
    connected: Option<&Connected>,
    folder: &Path,
    keepers: &[Keeper],
) -> Result<Over> {
    let attempt = carried.attempt;
    let monitor = connected.map(|connected| connected.monitor.clone());
    let own;
    let listener = match connected {
        Some(connected) => &connected.control,
        None => {
            own = control::listen(folder, "control.sock")?;
            &own
        }
    };
    let mut ceding = Ceding {
        carried,
        monitor,
        keepers,
        result: None,
        closed: attempt.is_none(),
        dropped: false,
        why: None,
        away: None,
        reasons: Vec::new(),
        heard: Instant::now(),
        asked: Vec::new(),
        follows: None,
        went_on: None,
        lost: None,
    };
    let (ask, mut asked) = mpsc::channel::<Asked>(CLIENTS_MAX);
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context(|| "cannot wait for signals".to_owned())?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What the job beside the loop did not come to hear.
    while let Ok(said) = ceding.carried.source.talk.heard.try_recv() {
        hear(&mut owner, &mut ceding, said).await;
    }
    let begins = attempt.map_or(Event::Tick, Event::Transferred);
    owner.happen(&mut ceding, begins).await;
    while ceding.result.is_none() || ceding.follows.is_some() {
        tokio::select! {
            biased;
            Some(said) = ceding.carried.source.talk.heard.recv() => hear(&mut owner, &mut ceding, said).await,
            Some(Asked { request, asker }) = asked.recv() => requested(&mut owner, &mut ceding, request, asker).await,
            client = listener.accept() => {
                if let Ok((stream, _)) = client {
                    control::admit(stream, &clients, &ask, None);
                }
            }
            _ = tick.tick() => {
                ceding.carried.source.post.tend();
                owner.happen(&mut ceding, Event::Tick).await;
                if ceding.heard.elapsed() > SILENCE {
                    owner.happen(&mut ceding, Event::Silence).await;
                    ceding.tell_unsaid(owner.handover.standing.holding);
                }
            }
            done = followed(&mut ceding.follows) => ceding.followed(done),
            _ = terminate.recv(), if ceding.may_leave() => return Ok(Over::Left),
        }
    }
    Ok(ceding.over())
}

async fn hear(owner: &mut Owner, ceding: &mut Ceding<'_>, said: Said) {
    match said {
        Said::Away(failure) => ceding.away = Some(failure),
        Said::Word(None) => ceding.heard = Instant::now(),
        Said::Word(Some(message)) => {
            ceding.heard = Instant::now();
            let (domain, word) = message.word();
            if let Message::Declined { reasons, .. } = &message {
                ceding.reasons = reasons.iter().map(|reason| format!("{}: {}", reason.code, reason.message)).collect();
            }
            if domain == owner.domain() {
                let from = ceding.carried.source.target;
                owner.happen(ceding, Event::Heard { from, word }).await;
            }
        }
    }
}

async fn requested(owner: &mut Owner, ceding: &mut Ceding<'_>, request: Request, asker: Asker) {
    let state = match owner.handover.standing.holding {
        Holding::Ceded => State::Ceded,
        Holding::Gone | Holding::Foreign => State::Elsewhere,
        Holding::Owned => State::Paused,
    };
    let done = |answer| Response::Ok { state, answer };
    match request {
        Request::Status => asker.respond(done(Answer::Done)),
        Request::Migrated => {
            asker.respond(done(Answer::Migrated { progress: Box::new(ceding.carried.progress.get()) }))
        }
        Request::Handover { heard } => {
            owner.hear(ceding, heard.from, heard.message.as_ref()).await;
            ceding.carried.source.post.ask(heard.from, Duration::from_millis(heard.wait_ms.into()), asker);
        }
        Request::MigrateCancel => match owner.happen(ceding, Event::Cancel).await {
            None => asker.respond(done(Answer::Done)),
            Some(why) => asker.respond(refused(why)),
        },
        Request::Recover { claim: false } => {
            owner.happen(ceding, Event::Tick).await;
            asker.respond(done(Answer::Done));
        }
        Request::Recover { claim: true } if ceding.follows.is_some() => asker.respond(Response::Failed(
            Failure::conflict(
                "its guest goes on at the other host, whose it is, and fetches what it lacks of its memory",
            )
            .hint("wait for that to end"),
        )),
        Request::Recover { claim: true } => {
            let seen = ceding.carried.fences.seen();
            match seen {
                Ok(seen) => match owner.happen(ceding, Event::Claim { seen }).await {
                    // Answered once it is so.
                    None => ceding.asked.push(asker),
                    Some(why) => asker.respond(refused(why)),
                },
                Err(failure) => asker.respond(Response::Failed(
                    failure.while_doing("its volumes cannot be taken back from the other host".to_owned()),
                )),
            }
        }
        Request::Stop
        | Request::Shutdown { .. }
        | Request::Console
        | Request::Pause
        | Request::Resume
        | Request::Reset
        | Request::Reboot { .. }
        | Request::Screenshot
        | Request::Save { .. }
        | Request::Change { .. }
        | Request::Memory
        | Request::Machine
        | Request::Copy { .. }
        | Request::Move { .. }
        | Request::Copied
        | Request::Migrate { .. }
        | Request::SnapshotCreate { .. }
        | Request::SnapshotDelete { .. }
        | Request::Resize { .. } => {
            let failure = match owner.handover.standing.holding {
                Holding::Ceded => refusal(crate::migration::handover::Denial::Ceded),
                Holding::Owned | Holding::Gone | Holding::Foreign => {
                    Failure::conflict("it is being handed over to another host").hint("wait for that to end")
                }
            };
            asker.respond(Response::Failed(failure));
        }
    }
}

fn refusal(why: crate::migration::handover::Denial) -> Failure {
    let (because, hint) = driver::denied(why);
    Failure::conflict(because).hint(hint)
}

pub(super) fn refused(why: crate::migration::handover::Denial) -> Response {
    Response::Failed(refusal(why))
}
