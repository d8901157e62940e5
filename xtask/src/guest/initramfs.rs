//! The witness guest: busybox and a script that says what it finds (`xtask/guest/init`).

use std::fs;
use std::path::PathBuf;

use super::cpio::{Archive, DIRECTORY, FILE, PROGRAM};
use super::kernel;
use super::stamp::Stamp;
use crate::command::{Doing, Result, remove_tree};
use crate::place;
use crate::setup::unpack;

const INIT: &str = include_str!("../../guest/init");
const UDHCPC: &str = include_str!("../../guest/udhcpc");

pub(crate) fn file() -> PathBuf {
    place::guest().join("initramfs.cpio")
}

/// Makes it where it is not there, or the script or the kernel's modules changed.
pub(crate) fn ready() -> Result<()> {
    let busybox = busybox()?;
    let order =
        fs::read_to_string(kernel::modules().join("order")).doing(|| "cannot read the kernel's modules".into())?;
    let changed = fs::metadata(kernel::vmlinuz())?.modified()?;
    let product = file();
    let stamp = Stamp::new(&product, format!("{INIT}{UDHCPC}{order}{changed:?}"));
    if stamp.holds(&[&product]) {
        return Ok(());
    }
    stamp.lift()?;
    println!("setup: making the witness guest");
    let mut archive = Archive::default();
    archive.add("bin", DIRECTORY, &[]);
    archive.add("bin/busybox", PROGRAM, &fs::read(busybox)?);
    archive.add("modules", DIRECTORY, &[]);
    archive.add("modules/order", FILE, order.as_bytes());
    for module in order.lines() {
        archive.add(&format!("modules/{module}"), FILE, &fs::read(kernel::modules().join(module))?);
    }
    // The kernel opens it before anything of ours runs.
    archive.add("dev", DIRECTORY, &[]);
    archive.add("init", PROGRAM, INIT.as_bytes());
    archive.add("udhcpc", PROGRAM, UDHCPC.as_bytes());
    fs::write(&product, archive.finish()).doing(|| format!("cannot write {}", product.display()))?;
    stamp.set()
}

/// A busybox that needs no libraries, from its package; not installed, so that it stands in the way of no other.
fn busybox() -> Result<PathBuf> {
    const PACKAGE: &str = "busybox-static";
    let product = place::guest().join("busybox");
    let stamp = Stamp::new(&product, PACKAGE);
    if stamp.holds(&[&product]) {
        return Ok(product);
    }
    stamp.lift()?;
    let tree = place::guest().join("busybox-tree");
    remove_tree(&tree)?;
    unpack(PACKAGE, &tree)?;
    let found = ["bin/busybox", "usr/bin/busybox"].iter().map(|path| tree.join(path)).find(|path| path.exists());
    let Some(found) = found else { return Err(format!("{PACKAGE} has no busybox").into()) };
    fs::rename(found, &product)?;
    remove_tree(&tree)?;
    stamp.set()?;
    Ok(product)
}
