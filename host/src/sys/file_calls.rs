//! The system calls by which a sandbox reaches files: those that its filter lets through (`seccomp.rs`), and that are made to fail
//! for a plugin that is being tried out (`balk.rs`). One list, so that none is let through and never tried.

/// Reads at a place of a file.
pub(super) const READS: &[libc::c_long] = &[libc::SYS_pread64, libc::SYS_preadv, libc::SYS_preadv2];
/// Writes at a place of a file, and what else changes what is in one.
pub(super) const WRITES: &[libc::c_long] =
    &[libc::SYS_pwrite64, libc::SYS_pwritev, libc::SYS_fallocate, libc::SYS_ftruncate];
/// What puts a file's bytes on stable storage.
pub(super) const SYNCS: &[libc::c_long] = &[libc::SYS_fsync, libc::SYS_fdatasync];
/// What opens, lists, makes, renames and removes files, or looks at what is known of them. Landlock holds it below the handed
/// directories.
pub(super) const PATHS: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_utimensat,
];

/// All of them.
pub(super) fn all() -> impl Iterator<Item = libc::c_long> {
    READS.iter().chain(WRITES).chain(SYNCS).chain(PATHS).copied()
}
