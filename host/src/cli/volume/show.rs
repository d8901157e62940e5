//! `fief volume show`

use super::list::VolumeRow;
use serde_json::json;

use crate::cli::Context;
use crate::cli::output::text::printable;
use crate::cli::output::{Row, Shown};
use crate::domain::hold;
use crate::error::Result;
use crate::sandbox::protocol::Fence;
use crate::storage::Pool;
use crate::types::{ByteSize, VolumeRef};

/// Print what is known of a volume
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let mut pool = Pool::open(&gate, &args.volume.pool)?;
    let facts = pool.volume(&args.volume.volume)?;
    let fence = pool.fence(&args.volume.volume)?;
    let row = VolumeRow::new(context, &args.volume.pool, facts, true)?;
    let mut json = row.json();
    json["fence"] = json!(fence);
    context.show(&Shown { kind: "volume", name: row.name(), json, text: text(&row, fence.as_ref()) })
}

fn text(row: &VolumeRow, fence: Option<&Fence>) -> String {
    let exact = |bytes: u64| format!("{} ({bytes} bytes)", ByteSize::from_bytes(bytes).human());
    let nothing = || "-".to_owned();
    let users = row.users.as_ref().filter(|users| !users.is_empty()).map_or_else(nothing, |users| users.join(", "));
    let backing = row.facts.backing.as_ref().map_or_else(nothing, |b| format!("{}/{b}", row.pool));
    [
        ("volume", row.name()),
        ("size", exact(row.facts.size)),
        ("allocated", row.facts.allocated.map_or_else(|| "?".to_owned(), exact)),
        ("format", row.facts.format.as_str().to_owned()),
        ("backing", backing),
        ("used by", users),
        ("fence", hold::shown(fence)),
    ]
    .iter()
    .map(|(key, value)| format!("{key:<10} {}\n", printable(value)))
    .collect()
}
