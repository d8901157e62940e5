//! Who uses a volume on this host: one small file a volume, naming the domain, looked at and changed under its own
//! lock. A lease of a domain that is off counts for nothing, so that a killed start never blocks a volume.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};

use crate::domain::{Record, State};
use crate::error::{Context, Failure, Result};
use crate::layout::Layout;
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
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).context(saying)?;
    flock(&file, FlockOperation::LockExclusive).context(saying)?;
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
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == domain.as_str() => match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot release volume {volume}"))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
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
