//! Something to boot: a Debian kernel, the witness guest, and a whole Debian on a disk.

pub(crate) mod cpio;
pub(crate) mod debian;
pub(crate) mod fio;
pub(crate) mod grub;
pub(crate) mod initramfs;
pub(crate) mod kernel;
pub(crate) mod newer_qemu;
pub(crate) mod stamp;
