//! Plugins that load, and misbehave in a call.

use std::time::Duration;

use fief_tests::command::{Said, Started};

use crate::component::Tail;
use crate::room::{LONG, PATIENCE, Room, SHORT, expect, wasm};

/// The limits below end a call within 2 s; the rest is for a machine with other work.
const IN_TIME: Duration = Duration::from_secs(20);

/// What the operator does when the plugin strikes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    List,
    Create,
    /// Already where the pool is defined: the first call of all.
    Define,
}

/// (example of tests/hostile, limits, call, exit code, words on stderr)
type Family = (&'static str, &'static str, Call, i32, &'static str);

const FAMILIES: &[Family] = &[
    ("spin", SHORT, Call::List, 7, "it spent its processor time"),
    ("sleep", SHORT, Call::List, 7, "it ran past its deadline"),
    ("memory", LONG, Call::List, 7, "it wanted more memory than its limit"),
    ("recursion", SHORT, Call::List, 7, "it ran out of stack"),
    ("long_answer", LONG, Call::List, 7, "it moved more bytes in one call than its limit"),
    ("many_answers", LONG, Call::List, 7, "it moved more bytes in one call than its limit"),
    ("random", SHORT, Call::List, 7, "exceeds limit"),
    ("handles", LONG, Call::List, 7, "its code failed"),
    ("forged", SHORT, Call::List, 7, "unknown handle index"),
    ("meddle", SHORT, Call::List, 7, "it changed something in a call that only asks"),
    ("half", SHORT, Call::Create, 7, "its code failed"),
    ("lie", SHORT, Call::Create, 7, "gave an answer that fief does not accept"),
    ("greedy", SHORT, Call::Define, 5, "the secret root-password"),
];

fn id(example: &str) -> String {
    format!("hostile-{}", example.replace('_', "-"))
}

#[test]
fn a_plugin_that_misbehaves_fails_its_own_call_and_nothing_else() {
    let ids: Vec<(String, &str)> = FAMILIES.iter().map(|family| (id(family.0), family.1)).collect();
    let named: Vec<(&str, &str)> = ids.iter().map(|(id, limits)| (id.as_str(), *limits)).collect();
    let room = Room::new(&named);
    for (example, _, call, code, words) in FAMILIES {
        let id = id(example);
        room.install(&wasm(example)).expect_code(0);
        let define = ["pool", "create", &id, "--kind", &id];
        if *call != Call::Define {
            room.run(&define).expect_code(0);
        }
        let volume = format!("{id}/victim");
        let strike: &[&str] = match call {
            Call::List => &["volume", "list", &id],
            Call::Create => &["volume", "create", &volume, "--size", "1MiB", "--format", "raw"],
            Call::Define => &define,
        };
        let before = room.census();
        // Twice: the first failure leaves nothing that a second one would trip over.
        for _ in 0..2 {
            let said = expect(example, room.run_beside_neighbour(strike), *code, words);
            assert!(said.took < IN_TIME || named.contains(&(&id, LONG)), "{example} took {:?}", said.took);
            room.is_as(&before);
        }
        if SET_ASIDE.contains(example) {
            is_set_aside(&room, &id, strike, words);
        }
    }
}

/// What fief itself may take more than it does for a plugin that is well: what a plugin says comes in pieces of 4 MiB at most
/// (`sandbox/protocol.rs`), as text and as what it stands for.
const MORE: u64 = 32 << 20;

#[test]
fn memory_that_a_plugin_takes_is_not_the_hosts() {
    let greedy = ["memory", "long_answer", "many_answers", "recursion"];
    let ids: Vec<String> = greedy.iter().map(|example| id(example)).collect();
    let named: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), LONG)).collect();
    let room = Room::new(&named);
    let (said, usual) = most_memory(&room, &["volume", "list", "good"]);
    said.expect_code(0);
    assert!(usual > 1 << 20, "{usual} bytes are none");
    for (example, id) in greedy.into_iter().zip(&ids) {
        room.install(&wasm(example)).expect_code(0);
        room.run(&["pool", "create", id, "--kind", id]).expect_code(0);
        let (said, most) = most_memory(&room, &["volume", "list", id]);
        expect(example, said, 7, "");
        assert!(most < usual + MORE, "{example}: {most} bytes, where {usual} are usual");
    }
}

/// Runs it, and gives the most memory, in bytes, that its own process ever had (`VmHWM`, proc(5)).
fn most_memory(room: &Room, words: &[&str]) -> (Said, u64) {
    let mut command = Started::start(&mut room.host.command(words));
    let status = format!("/proc/{}/status", command.pid());
    let mut most = 0;
    while !command.is_over() {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        // A process that has ended, and was not waited for, has none.
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        most = peak.map_or(most, |peak| most.max(peak.trim().parse::<u64>().unwrap() << 10));
        std::thread::sleep(Duration::from_millis(1));
    }
    (command.ends(PATIENCE), most)
}

