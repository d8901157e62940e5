//! What is here: names, networks, volumes, and the disks that are to be copied. Nothing is changed.

use std::path::{Path, PathBuf};

use super::package::Disks;
use crate::domain::store;
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ForeignImage;
use crate::import::Report;
use crate::import::guest::Source;
use crate::import::translate::{Copy, Here, Translated};
use crate::layout::Layout;
use crate::network::Network;
use crate::storage::{Import, Pool, inspect_foreign};
use crate::types::{DomainName, PoolName, RelativePath};

/// # Errors
/// `Conflict` where a domain has that name, whatever its case.
pub(super) fn name_is_free(layout: &Layout, name: &DomainName) -> Result<()> {
    match store::names(layout)?.into_iter().find(|other| other.as_str().eq_ignore_ascii_case(name.as_str())) {
        None => Ok(()),
        Some(other) => Err(Failure::conflict(format!("a domain is called {other} already"))
            .hint(format!("--name NAME imports it under another name; `fief show {other}` shows the one there is"))),
    }
}

/// The pool that was named, the only one, or `default`.
pub(super) fn pool(gate: &Gate, named: Option<&PoolName>) -> Result<PoolName> {
    if let Some(name) = named {
        return Pool::open(gate, name).map(|pool| pool.definition().name.clone());
    }
    let all = Pool::all(gate)?;
    match all.as_slice() {
        [] => Err(Failure::not_found("there is no pool to copy the disks to").hint("make one with `fief pool create`")),
        [only] => Ok(only.name.clone()),
        several => match several.iter().find(|pool| pool.name.as_str() == "default") {
            Some(pool) => Ok(pool.name.clone()),
            None => {
                let names = several.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ");
                Err(Failure::usage("there are several pools to copy the disks to")
                    .hint(format!("say --pool with one of {names}")))
            }
        },
    }
}

pub(super) fn here(gate: &Gate) -> Result<Here> {
    let mut here =
        Here { networks: Network::all(gate)?.into_iter().map(|network| network.name).collect(), ..Here::default() };
    for name in store::names(gate.layout())? {
        // One that cannot be read is told of by `store::create`, where it matters.
        let Ok(definition) = store::load(gate.layout(), &name) else { continue };
        here.uuids.insert(definition.uuid, name.clone());
        here.macs.extend(definition.cards.iter().map(|card| (card.mac, name.clone())));
    }
    Ok(here)
}

/// Looks at every disk and every volume, and gives what is to be copied.
///
/// # Errors
/// All that stands in the way, as causes; the kind is the first one's.
pub(super) fn volumes(
    gate: &Gate,
    source: &str,
    disks: &Disks,
    translated: &Translated,
    report: &mut Report,
) -> Result<Vec<Import>> {
    let mut imports = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    for copy in &translated.copies {
        match import(gate, disks, copy, report) {
            Ok(import) => imports.push(import),
            Err(failure) => {
                let mut place = format!("{source}:{}: disk {}", copy.line, copy.target);
                place = if copy.line == 0 { format!("{source}: disk {}", copy.target) } else { place };
                failures.push(failure.while_doing(place));
            }
        }
    }
    for volume in &translated.uses {
        if let Err(failure) = Pool::open(gate, &volume.pool).and_then(|mut pool| pool.volume(&volume.volume)) {
            failures.push(failure);
        }
    }
    if failures.is_empty() {
        return Ok(imports);
    }
    let first = &failures[0];
    let mut failure = Failure::new(first.kind, format!("{source} cannot be imported as things are"));
    failure.hint = first.hint.clone();
    failure.causes = failures.iter().map(Failure::to_string).collect();
    Err(failure)
}

fn import(gate: &Gate, disks: &Disks, copy: &Copy, report: &mut Report) -> Result<Import> {
    let mut pool = Pool::open(gate, &copy.volume.pool)?;
    match pool.volume(&copy.volume.volume) {
        Err(failure) if failure.kind == Kind::NotFound => {}
        Err(failure) => return Err(failure),
        Ok(_) => {
            return Err(Failure::conflict(format!("the volume {} is there already", copy.volume)).hint(format!(
                "say --disk {}={} to use it as it is, or --name NAME to give the domain and its disks another name",
                copy.target, copy.volume
            )));
        }
    }
    let source = foreign(disks, copy, report)?;
    let facts = inspect_foreign(gate, &source)?;
    Ok(Import { volume: copy.volume.volume.clone(), source, facts })
}

/// The file that the disk lies in, by its real path: links of the old host's making are followed here, where the
/// report can tell of them, and never again.
fn foreign(disks: &Disks, copy: &Copy, report: &mut Report) -> Result<ForeignImage> {
    let whole = |path, format, checksum| ForeignImage { path, format, part: None, checksum };
    match (&copy.source, disks) {
        (Source::Path { path, format }, _) => {
            let real = real(path, &copy.target)?;
            if real != *path {
                let text = format!("{} leads to {}", path.display(), real.display());
                report.changed(copy.line, &format!("disk {}", copy.target), text);
            }
            Ok(whole(real, *format, None))
        }
        (Source::Packed { file, format, checksum }, Disks::Inside { archive, files }) => {
            let part = files
                .get(file)
                .ok_or_else(|| Failure::usage(format!("the archive holds no file {file:?}")).hint("is it whole?"))?;
            Ok(ForeignImage { path: archive.clone(), format: *format, part: Some(*part), checksum: checksum.clone() })
        }
        (Source::Packed { file, format, checksum }, Disks::Beside(folder)) => {
            let below: RelativePath = file.parse().map_err(|invalid| {
                Failure::denied(format!("the package names the file {file:?}, which does not lie beside it"))
                    .because(invalid)
            })?;
            let real = real(&folder.join(&below), &copy.target)?;
            if !real.starts_with(folder) {
                return Err(Failure::denied(format!(
                    "{file:?} is a link that leads out of the package, to {}",
                    real.display()
                ))
                .hint("put the file itself beside the OVF"));
            }
            Ok(whole(real, *format, checksum.clone()))
        }
        (Source::Packed { .. } | Source::Empty | Source::Elsewhere(_), _) => {
            Err(Failure::other("a disk without a place was to be copied"))
        }
    }
}

fn real(path: &Path, target: &str) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Denied };
        let failure = Failure::new(kind, format!("the disk {} is not here", path.display())).because(error);
        failure
            .hint(format!("copy it from the old host, and say --disk {target}=/PATH; or --disk {target}=POOL/VOLUME"))
    })
}
