//! `fief plugin`: the components that serve pools and networks, and that move domains.

mod api;
pub(super) mod asks;
mod brief;
mod build;
mod dev;
mod export;
mod fetching;
mod grant;
mod grants;
mod import;
mod install;
mod keygen;
mod list;
mod lock;
mod logs;
mod new;
mod pack;
mod record;
mod release;
mod remove;
mod replay;
mod revoke;
mod rollback;
mod show;
mod sign;
mod test;
mod transfer;
mod tried_with;
mod upgrade;
mod verify;

use super::Context;
use crate::error::Result;

/// Plugins: sandboxed WebAssembly components that serve pools and networks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    List(list::Args),
    Show(show::Args),
    Install(Box<install::Args>),
    Grant(grant::Args),
    Revoke(revoke::Args),
    Upgrade(Box<upgrade::Args>),
    Rollback(rollback::Args),
    Release(release::Args),
    Logs(logs::Args),
    Remove(remove::Args),
    Verify(verify::Args),
    Test(Box<test::Args>),
    Record(record::Args),
    Replay(Box<replay::Args>),
    Lock(lock::Args),
    Export(export::Args),
    Import(import::Args),
    New(new::Args),
    Build(build::Args),
    Pack(pack::Args),
    Dev(Box<dev::Args>),
    Keygen(keygen::Args),
    Sign(sign::Args),
    Api(api::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::List(args) => list::run(context, &args),
        Verb::Show(args) => show::run(context, &args),
        Verb::Install(args) => install::run(context, &args),
        Verb::Grant(args) => grant::run(context, &args),
        Verb::Revoke(args) => revoke::run(context, &args),
        Verb::Upgrade(args) => upgrade::run(context, &args),
        Verb::Rollback(args) => rollback::run(context, &args),
        Verb::Release(args) => release::run(context, &args),
        Verb::Logs(args) => logs::run(context, &args),
        Verb::Remove(args) => remove::run(context, &args),
        Verb::Verify(args) => verify::run(context, &args),
        Verb::Test(args) => test::run(context, &args),
        Verb::Record(args) => record::run(context, &args),
        Verb::Replay(args) => replay::run(context, &args),
        Verb::Lock(args) => lock::run(context, &args),
        Verb::Export(args) => export::run(context, &args),
        Verb::Import(args) => import::run(context, &args),
        Verb::New(args) => new::run(context, &args),
        Verb::Build(args) => build::run(context, &args),
        Verb::Pack(args) => pack::run(context, &args),
        Verb::Dev(args) => dev::run(context, &args),
        Verb::Keygen(args) => keygen::run(context, &args),
        Verb::Sign(args) => sign::run(context, &args),
        Verb::Api(args) => api::run(context, &args),
    }
}
