//! `fief resume`.

use super::tell::{Told, tell_each};
use crate::cli::Context;
use crate::domain::supervisor::control::Request;
use crate::error::Result;
use crate::types::DomainName;

/// Let paused guests go on, also those that were stopped by an error of a disk
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required = true)]
    pub(in crate::cli) names: Vec<DomainName>,
}

pub(in crate::cli) fn run(context: &Context, args: &Args) -> Result<()> {
    let told = Told { done: "resumed", already: "runs already", dry: "would be resumed" };
    tell_each(context, &args.names, &Request::Resume, &told)
}
