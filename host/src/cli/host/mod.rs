//! `fief host`: this machine.

mod doctor;
mod info;
mod program;

use super::Context;
use crate::error::Result;

/// This machine: what it has, and what stands in fief's way
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Info(info::Args),
    Doctor(doctor::Args),
}

pub(super) fn run(context: &Context, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Info(args) => info::run(context, args),
        Verb::Doctor(args) => doctor::run(context, args),
    }
}
