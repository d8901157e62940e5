//! `fief plugin record`

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::failure::warn;
use crate::cli::output::{Cell, Column, Row};
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::plugin;
use crate::plugin::recording::{self, Begun, State, Summary};
use crate::storage::Pool;
use crate::types::{ByteSize, PoolName};

/// What a recording may hold, unless the operator says otherwise.
const MOST: &str = "64MiB";
/// A recording holds at least a call, and at most what somebody still sends to somebody.
const MOST_RANGE: (ByteSize, ByteSize) = (ByteSize::from_mib(1), ByteSize::from_mib(4096));
/// Beginnings of files beyond this are what they hold, and not what is told of it.
const HEADS_MAX: ByteSize = ByteSize::from_mib(1);

/// Record what the plugin of a pool is asked and told, for its author to see a fault without the storage
///
///     fief plugin record default                          # from now on, until
///     fief plugin record default --stop --into FILE       # it ends, and all of it is in FILE
///     fief plugin record                                  # which pools are recorded
///
/// Each call of the pool's plugin is kept with its arguments, each answer of the host's, what goes over its connections, and the
/// names and lengths of the files that it may see. Not what volumes hold: of files only what --heads says, and nothing of
/// what a served volume reads and writes. Secrets that the plugin is granted are replaced wherever they are found. Look at docs/recording.md
/// before you give a recording away.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The pool; none: list those that are recorded
    #[arg(value_name = "POOL", required_if_eq_any([("stop", "true"), ("discard", "true")]))]
    pool: Option<PoolName>,
    /// End by itself before the recording is larger than this
    #[arg(long, value_name = "SIZE", default_value = MOST, conflicts_with_all = ["stop", "discard"])]
    most: ByteSize,
    /// Keep so many bytes of the beginning of each file, for a plugin that keeps its own facts there
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["stop", "discard"])]
    heads: Option<ByteSize>,
    /// End the recording, and write it to a file
    #[arg(long, requires = "into")]
    stop: bool,
    /// That file, which must not exist
    #[arg(long, value_name = "FILE", requires = "stop")]
    into: Option<PathBuf>,
    /// End the recording, and throw it away
    #[arg(long, conflicts_with = "stop")]
    discard: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let layout = context.layout();
    let Some(pool) = &args.pool else {
        return context.list(&recording::list(layout)?.into_iter().map(Line).collect::<Vec<_>>());
    };
    if let Some(into) = &args.into {
        return end(context, pool, into);
    }
    if args.discard {
        let gone = context.mode() == Mode::Perform && recording::discard(layout, pool)?;
        let what = if gone { "is not recorded any more, and nothing is kept" } else { "is not recorded" };
        return context.changed("pool", pool, what, json!({ "name": pool, "recorded": false }));
    }
    begin(context, pool, args)
}

fn begin(context: &Context, pool: &PoolName, args: &Args) -> Result<()> {
    let (least, largest) = MOST_RANGE;
    if args.most < least || args.most > largest {
        return Err(Failure::usage(format!("--most {}: {least} to {largest} can be kept", args.most)));
    }
    let heads = args.heads.unwrap_or(ByteSize::from_bytes(0));
    if heads > HEADS_MAX {
        return Err(Failure::usage(format!("--heads {heads}: {HEADS_MAX} of each file at most")));
    }
    let gate = context.gate_for_change()?;
    Pool::open(&gate, pool)?;
    let Some(id) = Pool::served_by(&gate, pool) else {
        return Err(Failure::denied(format!("policy names no plugin for the pool {pool}")).hint("fief policy check"));
    };
    let installed = plugin::installed(context.layout(), &id)?;
    if context.mode() == Mode::DryRun {
        return Ok(());
    }
    let what = match recording::begin(context.layout(), pool, &installed, args.most, heads)? {
        Begun::Now => "is recorded from now on",
        Begun::Already => "is recorded already",
    };
    let item =
        json!({ "name": pool, "recorded": true, "plugin": id, "most": args.most.bytes(), "heads": heads.bytes() });
    context.changed("pool", pool, what, item)
}

fn end(context: &Context, pool: &PoolName, into: &std::path::Path) -> Result<()> {
    if context.mode() == Mode::DryRun {
        return Ok(());
    }
    let Summary { calls, left_out, bytes, full } = recording::stop(context.layout(), pool, into)?;
    if full {
        warn(
            "the recording was full before it was ended: later calls are not in it (--most keeps more)",
            context.format(),
        );
    }
    if left_out > 0 {
        warn(&format!("{left_out} calls were left out; fief plugin replay says why"), context.format());
    }
    let what =
        format!("is not recorded any more; {} holds {calls} calls, {}", into.display(), ByteSize::from_bytes(bytes));
    let item = json!({ "name": pool, "recorded": false, "file": into, "calls": calls, "left-out": left_out, "bytes": bytes, "full": full });
    context.changed("pool", pool, &what, item)
}

struct Line(State);

impl Row for Line {
    const KIND: &'static str = "recording";
    const COLUMNS: &'static [Column] = &[
        Column::left("POOL"),
        Column::left("PLUGIN"),
        Column::left("STATE"),
        Column::right("SIZE"),
        Column::right("MOST"),
        Column::left("SINCE"),
    ];
    fn name(&self) -> String {
        self.0.header.pool.to_string()
    }
    fn cells(&self) -> Vec<Cell> {
        let State { header, bytes, full } = &self.0;
        vec![
            header.pool.as_str().into(),
            header.plugin.as_str().into(),
            if *full { "full" } else { "recorded" }.into(),
            Cell::size(Some(*bytes)),
            Cell::size(Some(header.most.bytes())),
            header.began.as_str().into(),
        ]
    }
    fn json(&self) -> Value {
        let State { header, bytes, full } = &self.0;
        json!({
            "pool": header.pool,
            "plugin": header.plugin,
            "digest": header.digest,
            "state": if *full { "full" } else { "recorded" },
            "bytes": bytes,
            "most": header.most.bytes(),
            "heads": header.heads.bytes(),
            "began": header.began,
        })
    }
}
