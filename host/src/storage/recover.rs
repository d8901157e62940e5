//! `fief recover` for pools: a change that was killed.

use super::Pool;
use super::call::{LEDGER, LOCK_WAIT};
use super::pool::names;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::recover::Mended;
use crate::gate::{Gate, Ledger, Mode};
use crate::sys::durable;
use crate::types::PoolName;

impl Pool {
    /// The folders of all pools.
    pub fn recoverable(gate: &Gate) -> Result<Vec<PoolName>> {
        names(gate)
    }

    /// Undoes what a change left that was killed, or finishes one that stands; works without the pool's plugin.
    pub fn recover(gate: &Gate, name: &PoolName) -> Result<Vec<Mended>> {
        let folder = gate.layout().pool(name);
        let path = folder.join(LEDGER);
        let perform = gate.mode() == Mode::Perform;
        let mut mended = Vec::new();
        let _lock = durable::lock(&folder.join("lock"), LOCK_WAIT)?;
        if perform {
            if durable::sweep(&folder).context(|| format!("cannot look at the files of pool {name}"))? > 0 {
                mended.push(Mended::new("a file was half written", "it was removed"));
            }
            let lost = Ledger::salvage(&path)?;
            if lost > 0 {
                let found = format!("{lost} lines of its ledger cannot be read");
                mended.push(Mended::new(found, "the others count; the file is kept as ledger.jsonl.damaged"));
            }
        }
        let mut ledger = Ledger::open(&path)?;
        let done = match (ledger.is_empty(), ledger.is_sealed()) {
            (true, _) => None,
            (false, true) => Some("it stands, and was finished"),
            (false, false) => Some("it was undone"),
        };
        if perform && path.exists() {
            gate.undo(&mut ledger).map_err(|failures| {
                let causes = failures.iter().map(Failure::to_string).collect();
                Failure { causes, ..Failure::new(Kind::NeedsRecover, format!("cannot undo a change of pool {name}")) }
                    .hint("mend what is named above; `fief recover` tries again")
            })?;
        }
        mended.extend(done.map(|done| Mended::new("a change was cut off", done)));
        Ok(mended)
    }
}
