//! Volumes that the plugin serves itself.

use crate::conformance::bench::{Bench, SIZE};
use crate::conformance::disk::{Disk, Request};
use crate::conformance::expect::{Result, Stop, fail, skip};
use crate::conformance::model::{Model, SECTOR, Wrong, stamped};
use crate::conformance::{Case, Run};
use crate::sandbox::protocol::{Ability, AttachAccess, FenceKind, StorageCall};

/// Rounds of the random case, each with requests that are under way together, and how many of them end in a crash.
const ROUNDS: u32 = 60;
const CRASHES: u32 = 6;
/// Requests of a round lie in different ones of so many parts of the volume.
const PARTS: usize = 8;
/// Most bytes of one read where all is looked at.
const PIECE: usize = 256 << 10;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "block-geometry",
        what: "a served volume has the size that find tells, and takes requests of its own sizes",
        rule: "Offsets and lengths of all calls are multiples of `block-size` (a power of two, 1 to 65536).",
        why: "a guest would see another disk than the one that was made",
        needs: Some(Ability::Block),
        run: Run::Storage(geometry),
    },
    Case {
        id: "block-bounds",
        what: "the first and the last bytes, and requests longer than maximum-io, are read as they were written",
        rule: "`maximum-io` bounds one read or write; the host splits longer ones.",
        why: "a guest's file system would be broken at the seams of its requests",
        needs: Some(Ability::Block),
        run: Run::Storage(bounds),
    },
    Case {
        id: "block-read-only",
        what: "a volume that is attached for reading is read, and not written",
        rule: "`holder` is none where nothing is written.",
        why: "a disk that several guests read would change under them",
        needs: Some(Ability::Block),
        run: Run::Storage(read_only),
    },
    Case {
        id: "block-flush",
        what: "what a flush or a durable write was answered for is there after the sandbox was killed",
        rule: "Answered when every write that was answered before is on stable storage.",
        why: "a database would lose what it has confirmed",
        needs: Some(Ability::Block),
        run: Run::Storage(flush),
    },
    Case {
        id: "block-model",
        what: "random requests, many at a time, with crashes between, against a reference: what was flushed is there, the rest is old or new",
        rule: "So keep nothing that is not in the storage by the time that `flush` has answered.",
        why: "guests would read what they did not write, once in a while and never again",
        needs: Some(Ability::Block),
        run: Run::Storage(model),
    },
    Case {
        id: "block-old-holder",
        what: "a volume is not opened for a holder that is older than one that was seen",
        rule: "Check here that it is the right one, and that `holder` is not older than one that was seen (`wrong-state`)",
        why: "two hosts would write to one disk at the same time, which destroys it",
        needs: Some(Ability::Block),
        run: Run::Storage(old_holder),
    },
];

/// A volume, served for writing.
pub(super) fn served(bench: &mut Bench) -> Result<(String, Disk)> {
    let name = bench.volume()?.name;
    let disk = bench.serve(&name, AttachAccess::Exclusive)?;
    Ok((name, disk))
}

fn geometry(bench: &mut Bench) -> Result<()> {
    let made = bench.volume()?;
    let disk = bench.serve(&made.name, AttachAccess::Exclusive)?;
    let Some(geometry) = disk.geometry() else { return fail("block.open", "a served volume", "none") };
    let called = format!("geometry of {}", made.name);
    if geometry.size != made.size || disk.size() != made.size {
        return fail(called, format!("{} bytes, as find tells", made.size), format!("{} bytes", geometry.size));
    }
    if geometry.maximum_io < geometry.block_size || !geometry.maximum_io.is_multiple_of(geometry.block_size) {
        let told = format!("maximum-io {} with a block-size of {}", geometry.maximum_io, geometry.block_size);
        return fail(called, "requests of whole blocks, one at least", told);
    }
    if !geometry.size.is_multiple_of(u64::from(geometry.block_size)) {
        return fail(
            called,
            format!("whole blocks of {} bytes", geometry.block_size),
            format!("{} bytes", geometry.size),
        );
    }
    if geometry.read_only {
        return fail(called, "a volume that can be written", "read-only");
    }
    disk.close()
}

