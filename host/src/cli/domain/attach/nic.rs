//! `fief attach nic`.

use std::net::Ipv4Addr;

use crate::cli::Context;
use crate::cli::domain::alter::{Words, change, word};
use crate::config::domain::{Card, CardModel, DomainDefinition, Identity, RandomIdentity};
use crate::domain::change::Change;
use crate::domain::store;
use crate::error::Result;
use crate::types::{Bandwidth, DomainName, MacAddress, NetworkName, Span, Spoofing};

/// Give a domain a card on a network
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --mac, a domain that has a card on the network has it already; with --mac it gets another one."
)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// The network
    #[arg(long, value_name = "NETWORK")]
    network: NetworkName,
    /// Its address; made where it is left out
    #[arg(long, value_name = "MAC")]
    mac: Option<MacAddress>,
    /// virtio, or e1000 (seen from the next start)
    #[arg(long, value_name = "MODEL", default_value = "virtio", value_parser = word::<CardModel>)]
    model: CardModel,
    /// The only IPv4 address that it may send from
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Ipv4Addr>,
    /// The most that it may send, and receive, as 100Mbit
    #[arg(long, value_name = "RATE")]
    bandwidth: Option<Bandwidth>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let card = card(args, &store::load(context.layout(), &args.name)?);
    let what = format!("card {} on network {}", card.mac, card.network);
    let words =
        Words { done: format!("has {what} now"), already: format!("has {what} already"), later: format!("has {what}") };
    let within = Span(std::time::Duration::ZERO);
    change(context, &args.name, &Change::AttachCard { card }, within, &words)
}

/// The card that is meant: where no address is given, the one that the domain has on that network.
fn card(args: &Args, definition: &DomainDefinition) -> Card {
    let has = definition.cards.iter().find(|card| card.network == args.network && args.mac.is_none());
    if let Some(card) = has {
        return card.clone();
    }
    Card {
        network: args.network.clone(),
        mac: args.mac.unwrap_or_else(|| RandomIdentity.mac()),
        model: args.model,
        address: args.address,
        spoofing: Spoofing::Denied,
        bandwidth: args.bandwidth,
    }
}
