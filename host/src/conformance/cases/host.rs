//! A host that fails: each thing that the plugin asks of it, one after the other.

use super::verbs::{Holds, Met, each_verb};
use crate::conformance::bench::Bench;
use crate::conformance::expect::{Result, skip};
use crate::conformance::{Case, Run};
use crate::plugin::trouble::{How, Trouble};
use crate::sandbox::protocol::ErrorCode;

/// So many asks of one call are made to fail, one in each call.
const ASKS: u32 = 40;

const ERRORS: &str = "If you return an error, trap, or run past a limit, the host undoes all of it, newest first.";
const FIRST: &str = "return the first error with `?`, and clean up nothing.";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "host-errors",
        what: "each thing that a verb asks of the host fails once: the verb says so or does without, and works when it is said again",
        rule: FIRST,
        why: "a full disk or a lost connection would be told as success, or leave what can never be put right",
        needs: None,
        run: Run::Storage(errors),
    },
    Case {
        id: "host-denies",
        what: "all that a verb asks of the host is denied: it ends with an error of its own, and does not trap",
        rule: ERRORS,
        why: "an operator who grants too little would be told of a fault instead of a grant",
        needs: None,
        run: Run::Storage(denies),
    },
    Case {
        id: "timeouts",
        what: "all that a verb asks of the host times out: it ends with an error, soon, and works when it is said again",
        rule: "A call has 2 s of processor time, 30 s from start to end",
        why: "commands would hang for as long as storage does",
        needs: None,
        run: Run::Storage(timeouts),
    },
    Case {
        id: "connections-cut",
        what: "every stream ends before a byte goes over it: each verb says so, and works when it is said again",
        rule: "`unreachable` and `timeout` can be tried again.",
        why: "a server that restarts would be told as damage, or take the plugin with it",
        needs: None,
        run: Run::Storage(cut),
    },
];

fn errors(bench: &mut Bench) -> Result<()> {
    let some = each_verb(bench, |bench, attempt| {
        let mut some = false;
        for at in 1..=ASKS {
            match attempt.troubled(bench, &Trouble { at: Some(at), how: How::Error(ErrorCode::Io) }, Holds::Looks)? {
                Met::Some => some = true,
                Met::Nothing | Met::NotOurs => break,
            }
        }
        Ok(some)
    })?;
    if some { Ok(()) } else { skip("it asks nothing of the host") }
}

fn denies(bench: &mut Bench) -> Result<()> {
    each(bench, &How::Error(ErrorCode::Denied))
}

fn timeouts(bench: &mut Bench) -> Result<()> {
    each(bench, &How::Error(ErrorCode::Timeout))
}

fn cut(bench: &mut Bench) -> Result<()> {
    if !bench.connects() {
        return skip("it asks for no connections");
    }
    each(bench, &How::Cut)
}

/// Every verb, with each ask failing.
fn each(bench: &mut Bench, how: &How) -> Result<()> {
    let some = each_verb(bench, |bench, attempt| {
        let met = attempt.troubled(bench, &Trouble { at: None, how: how.clone() }, Holds::Changes)?;
        Ok(met == Met::Some)
    })?;
    if some { Ok(()) } else { skip("it asks nothing of the host") }
}
