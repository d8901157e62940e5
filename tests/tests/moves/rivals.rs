//! What is refused, what is given up, and who is at it at the same time.

use std::time::Duration;

use fief_tests::command::Started;
use fief_tests::invariants;
use fief_tests::pair::{At, Net, Side};
use fief_tests::random::Random;
use fief_tests::witness::Temper;
use fief_tests::{Witness, command};
use rustix::process::{Pid, Signal, kill_process};

use super::bench::{Bench, How, NAME, PATIENCE, Storage, each};

#[test]
fn what_is_refused_leaves_both_hosts_as_they_were() {
    let mut bench = Bench::new();
    let mut domain = bench.running(How::Live, Storage::Nfs("native"), &[]);
    let before = Side::BOTH.map(|side| bench.pair.census(side));
    let policy = bench.pair.b().root().join("policy.toml");
    let text = std::fs::read_to_string(&policy).unwrap();
    // To nobody, to itself, to one that has not paired.
    for peer in ["hostc", "hosta", "localhost"] {
        bench.pair.a().fief_ends(&["migrate", NAME, peer], 3);
    }
    for changed in [
        text.replace("enabled = true", "enabled = false"),
        text.replace("domains = [\"*\"]", "domains = [\"db-*\"]"),
        text.replace("peer = \"hosta\"", "peer = \"hostc\""),
    ] {
        assert_ne!(changed, text);
        std::fs::write(&policy, changed).unwrap();
        let said = command::run(&mut bench.pair.a().command(&["migrate", NAME, "hostb"]), PATIENCE);
        // Findings, a refusal, or nobody who listens.
        assert!(matches!(said.code, Some(5 | 6 | 8)), "{:?}: {}{}", said.code, said.stdout, said.stderr);
    }
    std::fs::write(&policy, &text).unwrap();
    // The name is another domain's there.
    bench.pair.b().fief(&["create", NAME, "--memory", "32MiB"]);
    bench.pair.a().fief_ends(&["migrate", NAME, "hostb"], 6);
    bench.pair.b().fief(&["delete", NAME, "--yes"]);
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        bench.pair[side].settles_to_but(before, Some(bench.pair.serving(side).pid()));
    }
    bench.goes_on(&mut domain);
    bench.ends(domain, Side::A);
}

#[test]
fn a_move_is_given_up_at_any_time() {
    let mut random = Random::from_environment();
    let mut cases = Vec::new();
    for how in [How::Live, How::Static] {
        for after in [20, 100, 300, 700, 1500, 3000] {
            let storage = *random.one_of(&Storage::SHARED);
            cases.push((format!("{how:?} {storage:?} given up after {after} ms"), (how, storage, after)));
        }
    }
    each(cases, |bench, (how, storage, after)| {
        let mut domain = bench.running(how, storage, &[]);
        let slow = bench.pair.wires().slow(Net::Peers, At::Host(Side::B), "4mbit");
        let command = bench.sets_out(&mut domain, Side::B, &[]);
        std::thread::sleep(Duration::from_millis(after));
        let process = i32::try_from(command.pid()).ok().and_then(Pid::from_raw).unwrap();
        let _ = kill_process(process, Signal::INT);
        let said = command.ends(PATIENCE);
        drop(slow);
        eprintln!("exit code {:?}: {}{}", said.code, said.stdout, said.stderr);
        // Without anybody's help.
        let (side, _) = invariants::comes_to(&bench.pair, NAME, |_, state| state == "running");
        bench.follow(&mut domain, side);
        bench.goes_on(&mut domain);
        bench.is_sound();
        bench.again(&mut domain, side);
        bench.ends(domain, Side::B);
    });
}

#[test]
fn of_two_operators_one_moves_it() {
    let mut bench = Bench::new();
    let mut domain = bench.running(How::Live, Storage::Nfs("served"), &[]);
    let slow = bench.pair.wires().slow(Net::Peers, At::Host(Side::B), "20mbit");
    let rivals = [bench.sets_out(&mut domain, Side::B, &[]), bench.sets_out(&mut domain, Side::B, &[])];
    let said = rivals.map(|rival| rival.ends(PATIENCE));
    drop(slow);
    let won = said.iter().filter(|said| said.code == Some(0)).count();
    assert!(won >= 1, "{said:#?}");
    bench.follow(&mut domain, Side::B);
    bench.goes_on(&mut domain);
    bench.is_sound();
    bench.ends(domain, Side::B);
}

#[test]
fn two_domains_pass_each_other() {
    let mut bench = Bench::new();
    let mut domain = bench.running(How::Live, Storage::Nfs("native"), &[]);
    let image = bench.pair.export().join("db1");
    bench.pair.b().fief(&["volume", "create", "nfs-served/db1", "--size", "1MiB", "--format", "raw"]);
    let temper = Temper::TriesAgain;
    let mut other = Witness::on(bench.pair.b(), "db1", "nfs-served/db1", &image, temper, &[]);
    bench.pair.b().fief(&["start", "db1"]);
    other.goes_on(1);
    other.is_heard_on(bench.pair.a());
    other.may_be_on(bench.pair.a());
    let back = Started::start(&mut bench.pair.b().command(&["migrate", "db1", "hosta"]));
    let there = bench.sets_out(&mut domain, Side::B, &[]);
    for said in [back.ends(PATIENCE), there.ends(PATIENCE)] {
        said.expect_code(0);
    }
    bench.goes_on(&mut domain);
    other.goes_on(1);
    other.is_sound();
    bench.is_sound();
    bench.pair.a().fief(&["stop", "db1"]);
    bench.pair.a().fief(&["delete", "db1", "--yes"]);
    bench.pair.a().fief(&["volume", "delete", "nfs-served/db1", "--yes"]);
    bench.ends(domain, Side::B);
}
