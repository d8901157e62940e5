//! Which files an image leads to, and which it may not.

use std::io::Read;
use std::os::unix::fs::FileExt;

use super::*;
use crate::error::Kind;

/// A qcow2 image whose header names any backing image, as a hostile one may.
fn forged(host: &Host, name: &str, backing: &str, format: Option<&str>) {
    let path = host.path(name);
    let mut arguments = vec!["create", "-q", "-f", "qcow2", "-u", "-b", backing];
    // The tool wants some format; where the test wants none, its extension's type is made an unknown one.
    arguments.extend(["-F", format.unwrap_or("raw")]);
    let output = Command::new("qemu-img").args(&arguments).arg(&path).arg("1M").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if format.is_none() {
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(4).position(|w| w == 0xE279_2ACA_u32.to_be_bytes()).unwrap();
        bytes[at..at + 4].copy_from_slice(&0x1234_5678_u32.to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_linked_clone_leads_to_its_base_from_any_folder() {
    let mut host = Host::ready();
    std::fs::create_dir_all(host.path("x/y")).unwrap();
    std::fs::create_dir_all(host.path("z")).unwrap();
    host.change(create("z/ba:se.img", ImageFormat::Raw, 4 * MIB));
    host.change(create("c:d.img", ImageFormat::Raw, 4 * MIB));
    write(&host.path("z/ba:se.img"), ImageFormat::Raw, 9);
    for (name, base) in
        [("x/y/1", "z/ba:se.img"), ("x/y/2", "x/y/1"), ("z/3", "x/y/2"), ("z/4", "z/3"), ("5", "c:d.img")]
    {
        let outcome = host.change(linked(name, base, 0));
        let Outcome::ImageMade { facts, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((facts.virtual_size.bytes(), facts.backing.unwrap().as_str()), (4 * MIB, base));
        // QEMU reads the same name the same way.
        qemu("qemu-img", &["info", "--backing-chain"], &host.path(name));
    }
    reads(&host.path("z/4"), ImageFormat::Qcow2, 9);
    let (formats, files) = host.open("z/4", ImageFormat::Qcow2).unwrap();
    assert_eq!(formats, [[ImageFormat::Qcow2; 4].as_slice(), &[ImageFormat::Raw]].concat());
    let writable = |fd: &OwnedFd| rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::RDWR);
    assert_eq!(files.iter().map(writable).collect::<Vec<_>>(), [true, false, false, false, false]);
    let mut byte = [0];
    std::fs::File::from(files.into_iter().next_back().unwrap()).read_exact(&mut byte).unwrap();
    assert_eq!(byte, [9]);
}

#[test]
fn a_header_leads_to_no_file_outside() {
    let mut host = Host::ready();
    let secret = host.root.path().join("secret");
    std::fs::write(&secret, vec![0; 1024]).unwrap();
    std::os::unix::fs::symlink("../secret", host.path("link")).unwrap();
    std::fs::create_dir(host.path("folder")).unwrap();
    let absolute = secret.to_str().unwrap().to_owned();
    let around = format!("{}/../secret", host.path("").display());
    for backing in [
        "../secret",
        "folder/../../secret",
        "/etc/passwd",
        &absolute,
        &around,
        "link",
        "/proc/self/fd/0",
        "json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}",
        "nbd://127.0.0.1/x",
        "file:/etc/passwd",
        ".fief-x",
        "folder",
        ".",
    ] {
        forged(&host, "a", backing, Some("raw"));
        let failure = host.open("a", ImageFormat::Qcow2).unwrap_err();
        assert_eq!(failure.kind, Kind::Denied, "{backing}: {failure}");
        if backing != "link" && backing != "folder" && backing != ".fief-x" {
            assert_eq!(host.inspect("a").unwrap_err().kind, Kind::Denied, "{backing}");
        }
        assert!(host.perform(copy("a", None, "b", ImageFormat::Raw)).is_err(), "{backing}");
        assert!(host.perform(linked("b", "a", 0)).is_err(), "{backing}");
    }
    let inside = host.path("folder/base").to_str().unwrap().to_owned();
    std::fs::write(&inside, vec![0; 1024]).unwrap();
    forged(&host, "a", &inside, Some("raw"));
    assert_eq!(host.open("a", ImageFormat::Qcow2).unwrap().0.len(), 2);
}

#[test]
fn a_backing_image_of_unsaid_or_unknown_format_is_refused() {
    let mut host = Host::ready();
    std::fs::write(host.path("base"), vec![0; 1024]).unwrap();
    for format in [None, Some("vmdk"), Some("file")] {
        forged(&host, "a", "base", format);
        let failure = host.open("a", ImageFormat::Qcow2).unwrap_err();
        assert_eq!(failure.kind, Kind::Denied, "{format:?}: {failure}");
        assert!(failure.to_string().contains("format"), "{failure}");
    }
    // What is declared is what counts, and a raw image is no chain.
    forged(&host, "a", "base", Some("qcow2"));
    assert!(host.open("a", ImageFormat::Qcow2).unwrap_err().to_string().contains("qcow2 header"));
}

#[test]
fn circles_and_towers_are_refused() {
    let mut host = Host::ready();
    for (name, backing) in [("a", "b"), ("b", "c"), ("c", "a"), ("self", "self")] {
        forged(&host, name, backing, Some("qcow2"));
    }
    for name in ["a", "self"] {
        let failure = host.open(name, ImageFormat::Qcow2).unwrap_err();
        assert!(failure.kind == Kind::Denied && failure.to_string().contains("itself"), "{failure}");
    }
    host.change(create("t0", ImageFormat::Qcow2, MIB));
    for n in 1..16 {
        host.change(linked(&format!("t{n}"), &format!("t{}", n - 1), 0));
    }
    assert_eq!(host.open("t15", ImageFormat::Qcow2).unwrap().0.len(), 16);
    assert_eq!(host.perform(linked("t16", "t15", 0)).unwrap_err().kind, Kind::Conflict);
    forged(&host, "t16", "t15", Some("qcow2"));
    assert_eq!(host.open("t16", ImageFormat::Qcow2).unwrap_err().kind, Kind::Denied);
}

#[test]
fn a_raw_disk_stays_raw_whatever_its_guest_writes() {
    let mut host = Host::ready();
    std::fs::write(host.path("neighbour"), vec![5; 1 << 20]).unwrap();
    forged(&host, "forged", "neighbour", Some("raw"));
    let header = std::fs::read(host.path("forged")).unwrap();
    host.change(create("disk", ImageFormat::Raw, MIB));
    std::fs::OpenOptions::new().write(true).open(host.path("disk")).unwrap().write_all_at(&header, 0).unwrap();

    assert_eq!(host.open("disk", ImageFormat::Raw).unwrap().0, [ImageFormat::Raw]);
    let facts = host.inspect("disk").unwrap();
    assert_eq!((facts.format, facts.virtual_size.bytes(), facts.backing), (ImageFormat::Raw, MIB, None));
    host.change(copy("disk", None, "clone", ImageFormat::Raw));
    assert_eq!(std::fs::read(host.path("clone")).unwrap()[..header.len()], header);
    host.change(resize("disk", 2 * MIB));
    host.change(linked("over", "disk", 0));
    assert_eq!(host.open("over", ImageFormat::Qcow2).unwrap().0, [ImageFormat::Qcow2, ImageFormat::Raw]);
}
