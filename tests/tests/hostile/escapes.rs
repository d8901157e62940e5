//! Paths that lead out of a granted directory: through WASI, and through the host's own image functions.

use crate::room::{Room, SHORT, expect, wasm};

const PATHS: &[&str] = &[
    "../secret",
    "../../../../../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "link/passwd",
    "link/passwd/",
    "link/../../../etc/passwd",
    "near",
    "./near",
    "below/../../secret",
    "below/../link/passwd",
    "/proc/self/environ",
    "/proc/self/root/etc/passwd",
    "/dev/fd/0",
    "..",
    "../policy.toml",
];

#[test]
fn nothing_outside_of_a_granted_directory_is_reached() {
    let room = Room::new(&[("hostile-escape", SHORT), ("hostile-images", SHORT)]);
    for example in ["escape", "images"] {
        room.install(&wasm(example)).expect_code(0);
    }
    let far = "../".repeat(60) + "etc/passwd";
    for path in PATHS.iter().copied().chain([far.as_str()]) {
        let set = format!("path={path}");
        for (id, strike) in [
            ("hostile-escape", &["volume", "list", "prison"][..]),
            ("hostile-images", &["volume", "create", "prison/victim", "--size", "1MiB", "--format", "raw"]),
        ] {
            room.run(&["pool", "create", "prison", "--kind", id, "--set", &set]).expect_code(0);
            let before = room.census();
            expect(&format!("{id} {path}"), room.run(strike), 5, "nothing outside could be reached");
            room.is_as(&before);
            room.run(&["pool", "delete", "prison", "--yes"]).expect_code(0);
        }
    }
}

/// So that the test above does not pass because nothing works.
#[test]
fn files_inside_of_a_granted_directory_are_the_plugins_own() {
    let room = Room::new(&[("hostile-scribble", SHORT)]);
    room.install(&wasm("scribble")).expect_code(0);
    room.run(&["pool", "create", "desk", "--kind", "hostile-scribble"]).expect_code(0);
    let before = room.census();
    let said = expect("scribble", room.run(&["volume", "list", "desk"]), 0, "");
    assert!(said.stdout.contains("desk/scribbled"), "{}", said.stdout);
    room.is_as(&before);
}
