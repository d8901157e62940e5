//! Debian packages.

use std::process::Command;

use super::Purpose;
use super::services::NoServices;
use crate::command::{Result, capture, command, is_root, line, output, quietly, run};

/// QEMU with its firmware, and the tools that the host itself calls.
const DEMO: &[&str] =
    &["qemu-system-x86", "qemu-utils", "ovmf", "seabios", "dnsmasq-base", "nftables", "iproute2", "ca-certificates"];
/// What a Debian disk image is made with, and what the tests look at the machine with.
const TEST: &[&str] =
    &["mmdebstrap", "e2fsprogs", "fdisk", "mtools", "grub-common", "grub-pc-bin", "grub-efi-amd64-bin", "iputils-ping"];
/// The peer that is measured against.
const BENCH: &[&str] = &["libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients"];

fn wanted(purpose: Purpose) -> Vec<&'static str> {
    let lists: &[&[&str]] = match purpose {
        Purpose::Demo => &[DEMO],
        Purpose::Test => &[DEMO, TEST],
        Purpose::Bench => &[DEMO, TEST, BENCH],
    };
    lists.concat()
}

/// Installs what is missing.
///
/// # Errors
/// Where something is missing and we are not root, or the machine has no apt: the exact packages.
pub(crate) fn install(purpose: Purpose) -> Result<()> {
    let missing = missing(wanted(purpose))?;
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !is_root() {
        return Err(format!(
            "these packages are missing, and installing them needs root:\n  sudo apt-get update\n  \
             sudo apt-get install --no-install-recommends {names}\nhint: run these two lines, then this command again"
        )
        .into());
    }
    println!("setup: installing {names}");
    update()?;
    let guard = NoServices::hold()?;
    let chosen = resolve(&missing)?;
    let installed = quietly(&mut apt(&["install", "--yes", "--no-install-recommends"], &chosen));
    guard.release()?;
    installed
}

/// Fetches the lists of packages.
pub(crate) fn update() -> Result<()> {
    quietly(&mut apt(&["update"], &[]))
}

fn missing(wanted: Vec<&'static str>) -> Result<Vec<&'static str>> {
    // dpkg-query fails where it does not know one of the names, and still tells of the others.
    let query = ["--show", "--showformat=${db:Status-Status} ${Package}\n"].iter().chain(&wanted);
    let known = output(&mut command("dpkg-query", query)).map_err(|trouble| {
        format!("{trouble}\nhint: this knows Debian's packages only; elsewhere install: {}", wanted.join(" "))
    })?;
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    Ok(wanted.into_iter().filter(|name| !known.lines().any(|line| line == format!("installed {name}"))).collect())
}

fn apt(verb: &[&str], packages: &[String]) -> Command {
    let mut apt = command("apt-get", ["--quiet", "--option", "Dpkg::Use-Pty=0"]);
    apt.args(verb).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// What to ask apt for. Where `qemu-utils` came from backports, the rest of QEMU in the newest release that it has
/// of its own may not go beside it; then all of QEMU is taken in the version that is there.
fn resolve(missing: &[&'static str]) -> Result<Vec<String>> {
    let plain: Vec<String> = missing.iter().map(|&name| name.to_owned()).collect();
    let simulate = |packages: &[String]| {
        quietly(&mut apt(&["install", "--simulate", "--allow-downgrades", "--no-install-recommends"], packages))
    };
    let Err(refused) = simulate(&plain) else { return Ok(plain) };
    for version in qemu_versions()? {
        let pinned: Vec<String> = plain
            .iter()
            .filter(|name| !name.starts_with("qemu-"))
            .cloned()
            .chain(QEMU.iter().map(|name| format!("{name}={version}")))
            .collect();
        if simulate(&pinned).is_ok() {
            println!("setup: QEMU in version {version}, so that its packages fit together");
            return Ok([vec!["--allow-downgrades".to_owned()], pinned].concat());
        }
    }
    let told = line(&apt(&["install"], &plain));
    Err(format!("{refused}\nhint: apt finds no versions that fit together; see what it says to: {told}").into())
}

/// The packages of QEMU's that must come in one version.
const QEMU: &[&str] = &["qemu-system-x86", "qemu-system-common", "qemu-system-data", "qemu-utils"];

/// Versions of QEMU that are to be had: the one that is installed in part, then the newest first.
fn qemu_versions() -> Result<Vec<String>> {
    let installed = output(&mut command("dpkg-query", ["--show", "--showformat=${Version}", "qemu-utils"]))?;
    let installed = String::from_utf8_lossy(&installed.stdout).trim().to_owned();
    let offered = capture(&mut command("apt-cache", ["madison", "qemu-system-x86"]))?;
    let offered = offered.lines().filter_map(|line| Some(line.split('|').nth(1)?.trim().to_owned()));
    Ok(std::iter::once(installed).filter(|version| !version.is_empty()).chain(offered).collect())
}

/// Fetches a package without installing it and unpacks it below `into`; needs no root.
pub(crate) fn unpack(package: &str, into: &std::path::Path) -> Result<()> {
    let downloads = into.with_extension("download");
    crate::command::remove_tree(&downloads)?;
    std::fs::create_dir_all(&downloads)?;
    println!("setup: fetching {package}");
    let fetched = quietly(apt(&["download"], &[package.to_owned()]).current_dir(&downloads));
    if let Err(first) = fetched {
        // Lists that are missing or old; refreshing them needs root.
        if !is_root() {
            return Err(format!("{first}\nhint: the lists of packages may be old: sudo apt-get update").into());
        }
        update()?;
        run(apt(&["download"], &[package.to_owned()]).current_dir(&downloads))?;
    }
    std::fs::create_dir_all(into)?;
    for entry in std::fs::read_dir(&downloads)? {
        quietly(command("dpkg-deb", ["--extract"]).arg(entry?.path()).arg(into))?;
    }
    crate::command::remove_tree(&downloads)
}

/// The package that `package` stands for: its first dependency that starts with `prefix`.
pub(crate) fn stands_for(package: &str, prefix: &str) -> Result<String> {
    let find = || -> Result<Option<String>> {
        let depends = capture(&mut command("apt-cache", ["depends", package]))?;
        let mut names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.find(|name| name.starts_with(prefix)).map(str::to_owned))
    };
    if let Ok(Some(found)) = find() {
        return Ok(found);
    }
    if is_root() {
        update()?;
        if let Some(found) = find()? {
            return Ok(found);
        }
    }
    Err(format!("apt does not know {package}\nhint: sudo apt-get update, then this command again").into())
}
