//! `fief pool`: places where volumes live.

mod check;
mod create;
mod delete;
mod list;
mod show;

use super::Context;
use crate::error::Result;

/// Places where volumes live, each served by a storage plugin
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Create(create::Args),
    List(list::Args),
    Show(show::Args),
    Check(check::Args),
    Delete(delete::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Create(args) => create::run(context, args),
        Verb::List(args) => list::run(context, &args),
        Verb::Show(args) => show::run(context, &args),
        Verb::Check(args) => check::run(context, &args),
        Verb::Delete(args) => delete::run(context, &args),
    }
}
