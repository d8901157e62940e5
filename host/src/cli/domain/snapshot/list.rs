//! `fief snapshot list`.

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row, time};
use crate::domain::snapshot::{self, Standing};
use crate::error::Result;
use crate::types::DomainName;

/// List the snapshots of a domain, the oldest first
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let rows: Vec<SnapshotRow> = snapshot::list(&gate, &args.name)?.into_iter().map(SnapshotRow).collect();
    context.list(&rows)
}

struct SnapshotRow(Standing);

impl SnapshotRow {
    fn volumes(&self) -> Vec<String> {
        self.0.volumes.iter().map(ToString::to_string).collect()
    }
}

impl Row for SnapshotRow {
    const KIND: &'static str = "snapshot";
    const COLUMNS: &'static [Column] =
        &[Column::left("NAME"), Column::left("CREATED"), Column::left("DISKS"), Column::left("VOLUMES").wide()];
    fn name(&self) -> String {
        self.0.name.clone()
    }
    fn cells(&self) -> Vec<Cell> {
        let disks = match (self.0.volumes.len(), self.0.of) {
            (have, of) if have == of => format!("all {of}"),
            // Made through `fief volume snapshot`, or before a disk was there.
            (have, of) => format!("{have} of {of}"),
        };
        vec![self.0.name.as_str().into(), time(self.0.created).into(), disks.into(), self.volumes().join(" ").into()]
    }
    fn json(&self) -> Value {
        let Standing { name, created, volumes: _, of } = &self.0;
        json!({ "name": name, "created": time(*created), "volumes": self.volumes(), "disks": of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Format, listing};

    #[test]
    fn a_snapshot_that_not_all_disks_have_says_so() {
        let row = |name: &str, volumes: &[&str]| {
            let volumes = volumes.iter().map(|volume| volume.parse().unwrap()).collect();
            SnapshotRow(Standing { name: name.to_owned(), created: 1_700_000_000, volumes, of: 2 })
        };
        let rows = [row("before", &["default/a", "default/b"]), row("odd", &["default/b"])];
        insta::assert_snapshot!(listing(&rows, Format::Table, None).unwrap(), @r"
        NAME    CREATED               DISKS
        before  2023-11-14T22:13:20Z  all 2
        odd     2023-11-14T22:13:20Z  1 of 2
        ");
    }
}
