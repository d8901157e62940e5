//! `fief detach nic`.

use std::str::FromStr;

use crate::cli::Context;
use crate::cli::domain::alter::{Words, change};
use crate::config::domain::DomainDefinition;
use crate::domain::change::Change;
use crate::domain::store;
use crate::error::{Failure, Result};
use crate::types::{DomainName, MacAddress, Span};

/// Take a card from a domain, which has let it go first where it runs
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// The card: its MAC address, or its number among the cards of `fief show`, from 0
    #[arg(value_name = "MAC|NUMBER")]
    card: Which,
    /// How long the guest may take
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Span,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Mac(MacAddress),
    Number(usize),
}

impl FromStr for Which {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) => Ok(Which::Number(number)),
            Err(_) => text.parse().map(Which::Mac).map_err(|error: crate::types::Invalid| error.to_string()),
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let mac = mac(args.card, &store::load(context.layout(), &args.name)?)?;
    let words = Words {
        done: format!("does not have card {mac} any more"),
        already: format!("does not have card {mac}"),
        later: format!("does not have card {mac}"),
    };
    change(context, &args.name, &Change::DetachCard { mac }, args.timeout, &words)
}

fn mac(which: Which, definition: &DomainDefinition) -> Result<MacAddress> {
    match which {
        Which::Mac(mac) => Ok(mac),
        Which::Number(number) => definition.cards.get(number).map(|card| card.mac).ok_or_else(|| {
            Failure::not_found(format!("domain {} has no card {number}", definition.name)).hint(
                match definition.cards.len() {
                    0 => "it has no card".to_owned(),
                    count => format!("it has {count}, counted from 0; an address (MAC) names one as well"),
                },
            )
        }),
    }
}
