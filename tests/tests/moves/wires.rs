//! Wires between two hosts that are slow, cut, half open, or say things late, twice, or not at all.

use std::time::Duration;

use fief_tests::Trouble;
use fief_tests::pair::{At, Net, PORT, Side};
use fief_tests::random::Random;
use fief_tests::relay::{Mood, Way};
use fief_tests::trouble::resets;

use super::bench::{Bench, Domain, How, PATIENCE, Storage, each};

const A: At = At::Host(Side::A);
const B: At = At::Host(Side::B);
/// Slow enough that the memory of a witness takes seconds.
const SLOW: &str = "4mbit";

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
        (Mood::StallsAfter(3_000), Way::ToClient),
        (Mood::CutsAfter(1 + far / 100), Way::ToServer),
        (Mood::CutsAfter(far), Way::ToServer),
        (Mood::CutsAfter(4_000), Way::ToClient),
    ];
    let case = |(mood, way)| (format!("{mood:?} {way:?}"), (mood, way, *random.one_of(&Storage::SHARED)));
    each(moods.into_iter().map(case).collect(), |bench, (mood, way, storage)| {
        let mut domain = bench.running(How::Live, storage, &[]);
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
