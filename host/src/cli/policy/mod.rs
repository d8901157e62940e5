//! `fief policy`: what each plugin may do, and which plugin serves what.

mod check;
mod explain;
mod pools;
mod review;
mod show;

use super::Context;
use crate::error::Result;

/// What each plugin may do, and which plugin serves what (policy.toml)
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Show(show::Args),
    Check(check::Args),
    Explain(explain::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Show(args) => show::run(context, &args),
        Verb::Check(args) => check::run(context, &args),
        Verb::Explain(args) => explain::run(context, args),
    }
}
