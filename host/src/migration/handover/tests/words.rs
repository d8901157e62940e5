//! Each word in each state that can come about, from the peer and from a stranger, of each attempt.

use std::sync::OnceLock;

use super::super::{
    Action, Attempt, Denial, Event, Handover, Holding, Memory, Output, Peer, Phase, Standing, Step, Word,
};
use super::bounds;
use super::explore::reached;
use super::world::peer;

const STRANGER: Peer = peer(7);

fn attempts() -> impl Iterator<Item = Attempt> {
    (0..5)
        .flat_map(|generation| (0..4).map(move |number| Attempt { generation, number }))
        .chain([Attempt { generation: u64::MAX, number: u64::MAX }])
}

fn words() -> impl Iterator<Item = Word> {
    let of_attempts = attempts().flat_map(|attempt| {
        [
            Word::Prepare(attempt),
            Word::Prepared(attempt),
            Word::Staged(attempt),
            Word::Activate(attempt),
            Word::Activated(attempt),
            Word::Refused(attempt),
            Word::Declined(attempt),
            Word::Cancel(attempt),
        ]
    });
    let owners = [0, 1, 2, 3, 4, u64::MAX].map(|generation| Word::Owner { generation });
    of_attempts.chain([Word::Query]).chain(owners)
}

/// Every state of a host that a search came upon.
fn states() -> &'static [Handover] {
    static STATES: OnceLock<Vec<Handover>> = OnceLock::new();
    STATES.get_or_init(|| {
        let mut states = reached(bounds(true, 2, 1, 1));
        states.extend(reached(bounds(false, 1, 3, 0)));
        states
    })
}

/// Each of them with every word from each of three hosts.
fn each(mut check: impl FnMut(Handover, Peer, Word, &Step)) {
    let mut tried = 0;
    for &state in states() {
        for from in [peer(0), peer(1), STRANGER] {
            for word in words() {
                check(state, from, word, &state.step(Event::Heard { from, word }));
                tried += 1;
            }
        }
    }
    eprintln!("{tried} words in their states");
}

fn records(step: &Step) -> impl Iterator<Item = Standing> {
    step.outputs.iter().filter_map(|output| match output {
        Output::Record(standing) => Some(*standing),
        Output::Send(..) | Output::Do(_) | Output::Deny(_) => None,
    })
}

#[test]
fn no_word_alone_lets_a_guest_run_or_takes_fences_by_force() {
    each(|state, from, word, step| {
        let told = format!("{word:?} from {from:?} in {state:?} gives {step:?}");
        let runs = step.outputs.iter().any(|output| matches!(output, Output::Do(Action::Run(_))));
        let forces =
            step.outputs.iter().any(|output| matches!(output, Output::Do(Action::TakeFence { force: true, .. })));
        assert!(!runs && !forces, "{told}");
        let owns = step.next.standing.holding == Holding::Owned;
        if owns && state.standing.holding != Holding::Owned {
            let ceded = state.standing.last.filter(|_| state.standing.holding == Holding::Ceded);
            let refused = ceded.map(|on| (on.peer, Word::Refused(on.attempt)));
            assert_eq!(refused, Some((from, word)), "{told}");
        }
    });
}

#[test]
fn what_is_ceded_hears_its_new_owner_alone_and_of_that_attempt_alone() {
    each(|state, from, word, step| {
        let Some(on) = state.standing.last.filter(|_| state.standing.holding == Holding::Ceded) else { return };
        let counts = match word {
            Word::Activated(attempt) | Word::Refused(attempt) => attempt == on.attempt,
            Word::Owner { generation } => generation >= state.standing.generation,
            Word::Prepare(_) | Word::Prepared(_) | Word::Staged(_) | Word::Activate(_) => false,
            Word::Declined(_) | Word::Cancel(_) | Word::Query => false,
        };
        let changed = step.next.standing.holding != Holding::Ceded;
        assert_eq!(changed, counts && from == on.peer, "{word:?} from {from:?} in {state:?}");
    });
}

#[test]
fn nothing_that_is_on_disk_is_ever_taken_back() {
    each(|state, _, word, step| {
        for standing in records(step).chain([step.next.standing]) {
            let old = state.standing;
            assert!(standing.generation >= old.generation, "{word:?} in {state:?}");
            assert!(standing.number >= old.number && standing.refused >= old.refused, "{word:?} in {state:?}");
        }
        // What is in memory alone is no more than what is on disk.
        assert!(step.next.standing == state.standing || records(step).any(|standing| standing == step.next.standing));
    });
}

