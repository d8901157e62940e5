//! A network that nobody else is on, and a folder that nobody else sees: the namespaces of one thread and of what it starts,
//! which go with them (network_namespaces(7), mount_namespaces(7)).
#![allow(unsafe_code)]

use std::io;
use std::path::Path;

use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};
use rustix::mount::{MountFlags, MountPropagationFlags};
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
    on_a_thread(work)
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Runs `body` on a new thread, for which `folder` is an empty file system in memory that takes that many bytes at the most. Where
/// this process may mount none, which only root may, the folder is as it is.
///
/// # Errors
/// Those of `body`.
pub fn with_little_room<T: Send>(folder: &Path, bytes: u64, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| {
        match little_room(folder, bytes) {
            Ok(()) | Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {}
            Err(error) => {
                return Err(error).context(|| format!("cannot bound what fits into {}", folder.display()));
            }
        }
        body()
    })
}

fn little_room(folder: &Path, bytes: u64) -> rustix::io::Result<()> {
    // SAFETY: mounts alone are left behind, and with them this thread's share of the current directory, which no
    // borrowed memory depends on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = std::ffi::CString::new(format!("mode=0700,size={bytes}")).unwrap_or_default();
    rustix::mount::mount("tmpfs", folder, "tmpfs", flags, options.as_c_str())
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
