//! `fief plugin`: the components that serve pools and networks.

pub(super) mod asks;
mod install;
mod list;
mod remove;
mod show;

use super::Context;
use crate::error::Result;

/// Plugins: sandboxed WebAssembly components that serve pools and networks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    List(list::Args),
    Show(show::Args),
    Install(install::Args),
    Remove(remove::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::List(args) => list::run(context, &args),
        Verb::Show(args) => show::run(context, &args),
        Verb::Install(args) => install::run(context, &args),
        Verb::Remove(args) => remove::run(context, &args),
    }
}
