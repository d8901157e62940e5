//! The pool as a whole, and its list.

use std::time::{Duration, Instant};

use crate::conformance::bench::{Bench, SIZE};
use crate::conformance::expect::{Result, fail};
use crate::conformance::{Case, Run};
use crate::error::Failure;
use crate::sandbox::protocol::{StorageCall, VolumeFacts};
use crate::storage::Pool;

/// How long volumes come and go while others list.
const CHANGING: Duration = Duration::from_millis(1_200);

pub(super) const CASES: &[Case] = &[
    Case {
        id: "info-sane",
        what: "info tells of one and the same storage, with no more room left than there is",
        rule: "`identity` is equal on two hosts exactly when they reach the same storage. Sizes in bytes.",
        why: "a guest that moves would find another disk, and room that is not there would be given away",
        needs: None,
        run: Run::Storage(info_sane),
    },
    Case {
        id: "identity-stable",
        what: "a new instance, and a pool with another volume in it, are the same storage",
        rule: "`identity` is equal on two hosts exactly when they reach the same storage.",
        why: "fief takes a pool whose identity changed for other storage, and starts no domain on it",
        needs: None,
        run: Run::Storage(identity_stable),
    },
    Case {
        id: "list-agrees",
        what: "all and find tell the same of each volume",
        rule: "Every volume of the pool.",
        why: "a volume that is not listed is forgotten, and one that is listed twice is deleted by mistake",
        needs: None,
        run: Run::Storage(list_agrees),
    },
    Case {
        id: "list-during-change",
        what: "a list that is made while volumes come and go has those in it that stay",
        rule: "Calls of one pool that change something come one after another; others may come at the same time, in other instances.",
        why: "whoever looks at a busy pool would see an error, or volumes gone that are there",
        needs: None,
        run: Run::Storage(list_during_change),
    },
];

fn info_sane(bench: &mut Bench) -> Result<()> {
    let first = bench.ask(StorageCall::Info).info()?;
    let second = bench.ask(StorageCall::Info).info()?;
    if first.identity != second.identity {
        return fail("info, twice", "the same identity", format!("{} and {}", first.identity, second.identity));
    }
    if let (Some(capacity), Some(available)) = (first.capacity, first.available)
        && available > capacity
    {
        return fail("info", "no more available than there is", format!("{available} of {capacity} bytes"));
    }
    if first.max_name == 0 {
        return fail("info", "names of at least one byte", "max-name 0");
    }
    Ok(())
}

fn identity_stable(bench: &mut Bench) -> Result<()> {
    let before = bench.ask(StorageCall::Info).info()?.identity;
    bench.pool.start_over();
    let again = bench.ask(StorageCall::Info).info()?.identity;
    let made = bench.new_volume();
    let after = bench.ask(StorageCall::Info).info()?.identity;
    if before != again || before != after {
        return fail("info, in several instances", "the same identity", format!("{before}, {again}, {after}"));
    }
    made.map(drop)
}

fn list_agrees(bench: &mut Bench) -> Result<()> {
    let volumes = [bench.volume()?, bench.new_volume()?];
    for made in volumes {
        let found = bench.find(&made.name).volume()?;
        let all = bench.ask(StorageCall::All).volumes()?;
        let listed: Vec<&VolumeFacts> = all.iter().filter(|one| one.name == made.name).collect();
        let facts = |one: &VolumeFacts| (one.size, one.format);
        match listed[..] {
            [one] if facts(one) == facts(&found) && facts(one) == facts(&made) => {}
            [one] => {
                let told = format!("{} bytes made, {} found, {} listed", made.size, found.size, one.size);
                return fail(format!("all, find {}", made.name), "the same size and format", told);
            }
            _ => return fail("all", format!("{} once", made.name), format!("it is there {} times", listed.len())),
        }
    }
    Ok(())
}

fn list_during_change(bench: &mut Bench) -> Result<()> {
    let format = bench.format()?;
    let stays = bench.new_volume()?;
    let (gate, pool) = (bench.gate.clone(), bench.name_of_pool());
    let until = Instant::now() + CHANGING;
    // In a thread of its own: its sandbox lives as long as that does.
    let looking = std::thread::Builder::new().name("looking".into()).spawn(move || {
        let mut pool = Pool::open(&gate, &pool)?;
        let mut lists = Vec::new();
        while Instant::now() < until {
            lists.push(pool.put(StorageCall::All));
        }
        Ok::<_, Failure>(lists)
    });
    let looking = looking.map_err(|error| Failure::other("cannot look at a pool meanwhile").because(error))?;
    let mut changing = Ok(());
    while Instant::now() < until && changing.is_ok() {
        let name = bench.name();
        changing = bench.create(&name, SIZE, format).volume().map(drop);
        changing = changing.and_then(|()| bench.delete(&name).nothing());
    }
    let lists = looking.join().map_err(|_| Failure::other("whoever looked at a pool died"))??;
    changing?;
    for said in lists {
        let asked = crate::conformance::expect::Asked::new(&StorageCall::All, said);
        let all = asked.volumes()?;
        let found: Vec<u64> = all.iter().filter(|one| one.name == stays.name).map(|one| one.size).collect();
        if found != [stays.size] {
            let told = format!("it is there with the sizes {found:?}");
            return fail("all, while others change", format!("{} with {} bytes", stays.name, stays.size), told);
        }
    }
    Ok(())
}
