//! Debian packages.

use std::process::Command;

use super::Purpose;
use super::services::NoServices;
use crate::command::{Result, capture, command, is_root, line, output, quietly, run};

/// QEMU with its firmware, and the tools that the host itself calls.
const DEMO: &[&str] = &[
    "qemu-system-x86",
    "qemu-utils",
    // QEMU's own NFS and iSCSI clients, for pools with transport = native.
    "qemu-block-extra",
    "ovmf",
    "seabios",
    "dnsmasq-base",
    "nftables",
    "iproute2",
    "ca-certificates",
];
/// What a Debian disk image is made with, and what the tests look at the machine with.
const TEST: &[&str] = &[
    "mmdebstrap",
    "e2fsprogs",
    "fdisk",
    "mtools",
    "grub-common",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "iputils-ping",
    // A guest's tools in a network namespace: udhcpc, nslookup, ping.
    "busybox",
    "strace",
    // New host keys for a copied system.
    "openssh-client",
    // A real NFS server; v3 registers with rpcbind.
    "nfs-ganesha",
    "nfs-ganesha-vfs",
    "rpcbind",
    // Clients of NFS that are not ours.
    "libnfs-utils",
    // A server of HTTP that gives parts of files.
    "nginx-light",
    // Targets of iSCSI disks.
    "tgt",
    // Clients of NBD, and the server that ours is held against.
    "libnbd-bin",
    "fio",
    "nbdkit",
    "python3-libnbd",
    // A registry of OCI artefacts.
    "docker-registry",
    // A server of plugins by https.
    "python3",
    // Plugins in C, and their native tests.
    "clang",
    "lld",
    "make",
    // The environment that plugins in Python are built in.
    "python3-venv",
];
/// The peers that are measured against.
const BENCH: &[&str] = &["libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients", "rsync"];

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
    install_these(wanted(purpose))
}

/// The compiler that libFuzzer is built with.
pub(crate) fn install_cpp_compiler() -> Result<()> {
    if output(&mut command("c++", ["--version"])).is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    install_these(vec!["g++"])
}

fn install_these(wanted: Vec<&'static str>) -> Result<()> {
    let missing = missing(wanted)?;
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

/// What to ask apt for. Where `qemu-utils` came from backports, it breaks the rest of QEMU in the release's own version,
/// and apt says no; then QEMU is taken whole: from backports too, or else in a version that both packages have.
fn resolve(missing: &[&'static str]) -> Result<Vec<String>> {
    let mut plain: Vec<String> = missing.iter().map(|&name| name.to_owned()).collect();
    if missing.iter().any(|name| name.starts_with("qemu-")) {
        // Both by name, so that apt may not remove the one to install the other.
        plain.extend(QEMU.iter().filter(|name| !missing.contains(name)).map(|&name| name.to_owned()));
    }
    let fits = |words: &[String]| quietly(&mut apt(&["install", "--simulate", "--no-install-recommends"], words));
    let Err(refused) = fits(&plain) else { return Ok(plain) };
    for words in whole_qemu(&plain)? {
        if fits(&words).is_ok() {
            println!("setup: so that QEMU's packages fit together: apt-get install {}", words.join(" "));
            return Ok(words);
        }
    }
    let told = line(&apt(&["install"], &plain));
    Err(format!("{refused}\nhint: apt finds no versions that fit together; see what it says to: {told}").into())
}

/// The packages of QEMU's that must come in one version.
const QEMU: &[&str] = &["qemu-system-x86", "qemu-utils", "qemu-block-extra"];

/// Ways to ask for all of QEMU in one version, the best first.
fn whole_qemu(plain: &[String]) -> Result<Vec<Vec<String>>> {
    let release = std::fs::read_to_string("/etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or_default();
    let mut ways = vec![[vec![format!("--target-release={codename}-backports")], plain.to_vec()].concat()];
    let offered = capture(&mut command("apt-cache", ["madison", "qemu-system-x86"]))?;
    for version in offered.lines().filter_map(|line| Some(line.split('|').nth(1)?.trim())) {
        let others = plain.iter().filter(|name| !QEMU.contains(&name.as_str())).cloned();
        let pinned = QEMU.iter().map(|name| format!("{name}={version}"));
        ways.push(std::iter::once("--allow-downgrades".to_owned()).chain(others).chain(pinned).collect());
    }
    Ok(ways)
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
