//! Up and down.

use std::time::{SystemTime, UNIX_EPOCH};

use super::store::{Record, Store, boot_id};
use super::{Network, NetworkState, bridges, links, trial, uplinks};
use crate::error::{Failure, Kind, Result};
use crate::fault;
use crate::gate::operation::LinkFacts;
use crate::gate::rollback::{self, Armed};
use crate::gate::{Gate, Ledger, Mode};
use crate::sandbox::protocol::{NetworkCall, Return};
use crate::types::NetworkName;

pub(super) fn state(gate: &Gate, name: &NetworkName) -> Result<NetworkState> {
    let store = Store::new(gate.layout(), name);
    store.require()?;
    standing(&store, &Ledger::open(&store.ledger_file())?)
}

pub(super) fn standing(store: &Store, ledger: &Ledger) -> Result<NetworkState> {
    Ok(match store.record()? {
        Some(_) if store.rollback().armed()?.is_some() => NetworkState::Trial,
        Some(_) => NetworkState::Up,
        None if ledger.is_empty() => NetworkState::Down,
        None => NetworkState::Partial,
    })
}

pub(super) fn up(network: &mut Network) -> Result<()> {
    let name = network.definition.name.clone();
    match up_locked(network, &name)? {
        Some(armed) => trial::verdict(&network.gate, &network.store, &name, &armed),
        None => Ok(()),
    }
}

/// Gives the rollback that is armed for what this did.
fn up_locked(network: &mut Network, name: &NetworkName) -> Result<Option<Armed>> {
    let _lock = network.store.lock()?;
    let performs = network.gate.mode() == Mode::Perform;
    if performs {
        trial::settle(&network.gate, &network.store, name)?;
    }
    let mut ledger = Ledger::open(&network.store.ledger_file())?;
    match standing(&network.store, &ledger)? {
        NetworkState::Up | NetworkState::Trial => {
            let missing = network.gate.missing(&ledger)?;
            if missing.is_empty() {
                return Ok(None);
            }
            tracing::warn!(network = %name, ?missing, "a network lost what was made for it; it is put back");
            // All is asked for again, what stands stays. What fails here leaves the rest to the domains that run on it.
            ask_up(network, &mut ledger).map_err(|failure| {
                failure.while_doing(format!("cannot repair network {name}: {}", missing.join(", ")))
            })?;
            return if performs { trial::begin(&network.store) } else { Ok(None) };
        }
        NetworkState::Partial | NetworkState::Down => {}
    }
    if performs {
        // What a killed start or an earlier boot left.
        undo(&network.gate, &network.store, &mut ledger, name)?;
        network.store.remove_record()?;
    }
    fault::point("network-start.locked")?;
    let bridge = network.offered_bridge()?;
    let done = ask_up(network, &mut ledger).and_then(|()| match network.gate.mode() {
        Mode::DryRun => Ok(None),
        Mode::Perform => {
            fault::point("network-start.done")?;
            let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            network.store.write_record(&Record { bridge, since, boot: boot_id() })?;
            fault::point("network-start.recorded")?;
            trial::begin(&network.store)
        }
    });
    done.map_err(|failure| {
        let failure = failure.while_doing(format!("cannot start network {name}"));
        let undone = network.store.remove_record();
        match undone.and_then(|()| undo(&network.gate, &network.store, &mut ledger, name)) {
            Ok(()) => failure,
            Err(rest) => Failure { causes: failure.causes.into_iter().chain([rest.to_string()]).collect(), ..failure },
        }
    })
}

pub(super) fn ask_up(network: &mut Network, ledger: &mut Ledger) -> Result<()> {
    match network.ask(ledger, NetworkCall::Up)? {
        Return::Nothing => Ok(()),
        _ => Err(network.odd_answer("up")),
    }
}

/// Undoes what the ledger holds. Once all is back, nothing is armed any more.
pub(super) fn undo(gate: &Gate, store: &Store, ledger: &mut Ledger, name: &NetworkName) -> Result<()> {
    gate.undo(ledger).map_err(|failures| Failure {
        causes: failures.iter().map(Failure::to_string).collect(),
        ..Failure::new(Kind::PartlyDone, format!("not all of network {name} could be taken down"))
            .hint(format!("`fief network stop {name}` tries the rest again"))
    })?;
    store.rollback().disarm()
}

pub(super) fn down(gate: &Gate, name: &NetworkName, force: bool) -> Result<()> {
    let store = Store::new(gate.layout(), name);
    let _lock = store.lock()?;
    down_locked(gate, &store, name, force)
}

fn down_locked(gate: &Gate, store: &Store, name: &NetworkName, force: bool) -> Result<()> {
    let mut ledger = Ledger::open(&store.ledger_file())?;
    if !force && !ledger.is_empty() {
        let bridges = bridges(&ledger);
        let on_it = |bridge: &Option<String>| bridge.as_ref().is_some_and(|b| bridges.iter().any(|o| o.as_str() == b));
        let uplinks = uplinks(&ledger);
        let is_card = |link: &LinkFacts| on_it(&link.bridge) && !uplinks.iter().any(|up| up.as_str() == link.name);
        let cards: Vec<String> = links(gate, name)?.into_iter().filter(is_card).map(|link| link.name).collect();
        if !cards.is_empty() {
            return Err(Failure::conflict(format!("network {name} is in use by {}", cards.join(", ")))
                .hint("shut down the domains that have cards on it, or say --force"));
        }
    }
    match gate.mode() {
        Mode::DryRun => Ok(()),
        Mode::Perform => {
            // First: from here on it counts as a rest to be cleared, whatever happens.
            store.remove_record()?;
            // The operator may be reached by the uplink: it is not left half way, whatever becomes of this process.
            if let Some(bridge) = bridges(&ledger).first()
                && let Err(failure) = rollback::cover(gate, name, bridge)
            {
                tracing::warn!(%failure, network = %name, "nobody watches over the way back");
            }
            fault::point("network-stop.unrecorded")?;
            undo(gate, store, &mut ledger, name)?;
            fault::point("network-stop.undone")
        }
    }
}

pub(super) fn delete(gate: &Gate, name: &NetworkName, force: bool) -> Result<()> {
    let store = Store::new(gate.layout(), name);
    let _lock = store.lock()?;
    down_locked(gate, &store, name, force)?;
    match gate.mode() {
        Mode::DryRun => Ok(()),
        Mode::Perform => store.remove(),
    }
}
