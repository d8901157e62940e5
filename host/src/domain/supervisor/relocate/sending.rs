//! The source, up to the moment from which the guest stands still for good: a strategy asks for one step after another, and
//! the other host makes ready. Any doubt ends the attempt, and the guest has noticed nothing but a slower moment.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::control::Asker;
use super::super::job::JobEnd;
use super::super::saving::in_thread;
use super::ceding::{Carried, Handing};
use super::posting::Post;
use super::{DOING, Shared};
use crate::config::domain::DomainDefinition;
use crate::domain::relocation::driver::{self, Machine};
use crate::domain::relocation::talk::{Said, Talk};
use crate::domain::relocation::words::{Cargo, Purpose};
use crate::domain::relocation::{Fences, Heard, Owner, SILENCE, TICK, Wish, pump, words};
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::gate::Gate;
use crate::hypervisor::qemu::qmp::{Live, Monitor, RunState};
use crate::migration::handover::{Action, Attempt, Event, Handing as Stage, Peer, Phase, Word};
use crate::migration::message::{Message, Offer, Reason};
use crate::migration::steps::{Answer, Ask, Limits, Sample};
use crate::peer;
use crate::types::PeerName;

/// Between two looks at memory that goes over.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Between two measurements that a strategy is given.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// How long another host may take to make ready.
const PREPARED_WITHIN: Duration = Duration::from_secs(120);
/// What a strategy may take between two steps.
const STRATEGY_WITHIN: Duration = Duration::from_secs(60);

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
}

/// A step of the strategy's, with the way to its answer.
type Asked = (Ask, oneshot::Sender<Result<Answer>>);

/// What the strategy waits for.
enum Pending {
    Reserve(oneshot::Sender<Result<Answer>>),
    Sample { answer: oneshot::Sender<Result<Answer>>, begun: Instant },
}

/// What the source of a move does until it cedes.
pub(super) struct Source {
    pub(super) talk: Talk,
    pub(super) post: Post,
    pub(super) target: Peer,
    domain: uuid::Uuid,
    pub(super) offer: Offer,
    monitor: Option<Monitor>,
    ran: bool,
    /// Memory goes over, or did.
    sends: bool,
    /// The target is ready.
    prepared: bool,
}

impl Source {
    /// Of a domain that was ceded to that host by an earlier supervisor.
    pub(super) fn of_ceded(
        talk: Talk,
        target: Peer,
        domain: uuid::Uuid,
        offer: Offer,
        monitor: Option<Monitor>,
    ) -> Source {
        let post = Post::default();
        Source { talk, post, target, domain, offer, monitor, ran: false, sends: false, prepared: true }
    }

    pub(super) fn say(&mut self, to: Peer, word: Word) {
        let offer = self.offer.clone();
        let message = Message::of(self.domain, word, || offer, Vec::new);
        if to == self.target { self.talk.say(&message) } else { self.post.put(to.0, message) }
    }

    /// The hypervisor gives up what it sends. The guest goes on by that where it stood still for it.
    pub(super) async fn stop_sending(&mut self) {
        let Some(monitor) = self.monitor.as_ref().filter(|_| std::mem::take(&mut self.sends)) else { return };
        let stopped = async {
            monitor.give_up().await?;
            monitor.will_not_send().await
        };
        if let Err(failure) = stopped.await {
            tracing::warn!(%failure, "the hypervisor does not give up sending its guest");
        }
    }

    /// Whether its guest runs again.
    async fn goes_on(&self) -> Result<()> {
        let Some(monitor) = self.monitor.as_ref().filter(|_| self.ran) else { return Ok(()) };
        match monitor.status().await? {
            RunState::Running => Ok(()),
            _ => monitor.resume().await,
        }
    }
}