/// Families that are tried a third time: a trap, a limit, an answer that is not believed, a change that was not asked for.
const SET_ASIDE: &[&str] = &["spin", "half", "lie", "meddle"];

/// Once more is too often: then it is not called at all, a pool beside it is, and the operator lets it try again.
fn is_set_aside(room: &Room, id: &str, strike: &[&str], words: &str) {
    expect(id, room.run(strike), 7, words);
    let told = |what: &str| room.run(&["plugin", what, id]).expect_code(0).stdout;
    let listed = room.run(&["plugin", "list", "-o", "json"]).expect_code(0).json();
    let listed = listed["items"].as_array().unwrap().iter().find(|item| item["id"] == id).unwrap().clone();
    assert_eq!(listed["set-aside"][0]["subject"], format!("pool {id}"));
    assert!(listed["set-aside"][0]["why"].as_str().unwrap().contains(words), "{listed}");
    assert!(told("show").contains("at fault 3 times"));
    let said = expect(id, room.run_beside_neighbour(strike), 7, "is set aside for pool");
    assert!(
        said.stderr.contains(words) && said.stderr.contains(&format!("fief plugin release {id}")),
        "{}",
        said.stderr
    );
    let beside = format!("{id}-beside");
    room.run(&["--dry-run", "pool", "create", &beside, "--kind", id]).expect_code(0);
    room.run(&["--dry-run", "plugin", "release", id]).expect_code(0);
    expect(id, room.run(strike), 7, "is set aside for pool");
    assert!(told("release").contains("may try again for pool"));
    assert!(told("release").contains("was not set aside"));
    let said = expect(id, room.run(strike), 7, words);
    assert!(!said.stderr.contains("set aside"), "{}", said.stderr);
}

/// (core module in tests/hostile/wat, instances of it, words on stderr)
const MODULES: &[(&str, u32, &str)] = &[
    ("start", 1, "it spent its processor time"),
    ("table", 1, "it wanted more table elements than its limit"),
    ("tables", 1, ""),
    ("memories", 1, ""),
    ("empty", 10_000, ""),
];

#[test]
fn a_component_that_is_too_much_before_its_first_call_fails_it() {
    let room = Room::new(&[("hostile-calm", SHORT)]);
    let calm = std::fs::read(wasm("calm")).unwrap();
    for (module, instances, words) in MODULES {
        let path = room.file(module, &Tail::of(&calm).module(module, *instances));
        room.run(&["plugin", "remove", "hostile-calm", "--force", "--if-exists"]).expect_code(0);
        let installed = room.install(&path);
        std::fs::remove_file(&path).unwrap();
        // What shows in the binary alone may be refused at once; what does not is stopped in the first call.
        if installed.code == Some(0) {
            let before = room.census();
            let define = ["pool", "create", "bomb", "--kind", "hostile-calm"];
            let said = expect(module, room.run_beside_neighbour(&define), 7, words);
            assert!(said.took < IN_TIME, "{module} took {:?}", said.took);
            room.is_as(&before);
        } else {
            assert!(matches!(installed.code, Some(2 | 7)), "{module}: {}", installed.stderr);
        }
    }
    // The same plugin without its tail.
    room.run(&["plugin", "remove", "hostile-calm", "--force", "--if-exists"]).expect_code(0);
    room.install(&wasm("calm")).expect_code(0);
    room.run(&["pool", "create", "bomb", "--kind", "hostile-calm"]).expect_code(0);
}

#[test]
fn a_flood_of_log_lines_is_cut_short_and_the_call_goes_on() {
    let room = Room::new(&[("hostile-flood", LONG)]);
    room.install(&wasm("flood")).expect_code(0);
    room.run(&["pool", "create", "flood", "--kind", "hostile-flood"]).expect_code(0);
    let said = expect("flood", room.run_beside_neighbour(&["volume", "list", "flood"]), 0, "lines dropped");
    assert!(said.stdout.contains("flood/flood"), "{}", said.stdout);
    assert!(said.stderr.len() < 1 << 20, "{} bytes of log", said.stderr.len());
    let longest = said.stderr.lines().map(str::len).max().unwrap_or(0);
    assert!(longest < 16 << 10, "a line of {longest} bytes");
}

#[test]
fn nothing_that_a_plugin_says_reaches_the_terminal_as_it_is() {
    let room = Room::new(&[("hostile-terminal", SHORT)]);
    room.install(&wasm("terminal")).expect_code(0);
    room.run(&["pool", "create", "terminal", "--kind", "hostile-terminal"]).expect_code(0);
    for format in [&["-o", "json"][..], &[]] {
        let said = room.run(&[&["volume", "list", "terminal"], format].concat());
        let said = expect("terminal", said, 1, "owned");
        let odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.stderr.contains(odd) && !said.stdout.contains(odd), "{:?}", said.stderr);
        assert!(!said.stderr.lines().any(|line| line.starts_with("error: all is well")), "{}", said.stderr);
    }
}
