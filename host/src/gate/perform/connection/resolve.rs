//! A name looked up, in a bounded time: the system's resolver (getaddrinfo(3)) knows no deadline.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::error::{Failure, Kind, Result};

/// Lookups that have outlived their deadline and are still at it. Beyond that many no new one is begun: the resolver is
/// stuck, and each holds a thread.
const STUCK_MAX: usize = 16;

static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// All addresses of `name`, in the order in which the system would try them (RFC 6724).
pub(super) fn lookup(name: &str, within: Duration) -> Result<Vec<IpAddr>> {
    if AT_WORK.fetch_add(1, Ordering::Relaxed) >= STUCK_MAX {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        return Err(Failure::new(Kind::TimedOut, "the system's resolver is stuck").hint("check /etc/resolv.conf"));
    }
    let (answer, answered) = sync_channel(1);
    let asked = name.to_owned();
    // A thread of its own, in the caller's network namespace; it ends by itself when the resolver gives up.
    let started = std::thread::Builder::new().name("resolve".into()).spawn(move || {
        let found = (asked.as_str(), 0_u16).to_socket_addrs();
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        // Nobody may be waiting any more.
        let _ = answer.send(found.map(|all| all.map(|address| address.ip()).collect::<Vec<_>>()));
    });
    if let Err(error) = started {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        return Err(Failure::other("cannot look up a name").because(error));
    }
    match answered.recv_timeout(within) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(Failure::new(Kind::Unreachable, format!("there is no address of {name}"))
            .because(error)
            .hint("check the name in the pool's settings, and /etc/resolv.conf")),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(Failure::new(Kind::TimedOut, format!("{name} was not looked up in time"))
                .hint("check /etc/resolv.conf"))
        }
    }
}
