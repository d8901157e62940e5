//! Up and down.

use std::time::{SystemTime, UNIX_EPOCH};

use super::store::{Record, Store, boot_id};
use super::{Network, NetworkState, bridges, links};
use crate::error::{Failure, Kind, Result};
use crate::fault;
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
        Some(_) => NetworkState::Up,
        None if ledger.is_empty() => NetworkState::Down,
        None => NetworkState::Partial,
    })
}

pub(super) fn up(network: &mut Network) -> Result<()> {
    let name = network.definition.name.clone();
    let _lock = network.store.lock()?;
    let mut ledger = Ledger::open(&network.store.ledger_file())?;
    match standing(&network.store, &ledger)? {
        NetworkState::Up => {
            let missing = network.gate.missing(&ledger)?;
            if missing.is_empty() {
                return Ok(());
            }
            tracing::warn!(network = %name, ?missing, "a network lost what was made for it; it is put back");
            // All is asked for again, what stands stays. What fails here leaves the rest to the domains that run on it.
            return ask_up(network, &mut ledger).map_err(|failure| {
                failure.while_doing(format!("cannot repair network {name}: {}", missing.join(", ")))
            });
        }
        NetworkState::Partial | NetworkState::Down => {}
    }
    match network.gate.mode() {
        Mode::DryRun => {}
        Mode::Perform => {
            // What a killed start or an earlier boot left.
            undo(&network.gate, &mut ledger, &name)?;
            network.store.remove_record()?;
        }
    }
    fault::point("network-start.locked")?;
    let bridge = network.offered_bridge()?;
    let done = ask_up(network, &mut ledger).and_then(|()| match network.gate.mode() {
        Mode::DryRun => Ok(()),
        Mode::Perform => {
            fault::point("network-start.done")?;
            let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            network.store.write_record(&Record { bridge, since, boot: boot_id()? })?;
            fault::point("network-start.recorded")
        }
    });
    done.map_err(|failure| {
        let failure = failure.while_doing(format!("cannot start network {name}"));
        // A record that may stand by now must not say up for a network that is being taken down.
        let unrecorded = match network.gate.mode() {
            Mode::DryRun => Ok(()),
            Mode::Perform => network.store.remove_record(),
        };
        let rest = [unrecorded, undo(&network.gate, &mut ledger, &name)].into_iter().filter_map(Result::err);
        let causes = failure.causes.iter().cloned().chain(rest.map(|rest| rest.to_string())).collect();
        Failure { causes, ..failure }
    })
}

fn ask_up(network: &mut Network, ledger: &mut Ledger) -> Result<()> {
    match network.ask(ledger, NetworkCall::Up)? {
        Return::Nothing => Ok(()),
        _ => Err(network.odd_answer("up")),
    }
}

pub(super) fn undo(gate: &Gate, ledger: &mut Ledger, name: &NetworkName) -> Result<()> {
    gate.undo(ledger).map_err(|failures| Failure {
        causes: failures.iter().map(Failure::to_string).collect(),
        ..Failure::new(Kind::PartlyDone, format!("not all of network {name} could be taken down"))
            .hint(format!("`fief network stop {name}` tries the rest again"))
    })
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
        let cards: Vec<String> =
            links(gate, name)?.into_iter().filter(|link| on_it(&link.bridge)).map(|link| link.name).collect();
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
            fault::point("network-stop.unrecorded")?;
            undo(gate, &mut ledger, name)?;
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
