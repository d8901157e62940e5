//! `fief peer add`

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::failure::warn;
use crate::cli::secret::typed;
use crate::config::policy::Relocation;
use crate::error::{Failure, Kind, Result};
use crate::gate::{Mode, secret};
use crate::peer::{join, run as with_peers};
use crate::types::{Endpoint, Host, Invalid, PeerName};

use fief_wire::Token;

/// Pair this host with the one that made the token
///
///     fief peer add hosta 192.0.2.10 --token -
///
/// `--token -` reads it from standard input, or from a terminal that does not show it: an argument can be read by every
/// user of this host while the command runs. Nothing is said to a host whose certificate is not the token's.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What the other host is to be called here
    name: PeerName,
    /// Where it listens: HOST or HOST:PORT
    #[arg(value_name = "ADDRESS", value_parser = address)]
    address: Endpoint,
    /// What `fief peer invite` printed there; '-' to have it asked for
    #[arg(long, value_name = "TOKEN", default_value = "-", hide_default_value = true)]
    token: String,
}

/// With the usual port where none is named. An IPv6 address stands in square brackets where a port follows.
fn address(text: &str) -> Result<Endpoint, Invalid> {
    match text.parse::<Host>() {
        Ok(host) => Ok(Endpoint { host, port: Relocation::PORT }),
        Err(_) if text.contains(':') => text.parse(),
        Err(invalid) => Err(invalid),
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    secret::stay_private()?;
    let token = token(args)?;
    let gate = context.gate_for_change()?;
    if context.mode() == Mode::DryRun {
        return Err(Failure::usage("a pairing is done by both hosts, so there is none that is only shown"));
    }
    let known_as = with_peers(join(&gate, &args.name, &args.address, &token))?;
    if !gate.policy().relocation.enabled {
        warn("this host's relocation is off: domains can go there, and none can come", context.format());
    }
    let item = json!({ "name": args.name, "address": args.address, "known-as": known_as });
    context.changed("peer", &args.name, &format!("paired; this host is {known_as} there"), item)
}

fn token(args: &Args) -> Result<Token> {
    let refused = |why: &dyn std::error::Error| {
        Failure::usage(format!("that is no token: {why}")).hint("copy all of what fief peer invite printed there")
    };
    if args.token != "-" {
        return args.token.parse().map_err(|error| refused(&error));
    }
    let typed = typed::once("Token: ").map_err(|failure| {
        if failure.kind != Kind::Usage {
            return failure;
        }
        Failure::usage("no token came").hint("pipe in what fief peer invite printed there, or type it")
    })?;
    let text = std::str::from_utf8(typed.reveal()).map_err(|error| refused(&error))?;
    text.parse().map_err(|error| refused(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_usual_port_where_none_is_said() {
        for (text, wanted) in [
            ("hosta", "hosta:8002"),
            ("hosta:9", "hosta:9"),
            ("192.0.2.1", "192.0.2.1:8002"),
            ("192.0.2.1:9", "192.0.2.1:9"),
            ("2001:db8::1", "[2001:db8::1]:8002"),
            ("[2001:db8::1]", "[2001:db8::1]:8002"),
            ("[2001:db8::1]:9", "[2001:db8::1]:9"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), wanted, "{text}");
        }
        for bad in ["", ":1", "a b", "hosta:", "hosta:0", "hosta:65536", "-x", "10.0.0.1.2"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