impl Machine for Source {
    async fn act(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Transfer(_) => {
                self.prepared = true;
                Vec::new()
            }
            Action::StopTransfer(_) => {
                self.stop_sending().await;
                Vec::new()
            }
            // Nothing was let go of yet.
            Action::TakeFence { generation, .. } => vec![Event::FenceTaken { generation }],
            Action::Run(_) => {
                if let Err(failure) = self.goes_on().await {
                    tracing::error!(%failure, "the guest could not be let go on");
                }
                Vec::new()
            }
            Action::Stage(_)
            | Action::DropStage(_)
            | Action::DropMemory(_)
            | Action::DropKept
            | Action::DropEveryStage
            | Action::Close(_)
            | Action::LetFenceGo
            | Action::Forget => Vec::new(),
        }
    }

    fn send(&mut self, to: Peer, word: Word) {
        self.say(to, word);
    }
}

/// The move on this side, while it may still come to nothing.
struct Job {
    owner: Owner,
    source: Source,
    progress: Shared,
    pending: Option<Pending>,
    /// When the other host was last heard.
    heard: Instant,
    reasons: Vec<Reason>,
    away: Option<Failure>,
    cancelled: bool,
    begun: Instant,
    stopped: Option<Instant>,
    last: Sample,
    broke: Option<oneshot::Receiver<Result<u64>>>,
    fences: Option<Fences>,
}

