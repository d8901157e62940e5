//! `fief plugin test`: the project's own plugins pass, and each mistake that a plugin may make is caught by the case that is
//! there for it.
#![allow(clippy::unwrap_used)]

#[path = "conformance/mistakes.rs"]
mod mistakes;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fief_tests::{Said, command, host};
use tempfile::TempDir;

use mistakes::{MISTAKES, MISTAKES_OF_NETWORKS, MISTAKES_OF_STRATEGIES, MISTAKES_WITH_SERVERS};

const PATIENCE: Duration = Duration::from_secs(180);
/// What random cases do here.
const SEED: &str = "7";

/// Of a pool, or a network.
const NAMED: &str = "name = \"trial\"\nkind = \"trial\"\n";

/// What is built of the tree.
fn plugin(file: &str) -> PathBuf {
    let file = host::target().join(format!("wasm32-wasip2/release/{file}.wasm"));
    assert!(file.exists(), "{} is not built; `cargo xtask test` builds it", file.display());
    file
}

/// A plugin, and a root where it is installed: so it is compiled once.
struct Trial {
    folder: TempDir,
    plugin: PathBuf,
}

impl Trial {
    fn new(file: &str) -> Trial {
        // In memory: what is flushed there is flushed at once.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        let trial = Trial { folder, plugin: plugin(file) };
        let install = ["plugin", "install", &trial.plugin.display().to_string()];
        command::run(&mut trial.fief(&install), PATIENCE).expect_code(0);
        trial
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fief(&self, words: &[&str]) -> Command {
        let mut fief = Command::new(host::fief());
        fief.args(words).env_remove("FIEF_LOG");
        fief.env("FIEF_ROOT", self.path("root")).env("TMPDIR", self.path("tmp"));
        fief
    }

    /// Runs the kit with a pool of those settings. Whatever was made for it is gone afterwards.
    #[track_caller]
    fn tests(&self, settings: &str, words: &[&str]) -> Said {
        self.tests_with(&format!("{NAMED}[settings]\n{settings}\n"), words)
    }

    /// With a definition of any kind.
    #[track_caller]
    fn tests_with(&self, text: &str, words: &[&str]) -> Said {
        let (definition, plugin) = (self.path("pool.toml"), self.plugin.display().to_string());
        fs::write(&definition, text).unwrap();
        let before = ["plugin", "test", &plugin, "--settings", &definition.display().to_string(), "--seed", SEED];
        let said = command::run(&mut self.fief(&[&before, words].concat()), PATIENCE);
        let left: Vec<_> = fs::read_dir(self.path("tmp")).unwrap().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?} was left");
        said
    }

    /// All cases, of which none may fail; gives those that were skipped.
    #[track_caller]
    fn passes(&self, settings: &str) -> Vec<String> {
        let said = self.tests(settings, &["-o", "json"]).expect_code(0);
        assert!(with_result(&said, "ok").len() > 15, "{}", said.stdout);
        with_result(&said, "skipped")
    }
}

/// The cases with that result.
fn with_result(said: &Said, result: &str) -> Vec<String> {
    let report = said.json();
    let items = report["items"].as_array().unwrap().iter().filter(|item| item["result"] == result);
    items.map(|item| item["case"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_plugin_of_files_passes_lent_and_called() {
    let trial = Trial::new("storage_file");
    for settings in ["", "transport = \"served\"", "transport = \"served\"\nlend = false"] {
        let skipped = trial.passes(&format!("directory = \"images\"\n{settings}"));
        for case in ["create-twice", "block-model", "rename-twice", "host-errors"] {
            assert!(!skipped.iter().any(|one| one == case), "{settings}: {skipped:?}");
        }
    }
}

#[test]
fn a_plugin_that_can_all_of_it_passes_all_of_it() {
    let trial = Trial::new("examples/planted");
    for settings in ["", "served = true"] {
        assert_eq!(
            trial.passes(settings),
            ["block-connections", "connections-cut", "connections-break", "connections-silent", "connections-short"]
        );
    }
}

#[test]
fn each_mistake_with_a_server_is_caught_by_its_case() {
    let register = FakeRegister::start();
    let trial = Trial::new("examples/planted_remote");
    let tests = |mistake: &str, words: &[&str]| {
        let settings = format!("port = \"{}\"\nmistake = \"{mistake}\"", register.port);
        let grant = ["-o", "json", "--connection", "register,allow=loopback"];
        trial.tests(&settings, &[&grant, words].concat())
    };
    let right = tests("", &[]).expect_code(0);
    let ok = with_result(&right, "ok");
    for case in [
        "connections-cut",
        "connections-break",
        "connections-silent",
        "connections-short",
        "block-connections",
        "files-fail",
    ] {
        assert!(ok.iter().any(|one| one == case), "{case}: {}", right.stdout);
    }
    for (mistake, case) in MISTAKES_WITH_SERVERS {
        let said = tests(mistake, &["--only", case]);
        assert!(said.code == Some(6) && with_result(&said, "failed") == [*case], "{mistake}, {case}: {said:?}");
    }
}

/// Answers each line `QUESTION` with `yes QUESTION`, and its length before.
struct FakeRegister {
    port: u16,
}

impl FakeRegister {
    /// It ends with the tests.
    fn start() -> FakeRegister {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || FakeRegister::serve(stream.unwrap()));
            }
        });
        FakeRegister { port }
    }

    /// Until the other side goes, or breaks off.
    fn serve(mut stream: TcpStream) {
        let mut questions = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(question)) = questions.next() {
            let answer = format!("yes {question}");
            if write!(stream, "{:08}{answer}", answer.len()).is_err() {
                break;
            }
        }
    }
}

