//! `xm create FILE`: starts the domain of a guest file. xm knew a guest by its file alone; fief knows it by its
//! definition, which `fief import` makes once, with the disks in a pool. A guest without disks needs no import.

use std::path::{Path, PathBuf};

use super::{fief, running_id};
use crate::cli::Context;
use crate::cli::output::failure::warn;
use crate::domain::import::{Asked, Package, Plan};
use crate::domain::store;
use crate::error::{Failure, Result};
use crate::gate::Mode;
use crate::import::translate;
use crate::types::DomainName;

/// Where xm looked for a file that is not here.
const FOLDER: &str = "/etc/xen";

pub(super) fn run(context: &Context, file: &str, values: &[String], console: bool) -> Result<()> {
    let values = values.iter().map(|value| split(value)).collect::<Result<Vec<_>>>()?;
    let name = match find(file) {
        Some(path) => {
            context.print(&format!("Using config file \"{}\".\n", path.display()))?;
            defined(context, &path, &values)?
        }
        // As `xm start` did: a domain by its name.
        None => super::find(context, file).map_err(|failure| {
            failure.while_doing(format!("there is no file {file}, here or in {FOLDER}, and no domain of that name"))
        })?,
    };
    if let Some(id) = running_id(context, &name) {
        return Err(Failure::conflict(format!("VM name '{name}' already in use by domain {id}"))
            .hint(format!("`xm destroy {name}` ends it")));
    }
    fief(context, &["start", name.as_str()])?;
    if context.mode() == Mode::DryRun {
        return Ok(());
    }
    let id = running_id(context, &name).map(|id| id.to_string()).unwrap_or_default();
    context.print(&format!("Started domain {name} (id={id})\n"))?;
    if console { fief(context, &["console", name.as_str()]) } else { Ok(()) }
}

fn split(value: &str) -> Result<(String, String)> {
    match value.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.trim_matches(['\'', '"']).to_owned())),
        Some(_) | None => Err(Failure::usage(format!("{value:?} is not KEY=VALUE"))),
    }
}

fn find(file: &str) -> Option<PathBuf> {
    let here = PathBuf::from(file);
    if here.is_file() {
        return Some(here);
    }
    let there = Path::new(FOLDER).join(file);
    (!file.contains('/') && there.is_file()).then_some(there)
}

/// The domain that the file is about, which is defined afterwards.
fn defined(context: &Context, path: &Path, values: &[(String, String)]) -> Result<DomainName> {
    let mut package = Package::read(path, values)?;
    let Some(name) = translate::name(&package.guest, None, &mut package.report) else {
        package.report.check(package.what, &package.source)?;
        return Err(Failure::usage(format!("{} names no guest", package.source)));
    };
    let gate = context.gate_for_change()?;
    if context.layout().domain(&name).exists() {
        let changed: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).filter(|key| *key != "name").collect();
        return if changed.is_empty() {
            Ok(name)
        } else {
            Err(Failure::usage(format!("domain {name} is defined, and keeps its own {}", changed.join(", ")))
                .hint(format!("`fief edit {name}` changes it")))
        };
    }
    if !package.guest.disks.is_empty() {
        return Err(Failure::not_found(format!("no domain is called {name}, and its disks are in no pool"))
            .hint(format!("`fief import {}` copies and defines it, once; then xm create starts it", path.display())));
    }
    let plan = Plan::new(&gate, package, &Asked::default())?;
    for line in plan.report.lines(&plan.source) {
        warn(&line, context.format());
    }
    if context.mode() == Mode::Perform {
        store::create(context.layout(), &plan.definition)?;
        return Ok(name);
    }
    Err(Failure::not_found(format!("no domain is called {name} yet, so its start cannot be shown"))
        .hint(format!("`fief --dry-run import {}` shows its definition", path.display())))
}
