//! What a move is decided by: the facts of the domain, of this host and of the one that it is to go to, asked for and put
//! together; then the checks of `migration/plan`, which touch nothing.
//!
//! ```text
//!   subject   the domain: definition, record, its hypervisor, its pools        ┐
//!   host      this host                                                        ├▸ Facts ─▸ findings, strategy, prediction
//!   desk      the same of the target, as the service `plan` tells it           │
//!   prove     whether storage is the same at both                              ┘
//! ```
//! The strategy that is picked says what it finds besides (`strategy`). `local` is what a listing says: by this host's own files.

mod desk;
mod host;
pub mod local;
mod places;
pub mod postcopy;
mod prove;
mod strategy;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

pub use desk::Desk;
use subject::Own;

use crate::config::policy::select::{self, Case, Chosen};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::migration::message::Power;
use crate::migration::plan::{
    self, DiskFacts, DomainFacts, Facts, Manner, Pace, Postcopy, Prediction, Sameness, Unheard,
};
use crate::migration::survey::{Ask, Subject, Told};
use crate::peer::Session;
use crate::sandbox::protocol::{Finding, Severity};
use crate::types::{Bandwidth, DomainName, PeerName, PluginId, PoolName};

/// The service by which a target tells its facts.
pub const SERVICE: &str = "plan";
/// For the peer to be there.
const CONNECT: Duration = Duration::from_secs(10);
/// For its facts: it asks its own hypervisor and its pools.
const WAIT: Duration = Duration::from_secs(60);
/// What a network gives where nobody says: a gigabit a second, in bytes.
const BANDWIDTH: u64 = 125_000_000;
/// How long a guest may stand still for the last round, where nobody says.
const DOWNTIME: Duration = Duration::from_millis(300);
/// From the last round to the guest's first instruction there: what hosts say to each other, and what they write down.
const SWITCH_OVER: Duration = Duration::from_millis(100);

/// What an operator asks for.
#[derive(Debug, Clone)]
pub struct Wish {
    pub domain: DomainName,
    pub peer: PeerName,
    /// In the place of what policy picks.
    pub strategy: Option<PluginId>,
    /// Settings of the strategy's.
    pub settings: BTreeMap<String, String>,
    /// Discs that are only here are taken out.
    pub eject: bool,
    /// Snapshots that cannot go along are given up.
    pub leave_snapshots: bool,
    /// At most; none: as policy says.
    pub bandwidth: Option<Bandwidth>,
    /// That the guest may stand still for the last round.
    pub downtime: Option<Duration>,
}

/// A move, before anything of it is done.
#[derive(Debug, Clone)]
pub struct Plan {
    pub wish: Wish,
    pub chosen: Chosen,
    pub strategy: PluginId,
    /// Of the strategy's, with what options stand for.
    pub settings: BTreeMap<String, String>,
    pub facts: Facts,
    pub findings: Vec<Finding>,
    pub prediction: Option<Predicted>,
}

/// What a move is expected to take, and by which figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Predicted {
    #[serde(flatten)]
    pub prediction: Prediction,
    /// Bytes a second.
    pub bandwidth: u64,
    pub known: Known,
}

/// Where the bandwidth of a prediction comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// A limit of policy's or the operator's.
    Limit,
    /// Nobody said.
    Assumed,
}

impl Plan {
    /// Asks all that there is to ask. Changes nothing, but for notes that are taken away again (`prove`).
    ///
    /// # Errors
    /// `NotFound` where there is no such domain or peer, `Conflict` where the domain's state allows no move now, and those
    /// of the peer's being away.
    pub async fn make(gate: &Gate, wish: Wish) -> Result<Plan> {
        let own = Own::known(gate, &wish.domain)?;
        let mut subject = own.subject();
        subject.plugins.extend(wish.strategy.iter().cloned());
        // Both hosts look at the same time.
        let there = async {
            let session = Session::connect(gate, &wish.peer, CONNECT).await?;
            let told: Told = session.request(SERVICE, &Ask::Survey(Box::new(subject.clone())), WAIT).await?;
            told.checked(&subject, &wish.peer).map(|told| (session, told))
        };
        let (here, there) = tokio::join!(look(gate, own, &subject), there);
        let (mut own, source) = here?;
        let (session, told) = there?;
        for disk in &mut own.facts.disks {
            let here = own.identities.get(&disk.volume.pool);
            told.place(disk, here.map(|(identity, reachable)| (identity.as_str(), *reachable)));
        }
        let in_use = own.facts.power != Power::Off;
        // Taken away beside what follows, and before this ends.
        let _leftovers = prove::prove(gate, &session, &mut own.facts.disks, in_use).await?;
        snapshots_there(&session, &mut own.facts.disks).await?;
        let chosen = choose(gate, &wish, &own.facts, subject.power);
        let version = own.hypervisor_version.as_deref().unwrap_or(&source.hypervisor_version);
        let postcopy = match wish.settings.get("at-time-out").is_some_and(|at_time_out| at_time_out == "postcopy") {
            true => Some(postcopy::asked(&session, version, &chosen.strategy).await?),
            false => None,
        };
        put_together(gate, (wish, chosen), own, (source, told), postcopy)
    }

    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Blocker)
    }
}

/// What this host knows of the domain and of itself, found out beside all else.
async fn look(gate: &Gate, mut own: Own, subject: &Subject) -> Result<(Own, plan::HostFacts)> {
    let (done, outcome) = oneshot::channel();
    let (gate, subject) = (gate.clone(), subject.clone());
    std::thread::spawn(move || {
        let looked = own.look(&gate).and_then(|()| Ok((own, host::facts(&gate, &subject)?)));
        // Whoever waited may be gone.
        let _ = done.send(looked);
    });
    outcome.await.unwrap_or_else(|_| Err(Failure::other("a step of the plan panicked")))
}

