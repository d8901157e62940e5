//! Memory that goes over by several connections: all of them are there, none of them is left, one that is lost ends the
//! move, and an older host gets one.

use std::time::{Duration, Instant};

use fief_tests::command::Started;
use fief_tests::pair::{At, Net, PORT, Side};
use fief_tests::{eventually, invariants};

use super::bench::{Bench, Domain, How, NAME, PATIENCE, Storage, one_life};

const CHANNELS: &[&str] = &["--set", "channels=4"];
/// Slow enough that the memory of a witness takes a second or two.
const SLOW: &str = "8mbit";

/// The ports on A of connections to B's `fief serve`.
fn connections(bench: &Bench) -> Vec<u16> {
    let said = bench.pair.a().namespace().run(&format!("ss -Htn state established ( dport = {PORT} )")).expect_code(0);
    let port = |line: &str| line.split_whitespace().nth(2)?.rsplit(':').next()?.parse().ok();
    said.stdout.lines().filter_map(port).collect()
}

/// The most that there were at a time until the command ended.
fn most(bench: &Bench, command: &mut Started) -> usize {
    let (mut most, begun) = (0, Instant::now());
    while !command.is_over() && begun.elapsed() < PATIENCE {
        most = most.max(connections(bench).len());
        std::thread::sleep(Duration::from_millis(10));
    }
    most
}

/// No socket for memory is left of a domain on either host.
#[track_caller]
fn nothing_is_left(bench: &Bench) {
    for side in Side::BOTH {
        let served = bench.pair[side].root().join("domains").join(NAME).join("served");
        let left: Vec<_> =
            std::fs::read_dir(served).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        let of_memory = |name: &&std::ffi::OsString| **name == "memory.sock" || **name == "incoming";
        assert!(!left.iter().any(|name| of_memory(&name)), "{left:?}");
    }
}

fn running(bench: &Bench) -> Domain {
    let mut domain = bench.running(How::Live, Storage::Nfs("native"), &[]);
    domain.options = CHANNELS;
    domain
}

#[test]
fn memory_goes_by_as_many_connections_as_are_asked_for_and_by_one_to_an_older_host() {
    let mut bench = Bench::new();
    let mut domain = running(&bench);
    // Four channels, what is not memory, and what the hosts say to each other.
    for (speaks, least, at_most) in [("2", 6, 9), ("1", 2, 4)] {
        bench.pair.serves_with(Side::B, &[("FIEF_SPEAKS".to_owned(), speaks.to_owned())]);
        let slow = bench.pair.wires().slow(Net::Peers, At::Host(Side::B), SLOW);
        let mut command = bench.sets_out(&mut domain, Side::B, &[]);
        let most = most(&bench, &mut command);
        let said = command.ends(PATIENCE).expect_code(0);
        drop(slow);
        eprintln!("version {speaks}: {most} connections; {}", said.stdout.trim());
        assert!((least..=at_most).contains(&most), "{most} connections with a host that speaks version {speaks}");
        bench.follow(&mut domain, Side::B);
        bench.goes_on(&mut domain);
        nothing_is_left(&bench);
        // The other way round: its supervisor there speaks as it does.
        bench.moves(&mut domain, Side::A);
        one_life(&mut domain);
        nothing_is_left(&bench);
        bench.is_sound();
    }
    bench.pair.serves(Side::B);
    bench.ends(domain, Side::A);
}

#[test]
fn one_of_them_that_is_lost_ends_the_move_and_the_guest_goes_on() {
    let mut bench = Bench::new();
    let mut domain = running(&bench);
    for which in [0, 1, 2] {
        let slow = bench.pair.wires().slow(Net::Peers, At::Host(Side::B), "2mbit");
        let before = connections(&bench);
        let command = bench.sets_out(&mut domain, Side::B, &[]);
        let all = || Some(connections(&bench)).filter(|now| now.len() >= before.len() + 6);
        let mut ports = eventually("all connections are there", PATIENCE, all);
        // The last that were made are those of memory: the hosts spoke before that.
        ports.sort_unstable();
        let port = ports[ports.len() - 1 - which];
        bench.pair.a().namespace().run(&format!("ss --kill state established ( sport = {port} )")).expect_code(0);
        let said = command.ends(PATIENCE);
        drop(slow);
        assert_ne!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
        eprintln!("{}", said.stderr);
        // Without anybody's help.
        let there = invariants::comes_to(&bench.pair, NAME, |_, state| state == "running");
        assert_eq!(there.0, Side::A);
        bench.goes_on(&mut domain);
        one_life(&mut domain);
        nothing_is_left(&bench);
        bench.is_sound();
    }
    // And it can go all the same.
    bench.moves(&mut domain, Side::B);
    one_life(&mut domain);
    bench.ends(domain, Side::B);
}
