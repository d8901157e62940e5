//! Strategies: what they find in the way of a move, and how they go about it.

use crate::conformance::expect::{Result, fail, inner, skip};
use crate::conformance::moves::{Bench, OUTCOME, SITUATIONS, Script, Seen, Situation, facts, odd};
use crate::conformance::{Case, Run};
use crate::error::Kind;
use crate::migration::steps::Ask;

/// Steps of one run that are made to fail, one in each.
const STEPS: usize = 24;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "move-check-odd",
        what: "check answers whatever the domain is like, and its findings have a code and a message",
        rule: "What stands in the way of this strategy, all at once.",
        why: "a domain that its author did not think of would be told of as a fault of the plugin's",
        needs: None,
        run: Run::Migration(check_odd),
    },
    Case {
        id: "move-moves",
        what: "where check finds nothing in the way, run moves the domain, by steps that may follow each other",
        rule: "Moves the domain.",
        why: "a move would be given up halfway that was planned without a finding",
        needs: None,
        run: Run::Migration(moves),
    },
    Case {
        id: "move-outcome",
        what: "run gives what the host gave of the move",
        rule: "Gives what `switch-over` or `restore` gave.",
        why: "an operator would be told of a pause that was none",
        needs: None,
        run: Run::Migration(outcome),
    },
    Case {
        id: "move-step-fails",
        what: "each step fails once: run ends with an error of its own, and asks for nothing else",
        rule: "an error, a panic or silence gives the move up",
        why: "a move that failed would be told of as done, or as a fault of the plugin's",
        needs: None,
        run: Run::Migration(step_fails),
    },
    Case {
        id: "move-unending",
        what: "a guest writes faster than can be sent: run comes to an end by itself",
        rule: "a move that goes through memory for ever, or takes longer than any move of that size, is ended.",
        why: "the move would take an hour of the network and come to nothing",
        needs: None,
        run: Run::Migration(unending),
    },
];

fn check_odd(bench: &mut Bench) -> Result<()> {
    let plain = SITUATIONS.iter().map(|situation| (situation.words, facts(*situation)));
    for (words, facts) in plain.chain(odd()) {
        for finding in bench.check(&facts, words)? {
            if finding.code.is_empty() || finding.message.is_empty() {
                let called = format!("check of a domain that is {words}");
                return fail(called, "findings with a code and a message", format!("{finding:?}"));
            }
        }
    }
    Ok(())
}

/// Those that it takes.
fn open_to_it(bench: &mut Bench) -> Result<Vec<Situation>> {
    let open = bench.open_to_it()?;
    if open.is_empty() { skip("it finds a blocker in the way of every domain") } else { Ok(open) }
}

fn called(situation: Situation) -> String {
    format!("run, of a domain that is {}", situation.words)
}

fn has_moved(situation: Situation, seen: &Seen) -> Result<()> {
    let expected = "that the domain is moved, by steps that may follow each other";
    if let Some(refused) = seen.refused.first() {
        return fail(called(situation), expected, refused.to_string());
    }
    let handed_over = seen.asked.iter().any(|ask| matches!(ask, Ask::SwitchOver | Ask::Restore));
    match (&seen.said, handed_over) {
        (Ok(_), true) => Ok(()),
        (Ok(_) | Err(_), _) => fail(called(situation), expected, seen.told()),
    }
}

fn moves(bench: &mut Bench) -> Result<()> {
    let open = bench.open_to_it()?;
    if open.is_empty() {
        return fail("check of six domains", "one at least that it moves", "a blocker in the way of each");
    }
    for situation in open {
        let seen = bench.run(situation, Script::default())?;
        has_moved(situation, &seen)?;
    }
    Ok(())
}

fn outcome(bench: &mut Bench) -> Result<()> {
    for situation in open_to_it(bench)? {
        let seen = bench.run(situation, Script::default())?;
        has_moved(situation, &seen)?;
        if seen.said.as_ref().ok() != Some(&OUTCOME) {
            let expected = format!("an outcome of {} ms, {} bytes", OUTCOME.total_ms, OUTCOME.transferred);
            return fail(called(situation), expected, seen.told());
        }
    }
    Ok(())
}

fn step_fails(bench: &mut Bench) -> Result<()> {
    for situation in open_to_it(bench)? {
        for number in 0..STEPS {
            let seen = bench.run(situation, Script { fails: Some(number), ..Script::default() })?;
            let Some(failed) = seen.asked.get(number) else { break };
            let called = format!("{}, with `{}` failing", called(situation), failed.name());
            // What it asks for after that reaches nobody.
            if let Some(refused) = seen.refused.first() {
                return fail(called, "no step after the one that failed", refused.to_string());
            }
            match &seen.said {
                Err(failure) if failure.kind != Kind::PluginFault => {}
                Ok(_) | Err(_) => return fail(called, "an error of its own", seen.told()),
            }
        }
    }
    Ok(())
}

fn unending(bench: &mut Bench) -> Result<()> {
    let mut tried = false;
    for situation in open_to_it(bench)? {
        let seen = bench.run(situation, Script { unending: true, ..Script::default() })?;
        tried |= seen.asked.contains(&Ask::NextSample);
        if let Err(failure) = &seen.said
            && failure.kind == Kind::PluginFault
        {
            let expected = "the end of it, or an error of its own";
            return fail(
                format!("{}, which writes faster than can be sent", called(situation)),
                expected,
                inner(failure),
            );
        }
    }
    if tried { Ok(()) } else { skip("it asks for no samples") }
}
