//! Wires between two hosts that are slow, cut, half open, or say things late, twice, or not at all.

use std::time::Duration;

use fief_tests::Trouble;
use fief_tests::pair::{At, Net, PORT, Side};
use fief_tests::random::Random;
use fief_tests::relay::{Mood, Way};
use fief_tests::trouble::resets;

use super::bench::{Bench, Domain, How, NAME, PATIENCE, Storage, each};

const A: At = At::Host(Side::A);
const B: At = At::Host(Side::B);
/// Slow enough that the memory of a witness takes seconds.
const SLOW: &str = "4mbit";
const CONFLICT: i32 = 4;

/// Whatever came of it, one host has it; and it can go again.
#[track_caller]
fn comes_right(bench: &mut Bench, mut domain: Domain) {
    let side = bench.heals(&mut domain);
    bench.again(&mut domain, side);
    bench.ends(domain, Side::B);
}

type Cut = fn(&Bench) -> Option<Trouble>;

const CUTS: [(&str, Cut); 7] = [
    ("is let be", |_| None),
    ("is parted", |bench| Some(bench.pair.wires().part(Net::Peers, A, B))),
    ("hears nothing", |bench| Some(bench.pair.wires().silence(Net::Peers, B, A))),
    ("is not heard", |bench| Some(bench.pair.wires().silence(Net::Peers, A, B))),
    ("is isolated", |bench| Some(bench.pair.wires().isolate(A))),
    ("is half open", |bench| {
        let trouble = bench.pair.wires().half_open(Net::Peers, A, B);
        resets(bench.pair.a().namespace(), PORT);
        Some(trouble)
    }),
    ("is reset", |bench| {
        resets(bench.pair.b().namespace(), PORT);
        None
    }),
];

#[test]
fn wires_that_are_slow_or_cut_lose_nothing() {
    let mut random = Random::from_environment();
    let mut cases = Vec::new();
    for (name, cut) in CUTS {
        for how in [How::Live, How::Static] {
            let storage = *random.one_of(&Storage::SHARED);
            cases.push((format!("{name}: {how:?} {storage:?}"), (cut, how, storage)));
        }
    }
    each(cases, |bench, (cut, how, storage)| {
        let mut domain = bench.running(how, storage, &[]);
        let slow = bench.pair.wires().slow(Net::Peers, B, SLOW);
        let command = bench.sets_out(&mut domain, Side::B, &[]);
        std::thread::sleep(Duration::from_millis(1500));
        let trouble = cut(bench);
        std::thread::sleep(Duration::from_secs(3));
        drop((trouble, slow));
        let said = command.ends(PATIENCE);
        eprintln!("exit code {:?}: {}{}", said.code, said.stdout, said.stderr);
        comes_right(bench, domain);
    });
}

#[test]
fn bytes_that_come_late_twice_or_not_at_all_lose_nothing() {
    let mut random = Random::from_environment();
    let far = 1 + random.below(400_000) as u64;
    let moods = [
        (Mood::Late(Duration::from_millis(30)), Way::Both),
        (Mood::Twice, Way::ToServer),
        (Mood::Twice, Way::ToClient),
        (Mood::StallsAfter(far), Way::ToServer),
        // Memory, and no word: both hosts hear each other all the time.
        (Mood::StallsAfter(100_000), Way::ToServer),
        (Mood::StallsAfter(3_000), Way::ToClient),
        (Mood::CutsAfter(1 + far / 100), Way::ToServer),
        (Mood::CutsAfter(far), Way::ToServer),
        (Mood::CutsAfter(4_000), Way::ToClient),
    ];
    let live = |(mood, way)| (mood, way, How::Live, *random.one_of(&Storage::SHARED));
    let mut moves: Vec<_> = moods.into_iter().map(live).collect();
    // A state in a file, and a volume before it.
    for storage in [*random.one_of(&Storage::SHARED), Storage::File] {
        moves.push((Mood::StallsAfter(100_000), Way::ToServer, How::Static, storage));
    }
    let named =
        |(mood, way, how, storage)| (format!("{how:?} {storage:?} {mood:?} {way:?}"), (mood, way, how, storage));
    each(moves.into_iter().map(named).collect(), |bench, (mood, way, how, storage)| {
        let mut domain = bench.running(how, storage, &[]);
        let relay = bench.pair.by_relay(Side::A);
        relay.is(mood, way);
        let said = bench.sets_out(&mut domain, Side::B, &[]).ends(PATIENCE);
        eprintln!("exit code {:?}: {}{}", said.code, said.stdout, said.stderr);
        relay.is(Mood::Honest, Way::Both);
        relay.cuts();
        comes_right(bench, domain);
        bench.pair.directly(Side::A);
    });
}

#[test]
fn a_guest_whose_memory_does_not_arrive_goes_on_as_soon_as_the_move_is_given_up() {
    let storage = *Random::from_environment().one_of(&Storage::SHARED);
    each(vec![(format!("{storage:?}"), ())], |bench, ()| {
        let mut domain = bench.running(How::Live, storage, &[]);
        let relay = bench.pair.by_relay(Side::A);
        relay.is(Mood::StallsAfter(100_000), Way::ToServer);
        let command = bench.sets_out(&mut domain, Side::B, &[]);
        std::thread::sleep(Duration::from_secs(4));
        bench.pair.a().fief(&["migrate", NAME, "--cancel"]);
        // Nobody waits for what the hosts wait for by themselves.
        command.ends(Duration::from_secs(15)).expect_code(CONFLICT);
        domain.witness.goes_on(1);
        relay.is(Mood::Honest, Way::Both);
        comes_right(bench, domain);
        bench.pair.directly(Side::A);
    });
}
