//! Values that the three kinds of definition write alike.

use std::net::Ipv4Addr;

use super::report::Report;
use crate::config::domain::Action;
use crate::types::{Bandwidth, ByteSize, MacAddress};

/// What is to happen at a guest's end, in Xen's and libvirt's words (xl.cfg(5), "Event actions"; libvirt
/// formatdomain, "Events configuration").
pub(super) fn action(word: &str, line: usize, key: &str, report: &mut Report) -> Option<Action> {
    let name = match key {
        "on_poweroff" => "on-poweroff",
        "on_reboot" => "on-reboot",
        _ => "on-crash",
    };
    let (action, same) = match word {
        "destroy" => (Action::Destroy, true),
        "restart" => (Action::Restart, true),
        "preserve" => (Action::Preserve, true),
        "rename-restart" | "soft-reset" | "coredump-restart" => (Action::Restart, false),
        "coredump-destroy" => (Action::Destroy, false),
        other => {
            report.left(line, key, format!("{other:?} is no action that fief knows; its own default counts"));
            return None;
        }
    };
    let written = match action {
        Action::Destroy => "destroy",
        Action::Restart => "restart",
        Action::Preserve => "preserve",
    };
    if same {
        report.taken(line, key, format!("{name} = \"{written}\""));
    } else {
        report.changed(line, key, format!("{name} = \"{written}\": fief does only this part of {word}"));
    }
    Some(action)
}

/// Longest description that a definition takes, in bytes.
const DESCRIPTION_MAX: usize = 256;

/// A note for people, as one line; none where it says nothing.
pub(super) fn description(text: &str, line: usize, key: &str, report: &mut Report) -> Option<String> {
    let whole = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let whole = whole.collect::<Vec<_>>().join(" ");
    let end = (0..=whole.len().min(DESCRIPTION_MAX)).rev().find(|at| whole.is_char_boundary(*at)).unwrap_or(0);
    let kept = whole[..end].trim_end().to_owned();
    match (kept.is_empty(), kept.len() == whole.len()) {
        (true, _) => return None,
        (false, true) => report.taken(line, key, "description"),
        (false, false) => report.changed(line, key, format!("description: its first {DESCRIPTION_MAX} bytes")),
    }
    Some(kept)
}

/// Memory in whole MiB, rounded up.
pub(super) fn memory(bytes: u64, line: usize, key: &str, name: &str, report: &mut Report) -> ByteSize {
    let whole = ByteSize::from_bytes(bytes.div_ceil(1 << 20).saturating_mul(1 << 20));
    if whole.bytes() == bytes {
        report.taken(line, key, format!("{name} = \"{whole}\""));
    } else {
        report.changed(line, key, format!("{name} = \"{whole}\": memory is counted in whole MiB"));
    }
    whole
}

/// # Errors
/// In the report, where the address is none that a card can have.
pub(super) fn mac(text: &str, line: usize, key: &str, report: &mut Report) -> Option<MacAddress> {
    // Xen takes one digit for two (`0:16:3e:…`), VMware writes `-`.
    let full: Vec<String> = text.trim().split([':', '-']).map(|byte| format!("{byte:0>2}")).collect();
    match full.join(":").parse() {
        Ok(mac) => Some(mac),
        Err(invalid) => {
            report.wrong(line, key, invalid, "correct it, or leave it out and fief makes one");
            None
        }
    }
}

/// The first IPv4 address of a list; the rest is reported.
pub(super) fn address(text: &str, line: usize, key: &str, report: &mut Report) -> Option<Ipv4Addr> {
    let mut first = None;
    for word in text.split([' ', ';']).filter(|word| !word.is_empty()) {
        let bare = word.split('/').next().unwrap_or(word);
        match (first, bare.parse::<Ipv4Addr>()) {
            (None, Ok(address)) => first = Some(address),
            (Some(_), Ok(address)) => {
                report.left(line, key, format!("{address}: a card has one address that it may send from"));
            }
            (_, Err(_)) => report.left(line, key, format!("{word:?} is no IPv4 address")),
        }
    }
    first
}

/// A limit of so many bits in a second; one that no card can have is reported.
pub(super) fn bandwidth(bits: Option<u64>, line: usize, key: &str, report: &mut Report) -> Option<Bandwidth> {
    let found = bits.and_then(|bits| format!("{bits}bit").parse::<Bandwidth>().ok());
    match found {
        Some(limit) => report.taken(line, key, format!("bandwidth = \"{limit}\", each way")),
        None => report.left(line, key, "it is no limit that fief sets: see `bandwidth` of a card"),
    }
    found
}
