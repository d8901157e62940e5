//! A project in Rust: a crate with the SDK beside it.

use std::path::{Path, PathBuf};

use super::{EXAMPLE_ID, Kind, SDK};
use crate::error::{Failure, Result};
use crate::types::PluginId;

/// Where the SDK lies in a project.
const FOLDER: &str = "fief";

/// All of the project, by place in its folder. Pure.
pub(super) fn files(name: &PluginId, kind: Kind) -> Result<Vec<(PathBuf, String)>> {
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
        } else if ["sdk/src/", "wit/", "rustfmt.toml"].iter().any(|part| path.starts_with(part)) {
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
         fief plugin show .                                # what it wants, as those see it who install it\n\
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
