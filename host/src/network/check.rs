//! What is wrong with a network: its plugin's findings, and the host's own.

use super::{Network, NetworkState, life};
use crate::error::Result;
use crate::gate::Ledger;
use crate::sandbox::protocol::{Finding, NetworkCall, Return, Severity};

/// Something that was made for the network is not there any more.
const DRIFT: &str = "host.drift";
/// A start or stop was cut off.
const PARTIAL: &str = "host.partial";

pub(super) fn check(network: &mut Network) -> Result<Vec<Finding>> {
    let name = network.definition.name.clone();
    let _lock = network.store.lock()?;
    let mut ledger = Ledger::open(&network.store.ledger_file())?;
    let mut findings = Vec::new();
    let mut add = |code: &str, message: String, remedy: String| {
        findings.push(Finding {
            severity: Severity::Blocker,
            code: code.into(),
            object: name.to_string(),
            message,
            remedy: Some(remedy),
        });
    };
    match life::state(&network.gate, &name)? {
        NetworkState::Down => {}
        NetworkState::Up => {
            for line in network.gate.missing(&ledger)? {
                add(DRIFT, line, format!("`fief network start {name}` puts it back"));
            }
        }
        NetworkState::Partial => {
            add(PARTIAL, "a start or stop was cut off".into(), format!("`fief network stop {name}` clears the rest"));
        }
    }
    match network.ask(&mut ledger, NetworkCall::Check)? {
        Return::Findings(of_plugin) => {
            findings.extend(of_plugin);
            Ok(findings)
        }
        _ => Err(network.odd_answer("check")),
    }
}
