//! Other names for volumes.

use crate::conformance::bench::Bench;
use crate::conformance::expect::{Asked, Result, fail};
use crate::conformance::{Case, Run};
use crate::sandbox::protocol::{Ability, StorageCall};

const ONCE: &str = "From now on the volume is called `to`, with its fence and all else that is kept with it";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "rename-moves",
        what: "a volume that is renamed is found by its new name alone, with its bytes",
        rule: ONCE,
        why: "a domain whose disk was renamed would start without it",
        needs: Some(Ability::Renames),
        run: Run::Storage(moves),
    },
    Case {
        id: "rename-twice",
        what: "rename, said again, is the volume of the new name",
        rule: "Said again after it was cut off, it goes on from there: where there is `to` and no `name`, that is the volume.",
        why: "a rename that was cut off could never be ended",
        needs: Some(Ability::Renames),
        run: Run::Storage(twice),
    },
    Case {
        id: "rename-onto",
        what: "a volume that has the new name already is not replaced",
        rule: "What has that name already is never replaced: `already-exists`.",
        why: "a disk would be lost for a slip of the hand",
        needs: Some(Ability::Renames),
        run: Run::Storage(onto),
    },
    Case {
        id: "rename-absent",
        what: "where there is neither the old nor the new volume, there is nothing to rename",
        rule: "where there is `to` and no `name`, that is the volume.",
        why: "fief would write a volume into domains that nobody has",
        needs: Some(Ability::Renames),
        run: Run::Storage(absent),
    },
];

fn rename(bench: &mut Bench, name: &str, to: &str) -> Asked {
    bench.ask(StorageCall::Rename { name: name.to_owned(), to: to.to_owned() })
}

fn marked(bench: &mut Bench, byte: u8) -> Result<String> {
    let made = bench.new_volume()?;
    let disk = bench.open(&made.name)?;
    disk.write(8192, &[byte; 4096])?;
    disk.close()?;
    Ok(made.name)
}

fn has_mark(bench: &mut Bench, name: &str, byte: u8) -> Result<()> {
    let disk = bench.open(name)?;
    if disk.read(8192, 4096)? != [byte; 4096] {
        return fail(format!("read {name}"), "the bytes that it had under its old name", "others");
    }
    disk.close()
}

fn moves(bench: &mut Bench) -> Result<()> {
    let (name, to) = (marked(bench, 0x41)?, bench.name());
    rename(bench, &name, &to).where_supported()?.volume()?;
    bench.find(&name).refused_with(&["not-found"])?;
    bench.find(&to).volume()?;
    let all = bench.ask(StorageCall::All).volumes()?;
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).filter(|one| *one == name || *one == to).collect();
    if names != [to.as_str()] {
        return fail("all", format!("{to}, and no {name}"), names.join(", "));
    }
    has_mark(bench, &to, 0x41)
}

fn twice(bench: &mut Bench) -> Result<()> {
    let (name, to) = (marked(bench, 0x42)?, bench.name());
    rename(bench, &name, &to).where_supported()?.volume()?;
    rename(bench, &name, &to).volume()?;
    has_mark(bench, &to, 0x42)
}

fn onto(bench: &mut Bench) -> Result<()> {
    let (one, other) = (marked(bench, 0x43)?, marked(bench, 0x44)?);
    rename(bench, &one, &other).where_supported()?.refused_with(&["already-exists"])?;
    has_mark(bench, &one, 0x43)?;
    has_mark(bench, &other, 0x44)
}

fn absent(bench: &mut Bench) -> Result<()> {
    let (name, to) = (bench.name(), bench.name());
    rename(bench, &name, &to).where_supported()?.refused_with(&["not-found"])
}
