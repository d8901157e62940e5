//! A guest that goes on at its target before all of its memory is there: it goes to and fro; and where the way breaks by which
//! its memory follows, it has crashed there, with its disks, and is nowhere else.

use std::fs;

use fief_tests::command;
use fief_tests::pair::{At, Net, Side};
use fief_tests::{eventually, invariants};
use rustix::process::Signal;

use super::bench::{Bench, How, NAME, PATIENCE, Storage, one_life};
use super::points::signal;

fn log(bench: &Bench, side: Side) -> String {
    let path = bench.pair[side].root().join("domains").join(NAME).join("supervisor.log");
    fs::read_to_string(path).unwrap_or_default()
}

/// Slow enough that what a witness has of memory takes some seconds.
const SLOW: &str = "1mbit";
const GOES_ON: &str = "the guest goes on, and fetches the rest of its memory";

#[test]
fn a_guest_goes_on_while_its_memory_follows() {
    let mut bench = Bench::new();
    let mut domain = bench.running(How::Fetching, Storage::Nfs("served"), &[]);
    let said = bench.pair.a().fief(&["migrate", NAME, Side::B.name(), "--plan", "--set", "at-time-out=postcopy"]);
    assert!(!said.stdout.contains("blocker"), "{}", said.stdout);
    for to in [Side::B, Side::A, Side::B] {
        let slow = bench.pair.wires().slow(Net::Peers, At::Host(to), SLOW);
        let mut command = bench.sets_out(&mut domain, to, &[]);
        eventually("it goes on there", PATIENCE, || log(&bench, to).contains(GOES_ON).then_some(()));
        // Whose it is no more has no say in it, and whose it is waits for the rest.
        let (there, here) = (&bench.pair[to], &bench.pair[to.other()]);
        let claimed = here.fief_ends(&["recover", NAME, "--claim"], 4);
        assert!(claimed.stderr.contains("goes on at the other host"), "{}", claimed.stderr);
        let busy = there.fief_ends(&["pause", NAME], 4);
        assert!(busy.stderr.contains("sent the rest of its memory"), "{}", busy.stderr);
        // Its memory is not all there, and it writes.
        domain.witness.goes_on(2);
        assert!(!command.is_over(), "all of it was there before it wrote");
        assert_eq!(there.state(NAME), "running");
        let said = command.ends(PATIENCE).expect_code(0);
        drop(slow);
        let pause = domain.witness.pause().unwrap();
        eprintln!("to {}: {} ms silent; {}", to.name(), pause.as_millis(), said.stdout.trim());
        invariants::comes_to(&bench.pair, NAME, |side, state| side == to && state == "running");
        bench.goes_on(&mut domain);
        one_life(&mut domain);
        bench.is_sound();
    }
    bench.ends(domain, Side::B);
}

#[test]
fn a_guest_whose_memory_does_not_follow_has_crashed_there() {
    let mut bench = Bench::new();
    for lost in ["the way", "the source's supervisor", "the source's hypervisor", "the target's supervisor"] {
        let mut domain = bench.running(How::Fetching, Storage::Nfs("served"), &[]);
        let source = (bench.pair.a().supervisor(NAME), bench.pair.a().hypervisor(NAME));
        let slow = bench.pair.wires().slow(Net::Peers, At::Host(Side::B), SLOW);
        let command = bench.sets_out(&mut domain, Side::B, &[]);
        eventually("it goes on there", PATIENCE, || log(&bench, Side::B).contains(GOES_ON).then_some(()));
        match lost {
            "the way" => bench.pair.stops_serving(Side::B),
            "the source's supervisor" => signal(source.0, Signal::KILL),
            "the source's hypervisor" => signal(source.1, Signal::KILL),
            _ => signal(bench.pair.b().supervisor(NAME), Signal::KILL),
        }
        let said = command.ends(PATIENCE);
        drop(slow);
        eprintln!("{lost}: exit code {:?}: {}{}", said.code, said.stdout, said.stderr);
        match lost {
            // The guest fetches on: no supervisor is needed for it.
            "the target's supervisor" => assert_eq!(said.code, Some(0), "{}", said.stderr),
            "the source's supervisor" => assert_ne!(said.code, Some(0)),
            _ => {
                assert_eq!(said.code, Some(1), "{}", said.stderr);
                assert!(said.stderr.contains("its guest's memory is lost"), "{}", said.stderr);
            }
        }
        let side = bench.heals(&mut domain);
        assert_eq!(side, Side::B, "{lost}: it is the target's");
        bench.ends(domain, Side::B);
    }
}

#[test]
fn a_way_that_swallows_memory_is_noticed_on_both_sides() {
    let mut bench = Bench::new();
    let mut domain = bench.running(How::Fetching, Storage::Nfs("served"), &[]);
    let slow = bench.pair.wires().slow(Net::Peers, At::Host(Side::B), SLOW);
    let command = bench.sets_out(&mut domain, Side::B, &[]);
    eventually("it goes on there", PATIENCE, || log(&bench, Side::B).contains(GOES_ON).then_some(()));
    drop(slow);
    let swallowed = bench.pair.wires().part(Net::Peers, At::Host(Side::A), At::Host(Side::B));
    let said = command.ends(PATIENCE);
    assert!(said.code == Some(1) && said.stderr.contains("its guest's memory is lost"), "{}", said.stderr);
    eventually("it is noticed there", PATIENCE, || log(&bench, Side::B).contains("memory is lost").then_some(()));
    drop(swallowed);
    assert_eq!(bench.heals(&mut domain), Side::B);
    bench.ends(domain, Side::B);
}

#[test]
fn a_host_that_cannot_says_so_in_the_plan() {
    let mut bench = Bench::new();
    let domain = bench.running(How::Fetching, Storage::Nfs("served"), &[]);
    let plan = |words: &[&str]| {
        let all = [&["migrate", NAME, Side::B.name(), "--plan", "--set", "at-time-out=postcopy"], words].concat();
        command::run(&mut bench.pair.a().command(&all), PATIENCE)
    };
    assert_eq!(plan(&[]).code, Some(0));
    bench.pair.b().fief(&["plugin", "revoke", "migration-live", "--postcopy"]);
    let said = plan(&[]);
    assert!(
        said.code == Some(6) && said.stdout.contains("fief plugin grant migration-live --postcopy"),
        "{}",
        said.stdout
    );
    bench.pair.b().fief(&["plugin", "grant", "migration-live", "--postcopy"]);
    bench.pair.b().runs_installed_qemu();
    let said = plan(&[]);
    assert!(said.code == Some(6) && said.stdout.contains("post-copy takes 10.0"), "{}", said.stdout);
    bench.ends(domain, Side::A);
}
