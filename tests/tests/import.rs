//! Guests of other hosts: from their files to a domain that boots, or to nothing at all.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fief_tests::boot_sector::{self, Then};
use fief_tests::{Guest, Host};
use tempfile::TempDir;

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;

/// What was carried over from an old host.
struct Old(TempDir);

impl Old {
    fn new() -> Old {
        Old(tempfile::Builder::new().prefix("fief-old-").tempdir().expect("a folder"))
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("the folder").join(name)
    }
    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("room");
        self.path(name).to_string_lossy().into_owned()
    }
    /// A raw disk that boots and says `text`.
    fn disk(&self, name: &str, text: &str) -> PathBuf {
        boot_sector::write(&self.path(name), text, Then::Halt);
        self.path(name)
    }
    /// The same in another format; the raw one goes.
    fn converted(&self, name: &str, text: &str, options: &[&str]) -> PathBuf {
        let raw = self.disk("raw.tmp", text);
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw"]).args(options).arg(&raw).arg(self.path(name));
        run(&mut convert);
        std::fs::remove_file(raw).expect("the raw disk");
        self.path(name)
    }
}

fn run(command: &mut Command) {
    fief_tests::command::run(command, Duration::from_secs(60)).expect_code(0);
}

fn volumes(host: &Host) -> Vec<String> {
    let listing = host.fief(&["volume", "list", "-o", "name"]).stdout;
    listing.lines().map(str::to_owned).collect()
}

#[track_caller]
fn nothing_is_left(host: &Host) {
    assert_eq!((volumes(host), host.fief(&["list", "-o", "name"]).stdout), (vec![], String::new()));
}

#[test]
fn a_guest_of_xen_is_imported_and_boots() {
    let (host, old) = (Host::new(), Old::new());
    host.host_only("lan", "10.77.0.1/24");
    let (disk, data) = (old.disk("node1.img", "hello from xen"), old.disk("data.img", "data"));
    std::os::unix::fs::symlink(&disk, old.path("current.img")).expect("a link");
    let text = format!(
        "import os\nname = 'node1'\nmemory = 32\nbootloader = 'pygrub'\n\
         disk = [ 'tap:aio:{}/current.img,xvda,w', 'file:{},xvdb,r' ]\n\
         vif = [ 'mac=00:16:3e:00:00:01,bridge=xenbr0' ]\non_poweroff = 'preserve'\ncpus = '1'\n",
        old.path("").display(),
        data.display(),
    );
    let file = old.write("node1.cfg", &text);

    let said = host.fief_ends(&["import", &file], USAGE);
    assert!(said.stderr.contains("node1.cfg:6: card 0:"), "{}", said.stderr);
    assert!(said.stderr.contains("--network xenbr0=NETWORK; the networks here are: lan"), "{}", said.stderr);
    nothing_is_left(&host);

    let with = ["import", &file, "--network", "xenbr0=lan"];
    let dry = host.fief(&[&["--dry-run"], &with[..]].concat()).stdout;
    assert!(dry.contains("\nname = \"node1\"\n") && dry.contains("# would copy "), "{dry}");
    nothing_is_left(&host);

    let said = host.fief(&with).stdout;
    for line in [
        "node1.cfg:1: import os: left out:",
        "node1.cfg:4: bootloader: changed:",
        "node1.cfg:4: bootloader: in the guest:",
        "node1.cfg:5: disk xvda: changed:",
        "node1.cfg:5: disk xvda: taken: volume = \"default/node1\"",
        "node1.cfg:6: card 0: taken: network = \"lan\"",
        "node1.cfg:7: on_poweroff: taken: on-poweroff = \"preserve\"",
        "node1.cfg:8: cpus: left out:",
        "node1.cfg: console: in the guest: hvc0 is ttyS0 now",
        "domain node1 imported",
    ] {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line} is missing in\n{said}");
    }
    assert_eq!(volumes(&host), ["default/node1", "default/node1-1"]);
    let definition = host.shown("node1")["definition"].clone();
    assert_eq!(
        (&definition["disk"][1]["read-only"], &definition["card"][0]["mac"]),
        (&true.into(), &"00:16:3e:00:00:01".into())
    );
    host.fief(&["start", "node1"]);
    Guest::of(&host, "node1").says("hello from xen");

    // Once more is refused; under another name it is another domain, with an address and a uuid of its own.
    let said = host.fief_ends(&with, CONFLICT);
    assert!(said.stderr.contains("--name"), "{}", said.stderr);
    host.fief(&[&with[..], &["--name", "node2", "--disk", "xvda=default/node1", "--disk", "xvdb=none"]].concat());
    let second = host.shown("node2")["definition"].clone();
    assert_eq!(second["disk"].as_array().map(Vec::len), Some(1));
    assert_ne!((&second["uuid"], &second["card"][0]["mac"]), (&definition["uuid"], &definition["card"][0]["mac"]));
    assert!(disk.exists(), "the old host's disk was taken");

    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node2", "--yes"]);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    // Read only: it may be others' too, and stays until it is named.
    host.fief(&["volume", "delete", "default/node1-1", "--yes"]);
    host.fief(&["network", "delete", "lan"]);
    host.finish();
}

