//! `fief screenshot`.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::Context;
use crate::config::domain::GraphicsKind;
use crate::domain::supervisor::control::{Answer, Request};
use crate::domain::{client, store};
use crate::error::{Context as _, Failure, Result};
use crate::gate::Mode;
use crate::types::DomainName;

/// Write what a guest shows on its screen into a new file, as a PNG
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// The file; it must not exist
    file: PathBuf,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, name, file) = (context.layout(), &args.name, &args.file);
    let running = store::load_running(layout, name)?;
    let off = || Failure::conflict(format!("domain {name} is off")).hint(format!("`fief start {name}` starts it"));
    let runs = running.is_some();
    let definition = match running {
        Some(running) => running,
        None => store::load(layout, name)?,
    };
    if definition.graphics.kind == GraphicsKind::None {
        return Err(Failure::conflict(format!("domain {name} has no screen"))
            .hint("give it one: write [graphics] kind = \"vnc\" with `fief edit`; it has it from its next start"));
    }
    if file.symlink_metadata().is_ok() {
        return Err(Failure::conflict(format!("{} exists", file.display())).hint("name a file that does not"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Failure::not_found(format!("there is no folder {}", folder.display())).hint("make it first"));
    }
    if context.mode() == Mode::DryRun {
        return if runs { Ok(()) } else { Err(off()) };
    }
    let answered = client::ask(layout, name, &Request::Screenshot)?;
    let Some(Answer::File { name: picture }) = answered.map(|answered| answered.answer) else {
        return Err(off());
    };
    let picture = layout.domain(name).join(picture);
    let taken = take(&picture, file);
    let removed = std::fs::remove_file(&picture).context(|| format!("cannot remove {}", picture.display()));
    taken.and(removed)?;
    context.changed("domain", name, &format!("is shown in {}", file.display()), json!({ "name": name, "file": file }))
}

/// Copied and not renamed: the file may be on another file system.
fn take(picture: &Path, file: &Path) -> Result<()> {
    let saying = || format!("cannot write {}", file.display());
    let mut from = File::open(picture).context(saying)?;
    let mut to = File::options().write(true).create_new(true).mode(0o600).open(file).context(saying)?;
    match std::io::copy(&mut from, &mut to) {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = std::fs::remove_file(file);
            Err(error).context(saying)
        }
    }
}
