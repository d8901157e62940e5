//! A domain's supervisor while the domain moves (domain/relocation has the picture).

mod ahead;
pub(super) mod ceding;
mod channels;
mod drain;
mod fetching;
mod life;
mod posting;
mod receiving;
pub(super) mod sending;
mod source;
mod staging;
mod stepping;
mod still;
pub(super) mod taking;
mod telling;
mod volumes;
mod waiting;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::connect::Connected;
use super::control::{Answer, Asker, Response};
use super::job::Job;
use super::saving::in_thread;
use super::watch::Loop;
use crate::config::domain::{self, DomainDefinition};
use crate::domain::keeper::Keeper;
use crate::domain::relocation::along;
use crate::domain::relocation::talk;
use crate::domain::relocation::{Fences, Heard, Machine, Owner, Progress, Wish, bandwidth};
use crate::domain::{Record, State, nvram};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::hypervisor::Places;
use crate::hypervisor::qemu::qmp::{Monitor, RunState};
use crate::migration::handover::{Action, Event, Peer, Standing, Word};
use crate::migration::message::{Offer, Power};
use crate::migration::steps::Strategy;
use crate::migration::strategy::PluginStrategy;
use crate::migration::variables::Variables;
use crate::peer;
use crate::types::VolumeRef;

pub(super) use ceding::Handing;
pub(super) use drain::Drain;

/// How long another host may take to hear that an attempt is dead.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

/// What it is being, for those who ask for something else meanwhile.
pub(super) const DOING: &str = "moved to another host";

/// The loop's end of a move that goes on beside it.
#[derive(Debug)]
pub(super) struct Relocation {
    progress: Shared,
    cancel: Arc<Notify>,
    heard: mpsc::UnboundedSender<(Heard, Asker)>,
}

/// How far a move is, for whoever asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Progress>>);

impl Shared {
    pub(super) fn get(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, how: impl FnOnce(&mut Progress)) {
        how(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn phase(&self, phase: &str) {
        self.change(|progress| phase.clone_into(&mut progress.phase));
    }
}

impl Loop<'_> {
    /// Begins the move; its end comes as that of the job.
    pub(super) async fn relocate(&mut self, wish: Wish, asker: Asker, connected: &Connected) {
        let guest = Some((&connected.monitor, self.places()));
        match begin(self.gate, self.record, self.definition, wish, guest).await {
            Ok((relocation, sending)) => {
                let (give_up, given_up) = tokio::sync::oneshot::channel();
                self.relocation = Some(relocation);
                self.job = Some(Job::of_asker(DOING, asker, give_up, sending.run(given_up)));
            }
            Err(failure) => self.answer(asker, Err(failure)),
        }
    }

    /// After a supervisor was killed that was about to hand the domain over, and had not ceded it: that attempt is dead, and
    /// the guest goes on.
    pub(super) async fn settle_relocation(&mut self, connected: &Connected) -> Result<()> {
        let mut owner = match Owner::open(self.layout, self.record.uuid, Standing::FIRST) {
            Ok(owner) => owner,
            // Somebody answers for it just now, and nothing more: it is this host's.
            Err(failure) if failure.kind == Kind::Conflict => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let standing = owner.handover.standing;
        let Some(on) = standing.last.filter(|on| on.attempt.generation == standing.generation) else { return Ok(()) };
        still::clear(&self.folder());
        tracing::warn!(attempt = ?on.attempt, "an attempt to hand it over was cut off; the guest goes on");
        let fences = Fences::of(self.gate, self.definition)?;
        let mut again = Again {
            gate: self.gate.clone(),
            monitor: connected.monitor.clone(),
            domain: self.record.uuid,
            runs: self.record.state == State::Running,
            fences,
            keepers: &self.served.keepers,
        };
        owner.restart(&mut again).await;
        Ok(())
    }

    /// What is asked about a move while the loop goes on.
    pub(super) fn of_relocation(&self, what: About, asker: Asker) {
        let Some(relocation) =
            self.relocation.as_ref().filter(|_| self.job.as_ref().is_some_and(|job| job.doing == DOING))
        else {
            let name = &self.definition.name;
            return asker.respond(Response::Failed(
                Failure::conflict(format!("domain {name} is not being moved")).hint("nothing is to be done about it"),
            ));
        };
        match what {
            About::Progress => {
                self.answer(asker, Ok(Answer::Migrated { progress: Box::new(relocation.progress.get()) }));
            }
            About::Cancel => {
                relocation.cancel.notify_one();
                self.answer(asker, Ok(Answer::Done));
            }
            About::Heard(heard) => {
                // The job is over where this fails, and so is the asker's wait.
                let _ = relocation.heard.send((heard, asker));
            }
        }
    }
}

/// A guest whose move was cut off.
struct Again<'a> {
    gate: Gate,
    monitor: Monitor,
    domain: Uuid,
    runs: bool,
    fences: Fences,
    keepers: &'a [Keeper],
}

impl Machine for Again<'_> {
    async fn act(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::StopTransfer(_) => {
                if let Err(failure) = self.monitor.give_up().await {
                    tracing::warn!(%failure, "the hypervisor does not give up sending its guest");
                }
                Vec::new()
            }
            Action::TakeFence { generation, force } => {
                let (event, failure) = self.fences.take(generation, force);
                if let Some(failure) = failure {
                    tracing::error!(%failure, "its volumes are not this host's to write to: its guest stands still");
                }
                vec![event]
            }
            Action::Run(_) => {
                self.keepers.iter().for_each(Keeper::activate);
                let goes_on = async {
                    match self.monitor.status().await? {
                        RunState::Running => return Ok(()),
                        _ if self.runs => self.monitor.resume().await?,
                        _ => return Ok(()),
                    }
                    self.monitor.announce().await
                };
                if let Err(failure) = goes_on.await {
                    tracing::error!(%failure, "the guest could not be let go on");
                }
                Vec::new()
            }
            Action::Stage(_)
            | Action::DropStage(_)
            | Action::DropMemory(_)
            | Action::DropKept
            | Action::DropEveryStage
            | Action::Transfer(_)
            | Action::Close(_)
            | Action::LetFenceGo
            | Action::Forget => Vec::new(),
        }
    }

    /// Once, beside the loop: a target that does not hear it gives the attempt up by itself.
    fn send(&mut self, to: Peer, word: Word) {
        let Word::Cancel(attempt) = word else { return };
        let Ok(Some(name)) = peer::of_host(self.gate.layout(), to.0) else { return };
        let (gate, domain) = (self.gate.clone(), self.domain);
        tokio::spawn(async move {
            match tokio::time::timeout(CANCELLED_WITHIN, talk::cut_off(&gate, &name, domain, attempt)).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => {
                    tracing::info!(peer = %name, %failure, "the other host does not hear that it is over")
                }
                Err(_) => tracing::info!(peer = %name, "the other host does not hear in time that it is over"),
            }
        });
    }
}

