//! C, by clang and no library but the one in the project: bindings by our own means, then one call of the compiler.

use std::fs;
use std::path::{Path, PathBuf};

use super::{folder, tool};
use crate::error::{Context, Failure, Result};
use crate::plugin::project::{self, BUILT, WIT};

const INSTALL: &str = "apt-get install clang lld";
/// Of a plugin's stack, in bytes: 64 KiB, a page of WebAssembly's.
const STACK: &str = "-Wl,-z,stack-size=65536";

/// Gives the core module that comes of `src/*.c`, `fief/*.c` and the bindings.
pub(super) fn build(directory: &Path) -> Result<PathBuf> {
    let bindings = Path::new(BUILT).join("bindings");
    let parts = Path::new(BUILT).join("parts");
    folder(&directory.join(&bindings))?;
    folder(&directory.join(&parts))?;
    for (name, content) in project::c_bindings(&directory.join(WIT))? {
        let path = directory.join(&bindings).join(name);
        // One that is as it was stays as old as it was, for make.
        if fs::read(&path).ok().as_ref() != Some(&content) {
            fs::write(&path, content).context(|| format!("cannot write {}", path.display()))?;
        }
    }
    let made = parts.join("core.wasm");
    let mut words: Vec<String> = [
        "--target=wasm32",
        "-std=c11",
        "-O2",
        "-g0",
        "-ffreestanding",
        "-fno-builtin",
        "-nostdlib",
        "-Wall",
        "-Wextra",
        "-mexec-model=reactor",
        "-Wl,--no-entry",
        "-Wl,--strip-debug",
        STACK,
        "-isystem",
        "fief/libc",
        "-Ifief",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(format!("-I{}", bindings.display()));
    let mut sources = Vec::new();
    for (place, ending) in [(Path::new("src"), "c"), (Path::new("fief"), "c"), (&bindings, "c"), (&bindings, "o")] {
        sources.extend(files(directory, place, ending)?);
    }
    words.extend(sources);
    words.extend(["-o".to_owned(), made.display().to_string()]);
    tool(directory, "clang", &words, INSTALL, &format!("where it lacks wasm-ld or the target wasm32: {INSTALL}"))?;
    Ok(directory.join(made))
}

/// The files of a folder of the project with that ending, by name.
fn files(directory: &Path, place: &Path, ending: &str) -> Result<Vec<String>> {
    let folder = directory.join(place);
    let entries = fs::read_dir(&folder).map_err(|error| {
        Failure::usage(format!("cannot read {}", folder.display()))
            .because(error)
            .hint("a project in C has its code in src, and in fief what fief plugin new put there")
    })?;
    let mut found: Vec<String> = entries
        .flatten()
        .map(|entry| place.join(entry.file_name()))
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| path.display().to_string())
        .collect();
    found.sort();
    Ok(found)
}
