//! A domain goes to another host.

use super::survey::Plan;
use crate::error::{Failure, Result};
use crate::gate::Gate;

/// Moves a domain as planned; a plan without blockers.
///
/// # Errors
/// What came in between.
pub fn migrate(_: &Gate, plan: &Plan) -> Result<()> {
    let (domain, peer) = (&plan.wish.domain, &plan.wish.peer);
    Err(Failure::other(format!(
        "domain {domain} cannot move to {peer} yet: this fief plans a move, and does not make one"
    ))
    .hint(format!("fief migrate {domain} {peer} --plan")))
}
