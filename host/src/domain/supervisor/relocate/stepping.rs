//! What a strategy's steps do on the source.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::saving::in_thread;
use super::DOING;
use super::ahead::Ahead;
use super::channels::{Sends, lost};
use super::sending::{Job, Pending};
use super::still;
use super::volumes::{broken_off, stopped};
use super::waiting::word;
use crate::config::domain::DomainDefinition;
use crate::domain::relocation::driver;
use crate::domain::relocation::words::{Cargo, Purpose};
use crate::domain::relocation::{Fences, SILENCE, words};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::Gate;
use crate::hypervisor::qemu::qmp::{Live, Monitor};
use crate::migration::handover::{Attempt, Event, Handing as Stage};
use crate::migration::steps::{Answer, Ask, Limits, Sample};
use crate::types::PeerName;

/// Between two measurements that a strategy is given.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

impl Job {
    pub(super) async fn step(
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
            Ask::Precopy(limits) => self.precopy(gate, definition, limits).await.map(|()| Answer::Done),
            // What is left follows its guest.
            Ask::NextSample if self.fetches => Ok(Answer::Sample(None)),
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
            Ask::Pause => self.pause().await.map(|()| Answer::Done),
            Ask::Save => match self.source.monitor.clone() {
                Some(monitor) => {
                    self.progress.phase("state");
                    self.source.saved = true;
                    let work = still::save(monitor, gate.layout().domain(&definition.name));
                    return self.work(answer, async { work.await.map(|_| Answer::Done) });
                }
                None => Err(no_guest()),
            },
            Ask::CopyState => match self.attempt() {
                Some((attempt, _)) => {
                    let purpose = Purpose { domain: self.owner.domain(), attempt, what: Cargo::State };
                    let folder = gate.layout().domain(&definition.name);
                    let work = still::send(gate.clone(), to.clone(), purpose, folder, self.pace.clone());
                    return self.work(answer, async { work.await.map(Answer::Copied) });
                }
                None => Err(Failure::conflict("no target is ready")),
            },
            Ask::CopyVolumes => match (&self.volumes, self.attempt()) {
                // All of them are on storage of both hosts.
                (None, _) => Ok(Answer::Copied(0)),
                (Some(_), None) => Err(Failure::conflict("no target is ready")),
                (Some(volumes), Some((attempt, _))) => {
                    self.progress.phase("volumes");
                    let (volumes, still) = (volumes.clone(), !self.source.ran || self.stopped.is_some());
                    let work = async move { volumes.lock().await.copy(attempt, still).await.map(Answer::Copied) };
                    self.pending = Some(Pending::Work { answer, work: Box::pin(work), copies: true });
                    return;
                }
            },
            Ask::Postcopy if self.source.offer.fetches => {
                self.fetches = true;
                Ok(Answer::Done)
            }
            Ask::Postcopy => Err(Failure::conflict("the move was not planned to go on by post-copy")
                .hint("`--set at-time-out=postcopy` says so; `--plan` tells whether both hosts can")),
            Ask::Restore | Ask::SwitchOver => {
                Err(Failure::conflict(format!("this host cannot do that while a domain is {DOING}: {ask:?}")))
            }
        };
        // The strategy may be gone.
        let _ = answer.send(done);
    }

    /// Beside all else; its answer comes when it is done.
    fn work(&mut self, answer: oneshot::Sender<Result<Answer>>, work: impl Future<Output = Result<Answer>> + 'static) {
        self.pending = Some(Pending::Work { answer, work: Box::pin(work), copies: false });
    }

    async fn pause(&mut self) -> Result<()> {
        let monitor = self.source.monitor.clone().ok_or_else(no_guest)?;
        monitor.pause().await?;
        self.stopped.get_or_insert_with(Instant::now);
        fault::point("hand.paused")
    }

    async fn precopy(&mut self, gate: &Gate, definition: &DomainDefinition, limits: Limits) -> Result<()> {
        let Some((attempt, _)) = self.attempt() else { return Err(Failure::conflict("no target is ready")) };
        let Ahead { fences, pump } = self.ahead.take().ok_or_else(no_guest)?;
        let fences = fences.await.unwrap_or_else(|_| Err(Failure::other("a step of the move panicked")));
        self.fences = Some(fences?);
        self.send_memory(gate, &definition.name, pump, attempt, limits).await?;
        self.copy_on(attempt);
        self.progress.phase("memory");
        fault::point("hand.memory")
    }

    pub(super) async fn look(&mut self) {
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
            Ok(Live::Completed(sample) | Live::Fetching(sample)) => (Some(sample), Some(Ok(Answer::Sample(None)))),
            Ok(Live::Failed(why)) => {
                let mut failure = Failure::other("the hypervisor could not send the guest");
                failure.causes.extend(why);
                if let Some(way) = self.source.carries.as_mut().and_then(Sends::broke) {
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
    pub(super) async fn switch_over(
        &mut self,
        gate: &Gate,
        definition: &DomainDefinition,
    ) -> Result<(Attempt, Fences)> {
        let Some((attempt, Stage::Transferring { .. })) = self.attempt() else {
            return Err(Failure::conflict("no target is ready"));
        };
        let monitor = self.source.monitor.clone().ok_or_else(no_guest)?;
        let fences = self.fences.take().ok_or_else(|| Failure::conflict("nothing was sent yet"))?;
        if self.volumes.is_some() {
            self.stopped.get_or_insert_with(Instant::now);
            self.copy_last(attempt).await?;
            self.leave(gate, definition, attempt).await?;
        }
        self.progress.phase("handing-over");
        self.stopped.get_or_insert_with(Instant::now);
        fault::point("hand.switching")?;
        self.last = self.goes_over(&monitor).await?;
        if self.fetches {
            self.source.talk.ask(words::Ask::Delivered { domain: self.owner.domain(), attempt });
        }
        fault::point("hand.switched")?;
        Ok((attempt, fences))
    }

    /// The last of the guest. The other host may say meanwhile that it does not take it, and why.
    async fn goes_over(&mut self, monitor: &Monitor) -> Result<Sample> {
        let fetches = self.fetches;
        // One for all of it: words come all the time, and none of them says that memory comes.
        let mut over = std::pin::pin!(async {
            match fetches {
                true => monitor.stands_ready(SILENCE).await,
                false => {
                    monitor.switch_over().await?;
                    monitor.over_within(SILENCE).await
                }
            }
        });
        let mut stop = self.stop.subscribe();
        loop {
            let said = tokio::select! {
                biased;
                over = &mut over => return over,
                said = word(&mut self.source.talk) => said,
                failure = lost(&mut self.source.carries) => return Err(failure),
                () = stopped(&mut stop) => return Err(broken_off()),
            };
            self.said(said).await;
            if self.attempt().is_none() {
                return Err(Failure::new(Kind::Unreachable, "the other host gave it up"));
            }
        }
    }

    /// All that is to go over is there. Its volumes are nobody's, and stay so until the target has it.
    pub(super) async fn restore(&mut self, gate: &Gate, definition: &DomainDefinition) -> Result<(Attempt, Fences)> {
        let Some((attempt, Stage::Transferring { .. })) = self.attempt() else {
            return Err(Failure::conflict("no target is ready"));
        };
        let ahead = match self.ahead.take() {
            Some(Ahead { fences, .. }) => fences.await.ok().and_then(Result::ok),
            None => None,
        };
        let fences = match ahead {
            Some(fences) => fences,
            None => {
                let (gate, definition) = (gate.clone(), definition.clone());
                in_thread(move || Fences::of(&gate, &definition)).await?
            }
        };
        self.leave(gate, definition, attempt).await?;
        self.progress.phase("handing-over");
        self.source.talk.ask(words::Ask::Delivered { domain: self.owner.domain(), attempt });
        fault::point("hand.delivered")?;
        Ok((attempt, fences))
    }
}

pub(super) fn no_guest() -> Failure {
    Failure::conflict("the domain is off: it has no memory to move")
}
