//! GRUB on a disk image, for BIOS and for UEFI, put there without mounting anything.
//!
//! ```text
//!   sector 0        boot.img: loads one sector, whose number stands at byte 0x5c
//!   sector N        core.img: its first sector loads the rest, from the sector whose number stands at byte 0x1f4
//!   EFI/BOOT/BOOTX64.EFI on the EFI system partition
//! ```
//! (GRUB's sources: `grub-core/boot/i386/pc/boot.S`, `diskboot.S`; `include/grub/i386/pc/boot.h`.)

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::command::{Doing, Result, command, quietly};

const SECTOR: u64 = 512;
/// `GRUB_BOOT_MACHINE_KERNEL_SECTOR`.
const KERNEL_SECTOR: u64 = 0x5c;
/// The first list of blocks in `diskboot.img`: its first sector, 64 bits.
const BLOCK_LIST: u64 = 0x1f4;
/// Code of a master boot record; the disk's signature and the partition table follow.
const BOOT_CODE: usize = 440;

const BOOT_IMAGE: &str = "/usr/lib/grub/i386-pc/boot.img";
const MODULES: &[&str] =
    &["part_gpt", "ext2", "normal", "linux", "serial", "terminal", "search", "search_label", "configfile", "echo"];

/// Writes `core.img` and `BOOTX64.EFI` into `work`; both look for the file system with `label` and its `/boot/grub/grub.cfg`.
pub(crate) fn make(work: &Path, label: &str) -> Result<()> {
    let early = work.join("early.cfg");
    let words = format!(
        "search --no-floppy --label {label} --set=root\nset prefix=($root)/boot/grub\nconfigfile /boot/grub/grub.cfg\n"
    );
    fs::write(&early, words)?;
    for (format, name, own) in [("i386-pc", "core.img", "biosdisk"), ("x86_64-efi", "BOOTX64.EFI", "efi_gop")] {
        let mut image = command("grub-mkimage", ["--format", format, "--prefix", "/boot/grub"]);
        image.arg("--output").arg(work.join(name)).arg("--config").arg(&early);
        quietly(image.args(MODULES).arg(own))?;
    }
    Ok(())
}

/// Makes `disk`, whose partition for GRUB starts at `sector`, boot from BIOS.
pub(crate) fn install(disk: &Path, core: &Path, sector: u64) -> Result<()> {
    let disk = File::options().write(true).open(disk).doing(|| format!("cannot open {}", disk.display()))?;
    let boot = fs::read(BOOT_IMAGE).doing(|| format!("cannot read {BOOT_IMAGE}"))?;
    let Some(code) = boot.get(..BOOT_CODE) else { return Err(format!("{BOOT_IMAGE} is too short").into()) };
    disk.write_all_at(code, 0)?;
    disk.write_all_at(&sector.to_le_bytes(), KERNEL_SECTOR)?;
    disk.write_all_at(&fs::read(core)?, sector * SECTOR)?;
    disk.write_all_at(&(sector + 1).to_le_bytes(), sector * SECTOR + BLOCK_LIST)?;
    Ok(())
}
