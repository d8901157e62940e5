//! Served volumes on a host that fails: single reads, writes and syncs of the files that they lie in.

use rustix::io::Errno;

use crate::conformance::bench::Bench;
use crate::conformance::disk::{Disk, Request};
use crate::conformance::expect::{Result, fail, skip};
use crate::conformance::model::{Model, SECTOR, stamped};
use crate::conformance::{Case, Run};
use crate::sandbox::protocol::{Ability, AttachAccess};
use crate::sys::balk::{Balk, Calls};

/// Of the volume that are written and looked at, in bytes.
const BYTES: usize = 256 << 10;
const SECTORS: usize = BYTES / SECTOR;
/// What one request is about: sectors in the middle.
const AT: usize = SECTORS / 4;
const LENGTH: usize = SECTORS / 2;
/// So many calls of one request are made to fail, one in each.
const ASKS: u32 = 12;

const FLUSH: &str = "Tell it once and for all: later ones fail too, unless the data was written again";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "block-read-fails",
        what: "each read of a file below a read fails once: the read fails or gives what was written, and so does the next",
        rule: "as the guest reads; exactly `length` bytes",
        why: "a guest would read zeroes for a bad sector, and write them over what can still be saved",
        needs: Some(Ability::Block),
        run: Run::Storage(reads),
    },
    Case {
        id: "block-write-fails",
        what: "each change of a file below a write fails once: what was told as written and flushed is there after a crash, and all else is old or new",
        rule: "Answered when every write that was answered before is on stable storage.",
        why: "a full disk would be told as success, and a database would lose what it has confirmed",
        needs: Some(Ability::Block),
        run: Run::Storage(writes),
    },
    Case {
        id: "block-flush-fails",
        what: "the sync of a file below a flush or a durable write fails: it is told, and no later flush says otherwise",
        rule: FLUSH,
        why: "the kernel forgets what it could not write: a database would be told that it is safe, and it is gone",
        needs: Some(Ability::Block),
        run: Run::Storage(flushes),
    },
];

/// A volume with known bytes, in an instance that has not seen them.
fn prepared(bench: &mut Bench) -> Result<(String, Disk, Model)> {
    let name = bench.volume()?.name;
    let disk = bench.serve(&name, AttachAccess::Exclusive)?;
    let mut model = Model::new(SECTORS);
    let data = stamped(1, 0, SECTORS);
    model.wrote(0, &data, true);
    disk.write(0, &data)?;
    disk.flush()?;
    let disk = again(bench, &name, disk)?;
    Ok((name, disk, model))
}

/// After a crash.
fn again(bench: &mut Bench, name: &str, disk: Disk) -> Result<Disk> {
    let holder = disk.kill()?;
    bench.serve_as(name, AttachAccess::Exclusive, holder)
}

/// What serves it, while that is a plugin.
fn process(disk: &Disk) -> Result<u32> {
    disk.process().map_or_else(|| skip("its volumes are not served"), Ok)
}

/// The answer; none at all is a failure of its own.
fn answered(disk: &Disk, request: Request, told: &str) -> Result<Result<Vec<u8>, String>> {
    let answer = disk.all(vec![request])?.pop();
    match answer {
        Some(Err(error)) if error.starts_with("no answer") => fail(told, "an answer", error),
        // A sandbox that takes its place would be asked the same again, and again.
        Some(Err(_)) if disk.has_ended()? => fail(told, "an error of its own", "a fault, with which it ended"),
        Some(answer) => Ok(answer),
        None => fail(told, "an answer", "none"),
    }
}

fn reads(bench: &mut Bench) -> Result<()> {
    bench.balking(|bench, balk| {
        let (name, disk, _) = prepared(bench)?;
        let process = process(&disk)?;
        let data = stamped(1, 0, SECTORS);
        let read = || Request::Read { offset: 0, length: BYTES as u32 };
        for at in 1..=ASKS {
            let told = format!("{name}: {}, with read {at} of its file failing", read().words());
            balk.aim(process, Calls::Reads, Some(at), Errno::IO);
            let answer = answered(&disk, read(), &told)?;
            let came = balk.rest() >= at;
            match answer {
                Ok(bytes) if bytes == data => {}
                Ok(_) => return fail(told, "an error, or what was written", "other bytes"),
                Err(_) if came => {}
                Err(error) => return fail(told, "what was written", error),
            }
            let answer = answered(&disk, read(), &told)?;
            if answer.as_ref() != Ok(&data) {
                return fail(format!("{told}; read again"), "what was written", answer.err().unwrap_or_else(other));
            }
            if !came {
                return if at == 1 { skip("it reads no files") } else { disk.close() };
            }
        }
        disk.close()
    })
}

