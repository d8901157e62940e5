//! The folder on the server that holds a pool's volumes: from the settings to its handle, and what it is.

use std::fmt::Write as _;
use std::rc::Rc;

use fief_sdk::storage::PoolInfo;
use fief_sdk::{Error, ErrorCode, Result};

use crate::files::{Files, Limits};
use crate::name;
use crate::rpc::Identity;
use crate::settings::{MOUNT, SERVER, Settings, Version};
use crate::trouble::Trouble;
use crate::types::{Attributes, Handle};
use crate::v3;
use crate::v4::compound::Owner;
use crate::v4::session::Session;
use crate::wire::plain::{Plain, now};
use crate::wire::{Wire, random};

pub(crate) struct Export<W> {
    pub(crate) files: Files<W>,
    pub(crate) folder: Handle,
    pub(crate) about: Attributes,
    pub(crate) limits: Limits,
}

/// Runs a control call: connects, does it, and lets go of what the server keeps for us.
pub(crate) fn with<T>(settings: &Settings, call: impl AsyncFnOnce(&Export<Rc<Plain>>) -> Result<T>) -> Result<T> {
    now(async {
        let wire = Rc::new(Plain::open(SERVER)?);
        // A client of its own for each call: calls that run at the same time are not each other's restart.
        let owner =
            Owner { name: format!("fief/{:016x}{:016x}", random(), random()), verifier: random().to_be_bytes() };
        let export = Export::open(settings, wire, async || Plain::open(MOUNT), owner, 1).await?;
        let result = call(&export).await;
        // A server that does not answer forgets us when our lease is over.
        if !result.as_ref().is_err_and(is_away) {
            export.files.leave().await;
        }
        result
    })
}

impl<W: Wire + Clone> Export<W> {
    pub(crate) async fn open<M: Wire>(
        settings: &Settings,
        wire: W,
        mount: impl AsyncFnOnce() -> Result<M>,
        owner: Owner,
        slots: u32,
    ) -> Result<Self> {
        let identity = Identity { uid: settings.uid, gid: settings.gid };
        if settings.version != Version::Three {
            match Session::open(wire.clone(), identity, owner, slots).await {
                Ok(session) => {
                    let root = session.root().await.map_err(|trouble| unreadable(settings, trouble))?;
                    return Export::below(settings, Files::V4(Box::new(session)), root, &settings.share).await;
                }
                Err(Trouble::Final(old)) if old.code == ErrorCode::Unsupported && settings.version == Version::Auto => {
                    if settings.mount_port.is_none() {
                        return Err(Error::unsupported(format!(
                            "{}; for NFS 3, say the server's mount-port in the pool's settings",
                            old.message
                        )));
                    }
                }
                Err(trouble) => return Err(unreadable(settings, trouble)),
            }
        }
        if settings.mount_port.is_none() {
            return Err(Error::invalid("setting mount-port is missing: NFS 3 needs the port of the mount protocol"));
        }
        let mounting = v3::client::Client { wire: mount().await?, identity };
        let root = mounting.mount(&settings.share).await.map_err(|trouble| unreadable(settings, trouble))?;
        Export::below(settings, Files::V3(v3::client::Client { wire, identity }), root, "").await
    }

    async fn below(settings: &Settings, files: Files<W>, root: Handle, path: &str) -> Result<Self> {
        let inside = settings.directory.as_deref().unwrap_or_default();
        let find = async || {
            let share = files.walk(root, path).await?;
            let folder = files.walk(share, inside).await?;
            let about = files.attributes(&folder).await?;
            let limits = files.limits(&folder).await?;
            Ok((folder, about, limits))
        };
        match find().await {
            Ok((folder, about, limits)) => Ok(Export { files, folder, about, limits }),
            Err(trouble) => Err(unreadable(settings, trouble)),
        }
    }
}

impl<W: Wire> Export<W> {
    pub(crate) async fn info(&self, settings: &Settings) -> Result<PoolInfo> {
        let space = self.files.space(&self.folder).await.map_err(|trouble| unreadable(settings, trouble))?;
        Ok(PoolInfo {
            identity: self.identity(settings),
            capacity: space.map(|space| space.capacity),
            available: space.map(|space| space.available),
            reachable_from_peers: true,
            max_name: name::LONGEST,
        })
    }

    /// The server's own identity, the file system's, and the folder's. v3 knows no identity of a server: there it is the
    /// name under which the operator knows it.
    fn identity(&self, settings: &Settings) -> String {
        let server = match &self.files {
            Files::V3(_) => format!("nfs3/{}:{}", settings.server, settings.port),
            Files::V4(session) => format!("nfs4/{}", readable(&session.server())),
        };
        let id = self.about.id;
        format!("{server}/{:x}.{:x}/{:x}", id.fsid.0, id.fsid.1, id.fileid)
    }
}

/// The server does not answer, which may pass.
pub(crate) fn is_away(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout)
}

/// Letters, digits and a few marks as they are, all else as numbers.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'_' | b':' => text.push(byte.into()),
            other => drop(write!(text, "%{other:02x}")),
        }
    }
    text
}

fn unreadable(settings: &Settings, trouble: Trouble) -> Error {
    let inside = settings.directory.as_ref().map(|inside| format!(" and {inside} in it")).unwrap_or_default();
    trouble.error(format!("cannot open {}{inside} on the NFS server {}", settings.share, settings.server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_identity_is_shown_as_plain_text() {
        assert_eq!(readable(b"nas-1.example\0/\xff"), "nas-1.example%00%2f%ff");
    }
}
