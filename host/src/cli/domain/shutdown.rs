//! `fief shutdown`: asks the guest.

use crate::cli::{Context, each::each};
use crate::domain::supervisor::control::Request;
use crate::domain::{Record, State, client, store};
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::layout::Layout;
use crate::types::{DomainName, Span};

/// Ask guests to power off, and wait until they have
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Names of domains
    #[arg(required_unless_present = "all")]
    names: Vec<DomainName>,
    /// All domains of this host that are not off, each asked before the first is waited for
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// How long a guest may take
    #[arg(long, value_name = "TIME", default_value = "120s")]
    timeout: Span,
    /// Pull the plug of a guest that takes longer
    #[arg(long)]
    then_stop: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let request =
        Request::Shutdown { timeout_ms: u64::try_from(args.timeout.0.as_millis()).ok(), then_stop: args.then_stop };
    let (layout, mode) = (context.layout(), context.mode());
    if !args.all {
        return each(context, "domain", &args.names, |name| shut_down(layout, mode, name, &request));
    }
    let names = store::names(layout)?;
    let on = |name: &DomainName| Record::load(layout, name).is_ok_and(|record| record.state_now() != State::Off);
    let names: Vec<DomainName> = names.into_iter().filter(on).collect();
    // They power off side by side: a host that goes down waits for the slowest, not for the sum.
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            names.iter().map(|name| (name, scope.spawn(|| shut_down(layout, mode, name, &request)))).collect();
        let mut answers: Vec<_> = asked.into_iter().map(|(name, asked)| (name, asked.join())).collect();
        each(context, "domain", &names, |name| match answers.iter().position(|(of, _)| *of == name) {
            Some(at) => answers.swap_remove(at).1.unwrap_or_else(|_| Err(Failure::other("a shutdown panicked"))),
            None => Ok("is off"),
        })
    })
}

fn shut_down(layout: &Layout, mode: Mode, name: &DomainName, request: &Request) -> Result<&'static str> {
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    match mode {
        Mode::DryRun => Ok("would be asked to power off"),
        Mode::Perform => match client::ask(layout, name, request)? {
            Some(_) => Ok("shut down"),
            None => Ok("is off"),
        },
    }
}
