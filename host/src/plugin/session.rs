//! One sandbox process and the calls made into it.

use crate::error::Result;
use crate::gate::{Gate, Ledger};
use crate::sandbox::protocol::{Call, Return};
use crate::types::{NetworkName, PluginId, PoolName};

/// What a call is about; it fills in what the plugin's asks do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Pool(PoolName),
    Network(NetworkName),
}

/// A sandbox process with one plugin loaded. Dropping it ends the process.
pub struct Session {}

impl Session {
    /// Starts a sandbox for an installed plugin: directories that are granted and wanted are opened by the gate
    /// and handed over (read-only in a dry run).
    ///
    /// # Errors
    /// `NotFound` where it is not installed, `Denied` where its digest is not the pinned one or it asks for more
    /// than was granted, `PluginFault` where it does not load.
    pub fn start(gate: &Gate, plugin: &PluginId) -> Result<Session> {
        let _ = (gate, plugin);
        Err(crate::error::Failure::other("no sandbox yet"))
    }

    /// Calls a function of the plugin on a fresh instance. Each ask of the plugin goes through the gate as that
    /// plugin, against `ledger`; the caller seals, keeps or undoes it.
    ///
    /// # Errors
    /// The plugin's own error by its code (`not-found` → `NotFound`, `already-exists`, `in-use`, `wrong-state` →
    /// `Conflict`, `denied` → `Denied`, `exhausted` → `NoRoom`, `unreachable`, `timeout`, `invalid` → `Usage`);
    /// `PluginFault` for a trap, a limit, or an answer that does not fit the call.
    pub fn call(&mut self, ledger: &mut Ledger, subject: &Subject, call: Call) -> Result<Return> {
        let _ = (ledger, subject, call);
        Err(crate::error::Failure::other("no sandbox yet"))
    }
}
