//! The target: a supervisor that makes ready for a domain, receives it, and has it once the source has ceded it. What it
//! makes is nobody's until then, and goes with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::connect::Connected;
use super::super::control::{self, Answer, Asked, Asker, CLIENTS_MAX, Request, Response};
use super::super::run::Life;
use super::super::served::Served;
use super::super::watch::Entry;
use super::posting::Post;
use super::receiving::Gathering;
use crate::domain::State;
use crate::domain::relocation::driver::Machine;
use crate::domain::relocation::{
    EXPECTED, Expected, Fences, Heard, Owner, SILENCE, TICK, along, apart, channels, reason, words,
};
use crate::domain::volume::Coming;
use crate::error::{Context, Failure, Result};
use crate::migration::handover::{Action, Attempt, Event, Peer, Standing, Word};
use crate::migration::message::{Message, Offer, Reason};

/// How long what was said last waits to be fetched.
const LINGER: Duration = Duration::from_secs(5);

/// What came of it.
pub(in super::super) enum Taken {
    /// The domain is this host's. Its guest is let go, where it ran and is here; none where it is off.
    Ours(Option<Box<(Connected, Served, Entry)>>),
    /// Nothing of it stays.
    Nothing,
}

pub(super) struct Taking<'l, 'g> {
    pub(super) life: &'l mut Life<'g>,
    pub(super) offer: Offer,
    pub(super) from: Peer,
    pub(super) listener: Option<UnixListener>,
    pub(super) memory: Option<UnixListener>,
    /// The same for memory that comes by several connections.
    pub(super) channels: Option<UnixListener>,
    pub(super) gathering: Gathering,
    pub(super) tell_channel: mpsc::UnboundedSender<(channels::Asked, UnixStream)>,
    pub(super) connected: Option<Connected>,
    pub(super) served: Option<Served>,
    pub(super) fences: Option<Fences>,
    pub(super) post: Post,
    pub(super) reasons: Vec<Reason>,
    /// Volumes that go along.
    pub(super) coming: Vec<Coming>,
    /// The source was not heard any more, or begins anew: it may go on with what it copied.
    keeps: bool,
    /// It goes on before all of its memory has come.
    pub(super) fetching: bool,
    pub(super) result: Option<End>,
    /// What a task beside the loop found.
    pub(super) tell: mpsc::UnboundedSender<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Ours,
    Nothing,
}

