//! Volumes that a hostile plugin serves itself: each fails its own clients, and nothing else.

use std::fs;

use fief_tests::{Served, kill};

use crate::room::{Room, expect, wasm};

/// For each turn of the plugin's code, and for all of its memory.
const LIMITS: &str = r#"{ cpu = "300ms", memory = "16MiB" }"#;
/// One takes its requests itself, the other is called for each.
const POOL: &str = "hostile-device";
const CALLED: &str = "hostile-called";

fn room() -> Room {
    let room = Room::new(&[(POOL, LIMITS), (CALLED, LIMITS)]);
    for (plugin, pool) in [("device", POOL), ("called", CALLED)] {
        room.install(&wasm(plugin)).expect_code(0);
        room.run(&["pool", "create", pool, "--kind", pool]).expect_code(0);
    }
    room
}

fn serve(room: &Room, volume: &str) -> Served {
    serve_of(room, POOL, volume)
}

fn serve_of(room: &Room, pool: &str, volume: &str) -> Served {
    Served::start(&room.host, &format!("{pool}/{volume}"), &[])
}

/// Reads all of it, whatever its map says.
const COPY: &[&str] = &["--no-extents", "URI", "null:"];

#[test]
fn a_task_that_open_began_answers_requests_that_come_later() {
    let room = room();
    for pool in [POOL, CALLED] {
        let served = serve_of(&room, pool, "good");
        let copy = served.file("copy");
        served.tool("nbdcopy", &["--no-extents", "--requests=32", "URI", &copy.to_string_lossy()]);
        let bytes = fs::read(&copy).unwrap();
        assert_eq!(bytes.len(), 1 << 20);
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at >> 10) as u8), "answers went astray");
        served.end();
    }
}

#[test]
fn wrong_answers_fail_the_request_and_serving_goes_on() {
    let room = room();
    for (pool, volume) in [(POOL, "short"), (POOL, "long"), (CALLED, "short")] {
        let served = serve_of(&room, pool, volume);
        let said = served.tool_ends("nbdcopy", COPY, 1);
        assert!(said.stderr.contains("Input/output error"), "{volume}: {}", said.stderr);
        served.tool("nbdinfo", &["--size", "URI"]);
        served.end();
    }
    let served = serve(&room, "mute");
    served.tool_ends("nbdinfo", &["--map", "URI"], 1);
    served.tool("nbdcopy", COPY);
    served.end();
    let served = serve(&room, "liar");
    let map = served.tool("nbdinfo", &["--map", "--json", "URI"]).json();
    let lengths = map.as_array().unwrap().iter().map(|extent| extent["length"].as_u64().unwrap());
    assert_eq!(lengths.sum::<u64>(), 1 << 20, "{map}");
    served.end();
}

/// (pool, volume, words of the one who started it)
const FATAL: &[(&str, &str, &str)] = &[
    (POOL, "trap", "its code failed"),
    (CALLED, "trap", "its code failed"),
    (POOL, "spin", "it spent its processor time"),
    (POOL, "memory", "it wanted more memory than its limit"),
    (POOL, "astray", "answered what it was not asked"),
];

#[test]
fn what_goes_past_a_limit_ends_its_sandbox_and_is_told() {
    let room = room();
    let before = room.census();
    for (pool, volume, words) in FATAL {
        let served = serve_of(&room, pool, volume);
        served.tool_ends("nbdcopy", COPY, 1);
        let said = served.ends(7);
        assert!(said.contains(words), "{volume}: {said}");
        room.is_as(&before);
    }
    for (volume, code, words) in [("odd", 7, "is impossible"), ("stuck", 9, "did not answer in time")] {
        let name = format!("{POOL}/{volume}");
        let socket = room.host.root().join("socket");
        let socket = socket.to_string_lossy();
        let said = room.run_beside_neighbour(&["volume", "serve", &name, "--socket", &socket, "--timeout", "1s"]);
        expect(volume, said, code, words);
        room.is_as(&before);
    }
}

#[test]
fn a_volume_that_never_answers_or_never_stops_telling_holds_up_nobody() {
    let room = room();
    let silent = serve(&room, "silent");
    let waiting = silent.tool_ends("timeout", &["3", "nbdcopy", "--no-extents", "URI", "null:"], 124);
    assert!(waiting.stderr.is_empty(), "{}", waiting.stderr);
    silent.tool("nbdinfo", &["--size", "URI"]);
    room.run_beside_neighbour(&["pool", "list"]).expect_code(0);
    kill(silent.process);
    silent.ends(7);

    let flood = serve(&room, "flood");
    for _ in 0..5 {
        flood.tool("nbdcopy", COPY);
    }
    assert!(flood.stderr().len() < 1 << 20, "{} bytes of events", flood.stderr().len());
    flood.end();
}
