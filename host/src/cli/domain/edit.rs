//! `fief edit`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::Command;

use crate::cli::{Context, settings};
use crate::config::domain;
use crate::domain::{Record, State, store};
use crate::error::{Context as _, Failure, Result};
use crate::gate::Mode;
use crate::types::DomainName;

/// Change a domain's definition, that of its next start, in $VISUAL or $EDITOR, or replace it by a file
///
/// `fief set`, `attach` and `detach` change a domain that runs as well.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// The new definition (- for standard input)
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, name) = (context.layout(), &args.name);
    let before = store::load(layout, name)?;
    let (bytes, source) = match &args.file {
        Some(file) => settings::read(file)?,
        None => in_editor(&domain::to_toml(&before))?,
    };
    let after = domain::parse(&bytes, &source, &mut domain::RandomIdentity)?;
    if after.name != before.name {
        return Err(Failure::usage(format!("{source} defines {}, not {name}", after.name))
            .hint("a domain keeps its name here; put it back"));
    }
    if after == before {
        return context.changed("domain", name, "unchanged", serde_json::json!({ "name": name }));
    }
    if context.mode() == Mode::DryRun {
        return Ok(());
    }
    store::replace(layout, &after)?;
    let runs = Record::load(layout, name)?.state_now() != State::Off;
    let what = if runs { "changed; `fief show` tells what waits for its next start" } else { "changed" };
    context.changed("domain", name, what, serde_json::json!({ "name": name, "pending": runs }))
}

/// Lets the operator change `text`. The file is kept where the result cannot be used, so that no work is lost.
fn in_editor(text: &str) -> Result<(Vec<u8>, String)> {
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(std::env::var_os).unwrap_or_else(|| "vi".into());
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to run an editor on")
            .hint("`fief edit NAME -f FILE` replaces the definition; `fief show NAME` prints it"));
    }
    let path = std::env::temp_dir().join(format!("fief-edit-{}.toml", std::process::id()));
    let saying = || format!("cannot write {}", path.display());
    let mut file = std::fs::File::options().write(true).create_new(true).open(&path).context(saying)?;
    file.write_all(text.as_bytes()).context(saying)?;
    drop(file);
    // The operator's own choice of words, as every tool that honours EDITOR splits them.
    let words = editor.to_string_lossy().into_owned();
    let mut words = words.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(&path).status().map_err(|error| {
        Failure::other(format!("cannot run the editor {program}")).because(error).hint("set EDITOR")
    })?;
    let (bytes, source) = settings::read(&path)?;
    if !status.success() {
        return Err(Failure::other(format!("the editor {program} ended with {status}; nothing was changed")));
    }
    let checked = domain::parse(&bytes, &source, &mut domain::RandomIdentity);
    match checked {
        Ok(_) => {
            let _ = std::fs::remove_file(&path);
            Ok((bytes, source))
        }
        Err(failure) => {
            Err(failure.hint(format!("your text is kept in {source}; `fief edit NAME -f {source}` tries it again")))
        }
    }
}
