//! Who uses a volume on this host: one small file a volume, naming the domain, looked at and changed under its own
//! lock. A lease of a domain that is off counts for nothing, so that a killed start never blocks a volume; nor does
//! that of a command (a copy that goes on for long) that is not there any more.
//!
//! ```text
//!   pools/POOL/leases/VOLUME      web1                   a domain
//!                                 command 4711 289345    a process, with its start time
//! ```

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::domain::volume::arrival;
use crate::domain::{Record, State};
use crate::error::{Context, Failure, Result};
use crate::layout::Layout;
use crate::sys::{durable, process};
use crate::types::{DomainName, PoolName, ProcessId, VolumeRef};

/// The first word of a command's lease; a domain's is one word.
const COMMAND: &str = "command";
/// Of a pool, with its leases.
const FOLDER: &str = "leases";

fn path(layout: &Layout, volume: &VolumeRef) -> PathBuf {
    layout.pool(&volume.pool).join(FOLDER).join(&volume.volume)
}

/// Who has a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holder {
    Domain(DomainName),
    Command(ProcessId),
}

impl Holder {
    fn read(text: &str) -> Option<Holder> {
        let mut words = text.split_whitespace();
        match (words.next()?, words.next(), words.next()) {
            (COMMAND, Some(pid), Some(start)) => {
                Some(Holder::Command(ProcessId { pid: pid.parse().ok()?, start_time: start.parse().ok()? }))
            }
            (name, None, None) => name.parse().ok().map(Holder::Domain),
            _ => None,
        }
    }

    /// The same, where that domain is not off, or that command goes on.
    fn live(layout: &Layout, text: &str) -> Option<Holder> {
        let holder = Holder::read(text)?;
        let lives = match &holder {
            Holder::Domain(name) => Record::load(layout, name).is_ok_and(|record| record.state_now() != State::Off),
            Holder::Command(process) => process::alive(*process),
        };
        lives.then_some(holder)
    }

    fn text(&self) -> String {
        match self {
            Holder::Domain(name) => name.to_string(),
            Holder::Command(process) => format!("{COMMAND} {} {}", process.pid, process.start_time),
        }
    }

    fn in_use(&self, volume: &VolumeRef) -> Failure {
        match self {
            Holder::Domain(name) => Failure::conflict(format!("volume {volume} is in use by domain {name}"))
                .hint(format!("stop {name} first, or give this domain a volume of its own (`fief volume clone`)")),
            Holder::Command(process) => {
                Failure::conflict(format!("volume {volume} is being copied, or renamed (process {})", process.pid))
                    .hint("wait for that to end, or break it off")
            }
        }
    }
}

/// Takes the volume for `domain`.
///
/// # Errors
/// `Conflict` where a domain that is not off has it.
pub fn take(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    take_as(layout, volume, &Holder::Domain(domain.clone()))
}

/// The same of a volume that a command made for it, and has.
pub fn take_over(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    let path = path(layout, volume);
    release_where(&path, |holder| matches!(holder, Holder::Command(_)))
        .context(|| format!("cannot take the lease of volume {volume}"))?;
    take(layout, volume, domain)
}

/// Takes the volume for this command, until [`let_go`].
///
/// # Errors
/// `Conflict` where a domain that is not off, or another command, has it.
pub fn hold(layout: &Layout, volume: &VolumeRef) -> Result<()> {
    take_as(layout, volume, &Holder::Command(process::this()))
}

/// The same of a volume that comes for a domain, which may have it already.
pub fn hold_for(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    match holder(layout, volume)? {
        Some(Holder::Domain(name)) if name == *domain => Ok(()),
        Some(Holder::Domain(_) | Holder::Command(_)) | None => hold(layout, volume),
    }
}

/// Lets the volume go where this command has it, or one that is not there any more.
pub fn let_go(layout: &Layout, volume: &VolumeRef) -> Result<()> {
    let ours = |holder: &Holder| match holder {
        Holder::Domain(_) => false,
        Holder::Command(process) => *process == process::this() || !process::alive(*process),
    };
    release_where(&path(layout, volume), ours).map(drop).context(|| format!("cannot release volume {volume}"))
}

/// # Errors
/// `Conflict` where another command has it.
pub fn refuse_held(layout: &Layout, volume: &VolumeRef) -> Result<()> {
    match holder(layout, volume)? {
        Some(Holder::Command(process)) if process != process::this() => Err(Holder::Command(process).in_use(volume)),
        Some(Holder::Domain(_) | Holder::Command(_)) | None => Ok(()),
    }
}

fn take_as(layout: &Layout, volume: &VolumeRef, taker: &Holder) -> Result<()> {
    match taker {
        Holder::Domain(domain) => arrival::refuse_half(layout, volume, domain)?,
        Holder::Command(_) => {}
    }
    let path = path(layout, volume);
    let saying = || format!("cannot take the lease of volume {volume}");
    folder_of(layout, &volume.pool).map_err(|failure| failure.while_doing(saying()))?;
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
    match Holder::live(layout, &text) {
        Some(holder) if holder != *taker => Err(holder.in_use(volume)),
        Some(_) | None => {
            let written = file.set_len(0).and_then(|()| file.rewind());
            let written = written.and_then(|()| file.write_all(taker.text().as_bytes()));
            if written.is_err() {
                // Whoever had it is gone.
                let _ = std::fs::remove_file(&path);
            }
            written.context(saying)
        }
    }
}

