//! Anything at all is read or refused; nothing panics.

use proptest::prelude::*;

use super::*;

fn all_readers(text: &str) {
    for (guest, mut report) in [xen::read(text, &[]), libvirt::read(text), ovf::read(text, "x.ovf", Some(text))] {
        let name = "node1".parse().unwrap();
        let here = here(&["lan"]);
        let made = translate(&guest, &name, &choices(), &here, "x", &mut RandomIdentity, &mut report);
        let refused = report.check("the file", "x");
        assert!(made.is_err() || made.is_ok_and(|made| made.is_none()) == refused.is_err());
        for line in report.lines("x") {
            assert!(!line.contains('\n'), "{line}");
        }
    }
}

fn pieces(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(pieces), 0..60).prop_map(|pieces| pieces.concat())
}

const XEN: &[&str] = &[
    "name",
    "memory",
    "disk",
    "vif",
    "vfb",
    "uuid",
    "extra",
    "boot",
    " = ",
    "=",
    "\n",
    "\n  ",
    ";",
    "[",
    "]",
    "(",
    ")",
    "{",
    "'",
    "\"",
    "'''",
    "\\",
    "\\\n",
    "#",
    ",",
    "+",
    "%",
    "'node1'",
    "64",
    "0x10",
    "08",
    "1.5",
    "-",
    "None",
    "True",
    "'phy:/dev/x,xvda,w'",
    "'tap:qcow2:/x,hda:cdrom,r'",
    "'mac=00:16:3e:00:00:01,bridge=lan'",
    "''",
    "r'a'",
    "f'{x}'",
    "if x:",
    "def f():",
    "é",
    "\0",
    "\r",
];

const XML: &[&str] = &[
    "<domain type='kvm'>",
    "</domain>",
    "<name>x</name>",
    "<memory unit='GiB'>1</memory>",
    "<devices>",
    "</devices>",
    "<disk type='file'>",
    "</disk>",
    "<target dev='vda'/>",
    "<source file='/x'/>",
    "<interface type='network'>",
    "</interface>",
    "<Envelope>",
    "</Envelope>",
    "<References>",
    "</References>",
    "<File id='a' href='b'/>",
    "<DiskSection>",
    "</DiskSection>",
    "<Disk diskId='a' fileRef='a' format='vmdk'/>",
    "<VirtualSystem>",
    "</VirtualSystem>",
    "<VirtualHardwareSection>",
    "</VirtualHardwareSection>",
    "<Item>",
    "</Item>",
    "<ResourceType>17</ResourceType>",
    "<HostResource>/disk/a</HostResource>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE a>",
    "&lt;",
    "&a;",
    "<?xml?>",
    "x",
    "<",
    ">",
    "é",
    "\0",
];

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        all_readers(&text);
    }

    #[test]
    fn any_pieces_of_a_guest_file_are_read_or_refused(text in pieces(XEN)) {
        all_readers(&text);
    }

    #[test]
    fn any_pieces_of_xml_are_read_or_refused(text in pieces(XML)) {
        all_readers(&text);
    }

    #[test]
    fn any_bytes_are_no_archive_or_one(bytes in prop::collection::vec(any::<u8>(), 0..2_000), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic && bytes.len() > 262 {
            bytes[257..262].copy_from_slice(b"ustar");
        }
        let _ = ovf::archive::read(std::io::Cursor::new(bytes), "x");
    }
}

#[test]
fn an_example_cut_anywhere_is_read_or_refused() {
    for text in [PV, HVM, KVM, VMWARE] {
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)).step_by(7) {
            all_readers(&text[..cut]);
        }
    }
}
