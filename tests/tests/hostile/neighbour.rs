//! A machine that runs beside the plugins that misbehave: its guest's heartbeat must not miss.

use std::time::{Duration, Instant};

use fief_tests::Guest;

use crate::room::{LONG, Room, SHORT, expect, wasm};

/// The most between two beats of the guest, which come every 200 ms (docs/PROMISES.md, P6).
const GAP: Duration = Duration::from_secs(1);
/// A machine that has other work may be slower all the while: so much slower than without the plugin is allowed.
const SLOWER: u32 = 3;

/// (example of tests/hostile, limits, words on stderr)
const FAMILIES: &[(&str, &str, &str)] = &[
    ("spin", SHORT, "it spent its processor time"),
    ("sleep", SHORT, "it ran past its deadline"),
    ("memory", LONG, "it wanted more memory than its limit"),
    ("recursion", SHORT, "it ran out of stack"),
    ("long_answer", LONG, "it moved more bytes in one call than its limit"),
    ("meddle", SHORT, "it changed something in a call that only asks"),
];

/// Listens to the heart for as long as `goes_on` says, and gives the longest time between two beats.
fn longest_gap(guest: &Guest<'_>, place: &mut usize, mut goes_on: impl FnMut() -> bool) -> Duration {
    let mut longest = Duration::ZERO;
    let mut last = Instant::now();
    while goes_on() {
        *place = guest.says_after(*place, "fief-guest: beat ").0;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    longest
}

#[test]
fn the_guest_of_a_running_domain_does_not_notice_a_hostile_plugin() {
    let id = |example: &str| format!("hostile-{}", example.replace('_', "-"));
    let ids: Vec<(String, &str)> = FAMILIES.iter().map(|(example, limits, _)| (id(example), *limits)).collect();
    let named: Vec<(&str, &str)> = ids.iter().map(|(id, limits)| (id.as_str(), *limits)).collect();
    let room = Room::new(&named);
    for (example, _, _) in FAMILIES {
        room.install(&wasm(example)).expect_code(0);
        room.run(&["pool", "create", &id(example), "--kind", &id(example)]).expect_code(0);
    }
    room.run(&["volume", "create", "good/heart", "--size", "64MiB"]).expect_code(0);
    let guest = room.host.run_guest("neighbour", &["--disk", "good/heart"], "fief.mode=count");
    let mut place = guest.says_after(0, "fief-guest: beat ").0;

    let until = Instant::now() + Duration::from_secs(3);
    let quiet = longest_gap(&guest, &mut place, || Instant::now() < until);
    for (example, _, words) in FAMILIES {
        let gap = std::thread::scope(|scope| {
            let pool = id(example);
            let room = &room;
            let strike = scope.spawn(move || room.run(&["volume", "list", &pool]));
            let gap = longest_gap(&guest, &mut place, || !strike.is_finished());
            expect(example, strike.join().unwrap(), 7, words);
            gap
        });
        assert!(gap <= GAP.max(quiet * SLOWER), "{example}: the heart stood still for {gap:?}; without it {quiet:?}");
    }
    assert_eq!(room.host.state("neighbour"), "running");
    drop(guest);
    room.run(&["stop", "neighbour"]).expect_code(0);
    room.run(&["delete", "neighbour", "--volumes", "--yes"]).expect_code(0);
}
