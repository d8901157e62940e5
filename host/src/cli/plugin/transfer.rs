//! What the verbs share that take plugins as a set.

use serde_json::{Value, json};

use super::brief::BriefArgs;
use super::grants;
use crate::cli::output::progress::Progress;
use crate::cli::{Context, each, load};
use crate::config::lock::Lock;
use crate::config::policy;
use crate::error::Result;
use crate::gate::Gate;
use crate::plugin::bundle::Set;
use crate::plugin::package::Replace;

pub(super) fn json(lock: &Lock) -> Value {
    json!({ "plugins": lock.plugins })
}

/// Tries and installs the set, and says of each plugin what became of it.
pub(super) fn install(context: &Context, gate: &Gate, mut set: Set, replace: bool, brief: BriefArgs) -> Result<()> {
    let replace = if replace { Replace::Yes } else { Replace::No };
    set.may_install(gate, replace)?;
    set.try_each(|new, fetched| brief.tried(gate, new, fetched))?;
    let progress = Progress::start(format!("compiling {} plugins", set.arriving().count()));
    let installed = load::install_plugins(gate, &set, replace);
    drop(progress);
    installed?;
    let policy = policy::load(&context.layout().policy())?;
    for new in set.arriving() {
        grants::remind(context, new, &policy)?;
    }
    let ids: Vec<_> = set.arriving().map(|new| &new.manifest.id).chain(set.there()).cloned().collect();
    each::each(context, "plugin", &ids, |id| {
        Ok(if set.there().contains(id) { "is there already" } else { "installed" })
    })
}
