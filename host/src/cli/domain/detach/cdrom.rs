//! `fief detach cdrom`.

use crate::cli::Context;
use crate::cli::domain::alter::{Words, change};
use crate::domain::change::Change;
use crate::error::Result;
use crate::types::{DomainName, Span, VolumeRef};

/// Take the disc out of a domain's CD-ROM drive; the drive stays
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// Which disc, where there are several drives
    #[arg(value_name = "POOL/VOLUME")]
    volume: Option<VolumeRef>,
    /// Also where the guest holds it
    #[arg(long)]
    force: bool,
    /// How long the guest may take to let it go
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Span,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let words = Words {
        done: "has an empty drive now".to_owned(),
        already: "has no such disc in a drive".to_owned(),
        later: "has an empty drive".to_owned(),
    };
    let eject = Change::Eject { volume: args.volume.clone(), force: args.force };
    change(context, &args.name, &eject, args.timeout, &words)
}
