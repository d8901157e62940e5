//! Which of its own clients of storage this QEMU has. Distributions put them into packages of their own, or leave them
//! out; what a QEMU was built with says nothing of what is installed. So each is tried: a disk is opened that is not
//! there, and the words of the failure say whether it was the client that failed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::printable;
use super::probe::{Key, key, record};
use crate::error::{Failure, Result};
use crate::gate::operation::HypervisorCommand;
use crate::gate::{Actor, Gate, Ledger, Operation, Outcome};
use crate::types::ByteSize;

/// QEMU is through in 50 ms. One that is still at it has a client that waits for an answer. In milliseconds.
const LIMIT: u32 = 10_000;
/// What QEMU says where it has no such driver, or may not use it (`bdrv_open_inherit` and `bdrv_open_driver` in its
/// block.c, and the reader of its arguments).
const ABSENT: [&str; 3] = ["Unknown driver", "not whitelisted", "does not accept value"];
/// Where distributions put QEMU's modules: one that is installed later changes the folder.
const MODULES: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu/qemu", "/usr/lib/aarch64-linux-gnu/qemu", "/usr/lib64/qemu", "/usr/lib/qemu"];

/// A client of QEMU's own that speaks with a server of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    Nfs,
    Iscsi,
}

impl Client {
    pub const ALL: [Client; 2] = [Client::Nfs, Client::Iscsi];

    pub const fn as_str(self) -> &'static str {
        match self {
            Client::Nfs => "nfs",
            Client::Iscsi => "iscsi",
        }
    }

    /// What it is built upon.
    pub const fn library(self) -> &'static str {
        match self {
            Client::Nfs => "libnfs",
            Client::Iscsi => "libiscsi",
        }
    }

    /// A disk that is nowhere: in an empty network namespace, or behind a port that nobody listens on.
    fn nowhere(self) -> Value {
        match self {
            Client::Nfs => json!({
                "driver": "nfs", "node-name": "try", "server": {"type": "inet", "host": "127.0.0.1"}, "path": "/try/it",
            }),
            Client::Iscsi => json!({
                "driver": "iscsi", "node-name": "try", "transport": "tcp", "portal": "127.0.0.1:1",
                "target": "iqn.2026-01.fief:try",
            }),
        }
    }
}

/// What was found, as `host/drivers.json` keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Found {
    key: Key,
    /// When the folder of modules changed the last time; seconds since 1970-01-01T00:00:00Z.
    modules: Option<i64>,
    all: Vec<Client>,
}

/// Why this host's QEMU does not reach a server by itself; none where it does.
pub fn lacks(gate: &Gate, client: Client) -> Result<Option<String>> {
    let Some(key) = key(&gate.policy().host.qemu) else {
        return Ok(Some(format!("there is no {}", gate.policy().host.qemu.display())));
    };
    let modules = MODULES.iter().find_map(|folder| std::fs::metadata(folder).ok());
    let modules = modules.map(|facts| std::os::unix::fs::MetadataExt::mtime(&facts));
    let path = gate.layout().host().join("drivers.json");
    let known: Option<Found> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let known = known.filter(|known| known.key == key && known.modules == modules);
    // What is absent is tried again: to install it is what the operator does next.
    if known.as_ref().is_some_and(|known| known.all.contains(&client)) {
        return Ok(None);
    }
    let why = tried(gate, client)?;
    if why.is_none() {
        let mut found = known.unwrap_or(Found { key, modules, all: Vec::new() });
        found.all.push(client);
        // The record only saves time.
        if let Err(failure) = record(&path, &found) {
            tracing::warn!("what QEMU has is not kept: {failure}");
        }
    }
    Ok(why)
}

fn tried(gate: &Gate, client: Client) -> Result<Option<String>> {
    let words = ["-nodefaults", "-no-user-config", "-machine", "none", "-display", "none", "-blockdev"];
    let mut arguments: Vec<String> = words.map(String::from).to_vec();
    arguments.push(client.nowhere().to_string());
    let program = gate.policy().host.qemu.clone();
    let command = HypervisorCommand {
        program,
        arguments,
        host_network: false,
        kvm: false,
        userfaults: false,
        memory: ByteSize::from_mib(32),
    };
    let operation = Operation::HypervisorProbe { command, limit_ms: LIMIT };
    match gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?.outcome {
        Outcome::Probed { said, .. } => {
            let absent = said.iter().find(|line| ABSENT.iter().any(|words| line.contains(words)));
            // After the arguments, which it repeats.
            let words = absent.map(|line| line.rsplit_once("}: ").map_or(line.as_str(), |(_, words)| words));
            Ok(words.map(|words| format!("this QEMU has no {} client ({})", client.as_str(), printable(words))))
        }
        other => Err(Failure::other(format!("the gate answered a probe with {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::policy::Policy;
    use crate::gate::Mode;
    use crate::layout::Layout;

    fn gate(root: &Path, qemu: &Path) -> Gate {
        let mut policy = Policy::default();
        policy.host.qemu = qemu.to_owned();
        Gate::new(Layout::new(root), Arc::new(policy), Mode::Perform)
    }

    #[test]
    fn what_this_qemu_has_is_found_once() {
        let root = tempfile::tempdir().unwrap();
        let gate = gate(root.path(), &Policy::default().host.qemu);
        for client in Client::ALL {
            assert_eq!(lacks(&gate, client).unwrap(), None, "apt install qemu-block-extra");
        }
        let path = root.path().join("host/drivers.json");
        let found: Found = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(found.all, Client::ALL);
    }

    #[test]
    fn what_is_absent_is_said_in_qemus_words_and_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let qemu = root.path().join("qemu");
        let script = |words: &str| {
            std::fs::write(&qemu, format!("#!/bin/sh\necho \"qemu: -blockdev {{}}: {words}\" >&2\nexit 1\n")).unwrap();
            std::fs::set_permissions(&qemu, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let gate = gate(root.path(), &qemu);
        assert!(lacks(&gate, Client::Nfs).unwrap().unwrap().contains("there is no"));
        for words in ["Unknown driver 'nfs'", "Driver 'nfs' is not whitelisted"] {
            script(words);
            let why = lacks(&gate, Client::Nfs).unwrap().unwrap();
            assert_eq!(why, format!("this QEMU has no nfs client ({words})"));
        }
        script("Failed to mount nfs share");
        assert_eq!(lacks(&gate, Client::Nfs).unwrap(), None);
    }
}
