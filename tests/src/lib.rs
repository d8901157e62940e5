//! What the end-to-end tests stand on.
//!
//! ```text
//!   Host     a network namespace and a root of its own, plugins installed; runs `fief` inside
//!   Guest    what boots there, and the lines that it says
//!   Terminal `fief console` on a pseudoterminal
//!   Census   what of a host is on the machine: processes, links, rules, mounts, sockets, files, locks
//! ```
//! A test ends with [`Host::finish`], which takes the census again and shows what was left.

pub mod boot_sector;
pub mod census;
pub mod command;
pub mod guest;
pub mod host;
pub mod namespace;
pub mod terminal;

pub use census::Census;
pub use command::Said;
pub use guest::Guest;
pub use host::{Host, fief_with_faults};
pub use namespace::Namespace;
pub use terminal::Terminal;

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
