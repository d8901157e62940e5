//! `fief pool show`

use serde_json::json;

use super::list::PoolRow;
use crate::cli::Context;
use crate::cli::output::failure::warn;
use crate::cli::output::progress::Progress;
use crate::cli::output::text::printable;
use crate::cli::output::{Row, Shown};
use crate::config::pool;
use crate::domain::transport::{self, Goer, Picked};
use crate::error::Result;
use crate::gate::Gate;
use crate::gate::operation::ImageFormat;
use crate::storage::look::State;
use crate::storage::{Pool, Said};
use crate::types::{ByteSize, PoolName};

/// Print a pool's definition, as `create -f` takes it, and what its plugin says of it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: PoolName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let waiting = Progress::asking(&args.name, context.format());
    let mut pool = Pool::look(&gate, &args.name)?;
    let definition = pool.definition().clone();
    let plugin = gate.policy().pools.get(&definition.kind).cloned();
    let info = pool.info();
    if let Err(failure) = &info {
        warn(&format!("the plugin of pool {} does not answer: {failure}", args.name), context.format());
    }
    let ways = if info.is_ok() { ways(&gate, &mut pool)? } else { Vec::new() };
    drop(waiting);
    let row = PoolRow { definition, plugin, state: Some(State::of(info)) };
    let mut json = row.json();
    if !ways.is_empty() {
        json["transports"] = ways.iter().map(|way| json!({ "way": way.transport.as_str(), "why": way.why })).collect();
    }
    context.show(&Shown { kind: "pool", name: row.name(), json, text: text(&row, &ways) })
}

/// The ways that guests go to volumes of a pool that leaves it open: one of each format says it for all.
fn ways(gate: &Gate, pool: &mut Pool) -> Result<Vec<Picked>> {
    if pool.transport()? != Said::Auto {
        return Ok(Vec::new());
    }
    let volumes = pool.volumes()?;
    let mut ways: Vec<Picked> = Vec::new();
    for format in [ImageFormat::Raw, ImageFormat::Qcow2] {
        let Some(name) = volumes.iter().find(|facts| facts.format == format).and_then(|facts| facts.name.parse().ok())
        else {
            continue;
        };
        let way = transport::pick(gate, pool, &name, Goer::Networked)?;
        ways.extend(way.filter(|way| !ways.contains(way)));
    }
    Ok(ways)
}

/// TOML; what is not part of the definition stands in comments, so that the whole reads back.
fn text(row: &PoolRow, ways: &[Picked]) -> String {
    let mut out = String::new();
    if let Some(plugin) = &row.plugin {
        out.push_str(&format!("# served by {plugin}\n"));
    }
    if let Some(info) = row.info() {
        let size = |size: Option<ByteSize>| size.map_or_else(|| "?".to_owned(), ByteSize::human);
        out.push_str(&format!("# capacity {}, available {}\n", size(info.capacity), size(info.available)));
        out.push_str(&format!("# identity {}\n", printable(&info.identity)));
    }
    for way in ways {
        out.push_str(&format!("# transport {}\n", printable(&way.words())));
    }
    out.push_str(&pool::to_toml(&row.definition));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pool::PoolDefinition;
    use crate::storage::{PoolInfo, Transport};

    #[test]
    fn what_is_shown_reads_back_as_the_definition() {
        let definition = PoolDefinition {
            name: "default".parse().unwrap(),
            kind: "file".to_owned(),
            settings: [("directory".to_owned(), "images".to_owned())].into(),
        };
        let info = PoolInfo {
            identity: "two\nlines = 1".to_owned(),
            capacity: None,
            available: Some(ByteSize::from_mib(512)),
            reachable_from_peers: false,
        };
        let row = PoolRow {
            definition: definition.clone(),
            plugin: "storage-file".parse().ok(),
            state: Some(State::Answers(info)),
        };
        let way = Picked { transport: Transport::Served, why: "QEMU has\nno client".to_owned(), open: true };
        let text = text(&row, &[way]);
        insta::assert_snapshot!(text, @r#"
        # served by storage-file
        # capacity ?, available 512MiB
        # identity two\nlines = 1
        # transport served, because QEMU has\nno client
        name = "default"
        kind = "file"

        [settings]
        directory = "images"
        "#);
        assert_eq!(pool::parse(text.as_bytes(), "shown").unwrap(), definition);
    }
}
