//! Plugins that reach beyond their sandbox: for streams and secrets of others, for too many, for too long, and into this
//! host by way of a name.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use fief_tests::{Served, command};

use crate::room::{LONG, Room, SHORT, expect, wasm};

const ID: &str = "hostile-reach";
/// The limits end a call within seconds; the rest is for a machine with other work.
const IN_TIME: Duration = Duration::from_secs(30);

/// A room whose plugin is granted `{server}:{port}` with `more`, and the secrets `own` and `spare`.
fn room(limits: &str, more: &str) -> Room {
    let room = Room::new(&[(ID, limits)]);
    let path = room.host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let granted = format!(
        "[plugins.{ID}]\nsecrets = [\"own\", \"spare\"]\n\
         connections = [{{ name = \"server\", to = \"{{server}}:{{port}}\"{more} }}]\n"
    );
    fs::write(&path, policy.replace(&format!("[plugins.{ID}]\n"), &granted)).unwrap();
    for name in ["own", "spare", "others"] {
        let mut set = room.host.command(&["secret", "set", name]);
        command::run_given(&mut set, b"4711\n", IN_TIME).expect_code(0);
    }
    room.install(&wasm("reach")).expect_code(0);
    room
}

impl Room {
    /// Defines a pool of the plugin's anew.
    fn pool(&self, name: &str, settings: &[&str]) {
        self.run(&["pool", "delete", name, "--yes", "--if-exists"]).expect_code(0);
        let mut words = vec!["pool", "create", name, "--kind", ID];
        settings.iter().for_each(|setting| words.extend(["--set", setting]));
        self.run(&words).expect_code(0);
    }
}

/// A server in the room's namespace that takes every connection, and neither reads nor says anything. Gives `port=N`.
fn server(room: &Room) -> String {
    let (told, port) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            room.host.namespace().enter();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            told.send(listener.local_addr().unwrap().port()).unwrap();
            // It goes on past this scope, with the listener; the process ends it.
            std::thread::spawn(move || {
                let _kept: Vec<_> = listener.incoming().map_while(Result::ok).collect();
            });
        });
    });
    format!("port={}", port.recv().unwrap())
}

#[test]
fn a_plugin_reaches_the_streams_and_secrets_of_its_own_pool_alone() {
    let room = room(SHORT, ", allow = [\"loopback\"]");
    let port = server(&room);
    let here = ["server=127.0.0.1", &port, "password=own"];
    room.pool("calm", &here);
    let said = expect("honest", room.run(&["volume", "list", "calm"]), 0, "");
    assert!(said.stdout.contains("calm/secret-of-4"), "{}", said.stdout);
    let before = room.census();
    for (act, with, code, words) in [
        ("connect", "other", 5, "asks for no connection other"),
        ("connect", "127.0.0.1:22", 2, "grant: "),
        ("connect", "", 2, "grant: "),
        ("reveal", "others", 5, "names no secret others"),
        ("reveal", "spare", 5, "names no secret spare"),
        ("reveal", "../policy.toml", 2, "secret: "),
        ("reveal", "{password}", 2, "secret: "),
        ("reveal", "own", 0, ""),
    ] {
        room.pool("sly", &[&here[..], &[&format!("act={act}"), &format!("with={with}")]].concat());
        expect(&format!("{act} {with}"), room.run(&["volume", "list", "sly"]), code, words);
    }
    // Another pool of the same plugin leads elsewhere, where nobody is.
    room.pool("sly", &["server=127.0.0.2", &port, "act=connect"]);
    expect("another server", room.run(&["volume", "list", "sly"]), 8, "refuses connections");
    // A secret that is not granted is refused before any code of the plugin's runs.
    let words =
        ["pool", "create", "greedy", "--kind", ID, "--set", "server=a", "--set", "port=1", "--set", "password=others"];
    expect("not granted", room.run(&words), 5, "no secret \"others\"");
    room.run(&["pool", "delete", "sly", "--yes"]).expect_code(0);
    room.is_as(&before);
}

