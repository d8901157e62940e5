//! What a tap lets in: its card's frames and no others, so that a guest cannot speak in another's name.

use super::admission::{self, Admission, CHAIN, FAMILY};
use super::{nft, rules};
use crate::error::Result;
use crate::gate::Gate;
use crate::types::InterfaceName;

pub(in crate::gate::perform) fn admit(gate: &Gate, tap: &InterfaceName, admission: &Admission) -> Result<()> {
    // A table is there where another program took away a part of it, or a tap went and left it.
    nft::apply(gate, &admission::first(tap, admission))
        .or_else(|_| nft::apply(gate, &admission::port(tap, admission)))
        .map_err(|failure| failure.while_doing(format!("cannot limit what the tap {tap} lets in")))
}

/// The chain goes with the tap; its table is left by that.
pub(in crate::gate::perform) fn forget(gate: &Gate, tap: &InterfaceName) -> Result<()> {
    nft::apply(gate, &rules::nothing(FAMILY, tap))
        .map_err(|failure| failure.while_doing(format!("cannot remove the packet filter of the tap {tap}")))
}

pub(in crate::gate::perform) fn stands(gate: &Gate, tap: &InterfaceName) -> Result<bool> {
    nft::stands(gate, FAMILY, &rules::table(tap), &[CHAIN])
}
