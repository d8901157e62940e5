//! Files that cannot be imported: each mistake has its line, and all of a file come at once.

use super::*;

/// The mistakes of a text, as an operator sees them.
fn mistakes((guest, mut report): (Guest, Report)) -> Vec<String> {
    if let Some(name) = crate::import::translate::name(&guest, None, &mut report) {
        let here = here(&["lan", "xenbr0"]);
        translate(&guest, &name, &choices(), &here, "x", &mut RandomIdentity, &mut report).unwrap();
    }
    report.check("the file", "x").err().map(|failure| failure.causes).unwrap_or_default()
}

fn xen_mistakes(text: &str) -> Vec<String> {
    mistakes(xen::read(text, &[]))
}

#[test]
fn guest_files_that_cannot_be_read() {
    for (line, expected) in [
        ("name = 'x", "x:1: a text begins here and does not end"),
        ("disk = [ 'phy:/dev/x,xvda,w'", "x:1: a bracket is opened here and not closed"),
        ("name = 'a' + host()", "x:1: name: \"'a' + host()\" is no plain value"),
        ("name = '../etc'", "x:1: name: \"../etc\""),
        ("name = ['a']", "x:1: name: a text is expected, not a list"),
        ("uuid = 'zz'", "x:1: uuid: \"zz\" is no UUID"),
        ("memory = 'lots'", "x:1: memory: \"lots\" is no whole number"),
        ("memory = -1", "x:1: memory: \"-1\" is no whole number"),
        ("memory = 99999999999999", "x:1: memory: 99999999999999 MiB is no size"),
        ("vcpus = 0", "x:1: vcpus: 0 is no number of processors"),
        ("disk = 7", "x:1: disk: a list of texts is expected"),
        ("disk = [ 7 ]", "x:1: disk: an element of the list is no text"),
        ("disk = [ 'phy:%s,xvda,w' % lv ]", "x:1: disk: \"[ 'phy:%s,xvda,w' % lv ]\" is no plain value"),
        ("disk = [ 'phy:/dev/x' ]", "x:1: disk: it does not say what the disk is called in the guest"),
        ("disk = [ 'tap:vhd:/x,xvda,w' ]", "x:1: disk xvda: its format \"vhd\" is none that fief copies from"),
        ("disk = [ 'drbd:r0,xvda,w' ]", "x:1: disk xvda: fief cannot copy it: the old host reached it by drbd"),
        ("disk = [ 'phy:/a,xvda,w', 'phy:/b,xvda,w' ]", "x:1: disk: two disks are called xvda"),
        ("disk = [ ',,xvda,w' ]", "x:1: disk xvda: it does not say where the disk lies"),
        ("vif = [ 'mac=zz' ]", "x:1: vif 0: \"zz\" is not a MAC address"),
        ("vif = [ 'mac=01:00:5e:00:00:01' ]", "x:1: vif 0: a card's address may not be a multicast one"),
        ("vif = [ 'bridge=br9' ]", "x:1: card 0: it was on \"br9\", and no network here has that name"),
        (
            "if os.path.exists('/x'):\n  disk = [ 'phy:/a,xvda,w' ]",
            "x:2: disk: \"[ 'phy:/a,xvda,w' ]\" is no plain value",
        ),
    ] {
        let key = line.split(' ').next().unwrap();
        let rest = ["name = 'x'\n", "memory = 64\n"].iter().filter(|other| !other.starts_with(key));
        let text = format!("{line}\n{}", rest.copied().collect::<String>());
        let found = xen_mistakes(&text);
        assert!(found.iter().any(|mistake| mistake.starts_with(expected)), "{line}: {found:?}");
    }
    assert_eq!(xen_mistakes("").len(), 1);
}

#[test]
fn all_mistakes_of_a_guest_file_come_at_once() {
    let text = "name = 'x'\nmemory = 'y'\nuuid = 1\nvif = ['mac=1', 'mac=2']\nvcpus = 0\n";
    assert_eq!(xen_mistakes(text).len(), 5, "{:?}", xen_mistakes(text));
}