fn bounds(bench: &mut Bench) -> Result<()> {
    let (name, disk) = served(bench)?;
    let most = disk.geometry().map_or(0, |geometry| u64::from(geometry.maximum_io)).clamp(4096, 1 << 20);
    let size = disk.size();
    // Across a seam, whole, at the end, and what is no whole block.
    let ranges = [
        (0, 512),
        (most - 512, 1024),
        (512, most.min(size - 512)),
        (size - 512, 512),
        (size - most.min(size), most.min(size)),
        (4096 + 1, 3),
        (4096 - 1, 514),
    ];
    let mut all = disk.read(0, u32::try_from(size.min(4 << 20)).unwrap_or(u32::MAX))?;
    for (number, (offset, length)) in ranges.into_iter().enumerate() {
        let data: Vec<u8> = (0..length).map(|at| (at % 251) as u8 ^ (number as u8 + 1)).collect();
        disk.write(offset, &data)?;
        let read = disk.read(offset, data.len() as u32)?;
        if read != data {
            return fail(format!("{name}: read {length} bytes at {offset}"), "what was just written", "other bytes");
        }
        if let Some(part) = all.get_mut(offset as usize..(offset + length) as usize) {
            part.copy_from_slice(&data);
        }
    }
    let read = disk.read(0, all.len() as u32)?;
    if let Some(at) = read.iter().zip(&all).position(|(one, other)| one != other) {
        // The end of a volume that is larger than what was looked at is not in it.
        if (at as u64) < size - most.min(size) || size <= 4 << 20 {
            return fail(format!("{name}: read byte {at}"), "what was written there", "another byte");
        }
    }
    for request in [
        Request::Read { offset: size, length: 512 },
        Request::Write { offset: size - 512, data: vec![1; 1024], durable: false },
    ] {
        let words = request.words();
        if let Some(Ok(_)) = disk.all(vec![request])?.pop() {
            return fail(format!("{name}: {words}"), "an error, past the end", "success");
        }
    }
    disk.close()
}

fn read_only(bench: &mut Bench) -> Result<()> {
    let (name, disk) = served(bench)?;
    disk.write(0, &[0x21; 4096])?;
    disk.close()?;
    let disk = bench.serve(&name, AttachAccess::ReadOnly)?;
    let write = Request::Write { offset: 0, data: vec![0x22; 4096], durable: true };
    let words = write.words();
    if let Some(Ok(_)) = disk.all(vec![write])?.pop() {
        return fail(format!("{name}, read-only: {words}"), "an error", "success");
    }
    if disk.read(0, 4096)? != [0x21; 4096] {
        return fail(format!("{name}, read-only: read 4096 bytes at 0"), "what was written before", "other bytes");
    }
    drop(disk);
    let disk = bench.serve(&name, AttachAccess::ReadOnly)?;
    if disk.read(0, 4096)? != [0x21; 4096] {
        return fail(format!("{name}, read-only: read 4096 bytes at 0"), "what was written before", "other bytes");
    }
    drop(disk);
    Ok(())
}

/// Kills what serves the volume, and has it served again for the same holder, as a host does.
pub(super) fn crash(bench: &mut Bench, name: &str, disk: Disk, begun: Vec<Request>) -> Result<Disk> {
    let holder = disk.begin_and_kill(begun)?;
    bench.serve_as(name, AttachAccess::Exclusive, holder)
}

fn flush(bench: &mut Bench) -> Result<()> {
    let (name, mut disk) = served(bench)?;
    for (number, durable) in [(1, false), (2, true), (3, false), (4, true)] {
        let at = 16 * number as usize;
        let data = stamped(number, at, 24);
        disk.one(Request::Write { offset: (at * SECTOR) as u64, data: data.clone(), durable })?;
        if !durable {
            disk.flush()?;
        }
        disk = crash(bench, &name, disk, Vec::new())?;
        let read = disk.read((at * SECTOR) as u64, data.len() as u32)?;
        if read != data {
            let how = if durable { "a durable write" } else { "a write and a flush" };
            return fail(format!("{name}: {how} of {} bytes, then a crash", data.len()), "the bytes", "others");
        }
    }
    disk.close()
}

/// A disk all of which is known.
pub(super) struct Written {
    /// Bytes of a block, a sector at least.
    pub(super) unit: usize,
    /// So many from the beginning on.
    pub(super) bytes: usize,
    /// Of the last request.
    pub(super) number: u32,
    pub(super) model: Model,
}

/// Written all over and flushed, so that no stray zero goes unseen.
pub(super) fn written(disk: &Disk) -> Result<Written> {
    let unit = disk.geometry().map_or(SECTOR, |geometry| (geometry.block_size as usize).max(SECTOR));
    let bytes = disk.size().min(SIZE) as usize / (PARTS * unit) * (PARTS * unit);
    let (mut model, mut number) = (Model::new(bytes / SECTOR), 0);
    for at in (0..bytes).step_by(PIECE) {
        number += 1;
        let data = stamped(number, at / SECTOR, PIECE.min(bytes - at) / SECTOR);
        model.wrote(at / SECTOR, &data, false);
        disk.write(at as u64, &data)?;
    }
    disk.flush()?;
    model.flushed();
    Ok(Written { unit, bytes, number, model })
}

fn model(bench: &mut Bench) -> Result<()> {
    seeded(bench, random)
}

/// What fails is told with the seed that it follows from.
pub(super) fn seeded(bench: &mut Bench, random: impl FnOnce(&mut Bench) -> Result<()>) -> Result<()> {
    let seed = bench.options.seed;
    random(bench).map_err(|stop| match stop {
        Stop::Fail(mut fault) => {
            fault.called = format!("{} (--seed {seed})", fault.called);
            Stop::Fail(fault)
        }
        Stop::Skip(_) | Stop::Broken(_) => stop,
    })
}

