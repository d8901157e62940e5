//! What whoever tries a plugin out may do with a network besides: look at the host's links, ask once more, have the host fail.

use super::{Network, life, links};
use crate::error::Result;
use crate::gate::Ledger;
use crate::gate::operation::LinkFacts;
use crate::plugin::trouble::Trouble;

impl Network {
    /// All links of the host, by name; those that fief made for this network are `owned`.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn links(&self) -> Result<Vec<LinkFacts>> {
        let mut all = links(&self.gate, &self.definition.name)?;
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Asks the plugin for all of it again, with everything there.
    ///
    /// # Errors
    /// The plugin's.
    pub fn up_again(&mut self) -> Result<()> {
        let _lock = self.store.lock()?;
        let mut ledger = Ledger::open(&self.store.ledger_file())?;
        life::ask_up(self, &mut ledger)
    }

    /// What its ledger holds, oldest first, in words.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub fn made(&self) -> Result<Vec<String>> {
        let ledger = Ledger::open(&self.store.ledger_file())?;
        Ok(ledger.entries().iter().map(|entry| format!("{:?}", entry.operation)).collect())
    }

    /// What the host fails at in each call from now on.
    pub fn fail(&mut self, trouble: Option<Trouble>) {
        self.trouble = trouble;
    }

    /// Whether that came in the last call.
    pub fn was_troubled(&self) -> bool {
        // One that was at fault is gone, with its sandbox.
        self.asked.as_ref().is_none_or(|asked| asked.caller.was_troubled())
    }

    /// Ends the plugin's sandbox; the next call starts another.
    pub fn start_over(&mut self) {
        self.asked = None;
    }
}
