//! Which network each card is on.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{Choices, Here};
use crate::config::domain::{CARDS_MAX, CardModel};
use crate::import::guest::{Guest, GuestCard};
use crate::import::report::Report;
use crate::types::NetworkName;

pub(super) fn cards(guest: &Guest, choices: &Choices, here: &Here, report: &mut Report) -> Vec<Value> {
    for bridge in choices.networks.keys() {
        if !guest.cards.iter().any(|card| card.bridge == *bridge) {
            let known: BTreeSet<&str> = guest.cards.iter().map(|card| card.bridge.as_str()).collect();
            let has =
                if known.is_empty() { "none".to_owned() } else { known.into_iter().collect::<Vec<_>>().join(", ") };
            report.wrong(
                0,
                &format!("--network {bridge}"),
                format!("no card is on that; the guest's are on: {has}"),
                "",
            );
        }
    }
    if guest.cards.len() > CARDS_MAX {
        report.wrong(guest.cards[CARDS_MAX].line, "card", format!("a domain has {CARDS_MAX} cards at the most"), "");
        return Vec::new();
    }
    let mut cards = Vec::new();
    for (number, card) in guest.cards.iter().enumerate() {
        let key = format!("card {number}");
        let Some(network) = network(card, choices, here, &key, report) else { continue };
        let mut entry = Table::new();
        entry.insert("network".into(), Value::String(network.to_string()));
        if let Some(mac) = card.mac {
            match here.macs.get(&mac) {
                Some(other) => {
                    report.changed(card.line, &key, format!("{mac}: domain {other} has it; this card gets another"))
                }
                None => {
                    entry.insert("mac".into(), Value::String(mac.to_string()));
                }
            }
        }
        let model = match card.model {
            CardModel::Virtio => "virtio",
            CardModel::E1000 => "e1000",
        };
        entry.insert("model".into(), Value::String(model.into()));
        if let Some(address) = card.address {
            entry.insert("address".into(), Value::String(address.to_string()));
            report.taken(card.line, &key, format!("address = \"{address}\": the only one that it may send from"));
        }
        if let Some(bandwidth) = card.bandwidth {
            entry.insert("bandwidth".into(), Value::String(bandwidth.to_string()));
        }
        let mac = card.mac.map(|mac| format!(", mac = \"{mac}\"")).unwrap_or_default();
        report.taken(card.line, &key, format!("network = \"{network}\" for {:?}{mac}", card.bridge));
        cards.push(Value::Table(entry));
    }
    if !cards.is_empty() {
        report.guest(
            0,
            "cards",
            "their interfaces may have other names (enp1s0, eth0): see to its network configuration",
        );
    }
    cards
}

/// The one that was named for the bridge, or the one that has its name.
fn network(card: &GuestCard, choices: &Choices, here: &Here, key: &str, report: &mut Report) -> Option<NetworkName> {
    let named = choices.networks.get(&card.bridge);
    let found = named.cloned().or_else(|| card.bridge.parse().ok()).filter(|network| here.networks.contains(network));
    if found.is_some() {
        return found;
    }
    let known = here.networks.iter().map(NetworkName::as_str).collect::<Vec<_>>().join(", ");
    let (what, hint) = match named {
        Some(network) => (format!("there is no network {network}"), format!("the networks here are: {known}")),
        None if known.is_empty() => (
            format!("it was on {:?}, and there is no network here", card.bridge),
            "make one with `fief network create`".to_owned(),
        ),
        None => (
            format!("it was on {:?}, and no network here has that name", card.bridge),
            format!("say --network {}=NETWORK; the networks here are: {known}", quoted(&card.bridge)),
        ),
    };
    report.wrong(card.line, key, what, &hint);
    None
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}
