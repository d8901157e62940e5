//! Volumes that a plugin serves itself, looked at by the tools that people have for NBD.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;
use std::time::Duration;

use fief_tests::{Host, Served, command, kill};

/// What a sandbox takes of its own memory with many requests in flight. What it maps of its program is shared with all
/// others, and in a build for tests is much larger than what is shipped.
const OWN_MEMORY: u64 = 24 << 20;

fn host() -> Host {
    host_that(true)
}

/// Whose plugin lends its files, or is called for each request.
fn host_that(lends: bool) -> Host {
    let host = Host::new();
    let lend = format!("lend={lends}");
    host.fief(&[
        "pool",
        "create",
        "served",
        "--kind",
        "file",
        "--set",
        "directory=images",
        "--set",
        "transport=served",
        "--set",
        &lend,
    ]);
    host.fief(&["volume", "create", "served/disk", "--size", "32MiB", "--format", "raw"]);
    host
}

fn undo(host: &Host) {
    host.fief(&["volume", "delete", "served/disk", "--yes"]);
    host.fief(&["pool", "delete", "served", "--yes"]);
}

#[test]
fn a_file_that_its_plugin_serves_is_for_every_tool_what_it_is_on_disk() {
    what_is_served_is_what_is_on_disk(host());
}

#[test]
fn so_is_one_of_which_each_request_is_a_call() {
    what_is_served_is_what_is_on_disk(host_that(false));
}

fn what_is_served_is_what_is_on_disk(host: Host) {
    // What nobody could reach is not made.
    let said = host.fief_ends(&["volume", "create", "served/cow", "--size", "1MiB", "--format", "qcow2"], 2);
    assert!(said.stderr.contains("cannot be served") && said.stderr.contains("--format raw"), "{}", said.stderr);
    host.fief(&["volume", "create", "served/raw", "--size", "1MiB"]);
    host.fief_ends(&["volume", "copy", "served/raw", "served/cow", "--format", "qcow2"], 2);
    assert!(!host.root().join("images/cow.qcow2").exists());
    host.fief(&["volume", "delete", "served/raw", "--yes"]);
    let image = host.root().join("images/disk");
    let served = Served::start(&host, "served/disk", &[]);

    let about = served.tool("nbdinfo", &["--json", "URI"]).json();
    let export = &about["exports"][0];
    assert_eq!((export["export-name"].as_str(), export["export-size"].as_u64()), (Some("disk@1"), Some(32 << 20)));
    for able in ["can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn"] {
        assert_eq!(export[able], true, "{able}: {about}");
    }
    let map = |served: &Served| served.tool("nbdinfo", &["--map", "--json", "URI"]).json();
    assert_eq!(map(&served)[0]["description"], "hole,zero", "{}", map(&served));

    // Written by many requests at a time, each checked when it is read again.
    let fio = "--name=verify --ioengine=nbd --uri=URI --rw=randwrite --bsrange=512-96k --iodepth=32 --size=24M --io_size=8M \
               --verify=crc32c --do_verify=1 --verify_fatal=1 --randseed=7 --fsync=64 --verify_state_save=0 --output-format=terse";
    let words: Vec<&str> = fio.split_whitespace().collect();
    served.tool("fio", &words);
    let (own, whole) = (served.memory("RssAnon"), served.memory("VmHWM"));
    assert!(own <= OWN_MEMORY, "the sandbox took {} KiB for itself, {} KiB in all", own >> 10, whole >> 10);

    // The upper quarter through others, in large pieces; a hole in it, and zeroes that stay.
    served.tool("qemu-io", &["-f", "raw", "-c", "write -P 0x5a 24M 8M", "-c", "flush", "URI"]);
    served.tool("qemu-io", &["-f", "raw", "-c", "discard 26M 1M", "-c", "write -z 28M 1M", "URI"]);
    let said = served.tool("qemu-io", &["-f", "raw", "-c", "read -P 0 26M 1M", "-c", "read -P 0x5a 27M 1M", "URI"]);
    assert!(!said.stdout.contains("failed"), "{}", said.stdout);
    let copy = host.root().join("copy");
    served.tool("nbdcopy", &["--flush", "URI", &copy.to_string_lossy()]);
    assert!(fs::read(&copy).unwrap() == fs::read(&image).unwrap(), "what is served is not what is in the file");
    let holes = map(&served);
    let holes = holes.as_array().unwrap().iter().filter(|extent| extent["offset"] == 26 << 20);
    assert_eq!(holes.map(|hole| hole["length"].as_u64().unwrap()).collect::<Vec<_>>(), [1 << 20]);
    let words = ["compare", "-f", "raw", "-F", "raw", "URI", &copy.to_string_lossy()];
    served.tool("qemu-img", &words);
    served.end();

    let read_only = Served::start(&host, "served/disk", &["--read-only"]);
    let refused = read_only.tool_ends("qemu-io", &["-f", "raw", "-c", "write 0 4k", "URI"], 1);
    assert!(refused.stderr.contains("Permission denied"), "{}", refused.stderr);
    read_only.tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", "URI", &copy.to_string_lossy()]);
    read_only.end();
    fs::remove_file(&copy).unwrap();
    undo(&host);
    host.finish();
}

#[test]
fn a_killed_sandbox_is_told_and_what_was_flushed_is_there() {
    let host = host();
    let served = Served::start(&host, "served/disk", &[]);
    served.tool("qemu-io", &["-f", "raw", "-c", "write -P 0x77 1M 1M", "-c", "flush", "URI"]);
    kill(served.process);
    let said = served.ends(7);
    assert!(said.contains("its sandbox ended without a word"), "{said}");

    let again = Served::start(&host, "served/disk", &[]);
    again.tool("qemu-io", &["-r", "-f", "raw", "-c", "read -P 0x77 1M 1M", "URI"]);
    again.end();
    undo(&host);
    host.finish();
}

#[test]
fn a_sandbox_that_serves_outlives_whoever_started_it_and_can_make_nothing_of_the_host() {
    let host = host();
    let served = Served::start(&host, "served/disk", &[]);
    let (process, uri) = (served.process, served.uri());
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    for line in ["CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    // Only the loopback link, which is down: it has no way out but what it was handed.
    let links = fs::read_to_string(format!("/proc/{process}/net/dev")).unwrap();
    assert_eq!(links.lines().filter(|line| line.contains(':')).count(), 1, "{links}");

    let mut reader = Command::new("qemu-io");
    let reader = reader.args(["-r", "-f", "raw", "-c", "read 0 4k", "-c", "sleep 3000", "-c", "read 4k 4k", &uri]);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| command::run(reader, Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(500));
        let starter = host.processes("volume serve");
        assert_eq!(starter.len(), 1, "{starter:?}");
        kill(starter[0]);
        let said = reading.join().unwrap().expect_code(0);
        assert_eq!(said.stdout.matches("read 4096/4096").count(), 2, "{}", said.stdout);
    });
    assert!(fs::exists(format!("/proc/{process}/status")).unwrap(), "the sandbox went with its parent");
    kill(process);
    drop(served);
    undo(&host);
    host.finish();
}
