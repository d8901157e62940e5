//! `fief detach disk`.

use crate::cli::Context;
use crate::cli::domain::alter::{Words, change};
use crate::domain::change::Change;
use crate::error::Result;
use crate::types::{DomainName, Span, VolumeRef};

/// Take a disk from a domain, which has let it go first where it runs. One that it does not have is gone already
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is on the disk should not be in use in the guest (unmount it first): the guest is asked, \
                        and most guests let a disk go whatever they do with it. With --force the volume is free at once, \
                        also where its storage is dead, or the guest does not let go: that has an empty disk in its \
                        place then, of which what it writes goes nowhere."
)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// The volume
    #[arg(value_name = "POOL/VOLUME")]
    volume: VolumeRef,
    /// Cut it off from its storage first, which may be dead: whatever was not written is lost
    #[arg(long)]
    force: bool,
    /// How long the guest may take
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Span,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let volume = &args.volume;
    let words = Words {
        done: format!("does not have disk {volume} any more"),
        already: format!("does not have disk {volume}"),
        later: format!("does not have disk {volume}"),
    };
    change(context, &args.name, &Change::DetachDisk { volume: volume.clone(), force: args.force }, args.timeout, &words)
}
