//! `fief secret set`

use serde_json::json;

use super::typed;
use crate::cli::Context;
use crate::error::Result;
use crate::gate::{Actor, Ledger, Operation, secret};
use crate::types::GrantName;

/// Store a secret, from standard input or from a prompt; one of that name is replaced
///
///     fief secret set san-password
///     fief secret set san-password < FILE
///
/// The end of the last line is not part of it. A domain that runs keeps what it was started with.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Its name, as settings of pools and grants of policy say it
    name: GrantName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    secret::stay_private()?;
    let bytes = secret::hand_over(&typed::read(&args.name)?)?;
    let operation = Operation::SecretSet { secret: args.name.clone() };
    gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, vec![bytes])?;
    context.changed("secret", &args.name, "stored", json!({ "name": args.name }))
}
