//! `fief clone`.

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::failure::warn;
use crate::cli::output::progress::Progress;
use crate::domain::clone::{Identity, Plan};
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::sandbox::protocol::CloneStyle;
use crate::types::DomainName;

/// Make a domain from another, off or running, with copies of its disks
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The clone has a new uuid, new MAC addresses and a new generation id, which tells systems that know of \
                  it that they are a copy; else it is defined as its source is, and it is off. Disks that the source \
                  only reads, and CD-ROMs, are shared. A domain that runs is copied as it is at one moment, as if its \
                  plug had been pulled then; its guest goes on."
)]
pub(in crate::cli) struct Args {
    /// The domain that is copied
    name: DomainName,
    /// Name of the new domain; its volumes are named after it, NEW, NEW-2 and so on, in their sources' pools
    new: DomainName,
    /// Share what the source's disks hold now instead of copying it. The source must be off, and cannot be started for
    /// as long as the clone's disks are there
    #[arg(long)]
    linked: bool,
    /// Give the system on the first disk another identity: an empty machine-id, NEW as its host name, new ssh host keys.
    /// For ext4, by e2fsprogs
    #[arg(long, conflicts_with = "linked")]
    reset_identity: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (name, new) = (&args.name, &args.new);
    if name == new {
        return Err(Failure::usage(format!("cannot clone domain {name} to itself")).hint("give the new one a name"));
    }
    let gate = context.gate_for_change()?;
    let style = if args.linked { CloneStyle::Linked } else { CloneStyle::Full };
    let identity = if args.reset_identity { Identity::Reset } else { Identity::Kept };
    let plan = Plan::new(&gate, name, new, style, identity)?;
    let progress = Progress::start(format!("cloning {name} to {new}"));
    let made = plan.make(&gate);
    drop(progress);
    made?;
    if context.mode() == Mode::Perform {
        plan.notes().iter().for_each(|note| warn(note, context.format()));
    }
    let volumes: Vec<String> = plan.volumes().map(ToString::to_string).collect();
    let item = json!({ "name": new, "from": name, "volumes": volumes, "definition": plan.definition() });
    context.changed("domain", new, &format!("cloned from {name}"), item)
}
