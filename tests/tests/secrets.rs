//! A secret is in its file, and in the memory of those who may have it. Nowhere else: a known one is looked for in all
//! that a host does with it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fief_tests::boot_sector::{self, Then};
use fief_tests::command::{self, Said};
use fief_tests::host::target;
use fief_tests::terminal::Terminal;
use fief_tests::tgt::Tgt;
use fief_tests::{Guest, Host};

const PATIENCE: Duration = Duration::from_secs(90);
const TARGET: &str = "iqn.2026-01.test:secret";
/// What a CHAP secret has to be is 12 bytes at least; tgt takes 16 at most.
const CANARY: &str = "c4n4ry-7Qx9zKw2p";
const OTHER: &str = "0th3r-Vb8mTf5jR1";

/// What would be a secret in other clothes: as it is, in base64 (without its end, which depends on what follows), in
/// hexadecimal, and as JSON writes a list of bytes.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let listed = |between: &str| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(between);
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 =
        command::run(std::process::Command::new("sh").args(["-c", &format!("printf %s {secret} | base64")]), PATIENCE);
    let base64 = base64.stdout.trim().trim_end_matches('=').to_owned();
    [secret.to_owned(), base64[..base64.len() - 2].to_owned(), hexadecimal, listed(","), listed(", ")]
        .map(String::into_bytes)
        .to_vec()
}

/// Looks for secrets in whatever is shown to it.
struct Search(Vec<Vec<u8>>);

impl Search {
    fn new(secrets: &[&str]) -> Search {
        Search(secrets.iter().flat_map(|secret| forms(secret)).collect())
    }

    #[track_caller]
    fn not_in(&self, what: &str, bytes: &[u8]) {
        for form in &self.0 {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{} is in {what}", String::from_utf8_lossy(form));
        }
    }

    #[track_caller]
    fn said(&self, said: Said) -> Said {
        self.not_in(&format!("stdout of {}", said.line), said.stdout.as_bytes());
        self.not_in(&format!("stderr of {}", said.line), said.stderr.as_bytes());
        said
    }

    /// All files below a host's root but the secrets themselves; gives how many those were.
    #[track_caller]
    fn files(&self, root: &Path) -> usize {
        let mut seen = 0;
        let mut folders: Vec<PathBuf> = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() && entry.path() != root.join("secrets") {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    self.not_in(&entry.path().display().to_string(), &fs::read(entry.path()).unwrap_or_default());
                    seen += 1;
                }
            }
        }
        seen
    }

    /// What any process of this machine was started with, as anyone may read it.
    #[track_caller]
    fn processes(&self) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            // Not this test's own tool, which tells the target its password.
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if words.starts_with(b"tgtadm") {
                continue;
            }
            self.not_in(&format!("the words of {}", entry.path().display()), &words);
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            self.not_in(&format!("the environment of {}", entry.path().display()), &environment);
        }
    }
}

struct Bench {
    host: Host,
    search: Search,
}

impl Bench {
    /// A host whose plugin `hostile-reach`, which behaves here, is granted a target of its own and the secret `chap`.
    fn new() -> Bench {
        let host = Host::bare();
        let policy = "[plugins.hostile-reach]\nsecrets = [\"chap\"]\n\
            connections = [{ name = \"server\", to = \"{server}:{port}\", allow = [\"loopback\"] }]\n\n[pools]\n\
            san = \"hostile-reach\"\n";
        fs::write(host.root().join("policy.toml"), policy).unwrap();
        let plugin = target().join("wasm32-wasip2/release/examples/reach.wasm");
        assert!(plugin.exists(), "{} is not built; `cargo xtask test` builds it", plugin.display());
        host.fief(&["plugin", "install", &plugin.to_string_lossy()]);
        Bench { host, search: Search::new(&[CANARY, OTHER]) }
    }

    /// Every command says all that it can.
    fn run(&self, words: &[&str]) -> Said {
        let said = command::run(self.host.command(words).env("FIEF_LOG", "trace"), PATIENCE);
        self.search.said(said)
    }

    fn set(&self, secret: &str) {
        let mut set = self.host.command(&["secret", "set", "chap"]);
        let given = format!("{secret}\n");
        let said = command::run_given(set.env("FIEF_LOG", "trace"), given.as_bytes(), PATIENCE);
        self.search.said(said).expect_code(0);
    }
}

