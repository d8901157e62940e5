//! The source, up to the moment from which the guest stands still for good: a strategy asks for one step after another, and
//! the other host makes ready. Any doubt ends the attempt, and the guest has noticed nothing but a slower moment.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::control::Asker;
use super::super::job::JobEnd;
use super::Shared;
use super::ahead::Ahead;
use super::ceding::{Carried, Handing};
use super::channels::{Reaches, lost};
use super::posting::Post;
use super::source::Source;
use super::volumes::{Leaves, Volumes};
use super::waiting::{follow, moves, round, worked};
use crate::config::domain::DomainDefinition;
use crate::domain::relocation::talk::{Said, Talk};
use crate::domain::relocation::{Fences, Heard, Owner, SILENCE, TICK, Wish, bandwidth};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::migration::copying::{self, Pace};
use crate::migration::handover::{Attempt, Event, Handing as Stage, Peer, Phase};
use crate::migration::message::{Message, Offer, Reason};
use crate::migration::steps::{Answer, Ask, Sample};
use crate::peer;

/// Between two looks at memory that goes over.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long another host may take to make ready.
const PREPARED_WITHIN: Duration = Duration::from_secs(120);

/// All that the job needs; nothing of it is the loop's.
pub(in super::super) struct Sending {
    pub gate: Gate,
    pub owner: Owner,
    pub wish: Wish,
    pub offer: Offer,
    /// None: the domain is off.
    pub monitor: Option<Monitor>,
    /// Its guest runs.
    pub ran: bool,
    pub progress: Shared,
    pub cancel: Arc<Notify>,
    pub heard: mpsc::UnboundedReceiver<(Heard, Asker)>,
    pub definition: DomainDefinition,
    /// Volumes that go along.
    pub(super) leaves: Vec<Leaves>,
    pub(super) reaches: Option<Reaches>,
}

/// What the strategy waits for.
pub(super) enum Pending {
    Reserve(oneshot::Sender<Result<Answer>>),
    Sample {
        answer: oneshot::Sender<Result<Answer>>,
        begun: Instant,
    },
    /// `copies`: of volumes.
    Work {
        answer: oneshot::Sender<Result<Answer>>,
        work: Work,
        copies: bool,
    },
}

pub(super) type Work = Pin<Box<dyn Future<Output = Result<Answer>>>>;

/// The move on this side, while it may still come to nothing.
pub(super) struct Job {
    pub(super) owner: Owner,
    pub(super) source: Source,
    pub(super) progress: Shared,
    pub(super) pending: Option<Pending>,
    /// When the other host was last heard.
    pub(super) heard: Instant,
    pub(super) reasons: Vec<Reason>,
    pub(super) away: Option<Failure>,
    pub(super) cancelled: bool,
    pub(super) begun: Instant,
    pub(super) stopped: Option<Instant>,
    pub(super) last: Sample,
    /// On their way from the beginning.
    pub(super) ahead: Option<Ahead>,
    pub(super) fences: Option<Fences>,
    /// Those that go along, where some do.
    pub(super) volumes: Option<Arc<Mutex<Volumes>>>,
    pub(super) copied: Arc<copying::Progress>,
    /// Their next round, while memory goes over.
    pub(super) rounds: Option<Work>,
    pub(super) pace: Arc<Pace>,
    pub(super) stop: watch::Sender<bool>,
    /// The guest is to go on there before all of its memory is.
    pub(super) fetches: bool,
}

