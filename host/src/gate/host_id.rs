//! Who this host is to other hosts that reach the same storage: `host/id`, made once, and the name that people know it by.

use std::time::Duration;

use uuid::Uuid;

use crate::error::{Context, Failure, Kind, Result};
use crate::layout::Layout;
use crate::sys::durable;

/// For another command to make it.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostId {
    /// Stable for as long as the root is there, and no other host's.
    pub id: Uuid,
    /// As the kernel has it now.
    pub name: String,
}

/// # Errors
/// `NeedsRecover` where the file does not hold what was written there: with another identity, this host would take
/// itself for a stranger to what it holds.
pub fn this(layout: &Layout) -> Result<HostId> {
    let folder = layout.host();
    let path = folder.join("id");
    let saying = || format!("cannot read {}", path.display());
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    std::fs::create_dir_all(&folder).context(saying)?;
    let _lock = durable::lock(&folder.join("id.lock"), LOCK_LIMIT)?;
    let id = match std::fs::read_to_string(&path) {
        Ok(text) => Uuid::try_parse(text.trim()).map_err(|error| {
            Failure::new(Kind::NeedsRecover, saying()).because(error).hint(
                "put back what it held, from a backup; without one remove it, and unlock the volumes that this host held",
            )
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            durable::write(&path, format!("{id}\n").as_bytes())?;
            id
        }
        Err(error) => return Err(error).context(saying),
    };
    Ok(HostId { id, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stays_who_it_is_and_two_roots_are_two_hosts() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, two) = (Layout::new(one.path()), Layout::new(two.path()));
        let first = this(&one).unwrap();
        assert_eq!(this(&one).unwrap(), first);
        assert_ne!(this(&two).unwrap().id, first.id);
        std::fs::write(one.host().join("id"), "gone").unwrap();
        assert_eq!(this(&one).unwrap_err().kind, Kind::NeedsRecover);
    }
}
