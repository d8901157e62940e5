//! `fief volume unlock`

use serde_json::json;

use crate::cli::Context;
use crate::domain::hold::{self, Unlocked};
use crate::error::Result;
use crate::types::VolumeRef;

/// Free a volume that is held by a host, or a domain, that is gone
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A volume that several hosts reach is held by the one that writes to it. A host that died holds it \
                        still: --force breaks that. Be sure that the host is off, or cut off from the storage: where \
                        the storage itself cannot refuse its writes (fief volume show says what kind of fence there \
                        is), two hosts that write damage what is on the volume."
)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    /// Break another host's hold: you have made sure that it is off
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let unlocked = hold::unlock(&gate, &args.volume, args.force, |holder| {
        context.confirm(&format!("break the hold of {} on volume {}", hold::words(holder), args.volume))
    })?;
    let (what, held) = match &unlocked {
        Unlocked::Free => ("is held by nobody", None),
        Unlocked::Released(holder) => ("unlocked", Some(holder)),
        Unlocked::Broken(holder) => ("unlocked by force", Some(holder)),
    };
    context.changed("volume", &args.volume, what, json!({ "name": args.volume, "held-by": held }))
}
