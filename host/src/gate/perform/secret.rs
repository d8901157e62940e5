//! Secrets revealed, kept and forgotten. The store itself is `gate/secret.rs`.

use std::os::fd::OwnedFd;

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Failure, Result};
use crate::gate::secret;

/// `descriptors`: for `SecretSet`, the bytes.
pub(super) fn act(gate: &Gate, operation: &Operation, descriptors: Vec<OwnedFd>) -> Result<Done> {
    let layout = gate.layout();
    secret::stay_private()?;
    let outcome = match operation {
        Operation::SecretReveal { secret, .. } => {
            let descriptor = secret::hand_over(&secret::read(layout, secret)?)?;
            return Ok(Done { outcome: Outcome::Revealed, descriptors: vec![descriptor] });
        }
        Operation::SecretSet { secret } => {
            let bytes = descriptors.first().ok_or_else(|| Failure::other("a secret without its bytes"))?;
            secret::write(layout, secret, &secret::take(bytes)?)?;
            Outcome::Set
        }
        Operation::SecretDelete { secret } => match secret::remove(layout, secret)? {
            true => Outcome::Set,
            false => Outcome::Unchanged,
        },
        other => return Err(Failure::other(format!("not an operation on secrets: {other:?}"))),
    };
    Ok(Done { outcome, descriptors: Vec::new() })
}
