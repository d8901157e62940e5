//! The service `plan`: what this host has for a domain that a peer wants to send.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::places::{Found, Places};
use super::{host, postcopy, prove};
use crate::config::domain::DISKS_MAX;
use crate::config::policy::{self, Policy};
use crate::domain::volume::arrival;
use crate::domain::{Record, State, ownership, store};
use crate::error::{Context, Failure, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::migration::handover::Holding;
use crate::migration::plan::Taken;
use crate::migration::survey::{Ask, Subject, Told, VolumeThere};
use crate::peer::{Caller, Service};
use crate::storage::Pool;
use crate::types::{PeerName, PoolName, VolumeRef};

pub struct Desk {
    layout: Layout,
}

impl Desk {
    pub fn new(gate: &Gate) -> Desk {
        Desk { layout: gate.layout().clone() }
    }
}

impl Service for Desk {
    fn answer(&self, caller: &Caller, body: Value) -> Result<Value> {
        let ask: Ask =
            serde_json::from_value(body).map_err(|_| Failure::usage("the question is not one that this host knows"))?;
        // As policy stands now.
        let policy = policy::load(&self.layout.policy())?;
        let gate = Gate::new(self.layout.clone(), Arc::new(policy), Mode::Perform);
        let saying = || "cannot tell what this host has for a domain".to_owned();
        match ask {
            Ask::Survey(subject) => serde_json::to_value(survey(&gate, &caller.peer, &subject)?).context(saying),
            Ask::Notes(volumes) if volumes.len() > DISKS_MAX => {
                Err(Failure::usage(format!("{} volumes are more than a domain has", volumes.len())))
            }
            Ask::Snapshots(pools) if pools.len() > DISKS_MAX => {
                Err(Failure::usage(format!("{} pools are more than a domain has", pools.len())))
            }
            Ask::Snapshots(pools) => {
                let makes = |pool: &&PoolName| {
                    let makes = Pool::look(&gate, pool).and_then(|mut pool| pool.makes_with_snapshots());
                    makes.unwrap_or_else(|failure| {
                        tracing::info!(%pool, %failure, "a pool was asked whether it has snapshots");
                        false
                    })
                };
                serde_json::to_value(pools.iter().filter(makes).collect::<Vec<_>>()).context(saying)
            }
            Ask::Postcopy(strategy) => serde_json::to_value(postcopy::why_not_there(&gate, &strategy)).context(saying),
            Ask::Notes(volumes) => {
                let read: Vec<_> = volumes.iter().map(|volume| prove::read(&gate, volume)).collect();
                serde_json::to_value(read).context(saying)
            }
        }
    }
}

pub(super) fn survey(gate: &Gate, peer: &PeerName, subject: &Subject) -> Result<Told> {
    subject.check()?;
    let mut facts = host::facts(gate, subject)?;
    facts.domains = taken(gate.layout(), subject)?;
    facts.denial = denial(gate.policy(), peer, subject).or_else(|| held(gate.layout(), subject));
    // What files there are is told to those alone who may send the domain that starts from them.
    let tells = gate.policy().relocation.accepts(peer, &subject.domain);
    let there = |file: &&String| tells && Path::new(file).is_file();
    Ok(Told {
        host: facts,
        volumes: volumes(gate, subject),
        files: subject.files.iter().filter(there).cloned().collect(),
    })
}

fn volumes(gate: &Gate, subject: &Subject) -> Vec<VolumeThere> {
    let mut places = Places::default();
    let mut all = Vec::new();
    for volume in &subject.volumes {
        let plugin = host::serving(gate, &volume.pool);
        let volume = volume.clone();
        match places.find(gate, &volume) {
            Found::NoPool => {}
            Found::Away => {
                all.push(VolumeThere { volume, plugin, identity: None, reachable: false, room: None, exists: false });
            }
            Found::Pool(info, found) => {
                let exists = found.is_some() && !comes_along(gate, subject, &volume);
                let (identity, reachable) = (Some(info.identity), info.reachable_from_peers);
                all.push(VolumeThere { volume, plugin, identity, reachable, room: info.available, exists });
            }
        }
    }
    all
}

/// It is half of the very one that is to come: an attempt before was cut off, and is gone on with.
fn comes_along(gate: &Gate, subject: &Subject, volume: &VolumeRef) -> bool {
    arrival::of(gate.layout(), volume).is_ok_and(|arrival| arrival.is_some_and(|half| half.uuid == subject.uuid))
}

/// Domains of this host's that have something which the subject has.
fn taken(layout: &Layout, subject: &Subject) -> Result<Vec<Taken>> {
    let words: Vec<String> = subject.macs.iter().map(ToString::to_string).chain([subject.uuid.to_string()]).collect();
    let mut all = Vec::new();
    for name in store::names(layout)? {
        // Definitions are written by `to_toml`, so each of these stands in them in one spelling only.
        let text = std::fs::read_to_string(layout.domain(&name).join("domain.toml")).unwrap_or_default();
        let same_name = name.as_str().eq_ignore_ascii_case(subject.domain.as_str());
        if same_name || words.iter().any(|word| text.contains(word)) {
            let definition = store::load(layout, &name);
            let (uuid, macs) = definition.map_or_else(
                |_| (uuid::Uuid::nil(), Vec::new()),
                |definition| (definition.uuid, definition.cards.iter().map(|card| card.mac).collect()),
            );
            // What an attempt before has left of it, or a move away from here: it gives way.
            if uuid == subject.uuid && Record::load(layout, &name).is_ok_and(|record| record.state == State::Elsewhere)
            {
                continue;
            }
            let taken = Taken { name, uuid, macs };
            // What only looked so, in a comment say.
            let shares = taken.uuid == subject.uuid || taken.macs.iter().any(|mac| subject.macs.contains(mac));
            all.extend((same_name || shares).then_some(taken));
        }
    }
    Ok(all)
}

/// Why policy does not let it come.
fn denial(policy: &Policy, peer: &PeerName, subject: &Subject) -> Option<String> {
    let relocation = &policy.relocation;
    if !relocation.enabled {
        Some("its relocation is off".to_owned())
    } else if !relocation.accepts(peer, &subject.domain) {
        Some(format!("no line of [[relocation.accept]] takes {} from this host, {peer} there", subject.domain))
    } else {
        None
    }
}

/// Why it cannot come, by what this host knows of its owner.
fn held(layout: &Layout, subject: &Subject) -> Option<String> {
    match ownership::standing(layout, subject.uuid, &subject.domain) {
        Ok(Some(standing)) if standing.holding == Holding::Ceded => {
            Some(format!("it was handed over from there and was not taken; `fief recover {}` there", subject.domain))
        }
        Ok(Some(_) | None) => None,
        Err(failure) => Some(failure.message),
    }
}
