//! The programs that fief starts, and the firmware for guests that boot by UEFI.

use std::path::Path;

use super::Check;
use crate::cli::host::program;
use crate::config::policy::HostSettings;
use crate::error::Kind;
use crate::gate::Gate;
use crate::hypervisor::qemu::drivers::{self, Client};

/// Oldest QEMU that fief is tested with (Debian 12).
const QEMU_OLDEST: (u32, u32) = (7, 2);
/// Where distributions put OVMF (Debian, Fedora, Arch).
const FIRMWARE: [&str; 4] = [
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
];

pub(super) fn checks(settings: &HostSettings) -> Vec<Check> {
    vec![
        qemu(&settings.qemu),
        tool("qemu-img", &settings.qemu_img, "apt install qemu-utils", "volumes cannot be made"),
        tool("dnsmasq", &settings.dnsmasq, "apt install dnsmasq-base", "networks cannot give addresses"),
        tool("nft", &settings.nft, "apt install nftables", "networks cannot be closed off"),
        firmware(),
    ]
}

fn tool(name: &'static str, path: &Path, install: &str, without: &str) -> Check {
    match program::version(path) {
        Ok(version) => Check::ok(name, format!("{version} ({})", path.display())),
        Err(failure) if failure.kind == Kind::NotFound => {
            let remedy = format!("{install}; or set {name} in [host] of policy.toml");
            Check::fail(name, format!("{failure}: {without}"), remedy)
        }
        Err(failure) => Check::fail(name, failure.to_string(), format!("run {} --version by hand", path.display())),
    }
}

fn qemu(path: &Path) -> Check {
    let check = tool("qemu", path, "apt install qemu-system-x86", "no domain can run");
    let oldest = || format!("{}.{}", QEMU_OLDEST.0, QEMU_OLDEST.1);
    match numbers(&check.found) {
        Some(found) if found < QEMU_OLDEST => {
            Check::warn("qemu", check.found, format!("fief is tested with QEMU {} and later", oldest()))
        }
        Some(_) | None => check,
    }
}

/// Major and minor number at the start of a text.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Volumes of servers that QEMU reaches by itself; the others are served by their plugins.
pub(super) fn clients(gate: &Gate) -> Check {
    let lacks: Vec<&str> = Client::ALL
        .into_iter()
        .filter(|client| drivers::lacks(gate, *client).ok().flatten().is_some())
        .map(Client::as_str)
        .collect();
    match lacks.as_slice() {
        [] => Check::ok("qemu-clients", "nfs, iscsi"),
        lacks => Check::warn(
            "qemu-clients",
            format!(
                "this QEMU has no client of its own for {}: such volumes are served by their plugins",
                lacks.join(" and ")
            ),
            "apt install qemu-block-extra",
        ),
    }
}

fn firmware() -> Check {
    match FIRMWARE.iter().find(|path| Path::new(path).exists()) {
        Some(path) => Check::ok("uefi", *path),
        None => Check::warn("uefi", "no OVMF firmware: domains boot by BIOS alone", "apt install ovmf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::host::doctor::Health;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(numbers("7.2.22 (/usr/bin/qemu-system-x86_64)"), Some((7, 2)));
        assert!(numbers("10.0.2").unwrap() > QEMU_OLDEST);
        assert!(numbers("7.1.0").unwrap() < QEMU_OLDEST);
        assert_eq!(numbers("there is no /x"), None);
    }

    #[test]
    fn an_absent_tool_says_what_to_install_and_what_does_not_work() {
        let check = tool("nft", Path::new("/nonexistent/nft"), "apt install nftables", "networks cannot be closed off");
        assert_eq!(check.health, Health::Fail);
        assert!(check.found.contains("/nonexistent/nft") && check.found.contains("closed off"), "{}", check.found);
        assert!(check.remedy.unwrap().starts_with("apt install nftables"));
    }
}
