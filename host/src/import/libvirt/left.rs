//! Elements without a counterpart, and what to do instead.

use crate::import::report::Report;
use crate::import::xml::Element;

/// Of `<domain>` and `<os>`.
pub(super) fn element(name: &str, line: usize, report: &mut Report) {
    let why = match name {
        "title" | "description" => "a definition has one description",
        "metadata" => "it is for programs that know libvirt",
        "genid" => "generation-id is the new uuid's; it tells the guest that it has moved",
        "features" | "cpu" | "iommu" | "idmap" | "sysinfo" | "smbios" | "bios" | "acpi" => {
            "a domain is one kind of machine (QEMU's q35) with the accelerator's best processor; `cpu` in the definition names another"
        }
        "clock" => "the clock is in UTC: let the guest take it so (Windows: RealTimeIsUniversal = 1)",
        "pm" => "sleep states are off",
        "memoryBacking" | "memtune" | "numatune" | "maxMemory" | "memoryHotplug" => {
            "memory is the host's kernel's to manage; max-memory bounds the balloon"
        }
        "cputune" | "vcpus" | "iothreads" | "iothreadids" | "blkiotune" | "resource" | "defaultiothread" => {
            "processors and disks are shared out by the host's kernel"
        }
        "seclabel" | "launchSecurity" | "keywrap" => "QEMU runs confined, as a user of its own",
        "bootmenu" => "there is no menu; boot.order says what is tried",
        "perf" | "on_lockfailure" => "fief has no such thing",
        "commandline" | "capabilities" | "override" | "deprecation" => "options of QEMU's own are never handed on",
        _ => "it has no counterpart",
    };
    report.left(line, name, why);
}

/// Of `<devices>`. What every libvirt guest has, and what is there anyway, says so.
pub(super) fn device(name: &str, element: Element<'_, '_>, report: &mut Report) {
    let line = element.line();
    let kind = element.attribute("type").or_else(|| element.attribute("model")).unwrap_or_default();
    let key = if kind.is_empty() { name.to_owned() } else { format!("{name} {kind}") };
    match name {
        "emulator" => report.changed(line, name, "the host's own QEMU runs it (qemu under [host] in policy.toml)"),
        "controller" => report.taken(line, &key, "controllers are there where a disk needs them"),
        "serial" | "console" | "parallel" => {
            report.taken(line, &key, "every domain has one serial console (ttyS0): `fief console NAME`");
        }
        "input" => report.taken(line, &key, "keyboard and mouse are PS/2"),
        "memballoon" | "panic" | "rng" => report.taken(line, &key, "every domain has what it needs of this"),
        "video" => report.taken(line, &key, "the screen is a plain one"),
        "channel" => {
            report.left(line, &key, "there is no guest agent; `fief shutdown` presses the power button (ACPI)")
        }
        "sound" | "audio" => report.left(line, &key, "there is no sound"),
        "hostdev" | "redirdev" | "redirfilter" | "hub" | "smartcard" => {
            report.left(line, &key, "devices of the host are not handed to guests");
        }
        "filesystem" => report.left(line, &key, "no directory of the host is shared; use a network file system"),
        "tpm" => report.left(
            line,
            &key,
            "there is no TPM: what the guest sealed with it stays sealed; have its recovery key",
        ),
        "watchdog" => report.left(line, &key, "there is no watchdog; on-crash hears of a kernel's panic (pvpanic)"),
        "lease" | "shmem" | "vsock" | "memory" | "iommu" | "nvram" | "crypto" | "pstore" => {
            report.left(line, &key, "fief has no such device");
        }
        _ => report.left(line, &key, "it has no counterpart"),
    }
}
