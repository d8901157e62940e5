//! At each fault point of a move, on each side: the process that is there dies, fails or stops; or it stops while another
//! is killed, or the wire is cut, or the operator gives up; and then it goes on, too late.

use std::fs;
use std::time::{Duration, Instant};

use fief_tests::pair::{At, Net, PORT, Side};
use fief_tests::random::Random;
use fief_tests::trouble::{resets, still};
use fief_tests::{eventually, fault};
use rustix::process::{Pid, Signal, kill_process};

use super::bench::{Bench, How, PATIENCE, Storage, each};

/// How the names of points begin that lie on the way of a move.
const OF_MOVES: [&str; 4] = ["handover.", "hand.", "take.", "arrive."];
/// The same of those that only volumes pass which go along.
const OF_COPIES: [&str; 3] = ["hand.copied", "take.copied", "arrive."];
/// The same of a guest that goes on before its memory is there.
const OF_FETCHES: [&str; 2] = ["hand.following", "take.arrived"];
/// As long as the wire is cut, or somebody stands still: past what a request between hosts may take.
const WHILE: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Command,
    Supervisor(Side),
    Hypervisor(Side),
    Serve(Side),
    /// Of the strategy, and of a served disk.
    Sandboxes(Side),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Dies,
    Fails,
    /// It stands still for a while.
    Stops,
    Kills(Who),
    /// Somebody else stands still for a while.
    Stills(Who),
    Parts,
    Silences(Side),
    Resets,
    Unplugs(Side),
    Cancels,
}

impl Blow {
    fn all() -> Vec<Blow> {
        let both = |make: fn(Side) -> Who| Side::BOTH.map(make);
        let processes = [both(Who::Supervisor), both(Who::Hypervisor), both(Who::Serve), both(Who::Sandboxes)].concat();
        let mut all = vec![Blow::Dies, Blow::Fails, Blow::Stops, Blow::Parts, Blow::Resets, Blow::Cancels];
        all.extend(Side::BOTH.map(Blow::Silences));
        all.extend(Side::BOTH.map(Blow::Unplugs));
        all.extend(processes.iter().copied().map(Blow::Kills));
        all.push(Blow::Kills(Who::Command));
        all.extend(processes.into_iter().map(Blow::Stills));
        all
    }

    /// What the process does at the point itself.
    const fn how(self) -> &'static str {
        match self {
            Blow::Dies => "kill",
            Blow::Fails => "fail",
            Blow::Stops
            | Blow::Kills(_)
            | Blow::Stills(_)
            | Blow::Parts
            | Blow::Silences(_)
            | Blow::Resets
            | Blow::Unplugs(_)
            | Blow::Cancels => "stop",
        }
    }
}

pub fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process(process, signal);
    }
}

/// None where it has none at that point.
pub fn processes(bench: &Bench, who: Who, command: u32) -> Vec<u32> {
    let of = |side: Side, part: &str| {
        let host = &bench.pair[side];
        let near = [host.supervisor("near"), host.hypervisor("near")];
        host.processes(part).into_iter().filter(|process| !near.contains(process)).collect::<Vec<u32>>()
    };
    match who {
        Who::Command => vec![command],
        Who::Supervisor(side) => of(side, "supervise"),
        Who::Hypervisor(side) => of(side, "qemu-system"),
        Who::Serve(side) => vec![bench.pair.serving(side).pid()],
        Who::Sandboxes(side) => of(side, "sandbox"),
    }
}

#[derive(Debug, Clone)]
struct Case {
    point: String,
    /// Whose processes pass it.
    side: Side,
    blow: Blow,
    how: How,
    storage: Storage,
}

impl Case {
    fn name(&self) -> String {
        let Case { point, side, blow, how, storage } = self;
        format!("{point} on {} {blow:?}, {how:?} {storage:?}", side.name())
    }
}

/// Whether the point was passed at all.
fn cut(bench: &mut Bench, case: &Case) -> bool {
    let reached = bench.pair[case.side].root().with_extension("reached");
    let _ = fs::remove_file(&reached);
    let armed = fault::armed(&format!("{}:{}", case.point, case.blow.how()), &reached);
    let of = |side| if case.side == side { &armed[..] } else { &[] };
    bench.pair.serves_with(Side::B, of(Side::B));
    let mut domain = bench.running(case.how, case.storage, of(Side::A));
    let mut command = bench.sets_out(&mut domain, Side::B, of(Side::A));
    let begun = Instant::now();
    while !reached.exists() && !command.is_over() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    let passed = reached.exists();
    if passed {
        let pid = || fs::read_to_string(&reached).ok()?.split_whitespace().nth(1)?.parse::<u32>().ok();
        let there = eventually("who has passed it is known", PATIENCE, pid);
        strike(bench, case.blow, command.pid());
        signal(there, Signal::CONT);
    }
    let said = command.ends(PATIENCE);
    eprintln!("exit code {:?}: {}{}", said.code, said.stdout, said.stderr);
    let side = bench.heals(&mut domain);
    if !passed {
        assert_eq!(said.code, Some(0), "nothing was in its way:\n{}", said.stderr);
    }
    bench.again(&mut domain, side);
    bench.ends(domain, Side::B);
    let _ = fs::remove_file(&reached);
    passed
}

