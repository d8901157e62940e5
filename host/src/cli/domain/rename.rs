//! `fief rename`.

use serde_json::json;

use crate::cli::Context;
use crate::domain::{client, store};
use crate::error::Result;
use crate::gate::Mode;
use crate::types::DomainName;

/// Give a domain that is off another name. Its volumes keep theirs
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its name now
    name: DomainName,
    /// Its name from then on
    new_name: DomainName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, name) = (context.layout(), &args.name);
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    client::settle(layout, name)?;
    if context.mode() == Mode::Perform {
        store::rename(layout, name, &args.new_name)?;
    }
    let item = json!({ "name": args.new_name, "before": name });
    context.changed("domain", name, &format!("is called {} now", args.new_name), item)
}
