//! `fief secret`: passwords and keys that storage plugins use.

mod delete;
mod list;
mod set;
pub(super) mod typed;

use super::Context;
use crate::error::Result;

/// Passwords and keys of storage, by name; they are stored and never shown
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Set(set::Args),
    List(list::Args),
    Delete(delete::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Set(args) => set::run(context, &args),
        Verb::List(args) => list::run(context, &args),
        Verb::Delete(args) => delete::run(context, &args),
    }
}