impl Sending {
    pub(in super::super) async fn run(self, mut given_up: oneshot::Receiver<()>) -> Result<JobEnd> {
        let Sending {
            gate,
            owner,
            wish,
            offer,
            monitor,
            ran,
            progress,
            cancel,
            mut heard,
            definition,
            leaves,
            reaches,
        } = self;
        progress.phase("preparing");
        let to = wish.to.clone();
        let pinned = peer::get(gate.layout(), &to)?;
        let domain = owner.domain();
        let talk = Talk::with(&gate, &to, domain);
        let target = Peer(pinned.host);
        let source = Source {
            talk,
            post: Post::default(),
            target,
            domain,
            offer,
            monitor: monitor.clone(),
            ran,
            sends: false,
            saved: false,
            reaches,
            carries: None,
            folder: gate.layout().domain(&definition.name),
            prepared: false,
        };
        let (stop, stopped) = watch::channel(false);
        let copied = Arc::new(copying::Progress::default());
        let pace = Arc::new(Pace::of(bandwidth(wish.bandwidth, gate.policy())));
        let volumes = Volumes {
            gate: gate.clone(),
            to: to.clone(),
            domain,
            folder: source.folder.clone(),
            monitor: monitor.clone(),
            all: leaves,
            pace: pace.clone(),
            progress: copied.clone(),
            stop: stopped,
            leaving: None,
            over: false,
        };
        let mut job = Job {
            owner,
            source,
            progress,
            pending: None,
            heard: Instant::now(),
            reasons: Vec::new(),
            away: None,
            cancelled: false,
            begun: Instant::now(),
            stopped: None,
            last: Sample::default(),
            ahead: monitor.is_some().then(|| Ahead::begin(&gate, &to, &definition)).transpose()?,
            fences: None,
            volumes: (!volumes.all.is_empty()).then(|| Arc::new(Mutex::new(volumes))),
            copied,
            rounds: None,
            pace,
            stop,
            fetches: false,
        };
        let (mut asks, mut ended) = follow(&gate, wish)?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let samples = matches!(job.pending, Some(Pending::Sample { .. }));
            tokio::select! {
                biased;
                Some(said) = job.source.talk.heard.recv() => job.said(said).await,
                _ = cancel.notified() => job.cancel().await,
                _ = &mut given_up, if !job.cancelled => job.cancel().await,
                Some((words, asker)) = heard.recv() => job.relayed(words, asker).await,
                _ = look.tick(), if samples => job.look().await,
                () = moves(monitor.as_ref()), if samples => job.look().await,
                failure = lost(&mut job.source.carries) => return Err(job.over(Some(failure)).await),
                done = worked(&mut job.pending) => {
                    if let Some(Pending::Work { answer, copies, .. }) = job.pending.take() {
                        if let (false, Ok(Answer::Copied(bytes))) = (copies, &done) {
                            job.last.transferred += bytes;
                        }
                        let _ = answer.send(done);
                    }
                }
                done = round(&mut job.rounds) => {
                    job.rounds = None;
                    match (done, job.attempt()) {
                        (Err(failure), _) => return Err(job.over(Some(failure)).await),
                        (Ok(_), Some((attempt, _))) => job.copy_on(attempt),
                        (Ok(_), None) => {}
                    }
                }
                Some((ask, answer)) = asks.recv(), if job.pending.is_none() => {
                    // What is under way hears of it, and ends in good order.
                    let stop = job.stop.clone();
                    let broken_off = async {
                        tokio::select! {
                            () = cancel.notified() => {}
                            _ = &mut given_up => {}
                        }
                        let _ = stop.send(true);
                        std::future::pending::<Infallible>().await
                    };
                    let handed = match ask {
                        Ask::SwitchOver => tokio::select! {
                            biased;
                            switched = job.switch_over(&gate, &definition) => Some((switched, answer)),
                            never = broken_off => match never {},
                        },
                        Ask::Restore => Some((job.restore(&gate, &definition).await, answer)),
                        ask => {
                            job.step(&gate, (&to, &definition), ask, answer).await;
                            None
                        }
                    };
                    match handed {
                        None => {}
                        Some((Ok((attempt, fences)), answer)) => {
                            return Ok(JobEnd::Handing(Box::new(job.handing(attempt, fences, answer, ran))));
                        }
                        Some((Err(failure), answer)) => {
                            job.cancelled |= *stop.borrow();
                            let _ = answer.send(Err(failure.clone()));
                            return Err(job.over(Some(failure)).await);
                        }
                    }
                }
                end = &mut ended => {
                    let failure = match end {
                        Ok(Err(failure)) => failure,
                        Ok(Ok(())) | Err(_) => Failure::new(Kind::PluginFault, "the strategy ended without handing the domain over"),
                    };
                    return Err(job.over(Some(failure)).await);
                }
                _ = tick.tick() => {
                    job.source.post.tend();
                    job.tell_copied();
                    job.owner.happen(&mut job.source, Event::Tick).await;
                    let waits = matches!(job.pending, Some(Pending::Reserve(_))) && job.begun.elapsed() > PREPARED_WITHIN;
                    if job.heard.elapsed() > SILENCE || waits {
                        job.owner.happen(&mut job.source, Event::Silence).await;
                    }
                }
            }
            if job.is_over() {
                return Err(job.over(None).await);
            }
            if let (true, Some(Pending::Reserve(_))) = (job.source.prepared, &job.pending)
                && let Some(Pending::Reserve(answer)) = job.pending.take()
            {
                let _ = answer.send(Ok(Answer::Done));
            }
        }
    }
}

