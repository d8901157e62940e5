//! A second QEMU, the one of Debian's backports, unpacked beside the one that is installed: fief drives both.

use std::fs;
use std::path::PathBuf;

use super::stamp::Stamp;
use crate::command::{Doing, Result, capture, command, quietly, remove_tree};
use crate::place;

/// What the emulator is made of; its libraries are those that the installed one has brought.
const PACKAGES: [&str; 4] = ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"];

fn tree() -> PathBuf {
    place::guest().join("newer-qemu")
}

fn program() -> PathBuf {
    tree().join("usr/bin/qemu-system-x86_64")
}

/// Fetches it where it is not there.
pub(crate) fn ready() -> Result<()> {
    let release = release()?;
    let stamp = Stamp::new(&tree(), format!("{release}-backports {PACKAGES:?}"));
    if stamp.holds(&[&program()]) {
        return Ok(());
    }
    stamp.lift()?;
    println!("setup: fetching the QEMU of {release}-backports");
    let work = place::guest().join("newer-qemu-fetch");
    remove_tree(&work)?;
    let (lists, downloads) = (work.join("lists"), work.join("download"));
    fs::create_dir_all(&lists)?;
    fs::create_dir_all(&downloads)?;
    let sources = work.join("sources.list");
    let line = format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {release}-backports main\n"
    );
    fs::write(&sources, line).doing(|| format!("cannot write {}", sources.display()))?;
    // Lists and sources of its own: what the machine installs from stays as it is.
    let apt = |words: &[&str]| {
        let mut apt = command("apt-get", ["--quiet"]);
        for option in [
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", lists.display()),
        ] {
            apt.args(["--option", &option]);
        }
        apt.args(["--target-release", &format!("{release}-backports")]).args(words).current_dir(&downloads);
        apt
    };
    quietly(&mut apt(&["update"]))?;
    quietly(&mut apt(&[&["download"][..], &PACKAGES].concat()))?;
    remove_tree(&tree())?;
    fs::create_dir_all(tree())?;
    for entry in fs::read_dir(&downloads)? {
        quietly(command("dpkg-deb", ["--extract"]).arg(entry?.path()).arg(tree()))?;
    }
    remove_tree(&work)?;
    // Says so now where a library is missing, and not in the middle of the tests.
    capture(command(&program().to_string_lossy(), ["--version"]).env_remove("LD_LIBRARY_PATH"))?;
    stamp.set()
}

/// Debian's name of this release, as its archive has it.
fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").doing(|| "cannot read /etc/os-release".into())?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    match name {
        Some(name) if !name.trim_matches('"').is_empty() => Ok(name.trim_matches('"').to_owned()),
        Some(_) | None => Err("this is no release of Debian, so the tests do not know where a second QEMU is".into()),
    }
}