fn random(bench: &mut Bench) -> Result<()> {
    let (name, mut disk) = served(bench)?;
    let Written { unit, bytes, mut number, mut model } = written(&disk)?;
    let sectors = bytes / SECTOR;
    for round in 1..=ROUNDS {
        let requests = requests(bench, sectors, unit / SECTOR, &mut number);
        if round % (ROUNDS / CRASHES) == 0 {
            for request in &requests {
                if let Request::Write { offset, data, .. } = request {
                    model.began(*offset as usize / SECTOR, data);
                }
            }
            disk = crash(bench, &name, disk, requests)?;
            look(&name, &disk, bytes, |at, read| model.crashed(at, read), "after a crash")?;
            continue;
        }
        let answers = disk.all(requests.clone())?;
        for (request, answer) in requests.iter().zip(answers) {
            let done = match answer {
                Ok(done) => done,
                Err(error) => return fail(format!("{name}: {}", request.words()), "success", error),
            };
            answered(&name, &mut model, request, &done)?;
        }
        if bench.random.below(4) == 0 {
            disk.flush()?;
            model.flushed();
        }
    }
    look(&name, &disk, bytes, |at, read| model.read(at, read), "at the end")?;
    disk.close()
}

pub(super) fn answered(name: &str, model: &mut Model, request: &Request, done: &[u8]) -> Result<()> {
    let sector = |offset: u64| offset as usize / SECTOR;
    match request {
        Request::Read { offset, .. } => {
            model.read(sector(*offset), done).or_else(|wrong| amiss(format!("{name}: {}", request.words()), wrong))
        }
        Request::Write { offset, data, durable } => {
            model.wrote(sector(*offset), data, *durable);
            Ok(())
        }
        Request::Zero { offset, length } => {
            model.wrote(sector(*offset), &vec![0; *length as usize], false);
            Ok(())
        }
        Request::Trim { offset, length } => {
            model.trimmed(sector(*offset), *length as usize / SECTOR);
            Ok(())
        }
        Request::Flush => Ok(()),
    }
}

fn amiss(called: String, wrong: Wrong) -> Result<()> {
    fail(called, format!("in sector {}: {}", wrong.sector, wrong.expected), wrong.got)
}

/// Reads all of it.
pub(super) fn look(
    name: &str,
    disk: &Disk,
    bytes: usize,
    mut check: impl FnMut(usize, &[u8]) -> Result<(), Wrong>,
    when: &str,
) -> Result<()> {
    for at in (0..bytes).step_by(PIECE) {
        let read = disk.read(at as u64, PIECE.min(bytes - at) as u32)?;
        check(at / SECTOR, &read).or_else(|wrong| amiss(format!("{name}: read all of it {when}"), wrong))?;
    }
    Ok(())
}

/// Up to one request for each part of the volume. `unit`: sectors of a block.
pub(super) fn requests(bench: &mut Bench, sectors: usize, unit: usize, number: &mut u32) -> Vec<Request> {
    let part = sectors / PARTS;
    let mut all = Vec::new();
    for which in 0..PARTS {
        if bench.random.below(2) == 0 {
            continue;
        }
        let blocks = (part / unit) as u64;
        let at = bench.random.below(blocks);
        let most = if bench.random.below(4) == 0 { blocks - at } else { (blocks - at).min(16) };
        let length = (1 + bench.random.below(most)) as usize * unit;
        let at = which * part + at as usize * unit;
        let (offset, bytes) = ((at * SECTOR) as u64, (length * SECTOR) as u64);
        *number += 1;
        all.push(match bench.random.below(16) {
            0..=3 => Request::Read { offset, length: bytes as u32 },
            4..=9 => Request::Write { offset, data: stamped(*number, at, length), durable: false },
            10..=11 => Request::Write { offset, data: stamped(*number, at, length), durable: true },
            12..=13 => Request::Zero { offset, length: bytes },
            _ => Request::Trim { offset, length: bytes as u32 },
        });
    }
    all
}

fn old_holder(bench: &mut Bench) -> Result<()> {
    if !bench.has(Ability::Fences) {
        return skip("the plugin has no fences");
    }
    let name = bench.volume()?.name;
    let fence = bench.ask(StorageCall::FenceShow { volume: name.clone() }).fence()?;
    if fence.kind == FenceKind::None {
        return skip("its storage keeps no fences");
    }
    let old = bench.hold(&name)?;
    let new = bench.hold(&name)?;
    match bench.serve_as(&name, AttachAccess::Exclusive, Some(old)) {
        Ok(disk) => {
            // It may have been opened and be told at its first write.
            let write = Request::Write { offset: 0, data: vec![0x99; 4096], durable: true };
            let wrote = disk.all(vec![write])?.pop();
            drop(disk);
            match wrote {
                Some(Err(_)) => {}
                Some(Ok(_)) | None => {
                    let called =
                        format!("block.open {name}, for generation {} after {}", new.generation - 1, new.generation);
                    return fail(called, "the error wrong-state", "it is served, and written to");
                }
            }
        }
        Err(Stop::Fail(_)) => {}
        Err(stop) => return Err(stop),
    }
    bench.serve_as(&name, AttachAccess::Exclusive, Some(new))?.close()
}
