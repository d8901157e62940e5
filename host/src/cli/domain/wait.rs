//! `fief wait`.

use std::time::{Duration, Instant};

use crate::cli::Context;
use crate::domain::{Record, State, store};
use crate::error::{Failure, Kind, Result};
use crate::types::{DomainName, Span};

/// How often the record is looked at: quick enough for a script, cheap enough to go on for days.
const INTERVAL: Duration = Duration::from_millis(20);

/// Wait until a domain is in a state
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// The state to wait for
    #[arg(long, value_enum, default_value = "off")]
    state: Wanted,
    /// How long to wait; for ever where it is not given
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Wanted {
    Off,
    Running,
    Paused,
    Preserved,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let wanted = match args.state {
        Wanted::Off => State::Off,
        Wanted::Running => State::Running,
        Wanted::Paused => State::Paused,
        Wanted::Preserved => State::Preserved,
    };
    let (layout, name) = (context.layout(), &args.name);
    let until = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout.0));
    loop {
        if !layout.domain(name).exists() {
            return Err(store::no_such(layout, name));
        }
        let state = Record::load(layout, name)?.state_now();
        if state == wanted {
            return Ok(());
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            let message = format!("domain {name} is {} and was not {} in time", state.as_str(), wanted.as_str());
            return Err(Failure::new(Kind::TimedOut, message)
                .hint(format!("`fief logs {name}` shows what its guest said last")));
        }
        std::thread::sleep(INTERVAL);
    }
}