impl Sending {
    pub(in super::super) async fn run(self, mut given_up: oneshot::Receiver<()>) -> Result<JobEnd> {
        let Sending { gate, owner, wish, offer, monitor, ran, progress, cancel, mut heard, definition } = self;
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
            prepared: false,
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
            broke: None,
            fences: None,
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
                Some((ask, answer)) = asks.recv(), if job.pending.is_none() => match ask {
                    Ask::SwitchOver => match job.switch_over().await {
                        Ok((attempt, fences)) => {
                            return Ok(JobEnd::Handing(Box::new(job.handing(attempt, fences, answer, ran))));
                        }
                        Err(failure) => {
                            let _ = answer.send(Err(failure.clone()));
                            return Err(job.over(Some(failure)).await);
                        }
                    },
                    Ask::Restore if job.source.monitor.is_none() => match job.restore(&gate, &definition).await {
                        Ok((attempt, fences)) => {
                            return Ok(JobEnd::Handing(Box::new(job.handing(attempt, fences, answer, ran))));
                        }
                        Err(failure) => {
                            let _ = answer.send(Err(failure.clone()));
                            return Err(job.over(Some(failure)).await);
                        }
                    },
                    ask => job.step(&gate, (&to, &definition), ask, answer).await,
                },
                end = &mut ended => {
                    let failure = match end {
                        Ok(Err(failure)) => failure,
                        Ok(Ok(())) | Err(_) => Failure::new(Kind::PluginFault, "the strategy ended without handing the domain over"),
                    };
                    return Err(job.over(Some(failure)).await);
                }
                _ = tick.tick() => {
                    job.source.post.tend();
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

/// Runs the strategy on a thread of its own: its steps, and how it ended.
fn follow(gate: &Gate, wish: Wish) -> Result<(mpsc::Receiver<Asked>, oneshot::Receiver<Result<()>>)> {
    let gate = gate.clone();
    let (ask, asks) = mpsc::channel::<Asked>(1);
    let (end, ended) = oneshot::channel();
    let run = move || {
        let mut asking = |step: Ask| -> Result<Answer> {
            let gone = || Failure::conflict("the move is over");
            let (answer, answered) = oneshot::channel();
            ask.blocking_send((step, answer)).map_err(|_| gone())?;
            answered.blocking_recv().map_err(|_| gone())?
        };
        // Whoever waited may be gone.
        let ran = super::strategy(&gate, &wish).and_then(|mut strategy| strategy.run(STRATEGY_WITHIN, &mut asking));
        let _ = end.send(ran);
    };
    std::thread::Builder::new().name("strategy".into()).spawn(run).context(|| "cannot follow a strategy".to_owned())?;
    Ok((asks, ended))
}

impl Job {
    async fn happen(&mut self, event: Event) {
        if let Some(why) = self.owner.happen(&mut self.source, event).await {
            tracing::info!(?why, "not now");
        }
    }

    async fn said(&mut self, said: Said) {
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
        if let Some(message) = message.and_then(|value| words::from_value(&value).ok()) {
            let (_, word) = message.word();
            self.happen(Event::Heard { from: Peer(from), word }).await;
        }
        self.source.post.ask(from, Duration::from_millis(wait_ms.into()), asker);
    }

    async fn cancel(&mut self) {
        self.cancelled = true;
        self.happen(Event::Cancel).await;
    }

    fn attempt(&self) -> Option<(Attempt, Stage)> {
        match self.owner.handover.phase {
            Phase::Handing(on, at) => Some((on.attempt, at)),
            Phase::Idle | Phase::Settling { .. } | Phase::Held | Phase::Taking(..) => None,
        }
    }

    /// It was begun, and goes on no more.
    fn is_over(&self) -> bool {
        self.cancelled
            || (self.attempt().is_none() && !matches!(self.pending, None))
            || (self.source.prepared && self.attempt().is_none())
    }

    /// What the operator is told; nothing of the attempt is left here.
    async fn over(mut self, failure: Option<Failure>) -> Failure {
        if self.attempt().is_some() {
            self.happen(Event::Cancel).await;
        }
        self.source.stop_sending().await;
        if let Err(failure) = self.source.goes_on().await {
            tracing::error!(%failure, "the guest could not be let go on");
        }
        let failure = self.why(failure);
        match self.pending.take() {
            Some(Pending::Reserve(answer) | Pending::Sample { answer, .. }) => drop(answer.send(Err(failure.clone()))),
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

    async fn step(
        &mut self,
        gate: &Gate,
        (to, definition): (&PeerName, &DomainDefinition),
        ask: Ask,
        answer: oneshot::Sender<Result<Answer>>,
    ) {
        let done = match ask {
            Ask::Reserve => {
                let begin = Event::Begin { to: self.source.target };
                match self.owner.happen(&mut self.source, begin).await {
                    Some(why) => {
                        let (because, hint) = driver::denied(why);
                        Err(Failure::conflict(because).hint(hint))
                    }
                    None => {
                        self.heard = Instant::now();
                        self.pending = Some(Pending::Reserve(answer));
                        return;
                    }
                }
            }
            Ask::Precopy(limits) => self.precopy(gate, (to, definition), limits).await.map(|()| Answer::Done),
            Ask::NextSample => {
                self.pending = Some(Pending::Sample { answer, begun: Instant::now() });
                return;
            }
            Ask::Adjust(limits) => match &self.source.monitor {
                Some(monitor) => monitor.limit(limits).await.map(|()| Answer::Done),
                None => Err(no_guest()),
            },
            Ask::Progress { done, total, note } => {
                self.progress.change(|progress| {
                    (progress.done, progress.total, progress.note) = (done, total, note);
                });
                Ok(Answer::Done)
            }
            Ask::Pause
            | Ask::Save
            | Ask::CopyVolumes
            | Ask::CopyState
            | Ask::Restore
            | Ask::Postcopy
            | Ask::SwitchOver => {
                Err(Failure::conflict(format!("this host cannot do that while a domain is {DOING}: {ask:?}")))
            }
        };
        // The strategy may be gone.
        let _ = answer.send(done);
    }

    async fn precopy(
        &mut self,
        gate: &Gate,
        (to, definition): (&PeerName, &DomainDefinition),
        limits: Limits,
    ) -> Result<()> {
        let Some((attempt, _)) = self.attempt() else { return Err(Failure::conflict("no target is ready")) };
        let monitor = self.source.monitor.clone().ok_or_else(no_guest)?;
        let most = gate.policy().relocation.bandwidth.map(|most| most.bytes_per_second());
        let bandwidth = match (limits.bandwidth, most) {
            (Some(wanted), Some(most)) => Some(wanted.min(most)),
            (wanted, most) => wanted.or(most),
        };
        let limits = Limits { bandwidth, ..limits };
        // While the guest still runs: its pools' plugins are there when it stands still.
        let fences = {
            let (gate, definition) = (gate.clone(), definition.clone());
            in_thread(move || {
                let mut fences = Fences::of(&gate, &definition)?;
                fences.seen().map(|_| fences)
            })
        };
        self.fences = Some(fences.await?);
        monitor.will_send(limits).await?;
        self.source.sends = true;
        let (here, theirs) = UnixStream::pair().context(|| "cannot move memory".to_owned())?;
        let purpose = Purpose { domain: self.owner.domain(), attempt, what: Cargo::Memory };
        self.broke = Some(pump::connect(gate, to, purpose, here).await?);
        monitor.send_to(OwnedFd::from(theirs)).await?;
        self.progress.phase("memory");
        fault::point("hand.memory")
    }

    async fn look(&mut self) {
        let Some(monitor) = self.source.monitor.clone() else { return };
        let (sample, answer) = match monitor.live().await {
            Ok(Live::Active(sample)) => {
                let due =
                    matches!(&self.pending, Some(Pending::Sample { begun, .. }) if begun.elapsed() >= SAMPLE_EVERY);
                (Some(sample), due.then_some(Ok(Answer::Sample(Some(sample)))))
            }
            Ok(Live::Ready(sample)) => {
                self.stopped.get_or_insert_with(Instant::now);
                (Some(sample), Some(Ok(Answer::Sample(None))))
            }
            Ok(Live::Completed(sample)) => (Some(sample), Some(Ok(Answer::Sample(None)))),
            Ok(Live::Failed(why)) => {
                let mut failure = Failure::other("the hypervisor could not send the guest");
                failure.causes.extend(why);
                if let Some(Ok(Err(way))) = self.broke.as_mut().map(oneshot::Receiver::try_recv) {
                    failure.causes.push(way.to_string());
                }
                (None, Some(Err(failure)))
            }
            Err(failure) => (None, Some(Err(failure))),
        };
        if let Some(sample) = sample {
            self.last = sample;
            self.progress.change(|progress| progress.sample = Some(sample));
        }
        if let Some(answer) = answer
            && let Some(Pending::Sample { answer: to, .. }) = self.pending.take()
        {
            let _ = to.send(answer);
        }
    }

    /// The last of the guest goes over; from then on it stands still here until the handover says otherwise.
    async fn switch_over(&mut self) -> Result<(Attempt, Fences)> {
        let Some((attempt, Stage::Transferring { .. })) = self.attempt() else {
            return Err(Failure::conflict("no target is ready"));
        };
        let monitor = self.source.monitor.clone().ok_or_else(no_guest)?;
        let fences = self.fences.take().ok_or_else(|| Failure::conflict("nothing was sent yet"))?;
        self.progress.phase("handing-over");
        self.stopped.get_or_insert_with(Instant::now);
        fault::point("hand.switching")?;
        self.last = monitor.switch_over().await?;
        fault::point("hand.switched")?;
        Ok((attempt, fences))
    }

    /// All that is to go over is there. Its volumes are nobody's, and stay so until the target has it.
    async fn restore(&mut self, gate: &Gate, definition: &DomainDefinition) -> Result<(Attempt, Fences)> {
        let Some((attempt, Stage::Transferring { .. })) = self.attempt() else {
            return Err(Failure::conflict("no target is ready"));
        };
        let fences = {
            let (gate, definition) = (gate.clone(), definition.clone());
            in_thread(move || Fences::of(&gate, &definition))
        };
        let fences = fences.await?;
        self.progress.phase("handing-over");
        self.source.talk.ask(words::Ask::Delivered { domain: self.owner.domain(), attempt });
        fault::point("hand.delivered")?;
        Ok((attempt, fences))
    }

    fn handing(self, attempt: Attempt, fences: Fences, answer: oneshot::Sender<Result<Answer>>, ran: bool) -> Handing {
        let carried = Carried {
            source: self.source,
            fences,
            attempt: Some(attempt),
            progress: self.progress,
            answer: Some(answer),
            ran,
            begun: self.begun,
            stopped: self.stopped.unwrap_or_else(Instant::now),
            transferred: self.last.transferred,
            asker: None,
        };
        Handing { owner: self.owner, carried }
    }
}

fn no_guest() -> Failure {
    Failure::conflict("the domain is off: it has no memory to move")
}
