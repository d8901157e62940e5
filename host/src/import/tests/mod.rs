//! The three readers against what old hosts wrote, and against what nobody did.

mod bad;
mod soup;

use std::collections::BTreeSet;

use crate::config::domain::{self, RandomIdentity};
use crate::import::guest::Guest;
use crate::import::report::Report;
use crate::import::translate::{Choices, DiskChoice, Here, translate};
use crate::import::{Kind, kind, libvirt, ovf, xen};

const PV: &str = include_str!("examples/pv.cfg");
const HVM: &str = include_str!("examples/hvm.cfg");
const KVM: &str = include_str!("examples/kvm.xml");
const VMWARE: &str = include_str!("examples/vmware.ovf");

fn choices() -> Choices {
    Choices {
        name: None,
        pool: "default".parse().unwrap(),
        disks: [].into(),
        networks: [].into(),
        copy: true,
        kernel: None,
        initrd: None,
        cmdline: None,
    }
}

fn here(networks: &[&str]) -> Here {
    let networks: BTreeSet<_> = networks.iter().map(|name| name.parse().unwrap()).collect();
    Here { networks, ..Here::default() }
}

/// Report, definition and copies as one text. Made-up identities are left out of it.
fn shown((guest, mut report): (Guest, Report), source: &str, choices: &Choices, here: &Here) -> String {
    let name = crate::import::translate::name(&guest, None, &mut report).unwrap();
    let made = translate(&guest, &name, choices, here, source, &mut RandomIdentity, &mut report).unwrap();
    let mut text = report.lines(source).join("\n") + "\n---\n";
    if let Err(failure) = report.check("the file", source) {
        return text + &failure.causes.join("\n");
    }
    let made = made.unwrap();
    let written = |line: &&str| !line.contains("uuid") && !line.contains("generation-id") && !line.contains("52:54:00");
    let toml = domain::to_toml(&made.definition);
    text += &toml.lines().filter(written).map(|line| format!("{line}\n")).collect::<String>();
    for copy in &made.copies {
        text += &format!("copy {} to {}: {:?}\n", copy.target, copy.volume, copy.source);
    }
    text
}

#[test]
fn a_paravirtual_guest_of_xen() {
    let mut choices = choices();
    choices.networks.insert("xenbr0".into(), "lan".parse().unwrap());
    insta::assert_snapshot!(shown(xen::read(PV, &[]), "node1.cfg", &choices, &here(&["lan"])));
}

#[test]
fn a_paravirtual_guest_with_a_kernel_named_for_it() {
    let mut choices = choices();
    choices.networks.insert("xenbr0".into(), "lan".parse().unwrap());
    choices.kernel = Some("/boot/vmlinuz".into());
    choices.disks.insert("hdc".into(), DiskChoice::None);
    choices.disks.insert("xvda1".into(), DiskChoice::Volume("other/swap".parse().unwrap()));
    let text = shown(xen::read(PV, &[]), "node1.cfg", &choices, &here(&["lan"]));
    assert!(text.contains(r#"cmdline = "root=/dev/vda2 ro console=ttyS0 elevator=noop""#), "{text}");
    assert!(text.contains(r#"volume = "other/swap""#) && !text.contains("debian.iso\""), "{text}");
}

#[test]
fn a_whole_machine_of_xen() {
    insta::assert_snapshot!(shown(xen::read(HVM, &[]), "win7.hvm", &choices(), &here(&["br0", "br1"])));
}

#[test]
fn a_domain_of_libvirt() {
    insta::assert_snapshot!(shown(libvirt::read(KVM), "web1.xml", &choices(), &here(&["br0", "default"])));
}

#[test]
fn a_guest_of_vmware() {
    let manifest = "SHA1(mail-disk1.vmdk)= a9993e364706816aba3e25717850c26c9cd0d89d\nMD5(mail.nvram)= 00\n";
    let mut choices = choices();
    choices.networks.insert("VM Network".into(), "lan".parse().unwrap());
    insta::assert_snapshot!(shown(
        ovf::read(VMWARE, "mail.ovf", Some(manifest)),
        "mail.ovf",
        &choices,
        &here(&["lan"])
    ));
}

#[test]
fn a_file_is_told_by_its_beginning() {
    assert_eq!(kind(PV.as_bytes()), Kind::Xen);
    assert_eq!(kind(KVM.as_bytes()), Kind::Libvirt);
    assert_eq!(kind(VMWARE.as_bytes()), Kind::Ovf);
    let mut tar = [0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert_eq!(kind(&tar), Kind::Ova);
    assert_eq!(kind(b""), Kind::Xen);
}

#[test]
fn what_another_domain_has_is_made_anew() {
    let mut here = here(&["lan"]);
    let uuid = "4f0e2a66-3f6d-4d1b-9a54-1b3b6b1b6f10".parse().unwrap();
    here.uuids.insert(uuid, "old".parse().unwrap());
    here.macs.insert("00:16:3e:5e:6c:00".parse().unwrap(), "old".parse().unwrap());
    let mut choices = choices();
    choices.networks.insert("xenbr0".into(), "lan".parse().unwrap());
    let (guest, mut report) = xen::read(PV, &[]);
    let name = "node2".parse().unwrap();
    let made = translate(&guest, &name, &choices, &here, "x", &mut RandomIdentity, &mut report).unwrap().unwrap();
    assert_ne!(made.definition.uuid, uuid);
    assert!(made.definition.cards[0].mac.to_string().starts_with("52:54:00"));
    assert!(report.lines("x").iter().filter(|line| line.contains("domain old has it")).count() == 2);
}

#[test]
fn values_of_the_command_line_win() {
    let overrides = [("name".to_owned(), "other".to_owned()), ("memory".to_owned(), "64".to_owned())];
    let (guest, report) = xen::read(PV, &overrides);
    assert_eq!(guest.name, Some((0, "other".into())));
    assert_eq!(guest.memory.unwrap().bytes(), 64 << 20);
    assert!(!report.has_mistakes());
}