#[test]
fn what_cannot_be_imported_leaves_nothing() {
    let (host, old) = (Host::new(), Old::new());
    let disk = old.disk("node1.img", "hello");
    let guest = |disks: &str| format!("name = 'node1'\nmemory = 32\ndisk = [ {disks} ]\n");
    let here = format!("'file:{},xvda,w'", disk.display());

    // The second disk is not here, and cannot be named so either.
    let file = old.write("node1.cfg", &guest(&format!("{here}, 'phy:vg0/data,xvdb,w'")));
    let said = host.fief_ends(&["import", &file], NOT_FOUND);
    assert!(said.stderr.contains("node1.cfg:3: disk xvdb"), "{}", said.stderr);
    host.fief_ends(&["import", &file, "--disk", "xvdb=default/data"], NOT_FOUND);
    host.fief_ends(&["import", &file, "--disk", "xvdz=none"], USAGE);
    nothing_is_left(&host);
    // A volume of its name is there already: it is not touched.
    host.volume("default/node1", "1MiB");
    let said = host.fief_ends(&["import", &file, "--disk", "xvdb=none"], CONFLICT);
    assert!(said.stderr.contains("--disk xvda=default/node1"), "{}", said.stderr);
    host.fief(&["volume", "delete", "default/node1", "--yes"]);
    // Nothing is copied: the volume has to be there.
    host.fief_ends(&["import", &file, "--disk", "xvdb=none", "--no-copy"], NOT_FOUND);
    // No file at all; a disk in the place of a definition; a text that is none.
    host.fief_ends(&["import", &old.path("missing").to_string_lossy()], NOT_FOUND);
    host.fief_ends(&["import", &disk.to_string_lossy()], USAGE);
    let said = host.fief_ends(&["import", &old.write("bad.cfg", "name = f()\nmemory = [\n"), "-o", "json"], USAGE);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    // A failure while the copies are under way takes the first one back too.
    let broken = old.converted("broken.vmdk", "x", &["-O", "vmdk", "-o", "subformat=streamOptimized"]);
    // Past the header, in the middle of what it describes.
    std::fs::File::options().write(true).open(&broken).and_then(|file| file.set_len(65_600)).expect("a cut");
    let file = old.write("node1.cfg", &guest(&format!("{here}, 'tap:vmdk:{},xvdb,w'", broken.display())));
    host.fief_ends(&["import", &file], 1);
    nothing_is_left(&host);
    host.finish();
}

#[test]
fn a_domain_of_libvirt_is_imported_and_boots() {
    let (host, old) = (Host::new(), Old::new());
    let disk = old.converted("web1.qcow2", "hello from libvirt", &["-O", "qcow2"]);
    let xml = format!(
        "<domain type='kvm'>\n<name>web1</name>\n<memory unit='MiB'>32</memory>\n<os><type arch='x86_64'>hvm</type></os>\n\
         <devices>\n<disk type='file'><driver type='qcow2'/><source file='{}'/><target dev='sda' bus='scsi'/></disk>\n\
         <sound model='ich9'/>\n</devices>\n</domain>\n",
        disk.display()
    );
    let file = old.write("web1.xml", &xml);
    let said = host.fief(&["import", &file, "-o", "json"]).json();
    assert_eq!(said["result"], "imported");
    let report = said["item"]["report"].as_array().expect("a report").clone();
    let sound = report.iter().find(|line| line["key"] == "sound ich9").expect("a line on sound");
    assert_eq!((&sound["line"], &sound["result"]), (&7.into(), &"left-out".into()));
    assert_eq!(said["item"]["copies"][0]["format"], "qcow2");
    host.fief(&["start", "web1"]);
    Guest::of(&host, "web1").says("hello from libvirt");
    host.fief(&["stop", "web1"]);
    host.fief(&["delete", "web1", "--volumes", "--yes"]);
    host.finish();
}

