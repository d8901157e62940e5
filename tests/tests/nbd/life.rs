//! A server under a client that goes on: connections dropped, sizes changed, memory bounded.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fief_tests::eventually;
use rustix::process::Signal;

use super::served::{Served, Server, tool};

/// QEMU's way to a server, which connects again by itself for a minute.
fn reconnecting(served: &Served) -> String {
    format!(
        "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={},file.reconnect-delay=60",
        served.socket().display()
    )
}

fn bench(image: &str, words: &[&str]) -> Child {
    let mut command = Command::new("qemu-img");
    command.args(["bench", "--image-opts", "-t", "none"]).args(words).arg(image);
    command.stdout(Stdio::null()).spawn().expect("qemu-img")
}

#[test]
fn a_client_whose_connection_is_dropped_again_and_again_sees_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let served = Served::file(Server::Ours, &path);
    let mut client = bench(&reconnecting(&served), &["-w", "-c", "60000", "-s", "4096", "-d", "16", "--pattern=7"]);
    let mut drops = 0;
    let status = eventually("the client is through", Duration::from_secs(120), || {
        // Each one costs a second at most: that is how long QEMU waits before it connects again.
        if drops < 5 {
            served.signal(Signal::HUP);
            drops += 1;
            std::thread::sleep(Duration::from_millis(200));
        }
        client.try_wait().unwrap()
    });
    assert!(status.success() && drops > 0, "{status}");
    let written = std::fs::read(&path).unwrap();
    assert!(written.iter().all(|&byte| byte == 7), "a write was lost");
}

#[test]
fn a_new_connection_sees_what_size_the_device_has_by_then() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let served = Served::file(Server::Ours, &path);
    let size = || tool("nbdinfo", &["--size", &served.uri()]).expect_code(0).stdout.trim().to_owned();
    assert_eq!(size(), "1048576");
    file.set_len(3 << 20).unwrap();
    served.signal(Signal::HUP);
    eventually("the new size", Duration::from_secs(60), || (size() == "3145728").then_some(()));
}

#[test]
fn memory_stays_bounded_whatever_is_asked_for_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    std::fs::write(&path, vec![7; 64 << 20]).unwrap();
    let served = Served::file(Server::Ours, &path);
    let (uri, null) = (served.uri(), "null:");
    tool("nbdcopy", &["--connections=4", "--requests=64", "--request-size=33554432", &uri, null]).expect_code(0);
    let source = Served::memory(Server::Nbdkit, 64 << 20);
    tool("nbdcopy", &["--connections=4", "--requests=64", "--request-size=1048576", &source.uri(), &uri])
        .expect_code(0);
    for words in [["-s", "1048576"], ["-s", "4096"]] {
        for write in [&[][..], &["-w"]] {
            let words = [&["-c", "200", "-d", "32"], &words[..], write].concat();
            assert!(bench(&reconnecting(&served), &words).wait().unwrap().success());
        }
    }
    let most = served.most_memory();
    assert!(most < 24 << 20, "it had {} KiB", most >> 10);
}
