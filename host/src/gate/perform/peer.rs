//! Hosts invited, trusted and forgotten. The store itself is `gate/peers.rs`.

use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Failure, Result};
use crate::gate::peers::{self, Invitation, Pinned};
use crate::gate::secret;

/// `descriptors`: for `PeerInvite`, the verifier.
pub(super) fn act(gate: &Gate, operation: &Operation, descriptors: Vec<OwnedFd>) -> Result<Done> {
    let layout = gate.layout();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let outcome = match operation {
        Operation::PeerInvite { invitation, name, until } => {
            let verifier = descriptors.first().ok_or_else(|| Failure::other("an invitation without its verifier"))?;
            let verifier = String::from_utf8_lossy(secret::take(verifier)?.reveal()).into_owned();
            let open = Invitation { name: name.clone(), until: *until, verifier, wrong: 0 };
            peers::invite(layout, invitation, &open, now)?;
            Outcome::Set
        }
        Operation::PeerPin { peer, host, host_name, fingerprint, address, invitation } => {
            let pinned = Pinned {
                host: *host,
                host_name: host_name.clone(),
                fingerprint: *fingerprint,
                address: address.clone(),
                since: now,
            };
            peers::pin(layout, peer, &pinned, invitation.as_deref())?;
            Outcome::Set
        }
        Operation::PeerForget { peer } => match peers::forget(layout, peer)? {
            true => Outcome::Set,
            false => Outcome::Unchanged,
        },
        other => return Err(Failure::other(format!("not an operation on peers: {other:?}"))),
    };
    Ok(Done { outcome, descriptors: Vec::new() })
}
