//! `fief plugin new`

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::Context;
use crate::error::{Context as _, Failure, Result};
use crate::gate::Mode;
use crate::types::PluginId;

/// The SDK and its contracts, by their place in fief's own tree.
const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
/// Where they lie in a project.
const FOLDER: &str = "fief";
/// The id of the examples that projects begin with.
const EXAMPLE_ID: &str = "my-plugin";

/// Begin a plugin: a project that builds, passes its own tests and can be installed
///
///     fief plugin new my-disks --kind storage
///
/// The SDK of this fief lies in it, so that it builds wherever Rust is.
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
    let Args { name, kind, lang: Language::Rust } = args;
    let folder = PathBuf::from(name.as_str());
    let shown = folder.display().to_string();
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::conflict(format!("there is a {shown} here already"))
            .hint("choose another name, or work elsewhere"));
    }
    let files = files(name, *kind)?;
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

/// All of the project, by place in its folder. Pure.
fn files(name: &PluginId, kind: Kind) -> Result<Vec<(PathBuf, String)>> {
    let example = format!("sdk/examples/{}.rs", kind.name());
    let mut files = vec![
        ("Cargo.toml".into(), manifest(name)),
        (".gitignore".into(), "/target\n".to_owned()),
        ("README.md".into(), readme(name, kind)),
    ];
    for (path, text) in SDK {
        if *path == example {
            files.push(("src/lib.rs".into(), text.replace(EXAMPLE_ID, name.as_str())));
        } else if *path == "sdk/Cargo.toml" {
            files.push((Path::new(FOLDER).join(path), alone(text)?));
        } else if !path.starts_with("sdk/examples/") {
            files.push((Path::new(FOLDER).join(path), (*text).to_owned()));
        }
    }
    Ok(files)
}

fn manifest(name: &PluginId) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nfief-sdk = {{ path = \"{FOLDER}/sdk\" }}\n\n\
         [workspace]\n\n\
         [profile.release]\nopt-level = \"s\"\nlto = true\nstrip = true\n"
    )
}

/// The SDK's own manifest without the workspace around it, and without what only its own tests need.
fn alone(text: &str) -> Result<String> {
    let saying = || "the SDK in this fief cannot be read".to_owned();
    let mut table: toml::Table = text.parse().map_err(|error| Failure::other(saying()).because(error))?;
    for key in ["lints", "dev-dependencies", "example"] {
        table.remove(key);
    }
    if let Some(toml::Value::Table(package)) = table.get_mut("package") {
        let own = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("rust-version", env!("CARGO_PKG_RUST_VERSION")),
            ("license", env!("CARGO_PKG_LICENSE")),
            ("edition", "2024"),
        ];
        for (key, value) in own {
            package.insert(key.to_owned(), value.into());
        }
        package.insert("publish".to_owned(), false.into());
    }
    toml::to_string(&table).map_err(|error| Failure::other(saying()).because(error))
}

fn readme(name: &PluginId, kind: Kind) -> String {
    let (file, grant, trial) = (name.as_str().replace('-', "_"), kind.grant(name), kind.trial(name));
    let test = kind.test(name);
    format!(
        "# {name}\n\nA plugin of the kind {} for fief.\n\n\
         ```sh\n\
         cargo test                                        # the code, natively\n\
         rustup target add wasm32-wasip2                   # once\n\
         fief plugin build                                 # the plugin: target/wasm32-wasip2/release/{file}.wasm\n\
         fief plugin show ./                               # what it wants, as those see it who install it\n\
         fief plugin install .\n\
         ```\n\n\
         {test}Before it may do anything, you have to say so (the lines are in `policy.toml` then):\n\n\
         ```sh\n{grant}\n{trial}\n```\n\n\
         The manual is `cargo doc -p fief-sdk --open`. The SDK lies in `{FOLDER}/`; do not change it, a newer fief brings a newer one.\n",
        kind.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_all_that_it_needs_and_nothing_of_the_workspace() {
        for kind in [Kind::Storage, Kind::Network, Kind::Migration] {
            let files = files(&"acme-disks".parse().unwrap(), kind).unwrap();
            let text = |path: &str| {
                files
                    .iter()
                    .find(|(found, _)| found == Path::new(path))
                    .map(|(_, text)| text.as_str())
                    .unwrap_or_default()
            };
            assert!(text("src/lib.rs").contains("id: \"acme-disks\"") && !text("src/lib.rs").contains(EXAMPLE_ID));
            assert!(text("README.md").contains("release/acme_disks.wasm"));
            let sdk: toml::Table = text("fief/sdk/Cargo.toml").parse().unwrap();
            assert!(sdk.contains_key("dependencies") && !sdk.contains_key("dev-dependencies"), "{sdk}");
            assert!(!text("fief/sdk/Cargo.toml").contains("workspace"), "{sdk}");
            assert!(!text("fief/sdk/src/lib.rs").is_empty() && !text("fief/wit/types/types.wit").is_empty());
            assert!(text("Cargo.toml").parse::<toml::Table>().is_ok());
        }
    }
}
