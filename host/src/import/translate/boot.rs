//! What the domain boots.

use toml::{Table, Value};

use super::Choices;
use crate::config::domain::{BootDevice, Firmware};
use crate::import::guest::Guest;
use crate::import::report::Report;

pub(super) fn boot(guest: &Guest, choices: &Choices, has_card: bool, report: &mut Report) -> Table {
    let mut boot = Table::new();
    if guest.paravirtual {
        paravirtual(report);
    }
    let text = |path: &std::path::Path| Value::String(path.display().to_string());
    if let Some(kernel) = &choices.kernel {
        boot.insert("kernel".into(), text(kernel));
        if let Some(initrd) = &choices.initrd {
            boot.insert("initrd".into(), text(initrd));
        }
        let cmdline = choices.cmdline.clone().or_else(|| {
            guest.command_line.as_deref().map(|old| {
                let new = command_line(old);
                report.changed(0, "cmdline", format!("{new:?}, made of {old:?}; --cmdline says another"));
                new
            })
        });
        if let Some(cmdline) = cmdline {
            boot.insert("cmdline".into(), Value::String(cmdline));
        }
        return boot;
    }
    if choices.initrd.is_some() || choices.cmdline.is_some() {
        report.wrong(0, "--initrd, --cmdline", "they are of use with a kernel only", "say --kernel FILE too");
    }
    let firmware = match guest.firmware {
        Some(Firmware::Uefi) => "uefi",
        Some(Firmware::Bios) | None => "bios",
    };
    boot.insert("firmware".into(), Value::String(firmware.into()));
    let mut order = Vec::new();
    for device in &guest.order {
        let word = match device {
            BootDevice::Disk => "disk",
            BootDevice::Cdrom => "cdrom",
            BootDevice::Network if !has_card => {
                report.left(0, "boot", "network: the domain has no card");
                continue;
            }
            BootDevice::Network => "network",
        };
        order.push(Value::String(word.into()));
    }
    if !order.is_empty() {
        boot.insert("order".into(), Value::Array(order));
    }
    boot
}

/// What a kernel that Xen started finds otherwise here.
fn paravirtual(report: &mut Report) {
    report.guest(
        0,
        "console",
        "hvc0 is ttyS0 now: console=ttyS0 on the kernel's command line (GRUB_CMDLINE_LINUX), and a login there",
    );
    let drivers = "its initial ramdisk needs virtio_pci, virtio_blk and virtio_net: `update-initramfs -u` with \
                   MODULES=most, or `dracut -f --no-hostonly`, while it still runs on the old host";
    report.guest(0, "drivers", drivers);
}

/// The same words with this machine's names: Xen's disks and console are others.
fn command_line(old: &str) -> String {
    let mut words: Vec<String> = old
        .split_whitespace()
        .map(|word| {
            word.replace("/dev/xvd", "/dev/vd")
                .replace("console=hvc0", "console=ttyS0")
                .replace("console=xvc0", "console=ttyS0")
        })
        .collect();
    if !words.iter().any(|word| word.starts_with("console=")) {
        words.push("console=ttyS0".into());
    }
    words.join(" ")
}
