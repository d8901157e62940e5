//! A network that nobody else is on: the namespace of one thread and of what it starts, which goes with them
//! (network_namespaces(7)).
#![allow(unsafe_code)]

use std::io;

use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};
use rustix::thread::UnshareFlags;

use crate::error::{Context, Failure, Kind, Result};

/// A cable from nowhere to nowhere: its two ends, both up.
pub type Cable = (&'static str, &'static str);

/// Runs `body` on a new thread in an empty network namespace, with its loopback and a cable in it.
///
/// # Errors
/// `Denied` for a user who may not make one.
pub fn on_no_network<T: Send>(cable: Cable, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let work = || {
        // SAFETY: of the flags only the network namespace is left behind, which no borrowed memory depends on.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|error| match error {
            rustix::io::Errno::PERM => {
                Failure::new(Kind::Denied, "a network of its own is needed for this, and only root makes one")
                    .hint("run it as root; nothing of this host's networks is used")
            }
            other => Failure::other("cannot make a network namespace").because(other),
        })?;
        wire(cable)?;
        body()
    };
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn wire((here, there): Cable) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context(|| "cannot start a runtime for netlink".to_owned())?;
    let wired = runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        handle.link().add(LinkVeth::new(here, there).build()).execute().await.map_err(io::Error::other)?;
        for name in ["lo", here, there] {
            let up = LinkMessageBuilder::<LinkUnspec>::default().name(name.to_owned()).up().build();
            handle.link().set(up).execute().await.map_err(io::Error::other)?;
        }
        connection.abort();
        io::Result::Ok(())
    });
    wired.context(|| "cannot wire a network of its own".to_owned())
}