#[test]
fn a_secret_is_found_nowhere_but_in_its_file() {
    let bench = Bench::new();
    let host = &bench.host;
    let mut tgt = Tgt::start(host.namespace(), "127.0.0.1");
    let target = tgt.target(TARGET);
    let disk = tgt.disk(target, 1, 8 << 20);
    let sector = boot_sector::code("hello", Then::Halt);
    fs::OpenOptions::new()
        .write(true)
        .open(disk)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &sector))
        .unwrap();
    tgt.chap(target, "alice", CANARY);

    bench.set(OTHER);
    let settings = ["server=127.0.0.1", "port=3260", "password=chap", &format!("with={TARGET}")];
    let mut create = vec!["pool", "create", "san", "--kind", "san"];
    settings.iter().for_each(|setting| create.extend(["--set", setting]));
    bench.run(&create).expect_code(0);
    let length = format!("san/secret-of-{}", OTHER.len());
    assert!(bench.run(&["volume", "list", "san"]).expect_code(0).stdout.contains(&length));

    // The wrong one: the target says no, and whoever is told why is not told what.
    let define = ["create", "guest", "--disk", "san/disk", "--memory", "64MiB"];
    bench.run(&define).expect_code(0);
    let refused = bench.run(&["start", "guest"]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    assert!(bench.search.files(host.root()) > 10);

    bench.set(CANARY);
    assert_eq!(fs::read(host.root().join("secrets/chap")).unwrap(), CANARY.as_bytes());
    bench.run(&["start", "guest"]).expect_code(0);
    Guest::of(host, "guest").says("hello");
    bench.search.processes();
    bench.search.files(host.root());
    let limits = fs::read_to_string(format!("/proc/{}/limits", host.hypervisor("guest"))).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");

    for words in [
        &["secret", "list", "-o", "json"][..],
        &["secret", "list"],
        &["show", "guest", "-o", "json"],
        &["pool", "show", "san", "-o", "json"],
        &["plugin", "show", "hostile-reach"],
        &["policy", "explain", "plugin", "hostile-reach", "--secret", "chap"],
        &["logs", "guest"],
        &["--dry-run", "secret", "delete", "chap", "--force"],
        &["-o", "json", "policy", "check"],
    ] {
        bench.run(words).expect_code(0);
    }
    bench.run(&["stop", "guest"]).expect_code(0);
    bench.search.files(host.root());
    let audit = fs::read_to_string(host.root().join("audit.jsonl")).unwrap();
    assert!(audit.contains("secret-reveal") && audit.contains("secret-set"), "{audit}");

    // It is kept for as long as a pool names it.
    bench.run(&["secret", "delete", "chap"]).expect_code(4);
    bench.run(&["secret", "delete", "chap", "--force"]).expect_code(0);
    assert!(!host.root().join("secrets/chap").exists());
    let missing = bench.run(&["volume", "list", "san"]).expect_code(3);
    assert!(missing.stderr.contains("fief secret set chap"), "{}", missing.stderr);
}

#[test]
fn a_secret_is_typed_unseen_and_twice_and_is_no_argument() {
    let bench = Bench::new();
    let typed = |lines: &[&str], said: &str, code: i32| {
        let mut terminal = Terminal::start(bench.host.command(&["secret", "set", "chap"]));
        for (question, line) in ["Secret chap: ", "The same again: "].iter().zip(lines) {
            terminal.shows(question, PATIENCE);
            terminal.types(line);
        }
        terminal.shows(said, PATIENCE);
        let shown = terminal.screen();
        assert_eq!(terminal.ends(PATIENCE).code(), Some(code));
        bench.search.not_in("the terminal", shown.as_bytes());
    };
    let file = bench.host.root().join("secrets/chap");
    typed(&[&format!("{CANARY}\n"), &format!("{OTHER}\n")], "not the same", 2);
    assert!(!file.exists());
    typed(&["abc\x03"], "broken off", 13);
    assert!(!file.exists());
    typed(&[&format!("wrong\x15{CANARY}x\x7f\n"), &format!("{CANARY}\n")], "stored", 0);
    assert_eq!(fs::read(&file).unwrap(), CANARY.as_bytes());

    bench.run(&["secret", "set", "chap", "value"]).expect_code(2);
    bench.run(&["secret", "set", "../chap"]).expect_code(2);
    // Nothing comes on its standard input.
    bench.run(&["secret", "set", "chap"]).expect_code(2);
    assert_eq!(fs::read(&file).unwrap(), CANARY.as_bytes());
}
