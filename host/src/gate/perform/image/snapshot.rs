//! Snapshots inside qcow2 images. The list is read by fief; changes are made by `qemu-img`.

use std::os::unix::fs::FileExt;

use super::aside::Mark;
use super::open::{self, Layer};
use super::place::Place;
use super::qcow2::{self, Snapshot};
use super::{Done, Outcome, tool};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::{ImageFormat, ImageSnapshot, SnapshotFacts};
use crate::gate::{Gate, Operation};
use crate::types::{ByteSize, SnapshotName};

pub(super) fn list(place: Place) -> Result<Done> {
    let layer = Layer::open(place, None, false)?;
    let snapshots = match layer.format {
        ImageFormat::Raw => Vec::new(),
        ImageFormat::Qcow2 => table(&layer)?,
    };
    let as_told = |Snapshot { name, created, nanos, size, .. }| ImageSnapshot {
        name,
        created,
        nanos,
        size: ByteSize::from_bytes(size),
    };
    Ok(done(Outcome::Snapshots { all: snapshots.into_iter().map(as_told).collect() }))
}

/// Writes two numbers of its entry in the table, and nothing else.
pub(super) fn date(place: Place, name: &SnapshotName, created: u64, nanos: u32) -> Result<Done> {
    let saying = || format!("cannot date the snapshot {name} of {}", place.path);
    let layer = Layer::open(place.beside(&place.path)?, None, true)?;
    let snapshot = find(&layer, name)?;
    if (snapshot.created, snapshot.nanos) == (created, nanos) {
        return Ok(done(Outcome::Unchanged));
    }
    let seconds = u32::try_from(created)
        .map_err(|_| Failure::usage(saying()).because(std::io::Error::other("the image has no room for that date")))?;
    let date = [seconds.to_be_bytes(), nanos.to_be_bytes()].concat();
    layer.file.write_all_at(&date, snapshot.date_at()).context(saying)?;
    layer.file.sync_all().context(saying)?;
    Ok(done(Outcome::Set))
}

pub(super) fn create(gate: &Gate, place: Place, operation: &Operation, name: &SnapshotName) -> Result<Done> {
    let layers = open::chain(place, None, true)?;
    let top = &layers[0];
    if table(top)?.iter().any(|snapshot| snapshot.name == name.as_str()) {
        return Err(Failure::conflict(format!("the image {} already has a snapshot {name}", top.place.path)));
    }
    let facts = top.facts()?;
    Mark { operation: operation.clone(), format: top.format, before: facts.virtual_size }.set(&top.place)?;
    let made = change(gate, &layers, "-c", name.as_str(), &format!("make the snapshot {name} of"))
        .and_then(|()| find(&Layer::open(top.place.beside(&top.place.path)?, Some(top.format), false)?, name));
    match made {
        Ok(snapshot) => {
            let facts = SnapshotFacts { name: snapshot.name, created: snapshot.created };
            Ok(done(Outcome::Snapshot { facts, path: top.place.absolute() }))
        }
        Err(failure) => {
            // A tool that was ended at its deadline may have got there; the first failure is the one to tell.
            let _ = top.place.beside(&top.place.path).and_then(|place| undo(gate, place, operation, name, None));
            Err(failure)
        }
    }
}

/// Without an outcome, the mark says that the act had begun and that there was no such snapshot before it.
pub(super) fn undo(
    gate: &Gate,
    place: Place,
    operation: &Operation,
    name: &SnapshotName,
    outcome: Option<&Outcome>,
) -> Result<()> {
    if outcome.is_none() && Mark::of(&place, operation).is_none() {
        return Ok(());
    }
    let marked = place.beside(&place.path)?;
    match delete(gate, place, name) {
        Ok(_) => {}
        // The image is gone, and its snapshots with it.
        Err(failure) if failure.kind == Kind::NotFound => {}
        Err(failure) => return Err(failure),
    }
    Mark::clear(&marked)
}

pub(super) fn delete(gate: &Gate, place: Place, name: &SnapshotName) -> Result<Done> {
    let layers = open::chain(place, None, true)?;
    let top = &layers[0];
    if !table(top)?.iter().any(|snapshot| snapshot.name == name.as_str()) {
        return Ok(done(Outcome::Unchanged));
    }
    change(gate, &layers, "-d", name.as_str(), &format!("delete the snapshot {name} of"))?;
    Ok(done(Outcome::SnapshotGone { path: top.place.absolute() }))
}

pub(super) fn revert(gate: &Gate, place: Place, name: &SnapshotName) -> Result<Done> {
    let layers = open::chain(place, None, true)?;
    // By its number: here `qemu-img` takes numbers for names, and a snapshot may be named "1".
    let id = find(&layers[0], name)?.id;
    change(gate, &layers, "-a", &id, &format!("go back to the snapshot {name} of"))?;
    Ok(done(Outcome::Set))
}

/// # Errors
/// `NotFound`; `Usage` where the format has no snapshots.
pub(super) fn find(layer: &Layer, name: &SnapshotName) -> Result<Snapshot> {
    table(layer)?
        .into_iter()
        .find(|snapshot| snapshot.name == name.as_str())
        .ok_or_else(|| Failure::not_found(format!("the image {} has no snapshot {name}", layer.place.path)))
}

fn table(layer: &Layer) -> Result<Vec<Snapshot>> {
    let Some(header) = &layer.header else {
        return Err(Failure::usage(format!("the image {} is raw, and raw images have no snapshots", layer.place.path))
            .hint("use volumes of the format qcow2, or make a full clone"));
    };
    qcow2::snapshots(&layer.file, header)
        .map_err(|unfit| Failure::other(format!("cannot read the snapshots of {}", layer.place.path)).because(unfit))
}

fn change(gate: &Gate, layers: &[Layer], option: &str, snapshot: &str, what: &str) -> Result<()> {
    let top = &layers[0];
    let saying = format!("cannot {what} {}", top.place.path);
    let mut run = tool::qemu_img(gate, top.place.owner, ByteSize::from_bytes(0));
    run.argument("snapshot").argument("-q").argument(option).argument(snapshot);
    let image = tool::hand(&mut run, layers, true)?;
    run.argument(image);
    tool::run(gate, run, &saying)?;
    top.file.sync_all().context(|| saying)
}

fn done(outcome: Outcome) -> Done {
    Done { outcome, descriptors: Vec::new() }
}
