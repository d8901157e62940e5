//! Ways to volumes, and that they are let go.

use crate::conformance::bench::{Bench, SIZE};
use crate::conformance::expect::{Asked, Result, fail};
use crate::conformance::{Case, Run};
use crate::error::{Failure, Kind};
use crate::sandbox::protocol::{AttachAccess, StorageCall};

pub(super) const CASES: &[Case] = &[
    Case {
        id: "attach-twice",
        what: "attach, said again, is the same way, and policy lets the host go it",
        rule: "How a domain reaches a volume. The host checks each against policy before it acts.",
        why: "a domain would start once and never again, or not at all",
        needs: None,
        run: Run::Storage(attach_twice),
    },
    Case {
        id: "attach-absent",
        what: "a volume that nobody made is not attached",
        rule: "One volume; `not-found` where there is none of that name.",
        why: "a domain would start with a disk that is another's, or none",
        needs: None,
        run: Run::Storage(attach_absent),
    },
    Case {
        id: "attach-handover",
        what: "attach for two hosts, one after the other, works or says plainly that it does not",
        rule: "What a volume is attached for. `handover`: by two hosts, one after the other.",
        why: "a move would begin that cannot end",
        needs: None,
        run: Run::Storage(attach_handover),
    },
    Case {
        id: "detach-twice",
        what: "detach, said again, is fine",
        rule: "Any call may come again, after a crash of the host for one: asking for what already is succeeds.",
        why: "a domain that stopped would be told to have failed",
        needs: None,
        run: Run::Storage(detach_twice),
    },
    Case {
        id: "detach-absent",
        what: "to detach a volume that is gone is fine, or says that it is not found",
        rule: "Any call may come again, after a crash of the host for one: asking for what already is succeeds.",
        why: "what a crash left attached could never be let go",
        needs: None,
        run: Run::Storage(detach_absent),
    },
    Case {
        id: "bytes-kept",
        what: "what was written and flushed is there after detach, in another instance",
        rule: "No state survives from one call to the next: what must last is in the storage itself, or asked of the host.",
        why: "guests would lose what they wrote",
        needs: None,
        run: Run::Storage(bytes_kept),
    },
];

fn detach(bench: &mut Bench, name: &str) -> Asked {
    bench.ask(StorageCall::Detach { name: name.to_owned() })
}

fn attach_twice(bench: &mut Bench) -> Result<()> {
    let made = bench.volume()?;
    for access in [AttachAccess::ReadOnly, AttachAccess::Exclusive] {
        let first = bench.attach(&made.name, access);
        // Where the pool leaves the way open, the plugin may have none of the hypervisor's own.
        if first.is("unsupported") {
            let name = made.name.parse().map_err(|why| Failure::other(format!("{}: {why}", made.name)))?;
            bench.pool.choose(&name, crate::storage::Transport::Served);
        } else {
            first.attachment()?;
        }
        let first = bench.attach(&made.name, access).attachment()?;
        let again = bench.attach(&made.name, access);
        let called = again.called.clone();
        if first != again.attachment()? {
            return fail(called, "the same way again", "another one");
        }
        let name = made.name.parse().map_err(|why| Failure::other(format!("{}: {why}", made.name)))?;
        match bench.pool.attach(&name, access) {
            Ok(_) => {}
            Err(failure) if failure.kind == Kind::Denied => {
                return fail(called, "a way that policy grants", failure.to_string());
            }
            Err(failure) => return fail(called, "a way that this host can go", failure.to_string()),
        }
    }
    Ok(())
}

fn attach_absent(bench: &mut Bench) -> Result<()> {
    let name = bench.name();
    for access in [AttachAccess::ReadOnly, AttachAccess::Exclusive] {
        bench.attach(&name, access).refused_with(&["not-found"])?;
    }
    Ok(())
}

fn attach_handover(bench: &mut Bench) -> Result<()> {
    let made = bench.volume()?;
    let asked = bench.attach(&made.name, AttachAccess::Handover);
    match asked.said.is_ok() {
        true => asked.attachment().map(drop),
        false => asked.refused_with(&["unsupported"]),
    }
}

fn detach_twice(bench: &mut Bench) -> Result<()> {
    let made = bench.volume()?;
    bench.attach(&made.name, AttachAccess::ReadOnly).said.ok();
    detach(bench, &made.name).nothing()?;
    detach(bench, &made.name).nothing()?;
    bench.find(&made.name).volume().map(drop)
}

fn detach_absent(bench: &mut Bench) -> Result<()> {
    let name = bench.name();
    let asked = detach(bench, &name);
    match asked.said.is_ok() {
        true => asked.nothing()?,
        false => asked.refused_with(&["not-found"])?,
    }
    bench.find(&name).refused_with(&["not-found"])
}

fn bytes_kept(bench: &mut Bench) -> Result<()> {
    let made = bench.volume()?;
    let size = made.size.min(SIZE);
    let pieces: [(u64, u8); 4] = [(0, 1), ((size / 3) & !4095, 2), (size / 2, 3), (size - 4096, 4)];
    let disk = bench.open(&made.name)?;
    for (at, byte) in pieces {
        disk.write(at, &[byte; 4096])?;
    }
    disk.close()?;
    detach(bench, &made.name).nothing()?;
    bench.pool.start_over();
    let disk = bench.open_for(&made.name, AttachAccess::ReadOnly)?;
    for (at, byte) in pieces {
        if disk.read(at, 4096)? != [byte; 4096] {
            return fail(format!("read {} at {at}", made.name), "what was written and flushed", "other bytes");
        }
    }
    disk.close()
}
