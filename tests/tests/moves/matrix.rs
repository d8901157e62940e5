//! Each strategy over each kind of storage: to and fro twice, with a guest that runs, one that is paused, and none.

use fief_tests::invariants;
use fief_tests::pair::Side;
use fief_tests::{Host, command};

use super::bench::{Bench, How, NAME, PATIENCE, Storage, each, one_life};

fn ways() -> Vec<(String, (How, Storage))> {
    let mut all = Storage::SHARED.map(|storage| [(How::Live, storage), (How::Static, storage)]).concat();
    for storage in [Storage::File, Storage::Mixed] {
        all.extend([(How::Live, storage), (How::Static, storage)]);
    }
    all.extend(Storage::fetching().into_iter().map(|storage| (How::Fetching, storage)));
    all.into_iter().map(|(how, storage)| (format!("{how:?} {storage:?}"), (how, storage))).collect()
}

#[test]
fn a_running_guest_goes_to_and_fro() {
    each(ways(), |bench, (how, storage)| {
        let mut domain = bench.running(how, storage, &[]);
        for to in [Side::B, Side::A, Side::B] {
            let said = bench.moves(&mut domain, to);
            one_life(&mut domain);
            let pause = domain.witness.pause().unwrap();
            eprintln!("to {}: {} ms silent; {}", to.name(), pause.as_millis(), said.stdout.trim());
            bench.is_sound();
        }
        bench.ends(domain, Side::B);
    });
}

#[test]
fn a_paused_one_stays_paused_and_one_that_is_off_stays_off() {
    each(ways(), |bench, (how, storage)| {
        let mut domain = bench.running(how, storage, &[]);
        bench.pair.a().fief(&["pause", NAME]);
        bench.sets_out(&mut domain, Side::B, &[]).ends(PATIENCE).expect_code(0);
        invariants::comes_to(&bench.pair, NAME, |side, state| (side, state) == (Side::B, "paused"));
        bench.follow(&mut domain, Side::B);
        bench.pair.b().fief(&["resume", NAME]);
        bench.goes_on(&mut domain);
        one_life(&mut domain);
        bench.is_sound();

        bench.pair.b().fief(&["stop", NAME]);
        // As a guest that boots by UEFI leaves it: written here and there.
        let variables: Vec<u8> =
            (0..540_672_u32).map(|at| if at % 40_000 < 900 { (at % 251) as u8 } else { 0xff }).collect();
        let own = |side: &Host| side.root().join("domains").join(NAME).join("nvram");
        std::fs::write(own(bench.pair.b()), &variables).unwrap();
        // It has no memory to move: policy picks who moves the rest.
        domain.witness.may_be_on(bench.pair.a());
        command::run(&mut bench.pair.b().command(&["migrate", NAME, Side::A.name()]), PATIENCE).expect_code(0);
        invariants::comes_to(&bench.pair, NAME, |side, state| (side, state) == (Side::A, "off"));
        assert!(std::fs::read(own(bench.pair.a())).unwrap() == variables, "its UEFI variables are others now");
        bench.follow(&mut domain, Side::A);
        bench.pair.a().fief(&["start", NAME]);
        bench.goes_on(&mut domain);
        bench.ends(domain, Side::A);
    });
}

#[test]
fn a_domain_that_its_strategy_cannot_take_along_whole_stays_where_it_is() {
    let mut bench = Bench::new();
    let mut domain = bench.running(How::Live, Storage::File, &[]);
    let before = bench.pair.census(Side::B);
    let whole = ["migrate", NAME, Side::B.name(), "--strategy", How::Live.strategy(), "--set", "disks=false"];
    bench.pair.a().fief_ends(&whole, 6);
    bench.pair.b().settles_to_but(&before, Some(bench.pair.serving(Side::B).pid()));
    bench.goes_on(&mut domain);
    // It has no choice of how long its guest stands still.
    let choice = ["migrate", NAME, Side::B.name(), "--strategy", How::Static.strategy(), "--downtime", "100ms"];
    let said = bench.pair.a().fief_ends(&choice, 2);
    assert!(said.stderr.contains("--downtime means nothing"), "{}", said.stderr);
    domain.options = &["--downtime", "700ms", "--bandwidth", "800Mbit"];
    for to in [Side::B, Side::A] {
        bench.moves(&mut domain, to);
    }
    one_life(&mut domain);
    bench.ends(domain, Side::A);
}
