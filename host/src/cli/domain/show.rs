//! `fief show`: a definition as `create -f -` takes it, its present state in comments above it.

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::Shown;
use crate::config::domain;
use crate::domain::pending::pending;
use crate::domain::{Record, State, store};
use crate::error::Result;
use crate::types::DomainName;

/// Show a domain: its state, and its definition as `create -f -` and `edit` take it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, name) = (context.layout(), &args.name);
    let definition = store::load(layout, name)?;
    let record = Record::load(layout, name);
    let state = record.as_ref().map(Record::state_now).map_err(Clone::clone);
    let mut text = String::new();
    match (&record, &state) {
        (Ok(record), Ok(state)) => {
            text += &format!("# state: {}", state.as_str());
            match &record.run {
                Some(run) if *state != State::Off => {
                    text += &format!(", id {}, since {}\n", run.id, run.started);
                    for card in &run.cards {
                        if let Some(tap) = &card.tap {
                            text += &format!("# card on {}: {tap}\n", card.network);
                        }
                    }
                    if let Some(storage) = run.storage.words() {
                        let waits = if run.storage.waits { ", and the guest waits for it" } else { "" };
                        text += &format!("# storage: {}{waits}\n", crate::cli::output::text::printable(&storage));
                    }
                    if let Some(warning) = &run.warning {
                        text += &format!("# warning: {}\n", crate::cli::output::text::printable(warning));
                    }
                }
                Some(_) | None => text += "\n",
            }
            if let Some(end) = &record.last_end {
                let code = end.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
                text += &format!("# last end: {} at {}{code}\n", end.reason.as_str(), end.at);
            }
        }
        (Err(failure), _) | (Ok(_), Err(failure)) => {
            text += &format!("# state: unknown: {}\n", crate::cli::output::text::printable(&failure.to_string()));
        }
    }
    let waits = match &state {
        Ok(State::Off | State::Elsewhere) | Err(_) => Vec::new(),
        Ok(State::Starting | State::Running | State::Paused | State::Preserved | State::Stopping | State::Ceded) => {
            store::load_running(layout, name)?.map(|running| pending(&running, &definition)).unwrap_or_default()
        }
    };
    for pending in &waits {
        text +=
            &format!("# pending until the next start: {}\n", crate::cli::output::text::printable(&pending.to_string()));
    }
    text += &domain::to_toml(&definition);
    let json = json!({
        "name": name,
        "state": state.as_ref().map_or("unknown", |state| state.as_str()),
        "run": record.as_ref().ok().and_then(|record| record.run.as_ref()).filter(|_| state.as_ref().is_ok_and(|s| *s != State::Off)),
        "last-end": record.as_ref().ok().and_then(|record| record.last_end.as_ref()),
        "pending": waits,
        "definition": definition,
    });
    context.show(&Shown { kind: "domain", name: name.to_string(), json, text })
}
