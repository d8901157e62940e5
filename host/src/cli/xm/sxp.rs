//! S-expressions, as `xm list -l` printed them: what scripts looked into (`(domid 3)`, `(uuid …)`, `(mac …)`).

use std::fmt::Write;

use super::list::Line;
use crate::config::domain::{Action, CardModel, DiskDevice, DomainDefinition, GraphicsKind};
use crate::domain::Record;

/// An atom: quoted where it holds what ends one (xen/xend/sxp.py, `escape`).
fn atom(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"()'\"\\".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            control if control.is_control() => quoted.extend(control.escape_default()),
            other => quoted.push(other),
        }
    }
    quoted + "'"
}

/// `(key value)` on a line of its own. Writing to a text never fails.
fn pair(text: &mut String, depth: usize, key: &str, value: &str) {
    let indent = " ".repeat(4 * depth);
    let _ = writeln!(text, "{indent}({key} {})", atom(value));
}

pub(super) fn host(line: &Line) -> String {
    let mut text = String::from("(domain\n");
    let mut put = |key: &str, value: &str| pair(&mut text, 1, key, value);
    put("domid", "0");
    put("on_crash", "restart");
    put("memory", &line.mib.to_string());
    put("uuid", "00000000-0000-0000-0000-000000000000");
    put("name", &line.name);
    put("on_reboot", "restart");
    put("on_poweroff", "destroy");
    put("maxmem", &line.mib.to_string());
    put("vcpus", &line.vcpus.to_string());
    put("state", line.state);
    put("cpu_time", &format!("{:.9}", line.time.as_secs_f64()));
    put("online_vcpus", &line.vcpus.to_string());
    text + ")\n"
}

pub(super) fn domain(line: &Line, definition: &DomainDefinition, record: &Record) -> String {
    let action = |action| match action {
        Action::Destroy => "destroy",
        Action::Restart => "restart",
        Action::Preserve => "preserve",
    };
    let mut text = String::from("(domain\n");
    if let Some(id) = line.id {
        pair(&mut text, 1, "domid", &id.to_string());
    }
    let mut put = |key: &str, value: &str| pair(&mut text, 1, key, value);
    put("uuid", &definition.uuid.to_string());
    put("name", &line.name);
    put("description", definition.description.as_deref().unwrap_or_default());
    put("vcpus", &line.vcpus.to_string());
    put("online_vcpus", &line.vcpus.to_string());
    put("memory", &line.mib.to_string());
    put("maxmem", &(definition.max_memory.bytes() >> 20).to_string());
    put("on_poweroff", action(definition.on_poweroff));
    put("on_reboot", action(definition.on_reboot));
    put("on_crash", action(definition.on_crash));
    put("on_xend_start", if definition.autostart.is_some() { "start" } else { "ignore" });
    put("on_xend_stop", "shutdown");
    if line.id.is_some() {
        put("state", line.state);
        put("cpu_time", &format!("{:.9}", line.time.as_secs_f64()));
        if let Some(run) = &record.run {
            put("start_time", &run.started.as_second().to_string());
        }
    }
    // 2: running; 0: off (xen/xend/XendConstants.py counts so).
    put("status", if line.id.is_some() { "2" } else { "0" });
    image(&mut text, definition);
    devices(&mut text, definition, record);
    text + ")\n"
}

fn image(text: &mut String, definition: &DomainDefinition) {
    text.push_str("    (image\n        (hvm\n");
    if let Some(kernel) = &definition.boot.kernel {
        pair(text, 3, "kernel", &kernel.display().to_string());
    }
    if let Some(initrd) = &definition.boot.initrd {
        pair(text, 3, "ramdisk", &initrd.display().to_string());
    }
    if let Some(cmdline) = &definition.boot.cmdline {
        pair(text, 3, "args", cmdline);
    }
    pair(text, 3, "vnc", if definition.graphics.kind == GraphicsKind::Vnc { "1" } else { "0" });
    pair(text, 3, "serial", "pty");
    text.push_str("        )\n    )\n");
}

fn devices(text: &mut String, definition: &DomainDefinition, record: &Record) {
    for (number, card) in definition.cards.iter().enumerate() {
        text.push_str("    (device\n        (vif\n");
        pair(text, 3, "bridge", card.network.as_str());
        pair(text, 3, "mac", &card.mac.to_string());
        if let Some(address) = card.address {
            pair(text, 3, "ip", &address.to_string());
        }
        match card.model {
            CardModel::E1000 => pair(text, 3, "model", "e1000"),
            CardModel::Virtio => {}
        }
        let tap = record.run.as_ref().and_then(|run| run.cards.get(number)).and_then(|card| card.tap.as_ref());
        if let Some(tap) = tap {
            pair(text, 3, "vifname", tap.as_str());
        }
        text.push_str("        )\n    )\n");
    }
    for disk in &definition.disks {
        text.push_str("    (device\n        (vbd\n");
        pair(text, 3, "uname", &format!("fief:{}", disk.volume));
        let kind = match disk.device {
            DiskDevice::Disk => "disk",
            DiskDevice::Cdrom => "cdrom",
        };
        pair(text, 3, "type", kind);
        pair(text, 3, "mode", if disk.read_only { "r" } else { "w" });
        text.push_str("        )\n    )\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atom_that_would_end_early_is_quoted() {
        for (text, written) in
            [("node1", "node1"), ("a b", "'a b'"), ("it's", "'it\\'s'"), ("(x)", "'(x)'"), ("a\n", "'a\\n'"), ("", "")]
        {
            assert_eq!(atom(text), written);
        }
    }
}
