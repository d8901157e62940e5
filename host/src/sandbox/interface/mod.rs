//! The host interfaces, one file each: a function checks nothing, it sends one ask and gives the host's answer.

mod bridges;
mod connections;
pub(super) mod files;
mod images;
mod log;
mod payloads;
mod requests;
mod secrets;
mod session;
mod timer;
mod wasi;
mod words;

use wasmtime::component::{HasSelf, Linker};

use super::protocol::PluginKind;
use super::room::Room;
use super::version::v0_1::fief::{migration, network, storage, types};
use crate::config::policy::HostInterface;

// Where the plugin's handles point: the generated bindings name them.
pub use connections::Stream;
pub use files::Open;
pub use payloads::Payload;
pub use session::Move;
pub(super) use wasi::{Preopens, wasi};
pub(super) use words::{access, attachment, fence, finding, holder, image_snapshot, plugin_error, port, volume};
pub(super) use words::{facts, format, outcome_out, preallocation};

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
    storage::directories::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    storage::files::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    files::link_write(linker)?;
    storage::payloads::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    storage::requests::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?;
    requests::link_answer(linker)?;
    for interface in granted {
        match interface {
            HostInterface::Images => storage::images::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?,
            HostInterface::Bridges => network::bridges::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?,
            HostInterface::Session => migration::session::add_to_linker::<_, HasSelf<_>>(linker, |room| room)?,
        }
    }
    Ok(())
}

/// A strategy has nothing that differs from one run to the next: no clock, no random numbers, no files, no network. What a
/// toolchain's standard library cannot do without (an empty environment, output into the log) stays.
///
/// # Errors
/// Where a plugin of that kind imports what is never given to it, granted or not.
pub(super) fn fits<'a>(imports: impl Iterator<Item = &'a str>, kind: PluginKind) -> Result<(), String> {
    const OF_STRATEGIES: &[&str] =
        &["wasi:io/", "wasi:cli/", "fief:migration/", "fief:types/types@", "fief:types/log@"];
    let mut imports = imports;
    let given = |name: &&str| OF_STRATEGIES.iter().any(|prefix| name.starts_with(prefix));
    match (kind, imports.find(|name| !given(name))) {
        (PluginKind::Migration, Some(_)) => Err("it imports what no migration plugin is given".into()),
        (PluginKind::Migration, None) | (PluginKind::Storage | PluginKind::Network, _) => Ok(()),
    }
}

/// The host gave an answer of another shape than the ask has: a fault of fief's, not of the plugin's.
fn mismatch<T>(reply: &super::protocol::Reply) -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg(format!("the host's answer does not fit the question: {reply:?}")))
}
