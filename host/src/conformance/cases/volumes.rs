//! Volumes that are made, grow and go: each verb twice, and what is not there.

use crate::conformance::bench::{Bench, SIZE};
use crate::conformance::expect::{Asked, Result, fail};
use crate::conformance::{Case, Run};
use crate::sandbox::protocol::StorageCall;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "create-honest",
        what: "a new volume has the format and at least the size that was asked for, and is found with them",
        rule: "At least the size that was asked for.",
        why: "a guest would meet the end of its disk before the size that it was sold",
        needs: None,
        run: Run::Storage(create_honest),
    },
    Case {
        id: "create-twice",
        what: "create, said again, is the same volume with its bytes",
        rule: "Same name and size again: the same volume.",
        why: "a command that was cut off and is said again would fail for ever, or empty the disk",
        needs: None,
        run: Run::Storage(create_twice),
    },
    Case {
        id: "create-other-size",
        what: "create with the name of a volume of another size is refused, and that volume stays",
        rule: "Same name, other size: `already-exists`.",
        why: "somebody else's disk would be taken for a new one, or written over",
        needs: None,
        run: Run::Storage(create_other_size),
    },
    Case {
        id: "find-absent",
        what: "a volume that nobody made is not found",
        rule: "`not-found` where there is none of that name.",
        why: "fief tells what is gone from what cannot be read by that word",
        needs: None,
        run: Run::Storage(find_absent),
    },
    Case {
        id: "delete-twice",
        what: "a volume that is deleted is gone from find and all, and deleting it again is fine",
        rule: "An absent volume is already deleted.",
        why: "a deletion that was cut off could never be ended, and what was deleted would still be there",
        needs: None,
        run: Run::Storage(delete_twice),
    },
    Case {
        id: "delete-absent",
        what: "to delete a volume that never was is fine",
        rule: "An absent volume is already deleted.",
        why: "fief takes back what it began by deleting it, whether or not it came about",
        needs: None,
        run: Run::Storage(delete_absent),
    },
    Case {
        id: "resize-grow",
        what: "a volume that grows has that size and its bytes, and the same again is fine",
        rule: "`size` in bytes; a backend that cannot shrink says `invalid`.",
        why: "a guest would not get what it was promised, or lose what it had",
        needs: None,
        run: Run::Storage(resize_grow),
    },
    Case {
        id: "resize-shrink",
        what: "a volume shrinks, or says that it cannot and stays as it is",
        rule: "`size` in bytes; a backend that cannot shrink says `invalid`.",
        why: "an operator who mistypes a size would lose the end of a disk, with success reported",
        needs: None,
        run: Run::Storage(resize_shrink),
    },
    Case {
        id: "resize-absent",
        what: "a volume that nobody made does not grow",
        rule: "One volume; `not-found` where there is none of that name.",
        why: "an operator who mistypes a name would believe that a disk has grown",
        needs: None,
        run: Run::Storage(resize_absent),
    },
];

fn resize(bench: &mut Bench, name: &str, size: u64) -> Asked {
    bench.ask(StorageCall::Resize { name: name.to_owned(), size })
}

/// The size that `find` tells is this one.
fn has_size(bench: &mut Bench, name: &str, size: u64) -> Result<()> {
    let found = bench.find(name);
    match &found.said {
        Ok(crate::sandbox::protocol::Return::Volume(facts)) if facts.size == size => Ok(()),
        Ok(_) | Err(_) => found.fails(format!("a volume of {size} bytes")),
    }
}

fn is_gone(bench: &mut Bench, name: &str) -> Result<()> {
    bench.find(name).refused_with(&["not-found"])?;
    let all = bench.ask(StorageCall::All).volumes()?;
    match all.iter().any(|one| one.name == name) {
        true => fail("all", format!("no {name}, which find does not find"), "it is listed"),
        false => Ok(()),
    }
}

