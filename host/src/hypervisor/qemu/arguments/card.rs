//! Cards: the way out, and the device that shows it to the guest.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{BootOrder, CARD_SLOTS, CARDS, CardPlan, FIRST_CARDS, List, Plan, place, place_among, port_of};
use crate::config::domain::{BootDevice, Card, CardModel};
use crate::error::{Failure, Result};
use crate::hypervisor::places::FIXED;
use crate::sandbox::protocol::{Forward, Protocol};

pub(super) fn add(list: &mut List, plan: &Plan<'_>, order: &mut BootOrder) -> Result<()> {
    let (cards, places) = (&plan.definition.cards, plan.places);
    if cards.len() != plan.cards.len() {
        return Err(Failure::other("the domain's cards and their ports are not of the same number"));
    }
    let fixed = places.cards.values().filter(|seat| **seat >= FIXED).count();
    for (index, (card, source)) in cards.iter().zip(&plan.cards).enumerate() {
        let seat = places.card(card.mac)?;
        let descriptor = match source {
            CardPlan::Tap { descriptor, .. } => descriptor.to_string(),
            CardPlan::User { .. } => String::new(),
        };
        list.json("-netdev", netdev(seat, source, &descriptor)?);
        let boots = order.index(BootDevice::Network, index);
        let mut device = device(seat, card, source, boots.is_some());
        if let Some(boot) = boots {
            device["bootindex"] = boot.into();
        }
        if places.hardware < 2 {
            place(&mut device, "cards", FIRST_CARDS, index, cards.len())?;
        } else if seat < FIXED {
            device["bus"] = port_of(seat, places.card_ports, "cards", port)?.into();
        } else {
            place_among(&mut device, "cards", (CARDS, CARD_SLOTS), seat - FIXED, fixed)?;
        }
        list.json("-device", device);
    }
    Ok(())
}

/// The way out. `descriptor` is the tap's, by number or by the name that QMP knows it under.
pub(in crate::hypervisor::qemu) fn netdev(seat: usize, source: &CardPlan, descriptor: &str) -> Result<Value> {
    let id = id(seat);
    Ok(match source {
        CardPlan::Tap { .. } => json!({"type": "tap", "id": id, "fd": descriptor}),
        CardPlan::User { network, forwards, restricted } => {
            let mut netdev = json!({"type": "user", "id": id, "restrict": restricted, "ipv6": false});
            if let Some(network) = network {
                netdev["net"] = network.as_str().into();
            }
            if !forwards.is_empty() {
                let rules = forwards.iter().map(|forward| Ok(json!({"str": rule(forward)?})));
                netdev["hostfwd"] = rules.collect::<Result<Value>>()?;
            }
            netdev
        }
    })
}

/// The device, without its place. One that the machine may boot from has a boot program.
pub(in crate::hypervisor::qemu) fn device(seat: usize, card: &Card, source: &CardPlan, boots: bool) -> Value {
    let driver = match card.model {
        CardModel::Virtio => "virtio-net-pci",
        CardModel::E1000 => "e1000",
    };
    let mut device = json!({"driver": driver, "id": device_id(seat), "netdev": id(seat), "mac": card.mac.to_string()});
    match (card.model, source) {
        (CardModel::Virtio, CardPlan::Tap { mtu: Some(mtu), .. }) => device["host_mtu"] = (*mtu).into(),
        (CardModel::Virtio, CardPlan::Tap { mtu: None, .. } | CardPlan::User { .. }) | (CardModel::E1000, _) => {}
    }
    if !boots {
        // The boot program is of no use then, and need not be installed.
        device["romfile"] = "".into();
    }
    device
}

/// The port, of layout 2, that a card sits in.
pub(in crate::hypervisor::qemu) fn port(seat: usize) -> String {
    format!("card-port{seat}")
}

pub(in crate::hypervisor::qemu) fn id(seat: usize) -> String {
    format!("card{seat}")
}

pub(in crate::hypervisor::qemu) fn device_id(seat: usize) -> String {
    format!("{}-device", id(seat))
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