fn other() -> String {
    "other bytes".to_owned()
}

fn writes(bench: &mut Bench) -> Result<()> {
    bench.balking(|bench, balk| {
        let (name, mut disk, mut model) = prepared(bench)?;
        let (offset, length) = ((AT * SECTOR) as u64, (LENGTH * SECTOR) as u64);
        let mut some = false;
        for durable in [false, true] {
            for at in 1..=ASKS {
                let process = process(&disk)?;
                let data = stamped(1 + at + if durable { ASKS } else { 0 }, AT, LENGTH);
                let request = Request::Write { offset, data: data.clone(), durable };
                let told = format!("{name}: {}, with change {at} of its file failing", request.words());
                balk.aim(process, Calls::Writes, Some(at), Errno::NOSPC);
                let written = answered(&disk, request, &told)?;
                let flushed = answered(&disk, Request::Flush, &told)?;
                let came = balk.rest() >= at;
                some |= came;
                match (&written, &flushed) {
                    (Ok(_), Ok(_)) => model.wrote(AT, &data, true),
                    (Ok(_), Err(_)) if durable => model.wrote(AT, &data, true),
                    (Ok(_) | Err(_), _) if came => model.began(AT, &data),
                    (Ok(_), Err(error)) | (Err(error), _) => return fail(told, "success", error),
                }
                disk = again(bench, &name, disk)?;
                let read = disk.read(0, BYTES as u32)?;
                if let Err(wrong) = model.crashed(0, &read) {
                    let called = format!("{told}; then a crash: read sector {}", wrong.sector);
                    return fail(called, wrong.expected, wrong.got);
                }
                let data = stamped(100 + at, AT, LENGTH);
                let again = Request::Write { offset, data: data.clone(), durable: true };
                if let Err(error) = answered(&disk, again, &told)? {
                    return fail(format!("{told}; then a crash: written again"), "success", error);
                }
                model.wrote(AT, &data, true);
                if !came {
                    break;
                }
            }
        }
        let zero = Request::Zero { offset, length };
        let told = format!("{name}: {}, with each change of its file failing", zero.words());
        balk.aim(process(&disk)?, Calls::Writes, Some(1), Errno::NOSPC);
        let zeroed = answered(&disk, zero, &told)?;
        some |= balk.rest() > 0;
        let read = disk.read(offset, length as u32)?;
        if zeroed.is_ok() && read.iter().any(|byte| *byte != 0) {
            return fail(told, "an error, or zeroes", "success, and what was there before");
        }
        if some { disk.close() } else { skip("it writes no files") }
    })
}

fn flushes(bench: &mut Bench) -> Result<()> {
    bench.balking(|bench, balk| {
        let (name, mut disk, mut model) = prepared(bench)?;
        let offset = (AT * SECTOR) as u64;
        let mut some = false;
        for (number, durable) in [(2, false), (3, true)] {
            let process = process(&disk)?;
            let data = stamped(number, AT, LENGTH);
            model.began(AT, &data);
            let write = Request::Write { offset, data, durable };
            let told = format!(
                "{name}: {}, with the sync of its file failing",
                if durable { write.words() } else { format!("{}, and flush", write.words()) }
            );
            let answer = if durable {
                balk.aim(process, Calls::Syncs, Some(1), Errno::IO);
                answered(&disk, write, &told)?
            } else {
                disk.one(write)?;
                balk.aim(process, Calls::Syncs, Some(1), Errno::IO);
                answered(&disk, Request::Flush, &told)?
            };
            if balk.rest() > 0 {
                some = true;
                if answer.is_ok() {
                    return fail(told, "an error", "success");
                }
                later(&disk, balk, process, &told)?;
            }
            disk = again(bench, &name, disk)?;
            let read = disk.read(0, BYTES as u32)?;
            if let Err(wrong) = model.crashed(0, &read) {
                let called = format!("{told}; then a crash: read sector {}", wrong.sector);
                return fail(called, wrong.expected, wrong.got);
            }
            disk.flush()?;
        }
        if some { disk.close() } else { skip("it syncs no files") }
    })
}

/// A flush after one that failed: success means that the data was written once more.
fn later(disk: &Disk, balk: &Balk, process: u32, told: &str) -> Result<()> {
    balk.aim(process, Calls::Writes, None, Errno::IO);
    let answer = answered(disk, Request::Flush, told)?;
    let written = balk.rest();
    if answer.is_ok() && written == 0 {
        return fail(format!("{told}; flush again"), "an error: the data may be lost", "success");
    }
    Ok(())
}
