//! Files that are not what they say: refused when they are installed, by what is wrong with them.

use std::fs;

use crate::component::Tail;
use crate::room::{Room, SHORT, expect, wasm};

const SECTION: &str = "fief:manifest";

fn manifest(change: &str, to: &str) -> Vec<u8> {
    let good = r#"{"schema":1,"id":"hostile-nameless","version":"1.0.0","kind":"storage","host-api":"0.1.0","summary":"It.","settings":[],"permissions":[{"permission":"interface","interface":"images","reason":"Because."}]}"#;
    assert!(good.contains(change), "{change}");
    good.replacen(change, to, 1).into_bytes()
}

#[test]
fn a_file_that_is_not_what_it_says_is_not_installed() {
    let room = Room::new(&[("hostile-calm", SHORT), ("hostile-nameless", SHORT)]);
    room.install(&wasm("calm")).expect_code(0);
    let machine_code = fs::read_dir(room.host.root().join("cache")).unwrap().flatten().next().unwrap().path();
    let calm = fs::read(wasm("calm")).unwrap();
    let nameless = fs::read(wasm("nameless")).unwrap();
    let with = |manifest: &[u8]| Tail::of(&nameless).custom(SECTION, manifest);
    let files: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "the file is empty"),
        ("text", b"(component)".to_vec(), "WebAssembly text"),
        ("core", wat::parse_str("(module)").unwrap(), "core WebAssembly module"),
        ("archive", b"PK\x03\x04".to_vec(), "an archive"),
        ("script", b"#!/bin/sh\nid\n".to_vec(), "not a WebAssembly component"),
        ("machine code", fs::read(machine_code).unwrap(), "compiled machine code"),
        ("half", calm[..calm.len() / 2].to_vec(), "damaged or cut off"),
        ("no manifest", nameless.clone(), "has no section fief:manifest"),
        ("two manifests", Tail::of(&calm).custom(SECTION, b"{}"), "exactly one is allowed"),
        ("joined manifests", fs::read(wasm("stammer")).unwrap(), "trailing characters"),
        ("10 MiB of manifest", with(&vec![b' '; 10 << 20]), "bytes long"),
        ("a manifest that is none", with(b"\xff\xfe"), "manifest"),
        ("another schema", with(&manifest("\"schema\":1", "\"schema\":2")), "its schema is 2"),
        ("a newer host", with(&manifest("\"0.1.0\"", "\"0.9.0\"")), "0.9.0"),
        ("an id that leads elsewhere", with(&manifest("hostile-nameless", "../../etc")), "a name starts with"),
        ("an unknown permission", with(&manifest("\"images\"", "\"kernel\"")), "unknown variant"),
        ("an unknown key", with(&manifest("\"reason\"", "\"raeson\"")), "unknown field"),
        ("a summary for the terminal", with(&manifest("It.", "\\u001b[2J")), "holds the character"),
        ("another kind", fs::read(wasm("wrong_kind")).unwrap(), "it does not export fief:network/mode@0.1.0"),
        ("more than it asks for", fs::read(wasm("unasked")).unwrap(), "fief:storage/images@0.1.0, which its manifest"),
        ("sockets", fs::read(wasm("sockets")).unwrap(), "it imports wasi:sockets/"),
    ];
    let before = room.census();
    for (family, bytes, words) in files {
        let path = room.file("package", &bytes);
        let said = room.install(&path);
        fs::remove_file(&path).unwrap();
        expect(family, said, 2, words);
        room.is_as(&before);
    }
    // The tail alone is no fault.
    let path = room.file("package", &with(&manifest("It.", "It works.")));
    let said = room.install(&path);
    fs::remove_file(&path).unwrap();
    expect("a manifest like any other", said, 0, "");
}

/// Features of WebAssembly that the engine has switched off.
#[test]
fn a_component_that_wants_what_the_engine_does_not_have_is_not_installed() {
    let room = Room::new(&[("hostile-calm", SHORT)]);
    let calm = fs::read(wasm("calm")).unwrap();
    let before = room.census();
    for module in ["memory64", "shared"] {
        let path = room.file(module, &Tail::of(&calm).module(module, 1));
        let said = room.install(&path);
        fs::remove_file(&path).unwrap();
        expect(module, said, 7, "hostile-calm");
        room.is_as(&before);
    }
}
