//! Growing images, and shrinking them back where the change is undone.

use super::aside::Mark;
use super::open::{self, Layer};
use super::place::{self, Place};
use super::{Done, Outcome, tool};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::ImageFormat;
use crate::gate::{Gate, Operation};
use crate::types::ByteSize;

/// Guests see whole sectors, in bytes.
const SECTOR: u64 = 512;

pub(super) fn grow(gate: &Gate, place: Place, operation: &Operation, size: ByteSize) -> Result<Done> {
    let layers = open::chain(place, None, true)?;
    let (top, before) = (&layers[0], layers[0].facts()?);
    let wanted = size.bytes().checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX).min(i64::MAX as u64);
    if wanted < before.virtual_size.bytes() {
        return Err(Failure::usage(format!(
            "cannot make the image {} smaller: it has {}, asked for are {}",
            top.place.path,
            before.virtual_size.human(),
            size.human()
        ))
        .hint("what lies at its end would be lost; make a smaller one and copy the files over"));
    }
    let path = top.place.absolute();
    let old = before.virtual_size;
    if wanted == old.bytes() {
        // Answered like a change, since the asker wants the facts; undoing it goes from a size to the same size.
        return Ok(done(Outcome::ImageResized { facts: before, path, before: old }));
    }
    Mark { operation: operation.clone(), format: top.format, before: old }.set(&top.place)?;
    let again = top.place.beside(&top.place.path)?;
    let format = top.format;
    let grown = set_size(gate, &layers, ByteSize::from_bytes(wanted), false)
        .and_then(|()| Layer::open(top.place.beside(&top.place.path)?, Some(format), false)?.facts());
    match grown {
        Ok(facts) => Ok(done(Outcome::ImageResized { facts, path, before: old })),
        Err(failure) => {
            // A tool that was ended at its deadline may have got there; the first failure is the one to tell.
            let _ = undo(gate, again, operation, None);
            Err(failure)
        }
    }
}

fn done(outcome: Outcome) -> Done {
    Done { outcome, descriptors: Vec::new() }
}

fn set_size(gate: &Gate, layers: &[Layer], size: ByteSize, shrink: bool) -> Result<()> {
    let top = &layers[0];
    let saying = format!("cannot resize the image {} to {}", top.place.path, size.human());
    match top.format {
        ImageFormat::Raw => top.file.set_len(size.bytes()).map_err(|error| place::refuse(error, &saying))?,
        ImageFormat::Qcow2 => {
            let mut run = tool::qemu_img(gate, top.place.owner, ByteSize::from_bytes(0));
            run.argument("resize").argument("-q");
            if shrink {
                run.argument("--shrink");
            }
            let image = tool::hand(&mut run, layers, true)?;
            run.argument(image).argument(size.bytes().to_string());
            tool::run(gate, run, &saying)?;
        }
    }
    top.file.sync_all().context(|| saying)
}

/// Back to the size that it had. Without an outcome the mark tells whether the act had begun, and from where.
pub(super) fn undo(gate: &Gate, place: Place, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    let (format, before) = match outcome {
        Some(Outcome::ImageResized { facts, before, .. }) => (facts.format, *before),
        _ => match Mark::of(&place, operation) {
            Some(mark) => (mark.format, mark.before),
            None => return Ok(()),
        },
    };
    let marked = place.beside(&place.path)?;
    match open::chain(place, Some(format), true) {
        Ok(layers) => {
            if layers[0].facts()?.virtual_size > before {
                set_size(gate, &layers, before, true)?;
            }
        }
        // The image is gone, and its size with it.
        Err(failure) if failure.kind == Kind::NotFound => {}
        Err(failure) => return Err(failure),
    }
    Mark::clear(&marked)
}
