//! What the QEMU of this host is: its version, and the machine types that it has. It is asked once per boot, as long as it is
//! the same.

use serde::{Deserialize, Serialize};

use super::probe::{Key, key, record};
use crate::error::{Failure, Result};
use crate::gate::operation::HypervisorCommand;
use crate::gate::{Actor, Gate, Ledger, Operation, Outcome};
use crate::types::ByteSize;

/// QEMU answers such questions in 30 ms; on a loaded machine it may take seconds. In milliseconds.
const LIMIT: u32 = 20_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    /// As `7.2.22`.
    pub version: String,
    pub machines: Vec<String>,
}

/// What was found, as `host/hypervisor.json` keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Found {
    key: Key,
    facts: Facts,
}

/// Of the QEMU that policy names.
pub fn facts(gate: &Gate) -> Result<Facts> {
    let key = key(&gate.policy().host.qemu);
    let path = gate.layout().host().join("hypervisor.json");
    let known: Option<Found> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(known) = known.filter(|known| key.as_ref() == Some(&known.key)) {
        return Ok(known.facts);
    }
    let facts = read(gate)?;
    if let Some(key) = key {
        let found = Found { key, facts: facts.clone() };
        // The record only saves time.
        if let Err(failure) = record(&path, &found) {
            tracing::warn!("what QEMU is here is not kept: {failure}");
        }
    }
    Ok(facts)
}

fn read(gate: &Gate) -> Result<Facts> {
    let version = version(&asked(gate, &["-version"])?)
        .ok_or_else(|| Failure::other("QEMU does not tell its version as it always has"))?;
    Ok(Facts { version, machines: machines(&asked(gate, &["-machine", "help"])?) })
}

fn asked(gate: &Gate, words: &[&str]) -> Result<Vec<String>> {
    let command = HypervisorCommand {
        program: gate.policy().host.qemu.clone(),
        arguments: words.iter().map(|word| (*word).to_owned()).collect(),
        host_network: false,
        kvm: false,
        userfaults: false,
        memory: ByteSize::from_mib(32),
    };
    let operation = Operation::HypervisorProbe { command, limit_ms: LIMIT };
    match gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?.outcome {
        Outcome::Probed { code: Some(0), said, .. } => Ok(said),
        Outcome::Probed { said, .. } => {
            let mut failure = Failure::other(format!("QEMU does not answer to {}", words.join(" ")));
            failure.causes.extend(said.last().map(|line| super::printable(line)));
            Err(failure)
        }
        other => Err(Failure::other(format!("the gate answered a probe with {other:?}"))),
    }
}

/// `QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
fn version(said: &[String]) -> Option<String> {
    let (_, rest) = said.first()?.split_once("version ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// `pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)`, a line each, with a heading.
fn machines(said: &[String]) -> Vec<String> {
    said.iter().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_tells_its_version_and_its_machines() {
        let root = tempfile::tempdir().unwrap();
        let layout = crate::layout::Layout::new(root.path());
        let gate = Gate::new(layout, std::sync::Arc::default(), crate::gate::Mode::Perform);
        let facts = facts(&gate).unwrap();
        assert_eq!(facts.version.split('.').count(), 3, "{}", facts.version);
        let series = facts.version.rsplit_once('.').unwrap().0;
        assert!(facts.machines.contains(&format!("pc-q35-{series}")), "{:?}", facts.machines);
        assert!(root.path().join("host/hypervisor.json").exists());
        assert_eq!(super::facts(&gate).unwrap(), facts);
    }
}
