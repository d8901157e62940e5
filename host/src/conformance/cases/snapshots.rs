//! Point-in-time copies kept with a volume.

use crate::conformance::bench::Bench;
use crate::conformance::expect::{Asked, Result, fail, skip};
use crate::conformance::{Case, Run};
use crate::gate::operation::ImageFormat;
use crate::sandbox::protocol::{Ability, StorageCall};

const POINT: &str = "Plugin, optional: point-in-time copies kept with a volume.";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "snapshot-revert",
        what: "a volume goes back to what it held when its snapshot was made, as often as one likes",
        rule: POINT,
        why: "the way back from a failed upgrade would not lead there",
        needs: Some(Ability::Snapshots),
        run: Run::Storage(revert),
    },
    Case {
        id: "snapshot-list",
        what: "snapshots are listed with the names that they were given, and those that were deleted are not",
        rule: POINT,
        why: "an operator would believe in a way back that is not there",
        needs: Some(Ability::Snapshots),
        run: Run::Storage(list),
    },
    Case {
        id: "snapshot-twice",
        what: "a snapshot of a name that there is does not take the place of the first",
        rule: "Any call may come again, after a crash of the host for one: asking for what already is succeeds.",
        why: "the state that was to be kept would be lost",
        needs: Some(Ability::Snapshots),
        run: Run::Storage(twice),
    },
    Case {
        id: "snapshot-delete-twice",
        what: "a snapshot that is deleted is gone, and deleting it again is fine",
        rule: "An absent snapshot is already removed.",
        why: "a deletion that was cut off could never be ended",
        needs: Some(Ability::Snapshots),
        run: Run::Storage(delete_twice),
    },
    Case {
        id: "snapshot-absent",
        what: "there is no way back to a snapshot that nobody made, and the volume stays as it is",
        rule: "One volume; `not-found` where there is none of that name.",
        why: "an operator would believe to be back where he is not",
        needs: Some(Ability::Snapshots),
        run: Run::Storage(absent),
    },
];

/// A volume in the first format that has snapshots.
fn volume(bench: &mut Bench) -> Result<String> {
    for format in [ImageFormat::Qcow2, ImageFormat::Raw] {
        let Some(name) = bench.usable(format) else { continue };
        let probe = take(bench, &name, "probe");
        if !probe.is("unsupported") {
            probe.snapshot()?;
            delete(bench, &name, "probe").nothing()?;
            return Ok(name);
        }
    }
    skip("no volume that it makes has snapshots")
}

fn take(bench: &mut Bench, volume: &str, name: &str) -> Asked {
    bench.ask(StorageCall::SnapshotCreate { volume: volume.to_owned(), name: name.to_owned() })
}

fn delete(bench: &mut Bench, volume: &str, name: &str) -> Asked {
    bench.ask(StorageCall::SnapshotDelete { volume: volume.to_owned(), name: name.to_owned() })
}

fn go_back(bench: &mut Bench, volume: &str, name: &str) -> Asked {
    bench.ask(StorageCall::SnapshotRevert { volume: volume.to_owned(), name: name.to_owned() })
}

fn names(bench: &mut Bench, volume: &str) -> Result<Vec<String>> {
    let all = bench.ask(StorageCall::Snapshots { volume: volume.to_owned() }).snapshots()?;
    let mut names: Vec<String> = all.into_iter().map(|one| one.name).collect();
    names.sort();
    Ok(names)
}

fn write(bench: &mut Bench, name: &str, byte: u8) -> Result<()> {
    let disk = bench.open(name)?;
    disk.write(128 << 10, &[byte; 8192])?;
    disk.close()
}

fn holds(bench: &mut Bench, name: &str, byte: u8, after: &str) -> Result<()> {
    let disk = bench.open(name)?;
    if disk.read(128 << 10, 8192)? != [byte; 8192] {
        return fail(after, "what the volume held when the snapshot was made", "other bytes");
    }
    disk.close()
}

fn revert(bench: &mut Bench) -> Result<()> {
    let name = volume(bench)?;
    write(bench, &name, 1)?;
    take(bench, &name, "one").snapshot()?;
    write(bench, &name, 2)?;
    take(bench, &name, "two").snapshot()?;
    write(bench, &name, 3)?;
    for (snapshot, byte) in [("one", 1), ("two", 2), ("one", 1)] {
        let asked = go_back(bench, &name, snapshot);
        let called = asked.called.clone();
        asked.nothing()?;
        holds(bench, &name, byte, &called)?;
        write(bench, &name, 9)?;
    }
    Ok(())
}

fn list(bench: &mut Bench) -> Result<()> {
    let name = volume(bench)?;
    let called = format!("snapshots.all {name}");
    let mut wanted: Vec<String> = Vec::new();
    for snapshot in ["a", "2026-01-01T00:00:00", "A.b_c-d"] {
        take(bench, &name, snapshot).snapshot()?;
        wanted.push(snapshot.to_owned());
        wanted.sort();
        let found = names(bench, &name)?;
        if found != wanted {
            return fail(called, wanted.join(", "), found.join(", "));
        }
    }
    delete(bench, &name, "a").nothing()?;
    wanted.retain(|one| one != "a");
    let found = names(bench, &name)?;
    if found != wanted {
        return fail(called, wanted.join(", "), found.join(", "));
    }
    Ok(())
}

fn twice(bench: &mut Bench) -> Result<()> {
    let name = volume(bench)?;
    write(bench, &name, 1)?;
    take(bench, &name, "one").snapshot()?;
    write(bench, &name, 2)?;
    let again = take(bench, &name, "one");
    let called = again.called.clone();
    if again.said.is_err() {
        again.refused_with(&["already-exists"])?;
    }
    if names(bench, &name)? != ["one"] {
        return fail(called, "one snapshot of that name", names(bench, &name)?.join(", "));
    }
    go_back(bench, &name, "one").nothing()?;
    holds(bench, &name, 1, &called)
}

fn delete_twice(bench: &mut Bench) -> Result<()> {
    let name = volume(bench)?;
    write(bench, &name, 1)?;
    take(bench, &name, "one").snapshot()?;
    delete(bench, &name, "one").nothing()?;
    let again = delete(bench, &name, "one");
    let called = again.called.clone();
    again.nothing()?;
    if !names(bench, &name)?.is_empty() {
        return fail(called, "no snapshot", names(bench, &name)?.join(", "));
    }
    holds(bench, &name, 1, &called)
}

fn absent(bench: &mut Bench) -> Result<()> {
    let name = volume(bench)?;
    write(bench, &name, 1)?;
    let asked = go_back(bench, &name, "nobodys");
    let called = asked.called.clone();
    asked.refused_with(&["not-found"])?;
    holds(bench, &name, 1, &called)
}
