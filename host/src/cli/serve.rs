//! `fief serve`

use std::net::SocketAddr;

use serde_json::json;

use super::Context;
use crate::domain::{relocation, survey};
use crate::error::Result;
use crate::peer::{Services, facts, serve};

/// Listen for peers, until ended: other hosts that this one is paired with
///
/// Needs `[relocation]` with `enabled = true` in policy.toml, which says where to listen too. Stays in the foreground, for
/// systemd to watch over; ends with SIGTERM or Ctrl-C. One is enough for a root. No domain needs it to run: it is for
/// those that come from another host.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let services = Services::default()
        .with("facts", facts::Desk::new(&gate))
        .with(survey::SERVICE, survey::Desk::new(&gate))
        .with(relocation::SERVICE, relocation::Desk::new(&gate));
    relocation::ask::resume(&gate);
    #[cfg(feature = "faults")]
    let services = services.with(crate::domain::volume::trial::SERVICE, crate::domain::volume::trial::Desk::new(&gate));
    let ready = |at: &[SocketAddr]| {
        let words: Vec<String> = at.iter().map(SocketAddr::to_string).collect();
        context.changed("host", &words.join(", "), "listens", json!({ "listens": words }))
    };
    serve::run(&gate, services, ready)
}
