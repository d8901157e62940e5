//! Cards: the way out, and the device that shows it to the guest.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{BootOrder, CARDS, CardPlan, List, Plan, place};
use crate::config::domain::{BootDevice, CardModel};
use crate::error::{Failure, Result};
use crate::sandbox::protocol::{Forward, Protocol};

pub(super) fn add(list: &mut List, plan: &Plan<'_>, order: &mut BootOrder) -> Result<()> {
    let cards = &plan.definition.cards;
    if cards.len() != plan.cards.len() {
        return Err(Failure::other("the domain's cards and their ports are not of the same number"));
    }
    for (index, (card, source)) in cards.iter().zip(&plan.cards).enumerate() {
        let id = format!("card{index}");
        let mut host_mtu = None;
        match source {
            CardPlan::Tap { descriptor, mtu } => {
                host_mtu = *mtu;
                list.json("-netdev", json!({"type": "tap", "id": id, "fd": descriptor.to_string()}));
            }
            CardPlan::User { network, forwards, restricted } => {
                let mut netdev = json!({"type": "user", "id": id, "restrict": restricted, "ipv6": false});
                if let Some(network) = network {
                    netdev["net"] = network.as_str().into();
                }
                if !forwards.is_empty() {
                    let rules = forwards.iter().map(|forward| Ok(json!({"str": rule(forward)?})));
                    netdev["hostfwd"] = rules.collect::<Result<Value>>()?;
                }
                list.json("-netdev", netdev);
            }
        }
        let driver = match card.model {
            CardModel::Virtio => "virtio-net-pci",
            CardModel::E1000 => "e1000",
        };
        let mut device = json!({
            "driver": driver, "id": format!("{id}-device"), "netdev": id, "mac": card.mac.to_string(),
        });
        match (card.model, host_mtu) {
            (CardModel::Virtio, Some(mtu)) => device["host_mtu"] = mtu.into(),
            (CardModel::Virtio | CardModel::E1000, None) | (CardModel::E1000, Some(_)) => {}
        }
        match order.index(BootDevice::Network, index) {
            Some(boot) => device["bootindex"] = boot.into(),
            // The boot program is of no use then, and need not be installed.
            None => device["romfile"] = "".into(),
        }
        place(&mut device, "cards", CARDS, index, cards.len())?;
        list.json("-device", device);
    }
    Ok(())
}

/// `hostfwd` as qemu(1) writes it; an empty guest address is the first that the built-in DHCP server gives.
fn rule(forward: &Forward) -> Result<String> {
    let host: Ipv4Addr = forward.host_address.parse().map_err(|_| {
        Failure::usage(format!("{:?} is not an IPv4 address of this host to forward from", forward.host_address))
    })?;
    let protocol = match forward.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    Ok(format!("{protocol}:{host}:{}-:{}", forward.host_port, forward.guest_port))
}
