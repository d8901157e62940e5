//! Data in and out with the tools of libnbd and QEMU.

use std::path::Path;

use super::served::{Served, Server, sparse_file, stored, tool};

#[track_caller]
fn equal(one: &Path, other: &Path) {
    let bytes = |path| std::fs::read(path).expect("a file");
    assert!(bytes(one) == bytes(other), "the two files differ");
}

#[test]
fn nbdcopy_copies_out_and_in_over_several_connections_and_keeps_holes() {
    let directory = tempfile::tempdir().unwrap();
    let source = sparse_file(directory.path());
    let served = Served::file(Server::Ours, &source);
    let out = directory.path().join("out.img");
    tool("nbdcopy", &["--connections=4", "--requests=64", &served.uri(), out.to_str().unwrap()]).expect_code(0);
    equal(&source, &out);
    assert!(stored(&out) <= stored(&source) + (1 << 20), "holes were filled");

    let target = directory.path().join("target.img");
    std::fs::File::create(&target).unwrap().set_len(16 << 20).unwrap();
    let into = Served::file(Server::Ours, &target);
    for (from, to) in [(out.to_str().unwrap(), into.uri()), (&served.uri(), into.uri())] {
        tool("nbdcopy", &["--connections=4", "--requests=64", "--flush", from, &to]).expect_code(0);
        equal(&source, &target);
        assert!(stored(&target) <= stored(&source) + (1 << 20), "holes were filled");
    }
    // By writes of every length, without any word of holes.
    let memory = Served::memory(Server::Ours, 16 << 20);
    tool("nbdcopy", &["--allocated", "--request-size=1048576", &served.uri(), &memory.uri()]).expect_code(0);
    tool("nbdcopy", &["--synchronous", "--connections=1", &memory.uri(), out.to_str().unwrap()]).expect_code(0);
    equal(&source, &out);
}

#[test]
fn our_server_and_nbdkit_copy_to_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let source = sparse_file(directory.path());
    let (ours, nbdkit) = (Served::file(Server::Ours, &source), Served::memory(Server::Nbdkit, 16 << 20));
    let back = Served::memory(Server::Ours, 16 << 20);
    tool("nbdcopy", &[&ours.uri(), &nbdkit.uri()]).expect_code(0);
    tool("nbdcopy", &[&nbdkit.uri(), &back.uri()]).expect_code(0);
    let said = tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", &back.uri(), source.to_str().unwrap()]);
    assert_eq!(said.expect_code(0).stdout.trim(), "Images are identical.");
}

#[test]
fn qemu_converts_compares_and_checks_over_it() {
    let directory = tempfile::tempdir().unwrap();
    let source = sparse_file(directory.path());
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let served = Served::file(Server::Ours, &source);
    // Out of it to qcow2, and back into another one, out of order and with many requests at a time.
    let qcow2 = path("copy.qcow2");
    tool("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "-W", "-m", "16", &served.uri(), &qcow2]).expect_code(0);
    let memory = Served::memory(Server::Ours, 16 << 20);
    tool("qemu-img", &["convert", "-n", "-f", "qcow2", "-O", "raw", "-W", "-m", "16", &qcow2, &memory.uri()])
        .expect_code(0);
    tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", &memory.uri(), source.to_str().unwrap()]).expect_code(0);

    // An image with a format of its own inside: its metadata are small writes, and flushes that must hold.
    let image = Served::memory(Server::Ours, 64 << 20);
    tool("qemu-img", &["create", "-f", "qcow2", &image.uri(), "32M"]).expect_code(0);
    let script = [
        "write -P 1 0 5M",
        "write -P 2 1000 3000",
        "write -z 1M 1M",
        "write -z -u 2M 1M",
        "discard 3M 1M",
        "flush",
        "write -f -P 3 4096 512",
        "read -P 3 4096 512",
        "read -P 2 1000 3000",
        "read -P 0 1M 2M",
        "read -P 1 4M 1M",
        "aio_write -P 4 8M 1M",
        "aio_write -P 5 9M 1M",
        "aio_flush",
        "read -P 4 8M 1M",
        "read -P 5 9M 1M",
    ];
    let uri = image.uri();
    let words: Vec<&str> = script.iter().flat_map(|line| ["-c", line]).collect();
    tool("qemu-io", &[&["-f", "qcow2"], &words[..], &[&uri]].concat()).expect_code(0);
    let raw: Vec<&str> =
        words.iter().map(|&word| if word == "write -z -u 2M 1M" { "write -z 2M 1M" } else { word }).collect();
    tool("qemu-img", &["check", "-f", "qcow2", &uri]).expect_code(0);
    tool("qemu-io", &[&["-f", "raw"], &raw[..], &[&memory.uri()]].concat()).expect_code(0);
    let memory = memory.uri();
    for flags in [&["-w"][..], &[], &["-w", "--flush-interval=64", "-d", "32"]] {
        let words = [&["bench", "-f", "raw", "-c", "2000", "-s", "4096", "-t", "none"], flags, &[&memory]].concat();
        tool("qemu-img", &words).expect_code(0);
    }
}

#[test]
fn blocks_of_four_thousand_bytes_serve_a_client_that_knows_of_none() {
    let served = Served::start(Server::Ours, false, &["--block-size", "4096", "memory", "16777216"]);
    let uri = served.uri();
    let words = [
        "write -P 1 512 512",
        "write -P 2 1024 512",
        "write -P 3 4000 8000",
        "read -P 1 512 512",
        "read -P 2 1024 512",
    ];
    let words: Vec<&str> = words.iter().flat_map(|line| ["-c", line]).collect();
    tool("qemu-io", &[&["-f", "raw"], &words[..], &[&uri]].concat()).expect_code(0);
    // 512 bytes at a time, sixteen at once: each block is changed by eight requests that are under way together.
    tool("qemu-img", &["bench", "-f", "raw", "-w", "-c", "4000", "-s", "512", "-d", "16", "--pattern=7", &uri])
        .expect_code(0);
    let said = tool("qemu-io", &["-f", "raw", "-c", "read -P 7 0 2048000", &uri]).expect_code(0);
    assert!(!said.stdout.contains("Pattern verification failed"), "{}", said.stdout);
}
