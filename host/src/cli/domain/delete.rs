//! `fief delete`.

use crate::cli::volume::refuse_in_use;
use crate::cli::{Context, each::each};
use crate::config::domain::DiskDevice;
use crate::domain::state::{Admission, Request, admit};
use crate::domain::{client, store};
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::storage::Pool;
use crate::types::DomainName;

/// Forget domains that are off. Their volumes stay, unless --volumes is given
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required = true)]
    names: Vec<DomainName>,
    /// Delete the disks that they write to as well (not CD-ROMs, nor disks that are read only)
    #[arg(long)]
    volumes: bool,
    /// A domain that does not exist is fine
    #[arg(long)]
    if_exists: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let loses = match (&args.names[..], args.volumes) {
        ([name], false) => format!("delete domain {name}"),
        ([name], true) => format!("delete domain {name} and all data on its disks"),
        (names, false) => format!("delete {} domains", names.len()),
        (names, true) => format!("delete {} domains and all data on their disks", names.len()),
    };
    // Nothing that could be lost: nothing to ask.
    if args.names.iter().any(|name| context.layout().domain(name).exists() && refuse(context, name).is_ok()) {
        context.confirm(&loses)?;
    }
    each(context, "domain", &args.names, |name| delete(context, name, args))
}

fn delete(context: &Context, name: &DomainName, args: &Args) -> Result<&'static str> {
    let layout = context.layout();
    if !layout.domain(name).exists() {
        return if args.if_exists { Ok("already absent") } else { Err(store::no_such(layout, name)) };
    }
    refuse(context, name)?;
    if args.volumes {
        let gate = context.gate()?;
        let definition = store::load(layout, name)?;
        // Disks first: should one not go, the domain still says which it had.
        let own = || definition.disks.iter().filter(|disk| disk.device == DiskDevice::Disk && !disk.read_only);
        for disk in own() {
            refuse_in_use(context, &disk.volume, "delete")?;
        }
        for disk in own() {
            Pool::open(&gate, &disk.volume.pool)?.delete_volume(&disk.volume.volume)?;
        }
    }
    if context.mode() == Mode::Perform {
        store::delete(layout, name)?;
    }
    Ok("deleted")
}

/// # Errors
/// `Conflict` where the domain is not off, or is protected.
fn refuse(context: &Context, name: &DomainName) -> Result<()> {
    let layout = context.layout();
    if let Admission::Deny { kind, because, hint } = admit(client::settle(layout, name)?, Request::Delete) {
        return Err(Failure::new(kind, format!("cannot delete domain {name}: {because}")).hint(hint));
    }
    store::refuse_protected(layout, name)
}
