//! `fief save`.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::progress::Progress;
use crate::domain::state::{Admission, Request as Verb, admit};
use crate::domain::supervisor::control::Request;
use crate::domain::{Record, State, client, store};
use crate::error::{Context as _, Failure, Result};
use crate::gate::Mode;
use crate::types::DomainName;

/// Save a running guest into a file (memory, devices, definition), and leave the domain off
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`fief restore FILE` goes on where the guest was. The disks are not in the file; once they are \
                        written to by another start, the file is refused. The file holds all that the guest had in \
                        memory, and only its owner may read it."
)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    pub(in crate::cli) name: DomainName,
    /// The file; it must not exist
    pub(in crate::cli) file: PathBuf,
}

pub(in crate::cli) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, name) = (context.layout(), &args.name);
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    let file = std::path::absolute(&args.file).context(|| format!("{} is no path", args.file.display()))?;
    check(&file)?;
    let state = client::settled_start(layout, name)?;
    if let Admission::Deny { kind, because, hint } = admit(state, Verb::Save) {
        return Err(Failure::new(kind, format!("cannot save domain {name}: {because}")).hint(hint));
    }
    if context.mode() == Mode::DryRun {
        return Ok(());
    }
    let progress = Progress::start(format!("saving {name} to {}", file.display()));
    let answered = client::ask(layout, name, &Request::Save { file: file.clone() })?;
    drop(progress);
    let saved = || {
        let size = file.metadata().map(|facts| facts.len()).ok();
        let item = json!({ "name": name, "file": file, "size": size });
        context.changed("domain", name, &format!("saved to {}", file.display()), item)
    };
    match answered {
        Some(answered) if answered.state == State::Off => saved(),
        // Its supervisor was killed after the file had its name, and who came next saw it through.
        Some(_) | None if Record::load(layout, name)?.saved.as_ref() == Some(&file) => saved(),
        Some(_) | None => Err(Failure::conflict(format!("domain {name} ended before it could be saved"))
            .hint(format!("`fief show {name}` says how"))),
    }
}

/// Whether a new file can be made there, before the guest is made to stand still.
fn check(file: &Path) -> Result<()> {
    if file.symlink_metadata().is_ok() {
        return Err(Failure::conflict(format!("{} exists", file.display())).hint("name a file that does not"));
    }
    match file.parent() {
        Some(folder) if folder.is_dir() => Ok(()),
        Some(folder) => {
            Err(Failure::not_found(format!("there is no folder {}", folder.display())).hint("make it first"))
        }
        None => Err(Failure::usage("a state is saved to a file").hint("name one, as in /var/tmp/node1.state")),
    }
}