fn create_honest(bench: &mut Bench) -> Result<()> {
    let format = bench.format()?;
    let name = bench.name();
    let asked = bench.create(&name, SIZE, format);
    let called = asked.called.clone();
    let made = asked.volume()?;
    if made.size < SIZE || made.format != format {
        return fail(
            called,
            format!("at least {SIZE} bytes, {}", format.as_str()),
            crate::conformance::words::volume(&made),
        );
    }
    has_size(bench, &name, made.size)?;
    let disk = bench.open(&name)?;
    if disk.size() < made.size {
        let told = format!("{} bytes", disk.size());
        return fail(format!("open {name}"), format!("a disk of {} bytes, as find tells", made.size), told);
    }
    // Its last bytes, too, are there.
    disk.write(made.size - 512, &[0x5a; 512])?;
    let last = disk.read(made.size - 512, 512)?;
    if last != [0x5a; 512] {
        return fail(format!("read the end of {name}"), "what was written there", "other bytes");
    }
    disk.close()
}

fn create_twice(bench: &mut Bench) -> Result<()> {
    let format = bench.format()?;
    let made = bench.new_volume()?;
    let disk = bench.open(&made.name)?;
    disk.write(0, &[0x77; 4096])?;
    disk.close()?;
    let again = bench.create(&made.name, SIZE, format);
    let (called, again) = (again.called.clone(), again.volume()?);
    if (again.size, again.format) != (made.size, made.format) {
        return fail(called, format!("{} bytes, as before", made.size), crate::conformance::words::volume(&again));
    }
    let disk = bench.open(&made.name)?;
    if disk.read(0, 4096)? != [0x77; 4096] {
        return fail(called, "the same volume with what was written to it", "its bytes are gone");
    }
    disk.close()?;
    let all = bench.ask(StorageCall::All).volumes()?;
    match all.iter().filter(|one| one.name == made.name).count() {
        1 => Ok(()),
        count => fail("all", format!("{} once", made.name), format!("it is there {count} times")),
    }
}

fn create_other_size(bench: &mut Bench) -> Result<()> {
    let format = bench.format()?;
    let made = bench.new_volume()?;
    for size in [2 * SIZE, SIZE / 2] {
        bench.create(&made.name, size, format).refused_with(&["already-exists"])?;
        has_size(bench, &made.name, made.size)?;
    }
    Ok(())
}

fn find_absent(bench: &mut Bench) -> Result<()> {
    let name = bench.name();
    is_gone(bench, &name)
}

fn delete_twice(bench: &mut Bench) -> Result<()> {
    let made = bench.new_volume()?;
    for _ in 0..2 {
        bench.delete(&made.name).nothing()?;
        is_gone(bench, &made.name)?;
    }
    Ok(())
}

fn delete_absent(bench: &mut Bench) -> Result<()> {
    let name = bench.name();
    bench.delete(&name).nothing()
}

fn resize_grow(bench: &mut Bench) -> Result<()> {
    let made = bench.new_volume()?;
    let disk = bench.open(&made.name)?;
    disk.write(made.size - 4096, &[0x33; 4096])?;
    disk.close()?;
    let wanted = 2 * made.size;
    let asked = resize(bench, &made.name, wanted).where_supported()?;
    let (called, grown) = (asked.called.clone(), asked.volume()?);
    if grown.size < wanted {
        return fail(called, format!("at least {wanted} bytes"), format!("{} bytes", grown.size));
    }
    has_size(bench, &made.name, grown.size)?;
    resize(bench, &made.name, wanted).volume()?;
    has_size(bench, &made.name, grown.size)?;
    let disk = bench.open(&made.name)?;
    if disk.size() < wanted {
        return fail(called, format!("a disk of {wanted} bytes"), format!("{} bytes", disk.size()));
    }
    if disk.read(made.size - 4096, 4096)? != [0x33; 4096] {
        return fail(called, "that what was written stays", "its bytes are others");
    }
    disk.close()
}

fn resize_shrink(bench: &mut Bench) -> Result<()> {
    let made = bench.volume()?;
    let asked = resize(bench, &made.name, made.size / 2);
    if asked.said.is_ok() {
        let shrunk = asked.volume()?;
        return has_size(bench, &made.name, shrunk.size);
    }
    asked.refused_with(&["invalid", "unsupported"])?;
    has_size(bench, &made.name, made.size)
}

fn resize_absent(bench: &mut Bench) -> Result<()> {
    let name = bench.name();
    resize(bench, &name, 2 * SIZE).refused_with(&["not-found"])?;
    is_gone(bench, &name)
}
