//! `fief plugin`: the components that serve pools and networks, and that move domains.

mod api;
pub(super) mod asks;
mod grant;
mod grants;
mod install;
mod keygen;
mod list;
mod new;
mod remove;
mod revoke;
mod show;
mod sign;
mod test;
mod verify;

use super::Context;
use crate::error::Result;

/// Plugins: sandboxed WebAssembly components that serve pools and networks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    List(list::Args),
    Show(show::Args),
    Install(install::Args),
    Grant(grant::Args),
    Revoke(revoke::Args),
    Remove(remove::Args),
    Verify(verify::Args),
    Test(test::Args),
    New(new::Args),
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
        Verb::Remove(args) => remove::run(context, &args),
        Verb::Verify(args) => verify::run(context, &args),
        Verb::Test(args) => test::run(context, &args),
        Verb::New(args) => new::run(context, &args),
        Verb::Keygen(args) => keygen::run(context, &args),
        Verb::Sign(args) => sign::run(context, &args),
        Verb::Api(args) => api::run(context, &args),
    }
}
