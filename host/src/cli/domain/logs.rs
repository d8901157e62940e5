//! `fief logs`: what the guest said on its console, or what fief did.

use crate::cli::{Context, tail};
use crate::domain::{Record, State, store};
use crate::error::Result;
use crate::types::DomainName;

/// Print what a guest said on its console
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// Go on as more comes, until the domain is off
    #[arg(short, long)]
    follow: bool,
    /// What the guest said on its console (this is what is shown where nothing else is asked for)
    #[arg(long, conflicts_with_all = ["supervisor", "hypervisor"])]
    console: bool,
    /// What its supervisor did
    #[arg(long, conflicts_with = "hypervisor")]
    supervisor: bool,
    /// What its hypervisor complained of
    #[arg(long)]
    hypervisor: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, name) = (context.layout(), &args.name);
    let folder = layout.domain(name);
    if !folder.exists() {
        return Err(store::no_such(layout, name));
    }
    let file = match (args.supervisor, args.hypervisor) {
        (true, _) => "supervisor.log",
        (_, true) => "hypervisor.log",
        (false, false) => "console.log",
    };
    let path = folder.join(file);
    tail::print(context, &path, args.follow, || Ok(Record::load(layout, name)?.state_now() == State::Off))
}
