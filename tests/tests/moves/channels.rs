//! Memory that goes over by several connections: all of them are there, none of them is left, an older host gets one; and one
//! that is lost, that never comes or that is too many ends the move, and the next one works.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fief_tests::command::{self, Said, Started};
use fief_tests::pair::{At, Net, PORT, Side};
use fief_tests::{eventually, fault, invariants};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::bench::{Bench, Domain, How, NAME, PATIENCE, Storage, one_life};
use super::points::signal;

const CHANNELS: &[&str] = &["--set", "channels=4"];
/// As many as there may be.
const MOST: &[&str] = &["--set", "channels=16"];
const OTHER: i32 = 1;
const BLOCKED: i32 = 6;
const UNREACHABLE: i32 = 8;
/// Slow enough that the memory of a witness takes a second or two.
const SLOW: &str = "8mbit";

/// More than anything says to another host but memory, in bytes.
const MEMORY: u64 = 64 << 10;
/// For a move to end of which a connection was lost.
const SOON: Duration = Duration::from_secs(10);

/// Connections from a host to the other one's `fief serve`: the port here, and the bytes that were sent.
fn connections(bench: &Bench, from: Side) -> Vec<(u16, u64)> {
    let show = format!("ss -HtinO state established ( dport = {PORT} )");
    let said = bench.pair[from].namespace().run(&show).expect_code(0);
    let read = |line: &str| {
        let port = line.split_whitespace().nth(2)?.rsplit(':').next()?.parse().ok()?;
        let sent = line.split_whitespace().find_map(|word| word.strip_prefix("bytes_sent:"));
        Some((port, sent.map_or(0, |sent| sent.parse().unwrap())))
    };
    said.stdout.lines().filter_map(read).collect()
}

/// The port of one by which memory goes, once so many bytes of it have.
#[track_caller]
fn busy(bench: &Bench, from: Side, bytes: u64) -> u16 {
    eventually("memory goes over", PATIENCE, || {
        let most = connections(bench, from).into_iter().max_by_key(|(_, sent)| *sent);
        most.filter(|(_, sent)| *sent >= bytes).map(|(port, _)| port)
    })
}

