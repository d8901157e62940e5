//! New volumes from old ones.

use crate::conformance::bench::Bench;
use crate::conformance::expect::{Asked, Result, fail, skip};
use crate::conformance::{Case, Run};
use crate::gate::operation::ImageFormat;
use crate::sandbox::protocol::{Ability, AttachAccess, CloneStyle, StorageCall};

pub(super) const CASES: &[Case] = &[
    Case {
        id: "clone-full",
        what: "a full clone has the bytes of its source, and neither changes with the other",
        rule: "`full`: stands alone.",
        why: "two guests would write to one disk",
        needs: Some(Ability::Clones),
        run: Run::Storage(full),
    },
    Case {
        id: "clone-linked-source-stays",
        what: "a linked clone keeps its bytes, whatever one tries to do to its source",
        rule: "`linked`: shares blocks with its source, which must stay as it is.",
        why: "every machine that was made from a template would break with it",
        needs: Some(Ability::Clones),
        run: Run::Storage(linked),
    },
    Case {
        id: "clone-onto",
        what: "a volume that has the name already is not replaced",
        rule: "Same name, other size: `already-exists`.",
        why: "a disk would be lost for a slip of the hand",
        needs: Some(Ability::Clones),
        run: Run::Storage(onto),
    },
    Case {
        id: "clone-absent",
        what: "what is not there is not cloned, and nothing is left of the attempt",
        rule: "One volume; `not-found` where there is none of that name.",
        why: "a machine would start from an empty disk",
        needs: Some(Ability::Clones),
        run: Run::Storage(absent),
    },
];

fn clone(bench: &mut Bench, source: &str, target: &str, style: CloneStyle) -> Asked {
    let (source, target) = (source.to_owned(), target.to_owned());
    bench.ask(StorageCall::Clone { source, snapshot: None, target, style })
}

fn write(bench: &mut Bench, name: &str, byte: u8) -> Result<()> {
    let disk = bench.open(name)?;
    disk.write(64 << 10, &[byte; 8192])?;
    disk.close()
}

fn holds(bench: &mut Bench, name: &str, byte: u8, what: &str) -> Result<()> {
    let disk = bench.open_for(name, AttachAccess::ReadOnly)?;
    if disk.read(64 << 10, 8192)? != [byte; 8192] {
        return fail(format!("read {name}"), what, "other bytes");
    }
    disk.close()
}

fn full(bench: &mut Bench) -> Result<()> {
    let made = bench.new_volume()?;
    write(bench, &made.name, 0x11)?;
    let target = bench.name();
    let asked = clone(bench, &made.name, &target, CloneStyle::Full).where_supported()?;
    let (called, cloned) = (asked.called.clone(), asked.volume()?);
    if cloned.size < made.size {
        return fail(called, format!("at least {} bytes", made.size), format!("{} bytes", cloned.size));
    }
    holds(bench, &target, 0x11, "the bytes of its source")?;
    write(bench, &made.name, 0x22)?;
    holds(bench, &target, 0x11, "what it had before its source was written to")?;
    write(bench, &target, 0x33)?;
    holds(bench, &made.name, 0x22, "what it had before its clone was written to")?;
    bench.delete(&made.name).nothing()?;
    holds(bench, &target, 0x33, "what it had before its source was deleted")
}

/// In the first format that has it.
fn linked_pair(bench: &mut Bench) -> Result<(String, String)> {
    for format in [ImageFormat::Qcow2, ImageFormat::Raw] {
        let Some(source) = bench.usable(format) else { continue };
        let target = bench.name();
        let asked = clone(bench, &source, &target, CloneStyle::Linked);
        if !asked.is("unsupported") {
            asked.volume()?;
            // It may be of another format, which no guest of this pool reaches.
            if bench.attach(&target, AttachAccess::Exclusive).is("unsupported") {
                continue;
            }
            // It is known now that it can; the source is to have something in it first.
            bench.delete(&target).nothing()?;
            write(bench, &source, 0x11)?;
            clone(bench, &source, &target, CloneStyle::Linked).volume()?;
            return Ok((source, target));
        }
    }
    skip("it has no linked clones that a guest of this pool could write to")
}

fn linked(bench: &mut Bench) -> Result<()> {
    let (source, target) = linked_pair(bench)?;
    holds(bench, &target, 0x11, "the bytes of its source")?;
    // Each is refused, or does the clone no harm.
    if bench.attach(&source, AttachAccess::Exclusive).said.is_ok() {
        write(bench, &source, 0x22)?;
        holds(bench, &target, 0x11, "what it had before its source was attached for writing and written to")?;
    }
    let deleted = bench.delete(&source);
    if deleted.said.is_ok() {
        holds(bench, &target, 0x11, "what it had before its source was deleted")?;
    } else {
        deleted.refused_with(&["in-use"])?;
        bench.find(&source).volume()?;
    }
    write(bench, &target, 0x33)?;
    holds(bench, &target, 0x33, "what was written to it")?;
    bench.delete(&target).nothing()?;
    // Nothing stands on it any more.
    bench.delete(&source).nothing()
}

fn onto(bench: &mut Bench) -> Result<()> {
    let (source, there) = (bench.new_volume()?, bench.new_volume()?);
    write(bench, &there.name, 0x44)?;
    let asked = clone(bench, &source.name, &there.name, CloneStyle::Full).where_supported()?;
    asked.refused_with(&["already-exists"])?;
    holds(bench, &there.name, 0x44, "what it had before a clone was to have its name")
}

fn absent(bench: &mut Bench) -> Result<()> {
    let (source, target) = (bench.name(), bench.name());
    clone(bench, &source, &target, CloneStyle::Full).where_supported()?.refused_with(&["not-found"])?;
    bench.find(&target).refused_with(&["not-found"])
}
