//! `fief volume list`

use std::thread::ScopedJoinHandle;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::progress::Progress;
use crate::cli::output::{self, Cell, Column, Row};
use crate::config::pool::PoolDefinition;
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::sandbox::protocol::VolumeFacts;
use crate::storage::Pool;
use crate::types::PoolName;

/// List the volumes of a pool, or of all pools; -o wide adds the running domains that use each
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    pool: Option<PoolName>,
}

pub(super) struct VolumeRow {
    pub pool: PoolName,
    pub facts: VolumeFacts,
    /// Running domains, and one that is to come with it from another host; none where nobody looked.
    pub users: Option<Vec<String>>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    if let Some(pool) = &args.pool {
        let waiting = Progress::asking(pool, context.format());
        let found = Pool::look(&gate, pool).and_then(|mut pool| pool.volumes());
        drop(waiting);
        return context.list(&rows(context, pool, found?)?);
    }
    let mut rows = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    let pools = Pool::all(&gate)?;
    let waiting = Progress::start("waiting for the storage of all pools, for a few seconds at most");
    let found = all(&gate, &pools);
    drop(waiting);
    for (definition, found) in pools.iter().zip(found) {
        match found.and_then(|found| self::rows(context, &definition.name, found)) {
            Ok(volumes) => rows.extend(volumes),
            Err(failure) => {
                output::failure::report(&failure, context.format());
                failures.push(failure);
            }
        }
    }
    context.list(&rows)?;
    match failures.first() {
        None => Ok(()),
        Some(first) => {
            let kind = if failures.len() < pools.len() { Kind::PartlyDone } else { first.kind };
            let message = format!("{} of {} pools could not be listed, as said above", failures.len(), pools.len());
            Err(Failure::new(kind, message).hint("fief pool check NAME says more"))
        }
    }
}

/// Pools that are asked at a time: each is a process.
const AT_A_TIME: usize = 32;

/// In the order of `pools`, asked side by side, so that those whose storage does not answer hold up none but one another.
fn all(gate: &Gate, pools: &[PoolDefinition]) -> Vec<Result<Vec<VolumeFacts>>> {
    let ask = |pool: &PoolDefinition| Pool::look(gate, &pool.name).and_then(|mut pool| pool.volumes());
    let mut found = Vec::new();
    for some in pools.chunks(AT_A_TIME) {
        found.extend(std::thread::scope(|scope| {
            let asked: Vec<_> = some.iter().map(|pool| scope.spawn(|| ask(pool))).collect();
            let answer = |asked: ScopedJoinHandle<'_, _>| {
                asked.join().unwrap_or_else(|_| Err(Failure::other("a pool's thread died")))
            };
            asked.into_iter().map(answer).collect::<Vec<_>>()
        }));
    }
    found
}

fn rows(context: &Context, pool: &PoolName, volumes: Vec<VolumeFacts>) -> Result<Vec<VolumeRow>> {
    volumes
        .into_iter()
        .map(|facts| VolumeRow::new(context, pool, facts, context.wide() || context.for_programs()))
        .collect()
}

impl VolumeRow {
    /// `look` says whether to look for running domains that use it.
    pub(super) fn new(context: &Context, pool: &PoolName, facts: VolumeFacts, look: bool) -> Result<VolumeRow> {
        let users = match facts.name.parse() {
            Ok(volume) if look => {
                let volume = crate::types::VolumeRef { pool: pool.clone(), volume };
                let users = crate::domain::users_of_volume(context.layout(), &volume)?;
                let coming = crate::domain::volume::arrival::of(context.layout(), &volume)?;
                let coming = coming.map(|arrival| format!("{} (arriving)", arrival.domain));
                Some(users.iter().map(ToString::to_string).chain(coming).collect())
            }
            Ok(_) | Err(_) => None,
        };
        Ok(VolumeRow { pool: pool.clone(), facts, users })
    }
    fn backing(&self) -> Option<String> {
        self.facts.backing.as_ref().map(|backing| format!("{}/{backing}", self.pool))
    }
}

impl Row for VolumeRow {
    const KIND: &'static str = "volume";
    const COLUMNS: &'static [Column] = &[
        Column::left("VOLUME"),
        Column::right("SIZE"),
        Column::right("ALLOCATED"),
        Column::left("FORMAT"),
        Column::left("BACKING"),
        Column::left("USED-BY").wide(),
    ];
    fn name(&self) -> String {
        format!("{}/{}", self.pool, self.facts.name)
    }
    fn cells(&self) -> Vec<Cell> {
        vec![
            self.name().into(),
            Cell::size(Some(self.facts.size)),
            self.facts.allocated.map_or(Cell::Unknown, |bytes| Cell::size(Some(bytes))),
            self.facts.format.as_str().into(),
            Cell::optional(self.backing()),
            self.users.as_ref().map_or(Cell::Unknown, |users| Cell::from(users.join(","))),
        ]
    }
    fn json(&self) -> Value {
        let mut value = json!({
            "name": self.name(),
            "pool": self.pool,
            "volume": self.facts.name,
            "size": self.facts.size,
            "allocated": self.facts.allocated,
            "format": self.facts.format,
            "backing": self.backing(),
        });
        if let Some(users) = &self.users {
            value["used-by"] = json!(users);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Format, listing};
    use crate::gate::operation::ImageFormat;

    fn row(name: &str, allocated: Option<u64>, backing: Option<&str>, users: &[&str]) -> VolumeRow {
        VolumeRow {
            pool: "default".parse().unwrap(),
            facts: VolumeFacts {
                name: name.to_owned(),
                size: 20 << 30,
                allocated,
                format: ImageFormat::Qcow2,
                backing: backing.map(str::to_owned),
            },
            users: Some(users.iter().map(|user| (*user).to_owned()).collect()),
        }
    }

    #[test]
    fn a_volume_is_named_as_other_verbs_take_it() {
        let rows = [row("node1", Some(1_600_000), None, &["node1"]), row("node2", None, Some("node1"), &[])];
        insta::assert_snapshot!(listing(&rows, Format::Wide, None).unwrap(), @r"
        VOLUME          SIZE  ALLOCATED  FORMAT  BACKING        USED-BY
        default/node1  20GiB     1.5MiB  qcow2   -              node1
        default/node2  20GiB          ?  qcow2   default/node1  -
        ");
        assert_eq!(listing(&rows, Format::Name, None).unwrap(), "default/node1\ndefault/node2\n");
    }
}