/// What a move needs. `guest` where the domain is not off.
async fn begin(
    gate: &Gate,
    record: &Record,
    definition: &DomainDefinition,
    wish: Wish,
    guest: Option<(&Monitor, Places)>,
) -> Result<(Relocation, sending::Sending)> {
    let along = along::of(&wish.facts)
        .map_err(|failure| failure.while_doing(format!("domain {} cannot move", definition.name)))?;
    let (here, facts) = (gate.clone(), wish.facts.clone());
    in_thread(move || along::unchanged(&here, &facts)).await?;
    let leaves = along.iter().map(|along| {
        let volume: VolumeRef =
            along.volume.parse().map_err(|invalid| Failure::other("a volume has no name").because(invalid))?;
        let place = guest.as_ref().map(|(_, places)| places.disk(&volume)).transpose()?;
        Ok(volumes::Leaves { volume, place, snapshots: along.snapshots.iter().cloned().map(along::kept).collect() })
    });
    let leaves = leaves.collect::<Result<Vec<_>>>()?;
    let owner = Owner::open(gate.layout(), record.uuid, Standing::FIRST)?;
    let (power, machine) = match (&guest, record.state) {
        (None, _) => (Power::Off, None),
        (Some((monitor, _)), State::Running) => (Power::Running, Some(monitor.machine().await?)),
        (Some((monitor, _)), _) => (Power::Paused, Some(monitor.machine().await?)),
    };
    let places = guest.as_ref().map(|(_, places)| serde_json::to_value(places)).transpose();
    let offer = Offer {
        name: definition.name.to_string(),
        // The machine as it is: an alias would be another one there.
        definition: domain::to_toml(&DomainDefinition {
            machine: machine.or_else(|| definition.machine.clone()),
            ..definition.clone()
        }),
        strategy: wish.strategy.to_string(),
        power,
        places: places.context(|| "cannot say where devices sit".to_owned())?,
        // A guest that runs has them in its memory as well, and those are newer.
        variables: nvram::of(gate.layout(), &definition.name)?
            .map(|bytes| Variables::of(&bytes).ok_or_else(too_many_variables))
            .transpose()?,
        along,
        fetches: wish.facts.manner.postcopy.is_some(),
    };
    let (progress, cancel) = (Shared::default(), Arc::new(Notify::new()));
    let (tell, heard) = mpsc::unbounded_channel();
    let relocation = Relocation { progress: progress.clone(), cancel: cancel.clone(), heard: tell };
    let sending = sending::Sending {
        gate: gate.clone(),
        owner,
        wish,
        offer,
        monitor: guest.map(|(monitor, _)| monitor.clone()),
        ran: power == Power::Running,
        progress,
        cancel,
        heard,
        definition: definition.clone(),
        leaves,
        reaches: record.run.as_ref().and_then(channels::Reaches::of),
    };
    Ok((relocation, sending))
}

fn too_many_variables() -> Failure {
    Failure::conflict("its UEFI variables are more than this fief takes along")
        .hint("let its firmware tidy them: start it here, reset its boot entries, and shut it down")
}

/// Who says how the domain moves.
fn strategy(gate: &Gate, wish: &Wish) -> Result<Box<dyn Strategy>> {
    let bandwidth = bandwidth(wish.bandwidth, gate.policy());
    let strategy = PluginStrategy::open(gate, &wish.strategy, &wish.settings, &wish.facts, bandwidth)?;
    Ok(Box::new(strategy))
}

/// What is asked about a move.
pub(super) enum About {
    Progress,
    Cancel,
    Heard(Heard),
}
