//! Control calls on a host whose file system fails: what a plugin does in its granted directories by itself, call by call.

use rustix::io::Errno;

use super::verbs::{Attempt, Holds, Met, each_verb};
use crate::conformance::bench::Bench;
use crate::conformance::expect::{Result, skip};
use crate::conformance::{Case, Run};
use crate::error::Failure;
use crate::sandbox::protocol::StorageCall;
use crate::sys::balk::{Balk, Calls};

/// So many calls of the file system are made to fail for each verb, one in each.
const CALLS: u32 = 60;

pub(super) const CASES: &[Case] = &[Case {
    id: "files-fail",
    what: "each open, look, list, read, write, sync, rename and removal that a verb does in a granted directory fails once: the verb says so or does without, nothing is half done, and it works when it is said again",
    rule: "return the first error with `?`, and clean up nothing.",
    why: "a disk that breaks would be told as a volume that is not there, or take with it what is kept beside the volumes",
    needs: None,
    run: Run::Storage(fail_in_turn),
}];

fn fail_in_turn(bench: &mut Bench) -> Result<()> {
    if !bench.keeps_files() {
        return skip("it asks for no directory");
    }
    bench.balking(|bench, balk| {
        let some = each_verb(bench, |bench, attempt| {
            let mut some = false;
            for at in 1..=CALLS {
                match failing(bench, attempt, balk, (Calls::Files, at, Errno::IO))? {
                    Met::Some => some = true,
                    Met::Nothing | Met::NotOurs => break,
                }
            }
            // A disk that is full is not one that is broken: it can be read.
            for at in 1..=CALLS {
                match failing(bench, attempt, balk, (Calls::Writes, at, Errno::NOSPC))? {
                    Met::Some => {}
                    Met::Nothing | Met::NotOurs => break,
                }
            }
            Ok(some)
        })?;
        if some { Ok(()) } else { skip("it touches no files by itself") }
    })
}

fn failing(
    bench: &mut Bench,
    attempt: &Attempt<'_>,
    balk: &Balk,
    (calls, at, error): (Calls, u32, Errno),
) -> Result<Met> {
    let what = match calls {
        Calls::Writes => "write",
        Calls::Reads | Calls::Syncs | Calls::Files => "call",
    };
    let failing = format!(", with {what} {at} to the file system failing: {}", std::io::Error::from(error));
    attempt.run(
        bench,
        &failing,
        Holds::Looks,
        |bench| {
            balk.aim(process(bench)?, calls, Some(at), error);
            Ok(())
        },
        |_| Ok(balk.rest() >= at),
    )
}

/// That of the plugin's sandbox, started where there is none.
fn process(bench: &mut Bench) -> Result<u32> {
    if bench.pool.process().is_none() {
        bench.ask(StorageCall::Info);
    }
    let process = bench.pool.process();
    process.ok_or_else(|| Failure::other("the sandbox of the plugin does not stay").into())
}
