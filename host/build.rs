//! Puts the SDK into the binary, for `fief plugin new`: a project has the very SDK that this host speaks with.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Of the workspace: what a project gets.
const PARTS: &[&str] =
    &["sdk/src", "sdk/examples", "sdk/Cargo.toml", "sdk/c", "sdk/javascript", "sdk/python", "wit", "rustfmt.toml"];

fn main() -> io::Result<()> {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = own.parent().unwrap_or(&own);
    let mut table = String::from("&[\n");
    for part in PARTS {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
        for file in files(&root.join(part))? {
            let name = file.strip_prefix(root).unwrap_or(&file);
            let _ = writeln!(table, "    ({name:?}, include_str!({file:?})),");
        }
    }
    table.push(']');
    let to = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("sdk.rs");
    fs::write(to, table)
}

/// In order, so that the same tree makes the same binary.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(if path.exists() { vec![path.to_owned()] } else { Vec::new() });
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    entries.iter().map(|entry| files(entry)).collect::<io::Result<Vec<_>>>().map(|all| all.concat())
}