impl Job {
    async fn happen(&mut self, event: Event) {
        if let Some(why) = self.owner.happen(&mut self.source, event).await {
            tracing::info!(?why, "not now");
        }
    }

    pub(super) async fn said(&mut self, said: Said) {
        match said {
            Said::Away(failure) => self.away = Some(failure),
            Said::Word(None) => (self.heard, self.away) = (Instant::now(), None),
            Said::Word(Some(message)) => {
                (self.heard, self.away) = (Instant::now(), None);
                let (domain, word) = message.word();
                if let Message::Declined { reasons, .. } = message {
                    self.reasons = reasons;
                }
                if domain == self.owner.domain() {
                    let from = self.source.target;
                    self.happen(Event::Heard { from, word }).await;
                }
            }
        }
    }

    /// What another host says by itself.
    async fn relayed(&mut self, Heard { from, message, wait_ms, .. }: Heard, asker: Asker) {
        self.owner.hear(&mut self.source, from, message.as_ref()).await;
        self.source.post.ask(from, Duration::from_millis(wait_ms.into()), asker);
    }

    async fn cancel(&mut self) {
        self.cancelled = true;
        self.happen(Event::Cancel).await;
    }

    pub(super) fn attempt(&self) -> Option<(Attempt, Stage)> {
        match self.owner.handover.phase {
            Phase::Handing(on, at) => Some((on.attempt, at)),
            Phase::Idle | Phase::Settling { .. } | Phase::Held | Phase::Taking(..) => None,
        }
    }

    /// It was begun, and goes on no more.
    fn is_over(&self) -> bool {
        self.cancelled
            || (self.attempt().is_none() && self.pending.is_some())
            || (self.source.prepared && self.attempt().is_none())
    }

    /// What the operator is told; nothing of the attempt is left here.
    async fn over(mut self, failure: Option<Failure>) -> Failure {
        if self.attempt().is_some() {
            self.happen(Event::Cancel).await;
        }
        self.stop_copying().await;
        self.source.stop_sending().await;
        if let Err(failure) = self.source.goes_on().await {
            tracing::error!(%failure, "the guest could not be let go on");
        }
        let failure = self.why(failure);
        match self.pending.take() {
            Some(Pending::Reserve(answer) | Pending::Sample { answer, .. } | Pending::Work { answer, .. }) => {
                drop(answer.send(Err(failure.clone())));
            }
            None => {}
        }
        // The last word has a moment to be heard; a target that does not hear it waits in vain, for a while.
        tokio::time::sleep(Duration::from_millis(50)).await;
        failure
    }

    fn why(&mut self, failure: Option<Failure>) -> Failure {
        let peer = &self.source.offer.name;
        if self.cancelled {
            return Failure::conflict(format!("domain {peer} was not moved: it was broken off"))
                .hint("its guest goes on here");
        }
        if !self.reasons.is_empty() {
            let mut failure =
                Failure::new(Kind::Findings, format!("domain {peer} cannot move: the other host declines"));
            failure.causes = self
                .reasons
                .iter()
                .map(|reason| format!("{} {}: {}", reason.code, reason.object, reason.message))
                .collect();
            failure.hint = self.reasons.iter().find_map(|reason| reason.remedy.clone());
            return failure;
        }
        match (failure, self.away.take()) {
            (Some(failure), _) => failure.while_doing(format!("domain {peer} was not moved")),
            (None, Some(away)) => away.while_doing(format!("domain {peer} was not moved")),
            (None, None) => {
                Failure::new(Kind::Unreachable, format!("domain {peer} was not moved: the other host gave it up"))
                    .hint("its guest goes on here; `fief logs` of the domain there may say why")
            }
        }
    }

    fn handing(
        mut self,
        attempt: Attempt,
        fences: Fences,
        answer: oneshot::Sender<Result<Answer>>,
        ran: bool,
    ) -> Handing {
        if let Some(sends) = self.source.carries.take_if(|_| !self.fetches) {
            sends.close();
        }
        let carried = Carried {
            source: self.source,
            fences,
            attempt: Some(attempt),
            progress: self.progress,
            answer: Some(answer),
            ran,
            begun: self.begun,
            stopped: self.stopped.unwrap_or_else(Instant::now),
            transferred: self.last.transferred.saturating_add(self.copied.sent()),
            fetches: self.fetches,
            asker: None,
        };
        Handing { owner: self.owner, carried }
    }
}
