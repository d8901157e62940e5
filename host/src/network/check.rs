//! What is wrong with a network: its plugin's findings, and the host's own.

use super::{Network, NetworkState, life, trial};
use crate::error::Result;
use crate::gate::Ledger;
use crate::sandbox::protocol::{Finding, NetworkCall, Return, Severity};

/// Something that was made for the network is not there any more.
const DRIFT: &str = "host.drift";
/// A start or stop was cut off.
const PARTIAL: &str = "host.partial";

/// It is not decided yet whether it stands.
const TRIAL: &str = "host.trial";
/// Its last start was undone, since nobody answered or confirmed.
const ROLLED_BACK: &str = "host.rolled-back";

pub(super) fn check(network: &mut Network) -> Result<Vec<Finding>> {
    let name = network.definition.name.clone();
    let _lock = network.store.lock()?;
    trial::settle(&network.gate, &network.store, &name)?;
    let mut ledger = Ledger::open(&network.store.ledger_file())?;
    let mut findings = Vec::new();
    let mut add = |severity, code: &str, message: String, remedy: String| {
        findings.push(Finding { severity, code: code.into(), object: name.to_string(), message, remedy: Some(remedy) });
    };
    match life::state(&network.gate, &name)? {
        NetworkState::Down => {}
        NetworkState::Up | NetworkState::Trial => {
            for line in network.gate.missing(&ledger)? {
                add(Severity::Blocker, DRIFT, line, format!("`fief network check {name} --repair` puts it back"));
            }
        }
        NetworkState::Partial => {
            add(
                Severity::Blocker,
                PARTIAL,
                "a start or stop was cut off".into(),
                format!("`fief network stop {name}` clears the rest"),
            );
        }
    }
    if let Some(armed) = network.store.rollback().armed()? {
        let message = format!("it goes down again in {} s", armed.left().as_secs());
        add(Severity::Warning, TRIAL, message, format!("`fief network confirm {name}` lets it stand"));
    } else if let Some(last) = network.store.rollback().last() {
        let remedy = format!("`fief network start {name} --confirm-within 60s` leaves the decision to you");
        add(Severity::Warning, ROLLED_BACK, format!("it was taken down again: {}", last.why), remedy);
    }
    match network.ask(&mut ledger, NetworkCall::Check)? {
        Return::Findings(of_plugin) => {
            findings.extend(of_plugin);
            Ok(findings)
        }
        _ => Err(network.odd_answer("check")),
    }
}