/// The most that there were at a time until the command ended.
fn most(bench: &Bench, command: &mut Started) -> usize {
    let (mut most, begun) = (0, Instant::now());
    while !command.is_over() && begun.elapsed() < PATIENCE {
        most = most.max(connections(bench, Side::A).len());
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

fn running(bench: &Bench, environment: &[(String, String)]) -> Domain {
    let mut domain = bench.running(How::Live, Storage::Nfs("native"), environment);
    domain.options = CHANNELS;
    domain
}

/// Without anybody's help, after a move from there that came to nothing.
#[track_caller]
fn goes_on(bench: &mut Bench, domain: &mut Domain, side: Side) {
    let there = invariants::comes_to(&bench.pair, NAME, |_, state| state == "running");
    assert_eq!(there.0, side);
    bench.goes_on(domain);
    one_life(domain);
    nothing_is_left(bench);
    bench.is_sound();
}

#[track_caller]
fn says(said: Said, code: i32, words: &str) {
    let said = said.expect_code(code);
    assert!(said.stderr.contains(words), "{words:?} is not in\n{}", said.stderr);
}

#[test]
fn memory_goes_by_as_many_connections_as_are_asked_for_and_by_one_to_an_older_host() {
    let mut bench = Bench::new();
    let mut domain = running(&bench, &[]);
    domain.options = MOST;
    // The channels, what is not memory, and what the hosts say to each other.
    for (speaks, least, at_most) in [("2", 18, 21), ("1", 2, 4)] {
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
    let reached = bench.pair.a().root().with_extension("reached");
    // Before anything went by it, and while QEMU makes the others.
    let mut domain = running(&bench, &fault::armed("channel.given:fail:3", &reached));
    let said = bench.sets_out(&mut domain, Side::B, &[]).ends(PATIENCE);
    assert!(reached.exists(), "{}", said.stderr);
    assert!(said.took < SOON, "{:?}", said.took);
    says(said, OTHER, "channel.given");
    goes_on(&mut bench, &mut domain, Side::A);
    for bytes in [MEMORY, 4 * MEMORY] {
        let slow = bench.pair.wires().slow(Net::Peers, At::Host(Side::B), "2mbit");
        let command = bench.sets_out(&mut domain, Side::B, &[]);
        let port = busy(&bench, Side::A, bytes);
        let cut = Instant::now();
        bench.pair.a().namespace().run(&format!("ss --kill state established ( sport = {port} )")).expect_code(0);
        let said = command.ends(PATIENCE);
        assert!(cut.elapsed() < SOON, "{:?}\n{}", cut.elapsed(), said.stderr);
        drop(slow);
        says(said, UNREACHABLE, "the way to the peer hostb broke");
        goes_on(&mut bench, &mut domain, Side::A);
    }
    // And it can go all the same.
    bench.moves(&mut domain, Side::B);
    one_life(&mut domain);
    bench.ends(domain, Side::B);
    std::fs::remove_file(&reached).unwrap();
}

/// The other host has it, and does not hand it on.
#[test]
fn one_that_never_comes_ends_the_move_and_the_guest_goes_on() {
    let mut bench = Bench::new();
    let mut domain = running(&bench, &[]);
    let reached = bench.pair.b().root().with_extension("reached");
    bench.pair.serves_with(Side::B, &fault::armed("channel.came:hang:4", &reached));
    let said = bench.sets_out(&mut domain, Side::B, &[]).ends(PATIENCE);
    assert!(reached.exists(), "{}", said.stderr);
    says(said, BLOCKED, "of 5 connections for memory, 1 did not come");
    std::fs::remove_file(&reached).unwrap();
    bench.pair.serves(Side::B);
    goes_on(&mut bench, &mut domain, Side::A);
    bench.moves(&mut domain, Side::B);
    bench.ends(domain, Side::B);
}

/// What passes a point that kills it, while QEMU makes its connections and while the last of the guest goes; and one that is
/// killed while memory goes over, after so many bytes of it.
const KILLED: [(&str, u64); 6] = [
    ("channel.given:kill:1", 0),
    ("channel.given:kill:3", 0),
    ("", MEMORY),
    ("", 4 * MEMORY),
    ("hand.switching:kill", 0),
    ("hand.switched:kill", 0),
];

/// The ends that QEMU has are its own to keep: none of them is closed, and whoever comes next has it give up.
#[test]
fn a_supervisor_that_is_killed_meanwhile_leaves_a_guest_that_goes_on_and_can_move() {
    let mut bench = Bench::new();
    let reached = bench.pair.a().root().with_extension("reached");
    let mut domain = running(&bench, &fault::armed(KILLED[0].0, &reached));
    for (number, (point, bytes)) in KILLED.into_iter().enumerate() {
        let slow = bench.pair.wires().slow(Net::Peers, At::Host(Side::B), if bytes > 0 { "2mbit" } else { SLOW });
        let supervisor = bench.pair.a().supervisor(NAME);
        let command = bench.sets_out(&mut domain, Side::B, &[]);
        if bytes > 0 {
            busy(&bench, Side::A, bytes);
            signal(supervisor, Signal::KILL);
        }
        let said = command.ends(PATIENCE);
        assert_ne!(said.code, Some(0), "{point}:\n{}", said.stdout);
        assert_eq!(reached.exists(), bytes == 0, "{point}: {}", said.stderr);
        drop(slow);
        let _ = std::fs::remove_file(&reached);
        // Whoever comes next may be the next one that is killed.
        let next = KILLED.get(number + 1).map_or("", |(point, _)| point);
        let armed = fault::armed(next, &reached);
        let mut recover = bench.pair.a().command(&["recover", NAME]);
        command::run(recover.envs(armed.into_iter().filter(|_| !next.is_empty())), PATIENCE).expect_code(0);
        assert_ne!(bench.pair.a().supervisor(NAME), supervisor);
        goes_on(&mut bench, &mut domain, Side::A);
    }
    bench.moves(&mut domain, Side::B);
    one_life(&mut domain);
    nothing_is_left(&bench);
    bench.ends(domain, Side::B);
}

/// The attempt to move the domain away that a host made last.
fn attempt(bench: &Bench, from: Side) -> Value {
    let folder = std::fs::read_dir(bench.pair[from].root().join("handovers")).unwrap();
    let journals =
        folder.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
    let journals: Vec<Value> =
        journals.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect();
    let [journal] = &journals[..] else { panic!("one domain moves, and there are {} journals", journals.len()) };
    journal["body"]["standing"]["last"]["attempt"].clone()
}

/// What a host whose supervisor waits for memory says to one who has a stream, and says so.
#[track_caller]
fn asks(bench: &Bench, at: Side, words: &str) -> Vec<u8> {
    let socket = bench.pair[at].root().join("domains").join(NAME).join("channels.sock");
    let mut stream = eventually("memory is awaited", PATIENCE, || UnixStream::connect(&socket).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(words.as_bytes()).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    heard
}

/// What a ticket of an earlier attempt opened is none of this one's; one of this attempt that is too many ends it.
#[test]
fn one_of_another_attempt_is_nobodys_and_one_too_many_ends_the_move() {
    let mut bench = Bench::new();
    let mut domain = running(&bench, &[]);
    let slow = |bench: &Bench, to| bench.pair.wires().slow(Net::Peers, At::Host(to), "2mbit");
    let slows = slow(&bench, Side::B);
    let command = bench.sets_out(&mut domain, Side::B, &[]);
    busy(&bench, Side::A, MEMORY);
    let mut old = attempt(&bench, Side::A);
    old["number"] = (old["number"].as_u64().unwrap() - 1).into();
    for number in [0, 1, 4] {
        let asked = json!({ "attempt": old, "channel": { "number": number, "of": 4 } });
        assert_eq!(asks(&bench, Side::B, &format!("{asked}\n")), b"");
    }
    assert_eq!(asks(&bench, Side::B, "{}\n"), b"");
    drop(slows);
    command.ends(PATIENCE).expect_code(0);
    bench.follow(&mut domain, Side::B);
    goes_on(&mut bench, &mut domain, Side::B);

    let slows = slow(&bench, Side::A);
    let command = bench.sets_out(&mut domain, Side::A, &[]);
    busy(&bench, Side::B, MEMORY);
    let asked = json!({ "attempt": attempt(&bench, Side::B), "channel": { "number": 5, "of": 4 } });
    assert_eq!(asks(&bench, Side::A, &format!("{asked}\n")), b"");
    let said = command.ends(PATIENCE);
    drop(slows);
    says(said, BLOCKED, "one says that it is number 5");
    goes_on(&mut bench, &mut domain, Side::B);
    bench.moves(&mut domain, Side::A);
    bench.ends(domain, Side::A);
}

/// Bytes that a host has sent to others.
fn went_out(bench: &Bench, from: Side) -> u64 {
    let show = format!("ip -json -statistics link show dev {}", Net::Peers.link());
    let said = bench.pair[from].namespace().run(&show).expect_code(0).json();
    said[0]["stats64"]["tx"]["bytes"].as_u64().unwrap()
}

#[test]
fn a_limit_holds_for_all_of_them_together() {
    // In bytes a second.
    const LIMIT: u64 = 250_000;
    let mut bench = Bench::new();
    let mut domain = running(&bench, &[]);
    domain.options = &["--set", "channels=4", "--bandwidth", "2Mbit", "-o", "json"];
    let before = went_out(&bench, Side::A);
    let said = bench.sets_out(&mut domain, Side::B, &[]).ends(PATIENCE).expect_code(0);
    let went = went_out(&bench, Side::A) - before;
    let outcome = &said.json()["item"]["outcome"];
    let (took, transferred) = (outcome["total-ms"].as_u64().unwrap(), outcome["transferred"].as_u64().unwrap());
    eprintln!("{transferred} bytes of the guest, {went} in all, in {took} ms");
    // Several would send larger pieces than may go in the time that QEMU counts by. The last round has no limit.
    let most = LIMIT * 3 / 2 * took / 1_000 + LIMIT;
    assert!(transferred > 3 * LIMIT, "so little tells nothing: {transferred}");
    assert!(went < most, "{went} bytes in {took} ms, where {most} may be");
    bench.follow(&mut domain, Side::B);
    goes_on(&mut bench, &mut domain, Side::B);
    bench.ends(domain, Side::B);
}
