//! Verbs in any order, with processes killed between them, against a model of a few lines: each says what the model says,
//! and leaves the domain where the model has it. The seed is printed; `FIEF_SEED=N` runs the same sequence again.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fief_tests::boot_sector::{self, Then};
use fief_tests::{Host, eventually};
use rustix::process::{Pid, Signal, kill_process};

const CONFLICT: i32 = 4;
const NEEDS_YES: i32 = 13;
const STEPS: usize = 60;
const NOTICED: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Off,
    Running,
    Paused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Start,
    Stop,
    Pause,
    Resume,
    Reset,
    Save,
    Restore,
    Delete,
    KillSupervisor,
    KillHypervisor,
    KillBoth,
}

const ACTS: [Act; 11] = [
    Act::Start,
    Act::Stop,
    Act::Pause,
    Act::Resume,
    Act::Reset,
    Act::Save,
    Act::Restore,
    Act::Delete,
    Act::KillSupervisor,
    Act::KillHypervisor,
    Act::KillBoth,
];

/// What the model knows of the domain and of the file that its state was saved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Model {
    now: Now,
    /// There is a file, of a guest that ran or that was paused.
    file: Option<Now>,
    /// The file's guest has not run since.
    fits: bool,
}

impl Model {
    /// The exit code, and what follows.
    fn step(self, act: Act) -> (i32, Model) {
        let to = |now| Model { now, ..self };
        match (act, self.now) {
            // Memory that is in a file would be lost.
            (Act::Start, Now::Off) if self.fits => (NEEDS_YES, self),
            (Act::Start, Now::Off | Now::Running) => (0, to(Now::Running)),
            (Act::Stop, _) => (0, to(Now::Off)),
            (Act::Pause, Now::Running | Now::Paused) => (0, to(Now::Paused)),
            (Act::Resume, Now::Running | Now::Paused) => (0, to(Now::Running)),
            (Act::Reset, Now::Running | Now::Paused) => (0, self),
            (Act::Save, Now::Running | Now::Paused) if self.file.is_none() => {
                (0, Model { now: Now::Off, file: Some(self.now), fits: true })
            }
            (Act::Restore, Now::Off) => match self.file {
                Some(then) if self.fits => (0, Model { now: then, fits: false, ..self }),
                // It would be lost that the guest has run since.
                Some(_) => (NEEDS_YES, self),
                None => (NOT_FOUND, self),
            },
            (Act::Restore, Now::Running | Now::Paused) => {
                (if self.file.is_some() { CONFLICT } else { NOT_FOUND }, self)
            }
            // The test keeps its domain: deleting needs a word that it does not say.
            (Act::Delete, Now::Off) => (NEEDS_YES, self),
            (Act::Start | Act::Delete, _) | (Act::Pause | Act::Resume | Act::Reset, Now::Off) => (CONFLICT, self),
            // Off, or the file is there already.
            (Act::Save, _) => (CONFLICT, self),
            (Act::KillSupervisor, _) => (0, self),
            (Act::KillHypervisor | Act::KillBoth, _) => (0, to(Now::Off)),
        }
    }
}

const NOT_FOUND: i32 = 3;

/// xorshift64 (Marsaglia, 2003): a sequence that a number stands for.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("a number below `sides`")
    }
}

struct Subject<'a> {
    host: &'a Host,
    file: PathBuf,
}

impl Subject<'_> {
    fn act(&self, act: Act, model: Model) -> i32 {
        let file = self.file.to_string_lossy().into_owned();
        let words: &[&str] = match act {
            Act::Start => &["start", "node1"],
            Act::Stop => &["stop", "node1"],
            Act::Pause => &["pause", "node1"],
            Act::Resume => &["resume", "node1"],
            Act::Reset => &["reset", "node1"],
            Act::Save => &["save", "node1", &file],
            Act::Restore => &["restore", &file],
            Act::Delete => &["delete", "node1"],
            Act::KillSupervisor | Act::KillHypervisor | Act::KillBoth if model.now == Now::Off => return 0,
            Act::KillSupervisor => {
                kill(self.host.supervisor("node1"));
                return 0;
            }
            Act::KillHypervisor | Act::KillBoth => {
                let (supervisor, hypervisor) = (self.host.supervisor("node1"), self.host.hypervisor("node1"));
                if act == Act::KillBoth {
                    kill(supervisor);
                }
                kill(hypervisor);
                // Noticed by a supervisor that lives, or else by whoever looks.
                eventually("a hypervisor that was killed is noticed", NOTICED, || {
                    (self.host.state("node1") == "off").then_some(())
                });
                return 0;
            }
        };
        let said = fief_tests::command::run(&mut self.host.command(words), Duration::from_secs(90));
        let code = said.code.expect("an exit code");
        assert!(code == 0 || said.stderr.contains("hint: "), "{}: {}", said.line, said.stderr);
        code
    }
}

/// Killing what a killed supervisor has just left may find it gone.
fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[test]
fn any_sequence_of_verbs_and_kills_goes_as_the_model_says() {
    let chosen = std::env::var("FIEF_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let seed: u64 = chosen.unwrap_or(u64::from(now.subsec_nanos()) | 1);
    eprintln!("FIEF_SEED={seed}");
    let mut dice = Dice(seed.max(1));
    let host = Host::new();
    let sector = host.root().join("images/sector");
    boot_sector::write(&sector, "hello", Then::Halt);
    host.volume_with("default/node1", "1MiB", &sector);
    std::fs::remove_file(sector).expect("the sector");
    host.fief(&["create", "node1", "--memory", "32MiB", "--on-crash", "destroy", "--disk", "default/node1"]);

    let subject = Subject { host: &host, file: host.root().join("node1.state") };
    let mut model = Model { now: Now::Off, file: None, fits: false };
    let mut told = Vec::new();
    for _ in 0..STEPS {
        let act = ACTS[dice.throw(ACTS.len())];
        let (expected, mut next) = model.step(act);
        let code = subject.act(act, model);
        told.push(format!("{act:?} -> {code}"));
        assert_eq!(code, expected, "FIEF_SEED={seed}: from {model:?} after {told:#?}");
        // A file that no longer fits is put away, so that there are more saves than one.
        if next.file.is_some() && !next.fits && next.now == Now::Off {
            std::fs::remove_file(&subject.file).expect("the state");
            next.file = None;
        }
        model = next;
        let state = match model.now {
            Now::Off => "off",
            Now::Running => "running",
            Now::Paused => "paused",
        };
        assert_eq!(host.state("node1"), state, "FIEF_SEED={seed}: after {told:#?}");
    }
    host.fief(&["stop", "node1"]);
    let _ = std::fs::remove_file(&subject.file);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}
