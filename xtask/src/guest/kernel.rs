//! The kernel of Debian's cloud images with the few modules that the witness guest needs; unpacked, not installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;
use crate::command::{Doing, Result, remove_tree};
use crate::place;
use crate::setup::{stands_for, unpack};

/// The package that always depends on the newest kernel for guests; it is the smallest that Debian builds.
const META: &str = "linux-image-cloud-amd64";
/// What the guest finds its disk and card with, tells of a panic with, and hears its power button with; from the balloon
/// on, what only `fief.mode=watch` loads.
const MODULES: &[&str] =
    &["virtio_pci", "virtio_blk", "virtio_net", "pvpanic-mmio", "pvpanic-pci", "button", "evdev", "virtio_balloon"];

pub(crate) fn vmlinuz() -> PathBuf {
    place::guest().join("vmlinuz")
}

/// Modules, and the file `order` that names them, each after those that it needs.
pub(crate) fn modules() -> PathBuf {
    place::guest().join("modules")
}

/// Fetches the kernel where it is not there.
pub(crate) fn ready() -> Result<()> {
    let (vmlinuz, modules) = (vmlinuz(), modules());
    let stamp = Stamp::new(&vmlinuz, format!("{META} {MODULES:?}"));
    if stamp.holds(&[&vmlinuz, &modules.join("order")]) {
        return Ok(());
    }
    stamp.lift()?;
    fs::create_dir_all(place::guest())?;
    let tree = place::guest().join("kernel");
    remove_tree(&tree)?;
    let package = stands_for(META, "linux-image-")?;
    unpack(&package, &tree)?;

    let version = package.trim_start_matches("linux-image-");
    let image = tree.join("boot").join(format!("vmlinuz-{version}"));
    fs::rename(&image, &vmlinuz).doing(|| format!("{package} has no {}", image.display()))?;
    remove_tree(&modules)?;
    fs::create_dir_all(&modules)?;
    collect(&tree.join("lib/modules").join(version).join("kernel"), &modules)?;
    remove_tree(&tree)?;
    stamp.set()
}

/// Copies [`MODULES`] and what they need.
fn collect(from: &Path, to: &Path) -> Result<()> {
    let mut all = BTreeMap::new();
    index(from, &mut all)?;
    let mut order = Vec::new();
    for module in MODULES {
        add(module, &all, to, &mut order)?;
    }
    fs::write(to.join("order"), order.iter().map(|name| format!("{name}.ko\n")).collect::<String>())?;
    Ok(())
}

/// Module names (with `_` and `-` as the same) → files.
fn index(directory: &Path, all: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).doing(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            index(&path, all)?;
        } else if let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".ko")) {
            all.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

fn add(module: &str, all: &BTreeMap<String, PathBuf>, to: &Path, order: &mut Vec<String>) -> Result<()> {
    if order.iter().any(|done| done == module) {
        return Ok(());
    }
    let Some(file) = all.get(&module.replace('-', "_")) else {
        return Err(format!("the kernel package has no module {module}").into());
    };
    let bytes = fs::read(file)?;
    for needed in needs(&bytes) {
        add(&needed, all, to, order)?;
    }
    fs::write(to.join(format!("{module}.ko")), bytes)?;
    order.push(module.to_owned());
    Ok(())
}

/// The `depends` line of a module's `.modinfo` section (modinfo(8)).
fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[start + KEY.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_is_read_from_its_own_section() {
        assert_eq!(needs(b"ELF\0license=GPL\0depends=virtio_ring,virtio\0name=x\0"), ["virtio_ring", "virtio"]);
        assert!(needs(b"ELF\0depends=\0").is_empty());
        assert!(needs(b"ELF").is_empty());
    }
}