#[test]
fn a_name_does_not_lead_into_this_host() {
    let room = room(SHORT, "");
    let port = server(&room);
    // `ip netns exec` lays this over /etc/hosts (ip-netns(8)).
    let folder = PathBuf::from("/etc/netns").join(room.host.namespace().name());
    fs::create_dir_all(&folder).unwrap();
    let hosts =
        "127.0.0.1 inward\n::1 inward6\n169.254.169.254 metadata\n10.98.0.1 own\n0.0.0.0 nobody\n224.0.0.1 all\n";
    fs::write(folder.join("hosts"), hosts).unwrap();
    room.host.namespace().ip("address add 10.98.0.1/24 dev lo");
    for (server, words) in [
        ("inward", "127.0.0.1 is this host's loopback"),
        ("inward6", "::1 is this host's loopback"),
        ("127.0.0.1", "127.0.0.1 is this host's loopback"),
        ("::ffff:127.0.0.1", "127.0.0.1 is this host's loopback"),
        ("metadata", "169.254.169.254 is a link-local address"),
        ("own", "10.98.0.1 is this host's own address"),
        ("nobody", "0.0.0.0 is an unspecified address"),
        ("all", "224.0.0.1 is a multicast address"),
        ("localhost:22", "may not stand in the name of a host"),
        ("2130706433", "is not an IPv4 address"),
    ] {
        room.pool("rebound", &[&format!("server={server}"), &port, "act=connect"]);
        expect(server, room.run(&["volume", "list", "rebound"]), 5, words);
    }
    let audit = fs::read_to_string(room.host.root().join("audit.jsonl")).unwrap();
    let opened = audit.lines().filter(|line| line.contains("connection-open")).count();
    assert!(opened >= 10 && !audit.contains("\"connected\""), "{audit}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_plugin_that_connects_without_end_ends_its_own_call_alone() {
    let room = room(LONG, ", allow = [\"loopback\"]");
    let port = server(&room);
    for act in ["keep", "drop"] {
        room.pool("many", &["server=127.0.0.1", &port, &format!("act={act}")]);
        let before = room.census();
        let said = room.run_beside_neighbour(&["volume", "list", "many"]);
        expect(act, said, 12, "64 connections, then: one call opens at most 64");
        room.is_as(&before);
    }
    // Of each call, which is a process of its own, the audit file has a few lines.
    let audit = fs::read_to_string(room.host.root().join("audit.jsonl")).unwrap();
    let opened = audit.lines().filter(|line| line.contains("connection-open")).count();
    assert!((2..=20).contains(&opened), "{opened} lines");
    let dry = ["--dry-run", "volume", "create", "many/new", "--size", "1MiB"];
    let said = expect("dry run", room.run(&dry), 5, "a dry run opens no connection for a change");
    assert!(said.stdout.contains(r#""operation":"connection-open""#), "{}", said.stdout);
}

#[test]
fn a_server_that_is_silent_or_gone_holds_up_no_more_than_a_call() {
    let room = room(SHORT, ", allow = [\"loopback\"]");
    let port = server(&room);
    // Nobody has the address: to find that out takes the kernel seconds.
    let namespace = room.host.namespace();
    namespace.ip("link add a0 type veth peer name b0");
    namespace.ip("address add 10.98.0.1/24 dev a0");
    namespace.ip("link set a0 up");
    namespace.ip("link set b0 up");
    for (act, server, code, words) in [
        ("deaf", "127.0.0.1", 7, "it ran past its deadline"),
        ("stubborn", "10.98.0.2", 9, "the call has spent its time on connecting"),
    ] {
        room.pool("silent", &[&format!("server={server}"), &port, &format!("act={act}")]);
        let before = room.census();
        let said = room.run_beside_neighbour(&["volume", "list", "silent"]);
        let said = expect(act, said, code, words);
        assert!(said.took < IN_TIME, "{act} took {:?}", said.took);
        room.is_as(&before);
    }
}

/// A server in the room's namespace that says back what it hears, and ends each stream after `most` bytes. Gives `port=N`.
fn echo(room: &Room, most: usize) -> String {
    let (told, port) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            room.host.namespace().enter();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            told.send(listener.local_addr().unwrap().port()).unwrap();
            // It goes on past this scope, with the listener; the process ends it.
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let mut back = stream.try_clone().unwrap();
                    // Whoever ends it meanwhile, ends it.
                    let _ = std::io::copy(&mut stream.take(most as u64), &mut back);
                }
            });
        });
    });
    format!("port={}", port.recv().unwrap())
}

#[test]
fn a_served_volume_speaks_over_streams_that_it_was_handed() {
    let room = room(SHORT, ", allow = [\"loopback\"]");
    let port = echo(&room, 1 << 30);
    room.pool("remote", &["server=127.0.0.1", &port, "password=own"]);
    let served = Served::start(&room.host, "remote/disk", &["--read-only"]);
    let copy = served.file("copy");
    served.tool("nbdcopy", &["--requests=32", "--request-size=4096", "URI", &copy.to_string_lossy()]);
    let bytes = fs::read(&copy).unwrap();
    let right = |(at, eight): (usize, &[u8])| eight == (at as u64 * 8 / 4096 * 4096).to_be_bytes();
    assert!(bytes.len() == 1 << 20 && bytes.chunks(8).enumerate().all(right), "answers went astray");
    served.end();

    // What is not granted is as far away as in a call.
    for (with, code, words) in [("other", 5, "asks for no connection other"), ("../x", 2, "grant: ")] {
        room.pool("sly", &["server=127.0.0.1", &port, &format!("with={with}")]);
        let socket = room.host.root().join("socket");
        let said = room.run(&["volume", "serve", "sly/disk", "--read-only", "--socket", &socket.to_string_lossy()]);
        expect(with, said, code, words);
    }

    // A server that ends the stream fails the requests, and nothing else.
    let port = echo(&room, 8 * 16);
    room.pool("cut", &["server=127.0.0.1", &port]);
    let served = Served::start(&room.host, "cut/disk", &["--read-only"]);
    let said = served.tool_ends("nbdcopy", &["--requests=4", "--request-size=4096", "URI", "null:"], 1);
    assert!(said.stderr.contains("Input/output error"), "{}", said.stderr);
    served.tool("nbdinfo", &["--size", "URI"]);
    served.end();
}
