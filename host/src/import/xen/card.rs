//! `vif = [ … ]` (xmdomain.cfg(5), xl-network-configuration(5)).

use super::keys::Keys;
use crate::config::domain::CardModel;
use crate::import::guest::GuestCard;
use crate::import::value;

/// Where a card names no bridge (xl-network-configuration(5), "bridge").
const DEFAULT_BRIDGE: &str = "xenbr0";

pub(super) fn cards(keys: &mut Keys<'_>, hvm: bool) -> Vec<GuestCard> {
    let texts = keys.list("vif");
    let mut cards = Vec::new();
    for (number, (line, text)) in texts.into_iter().enumerate() {
        let key = format!("vif {number}");
        let mut card = GuestCard {
            line,
            bridge: DEFAULT_BRIDGE.to_owned(),
            mac: None,
            model: CardModel::Virtio,
            address: None,
            bandwidth: None,
        };
        let mut model = None;
        let mut emulated = hvm;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, word)) = part.split_once('=') else {
                keys.report.left(line, &key, format!("{part:?} is no option of a card"));
                continue;
            };
            let (name, word) = (name.trim(), word.trim());
            match name {
                "mac" => card.mac = value::mac(word, line, &key, keys.report),
                "bridge" => card.bridge = word.to_owned(),
                "ip" => card.address = value::address(word, line, &format!("{key} ip"), keys.report),
                "rate" => {
                    let key = format!("{key} rate");
                    card.bandwidth = value::bandwidth(rate(word), line, &key, keys.report);
                }
                "model" => model = Some(word.to_owned()),
                // An emulated card; `vif` and `paravirtualised` name one for drivers of Xen's.
                "type" => emulated = word == "ioemu",
                other => {
                    let why = match other {
                        "script" => "fief wires cards to its networks by itself",
                        "vifname" => "the interface is called vif<domain id>.<n>",
                        "backend" | "backenddomain" => "there are no driver domains",
                        _ => "it has no counterpart",
                    };
                    keys.report.left(line, &format!("{key} {other}"), why);
                }
            }
        }
        match (model.as_deref(), emulated) {
            (Some("virtio" | "virtio-net" | "virtio-net-pci" | "netfront"), _) | (None, false) => {}
            (Some("e1000"), _) => card.model = CardModel::E1000,
            (Some(other), _) => {
                card.model = CardModel::E1000;
                keys.report.changed(line, &format!("{key} model"), format!("{other} becomes model = \"e1000\""));
            }
            (None, true) => {
                card.model = CardModel::E1000;
                let what = "an emulated card (rtl8139 unless said) becomes model = \"e1000\"";
                keys.report.changed(line, &key, what);
            }
        }
        cards.push(card);
    }
    cards
}

/// `10Mb/s`, `250KB/s`, with the interval of Xen's own after an `@` (xl-network-configuration(5), "rate"), in bits a
/// second.
fn rate(text: &str) -> Option<u64> {
    let text = text.split('@').next()?.trim().strip_suffix("/s")?;
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "b" => 1,
        "Kb" => 1_000,
        "Mb" => 1_000_000,
        "Gb" => 1_000_000_000,
        "B" => 8,
        "KB" => 8_000,
        "MB" => 8_000_000,
        "GB" => 8_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
