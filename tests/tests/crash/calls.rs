//! System calls that fail, or are the last thing that a process does: sampled with strace(1), which counts the calls of
//! each process by itself, so that "the third" is the third of the command, of its supervisor, of a tool.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fief_tests::cases::Cases;
use fief_tests::random::Random;
use fief_tests::{command, eventually, fault};
use rustix::process::Signal;

use super::bench::{Bench, PATIENCE, close};
use super::verbs::{Place, Verb};

/// A family of calls, the errors that it gives where a disk is broken or full, and about how many a verb makes.
const FAMILIES: &[(&str, &[&str], usize)] = &[
    ("fsync,fdatasync", &["error=EIO", "error=ENOSPC", "signal=KILL"], 8),
    ("rename,renameat,renameat2", &["error=EIO", "error=ENOSPC", "signal=KILL"], 5),
    ("openat", &["error=EIO", "error=ENOSPC", "signal=KILL"], 120),
    ("write,pwrite64,writev", &["error=EIO", "error=ENOSPC", "signal=KILL"], 60),
];

/// What was put in.
struct Injection {
    calls: &'static str,
    what: &'static str,
    nth: usize,
}

impl Injection {
    fn any(random: &mut Random) -> Injection {
        let (calls, whats, most) = FAMILIES[random.below(FAMILIES.len())];
        Injection { calls, what: whats[random.below(whats.len())], nth: 1 + random.below(most) }
    }

    /// `strace` with its words, up to the command or process.
    fn strace(&self, log: &Path) -> Vec<String> {
        let Injection { calls, what, nth } = self;
        let words = ["strace", "--quiet=all", "-I", "2", "-f", "-e", &format!("trace={calls}"), "-e"];
        let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        words.extend([format!("inject={calls}:{what}:when={nth}"), "-o".into(), log.to_string_lossy().into_owned()]);
        words
    }
}

/// Whether strace did it.
fn injected(log: &Path) -> bool {
    let told = std::fs::read_to_string(log).unwrap_or_default();
    told.contains("INJECTED") || told.contains("killed by SIGKILL")
}

fn traced(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("TracerPid:")).is_some_and(|tracer| tracer.trim() != "0")
}

/// Runs the verb with the injection, and gives how it ended and whether there was one.
fn run(bench: &Bench, verb: Verb, injection: &Injection, log: &Path) -> (command::Said, bool) {
    let words = injection.strace(log);
    let mut watching = None;
    let mut inner = bench.command(verb);
    let said = match verb.place() {
        Place::Supervisor => {
            let supervisor = bench.host.supervisor("node1");
            let mut strace = Command::new(&words[0]);
            strace.args(&words[1..]).args(["-p", &supervisor.to_string()]);
            let mut child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // A supervisor that is killed at its first call, a line of its guest's console, takes strace with it at once.
            eventually("strace watches", Duration::from_secs(60), || {
                (traced(supervisor) || child.try_wait().unwrap().is_some()).then_some(())
            });
            watching = Some(child);
            command::run(&mut inner, PATIENCE)
        }
        Place::Command => {
            // -D: strace is the grandchild, so that the command's end is seen as it is.
            let mut outer = bench.host.namespace().command(&words[0]);
            outer.args(&words[1..]).arg("-D").arg(fief_tests::host::fief()).args(verb.words(bench));
            outer.env("FIEF_ROOT", bench.host.root()).env_remove("FIEF_LOG");
            command::run(&mut outer, PATIENCE)
        }
    };
    // What it still watches goes on without it. It may wait for ever for a process whose child, by vfork, it holds itself;
    // the kernel lets go of all that a killed one had.
    straces(bench).into_iter().for_each(|process| end(process, Signal::TERM));
    let asked = Instant::now();
    eventually("strace is gone", Duration::from_secs(60), || {
        let left = straces(bench);
        if asked.elapsed() > Duration::from_secs(5) {
            left.iter().for_each(|process| end(*process, Signal::KILL));
        }
        left.is_empty().then_some(())
    });
    if let Some(mut child) = watching {
        child.wait().unwrap();
    }
    (said, injected(log))
}

/// Those that live; one that is only not reaped yet has let go.
fn straces(bench: &Bench) -> Vec<u32> {
    let lives = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    bench.host.processes("strace").into_iter().filter(lives).collect()
}

fn end(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn cut(bench: &mut Bench, verb: Verb, injection: &Injection) -> bool {
    verb.prepare(bench, &[]);
    let log = bench.host.root().with_extension("strace");
    let (said, injected) = run(bench, verb, injection, &log);
    std::fs::remove_file(&log).unwrap();
    if !injected {
        assert_eq!(said.code, Some(0), "nothing was put in, and yet:\n{}", said.stderr);
    }
    bench.recover();
    bench.repeat_and_clear(verb);
    injected
}

#[test]
fn any_call_can_fail_or_be_the_last() {
    let mut random = Random::from_environment();
    let until = fault::until().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
    let mut cases = Cases::new(Bench::new);
    let mut put_in = 0;
    while Instant::now() < until {
        let verb = *random.one_of(&Verb::ALL);
        let injection = Injection::any(&mut random);
        let Injection { calls, what, nth } = &injection;
        let name = format!("{verb:?}: {calls} number {nth}: {what}");
        if fault::wanted(&name) && cases.run(&name, |bench| cut(bench, verb, &injection)) == Some(true) {
            put_in += 1;
        }
    }
    eprintln!("{put_in} calls were put in");
    close(cases);
}
