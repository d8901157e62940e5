//! Domain definitions on disk.

use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use crate::config::domain::{self, DomainDefinition};
use crate::config::reader::{self, nearest};
use crate::domain::change::Change;
use crate::domain::state::{Admission, Request, admit};
use crate::domain::{Record, State, nvram, ownership, rename};
use crate::error::{Context, Failure, Kind, Result};
use crate::fault;
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::{DomainName, MacAddress, VolumeRef};

/// What a domain runs with, in its folder while it runs.
const RUNNING: &str = "running.toml";
/// What it is about to go on with.
const RESTORING: &str = "restoring.toml";
/// How long a command waits for another that works on the same domain's files.
const PATIENCE: Duration = Duration::from_secs(5);

/// Names of all domains, sorted.
pub fn names(layout: &Layout) -> Result<Vec<DomainName>> {
    let folder = layout.domains();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("cannot read {}", folder.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.context(|| format!("cannot read {}", folder.display()))?;
        if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

pub fn load(layout: &Layout, name: &DomainName) -> Result<DomainDefinition> {
    let path = layout.domain(name).join("domain.toml");
    let bytes = reader::read_file(&path).map_err(|failure| match failure.kind {
        Kind::NotFound => no_such(layout, name),
        _ => failure,
    })?;
    let mut definition = domain::parse(&bytes, &path.display().to_string(), &mut domain::RandomIdentity)?;
    if definition.name != *name && rename::allows(layout, &definition.name, name) {
        definition.name = name.clone();
    }
    Ok(definition)
}

/// The definition that a domain runs with: that of its start and what was changed since while it ran. None where it
/// does not run. `domain.toml` is what it starts with next.
pub fn load_running(layout: &Layout, name: &DomainName) -> Result<Option<DomainDefinition>> {
    let path = layout.domain(name).join(RUNNING);
    match reader::read_file(&path) {
        Ok(bytes) => domain::parse(&bytes, &path.display().to_string(), &mut domain::RandomIdentity).map(Some),
        Err(failure) if failure.kind == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Called by the domain's supervisor alone.
pub fn write_running(layout: &Layout, definition: &DomainDefinition) -> Result<()> {
    durable::write(&layout.domain(&definition.name).join(RUNNING), domain::to_toml(definition).as_bytes())
}

/// Called by the domain's supervisor alone.
pub fn forget_running(layout: &Layout, name: &DomainName) -> Result<()> {
    forget(layout, name, RUNNING)
}

fn forget(layout: &Layout, name: &DomainName, file: &str) -> Result<()> {
    let path = layout.domain(name).join(file);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// What a restored guest is to run with: left by `fief restore` for the supervisor that it starts.
pub fn leave_restoring(layout: &Layout, definition: &DomainDefinition) -> Result<()> {
    durable::write(&layout.domain(&definition.name).join(RESTORING), domain::to_toml(definition).as_bytes())
}

/// The restore came to nothing, or has taken it.
pub fn forget_restoring(layout: &Layout, name: &DomainName) -> Result<()> {
    forget(layout, name, RESTORING)
}

/// Takes what was left; it is gone afterwards.
pub fn take_restoring(layout: &Layout, name: &DomainName) -> Result<DomainDefinition> {
    let path = layout.domain(name).join(RESTORING);
    let bytes = reader::read_file(&path)?;
    let definition = domain::parse(&bytes, &path.display().to_string(), &mut domain::RandomIdentity)?;
    std::fs::remove_file(&path).context(|| format!("cannot remove {}", path.display()))?;
    Ok(definition)
}

/// `NotFound`, with the nearest name that there is.
pub fn no_such(layout: &Layout, name: &DomainName) -> Failure {
    let all = names(layout).unwrap_or_default();
    let hint = match nearest(name.as_str(), all.iter().map(DomainName::as_str)) {
        Some(near) => format!("is it {near}?"),
        None => "`fief list` shows the domains of this host".to_owned(),
    };
    Failure::not_found(format!("no domain is called {name}")).hint(hint)
}

/// Writes a new domain. One of the same name, whatever its case, is refused; so is a card's address that another
/// domain has.
pub fn create(layout: &Layout, definition: &DomainDefinition) -> Result<Record> {
    create_with(layout, definition, None)
}

/// The same, with the UEFI variables that it begins with.
pub fn create_with(layout: &Layout, definition: &DomainDefinition, nvram: Option<&[u8]>) -> Result<Record> {
    let name = &definition.name;
    let saying = || format!("cannot create domain {name}");
    let folders = layout.domains();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folders).context(saying)?;
    let _lock = durable::lock(&folders.join(".lock"), PATIENCE)?;
    is_free(layout, name, None)?;
    macs_are_free(layout, definition)?;
    ownership::created(layout, definition.uuid, name)?;
    let more = nvram.map(|bytes| (nvram::FILE, bytes));
    put(layout, definition, more, || fault::point("create.written")).map_err(|failure| failure.while_doing(saying()))
}

/// Made aside and renamed, so that no half domain is ever seen. A name with a dot first is no domain's. `written` is called
/// before it has its name. The caller has the list's lock.
fn put(
    layout: &Layout,
    definition: &DomainDefinition,
    more: Option<(&str, &[u8])>,
    written: impl FnOnce() -> Result<()>,
) -> Result<Record> {
    let (name, folders) = (&definition.name, layout.domains());
    let aside = folders.join(format!(".new-{name}"));
    let saying = || format!("cannot make {}", aside.display());
    let _ = std::fs::remove_dir_all(&aside);
    let made = (|| {
        std::fs::DirBuilder::new().mode(0o700).create(&aside).context(saying)?;
        let record = Record::new(definition);
        durable::write(&aside.join("domain.toml"), domain::to_toml(definition).as_bytes())?;
        durable::write(&aside.join("record.json"), &serde_json::to_vec_pretty(&record).context(saying)?)?;
        if let Some((file, bytes)) = more {
            durable::write(&aside.join(file), bytes)?;
        }
        written()?;
        std::fs::rename(&aside, layout.domain(name)).and_then(|()| durable::sync_folder(&folders)).context(saying)?;
        Ok(record)
    })();
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&aside);
    }
    made
}

/// # Errors
/// `Conflict` where another domain has a card with an address of this one's.
pub fn macs_are_free(layout: &Layout, definition: &DomainDefinition) -> Result<()> {
    if definition.cards.is_empty() {
        return Ok(());
    }
    for other in names(layout)?.iter().filter(|other| **other != definition.name) {
        // Definitions are written by `to_toml`, so an address stands in them in one spelling only.
        let text = std::fs::read_to_string(layout.domain(other).join("domain.toml")).unwrap_or_default();
        let taken = |mac: &MacAddress| text.contains(&mac.to_string());
        if let Some(card) = definition.cards.iter().find(|card| taken(&card.mac)) {
            return Err(Failure::conflict(format!("domain {other} has a card with the address {}", card.mac))
                .hint("leave `mac` out: fief then makes one that is free"));
        }
    }
    Ok(())
}

/// Changes what a domain starts with next. Whether that was not so already.
pub fn change(layout: &Layout, name: &DomainName, change: &Change) -> Result<bool> {
    let _lock = durable::lock(&layout.domains().join(".lock"), PATIENCE)?;
    let before = load(layout, name)?;
    let after = change.apply(&before)?;
    if after != before {
        replace_locked(layout, &before, &after)?;
    }
    Ok(after != before)
}

/// Has a domain start with another volume in the place of one. Whether it had that one.
pub fn repoint(layout: &Layout, name: &DomainName, from: &VolumeRef, to: &VolumeRef) -> Result<bool> {
    let _lock = durable::lock(&layout.domains().join(".lock"), PATIENCE)?;
    let before = load(layout, name)?;
    let after = repointed(&before, from, to);
    if after != before {
        replace_locked(layout, &before, &after)?;
    }
    Ok(after != before)
}

/// The definition with another volume in the place of one.
pub fn repointed(before: &DomainDefinition, from: &VolumeRef, to: &VolumeRef) -> DomainDefinition {
    let mut after = before.clone();
    for disk in after.disks.iter_mut().filter(|disk| disk.volume == *from) {
        disk.volume = to.clone();
    }
    after
}

/// Removes files that were half written by someone who was killed. The caller holds the domain's lock; where a definition
/// is being changed just now, it is left for the next time.
pub fn sweep(layout: &Layout, name: &DomainName) -> Result<()> {
    match durable::lock(&layout.domains().join(".lock"), Duration::ZERO) {
        Ok(_nobody_writes) => durable::sweep(&layout.domain(name))
            .map(drop)
            .context(|| format!("cannot look at the files of domain {name}")),
        Err(failure) if failure.kind == Kind::Conflict => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Replaces a definition. Name and uuid stay as they are.
pub fn replace(layout: &Layout, definition: &DomainDefinition) -> Result<()> {
    let _lock = durable::lock(&layout.domains().join(".lock"), PATIENCE)?;
    replace_locked(layout, &load(layout, &definition.name)?, definition)
}

fn replace_locked(layout: &Layout, before: &DomainDefinition, definition: &DomainDefinition) -> Result<()> {
    let name = &definition.name;
    if before.uuid != definition.uuid {
        return Err(Failure::usage(format!("the uuid of domain {name} may not change"))
            .hint(format!("put uuid = \"{}\" back", before.uuid)));
    }
    macs_are_free(layout, definition)?;
    durable::write(&layout.domain(name).join("domain.toml"), domain::to_toml(definition).as_bytes())?;
    // The record's figures are what `list` shows. Those of a running domain are of that run, and stay.
    let mut record = Record::load(layout, name)?;
    if record.state_now() == State::Off {
        record.memory = definition.memory;
        record.vcpus = definition.vcpus;
        record.save(layout)?;
    }
    Ok(())
}

/// Gives a domain that is off another name.
///
/// # Errors
/// `Conflict` where it is not off, or another has that name.
pub fn rename(layout: &Layout, name: &DomainName, new: &DomainName) -> Result<()> {
    let folders = layout.domains();
    let _list = durable::lock(&folders.join(".lock"), PATIENCE)?;
    let lock = durable::lock(&layout.domain(name).join("lock"), Duration::ZERO).map_err(|_| not_off(name))?;
    let (mut definition, mut record) = (load(layout, name)?, Record::load(layout, name)?);
    if record.state_now() != State::Off {
        return Err(not_off(name));
    }
    if name == new {
        return Ok(());
    }
    is_free(layout, new, Some(name))?;
    // An earlier one that was cut off: what is announced now must not hide what that one left to be read.
    rename::finish(layout, name)?;
    let renamed = rename::announce(layout, name, new).and_then(|()| fault::point("rename.announced")).and_then(|()| {
        std::fs::rename(layout.domain(name), layout.domain(new)).context(|| format!("cannot rename domain {name}"))
    });
    if let Err(failure) = renamed {
        rename::done(layout, name)?;
        return Err(failure);
    }
    // Its folder has the name, and so has the domain: whoever reads the files knows, until they say so too.
    let written = durable::sync_folder(&folders)
        .context(|| format!("cannot rename domain {name}"))
        .and_then(|()| fault::point("rename.folder"))
        .and_then(|()| {
            definition.name = new.clone();
            durable::write(&layout.domain(new).join("domain.toml"), domain::to_toml(&definition).as_bytes())
        })
        .and_then(|()| fault::point("rename.definition"))
        .and_then(|()| {
            record.name = new.clone();
            record.save(layout)
        })
        .and_then(|()| rename::done(layout, new));
    if let Err(failure) = written {
        tracing::warn!(domain = %new, %failure, "its files still say its old name; `fief recover` finishes that");
    }
    drop(lock);
    Ok(())
}

/// # Errors
/// `Conflict` where a domain other than `except` has the name, whatever its case.
pub fn is_free(layout: &Layout, name: &DomainName, except: Option<&DomainName>) -> Result<()> {
    for other in names(layout)?.iter().filter(|other| Some(*other) != except) {
        if other.as_str().eq_ignore_ascii_case(name.as_str()) {
            return Err(Failure::conflict(format!("a domain is called {other} already"))
                .hint(format!("choose another name, or change it with `fief edit {other}`")));
        }
    }
    Ok(())
}

/// Forgets a domain that is off. Its volumes stay.
pub fn delete(layout: &Layout, name: &DomainName) -> Result<()> {
    if !layout.domain(name).exists() {
        return Err(no_such(layout, name));
    }
    refuse_protected(layout, name)?;
    take_back(layout, name)
}

/// Undoes a [`create`] of which nothing came: protection is for what was there before.
pub fn take_back(layout: &Layout, name: &DomainName) -> Result<()> {
    let folders = layout.domains();
    let _list = durable::lock(&folders.join(".lock"), PATIENCE)?;
    let _domain = durable::lock(&layout.domain(name).join("lock"), Duration::ZERO).map_err(|_| not_off(name))?;
    let uuid = match Record::load(layout, name) {
        Ok(record) => match admit(record.state_now(), Request::Delete) {
            Admission::Deny { .. } => return Err(not_off(name)),
            Admission::Accept | Admission::Already => Some(record.uuid),
        },
        // A broken record keeps nobody from deleting it; that it may be another host's does.
        Err(_) => load(layout, name).ok().map(|definition| definition.uuid),
    };
    if let Some(uuid) = uuid {
        ownership::may_delete(layout, uuid, name)?;
    }
    let aside = folders.join(format!(".gone-{name}"));
    let _ = std::fs::remove_dir_all(&aside);
    let saying = || format!("cannot delete domain {name}");
    std::fs::rename(layout.domain(name), &aside).and_then(|()| durable::sync_folder(&folders)).context(saying)?;
    if let Some(uuid) = uuid {
        ownership::deleted(layout, uuid, name)?;
    }
    // It is no domain any more; what cannot be removed now is removed by `fief recover`.
    if let Err(failure) = fault::point("delete.aside").and_then(|()| std::fs::remove_dir_all(&aside).context(saying)) {
        tracing::warn!(domain = %name, %failure, "files of a deleted domain stay");
    }
    Ok(())
}

/// Forgets a domain that is another host's. The caller has its lock.
pub fn forget_moved(layout: &Layout, name: &DomainName) -> Result<()> {
    let folders = layout.domains();
    let saying = || format!("cannot forget domain {name}");
    let _list = durable::lock(&folders.join(".lock"), PATIENCE)?;
    let aside = folders.join(format!(".gone-{name}"));
    let _ = std::fs::remove_dir_all(&aside);
    std::fs::rename(layout.domain(name), &aside).and_then(|()| durable::sync_folder(&folders)).context(saying)?;
    std::fs::remove_dir_all(&aside).context(saying)
}

/// Puts there what another host is about to hand over: no domain of this host's, which its journal says already. `begins`
/// is the file that its supervisor begins with.
///
/// # Errors
/// `Conflict` where a domain has its name, or a card's address.
pub fn expect(layout: &Layout, definition: &DomainDefinition, begins: (&str, &[u8])) -> Result<()> {
    let name = &definition.name;
    let saying = || format!("cannot make ready for domain {name}");
    let folders = layout.domains();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folders).context(saying)?;
    let _lock = durable::lock(&folders.join(".lock"), PATIENCE)?;
    is_free(layout, name, None)?;
    macs_are_free(layout, definition)?;
    put(layout, definition, Some(begins), || Ok(())).map(drop).map_err(|failure| failure.while_doing(saying()))
}

/// # Errors
/// `Conflict` where the definition says that the domain is protected. One that cannot be read protects nothing.
pub fn refuse_protected(layout: &Layout, name: &DomainName) -> Result<()> {
    match load(layout, name) {
        Ok(definition) if definition.protected => {
            Err(Failure::conflict(format!("domain {name} is protected against being deleted"))
                .hint(format!("`fief set {name} --protected=false` takes the protection away")))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn not_off(name: &DomainName) -> Failure {
    Failure::conflict(format!("domain {name} is not off")).hint(format!("`fief stop {name}` stops it"))
}
