//! The verbs for a domain that is there: pause and resume, reset, reboot, shutdown, rename, pictures of its screen,
//! protection, and what starts and ends with the host.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fief_tests::boot_sector::{self, Then};
use fief_tests::guest::SPEAKS;
use fief_tests::{Guest, Host, eventually};
use rustix::process::{Pid, Signal, kill_process};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
const TIMED_OUT: i32 = 9;

/// A domain whose disk is a boot sector: it says `text`, then halts.
fn sector<'a>(host: &'a Host, name: &str, options: &[&str], text: &str) -> Guest<'a> {
    define_sector(host, name, options, text, Then::Halt);
    host.fief(&["start", name]);
    let guest = Guest::of(host, name);
    guest.says(text);
    guest
}

fn define_sector(host: &Host, name: &str, options: &[&str], text: &str, then: Then) {
    let file = host.root().join(format!("images/{name}-sector"));
    boot_sector::write(&file, text, then);
    let volume = format!("default/{name}");
    host.volume_with(&volume, "1MiB", &file);
    std::fs::remove_file(file).expect("the sector");
    host.fief(&[&["create", name, "--memory", "32MiB", "--disk", &volume], options].concat());
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("a process of this test");
}

#[test]
fn a_paused_guest_stands_still_until_it_is_resumed_whoever_watches_over_it() {
    let host = Host::new();
    let guest = host.run_guest("node1", &[], "fief.mode=count");
    guest.says("fief-guest: beat 3");
    host.fief(&["pause", "node1"]);
    assert!(host.fief(&["pause", "node1"]).stdout.contains("is paused"));
    assert_eq!(host.state("node1"), "paused");
    host.fief_ends(&["shutdown", "node1"], CONFLICT);
    host.fief_ends(&["reboot", "node1"], CONFLICT);

    let hypervisor = host.hypervisor("node1");
    kill(host.supervisor("node1"));
    eventually("a new supervisor", SPEAKS, || {
        host.fief(&["wait", "node1", "--state", "paused", "--timeout", "30s"]);
        host.fief(&["pause", "node1"]);
        Some(())
    });
    assert_eq!((host.state("node1").as_str(), host.hypervisor("node1")), ("paused", hypervisor));

    // It beats five times a second: none of these is said while it stands still.
    let log = host.fief(&["logs", "node1"]).stdout;
    let last = log.matches("fief-guest: beat ").count();
    let again = host.fief(&["logs", "node1"]).stdout;
    assert_eq!(again.matches("fief-guest: beat ").count(), last);
    host.fief(&["resume", "node1"]);
    assert!(host.fief(&["resume", "node1"]).stdout.contains("runs already"));
    Guest::of(&host, "node1").says(&format!("fief-guest: beat {}", last + 1));
    assert_eq!(host.hypervisor("node1"), hypervisor);
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief_ends(&["pause", "node1"], CONFLICT);
    host.fief_ends(&["resume", "node1"], CONFLICT);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn a_reset_starts_the_guest_anew_in_the_same_hypervisor() {
    let host = Host::new();
    let guest = sector(&host, "node1", &[], "hello");
    let hypervisor = host.hypervisor("node1");
    host.fief(&["reset", "node1"]);
    let (place, _) = guest.says_after(0, "hello");
    guest.says_after(place, "hello");
    assert_eq!(host.hypervisor("node1"), hypervisor);
    assert_eq!(host.state("node1"), "running");
    drop(guest);
    host.fief(&["stop", "node1"]);
    host.fief_ends(&["reset", "node1"], CONFLICT);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_guest_that_is_asked_powers_off_or_comes_back_with_what_was_changed() {
    let host = Host::new();
    let guest = host.run_guest("node1", &[], "fief.mode=idle");
    guest.says("fief-guest: ready");
    let definition = host.fief(&["show", "node1"]).stdout.replace("vcpus = 1", "vcpus = 2");
    let file = host.root().join("changed.toml");
    std::fs::write(&file, definition).expect("a file");
    host.fief(&["edit", "node1", "-f", &file.to_string_lossy()]);
    std::fs::remove_file(file).expect("the file");
    let (before, id) = (host.hypervisor("node1"), host.listed("node1")["id"].clone());

    assert!(host.fief(&["reboot", "node1"]).stdout.contains("rebooted"));
    let after = host.listed("node1");
    assert_eq!((after["state"].as_str(), after["vcpus"].as_u64()), (Some("running"), Some(2)));
    assert_ne!((host.hypervisor("node1"), &after["id"]), (before, &id));

    let (place, _) = guest.says_after(0, "reboot: Power down");
    guest.says_after(place, "fief-guest: ready");
    assert!(host.fief(&["shutdown", "node1"]).stdout.contains("shut down"));
    assert_eq!(host.shown("node1")["last-end"]["reason"], "powered-off");
    assert!(host.fief(&["shutdown", "node1"]).stdout.contains("is off"));
    host.fief_ends(&["reboot", "node1"], CONFLICT);
    drop(guest);
    host.fief(&["delete", "node1", "--yes"]);
    host.finish();
}

#[test]
fn a_guest_that_does_not_hear_is_given_up_reset_or_stopped_as_was_said() {
    let host = Host::new();
    let guest = sector(&host, "node1", &[], "hello");
    host.fief_ends(&["shutdown", "node1", "--timeout", "200ms"], TIMED_OUT);
    host.fief_ends(&["reboot", "node1", "--timeout", "200ms"], TIMED_OUT);
    assert_eq!(host.state("node1"), "running");
    let hypervisor = host.hypervisor("node1");
    host.fief(&["reboot", "node1", "--timeout", "200ms", "--then-reset"]);
    let (place, _) = guest.says_after(0, "hello");
    guest.says_after(place, "hello");
    assert_eq!(host.hypervisor("node1"), hypervisor);
    host.fief(&["shutdown", "node1", "--timeout", "200ms", "--then-stop"]);
    assert_eq!(host.state("node1"), "off");
    drop(guest);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_renamed_domain_is_the_same_under_another_name() {
    let host = Host::new();
    define_sector(&host, "node1", &[], "hello", Then::Halt);
    define_sector(&host, "other", &[], "hello", Then::Halt);
    let before = host.shown("node1");
    host.fief(&["rename", "node1", "node2"]);
    let after = host.shown("node2");
    assert_eq!(after["name"], "node2");
    assert_eq!(after["definition"]["uuid"], before["definition"]["uuid"]);
    host.fief_ends(&["show", "node1"], NOT_FOUND);
    host.fief_ends(&["rename", "node1", "node3"], NOT_FOUND);
    host.fief_ends(&["rename", "node2", "OTHER"], CONFLICT);
    host.fief_ends(&["rename", "node2", "../x"], USAGE);
    host.fief(&["rename", "node2", "Node2"]);
    host.fief(&["start", "Node2"]);
    host.fief_ends(&["rename", "Node2", "node3"], CONFLICT);
    host.fief(&["stop", "Node2"]);
    host.fief(&["delete", "Node2", "other", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_protected_domain_is_not_deleted() {
    let host = Host::new();
    define_sector(&host, "node1", &[], "hello", Then::Halt);
    let text = host.fief(&["show", "node1"]).stdout.replace("protected = false", "protected = true");
    let file = host.root().join("protected.toml");
    std::fs::write(&file, text).expect("a file");
    host.fief(&["edit", "node1", "-f", &file.to_string_lossy()]);
    let said = host.fief_ends(&["delete", "node1", "--volumes", "--yes"], CONFLICT);
    assert!(said.stderr.contains("protected"), "{}", said.stderr);
    host.fief(&["volume", "show", "default/node1"]);
    let text = host.fief(&["show", "node1"]).stdout.replace("protected = true", "protected = false");
    std::fs::write(&file, text).expect("a file");
    host.fief(&["edit", "node1", "-f", &file.to_string_lossy()]);
    std::fs::remove_file(file).expect("the file");
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}

#[test]
fn a_screen_is_photographed_and_served_to_a_viewer() {
    let host = Host::new();
    let guest = sector(&host, "node1", &["--graphics", "vnc"], "hello");
    let picture = host.root().join("screen.png");
    host.fief(&["screenshot", "node1", &picture.to_string_lossy()]);
    let bytes = std::fs::read(&picture).expect("a picture");
    assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n", "PNG's signature (RFC 2083, 12.11)");
    host.fief_ends(&["screenshot", "node1", &picture.to_string_lossy()], CONFLICT);
    std::fs::remove_file(&picture).expect("the picture");
    host.fief_ends(&["screenshot", "node1", "/nonexistent/screen.png"], NOT_FOUND);

    let socket = host.fief(&["view", "node1", "--socket"]).stdout;
    let mut screen = UnixStream::connect(socket.trim()).expect("the screen's socket");
    screen.set_read_timeout(Some(SPEAKS)).expect("a deadline");
    let mut greeting = [0; 12];
    screen.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(greeting, *b"RFB 003.008\n", "a VNC server's greeting (RFC 6143, 7.1.1)");
    drop((guest, screen));
    host.fief(&["stop", "node1"]);
    host.fief_ends(&["screenshot", "node1", &picture.to_string_lossy()], CONFLICT);
    host.fief_ends(&["--dry-run", "screenshot", "node1", &picture.to_string_lossy()], CONFLICT);
    host.fief_ends(&["view", "node1", "--socket"], CONFLICT);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}

/// The words of one line of the unit, as systemd would run them for this host's root.
fn unit(host: &Host, key: &str) -> Command {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/systemd/fief@.service");
    let unit = std::fs::read_to_string(unit).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).expect("a line of the unit");
    let root = host.root().to_string_lossy();
    let words: Vec<String> = line.split(' ').skip(1).map(|word| word.replace("%f", &root)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    host.command(&words)
}

#[test]
fn domains_start_with_the_host_in_their_order_and_end_with_it() {
    let host = Host::new();
    for (name, autostart) in [
        ("late", "[autostart]\norder = 20\n"),
        ("first", "[autostart]\norder = 10\ndelay = \"1s\"\n"),
        ("also-late", "[autostart]\norder = 20\n"),
        ("never", ""),
    ] {
        let text = format!("name = \"{name}\"\nmemory = \"32MiB\"\n{autostart}");
        let file = host.root().join("domain.toml");
        std::fs::write(&file, text).expect("a file");
        host.fief(&["create", "-f", &file.to_string_lossy()]);
        std::fs::remove_file(file).expect("the file");
    }
    fief_tests::command::run(&mut unit(&host, "ExecStart"), Duration::from_secs(60)).expect_code(0);
    let started = |name: &str| host.shown(name)["run"]["started"].as_str().unwrap_or_default().to_owned();
    let times: Vec<String> = ["first", "also-late", "late"].map(started).into();
    assert!(times.is_sorted(), "{times:?}");
    let [first, second] = [&times[0], &times[1]].map(|time| time.parse::<jiff::Timestamp>().expect("a time"));
    assert!(second.duration_since(first) >= jiff::SignedDuration::from_secs(1), "{times:?}");
    assert_eq!(host.state("never"), "off");
    // Once more changes nothing.
    fief_tests::command::run(&mut unit(&host, "ExecStart"), Duration::from_secs(60)).expect_code(0);
    assert_eq!(started("first"), times[0]);

    // These guests have nothing that hears: the unit's own patience is cut short, all else is as it says.
    let mut stop = unit(&host, "ExecStop");
    let words: Vec<String> = stop.get_args().map(|word| word.to_string_lossy().replace("90s", "300ms")).collect();
    assert!(words.iter().any(|word| word == "300ms"), "{words:?}");
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| *word != "--root").collect();
    stop = host.command(&words);
    fief_tests::command::run(&mut stop, Duration::from_secs(60)).expect_code(0);
    for name in ["first", "also-late", "late"] {
        assert_eq!(host.state(name), "off");
    }
    host.fief(&["delete", "first", "also-late", "late", "never", "--yes"]);
    host.finish();
}

#[test]
fn a_guests_end_is_followed_as_its_definition_says() {
    let host = Host::new();
    // What the guest does, what the definition says of that, and what becomes of it.
    let cases = [
        (Then::PowerOff, "--on-poweroff", "destroy", "off", "powered-off"),
        (Then::PowerOff, "--on-poweroff", "preserve", "preserved", ""),
        (Then::PowerOff, "--on-poweroff", "restart", "again", ""),
        (Then::Reboot, "--on-reboot", "destroy", "off", "rebooted"),
        (Then::Reboot, "--on-reboot", "preserve", "preserved", ""),
        (Then::Reboot, "--on-reboot", "restart", "again", ""),
        (Then::Panic, "--on-crash", "destroy", "off", "crashed"),
        (Then::Panic, "--on-crash", "preserve", "preserved", ""),
        (Then::Panic, "--on-crash", "restart", "again", ""),
    ];
    for (then, key, action, becomes, reason) in cases {
        define_sector(&host, "node1", &[key, action], "hello", then);
        host.fief(&["start", "node1"]);
        match becomes {
            "again" => {
                let guest = Guest::of(&host, "node1");
                let (place, _) = guest.says_after(0, "hello");
                guest.says_after(place, "hello");
                host.fief(&["stop", "node1"]);
            }
            state => {
                host.fief(&["wait", "node1", "--state", state, "--timeout", "60s"]);
                if state == "off" {
                    assert_eq!(host.shown("node1")["last-end"]["reason"], reason, "{key} {action}");
                } else {
                    // It is kept for a look at it, and for nothing else.
                    host.fief_ends(&["resume", "node1"], CONFLICT);
                    host.fief_ends(&["start", "node1"], CONFLICT);
                    host.fief(&["stop", "node1"]);
                }
            }
        }
        host.fief(&["delete", "node1", "--volumes", "--yes"]);
    }
    host.finish();
}