fn strike(bench: &Bench, blow: Blow, command: u32) {
    let wires = bench.pair.wires();
    let lasts = || std::thread::sleep(WHILE);
    let (a, b) = (At::Host(Side::A), At::Host(Side::B));
    match blow {
        Blow::Dies | Blow::Fails => {}
        Blow::Stops => lasts(),
        Blow::Kills(who) => {
            processes(bench, who, command).into_iter().for_each(|process| signal(process, Signal::KILL));
        }
        Blow::Stills(who) => {
            let troubles: Vec<_> = processes(bench, who, command).into_iter().map(still).collect();
            lasts();
            drop(troubles);
        }
        Blow::Parts => {
            let _trouble = wires.part(Net::Peers, a, b);
            lasts();
        }
        Blow::Silences(side) => {
            let _trouble = wires.silence(Net::Peers, At::Host(side), At::Host(side.other()));
            lasts();
        }
        Blow::Resets => resets(bench.pair.a().namespace(), PORT),
        Blow::Unplugs(side) => {
            let _trouble = wires.unplug(Net::Peers, At::Host(side));
            lasts();
        }
        Blow::Cancels => signal(command, Signal::INT),
    }
}

/// The domain goes from A to B: what only the source passes, B would pass on the way back, when nobody strikes any more.
fn passes(point: &str, side: Side) -> bool {
    let source = ["hand.", "handover.cede.", "handover.gone."].iter().any(|of| point.starts_with(of));
    let target = ["take.", "arrive.", "handover.own."].iter().any(|of| point.starts_with(of));
    match side {
        Side::A => !target,
        Side::B => !source,
    }
}

/// Every point with every blow, each by one way of moving, another for the next: which, the seed says.
fn cases() -> Vec<(String, Case)> {
    let mut random = Random::from_environment();
    let mut ways: Vec<(How, Storage)> = Storage::SHARED.map(|storage| (How::Live, storage)).to_vec();
    ways.extend(Storage::SHARED.map(|storage| (How::Static, storage)));
    let fetching = Storage::fetching();
    ways.extend(fetching.iter().map(|storage| (How::Fetching, *storage)));
    for storage in [Storage::File, Storage::Mixed] {
        ways.extend([How::Live, How::Static].map(|how| (how, storage)));
    }
    let mut cases = Vec::new();
    let tried = |point: &String| {
        let fetches = OF_FETCHES.contains(&point.as_str());
        OF_MOVES.iter().any(|of| point.starts_with(of)) && !(fetches && fetching.is_empty())
    };
    for point in fault::points().into_iter().filter(tried) {
        for side in Side::BOTH.into_iter().filter(|side| passes(&point, *side)) {
            for blow in Blow::all() {
                let copies = OF_COPIES.iter().any(|of| point.starts_with(of));
                let &(how, storage) = random.one_of(&ways);
                let storage = if copies && !storage.is_copied() { Storage::File } else { storage };
                let how = if point == "take.copied" { How::Static } else { how };
                let fetches = OF_FETCHES.contains(&point.as_str());
                let (how, storage) = match (how, storage.is_copied()) {
                    (_, _) if fetches => (How::Fetching, *random.one_of(&fetching)),
                    (How::Fetching, true) => (How::Live, storage),
                    (how, _) => (how, storage),
                };
                let case = Case { point: point.clone(), side, blow, how, storage };
                cases.push((case.name(), case));
            }
        }
    }
    cases
}

#[test]
fn whatever_happens_at_any_point_one_host_has_the_domain() {
    let gave = each(cases(), |bench, case| (case.point.clone(), cut(bench, &case)));
    // Where all was tried, each point was passed on one side or the other.
    if fault::until().is_none() {
        let passed: Vec<&String> =
            gave.iter().filter(|(_, (_, passed))| *passed).map(|(_, (point, _))| point).collect();
        let missed: Vec<&String> =
            gave.iter().map(|(_, (point, _))| point).filter(|point| !passed.contains(point)).collect();
        assert!(missed.is_empty(), "never passed on the way of a move: {missed:?}");
    }
}
