//! The host interfaces, one file each: a function checks nothing, it sends one ask and gives the host's answer.

mod bridges;
mod connections;
pub(super) mod files;
mod images;
mod log;
mod secrets;
mod timer;
mod wasi;
mod words;

use wasmtime::component::{HasSelf, Linker};

use super::room::Room;
use super::version::v0_1::fief::{network, storage, types};
use crate::config::policy::HostInterface;

// Where the plugin's handles point: the generated bindings name them.
pub use connections::Stream;
pub use files::Open;
pub(super) use wasi::{Preopens, wasi};
pub(super) use words::{access, attachment, fence, finding, holder, image_snapshot, plugin_error, port, volume};
pub(super) use words::{format, preallocation};

/// Gives the linker what every plugin has, and the host interfaces that were granted.
pub(super) fn link(linker: &mut Linker<Room>, granted: &[HostInterface]) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    types::log::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    types::timer::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    // Types only: a component names these instances wherever it uses their words.
    types::types::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    storage::volumes::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    // Each stream, secret and directory is granted by a name of its own.
    storage::connections::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    storage::secrets::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    storage::files::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    files::link_write(linker)?;
    for interface in granted {
        match interface {
            HostInterface::Images => storage::images::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?,
            HostInterface::Bridges => network::bridges::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?,
            // No plugin of a kind that moves domains is loaded yet.
            HostInterface::Session => {}
        }
    }
    Ok(())
}

/// The host gave an answer of another shape than the ask has: a fault of fief's, not of the plugin's.
fn mismatch<T>(reply: &super::protocol::Reply) -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg(format!("the host's answer does not fit the question: {reply:?}")))
}
