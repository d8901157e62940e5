//! Notes kept with a volume.

use crate::conformance::bench::Bench;
use crate::conformance::expect::{Result, fail};
use crate::conformance::{Case, Run};
use crate::sandbox::protocol::{Ability, AttachAccess, Fence, StorageCall};

pub(super) const CASES: &[Case] = &[
    Case {
        id: "notes-kept",
        what: "notes are read by another instance, beside those of others, until they are removed",
        rule: "Beside those that are there; what is left over from long ago may go.",
        why: "two hosts would not find out that they reach the same volume, or believe it of two different ones",
        needs: Some(Ability::Notes),
        run: Run::Storage(kept),
    },
    Case {
        id: "notes-apart",
        what: "notes change neither the volume's bytes nor its size nor its fence, and are that volume's alone",
        rule: "Neither the volume's bytes nor its fence change, and whoever uses the volume meanwhile notices nothing.",
        why: "a guest that runs would see its disk change before it moves",
        needs: Some(Ability::Notes),
        run: Run::Storage(apart),
    },
];

/// The largest that there is, and small ones.
const NOTES: [u64; 3] = [(1 << 56) - 1, 1, 0x00C0_FFEE];

fn leave(bench: &mut Bench, volume: &str, note: u64) -> Result<()> {
    bench.ask(StorageCall::NoteLeave { volume: volume.to_owned(), note }).where_supported()?.nothing()
}

fn remove(bench: &mut Bench, volume: &str, note: u64) -> Result<()> {
    bench.ask(StorageCall::NoteRemove { volume: volume.to_owned(), note }).nothing()
}

fn reads(bench: &mut Bench, volume: &str, wanted: &[u64]) -> Result<()> {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    let asked = bench.ask(StorageCall::Notes { volume: volume.to_owned() });
    let called = asked.called.clone();
    let mut found = asked.notes()?;
    // What another run left long ago may be there.
    found.retain(|note| NOTES.contains(note));
    found.sort_unstable();
    if found != wanted {
        return fail(called, format!("the notes {wanted:#x?}"), format!("{found:#x?}"));
    }
    Ok(())
}

fn fence_of(bench: &mut Bench, volume: &str) -> Result<Option<Fence>> {
    match bench.has(Ability::Fences) {
        true => bench.ask(StorageCall::FenceShow { volume: volume.to_owned() }).fence().map(Some),
        false => Ok(None),
    }
}

fn kept(bench: &mut Bench) -> Result<()> {
    let name = bench.volume()?.name;
    for note in NOTES {
        leave(bench, &name, note)?;
    }
    bench.pool.start_over();
    reads(bench, &name, &NOTES)?;
    // The same again is the same note.
    leave(bench, &name, NOTES[0])?;
    reads(bench, &name, &NOTES)?;
    for _ in 0..2 {
        remove(bench, &name, NOTES[0])?;
        reads(bench, &name, &NOTES[1..])?;
    }
    NOTES[1..].iter().try_for_each(|note| remove(bench, &name, *note))?;
    reads(bench, &name, &[])
}

fn apart(bench: &mut Bench) -> Result<()> {
    let volume = bench.volume()?;
    let name = volume.name.clone();
    let disk = bench.open(&name)?;
    let fence = fence_of(bench, &name)?;
    disk.write(0, &[0x66; 8192])?;
    leave(bench, &name, NOTES[0])?;
    reads(bench, &name, &NOTES[..1])?;
    if disk.read(0, 8192)? != [0x66; 8192] {
        return fail(format!("notes.leave {name}"), "that the volume's bytes stay", "they changed");
    }
    disk.write(4096, &[0x67; 4096])?;
    let now = fence_of(bench, &name)?;
    if now != fence {
        let told = now.as_ref().map_or_else(|| "none".to_owned(), crate::conformance::words::fence);
        return fail(format!("notes.leave {name}"), "that the fence stays", told);
    }
    disk.close()?;
    remove(bench, &name, NOTES[0])?;
    let found = bench.find(&name).volume()?;
    if found.size != volume.size {
        let told = format!("{} bytes", found.size);
        return fail(format!("notes.leave {name}"), format!("{} bytes, as before", volume.size), told);
    }
    let disk = bench.open_for(&name, AttachAccess::ReadOnly)?;
    if disk.read(0, 4096)? != [0x66; 4096] || disk.read(4096, 4096)? != [0x67; 4096] {
        return fail(format!("notes.leave {name}"), "that the volume's bytes stay", "they changed");
    }
    disk.close()?;
    // Another volume has none of them.
    match bench.new_volume() {
        Ok(other) => {
            leave(bench, &name, NOTES[1])?;
            reads(bench, &other.name, &[])?;
            remove(bench, &name, NOTES[1])
        }
        Err(crate::conformance::Stop::Skip(_)) => Ok(()),
        Err(stop) => Err(stop),
    }
}
