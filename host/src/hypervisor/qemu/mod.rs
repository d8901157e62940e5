//! QEMU, 7.2 (Debian 12) to 10.
