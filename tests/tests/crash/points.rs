//! The named fault points, each with each way to fail.

use std::process::Stdio;
use std::time::{Duration, Instant};

use fief_tests::cases::Cases;
use fief_tests::random::Random;
use fief_tests::{command, fault, kill};

use super::bench::{Bench, PATIENCE, close};
use super::verbs::{Place, Verb};

/// Points on the way of what this host has not: an uplink (tests/bridge/trial.rs passes them), another host
/// (tests/shared.rs), one to move to (host/src/migration/journal/tests.rs); and those of plugins and policy (plugins.rs).
const ELSEWHERE: &[&str] =
    &["arrive.", "channel.", "uplink.", "fence.broken", "hand.", "handover.", "take.", "kept.", "plugin.", "policy."];
/// More operations than any verb here does.
const PASSES: u32 = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Kill,
    Fail,
}

impl How {
    fn as_str(self) -> &'static str {
        match self {
            How::Kill => "kill",
            How::Fail => "fail",
        }
    }
}

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Reached,
    NotReached,
}

/// One verb, cut off at the `nth` passing of a point.
fn cut(bench: &mut Bench, verb: Verb, point: &str, how: How, nth: u32) -> Came {
    let armed = bench.armed(point, how.as_str(), nth);
    let in_supervisor = verb.place() == Place::Supervisor;
    verb.prepare(bench, if in_supervisor { &armed } else { &[] });
    let before = bench.host.census();
    let mut command = bench.command(verb);
    if !in_supervisor {
        command.envs(armed);
    }
    let said = command::run(&mut command, PATIENCE);
    if !bench.reached().exists() {
        said.expect_code(0);
        bench.clear();
        return Came::NotReached;
    }
    match (how, said.code) {
        (How::Kill, _) => bench.recover(),
        // What a supervisor fails at, the next one may have done; and an undo goes on past an error.
        (How::Fail, Some(0)) => {
            assert!(
                in_supervisor || point.starts_with("gate.") || verb.is_over(bench),
                "{verb:?} succeeded although {point} failed:\n{}",
                said.stderr
            );
            bench.recover();
        }
        (How::Fail, _) => {
            Bench::names_the_cause(&said, point);
            // A move that has changed definitions goes on, and never back.
            let onward = matches!(verb, Verb::NetworkStop | Verb::Delete)
                || ["volume-rename.renamed", "volume-rename.switched"].contains(&point)
                || (verb == Verb::VolumeMove && ["fill.filled", "move.switched", "move.deleted"].contains(&point));
            if !in_supervisor && !point.starts_with("gate.undone") && !onward {
                bench.is_as(&before);
            }
        }
    }
    let _ = std::fs::remove_file(bench.reached());
    bench.repeat_and_clear(verb);
    Came::Reached
}

#[test]
fn every_point_can_be_killed_and_failed() {
    let mut cases = Cases::new(Bench::new);
    let (mut unknown, mut missed) = (Vec::new(), Vec::new());
    for point in fault::points().into_iter().filter(|point| !point.starts_with("gate.") && fault::wanted(point)) {
        let verbs = Verb::that_pass(&point);
        if verbs.is_empty() {
            if !ELSEWHERE.iter().any(|prefix| point.starts_with(prefix)) {
                unknown.push(point);
            }
            continue;
        }
        for &verb in verbs {
            for how in [How::Kill, How::Fail] {
                let name = format!("{verb:?} {point} {}", how.as_str());
                let came = cases.run(&name, |bench| cut(bench, verb, &point, how, 1));
                if came == Some(Came::NotReached) {
                    missed.push(name);
                }
            }
        }
    }
    close(cases);
    assert!(unknown.is_empty(), "no verb is known to pass {unknown:?}: add it to verbs.rs");
    assert!(missed.is_empty(), "never reached on the way of its verb: {missed:?}");
}

/// The points of the gate lie on the way of every operation: each passing is a case, sampled where there is not the
/// time for all.
#[test]
fn every_operation_can_be_cut_off_before_and_after_its_act() {
    let mut random = Random::from_environment();
    let until = fault::until();
    let mut cases = Cases::new(Bench::new);
    let mut all = Vec::new();
    for point in fault::points().into_iter().filter(|point| point.starts_with("gate.") && fault::wanted(point)) {
        for &verb in Verb::that_pass(&point) {
            all.extend([How::Kill, How::Fail].map(|how| (point.clone(), verb, how)));
        }
    }
    random.shuffle(&mut all);
    // The first passing of each is always tried; then the others, for as long as there is time.
    for round in 1..=PASSES {
        all.retain(|(point, verb, how)| {
            if round > 1 && until.is_some_and(|until| Instant::now() > until) {
                return false;
            }
            let name = format!("{verb:?} {point} {} at passing {round}", how.as_str());
            let came = cases.run(&name, |bench| cut(bench, *verb, point, *how, round));
            assert!(round > 1 || came != Some(Came::NotReached), "{name} was never reached");
            came == Some(Came::Reached)
        });
    }
    close(cases);
}

/// A process that stands still is waited for, told of, and may be killed.
#[test]
fn what_hangs_can_be_killed_and_is_told_of_meanwhile() {
    let mut cases = Cases::new(Bench::new);
    for (verb, point) in [
        (Verb::Start, "start.spawned"),
        (Verb::StartServed, "serve.listening"),
        (Verb::StartServed, "serve.started"),
        (Verb::StartServed, "serve.attached"),
        (Verb::Save, "save.paused"),
        (Verb::NetworkStart, "network-start.done"),
    ]
    .into_iter()
    .filter(|(_, point)| fault::wanted(point))
    {
        cases.run(&format!("{verb:?} {point} hang"), |bench| {
            let armed = bench.armed(point, "hang", 1);
            let in_supervisor = verb.place() == Place::Supervisor;
            verb.prepare(bench, if in_supervisor { &armed } else { &[] });
            let mut command = bench.command(verb);
            command
                .envs(armed.into_iter().filter(|_| !in_supervisor))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            bench.wait_reached();
            let hanging = match verb {
                Verb::NetworkStart => child.id(),
                _ => bench.host.supervisor("node1"),
            };
            if matches!(verb, Verb::Start | Verb::StartServed) {
                // Somebody works on it, as far as anyone can see.
                let said = bench.host.fief_ends(&["recover", "node1"], 9);
                assert!(said.stderr.contains("another command works"), "{}", said.stderr);
            }
            kill(hanging);
            let until = Instant::now() + Duration::from_secs(60);
            while child.try_wait().unwrap().is_none() {
                assert!(Instant::now() < until, "the command still waits for a process that is dead");
                std::thread::sleep(Duration::from_millis(20));
            }
            bench.recover();
            let _ = std::fs::remove_file(bench.reached());
            bench.repeat_and_clear(verb);
        });
    }
    close(cases);
}
