//! Control calls whose streams to a server break, or come little by little.

use std::time::{Duration, Instant};

use super::verbs::{Attempt, Holds, Met, each_verb, words};
use crate::conformance::bench::Bench;
use crate::conformance::expect::{Result, skip};
use crate::conformance::{Case, Run};
use crate::plugin::Patience;
use crate::plugin::trouble::{Breach, Break, How, Trouble};

/// So many requests and answers of one call are spoilt, one in each call.
const TURNS: u32 = 40;
/// The first so many in every way, the others in one way each.
const EVERY_WAY: u32 = 2;
/// A plugin that takes as long as this, waits before it tries again: it is not tried at each of them, and in one way each.
const WAITS: Duration = Duration::from_millis(200);

pub(super) const CASES: &[Case] = &[
    Case {
        id: "connections-break",
        what: "each answer of a server, and each request, is cut off once, by an end or an error of the stream: the verb says so or does without, nothing is half done, and it works when it is said again",
        rule: "All of it, or an error after which the stream is of no more use.",
        why: "half an answer would be taken for a whole one: a volume that is there would be told as gone, or one as made that is not",
        needs: None,
        run: Run::Storage(break_in_turn),
    },
    Case {
        id: "connections-silent",
        what: "a server falls silent in the middle of an answer, and leaves the stream open: the verb says that it does not answer, having waited once, nothing is half done, and it works when the server is there again",
        rule: "Hand that on, and wait no second time: it would take all the time that the call has, and end as a fault.",
        why: "commands would take all the time that a call has and then be told of a fault, or of damage, where a server stands still",
        needs: None,
        run: Run::Storage(fall_silent),
    },
    Case {
        id: "connections-short",
        what: "what a server says comes byte by byte: each verb works, and tells the same",
        rule: "Up to `maximum` bytes; empty once the other side has closed.",
        why: "a plugin would work in the network of its author, and fail in that of the operator, now and then",
        needs: None,
        run: Run::Storage(short),
    },
];

fn ways(at: u32) -> [Breach; 4] {
    let answer = |half, how| Breach::Answer { at, half, how };
    [answer(true, Break::Ends), answer(false, Break::Ends), answer(true, Break::Resets), Breach::Request { at }]
}

fn break_in_turn(bench: &mut Bench) -> Result<()> {
    if !bench.connects() {
        return skip("it asks for no connections");
    }
    let some = each_verb(bench, |bench, attempt| {
        let (mut some, mut waits, mut at) = (false, false, 1);
        while at <= TURNS {
            let ways = ways(at);
            // Which one, goes round.
            let one = (at as usize + attempt.number) % ways.len();
            let chosen = if at <= EVERY_WAY && !waits { &ways[..] } else { &ways[one..=one] };
            let mut came = false;
            for breach in chosen {
                let (begun, trouble) = (Instant::now(), Trouble { at: None, how: How::Streams(*breach) });
                match attempt.troubled(bench, &trouble, Holds::Unknown)? {
                    Met::Some => came = true,
                    Met::Nothing => {}
                    Met::NotOurs => return Ok(false),
                }
                waits |= begun.elapsed() >= WAITS;
                if waits {
                    break;
                }
            }
            if !came {
                break;
            }
            some = true;
            // Verbs begin alike: what one passes over, another meets.
            at = if waits { 2 * at + attempt.number as u32 % 2 } else { at + 1 };
        }
        Ok(some)
    })?;
    if some { Ok(()) } else { skip("it speaks with no server") }
}

fn fall_silent(bench: &mut Bench) -> Result<()> {
    if !bench.connects() {
        return skip("it asks for no connections");
    }
    let seed = bench.options.seed as usize;
    let some = each_verb(bench, |bench, attempt| {
        let Some(answers) = answers(bench, attempt)? else { return Ok(false) };
        for at in places(answers, attempt.looks(), seed.wrapping_add(attempt.number)) {
            silent(bench, attempt, at)?;
        }
        Ok(answers > 0)
    })?;
    if some { Ok(()) } else { skip("it speaks with no server") }
}

/// The answers at which a server falls silent: in the middle and the last of what changes something, and for what only looks
/// one of these and the first, by turns.
fn places(answers: u32, looks: bool, turn: usize) -> Vec<u32> {
    let (first, middle, last) = (1, answers.div_ceil(2), answers);
    let mut places = if looks { vec![[first, middle, last][turn % 3]] } else { vec![middle, last] };
    places.dedup();
    places.retain(|at| *at > 0);
    places
}

/// How many answers the verb has of a server that works; none where the plugin has no such verb.
fn answers(bench: &mut Bench, attempt: &Attempt<'_>) -> Result<Option<u32>> {
    let breach = Breach::Answer { at: u32::MAX, half: false, how: Break::Silent };
    let trouble = Trouble { at: None, how: How::Streams(breach) };
    let mut answers = 0;
    let met = attempt.run(
        bench,
        "",
        Holds::All,
        |bench| bench.fail(Some(trouble)),
        |bench| {
            answers = bench.pool.turns();
            bench.fail(None)?;
            Ok(false)
        },
    )?;
    Ok((met != Met::NotOurs).then_some(answers))
}

fn silent(bench: &mut Bench, attempt: &Attempt<'_>, at: u32) -> Result<Met> {
    let trouble = Trouble { at: None, how: How::Streams(Breach::Answer { at, half: true, how: Break::Silent }) };
    attempt.run(
        bench,
        &words(&trouble),
        Holds::Silence,
        |bench| {
            bench.pool.wait(Patience::Trial);
            bench.fail(Some(trouble.clone()))
        },
        |bench| {
            let came = bench.pool.was_troubled();
            bench.pool.wait(Patience::Work);
            bench.fail(None)?;
            Ok(came)
        },
    )
}

fn short(bench: &mut Bench) -> Result<()> {
    if !bench.connects() {
        return skip("it asks for no connections");
    }
    let trouble = Trouble { at: None, how: How::Streams(Breach::Short) };
    let some = each_verb(bench, |bench, attempt| Ok(attempt.troubled(bench, &trouble, Holds::All)? == Met::Some))?;
    if some { Ok(()) } else { skip("it speaks with no server") }
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn a_server_falls_silent_at_answers_that_there_are() {
        assert_eq!(places(0, false, 0), Vec::<u32>::new());
        assert_eq!((places(1, false, 0), places(1, true, 1)), (vec![1], vec![1]));
        assert_eq!(places(9, false, 4), [5, 9]);
        assert_eq!([0, 1, 2, 3].map(|turn| places(9, true, turn)[0]), [1, 5, 9, 1]);
    }
}