/// The search leans on this (happens.rs).
#[test]
fn of_all_that_follows_from_one_event_at_most_one_thing_touches_what_both_hosts_see() {
    let touches = |step: &Step| {
        let seen = |output: &&Output| {
            matches!(
                output,
                Output::Do(Action::TakeFence { .. } | Action::LetFenceGo | Action::Close(_) | Action::Run(_))
            )
        };
        step.outputs.iter().filter(seen).count()
    };
    each(|state, from, word, step| assert!(touches(step) <= 1, "{word:?} from {from:?} in {state:?}"));
    for state in states() {
        let attempt = attempts().find(|attempt| state.standing.last.is_some_and(|on| on.attempt == *attempt));
        let of_attempt = attempt.into_iter().flat_map(|attempt| {
            [
                Event::Transferred(attempt),
                Event::TransferFailed(attempt),
                Event::Closed(attempt),
                Event::CloseFailed(attempt),
                Event::Ready(attempt),
                Event::Received(attempt),
                Event::StageFailed(attempt),
            ]
        });
        let of_fences = (0..6).flat_map(|generation| {
            [Event::FenceTaken { generation }, Event::FenceHeld { generation }, Event::FenceFailed { generation }]
        });
        let own = [Event::Cancel, Event::Claim { seen: 0 }, Event::Settle, Event::Tick, Event::Silence];
        let begins = Event::Begin { to: STRANGER };
        for event in of_attempt.chain(of_fences).chain(own).chain([begins]) {
            assert!(touches(&state.step(event)) <= 1, "{event:?} in {state:?}");
        }
        assert!(touches(&state.unwritten()) <= 1 && touches(&Handover::restarted(state.standing)) <= 1);
    }
}

#[test]
fn a_stranger_moves_nothing_that_goes_on() {
    each(|state, from, word, step| {
        if from == STRANGER && state.phase != Phase::Idle {
            assert_eq!(step.next.phase, state.phase, "{word:?} in {state:?}");
        }
    });
}

#[test]
fn a_word_that_comes_twice_says_the_same_and_does_nothing_twice() {
    each(|state, from, word, step| {
        let again = step.next.step(Event::Heard { from, word });
        let begins = |step: &Step| {
            step.outputs
                .iter()
                .any(|output| matches!(output, Output::Do(Action::Transfer(_) | Action::Stage(_) | Action::Close(_))))
        };
        assert!(!begins(step) || !begins(&again), "{word:?} in {state:?}");
        if step.outputs.iter().any(|output| matches!(output, Output::Send(_, Word::Refused(_)))) {
            assert!(
                again.outputs.iter().any(|output| matches!(output, Output::Send(_, Word::Refused(_)))),
                "{word:?} in {state:?}"
            );
        }
    });
}

#[test]
fn a_move_can_be_ended_in_every_phase_up_to_the_commit_point_and_in_none_after_it() {
    for state in states() {
        let step = state.step(Event::Cancel);
        let moving = match state.phase {
            Phase::Handing(..) => true,
            Phase::Taking(_, at) => at != super::super::Taking::Activating,
            Phase::Idle | Phase::Settling { .. } | Phase::Held => false,
        };
        assert_eq!(step.outputs.iter().any(|output| matches!(output, Output::Deny(_))), !moving, "{state:?}");
        if moving {
            // An operator's word is no other than that of silence.
            assert_eq!(step, state.step(Event::Silence));
            assert!(!matches!(step.next.phase, Phase::Handing(..) | Phase::Taking(..)));
        }
        assert_eq!(step.next.standing, state.standing);
        if state.standing.holding == Holding::Ceded {
            assert_eq!(step.outputs, [Output::Deny(Denial::Ceded)]);
        }
    }
}

#[test]
fn of_two_operators_one_begins_and_the_other_is_told_why_not() {
    let first = Handover::new(Standing::FIRST).step(Event::Begin { to: peer(1) });
    let second = first.next.step(Event::Begin { to: STRANGER });
    assert_eq!((second.next, second.outputs), (first.next, vec![Output::Deny(Denial::UnderWay)]));
    // And one who begins at the wrong host.
    let elsewhere = Handover::new(Standing::FOREIGN).step(Event::Begin { to: peer(0) });
    assert_eq!(elsewhere.outputs, [Output::Deny(Denial::NotOwner)]);
}

#[test]
fn a_host_that_is_asked_to_take_what_it_owns_declines() {
    for asked in attempts() {
        let step = Handover::new(Standing::FIRST).step(Event::Heard { from: STRANGER, word: Word::Prepare(asked) });
        assert_eq!(step.outputs, [Output::Send(STRANGER, Word::Declined(asked))]);
    }
}

#[test]
fn whoever_holds_its_fences_is_not_talked_out_of_its_domain() {
    let owner = Standing {
        last: Some(super::super::Move { attempt: Attempt { generation: 1, number: 1 }, peer: peer(1) }),
        ..Standing::FIRST
    };
    let newer = Event::Heard { from: peer(1), word: Word::Owner { generation: 9 } };
    let rests = Handover::new(owner);
    assert_eq!(rests.step(newer).next, rests);
    let held = Handover { phase: Phase::Held, ..rests };
    assert_eq!(held.step(newer).next.standing.holding, Holding::Gone);
}

#[test]
fn a_claim_drops_what_memory_is_there_before_it_is_on_disk() {
    let claims = states().iter().map(|state| (state, state.step(Event::Claim { seen: 40 })));
    let mut claimed = 0;
    for (state, step) in claims.filter(|(state, step)| step.next.standing != state.standing) {
        let [Output::Do(Action::DropKept | Action::DropMemory(_)), Output::Record(standing), Output::Do(take)] =
            step.outputs[..]
        else {
            panic!("{state:?} gives {step:?}");
        };
        assert_eq!(standing.generation, 41);
        assert_eq!(take, Action::TakeFence { generation: 41, force: true });
        let taken = step.next.step(Event::FenceTaken { generation: 41 });
        assert_eq!(taken.outputs, [Output::Do(Action::Run(Memory::Kept))]);
        claimed += 1;
    }
    assert!(claimed > 0);
}
