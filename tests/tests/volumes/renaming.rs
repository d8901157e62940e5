//! Volumes that get another name: what is kept with them and what names them goes along, on this host and on a server.

use fief_tests::boot_sector::{self, Then};
use fief_tests::ganesha::Versions;
use fief_tests::{Ganesha, Guest, fief_with_faults, pools};

use super::*;

const TEXT: &str = "it runs by any name";

#[track_caller]
fn has(host: &Host, domain: &str, volume: &str) {
    let shown = host.shown(domain);
    let disks = shown["definition"]["disk"].as_array().expect("disks");
    assert!(disks.iter().any(|disk| disk["volume"] == volume), "{domain} has no {volume}: {shown}");
}

#[test]
fn an_image_gets_another_name_with_its_snapshots_and_its_domains() {
    let host = Host::new();
    host.volume("default/a", "1MiB");
    host.volume("default/other", "1MiB");
    host.fief(&["create", "web1", "--memory", "32MiB", "--disk", "default/a"]);
    host.fief(&["create", "web2", "--memory", "32MiB", "--cdrom", "default/a"]);
    host.fief(&["volume", "snapshot", "create", "default/a", "kept"]);
    for (words, code) in [
        (["default/a", "../b"], USAGE),
        (["default/a", "more/b"], USAGE),
        (["default/a", ".b"], USAGE),
        (["default/a", "a"], USAGE),
        (["default/none", "b"], NOT_FOUND),
        (["nowhere/a", "b"], NOT_FOUND),
        (["default/none", "other"], NOT_FOUND),
        (["default/a", "other"], CONFLICT),
    ] {
        host.fief_ends(&["volume", "rename", words[0], words[1]], code);
    }
    // Written to, and read, by a domain that runs.
    for domain in ["web1", "web2"] {
        host.fief(&["start", domain]);
        let said = host.fief_ends(&["volume", "rename", "default/a", "b"], CONFLICT);
        assert!(said.stderr.contains(&format!("fief shutdown {domain}")), "{}", said.stderr);
        host.fief(&["stop", domain]);
    }
    host.fief(&["volume", "clone", "default/a", "default/linked", "--linked"]);
    let said = host.fief_ends(&["volume", "rename", "default/a", "b"], CONFLICT);
    assert!(said.stderr.contains("the linked clone linked stands on"), "{}", said.stderr);
    host.fief(&["volume", "rename", "default/linked", "clone"]);
    let shown = host.fief(&["volume", "show", "default/clone"]).stdout;
    assert!(shown.lines().any(|line| line.starts_with("backing") && line.contains("default/a")), "{shown}");
    host.fief(&["volume", "delete", "default/clone", "--yes"]);

    let before = host.census();
    let dry = host.fief(&["--dry-run", "volume", "rename", "default/a", "b"]).stdout;
    assert!(dry.contains("\"image-rename\""), "{dry}");
    assert_eq!(host.census(), before);
    let item = host.fief(&["volume", "rename", "default/a", "b", "-o", "json"]).json()["item"].take();
    assert_eq!((&item["name"], &item["before"]), (&"default/b".into(), &"default/a".into()));
    assert_eq!(item["domains"], serde_json::json!(["web1", "web2"]));
    let said = host.fief(&["volume", "rename", "default/a", "b"]).stdout;
    assert_eq!(said, "volume default/a is called default/b now\n", "a second time too");
    has(&host, "web1", "default/b");
    has(&host, "web2", "default/b");
    let kept = host.fief(&["volume", "snapshot", "list", "default/b"]).stdout;
    assert!(kept.contains("kept"), "{kept}");
    host.fief(&["start", "web1"]);
    host.fief_ends(&["volume", "rename", "default/b", "c"], CONFLICT);
    host.fief(&["stop", "web1"]);
    for domain in ["web1", "web2"] {
        host.fief(&["delete", domain, "--yes"]);
    }
    host.fief(&["volume", "delete", "default/b", "default/other", "--yes"]);
    host.finish();
}

