//! The hosts that this one trusts, and the invitations that are open. A peer is a folder below `ROOT/peers` that holds the
//! fingerprint of its certificate; without that file it is a stranger.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host_id;
use crate::error::{Context, Failure, Kind, Result};
use crate::layout::Layout;
use crate::sys::durable::{self, Lock};
use crate::types::{Digest, Endpoint, PeerName};

/// For another command that changes who is trusted: it writes a file.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Wrong proofs after which an invitation is void: a token is carried, not guessed.
const WRONG_MAX: u32 = 5;
/// Invitations that are open at a time.
const INVITATIONS_MAX: usize = 64;

/// Another host, as it was found when the two were paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pinned {
    /// Its identity, which outlives its names.
    pub host: Uuid,
    /// As its kernel had it.
    pub host_name: String,
    /// SHA-256 of its certificate.
    pub fingerprint: Digest,
    /// None: it does not listen, and only comes here.
    pub address: Option<Endpoint>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub since: u64,
}

/// What the inviting host keeps of an invitation: whoever reads it cannot join by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Invitation {
    /// What the guest is to be called here.
    pub name: Option<PeerName>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub until: u64,
    /// `StoredKey` of RFC 5802, hexadecimal.
    pub verifier: String,
    pub wrong: u32,
}

/// All peers, by name.
pub fn all(layout: &Layout) -> Result<Vec<(PeerName, Pinned)>> {
    let mut peers = Vec::new();
    for name in durable::names(&layout.peers())?.iter().filter_map(|name| name.parse::<PeerName>().ok()) {
        match get(layout, &name) {
            Ok(pinned) => peers.push((name, pinned)),
            // Half made, or gone in this moment.
            Err(failure) if failure.kind == Kind::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    peers.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(peers)
}

/// # Errors
/// `NotFound` where it is no peer, `NeedsRecover` where its file does not hold what was written there.
pub fn get(layout: &Layout, name: &PeerName) -> Result<Pinned> {
    let path = file(layout, name);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(Kind::NeedsRecover, format!("{} does not hold a peer", path.display()))
                .because(error)
                .hint(format!("fief peer remove {name}, and pair the two hosts again"))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(absent(name)),
        Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
    }
}

/// Whose certificate that is.
pub fn known(layout: &Layout, fingerprint: Digest) -> Result<Option<(PeerName, Pinned)>> {
    for name in durable::names(&layout.peers())?.iter().filter_map(|name| name.parse::<PeerName>().ok()) {
        match get(layout, &name) {
            Ok(pinned) if pinned.fingerprint == fingerprint => return Ok(Some((name, pinned))),
            Ok(_) => {}
            // One that cannot be read keeps nobody else out.
            Err(failure) => tracing::debug!(%failure, "not a peer"),
        }
    }
    Ok(None)
}

/// What the peer is called here that has this identity.
pub fn of_host(layout: &Layout, host: Uuid) -> Result<Option<PeerName>> {
    Ok(all(layout)?.into_iter().find(|(_, pinned)| pinned.host == host).map(|(name, _)| name))
}

pub fn absent(name: &PeerName) -> Failure {
    Failure::not_found(format!("there is no peer {name}")).hint("fief peer list shows those that there are")
}

/// Says why `name` cannot be that host's; none where it can, or is already.
pub fn conflict(layout: &Layout, name: &PeerName, host: Option<Uuid>, fingerprint: Digest) -> Result<Option<Failure>> {
    if host.is_some() && host == Some(host_id::this(layout)?.id) {
        // What it holds would be taken for ours.
        return Ok(Some(
            Failure::conflict("that host has the identity of this one: its root is a copy of this one's")
                .hint("on the copy, remove the file host/id below its root, and pair the two again"),
        ));
    }
    for (other, pinned) in all(layout)? {
        let same = pinned.fingerprint == fingerprint;
        if other == *name && !same {
            return Ok(Some(
                Failure::conflict(format!("another host is the peer {name} already"))
                    .hint(format!("give it another name; or, if that host was set up anew: fief peer remove {name}")),
            ));
        }
        if other != *name && (same || host == Some(pinned.host)) {
            let how = if same { "" } else { ", with another certificate" };
            return Ok(Some(
                Failure::conflict(format!("that host is the peer {other} already{how}"))
                    .hint(format!("use that name; or fief peer remove {other}")),
            ));
        }
    }
    Ok(None)
}

/// Keeps a peer, in place of what was there under its name and is the same host. An invitation is used up by it, before
/// anything else: nobody comes in by it twice.
pub(super) fn pin(layout: &Layout, name: &PeerName, pinned: &Pinned, invitation: Option<&str>) -> Result<()> {
    let _lock = lock(layout)?;
    if let Some(failure) = conflict(layout, name, Some(pinned.host), pinned.fingerprint)? {
        return Err(failure);
    }
    if let Some(id) = invitation {
        let path = invitation_file(layout, id);
        let saying = || format!("cannot remove {}", path.display());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(void()),
            other => other.context(saying)?,
        }
        durable::sync_folder(&layout.peers()).context(saying)?;
    }
    let folder = layout.peer(name);
    make(&folder)?;
    let bytes = serde_json::to_vec_pretty(pinned).context(|| format!("cannot write down the peer {name}"))?;
    durable::write(&file(layout, name), &bytes)?;
    durable::sync_folder(&layout.peers()).context(|| format!("cannot keep {}", folder.display()))
}

