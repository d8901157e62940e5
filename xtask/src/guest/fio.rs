//! A disk with fio on it, for guests that have no network to fetch it from: the host's own, with all the libraries that
//! it wants and the loader that finds them.
//!
//! ```text
//!   /ld.so --library-path /lib /fio …
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;
use crate::command::{Doing, Result, capture, command, quietly, remove_tree};
use crate::place;

const PROGRAM: &str = "/usr/bin/fio";
/// Room for what it wants: 82 MB in Debian 12.
const SIZE: &str = "128M";

/// The image: ext4, without a partition.
fn file() -> PathBuf {
    place::guest().join("fio.img")
}

/// Makes it where it is not there, or the host has another fio.
pub(crate) fn ready() -> Result<()> {
    let product = file();
    let libraries = capture(&mut command("ldd", [PROGRAM]))?;
    // Addresses differ each time.
    let libraries: Vec<&str> = libraries.lines().filter_map(path_of).collect();
    let changed = fs::metadata(PROGRAM).and_then(|facts| facts.modified()).doing(|| format!("no {PROGRAM}"))?;
    let stamp = Stamp::new(&product, format!("{SIZE} {changed:?} {libraries:?}"));
    if stamp.holds(&[&product]) {
        return Ok(());
    }
    stamp.lift()?;
    println!("setup: making a disk with fio");
    let tree = place::guest().join("fio-tree");
    remove_tree(&tree)?;
    fs::create_dir_all(tree.join("lib"))?;
    let copy =
        |from: &Path, to: PathBuf| fs::copy(from, to).map(drop).doing(|| format!("cannot copy {}", from.display()));
    copy(Path::new(PROGRAM), tree.join("fio"))?;
    for library in libraries.into_iter().map(Path::new) {
        let name = library.file_name().unwrap_or_default();
        let is_loader = name.to_string_lossy().starts_with("ld-linux");
        copy(library, if is_loader { tree.join("ld.so") } else { tree.join("lib").join(name) })?;
    }
    let unfinished = place::guest().join("fio-unfinished.img");
    let _ = fs::remove_file(&unfinished);
    quietly(command("mke2fs", ["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&unfinished).arg(SIZE))?;
    fs::rename(&unfinished, &product)?;
    remove_tree(&tree)?;
    stamp.set()
}

/// The file in a line of ldd's: `NAME => FILE (ADDRESS)`, or `FILE (ADDRESS)` for the loader. None for the kernel's own.
fn path_of(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| word.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_what_ldd_says() {
        assert_eq!(
            path_of("\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f5d)"),
            Some("/lib/x86_64-linux-gnu/libz.so.1")
        );
        assert_eq!(path_of("\t/lib64/ld-linux-x86-64.so.2 (0x00007f5e)"), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(path_of("\tlinux-vdso.so.1 (0x00007ffc)"), None);
    }
}
