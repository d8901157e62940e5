//! `fief volume snapshot list`

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row, time};
use crate::error::Result;
use crate::gate::operation::SnapshotFacts;
use crate::storage::Pool;
use crate::types::VolumeRef;

/// List the snapshots of a volume
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
}

pub(super) struct SnapshotRow {
    pub volume: VolumeRef,
    pub facts: SnapshotFacts,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let snapshots = Pool::open(&gate, &args.volume.pool)?.snapshots(&args.volume.volume)?;
    let rows: Vec<SnapshotRow> =
        snapshots.into_iter().map(|facts| SnapshotRow { volume: args.volume.clone(), facts }).collect();
    context.list(&rows)
}

impl Row for SnapshotRow {
    const KIND: &'static str = "snapshot";
    const COLUMNS: &'static [Column] = &[Column::left("NAME"), Column::left("CREATED"), Column::left("VOLUME").wide()];
    fn name(&self) -> String {
        self.facts.name.clone()
    }
    fn cells(&self) -> Vec<Cell> {
        vec![self.facts.name.as_str().into(), time(self.facts.created).into(), self.volume.to_string().into()]
    }
    fn json(&self) -> Value {
        json!({ "name": self.facts.name, "volume": self.volume, "created": time(self.facts.created) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Format, listing};

    #[test]
    fn times_are_written_as_rfc_3339() {
        let row = SnapshotRow {
            volume: "default/a".parse().unwrap(),
            facts: SnapshotFacts { name: "before".to_owned(), created: 1_700_000_000 },
        };
        insta::assert_snapshot!(listing(&[row], Format::Table, None).unwrap(), @r"
        NAME    CREATED
        before  2023-11-14T22:13:20Z
        ");
    }
}