/// One that is no peer is already forgotten: `false`.
pub(super) fn forget(layout: &Layout, name: &PeerName) -> Result<bool> {
    let folder = layout.peer(name);
    let saying = || format!("cannot remove {}", folder.display());
    if !folder.exists() {
        return Ok(false);
    }
    let _lock = lock(layout)?;
    let moves = moves_file(layout, name);
    if let Ok(file) = std::fs::File::open(&moves) {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Failure::conflict(format!("a domain is on its way between this host and the peer {name}"))
                    .hint("wait until it has arrived; fief list tells"));
            }
            other => other.context(saying)?,
        }
    }
    // From here on it is a stranger, whatever becomes of the rest.
    match std::fs::remove_file(file(layout, name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        other => other.context(saying)?,
    }
    durable::sync_folder(&folder).context(saying)?;
    std::fs::remove_dir_all(&folder).context(saying)?;
    durable::sync_folder(&layout.peers()).context(saying).map(|()| true)
}

/// For as long as this lives, the peer is not forgotten. It ends with the process at the latest.
#[derive(Debug)]
pub struct Hold {
    file: std::fs::File,
    path: PathBuf,
    layout: Layout,
}

impl Drop for Hold {
    /// The last one takes the file away. One that is left (of a process that was killed) holds nobody.
    fn drop(&mut self) {
        let Ok(_lock) = lock(&self.layout) else { return };
        if rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Takes a hold of a peer for a domain that is on its way.
///
/// # Errors
/// `NotFound` where it is no peer.
pub fn hold(layout: &Layout, name: &PeerName) -> Result<Hold> {
    let _lock = lock(layout)?;
    get(layout, name)?;
    let path = moves_file(layout, name);
    let saying = || format!("cannot lock {}", path.display());
    let file = std::fs::File::options().create(true).append(true).open(&path).context(saying)?;
    rustix::fs::flock(&file, FlockOperation::LockShared).context(saying)?;
    Ok(Hold { file, path, layout: layout.clone() })
}

/// Takes away what holds of processes that were killed have left.
///
/// # Errors
/// Where the peers cannot be read.
pub fn tidy_holds(layout: &Layout) -> Result<()> {
    for (name, _) in all(layout)? {
        if moves_file(layout, &name).exists() {
            drop(hold(layout, &name)?);
        }
    }
    Ok(())
}

/// Opens an invitation, and closes those whose time is over.
pub(super) fn invite(layout: &Layout, id: &str, invitation: &Invitation, now: u64) -> Result<()> {
    let _lock = lock(layout)?;
    let open = open_invitations(layout, now)?;
    if open >= INVITATIONS_MAX {
        return Err(Failure::conflict(format!("{open} invitations are open already"))
            .hint("each ends by itself when its time is over"));
    }
    let bytes = serde_json::to_vec_pretty(invitation).context(|| "cannot write down an invitation".to_owned())?;
    durable::write(&invitation_file(layout, id), &bytes)
}

/// How many invitations are open; those whose time is over are removed.
pub fn open_invitations(layout: &Layout, now: u64) -> Result<usize> {
    let mut open = 0;
    for name in durable::names(&layout.peers())? {
        let Some(id) = name.strip_prefix(PREFIX) else { continue };
        match read_invitation(layout, id)? {
            Some(invitation) if invitation.until > now => open += 1,
            Some(_) => drop(std::fs::remove_file(invitation_file(layout, id))),
            None => {}
        }
    }
    Ok(open)
}

/// The invitation of that number, where it is open.
///
/// # Errors
/// `Denied`, in the same words whatever is wrong with it.
pub fn invitation(layout: &Layout, id: &str, now: u64) -> Result<Invitation> {
    let open = read_invitation(layout, id)?.filter(|found| found.until > now && found.wrong < WRONG_MAX);
    open.ok_or_else(void)
}

/// Counts a proof that was wrong.
pub fn count_wrong(layout: &Layout, id: &str) -> Result<()> {
    let _lock = lock(layout)?;
    let Some(mut invitation) = read_invitation(layout, id)? else { return Ok(()) };
    invitation.wrong = invitation.wrong.saturating_add(1);
    let bytes = serde_json::to_vec_pretty(&invitation).context(|| "cannot write down an invitation".to_owned())?;
    durable::write(&invitation_file(layout, id), &bytes)
}

/// What somebody who knocks is told, whether the invitation never was, is used, is over, or is another's.
pub fn void() -> Failure {
    Failure::denied("the token is not good here (any more)").hint("invite the host again: fief peer invite")
}

fn read_invitation(layout: &Layout, id: &str) -> Result<Option<Invitation>> {
    let path = invitation_file(layout, id);
    let saying = || format!("cannot read {}", path.display());
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).context(saying).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(saying),
    }
}

const PREFIX: &str = ".invitation-";

/// `id` is hexadecimal.
fn invitation_file(layout: &Layout, id: &str) -> PathBuf {
    layout.peers().join(format!("{PREFIX}{id}"))
}

fn file(layout: &Layout, name: &PeerName) -> PathBuf {
    layout.peer(name).join("peer.json")
}

fn moves_file(layout: &Layout, name: &PeerName) -> PathBuf {
    layout.peer(name).join("moves")
}

fn make(folder: &Path) -> Result<()> {
    let saying = || format!("cannot make the folder {}", folder.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).context(saying)
}

fn lock(layout: &Layout) -> Result<Lock> {
    make(&layout.peers())?;
    durable::lock(&layout.peers().join(".lock"), LOCK_WAIT)
}

#[cfg(test)]
mod tests;
