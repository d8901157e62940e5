//! A host with a witness guest, on which verbs are cut off one after the other.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fief_tests::cases::Cases;
use fief_tests::command::{self, Said};
use fief_tests::{Census, Host, Witness, eventually};

use super::verbs::Verb;

/// The longest deadline of a verb (a start's), and some.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// What was cut off leaves processes that end a moment later.
const SETTLED: Duration = Duration::from_secs(20);

pub struct Bench {
    pub host: Host,
    pub witness: Witness,
    /// Nothing runs, and everything was used once.
    base: Census,
}

impl Bench {
    pub fn new() -> Bench {
        assert!(
            fief_tests::host::fief().file_name().is_some_and(|name| name == "fief-faults"),
            "this needs fief with its fault points; `cargo xtask crash` builds it and names it in FIEF"
        );
        let host = Host::new();
        host.host_only("lab", "10.77.0.1/24");
        let witness = Witness::create(&host, "node1", &["--network", "lab"]);
        let base = host.census();
        let mut bench = Bench { host, witness, base };
        // Logs are there from the first time on.
        bench.start(&[]);
        bench.fief(&["stop", "node1"]);
        bench.fief(&["network", "stop", "lab"]);
        bench.base = bench.host.census();
        let disk = std::path::PathBuf::from(bench.disk());
        std::fs::write(&disk, [7; 1 << 20]).expect("room for a disk");
        let guest =
            format!("name = \"other\"\nbuilder = \"hvm\"\nmemory = 32\ndisk = [\"file:{},hda,w\"]\n", disk.display());
        std::fs::write(bench.guest_file(), guest).expect("room for a guest's file");
        bench
    }

    #[track_caller]
    pub fn fief(&self, words: &[&str]) {
        command::run(&mut self.host.command(words), PATIENCE).expect_code(0);
    }

    pub fn command(&self, verb: Verb) -> Command {
        let words = verb.words(self);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.host.command(&words)
    }

    /// The witness, until it counts.
    #[track_caller]
    pub fn start(&mut self, environment: &[(String, String)]) {
        let mut start = self.host.command(&["start", "node1"]);
        start.envs(environment.iter().map(|(name, value)| (name, value)));
        command::run(&mut start, PATIENCE).expect_code(0);
        self.witness.goes_on(1);
    }

    /// Whether the volumes of the pool are served from the next start on, or QEMU reads their files.
    pub fn serve(&self, serve: bool) {
        const SERVED: &str = "transport = \"served\"\n";
        let pool = self.host.root().join("pools/default/pool.toml");
        let text = std::fs::read_to_string(&pool).expect("the pool").replace(SERVED, "");
        std::fs::write(&pool, if serve { text + SERVED } else { text }).expect("the pool");
    }

    pub fn state_file(&self) -> String {
        self.host.root().join("node1.state").to_string_lossy().into_owned()
    }

    /// A disk in a file of the operator's.
    pub fn disk(&self) -> String {
        self.host.root().with_extension("disk").to_string_lossy().into_owned()
    }

    /// A file of the operator's that is not there before.
    pub fn out_file(&self) -> String {
        self.host.root().join("out.qcow2").to_string_lossy().into_owned()
    }

    /// A guest of Xen's, with a disk.
    pub fn guest_file(&self) -> String {
        self.host.root().with_extension("cfg").to_string_lossy().into_owned()
    }

    pub fn has_extra(&self) -> bool {
        let said = self.host.fief(&["volume", "list", "default", "-o", "name"]).stdout;
        said.lines().any(|line| line.trim().ends_with("extra"))
    }

    /// Whether the extra volume is at its new place alone, and the domain that has it has it there.
    pub fn has_moved(&self) -> bool {
        let shown = self.host.shown("node2");
        let there = shown["definition"]["disk"]
            .as_array()
            .is_some_and(|all| all.iter().any(|disk| disk["volume"] == "default/moved"));
        there && !self.has_extra()
    }

    /// Whether the witness has its disk at another place.
    pub fn system_has_moved(&self) -> bool {
        self.host.shown("node1")["definition"]["disk"][0]["volume"] == "default/moved"
    }

    /// Has the witness looked for where its disk is.
    fn follow(&mut self) {
        let volume = if self.system_has_moved() { "moved" } else { "node1" };
        let at = |ending: &str| self.host.root().join("images").join(format!("{volume}{ending}"));
        if let Some(image) = ["", ".raw", ".img"].map(at).into_iter().find(|path| path.exists()) {
            self.witness.lies_at(&image);
        }
    }

    /// Whether the witness is defined with the extra volume, as a `disk` or in a `cdrom` drive.
    pub fn has(&self, device: &str) -> bool {
        let shown = self.host.shown("node1");
        let disks = shown["definition"]["disk"].as_array().cloned().unwrap_or_default();
        disks.iter().any(|disk| disk["volume"] == "default/extra" && disk["device"] == device)
    }