/// An envelope as ESXi writes it, less what no test looks at.
fn envelope(disk: &str) -> String {
    format!(
        r##"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="r">
  <References><File ovf:href="{disk}" ovf:id="file1"/></References>
  <DiskSection><Disk ovf:capacity="1" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="vmdk.html#streamOptimized"/></DiskSection>
  <VirtualSystem ovf:id="mail">
    <Name>mail server</Name>
    <VirtualHardwareSection>
      <Item><rasd:ElementName>memory</rasd:ElementName><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>32</rasd:VirtualQuantity></Item>
      <Item><rasd:ElementName>Hard disk 1</rasd:ElementName><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:ElementName>sound</rasd:ElementName><rasd:ResourceType>35</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"##
    )
}

/// `SHA256(FILE)= …` for each file.
fn manifest(old: &Old, files: &[&str]) {
    let mut sums = Command::new("sha256sum");
    let said = fief_tests::command::run(sums.args(files.iter().map(|file| old.path(file))), Duration::from_secs(30));
    let sums = said.expect_code(0).stdout;
    let line = |(sum, file): (&str, &&str)| format!("SHA256({file})= {}\n", sum.split(' ').next().unwrap_or_default());
    let text: String = sums.lines().zip(files).map(line).collect();
    old.write("mail.mf", &text);
}

fn pack(folder: &Path, files: &[&str]) -> String {
    let mut tar = Command::new("tar");
    run(tar.arg("-C").arg(folder).args(["--format=ustar", "-cf", "mail.ova"]).args(files).current_dir(folder));
    folder.join("mail.ova").to_string_lossy().into_owned()
}

#[test]
fn a_guest_that_leaves_esxi_is_imported_and_boots() {
    let (host, old) = (Host::new(), Old::new());
    old.converted("mail-disk1.vmdk", "hello from esxi", &["-O", "vmdk", "-o", "subformat=streamOptimized"]);
    let ovf = old.write("mail.ovf", &envelope("mail-disk1.vmdk"));
    manifest(&old, &["mail.ovf", "mail-disk1.vmdk"]);
    let files = ["mail.ovf", "mail.mf", "mail-disk1.vmdk"];
    let ova = pack(&old.path(""), &files);

    let said = host.fief_ends(&["import", &ova], USAGE);
    assert!(said.stderr.contains("--name NAME"), "{}", said.stderr);
    let said = host.fief(&["import", &ova, "--name", "mail"]).stdout;
    for line in ["mail.ova:9: disk disk1: taken: volume = \"default/mail\"", "mail.ova:10: sound: left out:"] {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line} is missing in\n{said}");
    }
    host.fief(&["start", "mail"]);
    Guest::of(&host, "mail").says("hello from esxi");
    host.fief(&["stop", "mail"]);
    host.fief(&["delete", "mail", "--volumes", "--yes"]);

    // The same, not packed.
    host.fief(&["import", &ovf, "--name", "mail"]);
    assert_eq!(volumes(&host), ["default/mail"]);
    host.fief(&["delete", "mail", "--volumes", "--yes"]);

    // A byte of the disk is another: no volume stays. A disk that lies elsewhere: not even looked at.
    let disk = old.path("mail-disk1.vmdk");
    let mut bytes = std::fs::read(&disk).expect("the disk");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&disk, bytes).expect("room");
    let ova = pack(&old.path(""), &files);
    for file in [&ova, &ovf] {
        let said = host.fief_ends(&["import", file, "--name", "mail"], USAGE);
        assert!(said.stderr.contains("the package is damaged"), "{}", said.stderr);
        nothing_is_left(&host);
    }
    std::fs::remove_file(&disk).expect("the disk");
    std::os::unix::fs::symlink("/etc/passwd", &disk).expect("a link");
    let said = host.fief_ends(&["import", &ovf, "--name", "mail"], 5);
    assert!(said.stderr.contains("leads out of the package"), "{}", said.stderr);
    nothing_is_left(&host);
    host.finish();
}

#[test]
fn volumes_that_an_earlier_import_made_are_used_as_they_are() {
    let (host, old) = (Host::new(), Old::new());
    let disks = [old.disk("a.img", "hello again"), old.disk("b.img", "data")];
    let text = format!(
        "name = 'node1'\nmemory = 32\ndisk = [ 'file:{},xvda,w', 'file:{},xvdb,w', ',,hdc:cdrom,r' ]\n",
        disks[0].display(),
        disks[1].display()
    );
    let file = old.write("node1.cfg", &text);
    host.fief(&["import", &file]);
    assert_eq!(host.shown("node1")["definition"]["empty-drives"], 1);
    host.fief(&["start", "node1"]);
    Guest::of(&host, "node1").says("hello again");
    host.fief(&["stop", "node1"]);
    host.fief(&["delete", "node1", "--yes"]);
    // The volumes are there already, under the names that they would get.
    host.fief(&["import", &file, "--no-copy"]);
    host.fief(&["delete", "node1", "--volumes", "--yes"]);
    host.finish();
}
