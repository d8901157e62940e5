//! What a peer says about domains that move, in any order, to a host in any state: lines, of which each is a message with a
//! letter before it for who says it (`a`, `b`), or a letter for something that happens to the host itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

#[allow(dead_code)]
#[path = "../../../host/src/migration"]
mod migration {
    pub mod handover;
    pub mod message;
    pub mod variables;
}

use migration::handover::{Action, Event, Handover, Holding, Memory, Move, Output, Peer, Phase, Standing, Step};
use migration::message::Message;

fuzz_target!(|bytes: &[u8]| {
    let mut host = Handover::new(if bytes.first() == Some(&b'o') { Standing::FIRST } else { Standing::FOREIGN });
    for line in bytes.split(|byte| *byte == b'\n').skip(1) {
        let Some((&who, rest)) = line.split_first() else { continue };
        let (event, taken) = match who {
            b'a' | b'b' => {
                let Ok(message) = Message::decode(1, rest) else { continue };
                let again = message.encode(1).expect("what was taken can be said");
                assert_eq!(Message::decode(1, &again).as_ref(), Ok(&message));
                let from = Peer(Uuid::from_u128(who.into()));
                (Event::Heard { from, word: message.word().1 }, false)
            }
            _ => match happens(&host, who) {
                Some(event) => (event, matches!(event, Event::FenceTaken { .. })),
                None => {
                    check(&host, &Handover::restarted(host.standing), false, false);
                    host = Handover::restarted(host.standing).next;
                    continue;
                }
            },
        };
        let step = host.step(event);
        check(&host, &step, taken, matches!(event, Event::Claim { .. }));
        host = step.next;
    }
});

/// None: the host starts anew.
fn happens(host: &Handover, letter: u8) -> Option<Event> {
    let (attempt, generation) = match (host.phase, host.standing.last) {
        (Phase::Handing(Move { attempt, .. }, _), _) => (attempt, host.standing.generation),
        (Phase::Taking(Move { attempt, .. }, _), _) => (attempt, attempt.handed_over()),
        (Phase::Idle | Phase::Settling { .. } | Phase::Held, last) => (
            last.map_or(migration::handover::Attempt { generation: 1, number: 1 }, |on| on.attempt),
            host.standing.generation,
        ),
    };
    Some(match letter {
        b'B' => Event::Begin { to: Peer(Uuid::from_u128(b'a'.into())) },
        b'X' => Event::Cancel,
        b'C' => Event::Claim { seen: generation },
        b'S' => Event::Settle,
        b'T' => Event::Tick,
        b'q' => Event::Silence,
        b't' => Event::Transferred(attempt),
        b'f' => Event::TransferFailed(attempt),
        b'c' => Event::Closed(attempt),
        b'r' => Event::Ready(attempt),
        b'R' => Event::Received(attempt),
        b'F' => Event::StageFailed(attempt),
        b'1' => Event::FenceTaken { generation },
        b'2' => Event::FenceHeld { generation },
        b'3' => Event::FenceFailed { generation },
        _ => return None,
    })
}

fn check(before: &Handover, step: &Step, taken: bool, claimed: bool) {
    let (old, new) = (before.standing, step.next.standing);
    assert!(new.generation >= old.generation && new.number >= old.number && new.refused >= old.refused);
    let mut recorded = old;
    for output in &step.outputs {
        match output {
            Output::Record(standing) => recorded = *standing,
            Output::Do(Action::Run(memory)) => {
                assert!(taken && recorded.holding == Holding::Owned);
                assert!(*memory == Memory::Kept || old.holding != Holding::Owned);
            }
            Output::Do(Action::TakeFence { force, .. }) => assert!(!force || recorded.holding == Holding::Owned),
            Output::Do(Action::Forget) => assert_eq!(recorded.holding, Holding::Gone),
            Output::Do(_) | Output::Send(..) | Output::Deny(_) => {}
        }
    }
    assert_eq!(recorded, new);
    let became = new.holding == Holding::Owned && old.holding != Holding::Owned;
    assert!(!became || taken || claimed || old.holding == Holding::Ceded);
}