/// Until the domain is ours, or nothing of it is to stay. `expecting` is called once the source may begin.
pub(in super::super) async fn take(life: &mut Life<'_>, expecting: impl FnOnce()) -> Result<Taken> {
    let gate = life.gate;
    let layout = gate.layout().clone();
    let folder = layout.domain(&life.name());
    let mut owner = Owner::open(&layout, life.record.uuid, Standing::FOREIGN)?;
    let saying = || "what another host was to send is not known".to_owned();
    let expected: Expected =
        serde_json::from_slice(&std::fs::read(folder.join(EXPECTED)).context(saying)?).context(saying)?;
    let message = words::from_value(&expected.message)?;
    let (_, word) = message.word();
    let Message::Prepare { attempt, what: offer, .. } = message else {
        return Err(Failure::other("what was left to begin with is no offer"));
    };
    let coming = along::coming(&offer, &life.definition)?;
    let listener = control::listen(&folder, "control.sock")?;
    expecting();
    let (tell, mut found) = mpsc::unbounded_channel();
    let (tell_channel, mut came) = mpsc::unbounded_channel();
    let mut taking = Taking {
        life,
        offer: *offer,
        from: Peer(expected.from),
        listener: Some(listener),
        memory: None,
        channels: None,
        gathering: Gathering::default(),
        tell_channel,
        connected: None,
        served: None,
        fences: None,
        post: Post::default(),
        reasons: Vec::new(),
        coming,
        keeps: false,
        fetching: false,
        result: None,
        tell,
    };
    owner.happen(&mut taking, Event::Heard { from: Peer(expected.from), word }).await;
    let (ask, mut asked) = mpsc::channel::<Asked>(CLIENTS_MAX);
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context(|| "cannot wait for signals".to_owned())?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let mut over: Option<Instant> = None;
    loop {
        match taking.result {
            Some(End::Ours) => break,
            // Whoever asks is told why, for a moment.
            Some(End::Nothing) if taking.post.is_empty() || over.is_some_and(|over| over.elapsed() > LINGER) => break,
            Some(End::Nothing) => drop(over.get_or_insert_with(Instant::now)),
            None => {}
        }
        tokio::select! {
            biased;
            Some(Asked { request, asker }) = asked.recv() => {
                if requested(&mut owner, &mut taking, attempt, request, asker).await {
                    heard = Instant::now();
                }
            }
            Some(event) = found.recv() => {
                let event = taking.found(event).map_or_else(
                    |failure| {
                        // Who waits for it hears of it, and from a supervisor that is there.
                        taking.reasons.push(reason("record", &taking.offer.name, &failure));
                        Event::StageFailed(attempt)
                    },
                    |()| event,
                );
                owner.happen(&mut taking, event).await;
            }
            client = accept(taking.connected.as_ref().map(|connected| &connected.control).or(taking.listener.as_ref())) => {
                if let Some(stream) = client {
                    control::admit(stream, &clients, &ask, None);
                }
            }
            stream = accept(taking.memory.as_ref()) => {
                if let Some(stream) = stream {
                    (taking.memory, taking.channels) = (None, None);
                    taking.receive(attempt, stream).await;
                }
            }
            stream = accept(taking.channels.as_ref()) => {
                if let Some(stream) = stream {
                    taking.asked_for_channel(stream);
                }
            }
            Some((channel, stream)) = came.recv() => taking.channel(attempt, channel, stream).await,
            () = gone(taking.connected.as_ref()) => {
                taking.reasons.push(reason("hypervisor", &taking.offer.name, &Failure::other("the hypervisor ended")));
                taking.connected = None;
                owner.happen(&mut taking, Event::StageFailed(attempt)).await;
            }
            _ = tick.tick() => {
                taking.post.tend();
                taking.lacks_channels(attempt);
                owner.happen(&mut taking, Event::Tick).await;
                if heard.elapsed() > SILENCE {
                    taking.keeps = true;
                    owner.happen(&mut taking, Event::Silence).await;
                }
            }
            _ = terminate.recv() => {
                taking.keeps = true;
                owner.happen(&mut taking, Event::Silence).await;
            }
        }
    }
    taking.post.close();
    if taking.result != Some(End::Ours) || taking.connected.is_none() {
        // This process is about to end: what was answered last is written. A source that does not hear that the domain is
        // this host's waits until it asks again.
        drop(asked);
        control::all_answered(&clients).await;
    }
    let (connected, served) = (taking.connected.take(), taking.served.take());
    Ok(match taking.result {
        Some(End::Ours) => {
            let _ = std::fs::remove_file(folder.join(EXPECTED));
            apart(|| {
                along::taken(gate, &taking.coming);
                Ok(())
            })?;
            let entry = if taking.fetching { Entry::Fetching } else { Entry::Moved };
            Taken::Ours(connected.zip(served).map(|(connected, served)| Box::new((connected, served, entry))))
        }
        Some(End::Nothing) | None => {
            if let Some(mut served) = served {
                served.close();
            }
            if !taking.keeps {
                apart(|| {
                    along::given_up(gate, &taking.coming);
                    Ok(())
                })?;
            }
            Taken::Nothing
        }
    })
}

async fn accept(listener: Option<&UnixListener>) -> Option<UnixStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn gone(connected: Option<&Connected>) {
    match connected {
        Some(connected) => drop(connected.exit.readable().await),
        None => std::future::pending().await,
    }
}

