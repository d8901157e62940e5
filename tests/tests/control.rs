//! The control socket of a supervisor takes whatever comes: what is no request is refused or dropped, and neither the guest
//! nor the next command notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use fief_tests::boot_sector::{self, Then};
use fief_tests::{Guest, Host, command, eventually};

/// A supervisor waits 5 s for a request to be whole.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than it serves at once (64), as promises.md has it.
const FLOOD: usize = 1000;

fn connect(host: &Host) -> UnixStream {
    // The path of a test's root is short enough for a socket's address (108 bytes, unix(7)).
    let path = host.root().join("domains/node1/control.sock");
    let connected = || UnixStream::connect(&path).ok();
    let stream = eventually("a connection", PATIENCE, connected);
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// What is answered to `bytes`, up to the end of the line or of the connection.
fn answer(host: &Host, bytes: &[u8]) -> String {
    let mut stream = connect(host);
    // One that is dropped in the middle is an answer too.
    let _ = stream.write_all(bytes);
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

/// The guest runs on under the same supervisor, and commands are served.
#[track_caller]
fn goes_on(host: &Host, supervisor: u32, after: &str) {
    assert_eq!((host.state("node1").as_str(), host.supervisor("node1")), ("running", supervisor), "after {after}");
    host.fief(&["pause", "node1"]);
    host.fief(&["resume", "node1"]);
}

fn as_another_user(path: &Path) -> command::Said {
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.sendall(b'{\"request\":\"stop\"}\\n')\nsys.stdout.write(s.recv(100).decode())\n";
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", script]).arg(path);
    command::run(&mut command, PATIENCE)
}

#[test]
fn whatever_comes_on_the_control_socket_the_guest_and_other_commands_go_on() {
    let host = Host::new();
    let sector = host.root().join("images/sector");
    boot_sector::write(&sector, "hello", Then::Halt);
    host.volume_with("default/node1", "1MiB", &sector);
    std::fs::remove_file(sector).expect("the sector");
    host.fief(&["create", "node1", "--memory", "32MiB", "--disk", "default/node1"]);
    host.fief(&["start", "node1"]);
    let guest = Guest::of(&host, "node1");
    guest.says("hello");
    let supervisor = host.supervisor("node1");

    let long = [b"{\"request\":\"".as_slice(), &vec![b'x'; 1 << 20], b"\"}\n"].concat();
    let bad: [(&str, &[u8], &str); 9] = [
        ("an empty line", b"\n", "does not know this request"),
        ("no JSON", b"stop\n", "does not know this request"),
        ("an unknown request", b"{\"request\":\"destroy\"}\n", "does not know this request"),
        ("a field too many", b"{\"request\":\"save\",\"file\":\"/x\",\"force\":true}\n", "does not know this request"),
        ("a field of another type", b"{\"request\":\"shutdown\",\"timeout-ms\":-1,\"then-stop\":1}\n", "does not know"),
        ("a length of 4 GiB", b"\xff\xff\xff\xff\xff\xff\xff\xff\n", ""),
        ("a megabyte without an end", &long, ""),
        (
            "a change of a kind that there is not",
            b"{\"request\":\"change\",\"change\":{\"change\":\"format\"},\"timeout-ms\":0}\n",
            "does not know this request",
        ),
        (
            "a change that no domain may have",
            b"{\"request\":\"change\",\"change\":{\"change\":\"set\",\"settings\":{\"vcpus\":0}},\"timeout-ms\":0}\n",
            "cannot be changed so",
        ),
    ];
    for (what, bytes, said) in bad {
        let answer = answer(&host, bytes);
        assert!(answer.contains(said) && !answer.contains("\"ok\""), "{what} was answered {answer:?}");
        goes_on(&host, supervisor, what);
    }

    // A request that never becomes whole, a slow one, one whose asker is gone: nobody else waits for them.
    let mut partial = connect(&host);
    partial.write_all(b"{\"request\":\"st").expect("a socket");
    let mut slow = connect(&host);
    let mut gone = connect(&host);
    gone.write_all(b"{\"request\":\"status\"}\n").expect("a socket");
    drop(gone);
    for byte in b"{\"request\":\"status\"}\n" {
        slow.write_all(&[*byte]).expect("a socket");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut line = String::new();
    BufReader::new(&slow).read_line(&mut line).expect("an answer");
    assert!(line.contains("running"), "{line:?}");
    goes_on(&host, supervisor, "a partial request");
    assert_eq!(partial.read(&mut [0; 16]).expect("the end of the connection"), 0, "it was not dropped");

    // More clients than are served; those that say nothing are dropped, and make room.
    let mut flood = Vec::with_capacity(FLOOD);
    let path = host.root().join("domains/node1/control.sock");
    for _ in 0..FLOOD {
        flood.extend(UnixStream::connect(&path));
    }
    let begun = Instant::now();
    eventually("a place for a command", PATIENCE, || {
        command::run(&mut host.command(&["pause", "node1"]), PATIENCE).code.filter(|code| *code == 0)
    });
    assert!(begun.elapsed() < PATIENCE);
    host.fief(&["resume", "node1"]);
    drop(flood);
    goes_on(&host, supervisor, "a flood");

    // Another user may not even reach it, nor would be served.
    let said = as_another_user(&path);
    assert!(said.code != Some(0) || said.stdout.is_empty(), "another user was served: {}", said.stdout);
    goes_on(&host, supervisor, "another user");

    host.fief(&["stop", "node1"]);
    drop(guest);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}