/// # Errors
/// `NotFound` where there is no such pool, of which nothing may be left.
fn folder_of(layout: &Layout, pool: &PoolName) -> Result<()> {
    match std::fs::create_dir(layout.pool(pool).join(FOLDER)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Failure::not_found(format!("there is no pool {pool}")).hint("`fief pool list` shows all pools"))
        }
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).context(|| format!("cannot make a folder of pool {pool}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Lets the volume go where `domain` has it.
pub fn release(layout: &Layout, volume: &VolumeRef, domain: &DomainName) -> Result<()> {
    let path = path(layout, volume);
    release_file(&path, domain).map(drop).context(|| format!("cannot release volume {volume}"))
}

/// Whether it was the domain's.
fn release_file(path: &Path, domain: &DomainName) -> std::io::Result<bool> {
    release_where(path, |holder| matches!(holder, Holder::Domain(name) if name == domain))
}

/// Whether it was there, and one of those.
fn release_where(path: &Path, which: impl Fn(&Holder) -> bool) -> std::io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    flock(&file, FlockOperation::LockExclusive)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let of_those = Holder::read(&text).is_some_and(|holder| which(&holder));
    // Whoever takes it writes under its lock: one without a word is what is left of a taker that was killed.
    if !(of_those || text.is_empty()) || !durable::same_file(&file, path)? {
        return Ok(false);
    }
    std::fs::remove_file(path)?;
    Ok(of_those)
}

/// Lets every volume go that the domain has, whatever its record says; gives how many those were.
pub fn release_all(layout: &Layout, domain: &DomainName) -> Result<usize> {
    let saying = || format!("cannot release the volumes of domain {domain}");
    let mut released = 0;
    for pool in entries(&layout.pools()).context(saying)? {
        for lease in entries(&pool.join(FOLDER)).context(saying)? {
            released += usize::from(release_file(&lease, domain).context(saying)?);
        }
    }
    Ok(released)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        // A stray file where pools are.
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The domains that use a volume now.
pub fn users_of_volume(layout: &Layout, volume: &VolumeRef) -> Result<Vec<DomainName>> {
    Ok(match holder(layout, volume)? {
        Some(Holder::Domain(name)) => vec![name],
        Some(Holder::Command(_)) | None => Vec::new(),
    })
}

fn holder(layout: &Layout, volume: &VolumeRef) -> Result<Option<Holder>> {
    match std::fs::read_to_string(path(layout, volume)) {
        Ok(text) => Ok(Holder::live(layout, &text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read the lease of volume {volume}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the pools `a` and `b`.
    fn layout(root: &tempfile::TempDir) -> Layout {
        let layout = Layout::new(root.path());
        for pool in ["a", "b"] {
            std::fs::create_dir_all(layout.pool(&pool.parse().unwrap())).unwrap();
        }
        layout
    }

    #[test]
    fn where_there_is_no_pool_there_is_no_lease_and_no_folder() {
        let root = tempfile::tempdir().unwrap();
        let (layout, node1) = (layout(&root), "node1".parse().unwrap());
        let failure = take(&layout, &"c/x".parse().unwrap(), &node1).unwrap_err();
        assert_eq!(failure.kind, crate::error::Kind::NotFound, "{failure}");
        assert!(!layout.pool(&"c".parse().unwrap()).exists());
    }

    #[test]
    fn a_lease_is_let_go_by_its_domain_alone_and_found_without_its_record() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(&root);
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
    fn a_command_holds_a_volume_for_as_long_as_it_lives() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(&root);
        let (node1, volume): (DomainName, VolumeRef) = ("node1".parse().unwrap(), "a/x".parse().unwrap());
        hold(&layout, &volume).unwrap();
        hold(&layout, &volume).unwrap();
        refuse_held(&layout, &volume).unwrap();
        let failure = take(&layout, &volume, &node1).unwrap_err();
        assert!(failure.message.contains("is being copied"), "{failure}");
        // One that is not there any more.
        std::fs::write(path(&layout, &volume), format!("command {} 1", std::process::id())).unwrap();
        refuse_held(&layout, &volume).unwrap();
        let_go(&layout, &volume).unwrap();
        assert!(!path(&layout, &volume).exists());
        // One that is, and is another.
        let init = process::identify(1).unwrap();
        std::fs::write(path(&layout, &volume), Holder::Command(init).text()).unwrap();
        assert!(refuse_held(&layout, &volume).is_err() && hold(&layout, &volume).is_err());
        let_go(&layout, &volume).unwrap();
        assert!(path(&layout, &volume).exists());
        assert_eq!((release_all(&layout, &node1).unwrap(), users_of_volume(&layout, &volume).unwrap()), (0, vec![]));
    }

    #[test]
    fn a_lease_whose_taker_was_killed_before_its_first_word_goes_with_the_next_that_is_let_go() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(&root);
        let (node1, volume): (DomainName, VolumeRef) = ("node1".parse().unwrap(), "a/x".parse().unwrap());
        let path = path(&layout, &volume);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        let_go(&layout, &volume).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        assert_eq!(release_all(&layout, &node1).unwrap(), 0);
        assert!(!path.exists());
    }

    #[test]
    fn a_lease_taken_while_another_is_let_go_is_there_afterwards() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(&root);
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