fn cancels(message: Option<&serde_json::Value>, attempt: Attempt) -> bool {
    match message.map(words::from_value) {
        Some(Ok(Message::Cancel { attempt: cancelled, .. })) => cancelled == attempt,
        Some(_) | None => false,
    }
}

/// Whether the source was heard.
async fn requested(
    owner: &mut Owner,
    taking: &mut Taking<'_, '_>,
    attempt: Attempt,
    request: Request,
    asker: Asker,
) -> bool {
    let done = |answer| Response::Ok { state: State::Elsewhere, answer };
    match request {
        Request::Status => {
            asker.respond(done(Answer::Done));
            false
        }
        Request::Handover { heard: Heard { from, message, wait_ms, delivered, keeps } } => {
            taking.keeps |= keeps && from == taking.from.0 && cancels(message.as_ref(), attempt);
            owner.hear(taking, from, message.as_ref()).await;
            if delivered == Some(attempt) && from == taking.from.0 {
                taking.delivered(attempt).await;
            }
            taking.post.ask(from, Duration::from_millis(wait_ms.into()), asker);
            from == taking.from.0
        }
        Request::MigrateCancel => {
            let denied = owner.happen(taking, Event::Cancel).await;
            asker.respond(match denied {
                None => done(Answer::Done),
                Some(why) => super::ceding::refused(why),
            });
            false
        }
        Request::Recover { claim: true } => {
            let seen = taking.fences.as_mut().map_or(Ok(0), Fences::seen);
            match seen {
                Ok(seen) => match owner.happen(taking, Event::Claim { seen }).await {
                    None => asker.respond(done(Answer::Done)),
                    Some(why) => asker.respond(super::ceding::refused(why)),
                },
                Err(failure) => asker.respond(Response::Failed(failure)),
            }
            false
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
        | Request::Migrated
        | Request::Recover { claim: false }
        | Request::SnapshotCreate { .. }
        | Request::SnapshotDelete { .. }
        | Request::Resize { .. } => {
            asker.respond(Response::Failed(
                Failure::conflict("the domain is another host's, which is moving it here").hint("wait for that to end"),
            ));
            false
        }
    }
}

impl Machine for Taking<'_, '_> {
    async fn act(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Stage(attempt) => match self.stage(attempt).await {
                Ok(()) => vec![Event::Ready(attempt)],
                Err(failure) => {
                    tracing::warn!(%failure, "cannot make ready");
                    self.reasons.push(reason("stage", &self.offer.name, &failure));
                    vec![Event::StageFailed(attempt)]
                }
            },
            Action::DropStage(_) | Action::DropEveryStage | Action::Forget => {
                self.result = Some(End::Nothing);
                Vec::new()
            }
            Action::DropMemory(_) | Action::DropKept => {
                self.connected = None;
                Vec::new()
            }
            Action::TakeFence { generation, force } => {
                let Some(fences) = &mut self.fences else { return vec![Event::FenceFailed { generation }] };
                let (event, failure) = fences.take(generation, force);
                if let Some(failure) = failure {
                    tracing::warn!(%failure, "its volumes are not this host's to write to");
                    self.reasons.push(reason("fence", &self.offer.name, &failure));
                }
                vec![event]
            }
            Action::LetFenceGo => {
                if let Some(Err(failure)) = self.fences.as_mut().map(Fences::release) {
                    tracing::warn!(%failure, "a volume is not let go of");
                }
                Vec::new()
            }
            Action::Run(_) => {
                self.run().await;
                self.result = Some(End::Ours);
                Vec::new()
            }
            Action::Transfer(_) | Action::StopTransfer(_) | Action::Close(_) => Vec::new(),
        }
    }

    fn send(&mut self, to: Peer, word: Word) {
        let (offer, reasons) = (self.offer.clone(), self.reasons.clone());
        let message = Message::of(self.life.record.uuid, word, || offer, || reasons);
        self.post.put(to.0, message);
    }
}
