//! `fief attach disk`.

use crate::cli::Context;
use crate::cli::domain::alter::{Words, change, word};
use crate::config::domain::{Disk, DiskBus, DiskDevice};
use crate::domain::change::Change;
use crate::error::Result;
use crate::types::{DomainName, Span, VolumeRef};

/// Give a domain a volume as a disk. One that it has already stays as it is
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// The volume
    #[arg(value_name = "POOL/VOLUME")]
    volume: VolumeRef,
    /// The guest can only read it
    #[arg(long)]
    read_only: bool,
    /// virtio, or sata (seen from the next start)
    #[arg(long, value_name = "BUS", default_value = "virtio", value_parser = word::<DiskBus>)]
    bus: DiskBus,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let Args { name, volume, read_only, bus } = args;
    let words = Words {
        done: format!("has disk {volume} now"),
        already: format!("has disk {volume} already"),
        later: format!("has disk {volume}"),
    };
    let disk = Disk { volume, device: DiskDevice::Disk, bus, read_only };
    // Nobody is waited for: a guest need not look at a disk that comes.
    let within = Span(std::time::Duration::ZERO);
    change(context, &name, &Change::AttachDisk { disk }, within, &words)
}
