//! What each key of a guest file means.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::left;
use super::syntax::{Assignment, Value};
use super::{card, disk};
use crate::config::domain::{BootDevice, Firmware};
use crate::import::guest::Guest;
use crate::import::report::Report;
use crate::import::value;
use crate::types::ByteSize;

/// The assignments, each key with the last of its values, as Python would have it.
pub(super) struct Keys<'r> {
    all: BTreeMap<String, (usize, Value)>,
    pub(super) report: &'r mut Report,
}

pub(super) fn guest(assignments: Vec<Assignment>, report: &mut Report) -> Guest {
    let mut all = BTreeMap::<String, (usize, Value)>::new();
    for Assignment { line, key, value } in assignments {
        if let Some((before, _)) = all.insert(key.clone(), (line, value)) {
            let by = if line == 0 { "the command line".to_owned() } else { format!("line {line}") };
            report.left(before, &key, format!("{by} sets it again"));
        }
    }
    let mut keys = Keys { all, report };
    let hvm = keys.kind();
    let mut guest = Guest { paravirtual: !hvm, ..Guest::default() };
    guest.name = keys.text("name");
    if let Some((line, name)) = &guest.name {
        keys.report.taken(*line, "name", format!("name = {name:?}"));
    }
    if let Some((line, text)) = keys.text("description") {
        guest.description = value::description(&text, line, "description", keys.report);
    }
    guest.uuid = keys.uuid();
    guest.memory = keys.memory("memory", "memory");
    guest.max_memory = keys.memory("maxmem", "max-memory");
    guest.vcpus = keys.vcpus();
    guest.on_poweroff = keys.action("on_poweroff");
    guest.on_reboot = keys.action("on_reboot");
    guest.on_crash = keys.action("on_crash");
    guest.firmware = keys.firmware();
    guest.order = keys.order();
    keys.kernel(hvm, &mut guest);
    guest.vnc = keys.screen();
    guest.disks = disk::disks(&mut keys, hvm);
    guest.cards = card::cards(&mut keys, hvm);
    keys.rest();
    guest
}

