//! Who uses a volume on this host: one small file a volume, naming the domain, looked at and changed under its own
//! lock. A lease of a domain that is off counts for nothing, so that a killed start never blocks a volume.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::domain::{Record, State};
use crate::error::{Context, Failure, Result};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::{DomainName, VolumeRef};

fn path(layout: &Layout, volume: &VolumeRef) -> PathBuf {
    layout.pool(&volume.pool).join("leases").join(&volume.volume)
}

/// The domain that a lease names, if that domain is not off.
fn live_holder(layout: &Layout, text: &str) -> Option<DomainName> {
    let holder: DomainName = text.trim().parse().ok()?;
    let record = Record::load(layout, &holder).ok()?;
    (record.state_now() != State::Off).then_some(holder)
}

/// Takes the volume for `domain`.
///
/// # Errors
/// `Conflict` where a domain that is not off has it.
pub fn take(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    let path = path(layout, volume);
    let saying = || format!("cannot take the lease of volume {volume}");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context(saying)?;
    }
    let mut file = loop {
        let mut open = File::options();
        open.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open.open(&path).context(saying)?;
        flock(&file, FlockOperation::LockExclusive).context(saying)?;
        // One that was released meanwhile is no lease any more, whatever is written into it.
        if durable::same_file(&file, &path).context(saying)? {
            break file;
        }
    };
    let mut text = String::new();
    file.read_to_string(&mut text).context(saying)?;
    match live_holder(layout, &text) {
        Some(holder) if holder != *domain => {
            Err(Failure::conflict(format!("volume {volume} is in use by domain {holder}"))
                .hint(format!("stop {holder} first, or give this domain a volume of its own (`fief volume clone`)")))
        }
        Some(_) | None => {
            file.set_len(0).and_then(|()| file.rewind()).context(saying)?;
            file.write_all(domain.as_str().as_bytes()).context(saying)
        }
    }
}

/// Lets the volume go where `domain` has it.
pub fn release(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    let path = path(layout, volume);
    release_file(&path, domain).map(drop).context(|| format!("cannot release volume {volume}"))
}

/// Whether it was the domain's.
fn release_file(path: &Path, domain: &DomainName) -> std::io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    flock(&file, FlockOperation::LockExclusive)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text.trim() != domain.as_str() || !durable::same_file(&file, path)? {
        return Ok(false);
    }
    std::fs::remove_file(path)?;
    Ok(true)
}

/// Lets every volume go that the domain has, whatever its record says; gives how many those were.
pub fn release_all(layout: &Layout, domain: &DomainName) -> Result<usize> {
    let saying = || format!("cannot release the volumes of domain {domain}");
    let mut released = 0;
    for pool in entries(&layout.pools()).context(saying)? {
        for lease in entries(&pool.join("leases")).context(saying)? {
            released += usize::from(release_file(&lease, domain).context(saying)?);
        }
    }
    Ok(released)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        // A stray file where pools are.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The domains that use a volume now.
pub fn users_of_volume(layout: &Layout, volume: &VolumeRef) -> Result<Vec<DomainName>> {
    match std::fs::read_to_string(path(layout, volume)) {
        Ok(text) => Ok(live_holder(layout, &text).into_iter().collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).context(|| format!("cannot read the lease of volume {volume}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_let_go_by_its_domain_alone_and_found_without_its_record() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let (node1, node2): (DomainName, DomainName) = ("node1".parse().unwrap(), "node2".parse().unwrap());
        let volumes: Vec<VolumeRef> = ["a/x", "a/y", "b/z"].iter().map(|text| text.parse().unwrap()).collect();
        take(&layout, &volumes[0], &node1).unwrap();
        take(&layout, &volumes[1], &node2).unwrap();
        take(&layout, &volumes[2], &node1).unwrap();
        release(&layout, &volumes[1], &node1).unwrap();
        assert!(path(&layout, &volumes[1]).exists());
        assert_eq!(release_all(&layout, &node1).unwrap(), 2);
        assert!(path(&layout, &volumes[1]).exists() && !path(&layout, &volumes[0]).exists());
        assert_eq!(release_all(&layout, &node1).unwrap(), 0);
    }

    #[test]
    fn a_lease_taken_while_another_is_let_go_is_there_afterwards() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let (node1, node2): (DomainName, DomainName) = ("node1".parse().unwrap(), "node2".parse().unwrap());
        let volume: VolumeRef = "a/x".parse().unwrap();
        for _ in 0..200 {
            take(&layout, &volume, &node1).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| release(&layout, &volume, &node1).unwrap());
                // There is no such domain running, so the lease of the other counts for nothing.
                take(&layout, &volume, &node2).unwrap();
            });
            assert_eq!(std::fs::read_to_string(path(&layout, &volume)).unwrap(), "node2");
            release(&layout, &volume, &node2).unwrap();
        }
    }
}
