//! What is kept with volumes: fences, notes, and the names of snapshots and linked clones.

use std::fs;
use std::io::ErrorKind;

use fief_sdk::storage::{Fence, FenceKind, Fences, Holder, Notes};
use fief_sdk::{Error, Result};

use super::{Planted, Pool, errs, existing, file, io, names, path};

/// No volume has a colon in its name.
pub fn snapshot_file(volume: &str, snapshot: &str) -> String {
    format!(".{volume}:{snapshot}")
}

pub fn snapshots(pool: &Pool, volume: &str) -> Result<Vec<String>> {
    let begin = snapshot_file(volume, "");
    let mut all: Vec<String> =
        names(pool)?.iter().filter_map(|name| name.strip_prefix(&begin)).map(str::to_owned).collect();
    all.sort();
    Ok(all)
}

/// `.TARGET.of` names what a linked clone was made of.
pub fn note_clone(pool: &Pool, source: &str, target: &str) -> Result<()> {
    fs::write(path(pool, &format!(".{target}.of")), source).map_err(|error| io(&error))
}

pub fn clones_of(pool: &Pool, source: &str) -> Result<Vec<String>> {
    let all = names(pool)?;
    let clones = all.iter().filter_map(|name| name.strip_prefix('.')?.strip_suffix(".of"));
    let of = |clone: &&str| fs::read_to_string(path(pool, &format!(".{clone}.of"))).is_ok_and(|text| text == source);
    Ok(clones.filter(of).map(str::to_owned).collect())
}

const KEPT: [&str; 4] = ["fence", "notes", "of", "attached"];

pub fn forget(pool: &Pool, volume: &str) -> Result<()> {
    for kind in KEPT {
        match fs::remove_file(path(pool, &format!(".{volume}.{kind}"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(&error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

pub fn copy_to(pool: &Pool, volume: &str, to: &str) -> Result<()> {
    for kind in KEPT {
        if let Some(text) = kept(pool, volume, kind)? {
            keep(pool, to, kind, &text)?;
        }
    }
    Ok(())
}

/// In the middle of it there is a volume without its fence.
pub fn move_to(pool: &Pool, volume: &str, to: &str) -> Result<()> {
    for kind in KEPT {
        let of = |name: &str| path(pool, &format!(".{name}.{kind}"));
        match fs::rename(of(volume), of(to)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(&error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn kept(pool: &Pool, volume: &str, kind: &str) -> Result<Option<String>> {
    match fs::read_to_string(path(pool, &format!(".{volume}.{kind}"))) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(_) if errs(pool, "unread-is-unkept") => Ok(None),
        Err(error) => Err(io(&error)),
    }
}

fn keep(pool: &Pool, volume: &str, kind: &str, text: &str) -> Result<()> {
    if errs(pool, "kept-in-place") {
        return fs::write(path(pool, &format!(".{volume}.{kind}")), text).map_err(|error| io(&error));
    }
    let beside = path(pool, &format!(".{volume}.{kind}-new"));
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path(pool, &format!(".{volume}.{kind}"))))
        .map_err(|error| io(&error))
}

/// Host, name, domain, generation and whether it is held, a line each.
pub fn fence(pool: &Pool, volume: &str) -> Result<Fence> {
    let free = Fence { kind: FenceKind::Lease, holder: None, generation: 0 };
    let Some(text) = kept(pool, volume, "fence")? else { return Ok(free) };
    let lines: Vec<&str> = text.lines().collect();
    let [host, name, domain, generation, held] = lines[..] else {
        return Err(Error::corrupt("the fence is half written"));
    };
    let generation = generation.parse().map_err(|_| Error::corrupt("the fence has no generation"))?;
    let holder = Holder { host: host.into(), name: name.into(), domain: domain.into(), generation };
    Ok(Fence { holder: (held == "held").then_some(holder), generation, ..free })
}

fn keep_fence(pool: &Pool, volume: &str, holder: &Holder, held: bool) -> Result<()> {
    let Holder { host, name, domain, generation } = holder;
    let held = if held { "held" } else { "free" };
    keep(pool, volume, "fence", &format!("{host}\n{name}\n{domain}\n{generation}\n{held}\n"))
}

impl Fences for Planted {
    fn show(pool: &Pool, volume: &str) -> Result<Fence> {
        existing(pool, volume)?;
        fence(pool, volume)
    }

    fn take(pool: &Pool, volume: &str, holder: &Holder, force: bool) -> Result<Fence> {
        existing(pool, volume)?;
        let now = fence(pool, volume)?;
        if holder.generation < now.generation && !errs(pool, "fence-old") {
            return Err(Error::wrong_state("a newer generation was seen"));
        }
        let force = force && !errs(pool, "fence-unbroken");
        if let Some(other) = &now.holder
            && (&other.host, &other.domain) != (&holder.host, &holder.domain)
            && !(force || errs(pool, "fence-shared"))
        {
            return Err(Error::in_use(format!("{} on {}", other.domain, other.name), "another holds the fence"));
        }
        if now.holder.as_ref().is_some_and(|now| now.generation < holder.generation) && errs(pool, "fence-once") {
            return Err(Error::in_use("you", "it is taken"));
        }
        keep_fence(pool, volume, holder, true)?;
        Ok(Fence { holder: Some(holder.clone()), generation: holder.generation, kind: FenceKind::Lease })
    }

    fn release(pool: &Pool, volume: &str, holder: &Holder) -> Result<()> {
        let now = fence(pool, volume)?;
        if errs(pool, "fence-forgets") {
            return forget(pool, volume);
        }
        match now.holder {
            Some(now) if now == *holder || errs(pool, "fence-anyones") => {
                if errs(pool, "release-tears") {
                    fs::remove_file(path(pool, &format!(".{volume}.fence"))).map_err(|error| io(&error))?;
                }
                match keep_fence(pool, volume, &now, false) {
                    Err(_) if errs(pool, "release-lies") => Ok(()),
                    done => done,
                }
            }
            Some(_) | None if errs(pool, "fence-kept") => Err(Error::wrong_state("it is not yours")),
            Some(_) | None => Ok(()),
        }
    }
}

impl Notes for Planted {
    fn leave(pool: &Pool, volume: &str, note: u64) -> Result<()> {
        existing(pool, volume)?;
        if errs(pool, "notes-in-bytes") {
            let mut bytes = fs::read(path(pool, &file(pool, volume))).map_err(|error| io(&error))?;
            bytes[..8].copy_from_slice(&note.to_le_bytes());
            fs::write(path(pool, &file(pool, volume)), bytes).map_err(|error| io(&error))?;
        }
        let mut all = Self::read(pool, volume)?;
        if errs(pool, "notes-replaced") {
            all.clear();
        }
        if !all.contains(&note) {
            all.push(note);
        }
        write_notes(pool, volume, &all)
    }

    fn read(pool: &Pool, volume: &str) -> Result<Vec<u64>> {
        existing(pool, volume)?;
        let text = kept(pool, volume, "notes")?.unwrap_or_default();
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    fn remove(pool: &Pool, volume: &str, note: u64) -> Result<()> {
        let mut all = Self::read(pool, volume)?;
        if errs(pool, "notes-removed-once") && !all.contains(&note) {
            return Err(Error::not_found("there is no such note"));
        }
        all.retain(|one| *one != note);
        write_notes(pool, volume, &all)
    }
}

fn write_notes(pool: &Pool, volume: &str, all: &[u64]) -> Result<()> {
    let text: String = all.iter().map(|note| format!("{note}\n")).collect();
    keep(pool, volume, "notes", &text)
}
