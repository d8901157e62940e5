//! The command line under bad circumstances: each has its exit code, its cause on one line and its hint, and leaves
//! nothing behind.

// The helpers here are of tests too.
#![allow(clippy::unwrap_used)]

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A user without rights (`nobody` on Debian).
const NOBODY: u32 = 65534;

/// The program under test: `$FIEF`, else what `cargo build` made.
fn program() -> PathBuf {
    std::env::var_os("FIEF")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/fief"), PathBuf::from)
        .canonicalize()
        .expect("no fief to test: cargo build -p fief, or set FIEF")
}

/// A place for one test, with the root directory that its commands get (`root`, absent at first).
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    fn root(&self) -> PathBuf {
        self.path("root")
    }
    /// With an environment of its own.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).env_clear().env("FIEF_ROOT", self.root()).stdin(Stdio::null());
        command
    }
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
    /// Through a shell, which sets the circumstances; the command itself stands in `"$@"`.
    fn shell(&self, script: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]).arg(program()).args(arguments);
        command.env_clear().env("FIEF_ROOT", self.root()).output().unwrap()
    }
    fn is_empty(&self) -> bool {
        self.folder.path().read_dir().unwrap().next().is_none()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Refused with this exit code, saying `cause` on its first line, with a hint, nothing on stdout, and no panic.
#[track_caller]
fn assert_refused(output: &Output, code: i32, cause: &str) {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let first = stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("error: ") && first.contains(cause), "{cause:?} is not said: {stderr}");
    assert!(stderr.lines().any(|line| line.starts_with("hint: ")), "no hint: {stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[track_caller]
fn assert_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

#[test]
fn wrong_words_are_usage_errors_that_say_what_to_do() {
    let place = Place::new();
    for (arguments, cause) in [
        (&[][..], "a verb is missing"),
        (&["pool"], "a verb is missing"),
        (&["polo", "list"], "unrecognized subcommand 'polo'"),
        (&["start"], "required arguments were not provided"),
        (&["start", ".."], "invalid value '..'"),
        (&["create", "node1", "-f", "x.toml"], "cannot be used with"),
        (&["logs", "node1", "--supervisor", "--hypervisor"], "cannot be used with"),
        (&["pool", "lsit"], "unrecognized subcommand 'lsit'"),
        (&["pool", "show"], "required arguments were not provided"),
        (&["pool", "show", "a", "b"], "unexpected argument 'b'"),
        (&["pool", "list", "--nonsense"], "unexpected argument '--nonsense'"),
        (&["pool", "list", "-o", "xml"], "invalid value 'xml'"),
        (&["pool", "delete"], "required arguments were not provided"),
        (&["pool", "delete", "--", "-x"], "invalid value '-x'"),
        (&["pool", "delete", "a/b"], "invalid value 'a/b'"),
        (&["pool", "create", "a"], "required arguments were not provided"),
        (&["pool", "create", "a", "--kind", "file", "-f", "x.toml"], "cannot be used with"),
        (&["pool", "create", "a", "--kind", "file", "--set", "novalue"], "invalid value 'novalue'"),
        (&["pool", "create", "a", "--kind", "file", "--set", "k=1", "--set", "k=2"], "given twice"),
        (&["pool", "create", "-f", "/"], "is a directory"),
        (&["volume", "create", "noslash", "--size", "1G"], "POOL/VOLUME"),
        (&["volume", "create", "a/b"], "required arguments were not provided"),
        (&["volume", "create", "a/b", "--size", "20"], "has no unit"),
        (&["volume", "create", "a/b", "--size", "0G"], "size 0"),
        (&["volume", "create", "a/b", "--size=-1G"], "invalid value '-1G'"),
        (&["volume", "create", "a/b", "--size", "8EiB"], "invalid value '8EiB'"),
        (&["volume", "create", "a/b", "--size", "1G", "--format", "vmdk"], "invalid value 'vmdk'"),
        (&["volume", "clone", "a/b", "a/b"], "to itself"),
        (&["volume", "clone", "a/b", "c/d"], "stays in its pool"),
        (&["volume", "clone", "a/b", "a/c", "--linked", "--snapshot", "s"], "cannot be used with"),
        (&["policy", "explain", "plugin", "p", "--directory", "d", "--bridge", "b"], "cannot be used with"),
        (&["policy", "explain", "plugin", "p", "--operation", "{}"], "is not an operation"),
        (&["network", "show", "../x"], "invalid value '../x'"),
        (&["network", "show", "🙂"], "invalid value '🙂'"),
        (&["completions", "tcsh"], "invalid value 'tcsh'"),
        (&["sandbox", "by", "hand"], "not run by hand"),
        (&["supervise", "node1"], "not run by hand"),
        (&["--root", "", "plugin", "list"], "a value is required"),
        (&["--root", "/", "plugin", "list"], "root of the file system"),
    ] {
        let output = place.run(arguments);
        eprintln!("fief {arguments:?}");
        assert_refused(&output, 2, cause);
    }
    assert!(place.is_empty(), "something was left behind");
}

#[test]
fn a_near_miss_is_answered_with_what_was_meant() {
    let place = Place::new();
    for (arguments, meant) in [
        (&["strat", "node1"][..], "'start'"),
        (&["netwrok", "list"], "'network'"),
        (&["pool", "lsit"], "'list'"),
        (&["pool", "list", "--outptu", "json"], "'--output'"),
        (&["volume", "create", "a/b", "--size", "1G", "--format", "qcow"], "'qcow2'"),
    ] {
        let output = place.run(arguments);
        let stderr = stderr(&output);
        let hint = stderr.lines().find(|line| line.starts_with("hint: ")).unwrap_or_default();
        assert!(hint.contains(meant), "{meant} is not meant: {stderr}");
    }
}

#[test]
fn an_error_is_one_line_of_json_where_json_was_asked_for() {
    let place = Place::new();
    for arguments in [&["-o", "json", "plugin", "show", "absent"][..], &["plugin", "shwo", "--output=json"]] {
        let output = place.run(arguments);
        let stderr = stderr(&output);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let error: serde_json::Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!((&error["apiVersion"], &error["kind"]), (&"fief/v1".into(), &"error".into()));
        assert_eq!(error["exit-code"].as_i64(), output.status.code().map(i64::from), "{stderr}");
        for key in ["code", "message", "causes", "hint"] {
            assert!(error.get(key).is_some(), "{key} is not there: {stderr}");
        }
    }
}

#[test]
fn words_that_are_not_utf8_are_refused_and_such_paths_are_not() {
    let place = Place::new();
    let bad = OsStr::from_bytes(b"a\xffb");
    let output = place.command(&["pool", "show"]).arg(bad).output().unwrap();
    assert_refused(&output, 2, "invalid UTF-8");
    let output = place.command(&[]).arg(bad).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = place.command(&["plugin", "list", "--root"]).arg(place.folder.path().join(bad)).output().unwrap();
    assert_done(&output);
    assert!(place.is_empty());
}

#[test]
fn a_name_may_be_a_verb_too() {
    let place = Place::new();
    for name in ["list", "show", "help", "sandbox"] {
        let output = place.run(&["plugin", "show", name]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
    }
}

#[test]
fn verbs_that_only_read_work_before_there_is_anything() {
    let place = Place::new();
    for line in
        ["list", "plugin list", "policy show", "host info", "pool list", "network list", "volume list", "policy check"]
    {
        let arguments: Vec<&str> = line.split(' ').collect();
        eprintln!("fief {line}");
        assert_done(&place.run(&arguments));
        for format in ["json", "yaml", "name", "wide"] {
            let output = place.command(&arguments).args(["-o", format]).output().unwrap();
            assert_done(&output);
            if format == "json" {
                let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(document["apiVersion"], "fief/v1");
            }
        }
    }
    assert!(place.is_empty(), "reading made something");
}

#[test]
fn a_dry_run_finds_that_a_thing_is_not_there() {
    let place = Place::new();
    let verbs = [
        "start",
        "stop",
        "shutdown",
        "reboot",
        "reset",
        "pause",
        "resume",
        "delete",
        "edit",
        "set --vcpus 2",
        "save /tmp/no.state",
        "screenshot /tmp/no.ppm",
        "rename other",
        "clone other",
        "migrate peer",
        "migrate --cancel",
    ];
    for verb in verbs {
        let (verb, rest) = verb.split_once(' ').unwrap_or((verb, ""));
        let words: Vec<&str> =
            ["--dry-run", "--yes", verb, "nosuch"].into_iter().chain(rest.split_whitespace()).collect();
        assert_refused(&place.run(&words), 3, "nosuch");
    }
    for line in ["pool delete", "network start", "network stop", "network delete", "secret delete", "peer remove"] {
        let words: Vec<&str> = ["--dry-run", "--yes"].into_iter().chain(line.split(' ')).chain(["nosuch"]).collect();
        assert_refused(&place.run(&words), 3, "nosuch");
    }
}

#[test]
fn a_change_that_fails_takes_away_the_root_that_it_made() {
    let place = Place::new();
    let output = place.run(&["plugin", "install", "/nonexistent/plugin.wasm"]);
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    let output = place.command(&["plugin", "install", "/nonexistent"]).arg("--root").arg(place.path("a/b/c")).output();
    assert_ne!(output.unwrap().status.code(), Some(0));
    assert!(place.is_empty(), "something was left behind");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    for arguments in [&["completions", "bash"][..], &["--help"], &["plugin", "list"], &["host", "info"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(arguments).stdout(writer).output().unwrap();
        assert_done(&output);
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let place = Place::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = place.command(&["plugin", "list"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(12), "{}", stderr(&output));
}

#[test]
fn closed_descriptors_few_descriptors_and_any_umask_are_lived_with() {
    let place = Place::new();
    for script in [
        "exec \"$@\" >&-",
        "exec \"$@\" <&-",
        "exec \"$@\" <&- >&- 2>&-",
        "umask 000; exec \"$@\"",
        "ulimit -n 16; exec \"$@\"",
    ] {
        for arguments in [&["plugin", "list"][..], &["host", "info"]] {
            eprintln!("{script} {arguments:?}");
            assert_done(&place.shell(script, arguments));
        }
    }
    assert!(place.is_empty());
}

#[test]
fn what_fief_writes_is_for_its_owner_whatever_the_umask() {
    let place = Place::new();
    std::fs::create_dir(place.path("man")).unwrap();
    let directory = place.path("man").into_os_string().into_string().unwrap();
    assert_done(&place.shell("umask 000; exec \"$@\"", &["man", &directory]));
    let pages: Vec<_> = place.path("man").read_dir().unwrap().map(|entry| entry.unwrap()).collect();
    assert!(pages.iter().any(|page| page.file_name() == "fief-volume-snapshot-revert.1"), "{pages:?}");
    for page in pages {
        assert_eq!(page.metadata().unwrap().permissions().mode() & 0o077, 0, "{page:?}");
    }
}

#[test]
fn a_root_that_is_not_fit_to_be_one_is_refused() {
    let place = Place::new();
    std::fs::write(place.path("file"), "").unwrap();
    std::fs::create_dir(place.path("folder")).unwrap();
    std::fs::set_permissions(place.path("folder"), Permissions::from_mode(0o700)).unwrap();
    symlink(place.path("folder"), place.path("link")).unwrap();
    symlink(place.path("loop"), place.path("loop")).unwrap();
    std::fs::create_dir(place.path("open")).unwrap();
    std::fs::set_permissions(place.path("open"), Permissions::from_mode(0o777)).unwrap();
    for (name, cause) in [
        ("file", "not a directory"),
        ("file/below", "no directory"),
        ("link", "symbolic link"),
        ("loop", "symbolic link"),
        ("open", "other users"),
    ] {
        for verb in [&["plugin", "list"][..], &["plugin", "install", "/nonexistent"]] {
            let output = place.command(verb).env("FIEF_ROOT", place.path(name)).output().unwrap();
            assert_refused(&output, 4, cause);
        }
    }
    assert_eq!(std::fs::read(place.path("file")).unwrap(), b"");
    assert_eq!(place.path("folder").read_dir().unwrap().count(), 0);
}

#[test]
fn garbage_in_the_environment_is_refused_or_said() {
    let place = Place::new();
    for (value, cause) in [("", "not an absolute path"), ("relative/root", "not an absolute path"), ("/a/../b", "'..'")]
    {
        let output = place.command(&["plugin", "list"]).env("FIEF_ROOT", value).output().unwrap();
        assert_refused(&output, 2, cause);
    }
    let output = place.command(&["plugin", "list"]).env("FIEF_ROOT", "/\x1b[31m\n/../x").output().unwrap();
    assert_refused(&output, 2, "\\x1b[31m");
    assert!(!stderr(&output).contains('\x1b'));
    for noise in [OsString::from("[nonsense="), OsStr::from_bytes(b"\xff=").to_owned()] {
        let output = place.command(&["plugin", "list"]).env("FIEF_LOG", noise).output().unwrap();
        assert_done(&output);
        assert!(stderr(&output).starts_with("warning: FIEF_LOG"), "{}", stderr(&output));
    }
}

#[test]
fn another_user_is_kept_from_a_root_and_has_one_of_their_own() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("passed over: becoming another user needs root");
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.folder.path(), Permissions::from_mode(0o755)).unwrap();
    // Where the program lies, another user may not be able to read it.
    let copy = place.path("fief");
    std::fs::copy(program(), &copy).unwrap();
    std::fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    let run = |verb: &[&str], set: &[(&str, &Path)]| {
        let mut command = Command::new(&copy);
        command.args(verb).env_clear().envs(set.iter().copied()).uid(NOBODY).gid(NOBODY).current_dir("/");
        command.stdin(Stdio::null()).output().unwrap()
    };

    assert_refused(&run(&["plugin", "list"], &[]), 2, "HOME is not set");
    assert_refused(&run(&["plugin", "list"], &[("HOME", Path::new("relative"))]), 2, "HOME is not set");

    let theirs = place.path("theirs");
    std::fs::create_dir(&theirs).unwrap();
    assert_refused(&run(&["plugin", "list"], &[("FIEF_ROOT", &theirs)]), 4, "belongs to user 0");

    let home = place.path("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    assert_done(&run(&["plugin", "list"], &[("HOME", &home)]));
    assert_eq!(home.read_dir().unwrap().count(), 0, "reading made something");

    std::fs::set_permissions(&home, Permissions::from_mode(0o500)).unwrap();
    assert_done(&run(&["plugin", "list"], &[("FIEF_ROOT", &home)]));
    assert_refused(&run(&["plugin", "install", "/x"], &[("FIEF_ROOT", &home)]), 1, "cannot write in");
    assert_refused(&run(&["plugin", "install", "/x"], &[("FIEF_ROOT", &home.join("below"))]), 1, "cannot make");
    let output = run(&["plugin", "install", "/x"], &[("FIEF_ROOT", Path::new("/proc/fief"))]);
    assert_refused(&output, 1, "cannot make the directory /proc/fief");

    // Root does not believe what another user could have written.
    let output = place.command(&["plugin", "list"]).env("FIEF_ROOT", &home).output().unwrap();
    assert_refused(&output, 4, "belongs to user 65534");
}

#[test]
fn without_home_root_has_a_place_for_its_state() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let output = Command::new(program()).args(["host", "info", "-o", "json"]).env_clear().output().unwrap();
    assert_done(&output);
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(info["item"]["root"], "/var/lib/fief");
}
