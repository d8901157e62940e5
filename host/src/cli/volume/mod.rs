//! `fief volume`: disks, each in a pool, written POOL/VOLUME.

mod clone;
mod copy;
mod create;
mod delete;
mod export;
mod import;
mod list;
mod moving;
mod rename;
mod resize;
mod serve;
mod show;
mod snapshot;
mod unlock;

use list::VolumeRow;

use super::Context;
use super::output::progress::Progress;
use crate::domain::volume::Copy;
use crate::domain::{lease, users_of_volume};
use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::storage::Pool;
use crate::sys::interrupt;
use crate::types::VolumeRef;

/// Disks, each in a pool, written POOL/VOLUME
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Create(create::Args),
    List(list::Args),
    Show(show::Args),
    Rename(rename::Args),
    Resize(resize::Args),
    Serve(serve::Args),
    Clone(clone::Args),
    Copy(copy::Args),
    Move(moving::Args),
    Import(import::Args),
    Export(export::Args),
    Delete(delete::Args),
    Unlock(unlock::Args),
    #[command(subcommand)]
    Snapshot(snapshot::Verb),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Create(args) => create::run(context, &args),
        Verb::List(args) => list::run(context, &args),
        Verb::Show(args) => show::run(context, &args),
        Verb::Rename(args) => rename::run(context, &args),
        Verb::Resize(args) => resize::run(context, &args),
        Verb::Serve(args) => serve::run(context, &args),
        Verb::Clone(args) => clone::run(context, &args),
        Verb::Copy(args) => copy::run(context, &args),
        Verb::Move(args) => moving::run(context, &args),
        Verb::Import(args) => import::run(context, &args),
        Verb::Export(args) => export::run(context, &args),
        Verb::Delete(args) => delete::run(context, &args),
        Verb::Unlock(args) => unlock::run(context, &args),
        Verb::Snapshot(verb) => snapshot::run(context, verb),
    }
}

/// Keeps one sandbox for all volumes of a pool that are named one after the other.
struct Pools<'a> {
    gate: &'a Gate,
    open: Option<Pool>,
}

impl<'a> Pools<'a> {
    fn new(gate: &'a Gate) -> Self {
        Pools { gate, open: None }
    }
    fn of(&mut self, volume: &VolumeRef) -> Result<&mut Pool> {
        let pool = match self.open.take() {
            Some(pool) if pool.definition().name == volume.pool => pool,
            Some(_) | None => Pool::open(self.gate, &volume.pool)?,
        };
        Ok(self.open.insert(pool))
    }
}

/// Fills the second volume from the first as planned, and shows how far it is. `doing` completes "… a to b".
fn filled(
    context: &Context,
    gate: &Gate,
    plan: &Copy,
    (source, target): (&VolumeRef, &VolumeRef),
    doing: &str,
    onto: bool,
) -> Result<VolumeRow> {
    if onto {
        context.confirm(&format!("write over volume {target} and all that is on it"))?;
    }
    // A domain's own supervisor is told by the end of the connection.
    if plan.running().is_none() {
        interrupt::watch();
    }
    let progress = Progress::metered(format!("{doing} {source} to {target}"), gate.meter(), context.format());
    let facts = plan.perform(gate);
    drop(progress);
    VolumeRow::new(context, &target.pool, facts?, false)
}

/// # Errors
/// `Conflict` where a running domain has the volume open.
pub(in crate::cli) fn refuse_in_use(context: &Context, volume: &VolumeRef, what: &str) -> Result<()> {
    lease::refuse_held(context.layout(), volume)
        .map_err(|failure| failure.while_doing(format!("cannot {what} volume {volume}")))?;
    let users = users_of_volume(context.layout(), volume)?;
    if users.is_empty() {
        return Ok(());
    }
    let names = users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(Failure::conflict(format!("cannot {what} volume {volume}: it is a disk of {names}, which runs"))
        .hint(format!("fief shutdown {}", names.replace(", ", " "))))
}
