//! `<interface>` (formatdomain, "Network interfaces").

use crate::config::domain::CardModel;
use crate::import::guest::GuestCard;
use crate::import::report::Report;
use crate::import::value;
use crate::import::xml::Element;

pub(super) fn card(interface: Element<'_, '_>, report: &mut Report) -> Option<GuestCard> {
    let line = interface.line();
    let kind = interface.attribute("type").unwrap_or("?");
    let source = |name| interface.attribute_of("source", name);
    // What `--network` calls it.
    let bridge = match kind {
        "network" => source("network"),
        "bridge" => source("bridge"),
        "direct" => source("dev"),
        "user" | "ethernet" | "vhostuser" | "internal" | "vdpa" => Some(kind),
        other => {
            report.left(line, "interface", format!("{other}: devices of the host are not handed to guests"));
            return None;
        }
    };
    let Some(bridge) = bridge else {
        report.wrong(line, "interface", "it does not say what it is wired to", "as in <source bridge='br0'/>");
        return None;
    };
    let key = format!("interface {bridge}");
    let mac = interface.attribute_of("mac", "address");
    let model = match interface.attribute_of("model", "type") {
        Some("virtio" | "virtio-net" | "netfront") => CardModel::Virtio,
        Some("e1000") => CardModel::E1000,
        other => {
            // rtl8139 is what libvirt takes where nothing is said.
            let other = other.unwrap_or("an emulated card");
            report.changed(line, &key, format!("{other} becomes model = \"e1000\""));
            CardModel::E1000
        }
    };
    let (mut address, mut bandwidth) = (None, None);
    for element in interface.children() {
        let (line, key) = (element.line(), format!("{key} {}", element.name()));
        let why = match element.name() {
            "mac" | "source" | "model" | "address" | "alias" | "target" | "driver" | "boot" => continue,
            "filterref" => {
                let own = element.all("parameter").find(|parameter| parameter.attribute("name") == Some("IP"));
                if let Some(written) = own.and_then(|parameter| parameter.attribute("value")) {
                    address = value::address(written, line, &key, report);
                }
                "every card sends with its own MAC address alone, and with its own address where it has one"
            }
            "ip" => {
                if let Some(written) = element.attribute("address") {
                    address = address.or(value::address(written, line, &key, report));
                }
                continue;
            }
            "bandwidth" => {
                // One limit for both ways here: the wider of the two. Written in kilobytes a second.
                let average = |way: Element<'_, '_>| way.attribute("average")?.parse::<u64>().ok()?.checked_mul(8_000);
                bandwidth = value::bandwidth(element.children().filter_map(average).max(), line, &key, report);
                continue;
            }
            "vlan" | "virtualport" | "portOptions" => "VLANs are a network's, not a card's",
            "mtu" => "the MTU is the network's",
            "link" => "a card's link is up",
            "script" | "downscript" | "guest" | "route" | "backend" | "portForward" | "tune" | "coalesce" => {
                "fief wires cards to its networks by itself"
            }
            _ => "it has no counterpart",
        };
        report.left(line, &key, why);
    }
    Some(GuestCard {
        line,
        bridge: bridge.to_owned(),
        mac: mac.and_then(|mac| value::mac(mac, line, &key, report)),
        model,
        address,
        bandwidth,
    })
}
