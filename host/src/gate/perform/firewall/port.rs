//! What a tap lets in: its card's frames and no others, so that a guest cannot speak in another's name.

use std::net::Ipv4Addr;

use super::{nft, rules};
use crate::error::Result;
use crate::gate::Gate;
use crate::types::{InterfaceName, MacAddress};

pub(in crate::gate::perform) fn admit(
    gate: &Gate,
    tap: &InterfaceName,
    mac: MacAddress,
    address: Option<Ipv4Addr>,
) -> Result<()> {
    nft::apply(gate, &rules::port(tap, mac, address))
        .map_err(|failure| failure.while_doing(format!("cannot limit what the tap {tap} lets in")))
}

pub(in crate::gate::perform) fn forget(gate: &Gate, tap: &InterfaceName) -> Result<()> {
    nft::apply(gate, &rules::nothing("bridge", tap))
        .map_err(|failure| failure.while_doing(format!("cannot remove the packet filter of the tap {tap}")))
}
