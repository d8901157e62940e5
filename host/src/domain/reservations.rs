//! The addresses that cards are defined with, for the DHCP servers of their networks: a card that may send from one
//! address alone has to be given that one, and no other card may.
//!
//! All domains' cards count, so that the address of one that is off is not lent to another's.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::config::domain::DomainDefinition;
use crate::config::reader;
use crate::domain::{Record, State, store};
use crate::error::{Failure, Result};
use crate::layout::Layout;
use crate::types::{DomainName, MacAddress, NetworkName};

/// What each network is to keep for whom.
pub type Reservations = BTreeMap<NetworkName, Vec<(MacAddress, Ipv4Addr)>>;

/// Of all domains, as they are when `starting` starts with this definition.
///
/// # Errors
/// `Conflict` where a domain that runs has one of its addresses on the same network.
pub fn at_start(layout: &Layout, starting: &DomainDefinition) -> Result<Reservations> {
    let mut all = Reservations::new();
    add(&mut all, starting);
    for name in store::names(layout)?.iter().filter(|name| **name != starting.name) {
        let running = runs(layout, name).then(|| store::load_running(layout, name).ok().flatten()).flatten();
        if let Some(running) = &running {
            refuse_twin(starting, running)?;
            add(&mut all, running);
        }
        if names_an_address(layout, name) {
            match store::load(layout, name) {
                Ok(definition) => add(&mut all, &definition),
                // Another domain's mistake does not keep this one from starting.
                Err(failure) => tracing::warn!(domain = %name, %failure, "its addresses are not reserved"),
            }
        }
    }
    Ok(all)
}

/// The first one who asks for an address, or for a card, has it.
fn add(all: &mut Reservations, definition: &DomainDefinition) {
    for card in &definition.cards {
        let Some(address) = card.address else { continue };
        let of_network = all.entry(card.network.clone()).or_default();
        if !of_network.iter().any(|(mac, taken)| *mac == card.mac || *taken == address) {
            of_network.push((card.mac, address));
        }
    }
}

fn refuse_twin(starting: &DomainDefinition, running: &DomainDefinition) -> Result<()> {
    for card in &starting.cards {
        let twin = |other: &&crate::config::domain::Card| {
            other.network == card.network && other.address == card.address && other.mac != card.mac
        };
        let Some(address) = card.address.filter(|_| running.cards.iter().any(|other| twin(&other))) else { continue };
        return Err(Failure::conflict(format!(
            "domain {} runs with the address {address} on network {}",
            running.name, card.network
        ))
        .hint("give one of the two cards another address"));
    }
    Ok(())
}

fn runs(layout: &Layout, name: &DomainName) -> bool {
    Record::load(layout, name).is_ok_and(|record| record.state_now() != State::Off)
}

/// Most domains name none, and reading them all is then quick.
fn names_an_address(layout: &Layout, name: &DomainName) -> bool {
    let file = layout.domain(name).join("domain.toml");
    reader::read_file(&file).is_ok_and(|bytes| bytes.windows(7).any(|part| part == b"address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::{RandomIdentity, parse};
    use crate::error::Kind;

    fn domain(name: &str, cards: &[(&str, u8, &str)]) -> DomainDefinition {
        let mut text = format!("name = \"{name}\"\nmemory = \"64MiB\"\n");
        for (network, mac, address) in cards {
            text += &format!("[[card]]\nnetwork = \"{network}\"\nmac = \"52:54:00:00:00:{mac:02}\"\n");
            if !address.is_empty() {
                text += &format!("address = \"{address}\"\n");
            }
        }
        parse(text.as_bytes(), "x.toml", &mut RandomIdentity).unwrap()
    }

    fn shown(all: &Reservations) -> Vec<String> {
        let of_network = |(network, kept): (&NetworkName, &Vec<(MacAddress, Ipv4Addr)>)| {
            kept.iter().map(|(mac, address)| format!("{network} {mac} {address}")).collect::<Vec<_>>()
        };
        all.iter().flat_map(of_network).collect()
    }

    #[test]
    fn every_domains_addresses_are_kept_and_the_one_that_starts_comes_first() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        store::create(&layout, &domain("a", &[("lab", 1, "10.0.0.5"), ("lab", 2, "")])).unwrap();
        store::create(&layout, &domain("b", &[("lab", 3, "10.0.0.6"), ("lan", 4, "10.1.0.6")])).unwrap();
        std::fs::create_dir(layout.domain(&"broken".parse().unwrap())).unwrap();
        std::fs::write(layout.domains().join("broken/domain.toml"), "address").unwrap();
        let starting = domain("c", &[("lab", 7, "10.0.0.5")]);
        let all = at_start(&layout, &starting).unwrap();
        let expected =
            ["lab 52:54:00:00:00:07 10.0.0.5", "lab 52:54:00:00:00:03 10.0.0.6", "lan 52:54:00:00:00:04 10.1.0.6"];
        assert_eq!(shown(&all), expected);
    }

    #[test]
    fn an_address_that_a_running_domain_has_is_refused_on_the_same_network_only() {
        let running = domain("a", &[("lab", 1, "10.0.0.5")]);
        let start = |cards: &[(&str, u8, &str)]| refuse_twin(&domain("b", cards), &running).map_err(|f| f.kind);
        assert_eq!(start(&[("lab", 2, "10.0.0.5")]), Err(Kind::Conflict));
        assert_eq!(start(&[("lan", 2, "10.0.0.5"), ("lab", 3, "")]), Ok(()));
    }
}