    pub fn has_snapshot(&self) -> bool {
        self.host.fief(&["snapshot", "list", "node2", "-o", "name"]).stdout.lines().any(|line| line.trim() == "kept")
    }

    pub fn network(&self) -> String {
        let listing = self.host.fief(&["network", "list", "-o", "json"]).json();
        listing["items"][0]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// A file that a process writes when it passes its armed point.
    pub fn reached(&self) -> PathBuf {
        self.host.root().with_extension("reached")
    }

    /// `FIEF_FAULT` and what goes with it.
    pub fn armed(&self, point: &str, how: &str, nth: u32) -> Vec<(String, String)> {
        let reached = self.reached();
        let _ = std::fs::remove_file(&reached);
        vec![
            ("FIEF_FAULT".into(), format!("{point}:{how}:{nth}")),
            ("FIEF_FAULT_REACHED".into(), reached.to_string_lossy().into_owned()),
        ]
    }

    /// After a verb was cut off by a death: brings the host to a true state, and asserts that it is one.
    #[track_caller]
    pub fn recover(&mut self) {
        // A change of a pool that was cut off is undone by whoever looks at the pool.
        self.fief(&["volume", "list", "default"]);
        assert!(!self.host.root().join("pools/default/ledger.jsonl").exists(), "the pool's ledger is open");
        self.fief(&["recover"]);
        self.follow();
        match self.host.state("node1").as_str() {
            "off" => {}
            "running" => self.witness.goes_on(1),
            other => panic!("after `fief recover` node1 is {other}"),
        }
        // There is nothing left to say a second time.
        let again = self.host.fief(&["recover"]).stdout;
        assert_eq!(again.trim(), "all is as its records say");
        self.witness.is_sound();
    }

    /// The same command again, unless it came about; then from its end back to a host on which nothing runs.
    #[track_caller]
    pub fn repeat_and_clear(&mut self, verb: Verb) {
        if !verb.is_over(self) {
            command::run(&mut self.command(verb), PATIENCE).expect_code(0);
        }
        self.follow();
        verb.came_about(self);
        self.clear();
    }

    #[track_caller]
    pub fn clear(&mut self) {
        self.fief(&["stop", "node1"]);
        self.serve(false);
        if self.system_has_moved() {
            self.fief(&["volume", "move", "default/moved", "default/node1"]);
            self.follow();
        }
        if self.has("disk") {
            self.fief(&["detach", "disk", "node1", "default/extra"]);
        }
        if self.has("cdrom") {
            self.fief(&["detach", "cdrom", "node1"]);
        }
        self.fief(&["network", "stop", "lab"]);
        self.fief(&["delete", "node2", "node3", "--yes", "--if-exists"]);
        self.fief(&["delete", "node4", "node5", "--volumes", "--yes", "--if-exists"]);
        self.fief(&["volume", "delete", "default/extra", "default/moved", "--yes", "--if-exists"]);
        let _ = std::fs::remove_file(self.state_file());
        let _ = std::fs::remove_file(self.out_file());
        let _ = std::fs::remove_file(self.reached());
        self.settles_to(&self.base.clone());
        self.witness.is_sound();
    }

    /// Asserts that a verb that failed left the host as it was; what it brought up for others may be up.
    #[track_caller]
    pub fn is_as(&self, before: &Census) {
        if self.host.state("node1") == "off" && self.network() == "up" {
            self.fief(&["network", "stop", "lab"]);
        }
        self.settles_to(before);
    }

    #[track_caller]
    pub fn settles_to(&self, before: &Census) {
        let until = Instant::now() + SETTLED;
        loop {
            let left = before.difference(&self.host.census());
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "left behind:\n{left}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until some process has passed its armed point.
    pub fn wait_reached(&self) {
        eventually("the point is passed", PATIENCE, || self.reached().exists().then_some(()));
    }

    /// The cause that a test put in has to be named, where the verb failed.
    #[track_caller]
    pub fn names_the_cause(said: &Said, point: &str) {
        assert!(said.stderr.contains(point), "{} does not name {point}:\n{}", said.line, said.stderr);
    }
}

/// What there is to do after the last case.
///
/// # Panics
/// With every failure.
pub fn close(cases: Cases<Bench>) {
    if let Some(bench) = cases.close() {
        bench.fief(&["delete", "node1", "--volumes", "--yes"]);
        bench.fief(&["network", "delete", "lab"]);
        bench.host.is_as_made();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for beside in ["disk", "cfg", "reached", "strace"] {
            let _ = std::fs::remove_file(self.host.root().with_extension(beside));
        }
    }
}
