//! Control calls whose streams to a server break, or come little by little.

use std::time::{Duration, Instant};

use super::verbs::{Holds, Met, each_verb};
use crate::conformance::bench::Bench;
use crate::conformance::expect::{Result, skip};
use crate::conformance::{Case, Run};
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

fn short(bench: &mut Bench) -> Result<()> {
    if !bench.connects() {
        return skip("it asks for no connections");
    }
    let trouble = Trouble { at: None, how: How::Streams(Breach::Short) };
    let some = each_verb(bench, |bench, attempt| Ok(attempt.troubled(bench, &trouble, Holds::All)? == Met::Some))?;
    if some { Ok(()) } else { skip("it speaks with no server") }
}
