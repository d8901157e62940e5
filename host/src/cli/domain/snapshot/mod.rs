//! `fief snapshot`: states of a domain's disks, kept with them.

mod create;
mod delete;
mod list;
mod revert;

use crate::cli::Context;
use crate::error::Result;

/// States of a domain's disks, all as at one moment, to go back to
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Verb {
    Create(create::Args),
    List(list::Args),
    Revert(revert::Args),
    Delete(delete::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Create(args) => create::run(context, &args),
        Verb::List(args) => list::run(context, &args),
        Verb::Revert(args) => revert::run(context, &args),
        Verb::Delete(args) => delete::run(context, &args),
    }
}
