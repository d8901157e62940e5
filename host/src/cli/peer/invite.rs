//! `fief peer invite`

use std::time::Duration;

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::failure::{note, warn};
use crate::cli::output::{Format, Shown, time};
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::peer::{invite, serve};
use crate::types::{PeerName, Span};

/// Longest: a token that lies about for a day is enough.
const VALID_MAX: Duration = Duration::from_secs(24 * 3600);

/// Print a token by which one other host can pair itself with this one, once
///
///     fief peer invite --for hostb
///     (on the other host)  fief peer add hosta ADDRESS --token -
///
/// Whoever has the token can become a peer: carry it as a password. It holds the fingerprint of this host's certificate, so
/// that the other host tells this one from an impostor. `fief serve` has to run here meanwhile.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What the other host is to be called here (else as its kernel calls it)
    #[arg(long = "for", value_name = "NAME")]
    name: Option<PeerName>,
    /// How long the token is good
    #[arg(long, value_name = "TIME", default_value = "15m")]
    valid: Span,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let Span(valid) = args.valid;
    if valid.is_zero() || valid > VALID_MAX {
        return Err(Failure::usage(format!("--valid {} is not from 1s to 24h", args.valid)));
    }
    let gate = context.gate_for_change()?;
    let invited = invite(&gate, args.name.clone(), valid)?;
    if context.mode() == Mode::DryRun {
        return Ok(());
    }
    if !serve::is_running(context.layout()) {
        warn("nobody listens here yet: start fief serve before the token is used", context.format());
    }
    let token = invited.token.reveal();
    // Its name is the token, which is what other programs want of it.
    if matches!(context.format(), Format::Table | Format::Wide) {
        note(&format!("On the other host, until {}: fief peer add NAME ADDRESS --token -", time(invited.until)));
    }
    let json = json!({
        "token": token,
        "invitation": invited.invitation,
        "for": args.name,
        "fingerprint": invited.fingerprint,
        "expires": time(invited.until),
    });
    context.show(&Shown { kind: "invitation", name: token.clone(), json, text: token + "\n" })
}