#[test]
fn a_volume_on_a_server_gets_another_name_with_its_lease_however_often_that_is_cut_off() {
    let host = Host::new();
    let mut server = Ganesha::start(host.namespace(), Versions::Four);
    pools::nfs_plugin(&host);
    pools::nfs_pool(&host, "nas", &server, &[]);
    host.fief(&["volume", "create", "nas/a", "--size", "1MiB", "--format", "raw"]);
    boot_sector::write(&server.export().join("a"), TEXT, Then::Halt);
    host.fief(&["create", "web1", "--memory", "32MiB", "--accelerator", "tcg", "--disk", "nas/a"]);
    let runs = || {
        let before = host.fief(&["logs", "web1"]).stdout.len();
        host.fief(&["start", "web1"]);
        Guest::of(&host, "web1").says_after(before, TEXT);
        host.fief(&["stop", "web1"]);
    };
    runs();
    let export = server.export();
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(&export).expect("the export").flatten().collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        names.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let generation = |volume: &str| {
        let shown = host.fief(&["volume", "show", volume, "-o", "json"]).json();
        assert_eq!(shown["item"]["fence"]["holder"], serde_json::Value::Null, "{shown}");
        shown["item"]["fence"]["generation"].as_u64().expect("a generation")
    };
    let mut newest = generation("nas/a");
    let mut grown = |volume: &str| {
        let now = generation(volume);
        assert!(now >= newest, "the generation of {volume} went from {newest} to {now}");
        newest = now;
    };
    // Killed before its plugin is asked: taken back. After that: finished.
    for (point, comes_about) in
        [("volume-rename.held", false), ("volume-rename.renamed", true), ("volume-rename.switched", true)]
    {
        let mut cut = host.namespace().command(fief_with_faults());
        cut.args(["volume", "rename", "nas/a", "b"]).env("FIEF_ROOT", host.root());
        cut.env("FIEF_FAULT", format!("{point}:kill"));
        assert_eq!(command::run(&mut cut, Duration::from_secs(120)).code, None, "{point}");
        let (is, was) = if comes_about { ("b", "a") } else { ("a", "b") };
        host.fief(&["list"]);
        assert_eq!(names(), [format!(".{is}.lease"), is.to_owned()], "{point}");
        has(&host, "web1", &format!("nas/{is}"));
        host.fief_ends(&["volume", "show", &format!("nas/{was}")], NOT_FOUND);
        grown(&format!("nas/{is}"));
        if comes_about {
            // What another command finished is done.
            host.fief(&["volume", "rename", "nas/a", "b"]);
            host.fief(&["volume", "rename", "nas/b", "a"]);
            grown("nas/a");
        }
    }
    assert_eq!(host.fief(&["--dry-run", "volume", "rename", "nas/a", "b"]).stdout, "");
    for _ in 0..2 {
        host.fief(&["volume", "rename", "nas/a", "b"]);
    }
    runs();
    grown("nas/b");
    // In the place of one that was used more often, a new one is free.
    host.fief(&["volume", "rename", "nas/b", "old"]);
    host.fief(&["volume", "create", "nas/new", "--size", "1MiB", "--format", "raw"]);
    host.fief(&["volume", "rename", "nas/new", "b"]);
    grown("nas/b");
    host.fief(&["volume", "delete", "nas/b", "--yes"]);
    host.fief(&["volume", "rename", "nas/old", "b"]);
    grown("nas/b");
    host.fief(&["volume", "create", "nas/c", "--size", "1MiB", "--format", "qcow2"]);
    host.fief_ends(&["volume", "rename", "nas/b", "c"], CONFLICT);
    host.fief(&["volume", "rename", "nas/c", "d"]);
    assert_eq!(names(), [".b.lease", ".d.lease", "b", "d.qcow2"]);
    host.fief(&["delete", "web1", "--yes"]);
    // An image there is copied as its guest would see it, and nobody is asked to write to it.
    let files = Files::new();
    let disk = files.disk("disk.img");
    qemu(&["qemu-img", "convert", "-O", "qcow2", &disk.to_string_lossy()], &export.join("e.qcow2"));
    host.fief(&["volume", "copy", "nas/e", "default/e"]);
    let (copy, format) = image(&host, "e");
    same((&disk, "raw"), (&copy, format));
    let out = files.text("out.vmdk");
    host.fief(&["volume", "export", "nas/e", &out]);
    same((&disk, "raw"), (Path::new(&out), "vmdk"));
    host.fief(&["volume", "delete", "nas/d", "nas/e", "default/e", "--yes"]);
    assert_eq!(names(), [".b.lease", "b"]);
    server.kill();
    host.fief_ends(&["volume", "rename", "nas/b", "c"], 8);
}
