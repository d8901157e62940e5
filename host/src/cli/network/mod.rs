//! `fief network`: what domains' cards are plugged into.

mod check;
mod confirm;
mod create;
mod delete;
mod leases;
mod list;
mod show;
mod start;
mod stop;

use super::Context;
use crate::error::Result;

/// Networks that domains' cards are plugged into, each served by a network plugin
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Create(create::Args),
    List(list::Args),
    Show(show::Args),
    Check(check::Args),
    Start(start::Args),
    Confirm(confirm::Args),
    Stop(stop::Args),
    Delete(delete::Args),
    Leases(leases::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Create(args) => create::run(context, args),
        Verb::List(args) => list::run(context, &args),
        Verb::Show(args) => show::run(context, &args),
        Verb::Check(args) => check::run(context, &args),
        Verb::Start(args) => start::run(context, &args),
        Verb::Confirm(args) => confirm::run(context, &args),
        Verb::Stop(args) => stop::run(context, &args),
        Verb::Delete(args) => delete::run(context, &args),
        Verb::Leases(args) => leases::run(context, &args),
    }
}