#[test]
fn xml_that_cannot_be_read() {
    let domain = |inside: &str| {
        format!("<domain type='kvm'><name>x</name><memory>65536</memory><devices>{inside}</devices></domain>")
    };
    for (text, expected) in [
        ("<domain".to_owned(), "x:1: not XML:"),
        ("<domain type='kvm'></wrong>".to_owned(), "x:1: not XML:"),
        ("<network/>".to_owned(), "x:1: network: this is no <domain>"),
        ("<!DOCTYPE d [<!ENTITY a \"b\">]><domain>&a;</domain>".to_owned(), "x: it has a document type"),
        (domain("").replace("kvm", "lxc"), "x:1: domain: it is of the type \"lxc\""),
        (domain("").replace("65536", "much"), "x:1: memory: \"much\" is no size of memory"),
        (domain("<disk/>"), "x:1: disk: it does not say what the disk is called"),
        (domain("<disk type='network'><target dev='vda'/></disk>"), "x:1: disk vda: fief cannot copy it"),
        (domain("<disk><driver type='vdi'/><target dev='vda'/></disk>"), "x:1: disk vda: its format \"vdi\""),
        (domain("<disk><source file='x'/><target dev='vda'/></disk>"), "x:1: disk vda: \"x\" is no absolute path"),
        (domain("<interface type='bridge'/>"), "x:1: interface: it does not say what it is wired to"),
        (
            domain("<os><type arch='aarch64'>hvm</type></os>").replace("<devices>", "").replace("</devices>", ""),
            "x:1: os type: it is for aarch64",
        ),
    ] {
        let found = mistakes(libvirt::read(&text));
        assert!(found.iter().any(|mistake| mistake.starts_with(expected)), "{text}: {found:?}");
    }
}

#[test]
fn packages_that_cannot_be_read() {
    let told = |text: &str| mistakes(ovf::read(text, "mail.ovf", None));
    for (from, to, expected) in [
        ("mail-disk1.vmdk\"", "http://evil/disk.vmdk\"", "lies elsewhere"),
        ("ovf:size=", "ovf:compression=\"gzip\" ovf:size=", "compressed as a whole"),
        ("ovf:fileRef=\"file1\"", "ovf:fileRef=\"file9\"", "name no file"),
        ("ovf:fileRef=\"file1\"", "", "exported empty"),
        ("ovf:fileRef=\"file1\"", "ovf:fileRef=\"file1\" ovf:parentRef=\"x\"", "difference to another disk"),
        ("vmdk.html#streamOptimized", "vhd.html", "its format is"),
        ("disk/vmdisk1", "disk/vmdisk2", "names no disk"),
        ("<rasd:VirtualQuantity>2048", "<rasd:VirtualQuantity>lots", "how much memory"),
        ("<VirtualSystem ovf:id", "<VirtualSystem/><VirtualSystem ovf:id", "several guests"),
        ("Envelope", "Folder", "this is no OVF envelope"),
    ] {
        let found = told(&VMWARE.replace(from, to));
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{to}: {found:?}");
    }
    let damaged = ovf::read(VMWARE, "mail.ovf", Some("SHA1(mail.ovf)= a9993e364706816aba3e25717850c26c9cd0d89d"));
    assert!(mistakes(damaged)[0].contains("the package is damaged"));
}

#[test]
fn a_bomb_does_not_go_off() {
    let bombs = [
        format!("{}{}", "<a>".repeat(300_000), "</a>".repeat(300_000)),
        "<a ".repeat(300_000),
        format!("<domain>{}</domain>", "<a/>".repeat(200_000)),
        format!("<!DOCTYPE a [{}]><a/>", "<!ENTITY a \"&a;&a;\">".repeat(10_000)),
    ];
    let read = std::thread::Builder::new().stack_size(512 << 10).spawn(move || {
        for bomb in &bombs {
            assert!(libvirt::read(bomb).1.has_mistakes());
            assert!(ovf::read(bomb, "x.ovf", None).1.has_mistakes());
        }
        for bomb in ["[".repeat(300_000), format!("disk = {}", "[".repeat(300_000)), "a = b\n".repeat(100_000)] {
            assert!(xen::read(&bomb, &[]).1.has_mistakes());
        }
        let deep = format!("disk = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(xen::read(&deep, &[]).1.has_mistakes());
    });
    read.unwrap().join().unwrap();
}

#[test]
fn a_report_has_an_end() {
    let (_, report) = xen::read(&(0..5_000).map(|n| format!("key{n} = {n}\n")).collect::<String>(), &[]);
    let lines = report.lines("x");
    assert_eq!(lines.len(), 501);
    assert!(lines[500].starts_with("and "), "{}", lines[500]);
}

#[test]
fn what_a_file_says_reaches_no_terminal_raw() {
    let (_, report) = xen::read("name = 'a\x1b[2J'\nb\x1b[2Jc = 1\nimport \u{202e}os\n", &[]);
    let shown = report.lines("x\x1b").join("");
    assert!(!shown.contains(char::is_control) && !shown.contains('\u{202e}'), "{shown:?}");
}
