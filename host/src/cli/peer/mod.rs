//! `fief peer`: hosts that this one trusts.

mod add;
mod invite;
mod list;
mod remove;
mod show;

use super::Context;
use crate::error::Result;

/// Other hosts that domains come from and go to; docs/peers.md tells how two are paired
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Invite(invite::Args),
    Add(add::Args),
    List(list::Args),
    Show(show::Args),
    Remove(remove::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Invite(args) => invite::run(context, &args),
        Verb::Add(args) => add::run(context, &args),
        Verb::List(args) => list::run(context, &args),
        Verb::Show(args) => show::run(context, &args),
        Verb::Remove(args) => remove::run(context, &args),
    }
}
