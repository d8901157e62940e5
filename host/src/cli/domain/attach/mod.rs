//! `fief attach`: what a domain gets.

mod cdrom;
mod disk;
mod nic;

use crate::cli::Context;
use crate::error::Result;

/// Give a domain a disk, a card, or a disc in its drive; at once where it runs and can take it
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Verb {
    Disk(disk::Args),
    Nic(nic::Args),
    Cdrom(cdrom::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Disk(args) => disk::run(context, args),
        Verb::Nic(args) => nic::run(context, &args),
        Verb::Cdrom(args) => cdrom::run(context, &args),
    }
}
