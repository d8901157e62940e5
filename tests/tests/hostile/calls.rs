//! Plugins that load, and misbehave in a call.

use std::time::Duration;

use crate::component::Tail;
use crate::room::{LONG, Room, SHORT, expect, wasm};

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
    }
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
