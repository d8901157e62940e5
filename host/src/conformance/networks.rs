//! One network of the plugin's, on a network that nobody else is on, and the calls that cases make of it.

use std::time::Instant;

use super::bench::WALL;
use super::expect::{Result, fail, inner};
use crate::config::network::NetworkDefinition;
use crate::error::{Failure, Kind};
use crate::gate::Gate;
use crate::gate::operation::LinkFacts;
use crate::network::{Network, Nic, Port};
use crate::plugin::trouble::Trouble;
use crate::sandbox::protocol::Finding;
use crate::sys::apart::Cable;

/// Is there for networks that want a link of the host's.
pub const CABLE: Cable = ("fieftest0", "fieftest1");

pub(super) struct Bench {
    gate: Gate,
    network: Network,
    /// Calls that took all of their time.
    pub(super) hung: u32,
}

/// What a call came to.
#[derive(Debug)]
pub(super) struct Asked<T> {
    pub(super) called: &'static str,
    pub(super) said: Result<T, Failure>,
}

impl Bench {
    /// # Errors
    /// As [`Network::define`].
    pub(super) fn new(gate: &Gate, definition: NetworkDefinition) -> Result<Bench, Failure> {
        Ok(Bench { gate: gate.clone(), network: Network::define(gate, definition)?, hung: 0 })
    }

    fn timed<T>(&mut self, called: &'static str, ask: impl FnOnce(&mut Network) -> Result<T, Failure>) -> Asked<T> {
        let begun = Instant::now();
        let said = ask(&mut self.network);
        if begun.elapsed() >= WALL {
            self.hung += 1;
        }
        Asked { called, said }
    }

    pub(super) fn up(&mut self) -> Asked<()> {
        self.timed("up", Network::up)
    }

    pub(super) fn up_again(&mut self) -> Asked<()> {
        self.timed("up, of a network that is up", Network::up_again)
    }

    pub(super) fn check(&mut self) -> Asked<Vec<Finding>> {
        self.timed("check", Network::check)
    }

    pub(super) fn plug(&mut self, nic: &Nic) -> Asked<Port> {
        self.timed("plug", |network| network.plug(nic))
    }

    /// By its ledger; the plugin is not asked.
    pub(super) fn down(&mut self) -> Result<()> {
        let name = self.network.definition().name.clone();
        Ok(Network::down(&self.gate, &name, true)?)
    }

    /// Without addresses that the kernel gives by itself, some time after a link is there (RFC 4862, section 5.3).
    pub(super) fn links(&self) -> Result<Vec<LinkFacts>> {
        let mut all = self.network.links()?;
        for link in &mut all {
            link.addresses.retain(|address| !address.starts_with("fe80:"));
        }
        Ok(all)
    }

    /// What was made for it.
    pub(super) fn made(&self) -> Result<Vec<String>> {
        Ok(self.network.made()?)
    }

    /// From now on the host fails like that.
    pub(super) fn fail(&mut self, trouble: Option<Trouble>) {
        self.network.fail(trouble);
    }

    pub(super) fn was_troubled(&self) -> bool {
        self.network.was_troubled()
    }

    /// The next call is of another instance.
    pub(super) fn start_over(&mut self) {
        self.network.start_over();
    }

    /// Takes the network down. Gives what could not be.
    pub(super) fn tidy(&mut self) -> Vec<String> {
        self.fail(None);
        self.start_over();
        match self.down() {
            Ok(()) => Vec::new(),
            Err(_) => vec![self.network.definition().name.to_string()],
        }
    }
}

impl<T> Asked<T> {
    /// What it was to give.
    pub(super) fn gives(self, expected: &str) -> Result<T> {
        match self.said {
            Ok(given) => Ok(given),
            Err(failure) => fail(self.called, expected, inner(&failure)),
        }
    }

    /// That it ended with an error of the plugin's own.
    pub(super) fn refused(self, when: &str) -> Result<()> {
        let called = format!("{}{when}", self.called);
        match self.said {
            Err(failure) if failure.kind != Kind::PluginFault => Ok(()),
            Err(failure) => fail(called, "an error of its own", inner(&failure)),
            Ok(_) => fail(called, "an error", "success"),
        }
    }
}
