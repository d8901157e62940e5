//! What the end-to-end tests stand on.
//!
//! ```text
//!   Host     a network namespace and a root of its own, plugins installed; runs `fief` inside
//!   Guest    what boots there, and the lines that it says
//!   Terminal `fief console` on a pseudoterminal
//!   Served   `fief volume serve` beside the test
//!   Serving  `fief serve` beside the test
//!   Tgt      a real iSCSI target
//!   Witness  a guest that counts in memory, on disk and on the console, and what must never be
//!   Registry a real registry of OCI artefacts; Web, a server of files by https; Authority, who vouches for both
//!   Ganesha  a real NFS server in a namespace of its own
//!   Nginx    a real HTTP server
//!   ObjectStore  a real server of S3
//!   Meddler  a relay before either that changes what they answer: a bad server
//!   pools    fief's pools on those two
//!   Pair     two hosts that are peers, the networks and servers around them
//!   Trouble  what goes wrong between two hosts, and with their processes; Relay, with single bytes
//!   invariants  what must be true of two hosts, whatever happened
//!   Canary   where a secret must not lie
//!   Census   what of a host is on the machine: processes, links, rules, mounts, sockets, files, locks
//! ```
//! A test ends with [`Host::finish`], which takes the census again and shows what was left.

pub mod boot_sector;
pub mod canary;
pub mod cases;
pub mod census;
pub mod command;
pub mod compiled;
pub mod fault;
pub mod ganesha;
pub mod guest;
pub mod host;
pub mod invariants;
pub mod meddler;
pub mod namespace;
pub mod nginx;
pub mod object_store;
pub mod pair;
pub mod pools;
pub mod random;
pub mod registry;
pub mod relay;
pub mod served;
pub mod serving;
pub mod terminal;
pub mod tgt;
pub mod trouble;
pub mod witness;

pub use canary::Canary;
pub use census::Census;
pub use command::Said;
pub use ganesha::Ganesha;
pub use guest::Guest;
pub use host::{Host, fief_with_faults};
pub use meddler::Meddler;
pub use namespace::Namespace;
pub use nginx::Nginx;
pub use object_store::ObjectStore;
pub use pair::Pair;
pub use registry::{Authority, Registry, Web};
pub use relay::Relay;
pub use served::Served;
pub use serving::Serving;
pub use terminal::Terminal;
pub use tgt::Tgt;
pub use trouble::Trouble;
pub use witness::Witness;

use std::time::{Duration, Instant};

/// Looks until `look` finds something; panics with `what` past `deadline`.
pub fn eventually<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {} s", deadline.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends a process that the test started, or its fief did, by SIGKILL.
///
/// # Panics
/// Where there is none of that number.
#[track_caller]
pub fn kill(process: u32) {
    let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a process of this test");
}
