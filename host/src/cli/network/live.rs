//! What the kernel says of a network's bridge (sysfs, as brctl(8) reads it).

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::output::table::{self, Cell, Column};
use crate::gate::{Ledger, Operation};
use crate::layout::Layout;
use crate::types::NetworkName;

const CLASS: &str = "/sys/class/net";

/// A bridge as `brctl show` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bridge {
    pub name: String,
    /// Priority and address, `8000.525400123456`.
    pub id: String,
    pub stp: bool,
    pub interfaces: Vec<String>,
}

/// The bridge that was made for the network, by its ledger; none while it is down, or where it has none.
pub(super) fn bridge_of(layout: &Layout, network: &NetworkName) -> Option<String> {
    let ledger = Ledger::open(&layout.network(network).join("ledger.jsonl")).ok()?;
    ledger.entries().iter().find_map(|entry| {
        let Operation::BridgeCreate { bridge, .. } = &entry.operation else { return None };
        Some(bridge.to_string())
    })
}

/// None where the kernel has no such bridge.
pub(super) fn bridge(name: &str) -> Option<Bridge> {
    read(Path::new(CLASS), name)
}

fn read(class: &Path, name: &str) -> Option<Bridge> {
    let link = class.join(name);
    let word = |file: &str| std::fs::read_to_string(link.join("bridge").join(file)).ok();
    let mut interfaces: Vec<String> = std::fs::read_dir(link.join("brif"))
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect();
    interfaces.sort();
    Some(Bridge {
        name: name.to_owned(),
        id: word("bridge_id")?.trim().to_owned(),
        stp: word("stp_state")?.trim() != "0",
        interfaces,
    })
}

impl Bridge {
    pub(super) fn json(&self) -> Value {
        json!({ "name": self.name, "id": self.id, "stp": self.stp, "interfaces": self.interfaces })
    }

    /// The table of `brctl show`: further interfaces stand on lines of their own.
    pub(super) fn table(&self) -> String {
        const COLUMNS: [Column; 4] = [
            Column::left("BRIDGE NAME"),
            Column::left("BRIDGE ID"),
            Column::left("STP ENABLED"),
            Column::left("INTERFACES"),
        ];
        let first = self.interfaces.first().map_or(Cell::Nothing, |name| name.as_str().into());
        let stp = if self.stp { "yes" } else { "no" };
        let mut rows = vec![vec![self.name.as_str().into(), self.id.as_str().into(), stp.into(), first]];
        for interface in self.interfaces.iter().skip(1) {
            rows.push(vec![" ".into(), " ".into(), " ".into(), interface.as_str().into()]);
        }
        table::render(&COLUMNS, &rows, false, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_is_shown_as_brctl_shows_it() {
        let class = tempfile::tempdir().unwrap();
        let link = class.path().join("fief-lab");
        for folder in ["bridge", "brif/tap-2", "brif/tap-1"] {
            std::fs::create_dir_all(link.join(folder)).unwrap();
        }
        std::fs::write(link.join("bridge/bridge_id"), "8000.525400123456\n").unwrap();
        std::fs::write(link.join("bridge/stp_state"), "0\n").unwrap();
        let bridge = read(class.path(), "fief-lab").unwrap();
        insta::assert_snapshot!(bridge.table(), @r"
        BRIDGE NAME  BRIDGE ID          STP ENABLED  INTERFACES
        fief-lab     8000.525400123456  no           tap-1
                                                     tap-2
        ");
        assert_eq!(read(class.path(), "gone"), None);
    }

    #[test]
    fn a_network_that_is_down_has_no_bridge() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(bridge_of(&Layout::new(root.path()), &"lab".parse().unwrap()), None);
    }
}