impl Keys<'_> {
    /// The value of a key that counts: what is no literal there is a mistake.
    pub(super) fn take(&mut self, key: &str) -> Option<(usize, Value)> {
        match self.all.remove(key)? {
            (_, Value::Nothing) => None,
            (line, Value::Open(written)) => {
                let what = format!("{written:?} is no plain value, and nothing of this file is run");
                self.report.wrong(line, key, what, "write what it stands for");
                None
            }
            found => Some(found),
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<(usize, String)> {
        match self.take(key)? {
            (line, Value::Text(text)) => Some((line, text)),
            (line, Value::Number(number)) => Some((line, number.to_string())),
            (line, Value::Flag(flag)) => Some((line, u8::from(flag).to_string())),
            (line, Value::List(_) | Value::Nothing | Value::Open(_)) => {
                self.report.wrong(line, key, "a text is expected, not a list", "");
                None
            }
        }
    }

    fn number(&mut self, key: &str) -> Option<(usize, u64)> {
        let (line, text) = self.text(key)?;
        match text.trim().parse() {
            Ok(number) => Some((line, number)),
            Err(_) => {
                self.report.wrong(line, key, format!("{text:?} is no whole number"), "");
                None
            }
        }
    }

    /// A list of texts; one text alone counts as a list of it.
    pub(super) fn list(&mut self, key: &str) -> Vec<(usize, String)> {
        let (line, value) = match self.take(key) {
            Some(found) => found,
            None => return Vec::new(),
        };
        let items = match value {
            Value::List(items) => items,
            text @ Value::Text(_) => vec![(line, text)],
            Value::Number(_) | Value::Flag(_) | Value::Nothing | Value::Open(_) => {
                self.report.wrong(line, key, "a list of texts is expected", "");
                Vec::new()
            }
        };
        let mut texts = Vec::new();
        for (line, item) in items {
            match item {
                Value::Text(text) => texts.push((line, text)),
                Value::Number(_) | Value::Flag(_) | Value::Nothing | Value::List(_) | Value::Open(_) => {
                    self.report.wrong(line, key, "an element of the list is no text", "");
                }
            }
        }
        texts
    }

    /// Whether Xen gave it a whole machine (hvm), or started its kernel itself (pv, pvh).
    fn kind(&mut self) -> bool {
        let (key, line, word) = match (self.text("type"), self.text("builder")) {
            (Some((line, word)), _) => ("type", line, word),
            (None, Some((line, word))) => ("builder", line, word),
            (None, None) => return false,
        };
        let hvm = word == "hvm";
        if hvm {
            self.report.taken(line, key, "a domain is a whole machine, as here");
        } else {
            self.report.changed(
                line,
                key,
                format!("{word}: it becomes a whole machine, with firmware and boot loader"),
            );
        }
        hvm
    }

    fn uuid(&mut self) -> Option<(usize, Uuid)> {
        let (line, text) = self.text("uuid")?;
        match Uuid::try_parse(text.trim()) {
            Ok(uuid) if !uuid.is_nil() => {
                self.report.taken(line, "uuid", format!("uuid = \"{uuid}\""));
                Some((line, uuid))
            }
            Ok(_) | Err(_) => {
                self.report.wrong(line, "uuid", format!("{text:?} is no UUID"), "leave it out and fief makes one");
                None
            }
        }
    }

    fn memory(&mut self, key: &str, name: &str) -> Option<ByteSize> {
        let (line, mib) = self.number(key)?;
        match mib.checked_mul(1 << 20) {
            Some(bytes) => Some(value::memory(bytes, line, key, name, self.report)),
            None => {
                self.report.wrong(line, key, format!("{mib} MiB is no size"), "");
                None
            }
        }
    }

    fn vcpus(&mut self) -> Option<u16> {
        let most = self.number("maxvcpus");
        let (line, key, number) = match (self.number("vcpus"), most) {
            (Some((line, number)), Some((at, most))) if number != most => {
                self.report.left(
                    at,
                    "maxvcpus",
                    format!("a running domain keeps its processors: {number}, as vcpus says"),
                );
                (line, "vcpus", number)
            }
            (Some((line, number)), _) => (line, "vcpus", number),
            (None, Some((line, number))) => (line, "maxvcpus", number),
            (None, None) => return None,
        };
        match u16::try_from(number) {
            Ok(vcpus @ 1..) => {
                self.report.taken(line, key, format!("vcpus = {vcpus}"));
                Some(vcpus)
            }
            Ok(0) | Err(_) => {
                self.report.wrong(line, key, format!("{number} is no number of processors"), "");
                None
            }
        }
    }

    fn action(&mut self, key: &str) -> Option<crate::config::domain::Action> {
        let (line, word) = self.text(key)?;
        value::action(&word, line, key, self.report)
    }

    fn firmware(&mut self) -> Option<Firmware> {
        let (key, (line, word)) = match (self.text("bios"), self.text("firmware")) {
            (Some(found), _) => ("bios", found),
            (None, Some(found)) => ("firmware", found),
            (None, None) => return None,
        };
        let firmware = match word.as_str() {
            "ovmf" | "uefi" => Firmware::Uefi,
            "seabios" | "rombios" | "bios" => Firmware::Bios,
            _ => {
                let why = "fief has SeaBIOS (bios) and OVMF (uefi), and takes bios here";
                self.report.left(line, key, format!("{word:?}: {why}"));
                return None;
            }
        };
        let name = if firmware == Firmware::Uefi { "uefi" } else { "bios" };
        self.report.taken(line, key, format!("boot.firmware = \"{name}\""));
        Some(firmware)
    }

    /// `boot = "cdn"`: hard disk, CD-ROM, network.
    fn order(&mut self) -> Vec<BootDevice> {
        let Some((line, letters)) = self.text("boot") else { return Vec::new() };
        let mut order = Vec::new();
        for letter in letters.chars() {
            let device = match letter {
                'c' => BootDevice::Disk,
                'd' => BootDevice::Cdrom,
                'n' => BootDevice::Network,
                other => {
                    self.report.left(line, "boot", format!("{other:?}: a domain boots from disk, CD-ROM or network"));
                    continue;
                }
            };
            if !order.contains(&device) {
                order.push(device);
            }
        }
        if !order.is_empty() {
            self.report.taken(line, "boot", format!("boot.order, from {letters:?}"));
        }
        order
    }

    /// What Xen started itself: a paravirtual kernel, or pygrub's choice of one.
    fn kernel(&mut self, hvm: bool, guest: &mut Guest) {
        if let Some((line, loader)) = self.text("bootloader") {
            self.report.changed(
                line,
                "bootloader",
                format!("{loader}: the disk's own boot loader starts the kernel now"),
            );
            let what =
                "install a boot loader on the disk (grub-install, GRUB's package for PCs): pygrub only read its menu";
            self.report.guest(line, "bootloader", format!("{what}; or import with --kernel, --initrd and --cmdline"));
        }
        if let Some((line, _)) = self.text("bootargs").or_else(|| self.text("bootloader_args")) {
            self.report.left(line, "bootargs", "they were for the boot loader of Xen's");
        }
        for key in ["kernel", "ramdisk"] {
            let Some((line, path)) = self.text(key) else { continue };
            if hvm && path.contains("hvmloader") {
                self.report.taken(line, key, "fief has firmware of its own");
                continue;
            }
            let option = if key == "kernel" { "--kernel" } else { "--initrd" };
            self.report.left(
                line,
                key,
                format!(
                    "{path}: a kernel for Xen is not sure to start on a PC; boot from the disk, or copy one that does here and say {option} FILE"
                ),
            );
        }
        let mut words = Vec::new();
        let (root, extra) = (self.text("root"), self.text("extra").or_else(|| self.text("cmdline")));
        if let Some((line, root)) = root {
            let root = root.trim_end_matches(" ro").to_owned();
            self.report.left(
                line,
                "root",
                format!("the boot loader's menu says it now; a disk xvda is vda there (was {root})"),
            );
            words.push(format!("root={root} ro"));
        }
        if let Some((line, extra)) = extra {
            self.report.left(line, "extra", "the boot loader's menu says it now, or --cmdline beside --kernel");
            words.push(extra);
        }
        guest.command_line = (!words.is_empty()).then(|| words.join(" "));
    }

    /// Any screen becomes a VNC one.
    fn screen(&mut self) -> bool {
        let mut vnc = false;
        for key in ["vnc", "sdl"] {
            // A screen is nothing that a guest cannot do without: what is no plain value there is left out.
            match self.all.remove(key) {
                Some((line, Value::Number(1..) | Value::Flag(true))) => {
                    vnc = true;
                    self.report.taken(line, key, "graphics.kind = \"vnc\"");
                }
                Some((line, Value::Text(text))) if !matches!(text.as_str(), "" | "0") => {
                    vnc = true;
                    self.report.taken(line, key, "graphics.kind = \"vnc\"");
                }
                Some((line, Value::Open(_))) => self.report.left(line, key, "it is no plain value"),
                Some((line, Value::Number(_) | Value::Flag(_) | Value::Nothing | Value::Text(_) | Value::List(_))) => {
                    self.report.taken(line, key, "no screen of that kind");
                }
                None => {}
            }
        }
        for (line, screen) in self.list("vfb") {
            vnc = true;
            let (mut kind, mut rest) = ("vnc".to_owned(), Vec::new());
            for part in screen.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                match part.split_once('=') {
                    Some(("type", word)) => kind = word.to_owned(),
                    Some(("vnc" | "sdl", "1")) => kind = part.split('=').next().unwrap_or_default().to_owned(),
                    Some((key, _)) => rest.push(key.to_owned()),
                    None => rest.push(part.to_owned()),
                }
            }
            if kind == "vnc" {
                self.report.taken(line, "vfb", "graphics.kind = \"vnc\"");
            } else {
                self.report.changed(line, "vfb", format!("{kind} becomes graphics.kind = \"vnc\""));
            }
            for key in rest {
                let why = left::why(&key).unwrap_or("it has no counterpart");
                self.report.left(line, &format!("vfb {key}"), why);
            }
        }
        vnc
    }

    /// What no one asked for.
    fn rest(&mut self) {
        for (key, (line, value)) in std::mem::take(&mut self.all) {
            let off = match &value {
                Value::Number(0) | Value::Flag(false) | Value::Nothing => true,
                Value::Text(text) => matches!(text.as_str(), "" | "0"),
                Value::Number(_) | Value::Flag(true) | Value::List(_) | Value::Open(_) => false,
            };
            match left::why(&key) {
                Some(why) if key == "serial" => self.report.taken(line, &key, why),
                Some(_) if off => self.report.taken(line, &key, "off, as here"),
                Some(why) => self.report.left(line, &key, why),
                None => self.report.left(
                    line,
                    &key,
                    "fief knows no such key; if it is a name of the file's own, nothing is lost",
                ),
            }
        }
    }
}
