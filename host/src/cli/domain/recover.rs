//! `fief recover`.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{self, text};
use crate::domain::{recover, store};
use crate::error::{Failure, Kind, Result};
use crate::gate::recover::Mended;
use crate::gate::{Gate, Mode};
use crate::network::Network;
use crate::storage::Pool;
use crate::types::DomainName;

/// Bring domains to a true state after a crash: take their guests up again, or undo what is left
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Looks at record, ledger, leases and running processes, says what it found and what it did, and may \
                        be repeated. Without a name: all domains, networks and pools of this host. A guest that runs \
                        goes on; a supervisor that does not answer is replaced."
)]
pub(in crate::cli) struct Args {
    /// Names of domains; none for the whole host
    names: Vec<DomainName>,
    /// Takes a domain back that another host was handed, and that host is off for good
    #[arg(long, requires = "names")]
    claim: bool,
}

/// What became of each thing.
#[derive(Default)]
struct Told {
    /// One name was given: its failure is the command's.
    alone: bool,
    items: Vec<Value>,
    tried: usize,
    failures: Vec<Failure>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let mut told = Told { alone: args.names.len() == 1, ..Told::default() };
    if args.names.is_empty() {
        host(context, &gate, &mut told)?;
    } else {
        for name in &args.names {
            tell(context, &mut told, "domain", name, recover::recover(&gate, name, args.claim))?;
        }
    }
    if context.for_programs() {
        let document = output::json::envelope("recovery-list", json!({ "items": told.items }));
        context.print(&output::document(context.format(), document)?)?;
    } else if told.items.is_empty() && told.failures.is_empty() {
        context.print("all is as its records say\n")?;
    }
    outcome(told)
}

/// Domains first: their taps are on the networks, their disks in the pools.
fn host(context: &Context, gate: &Gate, told: &mut Told) -> Result<()> {
    tell(context, told, "host", &"domains", recover::sweep(gate))?;
    for name in store::names(gate.layout())? {
        tell(context, told, "domain", &name, recover::recover(gate, &name, false))?;
    }
    for name in Network::recoverable(gate)? {
        tell(context, told, "network", &name, Network::recover(gate, &name))?;
    }
    for name in Pool::recoverable(gate)? {
        tell(context, told, "pool", &name, Pool::recover(gate, &name))?;
    }
    Ok(())
}

fn tell(
    context: &Context,
    told: &mut Told,
    kind: &str,
    name: &impl Display,
    result: Result<Vec<Mended>>,
) -> Result<()> {
    told.tried += 1;
    let name = name.to_string();
    let all = match result {
        Ok(all) => all,
        Err(failure) => {
            if !told.alone {
                output::failure::report(&failure, context.format());
            }
            told.failures.push(failure);
            return Ok(());
        }
    };
    for Mended { found, done } in all {
        if !context.for_programs() {
            let (name, found, done) = (text::printable(&name), text::printable(&found), text::printable(&done));
            context.print(&match context.mode() {
                Mode::Perform => format!("{kind} {name}: {found}; {done}\n"),
                Mode::DryRun => format!("{kind} {name}: {found}\n"),
            })?;
        }
        told.items.push(json!({ "kind": kind, "name": name, "found": found, "done": done }));
    }
    Ok(())
}

fn outcome(told: Told) -> Result<()> {
    let failed = told.failures.len();
    match (told.failures.into_iter().next(), told.tried) {
        (None, _) => Ok(()),
        (Some(only), 1) => Err(only),
        (Some(first), tried) if tried == failed => Err(Failure::new(first.kind, "nothing is recovered, as said above")),
        (Some(_), tried) => {
            Err(Failure::new(Kind::PartlyDone, format!("{failed} of {tried} are not recovered, as said above"))
                .hint("mend what is named above, then say `fief recover` again"))
        }
    }
}
