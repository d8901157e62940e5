//! `fief plugin new`

mod other;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::Context;
use crate::error::{Context as _, Failure, Result};
use crate::gate::Mode;
use crate::types::PluginId;

/// The SDK and its contracts, by their place in fief's own tree.
const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
/// The id of the examples that projects begin with.
const EXAMPLE_ID: &str = "my-plugin";

/// Begin a plugin: a project that builds, passes its own tests and can be installed
///
///     fief plugin new my-disks --kind storage
///     fief plugin new my-disks --kind storage --lang c
///
/// The SDK of this fief lies in it, so that it builds wherever that language's own tools are: Rust with the target wasm32-wasip2,
/// clang and lld, or componentize-py.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The plugin's id, and the folder that is made
    name: PluginId,
    /// What it provides
    #[arg(long)]
    kind: Kind,
    /// The language that it is written in
    #[arg(long, default_value = "rust")]
    lang: Language,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Where volumes live
    Storage,
    /// How cards reach a network
    Network,
    /// How a domain moves to another host
    Migration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Rust,
    C,
    #[value(alias = "javascript")]
    Js,
    Python,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Storage => "storage",
            Kind::Network => "network",
            Kind::Migration => "migration",
        }
    }

    /// What grants it all that it asks for.
    fn grant(self, id: &PluginId) -> String {
        match self {
            Kind::Storage => format!(
                "mkdir -p /var/lib/{id}\n\
                 fief plugin grant {id} --all-asked --directory volumes=/var/lib/{id}:rw --serve {id}"
            ),
            Kind::Network => format!("fief plugin grant {id} --serve {id}"),
            Kind::Migration => format!("fief plugin grant {id} --all-asked"),
        }
    }

    /// How it is held against its interface; there is a kit for storage.
    fn test(self, id: &PluginId) -> String {
        match self {
            Kind::Storage => format!(
                "Whether it does what the interface says is found out in its sandbox, with volumes in a folder that goes again:\n\n\
                 ```sh\n\
                 printf 'name = \"trial\"\\nkind = \"{id}\"\\n[settings]\\ndirectory = \"volumes\"\\n' > pool.toml\n\
                 fief plugin test . --settings pool.toml\n\
                 fief plugin dev . --settings pool.toml             # builds and tries it whenever a file changes\n\
                 ```\n\n"
            ),
            Kind::Network | Kind::Migration => String::new(),
        }
    }

    fn trial(self, id: &PluginId) -> String {
        match self {
            Kind::Storage => format!(
                "fief pool create mine --kind {id} --set directory=volumes\nfief volume create mine/disk1 --size 1GiB --format raw"
            ),
            Kind::Network => format!("fief network create mine --kind {id}"),
            Kind::Migration => format!("fief migrate DOMAIN PEER --strategy {id} --plan"),
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let Args { name, kind, lang } = args;
    let folder = PathBuf::from(name.as_str());
    let shown = folder.display().to_string();
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::conflict(format!("there is a {shown} here already"))
            .hint("choose another name, or work elsewhere"));
    }
    let files = match lang {
        Language::Rust => rust::files(name, *kind)?,
        Language::C => other::files(name, *kind, other::Other::C),
        Language::Js => other::files(name, *kind, other::Other::JavaScript),
        Language::Python => other::files(name, *kind, other::Other::Python),
    };
    if context.mode() == Mode::Perform {
        write(&folder, &files).inspect_err(|_| {
            // What is half made is of no use; the first error is the one to tell.
            let _ = fs::remove_dir_all(&folder);
        })?;
    }
    context.changed(
        "project",
        &shown,
        &format!("begun: see {shown}/README.md"),
        json!({ "folder": shown, "kind": kind.name() }),
    )
}

fn write(folder: &Path, files: &[(PathBuf, String)]) -> Result<()> {
    for (path, text) in files {
        let path = folder.join(path);
        let saying = || format!("cannot write {}", path.display());
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).context(saying)?;
        }
        fs::write(&path, text).context(saying)?;
    }
    Ok(())
}
