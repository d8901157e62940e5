//! The packet filters of networks, made again where another program took them away while domains run.

use super::{bridges, store::Store};
use crate::error::Result;
use crate::gate::{Gate, Ledger, Operation};

/// Of the networks whose bridges the cards in a domain's ledger are on; gives a line for each filter that was gone.
/// Their plugins are not asked: what was done is in their ledgers.
pub fn refilter(gate: &Gate, domain: &Ledger) -> Result<Vec<String>> {
    let used = |ledger: &Ledger| {
        bridges(ledger).iter().any(|made| {
            let on_it =
                |operation: &Operation| matches!(operation, Operation::TapCreate { bridge, .. } if bridge == made);
            domain.entries().iter().any(|entry| on_it(&entry.operation))
        })
    };
    let mut lines = Vec::new();
    for name in super::store::names(gate.layout())? {
        let store = Store::new(gate.layout(), &name);
        if !used(&Ledger::open(&store.ledger_file())?) {
            continue;
        }
        // Under its lock, so that a network which is being taken down is not given a filter anew.
        let _lock = store.lock()?;
        lines.extend(gate.refilter(&Ledger::open(&store.ledger_file())?)?);
    }
    Ok(lines)
}
