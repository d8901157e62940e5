//! From a guest of another host to a domain with its disks: everything is looked at before anything is changed.
//!
//! ```text
//!   file ─▸ package (what is in it) ─▸ crate::import (pure) ─▸ look at disks, pools, networks ─▸ Plan
//!   Plan ─▸ volumes, all or none ─▸ definition; without one, no volume stays
//! ```

mod look;
mod package;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::domain::{DomainDefinition, RandomIdentity};
use crate::domain::store;
use crate::domain::unfinished::{Intent, Unfinished};
use crate::error::{Failure, Result};
use crate::fault;
use crate::gate::Gate;
use crate::import::Report;
use crate::import::translate::{self, Choices, DiskChoice};
use crate::storage::{Import, Pool};
use crate::types::{DomainName, NetworkName, PoolName, VolumeRef};

pub use package::Package;

/// What the operator asked for.
#[derive(Debug, Default)]
pub struct Asked {
    pub name: Option<DomainName>,
    /// Else the only pool there is, or `default`.
    pub pool: Option<PoolName>,
    pub disks: BTreeMap<String, DiskChoice>,
    pub networks: BTreeMap<String, NetworkName>,
    pub no_copy: bool,
    pub kernel: Option<PathBuf>,
    pub initrd: Option<PathBuf>,
    pub cmdline: Option<String>,
}

/// An import that can be done.
#[derive(Debug)]
pub struct Plan {
    /// What the file is called in its report.
    pub source: String,
    pub report: Report,
    pub definition: DomainDefinition,
    pool: PoolName,
    imports: Vec<Import>,
}

impl Plan {
    /// # Errors
    /// `Usage`, with every mistake of the file as a cause; `Conflict` where a domain has the name; else what stands
    /// in the way here, all of it.
    pub fn new(gate: &Gate, package: Package, asked: &Asked) -> Result<Plan> {
        let Package { source, what, guest, mut report, disks } = package;
        let name = translate::name(&guest, asked.name.as_ref(), &mut report);
        let Some(name) = name.filter(|_| !report.has_mistakes()) else {
            report.check(what, &source)?;
            return Err(Failure::usage(format!("{source} gives the guest no name")).hint("say --name NAME"));
        };
        if asked.name.is_some() {
            report.changed(0, "--name", format!("name = \"{name}\""));
        }
        look::name_is_free(gate.layout(), &name)?;
        let pool = match look::pool(gate, asked.pool.as_ref()) {
            Ok(pool) => Some(pool),
            // A guest whose disks are all named needs no pool to copy to.
            Err(_) if guest.disks.iter().all(|disk| is_placed(asked.disks.get(&disk.target))) => None,
            Err(failure) => return Err(failure),
        };
        let choices = Choices {
            name: asked.name.clone(),
            pool: pool
                .clone()
                .or_else(|| "default".parse().ok())
                .ok_or_else(|| Failure::other("no pool has a name"))?,
            disks: asked.disks.clone(),
            networks: asked.networks.clone(),
            copy: !asked.no_copy,
            kernel: asked.kernel.clone(),
            initrd: asked.initrd.clone(),
            cmdline: asked.cmdline.clone(),
        };
        let here = look::here(gate)?;
        let translated =
            translate::translate(&guest, &name, &choices, &here, &source, &mut RandomIdentity, &mut report)?;
        report.check(what, &source)?;
        let translated = translated.ok_or_else(|| Failure::other(format!("{source} cannot be imported")))?;
        let imports = look::volumes(gate, &source, &disks, &translated, &mut report)?;
        Ok(Plan { source, report, definition: translated.definition, pool: choices.pool, imports })
    }

    /// The disks that are copied: from where, to which volume, and how large.
    pub fn copies(&self) -> impl Iterator<Item = (&Import, VolumeRef)> {
        let of = |import: &Import| VolumeRef { pool: self.pool.clone(), volume: import.volume.clone() };
        self.imports.iter().map(move |import| (import, of(import)))
    }

    /// Copies the disks and defines the domain; a failure leaves neither. `begins` is told of each copy.
    pub fn perform(&self, gate: &Gate, begins: impl FnMut(&Import)) -> Result<()> {
        if self.imports.is_empty() {
            return store::create(gate.layout(), &self.definition).map(drop);
        }
        let (name, uuid) = (self.definition.name.clone(), self.definition.uuid);
        let mut unfinished = Unfinished::begin(gate, Intent::Import { name, uuid, volumes: Vec::new() })?;
        let made = self.make(gate, begins, &mut unfinished);
        unfinished.made(gate, made)
    }

    fn make(&self, gate: &Gate, begins: impl FnMut(&Import), unfinished: &mut Unfinished) -> Result<()> {
        let mut pool = Pool::open(gate, &self.pool)?;
        pool.import_volumes(&self.imports, begins, || {
            self.copies().try_for_each(|(_, volume)| unfinished.add(&volume))
        })?;
        fault::point("import.copied")?;
        store::create(gate.layout(), &self.definition).map(drop)
    }
}

fn is_placed(choice: Option<&DiskChoice>) -> bool {
    matches!(choice, Some(DiskChoice::Volume(_) | DiskChoice::None))
}
