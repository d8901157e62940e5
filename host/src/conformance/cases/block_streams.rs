//! Served volumes whose server breaks off, or stands still, while requests are under way.

use std::time::Duration;

use super::block::{self, Written};
use crate::conformance::bench::Bench;
use crate::conformance::expect::{Result, fail, skip};
use crate::conformance::model::SECTOR;
use crate::conformance::{Case, Run};
use crate::plugin::trouble::{Break, Fate, Wires};
use crate::sandbox::protocol::Ability;

/// Each fate so many times.
const TIMES: u64 = 2;
/// It comes with one of so many pieces that the server says from a moment on.
const PIECES: u64 = 8;
/// Batches of requests within which it has come.
const BATCHES: u32 = 4;

const FATES: &[Fate] = &[
    Fate::Break { how: Break::Ends, away: Duration::ZERO },
    Fate::Break { how: Break::Resets, away: Duration::from_millis(400) },
    Fate::Still { lasts: Duration::from_millis(600), then: None },
    Fate::Still { lasts: Duration::from_millis(300), then: Some(Break::Resets) },
];

pub(super) const CASES: &[Case] = &[Case {
    id: "block-connections",
    what: "the streams to a server break, or nothing comes over them for a while, with many requests under way: each is answered once the server is back, and what was written is there, against a reference",
    rule: "Calls wait, they do not fail",
    why: "a guest would see its disk fail, or lose what it wrote, each time that a server starts anew",
    needs: Some(Ability::Block),
    run: Run::Storage(streams),
}];

fn streams(bench: &mut Bench) -> Result<()> {
    if !bench.connects() {
        return skip("it asks for no connections");
    }
    let wires = Wires::default();
    bench.pool.lead(Some(wires.clone()));
    let done = block::seeded(bench, |bench| random(bench, &wires));
    bench.pool.lead(None);
    done
}

fn random(bench: &mut Bench, wires: &Wires) -> Result<()> {
    let (name, mut disk) = block::served(bench)?;
    let Written { unit, bytes, mut number, mut model } = block::written(&disk)?;
    let mut some = false;
    for round in 0..TIMES {
        for fate in FATES {
            wires.aim(1 + bench.random.below(PIECES) as u32, *fate);
            for _ in 0..BATCHES {
                let requests = block::requests(bench, bytes / SECTOR, unit / SECTOR, &mut number);
                let answers = disk.all(requests.clone())?;
                for (request, answer) in requests.iter().zip(answers) {
                    let told = || format!("{name}: {}, {}", request.words(), words(*fate));
                    match answer {
                        Ok(done) => block::answered(&told(), &mut model, request, &done)?,
                        Err(error) => return fail(told(), "success, once the server is back", error),
                    }
                }
            }
            some |= wires.rest();
            disk.flush()?;
            model.flushed();
        }
        if round == 0 {
            // What was told as flushed is in the storage, and not in a request that is still to be sent.
            disk = block::crash(bench, &name, disk, Vec::new())?;
            block::look(&name, &disk, bytes, |at, read| model.crashed(at, read), "after a crash")?;
        }
    }
    block::look(&name, &disk, bytes, |at, read| model.read(at, read), "at the end")?;
    if some { disk.close() } else { skip("what it serves speaks with no server") }
}

fn words(fate: Fate) -> String {
    match fate {
        Fate::Break { how, away } => {
            format!("while the streams to the server {}, and it is away for {} ms", ends(how), away.as_millis())
        }
        Fate::Still { lasts, then } => {
            let then = then.map_or_else(String::new, |how| format!(", and they {} then", ends(how)));
            format!("while nothing comes over the streams to the server for {} ms{then}", lasts.as_millis())
        }
    }
}

const fn ends(how: Break) -> &'static str {
    match how {
        Break::Ends => "end",
        Break::Resets => "are reset",
        Break::Silent => "fall silent",
    }
}
