//! A whole Debian on a disk image that boots from BIOS and from UEFI to a login on the serial console.
//!
//! Nothing is mounted: mmdebstrap fills a folder, `mke2fs -d` makes the file system from it, mtools the EFI system
//! partition, and both are written into a GPT image at their places.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::grub;
use super::stamp::Stamp;
use crate::command::{Doing, Result, command, is_root, quietly, remove_tree};
use crate::place;

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;

/// The whole disk: the partitions below, and room for the second copy of the table.
const DISK: u64 = 648 * MIB;
/// Where GRUB's `core.img` lies.
const BIOS: Partition = Partition { start: MIB, size: MIB, kind: "21686148-6449-6E6F-744E-656564454649", name: "bios" };
const ESP: Partition =
    Partition { start: 2 * MIB, size: 32 * MIB, kind: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", name: "esp" };
const ROOT: Partition =
    Partition { start: 34 * MIB, size: 612 * MIB, kind: "0FC63DAF-8483-4772-8E79-3D69D8477DE4", name: "root" };

const RELEASE: &str = "bookworm";
const PACKAGES: &str = "linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,kmod,iproute2";
const LABEL: &str = "fief-root";

const GRUB_CONFIG: &str = r#"serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
echo "fief-debian: grub on $grub_platform"
linux /vmlinuz root=LABEL=fief-root console=ttyS0 quiet ro
initrd /initrd.img
boot
"#;

/// Files that make it this guest.
const FILES: &[(&str, &str)] = &[
    ("etc/fstab", "LABEL=fief-root / ext4 defaults 0 1\n"),
    ("etc/hostname", "fief-debian\n"),
    // Empty: each boot makes its own (machine-id(5)).
    ("etc/machine-id", ""),
    ("boot/grub/grub.cfg", GRUB_CONFIG),
];

/// Timers that would only slow a short life down.
const MASKED: &[&str] =
    &["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"];

struct Partition {
    start: u64,
    size: u64,
    /// Type GUID (UEFI specification 2.10, table 5.7; the first is GRUB's own).
    kind: &'static str,
    name: &'static str,
}

/// The image, raw; login `root` without a password.
pub(crate) fn file() -> PathBuf {
    place::guest().join("debian.img")
}

/// Makes it where it is not there: about a minute.
///
/// # Errors
/// Where we are not root: files of a Debian belong to many users.
pub(crate) fn ready() -> Result<()> {
    let product = file();
    let stamp =
        Stamp::new(&product, format!("{RELEASE} {PACKAGES} {DISK} {FILES:?} {MASKED:?} {}", include_str!("grub.rs")));
    if stamp.holds(&[&product]) {
        return Ok(());
    }
    if !is_root() {
        return Err("making the Debian disk image needs root\nhint: sudo cargo xtask setup --for test".into());
    }
    stamp.lift()?;
    println!("setup: making a Debian {RELEASE} on a disk (about a minute)");
    let work = place::guest().join("debian");
    remove_tree(&work)?;
    fs::create_dir_all(&work)?;
    let unfinished = work.join("disk.img");
    fill(&work.join("root"))?;
    lay_out(&unfinished)?;
    let root = file_system(&work)?;
    grub::make(&work, LABEL)?;
    write_at(&unfinished, &system_partition(&work)?, ESP.start)?;
    write_at(&unfinished, &root, ROOT.start)?;
    grub::install(&unfinished, &work.join("core.img"), BIOS.start / SECTOR)?;
    fs::rename(&unfinished, &product)?;
    remove_tree(&work)?;
    stamp.set()
}

/// The tree of a small Debian.
fn fill(root: &Path) -> Result<()> {
    let mut debstrap = command("mmdebstrap", ["--quiet", "--mode=root", "--variant=essential"]);
    debstrap.arg(format!("--include={PACKAGES}")).arg("--aptopt=Acquire::Languages \"none\"");
    for left_out in ["doc", "man", "locale", "info"] {
        debstrap.arg(format!("--dpkgopt=path-exclude=/usr/share/{left_out}/*"));
    }
    quietly(debstrap.arg(RELEASE).arg(root))?;
    for (name, content) in FILES {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, content).doing(|| format!("cannot write {}", path.display()))?;
    }
    for timer in MASKED {
        let link = root.join("etc/systemd/system").join(timer);
        if !link.exists() {
            std::os::unix::fs::symlink("/dev/null", link)?;
        }
    }
    let chroot = |words: &[&str]| quietly(command("chroot", [root]).args(words));
    chroot(&["passwd", "--delete", "root"])?;
    for emptied in ["var/lib/apt/lists", "var/cache/apt"] {
        remove_tree(&root.join(emptied))?;
    }
    Ok(())
}

fn lay_out(disk: &Path) -> Result<()> {
    File::create(disk)?.set_len(DISK)?;
    let mut table = "label: gpt\n".to_owned();
    for Partition { start, size, kind, name } in [BIOS, ESP, ROOT] {
        table += &format!("start={}, size={}, type={kind}, name={name:?}\n", start / SECTOR, size / SECTOR);
    }
    let script = disk.with_extension("sfdisk");
    fs::write(&script, table)?;
    let output = command("sfdisk", ["--quiet"]).arg(disk).stdin(File::open(&script)?).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("sfdisk cannot lay out {}: {}", disk.display(), String::from_utf8_lossy(&output.stderr)).into())
}

fn file_system(work: &Path) -> Result<PathBuf> {
    let image = work.join("root.ext4");
    let mut make = command("mke2fs", ["-q", "-t", "ext4", "-L", LABEL, "-d"]);
    quietly(make.arg(work.join("root")).arg(&image).arg(format!("{}K", ROOT.size / 1024)))?;
    Ok(image)
}

fn system_partition(work: &Path) -> Result<PathBuf> {
    let image = work.join("esp.img");
    File::create(&image)?.set_len(ESP.size)?;
    let tool = |program: &str, words: &[&str]| quietly(command(program, ["-i"]).arg(&image).args(words));
    tool("mformat", &["-v", "FIEF-ESP", "::"])?;
    tool("mmd", &["::/EFI", "::/EFI/BOOT"])?;
    let loader = work.join("BOOTX64.EFI");
    tool("mcopy", &[&loader.to_string_lossy(), "::/EFI/BOOT/BOOTX64.EFI"])?;
    Ok(image)
}

/// Copies `part` into `disk` from `start` on, without the blocks that are all zero: the disk stays sparse.
fn write_at(disk: &Path, part: &Path, start: u64) -> Result<()> {
    let mut from = File::open(part)?;
    let mut to = File::options().write(true).open(disk)?;
    let mut block = vec![0; 64 * 1024];
    let mut place = start;
    loop {
        let length = from.read(&mut block)?;
        if length == 0 {
            return Ok(());
        }
        if block[..length].iter().any(|&byte| byte != 0) {
            to.seek(SeekFrom::Start(place))?;
            to.write_all(&block[..length])?;
        }
        place += length as u64;
    }
}
