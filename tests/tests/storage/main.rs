//! Shared storage under whole machines, on the real nfs-ganesha and the real tgt. `cargo xtask storage` runs this;
//! `cargo xtask test` leaves it out, for it is slow.
//!
//! ```text
//!   bad_servers.rs  answers of a wrong length, or to what nobody asked, under guests that read back what they write
//!   conformance.rs  the plugins of servers, held against their interface
//!   cuts.rs         connections that are reset, half open, silent; units that are taken away, and others in their place
//!   debian.rs       a Debian boots from NFS and iSCSI, by QEMU's own client and served, and fio verifies what it writes
//!   fences.rs       another host takes a volume by force
//!   growing.rs      volumes that grow under a guest
//!   moving.rs       a running guest's disk moves between plugins and native clients, with all that is on it
//!   objects.rs      an example: volumes as objects of the real s3s-fs, which is killed, as is the sandbox
//!   trouble.rs      guests on storage that gets into trouble: export gone, unit offline, read-only, frozen …
//! ```
#![allow(clippy::unwrap_used)]

mod bad_servers;
mod conformance;
mod cuts;
mod debian;
mod fences;
mod growing;
mod iscsi_trouble;
mod moving;
mod nfs_trouble;
mod objects;
mod trouble;
