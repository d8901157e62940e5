//! Identities taken out of images of systems, by the real e2fsprogs.

use super::*;
use crate::error::{Kind, Result};

/// Such operations are the host's own.
fn operator(host: &mut Host, operation: Operation) -> Result<()> {
    host.gate.perform(&Actor::Operator, &mut host.ledger, operation, Vec::new()).map(drop)
}

/// An image of 32 MiB with a system in a partition at its second MiB.
fn system(host: &Host, name: &str, format: ImageFormat, kind: &str) {
    let folder = host.root.path().join("system");
    std::fs::create_dir_all(folder.join("etc/ssh")).unwrap();
    std::fs::write(folder.join("etc/hostname"), "web1\n").unwrap();
    std::fs::write(folder.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(folder.join("etc/ssh/ssh_host_ed25519_key"), "the old one").unwrap();
    let disk = host.root.path().join("disk");
    let mut first = [0; 512];
    first[446 + 4] = 0x83;
    first[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
    first[510..].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(&disk, first).unwrap();
    std::fs::File::options().write(true).open(&disk).unwrap().set_len(32 * MIB).unwrap();
    if kind == "ext4" {
        let mut make = Command::new("/sbin/mke2fs");
        make.args(["-q", "-t", "ext4", "-E", "offset=1048576", "-d"]).arg(&folder).arg(&disk).arg("30M");
        assert!(make.status().unwrap().success());
    } else {
        std::os::unix::fs::FileExt::write_all_at(
            &std::fs::File::options().write(true).open(&disk).unwrap(),
            b"XFSB",
            MIB,
        )
        .unwrap();
    }
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "raw", "-O", format.as_str()]).arg(&disk).arg(host.path(name));
    assert!(convert.status().unwrap().success());
}

fn file(host: &Host, name: &str, format: ImageFormat, path: &str) -> String {
    let flat = host.root.path().join("flat");
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", format.as_str(), "-O", "raw"]).arg(host.path(name)).arg(&flat);
    assert!(convert.status().unwrap().success());
    let device = format!("{}?offset=1048576", flat.display());
    let said = Command::new("/sbin/debugfs").args(["-R", &format!("cat {path}"), &device]).output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn a_system_becomes_another_in_raw_and_in_qcow2() {
    for format in [ImageFormat::Raw, ImageFormat::Qcow2] {
        let mut host = Host::ready();
        system(&host, "a", format, "ext4");
        operator(&mut host, Operation::IdentityInspect { image: image("a") }).unwrap();
        operator(&mut host, Operation::IdentityReset { image: image("a"), name: "web2".parse().unwrap() }).unwrap();
        assert_eq!(file(&host, "a", format, "etc/hostname"), "web2\n");
        assert_eq!(file(&host, "a", format, "etc/machine-id"), "");
        let key = file(&host, "a", format, "etc/ssh/ssh_host_ed25519_key");
        assert!(key.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"), "{key}");
        assert!(file(&host, "a", format, "etc/ssh/ssh_host_ed25519_key.pub").ends_with("root@web2\n"));
        assert_eq!(std::fs::read_dir(host.path("")).unwrap().count(), 1, "something stays beside it");
    }
}

#[test]
fn where_it_cannot_be_done_that_is_said_by_looking_alone() {
    let mut host = Host::ready();
    system(&host, "a", ImageFormat::Qcow2, "xfs");
    let failure = operator(&mut host, Operation::IdentityInspect { image: image("a") }).unwrap_err();
    assert_eq!(failure.kind, Kind::Findings);
    assert!(failure.to_string().contains("it holds xfs"), "{failure}");
    assert!(failure.hint.unwrap().contains("virt-sysprep"));
}
