//! Verbs that say one thing to the supervisor of each domain.

use crate::cli::{Context, each::each};
use crate::domain::state::{Admission, admit};
use crate::domain::supervisor::control::{Answer, Request};
use crate::domain::{client, store};
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::types::DomainName;

/// What is said of a domain: `domain node1 paused`.
pub(super) struct Told {
    pub(super) done: &'static str,
    pub(super) already: &'static str,
    pub(super) dry: &'static str,
}

pub(super) fn tell_each(context: &Context, names: &[DomainName], request: &Request, told: &Told) -> Result<()> {
    each(context, "domain", names, |name| match tell(context, name, request)? {
        None => Ok(told.dry),
        Some(Answer::Already) => Ok(told.already),
        Some(
            Answer::Done
            | Answer::File { .. }
            | Answer::Later { .. }
            | Answer::Memory { .. }
            | Answer::Copied { .. }
            | Answer::Machine { .. }
            | Answer::Migrated { .. }
            | Answer::Words { .. },
        ) => Ok(told.done),
    })
}

/// None in a dry run, which asks only whether it may be done.
fn tell(context: &Context, name: &DomainName, request: &Request) -> Result<Option<Answer>> {
    let layout = context.layout();
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    let state = match context.mode() {
        Mode::DryRun => client::settle(layout, name)?,
        Mode::Perform => match client::ask(layout, name, request)? {
            Some(answered) => return Ok(Some(answered.answer)),
            None => client::at_rest(layout, name)?,
        },
    };
    match request.admission().map(|wanted| admit(state, wanted)) {
        Some(Admission::Deny { kind, because, hint }) => {
            Err(Failure::new(kind, format!("domain {name}: {because}")).hint(hint))
        }
        Some(Admission::Already) => Ok(Some(Answer::Already)),
        Some(Admission::Accept) | None => Ok(None),
    }
}
