//! `fief recover` for networks: what a start or stop left that was killed.

use super::store::Store;
use super::{NetworkState, life, store, trial};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::recover::Mended;
use crate::gate::{Gate, Ledger, Mode};
use crate::sys::durable;
use crate::types::NetworkName;

/// The folders of networks, of those too that have lost their definition.
pub(super) fn names(gate: &Gate) -> Result<Vec<NetworkName>> {
    store::folders(gate.layout())
}

pub(super) fn recover(gate: &Gate, name: &NetworkName) -> Result<Vec<Mended>> {
    let store = Store::new(gate.layout(), name);
    let perform = gate.mode() == Mode::Perform;
    let mut mended = Vec::new();
    let _lock = store.lock_folder()?;
    if perform {
        sweep(&store, &mut mended)?;
    }
    match store.record() {
        Ok(_) => {}
        Err(failure) if failure.kind == Kind::NeedsRecover => {
            if perform {
                store.set_record_aside()?;
            }
            mended
                .push(Mended::new("its record cannot be read", "it is kept beside, and the network counts as cut off"));
        }
        Err(failure) => return Err(failure),
    }
    if perform && store.exists() {
        if store.rollback().armed()?.is_some_and(|armed| !armed.guarded()) {
            mended.push(Mended::new("its start was on trial, and nobody watched over it any more", "it is taken down"));
        }
        trial::settle(gate, &store, name)?;
    }
    let ledger = Ledger::open(&store.ledger_file());
    let state = match &ledger {
        Ok(ledger) => life::standing(&store, ledger).unwrap_or(NetworkState::Partial),
        Err(_) => NetworkState::Partial,
    };
    match state {
        NetworkState::Up | NetworkState::Trial | NetworkState::Down => {}
        NetworkState::Partial => {
            if perform {
                life::undo(gate, &store, &mut Ledger::open(&store.ledger_file())?, name).map_err(|failure| {
                    Failure {
                        kind: Kind::NeedsRecover,
                        hint: Some("mend what is named above; `fief recover` tries again".into()),
                        ..failure
                    }
                })?;
            }
            mended.push(Mended::new(
                "a start or stop was cut off, or the host started anew",
                "the rest was taken down; it is down",
            ));
        }
    }
    if !store.exists() {
        if perform {
            store.remove()?;
        }
        mended.push(Mended::new("it was being deleted", "the rest of its files was removed"));
    }
    Ok(mended)
}

fn sweep(store: &Store, mended: &mut Vec<Mended>) -> Result<()> {
    let saying = || "cannot look at the network's files".to_owned();
    if durable::sweep(store.folder()).context(saying)? > 0 {
        mended.push(Mended::new("a file was half written", "it was removed"));
    }
    let lost = Ledger::salvage(&store.ledger_file())?;
    if lost > 0 {
        let found = format!("{lost} lines of its ledger cannot be read");
        mended.push(Mended::new(found, "the others count; the file is kept as ledger.jsonl.damaged"));
    }
    Ok(())
}
