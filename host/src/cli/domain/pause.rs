//! `fief pause`.

use super::tell::{Told, tell_each};
use crate::cli::Context;
use crate::domain::supervisor::control::Request;
use crate::error::Result;
use crate::types::DomainName;

/// Let guests stand still, with their memory; `fief resume` lets them go on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required = true)]
    pub(in crate::cli) names: Vec<DomainName>,
}

pub(in crate::cli) fn run(context: &Context, args: &Args) -> Result<()> {
    let told = Told { done: "paused", already: "is paused", dry: "would be paused" };
    tell_each(context, &args.names, &Request::Pause, &told)
}
