//! `fief volume show`

use super::list::VolumeRow;
use serde_json::json;

use crate::cli::Context;
use crate::cli::output::progress::Progress;
use crate::cli::output::text::printable;
use crate::cli::output::{Row, Shown};
use crate::domain::hold;
use crate::domain::transport::{self, Goer, Picked};
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
    let waiting = Progress::asking(&args.volume.pool, context.format());
    let mut pool = Pool::look(&gate, &args.volume.pool)?;
    let facts = pool.volume(&args.volume.volume)?;
    // Before the fence, whose kind may go by it.
    let picked = transport::pick(&gate, &mut pool, &args.volume.volume, Goer::Networked)?;
    let fence = pool.fence(&args.volume.volume)?;
    drop(waiting);
    let row = VolumeRow::new(context, &args.volume.pool, facts, true)?;
    let mut json = row.json();
    json["fence"] = json!(fence);
    if let Some(picked) = &picked {
        json["transport"] = json!({ "way": picked.transport.as_str(), "why": picked.why });
    }
    context.show(&Shown { kind: "volume", name: row.name(), json, text: text(&row, fence.as_ref(), picked.as_ref()) })
}

fn text(row: &VolumeRow, fence: Option<&Fence>, picked: Option<&Picked>) -> String {
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
        ("transport", picked.map_or_else(nothing, Picked::words)),
        ("fence", hold::shown(fence)),
    ]
    .iter()
    .map(|(key, value)| format!("{key:<10} {}\n", printable(value)))
    .collect()
}