/// Asks the target whether snapshots can go along, where there are some that have to.
async fn snapshots_there(session: &Session, disks: &mut [DiskFacts]) -> Result<()> {
    let along = |disk: &&DiskFacts| disk.goes_along() && disk.pool_there && !disk.snapshots.is_empty();
    let pools: BTreeSet<PoolName> = disks.iter().filter(along).map(|disk| disk.volume.pool.clone()).collect();
    if pools.is_empty() {
        return Ok(());
    }
    let there: Vec<PoolName> = match session.request(SERVICE, &Ask::Snapshots(pools), WAIT).await {
        Ok(there) => there,
        // An older fief, which takes none.
        Err(failure) if failure.kind == Kind::Usage => Vec::new(),
        Err(failure) => return Err(failure),
    };
    for disk in disks {
        disk.snapshots_there = there.contains(&disk.volume.pool);
    }
    Ok(())
}

fn put_together(
    gate: &Gate,
    (wish, chosen): (Wish, Chosen),
    own: Own,
    (mut source, mut told): (plan::HostFacts, Told),
    postcopy: Option<Postcopy>,
) -> Result<Plan> {
    let mut domain = own.facts;
    for file in &mut domain.host_files {
        file.there = told.files.contains(&file.path);
    }
    domain.plugins = told.needed(&own.disks_by, &own.cards_by).into_iter().collect();
    // What the guest has is what its own hypervisor is, which may not be the one that is installed by now.
    source.hypervisor_version = own.hypervisor_version.unwrap_or(source.hypervisor_version);
    source.accelerated = own.accelerated.unwrap_or(source.accelerated);
    // Where its policy's name for itself says nothing, the operator's name for it does.
    told.host.name = wish.peer.to_string();
    let manner = Manner { postcopy, ..manner(&wish, &chosen) };
    let facts = Facts { domain, source, target: told.host, manner };
    let mut findings = plan::plan(&facts);
    let id: PluginId = chosen
        .strategy
        .parse()
        .map_err(|invalid| Failure::usage(format!("{:?} is no plugin", chosen.strategy)).because(invalid))?;
    let settings = strategy::settings(gate, &id, &wish)?;
    findings.extend(strategy::check(gate, &id, &settings, &wish, &facts)?);
    let prediction = predict(gate, &wish, &facts, own.memory_now, chosen.strategy == select::LIVE);
    Ok(Plan { wish, chosen, strategy: id, settings, facts, findings, prediction })
}

/// What the operator's options and settings come to.
fn manner(wish: &Wish, chosen: &Chosen) -> Manner {
    let set = |key: &str, to: &str| {
        chosen.strategy == select::LIVE && wish.settings.get(key).is_some_and(|value| value == to)
    };
    Manner {
        // A live move takes them along too, unless its settings say that it does not.
        copies_volumes: !set("disks", "false"),
        ejects: wish.eject,
        leaves_snapshots: wish.leave_snapshots,
        unheard_of: set("compress", "true").then_some(Unheard::Compress).into_iter().collect(),
        postcopy: None,
    }
}

/// The strategy, and why that one.
fn choose(gate: &Gate, wish: &Wish, domain: &DomainFacts, power: Power) -> Chosen {
    match &wish.strategy {
        Some(strategy) => Chosen { strategy: strategy.to_string(), because: "--strategy says so".to_owned() },
        None => {
            let case = Case {
                domain: &domain.name,
                peer: &wish.peer,
                power: power_word(power),
                storage: storage_word(&domain.disks),
            };
            gate.policy().select.pick(case)
        }
    }
}

pub fn power_word(power: Power) -> select::Power {
    match power {
        Power::Running => select::Power::Running,
        Power::Paused => select::Power::Paused,
        Power::Off => select::Power::Off,
    }
}

fn storage_word(disks: &[DiskFacts]) -> select::Storage {
    let shared = |disk: &DiskFacts| disk.disc || disk.sameness == Sameness::Proven;
    if disks.iter().all(shared) { select::Storage::Shared } else { select::Storage::Separate }
}

/// `live`: memory goes over while the guest runs.
fn predict(gate: &Gate, wish: &Wish, facts: &Facts, memory: u64, live: bool) -> Option<Predicted> {
    let limit = wish.bandwidth.or(gate.policy().relocation.bandwidth).map(Bandwidth::bytes_per_second);
    let (bandwidth, known) = limit.map_or((BANDWIDTH, Known::Assumed), |limit| (limit, Known::Limit));
    let along = |disk: &&DiskFacts| facts.manner.copies_volumes && disk.goes_along();
    let volumes = facts.domain.disks.iter().filter(along).map(|disk| disk.allocated.bytes()).sum();
    let stands_still = match facts.domain.power {
        Power::Running => false,
        Power::Paused | Power::Off => true,
    };
    let pace = Pace {
        memory: if facts.domain.power == Power::Off { 0 } else { memory },
        volumes,
        bandwidth,
        dirtied: 0,
        // A guest whose state goes through a file stands still for all of it.
        pause: if live { wish.downtime.unwrap_or(DOWNTIME) } else { Duration::ZERO },
        switch_over: SWITCH_OVER,
    };
    let mut prediction = plan::predict(pace)?;
    if !live && !stands_still {
        let state = pace.memory as f64 / bandwidth as f64;
        prediction.pause = Duration::try_from_secs_f64(state).unwrap_or(Duration::MAX).saturating_add(SWITCH_OVER);
    }
    if stands_still {
        prediction.pause = Duration::ZERO;
    }
    Some(Predicted { prediction, bandwidth, known })
}
