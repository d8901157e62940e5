//! `fief attach cdrom`.

use crate::cli::Context;
use crate::cli::domain::alter::{Words, change};
use crate::domain::change::Change;
use crate::error::Result;
use crate::types::{DomainName, Span, VolumeRef};

/// Put a disc into a domain's CD-ROM drive, in the place of the one that is in it
#[derive(Debug, clap::Args)]
#[command(after_help = "A domain without a drive gets one, from its next start where it runs.")]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// The disc
    #[arg(value_name = "POOL/VOLUME")]
    volume: VolumeRef,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let volume = &args.volume;
    let words = Words {
        done: format!("has disc {volume} in its drive now"),
        already: format!("has disc {volume} in its drive already"),
        later: format!("has disc {volume} in its drive"),
    };
    let within = Span(std::time::Duration::ZERO);
    change(context, &args.name, &Change::Insert { volume: volume.clone() }, within, &words)
}
