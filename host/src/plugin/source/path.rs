//! A plugin in a file, or in a directory: a project, or a folder with one component in it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Fetched, SourceRecord};
use crate::error::{Context, Failure, Result};
use crate::plugin::component::PLUGIN_MAX;
use crate::plugin::project;

/// Where `cargo build --release --target wasm32-wasip2` puts components.
const BUILT: &str = "target/wasm32-wasip2/release";
/// Entries of a directory that are looked at: a project has a dozen.
const ENTRIES_MAX: usize = 10_000;
/// Components that are named where there are too many.
const NAMED_MAX: usize = 8;

/// # Errors
/// `NotFound`; `Usage` where it cannot be read, or is a directory with no component in it or several.
pub(super) fn read(path: &Path) -> Result<Fetched> {
    let found;
    let file = if path.is_dir() {
        found = component_in(path)?;
        &found
    } else {
        path
    };
    let shown = file.display().to_string();
    let mut bytes = Vec::new();
    let opened = File::open(file).and_then(|file| file.take(PLUGIN_MAX as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = opened {
        return Err(match error.kind() {
            ErrorKind::NotFound => Failure::not_found(format!("there is no file {shown}"))
                .hint("a plugin is one .wasm file, as `cargo build --target wasm32-wasip2` makes it"),
            _ => Failure::usage(format!("cannot read the plugin {shown}")).because(error),
        });
    }
    // Of a file that is gone by now, the name that the operator gave is all that is left.
    let from = file.canonicalize().unwrap_or_else(|_| file.to_owned()).display().to_string();
    Ok(Fetched { bytes, shown, record: SourceRecord { from, manifest: None } })
}

/// The one component that a project was built to, or that lies in a folder.
fn component_in(directory: &Path) -> Result<PathBuf> {
    let shown = directory.display();
    let other = directory.join(project::FILE).exists();
    let project = other || directory.join("Cargo.toml").exists();
    let folder = match (other, project) {
        (true, _) => directory.join(project::BUILT),
        (false, true) => directory.join(BUILT),
        (false, false) => directory.to_owned(),
    };
    let found = match components(&folder) {
        Err(error) if project && error.kind() == ErrorKind::NotFound => Vec::new(),
        other => other.context(|| format!("cannot read the folder {}", folder.display()))?,
    };
    match &found[..] {
        [one] => Ok(one.clone()),
        [] if other => Err(Failure::usage(format!("the project {shown} has not been built to a plugin"))
            .hint(format!("fief plugin build {shown}"))),
        [] if project => Err(Failure::usage(format!("the project {shown} has not been built to a plugin"))
            .hint("in it: cargo build --release --target wasm32-wasip2; of a workspace, name the .wasm file itself")),
        [] => Err(Failure::usage(format!("the directory {shown} holds no plugin"))
            .hint("name a .wasm file, a directory with one in it, or a project that was built to one")),
        several => {
            let mut failure = Failure::usage(format!("{} holds {} .wasm files", folder.display(), several.len()));
            let names = several.iter().take(NAMED_MAX).filter_map(|path| path.file_name());
            failure.causes.extend(names.map(|name| name.to_string_lossy().into_owned()));
            Err(failure.hint("name the file that is meant"))
        }
    }
}

/// The files of a folder that end in `.wasm`, by name.
fn components(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir()?.take(ENTRIES_MAX) {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "wasm") && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_directory_stands_for_the_one_component_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let none = read(folder.path()).unwrap_err();
        assert!(none.kind == Kind::Usage && none.message.ends_with("holds no plugin"), "{none}");
        std::fs::write(at("a.wasm"), b"a").unwrap();
        std::fs::write(at("readme.md"), b"").unwrap();
        std::fs::create_dir(at("deps.wasm")).unwrap();
        let one = read(folder.path()).unwrap();
        assert_eq!(one.bytes, b"a");
        assert_eq!(Path::new(&one.record.from), at("a.wasm").canonicalize().unwrap());
        std::fs::write(at("b.wasm"), b"b").unwrap();
        let two = read(folder.path()).unwrap_err();
        assert!(two.kind == Kind::Usage && two.causes == ["a.wasm", "b.wasm"], "{two:?}");

        // A project is what it was built to, whatever lies beside it.
        std::fs::write(at("Cargo.toml"), b"").unwrap();
        let unbuilt = read(folder.path()).unwrap_err();
        assert!(unbuilt.hint.is_some_and(|hint| hint.contains("cargo build")));
        std::fs::create_dir_all(at(BUILT)).unwrap();
        std::fs::write(at(BUILT).join("c.wasm"), b"c").unwrap();
        assert_eq!(read(folder.path()).unwrap().bytes, b"c");
        // So is one in another language.
        std::fs::write(at(project::FILE), b"").unwrap();
        let unbuilt = read(folder.path()).unwrap_err();
        assert!(unbuilt.hint.is_some_and(|hint| hint.contains("fief plugin build")));
        std::fs::create_dir_all(at(project::BUILT).join("parts.wasm")).unwrap();
        std::fs::write(at(project::BUILT).join("d.wasm"), b"d").unwrap();
        assert_eq!(read(folder.path()).unwrap().bytes, b"d");
        assert_eq!(read(&at("none.wasm")).unwrap_err().kind, Kind::NotFound);
    }

    #[test]
    fn of_what_has_no_end_no_more_is_read_than_a_plugin_may_have() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap().bytes.len(), PLUGIN_MAX + 1);
    }
}