#[test]
fn each_mistake_is_caught_by_its_case() {
    let missed: Vec<String> = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..AT_A_TIME).map(|first| scope.spawn(move || missed(first))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    assert!(missed.is_empty(), "{} were missed:\n{}", missed.len(), missed.join("\n"));
}

/// Each waits more than it computes.
const AT_A_TIME: usize = 3;

/// Mistakes that their case does not catch, of those from `first` on, each so many apart.
fn missed(first: usize) -> Vec<String> {
    let trial = Trial::new("examples/planted");
    let mut missed = Vec::new();
    for (mistake, case) in MISTAKES.iter().skip(first).step_by(AT_A_TIME) {
        let said = trial.tests(&format!("mistake = \"{mistake}\""), &["-o", "json", "--only", case]);
        if said.code != Some(6) || with_result(&said, "failed") != [*case] {
            missed.push(format!("{mistake}, {case}: {}{}", said.stdout, said.stderr));
        }
    }
    missed
}

/// Each of them fails the case that is there for it, and no other is asked for.
#[track_caller]
fn are_caught(file: &str, before: &str, mistakes: &[(&str, &str)]) {
    let trial = Trial::new(file);
    let said = trial.tests_with(&format!("{before}[settings]\n"), &["-o", "json"]).expect_code(0);
    assert!(with_result(&said, "skipped").is_empty(), "{}", said.stdout);
    for (mistake, case) in mistakes {
        let text = format!("{before}[settings]\nmistake = \"{mistake}\"\n");
        let said = trial.tests_with(&text, &["-o", "json", "--only", case]);
        assert!(said.code == Some(6) && with_result(&said, "failed") == [*case], "{mistake}, {case}: {said:?}");
    }
}

#[test]
fn each_mistake_of_a_network_is_caught_and_the_plugins_of_networks_pass() {
    are_caught("examples/planted_network", NAMED, MISTAKES_OF_NETWORKS);
    for (file, settings) in [
        ("network_user", ""),
        ("network_host_only", "address = \"10.99.7.1/24\""),
        ("network_bridge", "uplink = \"fieftest0\""),
    ] {
        let text = format!("{NAMED}[settings]\n{settings}\n");
        let said = Trial::new(file).tests_with(&text, &["-o", "json"]).expect_code(0);
        assert!(with_result(&said, "ok").len() > 4, "{file}: {}", said.stdout);
    }
}

#[test]
fn each_mistake_of_a_strategy_is_caught_and_the_strategies_pass() {
    are_caught("examples/planted_strategy", "", MISTAKES_OF_STRATEGIES);
    for file in ["migration_live", "migration_static"] {
        let said = Trial::new(file).tests_with("[settings]\n", &["-o", "json"]).expect_code(0);
        assert!(with_result(&said, "ok").len() > 3, "{file}: {}", said.stdout);
    }
}

#[test]
fn a_failure_is_told_in_each_form() {
    let trial = Trial::new("examples/planted");
    let report = trial.path("report.xml");
    let words = ["--only", "delete-twice", "--only", "create-twice", "--junit", &report.display().to_string()];
    let said = trial.tests("mistake = \"delete-lies\"", &words).expect_code(6);
    for part in [
        "create-twice  ok",
        "delete-twice  FAILED",
        "expected: the error not-found",
        "An absent volume is already deleted.",
    ] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    assert!(said.stderr.contains("1 of 2 cases failed"), "{}", said.stderr);
    let xml = fs::read_to_string(&report).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("<failure type=\"delete-twice\""), "{xml}");
}

#[test]
fn what_cannot_be_tried_is_told_before_anything_is_made() {
    let trial = Trial::new("storage_file");
    let ends = |words: &[&str], code: i32, part: &str| {
        let said = command::run(&mut trial.fief(&[&["plugin", "test"], words].concat()), PATIENCE).expect_code(code);
        assert!(said.stderr.contains(part), "{words:?}: {}", said.stderr);
    };
    let (pool, file) = (trial.path("pool.toml").display().to_string(), trial.plugin.display().to_string());
    fs::write(&pool, "name = \"trial\"\nkind = \"trial\"\n[settings]\ndirectory = \"images\"\n").unwrap();
    let network = plugin("network_user").display().to_string();
    ends(&[&network], 2, "the definition of a network");
    ends(&[&network, "--settings", &pool, "--only", "create-twice"], 2, "is a case for storage plugins");
    ends(&[&file], 2, "--settings");
    ends(&[&file, "--settings", "/nowhere.toml"], 3, "there is no file");
    ends(&[&file, "--settings", &pool, "--only", "create-twise"], 2, "did you mean create-twice?");
    ends(&[&file, "--settings", &pool, "--secret", "s"], 2, "does not ask for");
    ends(&[&file, "--settings", &pool, "--volume", "a"], 13, "--yes");
    fs::write(&pool, "name = \"trial\"\nkind = \"trial\"\n[settings]\ndirctory = \"images\"\n").unwrap();
    ends(&[&file, "--settings", &pool], 2, "did you mean \"directory\"?");
    let all = command::run(&mut trial.fief(&["plugin", "test", "--list", "-o", "name"]), PATIENCE).expect_code(0);
    assert!(all.stdout.lines().any(|line| line == "block-model"), "{}", all.stdout);
}
